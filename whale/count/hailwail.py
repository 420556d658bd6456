"""hailwail: hands on what Hail spooled, to RabbitMQ or, with --apply, straight to the store.

    hailwail                     once, for cron: ships the files that Hail is done with
    hailwail --follow            stays, and ships them as they come
    hailwail --follow --apply    embedded: the spool is the queue; live files are read as they grow
    hailwail --force             files older than HAILWHALE_SPOOL_MAX_AGE_S too

Promise: a file is removed after all of it was confirmed, or applied. Names of messages are kept, so a second hailwail
at the same time, or one that was killed anywhere, counts nothing twice. A file with damage is kept aside and reported.
Exit codes: 0 all was handed on, 1 something is left or was damaged, 2 it could not start.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import click

from hail.broker import Broker, away
from hail.columns import NewerMessage, check_version, messages_of, read_envelope
from hail.hit import Reason
from hail.message import BadMessage, Envelope, Message
from hail.room import few_arenas, few_collections
from hail.settings import Settings, SettingsError, load
from hail.spool import SpoolFile, SpoolFolder
from whale.count.apply import Applier, hits_of
from whale.count.standing import Standing
from whale.errors import SetupError, Unavailable
from whale.held import keep_written
from whale.store import connect
from whale.store.local import owner_of

POLL_LIVE_S = 0.02
POLL_SEALED_S = 1.0
GROUP_BYTES = 8_000_000
DECODED_BYTES = 2_000_000  # of messages that are decoded at once, which makes them up to ten times as large; and as many are on their way
SEND_S = 10.0
SEND_BYTES = 2_000_000
BACKOFF_S = (0.1, 5.0)


class Sink(Protocol):
    """Where messages go. Both may be called again with messages that have been there."""

    verb: str

    def put(self, bodies: list[bytes]) -> tuple[int, int]:
        """Makes them durable there; how many hits, and how many bodies no program can read. Raises Unavailable."""

    def check(self, body: bytes) -> None:
        """Raises NewerMessage for a message that it cannot put."""

    def sweep(self) -> None:
        """Does a little of what is to be done between."""

    def close(self) -> None: ...


def envelope_in(body: bytes) -> Envelope | None:
    try:
        return read_envelope(body)
    except BadMessage:
        return None


class Ship:
    """To RabbitMQ, with confirms."""

    verb = "shipped"

    def check(self, body: bytes) -> None:
        pass

    def __init__(self, settings: Settings):
        self._settings = settings
        self._broker: Broker | None = None

    def put(self, bodies: list[bytes]) -> tuple[int, int]:
        hits = bad = 0
        waiting: list[tuple[str, bytes]] = []
        size = 0
        for body in bodies:
            head = envelope_in(body)
            if head is None:
                bad += 1
                continue
            hits += head.hits
            if waiting and size + len(body) > SEND_BYTES:
                self._send(waiting)
                waiting, size = [], 0
            waiting.append((f"{head.publisher}-{head.seq}", body))
            size += len(body)
        if waiting:
            self._send(waiting)
        return hits, bad

    def _send(self, messages: list[tuple[str, bytes]]) -> None:
        try:
            self._broker = self._broker or Broker(self._settings)
            self._broker.send(messages, SEND_S)
        except Exception as error:  # py-amqp raises nearly anything; whatever it is, nothing is confirmed
            if self._broker:
                self._broker.cut()
            self._broker = None
            raise Unavailable(away(error, self._settings)) from None

    def sweep(self) -> None:
        pass

    def close(self) -> None:
        if self._broker:
            self._broker.cut()


class Apply:
    """To the store, many messages in one apply."""

    verb = "applied"

    def check(self, body: bytes) -> None:
        check_version(body)

    def __init__(self, settings: Settings, clock: Callable[[], float]):
        self._settings, self._clock = settings, clock
        self._applier: Applier | None = None
        self._hits = self._bad = 0  # of the present bodies

    def put(self, bodies: list[bytes]) -> tuple[int, int]:
        self._hits = self._bad = 0
        self._connected().apply_each(self._groups(bodies), self._clock())
        return self._hits, self._bad

    def _groups(self, bodies: list[bytes]) -> Iterator[list[Message]]:
        """Decoded, as many at once as one apply takes."""
        messages: list[Message] = []
        waiting = size = 0
        for body in bodies:
            try:
                parts = messages_of(body)
            except BadMessage as error:
                say(f"{Reason.UNDECODABLE}: {error}")
                self._bad += 1
                continue
            hits = hits_of(parts)
            if messages and (waiting + hits > self._settings.apply_max_hits or size >= DECODED_BYTES):
                yield messages
                self._hits += waiting
                waiting, size, messages = 0, 0, []
            messages += self._connected().judged(parts)
            waiting, size = waiting + hits, size + len(body)
        yield messages
        self._hits += waiting

    def sweep(self) -> None:
        self._connected().sweep(self._clock())

    def _connected(self) -> Applier:
        if self._applier is None:
            store = connect(self._settings)
            self._applier = Applier(store, self._settings, Standing(store))
        return self._applier

    def close(self) -> None:
        pass


class Hailwail:
    """The spool folder, read towards one sink.

    live: also reads files that are still written.  force: also files that are too old.
    """

    def __init__(self, settings: Settings, sink: Sink, clock: Callable[[], float], live: bool, force: bool):
        self._folder = SpoolFolder(settings.data_dir)
        self._sink, self._clock, self._live = sink, clock, live
        self._max_age_s = float("inf") if force else settings.spool_max_age_s
        self._open: dict[str, SpoolFile] = {}
        self._old: dict[str, float] = {}  # of files that are too old, when their first message was accepted
        self._newer: set[str] = set()  # files with messages that only a later version reads
        self._flawed: set[str] = set()
        self.files = self.messages = self.hits = self.damaged_bytes = self.torn_bytes = 0
        self.set_aside: list[str] = []

    @property
    def left(self) -> int:
        """Files that stay in the spool."""
        return len(self._old) + len(self._newer)

    def once(self) -> bool:
        """Hands on all there is now; was there any? Raises Unavailable, and what is left is tried again by the next."""
        names = self._folder.names()
        for gone in self._open.keys() - set(names):
            self._open.pop(gone).close()
        for name in self._old.keys() - set(names):
            del self._old[name]
        self._newer &= set(names)
        any_, size = False, 0
        group: list[tuple[str, SpoolFile, int]] = []
        bodies: list[bytes] = []
        for name in names:
            file = None if name in self._newer or self._is_still_old(name) else self._file(name)
            if file is None or not (file.claim() or self._live):
                continue
            if file.removed:
                self._open.pop(name).close()
                continue
            records = file.rest()
            if records.messages and file.read_to == 0 and self._is_old(name, records.messages[0]):
                continue
            if self._is_newer(name, records.messages):
                continue
            if records.damaged or records.torn:
                self._report(name, records.damaged, records.torn)
            bodies += records.messages
            size += sum(map(len, records.messages))
            group.append((name, file, records.end))
            any_ = any_ or bool(records.messages)
            if size > GROUP_BYTES:
                self._put(bodies, group)
                group, bodies, size = [], [], 0
        self._put(bodies, group)
        return any_

    def sweep(self) -> None:
        """Frees a little of what resets left, where the sink is the store."""
        self._sink.sweep()

    def _file(self, name: str) -> SpoolFile | None:
        if name not in self._open and (file := self._folder.open(name)):
            self._open[name] = file
        return self._open.get(name)

    def _is_old(self, name: str, first: bytes) -> bool:
        head = envelope_in(first)
        if head is None or self._clock() - head.at / 1000 <= self._max_age_s:
            return False
        say(f"{name} is older than {self._max_age_s:g} s and stays in the spool; --force hands it on")
        self._old[name] = head.at / 1000
        self._open.pop(name).close()
        return True

    def _is_newer(self, name: str, messages: list[bytes]) -> bool:
        """Whether the sink must leave a file to a later version: it stays as it is, whatever else is in it."""
        for body in messages:
            try:
                self._sink.check(body)
            except NewerMessage as newer:
                say(f"{name} stays in the spool: {newer}")
                self._newer.add(name)
                self._open.pop(name).close()
                return True
        return False

    def _is_still_old(self, name: str) -> bool:
        """A clock that was ahead for a moment judged wrongly, so it is asked again each time."""
        if name not in self._old:
            return False
        if self._clock() - self._old[name] > self._max_age_s:
            return True
        say(f"{name} is no longer too old and is handed on")
        del self._old[name]
        return False

    def _report(self, name: str, damaged: list[tuple[int, int]], torn: int) -> None:
        for start, end in damaged:
            say(f"{name}: bytes {start} to {end} cannot be read: the file was renamed")
            self.damaged_bytes += end - start
            self._flawed.add(name)
        if torn:
            say(f"{name}: its last {torn} bytes are incomplete and were never accepted")
            self.torn_bytes += torn

    def _put(self, bodies: list[bytes], group: list[tuple[str, SpoolFile, int]]) -> None:
        if bodies:
            hits, bad = self._sink.put(bodies)
            self.messages += len(bodies) - bad
            self.hits += hits
            if bad:
                self._flawed.update(name for name, _, _ in group)
        for name, file, end in group:
            file.read_to = end
            if not file.ours:
                continue
            if name in self._flawed:
                self.set_aside.append(str(file.set_aside()))
            else:
                file.remove()
            self.files += 1
            del self._open[name]

    def summary(self) -> str:
        text = f"{self.messages} messages with {self.hits} hits {self._sink.verb}, {self.files} files done"
        if self._old:
            text += f", {len(self._old)} files too old (--force)"
        if self._newer:
            text += f", {len(self._newer)} files for a later version"
        if self.set_aside:
            text += f", {self.damaged_bytes} bytes damaged: see {', '.join(self.set_aside)}"
        return text


def say(text: str) -> None:
    click.echo(f"hailwail: {text}", err=True)


def follow(hailwail: Hailwail, poll_s: float, stopped: Callable[[], bool]) -> bool:
    """Until stopped; then one last pass. True when that pass left nothing."""
    backoff_s = 0.0
    while True:
        last = stopped()
        try:
            hailwail.once()
            hailwail.sweep()
            if backoff_s:
                say("back again")
            backoff_s = 0.0
        except Unavailable as error:
            if last:
                say(f"{error}: the rest stays in the spool")
                return False
            if not backoff_s:
                say(f"{error}: waiting; the hits are safe in the spool")
            backoff_s = min(max(2 * backoff_s, BACKOFF_S[0]), BACKOFF_S[1])
        if last:
            return True
        until = time.monotonic() + (backoff_s or poll_s)
        while not stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))


def check_readable(settings: Settings) -> None:
    """Raises SetupError where the spool belongs to another user."""
    folder = SpoolFolder(settings.data_dir)
    try:
        folder.names()
    except PermissionError:
        owner = owner_of(folder.path)
        raise SetupError(
            f"{folder.path} belongs to {owner}: run this as that user, such as `sudo -u {owner} …`"
        ) from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--apply", "apply_", is_flag=True, help="Count the hits in Redis instead of sending them to RabbitMQ.")
@click.option("--follow", "follow_", is_flag=True, help="Keep running, and hand on new hits as they come.")
@click.option("--force", is_flag=True, help="Also hand on files older than HAILWHALE_SPOOL_MAX_AGE_S.")
def main(apply_: bool, follow_: bool, force: bool) -> None:
    """Hand on the hits in Hail's spool."""
    few_arenas()
    few_collections()
    try:
        settings = load(os.environ)
        if not apply_ and not settings.broker_url:
            raise SettingsError("HAILWHALE_BROKER_URL is not set: set it to a RabbitMQ, or use --apply")
        check_readable(settings)
    except (SettingsError, SetupError) as error:
        say(str(error))
        sys.exit(2)
    if follow_:
        keep_written(settings.data_dir, "hailwail")
    sink: Sink = Apply(settings, time.time) if apply_ else Ship(settings)
    hailwail = Hailwail(settings, sink, time.time, live=apply_ and follow_, force=force)
    stop = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.append(True))
    try:
        if follow_:
            whole = follow(hailwail, POLL_LIVE_S if apply_ else POLL_SEALED_S, lambda: bool(stop))
        else:
            hailwail.once()
            whole = True
    except Unavailable as error:
        say(str(error))
        whole = False
    except SetupError as error:
        say(str(error))
        sys.exit(2)
    finally:
        sink.close()
    click.echo(f"hailwail: {hailwail.summary()}")
    sys.exit(0 if whole and not hailwail.set_aside and not hailwail.left else 1)


if __name__ == "__main__":
    main()
