"""Pages that break what the tracker stands on: it throws nothing into them, hinders them in nothing, and counts what can be counted."""

import pytest
from playwright.sync_api import Page

from tests.browser.tracking import Recorder, forgive, settle
from tests.servers import wait_until

FULL = """Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }
for (const name of ['localStorage', 'sessionStorage']) {
  const held = new Proxy({}, { set () { throw new DOMException('full', 'QuotaExceededError') } })
  Object.defineProperty(window, name, { get: () => held })
}"""
SPOILT = {
    "frozen prototypes": """[Object, Array, Function, String, Promise, Date, RegExp, History, Navigator, Document, Element]
      .forEach((each) => Object.freeze(each.prototype))""",
    "a frozen history": "Object.freeze(history)",
    "a fetch that throws": """const real = fetch; let times = 0
      window.fetch = (...a) => { if (!times++) throw new Error('no'); return real(...a) }""",
    "a fetch that gives nothing": "const real = fetch; let times = 0; window.fetch = (...a) => times++ ? real(...a) : undefined",
    "a fetch that answers nothing": """const real = fetch; let times = 0
      window.fetch = (...a) => times++ ? real(...a) : Promise.resolve()""",
    "a storage that is full": FULL,
    "a storage that throws": "Object.defineProperty(window, 'localStorage', { get () { throw new Error('no') } })",
    "JSON that throws at first": """const real = JSON.stringify; let times = 0
      JSON.stringify = (...a) => { if (times++ < 3) throw new Error('no'); return real(...a) }""",
    "no beacon": "Navigator.prototype.sendBeacon = undefined",
    "a beacon that throws": "Navigator.prototype.sendBeacon = () => { throw new Error('no') }",
    "an element of its name": "document.write('<form id=trackr><input name=q><input name=options></form>')",
    "properties of all objects": "Object.prototype.more = function () {}; Array.prototype.more = function () {}",
    "a cookie that is no text": "document.cookie = 'trackit_visitor=%E0%A4%A; path=/'",
    "no cookies": """const no = () => { throw new Error('no') }
      Object.defineProperty(Document.prototype, 'cookie', { get: no, set: no })""",
    "a clock that is a text": "performance.now = () => 'now'",
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_page_that_breaks_something_is_counted_and_works(page: Page, hail: Recorder, name: str) -> None:
    hail.head = f"<script>{SPOILT[name]}</script>{hail.head}"
    page.goto(hail.page("/kettle.html"))
    page.click("#add")
    page.evaluate("trackr.track('told', { a: 1 }); trackr.track('later')")
    hail.wait("later")
    wait_until(
        lambda: {"view_product", "add_to_cart"} <= hail.counted().keys() or "JSON" in name, 20, "what the page told"
    )
    page.evaluate("history.pushState({}, '', '/next')")
    assert page.url == hail.page("/next")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    if "JSON" not in name:
        hail.wait("pageview")
    page.goto(hail.page("/thanks.html"))
    hail.wait("pageview", 1 if "JSON" in name else 2)


def test_what_a_page_changes_later_is_sent_as_it_was_told(page: Page, hail: Recorder) -> None:
    page.goto(hail.page("/"))
    page.evaluate("""() => {
      const order = { id: 'A7', parts: ['a'] }
      trackr.track('first', order)
      order.itself = order
      order.id = 1n
      trackr.track('second')
    }""")
    hail.wait("second")
    assert hail.wait("first")["properties"] == {"id": "A7", "parts": ["a"]}


@pytest.mark.parametrize("id_", ["undefined", "null", "''", "NaN", "{}", "[]"])
def test_who_logs_in_without_an_id_is_nobody(page: Page, hail: Recorder, id_: str) -> None:
    page.goto(hail.page("/"))
    page.evaluate(f"trackr.loginUser({id_}); trackr.track('in')")
    assert hail.wait("in").get("visitor") is None
    page.goto(hail.page("/thanks.html"))
    assert hail.wait("pageview", 2).get("visitor") is None


def test_a_hundred_routes_a_second_throw_nothing_and_the_last_is_told(page: Page, hail: Recorder) -> None:
    page.goto(hail.page("/app"))
    page.evaluate("""async () => {
      for (let at = 0; at < 100; at++) {
        go('/app/' + at)
        await new Promise(done => setTimeout(done, 1))
      }
    }""")
    settle(page, hail)
    views = [hit["url"] for hit in hail.named("pageview")]
    assert views[-1] == hail.page("/app/99")
    assert len(views) == len(set(views)) <= 101
    assert len(hail.sent) < 60


def test_a_page_that_is_written_anew_after_it_came_throws_nothing(page: Page, hail: Recorder) -> None:
    page.goto(hail.page("/"))
    hail.wait("pageview")
    page.evaluate(
        "tag => { document.open(); document.write('<title>new</title><h1>new</h1>' + tag); document.close() }",
        hail.head,
    )
    page.evaluate("trackr.track('after')")
    hail.wait("after")
    assert hail.counted() | {"pageview": 1, "after": 1} == hail.counted()


def test_a_sandbox_without_an_origin_throws_nothing_and_keeps_nothing(
    page: Page, faults: list[str], hail: Recorder
) -> None:
    hail.more["/inner"] = hail.head
    hail.more["/outer"] = '<iframe sandbox="allow-scripts" src="/inner"></iframe>'
    with page.expect_response(lambda answer: answer.url.endswith("trackr.js")):
        page.goto(hail.page("/outer"))
    inner = page.frames[1]
    inner.wait_for_function("window.trackr && trackr.options")
    inner.evaluate(
        "trackr.track('in it'); trackr.goal('x'); trackr.loginUser(7); trackr.consent(false); trackr.off(); 0"
    )
    page.evaluate("0")
    faults[:] = [fault for fault in faults if "sandboxed" not in fault]  # app.js of the page itself


def test_a_policy_that_lets_nothing_be_sent_throws_nothing(page: Page, faults: list[str], hail: Recorder) -> None:
    hail.policy = f"default-src 'none'; script-src {hail.hail} 'self' 'unsafe-inline'"
    page.goto(hail.page("/kettle.html"))
    page.click("#add")
    page.wait_for_function("JSON.parse(localStorage.trackr_queue_shop).length > 1")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    forgive(page, faults, "Content Security Policy", "violates", "policy")
    hail.policy = ""
    page.goto(hail.page("/thanks.html"))
    hail.wait("add_to_cart")
    hail.wait("pageview", 2)


def test_a_worker_of_the_page_that_answers_500_loses_nothing(page: Page, faults: list[str], hail: Recorder) -> None:
    page.goto(hail.page("/thanks.html"))
    hail.wait("pageview")
    page.route("**/track", lambda route: route.fulfill(status=500))
    page.evaluate("trackr.goal('kept')")
    page.wait_for_function("JSON.parse(localStorage.trackr_queue_shop).some(hit => hit.event == 'goal')")
    page.evaluate("fetch('/').then(answer => answer.text())")
    assert "goal" not in hail.counted()
    page.unroute("**/track")
    hail.wait("goal")
    forgive(page, faults, "answered with 500")
    assert hail.counted()["goal"] == 1
