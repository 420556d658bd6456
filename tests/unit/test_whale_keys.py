"""Keys of the directory at Whale's door: what each scope opens, of an account and of one site; how long one that has ended opens."""

import json
from base64 import b64encode
from collections.abc import Mapping
from itertools import count
from threading import Event
from typing import Any

import pytest

from hail.room import rest
from hail.settings import load
from tests.servers import wait_until
from tests.wsgi import Answer, call
from whale.accounts import ALL, Account, Act, Key, Site, User, new_key
from whale.client import Whale
from whale.errors import Unavailable
from whale.keys import Keys
from whale.passwords import Cost, Passwords
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_795_000_000.0
ACT = Act(1, "test", "add", "", "")
SETTINGS = {"WRITE_KEY": "w" * 16, "READ_KEY": "r" * 16, "ADMIN_KEY": "a" * 16, "SECRET": "s" * 32}
SHOP, CAFE = "abcdefghij", "jihgfedcba"
PAGE, EVIL = "https://shop.example", "https://evil.example"
PASSWORD = "korrekt pferd"
KINDS = {
    "write": ("write", None),
    "read": ("read", None),
    "admin": ("admin", None),
    "browser": ("browser", "web"),
    "write web": ("write", "web"),
    "read web": ("read", "web"),
    "admin web": ("admin", "web"),
}


class Server:
    """Whale with the accounts `shop` and `cafe`, the site `web` in each, and a key of each kind in `shop`."""

    def __init__(self, **settings: str):
        self.settings = load({f"HAILWHALE_{name}": value for name, value in {**SETTINGS, **settings}.items() if value})
        self.store, self.now, self._numbers = MemoryStore(self.settings), NOW, count(1)
        self.whale = Whale(self.store, self.settings, clock=lambda: self.now)
        self.passwords = Passwords(lambda size: next(self._numbers).to_bytes(size, "big"), cost=Cost(64, 1))
        self.app = make_app(self.settings, self.whale, self.passwords)
        for account, name in ((SHOP, "shop"), (CAFE, "cafe")):
            self.store.add_entry(Account(account, name, "UTC", 1), ACT)
            self.store.add_entry(Site(account, "web", open=True, origins=(PAGE,)), ACT)
            self.store.add_entry(User(account, "", self.passwords.hash(PASSWORD), ALL, 1), ACT)
        self.keys: dict[str, Key] = {}
        self.secrets = {name: self.make(name, SHOP, *kind) for name, kind in KINDS.items()}
        self.secrets["cafe"] = self.make("cafe", CAFE, "admin", None)

    def make(self, name: str, account: str, scope: str, site: str | None, ends: int | None = None) -> str:
        raw = next(self._numbers).to_bytes(4, "big") * 9
        self.keys[name], secret = new_key(account, scope, site, raw, NOW, ends)
        self.store.add_entry(self.keys[name], ACT)
        return secret

    def ask(self, key: str, method: str, path: str, given: dict[str, Any] | None = None, **environ: str) -> Answer:
        """By Bearer. key: of `secrets`.  given: of GET the query, else the body."""
        shown = {"HTTP_AUTHORIZATION": f"Bearer {self.secrets[key]}"} if key else {}
        more = {"CONTENT_TYPE": "application/json", **shown, **environ}
        if method == "GET":
            return call(self.app, method, path, {name: str(value) for name, value in (given or {}).items()}, **more)
        return call(self.app, method, path, body=json.dumps(given or {}).encode(), **more)

    def page(self, method: str, path: str, given: dict[str, Any] | None = None, **environ: str) -> Answer:
        """By the browser key, from a page of its site."""
        return self.ask("browser", method, path, given, **{"HTTP_ORIGIN": PAGE, **environ})

    def define(self, name: str, **fields: Any) -> None:
        self.whale.of(SHOP).define_decision(name, options={"red": 1, "blue": 2}, **fields)

    def total(self, account: str = SHOP, pk: Any = "web") -> int:
        return int(self.whale.of(account).total(pk, period="today"))


@pytest.fixture
def server() -> Server:
    server = Server()
    server.whale.of(SHOP).count_now("web", {"country": "DE"})
    server.whale.of(SHOP).count_now("other", {"country": "DE"})
    return server


def basic(name: str, password: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


# how it is shown


def test_a_key_comes_by_each_way_and_the_answer_is_about_its_account(server: Server) -> None:
    secret = server.secrets["read"]
    for shown in (
        {"HTTP_AUTHORIZATION": f"Bearer {secret}"},
        basic("whoever", secret),
        basic(secret, ""),
        {"HTTP_X_API_KEY": secret},
        {"QUERY_STRING": f"key={secret}&pk=web&period=today"},
    ):
        answer = call(server.app, "GET", "/total", query=shown.pop("QUERY_STRING", "pk=web&period=today"), **shown)
        assert (answer.status, answer.text) == (200, "1"), shown
        assert answer.headers["Vary"] == "Authorization, Cookie, X-API-Key"
    assert server.ask("cafe", "GET", "/total", {"pk": "web", "period": "today"}).text == "0"
    assert call(server.app, "GET", "/total", {"pk": "web", "period": "today", "key": "r" * 16}).text == "0"


def test_keys_count_for_their_account(server: Server) -> None:
    assert server.ask("write", "POST", "/count_now", {"pk": "web"}).status == 200
    assert server.ask("cafe", "POST", "/count_now", {"pk": "web"}).status == 200
    assert (server.total(), server.total(CAFE), server.whale.total("web")) == (2, 1, 0)


# what each scope opens

ROUTES = {
    "count": ("POST", "/count_now", {"pk": "web"}),
    "decision": ("POST", "/count_decision", {"pk": "web", "decision": "colour", "option": "red"}),
    "note": ("POST", "/notes", {"text": "a release"}),
    "read": ("GET", "/total", {"pk": "web"}),
    "pks": ("GET", "/pks", {}),
    "spy": ("GET", "/spy", {}),
    "notes": ("GET", "/notes", {"pk": "web"}),
    "decide": ("GET", "/decide", {"pk": "web", "decision": "colour", "options": "['red', 'blue']"}),
    "managed": ("GET", "/decide", {"pk": "public", "visitor": "ann"}),
    "flag": ("POST", "/ofrep/v1/evaluate/flags/public", {"context": {"targetingKey": "ann"}}),
    "flags": ("POST", "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "ann"}}),
    "decisions": ("GET", "/decisions", {}),
    "dashboard": ("GET", "/", {}),
    "share": ("POST", "/shares", {"pk": "web"}),
    "declare": ("PUT", "/metrics_of", {"pk": "web", "metrics": {"revenue": {"unit": "count"}}}),
    "reset": ("POST", "/reset", {"pk": "web", "dimensions": "country"}),
    "define": ("POST", "/decisions/new", {"options": ["a"]}),
    "users": ("GET", "/users", {}),
    "keys": ("GET", "/keys", {}),
    "sites": ("GET", "/sites", {}),
    "journal": ("GET", "/journal", {}),
}
WRITES, READS = (
    {"count", "decision", "note"},
    {"read", "pks", "spy", "notes", "decide", "managed", "flag", "flags", "decisions", "dashboard", "share"},
)
OPENS = {
    "write": WRITES,
    "read": READS,
    "admin": ROUTES.keys(),
    "browser": {"managed", "flag", "flags"},
    "write web": {"count", "decision"},
    "read web": {"read", "decide"},
    "admin web": {"count", "decision", "read", "decide", "declare", "reset"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_scope_opens_its_routes_and_nothing_else(server: Server, kind: str) -> None:
    server.define("public", public=True)
    found = {}
    for name, (method, path, given) in ROUTES.items():
        answer = server.ask(kind, method, path, given, HTTP_ORIGIN=PAGE)
        assert answer.status in (200, 201, 401, 403), (name, answer)
        found[name] = answer.status < 400
    assert {name for name, opened in found.items() if opened} == OPENS[kind]


def test_a_page_is_let_in_though_the_process_forgot_its_site_and_remembers_its_key(server: Server) -> None:
    server.define("public", public=True)
    asked = ("GET", "/decide", {"pk": "public", "visitor": "ann"})
    assert server.page(*asked).status == 200
    rest()
    call(server.app, "GET", "/total", {"pk": "web", "period": "today", "key": server.secrets["read"]})
    rest()
    assert server.page(*asked).status == 200


OTHERS = [
    ("GET", "/total", {"pk": "other"}),
    ("GET", "/totals", {"pks": '["web", "other"]'}),
    ("GET", "/plotpoints", {"pk": '["other", "web"]'}),
    ("GET", "/dataset", {}),
    ("GET", "/rank", {"pk": "other", "pks": "true"}),
    ("GET", "/factors", {"pk": "other"}),
    ("GET", "/shifts", {"pk": "other"}),
    ("GET", "/subdimensions", {"pk": "other"}),
    ("GET", "/metrics_of", {"pk": "other"}),
    ("GET", "/plot.svg", {"pk": "other"}),
    ("GET", "/outcomes", {"pk": "other"}),
    ("GET", "/decide", {"pk": "other", "options": "['a', 'b']"}),
    ("GET", "/decide", {"pk": "web"}),
    ("POST", "/count_now", {"pk": "other"}),
    ("POST", "/count_now", {"pk": ["other", "web"]}),
    ("POST", "/count_now", {}),
    ("POST", "/tracker", {"pk": "other"}),
    ("POST", "/count_decision", {"pk": "other", "option": "a"}),
    ("POST", "/update_count_to", {"pk": "other", "metrics": {"hits": 5}}),
    ("POST", "/reset", {"pk": "other"}),
    ("PUT", "/metrics_of", {"pk": "other", "metrics": {"hits": {"unit": "count"}}}),
    ("POST", "/shares", {"pk": "web"}),
    ("POST", "/notes", {"text": "x", "pk": "web"}),
    ("GET", "/live_token", {}),
    ("POST", "/decisions/web", {"options": ["a"]}),
]


@pytest.mark.parametrize(("method", "path", "given"), OTHERS)
def test_a_key_of_one_site_opens_no_other_pk(server: Server, method: str, path: str, given: dict[str, Any]) -> None:
    server.define("web")
    answer = server.ask("admin web", method, path, given)
    assert (answer.status, answer.json["code"]) == (403, "not_allowed"), answer
    assert answer.json["detail"] == "this key opens pks that begin with 'web' alone"
    assert (server.total(), server.total(pk="other")) == (1, 1)


def test_a_key_of_one_site_opens_all_below_it(server: Server) -> None:
    assert server.ask("write web", "POST", "/count_now", {"pk": ["web", "berlin"]}).status == 200
    for given in ({"pk": '["web", "berlin"]'}, {"pks": '["web", ["web", "berlin"]]'}):
        assert server.ask("read web", "GET", "/totals", given).status == 200
    assert server.ask("read web", "GET", "/pks", {"pk": "web"}).json == ['["web", "berlin"]']
    made = server.ask("read web", "GET", "/decide", {"pk": "web", "options": "['a', 'b']", "visitor": "ann"}).json
    rewarded = server.ask("write web", "POST", "/reward", {"decision_id": made["decision_id"], "metrics": {"value": 1}})
    assert rewarded.json == {"counted": True}


def test_a_key_of_one_site_rewards_no_decision_of_another_pk(server: Server) -> None:
    made = server.ask("read", "GET", "/decide", {"pk": "other", "options": "['a', 'b']", "visitor": "ann"}).json
    for more in ({}, {"pk": "web"}):
        given = {"decision_id": made["decision_id"], "metrics": {"value": 1}, **more}
        assert server.ask("write web", "POST", "/reward", given).status in (400, 403)
    assert server.ask("write web", "POST", "/reward", {"decision_id": "0-5f3c", "metrics": {"value": 1}}).status == 400
    assert server.ask("write", "POST", "/reward", given | {"pk": None}).status == 400
    given = {"decision_id": made["decision_id"], "metrics": {"value": 1}}
    assert server.ask("write", "POST", "/reward", given).json == {"counted": True}


def test_names_of_other_pks_are_not_told_to_a_key_of_one_site(server: Server) -> None:
    server.whale.of(SHOP).count_now("web-secret")
    server.store.add_entry(Site(SHOP, "web-secre"), ACT)
    server.secrets["near"] = server.make("near", SHOP, "read", "web-secre")
    answer = server.ask("near", "GET", "/total", {"pk": "web-secre"})
    assert (answer.status, answer.text) == (200, "0")
    assert "web-secret" not in str(answer.headers)
    assert "web-secret" in server.ask("read", "GET", "/total", {"pk": "web-secre"}).headers["X-Whale-Unknown"]


# keys that have ended


def test_all_that_opens_nothing_gets_one_answer(server: Server) -> None:
    server.secrets["unknown"] = server.secrets["read"][:-1] + ("A" if server.secrets["read"][-1] != "A" else "B")
    server.secrets["expired"] = server.make("expired", SHOP, "read", None, int(NOW) + 5)
    server.secrets["revoked"] = server.make("revoked", SHOP, "read", None)
    server.store.change_entry(
        server.keys["revoked"], Key(**{**vars(server.keys["revoked"]), "revoked_s": int(NOW)}), ACT
    )
    server.now += 6
    found = [server.ask(name, "GET", "/total", {"pk": "web"}) for name in ("unknown", "expired", "revoked")]
    shown = [
        call(server.app, "GET", "/total", {"pk": "web"}, **basic("x", server.secrets[name]))
        for name in ("unknown", "revoked")
    ]
    assert {(answer.status, answer.text) for answer in found + shown} == {(401, found[0].text)}
    assert found[0].json["detail"] == (
        "expected the read key: as a Bearer token, as the Basic password or as key=KEY in the address"
    )


def test_a_key_that_is_revoked_opens_nothing_a_second_later(server: Server) -> None:
    def total() -> int:
        return server.ask("read", "GET", "/total", {"pk": "web", "cached": "true"}).status

    assert total() == 200
    key = server.keys["read"]
    server.store.change_entry(key, Key(**{**vars(key), "revoked_s": int(NOW)}), ACT)
    server.now += 1.0
    assert total() == 401
    secret = server.ask("admin", "POST", "/keys", {"scope": "read"}).json["secret"]
    server.secrets["new"] = secret
    assert server.ask("new", "GET", "/total", {"pk": "web"}).status == 200
    server.store.remove_entry(server.store.account_with(SHOP), ACT)
    server.now += 1.0
    assert server.ask("new", "GET", "/total", {"pk": "web"}).status == 401


def test_a_key_is_read_once_a_second_however_often_it_is_shown(server: Server) -> None:
    reads: list[str] = []
    found = server.store.key_hashed
    server.store.key_hashed = lambda hash: reads.append(hash) or found(hash)
    for _ in range(50):
        assert server.ask("read", "GET", "/total", {"pk": "web"}).status == 200
    assert len(reads) == 1
    call(server.app, "GET", "/total", {"pk": "web", "key": "no key of ours"})
    server.ask("read", "GET", "/healthz")
    assert len(reads) == 1


def test_what_was_used_is_written_once_for_all_and_shown(server: Server) -> None:
    written: list[dict[tuple[str, str], int]] = []
    note_uses = server.store.note_uses
    server.store.note_uses = lambda used: written.append(dict(used)) or note_uses(used)
    for key in ("read", "write", "read"):
        server.ask(key, "GET", "/total", {"pk": "web"})
    assert written == []
    shown = {key["id"]: key["last_used_at"] for key in server.ask("admin", "GET", "/keys").json}
    assert [shown[server.keys[name].id] for name in ("read", "browser")] == [1_795_000_000_000, None]
    assert len(written) == 1
    assert {place[1] for place in written[0]} == {server.keys[name].id for name in ("read", "write", "admin")}


def test_uses_are_written_after_some_could_not_be(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the fault was."""
    monkeypatch.setattr("whale.keys.PAUSE_S", 0.01)
    write, came = server.store.note_uses, Event()

    def fails(_: Mapping[tuple[str, str], int]) -> None:
        came.set()
        raise RuntimeError

    monkeypatch.setattr(server.store, "note_uses", fails)
    server.ask("read", "GET", "/pks")
    assert came.wait(60)
    monkeypatch.setattr(server.store, "note_uses", write)
    server.ask("read", "GET", "/pks")
    wait_until(lambda: server.store.last_uses(SHOP), what="the use")


def test_keys_that_are_known_stay_while_the_store_is_away(server: Server) -> None:
    keys = Keys(server.store, lambda: server.now)
    assert keys.key_of(server.secrets["read"].encode()) is not None

    def away(hash: str) -> None:
        raise Unavailable("away")

    server.store.key_hashed = away
    server.now += 60
    for _ in range(2):
        assert keys.key_of(server.secrets["read"].encode()) is not None
    with pytest.raises(Unavailable):
        keys.key_of(server.secrets["write"].encode())
    answer = server.ask("write", "POST", "/count_now", {"pk": "web"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


# pages


def test_a_page_decides_by_its_browser_key_and_says_what_it_earned(server: Server) -> None:
    server.define("public", public=True)
    for answer in (
        server.page("GET", "/decide", {"pk": "public", "visitor": "ann"}),
        server.page("POST", "/ofrep/v1/evaluate/flags/public", {"context": {"targetingKey": "ann"}}),
    ):
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Origin" in answer.headers["Vary"]
    decided = server.page("GET", "/decide", {"pk": "public", "visitor": "ann"}).json
    for _ in range(2):
        rewarded = server.page("POST", "/reward", {"decision_id": decided["decision_id"], "metrics": {"value": 3}})
    assert rewarded.json == {"counted": False}
    server.whale.flush()
    report = server.whale.of(SHOP).decision_report("public").report
    assert sum(option.trials for option in report.options) == 1
    assert sum(option.reward for option in report.options) == 3


def test_a_page_is_told_no_number_of_a_decision(server: Server) -> None:
    server.define("public", public=True, policy="thompson")
    for number in range(3):
        made = server.page("GET", "/decide", {"pk": "public", "visitor": f"v{number}"}).json
        assert (made["evidence"], made["because"]) == ([], "the policy chose this option")
    again = server.page("GET", "/decide", {"pk": "public", "visitor": "v1"}).json
    assert again["because"] == "the visitor got this option before"


def test_decisions_that_are_not_public_do_not_exist_for_a_page(server: Server) -> None:
    server.define("public", public=True)
    server.define("publi", description="secret")
    hidden, none = (server.page("GET", "/decide", {"pk": name, "visitor": "ann"}) for name in ("publi", "publ"))
    assert (hidden.status, hidden.json["detail"]) == (404, "pk: no public decision 'publi' is defined")
    assert (none.status, none.json["detail"]) == (404, "pk: no public decision 'publ' is defined")
    context = {"context": {"targetingKey": "ann"}}
    flags = server.page("POST", "/ofrep/v1/evaluate/flags", context)
    assert [flag["key"] for flag in flags.json["flags"]] == ["public"]
    found = [server.page("POST", f"/ofrep/v1/evaluate/flags/{name}", context) for name in ("publi", "publ")]
    assert [answer.status for answer in found] == [404, 404]
    assert found[0].text.replace("publi", "publ") == found[1].text
    made = server.ask("read", "GET", "/decide", {"pk": "publi", "visitor": "ann"}).json
    rewards = [
        server.page("POST", "/reward", {"decision_id": id_, "metrics": {"value": 1}})
        for id_ in (made["decision_id"], "0-5f3cbe002a716815")
    ]
    assert [answer.status for answer in rewards] == [400, 400]
    assert rewards[0].text.replace(made["decision_id"], "0-5f3cbe002a716815") == rewards[1].text
    options = server.page("GET", "/decide", {"pk": "web", "options": "['a', 'b']"})
    assert (options.status, options.json["code"]) == (403, "not_allowed")


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_ORIGIN": EVIL},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": f"{PAGE}.evil.example"},
        {"HTTP_REFERER": f"{EVIL}/{PAGE}"},
        {"HTTP_SEC_FETCH_SITE": "none", "HTTP_REFERER": PAGE},
        {},
    ],
)
def test_a_browser_key_opens_to_pages_of_its_site_alone(server: Server, environ: dict[str, str]) -> None:
    server.define("public", public=True)
    for method, path, given in (
        ("GET", "/decide", {"pk": "public", "visitor": "ann"}),
        ("POST", "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "ann"}}),
        ("POST", "/reward", {"decision_id": "0-5f3c", "metrics": {"value": 1}}),
    ):
        answer = server.ask("browser", method, path, given, **environ)
        assert (answer.status, answer.json["code"]) == (403, "foreign_origin"), answer
        assert answer.headers.get("Access-Control-Allow-Origin") != PAGE


def test_a_site_that_is_closed_opens_to_no_page(server: Server) -> None:
    server.define("public", public=True)
    site = next(iter(server.store.sites(SHOP)))
    server.store.change_entry(site, Site(**{**vars(site), "open": False}), ACT)
    assert server.page("GET", "/decide", {"pk": "public"}).status == 403


def test_a_page_may_ask_before_it_shows_its_key(server: Server) -> None:
    closed = Server(ALLOWED_ORIGINS="https://admin.example")
    for path in ("/decide", "/reward", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/public"):
        answer = call(closed.app, "OPTIONS", path, HTTP_ORIGIN=PAGE)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in call(closed.app, "OPTIONS", "/totals", HTTP_ORIGIN=PAGE).headers
    closed.define("public", public=True)
    answer = closed.page("GET", "/decide", {"pk": "public", "visitor": "ann"})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert call(closed.app, "GET", "/decide", {"pk": "public", "key": "r" * 16}, HTTP_ORIGIN=PAGE).status == 403


# without keys of the settings


def test_where_hail_asks_for_keys_nobody_comes_in_without_one() -> None:
    asks = {"INTERNAL_KEY": "i" * 32, "WHALE_URL": "http://10.0.0.7:8086", "WHALE_BIND": "0.0.0.0:8086"}
    server = Server(WRITE_KEY="", READ_KEY="", ADMIN_KEY="", **asks)
    server.whale.of(SHOP).count_now("web")
    far = {"REMOTE_ADDR": "192.0.2.7", "HTTP_HOST": "counts.example"}
    asked = {"pk": "web", "period": "today"}
    assert server.ask("read", "GET", "/total", asked, **far).text == "1"
    assert server.ask("", "GET", "/total", asked, **far, **basic("shop", PASSWORD)).text == "1"
    for key in ("", "write"):
        assert server.ask(key, "GET", "/total", asked, **far).status == 401
    assert server.ask("", "GET", "/total", asked).status == 401
    assert server.ask("", "POST", "/new", {"password": PASSWORD}, **far).status == 403


def test_a_tag_of_a_graph_of_another_account_has_a_share() -> None:
    server = Server(WRITE_KEY="", READ_KEY="", ADMIN_KEY="")
    assert "share=" in server.whale.of(SHOP).graph_tag("web")
    assert "share=" not in server.whale.graph_tag("web")


def test_without_keys_this_machine_asks_about_default_and_a_key_about_its_account() -> None:
    server = Server(WRITE_KEY="", READ_KEY="", ADMIN_KEY="")
    for account, times in (("default", 1), (SHOP, 2), (CAFE, 3)):
        for _ in range(times):
            server.whale.of(account).count_now("web")
    asked = {"pk": "web", "period": "today"}
    assert server.ask("", "GET", "/total", asked).text == "1"
    assert server.ask("read", "GET", "/total", asked).text == "2"
    assert server.ask("write", "GET", "/total", asked).status == 401
    server.secrets["unknown"] = "hw_r_" + "x" * 43
    assert server.ask("unknown", "GET", "/total", asked).status == 401
    assert server.ask("", "GET", "/total", asked, **basic("cafe", PASSWORD)).text == "3"
    assert server.ask("", "GET", "/total", asked, **basic("cafe", "falsch")).status == 401
    assert server.ask("", "GET", "/total", asked, **basic("of a proxy", "falsch")).text == "1"
    form = b"name=cafe&password=korrekt+pferd"
    own = {"HTTP_ORIGIN": "http://127.0.0.1:8086", "CONTENT_TYPE": "application/x-www-form-urlencoded"}
    cookie = call(server.app, "POST", "/login", body=form, **own).headers["Set-Cookie"].partition(";")[0]
    assert server.ask("", "GET", "/total", asked, HTTP_COOKIE=cookie).text == "3"
    assert server.ask("", "GET", "/total", asked, HTTP_COOKIE="a=b").text == "1"
