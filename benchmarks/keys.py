"""What keys of accounts cost Hail: the bytes of a directory, how long it takes to read it, and to find whose hit it is.

    python -m benchmarks.keys                    10,000 accounts, each with 3 keys and 2 sites
    python -m benchmarks.keys --accounts 1000

Nothing is asked over HTTP: `hail.access.Access` makes the caller of a request, as Hail's door calls it. Each key comes once a round, so
that no cache of the processor has it. A key of the settings stands beside it.
"""

import argparse
import base64
import hashlib
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.report import Figure, report
from hail.access import Access
from hail.callers import Callers
from hail.directory import Account, Answer, Directory, Key, Scope, Site, answer_of, record_of
from hail.settings import load

ACCOUNTS, ROUNDS = 10_000, 5
SCOPES: tuple[Scope, ...] = ("write", "read", "browser")
PAGE, INTERNAL, PLAIN = "https://shop.example", "i" * 32, "w" * 32
MOST_MB, MOST_US = 10.0, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    options = parser.parse_args()
    answer, secrets = directory_of(options.accounts)
    record = record_of(answer, INTERNAL)
    directory, begun = Directory(640), time.perf_counter()
    directory.take(answer_of(record, INTERNAL))
    took = time.perf_counter() - begun
    settings = load({"HAILWHALE_INTERNAL_KEY": INTERNAL, "HAILWHALE_WHALE_URL": "http://127.0.0.1:8086"})
    callers = Callers(lambda secret: directory.key_of(secret, 0), directory.site, lambda: True)
    access = Access(settings, "127.0.0.1:8085", by_directory=callers.caller)
    plain = Access(settings.replace(write_key=PLAIN, read_key="r" * 32, admin_key="a" * 32), "127.0.0.1:8085")
    figures = [
        Figure("all of it", [len(record) / 1e6], "MB", MOST_MB, less=True),
        Figure("read and taken", [took * 1000], "ms"),
    ]
    for scope in SCOPES:
        asked = [request_of(secret) for secret in secrets[scope]]
        figures.append(Figure(f"caller of a key, {scope}", rounds(access, asked), "us", MOST_US, less=True))
    asked = [request_of(PLAIN)] * options.accounts
    figures.append(Figure("caller of a key of the settings", rounds(plain, asked), "us"))
    report("keys", figures)


def directory_of(accounts: int) -> tuple[Answer, dict[str, list[str]]]:
    """So many accounts, and the secrets of their keys by scope."""
    rows = [Account(f"a{number:09d}", f"name{number}") for number in range(accounts)]
    sites = [Site(row.id, pk, True, (PAGE,)) for row in rows for pk in ("web", "app")]
    secrets: dict[str, list[str]] = {scope: [] for scope in SCOPES}
    keys = []
    for number, row in enumerate(rows):
        for scope in SCOPES:
            random = hashlib.sha256(f"{number} {scope}".encode()).digest()
            secret = f"hw_{scope[0]}_{base64.urlsafe_b64encode(random).decode().rstrip('=')}"
            is_open = scope == "browser"
            hash_, id_ = hashlib.sha256(secret.encode()).hexdigest(), random[:4].hex()
            keys.append(Key(hash_, id_, row.id, scope, "web" if is_open else None, is_open))
            secrets[scope].append(secret)
    return Answer(("word-of-all", 1), None, rows, keys, sites), secrets


def request_of(secret: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/count",
        "QUERY_STRING": f"pk=web&dimensions=a&key={secret}",
        "HTTP_ORIGIN": PAGE,
    }


def rounds(access: Access, asked: Sequence[dict[str, Any]]) -> list[float]:
    """Microseconds of a request, in each round."""
    found = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for environ in asked:
            access.caller(environ)
        found.append((time.perf_counter() - begun) / len(asked) * 1e6)
    return found


if __name__ == "__main__":
    main()
