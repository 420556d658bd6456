"""Hits on the dashboard while they are counted: the first minute of an empty server, the tail, and a page without the live service."""

import itertools
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import CUSTOMER, LOCKED, Site
from tests.browser.visits import check_looks
from tests.farm import Farm
from tests.servers import RedisServer, wait_until
from tests.streams import Stream

OPEN = "Hits show as they are counted"
STRANGE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Hail, hailwail, Whale and live on a Redis of their own, where nothing was counted yet."""
    with RedisServer() as redis, Farm(tmp_path_factory.mktemp("alone"), redis, None) as farm:
        farm.start_whale()
        farm.start_live()
        yield farm


@pytest.fixture
def empty(alone: Farm) -> Farm:
    alone.redis.client().flushall()
    return alone


@pytest.fixture
def ours(alone: Farm) -> Farm:
    """The same, with the counts of other tests, and without their last hits."""
    client = alone.redis.client()
    if found := client.keys("*:spy:*"):
        client.delete(*found)
    if not alone.live.running:
        alone.start_live()
    return alone


def count(url: str, **fields: object) -> requests.Response:
    given = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return requests.get(f"{url}/count", given, timeout=20)


def test_the_first_hit_shows_within_a_second_with_every_place_it_counted_in(page: Page, empty: Farm) -> None:
    page.goto(empty.whale_url)
    expect(page.get_by_role("heading", name="Count a first hit")).to_be_visible()
    expect(page.locator(".waits")).to_contain_text("Waiting for the first hit")
    expect(page.get_by_text(OPEN)).to_be_visible()
    line = page.locator("pre").first.inner_text()
    assert line.startswith(f"curl -G '{empty.url}/count'")
    assert "count.js?pk=shop" in page.locator("pre").nth(1).inner_text()
    began = time.monotonic()
    count(empty.url, pk=["shop", STRANGE], dimensions={"country": {"US": "CA"}}, metrics={"revenue": 9.5}, id="a")
    event = page.locator(".event").first
    expect(event).to_contain_text("Counted")
    assert time.monotonic() - began < 5
    assert event.locator(".places li").all_inner_texts() == ["_", "country", "country › US", "country › US › CA"]
    expect(event).to_contain_text(f"in 4 places of shop, and of shop › {STRANGE}")
    count(empty.url, pk="shop", metrics={"revenue": "12,50"})
    refused = page.locator(".event").first
    expect(refused).to_contain_text("Not counted: bad_metrics in metrics.revenue")
    expect(page.locator(".waits")).to_be_empty()
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.get_by_role("link", name=f"Open shop › {STRANGE}").click()
    expect(page.get_by_role("region", name="Totals")).to_be_visible()


def test_hits_are_seen_as_they_are_counted_and_refused(page: Page, ours: Farm) -> None:
    count(ours.url, pk="before", id="first")
    page.goto(f"{ours.whale_url}/?view=live&pk=market")
    expect(page.get_by_text(OPEN)).to_be_visible()
    count(ours.url, pk="elsewhere")
    count(ours.url, pk="market", dimensions=STRANGE, metrics={"revenue": 2}, id="twice")
    count(ours.url, pk="market", id="twice")
    count(ours.url, pk="market", metrics={"revenue": "no"})
    rows = page.locator(".tail tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="counted")).to_contain_text(f"revenue 2; _, {STRANGE}")
    expect(rows.filter(has_text="duplicate")).to_have_count(1)
    expect(rows.filter(has_text="bad_metrics")).to_contain_text("metrics.revenue")
    page.get_by_role("region", name="Last hits").focus()
    count(ours.url, pk="market", id="thrice")
    expect(rows).to_have_count(4)
    expect(page.get_by_role("region", name="Last hits")).to_be_focused()
    expect(page.locator("#seconds .at")).to_contain_text("2 hits, ")
    expect(page.locator("#minutes rect")).not_to_have_count(0)
    page.get_by_role("button", name="Pause").click()
    count(ours.url, pk="market", id="later")
    page.get_by_role("button", name="All pks").click()
    expect(page.locator(".tail")).to_contain_text("elsewhere")
    expect(page.locator(".tail")).to_contain_text("market")
    assert "all=true" in page.url
    check_looks(page)


def test_a_paused_page_stands_still(page: Page, ours: Farm) -> None:
    page.goto(f"{ours.whale_url}/?view=live&pk=still")
    expect(page.get_by_text(OPEN)).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    with Stream(ours.live_url, pk="still") as another:
        another.next("ping")
        count(ours.url, pk="still")
        another.next("totals")  # so the page has it too
    expect(page.locator(".tail")).to_have_count(0)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".tail tbody tr")).to_have_count(1)


def test_without_the_live_service_the_page_asks(page: Page, ours: Farm, faults: list[str]) -> None:
    ours.live.kill9()
    page.clock.install()
    page.goto(f"{ours.whale_url}/?view=live&pk=polled")
    expect(page.get_by_text("The live service does not answer: asked again in 2 s")).to_be_visible()
    count(ours.url, pk="polled", dimensions={"country": "US"})
    count(ours.url, pk="polled", metrics={"revenue": "no"})
    spied = f"{ours.whale_url}/spy"
    wait_until(lambda: "bad_metrics" in requests.get(spied, timeout=20).text, what="both hits")
    page.clock.fast_forward(2000)
    expect(page.locator(".tail tbody tr")).to_have_count(2)
    expect(page.locator(".tail")).to_contain_text("_, country, country › US")
    expect(page.locator("#seconds .at")).to_contain_text("1 hit, ")
    expect(page.get_by_text("asked again in 4 s")).to_be_visible()
    ours.start_live()
    page.clock.fast_forward(4000)
    expect(page.get_by_text(OPEN)).to_be_visible()
    count(ours.url, pk="polled", id="streamed")
    expect(page.locator(".tail tbody tr")).to_have_count(3)
    live = urlsplit(ours.live_url).netloc
    faults[:] = [fault for fault in faults if live not in fault]


def test_a_hidden_tab_asks_nothing_and_once_when_it_is_back(page: Page, ours: Farm) -> None:
    page.goto(f"{ours.whale_url}/?view=live&pk=hidden")
    expect(page.get_by_text(OPEN)).to_be_visible()
    hide = """(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
        document.dispatchEvent(new Event('visibilitychange')) }"""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.evaluate(hide, True)
    with Stream(ours.live_url, pk="hidden") as another:
        another.next("ping")
        count(ours.url, pk="hidden")
        another.next("totals")
    assert [path for path in asked if path in ("/spy", "/totals", "/live", "/live_token")] == []
    page.evaluate(hide, False)
    expect(page.locator(".tail tbody tr")).to_have_count(1)
    expect(page.locator("#seconds .at")).to_contain_text("1 hit, ")
    expect(page.get_by_text(OPEN)).to_be_visible()
    assert [asked.count(path) for path in ("/spy", "/totals", "/live", "/live_token")] == [1, 1, 1, 1], asked


def test_a_hit_that_comes_while_an_answer_is_on_its_way_is_told_once(page: Page, ours: Farm) -> None:
    """The stream tells it first, and the answer has it too."""
    count(ours.url, pk="late", id="before")
    total = {"pk": "late", "period": "today"}
    wait_until(lambda: requests.get(f"{ours.whale_url}/total", total, timeout=20).json() == 1, what="the hit before")
    held = list[Route]()
    asked = itertools.count()
    page.route("**/totals?*", lambda route: route.continue_() if next(asked) != 1 else held.append(route))
    page.goto(f"{ours.whale_url}/?view=live&pk=late")
    expect(page.get_by_text(OPEN)).to_be_visible()
    count(ours.url, pk="late", id="meanwhile")
    expect(page.locator("#seconds .at")).to_contain_text("1 hit, ")
    with page.expect_response("**/totals?*"):
        held[0].continue_()
    count(ours.url, pk="late", id="after")
    expect(page.locator("#seconds .at")).to_contain_text("2 hits, ")


def test_where_keys_are_set_the_page_gets_a_token(page: Page, locked: Site) -> None:
    page.set_extra_http_headers({"Authorization": f"Bearer {LOCKED['read_key']}"})
    page.route(
        f"{locked.live}/**",
        lambda route: route.continue_(
            headers={name: value for name, value in route.request.headers.items() if name != "authorization"}
        ),
    )
    page.goto(f"{locked.whale}/?view=live")
    expect(page.get_by_text(OPEN)).to_be_visible()
    requests.get(f"{locked.hail}/count", {"pk": "locked", "key": LOCKED["write_key"]}, timeout=20)
    expect(page.locator(".tail")).to_contain_text("locked")


def test_a_user_of_another_account_sees_their_own_hits_until_they_log_out(
    page: Page, locked: Site, faults: list[str]
) -> None:
    page.goto(f"{locked.whale}/login?next=%2F%3Fview%3Dlive")
    for label, text in zip(("Name", "Password"), CUSTOMER, strict=True):
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text(OPEN)).to_be_visible()
    with Stream(locked.live, key=LOCKED["read_key"]) as default:
        default.next("ping")
        for key, pk in ((LOCKED["write_key"], "theirs"), (locked.write_key, "ours")):
            requests.get(f"{locked.hail}/count", {"pk": pk, "key": key}, timeout=20)
        assert default.next("hit").data["pk"] == ["theirs"]
    expect(page.locator(".tail")).to_contain_text("ours")
    expect(page.locator(".tail tbody tr")).to_have_count(1)
    requests.get(
        f"{locked.hail}/count", {"pk": "ours", "metrics": '{"revenue": "no"}', "key": locked.write_key}, timeout=20
    )
    expect(page.locator(".tail tbody tr").first).to_contain_text("bad_metrics")
    other = page.context.new_page()
    other.goto(locked.whale)
    other.get_by_role("button", name="Log out").click()
    expect(other.get_by_role("heading", name="Log in")).to_be_visible()
    expect(page.get_by_text("Whale no longer lets you in")).to_be_visible()
    requests.get(f"{locked.hail}/count", {"pk": "ours", "key": locked.write_key}, timeout=20)
    expect(page.locator(".tail tbody tr")).to_have_count(2)
    other.close()
    faults[:] = [fault for fault in faults if "401" not in fault and "/health.json" not in fault]


def test_names_stay_text(page: Page, site: Site, unique: str, faults: list[str]) -> None:
    """By `hailwhale up`, and on a farm whose live service does not run."""
    page.goto(f"{site.whale}/?view=live&pk={unique}")
    count(site.hail, pk=unique, dimensions={STRANGE: {"\u202eevil": "🐳"}})
    expect(page.locator(".tail")).to_contain_text(STRANGE)
    expect(page.locator(".tail")).to_contain_text("\\u{202e}evil › 🐳")
    expect(page.locator("main img")).to_have_count(0)
    faults[:] = [fault for fault in faults if "/live?" not in fault]
