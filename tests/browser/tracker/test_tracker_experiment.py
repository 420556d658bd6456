"""An experiment of the tracker: Whale decides by a browser key, the page shows it, and the option that was shown is counted."""

import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import LOCKED, served, whale_with
from tests.browser.tracking import Recorder, forgive, tag
from whale.accounts import Account, Act, Site, new_key

SHOP = "abcdefghij"
ACT = Act(1, "test", "add", "", "")
ASK = "trackr.experiment('colour', ['red', 'green'])"
SHOWN = "document.documentElement.getAttribute('data-exp-colour')"


@pytest.fixture
def asked(page: Page, hail: Recorder) -> Iterator[list[str]]:
    """What a Whale was asked that always decides for green, and that the pages ask."""
    whale = whale_with(**LOCKED)
    shop, found = whale.of(SHOP), list[str]()
    with served(page, whale) as address:
        whale.store.add_entry(Account(SHOP, "shop", "UTC", 1), ACT)
        whale.store.add_entry(Site(SHOP, "web", open=True, origins=(hail.page(""),)), ACT)
        key, secret = new_key(SHOP, "browser", "web", bytes(range(36)), 0)
        whale.store.add_entry(key, ACT)
        shop.define_decision("colour", options=["red", "green"], weights={"red": 0, "green": 1}, public=True)
        shop.define_decision("secret", options=["red", "green"], weights={"red": 0, "green": 1})
        hail.head = tag(hail.hail, key=secret, whaleUrl=address).replace("whaleUrl", "whale-url")
        page.on("request", lambda request: found.append(request.url) if "/decide" in request.url else None)
        yield found


def shown(hail: Recorder) -> list[tuple[str, str]]:
    return [(hit["properties"]["experiment"], hit["properties"]["option"]) for hit in hail.named("experiment")]


def test_the_option_of_whale_is_shown_and_counted_and_stays(page: Page, hail: Recorder, asked: list[str]) -> None:
    page.goto(hail.page("/"))
    assert page.evaluate(ASK.replace("])", "], { timeout: 10000 })")) == "green"
    assert page.evaluate(SHOWN) == "green"
    hail.wait("experiment")
    page.goto(hail.page("/kettle.html"))
    assert page.evaluate(f"{ASK}; {SHOWN}") == "green", "only an option that is remembered is there at once"
    hail.wait("experiment", 2)
    assert shown(hail) == [("colour", "green")] * 2
    assert len(asked) == 1


def test_a_decision_that_is_not_public_shows_the_default(
    page: Page, faults: list[str], hail: Recorder, asked: list[str]
) -> None:
    page.goto(hail.page("/"))
    assert page.evaluate("trackr.experiment('secret', ['red', 'green'], { timeout: 10000 })") == "red"
    hail.wait("experiment")
    assert shown(hail) == [("secret", "red")]
    assert len(asked) == 1
    page.evaluate("0")
    forgive(page, faults, "answered with 40")


def test_without_an_answer_in_time_the_default_is_shown_and_counted(page: Page, hail: Recorder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hail.head = tag(hail.hail, key="k", whale_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        page.goto(hail.page("/"))
        assert page.evaluate(ASK.replace("])", "], { timeout: 50, default: 'green' })")) == "green"
        hail.wait("experiment")
        page.goto("about:blank")
    assert shown(hail) == [("colour", "green")]


def test_who_has_no_id_sees_the_default_and_nobody_is_asked(page: Page, hail: Recorder, asked: list[str]) -> None:
    page.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
    )
    page.goto(hail.page("/"))
    assert page.evaluate(ASK) == "red"
    assert page.evaluate(SHOWN) == "red"
    hail.wait("experiment")
    assert (shown(hail), asked) == ([("colour", "red")], [])
    assert page.evaluate("localStorage.length") == 0
