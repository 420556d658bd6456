"""`hailwhale up --demo`, as a person starts it, kills it and starts it again: the shop counts itself, and nothing twice."""

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import requests

from hail.settings import load
from tests.servers import wait_until
from tests.up import UP, Demo
from whale.commands import shop
from whale.commands.crowd import FUNNEL, Lives
from whale.commands.shop import DAY, HOUR, Hit

SEED = 7
SETTINGS = load({})
METRICS = ["hits", "visits", "carts", "orders", "revenue", "ad_cost", "pageviews", "engaged_ms", "scroll_pct"]


class Shop:
    """A demo that runs, and a program that knows by heart what happened there."""

    def __init__(self, up: Demo):
        self.up = up
        self.known: dict[int, list[Hit]] = {}  # of each hour, since the book is slow

    def ask(self, route: str, **parameters: Any) -> Any:
        reply = requests.get(f"http://{self.up.whale}{route}", parameters, timeout=20)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def counted(self, start: int, end: int) -> Counter[str]:
        """What Whale counted in whole hours."""
        first, last = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M") for at in (start, end))
        span = f"1h:{first}..{last}"
        found = self.ask("/totals", pk="shop", metrics=json.dumps(METRICS), period=span)[span]
        return Counter({name: round(number, 2) for name, number in found["_"].items() if number})

    def happened(self, start: int, end: int) -> Counter[str]:
        """The same by the book: in sums, and visit by visit since the hour before the one in which the demo began."""
        state = self.up.state
        found: Counter[str] = Counter()
        for hour in range(start, end, HOUR):
            told = shop.sums if hour < state.began // HOUR * HOUR - HOUR else shop.visits
            if hour not in self.known:
                self.known[hour] = told(state.story, hour)
            for hit in self.known[hour]:
                if hit["at"] < state.to:
                    found.update(hit["metrics"])
        for hit in Lives(state.story, SETTINGS).between(start, min(end, state.crowd_to or start)):  # who are told apart
            found.update({"hits": 1} | hit["metrics"])
        return Counter({name: round(number, 2) for name, number in found.items()})

    def check(self) -> None:
        """All that happened by now is counted, once."""
        began, state = self.up.state.began // HOUR * HOUR, self.up.state
        past = state.story.since
        wait_until(lambda: self.counted(past, began) == self.happened(past, began), 60, "64 days, counted once", 0.2)
        wait_until(
            lambda: self.counted(began, began + 2 * HOUR) == self.happened(began, began + 2 * HOUR),
            60,
            "the hours since the start, counted once",
            0.2,
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    up = Demo(tmp_path_factory.mktemp("demo") / "var", SEED)
    up.start()
    yield Shop(up)
    if up.running:
        assert up.stop(signal.SIGTERM) == 0


def test_all_that_happened_is_counted_once_also_after_a_kill(running: Shop) -> None:
    running.up.wait()
    running.check()
    running.up.stop(signal.SIGKILL)
    running.up.start()
    running.up.wait()
    running.check()
    audit = subprocess.run([*UP[:-1], "audit"], env=running.up.environ, capture_output=True, text=True, timeout=60)
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_each_step_of_a_visitor_is_logged_and_counted_once_also_after_a_kill(running: Shop) -> None:
    running.up.wait()
    state = running.up.state
    end = state.began // DAY * DAY
    book = Lives(state.story, SETTINGS).between(state.story.since, end)
    assert len(book) > 20_000
    expected = Counter(hit["event"] for hit in book if "event" in hit)

    def logged() -> Counter[str]:
        """In whole days, since the last one goes on."""
        rows = running.ask("/events", pk="shop", start=state.story.since, finish=end, interval="day")
        return Counter({row["event"]: row["times"] for row in rows["events"]})

    wait_until(lambda: logged() == expected, 60, "the steps of visitors, logged once", 0.5)


def test_the_campaign_that_broke_is_told_over_http(running: Shop) -> None:
    running.up.wait()
    story = running.up.state.story
    ((source, campaign),) = shop.SOURCES[story.campaign].name.items()
    shift = running.ask("/shifts", pk="shop", metric="orders/visits", cost="revenue")["shifts"][0]
    assert shift["path"] == ["source", source, campaign]
    assert shift["cost"]["revenue"] < -1_000
    said = subprocess.run([*running.up.command, "--answer"], env=running.up.environ, capture_output=True, text=True)
    assert f"Since {shift['at'][:10]} " in said.stdout
    assert f" {source} > {campaign} " in said.stdout
    for known in (campaign, source):
        assert known not in running.up.said()  # who looks for it is not told


def test_every_view_has_something_to_say(running: Shop) -> None:
    running.up.wait()
    report = running.ask("/decisions/free-shipping")["report"]
    assert [option["trials"] > 100 for option in report["options"]] == [True] * 3
    assert report["sample_ratio"]["suspicious"] is False
    options = str(list(shop.BUTTONS))
    plain = running.ask("/decide", pk=shop.BUTTON, options=options, by_metric="bought/shown", trial="false")
    assert [row["n"] > 100 for row in plain["evidence"]] == [True] * 3
    outcomes = Counter(trace["outcome"] for trace in running.ask("/spy", limit="100"))
    assert outcomes["counted"] > 0
    assert outcomes["bad_metrics"] > 0
    compared = running.ask("/totals", pk="shop", metrics="visits", period="30d", compare="previous")
    visits = compared["30d"]["paths"]["_"]["visits"]
    assert 0.7 < visits["before"] / visits["now"] < 1


def test_visitors_of_the_shop_are_told_apart(running: Shop) -> None:
    running.up.wait()
    came = running.ask("/visitors", pk="shop", period="30d")
    assert came["visitors"] > 1_500
    assert 0.02 < came["returning"] / came["visitors"] < 0.5
    assert (came["exact"], came["is_incomplete"]) == (True, False)
    steps = running.ask("/funnel", pk="shop", steps=json.dumps(FUNNEL), period="30d")["steps"]
    assert all(one["visitors"] > 1.2 * other["visitors"] > 50 for one, other in pairwise(steps))
    names = {(row["property"], row["of"]) for row in running.ask("/properties", pk="shop")["properties"]}
    of_visits = (
        "page",
        "source",
        "channel",
        "campaign",
        "browser",
        "platform",
        "device",
        "screen",
        "language",
        "country",
    )
    assert names == {
        *((name, "visitor") for name in (*of_visits, "customer")),
        *((name, "event") for name in ("id", "name", "currency", "revenue")),
    }
    assert [funnel["name"] for funnel in running.ask("/funnels/shop")] == ["from visit to order"]
    saved = running.ask("/funnel", pk="shop", name="from visit to order", period="30d")["steps"]
    assert [step["event"] for step in saved] == list(FUNNEL)
    members = {
        row["name"]: running.ask("/visitors", pk="shop", period="30d", segment=row["name"])["visitors"]
        for row in running.ask("/segments/shop")
    }
    assert members.keys() == {"buyers", "baskets left", "on a phone"}
    assert all(50 < count < came["visitors"] for count in members.values())


def test_their_visits_have_sources_pages_attention_and_buyers(running: Shop) -> None:
    running.up.wait()
    sessions = running.ask("/sessions", site="shop", period="30d", by="source")
    assert {"google", "instagram", "newsletter", "direct"} <= {row["value"] for row in sessions["rows"]}
    assert 0.1 < sessions["bounce_rate"] < 0.6
    assert sessions["engaged_s"] > 20 * sessions["sessions"]
    assert sessions["duration"]["median"] > 10
    seen, views = (
        running.ask("/totals", pk="shop", metrics=name, period="30d")["30d"]["_"][name]
        for name in ("hits", "pageviews")
    )
    assert 0 < views < seen
    pages = running.ask("/rank", pk="shop", dimension="page", by="pageviews", limit="20", period="30d")["rows"]
    assert next(row["path"] for row in pages if row["value"]) == '["page", "/"]'


def test_the_pages_of_the_shop_are_printed_and_there(running: Shop) -> None:
    running.up.wait()
    assert f"its pages are at http://{running.up.hail}/: " in running.up.said()
    page = requests.get(f"http://{running.up.hail}/shoes/trail-runner", timeout=20)
    assert (page.status_code, "Trail runner" in page.text) == (200, True)
    (site,) = running.ask("/sites")
    port = running.up.hail.rpartition(":")[2]
    assert (site["open"], site["origins"]) == (True, [f"http://127.0.0.1:{port}", f"http://localhost:{port}"])
