"""A mapping says how a row of a file becomes a hit; examples/flights.toml shows all that it may say.

A row is a list of values, one for each of `RowMapping.columns`: text, or None for nothing. Every hit is exactly what
`hail.hit.parse_hit` makes of the row; it is asked once for each different value, since values repeat from row to row.
"""

import codecs
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from hail.hit import Hit, HitError, Reason, encode_row, name_of, parse_hit, wire_of, wire_part
from hail.meant import did_you_mean
from hail.settings import DISTINCT, SUM, Settings
from hail.times import ACCEPTED, EPOCH, MILLISECOND, SECOND, NoTime, time_of
from whale.errors import SetupError

KEYS = (
    "pk",
    "dimensions",
    "metrics",
    "at",
    "id",
    "visitor",
    "event",
    "properties",
    "missing",
    "format",
    "delimiter",
    "encoding",
)
AT_KEYS = ("column", "format", "zone")
FORMATS = ("csv", "ndjson")
UNITS = {"epoch": SECOND, "epoch_ms": MILLISECOND}
"""Formats of a time that say what its number counts, however large it is."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)
MOST_REMEMBERED_BYTES = 64_000_000
REMEMBERED_BYTES = 250  # of one value, beside its texts

Value = str | None
Row = Sequence[Value]


class Part(NamedTuple):
    """A part of the pk: a name as it is, or a column."""

    text: str
    is_column: bool


@dataclass(frozen=True)
class RowMapping:
    """What a mapping file says. path: where it stands, for messages.  digest: of its meaning, whatever its comments."""

    path: str
    digest: str
    pk: tuple[Part, ...]
    dimensions: dict[str, tuple[str, ...]]
    metrics: dict[str, str]
    at: str
    at_format: str
    at_zone: ZoneInfo
    id: str | None
    visitor: str | None
    event: Part | None
    properties: dict[str, str]
    missing: frozenset[str]
    format: str | None
    delimiter: str
    encoding: str

    @property
    def columns(self) -> dict[str, str]:
        """Each column that is read, and which key of the mapping asks for it."""
        asked = {part.text: f"pk[{i}]" for i, part in enumerate(self.pk) if part.is_column}
        for name, columns in self.dimensions.items():
            asked |= dict.fromkeys(columns, f"dimensions.{name}")
        asked |= {column: f"metrics.{name}" for name, column in self.metrics.items()}
        asked |= {column: f"properties.{name}" for name, column in self.properties.items()}
        if self.event and self.event.is_column:
            asked[self.event.text] = "event"
        asked[self.at] = "at"
        return asked | {column: key for key, column in (("id", self.id), ("visitor", self.visitor)) if column}

    @property
    def is_of_visitors(self) -> bool:
        """Whether its rows may be logged."""
        return bool(self.visitor and (self.event or self.properties))


def load_mapping(path: str, settings: Settings) -> RowMapping:
    """Reads a mapping file; raises SetupError with a sentence."""
    try:
        given = tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SetupError(f"{path}: expected TOML as in examples/flights.toml: {error}") from None
    try:
        mapping = _mapping(path, given)
        _check_bounds(mapping, settings)
    except ValueError as error:
        raise SetupError(f"{path}: {error}") from None
    return mapping


def meaning_of(mapping: RowMapping, settings: Settings) -> str:
    """A digest of what rows become by a mapping: of the mapping, and of kinds and bands that are declared."""
    kinds = {name: settings.kinds[name] for name in sorted(mapping.metrics) if name in settings.kinds}
    bands = {name: settings.bands[name] for name in sorted(mapping.dimensions) if name in settings.bands}
    return hashlib.blake2b(json.dumps([mapping.digest, kinds, bands]).encode(), digest_size=16).hexdigest()


def _mapping(path: str, given: dict[str, Any]) -> RowMapping:
    """Raises ValueError with the key, what was expected and what came."""
    _check_keys(given, KEYS, "")
    at = given.get("at")
    if isinstance(at, str):
        at = {"column": at}
    if not isinstance(at, dict):
        raise ValueError(f'at: expected {{ column = "..." }}, the time of a row, got {_shown(at)}')
    _check_keys(at, AT_KEYS, "at.")
    delimiter = _text(given.get("delimiter", ","), "delimiter")
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter: expected one character, got {_shown(delimiter)}")
    missing = given.get("missing", [""])
    if not isinstance(missing, list) or not all(isinstance(value, str) for value in missing):
        raise ValueError(f'missing: expected a list of texts such as ["", "NA"], got {_shown(missing)}')
    form = given.get("format")
    if form not in (None, *FORMATS):
        raise ValueError(f"format: expected csv or ndjson, got {_shown(form)}")
    at_format = _text(at.get("format", "iso"), "at.format")
    if at_format not in ("iso", *UNITS) and "%" not in at_format:
        raise ValueError(
            f'at.format: expected iso, epoch, epoch_ms or a format such as "%d.%m.%Y %H:%M", got {_shown(at_format)}'
        )
    return RowMapping(
        path,
        hashlib.blake2b(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest(),
        _pk(given.get("pk")),
        {name: _columns(value, f"dimensions.{name}") for name, value in _table(given, "dimensions").items()},
        {name: _text(value, f"metrics.{name}") for name, value in _table(given, "metrics").items()},
        _text(at.get("column"), "at.column"),
        at_format,
        _zone(_text(at.get("zone", "UTC"), "at.zone")),
        _maybe_text(given, "id"),
        _maybe_text(given, "visitor"),
        _event(given.get("event")),
        {name: _text(value, f"properties.{name}") for name, value in _table(given, "properties").items()},
        frozenset(missing),
        form,
        delimiter,
        _encoding(_text(given.get("encoding", "utf-8"), "encoding")),
    )


def _check_keys(given: dict[str, Any], known: Sequence[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise ValueError(f"{where}{key} is not a key of a mapping: {did_you_mean(key, known, before=where)}")


def _table(given: dict[str, Any], key: str) -> dict[str, Any]:
    found = given.get(key, {})
    if not isinstance(found, dict):
        raise ValueError(f"{key}: expected a table of name = column, got {_shown(found)}")
    return found


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: expected text, got {_shown(value)}")
    return value


def _maybe_text(given: dict[str, Any], key: str) -> str | None:
    return None if given.get(key) is None else _text(given[key], key)


def _columns(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, list) and value:
        return tuple(_text(column, key) for column in value)
    return (_text(value, key),)


def _pk(value: Any) -> tuple[Part, ...]:
    parts = value if isinstance(value, list) else [value]
    if not parts or value is None:
        raise ValueError('pk: expected a name or a list, such as ["flights", { column = "carrier" }], got nothing')
    found = []
    for i, part in enumerate(parts):
        if isinstance(part, dict):
            _check_keys(part, ("column",), f"pk[{i}].")
            found.append(Part(_text(part.get("column"), f"pk[{i}].column"), True))
        else:
            found.append(Part(_text(part, f"pk[{i}]"), False))
    return tuple(found)


def _event(value: Any) -> Part | None:
    """A column, or the one name of all rows."""
    if value is None:
        return None
    if isinstance(value, dict):
        _check_keys(value, ("name",), "event.")
        return Part(_text(value.get("name"), "event.name"), False)
    return Part(_text(value, "event"), True)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"at.zone: expected an IANA zone such as Europe/Berlin, got {_shown(name)}") from None


def _encoding(name: str) -> str:
    try:
        found = codecs.lookup(name).name
        b"".decode(found)
    except LookupError:
        raise ValueError(f"encoding: expected the name of one, such as utf-8 or latin-1, got {_shown(name)}") from None
    return "utf-8-sig" if found == "utf-8" else found


def _shown(value: Any) -> str:
    text = "nothing" if value is None else ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_bounds(mapping: RowMapping, settings: Settings) -> None:
    """That the largest hit this mapping can make is within bounds, so that no row needs to be asked."""
    most = {
        "pk": [part.text if not part.is_column else "x" for part in mapping.pk],
        "dimensions": {name: ["1"] * len(columns) for name, columns in mapping.dimensions.items()},
        "metrics": {name: _value(name, 1, settings) for name in mapping.metrics},
        "event": mapping.event and ("x" if mapping.event.is_column else mapping.event.text),
        "properties": dict.fromkeys(mapping.properties, "x"),
    }
    try:
        parse_hit(most, settings, 0)
    except HitError as error:
        raise ValueError(str(error)) from None


def _value(name: str, value: Any, settings: Settings) -> Any:
    """A metric of a row as a hit has it: of a distinct count the column holds names."""
    return {"unique": value} if settings.kinds.get(name) == DISTINCT else value


class HitMaker:
    """Wire forms of hits from the rows of one file. columns: of a row's values, in order.  now: epoch seconds.

    sign: -1 takes a row back that was counted: its amounts are below zero, and it has no id.  tag: stands behind each id.

    is_ahead: the last row's time was not before `now`, and counts as `now`.
    """

    def __init__(
        self, mapping: RowMapping, columns: Sequence[str], settings: Settings, now: float, sign: int = 1, tag: str = ""
    ):
        place = {column: i for i, column in enumerate(columns)}
        self._mapping, self._settings, self._now = mapping, settings, now
        self._pk_columns = tuple(place[part.text] for part in mapping.pk if part.is_column)
        self._pks: dict[Row, bytes] = {}
        self._dimensions: list[tuple[str, tuple[int, ...], dict[Row, bytes]]] = [
            (name, tuple(place[column] for column in mapping.dimensions[name]), {})
            for name in sorted(mapping.dimensions)
        ]
        self._metrics: list[tuple[str, int, dict[Value, bytes]]] = [
            (name, place[column], {}) for name, column in mapping.metrics.items()
        ]
        self._sign, self._tag, self._one_hit = sign, tag, wire_part({"hits": sign})
        self._hits = b"" if "hits" in mapping.metrics else self._one_hit
        self._at, self._times = place[mapping.at], dict[Value, bytes]()
        self._at_most, self.is_ahead = wire_part(math.floor(now * 1000)), False
        self._remembered_bytes = 0
        self._id = place[mapping.id] if mapping.id and sign > 0 else None
        self._visitor = place[mapping.visitor] if mapping.visitor and sign > 0 else None
        event = mapping.event
        self._event = place[event.text] if event and event.is_column else None
        self._one_event = wire_part(event.text) if event and not event.is_column else None
        self._properties = [(name, place[column]) for name, column in mapping.properties.items()]
        self._known_properties: dict[Row, bytes] = {}

    def wire(self, row: Row) -> bytes:
        """The wire form of the row's hit; raises HitError."""
        key = tuple([row[i] for i in self._pk_columns])
        pk = self._pks.get(key)
        if pk is None:
            pk = self._remember(self._pks, key, self._pk(key))
        dimensions = []
        for name, places, branches in self._dimensions:
            values = tuple([row[i] for i in places])
            branch = branches.get(values)
            if branch is None:
                branch = self._remember(branches, values, self._branch(name, values))
            if branch:
                dimensions.append(branch)
        metrics, others = [self._hits] if self._hits else [], list[bytes]()
        for name, at, amounts in self._metrics:
            amount = amounts.get(row[at])
            if amount is None:
                amount = self._remember(amounts, row[at], self._amount(name, row[at]))
            if amount:
                (metrics if self._settings.kinds.get(name, SUM) == SUM else others).append(amount)
        time = self._times.get(row[self._at])
        if time is None:
            time = self._remember(self._times, row[self._at], self._time(row[self._at]))
        self.is_ahead = time == self._at_most
        id_ = None
        if self._id is not None and (given := row[self._id]) is not None and given not in self._mapping.missing:
            id_ = wire_part(name_of(given, "id", self._settings, Reason.BAD_ID) + self._tag)
        event, properties = self._one_event or self._label(row, self._event, "event"), None
        if self._properties:
            values = tuple([row[i] for _, i in self._properties])
            properties = self._known_properties.get(values)
            if properties is None:
                properties = self._remember(self._known_properties, values, self._properties_of(values))
        visitor = self._label(row, self._visitor, "visitor")
        return wire_of(pk, dimensions, metrics, time, id_, others, visitor, event, properties)

    def _label(self, row: Row, place: int | None, field: str) -> bytes | None:
        """What stands in a column as a name, if there is something; raises HitError."""
        given = None if place is None else row[place]
        missing = given is None or given in self._mapping.missing
        return None if missing else wire_part(name_of(given, field, self._settings, Reason.BAD_ID))

    def _properties_of(self, values: Row) -> bytes:
        given = {name: value for (name, _), value in zip(self._properties, values, strict=True)}
        known = {name: value for name, value in given.items() if not self._missing(value)}
        return encode_row(self._hit(properties=known).properties) if known else b""

    def pk(self, row: Row) -> list[str]:
        """The names of the row's pk; raises HitError."""
        names: list[str] = json.loads(self._pk([row[i] for i in self._pk_columns]))
        return names

    def _remember(self, known: dict[Any, bytes], key: Any, value: bytes) -> bytes:
        """Keeps what a value becomes; forgets all where that is too much."""
        texts = key if isinstance(key, tuple) else (key,)
        self._remembered_bytes += REMEMBERED_BYTES + len(value) + sum(4 * len(text) for text in texts if text)
        if self._remembered_bytes > MOST_REMEMBERED_BYTES:
            self._remembered_bytes = 0
            self._pks.clear()
            self._times.clear()
            self._known_properties.clear()
            for *_, branches in self._dimensions:
                branches.clear()
            for *_, amounts in self._metrics:
                amounts.clear()
        known[key] = value
        return value

    # The JSON of one part each, by parse_hit; empty where a value is missing.

    def _hit(self, **given: Any) -> Hit:
        return parse_hit({"pk": "x", **given}, self._settings, self._now)

    def _missing(self, value: Value) -> bool:
        return value is None or value in self._mapping.missing

    def _pk(self, values: Row) -> bytes:
        waiting = iter(values)
        names = [next(waiting) if part.is_column else part.text for part in self._mapping.pk]
        for part, name in zip(self._mapping.pk, names, strict=True):
            if part.is_column and self._missing(name):
                raise HitError(
                    Reason.BAD_PK, "pk", f"expected a name in column {_shown(part.text)}, got {_shown(name)}"
                )
        return wire_part(self._hit(pk=names).pk)

    def _branch(self, name: str, values: Row) -> bytes:
        known = []
        for value in values:
            if self._missing(value):
                break
            known.append(value)
        return wire_part(self._hit(dimensions={name: known}).dimensions) if known else b""

    def _amount(self, name: str, value: Value) -> bytes:
        if value is None or self._missing(value):
            return self._one_hit if name == "hits" else b""
        kind = self._settings.kinds.get(name, SUM)
        if kind == DISTINCT:
            return wire_part(self._hit(metrics={name: {"unique": value}}).others)
        if not NUMBER.fullmatch(value):
            raise HitError(Reason.BAD_METRICS, f"metrics.{name}", f"expected a number, got {_shown(value)}")
        number = int(value) if value.isdigit() and len(value) < 18 else float(value)
        hit = self._hit(metrics={name: number})
        return wire_part({name: self._sign * hit.metrics[name]} if kind == SUM else hit.others)

    def _time(self, value: Value) -> bytes:
        if value is None or self._missing(value):
            raise HitError(Reason.BAD_TIME, "at", f"expected a time in column {_shown(self._mapping.at)}, got nothing")
        when = self._when(value)
        try:
            return wire_part(self._hit(at=when).at_ms)
        except HitError as error:  # it shows the time as it was read, not as it stands in the row
            expected = str(error).removeprefix("at: ").partition(", got ")[0]
            raise HitError(error.reason, "at", f"{expected}, got {_shown(value)}") from None

    def _when(self, text: str) -> datetime:
        """The time of a row, in the zone of the mapping where it names none; rounded to microseconds."""
        form = self._mapping.at_format
        try:
            if form == "iso" or form in UNITS:
                return EPOCH + timedelta(microseconds=time_of(text, self._local, UNITS.get(form)))
            when = datetime.strptime(text, form)
            return when if when.tzinfo else self._local(when)
        except (ValueError, OverflowError) as error:
            said = f"{ACCEPTED if form == 'iso' else f'expected {form}'}, got {_shown(text)}"
            if form == "iso" and isinstance(error, NoTime):
                said = str(error)
            raise HitError(Reason.BAD_TIME, "at", said) from None

    def _local(self, when: datetime) -> datetime:
        return when.replace(tzinfo=self._mapping.at_zone)
