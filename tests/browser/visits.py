"""Pages as a person meets them, in Debian's Chromium, and all that goes wrong in them.

with Chromium() as chromium:
    with chromium.visit() as (page, faults):
        page.goto(url)             # a page of playwright.sync_api
        ...
    # here AssertionError, if the page logged an error, threw, broke its policy, or got no answer

Nothing leaves this machine: other names than 127.0.0.1 and localhost do not resolve.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    WebError,
    expect,
    sync_playwright,
)

from tests.servers import ServerMissing, wait_until

OURS = {"127.0.0.1", "localhost"}
ARGUMENTS = [
    "--no-sandbox",  # as root there is none; only our own pages are opened
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, " + ", ".join(f"EXCLUDE {name}" for name in sorted(OURS)),
]
PATIENCE_MS = 20_000.0
expect.set_options(timeout=PATIENCE_MS)
TELL_REPORTS = """addEventListener("securitypolicyviolation", event => {
  if (event.disposition == "report") console.error(`policy: ${event.violatedDirective} forbids ${event.blockedURI}`)
})"""
"""What a policy forbids Chromium logs as an error, what it would only report it does not."""


class Look(NamedTuple):
    scheme: str
    width: int


LOOKS = {"light": Look("light", 1280), "dark": Look("dark", 1280), "phone": Look("light", 320)}
"""Each page must do in all of these. 320 pixels are a small phone, and a large one at 400 % (WCAG 1.4.10)."""


def find_chromium() -> str:
    if path := shutil.which("chromium"):
        return path
    raise ServerMissing("no chromium on PATH: install the package chromium")


class Chromium:
    """One process for many visits, which see nothing of each other."""

    def __init__(self, *more: str, without: str = "") -> None:
        """more: arguments.  without: one that Playwright would start it with."""
        self._path, self._more, self._without = find_chromium(), list(more), [without] if without else []

    def __enter__(self) -> "Chromium":
        self._playwright = sync_playwright().start()
        self._loop = asyncio.get_running_loop()
        self._browser = self._playwright.chromium.launch(
            executable_path=self._path, args=[*ARGUMENTS, *self._more], ignore_default_args=self._without
        )
        asyncio._set_running_loop(None)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio._set_running_loop(self._loop)
        self._browser.close()
        self._playwright.stop()

    @contextlib.contextmanager
    def visit(self, **options: Any) -> Iterator[tuple[Page, list[str]]]:
        """A page without cookies, cache or storage, and its faults so far: a test takes out those that it expects.

        options: of Browser.new_context.
        """
        with self._in_loop(), self._browser.new_context(**options) as context:
            context.set_default_timeout(PATIENCE_MS)
            faults = _watch(context)
            context.add_init_script(TELL_REPORTS)
            page = context.new_page()
            yield page, faults
            for each in context.pages:
                each.evaluate("0")  # its answer comes after all that was told before
        assert not faults, "\n".join(faults)

    @contextlib.contextmanager
    def _in_loop(self) -> Iterator[None]:
        """Playwright leaves its event loop as the running one of this thread, where Django and asyncio.run refuse to work."""
        asyncio._set_running_loop(self._loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)


def _watch(context: BrowserContext) -> list[str]:
    faults: list[str] = []

    def logged(message: ConsoleMessage) -> None:
        if message.type in ("error", "assert") and not message.text.startswith("Failed to load resource"):
            faults.append(f"logged: {message.text} ({message.location['url']}:{message.location['lineNumber']})")

    def thrown(error: WebError) -> None:
        faults.append(f"thrown: {error.error}")

    def asked(request: Request) -> None:
        if (host := urlsplit(request.url).hostname) and host not in OURS:
            faults.append(f"asks another server: {request.url}")

    def answered(response: Response) -> None:
        if response.status >= 400:
            faults.append(f"answered with {response.status}: {response.url}")

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # so ends a request that the page itself takes back, or leaves behind
            faults.append(f"failed: {request.url}: {request.failure}")

    def opened(page: Page) -> None:
        page.on("crash", lambda page: faults.append(f"crashed: {page.url}"))

    context.on("console", logged)
    context.on("weberror", thrown)
    context.on("request", asked)
    context.on("response", answered)
    context.on("requestfailed", failed)
    context.on("page", opened)
    return faults


STANDS = """() => !document.querySelector("[aria-busy=true]")
  && document.getAnimations().every(each => each.playState == "finished")"""
"""Nothing is awaited, and no colour is on its way from one look to the next."""


def check_looks(page: Page) -> None:
    """In every look the page is without a violation that axe-core knows, and no wider than its window."""
    for name, look in LOOKS.items():
        page.set_viewport_size({"width": look.width, "height": 720})
        page.emulate_media(color_scheme=look.scheme)  # type: ignore[arg-type]  # a plain str, of two
        wait_until(lambda: page.evaluate(STANDS), what="the page to stand still")
        results = Axe().run(page)
        assert not results.violations_count, f"{name}: {results.generate_report()}"
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= look.width, f"{name}: {wide} pixels wide"


REACHABLE = "a[href], button, input, select, textarea, summary, [tabindex='0'], [contenteditable]"


def check_keyboard(page: Page) -> list[str]:
    """Tab goes to all that can be used, in the order of the page, and each shows that it has the focus. Gives their texts."""
    usable = page.locator(REACHABLE).locator("visible=true").and_(page.locator(":not(:disabled, [tabindex='-1'])"))
    for each in usable.all():
        page.keyboard.press("Tab")
        focus = each.evaluate(
            "it => ({has: it === it.getRootNode().activeElement, ring: getComputedStyle(it).outlineStyle})"
        )
        assert focus["has"], f"Tab passes over {each.evaluate('it => it.outerHTML')}"
        assert focus["ring"] != "none", f"no ring around {each.evaluate('it => it.outerHTML')}"
    return usable.all_inner_texts()
