"""Usual hits, decoded and checked in one go: JSON ── read ──> Usual ── row ──> what `parse_row` gives, in a fourth of the time.

msgspec decodes into a type that states nearly all bounds of a hit, so most checks are done in C while it reads. `row` does the rest.
What the type does not take, and what `row` gives up, is unusual: it goes to `parse_row`, which also knows the words of each refusal.

Promise: both ways give the same row, and nothing is taken here that is refused there. tests/unit/test_usual.py is the law.
Nothing is remembered from one body to the next: no stranger fills a table, and a hit that came never before costs the same.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from hail.hit import (
    BOTS,
    FIELDS,
    MAX_NUMBER,
    MILLION,
    RESERVED,
    ROOT_TEXT,
    Dimensions,
    HitError,
    Parsed,
    Reason,
    dimensions_of,
    further_paths,
    metrics_of,
    millionths,
    ms_of,
    name_of,
    properties_of,
    row_of,
    said_of,
)
from hail.room import WIDE
from hail.settings import Settings
from hail.times import EPOCH, MOST_TEXT, in_utc

MOST_NESTING = 8
"""Levels that the type describes; MAX_LEVELS may be more."""

_LEAF: Dimensions = {}
_EXACT = 2.0**49
"""Of a smaller number, millionths that are whole are those that its decimal digits say."""
NEAR = 2.0**-50
"""How far, by its size, a product of floats may be from that of the shortest decimals they stand for: 2^-52, and some more."""
SECONDS_FROM, MILLISECONDS_FROM = 10**8, 10**11
"""From here on a number is no date, and from here on it counts milliseconds: hail/times.py. Until the year 5138 those are ahead."""
OVER_S = 0.001
"""A time so long ago is not ahead of the clock, however it is rounded."""
_SHORT_ISO = len("2026-01-01T00:00")
_MILLISECOND = timedelta(milliseconds=1)


Item = bytes | msgspec.Raw


class Unusual(Exception):
    """`parse_row` must look."""


UNUSUAL = (Unusual, msgspec.DecodeError, UnicodeError, RecursionError)
"""What reading raises, and `row`, of a hit that is unusual. A HitError of `row` is the one that `parse_row` raises."""


class Usual:
    """What reads usual hits, and makes rows of them or fills columns with them. For many threads."""

    def __init__(self, settings: Settings):
        self.row, self.below = _ways(settings)
        self._ascii, wide = (_type_of_hit(settings, settings.max_name_bytes // bytes_) for bytes_ in (1, WIDE))
        self._of_ascii, self._of_any = Reading.of(self._ascii), Reading.of(wide)

    def reading(self, body: bytes) -> "Reading":
        """What reads the usual hits of a body, for `row`; each raises one of UNUSUAL.

        A letter of a name is a byte where all are ASCII, and may be four elsewhere.
        """
        return self._of_ascii if is_ascii(body) else self._of_any

    def of_fields(self, fields: Mapping[str, Any], text: str) -> Any:
        """A usual hit of the fields that were read from a text; raises one of UNUSUAL. A text with escapes may hide other letters."""
        if not text.isascii() or "\\" in text:
            raise Unusual
        return msgspec.convert(fields, self._ascii)


class Reading(NamedTuple):
    """one: a hit from its JSON.  many: all of a list.  lines: of JSON texts one after the other, with any whitespace between them."""

    one: Callable[[Item], Any]
    many: Callable[[bytes], list[Any]]
    lines: Callable[[bytes], list[Any]]

    @classmethod
    def of(cls, kind: Any) -> "Reading":
        one = msgspec.json.Decoder(kind)
        return cls(one.decode, msgspec.json.Decoder(list[kind]).decode, one.decode_lines)


def is_ascii(body: bytes) -> bool:
    """Whether each letter of a JSON text is one byte."""
    return body.isascii() and not (b"\\" in body and b"\\u" in body)


def _type_of_hit(settings: Settings, letters: int) -> Any:
    text: Any = Annotated[str, Meta(min_length=1, max_length=letters)]
    name: Any = text | int | float | bool
    levels = min(settings.max_levels, MOST_NESTING)

    def names(most: int, more: Any = name) -> Any:
        return Annotated[list[more], Meta(max_length=most)]

    below: Any = name | names(1) | None
    for level in range(levels - 1, 1, -1):
        below = name | names(levels - level + 1) | dict[text, below] | None
    tree = dict[text, below] if levels > 1 else dict[text, None]
    dimensions = text | names(levels, name | list[name]) | tree | None
    amounts = Annotated[dict[text, Any], Meta(max_length=settings.max_metrics_per_hit)]
    metrics = text | names(settings.max_metrics_per_hit, text) | amounts | None
    kinds = {
        "pk": name | Annotated[list[name], Meta(min_length=1, max_length=settings.max_levels)] | None,
        "dimensions": dimensions,
        "dimension": dimensions,
        "metrics": metrics,
        "metric": metrics,
        "at": int | float | str | None,
        "properties": dict[text, Any] | None,
        "basis": str | None,
    }
    fields = [(field, kinds.get(field, name | None), None) for field in FIELDS]
    return msgspec.defstruct("Usual", fields, forbid_unknown_fields=True, gc=False)


def _ways(settings: Settings) -> tuple[Callable[[Any, float], Parsed], Callable[[Any], tuple[Dimensions, int]]]:
    """`row`, which makes a row of a usual hit, and `below`, which makes the tree of a value. Both raise Unusual."""
    intervals, most_cells, most_paths = len(settings.periods), settings.max_cells_per_hit, settings.max_paths
    bands = frozenset(settings.bands)
    no_sums = RESERVED.union(settings.kinds)

    def named(value: Any) -> str:
        if type(value) is str:
            return value
        try:
            return name_of(value, "", settings, Reason.BAD_DIMENSIONS)
        except HitError:
            raise Unusual from None

    def below(value: Any) -> tuple[Dimensions, int]:
        """The tree of a value, and how many nodes it has."""
        if type(value) is dict:
            tree, nodes = {}, 0
            for name, inner in value.items():
                if type(inner) is str:
                    tree[name] = {inner: _LEAF}
                    nodes += 2
                elif inner is not None:
                    tree[name], more = below(inner)
                    nodes += more + 1
            return tree, nodes
        names = value if type(value) is list else (value,)
        tree = _LEAF
        for name in reversed(names):
            tree = {named(name): tree}
        return tree, len(names)

    def tree_of(value: Any) -> tuple[Dimensions, int]:
        """As `dimensions_of`."""
        if type(value) is dict:
            if not bands.isdisjoint(value):
                return dimensions_of(value, settings)
        elif value == ROOT_TEXT:
            return _LEAF, 0
        elif type(value) is list and value and (list in map(type, value) or value[0] == ROOT_TEXT or value[0] in bands):
            return dimensions_of(value, settings)
        return below(value)

    def amounts_of(value: Any) -> dict[str, int]:
        """Sums; raises Unusual where there are others, or where one is refused."""
        amounts = {"hits": 1}
        if type(value) is not dict:
            value = dict.fromkeys(value if type(value) is list else (value,), 1)
        for name, number in value.items():
            if name in no_sums:
                raise Unusual
            if type(number) is float and name != "hits":
                scaled = number * 1e6
                is_exact = scaled.is_integer() and -_EXACT < scaled < _EXACT
                amounts[name] = int(scaled) if is_exact else usual_millionths(number)
            elif type(number) is int and -MAX_NUMBER <= number <= MAX_NUMBER:
                amounts[name] = number if name == "hits" else number * MILLION
            elif number is not None:
                raise Unusual
        return amounts

    def pk_of(value: Any) -> list[str]:
        if value is None:
            raise Unusual
        if type(value) is not list:
            value = [value]
        if value[0] == BOTS:
            raise Unusual
        for name in value:
            if type(name) is not str:
                return [named(name) for name in value]
        return value

    def row(hit: Any, now: float) -> Parsed:
        # In the order of parse_row: when a function of hit.py refuses a part, all before it is sound.
        dimensions, metrics = hit.dimensions, hit.metrics
        if hit.dimension is not None:
            if dimensions is not None:
                raise Unusual
            dimensions = hit.dimension
        if hit.metric is not None:
            if metrics is not None:
                raise Unusual
            metrics = hit.metric
        pk = pk_of(hit.pk)
        if type(dimensions) is dict and not bands:
            tree, paths = below(dimensions)
        elif dimensions is not None:
            tree, paths = tree_of(dimensions)
        else:
            tree, paths = _LEAF, 0
        if paths > most_paths:
            raise Unusual
        visitor = hit.visitor
        if visitor is not None:
            visitor = named(visitor)
        others = None
        try:
            amounts = {"hits": 1} if metrics is None else amounts_of(metrics)
            count = len(amounts)
        except Unusual:
            amounts, others = metrics_of(metrics, visitor, settings)
            count = len(amounts) + len(others)
        event, properties = hit.event, hit.properties
        if event is None and properties is None:
            further = 0
        else:
            event = None if event is None else named(event)
            properties = properties_of(properties, settings)
            further = further_paths(event, properties, settings)
        cells = (len(pk) * (paths + 1) + further) * count * intervals
        if cells > most_cells:
            raise Unusual
        at_ms, is_ahead = time_of(hit.at, now)
        id_, basis = hit.id, hit.basis
        if id_ is None and event is None and visitor is None and properties is None and basis is None and not others:
            return (pk, tree, amounts, at_ms), cells, is_ahead
        id_ = None if id_ is None else named(id_)
        said = said_of(visitor, event, properties, hit.at is None, basis, now)
        before = pk, tree, amounts, at_ms, id_, visitor, event, others or None
        return row_of(*before, None, None, None, *said), cells, is_ahead

    return row, below


def usual_millionths(number: float) -> int:
    """As `millionths`: decimal digits are asked only where a half may be near."""
    if not -MAX_NUMBER <= number <= MAX_NUMBER:
        raise Unusual
    scaled = number * 1e6
    amount = round(scaled)
    return amount if abs(abs(scaled - amount) - 0.5) > abs(scaled) * NEAR else millionths(number)


def time_of(at: Any, now: float) -> tuple[int, bool]:
    """As `ms_of`."""
    if type(at) is float and SECONDS_FROM <= at < now - OVER_S and (ms := round(at * 1000)) / 1000 == at:
        return ms, False  # its shortest decimal form has three places
    at_ms = usual_ms(at, now)
    return ms_of(at, now) if at_ms is None else (at_ms, False)


def usual_ms(at: Any, now: float) -> int | None:
    """Milliseconds since 1970 of a time that is surely over, as `ms_of` has them; None where that must be asked."""
    over = now - OVER_S
    kind = type(at)
    if kind is float:
        if SECONDS_FROM <= at < over:
            scaled = at * 1000
            if abs(scaled - round(scaled)) > scaled * NEAR:
                return int(scaled)
    elif kind is int:
        if SECONDS_FROM <= at < over:
            return at * 1000
        if MILLISECONDS_FROM <= at < over * 1000:
            return at
    elif kind is str and _SHORT_ISO <= len(at) <= MOST_TEXT and at[4] == "-" and at[10] == "T":
        try:
            when = datetime.fromisoformat(at)
            ms = ((when if when.tzinfo else in_utc(when)) - EPOCH) // _MILLISECOND
        except (ValueError, OverflowError):
            return None
        if 0 < ms < over * 1000 - 1:
            return ms
    return None
