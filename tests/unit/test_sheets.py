"""Tables as CSV and as flat rows, and paths as lists."""

import csv
import io
import json
from typing import Any

import pytest

from tests.unit.test_whale_web import Door
from tests.wsgi import Answer
from whale.errors import CallerError

DAYS = ["2015-06-16T00:00:00+00:00", "2015-06-17T00:00:00+00:00"]
TWO_DAYS = {"period": "2015-06-16..2015-06-18"}
NAMES = ("=cmd()", "+1", "-2", "@x", "\tt", "\rr", "\nn", "＝1", 'a "b", c', "new\nline", "[x", "_", "päth", "2")


@pytest.fixture
def door() -> Door:
    door = Door()
    for country, orders in (("US", 3), ("DE", 1)):
        door.count("shop", {"country": country}, {"orders": orders, "visits": 10})
    door.count("shop", {"country": "US"}, {"orders": 2, "visits": 8}, "2015-06-16T10:00Z")
    return door


def table(answer: Answer) -> list[list[str]]:
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer.text.endswith("\r\n")
    return list(csv.reader(io.StringIO(answer.text, newline="")))


# CSV


def test_a_series_is_a_column_and_a_bucket_a_row(door: Door) -> None:
    asked = {"pk": "shop", **TWO_DAYS, "format": "csv"}
    assert door.get("/plotpoints", **asked).text == f"time,hits\r\n{DAYS[0]},1\r\n{DAYS[1]},2\r\n"
    several = door.get("/plotpoints", **asked, dimension="country", depth=1, metrics='["orders", "orders/visits"]')
    assert table(several) == [
        ["time", "country: orders", "country: orders/visits", '["country", "US"]: orders', '["country", "US"]: orders/visits',
         '["country", "DE"]: orders', '["country", "DE"]: orders/visits'],
        [DAYS[0], "2", "0.25", "2", "0.25", "0", "0"],
        [DAYS[1], "4", "0.2", "3", "0.3", "1", "0.1"],
    ]  # fmt: skip
    assert several.headers["Content-Disposition"] == 'attachment; filename="plotpoints.csv"'
    newest = table(door.get("/plotpoints", **asked, descending="1", with_totals="1"))
    assert newest == [["time", "hits"], [DAYS[1], "2"], [DAYS[0], "1"], ["Total", "3"]]
    nothing = table(door.get("/plotpoints", **asked, metric="orders/x", undefined="null"))
    assert nothing[1:] == [[DAYS[0], ""], [DAYS[1], ""]]


def test_compared_series_stand_side_by_side(door: Door) -> None:
    asked = {"pk": "shop", "period": "2015-06-17..2015-06-18", "compare": "previous", "format": "csv"}
    door.now += 86_400
    assert table(door.get("/plotpoints", **asked)) == [["time", "hits", "hits (previous)"], [DAYS[1], "2", "1"]]


def test_series_of_several_pks_are_named_by_them(door: Door) -> None:
    found = table(door.get("/plotpoints", pks='["shop", ["a", "b"]]', **TWO_DAYS, format="csv"))
    assert found[0] == ["time", "shop", '["a", "b"]']


def test_an_older_series_is_a_table_too(door: Door) -> None:
    asked = {"pk": "shop", "value": "orders", **TWO_DAYS, "format": "csv"}
    assert table(door.get("/dataset", **asked)) == [["time", "orders"], [DAYS[0], "2"], [DAYS[1], "4"]]
    below = table(door.get("/dataset", **asked, dimension="country", depth=1))
    assert below == [["time", '["country", "US"]', '["country", "DE"]'], [DAYS[0], "2", "0"], [DAYS[1], "3", "1"]]


def test_totals_have_a_row_for_each_period_and_path(door: Door) -> None:
    asked = {"pk": "shop", "dimensions": '["country", ["country", "US"]]', "metrics": '["orders", "visits"]'}
    assert table(door.get("/totals", **asked, periods="today,yesterday", format="csv")) == [
        ["pk", "period", "path", "orders", "visits"],
        ["shop", "today", "country", "4", "20"],
        ["shop", "today", '["country", "US"]', "3", "10"],
        ["shop", "yesterday", "country", "2", "8"],
        ["shop", "yesterday", '["country", "US"]', "2", "8"],
    ]
    compared = table(door.get("/totals", pk="shop", period="today", compare="previous", format="csv"))
    assert compared == [
        ["pk", "period", "path", "hits now", "hits before", "hits change", "hits ratio"],
        ["shop", "today", "_", "0", "1", "-1", "0.0"],
    ]


def test_a_ranking_closes_as_a_table(door: Door) -> None:
    asked = {"pk": "shop", "dimension": "country", "by": "orders/visits", "columns": "hits", "limit": 1, **TWO_DAYS}
    head, *rows = table(door.get("/rank", **asked, order="confidence", format="csv"))
    assert head[:7] == ["kind", "path", "value", "n", "part orders", "part visits", "hits"]
    assert head[7:] == ["difference", "effect", "important", "low", "high"]
    assert [row[:2] for row in rows] == [
        ["row", '["country", "US"]'],
        ["rest", ""],
        ["ended", ""],
        ["total", "country"],
    ]
    assert [sum(float(row[column]) for row in rows[:3]) for column in (4, 5, 6)] == [6, 28, 3]
    assert rows[3][4:7] == ["6", "28", "3"]
    more = {"period": "2015-06-12..2015-06-17", "compare": "previous", "series": "1", "format": "csv"}
    head, first, *_ = table(door.get("/rank", **{**asked, **more}))
    assert head[-11:-5] == ["before", "change", "ratio", "change low", "change high", "change z"]
    assert head[-1] == DAYS[0]
    assert first[-1] == "0.25"


def test_factors_and_shifts_are_tables(door: Door) -> None:
    asked = {"pk": "shop", "metric": "orders", "period": "2015-06-17..2015-06-18", "against": "2015-06-16..2015-06-17"}
    head, *rows = table(door.get("/factors", **asked, format="csv"))
    assert head[:6] == ["dimension", "path", "kind", "now", "before", "part"]
    assert sorted(row[:6] for row in rows) == [
        ["country", '["country", "DE"]', "value", "1", "0", "1"],
        ["country", '["country", "US"]', "value", "3", "2", "1"],
    ]
    for day in range(1, 15):
        for _ in range(2):
            door.count("broke", {"country": "US"}, {"orders": 300 if day < 10 else 3}, f"2015-06-{day:02}T10:00Z")
    asked = {"pk": "broke", "metric": "orders", "period": "2015-06-01..2015-06-15", "format": "csv"}
    head, row, *_ = table(door.get("/shifts", **asked))
    assert head == ["path", "at", "until", "before", "now", "z", "ongoing", "n before", "n now", "cost orders", "note"]
    assert row[:2] == ["_", "2015-06-10T00:00:00+00:00"] or row[0] == '["country", "US"]'
    assert float(row[-2]) < -2000


def test_a_cell_is_no_formula_and_a_number_stays_a_number(door: Door) -> None:
    for name in NAMES:
        door.count("odd", [name, "x"], {"=n": -3})
    asked = {"pk": "odd", "by": '"=n"', "limit": 0, "period": "today", "columns": '["\\"=n\\""]'}
    head, *rows = table(door.get("/rank", **asked, format="csv"))
    paths = {row["path"] for row in door.get("/rank", **asked).json["rows"]}
    shown = [row[1] for row in rows if row[0] == "row"]
    assert {path.removeprefix("'") for path in shown} == paths
    assert sorted(path for path in shown if path.startswith("'")) == [
        "'\tt",
        "'\nn",
        "'\rr",
        "'+1",
        "'-2",
        "'=cmd()",
        "'@x",
        "'＝1",
    ]
    assert {row[2] for row in rows if row[0] == "row"} == {"-3"}
    assert not [
        cell for row in [head, *rows] for cell in row if cell.startswith(("=", "+", "@", "\t", "\r", "\n", "＝"))
    ]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("  =1", "'  =1"),
        ("\0=1", "'\0=1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("a;=1", "a;'=1"),
        ('a; "+1', "a;' \"+1"),
        ("a\n@x", "a\n'@x"),
        ("a\t=1", "a\t'=1"),
        ("a-b; c", "a-b; c"),
        ("a\t\tb", "a\t\tb"),
    ],
)
def test_no_part_of_a_cell_is_a_formula_in_any_country(door: Door, name: str, cell: str) -> None:
    """Where the comma is decimal, spreadsheets part cells at semicolons."""
    door.count("parted", [], {name: 1})
    assert [cell] in table(door.get("/metrics_of", pk="parted", format="csv"))


def test_names_are_a_table_too(door: Door) -> None:
    door.count("=pk")
    assert table(door.get("/pks", format="csv")) == [["pk"], ["shop"], ["'=pk"]]
    counted = table(door.get("/pks", counts="1", format="csv"))
    assert counted == [["pk", "hits_today", "last_seen"], ["shop", "2", "2015-06-17"], ["'=pk", "1", "2015-06-17"]]
    assert table(door.get("/metrics_of", pk="shop", format="csv")) == [["name"], ["hits"], ["orders"], ["visits"]]
    assert table(door.get("/metrics_of", pk="shop", info="1", format="csv"))[1][:3] == ["hits", "sum", "count"]
    below = door.get("/subdimensions", pk="shop", dimension="country", paths="list", format="csv")
    assert table(below) == [["path"], ['["country", "US"]'], ['["country", "DE"]']]
    assert table(door.get("/subdimensions", pk="nobody", format="csv")) == [["path"]]
    refused = door.get("/pks", format="rows")
    assert (refused.status, refused.json["field"]) == (400, "format")


# Flat rows


def test_a_flat_row_is_a_time_a_series_and_a_value(door: Door) -> None:
    asked = {"pk": "shop", **TWO_DAYS, "format": "rows"}
    answer = door.get("/plotpoints", **asked, dimension="country", depth=1, metric="orders")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == [
        {"time": time, "series": name, "value": value}
        for name, values in (("country", [2, 4]), ('["country", "US"]', [2, 3]), ('["country", "DE"]', [0, 1]))
        for time, value in zip(DAYS, values, strict=True)
    ]
    assert door.get("/dataset", **asked, value="orders").json[1] == {"time": DAYS[1], "series": "orders", "value": 4}
    assert door.get("/totals", pk="shop", period="today", metrics='["hits", "orders"]', format="rows").json == [
        {"time": DAYS[1], "series": "hits", "value": 2},
        {"time": DAYS[1], "series": "orders", "value": 4},
    ]
    rank = {**asked, "dimension": "country", "by": "orders"}
    assert door.get("/rank", **rank).json == [
        {"time": DAYS[0], "series": '["country", "US"]', "value": 5},
        {"time": DAYS[0], "series": '["country", "DE"]', "value": 1},
    ]
    assert [row["value"] for row in door.get("/rank", **rank, series="1").json] == [2, 3, 0, 1]
    assert len(door.get("/rank", **rank, columns="hits", compare="previous").json) == 8
    explained = door.get("/plotpoints", **asked, explain="1").json
    assert explained["answer"][0] == {"time": DAYS[0], "series": "hits", "value": 1}


def test_factors_and_shifts_have_flat_rows(door: Door) -> None:
    asked = {"pk": "shop", "metric": "orders", "period": "2015-06-17..2015-06-18", "against": "2015-06-16..2015-06-17"}
    assert {(row["series"], row["value"]) for row in door.get("/factors", **asked, format="rows").json} == {
        ('["country", "DE"]', 1),
        ('["country", "US"]', 1),
    }
    assert door.get("/shifts", pk="shop", period="2015-06-01..2015-06-15", format="rows").json == []


def test_a_remembered_table_keeps_its_type(door: Door) -> None:
    asked = {"pk": "shop", **TWO_DAYS, "cached": "1"}
    assert [table(door.get("/plotpoints", **asked, format="csv"))[0] for _ in range(2)] == [["time", "hits"]] * 2
    assert "_" in door.get("/plotpoints", **asked).json


@pytest.mark.parametrize("path", ["/plotpoints", "/totals", "/rank", "/factors", "/shifts", "/dataset"])
def test_a_format_that_there_is_not_is_refused(door: Door, path: str) -> None:
    asked = {"pk": "shop", **TWO_DAYS}
    for field, more in (
        ("format", {"format": "xls"}),
        ("paths", {"paths": "tuple"}),
        ("explain", {"explain": "1", "format": "csv"}),
    ):
        refused = door.get(path, **asked, **more)
        assert (refused.status, refused.json["field"]) == (400, field)
    wrong = door.get(path, **asked, format="csv", limit="x")
    assert (wrong.status, wrong.headers["Content-Type"]) == (400, "application/problem+json")


# Paths as lists


def listed(door: Door, path: str, **asked: Any) -> Any:
    return door.get(path, **{"pk": "shop", **TWO_DAYS, **asked}, paths="list").json


def test_paths_are_lists_where_they_are_asked_so(door: Door) -> None:
    series = listed(door, "/plotpoints", dimension="country", depth=1, metric="orders")
    assert [row["path"] for row in series] == [["country"], ["country", "US"], ["country", "DE"]]
    assert [value for _, value in series[1]["metrics"]["orders"]] == [2, 3]
    assert listed(door, "/plotpoints", points_type="dict", flot_time="false")[0]["path"] == []
    compared = listed(door, "/plotpoints", compare="previous")["paths"]
    assert [list(row["metrics"]["hits"]) for row in compared] == [["now", "before"]]
    assert listed(door, "/totals", metric="orders") == {TWO_DAYS["period"]: [{"path": [], "metrics": {"orders": 6}}]}
    (beside,) = listed(door, "/totals", compare="previous")[TWO_DAYS["period"]]["paths"]
    assert beside["metrics"]["hits"]["now"] == 1
    rank = listed(door, "/rank", dimension="country")
    assert [row["path"] for row in [*rank["rows"], rank["total"]]] == [
        ["country", "US"],
        ["country", "DE"],
        ["country"],
    ]
    factors = listed(door, "/factors", metric="orders")["dimensions"]
    assert factors[0]["dimension"] == ["country"]
    assert sorted(row["path"] for row in factors[0]["rows"]) == [["country", "DE"], ["country", "US"]]
    (us, _) = listed(door, "/dataset", dimension="country", depth=1, value="orders")
    assert us == {"path": ["country", "US"], "points": [[DAYS[0], 2], [DAYS[1], 3]]}
    below = door.get("/subdimensions", pk="shop", all="1", paths="list").json
    assert below == [[], ["country"], ["country", "US"], ["country", "DE"]]
    assert door.get("/subdimensions", pk="shop", paths="list").json == [["country"]]
    assert listed(door, "/shifts")["shifts"] == []


def test_pks_are_lists_too(door: Door) -> None:
    door.count(["shop", "hat"], {}, {"orders": 2})
    several = door.get("/totals", pks='["shop", ["shop", "hat"]]', period="today", paths="list").json
    assert [row["pk"] for row in several] == [["shop"], ["shop", "hat"]]
    assert several[1]["answer"] == {"today": [{"path": [], "metrics": {"hits": 1}}]}
    assert [row["path"] for row in listed(door, "/rank", pks="1")["rows"]] == [["shop", "hat"]]


def test_any_name_is_itself_in_a_list(door: Door) -> None:
    for name in NAMES:
        door.count("odd", [name, "x"])
    asked = {"pk": "odd", "limit": 0, "period": "today", "paths": "list"}
    assert sorted(row["path"] for row in door.get("/rank", **asked).json["rows"]) == sorted([name] for name in NAMES)
    series = door.get("/plotpoints", **asked, depth=2).json
    assert sorted(row["path"] for row in series) == sorted(
        [[], *([name] for name in NAMES), *([name, "x"] for name in NAMES)]
    )
    library = door.whale.plotpoints("odd", period="today", depth=2, paths="list", flot_time=True, points_type=list)
    assert json.dumps(series) == json.dumps(library)


def test_the_library_lists_paths_too(door: Door) -> None:
    whale = door.whale
    assert whale.totals("shop", periods=["today"], paths="list") == {"today": [{"path": [], "metrics": {"hits": 2}}]}
    assert whale.rank("shop", dimension="country", period="today", paths="list")["total"]["path"] == ["country"]
    assert whale.factors("shop", period="today", paths="list")["dimensions"][0]["dimension"] == ["country"]
    assert whale.dataset("shop", "country", period="1d:1d", depth=1, paths="list")[1]["path"] == ["country", "DE"]
    assert whale.get_subdimensions("shop", paths="list") == [["country"]]
    assert whale.all_subdimensions("shop", "country", paths="list")[0] == ["country"]
    with pytest.raises(CallerError, match="paths: expected text or list"):
        whale.rank("shop", paths="tuple")
