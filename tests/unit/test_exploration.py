"""How a policy explores stands in one table: whatever speaks of it has these names, defaults and limits."""

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from hail.openapi import schema_of
from whale.decide import exploration
from whale.decide.definition import LEARNS, SPLIT, DecisionGiven, Rule
from whale.decide.exploration import PARAMETERS, Parameter
from whale.decide.policy import VERSIONS, Policy
from whale.errors import CallerError
from whale.routes import openapi
from whale.routes.asked import DecideAsked

NAMES = [parameter.name for parameter in PARAMETERS]
DOCUMENT = openapi.document()


def test_the_table_is_written_out() -> None:
    assert {parameter.name: (parameter.default, parameter.most, parameter.of) for parameter in PARAMETERS} == {
        "exploration": (0.5, 1, ("thompson",)),
        "floor": (0.005, 1, ("thompson",)),
        "epsilon": (0.1, 1, ("epsilon",)),
        "min_trials": (0, None, ("thompson", "epsilon")),
        "bad_idea_threshold": (0.05, 1, ("seed",)),
        "test_idea_threshold": (0.05, 1, ("seed",)),
    }


def test_a_policy_a_definition_and_a_query_have_just_these_fields_and_defaults() -> None:
    assert sorted(Policy.__dataclass_fields__) == sorted(["name", "goal", *NAMES])
    own = {each.name for each in vars(exploration).values() if isinstance(each, Parameter)}
    assert own == set(NAMES)
    for kind in (DecisionGiven, DecideAsked):
        assert [field.name for field in msgspec.structs.fields(kind) if field.name in NAMES] == NAMES
    defaults = {each.name: each.default for each in PARAMETERS}
    assert {name: getattr(Policy(), name) for name in NAMES} == defaults
    assert {each.name: each.default for each in msgspec.structs.fields(DecideAsked) if each.name in NAMES} == defaults


def test_the_policies_that_learn_are_those_of_the_table() -> None:
    learn = list(dict.fromkeys(policy for parameter in PARAMETERS for policy in parameter.of))
    assert learn == list(VERSIONS) == [rule for rule in get_args(Rule) if rule != SPLIT]
    assert re.findall(r"\w+", LEARNS.rpartition(": ")[2].replace(" or ", ", ")) == learn


@pytest.mark.parametrize("parameter", PARAMETERS, ids=NAMES)
def test_openapi_shows_limits_and_meanings_of_the_table(parameter: Parameter) -> None:
    limits: dict[str, Any] = {"minimum": 0} | ({} if parameter.most is None else {"maximum": parameter.most})
    (query,) = (each for each in DOCUMENT["paths"]["/decide"]["get"]["parameters"] if each["name"] == parameter.name)
    assert query["schema"] == {"type": "number", **limits}
    assert query["description"] == parameter.described.description
    given = schema_of(DecisionGiven)["properties"][parameter.name]
    assert given == {"type": "number", "description": parameter.described.description, **limits}


@pytest.mark.parametrize("parameter", PARAMETERS, ids=NAMES)
def test_a_value_beyond_the_limits_is_refused_by_name(parameter: Parameter) -> None:
    beyond = [-0.001, float("nan"), float("inf"), *([] if parameter.most is None else [parameter.most + 0.001])]
    for value in beyond:
        with pytest.raises(CallerError, match=f"expected a number {parameter.unit}, got {value}") as refused:
            Policy(**{parameter.name: value})
        assert refused.value.field == parameter.name
    for value in (0, parameter.default, 1 if parameter.most is None else parameter.most):
        assert getattr(Policy(**{parameter.name: value}), parameter.name) == value


def test_the_documentation_has_the_defaults_of_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs/http/questions.md").read_text()
    told: dict[str, str] = {}
    for row in re.findall(r"^\| (`.+?) \| (?:[^|]*) \| ([\d.; ]+) \|$", page, re.MULTILINE):
        names, defaults = re.findall(r"`(\w+)`", row[0]), row[1].split("; ")
        told |= dict(zip(names, defaults * len(names) if len(defaults) == 1 else defaults, strict=True))
    assert {name: told[name] for name in NAMES} == {each.name: f"{each.default:g}" for each in PARAMETERS}
