"""OpenFeature remote evaluation, on the memory store: bodies as the protocol says."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.unit.test_managed import AB, Door
from tests.wsgi import Answer, call
from whale.decide.decider import AWAY_S
from whale.errors import Unavailable

AS_DEFINED = {"one page": {"steps": 1}, "three steps": {"steps": 3}}
FLAGS = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def door() -> Door:
    return Door()


def evaluate(door: Door, key: str, **context: Any) -> Answer:
    return door.post(f"{FLAGS}/{key}", {"context": context})


def test_a_flag_is_a_decision_and_its_variants_are_the_options(door: Door) -> None:
    door.define("colour", options={"only": {"hex": "#f00", "sizes": [1, 2.0]}})
    answer = evaluate(door, "colour", targetingKey="ann", country={"US": "CA"}, age=42, beta=True, empty=None, none="")
    assert answer.status == 200
    found = answer.json
    decision_id = found["metadata"].pop("decision_id")
    assert found == {
        "key": "colour",
        "reason": "SPLIT",
        "variant": "only",
        "value": {"hex": "#f00", "sizes": [1, 2.0]},
        "metadata": {"phase": 1, "probability": 1.0, "why": "split"},
    }
    assert evaluate(door, "colour", targetingKey="ann").json["metadata"]["decision_id"] == decision_id
    door.whale.flush()
    assert door.whale.all_subdimensions(("decisions", "colour", "1"))[1:5] == [
        "age",
        "beta",
        "country",
        '["age", "42"]',
    ]
    assert door.post("/reward", {"decision_id": decision_id, "metrics": {"value": 1}}).json == {"counted": True}
    assert door.report("colour")["report"]["options"][0]["rate"] == 1


def test_reasons_are_those_of_openfeature(door: Door) -> None:
    door.define("learns", options=AB, policy="thompson")
    door.define("fixed", options=AB, winner="b")
    door.define("off", options=AB, paused=True)
    door.define("out", options=AB, holdout=1)
    context = {"targetingKey": "ann", "country": "US"}
    found = {key: evaluate(door, key, **context).json["reason"] for key in ("learns", "fixed", "off", "out")}
    assert found == {"learns": "TARGETING_MATCH", "fixed": "STATIC", "off": "DISABLED", "out": "SPLIT"}
    assert evaluate(door, "learns", targetingKey="bob").json["reason"] == "SPLIT"
    assert evaluate(door, "fixed").json["value"] == "green"  # nobody needs to be named
    door.store.is_away = True
    assert evaluate(door, "learns", targetingKey="eve").json["reason"] == "DEFAULT"


def test_a_null_leaves_the_value_to_the_program(door: Door) -> None:
    door.define("flag", options={"code": None})
    answer = evaluate(door, "flag", targetingKey="ann").json
    assert answer["variant"] == "code"
    assert "value" not in answer


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "PARSE_ERROR"),
        (b"\xff", 400, "PARSE_ERROR"),
        (b"[]", 400, "PARSE_ERROR"),
        (b"[" * 100_000, 400, "PARSE_ERROR"),
        (b" " * 2_000_000, 413, "PARSE_ERROR"),
        (b"", 400, "TARGETING_KEY_MISSING"),
        (b"{}", 400, "TARGETING_KEY_MISSING"),
        (b'{"context": null}', 400, "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', 400, "TARGETING_KEY_MISSING"),
        (b'{"context": []}', 400, "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 42}}', 400, "INVALID_CONTEXT"),
        (json.dumps({"context": {"targetingKey": "x" * 201}}).encode(), 400, "INVALID_CONTEXT"),
        (json.dumps({"context": {"targetingKey": "a", "x": "y" * 201}}).encode(), 400, "INVALID_CONTEXT"),
        (json.dumps({"context": {"targetingKey": "a", **{f"d{i}": i for i in range(70)}}}).encode(), 400, "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "a", "d": {"e": {"f": {"g": {"h": {"i": {"j": {"k": "l"}}}}}}}}}', 400, "INVALID_CONTEXT"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_cannot_be_evaluated_says_so(door: Door, body: bytes, status: int, code: str) -> None:
    door.define("colour", options=AB)
    answer = door.post(f"{FLAGS}/colour", body)
    assert (answer.status, answer.json["errorCode"], answer.json["key"]) == (status, code, "colour")
    assert answer.json["errorDetails"]
    if code != "TARGETING_KEY_MISSING":
        whole = door.post(FLAGS, body)
        assert (whole.status, whole.json["errorCode"]) == (status, code)
        assert "key" not in whole.json


def test_a_context_that_one_flag_cannot_use_loses_no_other(door: Door) -> None:
    for name, fields in MIXED.items():
        door.define(name, **fields)
    door.define("narrow", options=AB, dimensions=["country"])
    context = {"targetingKey": "ann", "country": "US", "note": "x" * 201}
    answer = door.post(FLAGS, {"context": context})
    assert answer.status == 200
    flags = {flag["key"]: flag for flag in answer.json["flags"]}
    assert {key for key, flag in flags.items() if "variant" in flag} == {"fixed", "off", "narrow"}
    refused = {flag["errorCode"] for flag in flags.values() if "variant" not in flag}
    assert (len(flags), refused) == (6, {"INVALID_CONTEXT"})
    assert "note" in flags["split"]["errorDetails"]
    assert evaluate(door, "split", **context).json["errorDetails"] == flags["split"]["errorDetails"]


def test_unknown_and_archived_flags_are_not_found(door: Door) -> None:
    door.define("old", options=AB, archived=True)
    for key in ("old", "none", "of two\nlines\n"):
        answer = evaluate(door, key, targetingKey="ann")
        assert (answer.status, answer.json["errorCode"], answer.json["key"]) == (404, "FLAG_NOT_FOUND", key)
        assert answer.json["errorDetails"]


def test_while_the_store_is_away_what_was_never_read_is_a_general_error(door: Door) -> None:
    door.store.is_away = True
    for path in (f"{FLAGS}/colour", FLAGS):
        answer = door.post(path, {"context": {"targetingKey": "ann"}})
        assert (answer.status, answer.json["errorCode"]) == (503, "GENERAL")
        assert answer.json["errorDetails"]
        assert answer.headers["Retry-After"] == "1"


def test_a_flag_that_cannot_be_judged_is_refused_alone(door: Door) -> None:
    for name in ("bad", "good"):
        door.define(name, options=AB, policy="thompson", by_metric="buyers/hits")
    door.whale.count_now(("decisions", "bad", "1", "a"), {}, {"buyers": {"unique": "ann"}})
    alone = evaluate(door, "bad", targetingKey="bob")
    assert (alone.status, alone.json["errorCode"]) == (400, "GENERAL")
    assert "distinct" in alone.json["errorDetails"]
    bad, good = door.post(FLAGS, {"context": {"targetingKey": "bob"}}).json["flags"]
    assert bad == alone.json
    assert good["key"] == "good"
    assert good["variant"] in AB


def test_all_flags_at_once_are_tagged_and_the_same_again_is_304(door: Door) -> None:
    door.define("a", options=AB)
    door.define("b", options=AB, winner="b")
    door.define("old", options=AB, archived=True)
    given = {"context": {"targetingKey": "ann"}}
    first = door.post(FLAGS, given)
    assert first.status == 200
    assert [flag["key"] for flag in first.json["flags"]] == ["a", "b"]
    tag = first.headers["Etag"]
    again = door.post(FLAGS, given, HTTP_IF_NONE_MATCH=tag)
    assert (again.status, again.body) == (304, b"")
    door.define("b", winner="a")
    changed = door.post(FLAGS, given, HTTP_IF_NONE_MATCH=tag)
    assert changed.status == 200
    assert changed.headers["Etag"] != tag
    nobody = door.post(FLAGS, {}).json["flags"]
    assert [(flag["key"], flag.get("errorCode"), flag.get("reason")) for flag in nobody] == [
        ("a", "TARGETING_KEY_MISSING", None),
        ("b", None, "STATIC"),
    ]


MIXED: dict[str, dict[str, Any]] = {
    "fixed": {"options": AB, "winner": "b"},
    "held": {"options": AB, "holdout": 1, "default": "b"},
    "learns": {"options": AB, "policy": "thompson", "default": "b"},
    "off": {"options": AB, "paused": True},
    "split": {"options": AB},
}


@pytest.mark.parametrize("lost", ["decisions_of", "read_each", "keep_decisions"])
def test_while_the_store_is_away_all_flags_have_their_defaults_after_one_try(
    door: Door, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    for name, fields in MIXED.items():
        door.define(name, **fields)
    ann = {"context": {"targetingKey": "ann", "country": "US"}}
    before = {flag["key"]: flag for flag in door.post(FLAGS, ann).json["flags"]}
    asked: list[str] = []

    def away(*_: Any) -> Any:
        asked.append(lost)
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(door.store, lost, away)
        bob = {"context": {"targetingKey": "bob", "country": "US"}}
        for _ in range(3):
            flags = {flag["key"]: flag for flag in door.post(FLAGS, bob).json["flags"]}
            assert {key: flag["reason"] for key, flag in flags.items()} == {
                "fixed": "STATIC", "held": "SPLIT", "learns": "DEFAULT", "off": "DISABLED", "split": "SPLIT"
            }  # fmt: skip
            assert flags["learns"]["variant"] == flags["held"]["variant"] == "b"
            assert not any("decision_id" in flag["metadata"] for flag in flags.values())
        assert asked == [lost]
        for name, flag in flags.items():
            assert evaluate(door, name, targetingKey="bob", country="US").json == flag
    door.now += AWAY_S
    after = {flag["key"]: flag for flag in door.post(FLAGS, ann).json["flags"]}
    assert after == before
    assert "decision_id" in door.post(FLAGS, bob).json["flags"][2]["metadata"]


def test_a_visitor_who_is_known_keeps_his_flags_where_only_new_ones_are_lost(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.define("old", options=AB, policy="thompson", default="a")
    old = evaluate(door, "old", targetingKey="ann").json
    door.define("new", options=AB, policy="thompson", default="b")

    def away(*_: Any) -> Any:
        raise Unavailable("away")

    monkeypatch.setattr(door.store, "keep_decisions", away)
    new, again = door.post(FLAGS, {"context": {"targetingKey": "ann"}}).json["flags"]
    assert (new["reason"], new["variant"]) == ("DEFAULT", "b")
    assert again == old


def test_pages_of_other_sites_may_ask_first(door: Door) -> None:
    for path in (FLAGS, f"{FLAGS}/colour"):
        answer = call(door.app, "OPTIONS", path)
        assert answer.status == 204
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "If-None-Match" in answer.headers["Access-Control-Allow-Headers"]


def test_the_page_of_flags_does_what_it_says(door: Door) -> None:
    text = (Path(__file__).parents[2] / "docs/flags.md").read_text()
    definition = re.search(r"/decisions/checkout-steps -d '(.*?)'", text, re.S)
    assert definition
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}  # as curl says it
    made = call(door.app, "POST", "/decisions/checkout-steps", body=definition[1].encode(), **form)
    assert made.json["phases"][0]["shares"] == {"one page": 0.25, "three steps": 0.75}
    found = evaluate(door, "checkout-steps", targetingKey="visitor 42", country={"US": "CA"}, device="phone").json
    assert found["value"] == AS_DEFINED[found["variant"]]
    reward = re.search(r"/reward -d decision_id=(\S+) -d 'metrics=(.*?)'", text)
    assert reward
    body = urlencode({"decision_id": found["metadata"]["decision_id"], "metrics": reward[2]}).encode()
    assert call(door.app, "POST", "/reward", body=body, **form).json == {"counted": True}
    report = door.report("checkout-steps", dimension="country")["report"]
    assert [option["reward"] for option in report["options"] if option["option"] == found["variant"]] == [19.9]
