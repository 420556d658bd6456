"""The usual hits of a body as columns, all at once; those that must be looked at by themselves stand in their places among them.

    usual hits ── put ──> names by number, each checked once; numbers checked and rounded by numpy ──> Columns ──> Packed

A hit of another form, and one of which a part is refused, near a bound or rare, is asked of `row`, and then of `parse_row`.

Promise: the same hits in the same order, the same refusals and the same bounds of a message as if each came alone.
tests/unit/test_usual.py is the law. Nothing is remembered from one body to the next.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hail.columns import HASH, KEY, Ints
from hail.draft import (
    Columns,
    Fields,
    Metrics,
    Top,
    columns_of,
    field_of,
    ints,
    joined,
    pieces_of,
    top_of,
)
from hail.hit import (
    BOTS,
    FIELDS,
    MAX_NUMBER,
    RESERVED,
    HitError,
    Parsed,
    encode_row,
    further_paths,
    millionths,
    ms_of,
    properties_of,
    sub_of,
)
from hail.packing import Packed
from hail.settings import Settings
from hail.usual import MILLISECONDS_FROM, NEAR, OVER_S, SECONDS_FROM, Unusual, Usual, time_of

MANY = 32
"""Hits of a body from which on they cost less all at once."""
LABELS = ("id", "visitor", "event")
HITS_NONE, HITS_FIRST, HITS_LATER = range(3)
"""Where the metrics of a hit name `hits`."""
_HUGE = 1e300
_ASK: Top = ("",)
_NOTHING: Top = ()
"""In place of a top dimension: the hit must be asked, or nothing is said. No name is empty."""
_PARTS = attrgetter(*FIELDS)
T = TypeVar("T")

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ask = Callable[[int], Parsed | None]
"""Of the hit at a place of the body: what it is, or None where it is refused."""


class Found(NamedTuple):
    """columns: of the hits that need not be asked.  cells: of each of these.  ask: of each hit of the body, whether it must.

    ahead: how many were ahead of the clock.
    """

    columns: Columns
    cells: Ints
    ask: Bools
    ahead: int


class Bulk:
    """many: hits of a body from which on it is asked. For many threads."""

    def __init__(self, settings: Settings, usual: Usual, many: int = MANY):
        self._settings, self._usual, self.many = settings, usual, many
        self._bands = frozenset(settings.bands)
        self._no_sums = RESERVED.union(settings.kinds)

    def put(self, hits: Sequence[Any], now: float, packed: Packed, ask: Ask, key: str = "", hash: str = "") -> int:
        """Adds hits; how many were ahead of the clock. hits: usual ones, or None for those that must be asked.

        key, hash: as of `with_key`; what `ask` gives has it already.
        """
        is_usual = np.fromiter((hit is not None for hit in hits), bool, len(hits))
        must = np.ones(len(hits), bool)
        columns, cells, must[is_usual], ahead = self._found(hits if is_usual.all() else list(filter(None, hits)), now)
        if found := hash or key:
            of_all = np.arange(columns.hits), [found] * columns.hits
            columns = replace(columns, fields={**columns.fields, HASH if hash else KEY: of_all})
        more = [(number, parsed) for number in np.flatnonzero(must).tolist() if (parsed := ask(number))]
        if more:
            others = columns_of([pieces_of(row) for _, (row, _, _) in more])
            order = np.argsort(np.concatenate((np.flatnonzero(~must), ints(number for number, _ in more))))
            columns = joined([columns, others]).of(order) if columns.hits else others
            cells = np.concatenate((cells, ints(cells_of_one for _, (_, cells_of_one, _) in more)))[order]
            ahead += sum(is_ahead for _, (_, _, is_ahead) in more)
        if columns.hits:
            packed.put_columns(columns, cells)
        return ahead

    def _found(self, hits: Sequence[Any], now: float) -> Found:
        if not hits:
            return Found(columns_of([]), ints([]), np.zeros(0, bool), 0)
        given_pk, given_dimensions, dimension, given_metrics, metric, at, *rest = zip(*map(_PARTS, hits), strict=True)
        *labels, given_properties, basis = rest
        dimensions, ask = _dicts_of(given_dimensions)
        metrics, has_others = _dicts_of(given_metrics)
        ask |= has_others | _are_given(dimension) | _are_given(metric) | _are_given(basis)
        for label in labels:
            ask |= ~_are_of(label, (str, type(None)))

        names = (tuple(pk) if type(pk) is list else (pk,) for pk in given_pk)
        pk, pks = _numbered(names)
        ask |= _bools(each[0] == BOTS or any(type(name) is not str for name in each) for each in pks)[pk]
        shape, shapes = _numbered(map(tuple, metrics))
        ask |= _bools(not self._no_sums.isdisjoint(each) for each in shapes)[shape]
        where = ints(map(_place_of_hits, shapes))[shape]
        for number in np.flatnonzero(where == HITS_LATER).tolist():
            metrics[number] = {"hits": metrics[number]["hits"], **metrics[number]}
        amounts, widths, is_wrong = _amounts_of(metrics, where)
        with_hits, shapes = _numbered(tuple({"hits": 1, **dict.fromkeys(each)}) for each in shapes)
        at_ms, is_ahead, is_odd = _times_of(at, now)
        ask |= is_wrong | is_odd

        places, branches, nodes = self._branches_of(dimensions)
        counts = ints(map(len, dimensions))
        owners = np.repeat(np.arange(len(hits)), counts)
        lengths = ints(map(len, branches))
        for top, length in nodes.items():
            lengths[branches[top]] = length
        paths = np.bincount(owners, lengths[places], len(hits)).astype(np.int64)
        properties, is_odd = self._properties_of(given_properties)
        ask |= is_odd
        said = {name: field for name, label in zip(LABELS, labels, strict=True) if (field := field_of(label))}
        fields = self._with_properties(said, properties, at, now)
        further = self._further(labels[LABELS.index("event")], properties)
        cells = (ints(map(len, pks))[pk] * (paths + 1) + further) * widths * len(self._settings.periods)
        ask |= (paths > self._settings.max_paths) | (cells > self._settings.max_cells_per_hit)
        if _ASK in branches:
            ask[owners[places == branches[_ASK]]] = True
        if _NOTHING in branches:
            counts -= np.bincount(owners[places == branches[_NOTHING]], minlength=len(hits))
            places = places[places != branches[_NOTHING]]

        columns = Columns(
            [encode_row(each) for each in pks],
            list(branches),
            list(shapes),
            pk,
            at_ms,
            with_hits[shape],
            counts,
            places,
            amounts,
            fields,
        )
        if ask.any() or _NOTHING in branches:
            columns, cells, is_ahead = columns.of(np.flatnonzero(~ask)), cells[~ask], is_ahead[~ask]
        return Found(columns, cells, ask, int(is_ahead.sum()))

    def _properties_of(self, given: Sequence[Any]) -> tuple[Sequence[dict[str, str] | None], Bools]:
        """JSON of each, and where a hit must be asked."""
        is_odd, settings = np.zeros(len(given), bool), self._settings
        if not any(given):
            return [None] * len(given), is_odd
        found: list[dict[str, str] | None] = [None] * len(given)
        for place, each in enumerate(given):
            if each:
                try:
                    found[place] = properties_of(each, settings)
                except HitError:
                    is_odd[place] = True
        return found, is_odd

    def _further(self, events: Sequence[str | None], properties: Sequence[dict[str, str] | None]) -> Ints:
        settings = self._settings
        if not settings.visitor_log or not (any(events) or any(properties)):
            return np.zeros(len(events), np.int64)
        pairs = zip(events, properties, strict=True)
        return ints(further_paths(event, given, settings) for event, given in pairs)

    def _with_properties(
        self, said: Fields, properties: Sequence[dict[str, str] | None], at: Sequence[Any], now: float
    ) -> Fields:
        """The fields of hits, and what they say of visitors."""
        fields = {**said}
        if field := field_of(properties):
            fields["properties"] = field
        if "visitor" in fields:
            acting = np.zeros(len(at), bool)
            for name in ("event", "properties"):
                if name in fields:
                    acting[fields[name][0]] = True
            who = fields["visitor"][0]
            who = who[acting[who]]
            if len(who := who[~_are_given(at)[who]]):
                fields["sub"] = who, [sub_of(now)] * len(who)
        return fields

    def _branches_of(
        self, dimensions: Iterable[Mapping[str, Any]]
    ) -> tuple[Ints, Mapping[Top, int], Mapping[Top, int]]:
        """Numbers of the top dimensions of all hits, as they come first; and the nodes of those of which that is not the length."""
        numbers: dict[Top, int] = {}
        nodes: dict[Top, int] = {}
        places: list[int] = []
        bands, number, add = self._bands, numbers.setdefault, places.append
        for each in dimensions:
            for item in each.items():
                name, value = item
                if name in bands:
                    add(number(_ASK, len(numbers)))
                elif type(value) is str:
                    add(number(item, len(numbers)))
                elif type(value) is dict and len(value) == 1 and type(leaf := next(iter(value.values()))) is str:
                    add(number((name, *value, leaf), len(numbers)))
                elif value is None:
                    add(number(_NOTHING, len(numbers)))
                else:
                    top = _ASK
                    with suppress(Unusual):
                        tree, below = self._usual.below(value)
                        top = top_of(name, tree)
                        nodes[top] = below + 1
                    add(number(top, len(numbers)))
        return ints(places), numbers, nodes


def _numbered(names: Iterable[T]) -> tuple[Ints, Mapping[T, int]]:
    """Numbers of names, as they come first."""
    numbers: dict[T, int] = {}
    return ints([numbers.setdefault(name, len(numbers)) for name in names]), numbers


def _dicts_of(given: Sequence[Any]) -> tuple[list[dict[str, Any]], Bools]:
    """The same, empty where there is none; and where there is something else."""
    return [each if type(each) is dict else {} for each in given], ~_are_of(given, (dict, type(None)))


def _are_of(given: Sequence[Any], kinds: Collection[type]) -> Bools:
    if set(map(type, given)).issubset(kinds):
        return np.ones(len(given), bool)
    return _bools(type(each) in kinds for each in given)


def _are_given(given: Sequence[Any]) -> Bools:
    return ~_are_of(given, (type(None),))


def _bools(given: Iterable[bool]) -> Bools:
    return np.fromiter(given, bool)


def _place_of_hits(metrics: Metrics) -> int:
    return HITS_NONE if "hits" not in metrics else HITS_FIRST if metrics[0] == "hits" else HITS_LATER


def _amounts_of(metrics: Sequence[dict[str, int | float]], where: Ints) -> tuple[Ints, Ints, Bools]:
    """Amounts of all hits, `hits` first; how many each has; and of which some must be asked. where: of each, where `hits` stands."""
    given: list[int | float] = list(chain.from_iterable(map(dict.values, metrics)))
    widths = ints(map(len, metrics))
    begins = np.cumsum(widths) - widths
    owners = np.repeat(np.arange(len(metrics)), widths)
    numbers, is_number = _floats(given)
    is_number &= np.abs(numbers) <= MAX_NUMBER
    scaled = np.where(is_number, numbers, 0) * 1e6
    rounded = np.rint(scaled)
    amounts = rounded.astype(np.int64)
    is_near = np.abs(np.abs(scaled - rounded) - 0.5) <= np.abs(scaled) * NEAR
    for place in np.flatnonzero(is_near & is_number).tolist():
        amounts[place] = millionths(given[place])
    hits = begins[(where != HITS_NONE) & (widths > 0)]
    amounts[hits] = np.where(is_number[hits], numbers[hits], 0).astype(np.int64)
    is_number[hits] &= amounts[hits] == numbers[hits]
    is_wrong = np.zeros(len(metrics), bool)
    is_wrong[owners[~is_number]] = True

    implied = where == HITS_NONE
    widths = widths + implied
    is_given = np.ones(int(widths.sum()), bool)
    is_given[(np.cumsum(widths) - widths)[implied]] = False
    found = np.ones(len(is_given), np.int64)
    found[is_given] = amounts
    return found, widths, is_wrong


def _times_of(given: Sequence[Any], now: float) -> tuple[Ints, Bools, Bools]:
    """Milliseconds since 1970, whether it was ahead of the clock, and whether it must be asked; of each."""
    kinds = set(map(type, given))
    is_ahead, is_odd, is_usual = (np.zeros(len(given), bool) for _ in range(3))
    at = np.full(len(given), ms_of(None, now)[0])
    if kinds == {type(None)}:
        return at, is_ahead, is_odd
    if kinds <= {int, float}:
        numbers, _ = _floats(given)
        scaled = numbers * 1000
        rounded = np.rint(scaled)
        is_exact = rounded / 1000 == numbers
        in_s = (numbers >= SECONDS_FROM) & (numbers < now - OVER_S)
        in_s &= is_exact | (np.abs(scaled - rounded) > scaled * NEAR)
        in_ms = (numbers >= MILLISECONDS_FROM) & (numbers < (now - OVER_S) * 1000) & (numbers == np.floor(numbers))
        is_usual = in_s | in_ms
        ms = np.where(in_ms, numbers, np.where(is_exact, rounded, np.floor(scaled)))
        at = np.where(is_usual, ms, 0).astype(np.int64)
    for place in np.flatnonzero(~is_usual).tolist():
        try:
            at[place], is_ahead[place] = time_of(given[place], now)
        except HitError:
            is_odd[place] = True
    return at, is_ahead, is_odd


def _floats(given: Sequence[Any]) -> tuple[Floats, Bools]:
    """The same numbers, 0 where there is none that a float can hold; and where there is one."""
    if set(map(type, given)) <= {int, float}:
        with suppress(OverflowError):
            return np.array(given, np.float64), np.ones(len(given), bool)
    is_number = _bools(type(each) is float or (type(each) is int and abs(each) < _HUGE) for each in given)
    return np.array(
        [each if good else 0 for each, good in zip(given, is_number.tolist(), strict=True)], np.float64
    ), is_number
