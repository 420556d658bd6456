"""How much CPU time Hail takes for a hit, from a request to the message that it makes, and how large that is; without server and queue.

    python -m benchmarks.hail_alone
    python -m benchmarks.pairs --ours ../before hail_alone          beside another checkout

The WSGI application is called in this process. The hits of a batch become a message; those of GETs would wait for others, and do not.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from benchmarks import workload
from benchmarks.report import Figure, report
from hail.message import encode_message
from hail.publish import Publisher
from hail.settings import Settings
from hail.web import make_app
from tests.wsgi import call

BATCH, BODIES, GETS = 500, 20, 4000
BYTES = 40
JSON, LINES = "application/json", "application/x-ndjson"
Hits = list[dict[str, Any]]


class Packing(Publisher):
    """Makes a message of the hits of a batch, and keeps nothing."""

    def __init__(self, settings: Settings):
        super().__init__(settings, lambda: workload.NOW)

    def publish(self, account: str, hits: Any) -> None:
        if isinstance(hits, list):  # a checkout from before hits were packed, measured with --ours
            if len(hits) > 1:
                encode_message(workload.PUBLISHER, 0, account, 0, 0, [wire for wire, _ in hits])
        elif hits.hits > 1:
            self.form.encode(workload.PUBLISHER, 0, 0, {account: hits.parts}, {account: hits.hits}, {})

    def note(self, account: str, refusal: Any) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    for _ in range(options.runs):
        for name, took in measured():
            found.setdefault(name, []).append(took)
    figures = [Figure(name, mine, "us/hit") for name, mine in found.items()]
    for size in (500, 2000, 5000):
        messages = workload.messages(workload.settings(), size, 20_000)
        figures.append(
            Figure(f"message of {size} hits, a hit", [sum(map(len, messages)) / 20_000], "bytes", BYTES, less=True)
        )
    report("hail_alone", figures, [workload.version_said()])


def measured() -> Iterator[tuple[str, float]]:
    """Of each kind of request: microseconds a hit, after a first round that is not measured."""
    hits = list(islice(workload.hits(), BATCH * BODIES))
    batches = [hits[first : first + BATCH] for first in range(0, len(hits), BATCH)]
    refused = [[*batch[:-1], {**batch[-1], "pk": []}] for batch in batches]
    alike = [{"pk": "site", "dimensions": "services"}] * GETS
    for name, hits_of_each, send, rounds in (
        ("batch of 500", BATCH, posting(JSON, array), batches),
        ("batch of 500, one refused", BATCH, posting(JSON, array), refused),
        ("NDJSON of 500", BATCH, posting(LINES, lines), batches),
        ("NDJSON of 500, one refused", BATCH, posting(LINES, lines), refused),
        ("POST of one hit", 1, posting(JSON, array, "/count"), hits[:GETS]),
        ("GETs, all alike", 1, get, alike),
        ("GETs, no two alike", 1, get, [address_of(hit) for hit in hits[:GETS]]),
    ):
        settings = workload.settings()
        app = make_app(settings, Packing(settings), lambda: workload.NOW)
        half = len(rounds) // 2
        send(app, rounds[:half])
        yield name, send(app, rounds[half:]) / (len(rounds) - half) / hits_of_each * 1e6


def array(hits: Any) -> bytes:
    return json.dumps(hits).encode()


def lines(hits: Hits) -> bytes:
    return b"\n".join(json.dumps(hit).encode() for hit in hits)


def address_of(hit: dict[str, Any]) -> dict[str, str]:
    names = "dimensions", "metrics"
    return {"pk": "site", "at": str(hit["at"]), **{name: json.dumps(hit[name]) for name in names}}


Send = Callable[[Any, list[Any]], float]


def posting(kind: str, body_of: Callable[[Any], bytes], path: str = "/batch") -> Send:
    return lambda app, rounds: seconds(app, "POST", path, [("", body_of(each)) for each in rounds], kind)


def get(app: Any, rounds: list[dict[str, str]]) -> float:
    return seconds(app, "GET", "/count", [(urlencode(each), b"") for each in rounds])


def seconds(app: Any, method: str, path: str, requests: list[tuple[str, bytes]], kind: str = "") -> float:
    """CPU time of the process that the answers take."""
    began = time.process_time()
    answers = [call(app, method, path, query=query, body=body, CONTENT_TYPE=kind) for query, body in requests]
    took = time.process_time() - began
    assert all(answer.status in (200, 202) for answer in answers), answers[0].text[:500]
    return took


if __name__ == "__main__":
    main()
