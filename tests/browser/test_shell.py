"""What all views have in common: links, words about the address, refusals; on a Whale in memory."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import served, whale_with
from whale.client import Whale

NOW = datetime.now(UTC)


def visited(whale: Whale, pk: str, path: list[str], visits: int, orders: int, days_ago: float = 0) -> None:
    """One hit that stands for many visits below source."""
    below: dict[str, object] = {}
    for name in reversed(path):
        below = {name: below}
    metrics = {"hits": visits, "visits": visits} | ({"orders": orders} if orders else {})
    whale.count_now(pk, {"source": below}, metrics, NOW - timedelta(days=days_ago))


@pytest.fixture
def whale() -> Whale:
    """Sixty days of visits; orders since twenty."""
    whale = whale_with()
    for day in reversed(range(60)):
        visited(whale, "shop", ["mail"], 1000, 50 + day % 3 if day < 20 else 0, day)
        visited(whale, "shop", ["google", "brand"], 400, 30 if day < 20 else 0, day)
    return whale


@pytest.fixture
def address(page: Page, whale: Whale) -> Iterator[str]:
    with served(page, whale) as address:
        yield address


def opened(page: Page, address: str, **state: str) -> None:
    page.goto(f"{address}/?{urlencode({'pk': 'shop', **state})}")
    settled(page)


def settled(page: Page) -> None:
    """What was asked for is answered and shown, that which a form sends included."""
    expect(page.locator("dialog[open] [aria-busy]")).to_have_count(0)
    expect(page.locator("#main > div")).to_be_visible()
    expect(page.locator('#main [aria-busy="true"]')).to_have_count(0)


def refused(faults: list[str], *words: str) -> None:
    """Questions that must have been refused; nothing else went wrong."""
    assert faults
    assert all("answered with 400" in fault and any(word in fault for word in words) for fault in faults), faults
    faults.clear()


def copied(page: Page, card: str) -> dict[str, list[str]]:
    """The parameters of the link of a card."""
    page.locator(f"#{card}-tools").click()
    page.locator(f"#{card}").get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Copied: link")).to_be_visible()
    return parse_qs(urlsplit(page.evaluate("navigator.clipboard.readText()")).query)


# links


def test_the_link_of_every_card_has_the_totals_that_this_browser_keeps(page: Page, address: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, address)
    page.evaluate("localStorage.setItem('hailwhale.tiles.[\"shop\"]', 'visits,orders/hits')")
    cards = {
        "overview": ["chart", "changed", "values", "notes"],
        "breakdown": ["values"],
        "compare": ["chart", "parts"],
    }
    for view, names in cards.items():
        opened(page, address, view=view)
        for card in names:
            link = copied(page, card)
            assert link["tiles"] == ["visits,orders/hits"], (view, card)
            assert link["pk"] == ["shop"]
            assert link.get("view", ["overview"]) == [view]
    page.goto(address)  # without a pk in the address
    settled(page)
    assert copied(page, "values")["pk"] == ["shop"]


def test_a_csv_has_the_name_of_its_card(page: Page, address: str) -> None:
    opened(page, address)
    for card, name in {"chart": "Orders per visit.csv", "values": "Breakdown.csv", "notes": "Notes.csv"}.items():
        page.locator(f"#{card}-tools").click()
        with page.expect_download() as download:
            page.locator(f"#{card}").get_by_role("button", name="CSV").click()
        assert download.value.suggested_filename == name


def test_a_number_chooses_a_total_in_every_view_of_a_pk(page: Page, address: str) -> None:
    for view in ("overview", "breakdown", "compare"):
        opened(page, address, view=view)
        page.keyboard.press("1")
        expect(page).to_have_url(re.compile("metric=visits"))
        settled(page)


# what is newer than the period before


def test_a_total_that_is_newer_than_the_period_before_says_since_when_it_is_counted(page: Page, address: str) -> None:
    opened(page, address)
    since = (NOW - timedelta(days=19)).strftime("%-d %b")
    expect(page.locator('[id="tile-orders/visits"]')).to_contain_text(f"counted since {since}")
    expect(page.locator("#tile-orders")).to_contain_text(f"counted since {since}")
    expect(page.locator("#tile-visits")).to_contain_text(" from ")


def test_the_day_on_which_a_metric_began_is_one_of_the_zone(page: Page) -> None:
    whale = whale_with(timezone="Asia/Tokyo")
    for day in reversed(range(14)):
        whale.count_now("shop", None, {"visits": 10}, NOW - timedelta(days=day))
    with served(page, whale) as address:
        opened(page, address, period="7d")
        expect(page.locator("#tile-visits")).to_contain_text(" from ")


# what the address has and nobody knows


@pytest.mark.parametrize("view", ["overview", "breakdown", "compare"])
def test_a_pk_that_was_never_counted_is_named_in_each_view_with_near_ones(page: Page, address: str, view: str) -> None:
    opened(page, address, pk="shpo", view=view)
    expect(page.get_by_role("heading", name="Never counted")).to_be_visible()
    expect(page.get_by_text("No hit of shpo was ever counted.")).to_be_visible()
    page.get_by_role("link", name="Did you mean shop?").click()
    expect(page.get_by_role("heading", name="Never counted")).to_have_count(0)
    settled(page)
    expect(page.locator("#picker")).to_contain_text("shop")
    assert parse_qs(urlsplit(page.url).query).get("view", ["overview"]) == [view]


def test_a_metric_and_a_path_that_were_never_counted_are_named_with_near_ones(page: Page, address: str) -> None:
    at = json.dumps(["source", "gogle"])
    opened(page, address, view="breakdown", by="ordrs/visits", at=at)
    notice = page.locator("#notice")
    expect(notice).to_contain_text("The metric ordrs was never counted.")
    expect(notice).to_contain_text("source › gogle was never counted.")
    notice.get_by_role("link", name="Did you mean orders?").click()
    expect(notice).not_to_contain_text("ordrs")
    expect(page.get_by_label("By", exact=True)).to_have_value("orders/visits")
    notice.get_by_role("link", name="Did you mean source › google?").click()
    expect(page.get_by_role("link", name="brand")).to_be_visible()
    expect(notice).to_be_hidden()
    opened(page, address, metric="ordrs")
    notice.get_by_role("link", name="Did you mean orders?").click()
    expect(page.locator("#tile-orders")).to_have_attribute("aria-pressed", "true")
    for view in ("overview", "breakdown"):
        opened(page, address, view=view, dim="sorce")
        expect(notice).to_contain_text("sorce was never counted.")
        notice.get_by_role("link", name="Did you mean source?").click()
        expect(page.get_by_role("link", name="mail")).to_be_visible()
        expect(notice).to_be_hidden()


def test_a_misspelt_total_is_not_added(page: Page, address: str) -> None:
    opened(page, address)
    page.get_by_role("button", name="Edit totals").click()
    page.get_by_label("One more").fill("vists/hits")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("The metric vists was never counted. Did you mean visits?")).to_be_visible()
    expect(dialog.get_by_role("button", name="Remove vists/hits")).to_have_count(0)


# what is refused


@pytest.mark.parametrize("view", ["overview", "breakdown", "compare"])
def test_a_period_that_is_refused_is_said_once_with_a_way_to_the_default(
    page: Page, faults: list[str], address: str, view: str
) -> None:
    for state in ({"range": "2020-01-01..2020-01-02"}, {"period": "soon"}, {"range": "never"}, {"tz": "Foo/Bar"}):
        opened(page, address, view=view, **state)
        expect(page.locator("#main .state")).to_have_count(1)
        expect(page.get_by_role("button", name="7 days")).to_be_visible()
        page.get_by_role("link", name="Show the last 30 days").click()
        expect(page.locator("#main .state")).to_have_count(0)
        settled(page)
        assert set(parse_qs(urlsplit(page.url).query)) <= {"pk", "view"}
    refused(faults, "period", "tz=")


def test_hours_that_are_no_longer_kept_for_last_year_are_said_once_and_all_cards_live_on(
    page: Page, faults: list[str], address: str
) -> None:
    for view in ("overview", "breakdown", "compare"):
        opened(page, address, view=view, period="today", compare="last_year")
        expect(page.locator("#notice p")).to_have_text(
            re.compile("^Last year cannot be shown beside this period: buckets of 1h are kept for 90d, but .+Z[.]$")
        )
        expect(page.locator("#main code").filter(has_text="bad_period")).to_have_count(0)
        expect(page.locator("#dates")).to_contain_text("beside")
        expect(page.locator("#compare")).to_have_value("previous")
    page.locator("#compare").select_option("last_year")
    expect(page.locator("[aria-busy]")).to_have_count(0)
    expect(page.locator("#notice")).to_be_visible()
    page.keyboard.press("w")
    expect(page.locator("#notice")).to_be_hidden()
    refused(faults, "last_year")


def test_keys_that_are_pressed_while_a_view_loads_wait_for_it(page: Page, address: str) -> None:
    held, is_held = list[Route](), True
    page.route("**/metrics_of*", lambda route: held.append(route) if is_held else route.continue_())
    with page.expect_request("**/metrics_of*"):
        page.goto(f"{address}/?pk=shop", wait_until="commit")
    expect(page.locator("#main [aria-busy=true]")).to_have_count(1)
    for key in ("q", "c"):
        page.keyboard.press(key)
    is_held = False
    for route in held:
        route.continue_()
    expect(page.locator("#period-q")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#compare")).to_have_value("last_year")
    settled(page)


# what changed


@pytest.fixture
def broken(page: Page) -> Iterator[str]:
    """Brand, which is most of google, lost less than mail; all of google lost more."""
    whale = whale_with()
    for day in reversed(range(1, 21)):
        fell = day <= 10
        visited(whale, "shop", ["google", "brand"], 1000, 100 + day % 3 - 60 * fell, day)
        visited(whale, "shop", ["google", "shoes"], 1000, 60 + day % 2 - 12 * fell, day)
        visited(whale, "shop", ["mail"], 1000, 100 + day % 3 - 66 * fell, day)
        visited(whale, "shop", ["direct"], 9000, 2000 + day % 3, day)
    with served(page, whale) as address:
        yield address


def test_parts_of_a_change_are_in_the_order_and_on_the_scale_of_what_is_shown(page: Page, broken: str) -> None:
    opened(page, broken, period="last_10d", metric="orders")
    parts = page.locator(".parts tbody tr")
    expect(parts).to_contain_text(["source mail", "source google › brand"])
    shown = [float(text.replace("−", "-").replace("\u202f", "")) for text in parts.locator("td.n").all_inner_texts()]
    assert shown == sorted(shown)
    widths = [float(bar.get_attribute("width") or 0) for bar in parts.locator("rect").all()]
    assert widths == [36, pytest.approx(36 * shown[1] / shown[0])]


def test_mostly_says_the_numbers_of_the_value_that_it_names(page: Page, broken: str) -> None:
    opened(page, broken, view="compare", period="last_10d", metric="orders")
    google = page.get_by_role("row", name=re.compile("^google"))
    expect(google).to_contain_text("google, mostly brand: 1\u202f011 to 410")


def test_without_a_number_before_nothing_is_called_the_same(page: Page, broken: str) -> None:
    opened(page, broken, period="last_10d", metric="visits/returns")
    expect(page.locator("#changed")).not_to_contain_text("is the same as")


def test_a_part_that_rounds_to_nothing_has_no_direction(page: Page, address: str) -> None:
    opened(page, address)
    source = page.locator("script[type=module]").get_attribute("src")
    assert source
    said = page.evaluate(
        "async (path) => { const { signed } = await import(path); return [0.2, -0.65, 0.001, -0.001, 0].map((v) => signed(v, 2)) }",
        source.replace("main.js", "format.js"),
    )
    assert said == ["+0.20", "−0.65", "±0.00", "±0.00", "±0.00"]


def test_the_parts_of_the_service_fit_on_a_small_phone(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 320, "height": 700})
    opened(page, address, view="health")
    table = page.get_by_role("region", name="Table: Parts")
    assert table.evaluate("it => it.scrollWidth <= it.clientWidth")


def test_a_phone_shows_the_keys_and_whole_words_in_dialogs(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    opened(page, address)
    page.get_by_role("button", name="Shortcuts", exact=True).click()
    expect(page.get_by_role("dialog").locator("kbd").first).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Edit totals").click()
    heights = page.get_by_role("button", name="Remove").evaluate_all("its => its.map(it => it.offsetHeight)")
    assert len(set(heights)) == 1


# notes


def test_a_note_that_is_too_long_in_bytes_is_refused_before_it_is_sent(page: Page, address: str, whale: Whale) -> None:
    opened(page, address)
    field = page.get_by_label("An event")
    field.fill("ü" * 252)
    expect(field).to_have_attribute("placeholder", "at most 500 bytes")
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_role("alert").filter(has_text="4 bytes too long")).to_be_visible()
    assert whale.notes() == []
    expect(page.get_by_label("at, in UTC")).to_have_attribute("placeholder", re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d"))
    field.fill("ü" * 250)
    page.get_by_label("at, in UTC").fill(f"{NOW:%Y-%m-%d} 00:30")
    page.get_by_role("button", name="Write").click()
    note = page.locator("#notes li span").filter(has_text="ü")
    expect(note).to_have_attribute("title", "ü" * 250)
    assert len(note.inner_text()) < 200
    page.locator("#notes-tools").click()
    page.locator("#notes").get_by_role("button", name="Table").click()
    expect(page.get_by_role("region", name="Table: Notes")).to_contain_text("ü" * 250)


# pages of a breakdown


def test_pages_are_reached_by_keys_and_by_the_address_and_each_closes(page: Page) -> None:
    whale = whale_with()
    for number in range(120):
        whale.count_now("shop", {"item": f"item {number:03}"}, {"visits": 1000 - number})
    with served(page, whale) as address:
        opened(page, address, view="breakdown", by="visits", order="value", compare="none")
        page.get_by_role("link", name="After").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="item 050")).to_be_focused()
        for offset, first, last, folded in (("50", 50, 99, 70), ("100", 100, 119, 100), ("90", 90, 119, 90)):
            opened(page, address, view="breakdown", by="visits", order="value", compare="none", offset=offset)
            pages = page.get_by_role("navigation", name="Pages")
            expect(pages).to_contain_text(f"{first + 1}–{last + 1} of 120")
            expect(page.locator(".rows tfoot")).to_contain_text(f"{folded} more values folded")
            cells = page.locator(".rows tr td.strong").all_inner_texts()
            expected = [sum(1000 - n for n in range(120) if not first <= n <= last), sum(1000 - n for n in range(120))]
            assert cells[-2:] == [said(each) for each in expected]
        opened(page, address, view="breakdown", by="visits", order="value", offset="5000")
        expect(page.get_by_text("No more values.")).to_be_visible()
        page.get_by_role("link", name="Before").click()
        expect(page.get_by_role("navigation", name="Pages")).to_contain_text("101–120 of 120")


def said(number: int) -> str:
    return f"{number / 1000:.1f}\u202fk" if number < 100_000 else f"{number / 1000:.0f}\u202fk"


# while a view is drawn again


def again(page: Page) -> None:
    """As each minute, or when something is known that took longer; over when all cards are drawn."""
    page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
    settled(page)


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"))


def test_a_menu_stays_open_and_what_has_the_focus_keeps_it(page: Page, address: str) -> None:
    opened(page, address)
    page.locator("#chart-tools").click()
    page.locator("#chart").get_by_role("button", name="Copy curl").focus()
    again(page)
    expect(page.locator("#chart .menu[open]").last).to_be_visible()
    assert focused(page) == "Copy curl"
    page.keyboard.press("Escape")
    expect(page.locator("#chart .menu[open]")).to_have_count(0)
    opened(page, address, view="health")
    page.get_by_role("region", name="Table: Parts").focus()
    again(page)
    assert focused(page) == "Table: Parts"


def test_a_view_that_is_left_before_it_was_answered_is_no_fault(page: Page, address: str, faults: list[str]) -> None:
    page.route("**/live_token*", lambda _: None)
    opened(page, address)
    with page.expect_request("**/live_token*"):
        page.keyboard.press("l")
    page.keyboard.press("o")
    expect(page.locator("#chart canvas")).to_be_visible()
    settled(page)
    assert faults == []
