"""The spool: nothing that was promised is lost, whatever is cut, flipped or killed; and hailwail hands it on."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.columns import encode
from hail.message import decode_message, encode_message
from hail.settings import load
from hail.spool import MAGIC, MARKED, SpoolFolder, SpoolFull, SpoolWriter, head_size, read_records, record_of, start_of
from tests.laws import law
from tests.taken import section_of
from whale.count.hailwail import Hailwail
from whale.errors import Unavailable

MESSAGES = [b'{"a":1}', b"x" * 40, "é😀".encode(), b"last"]
FILE = b"".join(map(record_of, MESSAGES))
ENDS = [len(b"".join(map(record_of, MESSAGES[:count]))) for count in range(len(MESSAGES) + 1)]
NOW = 1_795_300_800.0


def whole_before(length: int) -> list[bytes]:
    return MESSAGES[: max(index for index, end in enumerate(ENDS) if end <= length)]


def message(seq: int, at: float = NOW) -> bytes:
    return encode_message("0123456789abcdef", seq, "default", seq + 1, int(at * 1000), [b'[["a"],{},{"hits":1},1]'])


class Kept:
    """A sink that keeps what it got."""

    verb = "kept"

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.away = False

    def put(self, bodies: list[bytes]) -> tuple[int, int]:
        if self.away:
            raise Unavailable("away")
        good = [body for body in bodies if body.startswith(b"{")]
        self.bodies += good
        return len(good), len(bodies) - len(good)

    def check(self, body: bytes) -> None:
        pass

    def sweep(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> SpoolFolder:
    return SpoolFolder(tmp_path)


@pytest.fixture
def writer(folder: SpoolFolder) -> SpoolWriter:
    return SpoolWriter(folder, "0123456789abcdef", file_mb=2, limit_mb=10)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def tail(folder: SpoolFolder, kept: Kept, live: bool = False, force: bool = False) -> Hailwail:
    return Hailwail(load({"HAILWHALE_DATA_DIR": str(folder.path.parent)}), kept, lambda: NOW, live, force)


def append(writer: SpoolWriter, *messages: bytes) -> None:
    writer.reserve(map(len, messages))
    writer.append(list(messages))


def test_a_file_cut_at_every_byte_gives_every_whole_record() -> None:
    for length in range(len(FILE) + 1):
        for zeros in (0, 1, 100):  # reserved space may follow
            records = read_records(FILE[:length] + bytes(zeros))
            assert records.messages == whole_before(length)
            assert records.damaged == []
            assert records.end + records.torn >= len(FILE[:length].rstrip(b"\0"))


def test_a_byte_flipped_anywhere_costs_one_record_and_is_reported() -> None:
    for at in range(ENDS[-2]):
        data = bytearray(FILE)
        data[at] ^= 0x41
        records = read_records(bytes(data))
        hurt = next(index for index, end in enumerate(ENDS[1:]) if at < end)
        assert records.messages == MESSAGES[:hurt] + MESSAGES[hurt + 1 :]
        assert records.damaged == [(ENDS[hurt], ENDS[hurt + 1])]


def test_a_flipped_byte_in_the_last_record_is_not_silent() -> None:
    for at in range(ENDS[-2], ENDS[-1]):
        data = bytearray(FILE)
        data[at] ^= 0x41
        records = read_records(bytes(data))
        assert records.messages == MESSAGES[:-1]
        assert records.damaged or records.torn


def test_a_message_that_holds_a_record_is_one_message() -> None:
    inside = record_of(b"inner").replace(MAGIC, MAGIC.decode("latin-1").encode())
    assert read_records(record_of(inside)).messages == [inside]


@given(st.binary(max_size=300), st.lists(st.binary(min_size=1, max_size=20), max_size=4))
@law(300)
def test_any_bytes_can_be_read(noise: bytes, messages: list[bytes]) -> None:
    records = read_records(noise + b"".join(map(record_of, messages)))
    if MAGIC[:1] not in noise:
        assert records.messages == messages
    read_records(noise + MAGIC + noise)


def test_what_is_appended_is_read_and_a_live_file_is_locked(
    folder: SpoolFolder, writer: SpoolWriter, kept: Kept
) -> None:
    append(writer, message(0), message(1))
    (name,) = folder.names()
    assert (folder.path / name).stat().st_size == 1 << 20  # reserved ahead
    tail(folder, kept).once()
    assert kept.bodies == []
    following = tail(folder, kept, live=True)
    following.once()
    assert kept.bodies == [message(0), message(1)]
    append(writer, message(2))
    following.once()
    following.once()
    assert kept.bodies == [message(0), message(1), message(2)]
    append(writer, message(3))
    writer.seal()
    following.once()
    assert kept.bodies[3:] == [message(3)]
    assert folder.names() == []
    assert following.files == 1


def test_a_sealed_file_is_cut_to_its_records_and_an_empty_one_is_gone(folder: SpoolFolder, writer: SpoolWriter) -> None:
    append(writer, message(0))
    writer.seal()
    (name,) = folder.names()
    assert (folder.path / name).read_bytes() == record_of(message(0))
    writer.reserve([10])
    writer.seal()
    assert folder.names() == [name]


def test_a_full_file_is_sealed_and_a_full_folder_refuses(folder: SpoolFolder) -> None:
    writer = SpoolWriter(folder, "0123456789abcdef", file_mb=0.1, limit_mb=0.25)
    big = b"{" + b"x" * 60_000
    for _ in range(3):
        append(writer, big)
    assert len(folder.names()) == 3
    before = folder.size()
    with pytest.raises(SpoolFull, match="the limit is 250000 bytes"):
        writer.reserve([60_000])
    assert folder.size() <= before


def test_the_file_of_a_killed_owner_is_handed_on(folder: SpoolFolder, kept: Kept) -> None:
    program = (
        "import sys, os, signal\nfrom hail.spool import *\n"
        "writer = SpoolWriter(SpoolFolder(sys.argv[1]), '0123456789abcdef', 2, 10)\n"
        "writer.reserve([100]); writer.append([b'{one}', b'{two}']); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(folder.path.parent)], cwd=Path(__file__).parents[2])
    assert tail(folder, kept).once()
    assert kept.bodies == [b"{one}", b"{two}"]
    assert folder.names() == []


def test_a_sink_that_is_away_leaves_everything(folder: SpoolFolder, writer: SpoolWriter, kept: Kept) -> None:
    append(writer, message(0))
    writer.seal()
    kept.away = True
    hailwail = tail(folder, kept)
    with pytest.raises(Unavailable):
        hailwail.once()
    kept.away = False
    assert hailwail.once()
    assert kept.bodies == [message(0)]
    assert folder.names() == []


def test_two_at_once_hand_on_a_file_once(folder: SpoolFolder, writer: SpoolWriter, kept: Kept) -> None:
    append(writer, message(0))
    writer.seal()
    first, second = folder.open(folder.names()[0]), tail(folder, kept)
    assert first
    assert first.claim()
    assert not second.once()
    first.remove()
    assert not second.once()
    assert kept.bodies == []


def test_two_at_once_may_both_find_the_damage_of_a_file(
    folder: SpoolFolder, writer: SpoolWriter, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(writer, message(0), b"not a message")
    writer.seal()
    name = folder.names()[0]
    first, second = folder.open(name), tail(folder, kept)
    assert first
    assert first.claim()
    assert not second.once()  # it has opened the file, and waits for the lock
    first.set_aside()
    monkeypatch.setattr(SpoolFolder, "names", lambda _: [name])  # it listed the folder before that
    second.once()
    assert kept.bodies == [message(0)]
    assert second.set_aside == [str(first.path.with_suffix(".damaged"))]
    assert [path.suffix for path in folder.path.iterdir()] == [".damaged"]


def test_files_go_oldest_first(folder: SpoolFolder, kept: Kept) -> None:
    for seq in range(5):
        writer = SpoolWriter(folder, f"{9 - seq:016d}", 2, 10)
        append(writer, message(seq))
        writer.seal()
    tail(folder, kept).once()
    assert kept.bodies == [message(seq) for seq in range(5)]


def test_a_damaged_file_is_handed_on_and_set_aside(folder: SpoolFolder, writer: SpoolWriter, kept: Kept) -> None:
    append(writer, message(0), message(1), message(2))
    writer.seal()
    path = folder.path / folder.names()[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    hailwail = tail(folder, kept)
    hailwail.once()
    assert kept.bodies == [message(0), message(2)]
    assert hailwail.set_aside == [str(path.with_suffix(".damaged"))]
    assert path.with_suffix(".damaged").read_bytes() == bytes(data)
    assert f"{hailwail.damaged_bytes} bytes damaged" in hailwail.summary()
    assert hailwail.damaged_bytes == len(record_of(message(1)))


def test_a_message_that_cannot_be_read_keeps_its_file(folder: SpoolFolder, writer: SpoolWriter, kept: Kept) -> None:
    append(writer, message(0), b"not a message")
    writer.seal()
    hailwail = tail(folder, kept)
    hailwail.once()
    assert kept.bodies == [message(0)]
    assert len(hailwail.set_aside) == 1


def test_what_is_too_old_asks_for_force(folder: SpoolFolder, writer: SpoolWriter, kept: Kept) -> None:
    append(writer, message(0, at=NOW - 3 * 86_400))
    writer.seal()
    hailwail = tail(folder, kept)
    assert not hailwail.once()
    assert not hailwail.once()
    assert "1 files too old (--force)" in hailwail.summary()
    assert tail(folder, kept, force=True).once()
    assert kept.bodies == [message(0, at=NOW - 3 * 86_400)]


def test_a_file_that_a_wrong_clock_judged_too_old_is_handed_on(
    folder: SpoolFolder, writer: SpoolWriter, kept: Kept
) -> None:
    append(writer, message(0))
    writer.seal()
    hailwail = tail(folder, kept)
    right = hailwail._clock
    hailwail._clock = lambda: right() + 3 * 86_400
    assert not hailwail.once()
    assert not hailwail.once()
    assert hailwail.left == 1
    hailwail._clock = right
    assert hailwail.once()
    assert (kept.bodies, hailwail.left) == ([message(0)], 0)
    append(writer, message(1, at=NOW - 3 * 86_400))
    writer.seal()
    assert not hailwail.once()
    assert tail(folder, kept, force=True).once()
    assert not hailwail.once()
    assert hailwail.left == 0


def test_a_failed_write_promises_nothing_and_opens_another_file(
    folder: SpoolFolder, writer: SpoolWriter, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(writer, message(0))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda fd: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        writer.reserve([500])
        with pytest.raises(OSError, match="Input/output"):
            writer.append([message(1)])
    append(writer, message(2))
    writer.seal()
    tail(folder, kept).once()
    assert kept.bodies[0] == message(0)
    assert kept.bodies[-1] == message(2)


def test_given_up_files_without_a_name_are_cleared_away(folder: SpoolFolder) -> None:
    folder.path.mkdir()
    for name, age in (("a.new", 7200), ("b.new", 1)):
        (folder.path / name).touch()
        os.utime(folder.path / name, (time.time() - age,) * 2)
    assert folder.names() == []
    assert sorted(os.listdir(folder.path)) == ["b.new"]


def test_a_record_has_the_size_that_is_drawn() -> None:
    assert head_size(MAGIC) == 16
    assert record_of(b"abc")[:8] == b"\xffHW1\0\0\0\3"
    assert record_of(b"abc")[16:] == b"abc"


# messages that are no text

START = start_of("1-0123456789abcdef-00112233445566ff.spool")


def spelling(*forged: bytes) -> bytes:
    """A message whose hits' amounts spell these bytes, each eight of them one amount."""
    text = b"".join(forged)
    text += bytes(-len(text) % 8)
    amounts = [int.from_bytes(text[at : at + 8], "little", signed=True) for at in range(0, len(text), 8)]
    section = section_of("default", 1, decode_message(message(0)).hits * len(amounts))
    section = replace(section, amounts=[np.array(amounts, np.int64)])
    made = encode("0123456789abcdef", 0, int(NOW * 1000), [section])
    assert text in made
    return made


def test_a_file_for_binary_messages_has_its_mark_in_its_name_and_before_each_record(folder: SpoolFolder) -> None:
    writer = SpoolWriter(folder, "0123456789abcdef", file_mb=2, limit_mb=10, marked=True)
    for _ in range(2):
        append(writer, b"one.", b"two.")
        writer.seal()
    names = folder.names()
    starts = {start_of(name) for name in names}
    assert len(starts) == 2
    for name in names:
        start = start_of(name)
        assert start.startswith(MARKED)
        assert (folder.path / name).read_bytes() == record_of(b"one.", start) + record_of(b"two.", start)
        file = folder.open(name)
        assert file
        assert file.first() == b"one."
        assert file.rest().messages == [b"one.", b"two."]
        file.close()


def test_what_a_request_spells_is_no_record_wherever_a_file_is_cut_or_flipped() -> None:
    other = start_of("1-0123456789abcdef-0000000000000000.spool")
    forged = [record_of(b"forged.", start) for start in (MAGIC, MARKED, other)]
    messages = [spelling(*forged), b"between.", spelling(b"1234567", *forged), b"last."]
    file = b"".join(record_of(each, START) for each in messages)
    assert read_records(file, START).messages == messages
    for at in range(len(file)):
        flipped = bytearray(file)
        flipped[at] ^= 0x41
        for data in (file[:at], bytes(flipped)):
            records = read_records(data, START)
            assert set(records.messages) <= set(messages)
            assert len(records.messages) >= (3 if len(data) == len(file) else 0)


def test_behind_a_damaged_message_reading_goes_on_and_not_inside_it() -> None:
    inner = record_of(b"inner.", START)  # as if somebody knew the mark
    file = record_of(b"x" + inner + b"y.", START) + record_of(b"next.", START)
    damaged = file.replace(b"x", b"z", 1)
    records = read_records(damaged, START)
    assert records.messages == [b"next."]
    assert records.damaged == [(0, len(file) - len(record_of(b"next.", START)))]
