"""Hail's copy of the directory: asked of a real Whale, kept on disk, shared by the processes of a node; and what changes nothing."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from hail import directory
from hail.informed import AT_ONCE_S, COPY, FOLDER, TURN, Informed
from hail.publish import Publisher
from hail.settings import SettingsError, load
from hail.web import make_app as make_hail
from tests.nodes import ACT, ANN, INTERNAL, Asked, Node
from tests.wsgi import call
from whale.accounts import revoked
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.web import make_app

STATE = directory.State("word-of-one-1", 7)
Answers = Callable[[str], tuple[int, bytes]]


@pytest.fixture
def whale() -> Asked:
    return Asked()


def answering(answers: Answers) -> Any:
    """A server that answers whatever a test says, byte by byte."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Node, list[tuple[int, bytes]]]]:
    """A node, and the answers that its Whale gives, the last one again and again."""
    answers: list[tuple[int, bytes]] = []
    with answering(lambda _: answers.pop(0) if len(answers) > 1 else answers[0]) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Node(tmp_path, f"http://127.0.0.1:{server.server_port}"), answers
        server.shutdown()


def failures(cause: str) -> float:
    return REGISTRY.get_sample_value("hailwhale_directory_failures_total", {"cause": cause}) or 0.0


def test_a_key_is_known_and_a_revoked_one_is_not(node: Node, whale: Asked) -> None:
    key, secret = whale.key()
    hail = node.process()
    assert not hail.is_known
    assert hail.age_s() is None
    node.later(hail)
    found = hail.key_of(secret)
    assert found
    assert (found.id, found.account, found.scope) == (key.id, ANN.id, "write")
    whale.store.change_entry(key, revoked(key, 1), ACT)
    node.later(hail)
    assert hail.directory.key_of(secret, node.now) is None
    assert whale.asked[0] == ""
    assert all(query.startswith("since=") for query in whale.asked[1:])


def test_an_unknown_key_is_asked_for_once_more_and_not_too_often(node: Node, whale: Asked) -> None:
    hail = node.process()
    node.later(hail)
    _, secret = whale.key()
    node.now += AT_ONCE_S
    assert hail.key_of(secret)
    asked = len(whale.asked)
    for _ in range(100):
        assert hail.key_of(b"hw_w_" + b"x" * 43) is None
    assert len(whale.asked) == asked
    node.now += AT_ONCE_S
    assert hail.key_of(b"hw_w_" + b"x" * 43) is None
    assert len(whale.asked) == asked + 1


def test_one_process_of_a_node_asks_and_the_others_read_what_it_heard(node: Node, whale: Asked) -> None:
    one, two = node.process(), node.process()
    node.later(one, two)
    assert len(whale.asked) == 1
    for _ in range(3):
        _, secret = whale.key()
        node.later(one, two)
        assert one.directory.key_of(secret, node.now)
        assert two.directory.key_of(secret, node.now)
        assert two.age_s() == 0
    assert len(whale.asked) == 4
    _, secret = whale.key()
    node.later(two, one)  # the other one adds to the same copy
    assert one.directory.key_of(secret, node.now)
    assert one.directory.state == two.directory.state


def test_while_one_asks_no_other_does(node: Node, whale: Asked) -> None:
    one, two = node.process(), node.process()
    with one._turn() as is_ours:
        assert is_ours
        node.later(two)
    assert whale.asked == []
    node.later(two)
    assert two.is_known


def test_what_was_known_is_there_after_a_restart_without_whale(node: Node, whale: Asked, tmp_path: Path) -> None:
    _, secret = whale.key()
    first = node.process()
    node.later(first)
    _, second = whale.key()
    node.later(first)
    node.settings = node.settings.replace(whale_url="http://127.0.0.1:1")
    again = node.process()
    assert again.key_of(secret)
    assert again.key_of(second)
    node.later(again, seconds=3600)
    assert again.key_of(secret)
    assert again.age_s() == pytest.approx(3600, abs=1)


def test_the_copy_is_for_its_user_alone(node: Node) -> None:
    os.umask(0)
    try:
        node.later(node.process())
    finally:
        os.umask(0o022)
    assert node.copy.parent.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in node.copy.parent.iterdir()} == {COPY: 0o600, TURN: 0o600}


def test_a_copy_that_was_deleted_is_there_again_once_whale_answers(node: Node, whale: Asked) -> None:
    _, secret = whale.key()
    hail = node.process()
    node.later(hail)
    node.copy.unlink()
    node.later(hail)
    node.settings = node.settings.replace(whale_url="http://127.0.0.1:1")
    assert node.process().key_of(secret)


def test_a_directory_of_another_word_is_taken_whole(node: Node, whale: Asked) -> None:
    """As after an older copy of Redis was put back, whose versions are behind."""
    hail, other = node.process(), node.process()
    for _ in range(5):
        whale.key()
    node.later(hail, other)
    fresh = MemoryStore(load({}))
    fresh.add_entry(ANN, ACT)
    whale._app = make_app(load({"HAILWHALE_INTERNAL_KEY": INTERNAL}), Whale(fresh, load({})))
    node.later(hail, other)
    for each in (hail, other):
        assert each.directory.answer().keys == []
        assert each.directory.state
        assert each.directory.state.version == 1


def test_the_copy_is_written_anew_where_changes_have_made_it_long(
    node: Node, whale: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hail.informed.ROOM_FOR_CHANGES", 0)
    hail, other = node.process(), node.process()
    sizes = []
    for _ in range(12):
        _, secret = whale.key()
        node.later(hail, other)
        sizes.append(node.copy.stat().st_size)
        assert other.directory.key_of(secret, node.now)
    assert any(after < before for before, after in pairwise(sizes))
    assert len(node.process().directory.answer().keys) == 12


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_damaged_copy_costs_no_more_than_its_end(node: Node, whale: Asked, cut: int) -> None:
    _, secret = whale.key()
    hail = node.process()
    node.later(hail)
    whale.key()
    node.later(hail)
    data = node.copy.read_bytes()
    node.copy.write_bytes(data[:cut])
    again = node.process()
    node.later(again, seconds=2)
    assert len(again.directory.answer().keys) == 2
    assert again.key_of(secret)
    assert len(node.process().directory.answer().keys) == 2


def test_a_copy_that_another_has_written_is_not_believed(node: Node) -> None:
    node.later(node.process())
    node.copy.write_bytes(directory.record_of(directory.Answer(STATE, None), "j" * 32))
    assert not node.process().is_known


def test_without_a_folder_each_process_asks_for_itself(node: Node, whale: Asked) -> None:
    node.folder.mkdir()
    (node.folder / FOLDER).write_text("no folder")
    one, two = node.process(), node.process()
    _, secret = whale.key()
    node.later(one, two)
    assert one.key_of(secret)
    assert two.key_of(secret)


def record(state: directory.State = STATE, since: int | None = None, key: str = INTERNAL) -> bytes:
    return directory.record_of(directory.Answer(state, since, [directory.Account("default", "default")]), key)


def test_nothing_that_is_no_directory_changes_anything(told: tuple[Node, list[tuple[int, bytes]]]) -> None:
    node, answers = told
    answers.append((200, record()))
    hail = node.process()
    node.later(hail)
    before = node.copy.read_bytes()
    older = directory.State(STATE.word, STATE.version - 1)
    for cause, status, body in (
        ("unsound", 200, record(directory.State(STATE.word, 8))[:-1]),
        ("unsound", 200, record(directory.State(STATE.word, 8), key="j" * 32)),
        ("unsound", 200, b""),
        ("unsound", 200, b"<html>"),
        ("stale", 200, record(older)),
        ("refused", 401, b""),
        ("refused", 403, b""),
        ("status", 500, b""),
        ("status", 302, b""),
        ("too_large", 200, b"x" * 1_000_001),
    ):
        answers[:] = [(status, body)]
        count = failures(cause)
        hail._whale._most = 1_000_000
        node.later(hail)
        assert failures(cause) == count + 1, (cause, body[:50])
        assert hail.directory.state == STATE
        assert node.copy.read_bytes() == before
    assert hail.age_s() == 10
    answers[:] = [(200, record(directory.State(STATE.word, 8)))]
    node.later(hail)
    assert (hail.directory.state, hail.age_s()) == ((STATE.word, 8), 0)


def test_a_change_of_another_state_leads_to_a_question_for_all(told: tuple[Node, list[tuple[int, bytes]]]) -> None:
    node, answers = told
    answers.append((200, record()))
    hail = node.process()
    node.later(hail)
    other = directory.State("word-of-two-2", 3)
    answers[:] = [(200, record(other, 2)), (200, record(other))]
    node.later(hail)
    assert hail.directory.state == other


def test_while_whale_fails_no_request_waits_for_it(told: tuple[Node, list[tuple[int, bytes]]]) -> None:
    node, answers = told
    answers.append((200, record()))
    hail = node.process()
    node.later(hail)
    answers[:] = [(500, b"")]
    node.later(hail)
    count = failures("status")
    node.now += 10
    assert hail.key_of(b"hw_w_" + b"x" * 43) is None
    assert failures("status") == count


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not holds():
        pause.wait(0.01)


@pytest.fixture
def started(node: Node) -> Iterator[Informed]:
    """With its thread, in the time of the machine."""
    hail = Informed(node.settings)
    hail.start()
    until(lambda: hail.is_known)
    yield hail
    hail.stop()


def test_the_thread_keeps_it_until_it_is_stopped(started: Informed, whale: Asked) -> None:
    asked = len(whale.asked)
    until(lambda: len(whale.asked) > asked)
    started.stop()
    assert started._thread
    started._thread.join()


def test_a_request_waits_while_the_thread_asks_for_its_key(started: Informed, whale: Asked) -> None:
    _, secret = whale.key()
    until(lambda: started._is_due(AT_ONCE_S))
    assert started.key_of(secret)


def test_no_request_waits_longer_than_it_may(started: Informed, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr("hail.informed.WAIT_S", 0.05)
    monkeypatch.setattr(started._whale, "ask", lambda seen: goes_on.wait() and None)
    until(lambda: started._is_due(AT_ONCE_S))
    assert started.key_of(b"hw_w_" + b"x" * 43) is None
    assert not goes_on.is_set()
    goes_on.set()


def test_what_has_not_the_form_of_a_secret_is_asked_of_nobody(node: Node, whale: Asked) -> None:
    hail = node.process()
    node.later(hail)
    node.now += AT_ONCE_S
    for secret in (b"", b"hw_w_" + b"x" * 42, b"hw_x_" + b"x" * 43, b"a password of the settings"):
        assert hail.key_of(secret) is None
    assert len(whale.asked) == 1


def test_a_forked_process_has_a_thread_of_its_own(started: Informed, whale: Asked) -> None:
    _, secret = whale.key()
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            until(lambda: started._is_due(AT_ONCE_S))
            os.write(write, b"good" if started.key_of(secret) else b"none")
        finally:
            os._exit(0)
    os.close(write)
    until(lambda: os.waitpid(child, os.WNOHANG) != (0, 0))
    assert os.read(read, 4) == b"good"
    os.close(read)


def test_a_turn_ends_though_a_child_has_its_file_open(node: Node) -> None:
    one, two = node.process(), node.process()
    read, write = os.pipe()
    with one._turn() as is_ours:
        assert is_ours
        if not (child := os.fork()):
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    with two._turn() as is_theirs:
        assert is_theirs
    os.close(write)
    os.waitpid(child, 0)
    os.close(read)


@pytest.mark.parametrize(
    "url", ["10.0.0.7:8086", "ftp://whale", "http://whale/path", "http://a b", "http://whale:99999"]
)
def test_an_address_that_is_none_stops_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="HAILWHALE_WHALE_URL: expected an address"):
        load({"HAILWHALE_WHALE_URL": url})


def test_whale_is_asked_where_it_listens(tmp_path: Path) -> None:
    def address(**settings: Any) -> str:
        return Informed(load({}).replace(data_dir=str(tmp_path), internal_key=INTERNAL, **settings))._whale.address

    assert address() == "127.0.0.1:8086"
    assert address(whale_bind="0.0.0.0:9000") == "127.0.0.1:9000"
    assert address(whale_url="https://whale.example") == "whale.example"
    with pytest.raises(SettingsError, match="HAILWHALE_WHALE_URL"):
        address(whale_bind="unix:/run/whale.sock")


def test_readyz_says_how_old_it_is(node: Node) -> None:
    hail = node.process()
    publisher = Publisher(node.settings)
    app = make_hail(node.settings, publisher, informed=hail)
    assert call(app, "GET", "/readyz").json["directory_age_s"] is None
    node.later(hail)
    node.now += 2.04
    assert call(app, "GET", "/readyz").json["directory_age_s"] == 2.0
    publisher.close()
