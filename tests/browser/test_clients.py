"""Plausible's published trackers, unchanged, on a page in Chromium, which send to a real Hail; read back from Whale exactly."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.browser.tracking import PERSON, person
from tests.browser.visits import Chromium
from tests.clients import NEEDED, Clients
from tests.farm import ROOT, Farm
from tests.servers import RedisServer, missing

PAGES = Path(__file__).parent / "clients"
ESBUILD = ROOT / "node_modules" / ".bin" / "esbuild"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[str]:
    """Of the site, whose script is built of the packages."""
    if not (ROOT / "node_modules" / "@plausible-analytics").is_dir():
        missing("no packages of Node: run make servers")
    folder = tmp_path / "site"
    shutil.copytree(PAGES, folder)
    command = [str(ESBUILD), str(PAGES / "app.js"), "--bundle", f"--outfile={folder / 'app.js'}", "--log-level=error"]
    subprocess.run([*command, "--allow-overwrite"], check=True, cwd=ROOT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def test_plausibles_trackers_count_exactly(
    chromium: Chromium, origin: str, tmp_path: Path, own_redis: RedisServer
) -> None:
    with Farm(tmp_path, own_redis, None, **NEEDED) as farm, person(chromium) as (page, _):
        farm.start_whale()
        clients = Clients(farm)
        clients.site("web", origin)
        clients.wait_for_salt(origin, PERSON)
        page.add_init_script(f"window.name = {farm.url!r}")
        page.clock.install(time=1_795_000_000)
        page.clock.pause_at(1_795_000_010)
        with page.expect_response(f"{farm.url}/shop/api/event") as first:
            page.goto(f"{origin}/?utm_source=News&utm_medium=email")
        assert (first.value.status, first.value.text()) == (202, "ok")
        assert page.evaluate("signUp()") == {"status": 202}
        page.evaluate("olderEvent()")
        page.clock.run_for(4000)
        with page.expect_response(lambda answer: "pageview" in (answer.request.post_data or "")):
            page.evaluate("history.pushState({}, '', '/b')")  # before it the first page's engagement is sent
        page.evaluate(f"olderView('{origin}/older')")
        with page.expect_response(lambda answer: "Outbound" in (answer.request.post_data or "")):
            page.evaluate("document.querySelector('#out').addEventListener('click', event => event.preventDefault())")
            page.click("#out")
        clients.wait_for("web", 6)

        assert clients.totals("web", "pageviews", "revenue", "engaged_ms") == {
            "pageviews": 3,
            "revenue": 9.5,
            "engaged_ms": 4000,
        }
        assert clients.by("web", "page", "pageviews") == {"/": 1, "/b": 1, "/older": 1}
        assert clients.by("web", "page", "engaged_ms") == {"/": 4000}
        assert clients.by("web", "event") == {"pageview": 3, "Signup": 2, "outbound": 1}
        assert clients.by("web", "source", "pageviews") == {"news": 1, "direct": 2}
        assert clients.by("web", "outbound") == {"127.0.0.1/x": 1}
        assert clients.by("web", "browser") == {"Chrome": 6}
        assert clients.by("web", "device") == {"desktop": 6}
        assert clients.by(["__bots__", "web"], "class") == {}
        assert clients.events("web") == {"pageview": (3, 1), "Signup": (2, 1), "outbound": (1, 1)}  # one for a day
