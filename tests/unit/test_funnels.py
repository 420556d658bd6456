"""Funnels, the same as by trying each chain; the oracle knows the words of docs/http/visitors.md alone."""

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from tests.unit.test_conditions import conditions, holds
from tests.unit.test_conditions import rows as rows_of_properties
from tests.unit.test_properties import logged
from whale.answer import ranges
from whale.answer.conditions import Checks, Fulfilled, Wanted
from whale.answer.funnels import Partition, Rate, Split, Step, funnel
from whale.answer.split import By, Values, rows
from whale.store.contract.events import Column, Logged

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


class Everything(NamedTuple):
    """Of some visitors: events, and records of the properties `plan` (theirs) and `price` (their events')."""

    events: list[Event]
    plans: list[Event]
    prices: list[Event]

    def only(self, keep: Callable[[int], bool]) -> "Everything":
        return Everything(*([each for each in rows if keep(each[0])] for rows in self))

    def logged(self) -> Logged:
        names = {("e", name): [row for row in self.events if row[2] == name] for name in "ABC"}
        said = {name: [(who, tick, "") for who, tick, _ in rows] for name, rows in names.items()}
        return logged({**said, ("p", "plan"): self.plans, ("q", "price"): self.prices})


def fulfilled(some: Everything, wanted: Wanted) -> list[Event]:
    """The events that are wanted."""
    return [
        event
        for event in some.events
        if event[2] == wanted.event and all(holds(each, *event[:2], some.plans, some.prices) for each in wanted.where)
    ]


def may(some: Everything, visitor: int, wanted: Wanted) -> bool:
    """Whether each condition may hold for an event to come: after nothing, or a further value of the property."""
    values = ["1", "2", '"x"', '"new"']
    return all(
        any(
            holds(each, visitor, 1000, [*some.plans, *plan], [*some.prices, *price])
            for plan in [[], *([(visitor, 999, value)] for value in values)]
            for price in [[], *([(visitor, 1000, value)] for value in values)]
        )
        for each in wanted.where
    )


def oracle_of(some: Everything, steps: list[Wanted], window: int, as_of: int) -> Told:
    """The same as `oracle`, of events that are renamed to their steps."""
    marked = [(*event[:2], str(number)) for number, step in enumerate(steps) for event in fulfilled(some, step)]
    told = oracle(marked, [str(number) for number in range(len(steps))], window, as_of)
    told = told._replace(open=[0] * len(steps))
    for visitor in {event[0] for event in marked}:
        alone = oracle(
            [event for event in marked if event[0] == visitor], list(map(str, range(len(steps)))), window, as_of
        )
        for number, is_open in enumerate(alone.open):
            told.open[number] += bool(is_open and may(some, visitor, steps[number + 1]))
    return told


def told_of(steps: list[Step]) -> Told:
    took = [sorted(np.concatenate([np.zeros(0, np.int64), *step.took]).tolist()) for step in steps]
    return Told(
        [each.visitors for each in steps], [each.occurrences for each in steps], [each.open for each in steps], took
    )


def in_order(told: Told) -> Told:
    return told._replace(took=[sorted(each) for each in told.took])


everything = st.builds(Everything, events, rows_of_properties, rows_of_properties)
steps_wanted = st.lists(
    st.builds(
        lambda event, where: Wanted(event, tuple(where)), st.sampled_from("ABC"), st.lists(conditions, max_size=2)
    ),
    min_size=2,
    max_size=4,
)


@given(everything, steps_wanted, st.integers(0, 25), st.integers(100, 140), st.sampled_from((2, 65_536)))
@law(300)
def test_a_funnel_with_conditions_is_what_looking_at_each_record_finds(
    some: Everything, steps: list[Wanted], window: int, as_of: int, span: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        partitions = []
        for part in range(2):
            log = some.only(lambda who, part=part: who % 2 == part).logged()
            of_steps = [log.columns.get(("e", step.event)) for step in steps]
            shared = Checks(log)
            tests = [Fulfilled(step.where, shared) if step.where else None for step in steps]
            partitions.append(Partition(of_steps, tests))
        found = funnel(partitions, window, as_of)
    assert told_of(found) == in_order(oracle_of(some, steps, window, as_of))


@given(
    everything,
    st.lists(st.sampled_from("ABC"), min_size=2, max_size=4),
    st.integers(0, 25),
    st.integers(100, 140),
    st.sampled_from(("last", "first")),
    st.integers(1, 3),
    st.sampled_from((2, 65_536)),
)
@law(300)
def test_a_split_is_the_funnel_of_each_value_and_adds_up(
    some: Everything, names: list[str], window: int, as_of: int, when: str, limit: int, span: int
) -> None:
    by = By("plan", when, limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        logs = [some.only(lambda who, part=part: who % 2 == part).logged() for part in range(2)]
        of, split = Values(by), Split(len(names))
        parts = [
            Partition(
                [log.columns.get(("e", name)) for name in names], (), of.groups(log, log.columns.get(("e", names[0])))
            )
            for log in logs
        ]
        whole = funnel(parts, window, as_of, split)
        found = rows(by, of.texts, split)
    held: dict[int, str | None] = {}
    for who in range(6):
        mine = sorted((tick, value) for visitor, tick, value in some.plans if visitor == who)
        held[who] = json.loads((mine[-1] if when == "last" else mine[0])[1]) if mine else None
    named = [value for value, _ in found if value != "__other__"]
    assert len(named) <= limit
    for value, steps in found:
        mine = some.only(
            lambda who, value=value: held[who] not in named if value == "__other__" else held[who] == value
        )
        assert told_of(steps) == in_order(oracle(mine.events, names, window, as_of))
    for number, step in enumerate(whole):
        assert step.visitors == sum(steps[number].visitors for _, steps in found)
        assert step.open == sum(steps[number].open for _, steps in found)
    began = [steps[0].visitors for value, steps in found if value != "__other__"]
    assert began == sorted(began, reverse=True)


@given(
    events, st.lists(st.sampled_from("ABC"), min_size=2, max_size=3), st.integers(0, 25), st.sampled_from((2, 65_536))
)
@law(200)
def test_a_rate_puts_each_visitor_into_the_bucket_in_which_they_began(
    some: list[Event], steps: list[str], window: int, span: int
) -> None:
    edges = [100, 108, 117, 130]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        rate = Rate(np.array(edges, np.int64))
        funnel([Partition(columns(some, steps))], window, 0, None, rate)
    began, ended = [0] * 4, [0] * 4
    for who in {event[0] for event in some if event[2] == steps[0]}:
        mine = [event for event in some if event[0] == who]
        first = min(tick for _, tick, name in mine if name == steps[0])
        bucket = max(place for place, edge in enumerate(edges) if edge <= first)
        began[bucket] += 1
        ended[bucket] += oracle(mine, steps, window, 0).visitors[-1]
    assert (rate.began.tolist(), rate.ended.tolist()) == (began, ended)


@given(
    events,
    rows_of_properties,
    rows_of_properties,
    st.lists(st.sampled_from("ABC"), min_size=2, max_size=3),
    st.integers(1, 12),
    st.sampled_from((2, 65_536)),
)
@law(300)
def test_a_split_by_session_has_the_first_value_of_the_session_in_which_each_visitor_began(
    some: list[Event], mine: list[Event], theirs: list[Event], names: list[str], gap: int, span: int
) -> None:
    by = By("source", "session", 10, gap)
    of_events = {("e", name): [(who, tick, "") for who, tick, each in some if each == name] for name in "ABC"}
    log = logged({**of_events, ("p", "source"): mine, ("q", "source"): theirs})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SPAN", span)
        of, split = Values(by), Split(len(names))
        groups = of.groups(log, log.columns.get(("e", names[0])))
        funnel([Partition([log.columns.get(("e", name)) for name in names], (), groups)], 20, 0, split)
        found = {value: told_of(steps) for value, steps in rows(by, of.texts, split)}
    of_values: dict[str | None, set[int]] = {}
    for who in {event[0] for event in some if event[2] == names[0]}:
        ticks = sorted(tick for visitor, tick, _ in some if visitor == who)
        first = min(tick for visitor, tick, name in some if (visitor, name) == (who, names[0]))
        begins = [tick for place, tick in enumerate(ticks) if not place or tick - ticks[place - 1] > gap]
        begin = max(tick for tick in begins if tick <= first)
        end = max(tick for tick in ticks if all(not first < each <= tick for each in begins))
        taken = sorted(
            (tick, text) for visitor, tick, text in (*mine, *theirs) if visitor == who and begin <= tick <= end
        )
        of_values.setdefault(json.loads(taken[0][1]) if taken else None, set()).add(who)
    assert found == {
        value: in_order(oracle([event for event in some if event[0] in people], names, 20, 0))
        for value, people in of_values.items()
    }
