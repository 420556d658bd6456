"""The chart of the overview: its axes, and each of its options beside the numbers that the API answers."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_breakdown import count, visits
from tests.browser.test_budgets import SHIFT, WATCH_SHIFTS
from tests.browser.visits import check_looks

THIN = "\u202f"
TICKS = """([values, metric]) => import(document.querySelector('script[type=module]').src.replace('main.js', 'format.js'))
  .then(({ ticks }) => ticks(values, metric))"""


AXES: list[tuple[list[float], dict[str, str], str]] = [
    ([0, 5000, 10_000], {"unit": "count"}, "0, 5 k, 10 k"),
    ([0, 5e5, 1e6, 1.5e6], {"unit": "count"}, "0.0, 0.5 M, 1.0 M, 1.5 M"),
    ([-500, 0, 500, 1000], {"unit": "count"}, "−500, 0, 500, 1 000"),
    ([998.5, 999, 999.5, 1000], {"unit": "number"}, "998.5, 999.0, 999.5, 1 000.0"),
    ([0, 50, 100, 150], {"unit": "money", "currency": "USD"}, "$0, $50, $100, $150"),
    ([0, 0.5, 1, 1.5], {"unit": "money", "currency": "EUR"}, "€0.00, €0.50, €1.00, €1.50"),
    ([0, 2500, 5000, 7500, 10_000], {"unit": "money"}, "0.0, 2.5 k, 5.0 k, 7.5 k, 10.0 k"),
    ([0, 0.5, 1, 1.5], {"unit": "seconds"}, "0.0 s, 0.5 s, 1.0 s, 1.5 s"),
    ([0, 30, 60, 90], {"unit": "seconds"}, "0 s, 30 s, 1 min, 1 min 30 s"),
    ([0, 7200, 86_400], {"unit": "seconds"}, "0 s, 2 h, 1 d"),
    ([0, 5e5, 1e6, 1.5e6], {"unit": "bytes"}, "0.0 MB, 0.5 MB, 1.0 MB, 1.5 MB"),
    ([0.02, 0.025, 0.03], {"unit": "share"}, "2.0 %, 2.5 %, 3.0 %"),
    ([0, 0.2, 0.4, 0.6000000000000001], {"unit": "times"}, "0.0 ×, 0.2 ×, 0.4 ×, 0.6 ×"),
]


def test_ticks_of_one_axis_have_the_same_number_of_decimals(page: Page, embedded: Site) -> None:
    page.goto(embedded.whale)
    for values, metric, shown in AXES:
        ticks = page.evaluate(TICKS, [values, metric])
        assert ", ".join(ticks).replace(THIN, " ") == shown
        assert len({len((re.findall(r"\.(\d+)", text) or [""])[0]) for text in ticks}) == 1


DAYS, SOURCES = 14, 13
PERIOD = f"last_{DAYS}d"


@pytest.fixture(scope="session")
def sold(embedded: Site) -> str:
    """Two weeks of thirteen sources, each larger than the next one."""
    pk = "chart shop"
    several = [(source, day) for source in range(SOURCES) for day in range(1, DAYS + 1)]
    count(
        embedded,
        [
            visits(pk, ["source", f"s{s:02}"], 100 * (SOURCES - s) + 7 * day, (3 * s + day) % 11, day)
            for s, day in several
        ],
    )
    return pk


def opened(page: Page, site: Site, pk: str, **state: str) -> None:
    page.goto(f"{site.whale}/?{urlencode({'pk': pk, 'period': PERIOD, 'metric': 'visits', **state})}")
    stands(page)


def stands(page: Page) -> None:
    expect(page.locator("#chart canvas")).to_be_visible()
    expect(page.locator('#main [aria-busy="true"]')).to_have_count(0)


def table(page: Page) -> tuple[list[str], list[list[float | None]]]:
    """The names of the columns, and the numbers of each bucket."""
    if not page.locator("#chart-more table").is_visible():
        page.keyboard.press("j")
    head, *body = page.locator("#chart-more table").evaluate(
        "it => [...it.rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    plain = [[text.replace(THIN, "").replace("−", "-") for text in row[1:]] for row in body]
    return head[1:], [[None if text == "–" else float(text) for text in row] for row in plain]


def told(site: Site, pk: str, *metrics: str, **question: Any) -> list[dict[str, list[float]]]:
    """The numbers of each path by metric, as /plotpoints has them."""
    asked = {
        "pk": pk,
        "metrics": json.dumps(metrics),
        "period": PERIOD,
        "paths": "list",
        "undefined": "null",
        **question,
    }
    answer = requests.get(f"{site.whale}/plotpoints", asked, timeout=20).json()
    return [{name: [v for _, v in points] for name, points in row["metrics"].items()} for row in answer]


def by_source(site: Site, pk: str, *metrics: str) -> list[dict[str, list[float]]]:
    return told(site, pk, *metrics, dimensions="source", depth=1, limit=SOURCES, sort="-visits")


def near(numbers: Any) -> Any:
    return pytest.approx(numbers, rel=1e-9)


def test_the_ten_largest_values_and_other_add_up_to_all(page: Page, embedded: Site, sold: str) -> None:
    opened(page, embedded, sold, split="source")
    whole, *below = by_source(embedded, sold, "visits", "orders")
    names, numbers = table(page)
    assert names == [*(f"s{s:02}" for s in range(10)), "other", "All"]
    for i, row in enumerate(numbers):
        assert row[:10] == [each["visits"][i] for each in below[:10]]
        assert sum(filter(None, row[:11])) == row[11] == whole["visits"][i]
    page.goto(page.url.replace("metric=visits", "metric=orders%2Fvisits") + "&top=4")
    stands(page)
    names, numbers = table(page)
    assert names == ["s00", "s01", "s02", "s03", "other", "All"]
    rest = below[4:]
    for i, row in enumerate(numbers):
        assert row[0] == near(below[0]["orders"][i] / below[0]["visits"][i])
        assert row[4] == near(sum(each["orders"][i] for each in rest) / sum(each["visits"][i] for each in rest))


def test_where_values_overlap_or_are_no_sums_there_is_no_other_and_no_stack(
    page: Page, embedded: Site, sold: str, unique: str
) -> None:
    both = {"pk": unique, "dimensions": {"tag": {"a": {}, "b": {}}}, "metrics": {"hits": 1, "visits": 3}}
    count(embedded, [both, {**both, "dimensions": {"tag": "a"}}])
    opened(page, embedded, unique, split="tag", chart="stacked,shares", period="today")
    assert table(page)[0] == ["a", "b"]
    expect(page.locator("#chart h2")).to_contain_text("by tag · shares · not stacked · values overlap")
    opened(page, embedded, sold, split="source", metric="(orders+hits)/visits", top="2", chart="running")
    assert table(page)[0] == ["s12", "s11", "All"]  # by the formula itself
    expect(page.locator("#chart h2")).to_contain_text("by source · not running total")


def test_a_range_that_ends_later_than_now_is_drawn_until_now(page: Page, embedded: Site, sold: str) -> None:
    days = [(datetime.now(UTC) + timedelta(ahead)).date().isoformat() for ahead in (-1, 1)]
    began = datetime.now(UTC).hour
    opened(page, embedded, sold, period="", range="..".join(days), split="source", compare="none")
    assert len(table(page)[1]) - 25 in (began, datetime.now(UTC).hour)


def test_shares_are_parts_of_the_whole_and_the_picture_has_the_lines_of_the_chart(
    page: Page, embedded: Site, sold: str, tmp_path: Path
) -> None:
    opened(page, embedded, sold, split="source", chart="stacked,shares", top="3")
    whole, *below = by_source(embedded, sold, "visits")
    names, numbers = table(page)
    assert names == ["s00", "s01", "s02", "other"]
    for i, row in enumerate(numbers):
        assert row[:3] == near([each["visits"][i] / whole["visits"][i] for each in below[:3]])
        assert sum(filter(None, row)) == near(1)
    page.locator("#chart-tools").click()
    with page.expect_download() as download:
        page.locator("#chart").get_by_role("button", name="SVG").click()
    assert download.value.suggested_filename == "Visits, by source, stacked, shares.svg"
    download.value.save_as(tmp_path / "chart.svg")
    picture = ElementTree.parse(tmp_path / "chart.svg").getroot()
    texts = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[-4:] == names
    assert {"0\u202f%", "100\u202f%", "Visits, by source, stacked, shares"} <= set(texts)
    fills = [each.get("fill") for each in picture.iter("{http://www.w3.org/2000/svg}path") if each.get("fill-opacity")]
    assert fills == ["#6b7680", "#6b4fb3", "#c2571a", "#0b66c3"]  # the uppermost first


def test_a_moving_average_is_sum_over_sum_and_a_running_total_ends_at_the_total(
    page: Page, embedded: Site, sold: str
) -> None:
    (plain,) = told(embedded, sold, "visits", "orders")
    opened(page, embedded, sold, metric="orders/visits", chart="ma7")
    names, numbers = table(page)
    assert names == ["Orders per visit", "Before"]
    for i, row in enumerate(numbers):
        seven = slice(max(0, i - 6), i + 1)
        assert row[0] == near(sum(plain["orders"][seven]) / sum(plain["visits"][seven]))
    opened(page, embedded, sold, chart="running,area")
    expect(page.locator("#chart h2")).to_contain_text("running total")
    _, numbers = table(page)
    assert [row[0] for row in numbers] == [sum(plain["visits"][: i + 1]) for i in range(len(numbers))]


def test_other_metrics_are_drawn_beside_it_and_one_on_an_axis_of_its_own(page: Page, embedded: Site, sold: str) -> None:
    opened(page, embedded, sold, also="orders,hits", second="orders/visits")
    (plain,) = told(embedded, sold, "visits", "orders", "hits", "orders/visits")
    names, numbers = table(page)
    assert names == ["Visits", "Orders", "Hits", "Orders per visit"]
    for i, row in enumerate(numbers):
        assert row == near([each[i] for each in plain.values()])
    expect(page.locator("#chart .legend")).to_contain_text("Orders per visit")
    assert len({key.get_attribute("d") for key in page.locator(".legend path").all()}) == 1
    dashes = [key.get_attribute("stroke-dasharray") for key in page.locator(".legend path").all()]
    assert len(set(dashes)) == 4


def test_options_are_chosen_by_keys_alone_and_those_without_sense_are_not_offered(
    page: Page, embedded: Site, sold: str
) -> None:
    opened(page, embedded, sold, compare="none")
    page.locator("#chart-options").focus()
    page.keyboard.press("Enter")
    lines = page.get_by_label("Lines", exact=True)
    expect(lines).to_be_visible()
    page.keyboard.press("Tab")
    expect(lines).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page).to_have_url(re.compile("split=source"))
    stands(page)
    expect(lines).to_be_focused()
    page.get_by_label("Drawn as").select_option("stacked")
    expect(page).to_have_url(re.compile("chart=stacked"))
    stands(page)
    expect(page.get_by_label("Second axis")).to_have_count(0)
    page.get_by_label("Numbers").select_option("running")
    expect(page).to_have_url(re.compile("chart=stacked%2Crunning"))
    page.keyboard.press("Escape")
    expect(lines).to_be_hidden()
    page.goto(page.url.replace("metric=visits", "metric=orders%2Fvisits"))
    stands(page)
    expect(page.locator("#chart h2")).to_contain_text("not stacked · not running total")
    page.locator("#chart-options").click()
    expect(page.get_by_label("Lines", exact=True)).to_be_visible()
    expect(page.get_by_label("Drawn as")).to_have_count(0)
    assert page.get_by_label("Numbers").locator("option").all_inner_texts() == ["of each bucket", "mean of 7 buckets"]
    page.get_by_role("button", name="One plain line").click()
    expect(page).not_to_have_url(re.compile("split=|chart="))


def test_an_option_that_is_not_known_is_named(page: Page, embedded: Site, sold: str) -> None:
    opened(page, embedded, sold, chart="stacked,pie", top="99", split="nothing", second="nope")
    for words in ("chart=pie, top=99.", "nothing was never counted.", "The metric nope was never counted."):
        expect(page.locator("#notice")).to_contain_text(words)


GROUND = """([day, days]) => {
  const [canvas, over] = ['canvas', '.u-over'].map((name) => document.querySelector(`#chart ${name}`))
  const [left, wide] = [over.offsetLeft + (over.clientWidth * day) / (days - 1), canvas.width / canvas.clientWidth]
  return [...canvas.getContext('2d').getImageData(left * wide, (over.offsetTop + over.clientHeight - 4) * wide, 1, 1).data]
}"""


def test_from_an_option_that_is_refused_the_menu_leads_back(
    page: Page, faults: list[str], embedded: Site, sold: str
) -> None:
    opened(page, embedded, sold, also="orders")
    expect(page.locator("#chart .legend")).to_contain_text("Orders")
    page.locator("#chart-options").click()
    page.get_by_label("Second axis").select_option("hits")
    expect(page).to_have_url(re.compile("second=hits"))
    page.goto(page.url.replace("second=hits", "second=orders%2F%2F"))
    expect(page.locator("#chart .formula")).to_have_text(re.compile(r"orders//\n +\^"))
    expect(page.locator("#chart .legend")).to_be_empty()
    page.locator("#chart-options").click()
    page.get_by_role("button", name="One plain line").click()
    stands(page)
    assert all(fault.startswith("answered with 400") for fault in faults)
    faults.clear()


def test_week_ends_are_faint_if_so_wished(page: Page, embedded: Site, sold: str) -> None:
    last = datetime.now(UTC)
    days = [(last - timedelta(DAYS - i)).weekday() for i in range(DAYS)]
    shades = []
    for chart in ("", "nights"):
        opened(page, embedded, sold, chart=chart, compare="none")
        shades.append([page.evaluate(GROUND, [i, DAYS]) for i in range(1, DAYS - 1)])
    plain, faint = shades
    differs = [before != after for before, after in zip(plain, faint, strict=True)]
    assert differs == [day >= 5 for day in days[1:-1]]


def test_everyone_can_read_a_chart_of_many_lines_and_its_menu_and_nothing_moves(
    page: Page, embedded: Site, sold: str
) -> None:
    page.add_init_script(WATCH_SHIFTS)
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        opened(page, embedded, sold, split="source", chart="stacked")
        assert sum(shift for shift, *_ in page.evaluate("window.shifts")) <= SHIFT, page.evaluate("window.shifts")
    page.locator("#chart-options").click()
    expect(page.get_by_label("Numbers")).to_be_visible()
    check_looks(page)
