"""The values of a dimension as a person orders, opens and leaves them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.visits import check_keyboard, check_looks
from tests.servers import wait_until

ODD = ("<img src=x onerror=alert(1)>", "שלום", "🐋 wal", "=cmd()", '["a", "b"]', "_", " blank ", "a\u202eb")
AT_ONCE = 500


def count(site: Site, hits: list[dict[str, Any]]) -> None:
    """Returns when all are counted."""
    for first in range(0, len(hits), AT_ONCE):
        answer = requests.post(f"{site.hail}/batch", json=hits[first : first + AT_ONCE], timeout=60)
        assert answer.json().get("accepted") == len(hits[first : first + AT_ONCE]), answer.text
    expected = sum(hit["metrics"].get("hits", 1) for hit in hits)

    def counted() -> bool:
        asked = {"pk": hits[0]["pk"], "period": "1d:20d"}
        return bool(requests.get(f"{site.whale}/total", asked, timeout=20).json() == expected)

    wait_until(counted, 60, "the hits")


def visits(pk: str, path: list[str], visits: int, orders: int, days_ago: float = 0) -> dict[str, Any]:
    dimensions: dict[str, Any] = {}
    for name in reversed(path):
        dimensions = {name: dimensions}
    at = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()
    metrics = {"hits": visits, "visits": visits, "orders": orders}
    return {"pk": pk, "dimensions": dimensions, "metrics": metrics, "at": at}


def opened(page: Page, site: Site, pk: str, **state: str) -> None:
    page.goto(
        f"{site.whale}/?{urlencode({'view': 'breakdown', 'pk': pk, 'compare': 'none', 'metric': 'orders/visits', **state})}"
    )
    expect(page.locator('#main [aria-busy="true"]')).to_have_count(0)


def rows(page: Page) -> list[str]:
    return page.locator(".rows tbody th").all_inner_texts()


@pytest.fixture(scope="session")
def shop(embedded: Site) -> str:
    """A pk with sources, campaigns below them, a second dimension, and one lucky visitor."""
    pk = "breakdown shop"
    count(
        embedded,
        [
            visits(pk, ["source", "google", "brand"], 900, 60),
            visits(pk, ["source", "google", "shoes"], 800, 20),
            visits(pk, ["source", "mail"], 500, 60),
            visits(pk, ["source", "lucky"], 1, 1),
            visits(pk, ["country", "US"], 700, 30),
            visits(pk, ["source"], 50, 0),
        ],
    )
    return pk


def test_rows_open_and_close_again(page: Page, embedded: Site, shop: str) -> None:
    opened(page, embedded, shop, dim="source")
    assert rows(page) == ["mail", "google", "lucky"]
    table = page.locator(".rows")
    expect(table.locator("tfoot tr")).to_contain_text(["No further than Source", "All"])
    expect(page.get_by_role("row", name="lucky")).to_contain_text("1 of 1")
    page.get_by_role("link", name="google").click()
    expect(page.get_by_role("link", name="brand")).to_be_visible()
    assert rows(page) == ["brand", "shoes"]
    path = page.get_by_role("navigation", name="Path")
    expect(path).to_have_text("Source › google")
    page.get_by_role("link", name="shoes").click()
    expect(page.get_by_text("Nothing was counted below source › google › shoes")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("link", name="shoes")).to_be_visible()
    path.get_by_role("link", name="Source").click()
    expect(page.get_by_role("link", name="mail")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="mail")).to_be_visible()


def test_it_is_used_by_keys_alone(page: Page, embedded: Site, shop: str) -> None:
    opened(page, embedded, shop, dim="source")
    assert check_keyboard(page)[0] == "Skip to the numbers"
    page.get_by_role("link", name="google").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="brand")).to_be_focused()
    page.keyboard.press("Backspace")
    expect(page.get_by_role("link", name="mail")).to_be_focused()
    page.keyboard.press("[")
    expect(page.get_by_role("link", name="US")).to_be_visible()
    tab = page.get_by_role("tab", name="Country")
    expect(tab).to_have_attribute("aria-selected", "true")
    tab.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Source")).to_be_focused()
    expect(page.get_by_role("link", name="mail")).to_be_visible()


def test_rows_are_ordered_by_any_formula(page: Page, embedded: Site, shop: str) -> None:
    opened(page, embedded, shop, dim="source")
    page.get_by_role("link", name="Visits", exact=True).click()
    expect(page.get_by_role("columnheader", name="Visits")).to_have_attribute("aria-sort", "descending")
    assert rows(page) == ["google", "mail", "lucky"]
    page.get_by_label("in order").select_option("smallest first")
    expect(page.locator(".rows tbody th").first).to_have_text("lucky")
    page.get_by_label("at least").fill("10")
    page.get_by_label("at least").press("Enter")
    expect(page.locator(".rows tfoot th").first).to_have_text("1 more value folded")
    page.get_by_label("By", exact=True).fill("(visits-orders)/visits")
    page.keyboard.press("Enter")
    expect(page.locator(".rows thead")).to_contain_text("(visits-orders) per visit")


def test_a_wrong_formula_shows_the_fault(page: Page, faults: list[str], embedded: Site, shop: str) -> None:
    opened(page, embedded, shop, dim="source", by="orders/(visits")
    expect(page.locator("pre.formula")).to_contain_text("^")
    expect(page.get_by_label("By", exact=True)).to_have_value("orders/(visits")
    faults[:] = [fault for fault in faults if "answered with 400" not in fault]


def test_names_stay_text(page: Page, embedded: Site, unique: str) -> None:
    count(embedded, [visits(unique, ["name", name, name], 9, 1) for name in ODD])
    opened(page, embedded, unique, dim="name")
    assert len(rows(page)) == len(ODD)
    assert page.locator("#main img").count() == 0
    for name in ("<img src=x onerror=alert(1)>", "“ blank ”", "a\\u{202e}b", '["a", "b"]', "_"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("navigation", name="Path")).to_have_text(f"Name › {name}")
        assert len(rows(page)) == 1
        page.go_back()
        expect(page.locator(".rows tbody tr")).to_have_count(len(ODD))


def test_10_000_values_come_page_by_page(page: Page, embedded: Site, unique: str) -> None:
    count(embedded, [visits(unique, ["item", f"item {number:05}"], 1 + number % 7, 1) for number in range(10_000)])
    opened(page, embedded, unique, by="visits", order="value")
    expect(page.locator(".rows tbody tr")).to_have_count(50)
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text("1–50 of 10\u202f000")
    expect(page.locator(".rows tfoot")).to_contain_text("9\u202f950 more values folded")
    page.get_by_role("link", name="After").click()
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text("51–100 of 10\u202f000")
    assert "offset=50" in page.url
    page.get_by_role("link", name="Before").click()
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text("1–50")


def test_a_change_beyond_chance_alone_has_a_colour(page: Page, embedded: Site, unique: str) -> None:
    hits = []
    for day in range(1, 17):
        hits.append(visits(unique, ["source", "steady"], 1000, 50 + day % 3, day))
        hits.append(visits(unique, ["source", "broken"], 1000, 50 if day > 8 else 5, day))
    count(embedded, hits)
    opened(page, embedded, unique, compare="previous", period="last_8d", metric="orders/visits")
    broken = page.get_by_role("row", name="broken").locator("td span.bad")
    expect(broken).to_contain_text("↓ −4.50 points")
    expect(page.get_by_role("row", name="steady").locator("td span.soft")).to_have_count(1)
    expect(page.get_by_role("row", name="broken").locator(".trend svg")).to_have_count(1)


def test_everyone_can_read_it(page: Page, embedded: Site, shop: str) -> None:
    opened(page, embedded, shop, dim="source", compare="previous")
    check_looks(page)
    opened(page, embedded, shop, dim="source", at=json.dumps(["source", "google"]))
    check_looks(page)
