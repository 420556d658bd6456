"""What the tracker sends from a page in Chromium: each test waits for the hits that it names, at a Hail that writes them down."""

import re

import pytest
from playwright.sync_api import Page

from tests.browser.tracking import Recorder, forgive, ids, settle, tag
from tests.servers import wait_until

LATE = """() => {
  const data = 'data-trackr-type="offer" data-trackr-label="late" data-trackr-position="2"'
  document.body.insertAdjacentHTML('beforeend', `<button id="late" class="track-it" ${data}>Late</button>`)
}"""
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_a_script_tag_is_all_that_a_page_view_needs(page: Page, hail: Recorder) -> None:
    page.goto(hail.page("/?utm_source=news&token=secret#top"))
    hit = hail.wait("pageview")
    body = hail.bodies[0]
    assert body["account"] == "shop"
    assert abs(body["sent_at"] - hit["at"]) < 60_000
    assert hit["url"] == hail.page("/?utm_source=news")
    assert hit["referrer"] == ""
    assert hit["screen"] == page.evaluate("screen.width + 'x' + screen.height")
    assert UUID.fullmatch(hit["id"])
    assert isinstance(hit["load"], int)
    assert hit["bot"] is False
    assert ids(page.context).keys() == {"trackit_session", "trackit_v_visitor"}
    headers = hail.sent[0].headers
    assert headers["Content-Type"].startswith("text/plain")
    assert "Cookie" not in headers


def test_the_loader_of_aktivats_readme_works_as_it_is_written(page: Page, hail: Recorder) -> None:
    hail.head = f"""<script>window.trackrloadstart = new Date().getTime();</script>
    <script>
    var o = {{
      account: 7,
      trackrClass: "offer",
      serverUrl: "{hail.hail}"
    }};
    var r,s,t;r=false;s=document.createElement("script");s.type="text/javascript";s.src=o.serverUrl+"/js/trackr.js";s.onload=s.onreadystatechange=function(){{if(!r&&(!this.readyState||this.readyState==="complete")){{r=true;return window.trackr=new window.Trackr(o)}}}};t=document.getElementsByTagName("head")[0];t.appendChild(s)
    </script>"""  # noqa: E501  # as it stands there
    page.goto(hail.page("/"))
    assert hail.wait("pageview")["url"] == hail.page("/")
    assert hail.bodies[0]["account"] == 7
    page.evaluate("document.querySelector('#offer').className = 'offer'")
    page.hover("#offer")
    assert hail.wait("element")["properties"]["on"] == "mouseover"


def test_a_hit_has_what_aktivats_had(page: Page, hail: Recorder) -> None:
    """Of page /a?x=1&x=2&y=3#h and account 7: with the query and the hash that the page asks for."""
    hail.head = tag(hail.hail, account="7", query="x,y", hash="")
    page.goto(hail.page("/a?x=1&x=2&y=3&z=4#h"))
    hit = hail.wait("pageview")
    assert hit["url"] == hail.page("/a?x=1&x=2&y=3#h")
    assert re.fullmatch(r"\d+x\d+", hit["screen"])
    assert all(UUID.fullmatch(hit[name]) for name in ("id", "session", "v_visitor", "tab"))
    assert hail.bodies[0]["account"] == "7"


def test_a_session_ends_with_20_idle_minutes_and_the_visitor_stays(page: Page, hail: Recorder) -> None:
    """Two pages in 20 minutes, and a third after 21 idle ones."""
    page.clock.install()
    page.goto(hail.page("/"))
    page.clock.run_for(1000)
    first = hail.wait("pageview")
    page.goto(hail.page("/kettle.html"))
    page.clock.run_for(1000)
    second = hail.wait("pageview", 2)
    page.clock.fast_forward("21:00")
    page.goto(hail.page("/basket.html"))
    page.clock.run_for(1000)
    third = hail.wait("pageview", 3)
    assert first["session"] == second["session"] != third["session"]
    assert first["v_visitor"] == second["v_visitor"] == third["v_visitor"]
    assert first["tab"] == third["tab"]


def test_21_idle_minutes_are_one_minute_of_attention(page: Page, hail: Recorder) -> None:
    page.clock.install()
    page.goto(hail.page("/"))
    page.clock.run_for(5000)
    page.mouse.move(10, 10)
    page.clock.fast_forward("21:00")
    page.mouse.move(20, 20)
    page.clock.run_for(3000)
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert hail.wait("engagement")["engaged"] == pytest.approx(68_000, abs=1500)


def test_only_marked_elements_with_all_three_words_are_told(page: Page, hail: Recorder) -> None:
    """A click on an element with type, label and position is one hit, and without one of them none."""
    page.goto(hail.page("/account.html"))
    page.fill("#name", "Ann")
    page.click("#unmarked")
    page.goto(hail.page("/"))
    page.hover("#offer b")
    page.click("#offer b")
    page.wait_for_url("**/kettle.html")
    hail.wait("pageview", 3)
    settle(page, hail)
    told = [(hit["properties"]["on"], hit["properties"]["label"]) for hit in hail.named("element")]
    assert told.count(("blur", "name")) == told.count(("focus", "name")) == 1
    assert told.count(("click", "spring")) == told.count(("mouseover", "spring")) == 1
    assert "no position" not in [label for _, label in told]
    page.evaluate(LATE)
    page.click("#late")
    hail.wait("pageview", 3)
    settle(page, hail)
    assert [hit["properties"]["on"] for hit in hail.named("element") if hit["properties"]["label"] == "late"].count(
        "click"
    ) == 1
    blurred = next(hit for hit in hail.named("element") if hit["properties"]["on"] == "blur")
    assert blurred["properties"]["value"] == "Ann"


def test_secrets_are_never_sent(page: Page, hail: Recorder) -> None:
    """A password field that is marked for tracking sends no value and no key."""
    page.goto(hail.page("/account.html"))
    page.fill("#password", "hunter2")
    page.evaluate("document.querySelector('#password').type = 'text'")  # as a button does that shows it
    page.press("#password", "x")
    page.fill("#card", "4111111111111111")
    page.fill("#name", "Ann")
    page.click("h1")
    settle(page, hail)
    page.goto("about:blank")
    told = "".join(str(sent.body) for sent in hail.sent)
    assert "'value': 'Ann'" in told
    assert not any(secret in told for secret in ("hunter2", "hunter2x", "4111", "hush", "'key'"))


def test_who_logs_in_is_told_until_they_log_out(page: Page, hail: Recorder) -> None:
    """login(42), then a hit: it has user 42. logout, then a hit: it has none. No call throws."""
    page.goto(hail.page("/account.html"))
    page.click("#signup")
    assert hail.wait("signup") | {
        "visitor": "42",
        "properties": {"plan": "pro"},
        "signupDate": 1795776000,
    } == hail.wait("signup")
    page.evaluate("trackr.track('looked', {a: 1}, {b: 2})")
    looked = hail.wait("looked")
    assert (looked["visitor"], looked["properties"], looked["metrics"]) == ("42", {"a": 1}, {"b": 2})
    page.goto(hail.page("/"))
    assert hail.wait("pageview", 2)["visitor"] == "42"
    page.evaluate("trackr.updateUser({plan: 'max'}); trackr.logoutUser(); trackr.track('left')")
    assert hail.wait("left").get("visitor") is None
    assert (hail.wait("update")["visitor"], hail.wait("logout")["visitor"]) == ("42", "42")
    page.evaluate("trackr.loginAndImportUser('ann smith, 2', {plan: 'x'}, 5)")
    assert hail.wait("login") | {"visitor": "ann smith, 2", "signupDate": 5} == hail.wait("login")
    assert "trackit_visitor" in ids(page.context)


def test_a_thousand_clicks_at_a_slow_hail_are_a_thousand_hits(page: Page, hail: Recorder) -> None:
    hail.delay_s = 0.2
    page.goto(hail.page("/"))
    page.evaluate("""() => {
      addEventListener('click', (event) => event.preventDefault())
      const click = () => new MouseEvent('click', { bubbles: true, cancelable: true })
      for (let at = 0; at < 1000; at++) document.querySelector('#offer').dispatchEvent(click())
    }""")
    hail.wait("element", 1000)
    assert hail.counted()["element"] == 1000
    assert len(hail.sent) < 40


def test_what_a_page_could_not_send_comes_with_the_next_page_once(
    page: Page, faults: list[str], hail: Recorder
) -> None:
    hail.away = True
    page.goto(hail.page("/"))
    page.evaluate("trackr.goal('looked', 5)")
    page.goto(hail.page("/kettle.html"))
    hail.away = False
    page.goto(hail.page("/basket.html"))
    hail.wait("pageview", 3)
    hail.wait("goal")
    page.wait_for_function("localStorage['trackr_queue_shop'] == '[]'")
    assert hail.counted() | {"pageview": 3, "goal": 1} == hail.counted()
    forgive(page, faults, "ERR_EMPTY_RESPONSE", "answered with 403", "answered with 503")


def test_a_refused_hit_is_not_sent_again_and_a_503_is(page: Page, faults: list[str], hail: Recorder) -> None:
    hail.status = 403
    page.goto(hail.page("/"))
    page.wait_for_function("localStorage['trackr_queue_shop'] == '[]'")
    refused = len(hail.sent)
    hail.status = 503
    page.evaluate("trackr.goal('again')")
    wait_until(lambda: len(hail.sent) > refused, what="a 503")
    hail.status = 202
    assert hail.wait("goal")["properties"] == {"goal": "again"}
    assert "pageview" not in hail.counted()
    forgive(page, faults, "ERR_EMPTY_RESPONSE", "answered with 403", "answered with 503")
