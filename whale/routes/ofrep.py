"""Managed decisions as feature flags: the OpenFeature Remote Evaluation Protocol, 0.3. Bodies in, bodies out.

    {"context": {"targetingKey": visitor, country: ...}} ──> {key, value, variant, reason, metadata}

A flag is a decision that is defined, its variants are the options. The targeting key is the visitor, other attributes are what is
known of him, as the dimensions of a hit; those that are empty are left out. An option whose value is null leaves the value out: the
program's own default then holds. Each evaluation is a decision, and its id is in the metadata.
Source: github.com/open-feature/protocol, service/openapi.yaml.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from hail.body import json_of, kind_of
from hail.hit import HitError, Reason, name_of
from hail.settings import Settings
from whale.decide.definition import Definition
from whale.decide.managed import Answer, Managed
from whale.errors import CallerError, FormulaError

KEY = "targetingKey"
Code = Literal["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "FLAG_NOT_FOUND", "GENERAL"]


class Evaluated(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An evaluated flag. reason: STATIC, SPLIT, TARGETING_MATCH, DISABLED or DEFAULT."""

    key: str
    reason: str
    variant: str
    value: Any | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, bool | str | float]


class Refusal(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A flag that was not evaluated, and the reason. key: the flag, if the request named one."""

    key: str | msgspec.UnsetType = msgspec.UNSET
    errorCode: Code
    errorDetails: str


class Flags(msgspec.Struct, kw_only=True):
    """Every flag: an Evaluated, or a Refusal."""

    flags: list[Any]


class Refused(Exception):
    """Ends an evaluation. status: of HTTP."""

    def __init__(self, status: int, code: Code, details: str):
        super().__init__(details)
        self.status, self.code = status, code

    def said(self, key: str | None = None) -> Refusal:
        return Refusal(key=msgspec.UNSET if key is None else key, errorCode=self.code, errorDetails=str(self))


class Request(msgspec.Struct):
    """What is evaluated for whom. visitor: None where nobody is named."""

    visitor: str | None
    context: dict[str, Any]


def request_of(body: bytes, settings: Settings) -> Request:
    """Raises Refused."""
    try:
        given = json_of(body) if body else {}
    except HitError as error:
        raise Refused(400, "PARSE_ERROR", str(error).removeprefix("body: ")) from None
    if not isinstance(given, dict):
        raise Refused(400, "PARSE_ERROR", f"expected an object with a context, got {kind_of(given)}")
    context = given.get("context")
    context = {} if context is None else context
    if not isinstance(context, dict):
        raise Refused(400, "INVALID_CONTEXT", f"context: expected an object, got {kind_of(context)}")
    key = context.get(KEY)
    if key is not None and not isinstance(key, str):
        raise Refused(400, "INVALID_CONTEXT", f"{KEY}: expected text, got {kind_of(key)}")
    try:
        visitor = name_of(key, KEY, settings, Reason.BAD_ID) if key else None
    except HitError as error:
        raise Refused(400, "INVALID_CONTEXT", str(error)) from None
    return Request(visitor, {name: value for name, value in context.items() if name != KEY and not _is_empty(value)})


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}


def evaluate(managed: Managed, key: str, asked: Request, public: bool = False) -> Evaluated:
    """One flag; raises Refused, Unavailable. public: no other than those that pages may ask for."""
    definition = managed.public(key) if public else managed.find(key)
    if definition is None:
        raise Refused(404, "FLAG_NOT_FOUND", f"no decision {ascii(key)[:60]} is defined")
    if _needs_visitor(definition, asked):
        raise _nobody()
    return _evaluated(managed, [definition], asked)[0]


def evaluate_all(managed: Managed, asked: Request, public: bool = False) -> Flags:
    """All flags, in as many round trips as one; raises Refused where the context fits none of them, Unavailable."""
    definitions = [each for each in managed.running() if each.public or not public]
    refusals = {each.name: _nobody().said(each.name) for each in definitions if _needs_visitor(each, asked)}
    waiting = [each for each in definitions if each.name not in refusals]
    try:
        found: list[Evaluated | Refusal] = [*_evaluated(managed, waiting, asked)]
    except Refused as refused:
        found = [_alone(managed, each, asked) for each in waiting]
        if all(isinstance(each, Refusal) and each.errorCode == "INVALID_CONTEXT" for each in found):
            raise refused from None
    evaluated = iter(found)
    return Flags(flags=[refusals.get(each.name) or next(evaluated) for each in definitions])


def _alone(managed: Managed, definition: Definition, asked: Request) -> Evaluated | Refusal:
    try:
        return _evaluated(managed, [definition], asked)[0]
    except Refused as refused:
        return refused.said(definition.name)


def _needs_visitor(definition: Definition, asked: Request) -> bool:
    return asked.visitor is None and definition.state == "running"


def _nobody() -> Refused:
    return Refused(400, "TARGETING_KEY_MISSING", f"expected a {KEY} in the context: who is this decided for?")


def _evaluated(managed: Managed, definitions: Sequence[Definition], asked: Request) -> list[Evaluated]:
    try:
        answers = managed.decide_each(definitions, asked.visitor, asked.context)
    except FormulaError as error:  # what options are judged by turned out to be no sum: no fault of who asks
        raise Refused(400, "GENERAL", str(error)) from None
    except (CallerError, HitError) as error:
        raise Refused(400, "INVALID_CONTEXT", str(error)) from None
    return list(map(_said, answers))


def _said(answer: Answer) -> Evaluated:
    return Evaluated(
        key=answer.definition.name,
        reason=_reason(answer),
        variant=answer.decision.option,
        value=msgspec.UNSET if answer.value is None else answer.value,
        metadata=_metadata(answer),
    )


def _reason(answer: Answer) -> str:
    if answer.why == "policy":
        return "TARGETING_MATCH" if answer.has_context else "SPLIT"
    reasons: Mapping[str, str] = {"winner": "STATIC", "paused": "DISABLED", "default": "DEFAULT"}
    return reasons.get(answer.why, "SPLIT")


def _metadata(answer: Answer) -> dict[str, bool | str | float]:
    found: dict[str, bool | str | float] = {"phase": answer.definition.phase.number, "why": answer.why}
    if answer.decision.decision_id is not None:
        found["decision_id"] = answer.decision.decision_id
    if answer.decision.probability is not None:
        found["probability"] = answer.decision.probability
    return found
