"""Words to one visitor over Whale: who may say them and where, who listens, what is erased, and bad input."""

import json
import os
from typing import Any

import pytest

from hail.settings import load
from tests.nodes import ACT, ANN
from tests.wsgi import Answer, call
from whale.accounts import Account, Site, new_key
from whale.client import Whale
from whale.errors import NotFound
from whale.library.managing import Managing
from whale.store.contract.talks import Page
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_800_000_000.0
EVE = Account("everyevery", "eve", "UTC", 0)
BROWSER, OTHER = "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c", "9d8b7f52-6a3e-4d57-8d3f-0d6f6a1f2b3c"
NASTY = '</script><b>"\u2028\u2029 ü'


class World:
    """Whale over a store in memory, with two accounts that have a site of one name."""

    def __init__(self) -> None:
        self.settings = load({"HAILWHALE_INTERNAL_KEY": "i" * 32, "HAILWHALE_WHALE_URL": "http://127.0.0.1:8086"})
        self.store, self.made = MemoryStore(self.settings), 0
        self.whale = Whale(self.store, self.settings, clock=lambda: NOW, account=ANN.id)
        self.app = make_app(self.settings, Whale(self.store, self.settings, clock=lambda: NOW))
        for account in (ANN, EVE):
            self.store.add_entry(account, ACT)
            for pk in ("web", "blog"):
                site = Site(account.id, pk, open=True, origins=("https://shop.example",))
                self.store.add_entry(site, ACT)
                self.store.begin_log(site, 0)

    def key(self, scope: str, site: str | None = None, account: Account = ANN) -> str:
        self.made += 1
        key, secret = new_key(account.id, scope, site, bytes([self.made]) * 36, 0)
        self.store.add_entry(key, ACT)
        return secret

    def push(self, data: Any, key: str | None = None, path: str = f"/push/web/{BROWSER}", **environ: str) -> Answer:
        bearer = {"HTTP_AUTHORIZATION": f"Bearer {key or self.key('write')}", "CONTENT_TYPE": "application/json"}
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return call(self.app, "POST", path, body=body, **{**bearer, **environ})

    def get(self, path: str, key: str | None = None, **asked: Any) -> Answer:
        return call(self.app, "GET", path, asked, HTTP_AUTHORIZATION=f"Bearer {key or self.key('read')}")

    def kept(self, account: Account = ANN, site: str = "web") -> list[Any]:
        return [json.loads(each.data) for each in self.store.talk(account.id, (site, BROWSER))]


@pytest.fixture
def world() -> World:
    return World()


def test_a_word_is_kept_for_the_visitor_and_says_how_many_pages_listen(world: World) -> None:
    found = world.push({"text": "hello", "more": [1, {"a": None}]})
    assert (found.status, found.json["reached"]) == (200, 0)
    world.store.listen(ANN.id, [Page("web", BROWSER, "1"), Page("web", BROWSER, "2"), Page("web", OTHER, "1")], 10)
    again = world.push({"text": NASTY})
    assert again.json["reached"] == 2
    assert again.headers["Cache-Control"] == "no-store"
    assert again.json["id"] > found.json["id"]
    assert world.kept() == [{"text": "hello", "more": [1, {"a": None}]}, {"text": NASTY}]


def test_those_who_hear_are_told(world: World) -> None:
    with world.store.hearing_talks() as hearing:
        hearing.hear("")
        world.push({"text": "hello"})
        assert hearing.next(5) == ("", json.dumps([ANN.id, "web", BROWSER], separators=(",", ":")).encode())


@pytest.mark.parametrize(
    ("scope", "site", "status", "code"),
    [
        ("write", None, 200, None),
        ("write", "web", 200, None),
        ("admin", None, 200, None),
        ("write", "blog", 403, "not_allowed"),
        ("read", None, 401, "unauthorized"),
        ("read", "web", 401, "unauthorized"),
        ("browser", "web", 401, "unauthorized"),
    ],
)
def test_who_may_say_something(world: World, scope: str, site: str | None, status: int, code: str | None) -> None:
    found = world.push({"text": "x"}, world.key(scope, site))
    assert (found.status, found.json.get("code")) == (status, code)
    assert len(world.kept()) == (status == 200)


def test_nobody_says_anything_without_a_key_or_as_a_page_of_another_site(world: World) -> None:
    path = f"/push/web/{BROWSER}"
    assert call(world.app, "POST", path, body=b'{"text":"x"}').status == 401
    assert world.kept() == []


def test_a_key_of_another_account_says_nothing_to_a_visitor_of_a_site_of_the_same_name(world: World) -> None:
    assert world.push({"text": "to eve's"}, world.key("write", account=EVE)).status == 200
    assert (world.kept(), world.kept(EVE)) == ([], [{"text": "to eve's"}])
    assert world.get(f"/push/web/{BROWSER}").json["messages"] == []
    assert world.get("/push/web").json == {"rows": [], "pages": 0}


@pytest.mark.parametrize(
    ("data", "path", "status", "field"),
    [
        (b"", None, 400, "body"),
        (b"[1]", None, 400, "body"),
        (b'"x"', None, 400, "body"),
        (b"{", None, 400, "body"),
        ({}, None, 400, "data"),
        ({"text": "x" * 4000}, None, 400, "data"),
        (b'{"text":"%b"}' % (b"x" * 1_100_000), None, 413, "body"),
        ({"text": "x"}, "/push/web/42", 400, "visitor"),
        ({"text": "x"}, "/push/web/ann@shop.example", 400, "visitor"),
        ({"text": "x"}, f"/push/nothing/{BROWSER}", 404, "pk"),
        ({"text": "x"}, f"/push/__bots__/{BROWSER}", 404, "pk"),
    ],
)
def test_what_cannot_be_said_is_refused(world: World, data: Any, path: str | None, status: int, field: str) -> None:
    found = world.push(data, path=path or f"/push/web/{BROWSER}")
    assert (found.status, found.json.get("field")) == (status, field)
    assert world.kept() == []
    assert world.store.talks(ANN.id, "web", 10) == {}


def test_who_listens_comes_first_and_then_those_who_talked(world: World) -> None:
    store, where = world.store, ("web", BROWSER)
    store.listen(ANN.id, [Page("web", OTHER, "1"), Page("blog", OTHER, "1")], 10)
    said = store.say(ANN.id, where, True, b'{"text":"hi, \\"you\\""}')
    found = world.get("/push/web").json
    assert found == {
        "rows": [
            {"visitor": OTHER, "pages": 1, "last": None},
            {"visitor": BROWSER, "pages": 0, "last": {"id": said, "by": "visitor", "data": {"text": 'hi, "you"'}}},
        ],
        "pages": 1,
    }
    assert [row["visitor"] for row in world.get("/push/web", limit=1).json["rows"]] == [OTHER]
    assert world.get("/push/web", format="csv").text.splitlines() == [
        "visitor,pages,last,by,data",
        f"{OTHER},1,,,",
        f'{BROWSER},0,{said},visitor,"{{""text"":""hi, \\""you\\""""}}"',
    ]


def test_a_talk_is_read_from_where_it_was_left(world: World) -> None:
    first = world.store.say(ANN.id, ("web", BROWSER), True, b'{"text":"1"}')
    second = world.push({"text": "2"}).json["id"]
    messages = [
        {"id": first, "by": "visitor", "data": {"text": "1"}},
        {"id": second, "by": "site", "data": {"text": "2"}},
    ]
    path = f"/push/web/{BROWSER}"
    assert world.get(path).json == {"visitor": BROWSER, "pages": 0, "messages": messages}
    assert world.get(path, after=first).json["messages"] == messages[1:]
    assert (world.get(path, after="-1").status, world.get(path, after="x").status) == (400, 400)
    assert world.get(path, world.key("write")).status == 401
    assert world.get(path, world.key("read", "blog")).status == 403


@pytest.mark.parametrize("limit", [0, 1001, "x"])
def test_a_wrong_limit_is_named(world: World, limit: Any) -> None:
    found = world.get("/push/web", limit=limit)
    assert (found.status, found.json["field"]) == (400, "limit")


def test_a_talk_goes_with_its_visitor_by_any_of_their_ids(world: World) -> None:
    world.whale.identify("web", BROWSER, "42")
    for visitor in (BROWSER, OTHER):
        world.whale.push("web", visitor, {"text": "x"})
    world.whale.push("blog", BROWSER, {"text": "x"})
    world.whale.erase_visitor("web", "42")
    assert [*world.store.talks(ANN.id, "web", 10)] == [OTHER]
    world.whale.erase_visitor("web", OTHER)
    assert world.store.talks(ANN.id, "web", 10) == {}
    assert [*world.store.talks(ANN.id, "blog", 10)] == [BROWSER]


def test_talks_go_with_a_reset_of_their_site_and_with_the_site(world: World) -> None:
    for site in ("web", "blog"):
        world.whale.push(site, BROWSER, {"text": "x"})
    world.whale.reset("web", {"country": "DE"})
    assert world.kept() == [{"text": "x"}]
    world.whale.reset("web")
    assert (world.kept(), world.kept(site="blog")) == ([], [{"text": "x"}])
    managing = Managing(world.store, NOW, os.urandom)
    managing.remove_site(ANN, managing.site(ANN, "blog"))
    assert world.kept(site="blog") == []
    with pytest.raises(NotFound):
        world.whale.push("blog", BROWSER, {"text": "x"})
