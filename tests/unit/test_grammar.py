"""One grammar of dimensions: the table of docs/http/dimensions.md, walked through every door of both services and the library."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hail.web
from hail.hit import HitError, parse_hit
from hail.settings import Settings, load
from tests.laws import law
from tests.taken import Taken
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.dimension import paths_of
from whale.errors import CallerError, PathError
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_795_300_800.0
DOCUMENT = (Path(__file__).parents[2] / "docs/http/dimensions.md").read_text()
SETTINGS = load({"HAILWHALE_SPY": "0"})
PATHS = frozenset[tuple[str, ...]]
Reading = PATHS | str
"""The paths, or the code that it is refused with."""


def table() -> list[tuple[Any, Reading, Reading]]:
    """Each row: what is written, where a hit counts with it, which paths a question asks."""
    rows = [line.strip("|").split(" | ") for line in DOCUMENT.split("\n") if line.startswith("| `")]
    return [(json.loads(written.split("`")[1]), reading(hit), reading(question)) for written, hit, question in rows]


def reading(cell: str) -> Reading:
    if refused := re.fullmatch(r"\s*(bad_\w+)\s*", cell):
        return refused[1]
    named = {tuple(path.split(" > ")) for path in re.findall(r"`([^`]+)`", cell)}
    return frozenset(named | {()}) if "root" in cell or "nothing" in cell else frozenset(named)


ROWS = table()
WRITTEN = [json.dumps(row[0]) for row in ROWS]


def tuples(value: Any) -> Any:
    """The same with tuples in place of lists."""
    if isinstance(value, list):
        return tuple(tuples(item) for item in value)
    return {name: tuples(below) for name, below in value.items()} if isinstance(value, dict) else value


class Doors:
    """Hail, and a Whale on the memory store."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.publisher = Taken(settings)
        self.hail = hail.web.make_app(settings, self.publisher, lambda: NOW)
        self.whale = Whale(MemoryStore(settings), settings, clock=lambda: NOW)
        self.app = make_app(settings, self.whale)

    def counted(self, dimensions: Any) -> dict[str, Reading]:
        """Where a hit counts, below the root, as each door reads it."""
        given = {"pk": "t", "dimensions": dimensions}
        body = json.dumps(given).encode()
        form = urlencode(address(given)).encode()
        found: dict[str, Reading] = {
            "GET": self._hail("GET", query=form.decode()),
            "form": self._hail("POST", body=form, CONTENT_TYPE="application/x-www-form-urlencoded"),
            "JSON": self._hail("POST", body=body, CONTENT_TYPE="application/json"),
            "now, GET": self._now("GET", query=form.decode()),
            "now, JSON": self._now("POST", body=body, CONTENT_TYPE="application/json"),
            "library": self._library(dimensions),
            "library, tuples": self._library(tuples(dimensions)),
        }
        if isinstance(dimensions, list | dict):
            written = urlencode({"pk": "t", "dimensions": python_like(dimensions)})
            found["GET, tuples"] = self._hail("GET", query=written)
        return found

    def _hail(self, method: str, **more: Any) -> Reading:
        answer = call(self.hail, method, "/count", **more)
        if answer.status >= 300:
            return str(answer.json["code"])
        tree = self.publisher.hits[-1][1]
        return frozenset(paths_of(tree)) - {()}

    def _now(self, method: str, **more: Any) -> Reading:
        self.whale.reset("t")
        answer = call(self.app, method, "/count_now", **more)
        return str(answer.json["code"]) if answer.status != 200 else self._known()

    def _library(self, dimensions: Any) -> Reading:
        self.whale.reset("t")
        try:
            self.whale.count_now("t", dimensions)
        except HitError as error:
            return str(error.reason)
        return self._known()

    def _known(self) -> Reading:
        return frozenset(self.whale.asking.below("t", None, 8))

    def asked(self, dimensions: Any) -> dict[str, Reading]:
        """Which paths a question asks, as each door reads it."""
        query = urlencode(address({"pk": "t", "dimensions": dimensions, "period": "today"}))
        form = {"body": query.encode(), "CONTENT_TYPE": "application/x-www-form-urlencoded"}
        found = {
            "GET": _answered(call(self.app, "GET", "/totals", query=query)),
            "form": _answered(call(self.app, "POST", "/totals", **form)),
            "plotpoints": _plotted(call(self.app, "GET", "/plotpoints", query=query)),
            "library": self._asked(dimensions),
            "library, tuples": self._asked(tuples(dimensions)),
        }
        if isinstance(dimensions, list | dict):
            written = urlencode({"pk": "t", "dimensions": python_like(dimensions), "period": "today"})
            found["GET, tuples"] = _answered(call(self.app, "GET", "/totals", query=written))
        return found

    def _asked(self, dimensions: Any) -> Reading:
        try:
            return _paths(self.whale.totals("t", dimensions, period="today")["today"])
        except CallerError as error:
            return error.code


def address(given: dict[str, Any]) -> dict[str, str]:
    """As an address or a form has it; null is left out there."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value is not None
    }


def python_like(value: Any) -> str:
    """With tuples below the first bracket, as only Python writes them."""
    if isinstance(value, list):
        return repr([tuples(item) for item in value])
    return repr(tuples(value))


def _answered(answer: Answer) -> Reading:
    return str(answer.json["code"]) if answer.status != 200 else _paths(answer.json["today"])


def _plotted(answer: Answer) -> Reading:
    return str(answer.json["code"]) if answer.status != 200 else _paths(answer.json)


def _paths(rows: dict[str, Any]) -> Reading:
    return frozenset(path_of(text) for text in rows)


def path_of(text: str) -> tuple[str, ...]:
    """A path of an answer, read without our own code."""
    if text == "_":
        return ()
    if text == '{"_": {}}':
        return ("_",)
    return tuple(json.loads(text)) if text.startswith("[") else (text,)


def test_the_table_holds_what_it_is_for() -> None:
    assert len(ROWS) >= 30
    assert {row[1] for row in ROWS if isinstance(row[1], str)} == {"bad_dimensions"}


@pytest.mark.parametrize(("dimensions", "hit", "_"), ROWS, ids=WRITTEN)
def test_a_hit_is_read_at_each_door_as_the_table_says(dimensions: Any, hit: Reading, _: Reading) -> None:
    expected = hit if isinstance(hit, str) else hit - {()}
    found = Doors().counted(dimensions)
    if dimensions == "":  # in an address and a form what is empty is left out
        found = {door: read for door, read in found.items() if "JSON" in door or "library" in door}
    assert found == dict.fromkeys(found, expected)


@pytest.mark.parametrize(("dimensions", "_", "question"), ROWS, ids=WRITTEN)
def test_a_question_is_read_at_each_door_as_the_table_says(dimensions: Any, _: Reading, question: Reading) -> None:
    found = Doors().asked(dimensions)
    assert found == dict.fromkeys(found, question)


# Two readings

TAGS = {"tags": ["red", "blue"]}
BOTH = (
    'dimensions: {"tags": ["red", "blue"]} is ambiguous, because hits counted it as one path: '
    'send ["tags", "red", "blue"] for that path, or [["tags", "red"], ["tags", "blue"]] for each of the names'
)


@pytest.fixture
def doors() -> Doors:
    """Tags as one path, and each by itself."""
    doors = Doors()
    doors.whale.count_now("t", TAGS)
    doors.whale.count_now("t", {"tags": {"green": {}, "black": {}}})
    return doors


def test_a_list_that_was_counted_as_a_path_is_refused_with_both_spellings(doors: Doors) -> None:
    assert doors.asked(TAGS) == dict.fromkeys(doors.asked(TAGS), "bad_path")
    answer = call(doors.app, "GET", "/totals", {"pk": "t", "dimensions": json.dumps(TAGS)})
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_path", "dimensions")
    assert answer.json["detail"] == BOTH
    with pytest.raises(PathError) as caught:
        doors.whale.totals("t", TAGS)
    assert str(caught.value) == BOTH


def test_both_spellings_that_the_refusal_names_are_answered(doors: Doors) -> None:
    path, several = re.findall(r"send (\[.*?\]) for that path, or (\[\[.*?\]\]) for", BOTH)[0]
    assert doors.whale.totals("t", json.loads(path), period="today") == {
        "today": {'["tags", "red", "blue"]': {"hits": 1}}
    }
    assert doors.whale.totals("t", json.loads(several), period="today") == {
        "today": {'["tags", "red"]': {"hits": 1}, '["tags", "blue"]': {"hits": 0}}
    }


@pytest.mark.parametrize(
    "dimensions",
    [
        {"tags": ["blue", "red"]},
        {"tags": ["green", "black"]},
        {"tags": ["red"]},
        {"tags": ["red", None]},
        {"tags": ["red", {"blue": {}}]},
        {"tags": [["red", "blue"]]},
        ["tags", "red", "blue"],
        [["tags", "red"], ["tags", "blue"]],
    ],
    ids=json.dumps,
)
def test_what_was_counted_as_no_path_or_is_read_in_one_way_is_answered(doors: Doors, dimensions: Any) -> None:
    assert all(isinstance(found, frozenset) for found in doors.asked(dimensions).values())


@pytest.mark.parametrize(
    "dimensions",
    [
        {"tags": ["red", None, "blue"]},
        {"tags": ["black", "white"], "country": "US", "page": {"x": ["y", "z", 5]}},
    ],
    ids=json.dumps,
)
def test_each_list_below_an_object_is_looked_up(doors: Doors, dimensions: Any) -> None:
    doors.whale.count_now("t", {"page": {"x": ["y", "z", 5]}})
    assert set(doors.asked(dimensions).values()) == {"bad_path"}


ONE = {"tags": ["red", "red"]}


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [
        ("/total", {"period": "today"}, "dimensions"),
        ("/plotpoints", {}, "dimensions"),
        ("/dataset", {}, "dimensions"),
        ("/rank", {}, "dimension"),
        ("/factors", {"period": "today"}, "dimensions"),
        ("/shifts", {}, "dimensions"),
        ("/subdimensions", {}, "dimension"),
    ],
)
def test_every_question_refuses_what_has_two_readings(path: str, parameters: dict[str, str], field: str) -> None:
    doors = Doors()
    asked = {"pk": "t", "dimensions": json.dumps(ONE), **parameters}
    assert call(doors.app, "GET", path, asked).status == 200
    doors.whale.count_now("t", ONE)
    answer = call(doors.app, "GET", path, asked)
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_path", field)
    assert 'send ["tags", "red", "red"] for that path, or [["tags", "red"]]' in answer.json["detail"]
    with pytest.raises(PathError, match="ambiguous"):
        doors.whale.reset("t", ONE)


def test_after_a_reset_there_is_one_reading_again(doors: Doors) -> None:
    doors.whale.reset("t", ["tags", "red"])
    assert doors.whale.totals("t", TAGS, period="today") == {
        "today": {'["tags", "red"]': {"hits": 0}, '["tags", "blue"]': {"hits": 0}}
    }


class Asking(MemoryStore):
    """Writes down for which paths it is asked whether they were counted."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.asked: list[Any] = []

    def counted(self, account: str, pk: Any, paths: Any) -> Any:
        self.asked.append(paths)
        return super().counted(account, pk, paths)


def test_names_are_looked_up_only_for_a_list_below_an_object() -> None:
    store = Asking(SETTINGS)
    whale = Whale(store, SETTINGS, clock=lambda: NOW)
    for plain in (None, "a", ["a", "b"], [["a"], ["b", "c"]], {"a": "b"}, {"a": ["b"], "c": {"d": {}}}):
        whale.asking.question("t", plain)
    assert store.asked == []
    whale.asking.question("t", {"a": ["b", "c"], "d": ["e", "f"]})
    assert store.asked == [[("a", "b", "c"), ("d", "e", "f")]]


def test_a_question_that_nests_deep_is_answered_or_refused() -> None:
    deep = '{"a":' * 900 + "1" + "}" * 900
    answer = call(
        Doors().app,
        "POST",
        "/totals",
        body=urlencode({"pk": "t", "dimensions": deep}).encode(),
        CONTENT_TYPE="application/x-www-form-urlencoded",
    )
    assert answer.status in (200, 400)
    nested: Any = 1
    for _ in range(5000):
        nested = {"a": nested}
    with pytest.raises(CallerError, match=r"^dimensions\.a.*: expected 100 levels"):
        Doors().whale.totals("t", nested, period="today")


# Laws

NAMES = st.sampled_from(["a", "b", "_", "5", "é 😀", "[x", "{x", "null", '{"_": {}}', " "])
SCALARS = (
    NAMES
    | st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
)
TREES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(TREES, max_size=3) | st.dictionaries(NAMES, TREES, max_size=3)
"""A text or a number by itself is another thing in an address: `5.0` is a name there."""


@given(OBJECTS)
@law(60)
def test_a_hit_is_the_same_at_every_door(dimensions: Any) -> None:
    found = Doors().counted(dimensions)
    expected = found["library"]
    assert found == dict.fromkeys(found, expected)


@given(TREES)
@law(150)
def test_each_path_that_a_hit_counted_is_asked_by_its_names(dimensions: Any) -> None:
    whale = Whale(MemoryStore(SETTINGS), SETTINGS, clock=lambda: NOW)
    with contextlib.suppress(HitError):
        tree = parse_hit({"pk": "t", "dimensions": dimensions}, SETTINGS, NOW).dimensions
        whale.count_now("t", dimensions, {"n": 2})
        for path in paths_of(tree):
            written = {"_": {}} if path == ("_",) else list(path)
            (found,) = whale.totals("t", written, ["hits", "n"], period="today")["today"].items()
            assert (path_of(found[0]), found[1]) == (path, {"hits": 1, "n": 2})
            assert whale.totals("t", found[0], period="today")["today"] == {found[0]: {"hits": 1}}


@given(OBJECTS)
@law(60)
def test_a_question_is_the_same_at_every_door(dimensions: Any) -> None:
    found = Doors().asked(dimensions)
    assert found == dict.fromkeys(found, found["library"])
