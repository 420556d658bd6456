"""The view of funnels: steps are picked among the events, and the page says how far visitors get and after what they leave."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import served
from tests.browser.shoppers import did, site_of, usual
from tests.browser.test_shell import opened, settled
from tests.browser.test_visitors import asked, csv_of
from tests.browser.visits import check_keyboard, check_looks
from whale.client import Whale

NASTY = '<img src=x onerror=alert(1)>/\u202eabc, "q" [x]'


@pytest.fixture
def whale() -> Whale:
    whale = site_of()
    did(whale, usual())
    return whale


@pytest.fixture
def address(page: Page, whale: Whale) -> Iterator[str]:
    with served(page, whale) as found:
        yield found


def steps_of(page: Page) -> list[str]:
    return list(json.loads(parse_qs(urlsplit(page.url).query).get("steps", ["[]"])[0]))


def shown(page: Page) -> list[str]:
    return page.locator(".steps .event").all_inner_texts()


def row(page: Page, event: str) -> Locator:
    name = page.locator(".event").get_by_text(event, exact=True)
    return page.locator("#funnel tbody tr").filter(has=name)


def cells(page: Page, event: str) -> list[str]:
    return row(page, event).get_by_role("cell").all_inner_texts()


def funnel(address: str, steps: list[str], **parameters: Any) -> list[dict[str, Any]]:
    return list(asked(address, "funnel", period="30d", steps=json.dumps(steps), **parameters)["steps"])


def test_without_steps_the_most_visited_events_are_a_funnel(page: Page, address: str) -> None:
    opened(page, address, view="funnels")
    assert shown(page) == ["visit", "product", "basket", "order"]
    assert "steps" not in page.url
    for step in funnel(address, ["visit", "product", "basket", "order"]):
        said = cells(page, step["event"])
        assert said[1].split("\n")[0] == str(step["visitors"])
        assert said[5].split("\n")[0] == (str(step["dropped"]) if step["event"] != "order" else "–")
    expect(page.locator("#funnel")).to_contain_text("12.5\u202f% of 40 visitors got from visit to order")
    expect(page.locator("#funnel")).to_contain_text(
        "Most leave after visit: 20 of 40 (50.0\u202f%) did not go on to product."
    )
    expect(row(page, "visit")).to_contain_text("most leave here")


def test_a_funnel_is_built_by_clicks_and_stands_in_the_address(page: Page, address: str) -> None:
    opened(page, address, view="funnels")
    page.get_by_role("button", name="Begin anew").click()
    expect(page.get_by_text("Pick the first event")).to_be_visible()
    for event in ("order", "visit", "basket"):
        page.get_by_role("button", name=re.compile(rf"^\+ {event}\b")).click()
        settled(page)
    assert steps_of(page) == ["order", "visit", "basket"]
    page.get_by_role("button", name="Move step 2 up").click()
    settled(page)
    expect(page.locator(".steps .event").first).to_have_text("visit")
    expect(page.locator(".steps li").first).to_be_focused()
    page.get_by_role("button", name="Take out step 2").click()
    settled(page)
    assert steps_of(page) == ["visit", "basket"]
    page.reload()
    expect(row(page, "basket")).to_contain_text("10")
    page.go_back()
    expect(page.locator(".steps .event")).to_have_count(3)


def test_a_funnel_is_built_without_a_mouse(page: Page, address: str) -> None:
    opened(page, address, view="funnels", steps='["visit","basket","order"]')
    page.get_by_role("button", name="Move step 1 down").press("Enter")
    settled(page)
    assert steps_of(page) == ["basket", "visit", "order"]
    expect(page.get_by_role("button", name="Move step 2 down")).to_be_focused()
    page.keyboard.press("Enter")
    settled(page)
    assert steps_of(page) == ["basket", "order", "visit"]
    expect(page.locator(".steps li").last).to_be_focused()
    for key in ("Tab", "Tab", "Tab", "Enter"):  # past the condition, and the arrow up
        page.keyboard.press(key)
    settled(page)
    assert steps_of(page) == ["basket", "order"]
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.reload()
    settled(page)
    assert "Begin anew" in check_keyboard(page)


def test_the_window_counts(page: Page, address: str) -> None:
    opened(page, address, view="funnels", steps='["visit","product"]')
    expect(row(page, "product")).to_contain_text("20")
    page.get_by_label("all within").select_option("30 minutes")
    settled(page)
    assert "window=30m" in page.url
    expect(row(page, "product")).to_contain_text("20")
    page.goto(f"{address}/?pk=shop&view=funnels&steps=%5B%22visit%22%2C%22product%22%5D&window=600s")
    expect(page.get_by_label("all within")).to_have_value("600s")
    assert [step["visitors"] for step in funnel(address, ["visit", "product"], window="600s")] == [40, 0]
    expect(row(page, "product").get_by_role("cell").nth(1)).to_have_text(re.compile("^0"))


def test_who_may_still_go_on_did_not_leave(page: Page, whale: Whale, address: str) -> None:
    did(whale, [("late", 0.01, "visit", {})])
    opened(page, address, view="funnels", steps='["visit","product"]', compare="none")
    assert cells(page, "visit")[4:6] == ["20", "1"]


def test_the_table_is_a_csv_and_the_question_a_line(page: Page, address: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, address, view="funnels", steps='["visit","order"]')
    first, last = funnel(address, ["visit", "order"])
    assert csv_of(page, "funnel") == [
        "Step,Visitors,Occurrences,Conversion,Dropped,Open,Median s,90 % s,Conversion before",
        f"visit,40,{first['occurrences']},1,35,0,,,",
        f"order,5,5,0.125,0,0,{last['median_s']},{last['p90_s']},",
    ]
    page.locator("#funnel-tools").click()
    page.locator("#funnel").get_by_role("button", name="Copy curl").click()
    expect(page.get_by_text("Copied: curl")).to_be_visible()
    line = page.evaluate("navigator.clipboard.readText()")
    assert f"{address}/funnel" in line
    assert """'steps=["visit","order"]'""" in line


def test_an_event_that_was_never_logged_is_told(page: Page, faults: list[str], address: str) -> None:
    opened(page, address, view="funnels", steps='["visit","ordre"]')
    expect(page.locator("#funnel")).to_contain_text("no event 'ordre' was logged")
    page.get_by_role("button", name="Take out step 2").click()
    expect(page.get_by_text("A funnel has two steps or more")).to_be_visible()
    assert all("answered with 404" in fault and "ordre" in fault for fault in faults)
    faults.clear()


def test_names_are_text(page: Page, whale: Whale, address: str) -> None:
    did(whale, [("ann", 1, "visit", {}), ("ann", 0.9, NASTY, {})])
    opened(page, address, view="funnels")
    page.get_by_role("button", name=re.compile(r"^\+ <img")).click()
    settled(page)
    assert steps_of(page)[-1] == NASTY
    assert page.locator("#main img").count() == 0
    assert "\\u{202e}" in shown(page)[-1]


def test_a_step_that_broke_is_named_with_its_day(page: Page) -> None:
    whale = site_of()
    deeds, since_noon = [], time.time() / 86_400 % 1 - 0.5  # so that each of them has a date of its own
    for day in range(1, 29):
        for number in range(60):
            who = f"{day}.{number}"
            deeds.append((who, day + since_noon + 0.01, "visit", {}))
            if number < (3 if day < 7 else 40):
                deeds.append((who, day + since_noon, "order", {}))
    did(whale, deeds)
    with served(page, whale) as address:
        opened(page, address, view="funnels")
        expect(page.locator("#funnel .story")).to_contain_text(
            re.compile(r"^Since \w+ \d+ \w+, order fell from [0-9.]+ to 3 a day\.$")
        )
        expect(row(page, "order")).to_contain_text("fell")
        check_looks(page)


# conditions, the other period, over time, by a property


def test_a_step_takes_conditions(page: Page, address: str) -> None:
    opened(page, address, view="funnels", steps='["visit","order"]')
    page.get_by_role("button", name="Add a condition to step 1").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Property").select_option("plan")
    form.get_by_label("Value", exact=True).fill("pro")
    form.get_by_role("button", name="Add").click()
    settled(page)
    condition = {"event": "visit", "where": [{"property": "plan", "is": "pro"}]}
    assert steps_of(page) == [condition, "order"]
    found = asked(address, "funnel", period="30d", steps=json.dumps([condition, "order"]))["steps"]
    assert cells(page, "visit (plan is pro)")[1].split("\n")[0] == str(found[0]["visitors"]) == "13"
    page.get_by_role("button", name="Add a condition to step 2").click()
    form.get_by_label("Property").select_option("price, of the event")
    form.get_by_label("Condition").select_option("is one of")
    form.get_by_label("Value", exact=True).fill("5, 13, 21")
    form.get_by_role("button", name="Add").click()
    settled(page)
    assert steps_of(page)[1] == {
        "event": "order",
        "where": [{"property": "price", "in": [5, 13, 21], "when": "event"}],
    }
    page.get_by_role("button", name="Take out: plan is pro").click()
    settled(page)
    assert steps_of(page)[0] == "visit"
    expect(row(page, "order (price is one of 5 or 13 or 21)")).to_contain_text("3")
    page.get_by_role("button", name="Add a condition to step 1").click()
    check_looks(page)


def test_the_same_funnel_is_split_by_a_property_and_closes(page: Page, address: str) -> None:
    opened(page, address, view="funnels", steps='["visit","basket","order"]')
    page.locator("#by").select_option("source")
    settled(page)
    found = asked(address, "funnel", period="30d", steps='["visit","basket","order"]', by="source")
    lines = csv_of(page, "split")
    assert lines[0] == "source,visit,basket,order"
    assert lines[1:-1] == [
        ",".join([each["value"], *(str(step["visitors"]) for step in each["steps"])]) for each in found["split"]
    ]
    assert lines[-1] == ",".join(["All", *(str(step["visitors"]) for step in found["steps"])])
    page.reload()
    expect(page.locator("#by")).to_have_value("source")


def test_a_funnel_has_its_rate_over_time_and_the_other_period_beside_it(page: Page, whale: Whale, address: str) -> None:
    did(whale, [(f"before {number}", 40, "visit", {}) for number in range(50)])
    did(whale, [(f"before {number}", 39.9, "order", {}) for number in range(40)])
    opened(page, address, view="funnels", steps='["visit","order"]')
    question = {"period": "30d", "steps": '["visit","order"]', "rate": "1", "compare": "previous"}
    found = asked(address, "funnel", **question)
    assert len(csv_of(page, "rate")) == 1 + len(found["rate"])
    expect(page.locator("#funnel")).to_contain_text("In the other period it was 80.0\u202f%.")
    expect(row(page, "order")).to_contain_text("−67.5 points")
    assert csv_of(page, "funnel")[2].endswith(",0.8")
    page.get_by_label("beside").select_option("nothing")
    settled(page)
    expect(page.locator("#funnel")).not_to_contain_text("In the other period")


def test_a_value_of_which_far_fewer_get_there_is_named(page: Page) -> None:
    whale = site_of()
    people = [(f"{source} {number}", source, number) for source in ("mail", "search", "web") for number in range(60)]
    did(whale, [(who, 3, "visit", {"source": source, "age": number}) for who, source, number in people])
    did(whale, [(who, 2.9, "order", {}) for who, source, number in people if number < (3 if source == "mail" else 30)])
    with served(page, whale) as address:
        opened(page, address, view="funnels")
        expect(page.locator("#by")).to_have_value("source")
        expect(page.locator("#split .story")).to_have_text(
            "Of source mail 5.00\u202f% got there, and of all others 50.0\u202f%."
        )
        check_looks(page)
        page.locator("#by").select_option("age")
        settled(page)
        expect(page.locator("#split .story")).to_have_count(0)


# saved ones


def test_a_funnel_is_saved_opened_changed_and_deleted(page: Page, whale: Whale, address: str) -> None:
    opened(page, address, view="funnels", steps='["visit","basket"]', window="7d")
    page.get_by_role("button", name="Save…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill("to the basket")
    form.get_by_role("button", name="Save").click()
    settled(page)
    assert whale.funnels("shop") == [
        {"name": "to the basket", "revision": 1, "steps": ["visit", "basket"], "window_s": 7 * 86400}
    ]
    saved = page.get_by_role("navigation", name="Saved funnels").get_by_role("link")
    expect(saved).to_have_text("to the basket")
    expect(saved).to_have_attribute("aria-current", "true")
    assert "steps" not in page.url
    opened(page, address, view="funnels")
    assert shown(page) == ["visit", "basket"]
    expect(page.get_by_label("all within")).to_have_value("7d")
    page.get_by_role("button", name=re.compile(r"^\+ order")).click()
    settled(page)
    check_looks(page)
    page.get_by_role("button", name="Save…").click()
    form.get_by_label("Name").fill("to the basket")
    form.get_by_role("button", name="Save").click()
    settled(page)
    assert whale.funnels("shop")[0]["steps"] == ["visit", "basket", "order"]
    page.get_by_role("button", name="Delete…").click()
    form.get_by_role("button", name="Delete").click()
    settled(page)
    assert whale.funnels("shop") == []
    assert shown(page) == ["visit", "product", "basket", "order"]


def test_who_saves_over_what_somebody_changed_is_told(
    page: Page, whale: Whale, faults: list[str], address: str
) -> None:
    whale.save_funnel("shop", "checkout", ["visit", "basket"])
    opened(page, address, view="funnels", name="checkout")
    whale.save_funnel("shop", "checkout", ["visit", "order"])
    page.get_by_role("button", name="Save…").click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("revision")
    form.get_by_role("button", name="Cancel").click()
    assert whale.funnels("shop")[0]["steps"] == ["visit", "order"]
    assert len(faults) == 1
    assert "answered with 409" in faults[0]
    faults.clear()
    opened(page, address, view="funnels", name="checkuot")
    expect(page.locator("#notice")).to_contain_text("No funnel checkuot is saved.")


def test_where_it_broke_is_told_unasked(page: Page) -> None:
    whale = site_of()
    deeds = []
    for number in range(300):
        who, day, campaign = f"v{number}", number % 28 + 1.5, ("spring", "brand", "<b>")[number // 28 % 3]
        deeds.append((who, day, "visit", {"campaign": campaign, "device": ("phone", "tablet")[number % 2]}))
        deeds.append((who, day - 0.01, "basket", {}))
        if campaign != "<b>" or day > 9:
            deeds.append((who, day - 0.02, "order", {}))
    did(whale, deeds)
    with served(page, whale) as address:
        opened(page, address, view="funnels", steps='["visit","basket","order"]')
        said = page.locator("#funnel .broken")
        expect(said).to_contain_text(
            re.compile(
                r"since .*, of campaign <b> 0.00\u202f% went on from basket to order \(0 of \d+\), before (100|9)"
            )
        )
        expect(said).to_contain_text("All the way got 0.00\u202f%, before ")
        check_looks(page)
        said.get_by_role("link", name="Split by campaign").click()
        settled(page)
        expect(page.locator("#by")).to_have_value("campaign")


def test_nothing_is_told_where_all_go_on_as_before(page: Page, address: str) -> None:
    opened(page, address, view="funnels", by="plan")
    assert page.locator("#funnel .broken").inner_text() == ""
