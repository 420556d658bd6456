"""The dashboard's first view and its shell, as a person meets them."""

import json

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


def tile(page: Page, name: str):  # type: ignore[no-untyped-def]
    return page.get_by_role("region", name="Totals").get_by_role("button", name=name)


def test_the_overview_shows_the_totals_of_a_pk(page: Page, site: Site, unique: str) -> None:
    count(site, unique)
    page.goto(f"{site.whale}/?pk={unique}&compare=none")
    expect(tile(page, "Hits")).to_contain_text("3")
    expect(tile(page, "Revenue")).to_contain_text("9.75")
    expect(page.get_by_role("heading", name="Hits")).to_be_visible()
    expect(page.get_by_role("row", name="US 1")).to_be_visible()
    tile(page, "Revenue").click()
    expect(page.get_by_role("heading", name="Revenue")).to_be_visible()
    assert "metric=revenue" in page.url


def test_everyone_can_read_and_use_the_overview(page: Page, embedded: Site, unique: str) -> None:
    count(embedded, unique)
    page.goto(f"{embedded.whale}/?pk={unique}")
    expect(tile(page, "Hits")).to_be_visible()
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    assert check_keyboard(page)[0] == "Skip to the numbers"


def test_the_picker_lists_pks_with_their_hits_of_today(page: Page, embedded: Site, unique: str) -> None:
    count(embedded, unique)
    page.goto(embedded.whale)
    page.keyboard.press("k")
    page.keyboard.type(unique)
    expect(page.get_by_role("option", name=f"{unique} 3 today")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=unique)).to_be_visible()


def test_a_note_is_written_on_the_overview_and_deleted_again(page: Page, embedded: Site, unique: str) -> None:
    count(embedded, unique)
    page.goto(f"{embedded.whale}/?pk={unique}")
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
