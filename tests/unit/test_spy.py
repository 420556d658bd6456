"""What is kept of single hits, and how it is shown."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hail.hit import HitError, Reason
from hail.message import Message, Refusal, decode_message, encode_message, encode_refusal
from hail.publish import Publisher, _Engine
from hail.settings import SettingsError, load
from hail.spool import SpoolFolder, read_records
from hail.web import make_app
from tests.contract.hits import NOW, PUBLISHER, message
from tests.servers import wait_until
from tests.wsgi import call
from whale.client import Whale
from whale.commands import tail
from whale.count.apply import Applier
from whale.count.witness import EVERY_REFUSED_S, EVERY_S, Witness
from whale.errors import Unavailable
from whale.spy import KEPT, Traces, shown, traces_of
from whale.store.memory import MemoryStore

SETTINGS = load({})


def told(refusals: list[Refusal], seq: int = 0) -> Message:
    return decode_message(
        encode_message(PUBLISHER, seq, "a", 0, int(NOW * 1000), [], refused=list(map(encode_refusal, refusals)))
    )


def test_a_message_carries_refusals_and_without_any_it_has_the_bytes_it_always_had() -> None:
    refusal = Refusal(5, "bad_pk", "pk", 'x"\0', "v")
    found = told([refusal])
    assert (found.hits, found.refused) == ([], [refusal])
    assert b"refused" not in encode_message(PUBLISHER, 0, "a", 0, 0, [])
    assert decode_message(encode_message(PUBLISHER, 0, "a", 0, 0, [])).refused == []


def test_the_newest_hits_of_a_merge_are_looked_at_and_the_newest_of_visitors_however_deep() -> None:
    hits: list[dict[str, Any]] = [{"pk": "t", "visitor": "first"}, *({"pk": "t", "id": str(i)} for i in range(500))]
    messages = [message(hits, SETTINGS, "a", seq) for seq in (0, 1)]
    found = traces_of(messages, {messages[1].name: {500: Reason.DUPLICATE}})
    assert (len(found.counted), len(found.others)) == (KEPT - 1, 1)
    assert [trace["name"] for trace in shown(found.counted)][::98] == [f"{PUBLISHER}-1.499", f"{PUBLISHER}-1.401"]
    assert [trace["name"] for trace in shown(found.visitors["first"])] == [f"{PUBLISHER}-1.0", f"{PUBLISHER}-0.0"]


def test_a_hit_shows_the_parameters_that_were_ignored_each_time_that_it_comes(tmp_path: Path) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings, lambda: NOW)
    app = make_app(settings, publisher, lambda: NOW)
    for number in range(2):
        call(app, "GET", "/count.gif", query=f"pk=t&country=US&t={number}")
    call(app, "GET", "/count.gif", query="pk=t")
    publisher.close()
    folder = SpoolFolder(str(tmp_path))
    messages = [
        decode_message(body)
        for name in folder.names()
        for body in read_records((folder.path / name).read_bytes()).messages
    ]
    traces = shown(traces_of(messages, {}).counted)
    assert [trace.get("ignored") for trace in traces] == [None, ["country", "t"], ["country", "t"]]


def test_what_is_kept_is_bounded_whatever_comes() -> None:
    big = {"pk": ["n" * 200] * 8, "visitor": "v", "id": "i", "metrics": {f"{i:0200}": 1 for i in range(15)}}
    many = [{"pk": "t", "visitor": str(i)} for i in range(1000)]
    refusals = [Refusal(int(NOW * 1000), "bad_pk", "pk", "x" * 200, str(i)) for i in range(20)]
    messages = [message([big], SETTINGS, "a", 9), message(many, SETTINGS, "a", 1)]
    messages += [told(refusals, seq) for seq in range(10, 30)]
    found = traces_of(messages, {})
    assert (len(found.counted), len(found.refused), found.others, len(found.visitors)) == (KEPT, KEPT, [], KEPT)
    (trace,) = shown(traces_of(messages[:1], {}).counted)
    assert trace["cut"]
    assert "pk" not in trace
    assert traces_of([message(many, SETTINGS, "a", 1, lasting=True)], {}) == Traces([], [], {})


def test_a_trace_that_came_twice_is_shown_once_and_what_cannot_be_read_not_at_all() -> None:
    one = '{"at":1,"name":"a","outcome":"counted","metrics":{"hits":2,"m":2500000,"n":3000000}}'
    assert shown([one, b"\xff", "[]", one]) == [
        {"at": 1, "name": "a", "outcome": "counted", "metrics": {"hits": 2, "m": 2.5, "n": 3}}
    ]


def test_metrics_of_other_kinds_are_shown_as_a_hit_carries_them() -> None:
    hit = {"pk": "t", "visitor": "v", "metrics": {"visitors": "is_unique", "load": {"max": 0.5}, "m": 2}}
    (trace,) = shown(traces_of([message([hit], SETTINGS, "a")], {}).counted)
    assert trace["metrics"] == {"hits": 1, "m": 2, "visitors": {"distinct": "v"}, "load": {"max": 0.5}}


@pytest.mark.parametrize("error", [Unavailable("gone"), RuntimeError("broken")])
def test_a_hit_counts_though_the_spy_does_not_work(error: Exception) -> None:
    class Deaf(MemoryStore):
        def spy_add(self, account: str, traces: Traces, now: float) -> None:
            raise error

    store = Deaf(SETTINGS)
    Applier(store, SETTINGS).apply([message([{"pk": "t"}], SETTINGS, "a")], NOW)
    assert store.pks("a") == ["t"]


class Recording(MemoryStore):
    def spy_add(self, account: str, traces: Traces, now: float) -> None:
        self.told = [*getattr(self, "told", []), len(traces.counted)]
        super().spy_add(account, traces, now)


def test_however_many_applies_there_are_they_are_told_together_and_the_first_at_once() -> None:
    store = Recording(SETTINGS)
    applier = Applier(store, SETTINGS)
    began = time.monotonic()
    for seq in range(50):
        applier.apply([message([{"pk": "t"}], SETTINGS, "a", seq)], NOW)
        assert store.told[0] == 1
    wait_until(lambda: sum(store.told) == 50, what="all 50")
    assert len(store.told) <= 2 + (time.monotonic() - began) / EVERY_S


def test_however_much_whale_refuses_it_writes_once_a_second_the_newest_20() -> None:
    class Counting(MemoryStore):
        writes = 0

        def spy_add(self, account: str, traces: Traces, now: float) -> None:
            self.writes += 1
            super().spy_add(account, traces, now)

    store = Counting(SETTINGS)
    whale = Whale(store, SETTINGS, clock=lambda: NOW)
    began = time.monotonic()
    for i in range(300):
        whale.refusals.keep(HitError(Reason.BAD_PK, "pk", "no"), {"pk": i, "visitor": "v"})
    wait_until(lambda: '{"pk":299,' in str(whale.get_spy("v")), what="the last")
    assert store.writes <= 2 + (time.monotonic() - began) / EVERY_REFUSED_S
    assert len(whale.get_spy("v", 200)) <= 21 * store.writes


def test_what_was_seen_is_bounded_while_telling_takes_long() -> None:
    witness = Witness(MemoryStore(SETTINGS))
    witness._free_at = time.monotonic() + 1000
    for seq in range(300):
        witness.saw("a", [message([{"pk": "t"}] * 100, SETTINGS, "a", seq)], {(PUBLISHER, seq): {0: Reason.RESET}}, NOW)
    assert witness._timer
    witness._timer.cancel()
    seen = witness._seen["a"]
    assert [message.seq for message in seen.messages] == list(range(280, 300)) == [seq for _, seq in seen.dropped]
    assert seen.hits == 2000


def test_while_a_timer_is_to_tell_nobody_else_does_however_late_it_is() -> None:
    store = Recording(SETTINGS)
    applier = Applier(store, SETTINGS)
    for seq in range(3):
        applier.apply([message([{"pk": "t"}], SETTINGS, "a", seq)], NOW)
        applier.witness._free_at = 0.0  # so long it is since the first word
        if seq == 0:
            applier.witness._free_at = time.monotonic() + 2 * EVERY_S
    assert store.told == [1]
    wait_until(lambda: store.told == [1, 2], what="the timer")


def test_after_a_long_word_comes_a_rest_and_what_is_seen_meanwhile_is_told_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]

    class Slow(MemoryStore):
        def spy_add(self, account: str, traces: Traces, now: float) -> None:
            super().spy_add(account, traces, now)
            clock[0] += 0.25
            if account == "b":
                witness.saw("c", [message([{"pk": "t"}], SETTINGS, "c")], {}, NOW)
                assert witness._timer is None

    monkeypatch.setattr("whale.count.witness.time.monotonic", lambda: clock[0])
    witness = Witness(Slow(SETTINGS))
    witness._free_at = 2000.0
    for account in "ab":
        witness.saw(account, [message([{"pk": "t"}], SETTINGS, account)], {}, NOW)
    assert witness._timer
    witness._timer.cancel()
    witness.tell()
    assert witness._timer
    witness._timer.cancel()
    assert (witness._timer.interval, list(witness._seen)) == (3.0, ["c"])


def test_where_the_store_is_away_a_word_ends(caplog: pytest.LogCaptureFixture) -> None:
    class Away(MemoryStore):
        def spy_add(self, account: str, traces: Traces, now: float) -> None:
            raise Unavailable("Redis: away")

    witness = Witness(Away(SETTINGS))
    witness._free_at = time.monotonic() + 1000
    for account in "abcde":
        witness.saw(account, [message([{"pk": "t"}], SETTINGS, account)], {}, NOW)
    assert witness._timer
    witness._timer.cancel()
    witness.tell()
    assert caplog.messages == ["the spy misses some hits: Redis: away"]


def test_spy_is_0_or_1() -> None:
    assert load({"HAILWHALE_SPY": "0"}).spy is False
    with pytest.raises(SettingsError, match="expected 0 or 1, got 'no'"):
        load({"HAILWHALE_SPY": "no"})


# Hail


def spooled(folder: Path) -> list[Message]:
    spool = SpoolFolder(str(folder))
    return [
        decode_message(body)
        for name in spool.names()
        for body in read_records((spool.path / name).read_bytes()).messages
    ]


def refusals(folder: Path) -> list[Refusal]:
    return [refusal for each in spooled(folder) for refusal in each.refused]


@pytest.mark.parametrize("spy", ["0", "1"])
def test_what_hail_refuses_travels_in_a_message_of_its_own_when_no_hit_comes(tmp_path: Path, spy: str) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path), "HAILWHALE_SPY": spy})
    publisher = Publisher(settings, lambda: NOW)
    app = make_app(settings, publisher, lambda: NOW)
    assert call(app, "GET", "/count", query="metrics=[1&visitor=v1&key=secret&other=mine").status == 400
    if spy == "1":
        wait_until(lambda: refusals(tmp_path), what="the refusal")
    publisher.close()
    found = refusals(tmp_path)
    expected = Refusal(int(NOW * 1000), "unknown_field", "other", "metrics=[1&visitor=v1", "v1")
    assert found == ([expected] if spy == "1" else [])
    assert [each.hits for each in spooled(tmp_path)] == ([[]] if spy == "1" else [])


def test_refusals_go_with_the_next_hit_the_newest_20_and_a_second_passes_between_messages_without_hits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings, lambda: NOW)
    app = make_app(settings, publisher, lambda: NOW)
    call(app, "GET", "/count", query="pk=first&at=x")
    wait_until(lambda: refusals(tmp_path), what="the first")
    monkeypatch.setattr("hail.publish.TELL_S", 1000)  # so long it is since then
    bad = [{"pk": "t", "visitor": f"v{i}", "at": "x", "key": "secret"} for i in range(30)]
    for _ in range(5):
        assert call(app, "POST", "/batch", body=json.dumps([{"pk": "t"}, *bad]).encode()).status == 202
    publisher.close()
    alone, *found = spooled(tmp_path)
    assert ([refusal.came for refusal in alone.refused], alone.hits) == (["pk=first&at=x"], [])
    for each in found:
        assert [refusal.visitor for refusal in each.refused] == [f"v{i}" for i in range(10, 30)]
        assert len(each.hits) == 1
    assert len(found) == 5
    assert found[0].refused[-1].came == '{"pk":"t","visitor":"v29","at":"x"}'
    assert "secret" not in str(found)


def test_what_was_refused_just_before_hail_stops_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings, lambda: NOW)
    app = make_app(settings, publisher, lambda: NOW)
    call(app, "GET", "/count", query="pk=first&at=x")
    wait_until(lambda: refusals(tmp_path), what="the first")
    tell = _Engine._tell

    def then_stop(engine: _Engine) -> None:
        tell(engine)
        engine._closing = True

    monkeypatch.setattr(_Engine, "_tell", then_stop)
    monkeypatch.setattr("hail.publish.TELL_S", 1000)
    call(app, "GET", "/count", query="pk=second&at=x")
    engine = publisher._engine
    assert engine
    wait_until(lambda: not engine.thread.is_alive(), what="the end")
    assert [refusal.came for refusal in refusals(tmp_path)] == ["pk=first&at=x", "pk=second&at=x"]


def test_what_is_refused_while_hail_stops_is_not_told_and_is_no_error(tmp_path: Path) -> None:
    class Stops(Publisher):
        def _start(self) -> _Engine:
            self.close()
            return super()._start()

    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    app = make_app(settings, Stops(settings, lambda: NOW), lambda: NOW)
    assert call(app, "GET", "/count", query="pk=t&at=x").status == 400
    assert refusals(tmp_path) == []


def test_what_came_is_cut_to_200_bytes(tmp_path: Path) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings, lambda: NOW)
    app = make_app(settings, publisher, lambda: NOW)
    call(app, "POST", "/count", body=b"\xff\0" * 5000)
    call(app, "POST", "/count", body=json.dumps({"pk": "€" * 4000}).encode())
    call(app, "POST", "/count", body=json.dumps({"pk": "€" * 400}).encode())
    call(app, "GET", "/count", query="pk=%E2%82%AC" * 900)
    publisher.close()
    found = refusals(tmp_path)
    assert len(found) == 4
    assert all(len(refusal.came.encode()) <= 200 for refusal in found)
    assert [refusal.came[:9] for refusal in found[2:]] == ['{"pk":"€€', "pk=€pk=€p"]


# The command


@pytest.fixture
def whale(monkeypatch: pytest.MonkeyPatch) -> Whale:
    made = Whale(MemoryStore(SETTINGS), SETTINGS, clock=lambda: NOW)
    monkeypatch.setenv("HAILWHALE_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setattr(Whale, "connect", lambda settings: made)
    return made


def test_tail_prints_a_line_each_with_columns_by_tabs(whale: Whale) -> None:
    whale.count_now(["a", "b"], {"c": "d"}, {"m": 0.5}, id="i", event="e", visitor="v\x1b[2J\u202e\n\t")
    whale.count_now("t", at=NOW - 3600, visitor="w")
    wait_until(lambda: len(whale.get_spy()) == 2, what="both")
    said = CliRunner().invoke(tail.main, [])
    assert said.exit_code == 0
    first, second = (line.split("\t") for line in said.output.splitlines())
    assert first[1:4] == ["counted", r"v\x1b[2J\u202e\n\t", '["a","b"]']
    assert first[4] == '{"c":{"d":{}}} {"hits":1,"m":0.5} event=e id=i'
    assert second[1:4] == ["counted", "w", "t"]
    assert second[4].startswith('{"hits":1} at=2026-09-21')
    said = CliRunner().invoke(tail.main, ["--visitor", "w"])
    assert [line.split("\t")[2] for line in said.output.splitlines()] == ["w"]


def test_follow_shows_each_hit_once(whale: Whale) -> None:
    known: set[str] = set()
    whale.count_now("t")
    assert [trace["pk"] for trace in tail.fresh(whale, None, known)] == [["t"]]
    assert list(tail.fresh(whale, None, known)) == []
    whale.count_now("u")
    wait_until(lambda: len(whale.get_spy()) == 2, what="both")
    assert [trace["pk"] for trace in tail.fresh(whale, None, known)] == [["u"]]


def test_in_a_terminal_columns_are_cut_to_its_width() -> None:
    row = ("2026-09-21 15:13:10.000", "counted", "v" * 60, "t", "x" * 500)
    line = tail.folded(row, 120)
    assert len(line) == 120
    assert line.startswith("2026-09-21 15:13:10.000  counted             vvvvvvvvvvvvvvv…  t  ")
