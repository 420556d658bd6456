"""Decisions in the library; a part of Whale, see client.py."""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from hail.hit import Reason, is_text, name_of, parse_decided, parse_hit
from hail.settings import DAY
from whale.answer.asking import Period, period_text
from whale.count.direct import Direct
from whale.decide import reasons
from whale.decide.decider import Asked, Decider, Decision
from whale.decide.definition import Reporting, Shown, decision_shown, phase_shown, pk_of
from whale.decide.exploration import BAD_IDEA, TEST_IDEA
from whale.decide.managed import Answer, Managed
from whale.decide.outcomes import check_options, half_life_of, ratio_of
from whale.decide.policy import Policy
from whale.decide.report import MOST_SEGMENTS, SEGMENTS, Report, Reported, largest_segments, most_shown, report
from whale.decide.trials import Trials
from whale.dimension import Path, Pk, path_text, pk_asked, pk_text
from whale.errors import CallerError, NotFound
from whale.library.arguments import hit_given, on_default, one
from whale.library.counting import Counting
from whale.period import Span, parse_period
from whale.plain import plain

FEW_DAYS = 62  # of a phase, so that a report reads few buckets
Reasons = dict[Any, dict[str, Any]]


class Deciding(Counting):
    """Counting and decisions: the outcomes of options, and the option that a visitor should see."""

    random: np.random.Generator
    managed: Managed

    # decisions

    @on_default
    def count_decision(
        self,
        /,
        pk: Any,
        decided: Any = None,
        metrics: Any = None,
        dimensions: Any = None,
        at: Any = None,
        *,
        option: Any = None,
        decision: Any = None,
        dimension: Any = None,
        metric: Any = None,
        **more: Any,
    ) -> None:
        """Counts the outcome of a decision, at once: a hit of the pk [*pk, decision, option], with its moments.

        decided: {decision: option}; each pair counts. Or option, of one decision or of the pk itself.
        """
        given = hit_given(pk, one(dimensions, dimension), one(metrics, metric), at, more)
        if decided is None:
            self.count_outcome({**given, "decision": decision, "option": option})
            return
        if not isinstance(decided, Mapping) or not decided:
            raise CallerError(
                f"expected the decisions, such as {{'language': 'EN'}}, got {ascii(decided)[:60]}", "decided"
            )
        for name, chosen in decided.items():
            self.count_outcome({**given, "decision": name, "option": chosen})

    @on_default
    def count_decided_now(
        self, /, pk_base: Any, decision: Any, option: Any, dimensions: Any = None, metrics: Any = None, **more: Any
    ) -> None:
        """`count_decision` of one option of one decision."""
        name = self._option(decision, "decision")
        self.count_decision(pk_base, {name: option}, metrics, dimensions, **more)

    @on_default
    def count_decided(
        self, /, pk_base: Any, decision: Any, option: Any, dimensions: Any = None, metrics: Any = None, **more: Any
    ) -> None:
        """`count_decided_now`, by the queue, as `count`."""
        self.count_record(
            {**hit_given(pk_base, dimensions, metrics, None, more), "decision": decision, "option": option}
        )

    @on_default
    def count_outcome(self, given: Mapping[str, Any]) -> None:
        """`count_decision`, in the form of the HTTP API."""
        now = self.clock()
        hit = parse_decided(given, self.settings, now)
        self._direct_now().count(self.account, [hit], now)

    @on_default
    def decide(
        self,
        /,
        pk_base: Any,
        decision_name: Any = None,
        options: Any = None,
        formula: str = "value/hits",
        known_data: Any = None,
        period: Period = None,
        bad_idea_threshold: float = BAD_IDEA.default,
        test_idea_threshold: float = TEST_IDEA.default,
        **more: Any,
    ) -> Any:
        """The option to show, one of those given. more: of `decision`.

        options: a list; or {decision: list}, and for several decisions the answer is {decision: option}. Without options the pk is
        the name of a managed decision, and the answer is the value of its option; more: of `choose`.
        """
        if options is None and decision_name is None:
            context = one(one(known_data, more.pop("known_dimensions", None)), more.pop("dimensions", None))
            return self.choose(pk_base, dimensions=context, **more).value
        more |= {"bad_idea_threshold": bad_idea_threshold, "test_idea_threshold": test_idea_threshold}
        name = None if decision_name is None else self._option(decision_name, "decision_name")
        named = options if isinstance(options, Mapping) else {name: options}
        if not named:
            raise CallerError("expected at least one decision, such as {'language': ['EN', 'SP']}", "options")
        found = {}
        for name, each in named.items():
            answer = self.decision(pk_base, name, each, formula, known_data, period, **more)
            found[name] = next(option for option in each if self._option(option) == answer.option)
        return found if len(found) > 1 else next(iter(found.values()))

    @on_default
    def decision(
        self,
        /,
        pk_base: Any,
        decision_name: Any = None,
        options: Any = None,
        formula: str = "value/hits",
        known_data: Any = None,
        period: Period = None,
        *,
        known_dimensions: Any = None,
        dimensions: Any = None,
        by_metric: str | None = None,
        visitor: Any = None,
        default: Any = None,
        trial: bool | None = None,
        sticky_s: float | None = None,
        half_life: Any = None,
        policy: str = "thompson",
        goal: str = "max",
        **exploration: float,
    ) -> Decision:
        """A decision with its probability, id and evidence: see whale/decide/decider.py.

        known_data, known_dimensions, dimensions: the context.  visitor: gets the same option while it is sticky.
        default: the answer while the store is down.
        half_life: age at which an outcome weighs half, such as `7d` or seconds; from one bucket of the period to its whole length.
        trial: count the decision as a hit of its option. Default: True with a visitor; without one count_decision counts it.
        policy, goal, exploration: of whale.decide.policy.Policy.
        """
        context = one(one(known_data, known_dimensions), dimensions)
        asked = self._asked(pk_base, decision_name, options, one(by_metric, formula), context, period, half_life)
        whose = None if visitor is None else name_of(visitor, "visitor", self.settings, Reason.BAD_ID)
        return self._decider().decide(
            replace(
                asked,
                policy=_policy(policy, goal, exploration),
                visitor=whose,
                default=None if default is None else self._option(default, "default"),
                is_trial=whose is not None if trial is None else trial,
                sticky_s=sticky_s,
            )
        )

    @on_default
    def reward(self, /, decision_id: str, metrics: Any = None, id: Any = None, *, metric: Any = None) -> bool:
        """Counts the reward of a decision once. False if it was counted before.

        id: of this reward. Rewards with different ids add up; without an id a decision has one reward.
        Raises CallerError if there is no such decision, or the id has another reward; Unavailable: send it again.
        """
        return self._decider().reward(str(decision_id), one(metrics, metric), id)

    @on_default
    def weighted_reasons(
        self,
        /,
        pk_base: Any,
        decision_name: Any = None,
        options: Any = None,
        formula: str = "value/hits",
        known_data: Any = None,
        period: Period = None,
        *,
        half_life: Any = None,
        goal: str = "max",
    ) -> tuple[Reasons, Reasons, Reasons]:
        """Good, bad and untested options, each with its reason: the rule of the first HailWhales, corrected.

        Each {option: {good, bad, base, parent, high, high_sig, low, low_sig, weight}}: the path with the evidence for or against
        the option, its rate and that of all options, and the effect and significance of this evidence.
        """
        policy = _policy("seed", goal, {})
        asked = self._asked(pk_base, decision_name, options, formula, known_data, period, half_life)
        evidence = self._decider().evidence(asked)
        sorted_: dict[str, Reasons] = {"good": {}, "bad": {}, "test": {}}
        names = {self._option(option): option for option in options}
        for place, reason in enumerate(reasons.weighted(evidence, policy.goal)):
            base = float(evidence.rates[place, 0])
            speaks = path_text(reason.node)
            high, low = max(reason.effect, 0.0), min(reason.effect, 0.0)
            sorted_[reason.kind][names[reason.option]] = {
                "good": speaks if reason.kind == "good" else None,
                "bad": speaks if reason.kind == "bad" else None,
                "base": None if math.isnan(base) else base,
                "parent": None if math.isnan(evidence.rate) else evidence.rate,
                "high": high,
                "high_sig": reason.significance if high else 0.0,
                "low": low,
                "low_sig": reason.significance if low else 0.0,
                "weight": reason.weight,
            }
        return sorted_["good"], sorted_["bad"], sorted_["test"]

    @on_default
    def reasons_for(
        self, /, pk_base: Any, decision_name: Any, option: Any, *args: Any, options: Any = None, **more: Any
    ) -> dict[str, Any]:
        """The answer of `weighted_reasons` for one option. options: all of them. Default: those that were counted."""
        if options is None:
            above = self._pk_of_decision(pk_base, decision_name)
            options = list(dict.fromkeys([*self.store.pks(self.account, above), self._option(option)]))
        found = self.weighted_reasons(pk_base, decision_name, options, *args, **more)
        rows = (kind[name] for kind in found for name in kind if self._option(name) == self._option(option, "option"))
        row = next(rows, None)
        if row is None:
            raise CallerError(f"expected one of the options, got {self._option(option)!a}", "option")
        return row

    @on_default
    def decide_from_reasons(
        self,
        /,
        good: Reasons,
        bad: Reasons,
        test: Reasons,
        bad_idea_threshold: float = BAD_IDEA.default,
        test_idea_threshold: float = TEST_IDEA.default,
    ) -> Any:
        """One option of the three answers of `weighted_reasons`, at random."""
        shares = {"bad_idea_threshold": bad_idea_threshold, "test_idea_threshold": test_idea_threshold}
        rule = _policy("seed", "max", shares)
        kinds: list[tuple[reasons.Kind, Reasons]] = [("good", good), ("bad", bad), ("test", test)]
        rows = [
            (option, reasons.Reason(str(option), kind, (), 0.0, 0.0, 0.0, float(row.get("weight", 1.0))))
            for kind, given in kinds
            for option, row in given.items()
        ]
        if not rows:
            raise CallerError("expected at least one option, got none", "options")
        odds = reasons.shares([reason for _, reason in rows], rule.bad_idea_threshold, rule.test_idea_threshold)
        return rows[int(self.random.choice(len(rows), p=odds))][0]

    def _asked(
        self,
        pk_base: Any,
        decision_name: Any,
        options: Any,
        formula: str = "value/hits",
        context: Any = None,
        period: Period = None,
        half_life: Any = None,
    ) -> Asked:
        """A question for the Decider, with names as they are counted; raises CallerError, HitError."""
        if isinstance(options, str) or not isinstance(options, Sequence):
            raise CallerError(f"expected a list of options, got {ascii(options)[:60]}", "options")
        pk, names = self._pk_of_decision(pk_base, decision_name), [self._option(option) for option in options]
        check_options(names)
        hit = parse_hit({"pk": [*pk, names[0]], "dimensions": context}, self.settings, self.clock())
        asked = Asked(pk, names, hit.dimensions, ratio_of(formula, "by_metric"), period=period_text(period))
        if half_life is None:
            return asked
        kept, most = self.settings.periods, self.settings.max_points
        zone, week = self.settings.timezone, self.settings.week_starts
        range_ = parse_period(asked.period, self.clock(), zone, kept, max_points=most, week=week)
        return replace(asked, half_life_s=half_life_of(half_life, range_))

    @on_default
    def flush(self) -> None:
        """Counts all waiting decisions as trials now; raises Unavailable."""
        if self._parts.trials is not None:
            self._parts.trials.flush()

    def _pk_of_decision(self, pk_base: Any, name: Any) -> Pk:
        above = pk_asked(pk_base)
        return above if name is None else (*above, name_of(name, "decision", self.settings, Reason.BAD_PK))

    def _option(self, value: Any, field: str = "options") -> str:
        return name_of(plain(value, field), field, self.settings, Reason.BAD_PK)

    def _decider(self) -> Decider:
        apply, parts = self._direct_now().apply, self._parts
        with parts.lock:
            if parts.decider is None:
                trials = parts.trials = Trials(apply, self.settings, self.clock)
                parts.decider = Decider(
                    self.store,
                    self.settings,
                    self.account,
                    self.clock,
                    self.random,
                    lambda: secrets.token_hex(8),
                    trials.add,
                    Direct(apply, self.settings.decision_kept_s),
                    trials.add_hit,
                )
            decider = parts.decider
        return decider.of(self.account)

    # managed decisions

    @on_default
    def choose(self, /, name: Any, visitor: Any = None, dimensions: Any = None) -> Answer:
        """The option of a managed decision for a visitor: `.value`, `.decision` with its option and id, and `.why`.

        dimensions: properties of the visitor.  Raises NotFound, HitError; Unavailable if the definition was never read.
        """
        whose = None if visitor is None else name_of(visitor, "visitor", self.settings, Reason.BAD_ID)
        definition = self.managed.find(self.managed.named(name))
        if definition is None:
            raise NotFound(f"no decision {ascii(name)[:60]} is defined", "name")
        return self.managed.decide(definition, whose, dimensions)

    @on_default
    def define_decision(self, name: Any, /, **fields: Any) -> Shown:
        """Defines a managed decision, or changes the given fields: those of whale.decide.definition.DecisionGiven.

        Raises CallerError; Conflict if `revision` is not the present one. Others see it within `decide_snapshot_s`.
        """
        given = {field: plain(value, field, float) for field, value in fields.items()}
        for field, value in given.items():
            if isinstance(value, str) and not is_text(value):
                raise CallerError(f"expected Unicode text, got {ascii(value)[:60]}", field)
        return decision_shown(self.managed.define(self.managed.named(name), given))

    @on_default
    def decisions(self, archived: bool = False) -> list[Shown]:
        """Managed decisions, sorted by name. archived: include archived ones."""
        return [decision_shown(each) for each in self.managed.definitions() if archived or not each.archived]

    @on_default
    def decision_report(
        self,
        /,
        name: Any,
        phase: int | None = None,
        dimensions: Any = None,
        baseline: Any = None,
        limit: int = SEGMENTS,
        *,
        dimension: Any = None,
    ) -> Reporting:
        """A managed decision and the report of one phase. Default: the present phase.

        dimensions: one path, whose children are reported as segments, the `limit` with the most trials.
        baseline: option to compare the others with. Default: the decision's default.
        Raises NotFound, CallerError, Unavailable. Cost: (1 + segments) x options x 4,000 draws, and five reads.
        """
        definition = self.managed.definition(self.managed.named(name))
        self._segments(limit)
        found = next((each for each in definition.phases if each.number == phase), None)
        if phase is not None and found is None:
            numbers = f"{definition.phases[0].number} to {definition.phase.number}"
            raise CallerError(f"expected one of the phases that are kept, {numbers}, got {phase}", "phase")
        about = found or definition.phase
        pk = pk_of(definition.name, about.number)
        path = self.asking.one_path(pk, one(dimensions, dimension), "dimensions")
        end = self.clock() if about.ended is None else about.ended
        # wider than the phase, which has pks of its own
        by = "day" if end - about.started < FEW_DAYS * DAY else "month"
        period = self.asking.range_of(Span(about.started, end + 1, by))
        against = about.default if baseline is None else self._option(baseline, "baseline")
        if against not in about.options:
            raise CallerError(f"expected one of the options, got {ascii(against)[:60]}", "baseline")
        asked = Reported(
            pk=pk,
            options=about.options,
            ratio=ratio_of(about.by_metric, "by_metric"),
            by_metric=about.by_metric,
            goal=about.goal,
            baseline=against,
            held_out=(pk_of(definition.name, about.number, True), about.default) if about.holdout else None,
            period=period,
        )
        reported = self._reported(asked, path, limit)
        return Reporting(decision=decision_shown(definition), phase=phase_shown(about), report=reported)

    @on_default
    def outcomes(
        self,
        pk: Any,
        decision: Any = None,
        by_metric: str = "value/hits",
        goal: str = "max",
        period: Period = None,
        dimensions: Any = None,
        baseline: Any = None,
        limit: int = SEGMENTS,
        *,
        dimension: Any = None,
    ) -> Report:
        """The report of a decision that nobody defined: of the pks one level below it, which are its options.

        period: Default: the last month, as `decision` has it.  dimensions, limit: as of `decision_report`.
        baseline: option to compare the others with. Default: the one with the most hits.
        Raises NotFound if no option was counted, CallerError if there are more than 200; Unavailable. Cost: as a report of a phase.
        """
        whose = pk_asked(pk) if decision is None else (*pk_asked(pk), self._option(decision, "decision"))
        names = self.store.pks(self.account, whose)
        if not names:
            raise NotFound(f"no option of {ascii(pk_text(whose))[:60]} was counted", "pk")
        check_options(names)
        path, ratio = (
            self.asking.one_path(whose, one(dimensions, dimension), "dimensions"),
            ratio_of(by_metric, "by_metric"),
        )
        about = self.asking.now().range_of(period)
        against = most_shown(self.store, self.account, whose, names, about)
        if baseline is not None and (against := self._option(baseline, "baseline")) not in names:
            raise CallerError(f"expected one of the options, got {ascii(against)[:60]}", "baseline")
        asked = Reported(whose, names, ratio, by_metric, _goal(goal), against, None, about)
        return self._reported(asked, path, self._segments(limit))

    def _segments(self, limit: int) -> int:
        if not 0 < limit <= MOST_SEGMENTS:
            raise CallerError(f"expected 1 to {MOST_SEGMENTS}, got {limit}", "limit")
        return limit

    def _reported(self, asked: Reported, path: Path, limit: int) -> Report:
        """path: whose children are segments, of those options where most is counted; the root: none."""
        segments, more = (
            largest_segments(self.store, self.account, asked.pk, path, asked.period, limit) if path else ([], 0)
        )
        drawn = np.random.default_rng(0)  # the same counters give the same report
        return report(self.store, self.account, asked, segments, self.asking.bounds.points, drawn, more)


def _goal(text: str) -> Literal["max", "min"]:
    match text:
        case "max" | "min":
            return text
    raise CallerError(f"expected max or min, got {ascii(text)[:60]}", "goal")


def _policy(name: str, goal: str, more: Mapping[str, float]) -> Policy:
    for field in sorted(more.keys() - Policy.__dataclass_fields__.keys()):
        raise CallerError(f"is not a parameter here: expected one of {', '.join(Policy.__dataclass_fields__)}", field)
    try:
        return Policy.of(name, goal, more)
    except TypeError:
        raise CallerError(f"expected numbers, got {ascii(dict(more))[:60]}", next(iter(more), "policy")) from None
