"""How long the dashboard takes in a browser on a pk with 10,000 children, and what /shifts over them takes beyond reading them.

    python -m benchmarks.dashboard                 20 visits, 100 answers
    python -m benchmarks.dashboard --visits 50 --asks 300

The hits: 10,000 values of a dimension on each of 61 days, with visits and orders; one value stopped ordering eight days ago. A visit
is a new browser without a cache on one machine with all servers. Script is the time in which the browser runs JavaScript, as it says.
"""

import argparse
import http.client
import json
import statistics
import time
from typing import Any
from urllib.parse import urlencode

import numpy as np
from playwright.sync_api import CDPSession, Page

from benchmarks.report import Figure, report
from benchmarks.services import Setup, answer_ms
from hail.hit import encode_hit, parse_hit
from hail.message import decode_message, encode_message
from hail.settings import DAY, Settings
from tests.browser.visits import Chromium
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store.redis import connect

VALUES, DAYS, BROKEN, BROKE, WARM, PK = 10_000, 61, 7, 8, 5, "many"
SHIFTS = [
    ("/shifts over 10,000 values x 30 days, a count", {"metric": "orders"}),
    ("the same, a ratio with a cost", {"metric": "orders/visits", "cost": "visits"}),
]
POLLS, SERIES, POINTS = 20, 10, 1_440

# When something is first seen, in milliseconds since the visit began; looked at in each frame.
WATCH = """
const seen = window.seen = {};
const look = () => {
  const now = performance.now();
  const main = document.querySelector('#main');
  if (!seen.chart && main?.querySelector('canvas')) seen.chart = now;
  if (main?.querySelector('[data-view]') && !main.querySelector('[aria-busy="true"]')) seen.all ??= now; else delete seen.all;
  if (!seen.all || now - seen.all < 300) requestAnimationFrame(look);
};
requestAnimationFrame(look)
"""
SETTLED = """
() => new Promise((done) => {
  const look = () => (performance.now() - window.seen.all > 300 ? done() : setTimeout(look, 20));
  look();
})
"""
QUIET = """
() => new Promise((done) => {
  const look = () => (document.querySelector('#main [aria-busy]') ? setTimeout(look, 20) : done());
  look();
})
"""
DRAW = """
async ([series, points]) => {
  const folder = document.querySelector('script[type=module]').src.replace(/main\\.js$/, '');
  const { draw } = await import(folder + 'chart.js');
  const place = Object.assign(document.createElement('div'), { id: 'drawn' });
  document.querySelector('#main').prepend(place);
  const times = Array.from({ length: points }, (_, i) => 1.7e12 + i * 6e4);
  const values = () => times.map((_, i) => Math.sin(i / 40) * 50 + Math.random() * 30 + 100);
  const took = [];
  for (let run = 0; run < 7; run += 1) {
    const lines = Array.from({ length: series }, (_, i) => ({ name: `s${i}`, values: values() }));
    const begun = performance.now();
    const page = { signal: new AbortController().signal, zone: 'UTC' };
    draw(place, { page, metric: { unit: 'count' }, times, width: 6e4, series: lines });
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    took.push(performance.now() - begun);
  }
  return took;
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=20)
    parser.add_argument("--asks", type=int, default=100)
    options = parser.parse_args()
    with RedisServer(appendonly="no") as redis:
        setup = Setup(redis.url)
        count(setup.settings)
        with setup.whale():
            figures = [figure for what, with_ in SHIFTS for figure in beyond_reading(setup, what, with_, options.asks)]
            with Chromium() as chromium:
                figures += in_a_browser(chromium, setup, options.visits)
    report("dashboard", figures)


def count(settings: Settings) -> None:
    """Counts the data, a few messages a day."""
    applier, now, random = Applier(connect(settings), settings), time.time(), np.random.default_rng(5)
    for day in range(DAYS):
        visits = random.poisson(np.where(np.arange(VALUES) == BROKEN, 600, 60))
        rates = np.where((np.arange(VALUES) == BROKEN) & (day < BROKE), 0.0, 0.2)
        orders = random.binomial(visits, rates)
        rows = []
        for value in range(VALUES):
            metrics = {"hits": int(visits[value]), "visits": int(visits[value]), "orders": int(orders[value])}
            hit = {"pk": PK, "at": now - day * DAY, "dimensions": {"value": f"v{value}"}, "metrics": metrics}
            rows.append(encode_hit(parse_hit(hit, settings, now)))
        for part, first in enumerate(range(0, VALUES, 2000)):
            apply(applier, day * 10 + part, rows[first : first + 2000], now)


def count_one(settings: Settings, seq: int) -> None:
    now = time.time()
    hit = {"pk": PK, "at": now, "dimensions": {"value": "v1"}, "metrics": {"hits": 1, "visits": 1}}
    apply(Applier(connect(settings), settings), seq, [encode_hit(parse_hit(hit, settings, now))], now)


def apply(applier: Applier, seq: int, rows: list[bytes], now: float) -> None:
    applier.apply([decode_message(encode_message("0" * 16, seq, "default", len(rows), int(now * 1000), rows))], now)


def beyond_reading(setup: Setup, what: str, with_: dict[str, str], asks: int) -> list[Figure]:
    """The whole answer over HTTP, and without the time that Whale says it took to read."""
    address = f"/shifts?{urlencode({'pk': PK, 'period': '1d:29d', **with_})}"
    took = answer_ms(setup.whale_port, [address] * (WARM + asks), WARM)
    reading = [read_ms(setup.whale_port, f"{address}&explain=1") for _ in range(max(5, asks // 10))]
    median = statistics.median(took)
    return [
        Figure(f"{what}, p50", [median], "ms"),
        Figure(f"{what}, p99", [statistics.quantiles(took, n=100)[-1]], "ms"),
        Figure(f"{what}, p50 beyond reading", [median - statistics.median(reading)], "ms", 150.0, less=True),
    ]


def read_ms(port: int, address: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", address)
    said = json.loads(connection.getresponse().read())
    connection.close()
    assert [shift["path"] for shift in said["answer"]["shifts"]] == [["value", f"v{BROKEN}"]]
    return float(sum(read["ms"] for read in said["explain"]["reads"]))


def in_a_browser(chromium: Chromium, setup: Setup, visits: int) -> list[Figure]:
    address = f"http://127.0.0.1:{setup.whale_port}/?{urlencode({'pk': json.dumps([PK])})}"
    seen: dict[str, list[float]] = {"paint": [], "chart": [], "all": []}
    for visit in range(visits + 1):
        with chromium.visit(viewport={"width": 1280, "height": 900}) as (page, _):
            page.add_init_script(WATCH)
            page.goto(address)
            page.evaluate(SETTLED)
            if visit:  # the first one starts the browser's own processes
                for name, value in page.evaluate(
                    "({ ...window.seen, paint: performance.getEntriesByName('first-paint')[0]?.startTime ?? 0 })"
                ).items():
                    seen[name].append(value)
            if visit == visits:
                refreshed = script_of_refreshes(page)
                drawn = page.evaluate(DRAW, [SERIES, POINTS])
                polled = script_of_polls(page, setup.settings, address)
    return [
        Figure("overview of a pk with 10,000 children: first paint", seen["paint"], "ms"),
        Figure("the same: first chart", seen["chart"], "ms", 300.0, less=True),
        Figure("the same: all", seen["all"], "ms", 1000.0, less=True),
        Figure("the same, shown anew: script", refreshed, "ms"),
        Figure("the live view, a poll: script", polled, "ms", 5.0, less=True),
        Figure(f"a chart of {SERIES} series x {POINTS:,} points, to the next frame", drawn, "ms", 50.0, less=True),
    ]


def script_of_refreshes(page: Page) -> list[float]:
    """Milliseconds of script for each time that the overview is asked for anew, as it is each minute."""
    session = measured(page)
    took = []
    for _ in range(POLLS):
        before = script_ms(session)
        page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
        page.evaluate(QUIET)
        took.append(script_ms(session) - before)
    return took


def script_of_polls(page: Page, settings: Settings, address: str) -> list[float]:
    """Milliseconds of script for each time that the live view asks, where it may not stream; a hit came meanwhile."""
    page.goto(f"{address}&view=live")
    page.locator("#pause").wait_for()
    session = measured(page)
    took = []
    for poll in range(POLLS):
        count_one(settings, DAYS * 10 + poll)
        before = script_ms(session)
        with page.expect_response(lambda response: "/totals" in response.url):
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.evaluate("new Promise((done) => setTimeout(done, 50))")
        took.append(script_ms(session) - before)
    return took


def measured(page: Page) -> CDPSession:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    return session


def script_ms(session: CDPSession) -> float:
    found: dict[str, Any] = session.send("Performance.getMetrics")
    return 1000 * float(next(each["value"] for each in found["metrics"] if each["name"] == "ScriptDuration"))


if __name__ == "__main__":
    main()
