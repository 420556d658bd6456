"""Hits become columns: the same hits in the same order, however they are grouped, in no more bytes than was said."""

import gc
import json
import tracemalloc
from contextlib import suppress
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.bulk import Bulk
from hail.columns import Few, Section, encode, hits_of
from hail.draft import MANY, Draft, columns_of, few_of, joined, pieces_of
from hail.formats.batch import Given
from hail.formats.posted import hit_of_json
from hail.hit import MAX_AMOUNT, HitError, Row, encode_row, with_key
from hail.message import MOST_HEAD_BYTES, Refusal, WireHit, decode_message, encode_message
from hail.packing import COLUMNS, LINES, MOST_LOGGED, Most, Packed, most_of
from hail.settings import load
from hail.usual import Usual
from tests import nasty
from tests.laws import law
from tests.taken import section_of
from whale.visitors.entries import MOST_PLACES

SETTINGS = load({})


def rows(rng: Random, count: int) -> list[tuple[Row, int]]:
    """Sound hits, some odd."""
    found: list[tuple[Row, int]] = []
    while len(found) < count:
        try:
            row, cells, _ = hit_of_json(nasty.one(rng), SETTINGS, nasty.NOW)
        except HitError:
            continue
        found += [(row, cells)] * rng.choice((1, 1, 1, 3))
    return found[:count]


def plain(hits: list[WireHit]) -> list[Any]:
    return [json.loads(hit.raw) for hit in hits]


def encoded(draft: Draft) -> int:
    return len(encode("0" * 16, 0, 0, [draft.section("a", 0)]))


@given(st.integers(0, 2**64))
@law(150)
def test_hits_are_the_same_however_they_are_grouped(seed: int) -> None:
    rng = Random(seed)
    given = [row for row, _ in rows(rng, rng.choice((1, 3, 40)))]
    drafts = [Draft()]
    for row in given:
        if rng.random() < 0.2:
            drafts.append(Draft())
        drafts[-1].put(pieces_of(row))
    whole = drafts[0]
    assert encoded(whole) <= whole.size + MOST_HEAD_BYTES
    whole.take(drafts[1:])
    assert (whole.hits, plain(hits_of(whole.section("a", 0)))) == (
        len(given),
        [json.loads(encode_row(row)) for row in given],
    )
    assert encoded(whole) <= whole.size + MOST_HEAD_BYTES
    lines = decode_message(encode_message("0" * 16, 0, "a", 0, 0, [encode_row(row) for row in given])).hits
    assert plain(hits_of(section_of("a", 0, lines))) == plain(lines)


@given(st.integers(0, 2**64))
@law(100)
def test_columns_are_joined_and_taken_apart_without_a_change(seed: int) -> None:
    rng = Random(seed)
    given = [row for row, _ in rows(rng, rng.choice((2, 9, 40)))]
    cut = rng.randrange(1, len(given))
    whole = joined([columns_of([pieces_of(row) for row in some]) for some in (given[:cut], given[cut:])])
    order = rng.sample(range(len(given)), rng.randrange(1, len(given) + 1))
    some = whole.of(np.array(order))
    for columns, expected in ((whole, given), (some, [given[number] for number in order])):
        rows_of = plain(hits_of(columns.section("a", 0, ())))
        assert rows_of == [json.loads(encode_row(row)) for row in expected]
    names = (some.pks, some.pk), (some.branches, some.places), (some.shapes, some.shape)
    for said, numbers in names:
        assert [*dict.fromkeys(numbers.tolist())] == [*range(len(said))]
        assert len(set(said)) == len(said)


@given(st.integers(0, 2**64))
@law(150)
def test_few_hits_are_written_as_many_are(seed: int) -> None:
    rng = Random(seed)
    given = [with_key(row, rng.choice(("", "0000beef"))) for row, _ in rows(rng, rng.choice((0, 1, 1, 2, 5, 70)))]
    if given and rng.random() < 0.3:  # amounts too far apart for a column of what is above the least
        given[0][2] = dict.fromkeys(given[0][2], -MAX_AMOUNT)
        given[-1][2] = dict.fromkeys(given[-1][2], MAX_AMOUNT)
    some, told = [pieces_of(row) for row in given], [Refusal(1, "bad_pk", "pk", "x")] * rng.randrange(2)
    draft = Draft()
    for pieces in some:
        draft.put(pieces)
    few, many = few_of(some, "a", 7, told), draft.section("a", 7, told)
    assert encode("0" * 16, 0, 0, [few]) == encode("0" * 16, 0, 0, [many])
    assert isinstance(draft.shortest("a", 7, told), Few if len(some) < MANY else Section)


@given(st.integers(0, 2**64))
@law(60)
def test_a_message_keeps_its_bounds_unless_one_hit_is_larger(seed: int) -> None:
    rng = Random(seed)
    form, most = (
        rng.choice((LINES, COLUMNS)),
        Most(rng.choice((1, 3, 1000)), rng.choice((900, 5000, 10**6)), rng.choice((60, 1000, 10**6))),
    )
    given = rows(rng, 60)
    packed = Packed(form, most)
    for row, cells in given:
        packed.add(row, cells)
    assert sum(part.hits for part in packed.parts) == packed.hits == len(given)
    assert packed.cells == sum(cells for _, cells in given)
    first = 0
    for part in packed.parts:
        last = first + part.hits
        message = form.encode("0" * 16, 0, 0, {"a": [part]}, {"a": 0}, {})
        assert len(message) <= part.size + MOST_HEAD_BYTES
        assert part.hits == 1 or (
            part.hits <= most.hits
            and part.size <= most.bytes_
            and sum(cells for _, cells in given[first:last]) <= most.cells
        )
        first = last


def put_all(hits: list[Any], most: Most) -> Packed:
    """The hits of a batch, as `/batch` puts them: those that are refused are left out."""
    body, usual, packed = json.dumps(hits).encode(), Usual(SETTINGS), Packed(COLUMNS, most)
    given = Given(body, "", usual, len(hits))

    def ask(number: int) -> Any:
        with suppress(HitError):
            return hit_of_json(given.items[number], SETTINGS, nasty.NOW)
        return None

    Bulk(SETTINGS, usual).put(given.usual(), nasty.NOW, packed, ask)
    return packed


REFUSED: list[dict[str, Any]] = [
    {"metrics": {"sold": 1e11}},
    {"metrics": {"sold": 1, "unique": "x"}},
    {"metrics": {"sold": 1}, "at": 1e30},
    {"metrics": {"sold": 1}, "pk": ["a", "b", "c", "d"], "dimensions": {"x": {str(n): n for n in range(40)}}},
    {"metrics": {"sold": 1}, "dimensions": {"x": {str(n): n for n in range(400)}}},
]


@pytest.mark.parametrize("field", REFUSED)
def test_a_hit_that_is_refused_leaves_no_name_in_the_message_of_others(field: dict[str, Any]) -> None:
    good = [{"pk": f"shop {n}", "dimensions": {"first": "a", "page": f"{n}"}, "metrics": {"sold": n}} for n in range(4)]
    bad = [{"pk": f"new {n}", "dimensions": {f"new {n}": "x" * 90}, **field} for n in range(20)]
    mixed = [each for some in zip(bad, good * 5, strict=True) for each in some]
    ((mine,), (theirs,)) = (put_all(hits, Most(1000, 10**6, 10**6)).parts for hits in (mixed, good * 5))
    assert (mine.size, encoded(mine)) == (theirs.size, encoded(theirs))
    assert plain(hits_of(mine.section("a", 0))) == plain(hits_of(theirs.section("a", 0)))


@given(st.integers(0, 2**64))
@law(60)
def test_a_batch_keeps_the_bounds_of_messages_and_each_name_has_a_hit(seed: int) -> None:
    rng = Random(seed)
    names = [f"{n}" * rng.choice((1, 30)) for n in range(rng.choice((2, 9, 60)))]
    hits = [
        {
            "pk": rng.choice(names),
            "dimensions": {rng.choice(names): rng.choice(names) for _ in range(rng.randrange(4))},
            "metrics": {rng.choice(names): rng.choice((1, 2.5, 1e11, "x", [1])) for _ in range(rng.randrange(3))},
        }
        for _ in range(60)
    ]
    most = Most(1000, rng.choice((900, 5000, 10**6)), 10**6)
    for part in put_all(hits, most).parts:
        assert part.hits == 1 or part.size <= most.bytes_
        section = part.section("a", 0)
        assert len(section.pks) == len({*section.pk.tolist()})
        assert len(section.branches) == len({*section.places.tolist()})
        assert len(section.shapes) == len({*section.shape.tolist()})


def memory_of(texts: list[bytes], in_columns: bool) -> tuple[int, int]:
    """What a hundred drafts of these hits take, and what they say; the hits were decoded for each of them."""
    gc.collect()
    tracemalloc.start()
    drafts = []
    for _ in range(100):
        draft = Draft()
        some = [pieces_of(msgspec.json.decode(text)) for text in texts]
        if in_columns:
            draft.put_columns(columns_of(some))
        else:
            for pieces in some:
                draft.put(pieces)
        drafts.append(draft)
    took, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return took, sum(draft.memory for draft in drafts)


@pytest.mark.parametrize(("count", "in_columns"), [(1, False), (60, False), (60, True), (500, True)])
def test_columns_that_wait_say_at_least_the_memory_that_they_take(count: int, in_columns: bool) -> None:
    took, said = memory_of([encode_row(row) for row, _ in rows(Random(count), count)], in_columns)
    assert took < said < 4 * took


@pytest.mark.parametrize(("count", "in_columns"), [(1, False), (60, False), (60, True), (500, True)])
def test_usual_columns_that_wait_say_at_least_the_memory_that_they_take(count: int, in_columns: bool) -> None:
    row = [
        ["shop", "a"],
        {"country": {"US": {}}, "page": {"/a": {}}},
        {"hits": 1, "revenue": 22_250_000},
        1_790_000_000_000,
    ]
    took, said = memory_of([encode_row([*row[:3], row[3] + number]) for number in range(count)], in_columns)
    assert took < said < 4 * took


def test_a_message_has_no_more_hits_than_a_worker_logs_at_once() -> None:
    assert most_of(load({"HAILWHALE_MESSAGE_MAX_HITS": "5000"})).hits == 5000
    assert most_of(load({"HAILWHALE_MESSAGE_MAX_HITS": "1000000"})).hits == MOST_LOGGED == MOST_PLACES
