"""Values that programs have, at every door of the library: counted and asked as the plain ones that they are, or refused by field."""

import datetime
import decimal
import inspect
import itertools
import uuid
from collections import Counter, OrderedDict, UserDict, UserList, deque, namedtuple
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.hit import HitError
from hail.message import ACCOUNT
from hail.settings import load
from hail.times import time_of
from tests.contract.hits import NOW
from tests.laws import law
from whale.accounts import Site
from whale.client import HailWhale
from whale.errors import CallerError
from whale.fasttrack import Memory
from whale.library.arguments import READERS, BadArgument, on_default
from whale.orm import Counted
from whale.period import Span
from whale.plain import MOST_VALUES, plain
from whale.store.memory import MemoryStore


class Word(str):
    def __str__(self) -> str:
        return "another"


class Colour(StrEnum):
    RED = "red"


class Size(Enum):
    SMALL = "small"
    LARGE = 5
    HALF = 0.5


class Level(IntEnum):
    LOW = 1


def fails(*_: Any, **__: Any) -> Any:
    raise RuntimeError("hostile")


ALL = ("repr", "str", "eq", "hash", "bool", "len", "iter", "index", "float", "int", "getitem", "format", "contains")
HOSTILE = {f"__{name}__": fails for name in ALL}
Hostile = type("Hostile", (), {**HOSTILE, "__getattr__": fails})
HostileText = type("HostileText", (str,), HOSTILE)
HostileNumber = type("HostileNumber", (int,), HOSTILE)
HostileFloat = type("HostileFloat", (float,), HOSTILE)
HostileList = type("HostileList", (UserList,), {"__iter__": fails, "__len__": fails, "__getitem__": fails})
HostileMap = type("HostileMap", (UserDict,), {"__iter__": fails, "__len__": fails, "items": fails})


class HostileZone(datetime.tzinfo):
    utcoffset = dst = tzname = fails


def endless() -> Iterator[str]:
    while True:
        yield "a"


def deep(levels: int) -> Any:
    found: Any = "a"
    for _ in range(levels):
        found = [found]
    return found


def itself() -> Any:
    found: list[Any] = ["a"]
    found.append(found)
    return found


def wide() -> Any:
    found: Any = ["a"]
    for _ in range(60):
        found = [found, found]
    return found


Pair = namedtuple("Pair", "a b")
UID = uuid.UUID(int=5)
# a name as a program has it, and the plain one
NAMES: list[tuple[Any, Any]] = [
    ("US", "US"),
    ("é", "é"),
    (Word("US"), "US"),
    (np.str_("US"), "US"),
    (HostileText("US"), "US"),
    (Colour.RED, "red"),
    (Size.SMALL, "small"),
    (Size.LARGE, 5),
    (Size.HALF, 0.5),
    (Level.LOW, 1),
    (HostileNumber(7), 7),
    (HostileFloat(7.5), 7.5),
    (np.int8(5), 5),
    (np.uint64(5), 5),
    (np.float64(2.5), 2.5),
    (np.float32(0.1), float(np.float32(0.1))),
    (np.float16(3), 3),
    (np.longdouble(2.5), 2.5),
    (np.bool_(True), True),
    (Decimal("5.00"), 5),
    (Decimal("-2.50"), -2.5),
    (Decimal("1E-7"), 1e-7),
    (Decimal("12345678901234567890.5"), "12345678901234567890.5"),
    (Decimal("12345678901234567890"), 12345678901234567890),
    (Fraction(5, 2), 2.5),
    (Fraction(1, 3), 1 / 3),
    (Fraction(4, 2), 2),
    (datetime.date(2026, 1, 5), "2026-01-05"),
    (datetime.datetime(2026, 1, 5, 7, 30, tzinfo=datetime.UTC), "2026-01-05T07:30:00+00:00"),
    (UID, str(UID)),
]
AMOUNTS: list[tuple[Any, Any]] = [
    *((value, value) for value in (0, 1, -3, 2.5, 9e9, 1e-7)),
    (HostileNumber(7), 7),
    (HostileFloat(7.5), 7.5),
    (Size.LARGE, 5),
    (Level.LOW, 1),
    (np.int64(-5), -5),
    (np.uint8(200), 200),
    (np.float64(1.1), 1.1),
    (np.float32(0.1), float(np.float32(0.1))),
    (Decimal("0.1"), 0.1),
    (Decimal("2.0000005"), 2.0000005),
    (Decimal("8999999999.123457"), 8999999999.123457),
    (Decimal("1e-999999"), 0),
    (Decimal(-3), -3),
    (Fraction(1, 8), 0.125),
    (Fraction(-7, 1), -7),
]
ODD: list[Any] = [
    *(each for each, _ in NAMES),
    *(each for each, _ in AMOUNTS),
    None,
    True,
    "",
    "_",
    "\ud800",
    [],
    {},
    (),
    b"US",
    bytearray(b"US"),
    memoryview(b"US"),
    1j,
    float("nan"),
    float("inf"),
    np.float64("nan"),
    np.datetime64("2026-01-05"),
    np.array(["a", "b"]),
    np.array([1.5, 2]),
    np.array(3),
    np.array([[]]),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("-Infinity"),
    Decimal("1e999999"),
    Decimal("1." + "1" * 2000),
    Fraction(10**400, 3),
    Fraction(1, 10**4000),
    10**5000,
    -(10**400),
    {"a", "b"},
    frozenset(("a",)),
    {"a": {"b"}},
    range(10**12),
    range(3),
    deque(["a", "b"]),
    UserList(["a", "b"]),
    UserDict({"a": 1}),
    OrderedDict({"a": "b"}),
    Counter("aab"),
    Pair("a", 1),
    {("a", "b"): 1},
    {Size.SMALL: 1, "small": 2},
    {5: 1, "5": 2},
    {None: 1},
    {b"a": 1},
    (each for each in "ab"),
    endless,
    itself(),
    deep(50),
    deep(5000),
    wide(),
    ["a"] * 200,
    [["a", None], "b"],
    {"a": [Hostile()]},
    {"a": HostileMap({"a": 1})},
    Hostile(),
    Hostile,
    HostileList(["a"]),
    HostileMap({"a": 1}),
    {"a": HostileText("US")},
    object(),
    len,
    int,
    Colour,
    datetime.date.min,
    datetime.date.max,
    datetime.datetime.min,
    datetime.datetime.max,
    datetime.datetime(2026, 1, 5, tzinfo=HostileZone()),
    datetime.time(1),
    datetime.timedelta(1),
    Span(Hostile(), HostileText("a"), Hostile(), Hostile()),
    Span(datetime.date(2026, 1, 5), buckets=np.int64(3)),
    Span(datetime.datetime.min),
    (3600, Decimal(86400)),
    (Hostile(), 5),
]


def new_whale(folder: Path | None = None) -> HailWhale:
    more = {} if folder is None else {"HAILWHALE_DATA_DIR": str(folder)}
    settings = load({"HAILWHALE_PIXEL_KEY": "k" * 40, "HAILWHALE_SECRET": "s" * 40, **more})
    return HailWhale(MemoryStore(settings), settings, clock=lambda: NOW, random=np.random.default_rng(0))


class Both(tuple[Any, Any]):
    """A value as a program has it, which may have no repr, and the plain one."""

    def __repr__(self) -> str:
        return f"{type(self[0]).__name__} of {self[1]!r}"


def pairs(some: list[tuple[Any, Any]]) -> st.SearchStrategy[tuple[Any, Any]]:
    return st.sampled_from(range(len(some))).map(
        lambda at: Both(some[at])
    )  # not all can be hashed, as sampled_from does


def listed(inner: st.SearchStrategy[tuple[Any, Any]]) -> st.SearchStrategy[tuple[Any, Any]]:
    kinds = st.sampled_from((list, tuple, UserList, deque))
    both = st.lists(inner, min_size=1, max_size=3)
    return st.builds(lambda kind, each: Both((kind([a for a, _ in each]), [b for _, b in each])), kinds, both)


def mapped(
    names: st.SearchStrategy[tuple[Any, Any]], inner: st.SearchStrategy[tuple[Any, Any]]
) -> st.SearchStrategy[tuple[Any, Any]]:
    kinds = st.sampled_from((dict, OrderedDict, UserDict))
    some = st.lists(st.tuples(names, inner), min_size=1, max_size=3, unique_by=lambda each: str(each[0][1]))
    return st.builds(
        lambda kind, each: Both((kind([(k[0], v[0]) for k, v in each]), {k[1]: v[1] for k, v in each})), kinds, some
    )


HASHED = pairs([each for each in NAMES if not type(each[0]).__name__.startswith("Hostile")])
TREES = st.recursive(pairs(NAMES), lambda inner: listed(pairs(NAMES)) | mapped(HASHED, inner), max_leaves=6)
HITS = st.fixed_dictionaries(
    {
        "pk": pairs(NAMES) | listed(pairs(NAMES)),
        "dimensions": TREES,
        "metrics": mapped(HASHED, pairs(AMOUNTS)) | listed(HASHED),
    },
    optional={"id": pairs(NAMES), "visitor": pairs(NAMES), "event": pairs(NAMES)},
)


def outcome(whale: HailWhale, call: str, fields: dict[str, Any]) -> Any:
    """All that was counted, or which field was at fault."""
    try:
        if call == "count_hit":
            whale.count_hit(fields)
        elif call == "count_outcome":
            whale.count_outcome({**fields, "option": Colour.RED})
        else:
            getattr(whale, call)(**fields)
    except HitError as error:
        return error.field.partition(".")[0].partition("[")[0]
    found = {}
    waiting = list(whale.pks())
    while waiting:
        pk = waiting.pop()
        waiting += whale.pks(pk)
        paths = [list(path) for path in [(), *whale.asking.below(pk, None, 8)]]
        found[pk] = whale.totals(pk, paths, whale.metrics_of(pk), ["today"])["today"]
    return found


@given(HITS, st.sampled_from(("count_now", "count_hit", "count_outcome", "update_count_to")))
@law(100)
def test_a_value_counts_as_the_plain_one_that_it_is(hit: dict[str, tuple[Any, Any]], call: str) -> None:
    if call == "update_count_to":
        hit = {name: both for name, both in hit.items() if name not in ("visitor", "event")}
    whales = new_whale(), new_whale()
    some = [{name: both[which] for name, both in hit.items()} for which in (0, 1)]
    try:
        found = [outcome(whale, call, fields) for whale, fields in zip(whales, some, strict=True)]
    except CallerError as error:  # of setting several paths
        if call == "update_count_to" and error.field:
            return
        raise
    assert found[0] == found[1]


# Every public function, each of its parameters

VALID: dict[str, dict[str, Any]] = {
    "count_now": {"pk": "a"},
    "count": {"pk": "a"},
    "count_record": {"record": {"pk": "a"}},
    "count_hit": {"given": {"pk": "a"}},
    "count_outcome": {"given": {"pk": "a", "option": "b"}},
    "count_decision": {"pk": "a", "decided": {"b": "c"}},
    "count_decided": {"pk_base": "a", "decision": "b", "option": "c"},
    "count_decided_now": {"pk_base": "a", "decision": "b", "option": "c"},
    "pixel": {"pk": "a"},
    "update_count_to": {"pk": "a", "metrics": {"m": 1}},
    "reset": {"pk": "z"},
    "get_spy": {},
    "health": {},
    "of": {"account": "default"},
    "live_token": {},
    "note": {"text": "n"},
    "notes": {},
    "delete_note": {"id": "n"},
    "log": {"path": ["a"]},
    "dataset": {"path": ["a"]},
    "decide": {"pk_base": "a", "options": ["b", "c"]},
    "decision": {"pk_base": "a", "options": ["b", "c"]},
    "reward": {"decision_id": "x"},
    "weighted_reasons": {"pk_base": "a", "decision_name": "d", "options": ["b", "c"]},
    "reasons_for": {"pk_base": "a", "decision_name": "d", "option": "b"},
    "decide_from_reasons": {"good": {"b": {}}, "bad": {}, "test": {}},
    "flush": {},
    "choose": {"name": "managed"},
    "define_decision": {"name": "other", "options": ["a", "b"]},
    "decisions": {},
    "decision_report": {"name": "managed", "limit": 1},
    "totals_of": {"pks": ["a"]},
    "plotpoints_of": {"pks": ["a"]},
    "pks": {},
    "outcomes": {"pk": "decided"},
    "declare_metrics": {"pk": "a", "metrics": {"m": {"unit": "count"}}},
    "range_of": {},
    "ratio_plotpoints": {"pk": "a", "numerator": "m"},
    "rank_subdimensions_ratio": {"pk": "a", "numerator": "m"},
    "batch": {"pk": "site", "events": ["e"]},
    "event": {"pk": "site", "event": "e"},
    "property": {"pk": "site", "name": "p", "value": 1, "visitor": "v"},
    "visitors": {"pk": "site"},
    "visits": {"pk": "site"},
    "recent_visitors": {"pk": "site"},
    "events": {"pk": "site"},
    "funnel": {"pk": "site", "steps": ["e", "f"]},
    "save_funnel": {"pk": "site", "name": "n", "steps": ["e", "f"]},
    "funnels": {"pk": "site"},
    "segments": {"pk": "site"},
    "save_segment": {"pk": "site", "name": "n", "set": {"event": "e"}},
    "saved_segment": {"pk": "site", "name": "n"},
    "delete_segment": {"pk": "site", "name": "n"},
    "saved_funnel": {"pk": "site", "name": "n"},
    "delete_funnel": {"pk": "site", "name": "n"},
    "sessions": {"pk": "site"},
    "paths": {"pk": "site", "event": "e"},
    "retention": {"pk": "site"},
    "event_report": {"pk": "site", "event": "e"},
    "property_report": {"pk": "site", "property": "p"},
    "funnel_report": {"pk": "site", "events": ["e", "e"]},
    "save_funnel_report": {"pk": "site", "name": "f", "events": ["e", "e"]},
    "saved_funnel_report": {"pk": "site", "name": "f"},
    "overlap": {"pk": "site", "sets": [{"event": "e"}]},
    "push": {"pk": "site", "visitor": "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c", "data": {"text": "t"}},
    "talk": {"pk": "site", "visitor": "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c"},
    "listening": {"pk": "site"},
    "visitor": {"pk": "site", "visitor": "v"},
    "identify": {"pk": "site", "anonymous": "v", "known": "w"},
    "erase_visitor": {"pk": "site", "visitor": "v"},
    "properties": {"pk": "site"},
    "export_visitor": {"pk": "site", "visitor": "v"},
}
ASKING = (
    "plotpoints", "scalar_plotpoints", "totals", "total", "today", "yesterday", "cached_plotpoints", "cached_totals",
    "cached_total", "get_subdimensions", "all_subdimensions", "metrics_of", "rank", "rank_subdimensions_scalar",
    "zranked", "cached_rank", "factors", "shifts", "share",
    "plot_svg", "graph_tag", "render_hw_plotpoint_table",
)  # fmt: skip
VALID |= {name: {"pk": "a"} for name in ASKING}
BY_PLACE = {"choose", "define_decision"}
MORE = {
    "count_now": ("id", "visitor", "event", "properties", "basis"),
    "count_decision": ("id", "visitor", "event", "properties", "basis"),
    "decision": ("epsilon", "floor"),
    "define_decision": (
        "weights",
        "default",
        "holdout",
        "by_metric",
        "half_life",
        "dimensions",
        "description",
        "revision",
    ),
    "today": ("tz", "undefined"),
    "cached_totals": ("metrics", "periods"),
    "cached_plotpoints": ("dimensions", "period", "limit"),
    "cached_total": ("metric", "period"),
    "cached_rank": ("by", "columns", "limit"),
    "rank_subdimensions_scalar": ("tz", "tzoffset"),
    "totals_of": ("metrics", "periods"),
    "plotpoints_of": ("metrics", "period", "depth"),
    "reasons_for": ("formula", "known_data", "period"),
}


def functions() -> dict[str, on_default[Any, Any]]:
    found = {}
    for kind in reversed(HailWhale.__mro__):
        found.update({name: each for name, each in vars(kind).items() if isinstance(each, on_default)})
    return found


FUNCTIONS = functions()


def parameters(name: str) -> list[str]:
    several = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    some = list(inspect.signature(FUNCTIONS[name].function).parameters.values())[1:]
    return [each.name for each in some if each.kind not in several] + list(MORE.get(name, ()))


WHERE = [(name, parameter) for name in sorted(FUNCTIONS) for parameter in parameters(name)]


@pytest.fixture(scope="module")
def whale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HailWhale]:
    made = new_whale(tmp_path_factory.mktemp("values"))
    made.count_now("a", {"country": "US"}, {"m": 1})
    made.define_decision("managed", options={"a": 1, "b": 2})
    made.count_now(["decided", "a"])
    made.store.begin_log(Site(ACCOUNT, "site"), after_ms=0)
    yield made
    if made._parts.publisher is not None:
        made._parts.publisher.close()


def call(whale: Any, name: str, fields: dict[str, Any]) -> None:
    try:
        if name in BY_PLACE:
            fields = dict(fields)
            getattr(whale, name)(fields.pop("name"), **fields)
        else:
            getattr(whale, name)(**fields)
    except (HitError, CallerError) as error:
        if not error.field or not str(error):
            raise


def test_every_function_of_the_library_is_swept() -> None:
    assert FUNCTIONS.keys() - VALID.keys() == set()


@given(st.sampled_from(WHERE), st.sampled_from(range(len(ODD))))
@law(200)
def test_whatever_comes_is_taken_or_refused_by_its_field(whale: HailWhale, where: tuple[str, str], odd: int) -> None:
    name, parameter = where
    call(whale, name, {**VALID[name], parameter: ODD[odd]})


@pytest.mark.long(part="laws")
def test_all_of_it_everywhere(whale: HailWhale) -> None:
    for (name, parameter), value in itertools.product(WHERE, ODD):
        call(whale, name, {**VALID[name], parameter: value})


# What is said in words


@pytest.mark.parametrize(
    ("at", "second"),
    [
        (np.float64(NOW - 60), NOW - 60),
        (np.int64(NOW - 60), NOW - 60),
        (Decimal(NOW) - Decimal("60.5"), NOW - 60.5),
        (Fraction(2 * int(NOW) - 121, 2), int(NOW) - 60.5),
        (datetime.datetime.fromtimestamp(NOW - 60, datetime.UTC), NOW - 60),
        (datetime.datetime.fromtimestamp(NOW - 60), NOW - 60),
        (datetime.date(2015, 3, 29), datetime.datetime(2015, 3, 28, 23, tzinfo=datetime.UTC).timestamp()),
        (datetime.date(2015, 3, 30), datetime.datetime(2015, 3, 29, 22, tzinfo=datetime.UTC).timestamp()),
    ],
)
def test_a_time_is_the_moment_that_a_program_means(at: Any, second: float) -> None:
    """A datetime without a zone is this machine's; a date is the begin of that day in the account's zone."""
    settings = load({"HAILWHALE_TIMEZONE": "Europe/Berlin"})
    whale = HailWhale(MemoryStore(settings), settings, clock=lambda: NOW)
    assert time_of(READERS["at"](at, "at", whale)) == round(second * 1_000_000)
    whale.count_now("t", at=at)
    day = Span(second, buckets=1)
    assert whale.total("t", period=day) == 1


@pytest.mark.parametrize(
    "at", [datetime.datetime.min, datetime.date.min, datetime.date.max, ODD[-9], "soon", True], ids=range(6)
)
def test_a_time_that_is_none_is_refused(at: Any) -> None:
    with pytest.raises(HitError) as caught:
        new_whale().count_now("t", at=at)
    assert (caught.value.field, caught.value.reason) == ("at", "bad_time")


def test_a_decimal_keeps_its_digits() -> None:
    whale = new_whale()
    for amount in (Decimal("8999999999.123456"), Decimal("1.0000005000000000000000001"), Fraction(1, 3)):
        whale.update_count_to("t", metrics={"m": amount})
        cell = whale.store.read("default", ("t",), [()], ["m"], 86400, [whale.range_of("yesterday").end])
        assert cell.tolist() == [[[round(Fraction(amount) * 1_000_000)]]]


HOSTILE_CONTEXTS = [
    decimal.Context(prec=2, rounding=decimal.ROUND_UP),
    decimal.Context(prec=1, Emax=1, Emin=-1, traps=[decimal.Inexact, decimal.Rounded, decimal.FloatOperation]),
]


@pytest.mark.parametrize("context", HOSTILE_CONTEXTS, ids=range(2))
def test_the_decimal_context_of_a_program_changes_no_number(context: decimal.Context) -> None:
    whale, tracker = new_whale(), Memory(clock=lambda: NOW)
    with decimal.localcontext(context):
        whale.count_now(
            "t", Decimal("12.5"), {"a": 123.456789, "b": Decimal("123.456789"), "c": Fraction(1, 3)}, NOW - 3600
        )
        whale.count_now("t", at=NOW - 90_000, metrics={"a": 0.1})
        assert whale.totals("t", ["12.5"], ["a", "b", "c"], "today")["today"]["12.5"] == {
            "a": 123.456789,
            "b": 123.456789,
            "c": 0.333333,
        }
        assert whale.total("t", "a", period="today", compare="previous")["change"] == 123.356789
        assert tracker.track_count("1", "m", 123.456789) == 123.456789


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"pk": b"a"}, "pk", "bad_pk"),
        ({"pk": ["a", {"b"}]}, "pk[1]", "bad_pk"),
        ({"pk": ["a", Hostile()]}, "pk[1]", "bad_pk"),
        ({"pk": itself()}, "pk[1]" + "[1]" * 65, "too_many_levels"),
        ({"pk": 10**5000}, "pk", "name_too_long"),
        ({"pk": "a", "dimensions": {"b": {"c": np.array([1])}}}, "dimensions.b.c", "bad_dimensions"),
        ({"pk": "a", "dimensions": {Size.SMALL: 1, "small": 2}}, "dimensions.small", "bad_dimensions"),
        ({"pk": "a", "dimensions": wide()}, None, "bad_dimensions"),
        ({"pk": "a", "dimensions": (each for each in "ab")}, "dimensions", "bad_dimensions"),
        ({"pk": "a", "metrics": {"m": np.bool_(True)}}, "metrics.m", "bad_metrics"),
        ({"pk": "a", "metrics": {"m": True}}, "metrics.m", "bad_metrics"),
        ({"pk": "a", "metrics": {"m": Decimal("NaN")}}, "metrics.m", "bad_metrics"),
        ({"pk": "a", "metrics": {"m": Decimal("1e10")}}, "metrics.m", "number_out_of_range"),
        ({"pk": "a", "metrics": {"m": -(10**5000)}}, "metrics.m", "number_out_of_range"),
        ({"pk": "a", "metrics": {5: 1, "5": 2}}, "metrics.5", "bad_metrics"),
        ({"pk": "a", "metrics": {"hits": Fraction(1, 2)}}, "metrics.hits", "bad_metrics"),
        ({"pk": "a", "metrics": {"m": HostileFloat(1), "n": Hostile()}}, "metrics.n", "bad_metrics"),
        ({"pk": "a", "id": Hostile()}, "id", "bad_id"),
        ({"pk": "a", "visitor": ["b"]}, "visitor", "bad_id"),
    ],
)
def test_what_cannot_be_counted_names_its_field(fields: dict[str, Any], field: str | None, reason: str) -> None:
    for call_ in ("count_now", "count_hit"):
        with pytest.raises(HitError) as caught:
            new_whale().count_hit(fields) if call_ == "count_hit" else new_whale().count_now(**fields)
        assert caught.value.reason == reason
        assert field is None or caught.value.field == field


def test_a_question_refuses_as_a_question_does() -> None:
    whale = new_whale()
    for ask in (lambda: whale.totals(Hostile()), lambda: whale.totals("t", np.array(["a", "b"]))):
        with pytest.raises(CallerError) as caught:
            ask()
        assert isinstance(caught.value, BadArgument)
        assert caught.value.field in ("pk", "dimensions")
    with pytest.raises(CallerError, match="depth: expected a whole number"):
        whale.plotpoints("t", depth=1.5)
    asked: dict[str, Any] = {"depth": np.int64(1), "limit": Decimal(5), "period": Word("seven")}
    assert len(whale.plotpoints("t", **asked)) == 1


def test_a_value_is_read_in_bounded_work() -> None:
    with pytest.raises(HitError, match="expected fewer values"):
        plain([["a"] * 1000] * (MOST_VALUES // 1000 + 1), "dimensions")
    with pytest.raises(HitError, match="expected at most 100000 values"):
        plain(range(10**18), "pk")


# Objects that count on themselves


class Model(Counted):
    counted_as = "Thing"

    def __init__(self, id: Any):
        self.id = id


class Gone(Counted):
    @property
    def id(self) -> str:
        raise RuntimeError("its row is gone")


class Key:
    def __str__(self) -> str:
        return "507f191e"


@pytest.mark.parametrize(
    ("id_", "name"),
    [*((id_, str(name).lower() if name is True else str(name)) for id_, name in NAMES), (Key(), "507f191e")],
    ids=range(len(NAMES) + 1),
)
def test_an_object_counts_under_its_id_as_a_plain_name(id_: Any, name: str) -> None:
    assert Model(id_).counted_pk() == ["Thing", name]


@pytest.mark.parametrize(
    "model", [Model(Hostile()), Model(float("nan")), Model(()), Model(None), Model(""), Gone()], ids=range(6)
)
def test_an_object_whose_id_cannot_be_read_says_so(model: Counted) -> None:
    for use in (model.counted_pk, model.count_now, model.totals):
        with pytest.raises(CallerError) as caught:
            use()
        assert caught.value.field == "pk"


def test_a_related_object_counts_along_any_dimensions() -> None:
    whale = new_whale()
    kind = type("Thing", (Model,), {"counted_on": whale})
    thing, other = kind(Decimal(5)), kind(Size.SMALL)
    for dimensions in (None, (), "_", Colour.RED, ("a", np.int64(5)), {"a": Level.LOW}, [["a", "b"], ("c",)]):
        thing.count_now_related(other, dimensions)
        assert thing.totals_related(other, dimensions, period="today")
    assert whale.total(["Thing", 5], dimension=["Thing", "small"], period="today") == 7
    with pytest.raises(HitError) as caught:
        thing.count_now_related(other, np.array(["a", "b"]))
    assert caught.value.field == "dimensions"


# py-fasttrack's calls

TRACKED: dict[str, dict[str, Any]] = {
    "track_count": {"unique_identifier": "1", "metric": "m", "inc_amt": 1},
    "track_metric": {"unique_identifier": "1", "metric": "m", "date": datetime.date(2012, 4, 5), "inc_amt": 1},
    "set_metric_by_day": {"unique_identifier": "1", "metric": "m", "date": datetime.date(2012, 4, 5), "count": 1},
    "get_metric_by_day": {"unique_identifier": "1", "metric": "m", "from_date": datetime.date(2012, 4, 5), "limit": 3},
    "get_metrics": {"metric_identifiers": [("1", "m")], "from_date": datetime.date(2012, 4, 5), "group_by": "day"},
    "get_count": {"unique_identifier": "1", "metric": "m", "start_date": datetime.date(2012, 4, 5)},
    "get_counts": {"metric_identifiers": [("1", "m")], "end_date": datetime.date(2012, 4, 5)},
    "track_uncountable": {"user_id": "1", "event_id": "e", "details": {"a": 1}, "now": NOW},
    "get_uncountable": {"event_id": "e"},
}


@pytest.mark.parametrize("every", [15, pytest.param(1, marks=pytest.mark.long(part="laws"))])
def test_py_fasttracks_calls_take_them_too(every: int) -> None:
    """Each value is handed to one in `every` of the parameters."""
    tracker = Memory(clock=lambda: NOW)
    for amount, number in AMOUNTS:
        assert tracker.track_count("1", "m", amount) == tracker.track_count("2", "m", number)
    assert tracker.track_count(Decimal(5), Size.SMALL, np.float64(2.5)) == 2.5
    assert tracker.get_count("5", "small") == 2.5
    for at, (call_, parameter) in enumerate((name, each) for name, fields in TRACKED.items() for each in fields):
        for value in ODD[at % every :: every]:
            call(tracker, call_, {**TRACKED[call_], parameter: value})
