"""Pictures of series, pure and over HTTP; graphs and tables for pages of one's own."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.settings import load
from tests.unit.test_whale_web import NOW, Door
from tests.wsgi import call
from whale.errors import CallerError
from whale.formatting import FORMATS, day, short
from whale.plot import FULL, SMALL, Line, Picture, svg
from whale.share import share_of

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<img src=x onerror=alert(1)>\"'&\x00\x1b\u202e]]>"
BEGIN = datetime(2026, 10, 28, tzinfo=UTC)


def days(count: int) -> list[datetime]:
    return [BEGIN + timedelta(days=number) for number in range(count)]


def test_a_small_picture_is_a_line_with_its_title_and_a_sentence() -> None:
    text = svg(Picture("orders of shop", [Line("orders", [1, 3, 2])], days(3)), full=False)
    assert text == (
        '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="48" viewBox="0 0 240 48" role="img" aria-labelledby="t d" '
        'font-family="Inter, system-ui, sans-serif" font-size="11"><title id="t">orders of shop</title>'
        '<desc id="d">From 28 Oct 2026 to 30 Oct 2026. orders ends at 2.</desc>'
        '<path d="M3 34.5L120 13.5L237 24" fill="none" stroke="#0b66c3" stroke-width="1.5" stroke-linejoin="round"/>'
        '<circle cx="237" cy="24" r="2" fill="#0b66c3"/></svg>\n'
    )


def texts(picture: Picture) -> list[str]:
    return ["".join(each.itertext()) for each in ElementTree.fromstring(svg(picture, True)).iter(f"{SVG}text")]


def test_a_full_picture_has_round_ticks_dates_and_the_names_of_its_lines() -> None:
    lines = [Line("US", [0, 1200, 2500]), Line("DE", [100, 90, 80])]
    assert texts(Picture("revenue", lines, days(3), size=FULL)) == [
        "revenue", "0", "500", "1\u202f000", "1\u202f500", "2\u202f000", "2\u202f500", "28 Oct", "29 Oct", "30 Oct", "US", "DE",
    ]  # fmt: skip


def test_the_axis_of_a_ratio_need_not_begin_at_0_and_that_of_a_count_does() -> None:
    ratio = Picture("rate", [Line("rate", [0.041, 0.043, 0.042])], days(3), size=FULL, is_ratio=True)
    assert texts(ratio)[1] == "0.041"
    assert texts(Picture("rate", ratio.lines, days(3), size=FULL))[1] == "0"
    assert texts(Picture("rate", ratio.lines, days(3), size=FULL, is_ratio=True, area=True))[1] == "0"


def test_where_nothing_is_defined_the_line_is_broken_and_a_value_by_itself_is_a_dot() -> None:
    text = svg(Picture("rate", [Line("rate", [1, None, 2, 3])], days(4)), full=False)
    assert re.findall('<path d="([^"]*)"', text) == ["M159 24L237 13.5"]
    assert re.findall('<circle cx="([0-9]+)"', text) == ["3", "237"]


def test_the_open_bucket_is_dashed() -> None:
    text = svg(Picture("orders", [Line("orders", [1, 3, 2])], days(3), is_open=True), full=False)
    assert 'd="M120 13.5L237 24" fill="none" stroke="#0b66c3" stroke-width="1.5" stroke-dasharray="2 3"' in text
    assert "ends at 2, not over yet." in text


NUMBERS = st.none() | st.integers(-(10**18), 10**18) | st.floats(-1e12, 1e12)


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.text(max_size=40), st.lists(NUMBERS, min_size=3, max_size=3)), min_size=1, max_size=11),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([SMALL, FULL, (16, 16), (2000, 16), (16, 2000)]),
    st.sampled_from(["light", "dark"]),
)
def test_whatever_is_counted_gives_xml_without_script_style_or_address(
    title: str, rows: list[Any], is_ratio: bool, area: bool, full: bool, size: tuple[int, int], theme: str
) -> None:
    lines = [Line(name, values) for name, values in rows]
    root = ElementTree.fromstring(svg(Picture(title, lines, days(3), True, is_ratio, area, size, theme), full))
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "title", "desc", "path", "circle", "text", "rect"
    }  # fmt: skip
    names = {name for each in root.iter() for name in each.attrib}
    assert not [name for name in names if name.startswith("on") or name in ("style", "href", "src")]
    assert "nan" not in {word for each in root.iter(f"{SVG}path") for word in re.split("[ ML]", each.attrib["d"])}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (None, "\u2013"), (7, "7"), (4.031, "4.03"), (0.01234, "0.0123"), (12.34, "12.3"), (-5.5, "\u22125.50"),
        (3742, "3\u202f742"), (9999.4, "9\u202f999"), (87_210, "87.2\u202fk"), (1_240_000, "1.24\u202fM"), (3.1e9, "3.10\u202fG"),
        (0.00001, "1.0e-05"), (1e17, "1.00e+17"),
    ],
)  # fmt: skip
def test_numbers_are_written_with_three_digits(number: Any, text: str) -> None:
    assert short(number) == text


def test_days_are_written_with_the_time_that_they_have() -> None:
    assert (day(BEGIN), day(BEGIN, BEGIN)) == ("28 Oct 2026", "28 Oct")
    assert day(BEGIN + timedelta(hours=9, minutes=5), BEGIN) == "28 Oct 09:05"


# over HTTP


@pytest.fixture
def door() -> Door:
    door = Door()
    for country, orders in (("US", 5), ("DE", 3)):
        door.count("shop", {"country": country}, {"orders": orders, "visits": 10})
        door.count("shop", {"country": country}, {"orders": 2, "visits": 10}, NOW - 86_400)
    return door


def test_plot_svg_is_the_picture_of_a_question(door: Door) -> None:
    answer = door.get("/plot.svg", pk="shop", metric="orders/visits", period="seven")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert '<title id="t">orders/visits of shop</title>' in answer.text
    assert "not over yet" in answer.text
    assert answer.text == door.whale.plot_svg("shop", metric="orders/visits", period="seven")
    again = call(
        door.app, "GET", "/plot.svg", {"pk": "shop", "metric": "orders/visits", "period": "seven"},
        HTTP_IF_NONE_MATCH=answer.headers["Etag"],
    )  # fmt: skip
    assert (again.status, again.body) == (304, b"")


def test_a_picture_may_be_kept_until_its_bucket_ends(door: Door) -> None:
    def control(**asked: str) -> str:
        return door.get("/plot.svg", pk="shop", **asked).headers["Cache-Control"]

    assert control(period="seven") == "public, max-age=33880"  # until midnight
    assert control(period="1h:1d") == "public, max-age=1480"
    assert control(period="1m:1h") == "public, max-age=40"
    assert control(period="yesterday") == "public, max-age=33880"
    assert control(period="1mo:1y") == "public, max-age=86400"
    locked = Door(read_key="r" * 16)
    kept = locked.get("/plot.svg", pk="shop", period="1m:1h", key="r" * 16)
    assert kept.headers["Cache-Control"] == "private, max-age=40"


def test_a_full_picture_names_the_paths_below(door: Door) -> None:
    text = door.get(
        "/plot.svg", pk="shop", metric="orders", dimensions="country", depth=1, size="full", theme="dark"
    ).text
    assert re.findall('<text [^>]*fill="#e7edf2">([^<]*)', text) == [
        "orders of shop", "country", "country \u203a US", "country \u203a DE",
    ]  # fmt: skip
    assert 'width="720" height="300"' in text


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"height": '"><script>'}, "height"),
        ({"height": "15"}, "height"),
        ({"height": "1e9"}, "height"),
        ({"width": "2001"}, "width"),
        ({"width": "-1"}, "width"),
        ({"width": "NaN"}, "width"),
        ({"theme": '"><script>'}, "theme"),
        ({"size": "huge"}, "size"),
        ({"area": "perhaps"}, "area"),
        ({"limit": "1e9"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"depth": "99"}, "depth"),
        ({"metrics": '["a","b","c","d","e","f","g","h","i","j","k","l"]'}, "metrics"),
        ({"metric": "a//b"}, "metrics"),
        ({"period": "nonsense"}, "period"),
        ({"pk": ""}, "pk"),
        ({"onload": "alert(1)"}, "onload"),
    ],
)
def test_a_bad_picture_is_refused_with_its_field(door: Door, asked: dict[str, str], field: str) -> None:
    answer = door.get("/plot.svg", **{"pk": "shop", **asked})
    assert (answer.status, answer.json["field"]) == (400, field)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_more_lines_than_can_be_told_apart_are_refused(door: Door) -> None:
    for number in range(20):
        door.count("wide", {"page": f"p{number}"})
    asked = {"pk": "wide", "dimensions": "page", "depth": 1}
    assert door.get("/plot.svg", **asked, limit=10).status == 200
    refused = door.get("/plot.svg", **asked, limit=11)
    assert (refused.status, refused.json["detail"]) == (
        400,
        "metrics: expected at most 11 lines, got 12 paths x 1 metrics",
    )


def test_what_was_never_counted_is_a_flat_line(door: Door) -> None:
    answer = door.get("/plot.svg", pk="never")
    assert (answer.status, answer.headers["X-Whale-Unknown"]) == (200, "pk=never")


def test_names_in_a_picture_stay_text(door: Door) -> None:
    name = "<img src=x onerror=alert(1)>\"'&\u202e]]>"
    door.count(name, {name: name}, {name: 1})
    for size in ("small", "full"):
        text = door.get("/plot.svg", pk=name, dimensions=json.dumps([name]), depth=1, size=size).text
        assert "<img" not in text
        ElementTree.fromstring(text)
    ElementTree.fromstring(door.get("/plot.svg", pk="shop", title=EVIL.replace("\x00", ""), size="full").text)


# tags and tables


def test_a_tag_without_keys_names_what_it_shows(door: Door) -> None:
    tag = door.whale.graph_tag("shop", "country", "orders/visits", {"period": "seven", "title": "a\"'<b>"})
    found = re.fullmatch('<script src="([^"<>]*)" async></script>', tag)
    assert found
    url = urlsplit(found[1].replace("&amp;", "&").replace("&quot;", '"').replace("&#x27;", "'"))
    assert (url.scheme, url.netloc, url.path) == ("http", "127.0.0.1:8086", "/graph.js")
    assert {name: values[0] for name, values in parse_qs(url.query).items()} == {
        "pk": '["shop"]',
        "dimensions": '[["country"]]',
        "metrics": '["orders/visits"]',
        "area": "true",
        "depth": "1",
        "period": "seven",
        "title": "a\"'<b>",
    }


def test_a_tag_where_keys_are_set_has_a_share_and_no_key() -> None:
    keys = {"write_key": "w" * 16, "read_key": "r" * 16, "admin_key": "a" * 16}
    door = Door(secret="s" * 32, **keys)
    door.count("shop", {"country": "US"}, {"orders": 1})
    extra = {"period": "seven", "tz": "Europe/Berlin", "height": 200}
    tag = door.whale.graph_tag("shop", "country", "orders", extra, "https://counts.example", days=7)
    assert not any(key in tag for key in (*keys.values(), "s" * 32))
    found = re.fullmatch(
        r'<script src="https://counts\.example/graph\.js\?share=([^"&]+)&amp;area=true&amp;depth=1&amp;height=200" async></script>',
        tag,
    )
    assert found
    _, share = share_of(found[1], door.settings, "default")
    assert (share.pk, share.paths, share.metrics, share.period, share.drill, share.expires) == (
        ("shop",), (("country",),), ("orders",), "seven|Europe/Berlin", True, int(NOW) + 7 * 86_400,
    )  # fmt: skip
    flat = door.whale.graph_tag("shop", "country", "orders", {"depth": 0})
    assert share_of(flat.partition("share=")[2].partition("&")[0], door.settings, "default")[1].drill is False
    with pytest.raises(CallerError, match="extra: .*compare"):
        door.whale.graph_tag("shop", extra={"compare": "previous"})


@pytest.mark.parametrize("extra", [{"onload": "alert(1)"}, ["period"], "period", 5])
def test_an_option_that_no_graph_has_is_refused(door: Door, extra: Any) -> None:
    with pytest.raises(CallerError, match="extra: expected"):
        door.whale.graph_tag("shop", extra=extra)


def test_a_table_has_a_row_for_each_bucket_as_people_and_as_programs_read_it(door: Door) -> None:
    html = door.whale.render_hw_plotpoint_table("shop", "orders/visits", period="last_1d")
    assert html == (
        '<table data-hw-pk="shop" data-hw-name="shop" data-hw-dimension="_" data-hw-metric="orders/visits">\n'
        "<caption>orders/visits of shop</caption>\n"
        '<thead><tr><th scope="col">time</th><th scope="col">orders/visits</th></tr></thead>\n'
        '<tbody>\n<tr><th scope="row" data-hw-at="1434412800000">16 Jun 2015</th><td data-hw-value="0.2">20%</td></tr>\n</tbody>\n'
        "</table>\n"
    )
    hidden = door.whale.render_hw_plotpoint_table("shop", "orders", "country", "seven", hidden=True, graph_color="#123")
    assert hidden.startswith(
        '<table data-hw-pk="shop" data-hw-name="country" data-hw-dimension="country" data-hw-metric="orders"'
    )
    assert 'data-hw-color="#123" hidden>' in hidden
    assert hidden.count("<tr>") == 1 + 8


def test_a_table_escapes_whatever_was_counted_or_asked(door: Door) -> None:
    name = "<img src=x onerror=alert(1)>\"'&"
    door.count(name, {name: name}, {name: 1})
    html = door.whale.render_hw_plotpoint_table(name, f"`{name}`", [name], "today", graph_color=name)
    assert "<img" not in html
    assert ElementTree.fromstring(html).attrib["data-hw-color"] == name


@pytest.mark.parametrize(
    ("way", "number", "text"),
    [
        ("int", 1234.5, "1234"),
        ("float", 1234.567, "1234.57"),
        ("grouped", 1234567, "1,234,567"),
        ("grouped", 1234.5, "1,234.5"),
        ("pct", 0.256, "26%"),
        ("pct", 3.7, "101%"),
        ("cash", 1234.5, "$1,234.50"),
        ("cash", -3, "-$3.00"),
        ("cents", 1234, "$12.34"),
    ],
)
def test_numbers_of_a_table_are_written_as_they_were(way: str, number: float, text: str) -> None:
    assert FORMATS[way](number) == text


def test_a_format_that_no_table_has_is_refused(door: Door) -> None:
    with pytest.raises(CallerError, match="format: expected int, float, grouped, pct, cash, cents, got '<b>'"):
        door.whale.render_hw_plotpoint_table("shop", "orders", format="<b>")
    assert load({}).secret == ""
