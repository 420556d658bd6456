"""The reference workload: the same hits for every benchmark and every run.

pk of two levels; 200 countries (Zipf) with one of five regions under each, 5 devices, 2,000 pages (Zipf); metrics hits and revenue;
times even over one hour; intervals 1m, 1h, 1d. So a hit is 7 paths x 2 pks x 2 metrics x 3 intervals = 84 cells before any are
added up, and 2 pks x 2 metrics x 3 intervals = 12 more for the parent's node of the child pk.

With kinds of metric that are no sums: `distinct` counts visitors, of 20,000 (Zipf); min, max, last and quantile are of the time on
the page, most of it 10 s to 5 minutes.
"""

import json
import os
import random
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

from hail.publish import Publisher
from hail.settings import DISTINCT, NAMES, PREFIX, Settings, load
from hail.spool import SpoolFolder
from hail.web import make_app
from tests.servers import MEMORY
from tests.wsgi import call

HITS = 100_000
VISITORS = 20_000
QUIET_USERS, QUIET_HITS = 5000, 20_000
START = 1_790_000_000
SPAN_S = 3600
NOW = float(START + SPAN_S)
PK = ("site", "s1")
PERIODS = "((60, 86400), (3600, 7776000), (86400, None))"
DEFAULT_PERIODS = NAMES["PERIODS"].default
PUBLISHER = "0123456789abcdef"
ACCOUNT = "default"


def settings(**changes: Any) -> Settings:
    """The defaults, with the workload's intervals and the version of messages that the environment asks for."""
    return load({"HAILWHALE_PERIODS": PERIODS, **message_version()}).replace(**changes)


def message_version() -> dict[str, str]:
    """The setting, where the environment gives it and the checkout has it."""
    name = f"{PREFIX}MESSAGE_VERSION"
    return {name: os.environ[name]} if name in os.environ and name.removeprefix(PREFIX) in NAMES else {}


def version_said() -> str:
    return f"messages of version {getattr(settings(), 'message_version', 1)}"


def hits(count: int = HITS, ids: bool = False, kinds: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """Hits as a caller sends them, in order of time; with ids, one of its own each. kinds: each adds a metric."""
    rng, more = random.Random(1), random.Random(2)
    visitors = more.choices(range(VISITORS), [1 / (i + 1) for i in range(VISITORS)], k=count) if kinds else [0] * count
    countries = rng.choices(range(200), [1 / (i + 1) for i in range(200)], k=count)
    pages = rng.choices(range(2000), [1 / (i + 1) for i in range(2000)], k=count)
    for i, (country, page) in enumerate(zip(countries, pages, strict=True)):
        hit: dict[str, Any] = {
            "pk": list(PK),
            "at": START + i * SPAN_S / count,
            "dimensions": {
                "country": {f"C{country}": f"r{country % 5}"},
                "device": rng.choice("abcde"),
                "page": f"/p/{page}",
            },
            "metrics": {"hits": 1, "revenue": rng.randrange(100) / 4},
        }
        for kind in kinds:
            if kind == DISTINCT:
                hit["visitor"], hit["metrics"]["unique"] = f"{visitors[i] * 2_654_435_761:016x}", "is_unique"
            else:
                hit["metrics"][f"{kind}_time"] = {kind: round(more.lognormvariate(4, 1), 1)}
        if ids:
            hit["id"] = f"{rng.getrandbits(128):032x}"
        yield hit


def quiet_hits(count: int) -> Iterator[dict[str, Any]]:
    """Of 5,000 users (Zipf, 0.7) below one site: pks that few hits meet."""
    rng = random.Random(3)
    users = rng.choices(range(QUIET_USERS), [1 / (i + 1) ** 0.7 for i in range(QUIET_USERS)], k=count)
    for i, user in enumerate(users):
        yield {
            "pk": ["site", f"u{user}"],
            "at": START + i * SPAN_S / count,
            "dimensions": {"plan": rng.choice("ab"), "source": {"ad": rng.choice("xyz")}},
            "metrics": {"hits": 1, "revenue": rng.randrange(100) / 4},
        }


def messages(
    in_force: Settings, size: int, count: int = HITS, ids: bool = False, kinds: Collection[str] = (), of: int = 0
) -> list[bytes]:
    """The same hits as Hail packs them, `size` to a message; with `of`, the first of so many."""
    return packed(in_force, size, islice(hits(of or count, ids, kinds), count))


def packed(in_force: Settings, size: int, given: Iterable[dict[str, Any]], now: float = NOW) -> list[bytes]:
    """Messages of so many hits each, from the spool of a Hail that was sent them in batches of that size. now: by its clock."""
    with TemporaryDirectory(prefix="hailwhale-benchmark-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        large = dict.fromkeys(("max_body_bytes", "message_max_bytes", "message_max_cells"), 10**9)
        large |= dict.fromkeys(("max_batch_hits", "message_max_hits", "waiting_max_hits"), size)
        own = in_force.replace(data_dir=folder, broker_url="", **large)
        publisher = Publisher(own, lambda: now)
        hail, waiting = make_app(own, publisher, lambda: now), iter(given)
        while batch := list(islice(waiting, size)):
            body = json.dumps(batch).encode()
            answer = call(hail, "POST", "/batch", body=body, CONTENT_TYPE="application/json")
            assert answer.status == 202, answer.text[:500]
        publisher.close()
        spool = SpoolFolder(folder)
        return [body for name in spool.names() if (file := spool.open(name)) for body in file.rest().messages]
