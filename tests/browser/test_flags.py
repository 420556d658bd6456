"""A flag is read in a page by a browser key, and nothing else can be: from a second origin, with the real checks of a browser."""

from collections.abc import Callable, Iterable
from typing import Any

from playwright.sync_api import Page

from tests.browser.conftest import LOCKED, served, whale_with
from tests.wsgi import serving
from whale.accounts import Account, Act, Site, new_key

SHOP = "abcdefghij"
ACT = Act(1, "test", "add", "", "")
ASK = """async ([address, key, method, body]) => {
  const headers = { Authorization: `Bearer ${key}`, ...(body && { 'Content-Type': 'application/json' }) }
  try {
    const answer = await fetch(address, { method, headers, body: body && JSON.stringify(body) })
    return [answer.status, await answer.text()]
  } catch (error) { return [0, String(error)] }
}"""
FLAG = "/ofrep/v1/evaluate/flags/banner"
CONTEXT = {"context": {"targetingKey": "ann"}}
CLOSED = (
    *(
        "/totals?pk=web",
        "/pks",
        "/spy",
        "/decisions",
        "/decisions/banner",
        "/outcomes?pk=web",
        "/metrics_of?pk=web",
        "/notes",
    ),
    *("/live_token", "/users", "/keys", "/sites", "/journal", "/health.json", "/internal/directory"),
)


def blank(_: Any, start: Callable[..., Any]) -> Iterable[bytes]:
    """The page of a shop, or of somebody else."""
    start("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [b"<!DOCTYPE html><html lang=en><title>Shop</title><link rel=icon href='data:,'><h1>Shop</h1></html>"]


def test_a_flag_is_read_in_a_page_by_a_browser_key_and_nothing_else(page: Page, faults: list[str]) -> None:
    whale = whale_with(**LOCKED)
    shop = whale.of(SHOP)
    with served(page, whale) as address, serving(blank) as own, serving(blank) as other:
        whale.store.add_entry(Account(SHOP, "shop", "UTC", 1), ACT)
        whale.store.add_entry(Site(SHOP, "web", open=True, origins=(own,)), ACT)
        key, secret = new_key(SHOP, "browser", "web", bytes(range(36)), 0)
        whale.store.add_entry(key, ACT)
        shop.count_now("web")
        shop.define_decision("banner", options={"old": 1, "new": 2}, weights={"old": 0, "new": 1}, public=True)
        shop.define_decision("secret", options=["a"])

        def asked(path: str, method: str = "GET", body: Any = None) -> tuple[int, str]:
            status, text = page.evaluate(ASK, [address + path, secret, method, body])
            return status, text

        page.goto(own)
        status, text = asked(FLAG, "POST", CONTEXT)
        assert (status, '"value":2' in text) == (200, True), text
        status, text = asked("/decide?pk=banner&visitor=ann")
        assert (status, '"option":"new"' in text) == (200, True), text
        made = text.partition('"decision_id":"')[2].partition('"')[0]
        assert asked("/reward", "POST", {"decision_id": made, "metrics": {"value": 3}}) == (200, '{"counted":true}')
        assert '"secret"' not in asked("/ofrep/v1/evaluate/flags", "POST", CONTEXT)[1]
        assert faults == []

        assert {path: asked(path)[0] for path in CLOSED} == dict.fromkeys(CLOSED, 401) | {
            path: 0 for path in CLOSED if path in UNREADABLE
        }
        assert asked("/decide?pk=secret&visitor=ann")[0] == 404
        assert asked("/ofrep/v1/evaluate/flags/secret", "POST", CONTEXT)[0] == 404
        assert asked("/count_now", "POST", {"pk": "web"})[0] == 401

        page.goto(other)
        assert asked(FLAG, "POST", CONTEXT)[0] == 403
        assert asked("/decide?pk=banner&visitor=ann")[0] == 403
        assert shop.total("web", period="today") == 1
        assert [each for each in faults if not each.startswith(EXPECTED)] == []
        faults.clear()


EXPECTED = ("answered with 401", "answered with 403", "answered with 404", "logged: Access to fetch", "failed: http")
UNREADABLE = {"/live_token", "/users", "/keys", "/sites", "/journal", "/internal/directory"}
"""No page of another origin may read even the refusal."""
