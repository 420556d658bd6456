"""The tables of docs/http/times.md, each row at each door; and what the one reading of a time promises."""

import io
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import hail.web
from hail.hit import HitError, parse_hit
from hail.settings import load
from hail.times import NoTime, time_of
from tests.laws import law
from tests.taken import Taken
from tests.unit.test_docs import DOCUMENTS, rows
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.commands.mapping import HitMaker, load_mapping
from whale.commands.rows import Lines, csv_rows, ndjson_rows
from whale.errors import CallerError
from whale.fasttrack import Memory
from whale.orm import Counted
from whale.period import Span
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
SECOND, MINUTE = 1_000_000, 60_000_000
ACCOUNT_ZONE, ASKED_ZONE, FILE_ZONE = "America/New_York", "Europe/Berlin", "Asia/Kolkata"
TIMES = DOCUMENTS["docs/http/times.md"].partition("\n## ")[0]
TABLE, DOORS_TABLE = (rows(part) for part in TIMES.split("\n\n") if part.startswith("|"))
WRITTEN = {row[0].strip("`"): row[2] for row in TABLE}


class Refused(Exception):
    """A door's refusal: the code, or the name of the error; the field; what was said."""


class Page(Counted):
    id = 7


class World:
    """All doors, in process. now: of its clock."""

    def __init__(self, folder: Path):
        environ = {"HAILWHALE_DATA_DIR": str(folder), "HAILWHALE_TIMEZONE": ACCOUNT_ZONE}
        self.settings = load(environ).replace(periods=((60, None), (3600, None), (86_400, None)))
        self.now = NOW
        self.publisher = Taken(self.settings)
        self.hail = hail.web.make_app(self.settings, self.publisher, lambda: self.now)
        self.start_whale()
        mapping = folder / "m.toml"
        mapping.write_text(f'pk = "t"\n[at]\ncolumn = "t"\nzone = "{FILE_ZONE}"\n')
        self.mapping = load_mapping(str(mapping), self.settings)

    def start_whale(self) -> None:
        """One that has counted nothing."""
        self.whale = Whale(MemoryStore(self.settings), self.settings, clock=lambda: self.now)
        self.whale._parts.publisher = self.publisher
        self.app = make_app(self.settings, self.whale)

    # what became of a hit, and of a question

    def published(self, answer: Answer | None = None) -> int:
        """Of the hit that was handed on."""
        if answer is not None:
            check(answer)
        (hit,) = self.publisher.hits
        return int(hit[3]) * 1000

    def counted(self, answer: Answer | None = None) -> int:
        """Of the hit that was counted."""
        if answer is not None:
            check(answer)
        (trace,) = self.whale.get_spy()
        return int(trace["hit_at"]) * 1000

    def set_at(self, answer: Answer | None, expected: int) -> int:
        """Of the minute that was set, which must be the expected one and no other."""
        if answer is not None:
            check(answer)
        minute, year = Span(iso(expected), None, "minute", 1), Span("1966-01-01", None, "year")
        assert [self.whale.total("t", "m", period=period) for period in (minute, year)] == [1, 1]
        return expected // MINUTE * MINUTE


def check(answer: Answer) -> Answer:
    if answer.headers.get("X-Hail", "").startswith("dropped"):
        raise Refused(answer.headers["X-Hail"].partition("reason=")[2], "at", "1900")
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        raise Refused(answer.json["code"], answer.json["field"], answer.json["detail"])
    return answer


def posted(app: Any, path: str, fields: Any) -> Answer:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return call(app, "POST", path, body=body, CONTENT_TYPE="application/json")


def as_form(app: Any, path: str, fields: dict[str, Any]) -> Answer:
    return call(app, "POST", path, body=urlencode(fields).encode(), CONTENT_TYPE="application/x-www-form-urlencoded")


def batched(world: World, value: Any, is_list: bool) -> int:
    hit = {"pk": "t", "at": value}
    answer = posted(world.hail, "/batch", [hit] if is_list else json.dumps(hit).encode() + b"\n")
    (row,) = answer.json["results"]
    if row["status"] != "accepted":
        raise Refused(row["code"], row["field"], row["detail"])
    return world.published()


def edge_of(answer: Answer, end: bool = False) -> int:
    """Where the range that was read begins, or ends."""
    edges = check(answer).headers["X-Whale-Range"].partition(";")[0].split("/")
    return int(datetime.fromisoformat(edges[end]).timestamp()) * SECOND


def edge_in_library(world: World, before_us: int, value: Any, end: bool) -> int:
    span = Span(ago(before_us), value, "minute") if end else Span(value, None, "minute", 1)
    found = world.whale.range_of(span, ASKED_ZONE)
    return (found.end if end else found.start) * SECOND


def iso(us: int) -> str:
    """As no other reading can mistake it."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat()


def ago(us: int) -> str:
    """Some minutes before."""
    return iso(us - 5 * MINUTE)


def of_row(world: World, value: Any, is_csv: bool) -> int:
    line = f"t\n{value}\n" if is_csv else json.dumps({"t": value})
    reader = csv_rows if is_csv else ndjson_rows
    lines = Lines(io.StringIO(line, newline=""), 1000)
    ((_, row),) = reader("f", lines, world.mapping)
    assert not isinstance(row, Exception)
    made = HitMaker(world.mapping, ["t"], world.settings, world.now).wire(row)
    return int(json.loads(made)[3]) * 1000


def tracked(world: World, value: Any) -> int:
    tracker = Memory(clock=lambda: world.now)
    tracker.track_uncountable("u", "e", {}, value)
    (when,) = tracker.get_uncountable_for_user("u", "e")
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# Each door: whether it takes text alone; what it keeps of a time, in microseconds; and the time that it found, by
# (world, value, the time that is expected).
Door = tuple[bool, int, Callable[[World, Any, int], int]]


def doors() -> dict[str, list[Door]]:
    hit = {"pk": "t"}
    outcome = {"pk": "t", "option": "a"}
    setting = {"pk": "t", "metrics": "m", "period": "1m"}
    series = {"pk": "t", "interval": "minute", "tz": ASKED_ZONE}

    def get(app: str, path: str, field: str = "at", **more: Any) -> Callable[[World, Any], Answer]:
        return lambda world, value: call(getattr(world, app), "GET", path, {**more, field: value})

    def of(kind: str, send: Callable[[World, Any], Any], text: bool = False, unit: int = 1000) -> Door:
        def found(world: World, value: Any, expected: int) -> int:
            answer = send(world, value)
            return world.set_at(answer, expected) if kind == "set_at" else getattr(world, kind)(answer)

        return text, unit, found

    def post(app: str, path: str, fields: dict[str, Any]) -> Callable[[World, Any], Answer]:
        return lambda world, value: posted(getattr(world, app), path, {**fields, "at": value})

    def form(app: str, path: str, fields: dict[str, Any]) -> Callable[[World, Any], Answer]:
        return lambda world, value: as_form(getattr(world, app), path, {**fields, "at": value})

    def library(call_: Callable[[Whale, Any], Any]) -> Callable[[World, Any], None]:
        return lambda world, value: (call_(world.whale, value), None)[1]

    def counted_object(whale: Whale, value: Any) -> None:
        Page.counted_on = whale
        Page().count_now(at=value)

    return {
        "`GET /count`": [of("published", get("hail", "/count", **hit), True)],
        "`POST /count` (JSON)": [of("published", post("hail", "/count", hit))],
        "`POST /count` (form)": [of("published", form("hail", "/count", hit), True)],
        "`/count.gif`, `/count.js`": [
            of("published", get("hail", "/count.gif", **hit), True),
            of("published", get("hail", "/count.js", **hit), True),
        ],
        "`/batch` (list or NDJSON)": [
            (False, 1000, lambda world, value, _: batched(world, value, True)),
            (False, 1000, lambda world, value, _: batched(world, value, False)),
        ],
        "`/count_decision` of Hail and of Whale": [
            of("published", get("hail", "/count_decision", **outcome), True),
            of("published", post("hail", "/count_decision", outcome)),
            of("counted", get("app", "/count_decision", **outcome), True),
            of("counted", post("app", "/count_decision", outcome)),
        ],
        "`/count_now` (address, JSON or form)": [
            of("counted", get("app", "/count_now", **hit), True),
            of("counted", post("app", "/count_now", hit)),
            of("counted", form("app", "/count_now", hit), True),
        ],
        "`/tracker`": [
            of("counted", get("app", "/tracker", **hit), True),
            of("counted", post("app", "/tracker", hit)),
        ],
        "`/update_count_to`": [
            of("set_at", post("app", "/update_count_to", setting), False, MINUTE),
            of("set_at", form("app", "/update_count_to", setting), True, MINUTE),
        ],
        "`/total`": [
            (
                True,
                MINUTE,
                lambda world, value, _: (
                    edge_of(get("app", "/total", pk="t", period="1m:1m")(world, value), True) - MINUTE
                ),
            )
        ],
        "`/dataset`": [
            (
                True,
                MINUTE,
                lambda world, value, _: edge_of(
                    get("app", "/dataset", "start_at", pk="t", period="1m:1h")(world, value)
                ),
            )
        ],
        "[ranges](periods.md#ranges)": [
            (
                True,
                MINUTE,
                lambda world, value, _: edge_of(get("app", "/plotpoints", "start", **series, buckets=1)(world, value)),
            ),
            (
                True,
                -MINUTE,
                lambda world, value, at: edge_of(
                    get("app", "/plotpoints", "finish", **series, start=ago(at))(world, value), True
                ),
            ),
        ],
        "`hailwhale import`": [
            (True, 1000, lambda world, value, _: of_row(world, value, True)),
            (False, 1000, lambda world, value, _: of_row(world, value, False)),
        ],
        "[library](../library.md): `count_now`, `count`, `count_decision`, `update_count_to`; objects that are `Counted`": [
            of("counted", library(lambda whale, value: whale.count_now("t", at=value))),
            of("published", library(lambda whale, value: whale.count("t", at=value))),
            of("counted", library(lambda whale, value: whale.count_decision("t", option="a", at=value))),
            of("set_at", library(lambda whale, value: whale.update_count_to(**setting, at=value)), False, MINUTE),
            of("counted", library(counted_object)),
        ],
        "library: `total`, `zranked`, `dataset`": [
            (False, MINUTE, lambda world, value, _: world.whale.range_of("1m:1m", at=value).end * SECOND - MINUTE),
            (False, MINUTE, lambda world, value, _: world.whale.range_of("1m:1h", start_at=value).start * SECOND),
        ],
        "library: `Span`": [
            (False, MINUTE, lambda world, value, at: edge_in_library(world, at, value, False)),
            (False, -MINUTE, lambda world, value, at: edge_in_library(world, at, value, True)),
        ],
        "[py-fasttrack](../fasttrack.md): `track_uncountable`": [
            (False, 1, lambda world, value, _: tracked(world, value))
        ],
    }


ZONES = {
    "UTC": "UTC",
    "the one that is asked, else the account's": ASKED_ZONE,
    "`at.zone` of the mapping": FILE_ZONE,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("times"))
    yield world
    world.publisher.close()


def test_the_table_has_every_door() -> None:
    assert [row[0] for row in DOORS_TABLE] == list(doors())


def values_of(written: str, is_text: bool) -> list[Any]:
    """As text, and as what JSON reads it as."""
    try:
        number = json.loads(written) if written != "nan" else math.nan
    except ValueError:
        return [written]
    return [written] if is_text else [written, number] if number == number else [written]


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("door", [row[0] for row in DOORS_TABLE])
def test_a_time_means_at_each_door_what_the_table_says(world: World, door: str, written: str) -> None:
    ((_, field, zone, code),) = [row for row in DOORS_TABLE if row[0] == door]
    said = WRITTEN[written]
    when = None if said == "refused" else datetime.fromisoformat(said)
    if when is not None and when.tzinfo is None:
        when = when.replace(tzinfo=ZoneInfo(ZONES[zone]))
    for is_text, unit, found in doors()[door]:
        for value in values_of(written, is_text):
            world.publisher.hits.clear()
            world.start_whale()
            if when is None:
                world.now = NOW
                with pytest.raises((Refused, HitError, CallerError)) as caught:
                    found(world, value, int(NOW) * SECOND)
                check_refusal(caught.value, code, field)
                continue
            expected = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
            world.now = expected / SECOND + 600 if field.endswith("`start_at`") else NOW
            assert found(world, value, expected) == expected // unit * unit, (value, unit)


def check_refusal(error: BaseException, code: str, field: str) -> None:
    if isinstance(error, Refused):
        reason, named, said = error.args
        assert f"`{reason}`" == code
    else:
        assert isinstance(error, HitError | CallerError)
        named, said = error.field, str(error)
        assert code.strip("`") in {kind.__name__ for kind in type(error).__mro__} | {"bad_time"}
    assert f"`{named}`" in field
    assert "ISO 8601" in said or "1900" in said


# The one reading


def read(value: Any) -> int | None:
    try:
        return time_of(value)
    except NoTime:
        return None


@law(300)
@given(st.integers(-(10**20), 10**20), st.integers(0, 10**9 - 1))
@example(10**11, 0)
@example(10**11 - 1, 0)
@example(10**14, 0)
@example(10**14 - 1, 0)
@example(-(10**14), 0)
@example(-(10**11) + 1, 0)
@example(10**18, 0)
def test_a_number_is_what_its_size_says_however_it_comes(whole: int, billionths: int) -> None:
    text = f"{whole}.{billionths:09}" if billionths else str(whole)
    exact = Fraction(text)
    size = abs(exact)
    factor = SECOND if size < 10**11 else 1000 if size < 10**14 else 1 if size < 10**18 else None
    digits = len(text) if not billionths and whole >= 0 else 0
    if digits in (4, 6, 8):
        return
    expected = None if factor is None else math.floor(exact * factor)
    assert read(text) == read(Decimal(text)) == read(exact) == expected
    if not billionths:
        assert read(whole) == expected
        if abs(whole) < 2**63:
            assert read(np.int64(whole)) == expected


@law(300)
@given(st.floats(-1e18, 1e18, exclude_min=True, exclude_max=True))
def test_a_float_is_its_shortest_decimal_form(value: float) -> None:
    assert read(value) == read(f"{Decimal(repr(value)):f}"[:60]) or len(f"{Decimal(repr(value)):f}") > 60
    assert read(np.float64(value)) == read(value)


@law(300)
@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)))
def test_no_microsecond_is_lost(when: datetime) -> None:
    exact = (when - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    assert read(when.isoformat()) == read(when.replace(tzinfo=UTC)) == exact
    assert read(f"{when:%Y%m%d}") == read(int(f"{when:%Y%m%d}")) == read(when.date())
    hit = parse_hit({"pk": "t", "at": when.isoformat()}, load({}), 4_102_444_800.0)
    assert hit.at_ms == exact // 1000


@law(300)
@given(st.integers(0, 99_999_999))
@example(20150229)
@example(20160229)
@example(101)
def test_eight_digits_are_a_day_of_the_calendar_or_refused(number: int) -> None:
    text = f"{number:08}"
    try:
        day: date | None = date(number // 10_000, number // 100 % 100, number % 100)
    except ValueError:
        day = None
    assert read(text) == (None if day is None else read(day))


@law(300)
@given(st.text(max_size=20) | st.text("0123456789+-.eE_ TZ:W", max_size=25))
@example("1e999")
@example("1e-999")
@example("0e999")
@example("9" * 60)
@example("9" * 61)
@example("٢٠١٥٠٦١٧")
@example("1/2")
@example("-0")
def test_any_text_is_a_time_or_refused_by_a_sentence(text: str) -> None:
    try:
        said: int | str = time_of(text)
    except NoTime as error:
        said = str(error)
    assert isinstance(said, int) or "ISO 8601" in said


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        b"1434551720",
        1j,
        10**5000,
        -(10**5000),
        float("inf"),
        Decimal("nan"),
        Decimal("sNaN"),
        Decimal("1e999999"),
        Fraction(10**5000, 3),
        np.array([1434551720, 5]),
        np.bool_(True),
        np.float32("inf"),
        datetime.max,
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_time_is_refused_by_the_field(value: Any) -> None:
    if value is not None:
        with pytest.raises(HitError) as caught:
            parse_hit({"pk": "t", "at": value}, load({}), NOW)
        assert (str(caught.value.reason), caught.value.field) == ("bad_time", "at")
    with pytest.raises(CallerError) as other:
        Whale(MemoryStore(load({})), load({}), clock=lambda: NOW).range_of(Span(value, None, "day", 1))
    assert other.value.field == "start"
