"""The views of sessions, retention and paths: each number is one of an answer, and stands in the address, a CSV and a line."""

import re
from collections.abc import Iterator
from datetime import datetime

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import served
from tests.browser.shoppers import did, site_of, usual
from tests.browser.test_shell import opened, settled
from tests.browser.test_visitors import asked, cells, csv_of, row
from tests.browser.visits import check_keyboard, check_looks
from whale.client import Whale


@pytest.fixture
def whale() -> Whale:
    """Beside the usual ones, four who came 16 days ago; one of them came back a week later."""
    whale = site_of()
    did(whale, usual())
    did(whale, [(f"old {number}", 16, "visit", {}) for number in range(4)])
    did(whale, [("old 0", 9, "visit", {})])
    return whale


@pytest.fixture
def address(page: Page, whale: Whale) -> Iterator[str]:
    with served(page, whale) as found:
        yield found


def test_sessions_are_tiles_and_are_split(page: Page, address: str) -> None:
    opened(page, address, view="visitors")
    found = asked(address, "sessions", period="30d", by="source")
    expect(page.locator("#tile-sessions .big")).to_have_text(str(found["sessions"]))
    page.locator("#tile-bounce_rate").click()
    expect(page.locator("#chart-title")).to_have_text("Bounce rate")
    for each in found["rows"]:
        name = "no source" if each["value"] is None else each["value"]
        assert cells(page, "sessions", name)[1] == str(each["sessions"])
    page.locator("#sessions").get_by_label("by").select_option("first event")
    expect(row(page, "sessions", "visit")).to_contain_text(str(found["sessions"]))
    assert "by=entry" in page.url
    assert csv_of(page, "sessions")[0] == "Entry,Sessions,Visitors,Bounces,Bounce rate,Median s,Mean s"


def test_who_comes_back_is_a_triangle(page: Page, address: str) -> None:
    opened(page, address)
    page.keyboard.press("r")
    settled(page)
    found = asked(address, "retention", count=12)
    began = [cohort for cohort in found["cohorts"] if cohort["visitors"]]
    lines = csv_of(page, "retention")[1:]
    for cohort, line in zip(began, lines, strict=True):
        assert line.split(",")[: 2 + len(cohort["kept"])] == [
            cohort["at"][:10],
            str(cohort["visitors"]),
            *map(str, cohort["kept"]),
        ]
        name = datetime.fromisoformat(cohort["at"]).strftime("%-d %b").replace("Sep", "Sept")
        shown = [text.split("\u202f")[0] for text in cells(page, "retention", name)]
        assert shown[0] == str(cohort["visitors"])
        percents = [str(int(100 * kept / cohort["visitors"] + 0.5)) for kept in cohort["kept"]]
        assert shown[1 : 1 + len(percents)] == percents
    open_ones = [cohort["open_from"] for cohort in began]
    assert page.locator(".so-far").count() == sum(
        len(cohort["kept"]) - place for cohort, place in zip(began, open_ones, strict=True) if place is not None
    )


def test_a_triangle_has_its_width_and_events(page: Page, address: str) -> None:
    opened(page, address, view="retention")
    page.get_by_role("button", name="Days").click()
    expect(page).to_have_url(re.compile("by=day"))
    settled(page)
    page.get_by_label("who began with").select_option("basket")
    settled(page)
    page.get_by_label("and came back for").select_option("visit")
    settled(page)
    page.get_by_label("the last").select_option("30")
    settled(page)
    found = asked(address, "retention", by="day", first="basket", again="visit", count=30)
    assert cells(page, "retention", "All")[0] == str(sum(cohort["visitors"] for cohort in found["cohorts"]))
    page.reload()
    expect(page.get_by_label("who began with")).to_have_value("basket")
    page.get_by_label("who began with").select_option("order")
    settled(page)
    page.get_by_label("the last").select_option("7")
    expect(page).to_have_url(re.compile("count=7"))
    page.go_back()
    page.go_back()
    expect(page.get_by_label("who began with")).to_have_value("basket")


def test_paths_lead_from_event_to_event(page: Page, address: str) -> None:
    opened(page, address)
    page.keyboard.press("p")
    settled(page)
    expect(page.get_by_label("around the event")).to_have_value("visit")
    for side in ("before", "next"):
        found = asked(address, "paths", period="30d", event="visit", direction=side)
        for each in found["rows"]:
            assert cells(page, side, each["event"])[1] == str(each["occurrences"])
        whole = [int(line.split(",")[1]) for line in csv_of(page, side)[1:]]
        assert sum(whole) == found["occurrences"]
    page.locator("#next").get_by_role("link", name="product").click()
    expect(page.get_by_label("around the event")).to_have_value("product")
    expect(page.locator("#before")).to_contain_text("100.0\u202f% of 20 times visit came before.")
    expect(page.locator("#next")).to_contain_text("50.0\u202f% of 20 times")
    page.go_back()
    expect(page.get_by_label("around the event")).to_have_value("visit")


def test_an_empty_log_has_neither_paths_nor_retention(page: Page) -> None:
    whale = site_of()
    whale.count_now("shop")
    with served(page, whale) as address:
        opened(page, address, view="paths")
        expect(page.get_by_text("No event was logged in this period.")).to_have_count(2)
        opened(page, address, view="retention")
        expect(page.get_by_text("Nobody began in this time.")).to_be_visible()
        opened(page, address, view="visitors")
        expect(page.get_by_text("No session began in this period.")).to_be_visible()


def test_an_event_that_was_never_logged_is_told(page: Page, faults: list[str], address: str) -> None:
    opened(page, address, view="paths", event="prodcut")
    expect(page.locator("#next")).to_contain_text("no event 'prodcut' was logged")
    opened(page, address, view="retention", first="prodcut")
    expect(page.locator("#retention")).to_contain_text("no event 'prodcut' was logged")
    assert all("answered with 404" in fault and "prodcut" in fault for fault in faults)
    faults.clear()


@pytest.mark.parametrize("view", ["retention", "paths"])
def test_everyone_can_read_and_use_them(page: Page, address: str, view: str) -> None:
    opened(page, address, view=view)
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.reload()
    settled(page)
    assert "Show" in check_keyboard(page)
