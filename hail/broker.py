"""RabbitMQ: the names there, one confirmed connection, and a sentence for each way in which it refuses or is away.

In RabbitMQ (3.10 or later): a direct exchange and a quorum queue named by HAILWHALE_QUEUE, with a delivery limit and a
length at which it refuses. What it sets aside goes at least once to a quorum queue `<name>.dead`; that needs
`reject-publish` on the first queue and the feature flag `stream_queue` (on in a fresh node).
Source: RabbitMQ documentation, Quorum Queues, "At-Least-Once Dead Lettering".

Promise: `Broker.send` returns after a quorum queue has confirmed each message; whatever else happens, it raises.
"""

import contextlib
import os
import re
import socket
import time
from urllib.parse import urlsplit

import amqp
import kombu

from hail.message import CONTENT_TYPE
from hail.settings import PREFIX, Settings, SettingsError

TASK = "hailwhale.apply"
CONNECT_S = 2.0
HEARTBEAT_S = 30
DECLARED = re.compile(r"arg '(?P<argument>[^']+)'.* received '(?P<received>[^']+)' but current is '(?P<current>[^']+)'")
"""RabbitMQ's words on a queue that was made with another argument."""


def exchange(settings: Settings) -> kombu.Exchange:
    return kombu.Exchange(settings.queue, type="direct", durable=True)


def queue(settings: Settings) -> kombu.Queue:
    """Where messages wait for a worker."""
    return kombu.Queue(
        settings.queue,
        exchange(settings),
        routing_key=settings.queue,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": settings.delivery_limit,
            "x-max-length": settings.queue_max_messages,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": settings.queue,
            "x-dead-letter-routing-key": dead_name(settings),
            "x-dead-letter-strategy": "at-least-once",
        },
    )


def dead_queue(settings: Settings) -> kombu.Queue:
    """Where messages go that could not be applied. To look at them counts as a delivery, which RabbitMQ 4 limits to 20."""
    name = dead_name(settings)
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}
    return kombu.Queue(name, exchange(settings), routing_key=name, durable=True, queue_arguments=arguments)


def dead_name(settings: Settings) -> str:
    return f"{settings.queue}.dead"


class BrokerFailed(Exception):
    """A message was not confirmed; the message says why."""


def setup_fault(error: BaseException, settings: Settings) -> str:
    """The sentence for what RabbitMQ refuses until somebody mends the set-up; empty for what passes by itself."""
    said = str(getattr(error, "reply_text", "")).partition(" - ")[2]
    match error:
        case amqp.PreconditionFailed():
            argument = DECLARED.search(said)
            name = {"x-max-length": "QUEUE_MAX_MESSAGES", "x-delivery-limit": "DELIVERY_LIMIT"}.get(
                argument["argument"] if argument else ""
            )
            if argument and name:
                return (
                    f"RabbitMQ's queue {settings.queue} was created with {PREFIX}{name}={argument['current']}, but this process has "
                    f"{argument['received']}: restore the value, or let the workers empty the queue and delete it"
                )
            return f"RabbitMQ's queue was created with other arguments ({said}): empty and delete it, or choose another {PREFIX}QUEUE"
        case amqp.AccessRefused() if said.startswith("Login"):
            return f"RabbitMQ refuses the user or the password in {PREFIX}BROKER_URL: correct them"
        case amqp.AccessRefused():
            right = f"'^{settings.queue}'"
            return f"RabbitMQ: {said}: run `rabbitmqctl set_permissions -p VHOST USER {right} {right} {right}`"
        case amqp.NotAllowed():
            return (
                f"RabbitMQ: {said}: run `rabbitmqctl add_vhost` and `rabbitmqctl set_permissions`, "
                f"or correct the end of {PREFIX}BROKER_URL (the vhost / is written //)"
            )
    return ""


def away(error: BaseException, settings: Settings) -> str:
    """A sentence about a RabbitMQ that cannot be reached. It shows no password."""
    if isinstance(error, socket.gaierror):
        return (
            f"{PREFIX}BROKER_URL: cannot resolve the host {urlsplit(settings.broker_url).hostname} ({error.strerror})"
        )
    return f"RabbitMQ: {error or type(error).__name__} ({PREFIX}BROKER_URL)"


def check_broker(settings: Settings) -> str:
    """Why RabbitMQ cannot be reached now, "" where it can. Raises SettingsError where it refuses the set-up."""
    try:
        Broker(settings).close()
    except Exception as error:  # py-amqp raises nearly anything
        if refused := setup_fault(error, settings):
            raise SettingsError(refused) from None
        return away(error, settings)
    return ""


class Broker:
    """One connection to RabbitMQ in confirm mode, for one thread at a time; once it failed it is cut for good."""

    def __init__(self, settings: Settings):
        self._name = settings.queue
        self._sent = 0
        self._confirmed: set[int] = set()
        self._acked_to = 0
        self._refused = ""
        link = kombu.Connection(
            settings.broker_url,
            connect_timeout=CONNECT_S,
            heartbeat=HEARTBEAT_S,
            transport_options={"on_blocked": self._on_blocked},
        )
        self._amqp = link.transport.establish_connection()
        self._wire = self._amqp.transport
        try:
            # py-amqp waits for ever for the answer to a declare unless the socket itself has a time-out.
            self._wire.sock.settimeout(CONNECT_S)
            self._channel = self._amqp.channel()
            for each in (dead_queue(settings), queue(settings)):
                each.bind(self._channel).declare()
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)
        except Exception:  # whatever it was: nothing half open stays
            self.cut()
            raise

    # py-amqp's own wait ignores delivery tags, so that a late confirm answers for the wrong message: we keep book.
    def _on_ack(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._acked_to = max(self._acked_to, tag)
        else:
            self._confirmed.add(tag)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused = "refused"

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: object) -> None:
        self._refused = "unroutable"

    def _on_blocked(self, reason: str) -> None:
        self._refused = "blocked"

    def send(self, messages: list[tuple[str, bytes]], seconds: float) -> None:
        """Publishes (id, body) pairs and awaits all confirms within the time, or raises BrokerFailed."""
        if self._refused:
            raise BrokerFailed(self._refused)
        deadline = time.monotonic() + seconds
        first = self._sent + 1
        for id_, body in messages:
            self._sent += 1
            message = self._channel.prepare_message(
                body,
                content_type=CONTENT_TYPE,
                content_encoding="binary",
                headers={"task": TASK, "id": id_, "lang": "py"},
                properties={"delivery_mode": 2, "correlation_id": id_},
            )
            self._channel.basic_publish(
                message, self._name, self._name, mandatory=True, timeout=max(deadline - time.monotonic(), 0.001)
            )
        waiting = set(range(first, self._sent + 1))
        while True:
            waiting -= self._confirmed
            waiting = {tag for tag in waiting if tag > self._acked_to}
            if self._refused:
                raise BrokerFailed(self._refused)
            if not waiting:
                self._confirmed.clear()
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise BrokerFailed("timeout")
            self._amqp.blocking_read(left)

    def tend(self) -> None:
        """Once a second: sees a broker that has gone or blocks us before a hit does; raises when so."""
        self._amqp.heartbeat_tick()
        with contextlib.suppress(TimeoutError):
            self._amqp.drain_events(timeout=0)
        if self._refused:
            raise BrokerFailed(self._refused)

    def close(self) -> None:
        """In peace, after the last confirm."""
        if self._wire.sock is not None:
            self._wire.sock.settimeout(0.5)
            self._amqp.close()

    def cut(self) -> None:
        """At once, without a word to the broker."""
        if self._wire.sock is not None:
            self._wire.sock.close()

    def forget(self) -> None:
        """After a fork, in the child: the connection is the parent's."""
        if self._wire.sock is not None:
            os.close(self._wire.sock.detach())
