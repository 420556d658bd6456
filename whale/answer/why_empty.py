"""Why an answer of what changed is empty, in a sentence, and the nearest days that have something. Pure, over any Store.

Reads the root once more, by days, up to a year around the period; only where there was nothing to explain.
"""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from whale.answer import series
from whale.answer.compare import Comparison
from whale.answer.factors import Factors
from whale.answer.series import Bounds, Question
from whale.dimension import ROOT
from whale.errors import CallerError
from whale.period import DAY, Interval, Range, day_of, interval_name, midnight, with_source
from whale.store.contract.counters import Counters

WINDOWS = (366, 31, 7)
"""Days on both sides of a period that are looked at; fewer where so many are not kept."""


def why(
    store: Counters,
    question: Question,
    comparison: Comparison,
    found: Factors,
    kept: dict[Interval, float | None],
    now: float,
    bounds: Bounds,
) -> dict[str, Any]:
    """{"why": a sentence, "nearest": {"period", "against"} or None}; nothing where the answer has something. now: epoch seconds."""
    if found.change is not None and found.counted:
        if found.dimensions:
            return {}
        return {"why": "No hit in these periods has a dimension that could explain the change.", "nearest": None}
    said = _empty(question.metrics[0], comparison, found)
    days = _days_with_something(store, question, comparison, found, kept, now, bounds)
    nearest = _nearest(days, comparison, found.is_ratio)
    if nearest is None:
        said += " The days around it have no data either."
    elif nearest["against"] is None:
        said += (
            f" Among the days around it only {nearest['period']} has data, so there is nothing to compare it with yet."
        )
    else:
        said += f" Nearest days with data: period={nearest['period']}&against={nearest['against']}."
    return {"why": said, "nearest": nearest}


def _empty(formula: str, comparison: Comparison, found: Factors) -> str:
    lacking = [
        f"from {_time(period.start)} to {_time(period.end)}"
        for period, value in ((comparison.now, found.now), (comparison.before, found.before))
        if not found.counted or value is None
    ]
    what = f"{formula[:60]} divides by zero" if found.is_ratio else f"{formula[:60]} has no data"
    said = f"{what} {' and '.join(lacking)}."
    if comparison.cut is None:
        return said
    return f"{said} The period is still open, so both periods end with their last complete {interval_name(comparison.cut)}."


def _days_with_something(
    store: Counters,
    question: Question,
    comparison: Comparison,
    found: Factors,
    kept: dict[Interval, float | None],
    now: float,
    bounds: Bounds,
) -> list[int]:
    """Days of the period's zone, as ordinals, that have a ratio, or a count other than 0."""
    zone, asked = comparison.asked.zone, replace(question, paths=[ROOT], depth=0, sort=None, limit=0, null=True)
    for days in WINDOWS:
        first = day_of(comparison.asked.start, zone) - days
        last = min(day_of(int(now), zone), day_of(comparison.asked.end, zone) + days)
        period = Range(DAY, midnight(first, zone), midnight(last + 1, zone), zone)
        try:
            period = with_source(period, now, store.zone(question.account), kept)
            (row,) = series.plotpoints(store, asked, period, bounds).series
        except CallerError:  # so many days are not kept, or are too many points
            continue
        values = row.values[asked.metrics[0]]
        return [first + at for at, value in enumerate(values) if value is not None and (value or found.is_ratio)]
    return []


def _nearest(days: list[int], comparison: Comparison, is_ratio: bool) -> dict[str, str | None] | None:
    """The day with something that is nearest to the period, and the one to set beside it.

    A ratio needs one there, too: the last earlier day with something. A count is set beside the day before.
    """
    zone = comparison.asked.zone
    first, last = day_of(comparison.asked.start, zone), day_of(comparison.asked.end - 1, zone)
    places = sorted(range(len(days)), key=lambda at: (max(first - days[at], days[at] - last, 0), -days[at]))
    if not places:
        return None
    for at in places:
        if not is_ratio or at:
            return {"period": _text(days[at]), "against": _text(days[at - 1] if is_ratio else days[at] - 1)}
    return {"period": _text(days[places[0]]), "against": None}


def _text(ordinal: int) -> str:
    return f"1d:{date.fromordinal(ordinal)}..{date.fromordinal(ordinal + 1)}"


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
