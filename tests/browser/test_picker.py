"""The search for pks and values: by its keys, by the mouse, and for those who do not see it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from hail.settings import load
from tests.browser.visits import check_looks
from tests.wsgi import serving
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.web import make_app

ODD = "<img src=x onerror=alert(1)>"


@pytest.fixture
def address() -> Iterator[str]:
    """Whale with the pks shop, Shed, ship and an odd one, and sources of shop."""
    settings = load({})
    whale = Whale(MemoryStore(settings), settings)
    for source in ("Instagram", "newsletter", ODD):
        whale.count_now("shop", {"source": source, "country": "US"})
    for pk in ("Shed", "ship", "ship", ODD, ["Shed", "roof"]):
        whale.count_now(pk)
    with serving(make_app(settings, whale)) as where:
        yield where


def opened(page: Page, address: str, question: str = "?pk=shop&dim=source") -> None:
    page.goto(f"{address}/{question}")
    expect(page.get_by_role("button", name="shop")).to_be_visible()
    page.keyboard.press("/")


def found(page: Page) -> Locator:
    return page.get_by_role("dialog").get_by_role("option")


def options(page: Page) -> list[str]:
    return [text.replace("\n", " ") for text in found(page).all_inner_texts()]


def chosen(page: Page) -> str:
    """The option that a screen reader reads now."""
    id = page.get_by_role("dialog").get_by_role("combobox").get_attribute("aria-activedescendant")
    assert id
    option = page.locator(f"#{id}")
    assert option.get_attribute("aria-selected") == "true"
    assert page.locator('[role="option"][aria-selected="true"]').count() == 1
    return option.inner_text().split("\n")[0]


def test_keys_find_and_open_a_pk(address: str, page: Page) -> None:
    opened(page, address)
    expect(page.get_by_role("option", name="shop 3 today")).to_be_visible()
    assert options(page)[:2] == ["shop 3 today", "Shed 2 today"]
    page.keyboard.type("SH")
    expect(found(page)).to_have_count(3)
    read = [chosen(page)]
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        read.append(chosen(page))
    assert read == ["shop", "Shed", "ship", "shop"]
    page.keyboard.press("ArrowUp")
    assert chosen(page) == "ship"
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="ship")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("button", name="shop")).to_be_visible()


def test_enter_is_heard_before_the_answer_is_there(address: str, page: Page) -> None:
    opened(page, address)
    page.keyboard.type("shed")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Shed")).to_be_visible()


def test_values_of_the_dimension_are_found_by_any_part_of_their_names(address: str, page: Page) -> None:
    opened(page, address)
    page.keyboard.type("gram")
    expect(page.get_by_role("group", name="Source").get_by_role("option", name="Instagram")).to_be_visible()
    assert chosen(page) == "Instagram"
    page.get_by_role("option", name="Instagram").click()
    page.wait_for_url("**view=breakdown**")
    assert "dim=source" in page.url
    assert "Instagram" in page.url


def test_names_are_text_and_what_is_not_there_is_said(address: str, page: Page) -> None:
    opened(page, address, "?pk=shop&dim=source")
    page.keyboard.type("<img")
    expect(page.get_by_role("option", name=ODD)).to_have_count(2)
    assert page.locator("dialog img").count() == 0
    page.keyboard.type("nowhere")
    expect(page.get_by_text("Nothing has this name.")).to_be_visible()
    assert page.get_by_role("dialog").get_by_role("combobox").get_attribute("aria-activedescendant") is None
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.activeElement.id") in ("picker", "")


def test_everyone_can_use_the_search(address: str, page: Page) -> None:
    opened(page, address)
    page.keyboard.type("s")
    expect(page.get_by_role("group", name="Source")).to_be_visible()
    check_looks(page)
