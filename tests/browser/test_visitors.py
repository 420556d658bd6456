"""The views of visitors of a site: who came, what happened, what one visitor did; their export and their erasure."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import served
from tests.browser.shoppers import did, site_of, usual
from tests.browser.test_shell import opened, settled
from tests.browser.visits import check_keyboard, check_looks
from whale.client import Whale

NASTY = "<img src=x onerror=alert(1)>/\u202eabc"


@pytest.fixture
def whale() -> Whale:
    whale = site_of()
    did(whale, usual())
    return whale


@pytest.fixture
def address(page: Page, whale: Whale) -> Iterator[str]:
    with served(page, whale) as found:
        yield found


def asked(address: str, route: str, **parameters: Any) -> Any:
    return requests.get(f"{address}/{route}", {"pk": "shop", **parameters}, timeout=20).json()


def row(page: Page, card: str, name: str) -> Locator:
    return page.locator(f"#{card}").get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))


def cells(page: Page, card: str, name: str) -> list[str]:
    return row(page, card, name).get_by_role("cell").all_inner_texts()


def csv_of(page: Page, card: str) -> list[str]:
    page.locator(f"#{card}-tools").click()
    with page.expect_download() as download:
        page.locator(f"#{card}").get_by_role("button", name="CSV").click()
    return download.value.path().read_text().splitlines()


def test_every_number_of_the_page_is_one_of_an_answer(page: Page, address: str) -> None:
    opened(page, address, view="visitors")
    found = asked(address, "visitors", period="30d")
    for name in ("visitors", "new", "returning"):
        expect(page.locator(f"#tile-{name} .big")).to_have_text(str(found[name]))
    for event in asked(address, "events", period="30d")["events"]:
        assert cells(page, "events", event["event"])[:2] == [str(event["times"]), str(event["visitors"])]
    assert csv_of(page, "chart")[1:] == [
        f"{each['label']},{each['visitors']},{each['before']}" for each in labelled(found["points"])
    ]


def labelled(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Nobody came in the days before, so all of these are 0."""
    return [
        {
            **point,
            "label": datetime.fromisoformat(point["at"]).strftime("%a %-d %b").replace("Sep", "Sept"),
            "before": 0,
        }
        for point in points
    ]


def test_a_number_is_chosen_by_a_click_or_a_key_and_stands_in_the_address(page: Page, address: str) -> None:
    opened(page, address, view="visitors")
    page.keyboard.press("2")
    expect(page).to_have_url(re.compile("show=new"))
    expect(page.locator("#chart-title")).to_have_text("New")
    page.locator("#tile-returning").click()
    expect(page.locator("#chart-title")).to_have_text("Came back")
    page.go_back()
    expect(page.locator("#chart-title")).to_have_text("New")
    page.reload()
    expect(page.locator("#tile-new")).to_have_attribute("aria-pressed", "true")


def test_a_property_is_chosen_and_its_rows_close(page: Page, address: str) -> None:
    opened(page, address, view="visitors")
    assert cells(page, "properties", "free")[1] == "14"
    page.get_by_label("Property", exact=True).select_option("source")
    expect(row(page, "properties", "mail")).to_contain_text("20")
    expect(page).to_have_url(re.compile("property="))
    assert csv_of(page, "properties") == ["source,Visitors", "mail,20", "search,20"]
    page.get_by_label("Property", exact=True).select_option("price, of events")
    expect(row(page, "properties", "5")).to_contain_text("1")


def test_the_views_of_visitors_lead_to_each_other_and_a_key_opens_them(page: Page, address: str) -> None:
    opened(page, address)
    page.keyboard.press("u")
    settled(page)
    expect(page.get_by_role("link", name="Visitors").first).to_have_attribute("aria-current", "page")
    page.get_by_role("navigation", name="About visitors").get_by_role("link", name="Funnels").click()
    settled(page)
    expect(page.locator("#view-visitors")).to_have_attribute("aria-current", "true")
    page.keyboard.press("u")
    settled(page)
    page.locator("#events").get_by_role("link", name="product").click()
    expect(page.get_by_role("list").filter(has_text="product")).to_be_visible()
    expect(page).to_have_url(re.compile("view=funnels.*steps="))


def test_a_pk_without_a_log_says_how_to_make_one(page: Page, faults: list[str], whale: Whale, address: str) -> None:
    whale.count_now("other")
    for view in ("visitors", "funnels", "visitor&visitor=ann"):
        page.goto(f"{address}/?pk=other&view={view}")
        expect(page.get_by_role("heading", name="No log of visitors")).to_be_visible()
        expect(page.get_by_text("event=visit")).to_be_visible()
    check_looks(page)
    assert faults
    assert all("answered with 404" in fault for fault in faults)
    faults.clear()
    page.goto(f"{address}/?pk=shop&view=visitors")
    expect(page.locator("#tile-visitors .big")).to_have_text("40")


def test_an_empty_log_is_told_as_such(page: Page) -> None:
    whale = site_of()
    whale.count_now("shop")
    with served(page, whale) as address:
        opened(page, address, view="visitors")
        expect(page.get_by_text("No event was logged in this period.")).to_be_visible()
        expect(page.get_by_text("No hit said a property yet.")).to_be_visible()
        expect(page.locator("#tile-visitors .big")).to_have_text("0")
        check_looks(page)


@pytest.mark.parametrize("view", ["visitors", "visitor&visitor=visitor 0"])
def test_everyone_can_read_and_use_them(page: Page, address: str, view: str) -> None:
    page.goto(f"{address}/?pk=shop&view={view}")
    settled(page)
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.reload()
    settled(page)
    assert "Show" in check_keyboard(page)


def test_who_came_last_is_listed_and_opens(page: Page, whale: Whale, address: str) -> None:
    did(whale, [(NASTY, 0.01, "basket", {})])
    opened(page, address, view="visitors")
    found = asked(address, "visitors/recent", limit=8)["rows"]
    shown = page.locator("#seen li")
    assert shown.locator(".badge").all_inner_texts() == [each["event"] for each in found]
    assert [line.split(",")[-1] for line in csv_of(page, "seen")[1:]] == [each["event"] for each in found]
    assert found[0]["visitor"] == NASTY
    shown.first.get_by_role("link").click()
    settled(page)
    assert parse_qs(urlsplit(page.url).query)["visitor"] == [NASTY]
    expect(page.locator("#deeds li")).to_have_count(1)


# one visitor


def test_a_visitor_is_found_by_an_id_and_has_a_timeline(page: Page, address: str) -> None:
    opened(page, address, view="visitors")
    page.get_by_label("Id of a visitor").fill(" visitor 0 ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Visitor visitor 0")).to_be_visible()
    found = asked(address, "visitor/visitor 0")
    shown = page.locator("#deeds li")
    assert shown.locator("b").all_inner_texts() == [event["event"] for event in found["events"]]
    assert shown.locator("time").evaluate_all("all => all.map(each => each.dateTime)") == [
        event["at"] for event in found["events"]
    ]
    expect(shown.filter(has_text="order")).to_contain_text("price 5")
    expect(row(page, "properties", "plan")).to_contain_text("free")
    assert len(csv_of(page, "deeds")) == 1 + len(found["events"])


def test_earlier_events_are_named_and_shown(page: Page, whale: Whale, address: str) -> None:
    did(whale, [("busy", 1 + n / 1000, "visit", {}) for n in range(130)])
    opened(page, address, view="visitor", visitor="busy")
    expect(page.get_by_text("30 earlier events are not shown.")).to_be_visible()
    page.get_by_role("link", name="Show more").click()
    expect(page.locator("#deeds li")).to_have_count(130)


def test_all_that_is_kept_can_be_taken_along(page: Page, whale: Whale, address: str) -> None:
    did(whale, [(NASTY, 1, "visit", {"name": NASTY})])
    opened(page, address, view="visitor", visitor=NASTY)
    assert page.locator("#main img").count() == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename.endswith(".json")
    taken = json.loads(download.value.path().read_text())
    assert [taken["visitor"], taken["properties"][0]["value"]] == [NASTY, NASTY]


def test_a_visitor_is_erased_after_a_question(page: Page, faults: list[str], address: str) -> None:
    opened(page, address, view="visitor", visitor="visitor 0")
    page.get_by_role("button", name="Erase").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert asked(address, "visitor/visitor 0")["visitor"] == "visitor 0"
    page.get_by_role("button", name="Erase").click()
    check_looks(page)
    page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    expect(page.get_by_text("visitor 0 is erased.")).to_be_visible()
    expect(page.get_by_text("Nobody is known by this id")).to_be_visible()
    assert asked(address, "visitor/visitor 0")["status"] == 404
    page.get_by_label("Id of a visitor").fill("visitor 1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is erased")).to_have_count(0)
    assert all("answered with 404" in fault for fault in faults)
    faults.clear()
