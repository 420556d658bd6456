"""What is counted, at a glance: pks and their totals of today, in a few round trips, however many pks and metrics there are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hail.hit import RESERVED
from whale.answer.series import stored_of
from whale.client import Whale
from whale.decide import definition, off_policy
from whale.dimension import Pk
from whale.errors import PeriodError
from whale.formula import Number, number_of
from whale.store.contract.rollups import touches

PKS, CHILDREN, METRICS = 50, 5, 8
OWN = ((definition.TOP,), (off_policy.TOP,))
"""Top pks that hold the counters of decisions, which `/decisions` reports."""
OTHERS = 3
"""Rows that show metrics other than sums as well: each of these takes reads of its own."""


@dataclass(frozen=True, slots=True)
class Row:
    """One pk: its totals of today, by metric.  more: pks below it that have no row.

    was_set: of its day or month something was set, which the totals of its hours do not have.
    """

    pk: Pk
    today: dict[str, Number]
    more: int = 0
    was_set: bool = False


def overview(whale: Whale) -> tuple[list[Row], int]:
    """The first pks, each with its first children, and their totals of today; how many top pks there are beyond.

    Raises PeriodError, Unavailable.
    """
    tops = [pk for pk in whale.pks() if pk not in OWN]
    below = whale.store.pks_of(whale.account, tops[:PKS])
    more: dict[Pk, int] = {}
    for pk, children in zip(tops[:PKS], below, strict=True):
        more[pk] = len(children[CHILDREN:])
        more.update({(*pk, child): 0 for child in children[:CHILDREN]})
    today = _today(whale, list(more))
    was_set = _was_set(whale, dict(zip(more, today, strict=True)))
    rows = [Row(pk, numbers, more[pk], pk in was_set) for pk, numbers in zip(more, today, strict=True)]
    return rows, len(tops[PKS:])


def _was_set(whale: Whale, today: Mapping[Pk, Mapping[str, Number]]) -> set[Pk]:
    """The pks of whose metrics something was set in a wider bucket than today is read from."""
    asked, zone = whale.range_of("today"), whale.store.zone(whale.account)
    spans = [(stored_of(part, zone)[0], part.start, part.end) for part in asked.parts or (asked,)]
    every = zip(today, whale.store.adjustments_of(whale.account, list(today)), strict=True)
    return {
        pk
        for pk, marks in every
        if any(
            (mark.metrics is None or not today[pk].keys().isdisjoint(mark.metrics))
            and any(touches(mark, span) for span in spans)
            for mark in marks
        )
    }


def _today(whale: Whale, pks: Sequence[Pk]) -> list[dict[str, Number]]:
    """For each pk the totals of today, of its first metrics; of what is no sum, where those rows are not too many."""
    store, account = whale.store, whale.account
    names = [[name for name in metrics if name not in RESERVED][:METRICS] for metrics in store.metrics_of(account, pks)]
    kinds = store.kinds_of(account, pks)
    others = [[name for name in mine if name in kind] for mine, kind in zip(names, kinds, strict=True)]
    wanted = [
        (pk, [()], [name for name in mine if name not in kind])
        for pk, mine, kind in zip(pks, names, kinds, strict=True)
    ]
    sums = [Counter[str]() for _ in pks]
    today, zone = whale.range_of("today"), store.zone(account)
    for part in today.parts or (today,):
        for found, (_, _, metrics), cells in zip(
            sums, wanted, store.read_each(account, wanted, *stored_of(part, zone)), strict=True
        ):
            found.update(dict(zip(metrics, map(sum, cells[0].tolist()), strict=True)))
    rows: list[dict[str, Number]] = [
        {name: number_of(name, amount) for name, amount in found.items()} for found in sums
    ]
    for row in [row for row, some in enumerate(others) if some][:OTHERS]:
        with suppress(PeriodError):  # names of a distinct count are not kept for such hours as this zone's day has
            found = whale.totals(pks[row], metrics=others[row], periods=["today"])["today"]["_"]
            rows[row] = {name: {**rows[row], **found}[name] for name in names[row]}
    return rows
