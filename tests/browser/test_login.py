"""A person logs in at the form, looks at the dashboard, and logs out; a page of another port gets nowhere."""

import re
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from hail.settings import load
from tests.browser.conftest import LOCKED
from tests.browser.visits import check_keyboard, check_looks
from tests.wsgi import serving
from whale.accounts import ALL, Act, User
from whale.client import Whale
from whale.passwords import Cost, Passwords
from whale.store.memory import MemoryStore
from whale.web import make_app

NAME, PASSWORD = "default/anna", 'korrekt "pferd" <b>&amp; ü'


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    keys = {f"HAILWHALE_{name.upper()}": value for name, value in LOCKED.items()}
    settings = load({**keys, "HAILWHALE_SECRET": "s" * 32})
    store = MemoryStore(settings)
    whale = Whale(store, settings)
    whale.count_now("shop", {"country": "US"}, {"revenue": 5})
    passwords = Passwords(secrets.token_bytes, cost=Cost(64, 1))
    store.add_entry(
        User("default", "anna", passwords.hash(PASSWORD), ALL, 1), Act(1, "test", "add user", "default", "anna")
    )
    with serving(make_app(settings, whale, passwords)) as found:
        yield found


def log_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_a_person_logs_in_looks_and_logs_out(page: Page, faults: list[str], address: str) -> None:
    page.goto(f"{address}/?pk=shop&view=breakdown")
    expect(page).to_have_url(re.compile(r"/login\?next="))
    log_in(page, "falsch")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(page.get_by_label("Name")).to_have_value(NAME)
    log_in(page)
    expect(page.get_by_role("rowheader", name="US")).to_be_visible()
    (cookie,) = page.context.cookies()
    port = address.rpartition(":")[2]
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (
        f"hailwhale-{port}",
        True,
        "Lax",
        "/",
    )
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert page.context.cookies() == []
    page.goto(f"{address}/")
    expect(page).to_have_url(re.compile(r"/login\?next="))
    assert [fault for fault in faults if "403" not in fault] == []
    faults.clear()


def test_a_page_of_another_port_logs_nobody_in_and_counts_nothing(page: Page, faults: list[str], address: str) -> None:
    page.goto(f"{address}/login")
    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    foreign = (
        f'<form method="post" action="{address}/logout"><button>Log out</button></form>'
        f'<form method="post" action="{address}/count_now?pk=stolen"><button>Count</button></form>'
        f'<form method="post" action="{address}/login"><input name="name" value="{NAME}"><button>Log in</button></form>'
    )

    def served(environ: object, start_response: object) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])  # type: ignore[operator]  # as WSGI has it
        return [f"<!DOCTYPE html><title>x</title><link rel=icon href=data:,>{foreign}".encode()]

    with serving(served) as other:
        for button in ("Log out", "Count", "Log in"):
            page.goto(other)
            page.get_by_role("button", name=button).click()
            expect(page.locator("body")).to_contain_text("foreign_origin")
        page.goto("about:blank")
    assert [cookie["name"] for cookie in page.context.cookies()] == [f"hailwhale-{address.rpartition(':')[2]}"]
    page.goto(f"{address}/")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert "stolen" not in page.evaluate("fetch('/pks').then(answer => answer.text())")
    assert [fault for fault in faults if "403" not in fault] == []
    faults.clear()


def test_the_form_can_be_read_and_used_by_everybody(page: Page, address: str) -> None:
    page.goto(f"{address}/login")
    expect(page.get_by_label("Name")).to_be_focused()
    check_looks(page)
    page.mouse.click(1, 1)
    assert check_keyboard(page) == ["", "", "Log in"]
