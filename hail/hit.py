"""A hit: one report that something happened, its checks, the closed list of reasons to refuse one, its wire form.

Input is checked here, once; past this module a hit is known to be sound and to fit every bound.

Wire form, version 1, one JSON array a hit (a message holds many, see message.py):

    [pk, dimensions, metrics, at, id, visitor, event, others, ignored, key, hash, properties, sub, basis, known]

    pk           list of names, as ["Product","123"]
    dimensions   nested objects in sorted order, a leaf is {}: {"country":{"US":{"CA":{}}},"device":{"Mac OS X":{}}}
    metrics      name -> integer: `hits` as it is, every other metric in millionths; sums only
    at           milliseconds since the epoch
    id, visitor, event   text or null; trailing nulls are left out
    others       metrics that are no sums: name -> [kind, value], or null; of distinct the text to count, else millionths.
                 The outcome of a decision also has "__moments__": ["moments", 1], or 0 where its trial was counted before;
                 or, where it adds to rewards of the same outcome, their sums so far: ["moments", {"value": 5000000}]
    ignored      names of parameters beside it that no field has, to be shown and not counted; or left out
    key          id of the key of the directory of accounts by which it came, 8 hex letters; or left out
    hash         in place of it the SHA-256 of the secret, 64 hex letters, where Hail could not look it up; in no message of version 1
    properties   name -> JSON text, of the visitor or the event; in no message of version 1, nor is what follows
    sub          0..48, how many 1/49 of a ms it came after `at`, where it said no time of its own; of what a visitor did alone
    basis        "daily" where the visitor is known under this id for a day alone
    known        another id, which is to be the same visitor's from a while after on; such a hit counts nothing
"""

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

import msgspec

from hail.geo import GEO, LETTERS, place_of
from hail.meant import did_you_mean
from hail.settings import DISTINCT, KINDS, SUM, Settings
from hail.times import NoTime, came, time_of
from hail.times import shown as _shown

ROOT_TEXT = "_"
MILLION = 1_000_000
MAX_NUMBER = 9_000_000_000
MAX_AMOUNT = MAX_NUMBER * MILLION
OLDEST_S = -2_208_988_800  # 1900-01-01
YEAR_S = 366 * 86_400
LENIENT_TEXT_BYTES = 16_384
LENIENT_NESTING = 20
LENIENT_BITS = 10_000  # Python refuses to write much larger numbers
FIELDS = ("pk", "dimensions", "dimension", "metrics", "metric", "at", "id", "visitor", "event", "properties", "basis")
OTHER_SPELLINGS = {
    "dim": "dimension",
    "dims": "dimensions",
    "pks": "pk",
    "ids": "id",
    "visitor_id": "visitor",
    "event_name": "event",
    "property": "properties",
    "props": "properties",
}
DECIDED_FIELDS = ("decision", "option")  # beside those, of an outcome
TYPED = frozenset(("pk", "metric", "metrics", "dimension", "dimensions", "properties"))
"""Fields that may be typed as JSON or Python where a value is text."""
MOMENTS, DECIDED, EXPECTED = "__moments__", "__decided__", "__expected__"
MOMENTS_KIND = "moments"
BOTS = "__bots__"
"""The first name of the pks at which HailWhale itself counts hits of bots, [BOTS, site]; no hit may have it."""
RESERVED = frozenset((MOMENTS, DECIDED, EXPECTED))
"""Metrics of decisions that HailWhale itself counts; no hit may name them."""
MOST_MOMENTS = 4
"""Metrics of an outcome, the first by name, whose squares and products are counted."""

DAILY = "daily"
TICKS_A_MS = 49
MOST_PROPERTIES, MOST_PROPERTY_BYTES = 32, 1024
MOST_LISTED = 8
"""Properties of its hits that a site may list as dimensions, and of its events."""

_VISITOR, _EVENT, _IGNORED, _KEY, _HASH, _PROPERTIES, _BASIS, _KNOWN = 5, 6, 8, 9, 10, 11, 13, 14  # places in a row
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[])
"""Not the thread's, which a program may have changed."""
_FIELDS = frozenset(FIELDS)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)

Dimensions = dict[str, "Dimensions"]
Row = Sequence[Any]
"""The parts of a wire form, as at the top of this module, without the nulls at its end."""
Parsed = tuple[Row, int, bool]
"""Of a checked hit: its row, its cells, and whether its time was ahead of the clock."""
Others = dict[str, tuple[str, int | str | dict[str, int]]]


class Reason(StrEnum):
    """Why a hit, or a part of one, was not counted: the error code, the metric label, the heading in the docs."""

    # refused by Hail: never accepted
    BAD_JSON = "bad_json"
    BAD_PK = "bad_pk"
    BAD_DIMENSIONS = "bad_dimensions"
    BAD_METRICS = "bad_metrics"
    BAD_TIME = "bad_time"
    BAD_ID = "bad_id"
    BAD_CALLBACK = "bad_callback"
    BAD_PIXEL = "bad_pixel"
    UNKNOWN_FIELD = "unknown_field"
    NAME_TOO_LONG = "name_too_long"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    TOO_MANY_PATHS = "too_many_paths"
    TOO_MANY_LEVELS = "too_many_levels"
    TOO_MANY_METRICS = "too_many_metrics"
    BAD_PROPERTIES = "bad_properties"
    TOO_MANY_PROPERTIES = "too_many_properties"
    TOO_MANY_CELLS = "too_many_cells"
    BODY_TOO_LARGE = "body_too_large"
    BODY_CUT_OFF = "body_cut_off"
    BATCH_TOO_LARGE = "batch_too_large"
    UNAUTHORIZED = "unauthorized"
    KEYLESS = "keyless"
    FOREIGN_ORIGIN = "foreign_origin"
    OTHER_SITE = "other_site"
    NO_DIRECTORY = "no_directory"
    OVERLOADED = "overloaded"
    SPOOL_FULL = "spool_full"
    # neither refused nor accepted: it may be counted, or not
    UNCONFIRMED = "unconfirmed"
    # after it was accepted
    DUPLICATE = "duplicate"
    UNDECODABLE = "undecodable"
    UNDECODABLE_HIT = "undecodable_hit"
    RESET = "reset"
    OVERFLOW = "overflow"
    WRONG_TYPE = "wrong_type"
    MIXED_KINDS = "mixed_kinds"
    UNKNOWN_ACCOUNT = "unknown_account"
    UNKNOWN_SITE = "unknown_site"
    REVOKED_KEY = "revoked_key"


class HitError(Exception):
    """A hit that the caller must mend: reason, the field at fault, what was expected and what came."""

    def __init__(self, reason: Reason, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.reason, self.field = reason, field


@dataclass(frozen=True, slots=True)
class Hit:
    """One hit that passed every check.

    pk: 1 or more names.  dimensions: nested, a leaf is {}.  metrics: amounts, `hits` plain, others in millionths.
    at_ms: milliseconds since the epoch.  cells: pk prefixes x paths x metrics x intervals, before anything is added up.
    skewed: its time was ahead of the clock and was set to now.  others: metrics that are no sums, by kind.
    ignored: names of parameters that came beside it and are no fields.  properties, sub, basis: as in the wire form.
    """

    pk: tuple[str, ...]
    dimensions: Dimensions
    metrics: dict[str, int]
    at_ms: int
    id: str | None = None
    visitor: str | None = None
    event: str | None = None
    cells: int = 1
    skewed: bool = False
    others: Others | None = None
    ignored: tuple[str, ...] | None = None
    properties: dict[str, str] | None = None
    sub: int | None = None
    basis: str | None = None


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(strict=True).decode


def row_of(*parts: Any) -> Row:
    """All parts of a wire form, in their order."""
    row = list(parts)
    while row[-1] is None:
        row.pop()
    return row


def of_bots(row: Row) -> Row:
    """The same row of a site, as one of the bots that were there."""
    return [[BOTS, *row[0]], *row[1:]]


def with_ignored(row: Row, names: Sequence[str]) -> Row:
    """The same row, with names of parameters that were ignored."""
    return _with(row, _IGNORED, names)


def with_key(row: Row, key: str, hash: str = "") -> Row:
    """The same row, with the id of its key, or the hash of what may be the secret of one, if it came by such."""
    if hash:
        return _with(row, _HASH, hash)
    return _with(row, _KEY, key) if key else row


def _with(row: Row, place: int, value: Any) -> Row:
    found = [*row, *[None] * (place + 1 - len(row))]
    found[place] = value
    return found


def line_of(row: Row) -> bytes:
    """The wire form of version 1."""
    return _encode(row_of(*row[:_PROPERTIES]))


def lost_in_lines(row: Row) -> str:
    """The field that a message of version 1 would lose, if one says who or what a visitor is; else empty."""
    if len(row) > _KNOWN:
        return "known"
    if len(row) > _PROPERTIES and row[_PROPERTIES] is not None:
        return "properties"
    return "basis" if len(row) > _BASIS else ""


def lacks_visitor(row: Row) -> bool:
    """Whether it says an event or properties of a visitor, and not whose."""
    if len(row) <= _VISITOR or row[_VISITOR] is not None:
        return False
    return any(len(row) > place and row[place] is not None for place in (_EVENT, _PROPERTIES))


encode_row = _encode
"""The wire form of a row."""


def encode_hit(hit: Hit) -> bytes:
    """The wire form of one hit, at the top of this module."""
    return _encode(row_of_hit(hit))


def row_of_hit(hit: Hit) -> Row:
    return row_of(
        *(hit.pk, hit.dimensions, hit.metrics, hit.at_ms, hit.id, hit.visitor, hit.event, hit.others, hit.ignored),
        *(None, None, hit.properties, hit.sub, hit.basis),
    )


class Timeless:
    """The wire form of a hit but for its time: what is like it needs no checks and no encoding, only its own time."""

    __slots__ = ("_after", "_before")

    def __init__(self, row: Row):
        self._before = _encode(row[:3])[:-1] + b","
        self._after = b"," + _encode(row[4:])[1:] if row[4:] else b"]"

    def at(self, now: float) -> bytes:
        """The wire form of the same hit, had it come at these epoch seconds."""
        return b"%b%d%b" % (self._before, math.floor(now * 1000), self._after)


def wire_part(value: Any) -> bytes:
    """A part of a hit, as `wire_of` puts it together: names, a text; or some dimensions or metrics, to stand among others."""
    text = _encode(value)
    return text[1:-1] if isinstance(value, dict) else text


def wire_of(
    pk: bytes,
    dimensions: Sequence[bytes],
    metrics: Sequence[bytes],
    at_ms: bytes,
    id_: bytes | None,
    others: Sequence[bytes],
    visitor: bytes | None = None,
    event: bytes | None = None,
    properties: bytes | None = None,
) -> bytes:
    """The wire form of a hit of which each part is a `wire_part`; dimensions in the order of their names."""
    parts = [pk, _object(dimensions), _object(metrics), at_ms]
    rest = [id_, visitor, event, _object(others) if others else None, None, None, None, properties]
    while rest and not rest[-1]:
        rest.pop()
    return b"[%b]" % b",".join((*parts, *(part or b"null" for part in rest)))


def _object(members: Sequence[bytes]) -> bytes:
    return b"{%b}" % b",".join(members)


def meant(name: str, expected: Sequence[str]) -> str:
    """The fields that a name is near to, else all that there are, in words."""
    other = OTHER_SPELLINGS.get(name.lower(), "")
    likeness = 0.6 if len(name) <= 2 else 0.7  # t is at, but revenue is not event
    return f"did you mean {other}?" if other in expected else did_you_mean(name[:60].lower(), expected, likeness, 2)


def parse_hit(given: Mapping[str, Any], settings: Settings, now: float, expected: Sequence[str] = FIELDS) -> Hit:
    """A checked hit from decoded JSON (or from `lenient` values of a URL); raises HitError.

    now: epoch seconds, the hit's time unless it says its own.  expected: fields to name where there is another.
    """
    pk, tree, amounts, at_ms, id_, visitor, event, others, said, cells, is_ahead = _parts(
        given, settings, now, expected
    )
    return Hit(pk, tree, amounts, at_ms, id_, visitor, event, cells, is_ahead, others, None, *said)


def parse_row(given: Mapping[str, Any], settings: Settings, now: float) -> Parsed:
    """The same hit as a row; raises HitError. Of most nobody looks at more, and a Hit takes a while to make."""
    *before, said, cells, is_ahead = _parts(given, settings, now, FIELDS)
    return row_of(*before, None, None, None, *said), cells, is_ahead


def _parts(given: Mapping[str, Any], settings: Settings, now: float, expected: Sequence[str]) -> tuple[Any, ...]:
    """The parts of a row up to others; those from properties on; cells; whether its time was ahead of the clock."""
    if not _FIELDS.issuperset(given):
        field = next(field for field in given if field not in _FIELDS)
        raise HitError(
            Reason.UNKNOWN_FIELD, _shown(field)[1:-1], f"is not a field of a hit: {meant(str(field), expected)}"
        )
    dimensions = _one_of(given, "dimensions", "dimension", Reason.BAD_DIMENSIONS)
    metrics = _one_of(given, "metrics", "metric", Reason.BAD_METRICS)
    pk = _pk(given.get("pk"), settings)
    tree, paths = dimensions_of(dimensions, settings)
    visitor = _label(given.get("visitor"), "visitor", settings)
    amounts, others = metrics_of(metrics, visitor, settings)
    event, properties = _label(given.get("event"), "event", settings), properties_of(given.get("properties"), settings)
    count = len(amounts) + len(others)
    further = further_paths(event, properties, settings)
    cells = (len(pk) * (paths + 1) + further) * count * len(settings.periods)
    if cells > settings.max_cells_per_hit:
        more = f" + {further} paths of its event" if further else ""
        sizes = f"{len(pk)} pk prefixes x {paths + 1} paths{more} x {count} metrics x {len(settings.periods)} intervals"
        raise HitError(
            Reason.TOO_MANY_CELLS, "dimensions", f"{sizes} are {cells} cells, the limit is {settings.max_cells_per_hit}"
        )
    at_ms, is_ahead = ms_of(given.get("at"), now)
    id_ = _label(given.get("id"), "id", settings)
    said = said_of(visitor, event, properties, given.get("at") is None, given.get("basis"), now)
    return pk, tree, amounts, at_ms, id_, visitor, event, others or None, said, cells, is_ahead


def further_paths(event: str | None, properties: Mapping[str, str] | None, settings: Settings) -> int:
    """At most so many paths a hit has more at the level of its site, where visitors are logged."""
    if not settings.visitor_log or not (event or properties):
        return 0
    areas = LETTERS - 1 if properties and GEO in properties else 0
    return 2 * (bool(event) + min(len(properties or ()), MOST_LISTED)) + areas


def said_of(
    visitor: str | None,
    event: str | None,
    properties: dict[str, str] | None,
    is_timeless: bool,
    basis: Any,
    now: float,
) -> tuple[dict[str, str] | None, int | None, str | None]:
    """Properties, sub and basis of a row; raises HitError. is_timeless: it says no time of its own, so it came now."""
    if basis not in (None, DAILY):
        raise HitError(Reason.BAD_ID, "basis", f"expected {DAILY} or nothing, got {came(basis)}")
    if visitor is None or not (event or properties):
        return properties, None, None
    return properties, (sub_of(now) if is_timeless else None), basis


def sub_of(now: float) -> int:
    """How many 1/49 of a ms have gone since the last whole one."""
    ms = now * 1000
    return int((ms - math.floor(ms)) * TICKS_A_MS)


def properties_of(value: Any, settings: Settings) -> dict[str, str] | None:
    """JSON of each by name; raises HitError. A null is a value not known: left out."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise HitError(Reason.BAD_PROPERTIES, "properties", f"expected name: value, got {came(value)}")
    found: dict[str, str] = {}
    for name, given in value.items():
        if given is None:
            continue
        if not _is_plain(name, settings):
            name = name_of(name, f"properties.{_shown(name)}", settings, Reason.BAD_PROPERTIES)
        if name in found:
            raise HitError(Reason.BAD_PROPERTIES, _property(name), "came twice")
        if len(found) == MOST_PROPERTIES:
            raise HitError(
                Reason.TOO_MANY_PROPERTIES, "properties", f"expected at most {MOST_PROPERTIES}, got {len(value)}"
            )
        found[name] = _value_of(name, given)
    return found or None


def _value_of(name: str, given: Any) -> str:
    """JSON of a value of a property: the same for equal values. Of the place in GEO its area alone."""
    if name == GEO:
        given = _area_of(given)
    try:
        text = _encode(given if type(given) is str else _plain_value(given))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise HitError(Reason.BAD_PROPERTIES, _property(name), f"expected JSON, got {came(given)}") from None
    if len(text) > MOST_PROPERTY_BYTES:
        raise HitError(
            Reason.BAD_PROPERTIES, _property(name), f"expected at most {MOST_PROPERTY_BYTES} bytes, got {len(text)}"
        )
    return text.decode()


def _area_of(given: Any) -> Any:
    try:
        return place_of(given) or given
    except ValueError:
        expected = "expected a latitude from -90 to 90 and a longitude from -180 to 180"
        raise HitError(Reason.BAD_PROPERTIES, _property(GEO), f"{expected}, got {came(given)}") from None


def _plain_value(value: Any) -> Any:
    """The same of JSON's types, where a whole number is an integer, as JavaScript knows one kind of numbers; raises ValueError."""
    kind = type(value)
    if kind in (str, int, bool) or value is None:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ValueError
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if kind is dict and all(type(name) is str for name in value):
        return {name: _plain_value(inner) for name, inner in value.items()}
    if kind in (list, tuple):
        return [_plain_value(inner) for inner in value]
    raise ValueError


JOINED_FIELDS = ("pk", "anonymous", "known")


def parse_joining(given: Mapping[str, Any], settings: Settings, now: float) -> Parsed:
    """That two ids of a site are one visitor's, as the row of a hit that counts nothing; raises HitError."""
    for field in given:
        if field not in JOINED_FIELDS:
            raise HitError(Reason.UNKNOWN_FIELD, _shown(field)[1:-1], f"is none of {', '.join(JOINED_FIELDS)}")
    pk = _pk(given.get("pk"), settings)
    if len(pk) > 1:
        raise HitError(Reason.BAD_PK, "pk", "expected a site, which is a pk of one level")
    anonymous, known = (name_of(given.get(field), field, settings, Reason.BAD_ID) for field in JOINED_FIELDS[1:])
    row = [[*pk], {}, {"hits": 0}, ms_of(None, now)[0], None, anonymous]
    return _with(row, _KNOWN, known), len(settings.periods), False


def ms_of(at: Any, now: float) -> tuple[int, bool]:
    """Milliseconds since 1970 of the time of a hit, now at the latest, and whether it was ahead of that; raises HitError."""
    latest = math.floor(now * 1000)
    if at is None:
        return latest, False
    at_us = parse_time(at, now)
    return min(at_us // 1000, latest), at_us / MILLION > now


def parse_decided(given: Mapping[str, Any], settings: Settings, now: float) -> Hit:
    """The outcome of a decision: `option` of `decision` of `pk`, or of `pk` alone, which then is the decision's name.

    A hit of the pk [*pk, decision, option] that also has its moments counted.
    """
    fields = dict(given)
    option, decision, pk = fields.pop("option", None), fields.pop("decision", None), fields.get("pk")
    if option is None:
        raise HitError(Reason.BAD_PK, "option", "expected the option that the visitor saw, got nothing")
    names = [name_of(option, "option", settings, Reason.BAD_PK)]
    if decision is not None:
        names.insert(0, name_of(decision, "decision", settings, Reason.BAD_PK))
    if pk is not None:
        fields["pk"] = [*(pk if isinstance(pk, list | tuple) else [pk]), *names]
    return with_moments(parse_hit(fields, settings, now, (*FIELDS, *DECIDED_FIELDS)), settings)


def parse_decided_row(given: Mapping[str, Any], settings: Settings, now: float) -> Parsed:
    """The same outcome as a row; raises HitError."""
    hit = parse_decided(given, settings, now)
    return row_of_hit(hit), hit.cells, hit.skewed


def with_moments(hit: Hit, settings: Settings, own: int = 1, before: Mapping[str, int] | None = None) -> Hit:
    """The same hit, with its moments counted. own: 0 where it adds to a trial that was counted before as one hit.

    before: what the same outcome was so far, by hits that had their moments counted: then it adds what it makes of them.
    """
    value: int | dict[str, int] = own if before is None else {**({"hits": 0} if own else {}), **before}
    some = min(MOST_MOMENTS, len({*hit.metrics, *(before or ())}))
    more = (1 + some + some * (some + 1) // 2) * len(hit.pk) * len(settings.periods)
    return replace(hit, others={**(hit.others or {}), MOMENTS: (MOMENTS_KIND, value)}, cells=hit.cells + more)


def fields_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Parameters of an address or a form as fields of a hit; raises HitError."""
    return {name: lenient(name, value) if name in TYPED else value for name, value in given.items()}


def lenient(field: str, text: str) -> Any:
    """What people type into a URL: JSON or Python-like when it opens with a bracket, else the text itself."""
    reason = Reason.BAD_PK if field == "pk" else Reason.BAD_JSON
    if not text.startswith(("{", "[")):
        return text
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        if field in ("metrics", "metric") and "out of range" in str(error):
            with suppress(ValueError):  # of an integer that Python refuses to read
                return json.loads(text, parse_float=_wide)
    shown = f"expected JSON or a Python literal such as {{'a': 5}}, got {came(text)}"
    if len(text) > LENIENT_TEXT_BYTES or _nesting(text) > LENIENT_NESTING:
        raise HitError(Reason.BAD_JSON, field, shown)
    try:
        value = with_nan(text) or ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise HitError(Reason.BAD_JSON, field, shown) from None
    if not isinstance(value, (dict, list)):
        raise HitError(reason, field, shown)
    if not _is_plain_literal(value):
        raise HitError(Reason.BAD_JSON, field, shown)
    return value


def _wide(text: str) -> float | int:
    """A number of JSON; one too large for any float is no infinity, but a large integer."""
    number = float(text)
    return number if math.isfinite(number) else int(math.copysign(1, number)) * 10**400


def with_nan(text: str) -> Any:
    """JSON with NaN or Infinity in it, as Python's json writes it, so that an error can name the field; None of any other text."""
    if "NaN" not in text and "Infinity" not in text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_plain_literal(value: Any) -> bool:
    """Whether a literal holds what JSON can say too: no sets, bytes, complex or huge numbers, no halves of letters."""
    if isinstance(value, dict):
        keys = all(type(key) in (str, int, float) and _is_plain_literal(key) for key in value)
        return keys and all(map(_is_plain_literal, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain_literal, value))
    if isinstance(value, str):
        return is_text(value)
    if isinstance(value, int):
        return value.bit_length() <= LENIENT_BITS
    return value is None or isinstance(value, float)


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: it holds no half of a letter."""
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _nesting(text: str) -> int:
    deepest = depth = 0
    for letter in text:
        if letter in "([{-+~":  # a sign nests as a bracket does
            depth += 1
            deepest = max(deepest, depth)
        elif letter in ")]},":
            depth -= 1
    return deepest


def _one_of(given: Mapping[str, Any], name: str, other: str, reason: Reason) -> Any:
    if given.get(name) is not None and given.get(other) is not None:
        raise HitError(reason, name, f"came twice, as {name} and as {other}")
    return given.get(name) if given.get(name) is not None else given.get(other)


def _is_plain(value: Any, settings: Settings) -> bool:
    """Most names: told at once, before any text about where they stand is made."""
    return type(value) is str and 0 < len(value) <= settings.max_name_bytes and value.isascii()


def name_of(value: Any, field: str, settings: Settings, reason: Reason) -> str:
    """A name as text: numbers and booleans become their JSON text."""
    if isinstance(value, str):
        name = value
    elif isinstance(value, bool):
        name = "true" if value else "false"
    elif isinstance(value, int):
        if value.bit_length() > 4 * settings.max_name_bytes:  # str() of a huge integer is slow, or refused
            raise HitError(Reason.NAME_TOO_LONG, field, f"expected at most {settings.max_name_bytes} bytes")
        name = str(value)
    elif isinstance(value, float) and math.isfinite(value):
        name = str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    else:
        raise HitError(reason, field, f"expected a name, got {came(value)}")
    if not name:
        raise HitError(reason, field, "expected a name, got empty text")
    try:
        size = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:
        raise HitError(reason, field, f"expected Unicode text, got {came(value)}") from None
    if size > settings.max_name_bytes:
        raise HitError(
            Reason.NAME_TOO_LONG, field, f"expected at most {settings.max_name_bytes} bytes, got {size}: {_shown(name)}"
        )
    return name


def _pk(value: Any, settings: Settings) -> tuple[str, ...]:
    names = _names_of_pk(value, settings)
    if names[0] == BOTS:
        raise HitError(Reason.BAD_PK, "pk", f"{BOTS} is reserved: HailWhale counts hits of bots there")
    return names


def _names_of_pk(value: Any, settings: Settings) -> tuple[str, ...]:
    if value is None:
        raise HitError(Reason.BAD_PK, "pk", "expected a name or a list of names, got nothing")
    if not isinstance(value, (list, tuple)):
        return (name_of(value, "pk", settings, Reason.BAD_PK),)
    if not value:
        raise HitError(Reason.BAD_PK, "pk", "expected at least one name, got an empty list")
    if len(value) > settings.max_levels:
        raise HitError(Reason.TOO_MANY_LEVELS, "pk", f"expected at most {settings.max_levels} levels, got {len(value)}")
    return tuple(
        item if _is_plain(item, settings) else name_of(item, f"pk[{i}]", settings, Reason.BAD_PK)
        for i, item in enumerate(value)
    )


def dimensions_of(value: Any, settings: Settings) -> tuple[Dimensions, int]:
    """The tree, and how many paths it has below the root. `_` alone is the root, as text or as a path of this one name."""
    tree: Dimensions = {}
    if value is None or value == ROOT_TEXT:
        return tree, 0
    if isinstance(value, (list, tuple)):
        if _is_root(value):
            return tree, 0
        value = [None if _is_root(path) else path for path in value]
    _plant(value, tree, ("dimensions",), 1, settings)
    return tree, _count(tree, settings)


def _is_root(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and [name for name in value if name is not None] == [ROOT_TEXT]


def _is_several(value: Sequence[Any]) -> bool:
    """Whether a list holds paths, not the names of one."""
    is_path = False
    for item in value:
        if isinstance(item, (list, tuple)):
            is_path = True
        elif item is not None:
            return False
    return is_path


def _plant(value: Any, tree: Dimensions, field: tuple[str, ...], level: int, settings: Settings) -> None:
    """Adds a value below a node: a name, a list (one path; of lists several), or an object. A null is a value not known: left out."""
    if isinstance(value, (list, tuple)):
        if _is_several(value):
            for i, path in enumerate(value):
                _plant_path(path or (), tree, (f"dimensions[{i}]",) if len(field) == 1 else field, level, settings)
        else:
            _plant_names(value, tree, field, level, settings)
    elif isinstance(value, dict):
        if value and level > settings.max_levels:
            raise _too_many_levels(field, settings)
        for name, below in value.items():
            if below is None:
                continue
            where = (*field, name)
            child = _child(name, tree, where, settings)
            if level == 1 and name in settings.bands:
                below = bands(below, settings.bands[name], _where(where))
            if level < settings.max_levels and _is_plain(below, settings):  # most values: no need to call
                child.setdefault(below, {})
            else:
                _plant(below, child, where, level + 1, settings)
    elif value is not None:
        _plant_path((value,), tree, field, level, settings)


def _plant_names(
    value: Sequence[Any], tree: Dimensions, field: tuple[str, ...], level: int, settings: Settings
) -> None:
    try:
        _plant_path(value, tree, field, level, settings)
    except HitError as error:
        name = next((item for item in value if isinstance(item, str) and item), None)
        if (
            error.reason != Reason.BAD_DIMENSIONS
            or name is None
            or not any(isinstance(i, (list, tuple)) for i in value)
        ):
            raise
        hint = f"write [{json.dumps(name[:60])}] for the path {_shown(name)}"
        raise HitError(error.reason, error.field, f"expected either names or lists, not both: {hint}") from None


def _plant_path(value: Sequence[Any], tree: Dimensions, field: tuple[str, ...], level: int, settings: Settings) -> None:
    names = [name for name in value if name is not None]
    if level == 1 and len(names) > 1 and isinstance(names[0], str) and names[0] in settings.bands:
        names = [names[0], *bands(names[1:], settings.bands[names[0]], _where(field))]
    if level + len(names) - 1 > settings.max_levels:
        raise _too_many_levels(field, settings)
    for name in names:
        tree = _child(name, tree, field, settings)


def _too_many_levels(field: tuple[str, ...], settings: Settings) -> HitError:
    return HitError(Reason.TOO_MANY_LEVELS, _where(field), f"expected at most {settings.max_levels} levels")


def _child(value: Any, tree: Dimensions, field: tuple[str, ...], settings: Settings) -> Dimensions:
    name = value if _is_plain(value, settings) else name_of(value, _where(field), settings, Reason.BAD_DIMENSIONS)
    return tree.setdefault(name, {})


def bands(value: Any, widths: Sequence[int], field: str) -> list[str]:
    """The bands of a number, widths in millionths: of 37.5 in 1000, 100 and 10 `0..1000`, `0..100`, `30..40`.

    A band holds its first number and not its last.  Raises HitError.
    """
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise HitError(Reason.BAD_DIMENSIONS, field, f"is a numeric dimension: expected a number, got {came(value)}")
    if not abs(value) <= MAX_NUMBER:
        raise HitError(Reason.NUMBER_OUT_OF_RANGE, field, f"expected -9.0e9 to 9.0e9, got {came(value)}")
    found = millionths(value)
    firsts = [found // width * width for width in widths]
    return [f"{_decimal(first)}..{_decimal(first + width)}" for first, width in zip(firsts, widths, strict=True)]


def _decimal(millionths: int) -> str:
    whole, rest = divmod(abs(millionths), MILLION)
    return f"{'-' if millionths < 0 else ''}{whole}" + (f".{rest:06}".rstrip("0") if rest else "")


def _where(field: tuple[str, ...]) -> str:
    return ".".join((field[0], *map(_shown, field[1:])))[:200]


def _count(tree: Dimensions, settings: Settings) -> int:
    paths, waiting = 0, [tree]
    while waiting:
        node = waiting.pop()
        paths += len(node)
        waiting.extend(node.values())
    if paths > settings.max_paths:
        raise HitError(Reason.TOO_MANY_PATHS, "dimensions", f"expected at most {settings.max_paths} paths, got {paths}")
    return paths


def metrics_of(value: Any, visitor: str | None, settings: Settings) -> tuple[dict[str, int], Others]:
    """Sums, and metrics of other kinds. A null is a number not known: its metric is left out."""
    others: Others = {}
    if value is None:
        return {"hits": 1}, others
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)):
        value = {
            name_of(item, f"metrics[{i}]", settings, Reason.BAD_METRICS): 1
            for i, item in enumerate(value)
            if item is not None
        }
    if not isinstance(value, dict):
        raise HitError(Reason.BAD_METRICS, "metrics", f"expected name: number, got {came(value)}")
    if len(value) > settings.max_metrics_per_hit:
        value = {name: number for name, number in value.items() if number is not None}
    if len(value) > settings.max_metrics_per_hit:
        raise HitError(
            Reason.TOO_MANY_METRICS, "metrics", f"expected at most {settings.max_metrics_per_hit}, got {len(value)}"
        )
    amounts = {"hits": 1}
    for name, number in value.items():
        if not _is_plain(name, settings):
            given, name = name, name_of(name, f"metrics.{_shown(name)}", settings, Reason.BAD_METRICS)
            if type(given) is not str and name in value:  # from a program: {5: ..., "5": ...}
                raise HitError(Reason.BAD_METRICS, _metric(name), "came twice")
        if name in RESERVED:
            raise HitError(Reason.BAD_METRICS, _metric(name), "is reserved: HailWhale counts decisions under this name")
        if type(number) in _NUMBERS and name not in settings.kinds:  # most metrics
            amounts[name] = _amount(name, number)
            continue
        if number is None:
            continue
        kind, found = _of_kind(name, number, visitor, settings)
        if kind == SUM:
            amounts[name] = _amount(name, found)
        else:
            others[name] = kind, found if kind == DISTINCT else _amount(name, found)
    return amounts, others


_NUMBERS = (int, float)
_WRITTEN = {"unique": DISTINCT, **{kind: kind for kind in KINDS if kind != SUM}}


def _of_kind(name: str, value: Any, visitor: str | None, settings: Settings) -> tuple[str, Any]:
    """The kind of a metric in a hit, and its number or the name to count; raises HitError."""
    declared = "sum" if name == "hits" else settings.kinds.get(name)
    if value == "is_unique":
        kind, found = DISTINCT, visitor
        if visitor is None:
            raise HitError(Reason.BAD_METRICS, _metric(name), "is_unique requires a visitor, and the hit has none")
    elif isinstance(value, dict):
        (written, found), *more = value.items() or [(None, None)]
        if more or written not in _WRITTEN:
            raise HitError(
                Reason.BAD_METRICS,
                _metric(name),
                f'expected a number or one of {", ".join(_WRITTEN)} such as {{"max": 5}}, got {came(value)}',
            )
        kind = _WRITTEN[written]
        if kind == DISTINCT:
            found = name_of(found, f"{_metric(name)}.{written}", settings, Reason.BAD_METRICS)
    elif declared == DISTINCT:
        expected = f'{name[:60]} is declared distinct: expected "is_unique" or {{"unique": name}}, got {came(value)}'
        raise HitError(Reason.BAD_METRICS, _metric(name), expected)
    else:
        return declared or SUM, value
    if declared not in (None, kind):
        raise HitError(Reason.BAD_METRICS, _metric(name), f"is of kind {declared}, got {kind}: a metric has one kind")
    return kind, found


def _amount(name: str, number: Any) -> int:
    """Millionths of a number, rounded half to even from its shortest decimal form; `hits` as a plain integer."""
    if isinstance(number, bool) or not isinstance(number, (int, float, Fraction)):
        raise HitError(Reason.BAD_METRICS, _metric(name), f"expected a finite number, got {came(number)}")
    if not -MAX_NUMBER <= number <= MAX_NUMBER:  # also refuses NaN
        is_finite = not isinstance(number, float) or math.isfinite(number)
        reason = Reason.NUMBER_OUT_OF_RANGE if is_finite else Reason.BAD_METRICS
        raise HitError(reason, _metric(name), f"expected a number between -9.0e9 and 9.0e9, got {came(number)}")
    if name == "hits":
        if number != int(number):
            raise HitError(Reason.BAD_METRICS, _metric(name), f"expected a whole number, got {came(number)}")
        return int(number)
    return millionths(number)


def millionths(number: int | float | Fraction) -> int:
    """Rounded half to even, of a float from its shortest decimal form; whatever the thread's decimal context is."""
    if isinstance(number, Fraction):
        return round(number * MILLION)
    if isinstance(number, int) or number.is_integer():
        return int(number) * MILLION
    return int(_EXACT.multiply(Decimal(repr(number)), MILLION).to_integral_value(ROUND_HALF_EVEN, _EXACT))


def of_millionths(amount: int) -> int | float:
    """The number that so many millionths are: an integer where it is whole."""
    return amount / MILLION if amount % MILLION else amount // MILLION


def _metric(name: str) -> str:
    return f"metrics.{_shown(name)[1:-1]}"


def _property(name: str) -> str:
    return f"properties.{_shown(name)[1:-1]}"


def parse_time(value: Any, now: float, field: str = "at") -> int:
    """Microseconds since 1970 of what `time_of` reads, without an offset as UTC; raises HitError."""
    try:
        at = time_of(value)
    except NoTime as error:
        raise HitError(Reason.BAD_TIME, field, str(error)) from None
    if not OLDEST_S * MILLION <= at <= (now + YEAR_S) * MILLION:
        raise HitError(Reason.BAD_TIME, field, f"expected 1900 to a year from now, got {came(value)}")
    return at


def _label(value: Any, field: str, settings: Settings) -> str | None:
    return None if value is None else name_of(value, field, settings, Reason.BAD_ID)
