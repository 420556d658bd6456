"""Two accounts on one Redis and one Whale: no key of Redis, and nothing that a process remembers, has something of both.

Each account is driven through all routes of Whale with names that only it uses; then everything that is kept is searched for them.
"""

import gc
import json
import time
from typing import Any

import pytest
import redis

from hail.access import RIGHTS
from hail.room import Bounded
from hail.settings import load
from tests.kept import SHARED, kept
from tests.servers import RedisServer, wait_until
from tests.wsgi import Answer, call
from whale.accounts import ALL, Account, Act, Site, User, new_key
from whale.client import Whale
from whale.count.witness import EVERY_S
from whale.passwords import Cost, Passwords
from whale.store import connect
from whale.web import make_app

NOW = float(int(time.time()))  # a log takes nothing that is older than 31 days
ACT = Act(1, "test", "add", "", "")
IDS = {"alpha": "aaaaaaaaaa", "omega": "zzzzzzzzzz"}
PASSWORD = "korrekt pferd"
PAGE = "https://{}.example"
SINCE_MS = 10**12
SETTINGS = {"VISITOR_LOG": "1", "WRITE_KEY": "w" * 16, "READ_KEY": "r" * 16, "ADMIN_KEY": "a" * 16, "SECRET": "s" * 32}


class Farm:
    """Whale over Redis, with an admin key, a user and a site of each account."""

    def __init__(self, server: RedisServer):
        self.settings = load(
            {"HAILWHALE_REDIS_URL": server.url, **{f"HAILWHALE_{name}": value for name, value in SETTINGS.items()}}
        )
        self.store, self.redis = connect(self.settings), redis.Redis.from_url(server.url)
        self.whale = Whale(self.store, self.settings, clock=lambda: NOW)
        passwords = Passwords(lambda size: b"s" * size, cost=Cost(64, 1))
        self.app = make_app(self.settings, self.whale, passwords)
        self.secrets: dict[str, str] = {}
        for number, (name, id_) in enumerate(IDS.items()):
            self.store.add_entry(Account(id_, name, "UTC", 1), ACT)
            self.store.add_entry(User(id_, "", passwords.hash(PASSWORD), ALL, 1), ACT)
            site = Site(id_, name, open=True, origins=(PAGE.format(name),))
            self.store.add_entry(site, ACT)
            self.store.begin_log(site, after_ms=-SINCE_MS)
            for kind, scope, site in ((name, "admin", None), (f"page {name}", "browser", name)):
                raw = f"{number} {kind} ".ljust(36, "x").encode()
                key, self.secrets[kind] = new_key(id_, scope, site, raw, NOW)
                self.store.add_entry(key, ACT)

    def ask(self, who: str, method: str, path: str, given: Any = None, **environ: str) -> Answer:
        more = {"CONTENT_TYPE": "application/json", "HTTP_AUTHORIZATION": f"Bearer {self.secrets[who]}", **environ}
        if method == "GET":
            query = {name: text if isinstance(text, str) else json.dumps(text) for name, text in (given or {}).items()}
            return call(self.app, method, path, query, **more)
        return call(self.app, method, path, body=json.dumps(given or {}).encode(), **more)

    def drive(self, name: str) -> set[str]:
        """Through all routes, as whoever may do everything in an account. Gives back the routes that answered."""
        page, done = {"HTTP_ORIGIN": PAGE.format(name)}, set()

        def do(rule: str, method: str, given: Any = None, path: str = "", who: str = name, **environ: str) -> Answer:
            answer = self.ask(who, method, path or rule, given, **environ)
            assert answer.status < 400, (rule, answer)
            done.add(f"{method} {rule}")
            return answer

        hit = {
            "pk": [name, f"{name}-below"],
            "dimensions": {f"{name}-country": f"{name}-DE"},
            "metrics": {f"{name}m": 2},
        }
        do("/count_now", "POST", {**hit, "id": f"{name}-1", "visitor": f"{name}-ann", "event": f"{name}-sale"})
        do("/count_now", "GET", {"pk": name, "metrics": {f"{name}m": 1, f"{name}d": {"distinct": f"{name}-v"}}})
        do("/tracker", "POST", {**hit, "uid": f"{name}-ben"})
        do("/tracker", "GET", {"pk": name, "uid": f"{name}-ben"})
        outcome = {"pk": name, "decision": f"{name}-colour", "option": f"{name}-red", "metrics": {"value": 1}}
        for method in ("GET", "POST"):
            do("/count_decision", method, outcome)
        do("/update_count_to", "POST", {"pk": name, "metrics": {f"{name}m": 9}, "id": f"{name}-set"})
        do("/metrics_of", "PUT", {"pk": name, "metrics": {f"{name}m": {"unit": "count"}}})
        note = do("/notes", "POST", {"text": f"{name}-release", "pk": name}).json["id"]
        do("/notes", "GET", {"pk": name})
        options, visitor = [f"{name}-red", f"{name}-blue"], f"{name}-ann"
        asked = {"pk": name, "decision": f"{name}-colour", "options": options, "visitor": visitor}
        made = do("/decide", "GET", asked).json["decision_id"]
        do("/reward", "POST", {"decision_id": made, "metrics": {"value": 1}, "id": f"{name}-order"})
        flag = f"{name}-flag"
        given = {"options": options, "public": True, "policy": "thompson", "description": f"{name}-text"}
        do("/decisions/<name:path>", "POST", given, f"/decisions/{flag}")
        do("/decisions/<name:path>", "GET", {}, f"/decisions/{flag}")
        do("/decisions", "GET")
        context = {"context": {"targetingKey": f"{name}-eve", f"{name}-country": f"{name}-DE"}}
        for who in (name, f"page {name}"):
            do("/ofrep/v1/evaluate/flags", "POST", context, who=who, **page)
            do(
                "/ofrep/v1/evaluate/flags/<key:path>",
                "POST",
                context,
                f"/ofrep/v1/evaluate/flags/{flag}",
                who=who,
                **page,
            )
            do("/decide", "GET", {"pk": flag, "visitor": f"{name}-max"}, who=who, **page)
        self.whale.flush()
        for cached in ({}, {"cached": "true"}):
            for rule in ("/plotpoints", "/totals", "/total", "/rank"):
                do(rule, "GET", {"pk": name, "period": "today", **cached})
        for rule in ("/dataset", "/factors", "/shifts", "/subdimensions", "/metrics_of", "/plot.svg"):
            do(rule, "GET", {"pk": name})
        do("/outcomes", "GET", {"pk": name, "decision": f"{name}-colour"})
        do("/pks", "GET")
        do("/spy", "GET")
        do("/", "GET")
        do("/live_token", "GET")
        share = (
            do("/shares", "POST", {"pk": name, "metrics": [f"{name}m"], "period": "today"})
            .json["url"]
            .partition("/s/")[2]
        )
        for below in ("", "/plotpoints", "/plot.svg", "/metrics_of"):
            do(f"/s/<token>{below}", "GET", {}, f"/s/{share}{below}")
        do("/users", "POST", {"name": f"{name}-anna", "password": PASSWORD, "rights": {"counts": "read"}})
        do("/users/<name:path>", "POST", {"rights": {"counts": "write"}}, f"/users/{name}-anna")
        do("/users", "GET")
        key = do("/keys", "POST", {"scope": "read", "site": name}).json["id"]
        do("/keys/<id:path>", "POST", {"revoke": True}, f"/keys/{key}")
        do("/keys/<id:path>", "DELETE", {}, f"/keys/{key}")
        do("/keys", "GET")
        do("/sites", "POST", {"pk": f"{name}-site"})
        do("/sites/<pk:path>", "POST", {"name": f"{name}-shown"}, f"/sites/{name}-site")
        do("/sites", "GET")
        do("/journal", "GET")
        form = f"name={name}&password=korrekt+pferd".encode()
        own = {"HTTP_ORIGIN": "http://127.0.0.1:8086", "CONTENT_TYPE": "application/x-www-form-urlencoded"}
        cookie = call(self.app, "POST", "/login", body=form, **own).headers["Set-Cookie"].partition(";")[0]
        assert call(self.app, "GET", "/total", {"pk": name, "cached": "true"}, HTTP_COOKIE=cookie).status == 200
        self._remove(do, name, note)
        self._visit(do, name)
        return done

    def _visit(self, do: Any, name: str) -> None:
        for rule in ("/visitors", "/events", "/visits", "/visitors/recent"):
            do(rule, "GET", {"pk": name, "period": "day"})
        do("/properties", "GET", {"pk": name})
        do("/funnel", "GET", {"pk": name, "steps": f'["{name}-sale", "{name}-sale"]', "period": "day"})
        saved, steps = "/funnels/<site>/<name:path>", [f"{name}-sale", f"{name}-sale"]
        do(saved, "PUT", {"steps": steps}, f"/funnels/{name}/{name}-gone")
        do(saved, "PUT", {"steps": steps}, f"/funnels/{name}/{name}-kept")
        do(saved, "DELETE", {}, f"/funnels/{name}/{name}-gone")
        do(saved, "GET", {}, f"/funnels/{name}/{name}-kept")
        do("/funnels/<site>", "GET", {}, f"/funnels/{name}")
        segment, of_sale = "/segments/<site>/<name:path>", {"event": f"{name}-sale"}
        do(segment, "PUT", {"set": of_sale}, f"/segments/{name}/{name}-gone")
        do(segment, "PUT", {"set": of_sale}, f"/segments/{name}/{name}-kept")
        do(segment, "DELETE", {}, f"/segments/{name}/{name}-gone")
        do(segment, "GET", {}, f"/segments/{name}/{name}-kept")
        do("/segments/<site>", "GET", {}, f"/segments/{name}")
        talk, browser = "/push/<site>/<visitor>", "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c"
        do(talk, "POST", {"text": f"{name}-hello"}, f"/push/{name}/{browser}")
        do(talk, "GET", {}, f"/push/{name}/{browser}")
        do("/push/<site>", "GET", {}, f"/push/{name}")
        do("/sessions", "GET", {"pk": name, "by": "exit", "period": "day"})
        do("/paths", "GET", {"pk": name, "event": f"{name}-sale", "period": "day"})
        do("/overlap", "GET", {"pk": name, "sets": f'[{{"event": "{name}-sale"}}]', "period": "day"})
        do("/retention", "GET", {"pk": name, "first": f"{name}-sale", "count": "2"})
        do("/visitor/<visitor:path>", "GET", {"pk": name}, f"/visitor/{name}-ann")
        do("/identify", "POST", {"pk": name, "anonymous": f"{name}-phone", "known": f"{name}-ann"})
        do("/visitor/<visitor:path>", "DELETE", {}, f"/visitor/{name}-gone", QUERY_STRING=f"pk={name}")

    def _remove(self, do: Any, name: str, note: str) -> None:
        """Some of what was made, but for what is to be searched."""
        do("/reset", "POST", {"pk": name, "dimensions": {f"{name}-country": f"{name}-gone"}})
        do("/users", "POST", {"name": f"{name}-bert", "password": PASSWORD})
        do("/users/<name:path>", "DELETE", {}, f"/users/{name}-bert")
        do("/sites", "POST", {"pk": f"{name}-other"})
        do("/sites/<pk:path>", "DELETE", {}, f"/sites/{name}-other")
        do("/notes", "POST", {"text": f"{name}-second", "pk": name})
        do("/notes/<id:path>", "DELETE", {}, f"/notes/{note}")

    def kept(self) -> dict[bytes, bytes]:
        """All keys of Redis, with all that they hold as it is read."""
        return kept(self.redis)

    def settled(self) -> dict[bytes, bytes]:
        """The same, once the spy has heard of all hits, a moment after they counted."""

        def unchanged() -> dict[bytes, bytes] | None:
            kept = self.kept()
            time.sleep(2 * EVERY_S)
            return kept if self.kept() == kept else None

        found: dict[bytes, bytes] = wait_until(unchanged, what="the spy")
        return found


NEITHER = {
    *("GET /login", "POST /login", "POST /logout", "GET /hail-whale-graph.js", "GET /graph.js", "GET /table_graph.js"),
    *("GET /jquery.hailwhale.js", "GET /static/<name:path>", "GET /health.json", "GET /openapi.json", "GET /metrics"),
    *("GET /healthz", "GET /readyz", "GET /internal/directory", "GET /internal/salts"),
}
"""Routes about no account, and those of the service alone."""


@pytest.fixture
def farm(own_redis: RedisServer) -> Farm:
    return Farm(own_redis)


def test_no_key_and_no_cache_has_something_of_two_accounts(farm: Farm) -> None:
    done = [farm.drive(name) for name in IDS]
    posted = {right.rule for right in RIGHTS if right.methods == ("GET", "POST") and right.key == "read"}
    expected = {
        f"{each.method} {each.rule}"
        for each in farm.app.routes
        if each.method in ("GET", "POST", "PUT", "DELETE")
        and not (each.method == "POST" and each.rule in posted)  # GET asks the same
        and "<user:account>" not in each.rule
    }
    assert done == [expected - NEITHER] * 2

    kept = farm.kept()
    own = {name: {key for key in kept if key.startswith(f"{id_}:".encode())} for name, id_ in IDS.items()}
    assert [len(keys) > 20 for keys in own.values()] == [True, True]
    assert {key for key in kept if not key.startswith(SHARED)} == own["alpha"] | own["omega"]
    for name, other in (("alpha", "omega"), ("omega", "alpha")):
        texts = [key + kept[key] for key in own[name]]
        assert [text for text in texts if other.encode() in text or IDS[other].encode() in text] == []
        assert sum(name.encode() in text for text in texts) > 5
        entries = f"hailwhale:{{accounts}}:a:{IDS[name]}".encode()
        assert other.encode() not in kept[entries]

    found = remembered()
    for name, other in (("alpha", "omega"), ("omega", "alpha")):
        mine = [(key, value) for key, value in found if name in key + value]
        assert [(key, value) for key, value in mine if other in key + value] == []
    by_account = [key for key, _ in found if any(id_ in key for id_ in IDS.values())]
    assert len(by_account) > 10


def remembered() -> list[tuple[str, str]]:
    """Keys and values of all caches of this process, as text."""
    caches = [
        each for each in gc.get_objects() if issubclass(type(each), Bounded)
    ]  # not by what a lazy object says it is
    return [(repr(key), repr(value)) for cache in caches for key, (value, _) in list(cache._entries.items())]


def test_what_is_of_one_account_is_nothing_to_whoever_comes_with_the_key_of_another(farm: Farm) -> None:
    farm.drive("alpha")
    keys = [key["id"] for key in farm.ask("alpha", "GET", "/keys").json]
    notes = [note["id"] for note in farm.ask("alpha", "GET", "/notes").json]
    asked = {"pk": "alpha", "decision": "alpha-colour", "options": ["alpha-red", "alpha-blue"], "visitor": "alpha-ann"}
    made = farm.ask("alpha", "GET", "/decide", asked).json["decision_id"]
    farm.whale.flush()
    before = farm.settled()
    tried = [
        *(("POST", f"/keys/{id_}", {"revoke": True}) for id_ in keys),
        *(("DELETE", f"/keys/{id_}", {}) for id_ in keys),
        *(("DELETE", f"/notes/{id_}", {}) for id_ in notes),
        ("DELETE", "/users/alpha-anna", {}),
        ("POST", "/users/alpha/alpha-anna", {"rights": {"admin": "write"}}),
        ("POST", "/sites/alpha", {"open": False}),
        ("DELETE", "/sites/alpha-site", {}),
        ("POST", "/reward", {"decision_id": made, "metrics": {"value": 5}, "id": "stolen"}),
        ("GET", "/decisions/alpha-flag", {}),
        ("POST", "/ofrep/v1/evaluate/flags/alpha-flag", {"context": {"targetingKey": "x"}}),
        ("GET", "/outcomes", {"pk": "alpha", "decision": "alpha-colour"}),
        ("GET", "/alpha", {}),
        ("DELETE", "/alpha", {}),
        ("POST", "/alpha/bucket", {}),
        ("GET", "/alpha/alpha", {}),
    ]
    basic = {"HTTP_AUTHORIZATION": "Basic b21lZ2E6a29ycmVrdCBwZmVyZA=="}  # omega:korrekt pferd
    for shown in ({}, basic):
        for method, path, given in tried:
            answer = farm.ask("omega", method, path, given, HTTP_ORIGIN="http://127.0.0.1:8086", **shown)
            assert answer.status in (400, 401, 403, 404), (method, path, answer)
            assert "alpha-" not in answer.text.replace(path.rpartition("/")[2], "").replace("alpha-colour", "")
    farm.whale.flush()
    after = farm.settled()
    mine = f"{IDS['alpha']}:".encode()
    assert {key: text for key, text in after.items() if key.startswith(mine)} == {
        key: text for key, text in before.items() if key.startswith(mine)
    }
    entries = f"hailwhale:{{accounts}}:a:{IDS['alpha']}".encode()
    assert after[entries] == before[entries]
