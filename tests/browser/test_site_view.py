"""The view of a site: who came, from where, with what, which pages they saw, and where buyers come from; filtered by a press."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import served
from tests.browser.shoppers import Deed, did, site_of
from tests.browser.test_budgets import WATCH_SHIFTS, check_still
from tests.browser.test_shell import opened, settled
from tests.browser.visits import Chromium, check_keyboard, check_looks
from whale.client import Whale

DAY = 86_400
SOURCES = ("news", "google", "direct", "partner")
BY = "source,page,country,device,event"


def deeds(people: int = 60) -> list[Deed]:
    """Each comes once, a minute apart from page to page. Of the news every second one buys, of the others every tenth."""
    found: list[Deed] = []
    for number in range(people):
        who, day, source = f"visitor {number}", number % 20 + 1.3, SOURCES[number % 4]
        said = {
            "source": source,
            "device": ("phone", "desktop", "desktop")[number % 3],
            "country": ("DE", "US")[number % 2],
        }
        if source == "news":
            said["campaign"] = "weekly"
        found.append((who, day, "pageview", {"page": "/", **said}))
        if number % 3:
            found.append((who, day - 60 / DAY, "pageview", {"page": f"/bikes/{number % 12}"}))
        if number % (8 if source == "news" else 10) == 0:
            found.append((who, day - 120 / DAY, "purchase", {"revenue": 20 + number}))
    return found


def counted(whale: Whale, some: list[Deed], nobody: int = 5) -> None:
    """Page views as totals know them, some of nobody."""
    now = time.time()
    for _, days_ago, event, properties in some:
        if event == "pageview":
            dimensions = {"page": properties["page"], "source": properties.get("source", "none")}
            whale.count_now("shop", dimensions, {"hits": 0, "pageviews": 1}, now - days_ago * DAY)
            whale.count_now("shop", None, {"hits": 0, "engaged_ms": 9000}, now - days_ago * DAY)
    whale.count_now("shop", {"event": "pageview"}, {"pageviews": nobody, "hits": nobody}, now - 2 * DAY)


@pytest.fixture
def whale() -> Whale:
    whale, some = site_of(), deeds()
    did(whale, some)
    counted(whale, some)
    return whale


@pytest.fixture
def address(page: Page, whale: Whale) -> Iterator[str]:
    with served(page, whale) as found:
        yield found


def asked(address: str, **parameters: Any) -> Any:
    given = {"pk": "shop", "period": "30d", "by": BY, "goal": "purchase", "limit": 8, **parameters}
    return requests.get(f"{address}/visits", given, timeout=20).json()


def row(page: Page, card: str, name: str) -> Locator:
    return page.locator(f"#{card}").get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))


def press(page: Page, card: str, name: str) -> None:
    page.locator(f"#{card}").get_by_role("link", name=name, exact=True).click()
    settled(page)


def check_numbers(page: Page, found: Any) -> None:
    """Each table says the same as the answer."""
    for name in ("visitors", "visits"):
        expect(page.locator(f"#tile-{name} .big")).to_have_text(str(found[name]))
    for card, by in (("sources", "source"), ("pages", "page"), ("devices", "device"), ("happened", "event")):
        rows = page.locator(f"#{card} tbody tr")
        expect(rows).to_have_count(len(found["rows"][by]))
        for number, each in enumerate(found["rows"][by]):
            cells = rows.nth(number).get_by_role("cell").all_inner_texts()
            third = each["times"] if by == "event" else each["views"]
            assert cells[1:4] == [str(each["visitors"]), str(each["visits"]), str(third)], (by, each)


def test_every_number_of_the_page_is_one_of_an_answer(page: Page, address: str) -> None:
    opened(page, address, view="site")
    found = asked(address)
    check_numbers(page, found)
    expect(page.locator("#tile-views .big")).to_have_text(str(found["views"] + 5))
    expect(page.locator("#basis")).to_contain_text(f"{found['views'] + 5} page views, also those of nobody")
    expect(page.locator("#basis")).to_contain_text(f"of visits, which have {found['views']}.")
    expect(page.locator("#tile-engaged .big")).to_contain_text("8")
    sure = asked(address, by="source,campaign", order="confidence", limit=50)
    first = page.locator("#buyers tbody tr").first
    assert sure["rows"]["source"][0]["value"] == "news"
    expect(first).to_contain_text("news")
    expect(first.get_by_role("cell").first).to_have_text(str(sure["rows"]["source"][0]["converters"]))


def test_one_sentence_says_where_buyers_come_from(page: Page, address: str) -> None:
    opened(page, address, view="site")
    sure = asked(address, by="source,campaign", order="confidence", limit=50)
    news = sure["rows"]["source"][0]
    said = page.locator("#said")
    expect(said).to_contain_text(f"Of {sure['converters']} buyers {news['converters']} came from news")
    expect(said).to_contain_text(f"the campaign that brought most is weekly, with {news['converters']}")
    expect(said).to_contain_text(f"news surely sells most: {news['conversion'] * 100:.1f}")
    page.get_by_label("Goal").select_option("no goal")
    expect(said).to_be_empty()
    expect(page.locator("#sources thead")).not_to_contain_text("Conversion")
    expect(page).to_have_url(re.compile("goal=-"))


def test_a_press_on_a_row_filters_all_and_back_and_escape_undo_it(page: Page, address: str) -> None:
    opened(page, address, view="site")
    press(page, "sources", "google")
    tests = [{"by": "source", "is": "google"}]
    check_numbers(page, asked(address, where=json.dumps(tests)))
    expect(page.locator("#tile-views .big")).to_have_text(str(asked(address, where=json.dumps(tests))["views"]))
    expect(page.locator("#tile-engaged")).to_have_count(0)
    press(page, "devices", "desktop")
    press(page, "pages", "/")
    tests += [{"by": "device", "is": "desktop"}, {"by": "page", "is": "/"}]
    assert json.loads(parse_qs(urlsplit(page.url).query)["where"][0]) == tests
    check_numbers(page, asked(address, where=json.dumps(tests)))
    chips = page.get_by_role("list", name="Filters").get_by_role("listitem")
    expect(chips).to_have_count(3)
    page.keyboard.press("Escape")
    expect(chips).to_have_count(2)
    page.keyboard.press("Backspace")
    expect(chips).to_have_count(1)
    page.go_back()
    expect(chips).to_have_count(2)
    chips.first.get_by_role("link", name="source is google", exact=True).click()
    settled(page)
    expect(chips.first).to_contain_text("source is not google")
    check_numbers(page, asked(address, where='[{"by":"source","not":"google"},{"by":"device","is":"desktop"}]'))
    page.get_by_role("link", name="Take off: source is not google").click()
    expect(chips).to_have_count(1)
    press(page, "sources", "news")
    press(page, "happened", "purchase")
    page.reload()
    settled(page)
    expect(chips).to_have_count(3)


def test_a_card_splits_otherwise_and_a_number_is_chosen(page: Page, address: str) -> None:
    opened(page, address, view="site")
    page.get_by_label("Pages by").select_option("entry page")
    settled(page)
    found = asked(address, by="entry_page")["rows"]["entry_page"]
    expect(page.locator("#pages tbody tr")).to_have_count(len(found))
    page.get_by_label("Sources by").select_option("campaign")
    settled(page)
    expect(row(page, "sources", "no campaign")).to_have_count(1)
    assert parse_qs(urlsplit(page.url).query)["cards"] == ["campaign,entry_page"]
    press(page, "sources", "no campaign")
    expect(page.get_by_role("list", name="Filters")).to_contain_text("campaign is no campaign")
    page.keyboard.press("2")
    expect(page.locator("#chart-title")).to_have_text("Visits")
    expect(page).to_have_url(re.compile("show=visits"))


def test_a_card_can_be_taken_along(page: Page, address: str) -> None:
    opened(page, address, view="site")
    page.locator("#sources-tools").click()
    with page.expect_download() as download:
        page.locator("#sources").get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("Source,Visitors,Visits,Of all visits,Views,Bounces,Converted,Conversion")
    rows = asked(address)["rows"]["source"]
    assert [line.split(",")[:3] for line in lines[1:]] == [
        [r["value"], str(r["visitors"]), str(r["visits"])] for r in rows
    ]


def test_the_first_minute_shows_the_tag_and_fills_itself(page: Page) -> None:
    whale = site_of(live_bind="")
    with served(page, whale) as address:
        opened(page, address, view="site")
        expect(page.locator("pre").first).to_contain_text(
            f'<script defer data-account="default" data-site="shop" src="{address.rpartition(":")[0]}:8085/js/trackr.js"></script>'
        )
        expect(page.get_by_text("Waiting for the first page view")).to_be_visible()
        check_looks(page)
        did(whale, [("ann", 0.001, "pageview", {"page": "/", "source": "news"})])
        expect(page.locator("#tile-visitors .big")).to_have_text("1")
        expect(row(page, "pages", "/")).to_have_count(1)
        settled(page)
        expect(page.get_by_text("Waiting for")).to_have_count(0)


def test_a_pk_without_a_log_says_how_to_make_one(page: Page, faults: list[str], whale: Whale, address: str) -> None:
    whale.count_now("other", None, {"pageviews": 1})
    page.goto(f"{address}/?pk=other&view=site")
    expect(page.get_by_role("heading", name="No log of visitors")).to_be_visible()
    assert all("answered with 404" in fault for fault in faults)
    faults.clear()


def test_everyone_can_read_and_use_it(page: Page, address: str) -> None:
    opened(page, address, view="site", where='[{"by":"source","is":"news"}]')
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.reload()
    settled(page)
    assert "×" in check_keyboard(page)


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_nothing_moves_while_it_comes(chromium: Chromium, whale: Whale, size: tuple[int, int]) -> None:
    with chromium.visit(viewport={"width": size[0], "height": size[1]}) as (page, _):
        page.add_init_script(WATCH_SHIFTS)
        with served(page, whale) as address:
            opened(page, address, view="site")
            check_still(page)


def test_filters_of_the_address_are_shown_as_far_as_they_are_known(page: Page, address: str) -> None:
    several = '[{"by":"source","in":["news","google"]},{"by":"colour","is":"red"}]'
    opened(page, address, view="site", where=several)
    expect(page.get_by_role("list", name="Filters")).to_contain_text("source is news or google")
    check_numbers(page, asked(address, where='[{"by":"source","in":["news","google"]}]'))
    opened(page, address, view="site", where="nonsense")
    expect(page.locator("#notice")).to_contain_text("filters that this page does not know")
    check_numbers(page, asked(address))


def test_an_event_that_only_nobody_had_is_no_goal(page: Page, faults: list[str]) -> None:
    whale = site_of()
    did(whale, [("ann", 1, "pageview", {"page": "/", "source": "news"})])
    whale.count_now("shop", {"event": "purchase"})
    with served(page, whale) as address:
        opened(page, address, view="site")
        expect(page.locator("#tile-visits .big")).to_have_text("1")
        expect(page.locator("#buyers")).to_contain_text("Nothing but page views is chosen or counted.")
    assert all("answered with 404" in fault for fault in faults)
    faults.clear()


def test_the_first_minute_tells_what_is_refused_and_why(page: Page) -> None:
    whale = site_of(live_bind="")
    with served(page, whale) as address:
        opened(page, address, view="site")
        sent = requests.post(f"{address}/count_now", json={"pk": "shop", "metrics": {"revenue": "much"}}, timeout=20)
        assert sent.status_code == 400
        told = page.locator("#main .event")
        expect(told).to_contain_text("bad_metrics")
        expect(told).to_contain_text("metrics.revenue")
