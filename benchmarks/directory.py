"""How long Hail keeps others waiting while it reads a large directory of accounts.

    python -m benchmarks.directory                    10,000 accounts, each with 3 keys and 2 sites
    python -m benchmarks.directory --accounts 50000

One process of Hail, as `hailwhale up` starts it, and in place of Whale a server that hands out the whole directory again and again, under
another word each time. One client asks /healthz every 3 ms on one connection, so an answer waits as long as the loop is held. The same
is measured before, while the directory stays as it is.
"""

import argparse
import http.client
import http.server
import statistics
import threading
import time
from typing import Any

from benchmarks.keys import INTERNAL, directory_of
from benchmarks.report import Figure, report
from benchmarks.services import Setup
from hail.directory import Answer, record_of

ACCOUNTS, SECONDS, ASK_S = 10_000, 20.0, 0.003
MOST_MS = 50.0


class Whale:
    """Answers the same directory under words by turns; once `is_quiet` that it has not changed. given: how often it was given."""

    def __init__(self, accounts: int):
        answer, _ = directory_of(accounts)
        self.records = [_under(word, answer) for word in ("word-of-one", "word-of-two")]
        self.is_quiet, self.given = False, 0

    def answer(self) -> bytes | None:
        if self.is_quiet and self.given:
            return None
        self.given += 1
        return self.records[self.given % 2]


def _under(word: str, answer: Answer) -> bytes:
    return record_of(Answer((word, 1), None, answer.accounts, answer.keys, answer.sites), INTERNAL)


def serving(whale: Whale) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            record = whale.answer()
            self.send_response(304 if record is None else 200)
            self.send_header("Content-Length", str(len(record or b"")))
            self.end_headers()
            self.wfile.write(record or b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each")
    options = parser.parse_args()
    whale = Whale(options.accounts)
    server = serving(whale)
    figures, notes = [], []
    more = {
        "HAILWHALE_INTERNAL_KEY": INTERNAL,
        "HAILWHALE_WHALE_URL": f"http://127.0.0.1:{server.server_port}",
        "HAILWHALE_DIRECTORY_MB": "640",
    }
    setup = Setup("", **more)
    with setup.hail():
        for is_quiet in (True, False):
            whale.is_quiet = is_quiet
            wait_for_all(whale)
            before = whale.given
            took = measure(setup.hail_port, options.seconds)
            what = "as it is" if is_quiet else "read anew"
            parts = statistics.quantiles(took, n=1000)
            figures.append(Figure(f"{what}, p50 of {len(took)}", [parts[499]], "ms"))
            figures.append(Figure(f"{what}, p99", [parts[989]], "ms"))
            figures.append(Figure(f"{what}, longest", [max(took)], "ms", MOST_MS, less=True))
            notes.append(f"{what}: {whale.given - before} times in {options.seconds:.0f} s")
    report("directory", figures, notes)


def wait_for_all(whale: Whale) -> None:
    """Until it was taken once."""
    while not whale.given:
        time.sleep(0.1)
    time.sleep(3)


def measure(port: int, seconds: float) -> list[float]:
    """Milliseconds of each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    until, took = time.monotonic() + seconds, []
    while time.monotonic() < until:
        begun = time.perf_counter()
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        took.append((time.perf_counter() - begun) * 1000)
        assert answer.status == 200
        time.sleep(ASK_S)
    connection.close()
    return took


if __name__ == "__main__":
    main()
