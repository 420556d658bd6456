"""Who starts the demo clicks through its shop, and sees themself counted: every number is read back."""

from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.tracking import PERSON, ids, person
from tests.browser.visits import Chromium
from tests.servers import wait_until


@pytest.fixture(scope="module")
def browser() -> Any:
    with Chromium(f"--user-agent={PERSON}") as found:
        yield found


@pytest.fixture
def visit(browser: Chromium) -> Any:
    with person(browser) as one:
        yield one


def ask(demo: Site, route: str, **given: str) -> requests.Response:
    return requests.get(f"{demo.whale}/{route}", {"pk": "shop", **given}, timeout=20)


def events(demo: Site, visitor: str) -> list[str]:
    """What the log has of one visitor, the oldest first."""
    answer = ask(demo, f"visitor/{visitor}")
    found = answer.json()["events"] if answer.ok else []
    return [name for _, name in sorted((each["at"], each["event"]) for each in found)]


def test_a_visitor_sees_themself_counted_from_the_first_page_to_the_order(page: Page, demo: Site) -> None:
    page.goto(f"{demo.hail}/?utm_source=friend")
    page.click("text=Trail runner")
    page.click("#add")
    page.wait_for_url("**/basket")
    expect(page.locator("#basket")).to_have_text("Trail runner, $89")
    page.click("#order")
    page.wait_for_url("**/thanks")
    visitor = ids(page.context)["trackit_v_visitor"]
    wanted = sorted(["pageview"] * 4 + ["view_product", "add_to_cart", "purchase"])
    wait_until(lambda: sorted(events(demo, visitor)) == wanted, 30, "all that they did")
    shown = ask(demo, f"visitor/{visitor}").json()
    assert {"source": "friend"}.items() <= {each["property"]: each["value"] for each in shown["properties"]}.items()
    at = '["source", "friend"]'
    found = ask(
        demo, "totals", period="today", metrics='["orders","revenue","carts","pageviews"]', dimensions=at
    ).json()
    assert list(found["today"].values()) == [{"orders": 1, "revenue": 89, "carts": 1, "pageviews": 4}]
    page.goto(page.locator("#whale").get_attribute("href") or "")
    expect(page).to_have_url(f"{demo.whale}/?pk=shop&view=site")
    page.goto(f"{demo.hail}/basket")
    expect(page.locator("#order")).to_be_disabled()


def test_who_wants_no_id_is_counted_without_one_and_leaves_none(page: Page, demo: Site) -> None:
    page.goto(f"{demo.hail}/sale?utm_source=quiet")
    wait_until(lambda: "trackit_v_visitor" in ids(page.context), 30, "an id")
    visitor = ids(page.context)["trackit_v_visitor"]
    wait_until(lambda: events(demo, visitor) == ["pageview"], 30, "the first page")
    page.click("#consent")
    expect(page.locator("#counted")).to_contain_text("without any id")
    assert ids(page.context) == {}
    page.goto(f"{demo.hail}/gift-cards?utm_source=quiet")
    expect(page.locator("#counted")).to_contain_text("without any id")
    page.click("#add")
    page.wait_for_url("**/basket")

    def counted() -> Any:
        given = {"period": "today", "metrics": '["pageviews"]', "dimensions": '["source", "quiet"]'}
        return [each["pageviews"] for each in ask(demo, "totals", **given).json()["today"].values()]

    wait_until(lambda: counted() == [2], 30, "the pages that say where they came from")
    assert ids(page.context) == {}
    assert page.evaluate("Object.keys(localStorage)") == ["consent"]
    assert events(demo, visitor) == ["pageview"]
    page.click("#consent")
    page.goto(f"{demo.hail}/shoes")
    wait_until(lambda: "trackit_v_visitor" in ids(page.context), 30, "an id again")
    assert ids(page.context)["trackit_v_visitor"] != visitor
