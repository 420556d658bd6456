"""What is asked over HTTP, of Hail and of Whale: every route, its parameters one by one, keys, pages of other sites, bodies."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from urllib.parse import urlencode

from tests.asking import question as random_question
from tests.recorded.records import Entry, http_entry
from tests.recorded.values import ANYTHING, BODIES, CHILD_PKS, JSON_VALUES, OF_HITS, VALUES, basic
from tests.recorded.world import KEYS, NOW, PIXEL_KEY, RIGHTS, HailWorld, WhaleWorld, data_elsewhere, seed
from tests.wsgi import Answer

METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")
OF_HAIL = (
    "/count",
    "/count.gif",
    "/count.js",
    "/batch",
    "/count_decision",
    "/flush_hail",
    "/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
)
ONLY_HAIL = ("/count", "/count.gif", "/count.js", "/batch", "/flush_hail")
SCRIPTS = ("/hail-whale-graph.js", "/graph.js", "/table_graph.js", "/jquery.hailwhale.js")
"""Files of the dashboard, which change with it."""
RULES = list(dict.fromkeys(right.rule for right in RIGHTS))
ONLY_LIVE = ("/live",)  # a stream: tests/integration/test_live.py
WHALE_RULES = [rule for rule in RULES if rule not in (*ONLY_HAIL, *ONLY_LIVE)]
BASE: dict[str, dict[str, str]] = {
    "/plotpoints": {"pk": "shop", "period": "last_3d"},
    "/dataset": {"pk": "shop", "period": "last_3d"},
    "/totals": {"pk": "shop", "period": "seven"},
    "/total": {"pk": "shop", "period": "seven"},
    "/rank": {"pk": "shop", "dimensions": "country", "period": "seven", "limit": "2"},
    "/factors": {"pk": "shop", "period": "seven", "limit": "2", "depth": "1"},
    "/shifts": {"pk": "shop", "limit": "2", "depth": "1"},
    "/subdimensions": {"pk": "shop"},
    "/pks": {},
    "/metrics_of": {"pk": "shop"},
    "/spy": {"limit": "2"},
    "/notes": {"pk": "shop"},
    "/decide": {"pk": "banner", "decision": "colour", "options": "['a','b','c']"},
    "/outcomes": {"pk": "banner", "decision": "colour"},
    "/decisions": {},
    "/decisions/{name}": {},
    "/count_now": {"pk": "new"},
    "/count_decision": {"pk": "new", "decision": "colour", "option": "a"},
    "/tracker": {"pk": "new", "uid": "u1"},
}
GOOD_BODIES: dict[str, dict[str, Any]] = {
    "/count": {"pk": "new", "dimensions": {"a": "b"}, "metrics": {"x": 1}},
    "/count_now": {"pk": "new", "dimensions": {"a": "b"}, "metrics": {"x": 1}},
    "/tracker": {"pk": "new", "uid": "u2"},
    "/count_decision": {"pk": "new", "decision": "colour", "option": "a", "metrics": {"value": 1}},
    "/reward": {"decision_id": "nothing", "metrics": {"value": 1}},
    "/update_count_to": {"pk": "new", "dimensions": ["a", "b"], "metrics": {"x": 5}, "at": "2026-11-17", "id": "u-1"},
    "/reset": {"pk": "new"},
    "/notes": {"text": "release 4", "at": "2026-11-17T10:00Z", "pk": "new", "id": "n-1"},
    "/decisions/{name}": {"options": ["a", "b"]},
}
FIELDS: dict[str, tuple[str, ...]] = {
    "/update_count_to": ("pk", "dimensions", "dimension", "metrics", "metric", "period", "at", "id", "rank", "visitor", "other"),
    "/reset": ("pk", "dimensions", "dimension", "metrics"),
    "/notes": ("text", "at", "pk", "id"),
    "/reward": ("decision_id", "metrics", "metric", "id", "pk"),
    "/count_now": ("pk", "dimensions", "metrics", "at", "id", "visitor", "event", "option", "other"),
    "/tracker": ("pk", "visitor", "uid"),
    "/count_decision": ("pk", "option", "decision", "metrics"),
    "/count": ("pk", "dimensions", "dimension", "metrics", "metric", "at", "id", "visitor", "event", "option", "other"),
    "/decisions/{name}": (
        "options", "policy", "by_metric", "goal", "weights", "default", "winner", "paused", "archived", "holdout", "description", "period",
        "revision", "epsilon", "exploration", "floor", "min_trials", "half_life", "sticky_s", "other",
    ),
}  # fmt: skip
ORIGINS = (
    "https://site.example",
    "http://127.0.0.1:8086",
    "null",
    "https://allowed.example",
    "nonsense",
)
Ask = Callable[..., Entry]


def asker(world: HailWorld | WhaleWorld) -> Ask:
    """Asks one request and records it."""

    def ask(
        method: str,
        path: str,
        parameters: dict[str, str] | None = None,
        body: Any = b"",
        kind: str = "",
        query: str | None = None,
        **sent: str,
    ) -> Entry:
        text = urlencode(parameters or {}, errors="surrogatepass") if query is None else query
        if not isinstance(body, bytes):
            body, kind = json.dumps(body).encode(), kind or "application/json"
        environ = {f"HTTP_{name}".upper(): value for name, value in sent.items()}
        shown = {name.replace("_", "-").title(): value for name, value in sent.items()}
        if kind:
            environ["CONTENT_TYPE"] = shown["Content-Type"] = kind
        answer = world.call(method, path, query=text, body=body, **environ)
        if path == "/metrics" and answer.status == 200:
            answer = Answer(200, {**answer.headers, "Content-Length": "23"}, b"numbers of this process")
        if path in ("/", *SCRIPTS) and answer.status == 200:
            shown_body = b"the dashboard" if answer.body else b""
            answer = Answer(200, {**answer.headers, "Content-Length": "13"}, shown_body)
        if path == "/health.json" and answer.status == 200:
            answer = Answer(200, {**answer.headers, "Content-Length": "25"}, b"the state of this machine")
        more = world.published() if isinstance(world, HailWorld) else []
        return http_entry(method, path, text, shown, body, answer, more)

    return ask


def path_of(rule: str) -> str:
    rule = rule.replace("<user:account>", "default").replace("<bucket:bucket>/", "made/")  # whose first event makes it
    return re.sub(r"<(name|key|id):(?:path|name)>|\{(name|key|id)\}|<token>|<bucket:bucket>", "page", rule)


def every_method(world: HailWorld | WhaleWorld, rules: list[str]) -> Iterator[Entry]:
    ask = asker(world)
    for rule in rules:
        if rule == "/flush_hail":
            continue  # it starts a process
        for method in METHODS:
            yield ask(method, path_of(rule))
        yield ask("GET", path_of(rule) + "/")
        yield ask("GET", path_of(rule), query="%ff=%fe&=&&x")
    for path in (
        "/nothing",
        "/Totals",
        "/totals/x",
        "/a\xff",
        "/count/",
        "//",
        "/decisions/",
        "/decisions/a/b",
        "/ofrep",
        "/é",
    ):
        for method in ("GET", "POST"):
            yield ask(method, path)


def keys_and_pages(world: HailWorld | WhaleWorld, rules: list[str], open_: bool) -> Iterator[Entry]:
    """Each route with each key by each way, and from pages of other sites; without keys: to strangers.

    The first route of each kind is asked in all ways, the others with each key and from one page.
    """
    ask = asker(world)
    tried: set[Any] = set()
    for right in RIGHTS:
        if right.rule not in rules or right.rule == "/flush_hail" or right.rule.startswith("/s/<token>/"):
            continue  # what lies below a share is open as its page is
        for method in right.methods:
            path = path_of(right.rule)
            if not open_:
                for name, key in KEYS.items():
                    yield ask(method, path, authorization=f"Bearer {key}", origin=ORIGINS[name == "read_key"])
            kind = method, right.key, right.pages, right.sealed, right.probe
            if kind in tried:
                yield ask(method, path, origin=ORIGINS[0])
                continue
            tried.add(kind)
            if not open_:
                yield ask(method, path, {"key": KEYS["admin_key"]})
                yield ask(method, path, authorization=basic(KEYS["admin_key"]))
                yield ask(method, path, authorization="Bearer wrong")
                yield ask(method, path, x_api_key=KEYS["read_key"])
                yield ask(method, path, authorization="Basic !")
            for origin in ORIGINS:
                yield ask(method, path, origin=origin)
                yield ask("OPTIONS", path, origin=origin, access_control_request_method=method)
            yield ask(method, path, sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
            yield ask(method, path, x_forwarded_for="203.0.113.9")
            yield ask(method, path, host="counts.example")


# Whale


def questions() -> dict[str, list[str]]:
    """The parameters of each GET, as the service describes itself."""
    said = json.loads(WhaleWorld().call("GET", "/openapi.json").body)
    return {
        path: [each["name"] for each in methods["get"].get("parameters", []) if each["in"] == "query"]
        for path, methods in said["paths"].items()
        if "get" in methods
    }


def values_of(path: str, name: str) -> tuple[str, ...]:
    good = CHILD_PKS if (path, name) == ("/rank", "pks") else VALUES.get(name, ())
    if (path, name) in (("/plotpoints", "metric"), ("/totals", "metric"), ("/rank", "columns")):
        good = good[:12]  # the rest is asked under the other name
    if path == "/shifts" and name not in ("metric", "cost"):
        return (*good[:4], *ANYTHING[:2])  # the rest is asked of /factors, which reads it alike
    if path == "/outcomes" or (path in ("/pks", "/metrics_of") and name != "pk"):
        return (*good[:2], ANYTHING[1])  # the rest is asked of other routes, which read it alike
    return tuple(
        dict.fromkeys((*good, *(ANYTHING if name in ("pk", "dimensions", "metrics", "period") else ANYTHING[:6])))
    )


def one_by_one(path: str) -> Iterator[Entry]:
    world = WhaleWorld(spy="0") if path != "/spy" else WhaleWorld()
    seed(world.whale)
    world.settle()
    ask = asker(world)
    base = BASE.get(path, {})
    where = path_of(path)
    yield ask("GET", where)
    yield ask("GET", where, base)
    yield ask("GET", where, {**base, "nonsense": "1"})
    yield ask("GET", where, {**base, "perod": "1"})
    yield ask("GET", where, {**base, "utm_source": "mail", "_": "1"})
    yield ask("GET", where, query=urlencode(base) + "&pk=twice&pk=thrice")
    for name in questions().get(path, []):
        for value in values_of(path, name):
            yield ask("GET", where, {**base, name: value})
    yield ask("GET", where, base, if_none_match='"nothing"')
    for kind, body in BODIES[:-1]:
        yield ask("POST", where, body=body, kind=kind)
    yield ask("POST", where, body=base)
    yield ask("POST", where, body=urlencode(base).encode(), kind="application/x-www-form-urlencoded")


def whale_series() -> Iterator[Entry]:
    yield from one_by_one("/plotpoints")
    yield from one_by_one("/dataset")


def whale_totals() -> Iterator[Entry]:
    yield from one_by_one("/totals")
    yield from one_by_one("/total")


def whale_ranks() -> Iterator[Entry]:
    yield from one_by_one("/rank")
    yield from one_by_one("/factors")
    yield from one_by_one("/shifts")


def whale_names() -> Iterator[Entry]:
    for path in ("/subdimensions", "/pks", "/metrics_of", "/spy", "/notes"):
        yield from one_by_one(path)


def whale_decisions() -> Iterator[Entry]:
    for path in ("/decide", "/outcomes", "/decisions", "/decisions/{name}"):
        yield from one_by_one(path)


def whale_counting() -> Iterator[Entry]:
    """What counts and changes, each field of a body with each value; and what then is there."""
    world = WhaleWorld(pixel_key=PIXEL_KEY)
    seed(world.whale)
    world.settle()
    ask = asker(world)
    for path in ("/count_now", "/count_decision", "/tracker"):
        for name in OF_HITS:
            for value in OF_HITS[name]:
                yield ask("GET", path, {**BASE[path], name: value})
    for path, fields in FIELDS.items():
        if path == "/count":
            continue
        where, good = path_of(path).replace("page", "made"), GOOD_BODIES[path]
        yield ask("POST", where, body=good)
        yield ask("POST", where, body=good)
        for field in fields:
            yield ask("POST", where, body={name: value for name, value in good.items() if name != field})
            for json_value in JSON_VALUES:
                yield ask("POST", where, body={**good, field: json_value})
        for kind, body in BODIES:
            yield ask("POST", where, body=body, kind=kind)
    for field in ("metrics", "period", "at"):
        for value in OF_HITS[field]:
            text = value if value[:1] not in "{[" else None
            if text is not None:
                yield ask("POST", "/update_count_to", body={**GOOD_BODIES["/update_count_to"], "id": None, field: text})
    token = world.whale.pixel("sealed", {"a": "b"}, {"x": 2})
    for more in ({}, {"uid": "u5"}, {"pk": "x"}, {"id": "p-1"}, {"pixel": token[:-2]}):
        yield ask("GET", "/tracker", {"pixel": token, **more}, cookie="uid=known")
    yield ask("GET", "/tracker", {"pk": "new"}, cookie="uid=known")
    yield ask("GET", "/tracker", {"pk": "new"}, cookie="uid=" + "u" * 51)
    yield ask("GET", "/tracker", {"pk": "new"}, cookie=";;=")
    for pk in ("new", "sealed", "shop"):
        yield ask(
            "GET",
            "/totals",
            {"pk": pk, "period": "seven", "metrics": '["hits","x","a"]', "dimensions": '[["a"],["_"]]'},
        )
        yield ask("GET", "/subdimensions", {"pk": pk, "all": "1"})
        yield ask("GET", "/metrics_of", {"pk": pk})
    yield ask("GET", "/spy")
    yield ask("POST", "/reset", body={"pk": "new"})
    yield ask("GET", "/totals", {"pk": "new"})
    yield ask("GET", "/pks")
    yield ask("GET", "/")


def whale_flags() -> Iterator[Entry]:
    world = WhaleWorld(spy="0")
    seed(world.whale)
    ask = asker(world)
    flags = "/ofrep/v1/evaluate/flags"
    contexts: tuple[Any, ...] = (
        {"targetingKey": "v1"}, {"targetingKey": "v1", "device": "Mac"}, {}, {"targetingKey": 5}, {"targetingKey": ""},
        {"a": {"b": 1}}, None,
        5, [], {"targetingKey": "v2", "n": 1.5, "yes": True, "none": None, "list": ["a"]}, {"targetingKey": "n" * 201},
    )  # fmt: skip
    for context in contexts:
        yield ask("POST", flags, body={"context": context})
        for key in ("page", "share", "done", "off", "past", "none", "a/b", "n" * 201):
            yield ask("POST", f"{flags}/{key}", body={"context": context})
    for kind, body in BODIES:
        yield ask("POST", flags, body=body, kind=kind)
        yield ask("POST", f"{flags}/page", body=body, kind=kind)
    first = world.call("POST", flags, body=b'{"context":{"targetingKey":"v1"}}', CONTENT_TYPE="application/json")
    again = ask("POST", flags, body={"context": {"targetingKey": "v1"}}, if_none_match=first.headers["Etag"])
    yield Entry(re.sub(r"If-None-Match: .*", "If-None-Match: the answer's own", again.title), again.said)


def whale_defining() -> Iterator[Entry]:
    """A decision through its life."""
    world = WhaleWorld(spy="0", max_definitions="8")
    ask = asker(world)
    steps: tuple[dict[str, Any], ...] = (
        {"options": ["a", "b"]}, {"options": {"a": 1, "b": {"c": [2]}}}, {"revision": 1, "paused": True}, {"revision": 99, "paused": False},
        {"paused": False}, {"policy": "split", "weights": {"a": 1, "b": 3}}, {"weights": {"a": -1}}, {"weights": {"z": 1}}, {"winner": "b"},
        {"winner": "z"}, {"winner": None}, {"holdout": 0.5}, {"holdout": 2}, {"default": "b"}, {"default": "z"}, {"goal": "min"},
        {"goal": "x"},
        {"by_metric": "earned/spent"}, {"by_metric": "/"}, {"archived": True}, {"archived": False}, {"options": ["b", "c"]},
        {"options": []},
        {"options": [str(i) for i in range(51)]}, {"description": "x" * 70_000}, {"policy": "epsilon", "epsilon": 0.2}, {"period": "seven"},
        {"period": "soon"}, {"half_life": "7d"}, {},
    )  # fmt: skip
    for i, step in enumerate(steps):
        entry = ask("POST", "/decisions/life", body=step)
        yield entry
        for visitor in ("v1", f"w{i}"):
            yield ask("GET", "/decide", {"pk": "life", "visitor": visitor, "dimensions": '{"device":"Mac"}'})
        world.now += 3600
        yield ask("GET", "/decisions/life", {"dimensions": "device"} if i % 3 else {"phase": "1"})
    for name in ("é 😀", "a/b", "n" * 201, "_", *(f"d{i}" for i in range(9))):
        yield ask("POST", f"/decisions/{name}".encode().decode("latin-1"), body={"options": ["a"]})
    yield ask("GET", "/decisions")
    yield ask("GET", "/decisions", {"archived": "1"})
    told = json.loads(world.call("GET", "/decide", query="pk=life&visitor=v9").body)["decision_id"]
    for body in (
        {"metrics": {"earned": 5}},
        {"metrics": {"earned": 5}},
        {"metrics": {"earned": 6}},
        {"id": "r1"},
        {"id": "r1"},
        {"id": "r2"},
    ):
        yield ask("POST", "/reward", body={"decision_id": told, **body})
    yield ask("GET", "/totals", {"pk": '["life"]', "metrics": '["hits","earned"]', "period": "today"})


def whale_doors() -> Iterator[Entry]:
    world = WhaleWorld(spy="0")
    seed(world.whale)
    yield from every_method(world, WHALE_RULES)
    yield from keys_and_pages(world, WHALE_RULES, True)


def whale_keys() -> Iterator[Entry]:
    world = WhaleWorld(spy="0", **KEYS)
    yield from keys_and_pages(world, WHALE_RULES, False)
    world = WhaleWorld(spy="0", allowed_origins="https://allowed.example", **KEYS)
    seed(world.whale)
    ask = asker(world)
    for path in ("/totals", "/count_now", "/reset", "/", "/healthz", "/decide"):
        for origin in ORIGINS:
            for key in (KEYS["admin_key"], ""):
                yield ask("GET", path, {"pk": "shop", "period": "today", "key": key}, origin=origin)


def whale_at_random() -> Iterator[Entry]:
    """Periods and zones as people write them, of /totals; drawn once and for all."""
    for zone, week in (("UTC", "monday"), ("America/New_York", "sunday"), ("Australia/Lord_Howe", "monday")):
        world = WhaleWorld(spy="0", timezone=zone, week_starts=week)
        seed(world.whale)
        ask, drawn = asker(world), Random(zone)
        for _ in range(110):
            asked = random_question(drawn, zone, NOW)
            given = {
                "period": asked.period, "start": asked.start, "finish": asked.finish, "interval": asked.interval, "tz": asked.tz,
                "buckets": None if asked.buckets is None else str(asked.buckets), "tzoffset": asked.tzoffset, "week": asked.week,
            }  # fmt: skip
            named = {name: value for name, value in given.items() if value is not None}
            yield ask("GET", "/totals", {"pk": "shop", "metrics": '["hits","revenue"]', **named})


# Hail


def hail_hits() -> Iterator[Entry]:
    """Each field with each value, by each way in."""
    world = HailWorld(pixel_key=PIXEL_KEY)
    ask = asker(world)
    for path in ("/count", "/count.gif", "/count.js", "/count_decision"):
        base = {"pk": "new"} if path != "/count_decision" else BASE[path]
        yield ask("GET", path, base)
        for name, values in OF_HITS.items():
            shown = (*values, *ANYTHING) if path == "/count" else values if path != "/count.js" else values[:3]
            for value in dict.fromkeys(shown):
                yield ask("GET", path, {**base, name: value})
    token = WhaleWorld(pixel_key=PIXEL_KEY).whale.pixel("sealed", {"a": "b"}, {"x": 2})
    for path in ("/count", "/count.gif", "/count.js", "/count_decision"):
        for more in (
            {},
            {"id": "1"},
            {"visitor": "ann"},
            {"pk": "x"},
            {"metrics": "x"},
            {"pixel": token[:-3]},
            {"pixel": token + "A"},
        ):
            yield ask("GET", path, {"pixel": token, **more})
    for query in (
        "pk=a&pk=b",
        "pk=%ff",
        "pk",
        "pk=a&&",
        "pk=a;b=c",
        "pk=a&x=1&y=2&pkk=3",
        "pk=a&metrics={'x':1}&metric={'y':2}",
        "PK=a",
    ):
        for path in ("/count", "/count.gif", "/count.js"):
            yield ask("GET", path, query=query)


def hail_bodies() -> Iterator[Entry]:
    world = HailWorld()
    ask = asker(world)
    for path in ("/count", "/count_decision"):
        good = GOOD_BODIES[path]
        yield ask("POST", path, good)
        for field in FIELDS[path]:
            for json_value in JSON_VALUES:
                yield ask("POST", path, body={**good, field: json_value})
        for kind, body in BODIES:
            yield ask("POST", path, body=body, kind=kind)
        yield ask("POST", path, {"pk": "q"}, body=good)
        yield ask("POST", path, body=json.dumps(good).encode(), kind="application/json", content_encoding="gzip")
        yield ask("POST", path, body=json.dumps(good).encode(), kind="application/json", content_encoding="br")
    hit = GOOD_BODIES["/count"]
    lines = b'{"pk":"a"}\n{"pk":5}\n\nnot json\n{"pk":"a","metrics":{"x":"y"}}'
    batches: tuple[Any, ...] = (
        [hit], [hit, {}], [{}], [], {"hits": [hit, hit]}, {"hits": []}, {"hits": 5}, {"hits": None}, {"hit": [hit]}, [[hit]], [5,
        None, "a"],
        [hit] * 501, {"pk": "one"}, [{**hit, "id": "a"}, {**hit, "id": "a"}], [{**hit, "option": "a"}],
    )  # fmt: skip
    for batch in batches:
        yield ask("POST", "/batch", body=batch)
    for kind in ("application/x-ndjson", "application/jsonl", "application/json", "text/plain", ""):
        yield ask("POST", "/batch", body=lines, kind=kind)
    for kind, body in BODIES:
        yield ask("POST", "/batch", body=body, kind=kind)
    yield ask("POST", "/batch", {"key": "k"}, body=[hit])
    yield ask("POST", "/batch", {"pk": "k"}, body=[hit])
    packed = gzip.compress(json.dumps([hit]).encode(), mtime=0)
    answer = ask("POST", "/batch", body=packed, kind="application/json", content_encoding="gzip")
    yield Entry("POST /batch of one hit, gzipped", answer.said)
    answer = ask("POST", "/batch", body=packed[:-9], kind="application/json", content_encoding="gzip")
    yield Entry("POST /batch of one hit, gzipped and cut", answer.said)


def hail_doors() -> Iterator[Entry]:
    world = HailWorld()
    yield from every_method(world, list(OF_HAIL))
    yield from keys_and_pages(world, list(OF_HAIL), True)
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE"):
        yield asker(world)(method, "/flush_hail")


def hail_keys() -> Iterator[Entry]:
    world = HailWorld(**KEYS)
    yield from keys_and_pages(world, list(OF_HAIL), False)
    ask = asker(world)
    for key in ("", KEYS["read_key"]):
        for method in ("GET", "POST"):
            yield ask(method, "/flush_hail", {"key": key})
    for path in ("/count", "/count.gif", "/count.js"):
        for key in ("", *KEYS.values()):
            yield ask("GET", path, {"pk": "new", "callback": "done", "key": key})
    with data_elsewhere():
        yield ask("GET", "/flush_hail", {"key": KEYS["write_key"]}, origin="https://site.example")
