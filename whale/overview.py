"""What is counted, at a glance: the rows of the page at `/`, in a few round trips, however many pks and metrics there are."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from hail.hit import RESERVED
from whale.answer.series import Number, stored_of
from whale.arguments import number_of
from whale.client import Whale
from whale.dimension import Pk
from whale.errors import PeriodError
from whale.page import Row

PKS, CHILDREN, METRICS = 50, 5, 8
OTHERS = 3
"""Rows that show metrics other than sums as well: each of these takes reads of its own."""


def overview(whale: Whale) -> tuple[list[Row], int]:
    """The first pks, each with its first children, and their totals of today; how many top pks there are beyond.

    Raises PeriodError, Unavailable.
    """
    tops = whale.pks()
    below = whale.store.pks_of(whale.account, tops[:PKS])
    more: dict[Pk, int] = {}
    for pk, children in zip(tops[:PKS], below, strict=True):
        more[pk] = len(children[CHILDREN:])
        more.update({(*pk, child): 0 for child in children[:CHILDREN]})
    rows = [Row(pk, today, more[pk]) for pk, today in zip(more, _today(whale, list(more)), strict=True)]
    return rows, len(tops[PKS:])


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
