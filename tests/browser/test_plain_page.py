"""The page at `/` of Whale, as a person meets it."""

import json
import re

import requests
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.visits import check_keyboard, check_looks
from tests.servers import wait_until


def count(site: Site, pk: str) -> None:
    """Three hits, one of them of a part of the pk; returns when they are counted."""
    hits = [
        {"pk": pk, "metrics": {"hits": 1, "revenue": 9.5}, "dimensions": {"country": "US"}},
        {"pk": pk, "metrics": {"hits": 1, "revenue": 0.25}},
        {"pk": [pk, "<b>bags</b>"], "metrics": {"hits": 1}},
    ]
    for hit in hits:
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in hit.items()}
        assert requests.get(f"{site.hail}/count", fields, timeout=20).text.strip() == "OK"

    def counted() -> bool:
        question = {"pk": pk, "metrics": '["hits"]', "period": "today"}
        answer = requests.get(f"{site.whale}/totals", question, timeout=20).json()
        return bool(answer["today"].get("_", {}).get("hits") == 3)

    wait_until(counted, what="3 hits")


def test_the_page_shows_pks_with_their_totals_of_today(page: Page, site: Site, unique: str) -> None:
    count(site, unique)
    page.goto(site.whale)
    row, child = page.locator("tr", has_text=unique).all()
    expect(row.locator("td")).to_have_text([unique, "3", "revenue 9.75"])
    expect(child.locator("td")).to_have_text([f'["{unique}", "<b>bags</b>"]', "1", ""])


def test_everyone_can_read_and_use_the_page(page: Page, embedded: Site, unique: str) -> None:
    count(embedded, unique)
    page.goto(embedded.whale)
    check_looks(page)
    assert check_keyboard(page)[:2] == ["send a hit", "ask"]


def test_the_links_at_the_top_lead_down_the_page_by_key(page: Page, embedded: Site) -> None:
    page.goto(embedded.whale)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#send$"))
    expect(page.get_by_role("heading", name="Send a hit")).to_be_in_viewport()
