"""Gathering extras by branch and bucket equals making each hit's extras by itself."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hail.hit import encode_hit, parse_hit
from hail.message import decode_message, encode_message
from hail.settings import DAY, DISTINCT, HOUR, MONTH, Retention, load
from tests.laws import law
from whale.cells import Extras, Level, narrow_targets, stays, targets
from whale.count.denormalize import Branches, coalesce, finest_of
from whale.count.extras import Gathered, places_of
from whale.dimension import paths_of
from whale.metric import distinct_periods, is_narrow
from whale.period import bucket_start

SETTINGS = load({})
NOW = 1_790_003_590.0  # 2026-09-21T15:13:10Z
PUBLISHERS = ["0" * 16, "f" * 16]

numbers = st.integers(-3, 3)
hits = st.fixed_dictionaries(
    {
        "pk": st.lists(st.sampled_from("ab"), min_size=1, max_size=2),
        "dimensions": st.sampled_from([None, "a", {"a": "b"}, {"a": {"b": "c"}, "d": ["e", "f"]}]),
        "metrics": st.fixed_dictionaries(
            {},
            optional={
                "low": numbers.map(lambda number: {"min": number}),
                "high": numbers.map(lambda number: {"max": number}),
                "now": numbers.map(lambda number: {"last": number}),
                "who": st.sampled_from("xyz").map(lambda name: {"unique": name}),
            },
        ),
        "at": st.integers(int(NOW) - 40 * DAY, int(NOW)) | st.integers(int(NOW) - 7200, int(NOW)),
    }
)
TABLES: list[tuple[Retention, ...]] = [
    ((60, DAY), (900, None), (HOUR, 30 * DAY), (DAY, None), (MONTH, None)),
    ((15, None), (HOUR, 2 * DAY), (DAY, 10 * DAY)),
    ((1800, None), (DAY, None)),
    ((600, None), (1800, None)),
    ((MONTH, None),),
]
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"]


def gathered(messages: list[list[dict[str, Any]]], table: tuple[Retention, ...], zone: str) -> Extras:
    found, level, branches = Gathered(table), dict[Any, Any](), Branches("a")
    for seq, some in enumerate(messages):
        wire = [encode_hit(parse_hit(hit, SETTINGS, NOW)) for hit in some]
        message = decode_message(encode_message(PUBLISHERS[seq % 2], seq, "a", len(wire), 0, wire))
        others = found.of(message, branches, level)
        coalesce(message.hits, places_of(message.hits, branches)[0], finest_of(table), level, (), others)
    return found.extras(zone, NOW)


@law(150)
@given(st.lists(st.lists(hits, max_size=6), max_size=3), st.sampled_from(TABLES), st.sampled_from(ZONES))
def test_gathering_equals_making_the_marks_of_each_hit(
    messages: list[list[dict[str, Any]]], table: tuple[Retention, ...], zone: str
) -> None:
    names: dict[Any, set[str]] = {}
    values: dict[Any, Any] = {}
    for seq, some in enumerate(messages):
        for position, given_hit in enumerate(some):
            hit = parse_hit(given_hit, SETTINGS, NOW)
            for metric, (kind, value) in (hit.others or {}).items():
                for interval, kept in distinct_periods(table).items() if kind == DISTINCT else table:
                    start = bucket_start(interval, hit.at_ms // 1000, zone)
                    if kept is not None and start <= NOW - kept - (31 * DAY if interval == MONTH else int(interval)):
                        continue
                    for depth in range(1, len(hit.pk) + 1):
                        child = [(None, hit.pk[depth])] if depth < len(hit.pk) else []
                        for path in [*paths_of(hit.dimensions), *child]:
                            key = hit.pk[:depth], path, interval, start, metric
                            if kind != DISTINCT:
                                last = (hit.at_ms, PUBLISHERS[seq % 2], seq, position, value)
                                candidate = last if kind == "last" else (value,)
                                values[key] = stays(kind, values.get(key), candidate)
                            elif is_narrow(path):
                                names.setdefault(key, set()).add(str(value))
    found = gathered(messages, table, zone)
    of_names: dict[Any, set[str]] = {}
    for interval, level in found.names.items():
        for start, branch, metrics in ((start, b, m) for start, part in level.items() for b, m in part.items()):
            for pk, paths in narrow_targets(branch.pk, branch):
                for path in paths:
                    for metric, some_names in metrics.items():
                        of_names.setdefault((pk, path, interval, start, metric), set()).update(some_names)
    assert of_names == names
    of_values: dict[Any, Any] = {}
    for interval, level_ in found.values.items():
        for start, branch, kinds in ((start, b, k) for start, part in level_.items() for b, k in part.items()):
            for pk, targeted in targets(branch.pk, branch.paths):
                for path in targeted:
                    for (metric, kind), value in kinds.items():
                        key = pk, path, interval, start, metric
                        of_values[key] = stays(kind, of_values.get(key), value)
    assert of_values == values
    assert bool(found) == bool(names or values)


def test_buckets_that_one_finer_bucket_makes_share_its_names() -> None:
    some = [{"pk": "t", "at": NOW - i, "metrics": {"who": {"unique": f"v{i}"}}} for i in range(3)]
    found = gathered([some], TABLES[0], "UTC")
    parts = [part for level in found.names.values() for part in level.values()]
    assert len(parts) == 3
    assert parts[0] is parts[1] is parts[2]


def test_bins_of_quantiles_are_added_up_with_the_sums() -> None:
    some = [{"pk": "t", "at": NOW, "dimensions": "c", "metrics": {"q": {"quantile": 5}}} for _ in range(7)]
    wire = [encode_hit(parse_hit(hit, SETTINGS, NOW)) for hit in some]
    message = decode_message(encode_message(PUBLISHERS[0], 0, "a", 7, 0, wire))
    found, level, branches = Gathered(TABLES[0]), Level(), Branches("a")
    places, _ = places_of(message.hits, branches)
    coalesce(message.hits, places, 60, level, (), found.of(message.name, branches, level))
    (sums,) = level.values()
    assert [(branch.paths, amounts) for branch, amounts in sums.items() if None in branch.paths[0]] == [
        (((None, "q", "p772"),), {"hits": 7}),
        ((("c", None, "q", "p772"),), {"hits": 7}),
    ]
    assert not found.extras("UTC", NOW)
