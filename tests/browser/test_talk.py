"""The view Talk: who is there, what was said, an answer; bad input, and who may not."""

import json
import re
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import LOCKED, served
from tests.browser.shoppers import did, site_of, usual
from tests.browser.test_login import PASSWORD, log_in
from tests.browser.test_shell import opened, settled
from tests.browser.visits import check_keyboard, check_looks
from tests.nodes import ACT
from tests.wsgi import serving
from whale.accounts import ALL, User
from whale.client import Whale
from whale.errors import Unavailable
from whale.passwords import Cost, Passwords
from whale.store.contract.talks import Page as Listening
from whale.web import make_app

ANN, BOB = "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c", "9d8b7f52-6a3e-4d57-8d3f-0d6f6a1f2b3c"
NASTY = '<img src=x onerror=alert(1)></script>\u2028\u202eabc "'


def says(whale: Whale, visitor: str, text: str) -> None:
    whale.store.say(whale.account, ("shop", visitor), True, json.dumps({"text": text}).encode())


def told(whale: Whale, visitor: str = ANN) -> list[tuple[str, str]]:
    return [(each["by"], each["data"]["text"]) for each in whale.talk("shop", visitor)["messages"]]


@pytest.fixture
def whale() -> Whale:
    whale = site_of()
    did(whale, usual())
    pages = [Listening("shop", ANN, "1"), Listening("shop", ANN, "2")]
    whale.store.listen(whale.account, pages, 100)
    says(whale, BOB, "bye")
    says(whale, ANN, NASTY)
    return whale


@pytest.fixture
def address(page: Page, whale: Whale) -> Iterator[str]:
    with served(page, whale) as found:
        yield found


def test_an_operator_sees_who_is_there_opens_one_and_answers(page: Page, whale: Whale, address: str) -> None:
    opened(page, address, view="talk")
    expect(page.get_by_role("navigation", name="About visitors").get_by_role("link", name="Talk")).to_have_attribute(
        "aria-current", "page"
    )
    rows = page.locator("#there li")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text(ANN)
    expect(rows.nth(0).locator(".badge")).to_have_text("2 pages")
    expect(rows.nth(1).locator(".badge")).to_have_text("gone")
    page.get_by_role("link", name=ANN).click()
    settled(page)
    lines = page.get_by_role("log").locator("li")
    expect(lines).to_have_count(1)
    assert "<img src=x onerror=alert(1)></script>" in lines.nth(0).inner_text()
    page.get_by_label("Your message").fill("May I help you?")
    page.get_by_role("button", name="Send").click()
    expect(lines).to_have_count(2)
    expect(lines.nth(1)).to_contain_text("You")
    assert told(whale) == [("visitor", NASTY), ("site", "May I help you?")]
    expect(page.get_by_label("Your message")).to_have_value("")
    says(whale, ANN, "Yes, please")
    expect(lines).to_have_count(3)
    expect(lines.nth(2)).to_contain_text("Yes, please")
    page.go_back()
    expect(page.get_by_text("Choose somebody who is there.")).to_be_visible()


def test_who_comes_and_goes_is_seen_and_the_field_keeps_what_was_typed(page: Page, whale: Whale, address: str) -> None:
    page.goto(f"{address}/?pk=shop&view=talk&visitor={ANN}")
    settled(page)
    page.get_by_label("Your message").fill("not sent yet")
    whale.store.listen_no_more(whale.account, Listening("shop", ANN, "1"))
    whale.store.listen_no_more(whale.account, Listening("shop", ANN, "2"))
    says(whale, BOB, "I am back")
    expect(page.locator("#there li").nth(0)).to_contain_text("I am back")
    expect(page.locator("#there .badge").filter(has_text="gone")).to_have_count(2)
    expect(page.get_by_label("Your message")).to_have_value("not sent yet")
    expect(page.get_by_label("Your message")).to_be_focused()


def test_what_is_refused_stays_in_the_field(page: Page, faults: list[str], whale: Whale, address: str) -> None:
    page.goto(f"{address}/?pk=shop&view=talk&visitor={ANN}")
    settled(page)
    page.get_by_label("Your message").fill("x" * 5000)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#talk").get_by_role("alert")).to_contain_text("expected at most 4000 bytes")
    assert page.get_by_label("Your message").input_value() == "x" * 5000
    assert len(told(whale)) == 1
    assert [fault for fault in faults if "answered with 400" not in fault] == []
    faults.clear()


def test_while_redis_is_away_the_talk_stays_and_goes_on(
    page: Page, faults: list[str], whale: Whale, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto(f"{address}/?pk=shop&view=talk&visitor={ANN}")
    settled(page)

    def away(*_: object) -> None:
        raise Unavailable("Redis: away")

    with monkeypatch.context() as patch:
        patch.setattr(whale.store, "talk", away)
        page.wait_for_event("response", lambda response: response.status == 503)
        expect(page.get_by_role("log").locator("li")).to_have_count(1)
    says(whale, ANN, "still there?")
    expect(page.get_by_role("log").locator("li")).to_have_count(2)
    assert all("answered with 503" in fault for fault in faults)
    faults.clear()


def test_a_site_that_is_none_says_how_to_make_one(page: Page, faults: list[str], whale: Whale, address: str) -> None:
    whale.count_now("other")
    page.goto(f"{address}/?pk=other&view=talk")
    expect(page.get_by_role("heading", name="No log of visitors")).to_be_visible()
    assert all("answered with 404" in fault for fault in faults)
    faults.clear()


def test_a_visitor_who_cannot_be_one_is_refused_in_words(page: Page, faults: list[str], address: str) -> None:
    page.goto(f"{address}/?pk=shop&view=talk&visitor=42")
    expect(page.get_by_text("expected the random id of a browser")).to_be_visible()
    assert all("answered with 400" in fault for fault in faults)
    faults.clear()


def test_where_live_does_not_run_it_says_what_is_missing(page: Page) -> None:
    whale = site_of(live_bind="")
    whale.count_now("shop")
    with served(page, whale) as address:
        opened(page, address, view="talk")
        expect(page.get_by_text("no live service can be found")).to_be_visible()
        expect(page.get_by_text("they need trackr.push.js")).to_be_visible()
        check_looks(page)


@pytest.mark.parametrize("visitor", ["", f"&visitor={ANN}"])
def test_everyone_can_read_and_use_it(page: Page, address: str, visitor: str) -> None:
    page.goto(f"{address}/?pk=shop&view=talk{visitor}")
    settled(page)
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.reload()
    settled(page)
    reached = check_keyboard(page)
    assert ANN in reached
    if visitor:
        assert "Send" in reached
        page.get_by_label("Your message").fill("by the keyboard")
        page.keyboard.press("Enter")
        expect(page.get_by_role("log").locator("li")).to_have_count(2)
        expect(page).to_have_url(re.compile("visitor="))


def test_who_is_logged_out_meanwhile_is_told_and_hears_no_more(
    page: Page, faults: list[str], login: tuple[str, Whale]
) -> None:
    address, whale = login
    page.goto(f"{address}/?pk=shop&view=talk&visitor={ANN}")
    log_in(page)
    expect(page.get_by_role("log").locator("li")).to_have_count(1)
    page.context.clear_cookies()  # as the button Log out in another tab
    says(whale, ANN, "secret")
    expect(page.locator("#there").get_by_label("read key")).to_be_visible()
    expect(page.get_by_role("log").locator("li")).to_have_count(1)
    page.get_by_label("Your message").fill("too late")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#talk").get_by_role("alert")).to_contain_text("key")
    assert told(whale)[-1] == ("visitor", "secret")
    assert [fault for fault in faults if "401" not in fault and "403" not in fault] == []
    faults.clear()


@pytest.fixture
def login() -> Iterator[tuple[str, Whale]]:
    """A Whale that asks for a password, and has a talk."""
    whale = site_of(**LOCKED, secret="s" * 32)
    did(whale, usual())
    says(whale, ANN, "hello")
    passwords = Passwords(secrets.token_bytes, cost=Cost(64, 1))
    whale.store.add_entry(User("default", "anna", passwords.hash(PASSWORD), ALL, 1), ACT)
    with serving(make_app(whale.settings, whale, passwords)) as found:
        yield found, whale
