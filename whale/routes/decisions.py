"""Routes of decisions: which option to show and what it earned, decisions that are defined by name, and these as feature flags."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import bottle
import msgspec

from hail.hit import DECIDED_FIELDS, HitError, lenient
from whale.answer.unknown import Unknowns, unknown_header
from whale.decide.decider import Decision
from whale.decide.exploration import PARAMETERS
from whale.decide.outcomes import ratio_of
from whale.decide.policy import Row
from whale.dimension import path_text, pk_asked
from whale.errors import CallerError, NotAllowed, NotFound, PathError, Unavailable
from whale.routes import ofrep
from whale.routes.asked import DecideAsked, Decided, DecisionAsked, DecisionsAsked, Evidence, OutcomesAsked
from whale.routes.door import OfCaller, problem_of
from whale.routes.parameters import object_of, typed
from whale.routes.responses import EXPOSED, REFUSED, Problem, json_answer, text_answer, unavailable

MOST_EVIDENCE = 500
DECIDE_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(DecideAsked)}
FLAGS = "/ofrep/v1/evaluate/flags"


class DecisionRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        door = self._door
        door.add(app, "/decide", ["GET", "POST"], self.decide, DecideAsked)
        door.add(app, "/count_decision", ["GET", "POST"], self.count_decision)
        door.add(app, "/reward", ["POST"], self.reward)
        for rule in ("/decide", "/count_decision", "/reward"):
            door.add_options_and_head(app, rule)
        door.add(app, "/outcomes", ["GET", "POST"], self.outcomes, OutcomesAsked)
        door.add(app, "/decisions", ["GET"], self.decisions, DecisionsAsked)
        door.add(app, "/decisions/<name:path>", ["GET"], self.decision_named, DecisionAsked)
        door.add(app, "/decisions/<name:path>", ["POST"], self.define)
        door.add(app, FLAGS, ["POST"], self.evaluate)
        door.add(app, f"{FLAGS}/<key:path>", ["POST"], self.evaluate)
        for rule in ("/outcomes", "/decisions", "/decisions/<name:path>", FLAGS, f"{FLAGS}/<key:path>"):
            door.add_options(app, rule)

    # which option, and what it earned

    def decide(self, asked: DecideAsked) -> Any:
        if self._door.is_page:
            self._check_public(asked)
        if not asked.options:
            return self._decide_defined(asked)
        context, by = typed("dimensions", asked.dimensions or asked.dimension), asked.by_metric or "value/hits"
        options = lenient("options", asked.options)
        if isinstance(options, str) and "," in options:
            meant = json.dumps([each.strip() for each in options.split(",")], ensure_ascii=False)[:200]
            raise CallerError(f"expected a list such as {meant}, got {ascii(options)[:60]}", "options")
        found = self._whale.decision(
            lenient("pk", asked.pk),
            asked.decision or None,
            [options] if isinstance(options, str) else options,
            by,
            context,
            asked.period or None,
            visitor=asked.visitor or None,
            default=asked.default or None,
            trial=asked.trial,
            half_life=asked.half_life or None,
            policy=asked.policy,
            goal=asked.goal,
            **{parameter.name: getattr(asked, parameter.name) for parameter in PARAMETERS},
        )
        headers = self._unknown(lenient("pk", asked.pk), asked.decision, by) if found.reason == "chosen" else {}
        return _decided(found, _because(found.reason, by, found.evidence), headers=headers)

    def _unknown(self, pk_base: Any, decision: str, by: str) -> dict[str, str]:
        """Which metrics of `by_metric` were never counted; of one that nobody named nothing is said."""
        if by == DECIDE_DEFAULTS["by_metric"]:
            return {}
        ratio, above = ratio_of(by, "by_metric"), pk_asked(pk_base)
        pk = (*above, decision) if decision else above
        with suppress(Unavailable):  # it is decided
            rows = self._whale.asking.unknown(pk, metrics=[ratio.reward, ratio.base])
            return unknown_header(Unknowns([row for row in rows if row.kind == "metric"]))
        return {}

    def _check_public(self, asked: DecideAsked) -> None:
        """Of a browser key. Raises NotAllowed of a decision with options; NotFound where it is not public, or not there."""
        if asked.options:
            raise NotAllowed("a browser key opens public decisions alone, without options")
        managed = self._door.whale_of_account.managed
        name = managed.named(lenient("pk", asked.pk))
        if managed.public(name) is None:
            raise NotFound(f"no public decision {ascii(name)[:60]} is defined", "pk")
        self._door.clear()

    def _decide_defined(self, asked: DecideAsked) -> Any:
        for name in DecideAsked.__struct_fields__:
            given = getattr(asked, name)
            if name not in ("pk", "dimensions", "dimension", "visitor") and given != DECIDE_DEFAULTS[name]:
                raise CallerError("requires options; for a managed decision set it in the definition", name)
        name = lenient("pk", asked.pk)
        context = typed("dimensions", asked.dimensions or asked.dimension)
        try:
            found = self._whale.choose(name, asked.visitor or None, context)
        except NotFound:
            managed = self._whale.managed
            said = managed.unknown(managed.named(name))
            hint = "" if said.endswith("?") else "; expected at least one option, or a managed decision as pk"
            raise PathError(f"{said}{hint}", "options") from None
        made = found.decision
        if self._door.is_page:  # no numbers for all the world
            because = "the policy chose this option" if found.why == "policy" and made.reason == "chosen" else ""
            because = because or _because_defined(found.why, made, "")
            return _decided(replace(made, evidence=()), because, found.value)
        return _decided(made, _because_defined(found.why, made, found.definition.by_metric), found.value)

    def count_decision(self) -> Any:
        given = self._door.given(*DECIDED_FIELDS)
        with self._whale.refusals.kept(given):
            self._whale.count_outcome(given)
        return text_answer("OK", headers=EXPOSED)

    def reward(self) -> Any:
        given = self._door.given("decision_id")
        for field in sorted(given.keys() - {"decision_id", "metrics", "metric", "id"}):
            raise CallerError("is not a field here: expected decision_id, metrics, id", ascii(field)[1:-1])
        if not given.get("decision_id"):
            raise CallerError("expected the decision_id of an answer of /decide, got nothing", "decision_id")
        self._check_reward(str(given["decision_id"]))
        return json_answer({"counted": self._whale.reward(**given)})

    def _check_reward(self, decision_id: str) -> None:
        """Of a limited key. Raises CallerError of a decision that is not there; of a browser key also of one that is not public."""
        door = self._door
        if door.is_page:
            door.whale_of_account.managed.check_public(decision_id)
            door.clear()
        elif door.caller.site is not None:
            door.check_pk(door.whale_of_account.managed.pk_of(decision_id))

    def outcomes(self, asked: OutcomesAsked) -> Any:
        path = typed("dimensions", asked.dimensions or asked.dimension)
        more = asked.period or None, path, asked.baseline or None, asked.limit
        report = self._whale.outcomes(
            lenient("pk", asked.pk), asked.decision or None, asked.by_metric, asked.goal, *more
        )
        return json_answer(report, headers={"X-Whale-More": str(report.more_segments)} if report.more_segments else {})

    # definitions

    def decisions(self, asked: DecisionsAsked) -> Any:
        return json_answer(self._whale.decisions(asked.archived))

    def decision_named(self, asked: DecisionAsked, name: str) -> Any:
        path = typed("dimensions", asked.dimensions or asked.dimension)
        report = self._whale.decision_report(name, asked.phase, path, asked.baseline or None, asked.limit)
        more = report.report.more_segments
        return json_answer(report, headers={"X-Whale-More": str(more)} if more else {})

    def define(self, name: str) -> Any:
        fields = object_of(self._door.body(), "a definition")
        return json_answer(self._whale.define_decision(name, **fields))

    # flags

    def evaluate(self, key: str | None = None) -> Any:
        """One flag, or all; what is refused has the body that the protocol says."""
        try:
            asked = ofrep.request_of(self._door.body(), self._door.settings)
            if public := self._door.is_page:
                self._door.clear()
            managed = self._whale.managed
            if key is not None:
                return json_answer(ofrep.evaluate(managed, key, asked, public), headers={"Cache-Control": "no-store"})
            found = msgspec.json.encode(ofrep.evaluate_all(managed, asked, public))
            tag = f'"{hashlib.blake2b(found, digest_size=12).hexdigest()}"'
            return json_answer(msgspec.Raw(found), headers={"ETag": tag})
        except (Problem, HitError) as error:
            refused = ofrep.Refused(problem_of(error).status, "PARSE_ERROR", str(error))
        except Unavailable as error:
            refused = ofrep.Refused(503, "GENERAL", str(unavailable(error)))
        except ofrep.Refused as error:
            refused = error
        REFUSED.labels(refused.code).inc()
        return json_answer(refused.said(key), refused.status, {"Retry-After": "1"} if refused.status == 503 else {})


def _decided(made: Decision, because: str, value: Any = msgspec.UNSET, headers: Mapping[str, str] | None = None) -> Any:
    answer = Decided(
        option=made.option,
        probability=made.probability,
        decision_id=made.decision_id,
        policy=made.policy,
        reason=made.reason,
        because=because,
        evidence=[_evidence(row) for row in made.evidence[:MOST_EVIDENCE]],
        value=value,
    )
    return json_answer(answer, headers={"Cache-Control": "no-store", **(headers or {})})


def _evidence(row: Row) -> Evidence:
    interval = None if row.rate is None else [row.low, row.high]
    return Evidence(
        option=row.option,
        dimension=path_text(row.node),
        n=row.trials,
        rate=row.rate,
        interval=interval,
        weight=row.weight,
    )


def _because(reason: str, by: str, rows: Sequence[Row]) -> str:
    """One sentence for people. rows: those of the chosen option first."""
    if reason == "sticky":
        return "the visitor got this option before"
    if reason == "default":
        return "the store is down, so this is the default"
    known = [row for row in rows if row.option == rows[0].option and row.rate is not None]
    if not known:
        return f"{rows[0].option} has no data yet"
    return f"{by} of {rows[0].option}: {'; '.join(map(_said, known[:5]))}"


def _because_defined(why: str, made: Decision, by: str) -> str:
    said = {
        "winner": "this is the winner, and everyone gets it",
        "paused": "the decision is paused, and everyone gets the default",
        "held out": "the visitor is held out, and gets the default",
        "split": "a fixed split assigns the visitor to this option",
    }
    return said.get(why) or _because(made.reason, by, made.evidence)


def _said(row: Row) -> str:
    where = path_text(row.node) if row.node else "overall"
    low, high = ("?" if end is None else f"{end:.4g}" for end in (row.low, row.high))
    return f"{where} {row.rate:.4g} ({low} to {high}) in {row.trials:,.0f} {'trial' if f'{row.trials:,.0f}' == '1' else 'trials'}"
