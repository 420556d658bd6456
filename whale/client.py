"""Whale and HailWhale: the library's front door over a store and its answers. A connection, no state of the class.

whale = Whale.connect(settings)
whale.count_now("shop", {"country": "US"}, {"revenue": 5})
whale.plotpoints("shop", depth=1, metrics=["revenue", "revenue/hits"], period="seven")

Every method may also be called on the class, as `Whale.count_now("shop")`: it then runs on the default connection, the
one of the last `whale.connect(...)`, or where there was none, on what the settings of the environment name.

Wherever a time is taken it is epoch seconds, ISO 8601 (without an offset: UTC) or a datetime (without a zone: this
machine's, as Python has it). `metric`, `dimension` and `period` may be written for `metrics`, `dimensions`, `periods`.
"""

import inspect
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import wraps
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import numpy as np

from hail.hit import (
    MILLION,
    RESERVED,
    Hit,
    HitError,
    Reason,
    encode_hit,
    name_of,
    parse_decided,
    parse_hit,
    parse_time,
)
from hail.pixel import token_of
from hail.settings import DAY, Settings, load
from whale.answer import compare, factors, reasons, series
from whale.answer import rank as answer_rank
from whale.answer.cache import Cache, argument_key
from whale.answer.compare import Comparison, Scope
from whale.answer.once import once
from whale.answer.outcomes import check_options, ratio_of
from whale.answer.policy import Policy
from whale.answer.rank import Ranking, Row
from whale.answer.report import MOST_SEGMENTS, SEGMENTS, Reported, largest_segments, report
from whale.answer.series import Bounds, Question
from whale.answer.shapes import ByPath, labels, path_below, points, times
from whale.count.apply import Applier, MergingApplier
from whale.count.direct import Direct
from whale.count.trials import Trials
from whale.decide import Asked, Decider, Decision
from whale.definition import Reporting, Shown, decision_shown, phase_shown, pk_of
from whale.dimension import Path, Pk, path_text, paths_asked, pk_asked, pk_text, pks_asked
from whale.embedded import redis_url_of
from whale.errors import CallerError, FormulaError, NotFound, PeriodError, Unavailable
from whale.formula import Number, metrics_asked, ratio_text
from whale.managed import Answer, Managed
from whale.period import (
    Interval,
    Range,
    Span,
    bucket_start,
    interval_name,
    next_start,
    parse_period,
    width,
    zone_asked,
)
from whale.spy import KEPT, refused, shown
from whale.store.base import Change, Store, not_a_sum
from whale.store.redis import connect as connect_store

if TYPE_CHECKING:
    from hail.publish import Publisher

ACCOUNT = "default"
PERIODS = ("1d:1y", "1d:1mo", "1d:1w", "1h:1d", "1m:1h")
"""What `totals` answers when no period is asked."""
CACHED_S = 60.0
FEW_DAYS = 62  # of a phase, so that a report reads few buckets

P = ParamSpec("P")
R = TypeVar("R")
Reasons = dict[Any, dict[str, Any]]
Period = str | int | Sequence[Any] | Span | None
"""As text; a Span; or a pair of the setting PERIODS: (interval in seconds or '1mo', length in seconds or None)."""


class on_default(Generic[P, R]):
    """A method that the class offers too, on the default connection."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]):
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type["Whale"]) -> Callable[P, R]:
        if instance is not None:
            return MethodType(self.function, instance)

        @wraps(self.function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return self.function(_default(owner), *args, **kwargs)

        return called


class Whale:
    """Counts and answers for one account. For many threads; raises whale.errors and HitError."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        account: str = ACCOUNT,
        clock: Callable[[], float] = time.time,
        random: np.random.Generator | None = None,
    ):
        self.store, self.settings, self.account, self.clock = store, settings, account, clock
        self.random = np.random.default_rng() if random is None else random
        self.bounds = Bounds(settings.max_points, settings.max_answer_points, settings.max_levels)
        self._direct: Direct | None = None
        self._decides: Decider | None = None
        self._trials: Trials | None = None
        self._manages: Managed | None = None
        self._publisher: Publisher | None = None
        self._lock = threading.Lock()
        self._cache = Cache(clock)

    @classmethod
    def connect(cls, settings: Settings, account: str = ACCOUNT, timeout_s: float = 10.0) -> "Whale":
        """On settings.redis_url; raises SetupError, Unavailable."""
        return cls(connect_store(settings, timeout_s), settings, account)

    # counting

    @on_default
    def count_now(
        self,
        /,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        at: Any = None,
        *,
        dimension: Any = None,
        metric: Any = None,
        **more: Any,
    ) -> None:
        """Counts one hit at once; more: id, visitor, event.  Raises HitError, Unavailable."""
        self.count_hit(_hit(pk, _one(dimensions, dimension), _one(metrics, metric), at, more))

    @on_default
    def count(
        self,
        /,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        at: Any = None,
        *,
        dimension: Any = None,
        metric: Any = None,
        **more: Any,
    ) -> None:
        """Hands one hit to the queue, as Hail does: when this returns it is durable, and counted soon.

        Raises HitError, Unavailable.
        """
        self.count_record(_hit(pk, _one(dimensions, dimension), _one(metrics, metric), at, more))

    @on_default
    def count_record(self, record: Mapping[str, Any]) -> None:
        """`count`, of a hit in the form of the HTTP API; with an `option`, of an outcome."""
        from hail.publish import NotAccepted

        parse = parse_decided if "option" in record else parse_hit
        hit = parse({**record, "at": _plain_time(record.get("at"))}, self.settings, self.clock())
        try:
            self._queue().publish(self.account, [(encode_hit(hit), hit.cells)])
        except NotAccepted as error:
            raise Unavailable(f"the queue did not take the hit: {error}") from None

    @on_default
    def count_hit(self, given: Mapping[str, Any]) -> None:
        """`count_now`, of a hit in the form of the HTTP API."""
        now = self.clock()
        hit = parse_hit({**given, "at": _plain_time(given.get("at"))}, self.settings, now)
        self._direct_now().count(self.account, [hit], now)

    @on_default
    def pixel(self, pk: Any, dimensions: Any = None, metrics: Any = None) -> str:
        """A token that counts this for whoever sends it, as /count.gif?pixel=TOKEN, and does not show it.

        Raises HitError; SettingsError without the setting PIXEL_KEY.
        """
        return token_of({"pk": pk, "dimensions": dimensions, "metrics": metrics}, self.settings, self.account)

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

        decided: {decision: option}, of several each is counted. Else option, of a decision, or of the pk itself.
        """
        given = _hit(pk, _one(dimensions, dimension), _one(metrics, metric), at, more)
        if decided is None:
            self.count_outcome({**given, "decision": decision, "option": option})
            return
        if not isinstance(decided, Mapping) or not decided:
            raise CallerError(
                f"expected what was decided, as {{'language': 'EN'}}, got {ascii(decided)[:60]}", "decided"
            )
        for name, chosen in decided.items():
            self.count_outcome({**given, "decision": name, "option": chosen})

    @on_default
    def count_decided_now(
        self, /, pk_base: Any, decision: Any, option: Any, dimensions: Any = None, metrics: Any = None, **more: Any
    ) -> None:
        """`count_decision` of one option of one decision."""
        self.count_decision(pk_base, {decision: option}, metrics, dimensions, **more)

    @on_default
    def count_decided(
        self, /, pk_base: Any, decision: Any, option: Any, dimensions: Any = None, metrics: Any = None, **more: Any
    ) -> None:
        """`count_decided_now`, by the queue, as `count`."""
        self.count_record({**_hit(pk_base, dimensions, metrics, None, more), "decision": decision, "option": option})

    @on_default
    def count_outcome(self, given: Mapping[str, Any]) -> None:
        """`count_decision`, in the form of the HTTP API."""
        now = self.clock()
        hit = parse_decided({**given, "at": _plain_time(given.get("at"))}, self.settings, now)
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
        bad_idea_threshold: float = 0.05,
        test_idea_threshold: float = 0.05,
        **more: Any,
    ) -> Any:
        """The option to show, one of those given. more: of `decision`.

        options: a list; or {decision: list}, and of several decisions the answer is {decision: option}. Without options the pk is
        the name of a decision that is defined, and the answer is its option's value; more: of `choose`.
        """
        if options is None and decision_name is None:
            context = _one(_one(known_data, more.pop("known_dimensions", None)), more.pop("dimensions", None))
            return self.choose(pk_base, dimensions=context, **more).value
        more |= {"bad_idea_threshold": bad_idea_threshold, "test_idea_threshold": test_idea_threshold}
        named = options if isinstance(options, Mapping) else {decision_name: options}
        if not named:
            raise CallerError("expected at least one decision, as {'language': ['EN', 'SP']}", "options")
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
        policy: str = "thompson",
        goal: str = "max",
        **exploration: float,
    ) -> Decision:
        """A decision with its probability, id and evidence: see whale/decide.py.

        known_data, known_dimensions, dimensions: the context.  visitor: gets the same while it is sticky.
        default: answered while the store is away.
        trial: whether it counts as a hit of its option; it does where there is a visitor, else count_decision says what was shown.
        policy, goal, exploration: of whale.answer.policy.Policy.
        """
        context = _one(_one(known_data, known_dimensions), dimensions)
        asked = self.asked(pk_base, decision_name, options, _one(by_metric, formula), context, period)
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
    def choose(self, /, name: Any, visitor: Any = None, dimensions: Any = None) -> Answer:
        """What a visitor gets of a decision that is defined: `.value`, `.decision` with its option and id, and `.why`.

        dimensions: what is known of him.  Raises NotFound, HitError; Unavailable where nothing of it was ever read.
        """
        managed = self.managed()
        whose = None if visitor is None else name_of(visitor, "visitor", self.settings, Reason.BAD_ID)
        definition = managed.find(managed.named(name))
        if definition is None:
            raise NotFound(f"no decision {ascii(name)[:60]} is defined", "name")
        return managed.decide(definition, whose, dimensions)

    @on_default
    def define_decision(self, name: Any, /, **fields: Any) -> Shown:
        """Defines a decision, or changes what is named of it: fields of whale.definition.DecisionGiven.

        Raises CallerError; Conflict where `revision` is given and another one is there. Others see it within `decide_snapshot_s`.
        """
        managed = self.managed()
        return decision_shown(managed.define(managed.named(name), fields))

    @on_default
    def decisions(self, archived: bool = False) -> list[Shown]:
        """Decisions that are defined, by name. archived: those too."""
        return [decision_shown(each) for each in self.managed().definitions() if archived or not each.archived]

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
        """A decision and what a phase of it has come to, by default the one that holds.

        dimensions: one path, whose children are reported as segments, the `limit` with the most trials.
        baseline: the option that others are compared with; default: the decision's default.
        Raises NotFound, CallerError, Unavailable. Cost: (1 + segments) x options x 4,000 draws, and five reads.
        """
        managed = self.managed()
        definition = managed.definition(managed.named(name))
        paths = paths_asked(_one(dimensions, dimension))
        if len(paths) != 1:
            raise CallerError(f"expected one path, got {len(paths)}", "dimensions")
        if not 0 < limit <= MOST_SEGMENTS:
            raise CallerError(f"expected 1 to {MOST_SEGMENTS}, got {limit}", "limit")
        found = next((each for each in definition.phases if each.number == phase), None)
        if phase is not None and found is None:
            numbers = f"{definition.phases[0].number} to {definition.phase.number}"
            raise CallerError(f"expected one of those that are kept, {numbers}, got {phase}", "phase")
        about = found or definition.phase
        end = self.clock() if about.ended is None else about.ended
        by = (
            "day" if end - about.started < FEW_DAYS * DAY else "month"
        )  # wider than the phase, which has pks of its own
        period = self.range_of(Span(about.started, end + 1, by))
        pk = pk_of(definition.name, about.number)
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
        segments = largest_segments(self.store, self.account, pk, paths[0], period, limit) if paths[0] else []
        drawn = np.random.default_rng(0)  # the same counters give the same report
        found_ = report(self.store, self.account, asked, segments, self.bounds.points, drawn)
        return Reporting(decision=decision_shown(definition), phase=phase_shown(about), report=found_)

    @on_default
    def reward(self, /, decision_id: str, metrics: Any = None, *, metric: Any = None) -> bool:
        """Counts what a decision earned, once. False where just this was counted before.

        Raises CallerError: no such decision, or one with another reward.
        """
        return self._decider().reward(str(decision_id), _one(metrics, metric))

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
        goal: str = "max",
    ) -> tuple[Reasons, Reasons, Reasons]:
        """Options that are good, bad, and to be tested, each with why: the rule of the first HailWhales, mended.

        Each {option: {good, bad, base, parent, high, high_sig, low, low_sig, weight}}: the path that speaks for it or against it,
        its rate and that of all options, and the effect and significance of what speaks.
        """
        policy = _policy("seed", goal, {})
        asked = self.asked(pk_base, decision_name, options, formula, known_data, period)
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
        """What `weighted_reasons` says of one option. options: all of them; else those that were counted."""
        if options is None:
            above = self._pk_of_decision(pk_base, decision_name)
            options = list(dict.fromkeys([*self.store.pks(self.account, above), self._option(option)]))
        found = self.weighted_reasons(pk_base, decision_name, options, *args, **more)
        return next(kind[name] for kind in found for name in kind if self._option(name) == self._option(option))

    @on_default
    def decide_from_reasons(
        self,
        /,
        good: Reasons,
        bad: Reasons,
        test: Reasons,
        bad_idea_threshold: float = 0.05,
        test_idea_threshold: float = 0.05,
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

    @on_default
    def asked(
        self,
        /,
        pk_base: Any,
        decision_name: Any,
        options: Any,
        formula: str = "value/hits",
        context: Any = None,
        period: Period = None,
    ) -> Asked:
        """A question for the Decider, with names as they are counted; raises CallerError, HitError."""
        if isinstance(options, str) or not isinstance(options, Sequence):
            raise CallerError(f"expected a list of options, got {ascii(options)[:60]}", "options")
        pk, names = self._pk_of_decision(pk_base, decision_name), [self._option(option) for option in options]
        check_options(names)
        hit = parse_hit({"pk": [*pk, names[0]], "dimensions": context}, self.settings, self.clock())
        return Asked(pk, names, hit.dimensions, ratio_of(formula, "by_metric"), period=_period_text(period))

    @on_default
    def flush(self) -> None:
        """Counts the decisions that wait to be counted as trials, now; raises Unavailable."""
        if self._trials is not None:
            self._trials.flush()

    def _pk_of_decision(self, pk_base: Any, name: Any) -> Pk:
        above = pk_asked(pk_base)
        return above if name is None else (*above, name_of(name, "decision", self.settings, Reason.BAD_PK))

    def _option(self, value: Any, field: str = "options") -> str:
        return name_of(value, field, self.settings, Reason.BAD_PK)

    def managed(self) -> Managed:
        with self._lock:
            if self._manages is None:
                self._manages = Managed(self.store, self.settings, self.account, self.clock, self._decider)
            return self._manages

    def _decider(self) -> Decider:
        direct = self._direct_now()
        with self._lock:
            if self._decides is None:
                trials = Trials(direct.apply, self.settings, self.account, self.clock)
                self._trials = trials

                def count_hits(hits: list[Hit]) -> None:
                    direct.count(self.account, hits, self.clock())

                self._decides = Decider(
                    self.store,
                    self.settings,
                    self.account,
                    self.clock,
                    self.random,
                    lambda: secrets.token_hex(8),
                    trials.add,
                    count_hits,
                    trials.add_hit,
                )
            return self._decides

    # changing

    @on_default
    def update_count_to(
        self,
        /,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        period: Period | bool = None,
        at: Any = None,
        id: Any = None,
        *,
        dimension: Any = None,
        metric: Any = None,
    ) -> dict[str, Number]:
        """Sets metrics of one path in one bucket; returns what that added, by metric.

        period: whose interval is meant, which must be kept; default: days.  at: a time in the bucket; default: now.
        id: of this operation: the same again changes nothing and returns the same.
        Raises HitError, CallerError, Unavailable: then the same id says whether it was done.
        """
        given = _hit(pk, _one(dimensions, dimension), _one(metrics, metric), at, {"id": id})
        hit, interval = self._to_set(given), self._interval_to_set(period)
        for name, (kind, _) in (hit.others or {}).items():
            raise not_a_sum(name, kind)
        path: Path = ()
        below = hit.dimensions
        while below:
            if len(below) > 1:
                raise CallerError(f"expected one path, got {len(below)} side by side", "dimensions")
            path = (*path, *below)
            below = next(iter(below.values()))
        named = given["metrics"]
        amounts = dict(hit.metrics)
        if "hits" not in ({named} if isinstance(named, str) else named or ()):
            del amounts["hits"]
        if not amounts:
            raise CallerError("expected what to set, as {'revenue': 5}", "metrics")
        zone = self.store.zone(self.account)
        start = bucket_start(interval, hit.at_ms / 1000, zone)
        end = next_start(interval, start, zone)
        now, wider = self.clock(), {}
        for other, kept in self.settings.periods:
            if kept is not None and next_start(other, bucket_start(other, start, zone), zone) <= now - kept:
                if other == interval:
                    raise PeriodError(f"buckets of {interval_name(interval)} are kept for {kept:g} s", "at")
            elif width(other) > width(interval):
                wider[other] = bucket_start(other, start, zone)
                if wider[other] != bucket_start(other, end - 1, zone):
                    names = interval_name(interval), interval_name(other)
                    raise PeriodError("a bucket of {} that lies in two of {} cannot be set".format(*names))
        operation = hit.id or secrets.token_hex(16)
        change = Change(operation, hit.pk, path, interval, start, end, amounts, wider)
        return {name: number_of(name, amount) for name, amount in self.store.set(self.account, change, now).items()}

    def _to_set(self, given: Mapping[str, Any]) -> Hit:
        hit = parse_hit({**given, "at": _plain_time(given.get("at"))}, self.settings, self.clock())
        if hit.skewed:
            raise CallerError("expected a time that is not ahead", "at")
        return hit

    def _interval_to_set(self, period: Any) -> Interval:
        kept = dict(self.settings.periods)
        if period in (None, False, ""):
            return DAY if DAY in kept else min(kept, key=width)
        interval = self.range_of(period[0] if _is_pair(period) else period).interval
        if interval not in kept:
            names = ", ".join(map(interval_name, kept))
            raise PeriodError(f"buckets of {interval_name(interval)} are not kept; kept are {names}")
        return interval

    @on_default
    def reset(self, /, pk: Any, dimensions: Any = None, *, dimension: Any = None) -> None:
        """Forgets a pk and all pks below it; or one path of a pk and the paths below it. What is above keeps its sums.

        Hits that were accepted before and are counted later do not count there.
        """
        now, names = self.clock(), pk_asked(pk)
        paths = paths_asked(_one(dimensions, dimension))
        if len(paths) != 1:
            raise CallerError(f"expected one path, got {len(paths)}", "dimensions")
        (path,) = paths
        plain = self.settings.replace(bands={})  # a band is named here, not a number
        parse_hit({"pk": list(names), "dimensions": list(path)}, plain, now)  # names within their limits
        self.store.reset(self.account, names, path or None, now)
        self._direct_now()  # its thread frees the memory, where no worker does

    # series

    @on_default
    def plotpoints(
        self,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        depth: int = 0,
        period: Period = None,
        sort: str | None = None,
        limit: int = 0,
        tzoffset: Any = None,
        flot_time: bool = False,
        points_type: type = dict,
        descending: bool = False,
        with_totals: bool = False,
        *,
        tz: str | None = None,
        undefined: str = "zero",
        compare: str | None = None,
        dimension: Any = None,
        metric: Any = None,
    ) -> Any:
        """{path: {metric: points}}: the asked paths, then those below them in sort order.

        points: {label: number}, or with points_type=list [(label, number), ...]; a label is local time as text, or with
        flot_time epoch ms.  with_totals adds a row `Total`.  undefined="null": None, not 0, over a zero denominator.
        compare="previous" or "last_year": {"compared": …, "paths": {path: {metric: {"now": points, "before": points}}}}.
        """
        asked = _one(dimensions, dimension), _one(metrics, metric)
        question = self.question(pk, *asked, depth=depth, sort=sort, limit=limit, undefined=undefined)
        found = self.range_of(period, tz, tzoffset)

        def shaped(plot: series.Plot) -> list[tuple[str, dict[str, Any]]]:
            names = labels(found, plot.starts, flot_time)
            return [
                (
                    path_text(row.path),
                    {
                        name: points(names, values, row.totals[name] if with_totals else ..., points_type, descending)
                        for name, values in row.values.items()
                    },
                )
                for row in plot.series
            ]

        store = once(self.store)
        if compare:
            comparison = self.comparison(question, found, period, compare)
            return self.compared_plotpoints(question, comparison, store, self.bounds, shaped)
        plot = series.plotpoints(store, question, found, self.bounds)
        return ByPath(question.pk, shaped(plot), *self.adjusted(question, [found], store))

    @on_default
    def scalar_plotpoints(self, /, pk: Any, dimensions: Any = None, metrics: Any = None, **more: Any) -> ByPath[Any]:
        """`plotpoints`, of plain metrics."""
        return self.plotpoints(pk, dimensions, metrics, **more)

    @on_default
    def ratio_plotpoints(
        self, /, pk: Any, numerator: str, denominator: str = "hits", dimensions: Any = None, **more: Any
    ) -> ByPath[Any]:
        """`plotpoints`, of one metric over another, under the name `numerator/denominator`."""
        return self.plotpoints(pk, dimensions, [ratio_text(numerator, denominator)], **more)

    @on_default
    def dataset(
        self,
        pk: Any,
        dimensions: Any = None,
        value: str = "hits",
        period: Period = None,
        start_at: Any = None,
        depth: int = 0,
        *,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> Any:
        """[(datetime, number), ...] of one path; with depth {child: the same}, for what is below it.

        start_at: only from the bucket with that time on.
        """
        question = self.question(pk, dimensions, [value], depth=depth, field="value")
        if len(question.paths) != 1:
            raise CallerError("expected one path", "dimensions")
        found = self.range_of(period, tz, tzoffset, start_at=start_at)
        plot = series.plotpoints(self.store, question, found, self.bounds)
        when = times(found, plot.starts)
        rows = {
            path_below(row.path, question.paths[0]): list(zip(when, row.values[value], strict=True))
            for row in plot.series
            if depth == 0 or row.path != question.paths[0]
        }
        return rows if depth else next(iter(rows.values()))

    # totals

    @on_default
    def totals(
        self,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        periods: Any = None,
        tzoffset: Any = None,
        *,
        tz: str | None = None,
        undefined: str = "zero",
        compare: str | None = None,
        dimension: Any = None,
        metric: Any = None,
        period: Period = None,
    ) -> dict[str, Any]:
        """{period as asked: {path: {metric: number}}}; without periods those of PERIODS that are kept.

        periods: one, or a list. A ratio is the ratio of sums.
        compare="previous" or "last_year": {period: {"compared": …, "paths": {path: {metric: {now, before, change, ratio}}}}}.
        """
        question = self.question(pk, _one(dimensions, dimension), _one(metrics, metric), undefined=undefined)
        asked = _one(periods, period)
        ranges = self.ranges_of(asked, tz, tzoffset, field="period" if periods is None else "periods")
        store = once(self.store)
        if compare:
            comparisons = self.comparisons(question, ranges, compare, asked is not None)
            return self.compared_totals(question, comparisons, store, self.bounds)
        found = series.totals_of(store, question, ranges, self.bounds, asked is not None)
        adjusted = dict(zip(ranges, self.adjusted(question, ranges.values(), store), strict=True))
        return {
            name: ByPath(question.pk, ((path_text(row.path), row.totals) for row in rows), adjusted[name])
            for name, rows in found.items()
        }

    @on_default
    def totals_of(self, /, pks: Sequence[Any], *args: Any, **more: Any) -> dict[str, dict[str, ByPath[Any]]]:
        """{pk: `totals`} of up to 100 pks."""
        return {pk_text(pk): self.totals(pk, *args, **more) for pk in pks_asked(pks)}

    @on_default
    def plotpoints_of(self, /, pks: Sequence[Any], *args: Any, **more: Any) -> dict[str, ByPath[dict[str, Any]]]:
        """{pk: `plotpoints`} of up to 100 pks."""
        return {pk_text(pk): self.plotpoints(pk, *args, **more) for pk in pks_asked(pks)}

    @on_default
    def total(
        self,
        pk: Any,
        metric: str = "hits",
        dimension: Any = None,
        period: Period = None,
        at: Any = None,
        index: int | None = None,
        tzoffset: Any = None,
        *,
        tz: str | None = None,
        undefined: str = "zero",
        compare: str | None = None,
    ) -> Any:
        """One number: the total of a period, as it stood `at` a time; with an index that of one bucket, -1 the last.

        compare="previous" or "last_year": {"compared": …, "now", "before", "change", "ratio"}.
        """
        question = self.question(pk, dimension, [metric], undefined=undefined, field="metric")
        found = self.range_of(period, tz, tzoffset, at=at)
        if compare:
            comparison = self.comparison(question, found, period, compare, at)
            return self.compared_total(question, comparison, index, self.store)
        return self.one_total(question, found, index, self.store)

    @on_default
    def today(self, /, pk: Any, metric: str = "hits", dimension: Any = None, **more: Any) -> Any:
        """The total of the day so far, in the account's zone."""
        return self.total(pk, metric, dimension, "today", **more)

    @on_default
    def yesterday(self, /, pk: Any, metric: str = "hits", dimension: Any = None, **more: Any) -> Any:
        """The total of the day before."""
        return self.total(pk, metric, dimension, "yesterday", **more)

    # ranking

    @on_default
    def rank(
        self,
        pk: Any,
        by: str = "hits",
        dimension: Any = None,
        period: Period = None,
        columns: Any = None,
        limit: int = 10,
        offset: int = 0,
        *,
        threshold: float = 0.1,
        min_support: float = 0,
        order: str = "value",
        ascending: bool = False,
        recursive: bool = False,
        pks: bool = False,
        tz: str | None = None,
        tzoffset: Any = None,
        compare: str | None = None,
    ) -> dict[str, Any]:
        """{"rows": [{path, value, n, parts, columns, difference, effect, important}, ...], "other", "rest", "ended", "total", ...}.

        What is below a path (or with pks the child pks), by a formula; columns: more formulas. As GET /rank answers it.
        compare="previous" or "last_year": each row has `compared` {formula: {now, before, change, ratio}}.
        """
        question, ranking = self.ranking(
            pk,
            by,
            dimension,
            columns,
            limit=limit,
            offset=offset,
            threshold=threshold,
            min_support=min_support,
            order=order,
            ascending=ascending,
            recursive=recursive,
            pks=pks,
        )
        found = self.range_of(period, tz, tzoffset)
        if compare:
            comparison = self.ranks_compared(question, ranking, found, period, compare)
            return self.compared_rank(question, ranking, comparison, self.store)
        ranked = answer_rank.rank(self.store, question, ranking, found, self.bounds)
        return answer_rank.shown(ranked, question, ranking, found, self.clock())

    @on_default
    def rank_subdimensions_scalar(
        self,
        /,
        pk: Any,
        dimension: Any = None,
        metric: str = "hits",
        period: Period = None,
        recursive: bool = True,
        prune_parents: bool = True,
        points: bool = False,
        **zone: Any,
    ) -> ByPath[dict[str, Any]]:
        """{path: {score, value, count, effect, difference, important, dimension[, points]}} of all below a path.

        recursive: not one level, and the path too.  prune_parents: what its children explain is not important.
        zone: tz or tzoffset.
        """
        rows = self._rows_of(pk, metric, dimension, period, recursive, zone, [], prune_parents)
        said: dict[str, dict[str, Any]] = {
            path_text(row.path): {
                **dict.fromkeys(("score", "value", "count"), row.value or 0),
                "effect": row.effect or 0,
                "difference": row.difference or 0,
                "important": row.important,
                "dimension": path_text(row.path),
            }
            for row in rows
        }
        if points:
            plotted = self.plotpoints(pk, [list(row.path) for row in rows], [metric], period=period, **zone)
            for path, row in said.items():
                row["points"] = plotted[path][metric]
        return ByPath(pk_asked(pk), said.items())

    @on_default
    def rank_subdimensions_ratio(
        self,
        /,
        pk: Any,
        numerator: str,
        denominator: str = "hits",
        dimension: Any = None,
        period: Period = None,
        recursive: bool = True,
        points: bool = False,
        **zone: Any,
    ) -> ByPath[dict[str, Any]]:
        """The same of a ratio: score is the ratio (0 over zero), value and count are what it is made of."""
        both = [numerator, denominator]
        ratio = ratio_text(*both)
        rows = self._rows_of(pk, ratio, dimension, period, recursive, zone, both)
        said: dict[str, dict[str, Any]] = {
            path_text(row.path): {
                "score": row.value or 0,
                "value": row.columns[numerator] or 0,
                "count": row.columns[denominator] or 0,
                "effect": row.effect or 0,
                "difference": row.difference or 0,
                "important": row.important,
                "dimension": path_text(row.path),
            }
            for row in rows
        }
        if points:
            plotted = self.plotpoints(pk, [list(row.path) for row in rows], [*both, ratio], period=period, **zone)
            for path, row in said.items():
                row["points"] = plotted[path]
        return ByPath(pk_asked(pk), said.items())

    def _rows_of(
        self,
        pk: Any,
        by: str,
        dimension: Any,
        period: Period,
        recursive: bool,
        zone: Mapping[str, Any],
        columns: list[str],
        prune: bool = True,
    ) -> list[Row]:
        """Every row, with recursion the path itself first."""
        asked = self.ranking(pk, by, dimension, columns, limit=0, recursive=recursive, prune=prune)
        found = answer_rank.rank(self.store, *asked, self.range_of(period, **zone), self.bounds)
        return [*[found.total] * recursive, *found.rows, *([found.other] if found.other else [])]

    @on_default
    def zranked(
        self,
        pk: Any,
        parent_dimension: Any = None,
        metric: str = "hits",
        period: Period = None,
        at: Any = None,
        start: int = 0,
        size: int = 10,
        sort_dir: str | None = None,
        tzoffset: Any = None,
        *,
        tz: str | None = None,
    ) -> list[str]:
        """The paths of the rows from `start` on, `size` of them, by a metric or a formula. sort_dir: asc or desc (default)."""
        if sort_dir not in (None, "", "asc", "desc", "ASC", "DESC"):
            raise CallerError(f"expected asc or desc, got {ascii(sort_dir)[:60]}", "sort_dir")
        if size < 1:
            raise CallerError(f"expected 1 or more, got {size}", "size")
        is_ascending = (sort_dir or "").lower() == "asc"
        asked = self.ranking(pk, metric, parent_dimension, limit=size, offset=start, ascending=is_ascending)
        found = self.range_of(period, tz, tzoffset, at=at)
        rows = answer_rank.rank(self.store, *asked, found, self.bounds).rows
        return [path_text(row.path) for row in rows]

    # what changed

    @on_default
    def factors(
        self,
        pk: Any,
        metric: str = "hits",
        period: Period = None,
        *,
        compare: str | None = None,
        against: Period = None,
        dimensions: Any = None,
        depth: int = 3,
        limit: int = 10,
        tz: str | None = None,
        tzoffset: Any = None,
        dimension: Any = None,
    ) -> dict[str, Any]:
        """Which values of which dimensions explain the change of a count or of a ratio; the shape is in docs/factors.md.

        compare: "previous" (default) or "last_year"; or against: another period.  dimensions: default all at the top.
        depth: levels below a value that are looked into.  limit: values of each dimension, 0 for all.
        """
        question, comparison = self.factors_asked(pk, metric, period, compare, against, tz, tzoffset)
        paths = self.dimensions_asked(_one(dimensions, dimension))
        return self.factors_of(question, comparison, paths, depth, limit, self.store)

    # remembered answers

    @on_default
    def cached_plotpoints(self, /, *args: Any, unmemoize: bool = False, **more: Any) -> ByPath[dict[str, Any]]:
        """`plotpoints`, which remembers its answer for a fifth of the interval. unmemoize: ask anew."""
        return self._cached(Whale.__dict__["plotpoints"], args, more, unmemoize)

    @on_default
    def cached_totals(
        self, /, *args: Any, unmemoize: bool = False, **more: Any
    ) -> dict[str, ByPath[dict[str, Number]]]:
        """`totals`, which remembers its answer for a fifth of the finest interval."""
        return self._cached(Whale.__dict__["totals"], args, more, unmemoize)

    @on_default
    def cached_total(self, /, *args: Any, unmemoize: bool = False, **more: Any) -> Number:
        """`total`, which remembers its answer for a fifth of the interval."""
        return self._cached(Whale.__dict__["total"], args, more, unmemoize)

    @on_default
    def cached_rank(self, /, *args: Any, unmemoize: bool = False, **more: Any) -> dict[str, Any]:
        """`rank`, which remembers its answer for a fifth of the interval."""
        return self._cached(Whale.__dict__["rank"], args, more, unmemoize)

    def _cached(self, method: Any, args: tuple[Any, ...], more: dict[str, Any], unmemoize: bool) -> Any:
        """An entry lives a fifth of the interval, a minute where no period is asked; other arguments, other entry."""
        bound = inspect.signature(method.function).bind(self, *args, **more)
        arguments = {name: value for name, value in bound.arguments.items() if name != "self"}
        key = argument_key(method.function.__name__, arguments)
        asked = _one(arguments.get("periods"), arguments.get("period"))
        zone = arguments.get("tz"), arguments.get("tzoffset")
        return self._cache.get(
            key,
            lambda: method.function(*bound.args, **bound.kwargs),
            lambda _: self.lifetime_s(asked, *zone),
            unmemoize,
        )

    def lifetime_s(self, periods: Any, tz: str | None = None, tzoffset: Any = None) -> float:
        """How long an answer about some periods may be remembered."""
        if periods is None:
            return CACHED_S
        return min(width(found.interval) for found in self.ranges_of(periods, tz, tzoffset).values()) / 5

    # names

    @on_default
    def get_subdimensions(self, pk: Any, dimension: Any = None, *, depth: int = 1) -> list[str]:
        """The paths one level below a path (or so many levels), as `plotpoints` names them."""
        return [path_text(path) for path in self.below(pk, dimension, depth)]

    @on_default
    def all_subdimensions(self, pk: Any, dimension: Any = None) -> list[str]:
        """A path and everything below it."""
        (path,) = self._one_path(dimension)
        return [path_text(path), *(path_text(below) for below in self.below(pk, dimension, self.bounds.levels))]

    @on_default
    def below(self, pk: Any, dimension: Any, depth: int) -> list[Path]:
        """The paths up to so many levels below a path."""
        (path,) = self._one_path(dimension)
        if not 1 <= depth <= self.bounds.levels:
            raise CallerError(f"expected 1 to {self.bounds.levels}, got {depth}", "depth")
        return self.store.descendants(self.account, pk_asked(pk), path, depth)

    @on_default
    def pks(self, parent: Any = None) -> list[Pk]:
        """The pks one level below a pk; without one, the top ones."""
        above = () if parent is None else pk_asked(parent)
        return [(*above, name) for name in self.store.pks(self.account, above)]

    @on_default
    def metrics_of(self, pk: Any) -> list[str]:
        """The metrics of a pk, `hits` first; not what HailWhale counts of decisions."""
        return [name for name in self.store.metrics(self.account, pk_asked(pk)) if name not in RESERVED]

    # single hits

    @on_default
    def get_spy(self, visitor: Any = None, limit: int = KEPT) -> list[dict[str, Any]]:
        """The last hits of a visitor, or of the account, the newest first: what came, and whether it counted or why not.

        What a trace holds is in whale/spy.py. Of the account: at most 100 that counted, and 100 that did not.
        """
        if not self.settings.spy:
            raise CallerError("nothing is kept, as HAILWHALE_SPY is 0", "spy")
        if not 1 <= limit <= 2 * KEPT:
            raise CallerError(f"expected 1 to {2 * KEPT}, got {limit}", "limit")
        whose = None if visitor is None else name_of(visitor, "visitor", self.settings, Reason.BAD_ID)
        return shown(self.store.spied(self.account, whose), limit)

    def spy_refused(self, error: HitError, given: Mapping[str, Any]) -> None:
        """Keeps for the spy what another door refused; where that does not work, nothing is kept."""
        if self.settings.spy:
            now = self.clock()
            with suppress(Unavailable):
                name = f"whale-{secrets.token_hex(8)}"
                self.store.spy_add(self.account, refused(name, now, error.reason, error.field, given), now)

    # what the other doors share

    def adjusted(self, question: Question, ranges: Iterable[Range], store: Store) -> list[bool]:
        """Whether each range is read from finer buckets than ones in which something was set. store: that answered."""
        marks = [(found.source or found.interval, found.start, found.end) for found in ranges]
        return store.adjusted(self.account, question.pk, marks)

    def question(
        self,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        *,
        depth: int = 0,
        sort: str | None = None,
        limit: int = 0,
        undefined: str = "zero",
        field: str = "metrics",
    ) -> Question:
        """A question about this account. field: the parameter that the metrics came in. Raises CallerError."""
        if undefined not in ("zero", "null"):
            raise CallerError(f"expected zero or null, got {ascii(undefined)[:60]}", "undefined")
        paths, names = paths_asked(dimensions), metrics_asked(metrics, field)
        null = undefined == "null"
        return Question(self.account, pk_asked(pk), paths, names, depth, sort, limit, null, self.clock(), field)

    def ranking(
        self, pk: Any, by: str = "hits", dimension: Any = None, columns: Any = None, **more: Any
    ) -> tuple[Question, Ranking]:
        """What `rank` asks. more: fields of Ranking; raises CallerError."""
        if not isinstance(by, str):
            raise FormulaError(f"expected a metric or a formula, got {ascii(by)[:60]}", "by")
        named = metrics_asked(columns, "columns") if columns else []
        question = self.question(pk, undefined="null")
        paths = paths_asked(dimension, "dimension")
        return replace(question, paths=paths, metrics=[by, *named]), Ranking(by, named, **more)

    def one_total(self, question: Question, period: Range, index: int | None, store: Store) -> Number:
        """The total of the first path and metric of a question; or one of its buckets."""
        if index is None:
            return next(iter(series.totals(store, question, period, self.bounds)[0].totals.values()))
        values = next(iter(series.plotpoints(store, question, period, self.bounds).series[0].values.values()))
        if not -len(values) <= index < len(values):
            raise CallerError(f"expected {-len(values)} to {len(values) - 1}, got {index}", "index")
        return values[index]

    def comparison(self, question: Question, asked: Range, period: Period, word: str, at: Any = None) -> Comparison:
        """What a period, of which `asked` is the range, is compared with; at: as if it were asked then."""
        now = self.clock()
        then = now if at is None else self._moment(at, "at")
        scope = Scope.of(self.store, question, dict(self.settings.periods), now, then)
        return compare.compare(asked, _period_text(period), word, scope)

    def comparisons(
        self, question: Question, ranges: Mapping[str, Range], word: str, is_each_asked: bool, at: float | None = None
    ) -> dict[str, Comparison]:
        """Of some periods. is_each_asked: else those are left out whose other one is not kept."""
        found = {}
        for period, asked in ranges.items():
            try:
                found[period] = self.comparison(question, asked, period, word, at)
            except PeriodError:
                if is_each_asked:
                    raise
        return found

    def factors_asked(
        self, pk: Any, metric: str, period: Period, word: str | None, against: Period, tz: str | None, tzoffset: Any
    ) -> tuple[Question, Comparison]:
        """The question, and the two ranges that it is about."""
        if not isinstance(metric, str) or not metric:
            raise CallerError(f"expected a metric or a formula, got {ascii(metric)[:60]}", "metric")
        if word and against not in (None, ""):
            raise CallerError("came twice, as compare and as against", "against")
        question = self.question(pk, None, [metric], undefined="null")
        asked, now = self.range_of(period, tz, tzoffset), self.clock()
        scope = Scope(self.store.zone(self.account), dict(self.settings.periods), now, now)
        if against in (None, ""):
            return question, compare.compare(asked, _period_text(period), word or "previous", scope)
        try:
            other = self.range_of(against, tz, tzoffset)
        except PeriodError as error:
            raise error.named("against") from None
        return question, compare.against(asked, other, _period_text(against), scope)

    def dimensions_asked(self, dimensions: Any) -> list[Path] | None:
        """Paths whose values are meant; None: all at the top."""
        return None if dimensions in (None, "", [], {}) else paths_asked(dimensions)

    def factors_of(
        self,
        question: Question,
        comparison: Comparison,
        dimensions: list[Path] | None,
        depth: int,
        limit: int,
        store: Store,
    ) -> dict[str, Any]:
        found = factors.factors(store, question, comparison, dimensions, depth, limit, self.bounds)
        return factors.said(found, question.metrics[0], comparison)

    def ranks_compared(
        self, question: Question, ranking: Ranking, asked: Range, period: Period, word: str
    ) -> Comparison:
        """What a ranking of a period is compared with."""
        now, fields = self.clock(), {"by": [ranking.by], "columns": ranking.columns}
        scope = Scope.of(self.store, question, dict(self.settings.periods), now, None, fields)
        return compare.compare(asked, _period_text(period), word, scope)

    def compared_rank(
        self, question: Question, ranking: Ranking, comparison: Comparison, store: Store
    ) -> dict[str, Any]:
        """The rows of now, each beside what it was before."""
        ranked, rows = compare.ranked(store, question, ranking, comparison, self.bounds)
        said = answer_rank.shown(ranked, question, ranking, comparison.now, self.clock(), rows)
        return {"compared": comparison.said(), **said, "complete": comparison.complete}

    def compared_totals(
        self, question: Question, comparisons: Mapping[str, Comparison], store: Store, bounds: Bounds
    ) -> dict[str, dict[str, Any]]:
        """{period: {compared, paths}}."""
        found = {}
        for period, each in comparisons.items():
            rows = compare.totals(store, question, each, bounds)
            paths = ByPath(question.pk, ((path_text(path), row) for path, row in rows.items()))
            found[period] = {"compared": each.said(), "paths": paths}
        return found

    def compared_total(
        self, question: Question, comparison: Comparison, index: int | None, store: Store
    ) -> dict[str, Any]:
        """{compared, now, before, change, ratio} of the first path and metric of a question."""
        if index is not None:
            raise CallerError("not with compare: ask for a series", "index")
        row = next(iter(compare.totals(store, question, comparison, self.bounds).values()))
        return {"compared": comparison.said(), **next(iter(row.values()))}

    def compared_plotpoints(
        self,
        question: Question,
        comparison: Comparison,
        store: Store,
        bounds: Bounds,
        shaped: Callable[[series.Plot], Iterable[tuple[str, dict[str, Any]]]],
    ) -> dict[str, Any]:
        """{compared, paths}. shaped: a plot as (path, {metric: points})."""
        plots = compare.plotpoints(store, question, comparison, bounds)
        rows = (
            (path, {name: {"now": values, "before": before[name]} for name, values in now.items()})
            for (path, now), (_, before) in zip(*map(shaped, plots), strict=True)
        )
        return {"compared": comparison.said(), "paths": ByPath(question.pk, rows)}

    def range_of(
        self,
        period: Period = None,
        tz: str | None = None,
        tzoffset: Any = None,
        *,
        at: Any = None,
        start_at: Any = None,
    ) -> Range:
        """The range that a period means now (or at a time), in the account's zone or the one that is asked."""
        zone = self.store.zone(self.account)
        then = None if at is None else self._moment(at, "at")
        begin = None if start_at is None else self._moment(start_at, "start_at")
        return parse_period(
            period if isinstance(period, Span) else _period_text(period),
            self.clock(),
            zone,
            self.settings.periods,
            _zone(tz, tzoffset),
            self.bounds.points,
            begin,
            then,
        )

    def ranges_of(
        self,
        periods: Any,
        tz: str | None = None,
        tzoffset: Any = None,
        *,
        at: float | None = None,
        field: str = "periods",
    ) -> dict[str, Range]:
        """The ranges of some periods, by their text; of None those of PERIODS that are kept. field: what they came in."""
        if periods is None:
            return dict(self._kept(tz, tzoffset, at))
        several = isinstance(periods, list) or (isinstance(periods, tuple) and not _is_pair(periods))
        found = {}
        for period in periods if several else [periods]:
            try:
                found[_period_text(period)] = self.range_of(period, tz, tzoffset, at=at)
            except CallerError as error:
                raise error.named(field) if error.field == "period" else error from None
        return found

    def _kept(self, tz: str | None, tzoffset: Any, at: float | None) -> Iterator[tuple[str, Range]]:
        zone_asked(_zone(tz, tzoffset) or "system", "UTC")  # a zone that does not exist is told
        for period in PERIODS:
            with suppress(PeriodError):
                yield period, self.range_of(period, tz, tzoffset, at=at)

    def _one_path(self, dimension: Any) -> list[Path]:
        paths = paths_asked(dimension, "dimension")
        if len(paths) != 1:
            raise CallerError(f"expected one path, got {len(paths)}", "dimension")
        return paths

    def _moment(self, value: Any, field: str) -> float:
        try:
            return parse_time(_plain_time(value), self.clock(), field)
        except HitError as error:
            raise CallerError(str(error).removeprefix(f"{field}: "), field) from None

    def _direct_now(self) -> Direct:
        with self._lock:
            if self._direct is None:
                applier = Applier(self.store, self.settings)
                merging = MergingApplier(applier, self.settings, self.clock, patience_s=0)
                self._direct = Direct(merging.apply)
            return self._direct

    def _queue(self) -> "Publisher":
        from hail.publish import Publisher

        with self._lock:
            if self._publisher is None:
                self._publisher = Publisher(self.settings, self.clock)
            return self._publisher


class HailWhale(Whale):
    """Whale, and the first HailWhale's two calls: paths of one table, settings.default_table."""

    @on_default
    def log(self, path: Sequence[Any], values: Any = None, at: Any = None) -> None:
        """Counts values at every prefix of a path, at once. `is_unique` counts the path's last name as a visitor."""
        if isinstance(path, str) or not path:
            raise CallerError(f"expected a list of names, got {ascii(path)[:60]}", "path")
        given = {"pk": self.settings.default_table, "dimensions": list(path), "metrics": values, "at": at}
        if isinstance(values, Mapping) and "is_unique" in values.values():
            given["visitor"] = path[-1]
        self.count_hit(given)

    @on_default
    def dataset(  # type: ignore[override]
        self,
        path: Sequence[Any],
        value: str = "hits",
        period: Period = None,
        start_at: Any = None,
        depth: int = 0,
        *,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> Any:
        """[(datetime, number), ...] of a path of the table; with depth {child: the same}, for what is below it."""
        whole = Whale.__dict__["dataset"].function
        table = self.settings.default_table
        return whole(self, table, list(path), value, period, start_at, depth, tz=tz, tzoffset=tzoffset)


# The default connection

_lock = threading.RLock()
_connections: dict[type[Whale], Whale] = {}


def connect(
    url: str = "", account: str = ACCOUNT, settings: Settings | None = None, store: Store | None = None
) -> Whale:
    """Makes the default connection, the one of `Whale.count_now(...)` on the class, and returns it.

    url: of Redis; else what the settings name, else the HailWhale that runs on their DATA_DIR.
    Raises SettingsError, SetupError, Unavailable.
    """
    in_force = load(os.environ) if settings is None else settings
    if store is None:
        in_force = in_force.replace(redis_url=url or in_force.redis_url or redis_url_of(in_force.data_dir))
        store = connect_store(in_force)
    made = Whale(store, in_force, account)
    with _lock:
        _connections.clear()
        _connections[Whale] = made
    return made


def _default(owner: type[Whale]) -> Whale:
    with _lock:
        first = _connections.get(Whale) or connect()
        if owner not in _connections:
            _connections[owner] = owner(first.store, first.settings, first.account, first.clock)
        return _connections[owner]


# Arguments, as people write them


def _one(plural: Any, singular: Any) -> Any:
    return singular if plural is None else plural


def _hit(pk: Any, dimensions: Any, metrics: Any, at: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"pk": pk, "dimensions": dimensions, "metrics": metrics, "at": None if at is False else at, **more}


def number_of(metric: str, amount: int) -> Number:
    """An amount as it is stored, as a number."""
    if metric == "hits" or not amount % MILLION:
        return amount if metric == "hits" else amount // MILLION
    return amount / MILLION


def _policy(name: str, goal: str, more: Mapping[str, float]) -> Policy:
    for field in more.keys() - Policy.__dataclass_fields__.keys():
        raise CallerError(f"is not a parameter here: expected one of {', '.join(Policy.__dataclass_fields__)}", field)
    try:
        return Policy(name, goal, **more)  # type: ignore[arg-type]
    except TypeError:
        raise CallerError(f"expected numbers, got {ascii(dict(more))[:60]}", next(iter(more), "policy")) from None


def _plain_time(value: Any) -> Any:
    return value.timestamp() if isinstance(value, datetime) else value


def _zone(tz: str | None, tzoffset: Any) -> str:
    if tz and tzoffset not in (None, ""):
        raise CallerError("came twice, as tz and as tzoffset", "tz")
    return tz or ("" if tzoffset is None else str(tzoffset))


def _is_pair(period: Any) -> bool:
    return isinstance(period, list | tuple) and len(period) == 2 and isinstance(period[1], int | float | None)


def _period_text(period: Any) -> str:
    """As `parse_period` reads it."""
    if period is None:
        return "thirty"
    if _is_pair(period):
        interval, length = period
        return str(interval) if length is None else f"{interval}:{int(length)}"
    if isinstance(period, list | tuple):
        raise PeriodError(f"expected text or a pair (interval, length), got {ascii(period)[:60]}")
    return str(period)
