"""make screenshots: each view of the dashboard on the demo, in light, dark and on a phone.

    python -m tests.browser.pictures [FOLDER]      all, into FOLDER (default .cache/pictures); those that the docs show, into docs/pictures

The seed is fixed, the locale is English, the zone is UTC. The story of the demo ends now, so dates are those of the day on which the
pictures are taken. Needs fonts-inter and pngquant of Debian, which `make screenshots` installs.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.browser.visits import Chromium
from tests.up import Demo

ROOT = Path(__file__).parents[2]
SHOWN = ROOT / "docs/pictures"
SEED = 21


class Look(NamedTuple):
    scheme: str
    wide: int
    high: int


LOOKS = {"light": Look("light", 1280, 800), "dark": Look("dark", 1280, 800), "phone": Look("light", 390, 844)}
VIEWS: dict[str, dict[str, str]] = {
    "overview": {"pk": '["shop"]'},
    "breakdown": {"view": "breakdown", "pk": '["shop"]', "dim": "source", "metric": "orders/visits"},
}
"""The parameters of each in the address."""
IN_DOCS = {"overview-light", "overview-dark", "overview-phone", "breakdown-light"}
STILL = """
() => new Promise((done) => {
  let since = performance.now()
  new MutationObserver(() => (since = performance.now())).observe(document.body, { subtree: true, childList: true, attributes: true })
  const look = () => (performance.now() - since > 700 ? done() : setTimeout(look, 50))
  document.fonts.ready.then(look)
})
"""


@contextmanager
def demo(folder: Path) -> Iterator[str]:
    """The address of Whale, when all that the demo has to tell is counted."""
    up = Demo(folder / "var", SEED)
    up.start()
    try:
        up.wait()
        yield f"http://{up.whale}"
    finally:
        up.stop(signal.SIGTERM)


def take(page: Page, whale: str, view: str, look: Look, file: Path) -> None:
    page.goto(f"{whale}/?{urlencode(VIEWS[view])}")
    expect(page.locator("#main [data-view]")).to_be_visible()
    expect(page.locator('#main [aria-busy="true"]')).to_have_count(0)
    page.evaluate(STILL)
    page.screenshot(path=file, full_page=True)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".cache/pictures"
    for each in (folder, SHOWN):
        each.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as data, demo(Path(data)) as whale, Chromium() as chromium:
        for view in VIEWS:
            for name, look in LOOKS.items():
                size = {"width": look.wide, "height": look.high}
                options = {
                    "color_scheme": look.scheme,
                    "locale": "en-US",
                    "timezone_id": "UTC",
                    "reduced_motion": "reduce",
                }
                with chromium.visit(viewport=size, **options) as (page, _):
                    take(page, whale, view, look, folder / f"{view}-{name}.png")
                print(f"{view}-{name}", flush=True)
    for name in sorted(IN_DOCS):
        shutil.copy(folder / f"{name}.png", SHOWN)
        small = ["pngquant", "--force", "--strip", "--skip-if-larger", "--quality", "40-85", "--ext", ".png"]
        subprocess.run([*small, str(SHOWN / f"{name}.png")], check=True)


if __name__ == "__main__":
    main()
