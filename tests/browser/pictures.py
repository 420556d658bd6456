"""make screenshots: each view of the dashboard on the demo, in light, dark and on a phone.

    python -m tests.browser.pictures [FOLDER]      all, into FOLDER (default .cache/pictures); those that the docs show, into docs/pictures

The seed is fixed, the locale is English, the zone is UTC. The story of the demo ends now, so dates are those of the day on which the
pictures are taken. Needs fonts-inter and pngquant of Debian, which `make screenshots` installs.
"""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.browser.test_budgets import VIEWS
from tests.browser.visits import Chromium
from tests.up import Demo
from whale.commands.demo import State
from whale.commands.shop import DAY

ROOT = Path(__file__).parents[2]
SHOWN = ROOT / "docs/pictures"
SEED = 21


class Look(NamedTuple):
    scheme: str
    wide: int
    high: int


LOOKS = {"light": Look("light", 1280, 800), "dark": Look("dark", 1280, 800), "phone": Look("light", 390, 844)}
IN_DOCS = {
    "overview-light",
    "overview-phone",
    "breakdown-dark",
    "compare-light",
    "decisions-light",
    "funnels-light",
    "site-light",
    "visitors-dark",
}
STILL = """
() => new Promise((done) => {
  let since = performance.now()
  new MutationObserver(() => (since = performance.now())).observe(document.body, { subtree: true, childList: true, attributes: true })
  const end = performance.now() + 4000 // a view that goes on by itself is never still
  const look = () => (performance.now() - since > 700 || performance.now() > end ? done() : setTimeout(look, 50))
  document.fonts.ready.then(look)
})
"""


def addresses(state: State) -> dict[str, dict[str, str]]:
    """The parameters of each view. The stretch that is compared is the first week of the broken campaign."""
    day = datetime.fromtimestamp(state.story.broke // DAY * DAY, UTC)
    week = "..".join(f"{at:%Y-%m-%dT00:00}" for at in (day, day + timedelta(7)))
    shop = {"pk": '["shop"]', "metric": "orders/visits"}
    more: dict[str, dict[str, str]] = {
        "overview": {"pk": '["shop"]'},
        "breakdown": {**shop, "dim": "source"},
        "compare": {**shop, "range": week},
        "decisions": {"decision": "free-shipping"},
        "site": {"pk": '["shop"]'},
        "live": {"pk": '["shop"]'},
    }
    return {view: {"view": view, **more.get(view, {})} for view in VIEWS}


def take(page: Page, address: str, file: Path) -> None:
    page.goto(address)
    expect(page.locator("#main [data-view]")).to_be_visible()
    expect(page.locator('#main [aria-busy="true"]')).to_have_count(0)
    page.evaluate(STILL)
    page.screenshot(path=file, full_page=True)
    if file.stem in IN_DOCS:
        page.screenshot(path=SHOWN / file.name)
        small = ["pngquant", "--force", "--strip", "--skip-if-larger", "--quality", "70-95", "--ext", ".png"]
        subprocess.run([*small, str(SHOWN / file.name)], check=True)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".cache/pictures"
    for each in (folder, SHOWN):
        each.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as data, Chromium() as chromium:
        up = Demo(Path(data) / "var", SEED)
        up.start()
        up.wait()
        for view, parameters in addresses(up.state).items():
            for name, look in LOOKS.items():
                size = {"width": look.wide, "height": look.high}
                options = {
                    "color_scheme": look.scheme,
                    "locale": "en-US",
                    "timezone_id": "UTC",
                    "reduced_motion": "reduce",
                }
                with chromium.visit(viewport=size, **options) as (page, _):
                    take(page, f"http://{up.whale}/?{urlencode(parameters)}", folder / f"{view}-{name}.png")
                print(f"{view}-{name}", flush=True)
        up.stop(signal.SIGTERM)


if __name__ == "__main__":
    main()
