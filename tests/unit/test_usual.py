"""The short way of many hits is the long way of each: the same answers, the same hits, the same refusals."""

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import islice
from random import Random
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks import workload
from hail.accept import Acceptor
from hail.access import ALL_RIGHTS, Caller
from hail.bulk import Bulk
from hail.formats import Handler
from hail.formats.address import hit_of
from hail.formats.batch import Batch
from hail.formats.posted import Posted
from hail.hit import FIELDS, HitError, encode_hit, encode_row, fields_of, millionths, parse_hit, parse_row, parse_time
from hail.message import ACCOUNT
from hail.packing import Packed
from hail.parameters import unquoted
from hail.publish import Publisher
from hail.settings import MESSAGE_VERSIONS, Settings, load
from hail.usual import Usual, usual_millionths
from tests import nasty
from tests.conformance.test_cases import CASES
from tests.landed import LandedBatch, LandedPosted
from tests.laws import law
from tests.taken import wires_of
from tests.wsgi import call

NOW = nasty.NOW
CALLER = Caller(ACCOUNT, ALL_RIGHTS)


class Told(Acceptor):
    """An acceptor that tells what it was asked to keep, and to note."""

    def __init__(self, settings: Settings, now: float = NOW):
        super().__init__(settings, Publisher(settings), lambda: now)
        self.bulk = Bulk(settings, self.usual, many=1)
        self.told: list[Any] = []

    def keep(self, caller: Caller, hits: Packed, skewed: int = 0) -> None:
        self.told.append((wires_of(self.publisher, hits), hits.cells, skewed))

    def note(self, caller: Caller, error: Any, came: str, visitor: Any = None) -> None:
        self.told.append((str(error), error.field, came, visitor))


class Both:
    """Both ways, beside each other."""

    def __init__(self, settings: Settings, now: float = NOW):
        self.settings = settings
        self.acceptor = Told(settings, now)
        ways = ((Batch, LandedBatch, "/batch"), (Posted, LandedPosted, "/count"))
        self.handlers = {
            path: [way(self.acceptor).routes["POST", path] for way in (short, long)] for short, long, path in ways
        }

    def check(self, path: str, body: bytes, kind: str = "application/json") -> None:
        """That the answer is the same, what is kept, and what is noted."""
        short, long = (self._told(handler, path, body, kind) for handler in self.handlers[path])
        assert short == long, body

    def _told(self, handler: Handler, path: str, body: bytes, kind: str) -> list[Any]:
        self.acceptor.told = told = []

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            told.append(answer := handler(CALLER, environ))
            start_response(answer.status, answer.headers)
            return [answer.body]

        call(app, "POST", path, body=body, CONTENT_TYPE=kind)
        return told


# Every second one writes messages of version 2.
BOTH = [
    Both(load({f"HAILWHALE_{name}": text for name, text in some.items()}).replace(message_version=version))
    for some in nasty.SETTINGS
    for version in MESSAGE_VERSIONS
]


def conformance() -> Iterator[tuple[Settings, float, list[Any]]]:
    """The hits of each case, and when they came."""
    for case in CASES:
        settings = load({f"HAILWHALE_{name}": str(text) for name, text in case.get("settings", {}).items()})
        settings = settings.replace(message_version=1 + len(case["hits"]) % 2)
        now = parse_time(case["now"], 4e9) / 1e6
        given = [{"at": case["now"], **hit} for hit in case.get("hits", [])]
        yield settings, now, [{name: part for name, part in hit.items() if name != "times"} for hit in given]


def forms(hits: list[Any]) -> Iterator[tuple[bytes, str]]:
    """The same hits as a list, as an envelope and as lines, which are told by type and by look."""
    yield json.dumps(hits).encode(), "application/json"
    yield json.dumps({"hits": hits}, ensure_ascii=False, indent=1).encode(), "application/json"
    lines = "\n".join(json.dumps(hit, separators=(",", ":")) for hit in hits).encode()
    yield lines, "application/x-ndjson"
    yield lines.replace(b"\n", b"\r\n") + b"\n", "text/plain"


def test_the_hits_of_the_conformance_cases_are_the_same_either_way() -> None:
    count = 0
    for settings, now, hits in conformance():
        both = Both(settings, now)
        for some in (hits, *([hit] for hit in hits)):
            for body, kind in forms(some):
                both.check("/batch", body, kind)
        for hit in hits:
            both.check("/count", json.dumps(hit).encode())
        count += len(hits)
    assert count > 400


@given(st.integers(0, 2**64))
@law(250)
def test_random_nasty_hits_are_the_same_either_way(seed: int) -> None:
    rng = Random(seed)
    both = rng.choice(BOTH)
    both.check("/batch", *nasty.body(rng, rng.choice((1, 2, 5, 20, 72))))
    both.check("/count", nasty.one(rng))


def typed(rng: Random, value: Any) -> str:
    """A field as somebody may type it into an address: text, JSON, or Python's own form."""
    if isinstance(value, nasty.Raw):
        return str(value)
    if isinstance(value, str):
        return value
    if rng.random() < 0.7:
        return nasty.Writer(rng, 0.5).write(value)
    if isinstance(value, dict) and rng.random() < 0.3:
        return repr({rng.choice((5, 5.0, None, True, name)): part for name, part in value.items()})
    return repr(tuple(value) if isinstance(value, list) and rng.random() < 0.5 else value)


@given(st.integers(0, 2**64))
@law(1500)
def test_random_nasty_fields_are_the_same_either_way(seed: int) -> None:
    rng = Random(seed)
    both = rng.choice(BOTH)
    hit = nasty.hit(rng, rng.choice((0, 0.2, 1)))
    fields = {name: typed(rng, part) for name, part in (hit if isinstance(hit, dict) else {}).items() if name in FIELDS}

    def told(parse: Callable[[], tuple[bytes, int, bool]]) -> Any:
        try:
            return parse()
        except HitError as error:
            return error.reason, str(error), error.field

    def short() -> tuple[bytes, int, bool]:
        row, cells, is_ahead = hit_of(fields, both.acceptor, NOW)
        return encode_row(row), cells, is_ahead

    def long() -> tuple[bytes, int, bool]:
        hit = parse_hit(fields_of(fields), both.settings, NOW)
        return encode_hit(hit), hit.cells, hit.skewed

    assert told(short) == told(long), fields


PIECES = (
    b"%",
    b"4",
    b"1",
    b"a",
    b"F",
    b"=",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"_",
    b"%41",
    b"%3d",
    b"%0A",
    b"%zz",
    b"\xff",
    b"\0",
    b"==",
)


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=2)).map(b"".join))
@law(1000)
def test_escapes_are_read_as_by_the_standard_library(data: bytes) -> None:
    assert unquoted(data) == unquote_to_bytes(data)


ONE = b'{"pk":"a","metrics":{"x":1.5}}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n ",
        b"[]",
        b"{}",
        b"[1]",
        b"[%b,{}]" % ONE,
        b"\xef\xbb\xbf[%b]" % ONE,
        b"\xef\xbb\xbf%b\n%b" % (ONE, ONE),
        b"%b\n\xef\xbb\xbf%b" % (ONE, ONE),
        b"[\xef\xbb\xbf%b]" % ONE,
        b"%b\r%b" % (ONE, ONE),
        b"%b\r\n%b\r\n" % (ONE, ONE),
        b"%b\n\r\n%b" % (ONE, ONE),
        b"%b\x0b\n%b" % (ONE, ONE),
        b"\x0c%b\n%b\x0b" % (ONE, ONE),
        b"%b%b" % (ONE, ONE),
        b"%b %b\n%b" % (ONE, ONE, ONE),
        b"%b,%b\n%b" % (ONE, ONE, ONE),
        b'{"pk":"a","dimensions":{"b":{}\n}}\n%b' % ONE,
        b'{"pk":\n"a"}\n%b%b' % (ONE, ONE),
        b'{"pk":"a\n"}\n%b' % ONE,
        b'%b\n[{"pk":"a"}]\n%b' % (ONE, ONE),
        b'%b\n5\n"x"\nnull' % ONE,
        b'%b\n{"hits":5}\n{"hits":[]}' % ONE,
        b'{"hits":[%b],"hits":5}' % ONE,
        b'{"hits":5,"hits":[%b]}' % ONE,
        b'{"hits":[%b],"more":"\xff"}' % ONE,
        b'{"hits":[%b],"more":1e400}' % ONE,
        b'{"hits":null,"pk":"a"}',
        b'{"hits":{}}',
        b"[%b,]" % ONE,
        b"[%b" % ONE,
        b'[%b,{"pk":"\xff"}]' % ONE,
        b'[%b,{"pk":"\xff","pk":"b"}]' % ONE,
        b'[%b,{"pk":1e400,"pk":"b"}]' % ONE,
        b'[%b,{"pk":"\\ud800","pk":"b"}]' % ONE,
        b'[%b,{"pk":"b","dimensions":{"a":1e400,"a":1}}]' % ONE,
        b'[%b,{"pk":"b","dimensions":{"a":"\\udc00\\ud800","a":1}}]' % ONE,
        b'[%b,{"pk":"b","dimensions":{"a":"\xc3(","a":1}}]' % ONE,
        b'[%b,{"pk":"b","metrics":{"a":"x","a":1}}]' % ONE,
        b'[%b,{"pk":"b","metrics":{"a":1,"a":"x"}}]' % ONE,
        b'[%b,{"\\u0070k":"b","p\\u006b":"c"}]' % ONE,
        b'[%b,{"pk":"b","\\u0070q":"c"}]' % ONE,
        b'[%b,{"pk":"b","dimensions":{"a":"x"},"dimension":"y"}]' % ONE,
        b'[%b,{"pk":"b","dimensions":null,"dimension":"y","metric":null,"metrics":["z"]}]' % ONE,
        b'[%b,{"pk":"b","at":NaN},{"pk":"c","metrics":{"x":Infinity}}]' % ONE,
        b'[%b,{"pk":"b","metrics":{"x":%b}}]' % (ONE, b"1" * 5000),
        b'[%b,{"pk":"b","dimensions":%b}]' % (ONE, b'{"a":' * 3000 + b"1" + b"}" * 3000),
        b'[%b,{"pk":"b","dimensions":%b}]' % (ONE, b"[" * 3000 + b"]" * 3000),
        b"[%b]" % b",".join([ONE] * 501),
        b"\n".join([ONE] * 501),
        b"[%b]" % b",".join([b"{}"] * 2000),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", ""])
def test_bytes_that_no_program_writes_are_the_same_either_way(body: bytes, kind: str) -> None:
    for both in BOTH:
        both.check("/batch", body, kind)
        both.check("/count", body, kind)


@given(
    st.floats(-9e9, 9e9) | st.decimals(-9_000_000_000, 9_000_000_000, places=7).map(float),
    st.integers(-9 * 10**15, 9 * 10**15),
)
@example(562_949_953.421_312_5, 0)
@law(500)
def test_amounts_are_those_of_their_decimal_digits(number: float, halves: int) -> None:
    numbers = number, (halves + 0.5) / 1e6, float(f"{halves}.5e-6"), float(f"{halves // 1000}.5e-6"), halves / 1e6
    for each in numbers:
        assert usual_millionths(each) == millionths(each)
    some = [{"pk": "a", "metrics": {"x": each, "y": int(each)}} for each in numbers]
    BOTH[1].check("/batch", json.dumps(some).encode())


@given(
    st.floats(0, NOW + 9), st.integers(0, 1_795_300_809_000), st.datetimes(datetime(1969, 1, 1), datetime(2027, 1, 1))
)
@law(300)
def test_times_are_those_of_their_decimal_digits(seconds: float, ms: int, when: datetime) -> None:
    iso = when.isoformat()
    numbers = [seconds, ms / 1000, (ms + 0.5) / 1000, float(f"{ms}e-3"), ms, ms // 1000]
    texts = [iso, f"{iso}Z", f"{iso}-03:30"]
    for at in (*numbers, *texts):
        BOTH[0].check("/count", json.dumps({"pk": "a", "at": at}).encode())
    for some in (numbers, texts, [*numbers, *texts, None]):
        BOTH[1].check("/batch", json.dumps([{"pk": "a", "at": at} for at in some]).encode())


def at_the_bounds(settings: Settings) -> Iterator[dict[str, Any]]:
    """Hits that are as large as they may be, and a little larger."""
    for more in (-1, 0, 1):
        levels, paths, size = settings.max_levels + more, settings.max_paths + more, settings.max_name_bytes + more
        path = [str(number % 10) for number in range(levels)]
        deep: Any = "x"
        for name in path[2:]:
            deep = {name: deep}
        for dimensions in (path, {"a": path[1:]}, {"a": {"b": path[2:]}}, {"a": deep}, [path], [path, path[1:]]):
            yield {"pk": "a", "dimensions": dimensions}
        yield {"pk": path}
        yield {"pk": "a", "dimensions": {f"{number:x}": None for number in range(99)}}
        yield {"pk": "a", "dimensions": {f"{number:x}": {} for number in range(paths)}}
        yield {"pk": "a", "dimensions": {"a": {f"{number:x}": {} for number in range(paths - 1)}}}
        yield {"pk": "a", "dimensions": {"a": {f"{number:x}": "b" for number in range(paths // 2)}, "b": {}}}
        yield {"pk": "a", "metrics": {f"{number:x}": 1 for number in range(settings.max_metrics_per_hit + more)}}
        yield {"pk": "a", "metrics": [f"{number:x}" for number in range(settings.max_metrics_per_hit + more)]}
        for letter in ("x", "é", "日", "😀"):
            name = letter * (size // len(letter.encode())) + "x" * (size % len(letter.encode()))
            yield from ({"pk": name}, {"pk": [name]}, {"pk": "a", "id": name}, {"pk": "a", "metrics": {name: 1}})
            yield {"pk": "a", "dimensions": {"a": name, name: {name: "b"}}}
        for cells in range(2, 50):
            yield {"pk": ["a"] * (cells % 3 + 1), "dimensions": {f"{n:x}": "x" for n in range(cells)}, "metrics": ["b"]}
        yield {"pk": "a", "metrics": {"x": 9_000_000_000 + more, "y": 9e9, "hits": 9_000_000_000 + more}}
        yield {"pk": "a", "metrics": {"x": 9_000_000_000.0 + more * 1e-6, "y": -9_000_000_000.0 - more * 1e-6}}


def near_the_clock() -> Iterator[dict[str, Any]]:
    for us in (-2000, -1999, -1001, -1000, -999, -501, -500, -1, 0, 1, 2, 499, 500, 501, 999, 1000, 2000):
        when = NOW + us / 1e6
        iso = datetime.fromtimestamp(int(NOW), UTC).replace(microsecond=250_000) + timedelta(microseconds=us)
        for at in (when, round(when, 3), int(when * 1000), int(when * 1e6), iso.isoformat(), iso.isoformat() + "1"):
            yield {"pk": "a", "at": at}


def test_hits_at_the_bounds_are_the_same_either_way() -> None:
    for both in BOTH:
        for hit in (*at_the_bounds(both.settings), *near_the_clock()):
            for ascii_ in (True, False):
                body = json.dumps(hit, ensure_ascii=ascii_).encode()
                both.check("/count", body)
                both.check("/batch", b"[%b]" % body)


def test_most_hits_are_usual() -> None:
    """Else the short way would be there for nothing."""
    usual = Usual(load({}))
    hits = [
        *islice(workload.hits(ids=True), 50),
        {"pk": "a"},
        {"pk": 5, "id": 7, "visitor": 7.5},
        {"pk": ["product", 123], "dimension": "services", "metric": "sold", "at": "2026-11-22T10:00:00Z"},
        {"pk": "é", "dimensions": ["日本", "東京"], "metrics": ["a", "hits"], "at": 1_795_300_700_123},
        {
            "pk": "a",
            "dimensions": {"age": 30, "city": ["US", "NY"], "none": None},
            "metrics": {"a": None, "b": 0.123456789},
        },
        {"pk": "a", "at": NOW + 1, "metrics": {"x": 0.0000015}},
    ]
    for hit in hits:
        body = json.dumps(hit, ensure_ascii=False).encode()
        row, cells, is_ahead = usual.row(usual.reading(body).one(body), NOW)
        assert (encode_row(row), cells, is_ahead) == (
            encode_row((found := parse_row(hit, load({}), NOW))[0]),
            *found[1:],
        )


def test_nothing_of_a_hit_is_remembered() -> None:
    batch = BOTH[0].handlers["/batch"][0]
    bodies = [nasty.variants(seed, 100) for seed in range(30)]
    environs = [
        {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)} for body in bodies
    ]
    assert b'"accepted":100' in batch(CALLER, environs.pop()).body
    gc.collect()
    tracemalloc.start()
    try:
        for environ in environs:
            batch(CALLER, environ)
        BOTH[0].acceptor.told.clear()
        gc.collect()
        ways = [
            tracemalloc.Filter(True, f"*/hail/{part}")
            for part in ("usual.py", "bulk.py", "draft.py", "hit.py", "accept.py", "formats/*")
        ]
        kept = tracemalloc.take_snapshot().filter_traces(ways).statistics("lineno")
        assert sum(each.size for each in kept) < 20_000, kept[:9]
    finally:
        tracemalloc.stop()
