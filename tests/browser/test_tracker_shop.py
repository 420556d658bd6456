"""A visitor of a small shop, by a real browser, Hail and Whale, with RabbitMQ and a worker and without: every number is read back."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import requests
from playwright.sync_api import Page

from tests.browser.conftest import LOCKED, Site
from tests.browser.tracking import PERSON, Pages, forgive, person, tag
from tests.browser.visits import Chromium
from tests.servers import wait_until


class Shop(Pages):
    """The pages of a site that Whale knows, told of by the tracker of a real Hail."""

    def __init__(self, site: Site, pk: str, key: str = "", is_late: bool = False):
        """is_late: `make` is called later."""
        super().__init__()
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.site, self.pk = site, pk
        self.head = tag(site.hail, account="default", site=pk, outbound="")
        if not is_late:
            self.make()

    def make(self) -> None:
        made = requests.post(
            f"{self.site.whale}/sites",
            json={"pk": self.pk, "open": True, "origins": [self.page("")]},
            headers=self._headers,
            timeout=20,
        )
        assert made.status_code in (200, 201), made.text

    def ask(self, route: str, **parameters: Any) -> Any:
        given = {"pk": self.pk, "period": "today", **parameters}
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
        answer = requests.get(f"{self.site.whale}/{route}", texts, headers=self._headers, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def total(self, *metrics: str, **parameters: Any) -> list[float]:
        """Of today, at the root or at `dimensions`."""
        (found,) = self.ask("totals", metrics=metrics, **parameters)["today"].values()
        return [found[metric] for metric in metrics]

    def children(self, metric: str, *path: str) -> dict[str, float]:
        """By the names below a path."""
        found = self.ask("rank", dimensions=path, by=metric, limit=50)
        return {row["path"].rpartition(path[-1])[2].strip('", ]'): row["value"] for row in found["rows"]}

    def wait(self, metric: str, value: float, **parameters: Any) -> None:
        wait_until(lambda: self.total(metric, **parameters) == [value], 30, f"{metric} {value}")

    def wait_for_log(self) -> None:
        """It begins some seconds after the site was made."""
        begins = datetime.fromisoformat(self.ask("visitors")["since"]).timestamp()
        wait_until(lambda: time.time() > begins, 30, "the log")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """One that does not say that it has no window: a beacon at the end of a page says so, whatever Playwright pretends."""
    with Chromium(f"--user-agent={PERSON}") as found:
        yield found


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Of `hailwhale up`, or of the farm where the test says so."""
    stack = getattr(request, "param", "embedded")
    with Shop(request.getfixturevalue(stack), f"kettles {request.node.name[:20]}") as found:
        yield found


@pytest.fixture
def visit(browser: Chromium, shop: Shop) -> Iterator[tuple[Page, list[str]]]:
    with person(browser) as one:
        yield one


@pytest.mark.parametrize("shop", ["embedded", "farm"], indirect=True)
def test_a_visitor_who_lands_browses_signs_up_buys_and_leaves_reads_back_exactly(page: Page, shop: Shop) -> None:
    shop.wait_for_log()
    page.goto(shop.page("/?utm_source=News&utm_campaign=spring&utm_medium=email"))
    shop.wait("pageviews", 1)
    page.click("#offer")
    page.wait_for_url("**/kettle.html")
    shop.wait("pageviews", 2)
    page.click("#add")
    page.click("nav a[href='/account.html']")
    page.wait_for_url("**/account.html")
    page.click("#signup")
    shop.wait("pageviews", 3)
    page.click("nav a[href='/basket.html']")
    page.wait_for_url("**/basket.html")
    page.click("#buy")
    page.wait_for_url("**/thanks.html")
    shop.wait("pageviews", 5)
    page.evaluate("trackr.purchase({ id: 'A7', revenue: 85, shipping: 5, currency: 'EUR' })")  # told once more
    page.close()
    shop.wait("hits", 14)
    assert shop.total("pageviews", "orders", "revenue", "shipping", "item_revenue") == [5, 1, 85, 5, 80]
    assert shop.children("hits", "event") == EVENTS
    assert shop.children("pageviews", "page") == dict.fromkeys(PATHS, 1)
    assert shop.children("hits", "product") == {"kettle-1": 3}
    assert shop.children("hits", "element") == {"mouseover": 1, "focus": 1, "click": 1}
    assert shop.total("hits", dimensions=["element", "click", "offer", "spring", "1"]) == [1]
    at_campaign = shop.total("hits", "revenue", "orders", dimensions=["source", "news", "spring", "email"])
    assert at_campaign == [14, 85, 1]
    assert shop.total("pageviews", dimensions=["device", "desktop"]) == [5]
    seen, load, depth = shop.total("engaged_ms", "load_ms", "scroll_pct")
    assert (seen > 0, load, 0 < depth <= 500) == (True, 5, True)
    visitors, sessions = shop.ask("visitors"), shop.ask("sessions")
    assert [visitors[name] for name in ("visitors", "new", "returning")] == [1, 1, 0]
    assert [sessions[name] for name in ("sessions", "visitors", "bounces")] == [1, 1, 0]
    events = {each["event"]: (each["times"], each["visitors"]) for each in shop.ask("events")["events"]}
    assert events == {name: (times, 1) for name, times in EVENTS.items()}
    steps = ["view_product", "add_to_cart", "signup", "purchase"]
    assert [step["visitors"] for step in shop.ask("funnel", steps=steps)["steps"]] == [1, 1, 1, 1]
    (bought,) = shop.ask("visits", by=["source"], goal="purchase")["rows"]["source"]
    assert [bought[name] for name in ("value", "visits", "views", "converted", "worth")] == ["news", 1, 5, 1, 85]
    shown = requests.get(f"{shop.site.whale}/visitor/42", {"pk": shop.pk}, timeout=20).json()  # joined with the browser
    assert sorted(each["event"] for each in shown["events"]) == sorted(Counter(EVENTS).elements())
    properties = {each["property"]: each["value"] for each in shown["properties"]}
    assert properties | {"plan": "pro", "signup_date": 1795776000, "source": "news", "campaign": "spring"} == properties


PATHS = ("/", "/kettle.html", "/account.html", "/basket.html", "/thanks.html")
EVENTS = {
    "pageview": 5,
    "element": 3,
    "view_product": 1,
    "add_to_cart": 1,
    "signup": 1,
    "checkout": 1,
    "purchase_item": 1,
    "purchase": 1,
}


def test_who_asks_for_privacy_counts_and_is_nobody(page: Page, shop: Shop) -> None:
    shop.wait_for_log()
    page.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
    )
    page.goto(shop.page("/?utm_source=news"))
    shop.wait("pageviews", 1)
    page.goto(shop.page("/account.html"))
    page.click("#signup")
    page.close()
    shop.wait("hits", 3)
    assert shop.children("hits", "event") == {"pageview": 2, "signup": 1}
    assert shop.ask("visitors")["visitors"] == 0


def test_a_page_whose_clock_is_a_day_behind_counts_today(page: Page, shop: Shop) -> None:
    page.clock.install(time=time.time() - 86_400)
    page.goto(shop.page("/"))
    page.clock.run_for(1000)
    shop.wait("pageviews", 1)
    assert shop.total("pageviews") == [1]


def test_a_program_is_no_visitor(browser: Chromium, shop: Shop) -> None:
    with browser.visit() as (page, _):
        page.goto(shop.page("/"))
        wait_until(
            lambda: shop.ask("totals", pk=["__bots__", shop.pk], metrics="hits")["today"]["_"]["hits"] > 0, 30, "a bot"
        )
        page.goto("about:blank")
    assert shop.total("hits") == [0]


def test_an_open_site_needs_no_key_and_takes_its_own_pages_alone(browser: Chromium, locked: Site) -> None:
    with Shop(locked, "open kettles", LOCKED["admin_key"]) as shop, Pages() as foreign:
        foreign.head = shop.head
        body = {"account": "default", "site": shop.pk, "hits": [{"event": "pageview"}]}

        def known() -> bool:
            answer = requests.post(f"{locked.hail}/track", json=body, headers={"Origin": shop.page("")}, timeout=20)
            return answer.status_code == 202  # and counts a bot

        wait_until(known, 30, "Hail to know the site")
        with person(browser) as (page, faults):
            page.goto(shop.page("/"))
            shop.wait("pageviews", 1)
            with page.expect_response(lambda answer: answer.status == 403) as refused:
                page.goto(foreign.page("/"))
            assert refused.value.headers["x-hail"] == "dropped; reason=foreign_origin"
            page.goto(shop.page("/thanks.html"))
            shop.wait("pageviews", 2)
            forgive(
                page, faults, "answered with 403", "answered with 503"
            )  # it asks again, since the site may list it soon
        assert shop.children("pageviews", "page") == {"/": 1, "/thanks.html": 1}


def test_pages_that_are_seen_while_their_site_is_made_are_counted(browser: Chromium, locked: Site) -> None:
    with Shop(locked, "new kettles", LOCKED["admin_key"], is_late=True) as shop, person(browser) as (page, faults):
        with page.expect_response(lambda answer: answer.url.endswith("/track")) as refused:
            page.goto(shop.page("/"))
        assert (refused.value.status, refused.value.headers["x-hail"]) == (503, "dropped; reason=no_directory")
        shop.make()
        page.goto(shop.page("/thanks.html"))
        shop.wait("pageviews", 2)
        assert shop.children("pageviews", "page") == {"/": 1, "/thanks.html": 1}
        forgive(page, faults, "answered with 503")
