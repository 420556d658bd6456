"""Which key opens which route, written out: each route and method of both applications, and each kind of key.

What a user may is written out in test_login_web.py.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import hail.web
import whale.web
from hail.access import RIGHTS
from hail.informed import Informed
from hail.publish import Publisher
from tests.nodes import ANN, Asked, Node
from tests.wsgi import Answer, call, serving
from whale.client import Whale

PAGE = "https://shop.example"
KEYS = {"write_key": "w" * 16, "read_key": "r" * 16, "admin_key": "a" * 16}
ROLES = ("nobody", "w", "r", "a", "W", "R", "A", "w1", "r1", "a1", "b", "i")
"""w, r, a: the keys of the settings.  W, R, A: keys of an account.  w1, r1, a1: of one site.  b: of a browser.  i: the internal key."""

ALL = "nobody w r a W R A w1 r1 a1 b i"
WRITE, READ, ADMIN = "w a W A", "r a R A", "a A"
SITE_WRITE, SITE_READ, SITE_ADMIN = f"{WRITE} w1 a1", f"{READ} r1 a1", f"{ADMIN} a1"
OF_WHALE = {
    "GET /count_now": SITE_WRITE,
    "POST /count_now": SITE_WRITE,
    "GET /count_decision": SITE_WRITE,
    "POST /count_decision": SITE_WRITE,
    "GET /tracker": SITE_WRITE,
    "POST /tracker": SITE_WRITE,
    "POST /reward": f"{SITE_WRITE} b",
    "POST /update_count_to": SITE_WRITE,
    "POST /reset": SITE_ADMIN,
    "POST /decisions/<name:path>": ADMIN,
    "POST /notes": WRITE,
    "DELETE /notes/<id:path>": ADMIN,
    "GET /decide": SITE_READ,
    "POST /decide": SITE_READ,
    "POST /ofrep/v1/evaluate/flags": f"{READ} b",
    "POST /ofrep/v1/evaluate/flags/<key:path>": f"{READ} b",
    "GET /decisions": READ,
    "GET /decisions/<name:path>": READ,
    "GET /outcomes": SITE_READ,
    "POST /outcomes": SITE_READ,
    "GET /plotpoints": SITE_READ,
    "POST /plotpoints": SITE_READ,
    "GET /totals": SITE_READ,
    "POST /totals": SITE_READ,
    "GET /total": SITE_READ,
    "POST /total": SITE_READ,
    "GET /rank": SITE_READ,
    "POST /rank": SITE_READ,
    "GET /dataset": SITE_READ,
    "POST /dataset": SITE_READ,
    "GET /factors": SITE_READ,
    "POST /factors": SITE_READ,
    "GET /shifts": SITE_READ,
    "POST /shifts": SITE_READ,
    "GET /subdimensions": SITE_READ,
    "POST /subdimensions": SITE_READ,
    "GET /pks": SITE_READ,
    "POST /pks": SITE_READ,
    "GET /metrics_of": SITE_READ,
    "POST /metrics_of": SITE_READ,
    "PUT /metrics_of": SITE_ADMIN,
    "GET /visitors": SITE_READ,
    "POST /visitors": SITE_READ,
    "GET /events": SITE_READ,
    "POST /events": SITE_READ,
    "GET /properties": SITE_READ,
    "POST /properties": SITE_READ,
    "GET /funnel": SITE_READ,
    "POST /funnel": SITE_READ,
    "GET /funnels/<site>": SITE_READ,
    "GET /funnels/<site>/<name:path>": SITE_READ,
    "PUT /funnels/<site>/<name:path>": SITE_ADMIN,
    "DELETE /funnels/<site>/<name:path>": SITE_ADMIN,
    "GET /segments/<site>": SITE_READ,
    "GET /segments/<site>/<name:path>": SITE_READ,
    "PUT /segments/<site>/<name:path>": SITE_ADMIN,
    "DELETE /segments/<site>/<name:path>": SITE_ADMIN,
    "GET /sessions": SITE_READ,
    "POST /sessions": SITE_READ,
    "GET /visits": SITE_READ,
    "POST /visits": SITE_READ,
    "GET /visitors/recent": SITE_READ,
    "POST /visitors/recent": SITE_READ,
    "GET /paths": SITE_READ,
    "POST /paths": SITE_READ,
    "GET /retention": SITE_READ,
    "POST /retention": SITE_READ,
    "GET /overlap": SITE_READ,
    "POST /overlap": SITE_READ,
    "GET /visitor/<visitor:path>": SITE_READ,
    "DELETE /visitor/<visitor:path>": SITE_ADMIN,
    "POST /identify": SITE_WRITE,
    "GET /push/<site>": SITE_READ,
    "GET /push/<site>/<visitor>": SITE_READ,
    "POST /push/<site>/<visitor>": SITE_WRITE,
    "GET /notes": READ,
    "GET /health.json": "r a",  # the service is that of `default`
    "GET /spy": READ,
    "POST /spy": READ,
    "GET /plot.svg": SITE_READ,
    "GET /": READ,
    "GET /static/<name:path>": READ,
    "GET /login": ALL,
    "POST /login": ALL,
    "POST /logout": ALL,
    "GET /hail-whale-graph.js": ALL,
    "GET /graph.js": ALL,
    "GET /table_graph.js": ALL,
    "GET /jquery.hailwhale.js": ALL,
    "POST /shares": READ,
    "GET /s/<token>": ALL,
    "GET /s/<token>/plotpoints": ALL,
    "GET /s/<token>/plot.svg": ALL,
    "GET /s/<token>/metrics_of": ALL,
    "GET /live_token": READ,
    "GET /users": ADMIN,
    "POST /users": ADMIN,
    "POST /users/<name:path>": ADMIN,
    "DELETE /users/<name:path>": ADMIN,
    "GET /keys": ADMIN,
    "POST /keys": ADMIN,
    "POST /keys/<id:path>": ADMIN,
    "DELETE /keys/<id:path>": ADMIN,
    "GET /sites": ADMIN,
    "POST /sites": ADMIN,
    "POST /sites/<pk:path>": ADMIN,
    "DELETE /sites/<pk:path>": ADMIN,
    "GET /journal": ADMIN,
    "GET /internal/directory": "i",
    "GET /internal/salts": "i",
    "GET /openapi.json": ALL,
    "GET /metrics": ALL,
    "GET /healthz": ALL,
    "GET /readyz": ALL,
}
OF_HAIL = {
    "GET /count": f"{WRITE} w1 a1 b",
    "POST /count": f"{WRITE} w1 a1 b",
    "GET /count.gif": f"{WRITE} w1 a1 b",
    "GET /count.js": f"{WRITE} w1 a1 b",
    "POST /batch": f"{WRITE} w1 a1 b",
    "GET /track/it": ALL,
    "POST /track": ALL,  # from a page that the site lists; test_track.py has the others
    "POST /push_token": ALL,  # from a page that the site lists; test_push_token.py has the others
    "POST /v1/<call:call>": f"{WRITE} w1 a1 b",
    "POST /api/event": ALL,  # test_clients.py has the others
    "GET /count_decision": f"{WRITE} w1 a1",
    "POST /count_decision": f"{WRITE} w1 a1",
    "POST /identify": f"{WRITE} w1 a1",
    "GET /js/<name>": ALL,
    "GET /flush_hail": "w a",
    "POST /flush_hail": "w a",
    "GET /openapi.json": ALL,
    "GET /metrics": ALL,
    "GET /healthz": ALL,
    "GET /readyz": ALL,
}
QUESTION = {"pk": "web", "options": "['a', 'b']"}
BODIES: dict[str, Any] = {
    "/batch": [{"pk": "web"}],
    "/track": {"account": "ann", "site": "web", "hits": [{"event": "pageview"}]},
    "/push_token": {"account": "ann", "site": "web", "v_visitor": "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c"},
    "/v1/<call:call>": {"event": "a", "context": {"site": "web"}},
    "/api/event": {"n": "pageview", "u": "https://shop.example/", "d": "web"},
    "/ofrep/v1/evaluate/flags": {},
}


class Farm:
    """Hail on a spool and Whale in memory, with all kinds of keys of the account `ann`."""

    def __init__(self, node: Node, asked: Asked):
        settings = node.settings.replace(**KEYS, secret="s" * 32)
        self.settings, self.informed = settings, Informed(settings, lambda: node.now)
        self.publisher = Publisher(settings, lambda: node.now)
        self.hail = hail.web.make_app(settings, self.publisher, lambda: node.now, informed=self.informed)
        self.hail._flushing.acquire()  # one hailwail runs: /flush_hail starts no other
        self.own = Whale(asked.store, settings, clock=lambda: node.now)
        self.whale = whale.web.make_app(settings, self.own)
        asked.site("web", PAGE)
        self.secrets = {**{name[0]: key for name, key in KEYS.items()}, "i": settings.internal_key}
        for role, scope, site in (
            *(("W", "write", None), ("R", "read", None), ("A", "admin", None)),
            *(("w1", "write", "web"), ("r1", "read", "web"), ("a1", "admin", "web"), ("b", "browser", "web")),
        ):
            self.secrets[role] = asked.key(scope, site)[1].decode()
        for account in ("default", ANN.id):
            of = self.own.of(account)
            of.define_decision("flag", options=["a", "b"], public=True)
            of.count_now("web", {"country": "DE"})
        self.decisions = {account: self._decided(account) for account in ("default", ANN.id)}
        node.later(self.informed)

    def _decided(self, account: str) -> tuple[str, str]:
        """The id of a decision of the site, and of one that is public."""
        of = self.own.of(account)
        made = of.decision("web", None, ["a", "b"]), of.choose("flag", "v").decision
        return str(made[0].decision_id), str(made[1].decision_id)

    def ask(self, app: Any, method: str, rule: str, role: str) -> Answer:
        """About the site, or about the public decision, as far as the route is about either."""
        path = (
            re.sub(r"<key:path>|<name:path>", "flag", rule)
            if rule.startswith(("/ofrep", "/dec"))
            else re.sub("<[^>]*>", "none", rule.replace("<site>", "web").replace("<call:call>", "track"))
        )
        shown = {} if role == "nobody" else {"HTTP_AUTHORIZATION": f"Bearer {self.secrets[role]}"}
        page = {"HTTP_ORIGIN": "http://127.0.0.1:8086" if rule in ("/login", "/logout") else PAGE}
        if method == "GET" or rule in QUESTIONS:
            query = urlencode({name: QUESTION[name] for name in FIELDS.get(rule, ("pk",))})
            form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
            return call(app, method, path, None, b"", query, **shown, **page, **form)
        account = "default" if role in ("w", "r", "a") else ANN.id
        body = BODIES.get(rule, {"pk": "web"})
        if rule == "/reward":
            body = {"decision_id": self.decisions[account][role == "b"], "metrics": {"value": 1}}
        return call(
            app, method, path, None, json.dumps(body).encode(), **shown, **page, CONTENT_TYPE="application/json"
        )


FIELDS = {"/decide": ("pk", "options"), "/readyz": (), "/healthz": (), "/metrics": ()}
QUESTIONS = {right.rule for right in RIGHTS if "POST" in right.methods and right.key == "read"} - {
    "/shares",
    "/ofrep/v1/evaluate/flags",
    "/ofrep/v1/evaluate/flags/<key:path>",
}


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    asked = Asked()
    with serving(asked) as url:
        found = Farm(Node(tmp_path, url), asked)
        yield found
        found.publisher.close()


def is_refused(answer: Answer) -> bool:
    if answer.headers.get("X-Hail", "").startswith("dropped"):
        return answer.headers["X-Hail"].partition("reason=")[2] in ("unauthorized", "other_site", "foreign_origin")
    if answer.status == 401:
        return True
    return answer.status == 403 and answer.headers["Content-Type"].endswith("json")


def walked(farm: Farm, app: Any, rules: dict[str, str]) -> dict[str, str]:
    """By method and rule: the roles that it opens to."""
    found = {}
    for each in rules:
        method, _, rule = each.partition(" ")
        found[each] = " ".join(role for role in ROLES if not is_refused(farm.ask(app, method, rule, role)))
    return found


def in_order(rules: dict[str, str]) -> dict[str, str]:
    return {each: " ".join(role for role in ROLES if role in opens.split()) for each, opens in rules.items()}


def routes(app: Any) -> set[str]:
    return {f"{each.method} {each.rule}" for each in app.routes if each.method not in ("HEAD", "OPTIONS")}


def test_each_route_of_whale_opens_to_its_keys_alone(farm: Farm) -> None:
    assert {each for each in routes(farm.whale) if "<user:account>" not in each} == OF_WHALE.keys()
    assert walked(farm, farm.whale, OF_WHALE) == in_order(OF_WHALE)


def test_each_route_of_hail_opens_to_its_keys_alone(farm: Farm) -> None:
    assert {each for each in routes(farm.hail) if "<user:account>" not in each} == OF_HAIL.keys()
    assert walked(farm, farm.hail, OF_HAIL) == in_order(OF_HAIL)
