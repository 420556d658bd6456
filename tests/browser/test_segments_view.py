"""The view of segments: sets of visitors are picked, and each region that they make has its row; the rows close."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import served
from tests.browser.shoppers import did, site_of, usual
from tests.browser.test_shell import opened, settled
from tests.browser.test_visitors import asked, cells, csv_of
from tests.browser.visits import check_keyboard, check_looks
from whale.client import Whale


@pytest.fixture
def whale() -> Whale:
    whale = site_of()
    did(whale, usual())
    return whale


@pytest.fixture
def address(page: Page, whale: Whale) -> Iterator[str]:
    with served(page, whale) as found:
        yield found


def sets_of(page: Page) -> list[dict[str, Any]]:
    return list(json.loads(parse_qs(urlsplit(page.url).query).get("sets", ["[]"])[0]))


def overlap(address: str, *sets: dict[str, Any]) -> dict[str, Any]:
    return dict(asked(address, "overlap", period="30d", sets=json.dumps(sets)))


def regions(page: Page) -> dict[tuple[int, ...], int]:
    """By the places of the sets."""
    rows = [line.split(",") for line in csv_of(page, "regions")[1:]]
    return {tuple(i for i, each in enumerate(marks) if each == "in"): int(visitors) for *marks, visitors in rows}


def test_every_region_is_one_of_the_answer_and_they_close(page: Page, address: str) -> None:
    opened(page, address)
    page.keyboard.press("s")
    settled(page)
    assert page.locator("#sets .event").all_inner_texts() == ["visit", "product", "basket"]
    found = overlap(address, {"event": "visit"}, {"event": "product"}, {"event": "basket"})
    assert regions(page) == {tuple(each["in"]): each["visitors"] for each in found["regions"]}
    assert sum(regions(page).values()) == found["visitors"] == 40
    assert cells(page, "regions", "visit and product and basket")[4] == "10"
    expect(page.locator("#regions")).to_contain_text("25.0\u202f% of 40 visitors are in all 3 sets.")
    expect(page.locator("#regions dl")).to_contain_text("product 20")


def test_sets_are_made_of_events_properties_sessions_and_beginners(page: Page, address: str) -> None:
    opened(page, address, view="segments")
    page.get_by_role("button", name="Begin anew").click()
    expect(page.get_by_text("No set yet.")).to_be_visible()
    page.get_by_role("button", name=re.compile(r"^\+ order")).click()
    settled(page)
    form = page.get_by_role("dialog")
    page.get_by_role("button", name="+ a property…").click()
    form.get_by_label("Property").select_option("plan")
    form.get_by_label("Condition").select_option("is not")
    form.get_by_label("Value", exact=True).fill("pro")
    form.get_by_role("button", name="Add").click()
    settled(page)
    page.get_by_role("button", name="+ a session…").click()
    form.get_by_label("Value", exact=True).fill("mail")
    form.get_by_role("button", name="Add").click()
    settled(page)
    page.get_by_role("button", name="+ who began…").click()
    form.get_by_label("With the event").select_option("visit")
    form.get_by_label("In the period").fill("30d")
    form.get_by_role("button", name="Add").click()
    settled(page)
    page.get_by_role("button", name="All but D").click()
    settled(page)
    sets = [
        {"event": "order"},
        {"property": "plan", "not": "pro"},
        {"session": "source", "is": "mail"},
        {"not": {"cohort": "visit", "period": "30d"}},
    ]
    assert sets_of(page) == sets
    assert page.locator("#sets .event").all_inner_texts() == [
        "order",
        "plan is not pro",
        "session’s source is mail",
        "not began with visit in the last 30 days",
    ]
    assert regions(page) == {tuple(each["in"]): each["visitors"] for each in overlap(address, *sets)["regions"]}
    page.get_by_role("button", name="Take out B").click()
    settled(page)
    page.go_back()
    settled(page)
    assert sets_of(page) == sets


def test_a_set_of_an_event_takes_conditions(page: Page, address: str) -> None:
    opened(page, address, view="segments", sets='[{"event":"order"}]')
    page.get_by_role("button", name="Add a condition to step 1").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Property").select_option("price, of the event")
    form.get_by_label("Value", exact=True).fill("5")
    form.get_by_role("button", name="Add").click()
    settled(page)
    assert sets_of(page) == [{"event": "order", "where": [{"property": "price", "is": 5, "when": "event"}]}]
    expect(page.locator("#regions")).to_contain_text("2.50\u202f% of 40 visitors: order (price is 5).")


def test_a_set_that_whale_refuses_is_told(page: Page, faults: list[str], address: str) -> None:
    opened(page, address, view="segments", sets='[{"event":"order"},{"cohort":"visit","period":"yesteryear"}]')
    expect(page.locator("#regions")).to_contain_text("yesteryear")
    page.get_by_role("button", name="Take out B").click()
    expect(page.locator("#regions")).to_contain_text("12.5\u202f% of 40 visitors: order.")
    assert faults
    assert all("answered with 400" in fault and "yesteryear" in fault for fault in faults)
    faults.clear()


def test_everyone_can_read_and_use_the_segments(page: Page, address: str) -> None:
    opened(page, address, view="segments")
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.reload()
    settled(page)
    assert "Begin anew" in check_keyboard(page)


# a segment as a filter


PRO = '{"property":"plan","is":"pro"}'


def test_all_views_are_about_a_segment_that_one_picks(page: Page, address: str) -> None:
    opened(page, address, view="visitors")
    page.locator("#segment").select_option("with a property…")
    form = page.get_by_role("dialog")
    form.get_by_label("Property").select_option("plan")
    form.get_by_label("Value", exact=True).fill("pro")
    form.get_by_role("button", name="Add").click()
    settled(page)
    assert parse_qs(urlsplit(page.url).query)["segment"] == [PRO]
    about = asked(address, "visitors", period="30d", segment=PRO)
    expect(page.locator("#tile-visitors .big")).to_have_text(str(about["visitors"]))
    sessions = asked(address, "sessions", period="30d", segment=PRO)
    expect(page.locator("#tile-sessions .big")).to_have_text(str(sessions["sessions"]))
    first = asked(address, "events", period="30d", segment=PRO)["events"][0]
    assert cells(page, "events", first["event"])[:2] == [str(first["times"]), str(first["visitors"])]
    assert cells(page, "properties", "pro")[1:] == [str(about["visitors"]), "100.0\u202f%"]
    nav = page.get_by_role("navigation", name="About visitors")
    nav.get_by_role("link", name="Funnels").click()
    settled(page)
    steps = '["visit","product","basket","order"]'
    found = asked(address, "funnel", period="30d", steps=steps, segment=PRO)["steps"]
    assert [int(line.split(",")[1]) for line in csv_of(page, "funnel")[1:]] == [step["visitors"] for step in found]
    nav.get_by_role("link", name="Retention").click()
    settled(page)
    cohorts = asked(address, "retention", segment=PRO)["cohorts"]
    assert cells(page, "retention", "All")[0] == str(sum(cohort["visitors"] for cohort in cohorts))
    nav.get_by_role("link", name="Paths").click()
    settled(page)
    assert sum(int(line.split(",")[1]) for line in csv_of(page, "next")[1:]) == first["times"]
    nav.get_by_role("link", name="Segments").click()
    settled(page)
    assert sum(regions(page).values()) == about["visitors"]
    page.locator("#segment").select_option("all visitors")
    settled(page)
    assert "segment=" not in page.url
    assert sum(regions(page).values()) == 40


def test_a_set_becomes_the_segment(page: Page, address: str) -> None:
    opened(page, address, view="segments", sets='[{"event":"order"},{"event":"visit"}]')
    page.get_by_role("link", name="Ask about A alone").click()
    settled(page)
    expect(page.locator("#tile-visitors .big")).to_have_text("5")
    expect(page.locator("#segment")).to_have_value('{"event":"order"}')
    check_looks(page)


def test_a_segment_that_whale_refuses_is_told(page: Page, faults: list[str], address: str) -> None:
    opened(page, address, view="visitors", segment="nobody")
    expect(page.locator("#main")).to_contain_text("segment: ")
    opened(page, address, view="visitors", segment='{"property":"plam","is":"pro"}')
    expect(page.locator("#main")).to_contain_text("plam")
    page.get_by_role("link", name="Ask about all visitors").click()
    expect(page.locator("#tile-visitors .big")).to_have_text("40")
    assert faults
    assert all("answered with 40" in fault for fault in faults)
    faults.clear()


def test_a_segment_is_saved_filters_by_its_name_and_is_deleted(page: Page, whale: Whale, address: str) -> None:
    opened(page, address, view="segments", sets=f'[{{"event":"visit"}},{PRO}]')
    page.get_by_role("button", name="Save B").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill("payers")
    form.get_by_role("button", name="Save").click()
    settled(page)
    assert [each["name"] for each in whale.segments("shop")] == ["payers"]
    assert sets_of(page) == [{"event": "visit"}, {"segment": "payers"}]
    assert regions(page) == {(0,): 27, (0, 1): 13}
    page.get_by_role("link", name="Ask about B alone").click()
    settled(page)
    assert parse_qs(urlsplit(page.url).query)["segment"] == ["payers"]
    expect(page.locator("#tile-visitors .big")).to_have_text("13")
    page.locator("#segment").select_option("all visitors")
    settled(page)
    page.locator("#segment").select_option("payers")
    settled(page)
    expect(page.locator("#tile-visitors .big")).to_have_text("13")
    opened(page, address, view="segments", sets='[{"segment":"payers"}]')
    page.get_by_role("button", name="Delete A").click()
    form.get_by_role("button", name="Delete").click()
    settled(page)
    assert whale.segments("shop") == []
