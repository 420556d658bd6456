"""The reference workload: the same hits for every benchmark and every run.

pk of two levels; 200 countries (Zipf) with one of five regions under each, 5 devices, 2,000 pages (Zipf); metrics hits and revenue;
times even over one hour; intervals 1m, 1h, 1d. So a hit is 7 paths x 2 pks x 2 metrics x 3 intervals = 84 cells before any are
added up, and 2 pks x 2 metrics x 3 intervals = 12 more for the parent's node of the child pk.

With kinds of metric that are no sums: `distinct` counts visitors, of 20,000 (Zipf); min, max, last and quantile are of the time on
the page, most of it 10 s to 5 minutes.
"""

import random
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from hail.hit import encode_hit, parse_hit
from hail.message import encode_message
from hail.settings import DISTINCT, NAMES, Settings, load

HITS = 100_000
VISITORS = 20_000
START = 1_790_000_000
SPAN_S = 3600
NOW = float(START + SPAN_S)
PK = ("site", "s1")
PERIODS = "((60, 86400), (3600, 7776000), (86400, None))"
DEFAULT_PERIODS = NAMES["PERIODS"].default
PUBLISHER = "0123456789abcdef"
ACCOUNT = "default"


def settings(**changes: Any) -> Settings:
    """The defaults, with the workload's intervals."""
    return load({"HAILWHALE_PERIODS": PERIODS}).replace(**changes)


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


def messages(
    in_force: Settings, size: int, count: int = HITS, ids: bool = False, kinds: Collection[str] = (), of: int = 0
) -> list[bytes]:
    """The same hits as Hail packs them, `size` to a message; with `of`, the first of so many."""
    wire = [encode_hit(parse_hit(hit, in_force, NOW)) for hit in islice(hits(of or count, ids, kinds), count)]
    return [
        encode_message(PUBLISHER, seq, ACCOUNT, min(count, first + size), int(NOW * 1000), wire[first : first + size])
        for seq, first in enumerate(range(0, count, size))
    ]
