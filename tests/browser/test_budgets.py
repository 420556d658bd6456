"""The weight of the dashboard on the wire, how still it stands while it comes, and how it looks: each view, on the data of the demo."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_overview import DAY, send
from tests.browser.visits import Chromium, check_looks
from whale.routes.assets import FOLDER

FIRST_BYTES, DATA_BYTES, FURTHER_BYTES, REQUESTS = 60_000, 20_000, 15_000, 12
SHIFT = 0.02
WIDTHS = {"wide": (1280, 900), "phone": (390, 844)}
VIEWS = re.findall(r"^  { name: '(\w+)'", (FOLDER / "main.js").read_text(), re.M)
WATCH_SHIFTS = """window.shifts = [];
new PerformanceObserver((list) => window.shifts.push(...list.getEntries().filter((each) => !each.hadRecentInput).map((each) =>
  [each.value, ...each.sources.map(({ node }) => node?.id || node?.className || node?.nodeName)])))
  .observe({ type: 'layout-shift', buffered: true })"""


@dataclass
class Wire:
    """What came, by path: bytes with their heads, as they were sent."""

    page: dict[str, int] = field(default_factory=dict)
    data: dict[str, int] = field(default_factory=dict)
    requests: int = 0


@contextmanager
def watched(chromium: Chromium, width: str) -> Iterator[tuple[Page, Wire]]:
    wide, high = WIDTHS[width]
    with chromium.visit(viewport={"width": wide, "height": high}) as (page, _):
        page.add_init_script(WATCH_SHIFTS)
        wire, urls = Wire(), {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")

        def asked(event: dict[str, Any]) -> None:
            if event["request"]["url"].startswith("http"):
                urls[event["requestId"]] = event["request"]["url"]
                wire.requests += 1

        def came(event: dict[str, Any]) -> None:
            if url := urls.get(event["requestId"]):
                path = urlsplit(url).path
                of = wire.page if path == "/" or path.startswith("/static/") else wire.data
                of[url] = of.get(url, 0) + int(event["encodedDataLength"])

        session.on("Network.requestWillBeSent", asked)
        session.on("Network.loadingFinished", came)
        yield page, wire


def opened(page: Page, site: Site, view: str, **state: str) -> None:
    page.goto(f"{site.whale}/?{urlencode({'view': view, 'pk': json.dumps(['shop']), **state})}")
    complete(page, view)


def complete(page: Page, view: str) -> None:
    expect(page.locator(f'[data-view="{view}"]')).to_be_visible()
    expect(page.locator('#main [aria-busy="true"]')).to_have_count(0)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_view_is_light(chromium: Chromium, demo: Site, width: str) -> None:
    with watched(chromium, width) as (page, wire):
        opened(page, demo, "overview")
        assert sum(wire.page.values()) <= FIRST_BYTES, wire.page
        assert sum(wire.data.values()) <= DATA_BYTES, wire.data
        assert wire.requests <= REQUESTS, [*wire.page, *wire.data]
        assert len(wire.data) >= 2


def test_each_further_view_is_light(chromium: Chromium, demo: Site) -> None:
    with watched(chromium, "wide") as (page, wire):
        opened(page, demo, "overview")
        for view in VIEWS:
            if view != "overview" and page.locator(f"#view-{view}").is_visible():
                before = sum(wire.page.values())
                page.locator(f"#view-{view}").click()
                complete(page, view)
                assert sum(wire.page.values()) - before <= FURTHER_BYTES, view


def check_still(page: Page) -> None:
    shifts = page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(window.shifts))))"
    )
    assert sum(shift for shift, *_ in shifts) <= SHIFT, shifts


@pytest.mark.parametrize("width", WIDTHS)
def test_several_that_broke_are_told_in_as_much_room(
    chromium: Chromium, embedded: Site, unique: str, width: str
) -> None:
    now, shares = (
        time.time(),
        {"google": 0.1, "fox": 0.3, "bing": 0.5, "mail": 1.0, "direct": 1.0, "news": 1.0, "ads": 1.0},
    )
    hits = [
        {
            "pk": unique,
            "at": now - day * DAY,
            "dimensions": {"source": source, "device": "phone"},
            "metrics": {"visits": 2000, "orders": round((200 + day % 5) * (share if 1 <= day < 9 else 1))},
        }
        for day in range(62)
        for source, share in shares.items()
    ]
    send(embedded, hits)
    with watched(chromium, width) as (page, _):
        page.goto(f"{embedded.whale}/?{urlencode({'pk': unique, 'tiles': json.dumps(['orders/visits', 'orders'])})}")
        complete(page, "overview")
        expect(page.locator("#changed .story")).to_have_count(1)
        expect(page.locator("#changed .story")).to_contain_text("google")
        expect(page.locator("#changed .also")).to_have_count(2)
        expect(page.locator("#changed .also").first).to_contain_text(
            re.compile(r"^source fox fell from .+ since \w{3} \d+ \w{3}\.$")
        )
        check_still(page)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", VIEWS)
def test_no_view_moves_while_it_comes_and_everyone_can_read_it(
    chromium: Chromium, demo: Site, view: str, width: str
) -> None:
    with watched(chromium, width) as (page, _):
        opened(page, demo, view)
        check_still(page)
        if width == "wide":
            check_looks(page)
