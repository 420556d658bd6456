"""Headers that name what was counted or asked: however wide the names are, each header stays small, and says what it leaves out."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hail.web
from hail.publish import Publisher
from hail.settings import load
from tests.unit.test_whale_web import DAY, NOW, Door
from tests.wsgi import Answer, call
from whale.answer.listed import MOST_BYTES, MOST_NAMED, listed
from whale.answer.shapes import overflow_text
from whale.store.contract.rollups import Overflowed

WIDE = "\N{SNOWMAN}" * 40  # 120 bytes in UTF-8, 360 as a header has it


def rows_of(answer: Answer, header: str) -> list[str]:
    """The rows of a header, where it is in its bounds and percent-encoded; the last may be `*`."""
    assert answer.status == 200, answer.text
    assert all(len(text) <= MOST_BYTES and text.isascii() for text in answer.headers.values()), answer.headers
    return answer.headers[header].split(", ")


def more_of(rows: list[str]) -> int:
    return int(rows[-1].removeprefix("*;more="))


def wide(count: int) -> list[str]:
    return [f"{WIDE}{number:02}" for number in range(count)]


def deep(name: str) -> dict[str, Any]:
    """A path of as many wide names as it may have, the last one its own."""
    found: Any = name
    for _ in range(7):
        found = {WIDE: found}
    return {WIDE: found} if isinstance(found, str) else found


def test_wide_names_that_were_never_counted() -> None:
    door = Door()
    door.count("shop")
    rows = rows_of(door.get("/totals", pk="shop", metrics=json.dumps(wide(25))), "X-Whale-Unknown")
    assert len(rows) + more_of(rows) == 26
    assert [unquote(row) for row in rows[:-1]] == [f"metric={name}" for name in wide(len(rows) - 1)]


def test_wide_names_that_are_near_to_others() -> None:
    door = Door()
    for name in wide(5):
        door.count("shop", name)
    asked = json.dumps([f"{name}x" for name in wide(20)])
    rows = rows_of(
        door.get("/totals", pk="shop", dimensions=asked.replace('", "', '"], ["').join("[]")), "X-Whale-Unknown"
    )
    assert len(rows) + more_of(rows) == 21
    assert ";near=%E2%98%83" in rows[0]


@pytest.mark.parametrize("name", [WIDE, "\U0001f600" * 200, "a" * 200])
def test_one_name_is_named_however_wide(name: str) -> None:
    door = Door(max_name_bytes="2000")
    door.count("shop", metrics={f"{name}x": 1})
    (row,) = rows_of(door.get("/total", pk="shop", metric=name + "y"), "X-Whale-Unknown")
    said, near = row.split(";")
    assert name.startswith(unquote(said.removeprefix("metric=")).rstrip("y"))
    assert len(unquote(said)) > 80 or name == WIDE
    assert near.startswith("near=")


def test_of_pks_that_were_not_looked_at_nobody_knows_how_many_names_are_unknown() -> None:
    door = Door()
    pks = [f"pk{number}" for number in range(30)]
    for pk in pks:
        door.count(pk)
    asked = json.dumps([f"m{number}" for number in range(25)])
    rows = rows_of(door.get("/totals", pks=json.dumps(pks), metrics=asked, period="today"), "X-Whale-Unknown")
    assert (len(rows), rows[-1]) == (21, "*")


def test_wide_names_of_what_was_set() -> None:
    door = Door()
    for name in wide(25):
        door.whale.update_count_to("shop", deep(name), {"revenue": 1}, at=NOW - DAY)
    rows = rows_of(door.get("/totals", pk="shop", metrics="revenue", period="1h:7d"), "X-Adjusted")
    assert more_of(rows) == 25 - len(rows) + 1


def test_wide_names_of_cells_that_lack_an_amount() -> None:
    cells = [Overflowed((*[WIDE] * 7, name), "revenue", DAY, int(NOW)) for name in wide(25)]
    text = overflow_text([cells, []])
    assert len(text) <= MOST_BYTES
    assert more_of(text.split(", ")) == 25 - text.count("interval=")
    assert overflow_text([cells, None]) == "*"


def test_wide_names_of_pks_that_have_more() -> None:
    door = Door()
    for pk in wide(25):
        for below in "ab":
            door.count(pk, below)
    asked = {"pks": json.dumps(wide(25)), "depth": 1, "limit": 1, "period": "today"}
    rows = rows_of(door.get("/plotpoints", **asked), "X-Whale-More")
    assert len(rows) + more_of(rows) == 26
    assert unquote(rows[0]) == f"{wide(1)[0]}=1"


def test_wide_names_of_estimates() -> None:
    door = Door()
    for first in (0, 15):
        door.count("shop", metrics={name: {"quantile": 5} for name in wide(30)[first : first + 15]})
    rows = rows_of(door.get("/totals", pk="shop", metrics=json.dumps(wide(30)), period="today"), "X-Whale-Estimated")
    assert len(rows) + more_of(rows) == 31


def test_long_names_of_periods() -> None:
    door = Door()
    door.count("shop")
    periods = [f"1{' ' * 100}d:2015-05-01..2015-06-{day:02}" for day in range(1, 31)]
    rows = rows_of(door.get("/totals", pk="shop", periods=json.dumps(periods)), "X-Whale-Range")
    assert len(rows) + more_of(rows) == 31
    long = door.get("/totals", pk="shop", period=f"1{' ' * 1500}d:2015-05-01..2015-06-01", compare="previous")
    assert rows_of(long, "X-Whale-Range") == ["*;more=2"]


def test_wide_names_that_a_pixel_ignored(tmp_path: Any) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings, lambda: NOW)
    try:
        app = hail.web.make_app(settings, publisher, lambda: NOW)
        answer = call(app, "GET", "/count.gif", {"pk": "shop"} | dict.fromkeys(wide(30), "1"))
    finally:
        publisher.close()
    (row,) = rows_of(answer, "X-Hail")
    assert row.startswith("accepted; ignored=%E2%98%83")


@given(st.lists(st.text("ab;=%2C", min_size=1, max_size=5000), max_size=40), st.integers(0, 3), st.booleans())
def test_what_is_listed_closes(rows: list[str], unlisted: int, is_open: bool) -> None:
    text = listed(rows, unlisted, is_open)
    assert len(text) <= MOST_BYTES
    said = text.split(", ") if text else []
    rest = said.pop() if said and said[-1].startswith("*") else ""
    assert said == rows[: len(said)]
    assert len(said) <= MOST_NAMED
    left = len(rows) - len(said) + unlisted
    assert rest == ("*" if is_open else f"*;more={left}" if left else "")
