"""Managed decisions in the library and over HTTP, on the memory store."""

import json
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.doors import NOW, DecisionDoor
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.decide.definition import definition_of, given_of
from whale.errors import CallerError, Conflict, NotFound, Unavailable
from whale.store.memory import MemoryStore

AB = {"a": "red", "b": "green"}


class Door(DecisionDoor):
    post = DecisionDoor.send

    def define(self, name: str, **fields: Any) -> Any:
        answer = self.post(f"/decisions/{name}", fields)
        assert answer.status == 200, answer.text
        return answer.json

    def report(self, name: str, **parameters: Any) -> Any:
        self.whale.flush()
        answer = self.get(f"/decisions/{name}", **parameters)
        assert answer.status == 200, answer.text
        return answer.json


@pytest.fixture
def door() -> Door:
    return Door()


def refused(answer: Answer) -> tuple[int, str, str | None]:
    return answer.status, answer.json["code"], answer.json.get("field")


# Definitions


def test_a_decision_is_defined_read_listed_and_archived(door: Door) -> None:
    made = door.define("colour", options=AB, weights={"a": 3, "b": 1}, by_metric="revenue", description="of the button")
    assert made["revision"] == 1
    assert made["state"] == "running"
    assert made["options"] == AB
    assert made["weights"] == {"a": 3, "b": 1}
    assert made["default"] == "a"
    assert [phase["number"] for phase in made["phases"]] == [1]
    assert made["phases"][0]["shares"] == {"a": 0.75, "b": 0.25}
    assert made["phases"][0]["started"] == "2015-06-17T14:35:20Z"
    assert door.get("/decisions").json == [made]
    assert door.report("colour")["decision"] == made
    door.define("colour", archived=True)
    assert door.get("/decisions").json == []
    assert [each["state"] for each in door.get("/decisions", archived="true").json] == ["archived"]
    assert door.get("/decide", pk="colour").status == 400
    with pytest.raises(NotFound):
        door.whale.choose("colour", "ann")
    door.define("colour", archived=False)
    assert door.get("/decide", pk="colour").status == 200


def test_what_changes_who_gets_what_begins_a_phase_and_nothing_else_does(door: Door) -> None:
    door.define("colour", options=AB)
    for fields in ({"paused": True}, {"paused": False}, {"winner": "b"}, {"winner": None}, {"description": "x"},
                   {"dimensions": ["country"]}, {"options": {"b": "green", "a": "red"}}):  # fmt: skip
        assert len(door.define("colour", **fields)["phases"]) == 1
    changes: list[dict[str, Any]] = [
        {"weights": {"a": 2, "b": 1}},
        {"options": {"a": "blue", "b": "green"}},
        {"holdout": 0.1},
        {"default": "b"},
        {"policy": "thompson"},
        {"exploration": 0.25},
        {"half_life": "7d"},
        {"half_life": None},
        {"by_metric": "revenue/visitors"},
        {"goal": "min"},
        {"policy": "split"},
        {"reshuffle": True},
    ]
    for number, fields in enumerate(changes, 2):
        door.now += 60
        made = door.define("colour", **fields)
        assert [phase["number"] for phase in made["phases"]][-1] == number, fields
        assert made["phases"][-1]["started"] == made["phases"][-2]["ended"]
    assert made["phases"][0]["shares"] == {"a": 0.5, "b": 0.5}


def test_a_change_that_changes_nothing_makes_no_revision(door: Door) -> None:
    made = door.define("colour", options=AB)
    assert door.define("colour", options=AB, paused=False) == made


def test_old_phases_leave_past_their_bound() -> None:
    door = Door(max_phases=3)
    door.define("colour", options=AB)
    for weight in range(2, 7):
        made = door.define("colour", weights={"a": weight, "b": 1})
    assert [phase["number"] for phase in made["phases"]] == [4, 5, 6]
    assert refused(door.get("/decisions/colour", phase="3")) == (400, "bad_request", "phase")


def test_two_editors_do_not_overwrite_each_other(door: Door) -> None:
    door.define("colour", options=AB, revision=0)
    door.define("colour", paused=True, revision=1)
    late = door.post("/decisions/colour", {"winner": "b", "revision": 1})
    assert refused(late) == (409, "conflict", "revision")
    assert late.json["current"] == door.report("colour")["decision"]
    assert refused(door.post("/decisions/colour", {"options": AB, "revision": 0})) == (409, "conflict", "revision")
    assert door.define("colour", winner="b")["revision"] == 3
    with pytest.raises(Conflict):
        door.whale.define_decision("colour", winner=None, revision=2)


def test_an_editor_who_names_no_revision_changes_what_is_there(door: Door) -> None:
    door.define("colour", options=AB)
    slow, others = MemoryStore.definitions, iter([{"description": "mine"}])

    def between(store: Any, *args: Any) -> Any:
        found = slow(store, *args)
        for fields in others:
            door.whale.define_decision("colour", **fields)
        return found

    door.store.definitions = lambda *args: between(door.store, *args)
    made = door.whale.define_decision("colour", paused=True)
    assert (made.revision, made.description, made.state) == (3, "mine", "paused")


def nested(levels: int) -> Any:
    return {"in": nested(levels - 1)} if levels else 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "options"),
    ({"options": {}}, "options"),
    ({"options": []}, "options"),
    ({"options": ["a", "a"]}, "options"),
    ({"options": [1]}, "options[0]"),
    ({"options": "a"}, "options"),
    ({"options": [str(i) for i in range(10_000)]}, "options"),
    ({"options": {"": 1}}, "options"),
    ({"options": {"x" * 201: 1}}, "options"),
    ({"options": {"a": "x" * 70_000}}, "options"),
    ({"options": AB, "weights": {"a": -1, "b": 2}}, "weights.a"),
    ({"options": AB, "weights": {"a": 0, "b": 0}}, "weights"),
    ({"options": AB, "weights": {"a": 1}}, "weights"),
    ({"options": AB, "weights": {"a": 1, "b": 1, "c": 1}}, "weights.c"),
    ({"options": AB, "weights": {"a": "1", "b": 1}}, "weights.a"),
    ({"options": AB, "weights": {"a": True, "b": 1}}, "weights.a"),
    ({"options": AB, "weights": {"a": 1, "b": 1e-9}}, "weights.b"),
    ({"options": AB, "weights": [1, 2]}, "weights"),
    ({"options": AB, "weights": {"a": 1, "b": 1}, "policy": "thompson"}, "weights"),
    ({"options": AB, "policy": "best"}, "policy"),
    ({"options": AB, "exploration": 0.5}, "exploration"),
    ({"options": AB, "policy": "thompson", "exploration": 2}, "exploration"),
    ({"options": AB, "policy": "epsilon", "min_trials": -1}, "min_trials"),
    *(
        ({"options": AB, "policy": "thompson", "half_life": length}, "half_life")
        for length in (0, -1, "0d", "-7d", "nan", "soon", "12h", "33d", 3600, 1e300, True, ["7d"])
    ),
    ({"options": AB, "half_life": "7d"}, "half_life"),
    ({"options": AB, "holdout": 1.5}, "holdout"),
    ({"options": AB, "holdout": "half"}, "holdout"),
    ({"options": AB, "default": "c"}, "default"),
    ({"options": AB, "winner": "c"}, "winner"),
    ({"options": AB, "winner": 1}, "winner"),
    ({"options": AB, "paused": "yes"}, "paused"),
    ({"options": AB, "goal": "most"}, "goal"),
    ({"options": AB, "by_metric": "a+"}, "by_metric"),
    ({"options": AB, "by_metric": "a*b"}, "by_metric"),
    ({"options": AB, "dimensions": ["d"] * 65}, "dimensions"),
    ({"options": AB, "dimensions": [""]}, "dimensions"),
    ({"options": AB, "description": "x" * 1001}, "description"),
    ({"options": {"a": nested(33)}}, "options.a"),
    ({"options": AB, "wieghts": {}}, "wieghts"),
    ({"options": AB, "name": "other"}, "name"),
    ({"options": AB, "self": "other"}, "self"),
    ({"options": AB, "revision": "1"}, "revision"),
]


@pytest.mark.parametrize(("fields", "field"), BAD, ids=lambda each: str(each)[:40])
def test_what_cannot_be_defined_names_its_field(door: Door, fields: dict[str, Any], field: str) -> None:
    answer = door.post("/decisions/colour", fields)
    assert (answer.status, answer.json.get("field")) == (400, field), answer.text
    assert door.get("/decisions").json == []


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 1 << 70, {1, 2}, {1: 2}, {"\ud800": 1}, "\ud800", [float("nan")]]
)
def test_the_library_takes_json_only(door: Door, value: Any) -> None:
    with pytest.raises(CallerError) as caught:
        door.whale.define_decision("colour", options={"a": value})
    assert caught.value.field == "options.a"
    for weight in (float("nan"), float("inf")):
        with pytest.raises(CallerError) as caught:
            door.whale.define_decision("colour", options=["a"], weights={"a": weight})
        assert caught.value.field == "weights.a"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"options": {1: 2}}, "options"),
        ({"options": ["a"], "description": "\ud800"}, "description"),
        ({"options": ["a"], "holdout": float("nan")}, "holdout"),
        ({"options": ["a"], "policy": "thompson", "min_trials": float("inf")}, "min_trials"),
        ({"options": ["a"], "policy": "thompson", "half_life": float("nan")}, "half_life"),
        ({"options": ["a"], "policy": "thompson", "half_life": float("inf")}, "half_life"),
    ],
)
def test_what_only_a_program_can_say_is_checked_too(door: Door, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(CallerError) as caught:
        door.whale.define_decision("colour", **fields)
    assert caught.value.field == field


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"a"', b'{"options": NaN}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(door: Door, body: bytes) -> None:
    assert refused(door.post("/decisions/colour", body)) == (400, "bad_json", "body")


def test_a_body_of_two_megabytes_is_refused(door: Door) -> None:
    body = json.dumps({"options": {"a": "x" * 2_000_000}}).encode()
    assert refused(door.post("/decisions/colour", body)) == (413, "body_too_large", "body")


@pytest.mark.parametrize("name", ['it\'s "x"', "a/b/c", "a\x00b", "ü ☃", "%2F", "a b?c#d", "..."])
def test_names_may_be_odd(door: Door, name: str) -> None:
    door.whale.define_decision(name, options=AB)
    made = door.whale.choose(name, "ann", {"country": "US"})
    assert door.whale.reward(str(made.decision.decision_id), {"value": 1})
    assert door.whale.decision_report(name).decision.name == name
    assert [each["name"] for each in door.get("/decisions").json] == [name]
    path = f"/ofrep/v1/evaluate/flags/{name}".encode().decode("latin-1")
    found = call(
        door.app,
        "POST",
        path,
        body=b'{"context": {"targetingKey": "ann"}}',
    )
    assert found.json["key"] == name


def test_names_too_long_and_unknown_ones_are_refused(door: Door) -> None:
    assert refused(door.post(f"/decisions/{'x' * 201}", {"options": AB})) == (400, "name_too_long", "name")
    assert refused(door.get("/decisions/none")) == (404, "not_found", "name")
    assert refused(door.get("/decisions", archive="true")) == (400, "bad_request", "archive")


def test_pages_of_other_sites_and_readers_change_nothing() -> None:
    open_ = Door()
    foreign = open_.post("/decisions/colour", {"options": AB}, HTTP_SEC_FETCH_SITE="cross-site")
    assert refused(foreign)[:2] == (403, "foreign_origin")
    locked = Door(write_key="w" * 20, read_key="r" * 20, admin_key="a" * 20)
    for key, status in (("w", 401), ("r", 401), ("a", 200)):
        bearer = {"HTTP_AUTHORIZATION": f"Bearer {key * 20}"}
        assert locked.post("/decisions/colour", {"options": AB}, **bearer).status == status
    asked = b'{"context": {"targetingKey": "ann"}}'
    assert locked.post("/ofrep/v1/evaluate/flags/colour", asked).status == 401
    assert locked.post("/ofrep/v1/evaluate/flags/colour", asked, HTTP_X_API_KEY="r" * 20).status == 200


# Deciding


def test_a_policy_with_a_half_life_follows_what_is_new(door: Door) -> None:
    first = door.define("colour", options=AB, policy="thompson", exploration=0, floor=0, half_life="48h")
    assert (first["half_life"], first["phases"][0]["half_life"]) == ("2d", "2d")
    assert door.define("colour", half_life="2d") == door.define("colour", half_life=172_800) == first
    for days, wins in ((20, {"a": 100, "b": 20}), (1, {"a": 4, "b": 12})):
        for option, won in wins.items():
            about = {"metrics": {"hits": 200, "value": won}, "at": NOW - days * 86_400}
            for phase in "12":
                door.whale.count_decision(["decisions", "colour", phase], option=option, **about)
    assert door.whale.choose("colour", "ann").decision.option == "b"
    second = door.define("colour", half_life=None)
    assert [phase["half_life"] for phase in second["phases"]] == ["2d", None]
    assert door.whale.choose("colour", "ann").decision.option == "a"


def test_a_half_life_stays_while_a_policy_learns_and_goes_with_it(door: Door) -> None:
    door.define("colour", options=AB, policy="thompson", half_life="7d")
    assert door.define("colour", policy="epsilon")["half_life"] == "7d"
    assert door.define("colour", policy="split")["half_life"] is None
    assert door.define("colour", policy="seed")["half_life"] is None


def test_a_definition_of_before_half_lives_is_read(door: Door) -> None:
    door.define("colour", options=AB, policy="thompson")
    found = door.store.definitions(door.whale.account)["colour"]
    text = found.text.replace(b',"half_life_s":null', b"")
    assert len(text) == len(found.text) - 2 * len(',"half_life_s":null')
    assert definition_of(text) == definition_of(found.text)


def test_a_split_gives_each_his_own_and_the_same_again(door: Door) -> None:
    door.define("colour", options=AB, weights={"a": 3, "b": 1})
    first = {f"v{i}": door.whale.choose("colour", f"v{i}") for i in range(400)}
    for visitor, answer in first.items():
        again = door.whale.choose("colour", visitor)
        assert (again.value, again.decision.decision_id) == (answer.value, answer.decision.decision_id)
        assert answer.decision.probability == {"a": 0.75, "b": 0.25}[answer.decision.option]
    assert 250 < Counter(answer.value for answer in first.values())["red"] < 340
    report = door.report("colour")["report"]
    assert report["decisions"] == 400
    assert sum(option["shown"] for option in report["options"]) == 400
    assert [option["expected"] for option in report["options"]] == [300, 100]
    assert not report["sample_ratio"]["suspicious"]


def test_new_weights_keep_most_visitors_where_they_are(door: Door) -> None:
    door.define("colour", options=["a", "b", "c"])
    visitors = [f"v{i}" for i in range(600)]
    before = {visitor: door.whale.choose("colour", visitor).value for visitor in visitors}
    door.define("colour", weights={"a": 2, "b": 3, "c": 4})
    after = {visitor: door.whale.choose("colour", visitor).value for visitor in visitors}
    moves = Counter((before[visitor], after[visitor]) for visitor in visitors if before[visitor] != after[visitor])
    assert set(moves) == {("a", "c")}
    assert abs(moves["a", "c"] - 600 / 9) < 4 * (600 / 9) ** 0.5
    door.define("colour", reshuffle=True)
    dealt = {visitor: door.whale.choose("colour", visitor).value for visitor in visitors}
    assert len({(after[visitor], dealt[visitor]) for visitor in visitors}) == 9


def test_who_is_held_out_gets_the_default_and_is_reported_apart(door: Door) -> None:
    door.define("colour", options=AB, default="b", holdout=0.2)
    answers = {f"v{i}": door.whale.choose("colour", f"v{i}") for i in range(500)}
    out = {visitor for visitor, answer in answers.items() if answer.why == "held out"}
    assert 60 < len(out) < 140
    assert {answers[visitor].value for visitor in out} == {"green"}
    for visitor in sorted(out)[:10]:
        assert door.whale.reward(str(answers[visitor].decision.decision_id), {"value": 3})
    report = door.report("colour")["report"]
    assert report["decisions"] == 500 - len(out)
    assert (report["held_out"]["trials"], report["held_out"]["reward"]) == (len(out), 30)
    door.define("colour", holdout=0.4)
    more = {f"v{i}" for i in range(500) if door.whale.choose("colour", f"v{i}").why == "held out"}
    assert out < more


def test_a_pause_and_a_winner_are_for_everybody_and_count_nothing(door: Door) -> None:
    door.define("colour", options=AB, default="b", holdout=0.5, paused=True)
    for state, value, reason in (({}, "green", "paused"), ({"winner": "a"}, "red", "winner")):
        door.define("colour", **state)
        found = door.get("/decide", pk="colour", visitor="ann").json
        assert (found["value"], found["reason"], found["decision_id"], found["probability"]) == (
            value,
            reason,
            None,
            None,
        )
    assert door.report("colour")["report"]["decisions"] == 0


def test_a_policy_learns_from_rewards_of_its_phase(door: Door) -> None:
    door.define("colour", options=AB, policy="thompson", by_metric="value")
    for i in range(300):
        answer = door.whale.choose("colour", f"v{i}", {"country": "US"})
        door.whale.reward(str(answer.decision.decision_id), {"value": 1 if answer.value == "green" else 0.001})
        if i % 20 == 0:
            door.whale.flush()
    report = door.report("colour", dimension="country")["report"]
    a, b = report["options"]
    assert b["trials"] > 5 * a["trials"]
    assert b["probability_best"] > 0.99
    assert b["rate"] == pytest.approx(1)
    assert b["lift"] == pytest.approx(999)
    assert report["segments"][0]["dimension"] == '["country", "US"]'
    assert [each["trials"] for each in report["segments"][0]["options"]] == [a["trials"], b["trials"]]
    said = report["stop"]["why"]  # a has too few trials for that
    assert said.startswith("Not decided: open: a, b. At these shares it takes about ")
    assert said.endswith(
        " more trials to decide. Stopping now with b is less than 0.1 % likely to be wrong, and costs 0 of value per trial on average."
    )
    door.define("colour", exploration=0.75)
    assert door.report("colour")["report"]["decisions"] == 0
    assert door.report("colour", phase=1)["report"]["decisions"] == 300


def test_an_open_report_says_of_which_option_nothing_is_known_and_what_stopping_risks(door: Door) -> None:
    """c is never shown, so the others can be compared, and nothing is ever decided."""
    door.define("colour", options=["a", "b", "c"], weights={"a": 1, "b": 1, "c": 0}, by_metric="value")
    for i in range(300):
        answer = door.whale.choose("colour", f"v{i}")
        if answer.value == "b" or i % 4 == 0:
            door.whale.reward(str(answer.decision.decision_id), {"value": 1})
    said = door.report("colour")["report"]["stop"]["why"]
    assert said.startswith(
        "Not decided: beaten so far: a; open: b, c. There is no data for c yet, so the number of further trials is unknown. "
        "Among the others, stopping now with b is less than 0.1 % likely to be wrong, and costs "
    )


def test_a_report_of_weak_evidence_says_what_cannot_be_told_yet(door: Door) -> None:
    door.define("colour", options=AB, weights={"a": 1, "b": 1}, by_metric="value")
    for i in range(400):
        answer = door.whale.choose("colour", f"v{i}")
        if i % 10 == 0:
            door.whale.reward(str(answer.decision.decision_id), {"value": 1})
    report = door.report("colour")["report"]
    said = report["stop"]["why"]
    best = max(each["probability_best"] for each in report["options"])
    matched = re.fullmatch(
        r"Not decided: open: a, b\. At these shares it takes at least [\d,]+ more trials to decide in 9 of 10 cases; "
        r"the upper limit is not known yet\. Stopping now with [ab] is ([\d.]+) % to ([\d.]+) % likely to be wrong, "
        r"and costs [\d.e-]+ of value per trial on average\.",
        said,
    )
    assert matched, said
    low, high = float(matched[1]) / 100, float(matched[2]) / 100
    assert low == pytest.approx(1 - best, abs=1e-3)
    assert high > low


def test_a_report_says_each_number_in_words(door: Door) -> None:
    door.define("colour", options=AB, by_metric="value", goal="min")
    for i in range(600):
        answer = door.whale.choose("colour", f"v{i}")
        if answer.value == "red" or i % 4 == 0:
            door.whale.reward(str(answer.decision.decision_id), {"value": 2})
    report = door.report("colour")["report"]
    a, b = report["options"]
    assert (a["rate"], a["lift"], a["state"], b["state"]) == (2, None, "beaten", "best")
    assert b["rate"] == pytest.approx(0.5, abs=0.15)
    assert b["lift"] == pytest.approx(b["rate"] / 2 - 1)
    assert b["probability_best"] > 0.999
    assert b["expected_loss"] < 1e-6
    assert a["why"].startswith(f"value of a is 2 in {a['trials']:.0f} trials (95 %: 1.")
    assert b["why"].endswith("%).")
    assert "it is more than 99.9 % likely to be the best; the lift over a is -7" in b["why"]
    assert report["stop"]["option"] == "b"
    other = door.report("colour", baseline="b")["report"]
    assert other["options"][1]["lift"] is None
    assert other["options"][0]["lift"] == pytest.approx(2 / b["rate"] - 1)


def test_the_off_policy_estimate_is_that_of_the_log(door: Door) -> None:
    door.define("colour", options=AB, policy="epsilon", epsilon=0.3, by_metric="value")
    log: list[tuple[str, float, float]] = []
    for i in range(200):
        answer = door.whale.choose("colour", f"v{i}")
        reward = float(i % 5)
        if reward:
            door.whale.reward(str(answer.decision.decision_id), {"value": reward})
        log.append((answer.decision.option, float(answer.decision.probability or 0), reward))
        door.whale.flush()
    assert len({probability for _, probability, _ in log}) > 2
    for option in door.report("colour")["report"]["options"]:
        mine = np.array([(reward / p, 1 / p) for name, p, reward in log if name == option["option"]])
        y, x = mine.sum(axis=0)
        assert option["always"]["rate"] == pytest.approx(y / x, rel=1e-5)
        assert option["always"]["decisions"] == pytest.approx(x * x / (mine[:, 1] ** 2).sum(), rel=1e-5)
        assert option["always"]["interval"][0] < y / x < option["always"]["interval"][1]
        assert option["reward"] == sum(reward for name, _, reward in log if name == option["option"])


def test_only_what_a_decision_asks_for_is_used_of_a_context(door: Door) -> None:
    door.define("colour", options=AB, dimensions=["country"])
    door.whale.choose("colour", "ann", {"country": {"US": "CA"}, "email": "ann@example.com"})
    door.whale.choose("colour", "bob", [["country", "US"], ["email", "bob@example.com"]])
    door.whale.choose("colour", "eve", ["email", "eve@example.com"])
    door.whale.flush()
    pk = ("decisions", "colour", "1")
    assert door.whale.get_subdimensions(pk) == ["country"]
    assert door.whale.all_subdimensions(pk) == ["_", "country", '["country", "US"]', '["country", "US", "CA"]']


def test_while_the_store_is_away_a_split_holds_and_a_policy_answers_its_default(door: Door) -> None:
    door.define("colour", options=AB)
    door.define("learns", options=AB, policy="thompson", default="b")
    visitors = [f"v{i}" for i in range(20)]
    before = [door.whale.choose("colour", visitor).value for visitor in visitors]
    door.whale.choose("learns", "ann")
    door.store.is_away = True
    assert [door.whale.choose("colour", visitor).value for visitor in visitors] == before
    answer = door.whale.choose("learns", "bob")
    assert (answer.value, answer.why, answer.decision.decision_id) == ("green", "default", None)
    with pytest.raises(Unavailable):
        door.whale.choose("never read", "ann")
    assert door.get("/decide", pk="never read").status == 503


def test_another_process_sees_a_change_after_a_snapshot() -> None:
    door = Door(decide_snapshot_s=1.0)
    other = Whale(door.store, door.settings, clock=lambda: door.now, random=np.random.default_rng(4))
    door.define("colour", options=AB)
    assert other.choose("colour", "ann").why == "split"
    door.define("colour", winner="b")
    assert door.whale.choose("colour", "ann").why == "winner"
    assert other.choose("colour", "ann").why == "split"
    door.now += 1
    assert other.choose("colour", "ann").why == "winner"


def test_decide_without_options_is_by_definition(door: Door) -> None:
    door.define("colour", options={"a": {"hex": "#f00"}}, by_metric="revenue")
    found = door.get("/decide", pk="colour", visitor="ann", dimensions={"country": "US"}).json
    assert found["value"] == {"hex": "#f00"}
    assert found["probability"] == 1
    assert "fixed split" in found["because"]
    assert door.whale.decide("colour", visitor="ann", known_dimensions={"country": "US"}) == {"hex": "#f00"}
    door.define("deep", options={"a": nested(32)})
    assert door.get("/decide", pk="deep").json["value"] == nested(32)
    assert refused(door.get("/decide", pk="colour", policy="seed")) == (400, "bad_request", "policy")
    assert refused(door.get("/decide", pk="none")) == (400, "bad_path", "options")
    plain = door.get("/decide", pk="colour", options='["x", "y"]').json
    assert plain["option"] in "xy"
    assert "value" not in plain


def test_reports_refuse_what_is_not_there(door: Door) -> None:
    door.define("colour", options=AB)
    for parameters, field in (
        ({"baseline": "c"}, "baseline"),
        ({"phase": "9"}, "phase"),
        ({"phase": "x"}, "phase"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"dimensions": '[["a"], ["b"]]'}, "dimensions"),
        ({"segment": "a"}, "segment"),
    ):
        answer = door.get("/decisions/colour", **parameters)
        assert (answer.status, answer.json["field"]) == (400, field), parameters


def test_a_phase_of_years_is_reported_by_months(door: Door) -> None:
    door.define("colour", options=AB, by_metric="value")
    for i in range(5):
        door.now = NOW + i * 200 * 86_400
        made = door.whale.choose("colour", f"v{i}", {"country": "US"}).decision
        assert door.whale.reward(str(made.decision_id), {"value": 2})
        door.whale.flush()
    report = door.report("colour", dimension="country")["report"]
    assert sum(option["trials"] for option in report["options"]) == 5
    assert sum(option["reward"] for option in report["options"]) == 10
    assert sum(option["trials"] for option in report["segments"][0]["options"]) == 5


def test_a_report_says_how_many_segments_its_limit_leaves_out(door: Door) -> None:
    door.define("colour", options=AB)
    for i in range(5):
        door.whale.choose("colour", f"v{i}", {"country": f"c{i}"})
    door.whale.flush()
    for limit, more in ((2, 3), (5, None), (20, None)):
        answer = door.get("/decisions/colour", dimension="country", limit=str(limit))
        assert answer.json["report"].get("more_segments") == more
        assert answer.headers.get("X-Whale-More") == (more and str(more))
        assert len(answer.json["report"]["segments"]) == 5 - (more or 0)


def test_an_empty_report_says_that_nothing_is_known(door: Door) -> None:
    door.define("colour", options=AB, holdout=0.1)
    report = door.report("colour", dimension="country")["report"]
    assert [option["rate"] for option in report["options"]] == [None, None]
    assert report["options"][0]["why"] == "a has no data here yet."
    assert report["segments"] == []
    assert report["sample_ratio"] == {"chance": 1, "suspicious": False, "why": "There are no decisions yet."}
    assert report["stop"]["why"] == "Not decided: open: a, b."
    assert report["held_out"]["why"] == "No visitor was held out yet."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"policy": "thomson"}, "policy: expected one of split, thompson, epsilon, seed, got 'thomson'"),
        ({"goal": "most"}, "goal: expected one of max, min, got 'most'"),
        ({"option": ["a"]}, "option: is not a field here: did you mean options?"),
        ({"colour": 1}, "colour: is not a field here: expected options, weights, policy, "),
    ],
)
def test_a_wrong_word_in_a_definition_is_told_the_right_ones(given: dict[str, Any], said: str) -> None:
    with pytest.raises(CallerError) as refused:
        given_of({"options": ["a", "b"], **given})
    assert str(refused.value).startswith(said)
