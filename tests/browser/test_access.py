"""The view of access: users, keys and sites are made, changed and removed; nothing of it is shown to those who may not."""

import json
import re
import secrets
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from hail.settings import load
from tests.browser.conftest import LOCKED
from tests.browser.visits import check_keyboard, check_looks
from tests.wsgi import serving
from whale.accounts import ALL, Act, Rights, User
from whale.client import Whale
from whale.passwords import Cost, Passwords
from whale.store.memory import MemoryStore
from whale.web import make_app

PASSWORD = "korrekt pferd"
LOOKS = Rights("write", "write", "write", "write", "read")
NASTY = "<img src=x onerror=alert(1)>\u202eabc 'q' ‚\"q\""
SECRET = re.compile(r"hw_[wrab]_[\w-]{43}")


def whale_app(**environ: str) -> tuple[Whale, Any, Passwords]:
    settings = load({f"HAILWHALE_{name}": value for name, value in environ.items()})
    whale, passwords = Whale(MemoryStore(settings), settings), Passwords(secrets.token_bytes, cost=Cost(64, 1))
    return whale, make_app(settings, whale, passwords), passwords


@pytest.fixture
def address(page: Page) -> Iterator[str]:
    """Whale without keys, so that whoever asks from this machine is an admin."""
    with serving(whale_app()[1]) as found:
        yield found
        page.goto("about:blank")


@pytest.fixture
def locked(page: Page) -> Iterator[str]:
    """With keys, the admin `boss`, `anna`, who may do all else and look at what admins do, and `carl`, who may not."""
    keys = {name.upper(): value for name, value in LOCKED.items()}
    whale, app, passwords = whale_app(**keys, SECRET="s" * 32)
    for name, rights in (("boss", ALL), ("anna", LOOKS), ("carl", Rights("write", "write", "write", "write"))):
        user = User("default", name, passwords.hash(PASSWORD), rights, 1)
        whale.store.add_entry(user, Act(1, "test", "add user", "default", name))
    with serving(app) as found:
        yield found
        page.goto("about:blank")


def opened(page: Page, address: str) -> None:
    page.goto(f"{address}/?view=access")
    expect(page.get_by_role("heading", name="Journal")).to_be_visible()


def made(address: str, route: str, **body: Any) -> dict[str, Any]:
    answer = requests.post(f"{address}/{route}", json=body, timeout=20)
    assert answer.ok, answer.text
    return dict(answer.json())


def listed(address: str, route: str) -> list[dict[str, Any]]:
    return list(requests.get(f"{address}/{route}", timeout=20).json())


def form(page: Page) -> Locator:
    return page.get_by_role("dialog")


def sent(page: Page, action: str) -> None:
    """The form is taken."""
    form(page).get_by_role("button", name=action, exact=True).click()
    expect(form(page)).to_have_count(0)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))


def test_a_user_is_added_changed_and_removed(page: Page, address: str) -> None:
    opened(page, address)
    expect(page.get_by_text("Nobody yet.")).to_be_visible()
    expect(page.get_by_text("No key is set for this service")).to_be_visible()
    press(page, "Add a user")
    form(page).get_by_label("Name").fill("anna")
    form(page).get_by_label("Password").fill(PASSWORD)
    form(page).get_by_label("Counts").select_option("read")
    sent(page, "Add")
    expect(row(page, "default/anna")).to_contain_text("counts read")
    expect(page.locator("#journal")).to_contain_text("add user")

    press(page, "Change default/anna")
    expect(form(page).get_by_label("Counts")).to_have_value("read")
    form(page).get_by_label("Decisions").select_option("write")
    sent(page, "Change")
    expect(row(page, "default/anna")).to_contain_text("counts read, decisions write")

    press(page, "Add a user")
    form(page).get_by_label("Name").fill("default")
    form(page).get_by_label("Password").fill(PASSWORD)
    sent(page, "Add")
    expect(row(page, "default")).to_contain_text("all: the owner")
    press(page, "Change default")
    expect(form(page).get_by_label("Counts")).to_have_count(0)
    sent(page, "Cancel")

    press(page, "Remove default/anna")
    expect(form(page)).to_contain_text("Remove the user default/anna?")
    expect(form(page).get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(form(page)).to_have_count(0)
    expect(row(page, "default/anna")).to_be_visible()
    press(page, "Remove default/anna")
    sent(page, "Remove")
    expect(row(page, "default/anna")).to_have_count(0)
    expect(page.get_by_role("button", name="Add a user")).to_be_focused()
    assert [user["name"] for user in listed(address, "users")] == ["default"]


def test_a_form_that_is_refused_says_why_at_its_field_and_keeps_what_was_typed(
    page: Page, faults: list[str], address: str
) -> None:
    made(address, "users", name="anna", password=PASSWORD)
    opened(page, address)
    press(page, "Add a user")
    name, password = form(page).get_by_label("Name"), form(page).get_by_label("Password")
    name.fill("anna")
    password.fill("kurz")
    form(page).get_by_label("Funnels").select_option("read")
    for said, at, mended in (("there is a user default/anna already", name, "bert"), ("8 letters", password, PASSWORD)):
        press(page, "Add")
        expect(form(page).get_by_role("alert")).to_contain_text(said)
        expect(at).to_be_focused()
        expect(at).to_have_attribute("aria-invalid", "true")
        at.fill(mended)
    expect(form(page).get_by_label("Funnels")).to_have_value("read")
    sent(page, "Add")
    expect(row(page, "default/bert")).to_contain_text("funnels read")
    assert [fault for fault in faults if "with 409" not in fault and "with 400" not in fault] == []
    faults.clear()


def test_a_form_outlives_a_whale_that_is_away(page: Page, faults: list[str], address: str) -> None:
    opened(page, address)
    press(page, "Add a user")
    form(page).get_by_label("Name").fill("anna")
    form(page).get_by_label("Password").fill(PASSWORD)
    page.route("**/users", lambda route: route.abort())
    press(page, "Add")
    expect(form(page).get_by_role("alert")).to_contain_text("Whale did not answer.")
    page.unroute("**/users")
    sent(page, "Add")
    expect(row(page, "default/anna")).to_be_visible()
    assert [fault for fault in faults if not fault.startswith("failed: ")] == []
    faults.clear()


def secret_of(card: Locator) -> str:
    return str(SECRET.search(card.locator("pre").first.inner_text())[0])  # type: ignore[index]  # it is there


def test_the_secret_of_a_new_key_is_shown_once_with_the_line_to_use_it(page: Page, address: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, address)
    press(page, "Make a key")
    sent(page, "Make")
    card = page.get_by_role("region", name="The new key")
    expect(card.get_by_role("heading")).to_be_focused()
    secret = secret_of(card)
    press(page, "Copy: secret")
    expect(page.get_by_text("Copied: secret")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    line = shlex.split(card.locator("pre").last.inner_text().replace("\\\n", ""))
    assert line[:2] == ["curl", "-G"]
    assert line[2].endswith("/count")
    assert line[3:] == ["-H", f"Authorization: Bearer {secret}", "--data-urlencode", "pk=shop"]
    (key,) = listed(address, "keys")
    expect(row(page, f"{key['prefix']}…")).to_contain_text("write")
    page.keyboard.press("h")
    expect(page.get_by_role("heading", name="Parts")).to_be_visible()
    page.keyboard.press("a")
    expect(row(page, f"{key['prefix']}…")).to_be_visible()
    assert secret not in page.content()


def test_a_key_is_rotated_revoked_and_removed(page: Page, address: str) -> None:
    made(address, "sites", pk="shop", open=True, origins=["https://shop.example"])
    old = f"{made(address, 'keys', scope='browser', site='shop')['prefix']}…"
    opened(page, address)
    press(page, f"Rotate {old}")
    form(page).get_by_label("The old key").select_option("works for 7 more days")
    sent(page, "Rotate")
    card = page.get_by_role("region", name=f"In place of {old}")
    secret = secret_of(card)
    expect(card.locator("pre").last).to_contain_text(f"/count.js?pk=shop&key={secret}")
    press(page, "I have it")
    expect(card).to_have_count(0)
    before, after = sorted(listed(address, "keys"), key=lambda key: f"{key['prefix']}…" != old)
    assert after["expires_at"] is None
    assert before["expires_at"] - after["made_at"] == pytest.approx(7 * 86_400_000, abs=60_000)

    press(page, f"Change {old}")
    form(page).get_by_label("It ends").select_option("now: revoke it")
    sent(page, "Change")
    expect(row(page, old)).to_have_count(0)  # its name has the badge by now
    expect(page.get_by_role("rowheader", name=old)).to_contain_text("revoked")
    expect(page.get_by_role("button", name=f"Rotate {old}")).to_have_count(0)
    press(page, f"Remove {old}")
    sent(page, "Remove")
    expect(page.get_by_role("rowheader", name=old)).to_have_count(0)
    assert [key["id"] for key in listed(address, "keys")] == [after["id"]]


def test_a_site_is_added_changed_and_removed_once_no_key_opens_it(page: Page, faults: list[str], address: str) -> None:
    opened(page, address)
    press(page, "Add a site")
    form(page).get_by_label("Pk").fill("shop")
    form(page).get_by_label("Pages may send").check()
    press(page, "Add")
    expect(form(page).get_by_label("Pages that may send")).to_be_focused()
    expect(form(page).get_by_role("alert")).to_contain_text("list the origins")
    form(page).get_by_label("Pages that may send").fill("https://shop.example\n\n https://www.shop.example ")
    sent(page, "Add")
    expect(row(page, "shop")).to_contain_text("https://www.shop.example")
    press(page, "Change shop")
    form(page).get_by_label("Days").fill("30")
    form(page).get_by_label("Ids of visitors").uncheck()
    sent(page, "Change")
    expect(row(page, "shop")).to_contain_text("30 days, without ids")
    (site,) = listed(address, "sites")
    assert site["origins"] == ["https://shop.example", "https://www.shop.example"]

    made(address, "keys", scope="browser", site="shop")
    press(page, "Remove shop")
    press(page, "Remove")
    expect(form(page).get_by_role("alert")).to_contain_text("remove the key first")
    press(page, "Cancel")
    assert [fault for fault in faults if "with 409" not in fault and "with 400" not in fault] == []
    faults.clear()
    made(address, f"keys/{listed(address, 'keys')[0]['id']}", revoke=True)
    press(page, "Remove shop")
    sent(page, "Remove")
    expect(page.get_by_text("None yet. Pages of a site")).to_be_visible()


def test_hostile_names_are_text_and_what_is_done_is_done_to_them(page: Page, address: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, address)
    press(page, "Add a site")
    form(page).get_by_label("Pk").fill(NASTY)
    form(page).get_by_label("Name for people").fill("<script>alert(2)</script>")
    form(page).get_by_label("Properties that count as paths").fill("a/../b\n<b>")
    sent(page, "Add")
    seen = NASTY.replace("\u202e", "\\u{202e}")
    expect(row(page, f"{seen} <script>alert(2)</script>")).to_be_visible()
    press(page, f"Change {seen}")
    expect(form(page).get_by_label("Name for people")).to_have_value("<script>alert(2)</script>")
    expect(form(page).get_by_label("Properties that count as paths")).to_have_value("a/../b\n<b>")
    form(page).get_by_label("Description").fill("changed")
    sent(page, "Change")
    press(page, "Make a key")
    form(page).get_by_label("Scope").select_option("read")
    form(page).get_by_label("Site").select_option(NASTY)
    sent(page, "Make")
    press(page, "Copy: curl")
    expect(page.get_by_text("Copied: curl")).to_be_visible()
    *_, pk = shlex.split(page.evaluate("navigator.clipboard.readText()").replace("\\\n", ""))
    assert json.loads(pk.removeprefix("pk=")) == [NASTY]
    (site,) = listed(address, "sites")
    assert (site["pk"], site["description"], site["dimensions"]) == (NASTY, "changed", ["a/../b", "<b>"])
    assert page.locator("#main img, #main script").count() == 0


def test_a_user_without_admin_sees_one_sentence_one_who_reads_all_and_an_admin_changes_it(
    page: Page, faults: list[str], locked: str
) -> None:
    def log_in(name: str) -> None:
        page.goto(f"{locked}/login?next=/?view=access")
        page.get_by_label("Name").fill(f"default/{name}")
        page.get_by_label("Password").fill(PASSWORD)
        press(page, "Log in")

    log_in("carl")
    sentence = (
        "You need the right to read in admin, or the admin key, to see users, keys and sites, "
        "and the right to write to change them."
    )
    expect(page.locator("#main")).to_have_text(f"Access{sentence}")
    refused = {f"answered with 403: {locked}/{route}" for route in ("users", "keys", "sites", "journal")}
    page.wait_for_load_state("networkidle")  # the first one is enough for the sentence
    assert {fault.split("?")[0] for fault in faults} == refused
    faults.clear()
    page.context.clear_cookies()
    log_in("anna")
    expect(row(page, "default/boss")).to_contain_text("all")
    press(page, "Remove default/boss")
    form(page).get_by_role("button", name="Remove", exact=True).click()
    expect(form(page)).to_contain_text("you need the right admin write")
    page.context.clear_cookies()
    faults[:] = [fault for fault in faults if "answered with 403" not in fault]
    log_in("boss")
    expect(row(page, "default/anna")).to_contain_text("counts write")
    press(page, "Change default/anna")
    form(page).get_by_label("Counts").select_option("none")
    sent(page, "Change")
    expect(page.locator("#journal").get_by_text("default/boss over HTTP")).to_be_visible()


def test_everyone_can_read_and_use_the_view_of_access(page: Page, address: str) -> None:
    made(address, "users", name="n" * 64, password=PASSWORD)
    made(address, "sites", pk=NASTY, origins=["https://shop.example"], open=True)
    made(address, "keys", scope="browser", site=NASTY)
    made(address, "keys", scope="read", expires_s=86_400)
    opened(page, address)
    check_looks(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    assert {"Add a user", "Make a key", "Add a site", "Rotate"} <= set(check_keyboard(page))
    press(page, "Make a key")
    sent(page, "Make")
    check_looks(page)
    for button in ("Add a user", "Add a site"):
        press(page, button)
        check_looks(page)
        press(page, "Cancel")
