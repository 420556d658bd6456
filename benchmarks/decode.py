"""How long Hail takes from the body of a request to checked hits in their wire form and an answer, without server and queue.

    python -m benchmarks.decode

Beside it, by turns in the same process, the long way (tests/landed.py): each hit decoded by itself, checked by `parse_hit`, and
encoded from its Hit. Of each kind of body: the ratio of the two, and how long a hit takes. CPU time of the process.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from itertools import islice
from typing import Any

from benchmarks import workload
from benchmarks.report import Figure, report
from hail.accept import Acceptor
from hail.access import ALL_RIGHTS, Caller
from hail.formats import Handler
from hail.formats.batch import Batch
from hail.formats.posted import Posted
from hail.message import ACCOUNT
from hail.packing import Packed
from hail.publish import Publisher
from hail.settings import Settings
from tests.landed import LandedBatch, LandedPosted

BATCH = 500
BODIES = 8
NEVER_ABOVE = 1.1
Hits = list[dict[str, Any]]
Change = Callable[[Hits, random.Random], Any]
CALLER = Caller(ACCOUNT, ALL_RIGHTS)


class NoQueue(Publisher):
    """Makes messages of at least BATCH hits, and keeps nothing."""

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.waiting: list[Any] = []
        self.hits = 0

    def publish(self, account: str, hits: Packed) -> None:
        self.waiting += hits.parts
        self.hits += hits.hits
        if self.hits >= BATCH:
            self.form.encode("0" * 16, 0, 0, {account: self.waiting}, {account: 0}, {})
            self.waiting, self.hits = [], 0

    def note(self, account: str, refusal: Any) -> None: ...


def with_each(**fields: Callable[[dict[str, Any], random.Random], Any]) -> Change:
    return lambda hits, rng: [{**hit, **{name: make(hit, rng) for name, make in fields.items()}} for hit in hits]


def with_one(**fields: Any) -> Change:
    return lambda hits, rng: [*hits[:-1], {**hits[-1], **fields}]


def new_name(rng: random.Random) -> str:
    return f"{rng.getrandbits(64):x}"


def iso(hit: dict[str, Any], rng: random.Random) -> str:
    return datetime.fromtimestamp(hit["at"], UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def paths(hit: dict[str, Any], rng: random.Random) -> list[Any]:
    return [[name, value] if isinstance(value, str) else [name, *value] for name, value in hit["dimensions"].items()]


ROWS: dict[str, tuple[float, Change]] = {
    "usual hits": (0.25, lambda hits, rng: hits),
    "usual hits, each with an id": (0.5, with_each(id=lambda hit, rng: new_name(rng))),
    "one refused in 500": (0.5, with_one(pk=[])),
    "one of another kind in 500": (0.5, with_one(metrics={"time": {"max": 5}})),
    "all ISO": (0.5, with_each(at=iso)),
    "lists of one name": (
        0.5,
        with_each(dimensions=lambda hit, rng: [hit["dimensions"]["page"]], metrics=lambda hit, rng: ["sold"]),
    ),
    "lists of paths": (NEVER_ABOVE, with_each(dimensions=paths)),
    "17 digits": (0.5, with_each(metrics=lambda hit, rng: {"hits": 1, "revenue": rng.random() * 100})),
    "halves of a millionth": (
        NEVER_ABOVE,
        with_each(
            metrics=lambda hit, rng: {
                "revenue": rng.randrange(10**6) + 0.0000005,
                "cost": rng.randrange(99) + 0.1234565,
            }
        ),
    ),
    "all new": (
        0.5,
        with_each(
            pk=lambda hit, rng: ["site", new_name(rng)],
            dimensions=lambda hit, rng: {new_name(rng): {new_name(rng): new_name(rng)}, "page": new_name(rng)},
            metrics=lambda hit, rng: {"hits": 1, new_name(rng): 0.25},
        ),
    ),
    "200 metrics over 70 pks": (
        0.5,
        with_each(
            pk=lambda hit, rng: ["site", f"s{rng.randrange(70)}"],
            metrics=lambda hit, rng: dict.fromkeys((f"m{rng.randrange(200)}", f"m{rng.randrange(200)}"), 0.25),
        ),
    ),
    "letters beyond ASCII": (0.5, with_each(visitor=lambda hit, rng: f"é{rng.randrange(1000)}")),
    "ahead of the clock": (NEVER_ABOVE, with_each(at=lambda hit, rng: workload.NOW + rng.random())),
    "all of another kind": (NEVER_ABOVE, with_each(metrics=lambda hit, rng: {"time": {"max": 5}})),
    "all with an unknown field": (NEVER_ABOVE, with_each(reward=lambda hit, rng: 5)),
    "all refused": (NEVER_ABOVE, with_each(at=lambda hit, rng: "soon")),
    "all without a pk": (NEVER_ABOVE, lambda hits, rng: [{"dimension": "a"}] * len(hits)),
    "the first 20 of another kind": (
        NEVER_ABOVE,
        lambda hits, rng: [{**hit, "metrics": {"time": {"max": 5}}} for hit in hits[:20]] + hits[20:],
    ),
}


Request = tuple[str, bytes, str]
"""Path, body and content type."""


def listed(batches: list[Any]) -> list[Request]:
    return [("/batch", json.dumps(hits).encode(), "application/json") for hits in batches]


def lines(batches: list[Any]) -> list[Request]:
    return [
        ("/batch", b"\n".join(json.dumps(hit).encode() for hit in hits), "application/x-ndjson") for hits in batches
    ]


def single(batches: list[Any]) -> list[Request]:
    return [("/count", json.dumps(hit).encode(), "application/json") for hits in batches for hit in hits]


def broken(requests: list[Request], every: int) -> list[Request]:
    """The same lines, of which some are cut off."""
    cut = []
    for path, body, kind in requests:
        found = body.split(b"\n")
        found[every - 1 :: every] = [line[:-9] for line in found[every - 1 :: every]]
        cut.append((path, b"\n".join(found), kind))
    return cut


def cases(count: int) -> Iterator[tuple[str, float, int, list[Request]]]:
    """By name: at most this share of the long way; hits of all requests; the requests."""

    def batches(size: int, change: Change = ROWS["usual hits"][1], of: int = count) -> list[Any]:
        rng, hits = random.Random(1), workload.hits(workload.HITS)
        return [change(list(islice(hits, size)), rng) for _ in range(of // size)]

    for name, (most, change) in ROWS.items():
        yield name, most, count, listed(batches(BATCH, change))
    yield "usual lines (NDJSON)", 0.25, count, lines(batches(BATCH))
    yield "one broken line in 500", 0.5, count, broken(lines(batches(BATCH)), BATCH)
    yield "all lines broken", NEVER_ABOVE, count, broken(lines(batches(BATCH)), 1)
    yield "POST /count, usual", 0.5, count // 4, single(batches(1, of=count // 4))
    for name in ("all of another kind", "all refused"):
        yield f"POST /count, {name}", NEVER_ABOVE, count // 4, single(batches(1, ROWS[name][1], count // 4))
    for size in (1, 5, 20):
        yield f"usual hits, {size} a batch", 0.5, count, listed(batches(size))
        for name in ("all of another kind", "all with an unknown field"):
            yield f"{name}, {size} a batch", NEVER_ABOVE, count, listed(batches(size, ROWS[name][1]))


def handlers(batch: type[Batch], posted: type[Posted], version: int) -> dict[str, Handler]:
    settings = workload.settings(max_batch_hits=10 * BATCH, message_version=version)
    acceptor = Acceptor(settings, NoQueue(settings), lambda: workload.NOW)
    return {"/batch": batch(acceptor).batch, "/count": posted(acceptor).hit}


def seconds(way: dict[str, Handler], requests: list[Request]) -> float:
    """CPU time that the answers take."""
    environs = [
        (
            way[path],
            {
                "REQUEST_METHOD": "POST",
                "CONTENT_TYPE": kind,
                "CONTENT_LENGTH": str(len(body)),
                "wsgi.input": BytesIO(body),
            },
        )
        for path, body, kind in requests
    ]
    began = time.process_time()
    for handler, environ in environs:
        handler(CALLER, environ)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--only", default="", help="names that hold this text")
    parser.add_argument(
        "--version", type=int, default=2, help="of the messages that are made; the long way makes version 1"
    )
    options = parser.parse_args()
    short, long = handlers(Batch, Posted, options.version), handlers(LandedBatch, LandedPosted, 1)
    figures = []
    for name, most, count, requests in cases(BATCH * BODIES):
        if options.only not in name:
            continue
        ratios, took = [], []
        for run in range(options.runs):
            found = {}
            for way in ((short, long), (long, short))[run % 2]:
                found[way is short] = seconds(way, requests)
            ratios.append(found[True] / found[False])
            took.append(found[True] * 1e6 / count)
        figures.append(Figure(name, ratios, "of the long way", most, less=True))
        figures.append(Figure("  takes", took, "us/hit"))
    if not options.only:
        figures += linear(short, options.runs)
    report("decode", figures)


def linear(way: dict[str, Handler], runs: int) -> list[Figure]:
    """Ten times as many hits of a body take ten times as long."""
    hits = list(workload.hits(10 * BATCH))
    found = []
    for _ in range(runs):
        few = seconds(way, listed([hits[first : first + BATCH] for first in range(0, len(hits), BATCH)]))
        found.append(statistics.fmean([seconds(way, listed([hits])), seconds(way, listed([hits]))]) / few)
    return [Figure("5,000 hits in one body, beside ten of 500", found, "times as long", 1.2, less=True)]


if __name__ == "__main__":
    main()
