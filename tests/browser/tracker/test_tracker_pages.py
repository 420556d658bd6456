"""Which pages the tracker counts, and how often: by loads, routes, tabs, the back button, prerendering, and pages that end at any time."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.tracking import NO_PROGRAM, PERSON, SETTLED, Recorder, forgive, ids, person, settle, tag
from tests.browser.visits import ARGUMENTS, Chromium, find_chromium
from tests.servers import wait_until


def views(hail: Recorder) -> list[tuple[str, str]]:
    """Path, and that of the page before, of each page view in order."""
    parts = (f"http://localhost:{hail.port}", f"http://127.0.0.1:{hail.port}")
    found = []
    for hit in hail.named("pageview"):
        found.append(tuple(hit[name].replace(parts[0], "").replace(parts[1], "") for name in ("url", "referrer")))
    return found


def test_a_page_that_is_closed_tells_how_long_it_was_seen(page: Page, hail: Recorder) -> None:
    page.goto(hail.page("/kettle.html"))
    hail.wait("pageview")
    page.mouse.wheel(0, 4000)
    page.wait_for_function(BOTTOM)
    page.evaluate("trackr.track('last')")
    page.close()
    assert hail.wait("last")["url"] == hail.page("/kettle.html")
    hail.wait("engagement")
    wait_until(lambda: sum(hit["depth"] for hit in hail.named("engagement")) == 100, what="all of the page")
    assert {hit["url"] for hit in hail.named("engagement")} == {hail.page("/kettle.html")}
    assert sum(hit["engaged"] for hit in hail.named("engagement")) > 0


def test_attention_adds_up_however_often_a_page_hides(page: Page, hail: Recorder) -> None:
    page.goto(hail.page("/kettle.html"))
    hail.wait("pageview")
    for _ in range(3):
        page.evaluate("dispatchEvent(new Event('pagehide'))")
    page.mouse.wheel(0, 4000)
    page.wait_for_function(BOTTOM)
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    wait_until(lambda: sum(hit["depth"] for hit in hail.named("engagement")) == 100, what="all of the page")
    seen = sum(hit["engaged"] for hit in hail.named("engagement"))
    assert 0 < seen <= page.evaluate("performance.now()")


def test_while_hail_is_away_for_ten_seconds_nothing_is_lost_and_nothing_counts_twice(
    page: Page, faults: list[str], hail: Recorder
) -> None:
    page.clock.install()
    hail.away = True
    page.goto(hail.page("/"))
    for second in range(10):
        page.evaluate(f"trackr.track('second', {{second: {second}}})")
        page.clock.run_for(1000)
        page.evaluate("fetch('/').then(answer => answer.text())")  # the request before it has failed by then
    assert not hail.hits
    hail.away = False
    page.clock.run_for(16_000)
    hail.wait("second", 10)
    hail.wait("pageview")
    assert hail.counted() == {"pageview": 1, "second": 10}
    forgive(page, faults, "ERR_EMPTY_RESPONSE", "answered with 403", "answered with 503")


def test_without_the_script_the_page_does_what_it_did(page: Page, faults: list[str], hail: Recorder) -> None:
    page.route("**/js/*", lambda route: route.abort("blockedbyclient"))
    page.goto(hail.page("/basket.html"))
    page.click("#buy")
    page.wait_for_url("**/thanks.html")
    forgive(page, faults, "ERR_BLOCKED_BY_CLIENT")
    assert not hail.sent


def test_a_script_that_comes_late_counts_the_page_and_what_was_told_before(page: Page, hail: Recorder) -> None:
    hail.head = ""
    page.goto(hail.page("/kettle.html"))
    page.evaluate(ADD, f"{hail.hail}/js/trackr.js")
    hail.wait("pageview")
    hail.wait("view_product")
    assert hail.counted() == {"pageview": 1, "view_product": 1}


def test_a_script_that_is_there_twice_counts_once(page: Page, hail: Recorder) -> None:
    hail.head = hail.head + tag(hail.hail) + tag(hail.hail, "/js/trackr.core.js")
    page.goto(hail.page("/"))
    page.hover("#offer")
    hail.wait("element")
    settle(page, hail)
    assert hail.counted() == {"pageview": 1, "element": 1}


def test_two_accounts_on_a_page_count_both(page: Page, hail: Recorder) -> None:
    hail.head = hail.head + tag(hail.hail, account="agency")
    page.goto(hail.page("/"))
    wait_until(lambda: {body["account"] for body in hail.bodies} == {"shop", "agency"}, what="both")
    assert hail.counted()["pageview"] == 2


def test_two_tabs_are_one_session_of_one_visitor(page: Page, hail: Recorder) -> None:
    page.goto(hail.page("/"))
    one = hail.wait("pageview")
    other_page = page.context.new_page()
    other_page.goto(hail.page("/kettle.html"))
    other = hail.wait("pageview", 2)
    assert (one["session"], one["v_visitor"]) == (other["session"], other["v_visitor"])
    assert one["tab"] != other["tab"]
    page.evaluate("trackr.logoutUser(); trackr.loginUser(7)")
    hail.wait("login")

    def known() -> bool:
        settle(other_page, hail)
        return hail.named(SETTLED)[-1]["visitor"] == "7"

    wait_until(known, what="the other tab to know")


def test_who_asks_for_privacy_is_counted_and_leaves_nothing_behind(page: Page, hail: Recorder) -> None:
    page.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
    )
    page.goto(hail.page("/account.html"))
    page.click("#signup")
    hail.wait("signup")
    page.goto(hail.page("/"))
    hail.wait("pageview", 2)
    assert {hit["anonymous"] for hit in hail.hits} == {1}
    assert not any(hit.keys() & {"session", "v_visitor", "visitor", "tab", "entry_url"} for hit in hail.hits)
    assert ids(page.context) == {}
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


def test_a_strict_policy_lets_it_work(page: Page, hail: Recorder) -> None:
    hail.policy = (
        f"default-src 'none'; script-src {hail.hail} 'self'; connect-src {hail.hail}; img-src data:; style-src 'unsafe-inline';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    )
    page.goto(hail.page("/kettle.html"))
    page.click("#add")
    hail.wait("add_to_cart")
    page.close()
    hail.wait("engagement")


# Routes


def test_each_route_of_an_application_is_a_page_and_a_new_address_of_the_same_is_none(
    page: Page, hail: Recorder
) -> None:
    page.goto(hail.page("/app?utm_source=news"))
    hail.wait("pageview")
    page.evaluate("replace('/app')")  # as frameworks take campaigns out of the address
    page.evaluate("go('/app/one')")
    hail.wait("pageview", 2)
    page.evaluate("replace('/app/one?sort=price'); replace('/app/one?sort=name'); replace('/app/one#part')")
    page.evaluate("go('/app/two'); go('/app/three')")  # of which a person sees the last
    hail.wait("pageview", 3)
    page.go_back()
    hail.wait("pageview", 4)
    settle(page, hail)
    assert views(hail) == [
        ("/app?utm_source=news", ""),
        ("/app/one", "/app?utm_source=news"),
        ("/app/three", "/app/one"),
        ("/app/two", "/app/three"),
    ]


def test_a_query_that_is_listed_makes_a_page(page: Page, hail: Recorder) -> None:
    hail.head = tag(hail.hail, query="q,page")
    page.goto(hail.page("/app?q=kettle"))
    hail.wait("pageview")
    page.evaluate("replace('/app?q=kettle&other=1')")
    page.evaluate("replace('/app?q=kettle&page=2')")
    hail.wait("pageview", 2)
    settle(page, hail)
    assert [url for url, _ in views(hail)] == ["/app?q=kettle", "/app?q=kettle&page=2"]


def test_hashes_are_routes_where_the_page_says_so(page: Page, hail: Recorder) -> None:
    hail.head = tag(hail.hail, hash="")
    page.goto(hail.page("/app#/one"))
    hail.wait("pageview")
    page.evaluate("location.hash = '/two'")
    hail.wait("pageview", 2)
    page.go_back()
    hail.wait("pageview", 3)
    settle(page, hail)
    assert [url for url, _ in views(hail)] == ["/app#/one", "/app#/two", "/app#/one"]


def test_attention_is_told_under_the_route_that_had_it(page: Page, hail: Recorder) -> None:
    page.goto(hail.page("/app/one"))
    hail.wait("pageview")
    page.wait_for_function("performance.now() > 500")
    page.evaluate("go('/app/two')")
    hail.wait("pageview", 2)
    assert hail.wait("engagement")["url"] == hail.page("/app/one")


# The back button, and pages that nobody sees yet


@pytest.fixture
def caching() -> Iterator[Chromium]:
    with Chromium(without="--disable-back-forward-cache") as chromium:
        yield chromium


def test_going_back_ten_times_is_ten_pages(caching: Chromium, hail: Recorder) -> None:
    with person(caching) as (page, _):
        page.add_init_script(KEPT)
        page.goto(hail.page("/"))
        hail.wait("pageview")
        page.goto(hail.page("/thanks.html"))
        hail.wait("pageview", 2)
        for turn in range(5):
            page.evaluate("history.back()")  # Playwright waits for a load that does not come
            hail.wait("pageview", 3 + 2 * turn)
            page.evaluate("history.forward()")
            hail.wait("pageview", 4 + 2 * turn)
        assert page.evaluate("window.kept") == 5, "the browser kept no page"
    settled = [url for url, _ in views(hail)]
    assert settled == ["/", "/thanks.html"] * 6
    assert len(hail.named("pageview")) == 12


def test_a_page_that_is_prerendered_counts_when_it_is_seen(hail: Recorder, tmp_path: Path) -> None:
    """By a Chromium that nobody is attached to: one that is driven runs a prerendered page only once it is seen.

    Parts of it write into its folder for a moment after it has ended.
    """
    rules = (
        '<script type="speculationrules">{"prerender": [{"urls": ["/kettle.html"], "eagerness": "immediate"}]}</script>'
    )
    hail.more["/"] = f"{rules}<script>{NO_PROGRAM}</script>{hail.head}<script>{GO}</script>"
    hail.more["/kettle.html"] = f"<script>{NO_PROGRAM};{SAY}</script>{hail.head}"
    command = [
        find_chromium(),
        "--headless=new",
        *ARGUMENTS,
        f"--user-data-dir={tmp_path}",
        f"--user-agent={PERSON}",
        hail.page("/"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        hail.wait("pageview")
        wait_until(lambda: asked(hail, "/prerendered.js"), what="the page to run unseen")
        purposes = [headers.get("Sec-Purpose") for path, headers in hail.asked if path == "/kettle.html"]
        assert purposes == ["prefetch;prerender"]
        before = hail.counted()
        hail.ready = True
        hit = hail.wait("pageview", 2)
    finally:
        process.terminate()
        process.wait(20)
    assert before == {"pageview": 1}
    assert len([path for path, _ in hail.asked if path == "/kettle.html"]) == 1, "it was loaded again"
    assert [url for url, _ in views(hail)] == ["/", "/kettle.html"]
    assert hit["load"] == 0


BOTTOM = "scrollY + innerHeight > document.documentElement.scrollHeight - 2"
ADD = """(src) => {
  const script = document.createElement('script')
  script.src = src
  script.dataset.account = 'shop'
  document.head.append(script)
}"""
KEPT = "addEventListener('pageshow', event => { if (event.persisted) window.kept = (window.kept || 0) + 1 })"
GO = """setInterval(async () => {
  if (await (await fetch('/ready.js')).text() == 'yes') location.href = '/kettle.html'
}, 100)"""
SAY = """addEventListener('DOMContentLoaded', () => setTimeout(() => {
  if (document.prerendering) fetch('/prerendered.js')
}, 500))"""


def asked(hail: Recorder, path: str) -> bool:
    return any(each == path for each, _ in hail.asked)


def test_a_tab_in_the_background_counts_when_it_is_looked_at(page: Page, hail: Recorder) -> None:
    page.add_init_script("""
        let hidden = true
        Object.defineProperty(document, 'hidden', {get: () => hidden})
        window.look = () => { hidden = false; document.dispatchEvent(new Event('visibilitychange', {bubbles: true})) }
    """)
    page.goto(hail.page("/"))
    settle(page, hail)
    assert hail.counted() == {}
    page.evaluate("look(); look()")
    hail.wait("pageview")
    assert hail.counted() == {"pageview": 1}


# Links


def test_links_go_where_they_went_and_count_once(page: Page, faults: list[str], hail: Recorder) -> None:
    hail.head = tag(hail.hail, outbound="true", downloads="true")
    page.context.route(
        "https://maker.example/**", lambda route: route.fulfill(body="the maker", content_type="text/html")
    )
    page.goto(hail.page("/kettle.html"))
    for options in ({"button": "middle"}, {"modifiers": ["Control"]}):
        with page.context.expect_page() as opened:
            page.click("#maker", **options)
        opened.value.close()
        assert page.url == hail.page("/kettle.html")
    page.evaluate("document.querySelector('#manual').addEventListener('click', event => event.preventDefault())")
    page.click("#manual")
    page.click("#manual", button="right")
    hail.wait("download")
    page.click("#maker")
    page.wait_for_url("https://maker.example/**")
    hail.wait("outbound", 3)
    assert hail.counted() | {"outbound": 3, "download": 1} == hail.counted()
    forgive(page, faults, "asks another server: https://maker.example")
    assert {hit["properties"]["to"] for hit in hail.named("outbound")} == {"maker.example/kettles"}
    assert hail.wait("download")["properties"] == {"file": "/manual.pdf"}


def test_a_clock_that_is_wrong_says_by_how_much(page: Page, hail: Recorder) -> None:
    page.clock.install(time=time.time() - 86_400)
    page.goto(hail.page("/"))
    page.clock.run_for(1000)
    hail.wait("pageview")
    body = hail.bodies[0]
    assert abs(body["sent_at"] - (time.time() - 86_400) * 1000) < 60_000
    assert abs(body["sent_at"] - body["hits"][0]["at"]) < 2000
