"""The spool: append-only files that hold messages while the broker is away, or always, when there is none.

`<data>/spool/<ms of creation>-<publisher>.spool`, one open file a process, held by `flock` as long as its owner lives.
A file is records, then zeros (space reserved before it is needed) or nothing. A record:

    +-------+--------+--------------+--------------+-----------------+
    | start | length | CRC32 of the | CRC32 of all | the bytes of    |
    |       | of it  | message      | before this  | one message     |
    +-------+--------+--------------+--------------+-----------------+      integers big endian

After damage the next record is found by its start, which is in no message. Messages of version 1 are UTF-8, so ffHW1 does. Later
ones are binary, and whoever sends hits could spell a whole record in their amounts: there it is ffHW2 and eight random bytes of the
file, which nobody outside knows. They stand in its name, too: `<ms of creation>-<publisher>-<mark>.spool`, where no damage can be.

Promises: `append` returns after fsync. A record that was cut off was never promised, and is left out; whatever else
cannot be read is reported, and its file is set aside. Reading, shipping and removing may be done by many at once and
be killed anywhere: a message keeps its name, so that shipping it twice is harmless.
"""

import contextlib
import errno
import fcntl
import os
import re
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import NamedTuple

MAGIC, MARKED = b"\xffHW1", b"\xffHW2"
MARK_BYTES = 8
SIZES = Struct(">III")  # of a head, after its start
_NAME = re.compile(r"[0-9]+-[0-9a-f]{16}-([0-9a-f]{16})\..*")
MOST_HEAD = len(MARKED) + MARK_BYTES + SIZES.size
CHUNK_BYTES = 1 << 20
STALE_NEW_S = 3600
MEGABYTE = 1_000_000


class SpoolFull(Exception):
    """No room for more; nothing was written. The message says which bound was met."""


class Records(NamedTuple):
    """What was read: whole messages, stretches that cannot be read, bytes of a cut-off record, where reading ended."""

    messages: list[bytes]
    damaged: list[tuple[int, int]]
    torn: int
    end: int


def head_size(start: bytes) -> int:
    return len(start) + SIZES.size


def record_of(message: bytes, start: bytes = MAGIC) -> bytes:
    head = start + SIZES.pack(len(message), zlib.crc32(message), 0)[:8]
    return head + zlib.crc32(head).to_bytes(4, "big") + message


def _record_at(data: bytes, at: int, start: bytes) -> tuple[bool, int]:
    """Is there a whole record, and where does it (by its head) end; -1 when there is no sound head."""
    body = at + head_size(start)
    if len(data) < body or not data.startswith(start, at):
        return False, -1
    length, crc, head_crc = SIZES.unpack_from(data, at + len(start))
    if zlib.crc32(data[at : body - 4]) != head_crc:
        return False, -1
    end = body + length
    return end <= len(data) and zlib.crc32(data[body:end]) == crc, end


def read_records(data: bytes, start: bytes = MAGIC) -> Records:
    """The records of a file, or of its rest. Offsets are counted from the begin of `data`."""
    messages: list[bytes] = []
    damaged: list[tuple[int, int]] = []
    at = torn = 0
    written = len(data.rstrip(b"\0"))
    while at < written:
        whole, end = _record_at(data, at, start)
        if whole:
            messages.append(data[at + head_size(start) : end])
            at = end
            continue
        following = data.find(start, max(at + 1, end))  # where the head is sound, behind its message and never in it
        while following >= 0 and not _record_at(data, following, start)[0]:
            following = data.find(start, following + 1)
        if following >= 0:
            damaged.append((at, following))
            at = following
        elif end > written or written - at < head_size(start):
            torn = written - at
            break
        else:
            damaged.append((at, written))
            at = written
    return Records(messages, damaged, torn, at)


def start_of(name: str) -> bytes:
    """The start of each record of a file of this name."""
    found = _NAME.fullmatch(name)
    return MARKED + bytes.fromhex(found[1]) if found else MAGIC


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class SpoolWriter:
    """The one open file of a process. Not for more than one thread at a time.

    limit_mb: of the whole folder, all processes; it may be passed by CHUNK_BYTES a process.  marked: for binary messages.
    """

    def __init__(self, folder: "SpoolFolder", publisher: str, file_mb: float, limit_mb: float, marked: bool = False):
        self._folder, self._publisher, self._marked = folder, publisher, marked
        self._start = MAGIC
        self._file_bytes, self._limit_bytes = int(file_mb * MEGABYTE), int(limit_mb * MEGABYTE)
        self._fd = -1
        self._path = folder.path
        self._end = self._reserved = 0

    @property
    def path(self) -> Path | None:
        return self._path if self._fd >= 0 else None

    @property
    def empty(self) -> bool:
        return self._end == 0

    def reserve(self, sizes: Iterable[int]) -> None:
        """Makes sure that messages of these sizes can be appended; raises SpoolFull, and nothing has happened."""
        wanted = sum(size + MOST_HEAD for size in sizes)
        if self._fd >= 0 and self._end and self._end + wanted > self._file_bytes:
            self.seal()
        if self._end + wanted <= self._reserved:
            return
        grow = max(self._end + wanted - self._reserved, min(CHUNK_BYTES, self._file_bytes))
        if self._folder.size() + grow > self._limit_bytes:
            raise SpoolFull(f"{self._folder.path}: the spool is full, the limit is {self._limit_bytes} bytes")
        try:
            if self._fd < 0:
                self._open()
            os.posix_fallocate(self._fd, self._reserved, grow)
        except OSError as error:
            raise SpoolFull(f"{self._folder.path}: {error.strerror}") from None
        self._reserved += grow

    def append(self, messages: list[bytes]) -> None:
        """All of them, fsynced once; room was reserved. Raises OSError when the disk fails: none is promised then."""
        data = memoryview(b"".join(record_of(message, self._start) for message in messages))
        at = self._end
        try:
            while data:
                written = os.pwrite(self._fd, data, at)
                data, at = data[written:], at + written
            os.fdatasync(self._fd)
        except OSError:
            # What a failed fsync left is unknown, and a second fsync may say yes: this file is not written again.
            self._leave()
            raise
        self._end = at

    def seal(self) -> None:
        """Hands the file over to hailwail; the next append opens another."""
        if self._fd < 0:
            return
        try:
            os.ftruncate(self._fd, self._end)
            if not self._end:
                os.unlink(self._path)
            os.fsync(self._fd)
        finally:
            self._leave()

    def forget(self) -> None:
        """Lets go of the file as it is: in the child after a fork, when it is the parent's, or when its thread died."""
        self._leave()

    def _leave(self) -> None:
        os.close(self._fd) if self._fd >= 0 else None
        self._fd, self._end, self._reserved = -1, 0, 0

    def _open(self) -> None:
        self._folder.path.mkdir(parents=True, exist_ok=True)
        mark = os.urandom(MARK_BYTES) if self._marked else b""
        path = (
            self._folder.path / f"{time.time_ns() // 1000:016d}-{self._publisher}{'-' * bool(mark)}{mark.hex()}.spool"
        )
        self._start = start_of(path.name)
        new = path.with_suffix(".new")  # locked before it has a name that hailwail looks for
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(new, path)
            sync_folder(self._folder.path)
        except OSError:
            os.close(fd)
            raise
        self._fd, self._path, self._end, self._reserved = fd, path, 0, 0


@dataclass
class SpoolFile:
    """A spool file that is being read. Ours when its owner sealed it or died; else only to be followed."""

    path: Path
    fd: int
    ours: bool = False
    read_to: int = 0

    def claim(self) -> bool:
        """Takes it over, unless its owner lives or another reader has it."""
        if not self.ours:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.ours = True
            except BlockingIOError:
                pass
        return self.ours

    @property
    def start(self) -> bytes:
        return start_of(self.path.name)

    @property
    def removed(self) -> bool:
        return os.fstat(self.fd).st_nlink == 0

    def rest(self) -> Records:
        """What follows `read_to`, which the caller moves. Of a file that is still written only what is whole so far."""
        if not self.ours and os.pread(self.fd, 4, self.read_to) in (b"", b"\0\0\0\0"):
            return Records([], [], 0, self.read_to)
        records = read_records(self._bytes(), self.start)
        damaged = [(start + self.read_to, end + self.read_to) for start, end in records.damaged]
        if not self.ours and damaged:  # the owner may be in the midst of writing it
            records = read_records(self._bytes()[: records.damaged[0][0]], self.start)
            damaged = []
        return Records(records.messages, damaged, records.torn if self.ours else 0, self.read_to + records.end)

    def first(self) -> bytes | None:
        """Its first message, if there is one: without reading the rest, where that is whole."""
        end = _record_at(os.pread(self.fd, MOST_HEAD, 0), 0, self.start)[1]
        data = os.pread(self.fd, max(end, 0), 0)
        if _record_at(data, 0, self.start)[0]:
            return data[head_size(self.start) :]
        return next(iter(self.rest().messages), None)

    def _bytes(self) -> bytes:
        parts, at = [], self.read_to
        while part := os.pread(self.fd, 1 << 24, at):
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def remove(self) -> None:
        """After all of it was shipped."""
        self.path.unlink(missing_ok=True)
        self.close()

    def set_aside(self) -> Path:
        """Keeps a file that has damage, under a name that no reader looks for."""
        aside = self.path.with_suffix(".damaged")
        with contextlib.suppress(FileNotFoundError):  # another reader was first
            os.rename(self.path, aside)
        self.close()
        return aside

    def close(self) -> None:
        os.close(self.fd)


class SpoolFolder:
    """All spool files of a machine."""

    def __init__(self, data_dir: str | Path):
        self.path = Path(data_dir) / "spool"

    def names(self) -> list[str]:
        """Spool files, oldest first; also clears away files that were given up before they had a name."""
        try:
            names = sorted(os.listdir(self.path))
        except FileNotFoundError:
            return []
        for name in names:
            if name.endswith(".new"):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - os.stat(self.path / name).st_mtime > STALE_NEW_S:
                        os.unlink(self.path / name)
        return [name for name in names if name.endswith(".spool")]

    def size(self) -> int:
        """Bytes of all files, reserved ones and damaged ones included."""
        total = 0
        try:
            for entry in os.scandir(self.path):
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat().st_size
        except FileNotFoundError:
            pass
        return total

    def open(self, name: str) -> SpoolFile | None:
        """None when another reader removed it meanwhile."""
        path = self.path / name
        try:
            return SpoolFile(path, os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
