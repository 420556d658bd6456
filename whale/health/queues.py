"""A look at the queues in RabbitMQ: how long they are, and the dead messages, which may be replayed.

Promise: looking puts every message back. A replay publishes a message under its own name, awaits the confirm, and only
then takes it from the dead-letter queue: killed between the two it is in both, and still counts once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import amqp
import kombu

from hail.broker import Broker, away, dead_name, dead_queue, queue, setup_fault
from hail.columns import read_envelope
from hail.message import BadMessage, Envelope
from hail.settings import Settings
from whale.errors import SetupError, Unavailable

CONNECT_S = 3.0
SEND_S = 10.0
MOST_DEAD = 10_000


@dataclass(frozen=True)
class Letter:
    """A dead message. name: "publisher-seq", or what its header says where it cannot be read.  at: when it died."""

    tag: int
    body: bytes
    name: str
    envelope: Envelope | None
    reason: str
    at: float | None


class Queues:
    """One connection; raises Unavailable for whatever RabbitMQ does not do, SetupError where it refuses us."""

    def __init__(self, settings: Settings):
        self._settings = settings
        link = kombu.Connection(settings.broker_url, connect_timeout=CONNECT_S)
        try:
            self._amqp = link.transport.establish_connection()
            # py-amqp waits for ever for an answer unless the socket itself has a time-out.
            self._amqp.transport.sock.settimeout(CONNECT_S)
        except Exception as error:  # py-amqp raises nearly anything
            if refused := setup_fault(error, settings):
                raise SetupError(refused) from None
            raise Unavailable(away(error, settings)) from None

    def __enter__(self) -> "Queues":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._amqp.close()
        except Exception as failed:  # as above
            if kind is None:
                raise Unavailable(f"RabbitMQ: {failed or type(failed).__name__}") from None
        if isinstance(error, OSError | amqp.AMQPError):
            raise Unavailable(f"RabbitMQ: {error or type(error).__name__}") from None

    @property
    def version(self) -> str:
        return str(self._amqp.server_properties.get("version", ""))

    def state(self, name: str) -> tuple[int, int] | None:
        """(messages that wait, consumers) of a queue; None where there is none."""
        channel = self._amqp.channel()
        try:
            found = channel.queue_declare(name, passive=True)
            return int(found.message_count), int(found.consumer_count)
        except amqp.NotFound:
            return None
        finally:
            if channel.is_open:
                channel.close()

    def length(self) -> int:
        return (self.state(self._settings.queue) or (0, 0))[0]

    def dead_length(self) -> int:
        return (self.state(dead_name(self._settings)) or (0, 0))[0]

    def difference(self, name: str) -> str:
        """Says how a queue was declared in another way than now; empty where it is the same."""
        declared = queue(self._settings) if name == self._settings.queue else dead_queue(self._settings)
        channel = self._amqp.channel()
        try:
            declared.bind(channel).declare()
        except amqp.PreconditionFailed as error:
            return setup_fault(error, self._settings)
        finally:
            if channel.is_open:
                channel.close()
        return ""

    def dead(self) -> list[Letter]:
        """The dead messages, the oldest first, MOST_DEAD at most; they stay where they are."""
        channel = self._amqp.channel()
        try:
            return list(self._letters(channel))
        finally:
            if channel.is_open:
                channel.close()  # puts them back

    def replay(self, wanted: Callable[[Letter], bool]) -> int:
        """Hands the wanted dead messages on to the queue again, under their names; how many."""
        channel = self._amqp.channel()
        broker = None
        replayed = 0
        try:
            broker = Broker(self._settings)
            for letter in self._letters(channel):
                if wanted(letter) and letter.envelope is not None:
                    broker.send([(letter.name, letter.body)], SEND_S)
                    channel.basic_ack(letter.tag)
                    replayed += 1
        except Exception as error:  # py-amqp raises nearly anything; what was not confirmed stays
            raise Unavailable(f"RabbitMQ, after {replayed} messages: {error or type(error).__name__}") from None
        finally:
            if broker:
                broker.cut()
            if channel.is_open:
                channel.close()
        return replayed

    def _letters(self, channel: Any) -> Iterator[Letter]:
        if self.state(dead_name(self._settings)) is None:
            return
        for _ in range(MOST_DEAD):
            got = channel.basic_get(dead_name(self._settings))
            if got is None:
                return
            yield _letter(got)


def _letter(got: Any) -> Letter:
    body = got.body if isinstance(got.body, bytes) else got.body.encode()
    headers = got.headers or {}
    envelope: Envelope | None
    deaths = headers.get("x-death") or [{}]
    died = deaths[0].get("time")
    try:
        envelope = read_envelope(body)
    except BadMessage:
        envelope = None
    name = f"{envelope.publisher}-{envelope.seq}" if envelope else str(headers.get("id", "?"))
    at = died.replace(tzinfo=died.tzinfo or UTC).timestamp() if isinstance(died, datetime) else None
    return Letter(int(got.delivery_tag), body, name, envelope, str(deaths[0].get("reason", "unknown")), at)
