"""The Celery worker: takes messages from RabbitMQ and applies them, many at once.

Promise: a message is acknowledged only after all of its hits are in the store. A worker that dies leaves its messages to the next,
and what it had applied is not applied again (see apply.py). While Redis is away, or has data that only a later version may change,
messages wait here, so that no delivery is spent; a worker that is told to end gives them back. What cannot be decoded is rejected,
and RabbitMQ sets it aside in the dead-letter queue. A message of a later version waits here, too, HOLD_S at a time, and goes back
to the queue for a worker that can read it; each time spends one of its deliveries.

Celery hands a task one message. Each thread of its pool decodes one and gives it to the one applier thread, which merges all that
wait; so `WORKER_THREADS` is how many messages one apply may hold.

Run: celery -A whale.count.worker worker --pool threads (or `hailwhale worker`).
"""

import contextlib
import functools
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import kombu.serialization
from celery import Celery
from celery.exceptions import Reject
from celery.platforms import SecurityWarning
from celery.signals import celeryd_init, worker_ready, worker_shutting_down
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer

from hail import broker
from hail.columns import NewerMessage, messages_of
from hail.message import CONTENT_TYPE, BadMessage
from hail.room import few_arenas, few_collections
from hail.settings import Settings, SettingsError, load
from whale.count.apply import Applier, MergingApplier
from whale.count.standing import Standing
from whale.errors import SetupError, Unavailable
from whale.held import keep_written
from whale.starts import store_says
from whale.store import connect

log = logging.getLogger(__name__)
SERIALIZER = "hailwhale"
PATIENCE_S = 1200.0  # less than RabbitMQ's consumer_timeout, half an hour
DECODED_BYTES = 8_000_000  # of messages at once: decoded they take several times that
HOLD_S = 1200.0  # as PATIENCE_S
_starting = threading.Lock()
_ending = threading.Event()


class Gate:
    """Lets in so many bytes at once; one that is larger goes alone. For many threads."""

    def __init__(self, most: int):
        self._most, self._inside = most, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def room_for(self, size: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._inside or self._inside + size <= self._most)
            self._inside += size
        try:
            yield
        finally:
            with self._changed:
                self._inside -= size
                self._changed.notify_all()


def _as_celery_body(raw: bytes) -> tuple[tuple[bytes], dict[str, object], dict[str, object]]:
    """A message's bytes, dressed as the body of a Celery task: (args, kwargs, embed)."""
    return (bytes(raw),), {}, {}


class Consumer(CeleryConsumer):
    """Sets aside what Hail never sends. Celery would acknowledge some of that, so that it is gone, and die of an empty body."""

    class Blueprint(CeleryConsumer.Blueprint):
        # nothing here is sent with a delay: without this step Celery makes no queues for that, and warns of none
        default_steps = tuple(step for step in CeleryConsumer.Blueprint.default_steps if "DelayedDelivery" not in step)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **kwargs)

        def on_message(message: Any) -> None:
            if (
                message.content_type == CONTENT_TYPE
                and message.body
                and (message.headers or {}).get("task") == broker.TASK
            ):
                handle(message)
            else:
                log.error(
                    "moved to the dead-letter queue: a message of %d bytes that is not from Hail",
                    len(message.body or b""),
                )
                message.reject_log_error(log, self.connection_errors)

        return on_message


class OneLine(logging.Filter):
    """Of a message that is given back or set aside Celery would log where in this file that was done."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], Reject):
            record.exc_info = None
        return True


logging.getLogger("celery.app.trace").addFilter(OneLine())
kombu.serialization.register(SERIALIZER, bytes, _as_celery_body, CONTENT_TYPE, "binary")


def make_celery(settings: Settings) -> Celery:
    """The Celery app with its one task, on settings.broker_url."""
    celery = Celery("hailwhale", broker=settings.broker_url, set_as_current=False)
    celery.conf.update(
        accept_content=[SERIALIZER],
        task_queues=[broker.queue(settings)],
        task_default_queue=settings.queue,
        task_create_missing_queues=False,
        task_ignore_result=True,
        worker_consumer="whale.count.worker:Consumer",
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=30,
    )

    # Celery keeps names of finished messages until they are acknowledged, and 1,000 of them longer: each holds memory that lies around it
    state.successful_requests.maxlen = 2 * settings.worker_threads
    decoded = Gate(DECODED_BYTES)

    @functools.cache
    def merging() -> MergingApplier:
        keep_written(settings.data_dir, "worker")
        deadline, pause = time.monotonic() + PATIENCE_S, 0.1
        while True:
            try:
                store = connect(settings)
                applier = Applier(store, settings, Standing(store))
                return MergingApplier(applier, settings, patience_s=PATIENCE_S, ending=_ending)
            except (Unavailable, SetupError) as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("waiting: %s", error)
                if _ending.wait(pause):
                    raise
                pause = min(pause * 2, 2.0)

    @celery.task(
        name=broker.TASK, acks_late=True, reject_on_worker_lost=True, acks_on_failure_or_timeout=False, typing=False
    )
    def apply_message(body: bytes) -> None:
        try:
            with decoded.room_for(len(body)):
                count(body)
        except NewerMessage as newer:
            log.error("given back to the queue after %d minutes: %s", HOLD_S // 60, newer)
            _ending.wait(HOLD_S)
            raise Reject(str(newer), requeue=True) from None

    def count(body: bytes) -> None:
        try:
            parts = messages_of(body)
        except NewerMessage:
            raise
        except BadMessage as error:
            log.error("moved to the dead-letter queue: %s", error)
            raise Reject(str(error), requeue=False) from None
        try:
            with _starting:
                applier = merging()
            applier.apply(parts)
        except (Unavailable, SetupError) as error:
            raise Reject(str(error), requeue=True) from None

    return celery


@celeryd_init.connect
def _before_it_starts(**_: Any) -> None:
    warnings.filterwarnings("ignore", category=SecurityWarning)  # of root and pickle: nothing here reads pickle
    few_arenas()
    few_collections()
    with _or_exit():
        settings = load(os.environ)
        for said in (broker.check_broker(settings), store_says(settings)):
            if said:
                print(f"worker: waiting: {said}", file=sys.stderr, flush=True)


@worker_shutting_down.connect
def _it_ends(**_: Any) -> None:
    _ending.set()


@worker_ready.connect
def _it_stands(**_: Any) -> None:
    print(f"worker: counts the hits in RabbitMQ's queue {load(os.environ).queue}", flush=True)


@contextlib.contextmanager
def _or_exit() -> Iterator[None]:
    """What cannot start says so in one sentence, also where Celery's own command runs it."""
    try:
        yield
    except (SettingsError, SetupError) as error:
        print(f"worker: {error}", file=sys.stderr)
        sys.exit(2)


def __getattr__(name: str) -> Any:
    """`celery --app whale.count.worker`: made when it is first asked for."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _or_exit():
        settings = load(os.environ)
        if not settings.broker_url:
            raise SettingsError(
                "a worker reads from RabbitMQ: set HAILWHALE_BROKER_URL, or use `hailwail --follow --apply`"
            )
        globals()["app"] = made = make_celery(settings)
    return made
