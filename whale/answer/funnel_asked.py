"""A funnel of a site, as it is asked for and as it is answered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np

from whale.answer.compare import Comparison
from whale.answer.conditions import Wanted, shown_again
from whale.answer.funnels import Counted, Partition, Rate, Split, Step, added, counted
from whale.answer.kept_funnels import Kept
from whale.answer.site_log import TICKS_A_S, Log, shown
from whale.answer.split import SESSION, By, Values, rows
from whale.answer.wanted import found
from whale.period import Range
from whale.store.contract.events import Logged


@dataclass(frozen=True)
class FunnelAsked:
    """window_s: from the first to the last step.  by: what it is split by.  rated: when the buckets begin of which a rate is asked, s."""

    steps: Sequence[Wanted]
    window_s: int
    by: By | None = None
    rated: Sequence[int] = ()


def shown_funnel(
    log: Log, asked: FunnelAsked, during: Range, now: float, comparison: Comparison | None = None
) -> dict[str, Any]:
    """How many visitors did these events in this order, in a range; and in the one that it is compared with.

    Raises UnknownEvent, and NotFound of a property.
    """
    if comparison:
        during = comparison.now
    counted = _Counted(log, asked, during, now)
    answer: dict[str, Any] = {
        "as_of": shown(min(during.end, int(now)) * 1000, during.zone),
        "complete": during.end <= now if comparison is None else comparison.complete,
        "window_s": asked.window_s,
        "steps": counted.rows(),
    }
    kept = log.kept(now, during.zone, counted.reading)
    if asked.by:
        answer["split"] = counted.split()
    if asked.rated:
        answer["rate"] = counted.rate()
    if comparison:
        before = _Counted(log, replace(asked, rated=()), comparison.before, now)
        answer["compared"] = {**comparison.said(), "steps": before.rows()}
        kept["is_incomplete"] |= before.reading.is_incomplete
    return {**answer, "basis": log.basis(during), **kept}


def shown_kept(log: Log, kept: Kept, window_s: int, now: float) -> dict[str, Any]:
    """The same of a funnel whose numbers are kept."""
    zone = kept.during.zone
    return {
        "as_of": shown(kept.as_of * 1000, zone),
        "complete": kept.during.end <= now,
        "window_s": window_s,
        "steps": _rows(kept.wanted, kept.steps),
        "basis": log.basis(kept.during),
        "since": shown(log.since_ms(now), zone),
        "is_incomplete": kept.is_incomplete,
    }


class _Counted:
    """One range of it."""

    def __init__(self, log: Log, asked: FunnelAsked, during: Range, now: float):
        log = log.of_period(during)
        by = asked.by
        read = found(log, during, asked.steps, "steps", by.said if by else (), bool(by and by.when == SESSION))
        self.reading, self._wanted, self._by, self._rated = read.reading, read.wanted, asked.by, asked.rated
        self._values = values = Values(asked.by) if asked.by else None
        self._split = Split(len(asked.steps)) if asked.by else None
        self._rate = Rate(np.array(asked.rated, np.int64) * TICKS_A_S) if asked.rated else None

        window, as_of = asked.window_s * TICKS_A_S, min(during.end, int(now)) * TICKS_A_S
        naming = Lock()

        def work(_: int, __: range | None, logged: Logged) -> Counted:
            columns, tests = read.columns(logged), read.tests(logged)
            groups = None
            if values:
                first, test = columns[0], tests[0]
                began = test.of(first) if test and first else first
                with naming:
                    groups = values.groups(logged, began)
            return counted(Partition(columns, tests, groups), window, as_of)

        steps = added(read.reading.map(work), self._split, self._rate)
        self._steps = steps or [Step() for _ in asked.steps]

    def rows(self) -> list[dict[str, Any]]:
        return _rows(self._wanted, self._steps)

    def split(self) -> list[dict[str, Any]]:
        if self._split is None or self._by is None or self._values is None:
            return []
        of_values = rows(self._by, self._values.texts, self._split)
        return [{"value": value, "steps": _rows(self._wanted, steps)} for value, steps in of_values]

    def rate(self) -> list[list[float | None]]:
        if self._rate is None:
            return []
        pairs = zip(self._rated, self._rate.began.tolist(), self._rate.ended.tolist(), strict=True)
        return [[start * 1000, ended / began if began else None] for start, began, ended in pairs]


def _rows(wanted: Sequence[Wanted], steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [_row(*each) for each in zip(wanted, steps, [*steps[1:], None], [steps[0]] * len(steps), strict=True)]


def _row(wanted: Wanted, step: Step, after: Step | None, first: Step) -> dict[str, Any]:
    """after: the step that follows, if one does."""
    return {
        "event": wanted.event,
        **({"where": [shown_again(each) for each in wanted.where]} if wanted.where else {}),
        "visitors": step.visitors,
        "occurrences": step.occurrences,
        "conversion": step.visitors / first.visitors if first.visitors else None,
        "dropped": step.visitors - after.visitors - step.open if after else 0,
        "open": step.open,
        "median_s": _seconds(step.quantile(0.5)),
        "p90_s": _seconds(step.quantile(0.9)),
    }


def _seconds(ticks: int | None) -> float | None:
    return None if ticks is None else round(ticks / TICKS_A_S, 3)
