"""The dashboard's shell and first view, as a person meets them."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import psutil
import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import LOCKED, Site
from tests.browser.visits import Chromium, check_keyboard, check_looks
from tests.servers import wait_until
from whale.commands import shop

DAY = 86_400
NASTY = "<img src=x onerror=alert(1)>"
NAMES = (NASTY, "عربي ‏RTL", "💥 emoji", "=cmd()", "\"quoted\", and 'so'", "a › b")


def send(site: Site, hits: list[dict[str, Any]]) -> None:
    """Returns when they are counted."""
    answer = requests.post(f"{site.hail}/batch", json=hits, timeout=20).json()
    assert answer["accepted"] == len(hits), answer
    first = hits[0]["pk"]
    pk = first if isinstance(first, str) else json.dumps(first)

    def counted() -> bool:
        found = requests.get(f"{site.whale}/totals", {"pk": pk, "period": "1d:1y"}, timeout=20).json()
        return bool(found["1d:1y"].get("_", {}).get("hits", 0) >= sum(hit["pk"] == first for hit in hits))

    wait_until(counted, what="the hits")


@pytest.fixture
def shopped(embedded: Site, unique: str) -> str:
    """The address of a pk with a few visits in two countries."""
    visit: dict[str, Any] = {"pk": unique, "dimensions": {"country": "US"}, "metrics": {"visits": 1}}
    order = {"pk": unique, "dimensions": {"country": "DE"}, "metrics": {"visits": 1, "orders": 1, "revenue": 9.75}}
    send(embedded, [visit] * 20 + [order] * 12)
    return f"{embedded.whale}/?pk={unique}"


def tile(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name="Totals").get_by_role("button", name=re.compile(rf"^{name} [\d–]"))


def settled(page: Page) -> Page:
    expect(page.locator("#main > div")).to_be_visible()
    expect(page.locator("#main [aria-busy], #main[aria-busy]")).to_have_count(0)
    return page


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    return settled(page)


def sideways(page: Page) -> int:
    wide: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wide


# what it shows


def test_the_overview_shows_totals_and_the_values_of_a_dimension(page: Page, site: Site, unique: str) -> None:
    for_each = {"pk": unique, "metrics": {"revenue": 2.5}}
    send(site, [{**for_each, "dimensions": {"country": name}} for name in ("US", "US", "DE")])
    opened(page, f"{site.whale}/?pk={unique}&compare=none")
    expect(tile(page, "Hits")).to_contain_text("3")
    expect(tile(page, "Revenue")).to_contain_text("7.50")
    expect(page.get_by_role("row", name="US 2")).to_be_visible()
    tile(page, "Revenue").click()
    expect(page.get_by_role("heading", name="Revenue")).to_be_visible()
    expect(page.get_by_role("row", name="US 5.00")).to_be_visible()
    assert "metric=revenue" in page.url
    page.go_back()
    expect(page.get_by_role("heading", name="Hits")).to_be_visible()


def test_it_says_unasked_which_campaign_broke_since_when_and_what_it_cost(page: Page, demo: Site) -> None:
    told = requests.get(
        f"{demo.whale}/shifts", {"pk": "shop", "metric": "orders/visits", "cost": "revenue"}, timeout=20
    )
    ((source, campaign),) = shop.SOURCES[shop.story(5, 0).campaign].name.items()  # the same seed as the fixture's
    shift = told.json()["shifts"][0]
    assert shift["path"] == ["source", source, campaign]
    opened(page, demo.whale)
    story = page.locator(".story").first
    expect(story).to_contain_text(" › ".join(shift["path"][1:]))
    expect(story).to_contain_text(re.compile(r"(Since|From) \w{3} \d+ \w+"))
    expect(story).to_contain_text(re.compile(r"About \d+ orders and .+ revenue less than before"))
    expect(page.get_by_role("tab", selected=True)).to_have_text("Source")


def test_what_the_tracker_measures_is_no_step_of_a_site(page: Page, embedded: Site, unique: str) -> None:
    seen = {"pk": unique, "metrics": {"engaged_ms": 900, "scroll_pct": 40}}
    lost = {"pk": unique, "metrics": {"pageviews": 1, "lost": 2}}
    send(embedded, [{"pk": unique, "metrics": {"pageviews": 1}}, {"pk": unique, "metrics": {"orders": 1}}, seen, lost])
    opened(page, f"{embedded.whale}/?pk={unique}")
    expect(tile(page, "Orders per pageview")).to_have_attribute("aria-pressed", "true")


def test_names_stay_text_wherever_they_stand(page: Page, embedded: Site, unique: str) -> None:
    pk = [unique, NASTY]
    send(embedded, [{"pk": pk, "dimensions": {NASTY: name}, "metrics": {NASTY: 2, "عدد": 3}} for name in NAMES])
    requests.post(f"{embedded.whale}/notes", {"text": NASTY, "pk": json.dumps(pk)}, timeout=20).raise_for_status()
    opened(page, f"{embedded.whale}/?{urlencode({'pk': json.dumps(pk), 'metric': NASTY})}")
    for name in NAMES:
        expect(page.get_by_role("link", name=name.replace("\u200f", r"\u{200f}"), exact=True)).to_be_visible()
    expect(page.locator("#picker")).to_contain_text(NASTY)
    expect(page.locator("#chart .at")).to_contain_text(NASTY)
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.locator("img:not([role])").count() == 0
    assert sideways(page) <= 0


@pytest.mark.parametrize("name", ["(", "1", '`"', '{"_": {}}', "\u2028"])
def test_a_metric_of_any_name_takes_nothing_away_from_the_others(
    page: Page, embedded: Site, unique: str, name: str
) -> None:
    days = [f"{time.time() - day * DAY:.0f}" for day in range(3)]
    visit = {"pk": unique, "dimensions": {"country": "US"}, "metrics": {"visits": 2}}
    odd = {"pk": unique, "dimensions": {"country": "DE"}, "metrics": {"visits": 2, name: 1}}
    send(embedded, [{**hit, "at": at} for hit in (visit, odd) for at in days])
    opened(page, f"{embedded.whale}/?pk={unique}")
    expect(tile(page, "Visits")).to_contain_text("12")
    expect(page.locator("#chart canvas")).to_be_visible()
    expect(page.locator("#values").get_by_role("link", name="DE", exact=True)).to_be_visible()
    page.get_by_role("link", name="Breakdown").click()
    expect(page.get_by_role("link", name="DE", exact=True)).to_be_visible()


def test_a_ratio_of_odd_names_is_read_as_what_it_is(page: Page, embedded: Site, unique: str) -> None:
    send(embedded, [{"pk": unique, "dimensions": {"c": "x"}, "metrics": {"k/m": 2, "-": 1}}])
    opened(page, f"{embedded.whale}/?pk={unique}")
    expect(page.get_by_role("region", name="Totals").get_by_role("button", name="K/m per -")).to_contain_text("2")
    opened(page, f"{embedded.whale}/?{urlencode({'pk': unique, 'tiles': json.dumps(['k/m', 'a,b'])})}")
    expect(page.get_by_role("region", name="Totals").get_by_role("button")).to_have_count(2)


def test_what_cannot_be_seen_is_written_out_wherever_it_stands(page: Page, embedded: Site, unique: str) -> None:
    odd = "a\u202eb\x03\u2066"
    send(embedded, [{"pk": [unique, odd], "dimensions": {odd: odd}, "metrics": {"visits": 2, odd: 1}}])
    pk = json.dumps([unique, odd])
    for more in ({}, {"view": "breakdown"}, {"view": "compare"}, {"view": odd, odd: odd}):
        opened(page, f"{embedded.whale}/?{urlencode({'pk': pk, 'tz': 'UTC', **more})}")
        text = page.locator("body").inner_text()
        assert r"\u{202e}" in text
        assert not set(text) & set("\u202e\x03\u2066")


def test_notes_are_flags_that_the_cursor_reads(page: Page, embedded: Site, shopped: str, unique: str) -> None:
    requests.post(f"{embedded.whale}/notes", {"text": "release 7", "pk": unique}, timeout=20).raise_for_status()
    opened(page, shopped)
    expect(page.locator("#chart .at")).to_contain_text("release 7")


def test_a_note_is_written_on_the_overview_and_deleted_again(
    page: Page, embedded: Site, shopped: str, unique: str
) -> None:
    opened(page, shopped)
    words = "release <b>4</b>"
    page.get_by_label("An event").fill(words)
    page.keyboard.press("Enter")
    note = page.locator("#notes li").filter(has_text=words)
    expect(note).to_have_count(1)
    expect(page.locator("#chart .at")).to_contain_text(words)
    (kept,) = requests.get(f"{embedded.whale}/notes", {"pk": unique}, timeout=20).json()
    assert (kept["text"], kept["pk"]) == (words, [unique])
    for words_of_it in ("a" * 500, "two\nlines \u202e", "last"):
        note_of = {"text": words_of_it, "pk": unique}
        assert requests.post(f"{embedded.whale}/notes", json=note_of, timeout=20).status_code == 201
    page.reload()
    expect(page.locator("#chart .at")).to_contain_text("⚑ last")
    expect(page.locator("#chart .at")).to_contain_text("and 2 more")
    expect(page.locator("#notes")).to_contain_text("two lines \\u{202e}")
    check_looks(page)
    note.get_by_role("button").click()
    expect(note).to_have_count(1)  # it asks first
    note.get_by_role("button").click()
    expect(note).to_have_count(0)
    kept = requests.get(f"{embedded.whale}/notes", {"pk": unique}, timeout=20).json()
    assert len(kept) == 3
    assert words not in [each["text"] for each in kept]


# keys


def test_it_is_used_by_keys_alone(page: Page, shopped: str) -> None:
    opened(page, shopped)
    page.keyboard.press("2")
    expect(tile(page, "Orders")).to_have_attribute("aria-pressed", "true")
    for key, period in (("w", "7d"), ("q", "90d"), ("y", "1w%3A1y"), ("t", "today")):
        page.keyboard.press(key)
        expect(page).to_have_url(re.compile(f"period={period}"))
    page.keyboard.press("m")
    expect(page).not_to_have_url(re.compile("period="))
    page.keyboard.press("c")
    expect(page).to_have_url(re.compile("compare=last_year"))
    settled(page)
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("range="))
    settled(page)
    page.keyboard.press("j")
    expect(page.get_by_role("region", name=re.compile("^Table"))).to_be_visible()
    page.keyboard.press(".")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.keyboard.press("?")
    page.get_by_label("Shortcuts are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    assert "period=today" not in page.url


def test_each_view_has_its_key_and_none_works_with_ctrl_or_in_a_field(page: Page, shopped: str) -> None:
    opened(page, shopped)
    page.keyboard.press("Control+b")
    for key, view in (("b", "breakdown"), ("e", "compare"), ("d", "decisions"), ("l", "live"), ("h", "health")):
        assert f"view={view}" not in page.url
        page.keyboard.press(key)
        expect(page).to_have_url(re.compile(f"view={view}"))
        expect(page.locator(f'[data-view="{view}"]')).to_be_visible()
        expect(page.locator('#main [aria-busy="true"]')).to_have_count(0)
    page.keyboard.press("o")
    expect(page).not_to_have_url(re.compile("view="))
    settled(page)
    with page.expect_download() as download:
        page.keyboard.press("x")
    assert download.value.suggested_filename.endswith(".csv")
    page.keyboard.press("k")
    page.get_by_role("dialog").get_by_role("combobox").fill("b")
    assert "view=" not in page.url


def test_keys_that_were_switched_off_are_switched_on_again(page: Page, shopped: str) -> None:
    opened(page, shopped)
    for box in ("uncheck", "check"):
        page.get_by_role("button", name="Shortcuts", exact=True).click()
        getattr(page.get_by_label("Shortcuts are on"), box)()
        page.get_by_role("button", name="Close").click()
        page.keyboard.press("k")
        expect(page.get_by_role("dialog")).to_have_count(int(box == "check"))


def test_a_menu_shuts_by_esc_and_by_a_click_elsewhere(page: Page, shopped: str) -> None:
    opened(page, shopped)
    menus = page.locator(".menu[open]")
    for summary in page.locator(".menu summary").all()[:2]:
        summary.click()
        expect(menus).to_have_count(1)
    page.keyboard.press("Escape")
    expect(menus).to_have_count(0)
    expect(summary).to_be_focused()
    summary.click()
    page.locator("h2").first.click()
    expect(menus).to_have_count(0)


def test_the_chart_is_read_and_selected_by_keys(page: Page, shopped: str) -> None:
    opened(page, shopped + "&metric=visits")
    chart = page.get_by_role("img", name=re.compile("^Visits from"))
    chart.focus()
    now = page.locator("#chart .at")
    expect(now).to_contain_text("32")
    page.keyboard.press("ArrowLeft")
    expect(now).to_contain_text("0")
    expect(page.locator("#spoken")).to_contain_text(", 0")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"view=compare.*range=|range=.*view=compare"))


def test_a_stretch_is_chosen_by_dragging(page: Page, shopped: str) -> None:
    opened(page, shopped)
    box = page.locator(".u-over").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"view=compare"))


# what it says where something is missing or wrong


def test_a_pk_that_was_never_counted_is_named_with_near_ones(page: Page, shopped: str, unique: str) -> None:
    opened(page, shopped + "x")
    expect(page.get_by_role("heading", name="Never counted")).to_be_visible()
    page.get_by_role("link", name=f"Did you mean {unique}?").click()
    expect(tile(page, "Orders per visit")).to_be_visible()


def test_an_unknown_view_or_option_is_named(page: Page, shopped: str) -> None:
    opened(page, f"{shopped}&view=nothing&colour=%3Cb%3Ered")
    expect(page.locator("#notice")).to_contain_text("colour, view=nothing")
    expect(tile(page, "Orders per visit")).to_be_visible()


def test_a_wrong_formula_shows_its_position_and_the_others_live_on(page: Page, shopped: str, faults: list[str]) -> None:
    opened(page, shopped)
    page.get_by_role("button", name="Edit totals").click()
    page.get_by_label("One more").fill("orders//visits")
    page.keyboard.press("Enter")
    expect(page.locator(".formula")).to_have_text(re.compile(r"orders//visits\n +\^"))
    page.get_by_label("One more").fill("revenue/visits")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Show these").click()
    expect(tile(page, "Revenue per visit")).to_be_visible()
    page.goto(shopped)
    expect(tile(page, "Revenue per visit")).to_be_visible()  # this browser keeps it
    opened(page, shopped + "&metric=orders//")
    expect(page.locator("#chart .formula")).to_have_text(re.compile(r"orders//\n +\^"))
    assert all(fault.startswith("answered with 400") for fault in faults)
    faults.clear()


def test_a_period_without_hits_says_when_there_was_one(page: Page, shopped: str) -> None:
    opened(page, shopped + "&range=2026-01-05..2026-01-12&compare=none")
    expect(page.locator("#chart")).to_contain_text("Nothing was counted in this period, and the last hit on")
    page.get_by_role("link", name="Show the 30 days until then").click()
    expect(page.get_by_role("row", name=re.compile("^US"))).to_be_visible()


def test_while_whale_is_away_the_last_numbers_stay(page: Page, shopped: str, faults: list[str]) -> None:
    opened(page, shopped)
    page.context.set_offline(True)
    page.keyboard.press("w")
    expect(page.get_by_role("status")).to_contain_text("Whale has not answered since")
    expect(tile(page, "Orders per visit")).to_be_visible()
    expect(page.locator("body")).to_have_class(re.compile("away"))
    page.context.set_offline(False)
    expect(page.get_by_role("status")).to_contain_text("counted until")
    expect(page.locator("body")).not_to_have_class(re.compile("away"))
    expect(page.get_by_role("button", name="7 days")).to_have_attribute("aria-pressed", "true")
    assert all("ERR_INTERNET_DISCONNECTED" in fault for fault in faults)
    faults.clear()


HASTE = """const wait = AbortSignal.timeout
AbortSignal.timeout = (ms) => wait.call(AbortSignal, (window.patience = ms) / 8)"""


@contextmanager
def stopped(site: Site) -> Iterator[None]:
    """All processes that answer there hold their connections, and answer nothing."""
    port = urlsplit(site.whale).port
    listeners = {each.pid for each in psutil.net_connections("tcp") if each.laddr.port == port and each.status == "LISTEN"}  # fmt: skip
    found = [process for process in psutil.process_iter() if process.pid in listeners or process.ppid() in listeners]
    for process in found:
        process.suspend()
    try:
        yield
    finally:
        for process in found:
            process.resume()


def test_while_whale_is_silent_the_chart_stays_with_its_time(page: Page, embedded: Site, shopped: str) -> None:
    page.add_init_script(HASTE)
    opened(page, shopped + "&metric=visits")
    drawn = page.locator("#chart canvas")
    before = drawn.evaluate("it => it.toDataURL()")
    with stopped(embedded):
        page.keyboard.press("w")
        expect(page.get_by_role("status")).to_contain_text(re.compile(r"Whale has not answered since \d\d:\d\d"))
        assert drawn.evaluate("it => it.toDataURL()") == before
        assert page.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
        assert page.evaluate("window.patience") == 8000
        page.locator(".plot").press("Home")
        expect(page.locator("#chart .at")).to_contain_text("0")
        page.emulate_media(color_scheme="dark")
        wait_until(lambda: drawn.evaluate("it => it.toDataURL()") != before, what="the chart in dark")
    expect(page.locator("body")).not_to_have_class(re.compile("away"))
    settled(page)
    expect(page.get_by_role("button", name="7 days")).to_have_attribute("aria-pressed", "true")
    expect(drawn).to_have_count(1)


def test_with_keys_basic_opens_it_and_a_key_of_the_tab_does(chromium: Chromium, locked: Site) -> None:
    hit = {"pk": "kiosk", "key": LOCKED["write_key"]}
    assert requests.get(f"{locked.hail}/count", hit, timeout=20).text.strip() == "OK"
    wait_until(
        lambda: "kiosk" in requests.get(f"{locked.whale}/pks?key={LOCKED['read_key']}", timeout=20).text, what="the hit"
    )
    with chromium.visit(http_credentials={"username": "", "password": LOCKED["read_key"]}) as (page, faults):
        opened(page, f"{locked.whale}/?pk=kiosk&compare=none")
        expect(tile(page, "Hits")).to_contain_text("1")
        page.evaluate("sessionStorage.setItem('hailwhale.key', 'an old key')")
        page.goto(f"{locked.whale}/?pk=kiosk")
        field = page.get_by_label("This key does not open it")
        field.fill(LOCKED["read_key"])
        page.keyboard.press("Enter")
        expect(tile(page, "Hits")).to_contain_text("1")
        assert page.evaluate("localStorage.length") == 0
        assert all(fault.startswith("answered with 401") for fault in faults)
        faults.clear()


# what can be taken along


def copied_curl(page: Page) -> str:
    """The line of the breakdown that a reader takes to a terminal."""
    page.locator("#values-tools").click()
    page.locator("#values").get_by_role("button", name="Copy curl").click()
    expect(page.get_by_text("Copied: curl")).to_be_visible()
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_curl_gives_the_same_answer_and_csv_runs_no_formula(
    page: Page, embedded: Site, unique: str, tmp_path: Path
) -> None:
    send(embedded, [{"pk": unique, "dimensions": {"page": name}} for name in ("=cmd()", "it's")])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, f"{embedded.whale}/?pk={unique}&compare=none")
    line = copied_curl(page)
    told = json.loads(subprocess.run(["sh", "-c", line + " -s"], capture_output=True, check=True).stdout)
    assert {row["path"][1] for row in told["rows"]} == {"=cmd()", "it's"}
    page.locator("#values-tools").click()
    with page.expect_download() as download:
        page.locator("#values").get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "values.csv")
    lines = (tmp_path / "values.csv").read_text().splitlines()
    assert {"'=cmd()", "Page", "all", "it's"} <= {line.split(",")[0] for line in lines}


def test_a_line_to_copy_holds_nothing_that_a_terminal_obeys(page: Page, embedded: Site, unique: str) -> None:
    odd = "a\x1b[201~\x03\nb\x9b"
    send(embedded, [{"pk": unique, "dimensions": {"c": "x"}, "metrics": {odd: 7}}])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, f"{embedded.whale}/?{urlencode({'pk': unique, 'view': 'breakdown', 'by': odd})}")
    line = copied_curl(page)
    assert not set(line.replace(" \\\n  ", "")) & {chr(code) for code in (*range(32), *range(127, 160))}
    told = json.loads(subprocess.run(["sh", "-c", line + " -s"], capture_output=True, check=True).stdout)
    assert told["total"]["value"] == 7


# how it looks


def test_everyone_can_read_and_use_the_overview(page: Page, shopped: str) -> None:
    opened(page, shopped)
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    settled(page)
    assert check_keyboard(page)[0] == "Skip to the numbers"


def test_it_fits_at_200_percent_with_forced_colours_without_motion_and_on_paper(chromium: Chromium, demo: Site) -> None:
    options = {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2, "forced_colors": "active"}
    with chromium.visit(**options, reduced_motion="reduce") as (page, _):
        opened(page, f"{demo.whale}/?pk=shop")
        assert sideways(page) <= 0
        pressed = page.get_by_role("button", name="30 days")
        assert pressed.evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
        assert page.evaluate(
            "[...document.querySelectorAll('button')].every(it => getComputedStyle(it).transitionDuration == '0s')"
        )
        page.emulate_media(media="print", forced_colors="none")
        expect(page.locator("#edit")).to_be_hidden()
        expect(page.locator(".views")).to_be_hidden()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_light_and_dark_can_be_forced_by_the_address(page: Page, shopped: str) -> None:
    page.emulate_media(color_scheme="light")
    opened(page, f"{shopped}&theme=dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 21, 27)"
    assert quote("theme=dark", safe="=") in page.url
