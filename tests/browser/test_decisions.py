"""The view of decisions: which option earned how much, how sure that is, and whether to go on."""

import json
import re
from typing import Any

import requests
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, served, whale_with
from tests.browser.visits import check_keyboard, check_looks
from tests.servers import wait_until
from whale.client import Whale

ODD = "<img src=x onerror=alert(1)>/\u202eabc 😀"


def decide(whale: Whale, name: str, rewards: dict[str, int], visitors: int = 60) -> None:
    """Visitors of a managed decision. rewards: by option, of ten of its visitors."""
    seen = dict.fromkeys(rewards, 0)
    for i in range(visitors):
        found = whale.choose(name, f"visitor {i}", {"country": "US" if i % 3 else "DE"}).decision
        seen[found.option] += 1
        if found.decision_id and seen[found.option] % 10 < rewards[found.option]:
            whale.reward(found.decision_id, {"orders": 1})
    whale.flush()


def report(whale: Whale, pk: str, shown: dict[str, tuple[int, int]]) -> None:
    """Outcomes that somebody counted: by option how often it was shown, and how often bought."""
    for option, (often, bought) in shown.items():
        for i in range(often):
            whale.count_outcome({"pk": pk, "option": option, "metrics": {"shown": 1, "bought": int(i < bought)}})


def row(page: Page, option: str) -> Any:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=option))


def test_a_managed_decision_is_shown_with_its_phases_and_contexts(page: Page) -> None:
    whale = whale_with()
    whale.define_decision(
        "checkout", options=["red", "green"], by_metric="orders", description="The colour of the button."
    )
    decide(whale, "checkout", {"red": 2, "green": 3})
    whale.define_decision("checkout", weights={"red": 1, "green": 3})
    whale.define_decision("pause", options=["a", "b"], paused=True)
    with served(page, whale) as address:
        page.goto(f"{address}/?view=decisions")
        expect(page.get_by_text("No option has data yet.")).to_be_visible()
        expect(row(page, "red")).to_contain_text("–")
        page.get_by_label("Phase").select_option("1")
        expect(page.get_by_text("Keep testing: 2 of 2 may still be best.")).to_be_visible()
        expect(page.get_by_text("60 decisions")).to_contain_text("The colour of the button.")
        page.get_by_label("Context").select_option("country")
        page.get_by_label("Value").select_option("DE")
        expect(page.get_by_text("Of country › DE alone.")).to_be_visible()
        trials = [row(page, option).get_by_role("cell").nth(2).inner_text() for option in ("red", "green")]
        assert sum(map(int, trials)) == 20
        page.go_back()
        page.go_back()
        expect(page.get_by_label("Context")).to_have_value("")
        page.get_by_role("link", name="pause").click()
        expect(page.get_by_text("Paused: everybody gets a.")).to_be_visible()
        assert "phase" not in page.url


def test_options_that_nobody_defined_are_those_of_the_pk_and_a_verdict_is_whales(page: Page) -> None:
    whale = whale_with()
    report(whale, "button", {"buy now": (300, 15), "get yours": (300, 90)})
    report(whale, "few", {"a": (40, 2), "b": (40, 3), "c": (40, 1)})
    with served(page, whale) as address:
        page.goto(f"{address}/?view=decisions&pk=button")
        expect(page.get_by_text("Stop testing: get yours is better than all others.")).to_be_visible()
        expect(row(page, "buy now")).to_contain_text("5.00")
        expect(row(page, "buy now")).to_contain_text("beaten")
        expect(row(page, "get yours")).to_contain_text("> 99.9 %")
        assert [cell.inner_text() for cell in row(page, "get yours").get_by_role("cell").all()[2:4]] == [
            "300",
            "50.0\u202f%",
        ]
        page.get_by_label("Judged by").select_option("shown/bought")
        expect(page.get_by_text("Keep testing: 2 of 2 may still be best.")).to_be_visible()
        page.goto(f"{address}/?view=decisions&pk=few")
        expect(page.get_by_text("Keep testing: 3 of 3 may still be best.")).to_be_visible()
        page.get_by_label("Table, files and links").click()
        page.get_by_role("button", name="Table", exact=True).click()
        expect(page.get_by_role("region", name="Table: few")).to_contain_text("probability best")


def test_without_any_decision_the_page_says_how_to_make_one(page: Page) -> None:
    whale = whale_with()
    whale.count_now("shop")
    with served(page, whale) as address:
        page.goto(f"{address}/?view=decisions&pk=shop")
        expect(page.get_by_text("No decision is defined.")).to_be_visible()
        expect(page.get_by_text(f"curl {address}/decisions/checkout -d")).to_be_visible()
        check_looks(page)


def test_names_are_text_and_wrong_ones_are_told(page: Page, faults: list[str]) -> None:
    whale = whale_with()
    whale.define_decision(ODD, options={ODD: 1, "b": 2}, description=ODD, by_metric="orders")
    decide(whale, ODD, {ODD: 1, "b": 1}, 20)
    with served(page, whale) as address:
        page.goto(f"{address}/?view=decisions")
        expect(page.get_by_role("heading", name="<img src=x onerror=alert(1)>/\\u{202e}abc 😀")).to_be_visible()
        expect(row(page, "<img src=x onerror=alert(1)>/\\u{202e}abc 😀")).to_be_visible()
        assert page.locator("#main img").count() == 0
        page.get_by_label("Context").select_option("country")
        expect(page.get_by_label("Value")).to_be_visible()
        assert faults == []
        page.goto(f"{address}/?view=decisions&decision=chekout")
        expect(page.get_by_text("no decision 'chekout' is defined")).to_be_visible()
        page.goto(f"{address}/?view=decisions&decision=chekout&phase=two&colour=red")
        expect(page.get_by_text("The address has something that this page does not know: colour.")).to_be_visible()
        expect(page.get_by_text("phase: expected a whole number, got 'two'")).to_be_visible()
        assert faults
        assert all("answered with 40" in fault and "/decisions/" in fault for fault in faults)
        faults.clear()


def test_everyone_can_read_and_use_the_decisions(page: Page, embedded: Site, unique: str) -> None:
    body = {"options": ["red", "green"], "by_metric": "orders", "description": "The colour of the button."}
    assert requests.post(f"{embedded.whale}/decisions/{unique}", json=body, timeout=20).status_code == 200
    assert (
        requests.post(
            f"{embedded.whale}/decisions/{unique}", json={"weights": {"red": 1, "green": 2}}, timeout=20
        ).status_code
        == 200
    )
    for i in range(10):
        context = json.dumps({"country": "US"})
        question = {"pk": unique, "visitor": f"v{i}", "dimensions": context}
        assert requests.get(f"{embedded.whale}/decide", question, timeout=20).status_code == 200

    def counted() -> bool:
        found = requests.get(f"{embedded.whale}/decisions/{unique}", timeout=20).json()
        return bool(found["report"]["decisions"] == 10)

    wait_until(counted, what="10 decisions")
    page.goto(f"{embedded.whale}/?view=decisions&decision={unique}&dim=country")
    expect(page.get_by_label("Value")).to_be_visible()
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.reload()
    expect(page.get_by_label("Value")).to_be_visible()
    check_keyboard(page)


def test_a_key_opens_the_decisions(page: Page, embedded: Site, unique: str) -> None:
    page.goto(f"{embedded.whale}/?pk={unique}")
    page.keyboard.press("d")
    expect(page).to_have_url(re.compile("[?&]view=decisions"))
    expect(page.get_by_role("heading", name="Decisions")).to_be_attached()


def test_thick_and_thin_lines_are_explained_and_a_phone_has_interval_and_loss(page: Page) -> None:
    whale = whale_with()
    whale.define_decision("checkout", options=["red", "green"], by_metric="orders")
    decide(whale, "checkout", {"red": 2, "green": 3}, 240)
    report(whale, "button", {"buy now": (300, 15), "get yours": (300, 90)})
    with served(page, whale) as address:
        page.goto(f"{address}/?view=decisions&decision=checkout")
        expect(
            page.get_by_text("Thick: 95 % interval, if you look once. Thin: holds even if you look daily.")
        ).to_be_visible()
        page.set_viewport_size({"width": 390, "height": 844})
        expect(row(page, "red")).to_contain_text(re.compile(r"\d+\.\d.% to \d+\.\d.%"))
        expect(row(page, "red").get_by_text(re.compile("^[0-9.]+.points lost"))).to_be_visible()
        page.goto(f"{address}/?view=decisions&pk=button")
        expect(
            page.get_by_text("Thin: holds even if you look daily, at a period that begins on a fixed day.")
        ).to_be_visible()
        expect(page.locator("#main")).not_to_contain_text("however often")
        page.goto(f"{address}/?view=decisions&pk=button&range=2026-01-01..2030-01-01")
        expect(page.locator("#main")).to_contain_text("however often you look")
