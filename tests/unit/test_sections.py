"""Hits in columns: which branches they have, what a table takes, and that it gives the sums of hits one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hail import columns
from hail.columns import Hits, Section
from hail.hit import MAX_AMOUNT, Reason, encode_hit, parse_hit
from hail.message import Message, WireHit, decode_message, encode_message
from hail.settings import load
from tests.taken import section_of
from whale import sums
from whale.cells import Batch
from whale.count import sections
from whale.count.amounts import Together
from whale.count.denormalize import Branches
from whale.count.extras import places_of
from whale.count.gather import Gathering
from whale.sums import summed

SETTINGS, NOW = load({}), 1_790_003_590.0


def lines(some: Sequence[dict[str, Any]]) -> list[WireHit]:
    wire = [encode_hit(parse_hit(hit, SETTINGS, NOW)) for hit in some]
    return list(decode_message(encode_message("0" * 16, 0, "a", len(wire), 0, wire)).hits)


def section(
    pks: list[str], branches: list[tuple[str, str]], counts: list[int], places: list[int], pk: list[int]
) -> Hits:
    """Hits that each count 1."""
    zeros = np.zeros(len(counts), np.int64)
    more = (np.array(each, np.int64) for each in (counts, places, pk))
    return Hits(Section("a", 0, pks, branches, ["hits"], [[0]], *more, zeros, zeros, [zeros + 1], {}))


def named(hits: Sequence[WireHit], branches: Branches) -> tuple[list[set[Any]], list[int]]:
    places, undecodable = places_of(hits, branches)
    return [{(branch.pk, branch.paths) for branch in found} for found, _ in places], undecodable


def sums_of(hits: Sequence[WireHit], left_out: dict[int, Reason] | None = None) -> tuple[dict[Any, int], Batch]:
    """What one day adds up to, by pk, paths and metric; and the batch."""
    branches, together = Branches("a"), Together(SETTINGS)
    gathering = Gathering(branches, frozenset(), "UTC", together)
    message = Message(v=2, publisher="0" * 16, seq=0, account="a", total=0, at=0, hits=hits)
    gathering.take(message, places_of(hits, branches)[0], left_out or {})
    batch = gathering.batch(NOW)
    found: dict[Any, int] = {}
    for cells in (together.cells("UTC", NOW), batch.table.cells):
        for by_branch in cells.get(86_400, {}).values():
            for branch, amounts in by_branch.items():
                for metric, amount in amounts.items():
                    key = branch.pk, branch.paths, metric
                    found[key] = found.get(key, 0) + amount
    return found, batch


def test_a_name_that_stands_again_in_a_hit_counts_as_it_does_in_a_line() -> None:
    hits = section(
        ['["t"]', '["u"]'],
        [("a", '{"x":{}}'), ("b", "{}"), ("a", '{"y":{}}')],
        [3, 0, 2, 2],
        [0, 1, 2, 2, 0, 1, 1],
        [0, 1, 0, 1],
    )
    found, undecodable = named(hits, Branches("a"))
    t, u = ("t",), ("u",)
    assert found == [
        {(t, ((),)), (t, (("a",), ("a", "y"))), (t, (("b",),))},
        {(u, ((),))},
        {(t, ((),)), (t, (("a",), ("a", "x")))},
        {(u, ((),)), (u, (("b",),))},
    ]
    assert (found, undecodable) == named(list(hits), Branches("a"))


def test_hits_with_a_text_that_is_not_of_the_wire_form_have_no_branches() -> None:
    hits = section(
        ['["t"]', "[]", "{"],
        [("a", "{}"), ("a", ""), ("a", "1"), ("a", '{},"b":{}')],
        [0, 0, 0, 1, 1, 1, 1],
        [0, 1, 2, 3],
        [0, 1, 2, 0, 0, 0, 0],
    )
    found, undecodable = named(hits, Branches("a"))
    assert undecodable == [1, 2, 4, 5, 6]
    assert [len(branches) for branches in found] == [1, 0, 0, 2, 0, 0, 0]
    assert sums_of(hits, dict.fromkeys(undecodable, Reason.UNDECODABLE_HIT))[0] == {
        (("t",), ((),), "hits"): 2,
        (("t",), (("a",),), "hits"): 1,
    }


MIXED = [
    {
        "pk": ["t", "ab"[i % 2]],
        "dimensions": [{"a": {"b": "xyz"[i % 3]}}, None, {"a": "c", "d": "e"}][i % 3],
        "metrics": [{"m": i}, {}, {"n": -i, "m": 1}, {f"m{i}": 2}][i % 4],
        "at": NOW - 40 * i,
    }
    for i in range(60)
]


@pytest.mark.parametrize("way", ["usual", "sparse", "many hits", "many metrics"])
def test_every_way_gives_the_same_sums(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, batch = sums_of(lines(MIXED))
    assert expected[("t", "a"), ((),), "m"] == 1_000_000 * (sum(range(0, 60, 4)) + 15)
    assert not batch.table
    if way == "sparse":
        monkeypatch.setattr(sums, "MOST_DENSE", 0)
        monkeypatch.setattr(sums, "FEW_PLACES", 0)
    monkeypatch.setattr(sections, "MOST_HITS", 59 if way == "many hits" else 60)
    monkeypatch.setattr(sections, "MOST_METRICS", 17 if way == "many metrics" else 18)
    found, batch = sums_of(Hits(section_of("a", 60, lines(MIXED))))
    assert found == expected
    assert bool(batch.table) is not way.startswith("many")


@pytest.mark.parametrize(("hits", "is_table"), [(512, True), (513, False), (2000, False)])
def test_sums_that_could_leave_64_bits_are_exact(hits: int, is_table: bool) -> None:
    """4.6e18 is the most that a table takes; the third sum is one of 65 bits."""
    most = lines([{"pk": "t", "metrics": {"m": 9e9 - 1e-6}}])[0]
    hit = WireHit(most.pk, most.dimensions, {"m": MAX_AMOUNT}, most.at_ms)
    found, batch = sums_of(Hits(section_of("a", hits, [hit] * hits)))
    assert found == {(("t",), ((),), "m"): hits * MAX_AMOUNT}
    assert bool(batch.table) is is_table


def test_sums_are_exact_beyond_what_floats_hold() -> None:
    keys, amounts = np.array([1, 0, 1, 1]), np.array([2**61, -1, 2**61 + 1, 2**60 + 1])
    for size in (2, 2**40):
        found, totals = summed(keys, amounts, size)
        assert (found.tolist(), totals.tolist()) == ([0, 1], [-1, 2**62 + 2**60 + 2])


def test_hits_are_made_as_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "TOGETHER", 7)
    expected = lines(MIXED)
    for i in range(0, 60, 11):
        expected[i].id, expected[i].event = str(i), "seen"
    hits = Hits(section_of("a", 60, expected))
    assert [hits[i] for i in reversed(range(60))] == expected[::-1]
    assert list(hits) == expected
    assert list(hits.values("id")) == [(i, str(i)) for i in range(0, 60, 11)]
    with pytest.raises(IndexError):
        hits[60]
