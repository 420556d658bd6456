"""Funnels, the same as by trying each chain; the oracle knows the words of docs/http/visitors.md alone."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.answer import ranges
from whale.answer.funnels import Partition, funnel
from whale.store.contract.events import Column

Event = tuple[int, int, str]
"""Visitor, tick, name."""


class Told(NamedTuple):
    visitors: list[int]
    occurrences: list[int]
    open: list[int]
    took: list[list[int]]


def oracle(events: list[Event], steps: list[str], window: int, as_of: int) -> Told:
    """From each event of the first step on, always each later event of the next step."""
    told = Told(*([0] * len(steps) for _ in range(3)), [[] for _ in steps])
    for visitor in {event[0] for event in events}:
        mine = [event[1:] for event in events if event[0] == visitor]
        chains = [{(tick, tick) for tick, name in mine if name == steps[0]}]  # when it began, when it is
        for step in steps[1:]:
            chains.append(
                {
                    (began, tick)
                    for tick, name in mine
                    if name == step
                    for began, before in chains[-1]
                    if before < tick and tick - began <= window
                }
            )
        for number, ends in enumerate(chains):
            if not ends:
                break
            told.visitors[number] += 1
            ticks = {tick for _, tick in ends}
            told.occurrences[number] += sum(name == steps[number] and tick in ticks for tick, name in mine)
            reached = min(ticks)
            if number:
                told.took[number].append(min(tick - began for began, tick in ends if tick == reached))
            is_over = number + 1 == len(steps) or chains[number + 1]
            told.open[number] += not is_over and max(began for began, _ in ends) + window >= as_of
    return told


def columns(events: list[Event], steps: list[str]) -> list[Column | None]:
    found: list[Column | None] = []
    for step in steps:
        rows = sorted((visitor, tick) for visitor, tick, name in events if name == step)
        visitors, ticks = zip(*rows, strict=True) if rows else ((), ())
        values = np.zeros(len(rows), np.uint32)
        found.append(Column(np.array(visitors, np.uint32), np.array(ticks, np.int64), values) if rows else None)
    return found


events = st.lists(st.tuples(st.integers(0, 5), st.integers(100, 130), st.sampled_from("ABC")), max_size=25)


@given(
    events,
    st.lists(st.sampled_from("ABCD"), min_size=2, max_size=4),
    st.integers(0, 25),
    st.integers(100, 160),
    st.sampled_from((2, 65_536)),
)
@law(400)
def test_a_funnel_is_what_trying_each_chain_finds(
    some: list[Event], steps: list[str], window: int, as_of: int, span: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        parts = [[event for event in some if event[0] % 2 == part] for part in range(2)]
        found = funnel([Partition(columns(part, steps)) for part in parts], window, as_of)
    took = [sorted(np.concatenate([np.zeros(0, np.int64), *step.took]).tolist()) for step in found]
    told = Told(
        [step.visitors for step in found], [step.occurrences for step in found], [step.open for step in found], took
    )
    expected = oracle(some, steps, window, as_of)
    assert told == expected._replace(took=[sorted(each) for each in expected.took])


def test_simultaneous_events_are_no_chain() -> None:
    some = [(1, 5, "A"), (1, 5, "B"), (2, 5, "A"), (2, 6, "B")]
    found = funnel([Partition(columns(some, ["A", "B"]))], 10, 100)
    assert [(step.visitors, step.open) for step in found] == [(2, 0), (1, 0)]
    assert (found[1].quantile(0.5), found[0].quantile(0.5)) == (1, None)


@given(events, st.integers(0, 20))
@law(60)
def test_a_funnel_falls_with_each_step_and_grows_with_its_window(some: list[Event], window: int) -> None:
    def visitors(ticks: int) -> list[int]:
        return [step.visitors for step in funnel([Partition(columns(some, ["A", "B", "A"]))], ticks, 0)]

    small, large = visitors(window), visitors(window + 3)
    assert sorted(small, reverse=True) == small
    assert all(one <= other for one, other in zip(small, large, strict=True))
