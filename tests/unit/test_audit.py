"""The audit's arithmetic, on the memory store and a spool folder that is made here."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hail.columns import read_envelope
from hail.message import Envelope, Message, decode_message, encode_message
from hail.settings import Settings, load
from hail.spool import SpoolFolder, SpoolWriter
from whale.commands.audit import sentences, show
from whale.count.apply import Applier
from whale.health.audit import Audit, Found, Line, as_json, audit, close, spooled_messages
from whale.store.memory import MemoryStore

NOW = 1_795_300_800.0
ONE, TWO = "1" * 16, "2" * 16


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({}).replace(data_dir=str(tmp_path))


@pytest.fixture
def store(settings: Settings) -> MemoryStore:
    return MemoryStore(settings)


def body(publisher: str, seq: int, total: int, hits: int, id_: str | None = None, account: str = "default") -> bytes:
    tail = f',"{id_}"' if id_ else ""
    hit = f'[["a"],{{}},{{"hits":1}},{int(NOW * 1000)}{tail}]'.encode()
    return encode_message(publisher, seq, account, total, int(NOW * 1000), [hit] * hits)


def message(publisher: str, seq: int, total: int, hits: int, id_: str | None = None) -> Message:
    return decode_message(body(publisher, seq, total, hits, id_))


def envelope(*of: Any) -> Envelope:
    return read_envelope(body(*of))


def apply(store: MemoryStore, settings: Settings, *messages: Message) -> None:
    Applier(store, settings).apply(messages, NOW)


def line(done: Audit, publisher: str) -> tuple[int, ...]:
    return next(found for found in done.lines if found.publisher == publisher).values()


def test_nothing_closes(store: MemoryStore) -> None:
    done = close(store, "default", Found())
    assert (done.closes, done.lines, done.whole.values()) == (True, [], (0,) * 8)


def test_every_place_is_added_up(store: MemoryStore, settings: Settings) -> None:
    apply(store, settings, message(ONE, 0, 5, 5), message(ONE, 1, 8, 3, "same"))
    spooled, dead = [envelope(ONE, 2, 12, 4)], [envelope(ONE, 3, 18, 6), envelope(TWO, 0, 2, 2)]
    done = close(store, "default", Found(spooled, dead))
    #                         accepted, counted, duplicate, dropped, in flight, spooled, dead, missing
    assert line(done, ONE) == (18, 6, 2, 0, 0, 4, 6, 0)
    assert line(done, TWO) == (2, 0, 0, 0, 0, 0, 2, 0)
    assert done.whole.values() == (20, 6, 2, 0, 0, 4, 8, 0)
    assert done.closes


def test_a_message_in_several_places_counts_in_the_furthest(store: MemoryStore, settings: Settings) -> None:
    first, second = envelope(ONE, 0, 5, 5), envelope(ONE, 1, 7, 2)
    apply(store, settings, message(ONE, 0, 5, 5))
    done = close(store, "default", Found([first, second, second], [first, second]))
    assert line(done, ONE) == (7, 5, 0, 0, 0, 2, 0, 0)


def test_what_is_missing_is_in_flight_only_while_messages_wait(store: MemoryStore, settings: Settings) -> None:
    apply(store, settings, message(ONE, 1, 9, 4))
    lost = close(store, "default", Found(queued=0))
    assert (lost.closes, line(lost, ONE)) == (False, (9, 4, 0, 0, 0, 0, 0, 5))
    assert sentences(lost)[0] == f"{ONE}: 5 accepted hits are missing: lost, or still held by the process"
    waiting = close(store, "default", Found(queued=1))
    assert (waiting.closes, line(waiting, ONE)) == (True, (9, 4, 0, 0, 5, 0, 0, 0))


def test_more_than_was_accepted_does_not_close_even_where_the_whole_does(
    store: MemoryStore, settings: Settings
) -> None:
    apply(store, settings, message(ONE, 0, 2, 3), message(TWO, 0, 3, 2))
    done = close(store, "default", Found(queued=1))
    assert (done.closes, line(done, ONE)[-1]) == (False, -1)
    assert f"{ONE}: 1 hits exist that were never accepted" in sentences(done)
    assert sentences(done)[-1] == "the sums do not add up"


def test_unreadable_hits_of_a_message_are_dropped_by_name(store: MemoryStore, settings: Settings) -> None:
    bad = encode_message(ONE, 0, "default", 2, 0, [b'[["a"],{},{"hits":1},1]', b'[5,{},{"hits":1},1]'])
    apply(store, settings, decode_message(bad))
    done = close(store, "default", Found())
    assert line(done, ONE) == (2, 1, 0, 1, 0, 0, 0, 0)
    assert "dropped: 1 undecodable_hit" in sentences(done)


def test_the_spool_is_read_while_it_is_written_and_other_accounts_are_left_out(
    store: MemoryStore, settings: Settings
) -> None:
    writer = SpoolWriter(SpoolFolder(settings.data_dir), ONE, file_mb=2, limit_mb=10)
    bodies = [body(ONE, 0, 5, 5), b"not a message", body(ONE, 1, 6, 1), body(TWO, 0, 9, 9, account="other")]
    writer.reserve(map(len, bodies))
    writer.append(bodies)
    apply(store, settings, decode_message(bodies[0]))
    messages, unreadable = spooled_messages(settings)
    done = close(store, "default", Found(messages, unreadable=unreadable))
    assert line(done, ONE) == (6, 5, 0, 0, 0, 1, 0, 0)
    assert (done.unreadable, len(done.lines)) == (1, 1)
    writer.seal()
    assert spooled_messages(settings) == (messages, 1)


def test_it_waits_for_what_is_on_its_way(
    store: MemoryStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whale.health.audit.POLL_S", 0)
    looks = []

    def look() -> Found:
        looks.append(1)
        if len(looks) == 2:
            apply(store, settings, message(ONE, 0, 5, 5))
        return Found(queued=0)

    apply(store, settings, message(ONE, 1, 9, 4))
    monkeypatch.setattr("whale.health.audit.STILL_S", 0)
    assert audit(store, "default", look, wait_s=30).closes
    assert len(looks) == 2


def test_with_a_broker_it_waits_until_the_sums_stand_still(
    store: MemoryStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whale.health.audit.POLL_S", 0)
    monkeypatch.setattr("whale.health.audit.STILL_S", 0.2)
    looks = []

    def look() -> Found:
        looks.append(1)
        if len(looks) == 2:  # a worker had it in hand, where RabbitMQ does not count it
            apply(store, settings, message(ONE, 1, 9, 4))
        return Found(queued=0)

    apply(store, settings, message(ONE, 0, 5, 5))
    assert audit(store, "default", look, wait_s=30).whole.counted == 9


def test_json_has_every_number(store: MemoryStore, settings: Settings) -> None:
    apply(store, settings, message(ONE, 0, 5, 5))
    row = {
        "accepted": 5,
        "counted": 5,
        "duplicate": 0,
        "dropped": {},
        "in_flight": 0,
        "spooled": 0,
        "dead_lettered": 0,
        "missing": 0,
        "to_log": 0,
        "logged": 0,
        "not_logged": {},
        "missing_in_log": 0,
    }
    assert json.loads(json.dumps(as_json(close(store, "default", Found())))) == {
        "closes": True,
        "all": {"publisher": "all", **row},
        "publishers": [{"publisher": ONE, **row}],
        "queued_messages": None,
        "unreadable_messages": 0,
        "faults": {},
        "evicted_keys": 0,
    }
    assert Line("x").missing == 0


MILLIONS = [
    Line(ONE, 98_765_432, 98_000_000, 700_000, {"reset": 60_000, "overflow": 5_432}),
    Line(TWO, 12_345_678, 12_345_670, spooled=7),
]


def shown(columns: int, lines: list[Line]) -> str:
    with StringIO() as output:
        show(Audit(lines, {}), Console(file=output, force_terminal=True, width=columns, color_system=None))
        return output.getvalue()


def test_a_narrow_terminal_cuts_no_number() -> None:
    text = shown(80, MILLIONS)
    assert max(map(len, text.splitlines())) <= 80
    assert " ".join(text.split()).startswith(
        f"{ONE}: 98,765,432 accepted = 98,000,000 counted + 700,000 duplicate + 65,432 dropped "
        f"{TWO}: 12,345,678 accepted = 12,345,670 counted + 7 spooled; 1 missing "
        "all: 111,111,110 accepted = 110,345,670 counted + 700,000 duplicate + 65,432 dropped + 7 spooled; 1 missing"
    )


@pytest.mark.parametrize("columns", [40, 80, 100, 120, 200])
def test_every_number_is_whole_on_any_terminal(columns: int) -> None:
    text = shown(columns, MILLIONS)
    assert "…" not in text
    for line in MILLIONS:
        assert f"{line.accepted:,}" in text


def test_a_wide_terminal_and_small_numbers_make_a_table() -> None:
    assert "dead-lettered" in shown(140, MILLIONS)
    assert "dead-lettered" in shown(140, [Line(ONE, 5, 5)])
