"""Messages become a Batch: every field has a gatherer, and what resets leave out is said."""

from dataclasses import fields

import msgspec

from hail.columns import Hits
from hail.hit import Reason, encode_hit, parse_hit
from hail.message import Message, decode_message, encode_message
from hail.settings import load
from tests.taken import section_of
from whale.cells import Batch, Cells, Reset
from whale.count.amounts import Together
from whale.count.denormalize import Branches
from whale.count.extras import places_of
from whale.count.gather import Gathering

SETTINGS = load({})
NOW = 1_790_003_590.0  # 2026-09-21T15:13:10Z
AT = int(NOW * 1000)
HIT = {"pk": ["shop", "a"], "metrics": {"revenue": 5, "visitors": {"unique": "ann"}}}


def message(*hits: dict[str, object]) -> Message:
    """Accepted at NOW."""
    rows = [encode_hit(parse_hit(hit, SETTINGS, NOW)) for hit in hits]
    return decode_message(encode_message("0" * 16, 7, "a", 9, AT, rows))


def gathered(taken: Message, left_out: dict[int, Reason], *resets: Reset) -> tuple[Gathering, Batch, Cells]:
    branches, together = Branches("a"), Together(SETTINGS)
    gathering = Gathering(branches, frozenset(resets), "UTC", together)
    gathering.take(taken, places_of(taken.hits, branches)[0], left_out)
    return gathering, gathering.batch(NOW), together.cells("UTC", NOW)


def test_every_field_of_a_batch_has_a_gatherer() -> None:
    lines = message(HIT)
    columns = Hits(section_of("a", 1, lines.hits))
    branches = Branches("a")
    together = Together(SETTINGS)
    gathering = Gathering(branches, frozenset(), "UTC", together)
    for taken in (lines, msgspec.structs.replace(lines, seq=8, hits=columns)):
        gathering.take(taken, places_of(taken.hits, branches)[0], {})
    batch = gathering.batch(NOW)
    assert any(together.cells("UTC", NOW).values())
    filled = {field.name for field in fields(Batch) if getattr(batch, field.name)}
    assert filled == {field.name for field in fields(Batch)} - {"resets", "shards"}


def test_hits_that_do_not_count_are_dropped_by_reason() -> None:
    _, batch, _ = gathered(message(HIT, HIT, HIT), {1: Reason.DUPLICATE})
    assert [(tally.hits, dict(tally.dropped)) for tally in batch.tallies] == [(3, {"duplicate": 1})]


def test_hits_that_a_later_reset_leaves_nowhere_are_left_out() -> None:
    resets = Reset(("shop",), None, AT + 1), Reset(("gone",), None, AT + 1)
    gathering, batch, cells = gathered(
        message({"pk": "gone"}, {"pk": "kept"}, {"pk": "kept"}), {2: Reason.DUPLICATE}, *resets
    )
    assert gathering.left_out == {("0" * 16, 7): {0: Reason.RESET, 2: Reason.DUPLICATE}}
    assert [dict(tally.dropped) for tally in batch.tallies] == [{"duplicate": 1, "reset": 1}]
    assert {branch.pk for level in cells.values() for sums in level.values() for branch in sums} == {("kept",)}
    assert batch.resets == set(resets)


def test_an_earlier_reset_leaves_nothing_out() -> None:
    gathering, batch, _ = gathered(message(HIT), {}, Reset(("shop",), None, AT))
    assert gathering.left_out == {}
    assert [dict(tally.dropped) for tally in batch.tallies] == [{}]
