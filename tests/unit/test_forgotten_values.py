"""Once the values of an erased visitor are forgotten, their numbers stand for no text. Each question answers as before."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.test_visitors_web import door_with, said
from tests.unit.test_whale_web import Door
from whale.store.contract.events import Column, Logged
from whale.visitors.entries import EVENT

PRO = {"property": "plan", "is": "pro"}
AT_EVENT = {"event": "buy", "where": [{"property": "price", "not": 5, "when": "event"}]}
SETS = [PRO, {"property": "plan", "is": None}, {"session": "source", "not": "ads"}, AT_EVENT]
QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "sessions": lambda whale: whale.sessions("shop", "today", by="source"),
    "sessions with few rows": lambda whale: whale.sessions("shop", "today", by="source", limit=1),
    "sessions by entry": lambda whale: whale.sessions("shop", "today", by="entry"),
    "sessions of a segment": lambda whale: whale.sessions("shop", "today", by="source", segment=PRO),
    "properties": lambda whale: whale.properties("shop"),
    "values, any": lambda whale: whale.properties("shop", "plan", when="any"),
    "values, last": lambda whale: whale.properties("shop", "plan", limit=1),
    "values of events": lambda whale: whale.properties("shop", "price", event="buy"),
    "funnel": lambda whale: whale.funnel("shop", ["visit", AT_EVENT], "today"),
    "funnel by last": lambda whale: whale.funnel("shop", ["visit", "buy"], "today", by="plan"),
    "funnel by first": lambda whale: whale.funnel("shop", ["visit", "buy"], "today", by="plan", when="first"),
    "funnel by session": lambda whale: whale.funnel("shop", ["visit", "buy"], "today", by="source", when="session"),
    "overlap": lambda whale: whale.overlap("shop", SETS, "today"),
    "paths": lambda whale: whale.paths("shop", "visit", "today", segment=SETS[2]),
    "retention": lambda whale: whale.retention("shop", segment=PRO, count=1),
    "visitor": lambda whale: whale.visitor("shop", "ann"),
    "export": lambda whale: whale.export_visitor("shop", "ann"),
    "report of an event": lambda whale: whale.event_report("shop", "buy", property="plan"),
    "report of a property": lambda whale: whale.property_report("shop", "plan"),
    "report of a funnel": lambda whale: whale.funnel_report("shop", ["visit", "buy"], property="plan"),
}


@pytest.fixture
def door() -> Door:
    door = door_with()
    for place, (visitor, event, properties) in enumerate(
        (
            ("ann", "visit", {"source": "ads", "plan": "free"}),
            ("ann", "buy", {"plan": "pro"}),
            ("bob", "visit", {"source": 5, "plan": "pro"}),
            ("bob", "buy", {}),
            ("cy", "visit", {}),
        )
    ):
        hit = {"pk": "shop", "visitor": visitor, "event": event, "properties": properties, "at": door.now - 99 + place}
        door.whale.count_hit(hit)
    said(door, 0, ("ann", "buy", {"price": "5"}), ("bob", "buy", {"price": "7"}))
    return door


def with_holes(logged: Logged) -> Logged:
    """Each property has one value more, which no record has, and whose text is forgotten."""
    columns = {
        said: Column(column.visitors, column.ticks, (column.values + np.uint32(1)).astype(np.uint32))
        if said[0] != EVENT
        else column
        for said, column in logged.columns.items()
    }
    return logged._replace(columns=columns, values_of={said: ["", *texts] for said, texts in logged.values_of.items()})


@pytest.mark.parametrize("name", QUESTIONS)
def test_forgotten_values_change_no_answer(door: Door, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whale, read_log = door.whale, door.store.read_log
    before, reads = QUESTIONS[name](whale), list[Any]()

    def read(*args: Any, **more: Any) -> Logged:
        reads.append(args)
        return with_holes(read_log(*args, **more))

    monkeypatch.setattr(door.store, "read_log", read)
    assert QUESTIONS[name](whale) == before
    assert reads
