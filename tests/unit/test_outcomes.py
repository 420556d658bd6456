"""The report of a decision that nobody defined: its options are the pks below it."""

from typing import Any

import pytest

from tests.unit.test_whale_web import SHARED, Door


@pytest.fixture
def door() -> Door:
    door = Door()
    for option, country, trials, earned in (
        ("a", "US", 300, 15),
        ("b", "US", 300, 90),
        ("a", "DE", 50, 5),
        ("b", "DE", 40, 4),
    ):
        given = {"pk": "button", "option": option, "dimensions": {"country": country}}
        for i in range(trials):
            door.whale.count_outcome({**given, "metrics": {"earned": int(i < earned)}})
    return door


def test_options_are_reported_with_how_sure_it_is_and_whether_to_stop(door: Door) -> None:
    answer = door.get("/outcomes", pk="button", by_metric="earned")
    found = answer.json
    assert [(each["option"], each["trials"], each["reward"]) for each in found["options"]] == [
        ("a", 350, 20),
        ("b", 340, 94),
    ]
    assert [each["state"] for each in found["options"]] == ["beaten", "best"]
    assert found["options"][1]["probability_best"] > 0.999
    assert found["options"][0]["expected_loss"] == pytest.approx(94 / 340 - 20 / 350, rel=0.05)
    assert (found["stop"]["may_stop"], found["stop"]["option"], found["baseline"]) == (True, "b", "a")
    assert (found["segments"], found["held_out"], found["decisions"]) == ([], None, 0)
    assert "X-Whale-More" not in answer.headers
    worse = door.get("/outcomes", pk="button", by_metric="earned/hits", goal="min").json
    assert worse["stop"]["option"] == "a"
    assert door.get("/outcomes", pk="button", by_metric="earned").body == answer.body


def test_a_context_is_reported_by_itself(door: Door) -> None:
    answer = door.get("/outcomes", pk="button", by_metric="earned", dimensions="country", limit=1, baseline="b")
    (segment,) = answer.json["segments"]
    assert segment["dimension"] == '["country", "US"]'
    assert [(each["option"], each["trials"], each["reward"]) for each in segment["options"]] == [
        ("a", 300, 15),
        ("b", 300, 90),
    ]
    assert (answer.json["baseline"], answer.headers["X-Whale-More"]) == ("b", "1")


def test_a_decision_of_a_subject_and_its_trials_are_reported() -> None:
    door = Door()
    for visitor in range(40):
        decision = door.whale.decision(["Book", "5"], "language", ["en", "sp"], visitor=f"v{visitor}")
        if decision.option == "en":
            door.whale.reward(decision.decision_id, {"value": 1})
    door.whale.flush()
    found = door.get("/outcomes", pk='["Book", "5"]', decision="language").json
    rows = {each["option"]: each for each in found["options"]}
    assert found["decisions"] == sum(each["shown"] for each in rows.values()) == 40
    assert rows["en"]["rate"] == 1
    assert found == door.get("/outcomes", pk='["Book", "5", "language"]').json


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ({}, 400, "pk"),
        ({"pk": "nobody"}, 404, "pk"),
        ({"pk": "button", "decision": "colour"}, 404, "pk"),
        ({"pk": "button", "goal": "most"}, 400, "goal"),
        ({"pk": "button", "by_metric": "a*b"}, 400, "by_metric"),
        ({"pk": "button", "by_metric": "a/"}, 400, "by_metric"),
        ({"pk": "button", "period": "soon"}, 400, "period"),
        ({"pk": "button", "baseline": "z"}, 400, "baseline"),
        ({"pk": "button", "limit": "0"}, 400, "limit"),
        ({"pk": "button", "limit": "1e9"}, 400, "limit"),
        ({"pk": "button", "dimensions": '[["a"],["b"]]'}, 400, "dimensions"),
        ({"pk": "button", "option": "a"}, 400, "option"),
    ],
    ids=str,
)
def test_a_wrong_question_about_outcomes_is_told_its_parameter(asked: dict[str, Any], status: int, field: str) -> None:
    SHARED.count(["button", "a"])
    answer = SHARED.get("/outcomes", **asked)
    assert (answer.status, answer.json["field"]) == (status, field), answer.text


def test_more_options_than_a_report_can_have_are_refused() -> None:
    door = Door()
    for i in range(201):
        door.count(["many", f"o{i}"])
    answer = door.get("/outcomes", pk="many")
    assert (answer.status, answer.json["field"]) == (400, "options")
