"""Decisions from the library and over HTTP, on the memory store."""

import json
import logging
import math
from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from hail.hit import DECIDED, EXPECTED, MILLION, RESERVED, HitError, parse_decided, parse_hit
from hail.message import Message
from hail.settings import load
from tests.doors import NOW, DecisionDoor
from tests.laws import law
from tests.servers import wait_until
from tests.wsgi import Answer, call
from whale.decide import policy
from whale.decide.decider import AWAY_S
from whale.decide.trials import MOST, Trials
from whale.errors import CallerError, FormulaError, Unavailable
from whale.metric import COUNT, STEPS, moments, more_moments, product_bin, sum_bin

ABC = ["a", "b", "c"]
US = {"country": "US"}


class Door(DecisionDoor):
    def post(self, path: str, **fields: Any) -> Answer:
        return self.send(path, fields)

    def decide(self, **parameters: Any) -> Any:
        answer = self.get("/decide", **{"pk": "page", "options": ABC, **parameters})
        assert answer.status == 200, answer.text
        return answer.json

    def totals(self, option: str, *metrics: str, dimensions: Any = None) -> list[Any]:
        self.whale.flush()
        found = self.whale.totals(["page", option], dimensions, list(metrics), "today")["today"]
        return list(next(iter(found.values())).values())


@pytest.fixture
def door() -> Door:
    return Door()


# An answer


def test_an_answer_says_what_was_decided_and_why(door: Door) -> None:
    for option, sales in (("a", 1), ("b", 20), ("c", 2)):
        about = {"pk": "page", "option": option, "dimensions": US}
        for _ in range(60):
            assert door.get("/count_decision", **about, metric={"spent": 0.5}).text == "OK"
        for _ in range(sales):
            assert door.post("/count_decision", **about, metrics={"earned": 2}).text == "OK"
    answer = door.get(
        "/decide",
        pk="page",
        options="['a', 'b', 'c']",
        dimensions='{"country": "US"}',
        by_metric="earned/spent",
        policy="seed",
        bad_idea_threshold="0",
        test_idea_threshold="0",
    )
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.json
    shard, _, nonce = found.pop("decision_id").partition("-")
    assert (shard, len(nonce)) == ("0", 16)
    rows = found.pop("evidence")
    assert found == {
        "option": "b",
        "probability": 1.0,
        "policy": "seed-2",
        "reason": "chosen",
        "because": found["because"],
    }
    assert found["because"].startswith("earned/spent of b: overall 1.333 (")
    assert [(row["option"], row["dimension"], row["n"]) for row in rows] == [
        (option, path, n) for option, n in (("b", 80), ("a", 61), ("c", 62)) for path in ("_", '["country", "US"]')
    ]
    assert rows[0]["rate"] == pytest.approx(40 / 30)
    assert rows[0]["interval"][0] < 40 / 30 < rows[0]["interval"][1]
    assert rows[2]["rate"] == pytest.approx(2 / 30)


def test_nothing_known_is_even_and_says_so(door: Door) -> None:
    found = door.decide()
    assert found["probability"] == pytest.approx(1 / 3)
    assert found["because"] == f"{found['option']} has no data yet"
    assert [(row["rate"], row["interval"], row["n"]) for row in found["evidence"]] == [(None, None, 0)] * 3


def test_the_logged_probability_is_how_often_an_option_comes(door: Door) -> None:
    for option, value in (("a", 3), ("b", 6), ("c", 0)):
        for i in range(60):
            door.whale.count_decision("page", option=option, metrics={"value": int(i < value)})
    found = [door.whale.decision("page", None, ABC) for _ in range(2000)]
    odds = {decision.option: decision.probability or 0.0 for decision in found}
    counted = Counter(decision.option for decision in found)
    for option, probability in odds.items():
        assert counted[option] / 2000 == pytest.approx(probability, abs=0.04)


def test_the_random_source_is_given() -> None:
    def chosen(seed: int) -> list[str]:
        door = Door()
        door.whale.random = np.random.default_rng(seed)
        return [door.whale.decide("page", None, ABC) for _ in range(20)]

    assert chosen(1) == chosen(1) != chosen(2)


def test_a_decision_costs_no_read_while_its_snapshot_is_fresh() -> None:
    door = Door(decide_snapshot_s=1.0)
    door.whale.count_decision("page", option="a", metrics={"value": 1})
    assert door.whale.decision("page", None, ["a"]).evidence[0].trials == 1
    door.whale.count_decision("page", option="a", metrics={"value": 1})
    assert door.whale.decision("page", None, ["a"]).evidence[0].trials == 1
    assert door.whale.decision("page", None, ["a"], "other/hits").evidence[0].trials == 2
    door.now += 1.5
    assert door.whale.decision("page", None, ["a"]).evidence[0].trials == 2


def test_how_options_differ_by_country_is_learnt_from_all_countries(door: Door) -> None:
    for i, country in enumerate(["US", "DE", "FR", "IT"] * 50):
        for option in ABC:
            wins = (option == "a") == (country in ("US", "FR"))
            about = {
                "dimensions": {"country": country, "device": "mac"},
                "metrics": {"value": int(wins and i % 2 == 0)},
            }
            door.whale.count_decision("page", option=option, **about)
    decider = door.whale._decider()
    one = decider.evidence(door.whale._asked("page", None, ABC, context={"country": "US"}))
    assert one.nodes == [(), ("country", "US")]
    assert one.departures is not None
    assert set(one.departures.variances) == {(None, 0), ("country", 1 + 1)}
    alone = policy.departures(replace(one, departures=None)).variances["country", 2]
    nodes = [(), *(("country", name) for name in ("US", "DE", "FR", "IT"))]
    (whole,) = decider._read([(door.whale._asked("page", None, ABC, context={"country": "US"}), nodes)])
    assert one.departures.variances["country", 2] == policy.departures(whole).variances["country", 2] != alone
    assert decider.evidence(door.whale._asked("page", None, ABC)).departures is None
    new = decider.evidence(door.whale._asked("page", None, ABC, context={"country": "new"}))
    assert new.departures == one.departures


def outcomes(door: Door, days: float, **wins: int) -> None:
    """200 of each option, so many days ago."""
    for option, won in wins.items():
        metrics = {"hits": 200, "value": won}
        door.whale.count_decision("page", option=option, metrics=metrics, at=NOW - days * 86_400)


def test_what_is_older_than_a_half_life_gives_way_to_what_is_new(door: Door) -> None:
    outcomes(door, 20, a=100, b=20)
    outcomes(door, 1, a=4, b=12)
    asked = {"options": ["a", "b"], "policy": "seed", "bad_idea_threshold": 0, "test_idea_threshold": 0}
    now, before = door.decide(**asked, half_life="2d"), door.decide(**asked)
    assert (before["option"], before["evidence"][0]["n"]) == ("a", 400)
    assert now["option"] == "b"
    # yesterday's middle is 26.6 hours ago, and that of the day 20 days ago 482.6
    days = [0.5 ** (hours / 48) for hours in (26.589, 482.589)]
    assert now["evidence"][0]["n"] == pytest.approx(200 * sum(days), rel=1e-3)
    assert now["evidence"][0]["rate"] == pytest.approx((12 * days[0] + 20 * days[1]) / (200 * sum(days)), rel=1e-3)
    thompson = {"options": ["a", "b"], "exploration": 0, "floor": 0}
    assert [door.decide(**thompson, **more)["option"] for more in ({}, {"half_life": "2d"})] == ["a", "b"]
    good, _, _ = door.whale.weighted_reasons("page", None, ["a", "b"], half_life="2d")
    assert list(good) == ["b"]


def test_a_snapshot_is_of_one_half_life() -> None:
    door = Door(decide_snapshot_s=60.0)
    outcomes(door, 1, a=1)
    seen = [door.decide(options=["a"], **more)["evidence"][0]["n"] for more in ({}, {"half_life": "1d"}, {})]
    assert seen[0] == seen[2] == 200
    assert seen[1] < 110


@pytest.mark.parametrize(
    ("half_life", "period"),
    [
        *((text, "") for text in ("0", "0d", "-1d", "-86400", "nan", "NaN", "inf", "1.5d", "soon", "7", "23h", "33d", "1y")),
        *((text, "1h:7d") for text in ("59m", "8d")),
        ("13h", "1d:1mo"),
        ("9" * 13, ""),
        ("7d" * 500, ""),
    ],
)  # fmt: skip
def test_a_half_life_that_cannot_be_names_its_field(door: Door, half_life: str, period: str) -> None:
    parameters = {"pk": "page", "options": ABC, "half_life": half_life, "visitor": "ann"}
    answer = door.get("/decide", **parameters, **({"period": period} if period else {}))
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_request", "half_life")
    assert door.decide(visitor="ann")["reason"] == "chosen"  # it was not kept


@pytest.mark.parametrize(
    ("half_life", "period"), [("1d", "thirty"), ("32d", "thirty"), ("6 hours", "1h:7d"), ("90m", "1h:7d")]
)
def test_half_lives_are_written_as_lengths_are(door: Door, half_life: str, period: str) -> None:
    assert door.decide(half_life=half_life, period=period)["reason"] == "chosen"


@pytest.mark.parametrize("half_life", [0, -1, float("nan"), float("inf"), True, [], {}, b"7d", 10**400, "", "7d7d"])
def test_the_library_takes_lengths_only(door: Door, half_life: Any) -> None:
    with pytest.raises(CallerError) as caught:
        door.whale.decision("page", None, ABC, half_life=half_life)
    assert caught.value.field == "half_life"
    assert door.whale.decision("page", None, ABC, half_life=7 * 86_400).reason == "chosen"


def test_a_period_says_which_outcomes_speak(door: Door) -> None:
    for days, value in ((40, 5), (3, 1), (0, 0)):
        door.whale.count_decision("page", option="a", metrics={"value": value}, at=NOW - days * 86_400)
    trials = {
        period: door.whale.decision("page", None, ["a"], period=period).evidence[0].trials
        for period in ("today", "thirty", "ytd")
    }
    assert trials == {"today": 1, "thirty": 2, "ytd": 3}
    assert door.whale.decision("page", None, ["a"]).evidence[0].trials == 2
    assert door.decide(options=["a"], period="1d:1w|Asia/Kolkata")["evidence"][0]["n"] == 2


def test_several_decisions_at_once_and_options_that_are_no_text(door: Door) -> None:
    door.whale.count_decision("p", {"language": "EN", "size": 2}, {"value": 1})
    assert door.whale.total(["p", "size", 2]) == door.whale.total(["p", "language", "EN"]) == 1
    found = door.whale.decide("p", options={"language": ["EN"], "size": [2]})
    assert found == {"language": "EN", "size": 2}
    assert door.whale.decide("p", options={"size": [2]}) == 2
    assert door.decide(pk="p", decision="size", options=[2])["option"] == "2"


# Outcomes


def test_an_outcome_is_a_hit_of_its_option(door: Door) -> None:
    door.whale.count_decided_now(["Product", "1"], "language", "EN", US, {"revenue": 5})
    pk = ["Product", "1", "language", "EN"]
    assert door.whale.totals(pk, ["country", "US"], ["hits", "revenue"], "today") == {
        "today": {'["country", "US"]': {"hits": 1, "revenue": 5}}
    }
    assert door.whale.pks(["Product", "1", "language"]) == [("Product", "1", "language", "EN")]
    assert door.whale.metrics_of(pk) == ["hits", "revenue"]
    assert door.get("/metrics_of", pk=pk).json == ["hits", "revenue"]
    assert door.whale.get_spy()[0]["metrics"] == {"hits": 1, "revenue": 5}


def test_an_outcome_counted_twice_by_its_id_counts_once(door: Door) -> None:
    for _ in range(2):
        door.get("/count_decision", pk="page", option="a", metric={"value": 2}, id="x")
    assert door.totals("a", "hits", "value") == [1, 2]


def test_outcomes_of_the_queue_and_of_the_library_are_the_same_hit() -> None:
    given = {"pk": "p", "decision": "d", "option": "o", "metrics": {"m": 1}}
    hit = parse_decided(given, load({}), NOW)
    plain = parse_hit({"pk": ["p", "d", "o"], "metrics": {"m": 1}}, load({}), NOW)
    assert (hit.pk, hit.metrics, hit.others) == (plain.pk, plain.metrics, {"__moments__": ("moments", 1)})
    assert hit.cells == plain.cells + (1 + 2 + 3) * 3 * 5


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"pk": "p"}, "option"),
        ({"pk": "p", "option": None}, "option"),
        ({"pk": "p", "option": ["a"]}, "option"),
        ({"pk": "p", "option": "x" * 201}, "option"),
        ({"pk": "p", "option": "a", "decision": {}}, "decision"),
        ({"option": "a"}, "pk"),
        ({"pk": ["p"] * 8, "option": "a"}, "pk"),
        ({"pk": "p", "option": "a", "optoin": "b"}, "optoin"),
        *(({"pk": "p", "option": "a", "metrics": {name: 1}}, f"metrics.{name}") for name in sorted(RESERVED)),
    ],
)
def test_outcomes_that_cannot_be_counted_name_their_field(door: Door, given: dict[str, Any], field: str) -> None:
    with pytest.raises(HitError) as caught:
        parse_decided(given, door.settings, NOW)
    assert caught.value.field == field
    answer = door.post("/count_decision", **given)
    assert (answer.status, answer.json["field"]) == (400, field)


def test_no_hit_meets_what_is_counted_of_decisions(door: Door) -> None:
    for name in sorted(RESERVED):
        for value in (1, {"max": 1}):
            with pytest.raises(HitError, match="is reserved: HailWhale counts decisions under this name"):
                parse_hit({"pk": "p", "metrics": {name: value}}, door.settings, NOW)


amounts = st.integers(-9_000_000_000 * MILLION, 9_000_000_000 * MILLION)


@profile(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcdef*=:~%"), amounts, max_size=6), max_size=8), st.integers(0, 3))
def test_moments_add_up_to_sums_of_products(hits: list[dict[str, int]], hits_each: int) -> None:
    """Of the first four metrics by name: exact to a millionth and to 1 in 100,000."""
    total: Counter[str] = Counter()
    for metrics in hits:
        for name, amount in moments({"hits": hits_each, **metrics}, 1).items():
            assert name.startswith("=") or abs(amount) < 2**63 / 1_000_000
            total[name] += amount
    assert total[COUNT] == len(hits)
    known = [dict(sorted(metrics.items())[:4]) for metrics in hits]
    for one in "abcdef*=:~%":
        assert total[sum_bin(one)] == sum(metrics.get(one, 0) for metrics in known)
        for other in "abcdef*=:~%":
            products = [metrics.get(one, 0) * metrics.get(other, 0) / 10**12 for metrics in known]
            found = sum(total[product_bin(one, other, step)] * 10.0**step for step in STEPS) / MILLION
            error = sum(max(1e-6, abs(product) * 1e-5) for product in products)
            assert found == pytest.approx(math.fsum(products), abs=error + 1e-9)


def test_what_costs_and_earned_nothing_is_not_played_for_its_cost(door: Door) -> None:
    for option, earned in (("a", 0), ("b", 30), ("c", 0)):
        for i in range(200):
            door.whale.count_decision("page", option=option, metrics={"spent": 0.5, "earned": 5 * int(i < earned)})
    found = door.decide(by_metric="spent/earned", goal="min", policy="seed", bad_idea_threshold=0)
    assert (found["option"], found["probability"]) == ("b", 1)
    assert found["evidence"][0]["rate"] == pytest.approx(100 / 150)
    low, high = found["evidence"][0]["interval"]
    assert low < 100 / 150 < high
    assert [row["rate"] for row in found["evidence"][1:]] == [None, None]
    errors = door.decide(by_metric="earned/spent", goal="min", policy="seed", bad_idea_threshold=0)
    assert errors["option"] in "ac"


# Visitors


def test_a_visitor_gets_the_same_again_while_it_is_sticky() -> None:
    door = Door(decision_sticky_s=100.0)
    first = door.decide(visitor="ann")
    assert first["reason"] == "chosen"
    for _ in range(20):
        again = door.decide(visitor="ann", dimensions=US)
        assert (again["option"], again["decision_id"], again["probability"]) == (
            first["option"],
            first["decision_id"],
            first["probability"],
        )
        assert (again["reason"], again["evidence"]) == ("sticky", [])
    assert door.decide(pk=["page", "other"], visitor="ann")["reason"] == "chosen"
    door.now += 100
    later = door.decide(visitor="ann")
    assert later["reason"] == "chosen"
    assert later["decision_id"] != first["decision_id"]


def test_a_sticky_option_that_is_no_longer_asked_for_is_decided_anew(door: Door) -> None:
    first = door.decide(visitor="ann")
    rest = [option for option in ABC if option != first["option"]]
    second = door.decide(visitor="ann", options=rest)
    assert second["reason"] == "chosen"
    assert second["option"] in rest
    assert door.decide(visitor="ann")["decision_id"] == second["decision_id"]
    assert door.post("/reward", decision_id=first["decision_id"], metrics={"value": 1}).json == {"counted": True}


def test_a_decision_for_a_visitor_is_counted_as_a_trial(door: Door) -> None:
    first = door.decide(visitor="ann", dimensions=US)
    for _ in range(3):
        door.decide(visitor="ann", dimensions=US)
    option = first["option"]
    assert door.totals(option, "hits", DECIDED, EXPECTED) == [1, 1, pytest.approx(1 / 3, abs=1e-6)]
    assert door.totals(option, "hits", DECIDED, dimensions=["country", "US"]) == [1, 1]
    for other in ABC:
        if other != option:
            assert door.totals(other, "hits", DECIDED, EXPECTED) == [0, 0, pytest.approx(1 / 3, abs=1e-6)]


def test_without_a_visitor_it_is_no_trial_unless_that_is_said(door: Door) -> None:
    for given_, hits in (({}, 0), ({"trial": "true"}, 1), ({"visitor": "ann", "trial": "false"}, 1)):
        door.decide(options=["a"], **given_)
        assert door.totals("a", "hits") == [hits]
    assert door.totals("a", DECIDED, EXPECTED) == [3, 3]


def test_decisions_and_the_sum_of_their_probabilities_agree(door: Door) -> None:
    for option, value in (("a", 3), ("b", 6), ("c", 0)):
        for i in range(40):
            door.whale.count_decision("page", option=option, metrics={"value": int(i < value)})
    for i in range(500):
        door.whale.decision("page", None, ABC, visitor=f"v{i}")
    found = {option: door.totals(option, DECIDED, EXPECTED) for option in ABC}
    assert sum(decided for decided, _ in found.values()) == 500
    assert sum(expected for _, expected in found.values()) == pytest.approx(500, abs=1e-3)
    for decided, expected in found.values():
        assert decided == pytest.approx(expected, abs=60)


# Rewards


def test_a_reward_counts_once_where_its_decision_was(door: Door) -> None:
    decided = door.decide(visitor="ann", dimensions=US)
    door.now += 86_400 * 3
    earned = {"decision_id": decided["decision_id"], "metrics": {"value": 2.5}}
    assert door.post("/reward", **earned).json == {"counted": True}
    assert door.post("/reward", **earned).json == {"counted": False}
    door.now = NOW
    option = decided["option"]
    assert door.totals(option, "hits", "value", dimensions=["country", "US"]) == [1, 2.5]
    assert door.totals(option, "value/hits") == [2.5]
    other = door.post("/reward", **{**earned, "metrics": {"value": 3}})
    assert (other.status, other.json["field"]) == (400, "decision_id")
    assert "has a different reward" in other.json["detail"]


def test_a_reward_is_noise_of_the_trial_that_it_belongs_to(door: Door) -> None:
    """One hit of value 3, or a trial and a reward of 3: the same moments."""
    for _ in range(4):
        door.whale.count_decision("page", option="b", metrics={"value": 3})
        found = door.whale.decision("page", None, ["a"], visitor=f"v{_}")
        assert door.whale.reward(str(found.decision_id), {"value": 3})
    door.whale.flush()
    evidence = door.whale._decider().evidence(door.whale._asked("page", None, ["a", "b"]))
    assert evidence.sums[:, 0].tolist() == [[4, 12, 4, 36, 4, 12]] * 2


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "decision_id"),
        ({"decision_id": ""}, "decision_id"),
        ({"decision_id": "0-unknown", "metrics": {"value": 1}}, "decision_id"),
        ({"decision_id": 5, "metrics": {"value": 1}}, "decision_id"),
        ({"decision_id": ["x"], "metrics": {"value": 1}}, "decision_id"),
        ({"decision_id": "ID"}, "metrics"),
        ({"decision_id": "ID", "metrics": {}}, "metrics"),
        ({"decision_id": "ID", "metrics": {"hits": 3, "value": 1}}, "metrics"),
        ({"decision_id": "ID", "metrics": {"value": "x"}}, "metrics.value"),
        ({"decision_id": "ID", "metrics": {"value": 1e10}}, "metrics.value"),
        ({"decision_id": "ID", "metrics": {"__moments__": 1}}, "metrics.__moments__"),
        ({"decision_id": "ID", "metrics": {"value": 1}, "option": "b"}, "option"),
    ],
)
def test_rewards_that_cannot_be_counted_name_their_field(door: Door, fields: dict[str, Any], field: str) -> None:
    made = door.decide()["decision_id"]
    given_ = {name: made if value == "ID" else value for name, value in fields.items()}
    answer = door.post("/reward", **given_)
    assert (answer.status, answer.json.get("field")) == (400, field)
    assert door.post("/reward", decision_id=made, metrics={"value": 1}).json == {"counted": True}


def test_a_reward_after_the_decision_is_forgotten_is_refused() -> None:
    door = Door(decision_kept_s=50.0)
    made = door.decide()["decision_id"]
    door.now += 50
    answer = door.post("/reward", decision_id=made, metrics={"value": 1})
    assert (answer.status, answer.json["field"]) == (400, "decision_id")
    assert "misspelt or too old" in answer.json["detail"]


def test_a_reward_cut_off_before_it_was_counted_counts_when_it_comes_again(door: Door) -> None:
    made = str(door.whale.decision("page", None, ["a"], visitor="ann").decision_id)
    rewards = door.whale._decider()._rewards
    counts = rewards.apply

    def cut_off_after(message: Message) -> None:
        counts(message)
        raise Unavailable("away")

    def cut_off_before(message: Message) -> None:
        raise Unavailable("away")

    for cut_off in (cut_off_before, cut_off_after):
        rewards.apply = cut_off
        for id_ in (None, "order-1"):
            with pytest.raises(Unavailable):
                door.whale.reward(made, {"value": 2}, id_)
    rewards.apply = counts
    for id_ in (None, "order-1"):
        assert door.whale.reward(made, {"value": 2}, id_)
        assert not door.whale.reward(made, {"value": 2}, id_)
    assert door.totals("a", "value") == [4]


def test_rewards_with_ids_add_up(door: Door) -> None:
    decided = door.decide(visitor="ann", dimensions=US)
    about = {"decision_id": decided["decision_id"]}
    for id_, value in (("order-1", 10), ("order-2", 2.5), (3, -1)):
        for counted in (True, False):
            answer = door.post("/reward", **about, id=id_, metrics={"value": value})
            assert answer.json == {"counted": counted}
    assert door.totals(decided["option"], "hits", "value", dimensions=["country", "US"]) == [1, 11.5]
    other = door.post("/reward", **about, id="order-1", metrics={"value": 3})
    assert (other.status, other.json["field"]) == (400, "id")
    assert "belongs to another reward of this decision" in other.json["detail"]
    assert door.post("/reward", **about, metrics={"value": 1}).json == {"counted": True}
    other = door.post("/reward", **about, metrics={"value": 2})
    assert (other.status, other.json["field"]) == (400, "decision_id")
    assert door.totals(decided["option"], "value") == [12.5]


@pytest.mark.parametrize("forgotten", [["page"], ["page", "a"]])
def test_a_reward_does_not_count_where_its_trial_was_reset(door: Door, forgotten: list[str]) -> None:
    """Else options would have rewards without trials: from a reset on all would look better than they are."""
    early = str(door.whale.decision("page", None, ["a"], visitor="ann", dimensions=US).decision_id)
    assert door.whale.reward(early, {"value": 100}, 1)
    door.whale.flush()
    door.now += 1
    door.whale.reset(forgotten)
    door.now += 1
    assert door.post("/reward", decision_id=early, id=2, metrics={"value": 1}).json == {"counted": True}
    late = str(door.whale.decision("page", None, ["a"], visitor="bob", dimensions=US).decision_id)
    assert door.whale.reward(late, {"value": 5})
    door.whale.flush()
    evidence = door.whale._decider().evidence(door.whale._asked("page", None, ["a"], "value/hits", US))
    assert evidence.sums[0, 0].tolist() == [1, 5, 1, 25, 1, 5]
    assert evidence.sums[0, 1, :3].tolist() == [1, 5, 1]
    above = 5 if forgotten == ["page"] else 106
    assert door.whale.total("page", "value", period="today") == above
    assert [each for each in door.store.audit("default") if each.hits != each.total] == []


def test_rewards_with_ids_are_noise_of_one_trial(door: Door) -> None:
    """Two trials of 3 and -1, in parts or at once, and a reward of a decision that is no trial."""
    for i, parts in enumerate(([1, 1.5, 0.5], [-2, 1])):
        at_once = door.whale.decision("page", None, ["a"], visitor=f"v{i}")
        assert door.whale.reward(str(at_once.decision_id), {"value": sum(parts)})
        made = door.whale.decision("page", None, ["b"], visitor=f"w{i}")
        for number, part in enumerate(parts):
            assert door.whale.reward(str(made.decision_id), {"value": part}, number)
    for option, parts in (("a", [4]), ("b", [1, 3])):
        made = door.whale.decision("page", None, [option])
        for number, part in enumerate(parts):
            assert door.whale.reward(str(made.decision_id), {"value": part}, number)
    door.whale.flush()
    evidence = door.whale._decider().evidence(door.whale._asked("page", None, ["a", "b"]))
    assert evidence.sums[0].tolist() == evidence.sums[1].tolist()
    assert evidence.sums[0, 0, 1:4].tolist() == [6, 2, 26]


@law(200)
@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcdef"), st.integers(-(9 * 10**15), 9 * 10**15)), min_size=1, max_size=5
    ),
    st.sampled_from([0, 1]),
)
def test_parts_of_an_outcome_add_the_moments_of_their_sum(parts: list[dict[str, int]], own: int) -> None:
    known = Counter[str](moments(parts[0], own))
    before: dict[str, int] = {"hits": 0} if own else {}
    for number, part in enumerate(parts):
        if number:
            for bin_, amount in more_moments(part, before).items():
                known[bin_] += amount
        for name, amount in part.items():
            before[name] = before.get(name, 0) + amount
    assert {bin_: amount for bin_, amount in known.items() if amount} == moments(before, own)


def test_rewards_of_a_decision_are_bounded() -> None:
    door = Door(max_rewards=2, max_metrics_per_hit=3)
    made = door.decide()["decision_id"]

    def post(id_: Any, **metrics: Any) -> tuple[int, str, str]:
        answer = door.post("/reward", decision_id=made, id=id_, metrics=metrics)
        return answer.status, answer.json.get("field"), answer.json.get("detail", "")

    assert post("1", value=8e9)[0] == 200
    status, field, detail = post("2", value=2e9)
    assert (status, field) == (400, "metrics.value")
    assert "a total from -9.0e9 to 9.0e9" in detail
    status, field, detail = post("2", b=1, c=1)
    assert (status, field) == (400, "metrics")
    assert "the limit is 2 metrics" in detail
    assert post("2", value=1e9, b=1)[0] == 200
    assert post("1", value=8e9)[0] == 200
    status, field, detail = post("3", value=1)
    assert (status, field) == (400, "decision_id")
    assert "has 2 rewards, which is the limit (HAILWHALE_MAX_REWARDS)" in detail
    for bad in ("", "x" * 201, ["a"], {"a": 1}):
        answer = door.post("/reward", decision_id=made, id=bad, metrics={"value": 1})
        assert (answer.status, answer.json["field"]) == (400, "id")


# While the store is away


def test_while_the_store_is_away_the_default_is_answered(door: Door) -> None:
    door.store.is_away = True
    for more in ({}, {"visitor": "ann"}):
        assert door.decide(default="b", **more) == {
            "option": "b",
            "probability": None,
            "decision_id": None,
            "policy": "thompson-2",
            "reason": "default",
            "because": "the store is down, so this is the default",
            "evidence": [],
        }
    answer = door.get("/decide", pk="page", options=ABC)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    door.store.is_away = False
    assert door.decide(default="b")["reason"] == "default"
    door.now += AWAY_S
    assert door.decide(default="b")["reason"] == "chosen"


def test_the_store_is_asked_again_however_often_defaults_are_asked(door: Door) -> None:
    door.store.is_away = True
    assert door.decide(default="c")["reason"] == "default"
    door.store.is_away = False
    reasons = []
    for _ in range(6):
        door.now += AWAY_S / 4
        reasons.append(door.decide(default="c")["reason"])
    assert reasons == ["default"] * 3 + ["chosen"] * 3


def test_trials_that_came_before_the_store_was_away_are_counted_afterwards(door: Door) -> None:
    for visitor in ("ann", "bob"):
        door.whale.decision("page", None, ["a"], visitor=visitor)
    door.store.is_away = True
    with pytest.raises(Unavailable):
        door.whale.flush()
    door.whale._decider()
    door.store.is_away = False
    door.whale.decision("page", None, ["a"], visitor="cid")
    assert door.totals("a", "hits", DECIDED, EXPECTED) == [3, 3, 3]


def test_where_nothing_waits_the_thread_of_trials_ends_and_another_counts_what_comes_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("whale.decide.trials.PAUSE_S", 0.01)
    monkeypatch.setattr("whale.decide.trials.IDLE_S", 0.05)
    counted: list[Message] = []
    trials = Trials(counted.append, load({}), lambda: NOW)
    for times in (1, 2):
        trials.add("default", ("p",), "a", {}, NOW, {"a": 1.0}, False, None)
        wait_until(lambda: trials._thread is None, what="the end of the thread")
        assert sum(hit.metrics.get(DECIDED, 0) for message in counted for hit in message.hits) == times * MILLION


def test_trials_that_wait_are_bounded_and_told(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[Message] = []
    trials = Trials(counted.append, load({}), lambda: NOW)
    trials._thread = object()  # nothing in the background
    with caplog.at_level(logging.ERROR):
        for _ in range(MOST + 5):
            trials.add("default", ("p",), "a", {}, NOW, {"a": 1.0}, False, None)
        trials.flush()
    hits = [hit for message in counted for hit in message.hits]
    assert sum(hit.metrics.get(DECIDED, 0) for hit in hits) == MOST * MILLION
    assert sum(hit.metrics.get(EXPECTED, 0) for hit in hits) == MOST * MILLION
    assert "5 decisions are not counted" in caplog.text


def test_trials_that_wait_are_bounded_in_bytes_and_there_is_room_again_once_they_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted: list[Message] = []
    trials = Trials(counted.append, load({"HAILWHALE_TRIALS_MAX_MB": "0.1"}), lambda: NOW)
    trials._thread = object()  # nothing in the background
    tree = {f"d{i}": {"v": {}} for i in range(20)}

    def counted_of(decisions: int) -> int:
        counted.clear()
        for _ in range(decisions):
            trials.add("default", ("p",), "a", tree, NOW, {"a": 1.0}, False, None)
        assert trials._room.held <= 100_000 + 25_000  # the last one comes in whole
        trials.flush()
        assert trials._room.held == 0
        return sum(hit.metrics.get(DECIDED, 0) for message in counted for hit in message.hits) // MILLION

    with caplog.at_level(logging.ERROR):
        first = counted_of(50)
    assert 0 < first < 10
    assert f"{50 - first} decisions are not counted" in caplog.text
    assert counted_of(2) == 2


# What cannot be asked


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"options": ""}, "options"),
        ({"options": []}, "options"),
        ({"options": ["a", "b", "a"]}, "options"),
        ({"options": [1, "1"]}, "options"),
        ({"options": [f"o{i}" for i in range(10_000)]}, "options"),
        ({"options": {"a": 1}}, "options"),
        ({"options": ["a", ""]}, "options"),
        ({"options": ["a", ["b"]]}, "options"),
        ({"options": ["a", None]}, "options"),
        ({"options": ["a", "x" * 201]}, "options"),
        ({"options": "[a"}, "options"),
        ({"pk": ""}, "pk"),
        ({"pk": ["p"] * 9}, "pk"),
        ({"default": "z"}, "default"),
        ({"policy": "best"}, "policy"),
        ({"goal": "most"}, "goal"),
        ({"by_metric": "a/b/c"}, "by_metric"),
        ({"by_metric": "a-b"}, "by_metric"),
        ({"by_metric": "/b"}, "by_metric"),
        ({"by_metric": "a/2"}, "by_metric"),
        ({"by_metric": "a:sum/b"}, "by_metric"),
        ({"by_metric": "value/days"}, "by_metric"),
        ({"period": "sometimes"}, "period"),
        ({"period": "1s:1h"}, "period"),
        ({"dimensions": [[f"d{i}", "x"] for i in range(40)]}, "dimensions"),
        ({"dimensions": "{'a'"}, "dimensions"),
        ({"visitor": "v" * 201}, "visitor"),
        ({"trial": "perhaps"}, "trial"),
        ({"optoins": "a"}, "optoins"),
        *(
            ({name: value}, name)
            for name in ("exploration", "floor", "epsilon", "bad_idea_threshold", "test_idea_threshold")
            for value in ("-0.1", "1.5", "nan", "inf", "much")
        ),
        ({"min_trials": "-1"}, "min_trials"),
        ({"min_trials": "inf"}, "min_trials"),
    ],
)
def test_what_cannot_be_decided_names_its_field(door: Door, parameters: dict[str, Any], field: str) -> None:
    answer = door.get("/decide", **{"pk": "page", "options": ABC, **parameters})
    assert (answer.status, answer.json.get("field")) == (400, field), answer.text


@pytest.mark.parametrize("spent", [0, -1, -0.000001])
def test_a_denominator_that_is_not_above_zero_says_nothing(door: Door, spent: float) -> None:
    door.whale.count_decision("page", option="a", metrics={"earned": 5, "spent": spent})
    door.whale.count_decision("page", option="b", metrics={"earned": 5, "spent": 5})
    rows = door.decide(by_metric="earned/spent")["evidence"]
    assert {row["option"]: row["rate"] for row in rows} == {"a": None, "b": 1.0, "c": None}


def test_options_are_judged_by_sums(door: Door) -> None:
    door.whale.count_decision("page", option="a", metrics={"people": {"unique": "ann"}, "value": 1})
    with pytest.raises(FormulaError, match="people is of kind distinct"):
        door.whale.decide("page", None, ABC, "value/people")


@pytest.mark.parametrize(
    ("call_", "field"),
    [
        (lambda whale: whale.decide("p", "d", None), "options"),
        (lambda whale: whale.decide("p", "d", "abc"), "options"),
        (lambda whale: whale.decide("p", options={}), "options"),
        (lambda whale: whale.decide("p", "d", ABC, exploration="x"), "exploration"),
        (lambda whale: whale.decide("p", "d", ABC, cleverness=1), "cleverness"),
        (lambda whale: whale.count_decision("p", "EN"), "decided"),
        (lambda whale: whale.count_decision("p", {}), "decided"),
        (lambda whale: whale.decide_from_reasons({}, {}, {}), "options"),
        (lambda whale: whale.decide_from_reasons({"a": {}}, {}, {}, 2), "bad_idea_threshold"),
    ],
)
def test_the_library_names_the_argument_at_fault(door: Door, call_: Any, field: str) -> None:
    with pytest.raises(CallerError) as caught:
        call_(door.whale)
    assert caught.value.field == field


# Reasons


def test_reasons_have_the_form_of_the_first_hailwhales(door: Door) -> None:
    for option, dollars in (("a", 5000), ("b", 0)):
        door.whale.count_decided_now("shop", "page", option, US, {"dollars": dollars, "visitors": 1000})
    good, bad, test = door.whale.weighted_reasons("shop", "page", ["a", "b"], "dollars/visitors")
    assert test == {}
    assert good["a"] == {
        "good": "_",
        "bad": None,
        "base": 5.0,
        "parent": 2.5,
        "high": 2500.0,
        "high_sig": 781.25,
        "low": 0.0,
        "low_sig": 0.0,
        "weight": 1.0,
    }
    assert (bad["b"]["bad"], bad["b"]["low"]) == ("_", -2500.0)
    assert door.whale.reasons_for("shop", "page", "a", "dollars/visitors") == good["a"]
    assert door.whale.decide_from_reasons(good, bad, {}, 0, 0) == "a"
    chosen = Counter(door.whale.decide_from_reasons(good, bad, {}, 0.5, 0) for _ in range(400))
    assert 0.4 < chosen["b"] / 400 < 0.6


# Keys and doors


def test_deciding_asks_for_the_read_key_and_counting_for_the_write_key() -> None:
    door = Door(write_key="w", read_key="r", admin_key="a")
    expected = {"/decide": "r", "/count_decision": "w"}
    for path, key in expected.items():
        for given_ in ("w", "r"):
            answer = door.get(path, pk="page", options=ABC, key=given_) if path == "/decide" else None
            answer = answer or door.get(path, pk="page", option="a", key=given_)
            assert answer.status == (200 if given_ == key else 401)
    for given_, status in (("r", 401), ("w", 400)):
        answer = call(door.app, "POST", "/reward", {"key": given_}, b'{"decision_id": "0-x", "metrics": {"v": 1}}')
        assert answer.status == status


def test_heads_and_preflights_decide_nothing(door: Door) -> None:
    for path in ("/decide", "/count_decision", "/reward"):
        for method, status in (("HEAD", 200), ("OPTIONS", 204)):
            answer = call(door.app, method, path, {"pk": "page", "options": '["a"]', "option": "a"})
            assert answer.status == status
    assert door.totals("a", "hits", DECIDED) == [0, 0]


@pytest.mark.parametrize("written", ["a,b", "a, b", "red,green blue,ü"])
def test_options_with_commas_between_them_are_refused_with_the_list_that_is_meant(door: Door, written: str) -> None:
    """They were one option, which everybody got."""
    meant = [each.strip() for each in written.split(",")]
    answer = door.get("/decide", pk="page", options=written)
    assert (answer.status, answer.json["field"]) == (400, "options")
    assert answer.json["detail"] == (
        f"options: expected a list such as {json.dumps(meant, ensure_ascii=False)}, got {written!a}"
    )
    assert door.get("/decide", pk="page", options=json.dumps(meant)).json["option"] in meant


def test_one_option_and_options_whose_names_have_commas_are_read_as_before(door: Door) -> None:
    assert door.get("/decide", pk="page", options="a").json["option"] == "a"
    assert door.get("/decide", pk="page", options='["a,b"]').json["option"] == "a,b"


def test_a_metric_that_was_never_counted_is_named_beside_the_decision(door: Door) -> None:
    def said(**more: Any) -> str | None:
        answer = door.get("/decide", pk="page", options=ABC, **more)
        assert answer.status == 200, answer.text
        found = answer.headers.get("X-Whale-Unknown")
        return unquote(found) if found else None

    assert said() is None  # nobody named `value`
    assert said(by_metric="revenue") is None  # nothing is known of the decision
    door.whale.count_decision("page", option="a", metrics={"revenue": 5, "visitors": 1})
    assert said(by_metric="revenu") == "metric=revenu;near=revenue"
    assert said(by_metric="revenu/visitor") == "metric=revenu;near=revenue, metric=visitor;near=visitors"
    assert said(by_metric="revenue/visitors") is None
    assert said(by_metric="revenue") is None
    assert said() is None
