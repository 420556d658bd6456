"""A stretch of the chart, dragged and explained."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_breakdown import count, visits
from tests.browser.visits import check_keyboard, check_looks

BROKE = 5  # days ago
DIRECT = (38, 47, 35, 44, 41, 36, 45, 39, 42, 37, 46, 40, 43, 34)  # orders a day


@pytest.fixture(scope="session")
def broken(embedded: Site) -> str:
    """Fourteen days of three sources, of which one broke and one came five days ago."""
    pk = "compare shop"
    hits = []
    for day in range(1, 15):
        hits.append(visits(pk, ["source", "direct"], 1000, DIRECT[day - 1], day))
        hits.append(visits(pk, ["source", "mail", "spring"], 1000, 60 if day > BROKE else 6, day))
        hits.append(visits(pk, ["country", "US"], 2000, 90, day))
        if day <= BROKE:
            hits.append(visits(pk, ["source", "<b>new</b>"], 40, 2, day))
    count(embedded, hits)
    return pk


def day(days_ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days_ago)).date().isoformat()


def opened(page: Page, site: Site, pk: str, **state: str) -> None:
    page.goto(f"{site.whale}/?{urlencode({'pk': pk, 'metric': 'orders/visits', **state})}")
    expect(page.locator('#main [aria-busy="true"]')).to_have_count(0)


def stretch(page: Page) -> str:
    return parse_qs(urlsplit(page.url).query)["range"][0]


def test_a_drag_over_a_dip_explains_it(page: Page, embedded: Site, broken: str) -> None:
    opened(page, embedded, broken, period="last_14d")
    box = page.locator(".u-over").bounding_box()
    assert box
    step = box["width"] / 13
    page.mouse.move(box["x"] + step * 8.8, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + step * 11, box["y"] + 90, steps=4)
    page.mouse.move(box["x"] + step * 13, box["y"] + 90, steps=4)
    page.mouse.up()
    expect(page.get_by_role("heading", name="What explains the change")).to_be_visible()
    assert stretch(page) == f"{day(BROKE)}..{day(0)}"
    table = page.locator("table", has=page.locator("caption", has_text="Source"))
    expect(table.get_by_role("row", name="mail")).to_have_class("sure")
    expect(table.get_by_role("row", name="direct")).to_have_class("chance")
    expect(table.get_by_role("row", name="<b>new</b>")).to_contain_text("came")
    page.go_back()
    expect(page.get_by_role("region", name="Totals")).to_be_visible()


def test_a_stretch_is_chosen_by_keys_alone(page: Page, embedded: Site, broken: str) -> None:
    opened(page, embedded, broken, period="last_14d")
    page.locator(".plot").focus()
    page.keyboard.press("End")
    for _ in range(BROKE - 1):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What explains the change")).to_be_visible()
    assert stretch(page) == f"{day(BROKE)}..{day(0)}"
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="Totals")).to_be_visible()


def test_parts_add_up_to_the_change(page: Page, embedded: Site, broken: str) -> None:
    opened(page, embedded, broken, view="compare", range=f"{day(BROKE)}..{day(0)}", metric="orders")
    for table in page.locator("table.explains").all():
        parts = table.locator("tbody td:last-child").evaluate_all("cells => cells.map((cell) => cell.title)")
        numbers = [float(text.replace("\u202f", "").replace("−", "-")) for text in parts]
        whole = table.locator("tfoot td:last-child").get_attribute("title") or ""
        assert sum(numbers) == float(whole.replace("\u202f", "").replace("−", "-"))
        assert len(numbers) >= 1


def test_parts_of_any_name_are_taken_along_as_csv(page: Page, embedded: Site, unique: str, tmp_path: Path) -> None:
    odd = 'plan, "B"'
    count(embedded, [visits(unique, [odd, odd], 1000, 60, days_ago) for days_ago in (1, 2, 3)])
    opened(page, embedded, unique, view="compare", range=f"{day(2)}..{day(0)}", metric="orders")
    page.locator("#parts-tools").click()
    with page.expect_download() as download:
        page.locator("#parts").get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "parts.csv")
    table = list(csv.reader((tmp_path / "parts.csv").open(newline="")))
    assert [odd, odd] in [row[:2] for row in table]


def test_the_line_for_a_terminal_gives_the_same_answer(page: Page, embedded: Site, broken: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, embedded, broken, view="compare", range=f"{day(BROKE)}..{day(0)}")
    with page.expect_response(lambda response: "/factors?" in response.url) as asked:
        page.reload()
    page.locator("#parts-tools").click()
    page.locator("#parts").get_by_role("button", name="Copy curl").click()
    line = page.evaluate("navigator.clipboard.readText()")
    fields = [part.strip().strip("'").partition("=") for part in line.split("--data-urlencode ")[1:]]
    again = requests.get(
        f"{embedded.whale}/factors", {name: value.strip("' \\\n") for name, _, value in fields}, timeout=20
    )
    assert again.json() == asked.value.json()


def test_without_a_change_it_says_so(page: Page, embedded: Site, broken: str) -> None:
    opened(page, embedded, broken, view="compare", range="2015-01-01..2015-01-05")
    expect(page.locator("#parts .state")).to_be_visible()


def test_everyone_can_read_it(page: Page, embedded: Site, broken: str) -> None:
    opened(page, embedded, broken, view="compare", range=f"{day(BROKE)}..{day(0)}")
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    assert check_keyboard(page)[0] == "Skip to the numbers"
