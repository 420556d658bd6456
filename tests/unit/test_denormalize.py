"""The core: coalescing equals expanding each hit by itself."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hail.columns import Hits, decode, encode
from hail.hit import Dimensions, encode_hit, parse_hit
from hail.message import WireHit, decode_message, encode_message
from hail.room import Room
from hail.settings import DAY, HOUR, MONTH, Retention, load
from tests.laws import law
from tests.taken import section_of
from whale.cells import Cells, Level, Table, targets
from whale.count.denormalize import Branches, coalesce, denormalize, expand, finest_of
from whale.count.extras import places_of
from whale.count.sections import Usual, places_in
from whale.period import Interval

SETTINGS = load({})
NOW = 1_790_003_590.0  # 2026-09-21T15:13:10Z
DAY_OF_NOW, HOUR_OF_NOW = 1_789_948_800, 1_790_002_800


def wire_hits(hits: list[dict[str, Any]]) -> list[WireHit]:
    wire = [encode_hit(parse_hit(hit, SETTINGS, NOW)) for hit in hits]
    return decode_message(encode_message("0" * 16, 0, "a", len(wire), 0, wire)).hits


def in_columns(hits: Sequence[WireHit], *, account: str = "a") -> Hits:
    """As a message of version 2 brings them."""
    body = encode("0" * 16, 0, 0, [section_of(account, len(hits), hits)])
    return Hits(decode(body).sections[0])


def table_of(some: Sequence[WireHit], table: Sequence[Retention], zone: str, left_out: Collection[int] = ()) -> Table:
    found, usual = in_columns(some), Usual(table)
    assert usual.take(found, places_in(found, Branches("a"))[0], left_out) is not None
    return usual.table(zone, NOW)


def flat(cells: Cells) -> Counter[Any]:
    """Cells as (pk, path, interval, start, metric) -> amount, without zeros."""
    found: Counter[Any] = Counter()
    for interval, level in cells.items():
        for branch, start, amounts in ((b, start, a) for start, sums in level.items() for b, a in sums.items()):
            for pk, paths in targets(branch.pk, branch.paths):
                for path in paths:
                    for metric, amount in amounts.items():
                        found[pk, path, interval, start, metric] += amount
    return Counter({key: value for key, value in found.items() if value})


def test_one_hit_is_these_twelve_increments() -> None:
    country: Dimensions = {"country": {"US": {}}}
    found = expand(("shop",), country, {"hits": 1, "revenue": 5}, int(NOW * 1000), (HOUR, DAY), "UTC")
    shop, root, c, us = ("shop",), (), ("country",), ("country", "US")
    assert sorted(map(tuple, found)) == sorted(
        [
            (shop, root, HOUR, HOUR_OF_NOW, "hits", 1),
            (shop, root, HOUR, HOUR_OF_NOW, "revenue", 5),
            (shop, root, DAY, DAY_OF_NOW, "hits", 1),
            (shop, root, DAY, DAY_OF_NOW, "revenue", 5),
            (shop, c, HOUR, HOUR_OF_NOW, "hits", 1),
            (shop, c, HOUR, HOUR_OF_NOW, "revenue", 5),
            (shop, c, DAY, DAY_OF_NOW, "hits", 1),
            (shop, c, DAY, DAY_OF_NOW, "revenue", 5),
            (shop, us, HOUR, HOUR_OF_NOW, "hits", 1),
            (shop, us, HOUR, HOUR_OF_NOW, "revenue", 5),
            (shop, us, DAY, DAY_OF_NOW, "hits", 1),
            (shop, us, DAY, DAY_OF_NOW, "revenue", 5),
        ]
    )


def test_a_nested_pk_multiplies_by_its_prefixes_and_each_parent_knows_its_child() -> None:
    found = expand(("Product", "123"), {}, {"hits": 1}, int(NOW * 1000), (DAY,), "UTC")
    assert [(pk, path) for pk, path, *_ in found] == [
        (("Product",), ()),
        (("Product",), (None, "123")),
        (("Product", "123"), ()),
    ]


names = st.sampled_from(["a", "b", "c"])
trees = st.recursive(
    st.none() | names, lambda below: st.dictionaries(names, below, min_size=1, max_size=3), max_leaves=6
)
hits = st.fixed_dictionaries(
    {
        "pk": st.lists(names, min_size=1, max_size=3),
        "dimensions": trees,
        "metrics": st.dictionaries(st.sampled_from(["hits", "m", "n"]), st.integers(-5, 5), max_size=3),
        "at": st.integers(int(NOW) - 400 * DAY, int(NOW)) | st.integers(int(NOW) - 7200, int(NOW)),
    }
)
FOREVER: tuple[Retention, ...] = ((60, None), (900, None), (HOUR, None), (DAY, None), (MONTH, None))
TABLES: list[tuple[Retention, ...]] = [
    FOREVER,
    ((15, None), (HOUR, None), (DAY, None)),
    ((HOUR, None), (MONTH, None)),
    ((1800, None), (DAY, None)),
    ((600, None), (1200, None), (1800, None), (DAY, None), (MONTH, None)),
    ((MONTH, None),),
]
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]


@law(150)
@given(st.lists(hits, max_size=12), st.sampled_from(TABLES), st.sampled_from(ZONES))
def test_coalescing_equals_expanding_each_hit(
    some: list[dict[str, Any]], table: tuple[Retention, ...], zone: str
) -> None:
    expected: Counter[Any] = Counter()
    intervals: list[Interval] = [interval for interval, _ in table]
    for given_hit in some:
        hit = parse_hit(given_hit, SETTINGS, NOW)
        for pk, path, interval, start, metric, amount in expand(
            hit.pk, hit.dimensions, hit.metrics, hit.at_ms, intervals, zone
        ):
            expected[pk, path, interval, start, metric] += amount
    level: Level = {}
    wire = wire_hits(some)
    coalesce(wire, places_of(wire, Branches("a"))[0], finest_of(table), level)
    sums = Counter({k: v for k, v in expected.items() if v})
    assert flat(denormalize(level, finest_of(table), table, zone, NOW)) == sums
    assert flat(table_of(wire, table, zone).cells) == sums


def test_a_bucket_that_has_expired_is_left_out_and_one_that_is_partly_kept_is_not() -> None:
    table: tuple[Retention, ...] = ((60, 3600), (DAY, None))
    ages = (0, 3600 - 10, 3600, 3600 + 71)
    level: Level = {}
    wire = wire_hits([{"pk": "t", "at": NOW - age} for age in ages])
    coalesce(wire, places_of(wire, Branches("a"))[0], 60, level)
    cells = flat(denormalize(level, 60, table, "UTC", NOW))
    assert sum(value for (_, _, interval, _, _), value in cells.items() if interval == 60) == 3
    assert sum(value for (_, _, interval, _, _), value in cells.items() if interval == DAY) == 4


def test_branches_are_forgotten_only_between_batches() -> None:
    room = Room("branches", 5000)
    branches = Branches("a", room)
    first = branches.of(b'["t"]', b'{"a":{}}')
    assert branches.of(b'["t"]', b'{"a":{}}') is first
    assert branches.of(b'["t"]', b'{"a":{},"b":{}}')[1] is first[1]
    branches.trim()
    assert branches.of(b'["t"]', b'{"a":{}}') is first
    for i in range(3):
        branches.of(b'["t"]', b'{"c":{"%d":{}}}' % i)
    held = room.held
    branches.trim()
    assert 0 <= room.held < held
    assert branches.of(b'["t"]', b'{"a":{}}') is not first
    branches.clear()
    assert room.held == 0
