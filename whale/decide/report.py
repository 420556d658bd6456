"""The report of a phase of a decision: what its counters say, each number named, with a sentence. Pure, over any Store.

Reads the counters of the options at the root and at the segments asked, and for all of a phase, four more reads; never more with
more hits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from hail.hit import DECIDED, EXPECTED, MILLION
from whale.decide import experiment, off_policy
from whale.decide.evidence import Evidence
from whale.decide.experiment import Estimate, Result, Standing
from whale.decide.outcomes import Ratio, evidence_of
from whale.dimension import Path, Pk, path_text
from whale.formula import Floats
from whale.period import Range, check_points
from whale.store.contract.counters import Counters

SEGMENTS, MOST_SEGMENTS = 20, 100
HELD_OUT, DECIDED_FOR = "held out", "decided"

Interval = list[float | None] | None
"""Low and high, 95 %. None: nothing is known; an end is None where it is beyond any number."""


class Always(msgspec.Struct, kw_only=True):
    """Estimated reward per decision if every visitor had seen this option. sound: enough decisions support the estimate."""

    rate: float
    interval: list[float]
    decisions: float
    sound: bool


class OptionReport(msgspec.Struct, kw_only=True):
    """One option. probability_best and expected_loss hold if you read the report once. lift: rate / baseline rate - 1."""

    option: str
    trials: float
    reward: float
    rate: float | None
    interval: Interval
    probability_best: float | None
    expected_loss: float | None
    lift: float | None
    lift_interval: Interval
    why: str


class WholeReport(OptionReport, kw_only=True):
    """One option over all visitors. state (best, beaten or open) and state_interval stay valid if you check daily."""

    state: Literal["best", "beaten", "open"]
    state_interval: Interval
    shown: int
    expected: float
    always: Always | None


class Segment(msgspec.Struct, kw_only=True):
    dimension: str
    options: list[OptionReport]


class SampleRatio(msgspec.Struct, kw_only=True):
    """Checks that options were shown as often as their probabilities. chance: probability of this difference or a larger one by luck."""

    chance: float
    suspicious: bool
    why: str


class Stop(msgspec.Struct, kw_only=True):
    """Says if the experiment may stop; valid if you check daily. option: the best one, if known."""

    may_stop: bool
    option: str | None
    why: str


class HeldOut(msgspec.Struct, kw_only=True):
    """Held-out visitors. lift: the gain of all other visitors over them."""

    trials: float
    reward: float
    rate: float | None
    interval: Interval
    lift: float | None
    lift_interval: Interval
    why: str


class Report(msgspec.Struct, kw_only=True):
    by_metric: str
    goal: str
    baseline: str
    decisions: int
    options: list[WholeReport]
    segments: list[Segment]
    sample_ratio: SampleRatio
    stop: Stop
    held_out: HeldOut | None
    more_segments: Annotated[
        int | UnsetType, Meta(description="Number of segments above the limit. Absent if there are none.")
    ] = UNSET


@dataclass(frozen=True)
class Reported:
    """What is reported. pk: of a phase.  held_out: the pk of those held out, and the option they have; None where nobody is."""

    pk: Pk
    options: Sequence[str]
    ratio: Ratio
    by_metric: str
    goal: Literal["max", "min"]
    baseline: str
    held_out: tuple[Pk, str] | None
    period: Range


def largest_segments(
    store: Counters, account: str, pk: Pk, path: Path, period: Range, limit: int
) -> tuple[list[Path], int]:
    """The children of a path with the most hits, the largest first; and how many more have any."""
    found = [(*path, name) for name in store.children(account, pk, path)]
    cells = store.read(account, pk, found, ["hits"], *off_policy.stored_buckets(store, account, period))
    hits = cells[:, 0].sum(axis=-1)
    chosen = [found[i] for i in np.argsort(-hits, kind="stable")[:limit] if hits[i]]
    return chosen, int(np.count_nonzero(hits)) - len(chosen)


def most_shown(store: Counters, account: str, pk: Pk, options: Sequence[str], period: Range) -> str:
    """The option with the most hits; of several the first."""
    buckets = off_policy.stored_buckets(store, account, period)
    cells = store.read_many(account, [(*pk, option) for option in options], [()], ["hits"], *buckets)
    return options[int(np.argmax(cells[:, 0, 0].sum(axis=-1)))]


def report(
    store: Counters,
    account: str,
    asked: Reported,
    segments: Sequence[Path],
    most_points: int,
    random: np.random.Generator,
    more: int = 0,
) -> Report:
    """See the module. segments: paths of the context, without the root; more: that were left out. Raises CallerError, Unavailable."""
    check_points(asked.period, most_points)
    options, goal = list(asked.options), asked.goal
    nodes = [(), *segments]
    evidence = evidence_of(store, account, asked.pk, options, nodes, asked.ratio, asked.period, most_points)
    found = experiment.results(evidence, goal, random, asked.baseline)
    count = len(options)
    by_node = [found[i : i + count] for i in range(0, len(found), count)]
    standings = experiment.standing(evidence, goal)
    shown, expected = _shown(store, account, asked)
    always: list[Estimate | None] = [None] * count
    if asked.ratio.base == "hits":
        sums = off_policy.sums_of(store, account, asked.pk, options, asked.period)
        always = [experiment.always(row) for row in sums]
    wholes = [
        _whole(asked, result, standing, shown[i], expected[i], always[i])
        for i, (result, standing) in enumerate(zip(by_node[0], standings, strict=True))
    ]
    held_out = _held_out(store, account, asked, evidence, most_points, random)
    return Report(
        by_metric=asked.by_metric,
        goal=goal,
        baseline=asked.baseline,
        decisions=int(sum(shown)),
        options=wholes,
        segments=[
            Segment(dimension=path_text(node), options=[_option(asked, each) for each in results])
            for node, results in zip(nodes[1:], by_node[1:], strict=True)
        ],
        sample_ratio=_sample_ratio(dict(zip(options, shown, strict=True)), dict(zip(options, expected, strict=True))),
        more_segments=more or UNSET,
        stop=_stop(asked, standings, by_node[0], evidence, random),
        held_out=held_out,
    )


def _shown(store: Counters, account: str, asked: Reported) -> tuple[list[int], list[float]]:
    """By option how many decisions chose it, and the sum of the probabilities that it had."""
    buckets = off_policy.stored_buckets(store, account, asked.period)
    pks = [(*asked.pk, option) for option in asked.options]
    cells = store.read_many(account, pks, [()], [DECIDED, EXPECTED], *buckets)
    totals = cells[:, 0].astype(np.float64).sum(axis=-1) / MILLION
    return [round(number) for number in totals[:, 0]], totals[:, 1].tolist()


def _option(asked: Reported, result: Result) -> OptionReport:
    return OptionReport(**_numbers(asked, result))


def _whole(
    asked: Reported, result: Result, standing: Standing, shown: int, expected: float, always: Estimate | None
) -> WholeReport:
    return WholeReport(
        **_numbers(asked, result),
        state=standing.state,
        state_interval=_interval(standing.low, standing.high),
        shown=shown,
        expected=round(expected, 6),
        always=None
        if always is None
        else Always(
            rate=always.value,
            interval=[always.low, always.high],
            decisions=always.effective,
            sound=always.sound,
        ),
    )


def _numbers(asked: Reported, result: Result) -> dict[str, Any]:
    return {
        "option": result.option,
        "trials": result.trials,
        "reward": result.reward,
        "rate": result.rate,
        "interval": _interval(result.low, result.high),
        "probability_best": result.best,
        "expected_loss": result.loss,
        "lift": result.lift,
        "lift_interval": _interval(result.lift_low, result.lift_high),
        "why": _why(asked, result),
    }


def _interval(low: float | None, high: float | None) -> Interval:
    if low is None and high is None:
        return None
    return [None if end is None or not np.isfinite(end) else end for end in (low, high)]


def _why(asked: Reported, result: Result) -> str:
    if result.rate is None:
        return f"{result.option} has no data here yet."
    said = f"{asked.by_metric} of {result.option} is {result.rate:.4g} in {_many(result.trials, 'trial')}"
    if result.low is not None and result.high is not None:
        said += f" (95 %: {result.low:.4g} to {result.high:.4g})"
    if result.best is not None:
        said += f"; it is {_percent(result.best)} likely to be the best"
    if result.lift is not None and result.lift_low is not None and result.lift_high is not None:
        ends = f"{100 * result.lift_low:+.3g} to {100 * result.lift_high:+.3g} %"
        said += f"; the lift over {asked.baseline} is {100 * result.lift:+.3g} % ({ends})"
    return f"{said}."


def _many(count: float, what: str) -> str:
    return f"{count:,.0f} {what}{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    return "more than 99.9 %" if share > 0.999 else "less than 0.1 %" if share < 0.001 else f"{100 * share:.3g} %"


def _sample_ratio(shown: dict[str, int], expected: dict[str, float]) -> SampleRatio:
    total = sum(shown.values())
    if not total:
        return SampleRatio(chance=1.0, suspicious=False, why="There are no decisions yet.")
    found = experiment.sample_ratio(shown, expected)
    if not found.suspicious:
        why = f"In {_many(total, 'decision')} each option was shown about as often as its probability predicts."
    else:
        worst = max(shown, key=lambda option: abs(shown[option] - expected[option]))
        why = (
            f"Options were not shown as often as their probabilities predict: {worst} was shown {_many(shown[worst], 'time')}, expected "
            f"{expected[worst]:,.1f}. Find the cause before you trust this report."
        )
    return SampleRatio(chance=found.chance, suspicious=found.suspicious, why=why)


def _stop(
    asked: Reported,
    standings: Sequence[Standing],
    results: Sequence[Result],
    evidence: Evidence,
    random: np.random.Generator,
) -> Stop:
    best = next((each.option for each in standings if each.state == "best"), None)
    beaten = [each.option for each in standings if each.state == "beaten"]
    if len(standings) == 1:
        return Stop(may_stop=True, option=best, why="There is only one option, so there is nothing to compare.")
    if best is not None:
        why = f"{best} is better than all others. That is wrong in at most 1 of 20 decisions, however often you look."
        return Stop(may_stop=True, option=best, why=why)
    open_ = [each.option for each in standings if each.state == "open"]
    said = f"beaten so far: {', '.join(beaten)}; " if beaten else ""
    why = f"Not decided: {said}open: {', '.join(open_)}."
    return Stop(may_stop=False, option=None, why=why + _ahead(asked, results, evidence, random))


def _ahead(asked: Reported, results: Sequence[Result], evidence: Evidence, random: np.random.Generator) -> str:
    """How long it takes, or why nobody can say; and what stopping now risks. Nothing while nothing is known."""
    known = [i for i, each in enumerate(results) if each.best is not None and each.rate is not None]
    unknown = [each.option for i, each in enumerate(results) if i not in known]
    if not known:
        return ""
    if unknown:
        said = f" There is no data for {', '.join(unknown)} yet, so the number of further trials is unknown."
        if len(known) == 1:
            return said
        options = [results[i].option for i in known]
        among = Evidence.of(options, [()], evidence.sums[known, :1], evidence.trials[known, :1])
        return f"{said} Among the others, {_risk('stopping', asked, among, random)}"
    return f"{_more(asked, evidence, random)} {_risk('Stopping', asked, evidence, random)}"


def _more(asked: Reported, evidence: Evidence, random: np.random.Generator) -> str:
    found = experiment.more_trials(evidence, asked.goal, random)
    if found is None:
        return ""
    fewest, most = (_rounded(number) for number in found)
    if np.isinf(fewest):
        return (
            f" At these shares even {experiment.FURTHEST:,} times as many trials would not decide it in 9 of 10 cases."
        )
    if np.isinf(most):
        least = _many(fewest, "more trial")
        return (
            f" At these shares it takes at least {least} to decide in 9 of 10 cases; the upper limit is not known yet."
        )
    if fewest == most:
        return f" At these shares it takes about {_many(most, 'more trial')} to decide."
    return f" At these shares it takes {fewest:,.0f} to {_many(most, 'more trial')} to decide in 8 of 10 cases."


def _rounded(number: float) -> float:
    """To two digits, for no more of them mean anything."""
    return float(f"{number:.2g}")


def _risk(stopping: str, asked: Reported, evidence: Evidence, random: np.random.Generator) -> str:
    """stopping: that word, as the sentence needs it. evidence: of the options that are compared, two or more."""
    found = experiment.risk(evidence, asked.goal, random)
    low, high = _percent(found.low), _percent(found.high)
    wrong = high if low == high else f"up to {high}" if found.low < 0.001 else f"{low} to {high}"
    cost = f"{found.loss:.2g} of {asked.by_metric} per trial"
    return f"{stopping} now with {found.option} is {wrong} likely to be wrong, and costs {cost} on average."


def _held_out(
    store: Counters, account: str, asked: Reported, evidence: Evidence, most_points: int, random: np.random.Generator
) -> HeldOut | None:
    if asked.held_out is None:
        return None
    pk, option = asked.held_out
    mine = evidence_of(store, account, pk, [option], [()], asked.ratio, asked.period, most_points)
    sums: Floats = np.stack([mine.sums[0], evidence.sums[:, :1].sum(axis=0)])
    trials: Floats = np.stack([mine.trials[0], evidence.trials[:, :1].sum(axis=0)])
    both = Evidence.of([HELD_OUT, DECIDED_FOR], [()], sums, trials)
    held, decided = experiment.results(both, asked.goal, random, HELD_OUT)
    if held.rate is None:
        why = "No visitor was held out yet."
    else:
        why = f"{asked.by_metric} is {held.rate:.4g} for {_many(held.trials, 'visitor')} held out"
        why += "." if decided.rate is None else f", and {decided.rate:.4g} for all others."
    return HeldOut(
        trials=held.trials,
        reward=held.reward,
        rate=held.rate,
        interval=_interval(held.low, held.high),
        lift=decided.lift,
        lift_interval=_interval(decided.lift_low, decided.lift_high),
        why=why,
    )
