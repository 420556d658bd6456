from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from hail.hit import encode_hit, parse_hit
from hail.message import decode_message, encode_message
from hail.settings import load
from whale.answer.once import once
from whale.answer.series import Bounds, Plot, Question, plotpoints, totals, totals_of
from whale.count.apply import Applier
from whale.errors import CallerError, TooManyPoints
from whale.period import DAY, Range, parse_period
from whale.store.memory import MemoryStore

NOW = datetime(2015, 6, 17, 14, 35, 20, tzinfo=UTC).timestamp()
SETTINGS = load({})
SEVEN = parse_period("seven", NOW, "UTC", SETTINGS.periods)


def counted(*hits: dict[str, Any]) -> MemoryStore:
    """A store that counted these hits of pk `shop`."""
    store = MemoryStore(SETTINGS)
    rows = [encode_hit(parse_hit({"pk": "shop", **hit}, SETTINGS, NOW)) for hit in hits]
    message = decode_message(encode_message("0" * 16, 0, "default", len(rows), 0, rows))
    Applier(store, SETTINGS).apply([message], NOW)
    return store


def asked(**question: Any) -> Question:
    return Question("default", ("shop",), **question)


def shown(plot: Plot) -> list[tuple[tuple[str | None, ...], dict[str, list[int | float]]]]:
    return [(series.path, series.values) for series in plot.series]


COUNTRIES = counted(
    {"dimensions": {"country": "US"}, "metrics": {"revenue": 500, "visitors": 100}},
    {"dimensions": {"country": "UK"}, "metrics": {"revenue": 300, "visitors": 30}},
    {"dimensions": {"country": "FR"}, "metrics": {"revenue": 10, "visitors": 100}},
    {"dimensions": {"country": {"BR": "SP"}}, "metrics": {"revenue": 90, "visitors": 3}},
)


def order(**question: Any) -> list[tuple[str | None, ...]]:
    """The paths of an answer below `country`."""
    question = {"paths": [("country",)], "depth": 1, "metrics": ["revenue", "revenue/visitors"], **question}
    return [series.path[1:] for series in plotpoints(COUNTRIES, asked(**question), SEVEN).series]


def test_a_series_has_a_value_for_every_bucket() -> None:
    store = counted({"metrics": {"v": 20}, "at": NOW - DAY}, {"metrics": {"v": 0.5}}, {"metrics": {"v": 0.1}})
    plot = plotpoints(store, asked(metrics=["v", "hits", "v/hits", "never"]), SEVEN)
    assert list(plot.starts) == [int(NOW // DAY - back) * DAY for back in range(7, -1, -1)]
    assert shown(plot) == [
        (
            (),
            {
                "v": [0, 0, 0, 0, 0, 0, 20, 0.6],
                "hits": [0, 0, 0, 0, 0, 0, 1, 2],
                "v/hits": [0, 0, 0, 0, 0, 0, 20, 0.3],
                "never": [0] * 8,
            },
        )
    ]
    assert plot.series[0].totals == {"v": 20.6, "hits": 3, "v/hits": 6.866666666666666, "never": 0}


def test_the_asked_path_comes_first_and_the_largest_follow() -> None:
    assert order() == [(), ("US",), ("UK",), ("BR",), ("FR",)]
    assert order(sort="revenue") == [(), ("FR",), ("BR",), ("UK",), ("US",)]


def test_ratios_sort_by_the_ratio_of_sums() -> None:
    assert order(sort="-revenue/visitors", limit=2) == [(), ("BR",), ("UK",)]
    two_days = counted(
        {"dimensions": "a", "metrics": {"x": 10, "y": 1}, "at": NOW - DAY},
        {"dimensions": "a", "metrics": {"x": 10, "y": 9}},
        {"dimensions": "b", "metrics": {"x": 5, "y": 2}},
    )
    plot = plotpoints(two_days, asked(metrics=["x/y"], depth=1), SEVEN)
    assert [(series.path, series.totals["x/y"]) for series in plot.series] == [
        ((), 25 / 12),
        (("b",), 2.5),
        (("a",), 2),
    ]


def test_a_limit_counts_only_the_paths_below_the_asked_ones() -> None:
    assert order(limit=2) == [(), ("US",), ("UK",)]
    assert order(limit=99) == order(limit=0)


def test_depth_takes_so_many_levels() -> None:
    assert order(depth=0) == [()]
    assert order(depth=2) == [(), ("US",), ("UK",), ("BR",), ("BR", "SP"), ("FR",)]


def test_several_asked_paths_keep_their_order_also_where_a_sort_is_asked() -> None:
    paths = [("country", "FR"), ("country", "US"), ("country", "FR"), ("nowhere",)]
    assert order(paths=paths, depth=0) == [("FR",), ("US",), ()]
    assert order(paths=paths, depth=0, sort="-revenue") == [("FR",), ("US",), ()]


def test_a_metric_may_be_called_like_a_ratio() -> None:
    store = counted({"metrics": {"km/h": 80, "km": 5, "h": 2}})
    question = asked(metrics=["km/h", "km / h"])
    assert totals(store, question, SEVEN)[0].totals == {"km/h": 80, "km / h": 2.5}


def test_totals_are_the_sums_of_the_range() -> None:
    found = totals(COUNTRIES, asked(paths=[(), ("country", "UK")], metrics=["revenue", "revenue/visitors"]), SEVEN)
    assert [(series.path, series.totals) for series in found] == [
        ((), {"revenue": 900, "revenue/visitors": 900 / 233}),
        (("country", "UK"), {"revenue": 300, "revenue/visitors": 10}),
    ]


def test_a_pk_that_was_never_counted_reads_zero() -> None:
    question = Question("default", ("nobody",), depth=1)
    assert shown(plotpoints(COUNTRIES, question, SEVEN)) == [((), {"hits": [0] * 8})]
    assert totals(COUNTRIES, question, SEVEN)[0].totals == {"hits": 0}


def test_buckets_that_are_not_stored_are_sums_of_stored_ones() -> None:
    store = counted(
        {"metrics": {"v": 1}, "at": "2015-06-16T23:10Z"},
        {"metrics": {"v": 2}, "at": "2015-06-17T00:10Z"},
        {"metrics": {"v": 4}, "at": "2015-06-14T12:00Z"},
    )

    def values(period: str, zone: str = "") -> list[int | float]:
        found = parse_period(period, NOW, "UTC", SETTINGS.periods, zone)
        plot = plotpoints(store, asked(metrics=["v", "v/hits"]), found)
        assert len(plot.starts) == len(plot.series[0].values["v"])
        return plot.series[0].values["v"]

    assert values("1w:1w") == [4, 3]
    assert values("1y:1y") == [0, 7]
    assert values("2015-06-14..2015-06-18") == [4, 0, 1, 2]
    assert values("2015-06-14..2015-06-18", "Europe/Berlin") == [4, 0, 0, 3]
    assert values("2015-06-14..2015-06-18", "-0700") == [4, 0, 3, 0]
    assert values("2015-06-14..2015-06-18|Asia/Kathmandu") == [4, 0, 0, 3]
    assert values("30m:2015-06-16T23:00..2015-06-17T00:30") == [1, 0, 2]


def test_what_one_question_has_read_it_does_not_read_again() -> None:
    reads: list[int] = []

    class Watched(MemoryStore):
        def read(self, account: str, pk: Any, paths: Any, metrics: Any, interval: Any, starts: Any) -> Any:
            reads.append(len(starts))
            return super().read(account, pk, paths, metrics, interval, starts)

    store = Watched(SETTINGS)
    store.__dict__.update(counted({"metrics": {"v": 2}}, {"metrics": {"v": 3}, "at": NOW - 20 * DAY}).__dict__)
    seen = once(store)
    periods = ("1d:1y", "1d:1mo", "seven", "1h:1d", "mtd", "yesterday", "year")
    found = [totals(seen, asked(metrics=["v"]), parse_period(text, NOW, "UTC", SETTINGS.periods)) for text in periods]
    assert [rows[0].totals["v"] for rows in found] == [5, 5, 2, 2, 2, 0, 5]
    assert reads == [366, 25]


def test_ranges_are_read_together_and_what_is_too_much_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[list[int]] = []

    class Watched(MemoryStore):
        def read_several(self, account: str, pk: Any, paths: Any, metrics: Any, spans: Any) -> Any:
            reads.append([len(starts) for _, starts in spans])
            return super().read_several(account, pk, paths, metrics, spans)

    store = Watched(SETTINGS)
    store.__dict__.update(counted({"metrics": {"v": 2}}, {"metrics": {"v": 3}, "at": NOW - 20 * DAY}).__dict__)
    periods = {text: parse_period(text, NOW, "UTC", SETTINGS.periods) for text in ("seven", "1d:1y", "1h:1d", "24h")}
    question = asked(metrics=["v", "v/hits"])
    for most, expected in ((1_000_000, [[366, 25]]), (800, [[366], [25], [8]]), (0, [[8], [366], [25], [25]])):
        monkeypatch.setattr("whale.answer.once.MOST_CELLS", most)
        monkeypatch.setattr("whale.answer.series.MOST_CELLS", most)
        found = totals_of(once(store), question, periods, Bounds(), True)
        assert {name: rows[0].totals["v"] for name, rows in found.items()} == {
            "seven": 2,
            "1d:1y": 5,
            "1h:1d": 2,
            "24h": 2,
        }
        assert sorted(reads) == sorted(expected)
        reads.clear()
    assert totals_of(once(store), question, {}, Bounds(), False) == {}


def test_sums_beyond_64_bits_are_exact() -> None:
    class Full(MemoryStore):
        def read(self, account: str, pk: Any, paths: Any, metrics: Any, interval: Any, starts: Any) -> Any:
            return np.full((len(paths), len(metrics), len(starts)), 2**63 - 1)

    assert totals(Full(SETTINGS), asked(), SEVEN)[0].totals == {"hits": 8 * (2**63 - 1)}


def test_an_answer_that_is_too_large_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        TooManyPoints, match="by 1m is 84960 points, the limit is 10000: ask by hour or shorten the range"
    ):
        plotpoints(COUNTRIES, asked(), Range(60, 0, 84_960 * 60))
    with pytest.raises(TooManyPoints, match="the answer would be 40 points, the limit is 39: ask for fewer"):
        plotpoints(COUNTRIES, asked(paths=[("country",)], depth=1), SEVEN, Bounds(answer_points=39))
    question = asked(paths=[("country",)], depth=1, limit=1, metrics=["revenue/visitors"])
    with pytest.raises(TooManyPoints, match="sorting 5 paths over 8 buckets reads 80 cells, the limit is 50"):
        plotpoints(COUNTRIES, question, SEVEN, Bounds(answer_points=1))


@pytest.mark.parametrize(
    ("field", "value"), [("depth", -1), ("depth", 10**9), ("limit", -1), ("sort", ""), ("sort", "-")]
)
def test_a_question_out_of_bounds_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(CallerError) as refused:
        plotpoints(COUNTRIES, asked(**{"paths": [("country",)], "depth": 1, field: value}), SEVEN)
    assert refused.value.field == field
