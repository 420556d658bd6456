"""Whale answers each caller about their account, and about no other."""

import json
from base64 import b64encode
from itertools import count
from typing import Any

import pytest

from hail.settings import load
from tests.wsgi import Answer, call
from whale.accounts import ALL, Account, Act, User
from whale.client import Whale
from whale.count.direct import MOST_ACCOUNTS, Direct
from whale.live.admission import admitted
from whale.passwords import Cost, Passwords
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_795_000_000.0  # 2026-11-18, 07:06 UTC
ACT = Act(1, "test", "add", "", "")
KEYS = {"WRITE_KEY": "w" * 16, "READ_KEY": "r" * 16, "ADMIN_KEY": "a" * 16, "SECRET": "s" * 32}
PASSWORD = "korrekt pferd"
SHOP, CAFE = "abcdefghij", "jihgfedcba"
OWN = {"HTTP_ORIGIN": "http://127.0.0.1:8086"}


class Farm:
    """Whale with the owners of `default`, of `shop` in Tokyo and of `cafe` in New York."""

    def __init__(self, **settings: str):
        values = {**KEYS, **settings}
        self.settings = load({f"HAILWHALE_{name}": value for name, value in values.items() if value})
        self.store, self.now, numbers = MemoryStore(self.settings), NOW, count(1)
        self.passwords = Passwords(lambda size: next(numbers).to_bytes(size, "big"), cost=Cost(64, 1))
        self.whale = Whale(self.store, self.settings, clock=lambda: self.now)
        self.app = make_app(self.settings, self.whale, self.passwords)
        self.store.add_entry(Account(SHOP, "shop", "Asia/Tokyo", 1), ACT)
        self.store.add_entry(Account(CAFE, "cafe", "America/New_York", 1), ACT)
        for account in ("default", SHOP, CAFE):
            self.store.add_entry(User(account, "", self.passwords.hash(PASSWORD), ALL, 1), ACT)

    def ask(self, who: str, method: str, path: str, given: dict[str, Any] | None = None, **environ: str) -> Answer:
        """As the owner of an account, by Basic. given: of GET the query, else the body."""
        shown = {"HTTP_AUTHORIZATION": "Basic " + b64encode(f"{who}:{PASSWORD}".encode()).decode()} if who else {}
        more = {"CONTENT_TYPE": "application/json", **OWN, **shown, **environ}
        if method == "GET":
            return call(self.app, method, path, {name: str(value) for name, value in (given or {}).items()}, **more)
        return call(self.app, method, path, body=json.dumps(given or {}).encode(), **more)

    def get(self, who: str, path: str, /, **given: Any) -> Any:
        answer = self.ask(who, "GET", path, given)
        assert answer.status == 200, answer
        return answer.json

    def post(self, who: str, path: str, /, **given: Any) -> Any:
        answer = self.ask(who, "POST", path, given)
        assert answer.status in (200, 201), answer
        return answer.json if answer.headers["Content-Type"].startswith("application/json") else answer.text

    def cookie(self, who: str) -> dict[str, str]:
        form = f"name={who}&password={PASSWORD.replace(' ', '+')}".encode()
        answer = call(self.app, "POST", "/login", body=form, CONTENT_TYPE="application/x-www-form-urlencoded", **OWN)
        assert answer.status == 303, answer.text
        return {"HTTP_COOKIE": answer.headers["Set-Cookie"].partition(";")[0]}


@pytest.fixture
def farm() -> Farm:
    farm = Farm()
    for who, times in (("default", 1), ("shop", 2), ("cafe", 3)):
        for _ in range(times):
            farm.post(who, "/count_now", pk="web", dimensions={f"of {who}": "x"}, metrics={"revenue": times})
    return farm


EACH = (("default", 1), ("shop", 2), ("cafe", 3))


@pytest.mark.parametrize("cached", [{}, {"cached": "true"}])
def test_each_account_gets_its_own_numbers_also_from_what_is_remembered(farm: Farm, cached: dict[str, str]) -> None:
    for _ in range(2):
        for who, times in EACH:
            assert farm.get(who, "/total", pk="web", period="today", **cached) == times
            assert farm.get(who, "/totals", pk="web", period="today", **cached) == {"today": {"_": {"hits": times}}}
            rows = farm.get(who, "/rank", pk="web", period="today", **cached)["rows"]
            assert [(row["path"], row["value"]) for row in rows] == [(f"of {who}", times)]
            assert list(farm.get(who, "/plotpoints", pk="web", depth=1, period="today", **cached)) == [
                "_",
                f"of {who}",
            ]
            assert farm.get(who, "/subdimensions", pk="web") == [f"of {who}"]


def test_the_keys_of_the_settings_are_those_of_default(farm: Farm) -> None:
    for key in ("r", "a"):
        answer = call(farm.app, "GET", "/total", {"pk": "web", "period": "today", "key": key * 16})
        assert answer.text == "1"


def test_a_session_is_about_the_account_of_its_user(farm: Farm) -> None:
    for who, times in EACH:
        cookie = farm.cookie(who)
        for path in ("/total", "/total"):
            answer = farm.ask("", "GET", path, {"pk": "web", "period": "today", "cached": "true"}, **cookie)
            assert answer.text == str(times)
            assert answer.headers["Vary"] == "Authorization, Cookie, X-API-Key"
    answer = call(farm.app, "GET", "/total", {"pk": "web", "period": "today", "cached": "true", "key": "r" * 16})
    assert "Vary" not in answer.headers


def test_names_that_others_counted_are_never_told(farm: Farm) -> None:
    farm.post("cafe", "/count_now", pk="secret", metrics={"profit": 1})
    farm.post("cafe", "/notes", text="a secret", pk="secret")
    farm.post("cafe", "/decisions/secret", options=["a", "b"])
    farm.post("cafe", "/sites", pk="secret")
    told = [
        farm.ask("shop", method, path, given)
        for method, path, given in [
            ("GET", "/pks", {}),
            ("GET", "/pks", {"prefix": "s", "counts": "true"}),
            ("GET", "/total", {"pk": "secre", "metric": "profi"}),
            ("GET", "/metrics_of", {"pk": "secret"}),
            ("GET", "/notes", {}),
            ("GET", "/decisions", {}),
            ("GET", "/decide", {"pk": "secre"}),
            ("GET", "/outcomes", {"pk": "secret"}),
            ("GET", "/spy", {}),
            ("GET", "/sites", {}),
            ("GET", "/keys", {}),
            ("GET", "/users", {}),
            ("GET", "/journal", {}),
            ("POST", "/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "ann"}}),
        ]
    ]
    assert [answer for answer in told if "a secret" in answer.text or "profit" in answer.text] == []
    assert [answer.text for answer in told if '"secret"' in answer.text] == []
    assert farm.get("cafe", "/pks") == ["web", "secret"]
    assert [note["text"] for note in farm.get("cafe", "/notes")] == ["a secret"]


def test_what_one_account_changes_stays_within_it(farm: Farm) -> None:
    note = farm.post("shop", "/notes", text="a release")["id"]
    made = farm.get("shop", "/decide", pk="colour", options='["red", "blue"]', visitor="ann")["decision_id"]
    assert farm.ask("cafe", "DELETE", f"/notes/{note}").status == 404
    assert farm.ask("cafe", "POST", "/reward", {"decision_id": made, "metrics": {"value": 1}}).status == 400
    farm.post("cafe", "/reset", pk="web")
    assert [farm.ask(who, "GET", "/total", {"pk": "web", "period": "today"}).text for who, _ in EACH] == ["1", "2", "0"]
    assert farm.post("shop", "/reward", decision_id=made, metrics={"value": 1}) == {"counted": True}
    assert len(farm.get("shop", "/notes")) == 1


def test_each_account_has_days_of_its_own_zone(farm: Farm) -> None:
    first = {}
    for who, _ in EACH:
        points = farm.get(who, "/plotpoints", pk="web", period="1d:1w", flot_time="true", points_type="list")
        first[who] = points["_"]["hits"][0][0] // 3_600_000 % 24
    assert first == {"default": 0, "shop": 15, "cafe": 5}  # midnight there, in UTC
    zones = [farm.ask(who, "GET", "/").text for who in ("shop", "cafe")]
    assert ["Asia/Tokyo" in zones[0], "America/New_York" in zones[1]] == [True, True]


def test_a_share_answers_about_the_account_of_whoever_made_it(farm: Farm) -> None:
    urls = {who: farm.post(who, "/shares", pk="web", metrics=["hits"], period="today")["url"] for who, _ in EACH}
    for who, times in EACH:
        path = urls[who].partition("8086")[2]
        for asker in ("", "cafe"):
            points = farm.ask(asker, "GET", f"{path}/plotpoints", {}).json
            assert sum(number for _, number in points["_"]["hits"]) == times
            assert farm.ask(asker, "GET", path).status == 200
    path = urls["shop"].partition("8086")[2]
    for forged in (
        path.replace(SHOP, CAFE),
        path.replace(f"{SHOP}.", ""),
        path.replace(SHOP, "default"),
        path.replace(SHOP, "x" * 10),
    ):
        assert farm.ask("", "GET", f"{forged}/plotpoints").status == 404
    farm.store.remove_entry(farm.store.account_with(SHOP), ACT)
    assert farm.ask("", "GET", f"{path}/plotpoints").status == 404


def test_the_state_of_the_service_is_shown_to_its_own_account(farm: Farm) -> None:
    answer = farm.ask("shop", "GET", "/health.json")
    assert (answer.status, answer.json["code"]) == (403, "not_allowed")


def test_nobody_of_another_account_hears_what_is_live_in_this_one(farm: Farm) -> None:
    tokens = [farm.get(who, "/live_token")["token"] for who in ("default", "shop", "cafe")]
    accounts = [admitted(token, farm.settings, NOW).looker.account for token in tokens]
    assert accounts == ["default", SHOP, CAFE]


def test_the_audit_of_each_account_closes_after_hits_and_decisions_of_all() -> None:
    farm = Farm()
    for _ in range(3):
        for who, times in EACH:
            for _ in range(times):
                farm.post(who, "/count_now", pk="web")
            made = farm.get(who, "/decide", pk="colour", options='["red", "blue"]', visitor=f"{who} {times}")
            farm.post(who, "/reward", decision_id=made["decision_id"], metrics={"value": 1})
    farm.whale.flush()
    for account in ("default", SHOP, CAFE):
        for each in farm.store.audit(account):
            assert each.total == each.hits, (account, each)


def test_publishers_of_few_accounts_are_kept_however_many_count() -> None:
    direct = Direct(lambda message: None)
    for number in range(MOST_ACCOUNTS + 5):
        direct.done(direct.name(f"account{number}", 1, NOW))
    assert len(direct._idle) == MOST_ACCOUNTS
    assert direct.name("account0", 1, NOW).seq == 0
    assert direct.name(f"account{MOST_ACCOUNTS}", 1, NOW).seq == 1


def test_who_asks_for_another_account_by_its_name_gets_their_own(farm: Farm) -> None:
    for given in ({"account": "cafe"}, {"account": CAFE}):
        answer = farm.ask("shop", "GET", "/total", {"pk": "web", "period": "today", **given})
        assert answer.status == 400 or answer.text == "2"


def test_a_removed_account_is_gone_at_once(farm: Farm) -> None:
    cookie = farm.cookie("shop")
    farm.get("shop", "/total", pk="web", cached="true")
    farm.store.remove_entry(farm.store.account_with(SHOP), ACT)
    farm.now += 1.0
    assert farm.ask("shop", "GET", "/total", {"pk": "web", "cached": "true"}).status == 401
    assert farm.ask("", "GET", "/total", {"pk": "web", "cached": "true"}, **cookie).status == 401
