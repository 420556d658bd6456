"""A test in the browser fails by itself where its page is at fault."""

import asyncio
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page

from tests.browser.visits import Chromium, check_keyboard, check_looks
from tests.servers import free_port, wait_until

GOOD = "<!DOCTYPE html><html lang=en><title>t</title><link rel=icon href='data:,'><main><h1>t</h1>%s</main>"
PAGES: dict[str, str] = {
    "good": "<script>console.log('fine'); console.warn('well')</script>",
    "logs": "<script>console.error('it hurts')</script>",
    "throws": "<script>null.of</script>",
    "rejects": "<script>Promise.reject(new Error('late'))</script>",
    "policy": "<script>document.title = 'never'</script>",
    "report-only": "<script>document.title = 'reported'</script>",
    "missing": "<script src=/none></script>",
    "refused": f"<img alt='' src=http://127.0.0.1:{free_port()}/>",
    "abroad": "<img alt='' src=http://example.com/pixel.gif>",
    "takes-back": "<script>let c = new AbortController(); fetch('/slow', {signal: c.signal}).catch(() => 0); c.abort()</script>",
    "pale": "<p style='color: #aaa; background: #fff'>pale</p>",
    "pale-dark": "<style>@media (prefers-color-scheme: dark) {body {background: #000; color: #333}}</style><p>pale</p>",
    "wide": "<div style='width: 600px'>wide</div>",
    "mouse": "<button style='outline: none'>b</button>",
    "jumps": "<a href=/good tabindex=2>a</a> <a href=/good tabindex=1>b</a>",
    "keys": "<a href=/good>a</a> <button>b</button> <button disabled>c</button> <button hidden>d</button>",
}
POLICY = {
    "policy": ("Content-Security-Policy", "script-src 'none'"),
    "report-only": ("Content-Security-Policy-Report-Only", "script-src 'none'"),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path[1:]
        if name == "slow":
            self.connection.recv(1)  # until the page takes its question back
            return
        body = (GOOD % PAGES.get(name, "")).encode()
        self.send_response(200 if name in PAGES else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if name in POLICY:
            self.send_header(*POLICY[name])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_page_without_fault_passes(page: Page, pages: str) -> None:
    for name in ("good", "takes-back"):
        page.goto(f"{pages}/{name}", wait_until="networkidle")
        assert page.inner_text("h1") == "t"


FAULTS = {
    "logs": "logged: it hurts",
    "throws": "thrown: Cannot read properties of null",
    "rejects": "thrown: late",
    "policy": "logged: .*violates the following Content Security Policy directive",
    "report-only": "logged: policy: script-src-elem forbids inline",
    "missing": "answered with 404: .*/none",
    "refused": "failed: .*: net::ERR_CONNECTION_REFUSED",
    "abroad": "asks another server: http://example.com/pixel.gif",
}


def test_each_fault_of_a_page_is_told_and_may_be_taken_out(page: Page, faults: list[str], pages: str) -> None:
    def is_told(fault: str) -> bool:
        page.evaluate("1")  # what was told before its answer is in `faults` then
        return re.search(fault, "\n".join(faults)) is not None

    for name, fault in FAULTS.items():
        page.goto(f"{pages}/{name}")
        wait_until(partial(is_told, fault), what=fault)
        page.goto("about:blank")  # whatever else it does is told by now
        faults.clear()


def test_a_fault_that_is_left_fails_the_test(chromium: Chromium, pages: str) -> None:
    with pytest.raises(AssertionError, match="logged: it hurts"), chromium.visit() as (page, _):
        page.goto(f"{pages}/logs")


def test_a_visit_sees_nothing_of_the_one_before(chromium: Chromium, pages: str) -> None:
    for _ in range(2):
        with chromium.visit() as (page, _):
            page.goto(f"{pages}/good")
            assert page.evaluate("[localStorage.seen, document.cookie]") == [None, ""]
            page.evaluate("localStorage.seen = 1; document.cookie = 'seen=1'")


def test_between_visits_no_event_loop_runs(chromium: Chromium, pages: str) -> None:
    """Else Django's ORM and asyncio.run, in a test that comes later, would refuse to work."""
    with chromium.visit() as (page, _):
        page.goto(f"{pages}/good")
    assert asyncio.run(asyncio.sleep(0, "ran")) == "ran"


def test_a_page_that_some_cannot_read_fails(page: Page, pages: str) -> None:
    faults = {
        "pale": "light: .*color contrast",
        "pale-dark": "dark: .*color contrast",
        "wide": "phone: 6.. pixels wide",
    }
    for name, fault in faults.items():
        page.goto(f"{pages}/{name}")
        with pytest.raises(AssertionError, match=f"(?s){fault}"):
            check_looks(page)


def test_a_page_that_needs_a_mouse_fails(page: Page, pages: str) -> None:
    for name, fault in {"mouse": "no ring around", "jumps": "Tab passes over .*a</a>"}.items():
        page.goto(f"{pages}/{name}")
        with pytest.raises(AssertionError, match=fault):
            check_keyboard(page)


def test_a_page_that_all_can_use_passes(page: Page, pages: str) -> None:
    page.goto(f"{pages}/keys")
    check_looks(page)
    assert check_keyboard(page) == ["a", "b"]
