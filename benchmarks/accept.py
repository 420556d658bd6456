"""How many single GET hits a second does one Hail process accept from 64 clients, each confirmed by a quorum queue.

    python -m benchmarks.accept                          gunicorn gevent, gunicorn gthread, granian; also without queue
    python -m benchmarks.accept --beside group_commit.py --runs 3
    python -m benchmarks.accept --servers gevent --kinds confirmed "by a key"

By a key: each hit shows the same one of 30,000 keys of 10,000 accounts, which Hail has from a copy on disk; as a ratio to none.

A baseline is a WSGI module with `app`, which answers GET /count after the broker at AMQP_URL has confirmed it, and with MODE=no
without asking. It runs on the same server right before Hail, and figures are given as ratios to it.
"""

import argparse
from collections import defaultdict
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, report
from benchmarks.services import Asked, Service, Setup, granian, gunicorn, wrk
from hail.broker import dead_name
from hail.directory import Account, Answer, Key, Site, State, record_of
from hail.informed import COPY, FOLDER
from hail.packing import Packed
from hail.publish import Publisher
from hail.settings import load
from hail.web import make_app
from tests.servers import RabbitMQ, free_port

SERVERS = ("gevent", "gthread", "granian")
SAME, DIFFERENT, WITHOUT, KEYED = KINDS = ("confirmed", "confirmed, no two alike", "without queue", "by a key")
RATIO, KEYED_RATIO = 0.85, 0.9
ACCOUNTS, KEYS, SITES = 10_000, 3, 2
INTERNAL, SECRET = "benchmarks" * 4, f"hw_w_{0:043}"


class NoQueue(Publisher):
    """A publisher that takes everything and keeps nothing: what the server itself costs."""

    def start(self) -> None: ...

    def close(self) -> None: ...

    def publish(self, account: str, hits: Packed) -> None: ...


def __getattr__(name: str) -> Any:
    if name == "without_queue":  # what the server imports
        return make_app(load({}), NoQueue(load({})))
    raise AttributeError(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", metavar="MODULE.py", type=Path)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    found: dict[tuple[str, str], list[Asked]] = defaultdict(list)
    with RabbitMQ() as rabbitmq:
        for _ in range(options.runs):
            for server in options.servers:
                for queue in options.kinds:
                    if options.beside and queue != KEYED:
                        found[server, f"baseline {queue}"].append(beside(options, rabbitmq, server, queue))
                    found[server, queue].append(hail(options, rabbitmq, server, queue))
    figures = []
    for (server, queue), asked in found.items():
        figures.append(Figure(f"{server}, {queue}", [one.rate for one in asked], "hits/s"))
        if queue != WITHOUT:
            figures.append(Figure("  p50", [one.p50_ms for one in asked], "ms"))
            figures.append(Figure("  p99", [one.p99_ms for one in asked], "ms"))
            figures.append(Figure("  refused", [one.refused for one in asked], "", 0, less=True))
        theirs = found.get((server, f"baseline {queue}"))
        if theirs:
            ratios = [ours.rate / their.rate for ours, their in zip(asked, theirs, strict=True)]
            figures.append(Figure("  ratio to the baseline", ratios, "", RATIO if queue != WITHOUT else None))
        if queue == KEYED and (without := found.get((server, SAME))):
            ratios = [ours.rate / their.rate for ours, their in zip(asked, without, strict=True)]
            figures.append(Figure("  ratio to no key", ratios, "", KEYED_RATIO))
    report("accept", figures)


def hail(options: argparse.Namespace, rabbitmq: RabbitMQ, server: str, queue: str) -> Asked:
    keyed = {"HAILWHALE_INTERNAL_KEY": INTERNAL, "HAILWHALE_WHALE_URL": "http://127.0.0.1:1"} if queue == KEYED else {}
    setup = Setup("", rabbitmq.url, HAILWHALE_QUEUE_MAX_MESSAGES="1000000", **keyed)
    if keyed:
        folder = Path(setup.settings.data_dir) / FOLDER
        folder.mkdir(mode=0o700)
        (folder / COPY).write_bytes(record_of(directory(), INTERNAL))
    application = "benchmarks.accept:without_queue" if queue == WITHOUT else "hail.web:application"
    with setup.hail(server, application):
        asked = loaded(setup.hail_port, options.seconds, queue)
    if queue != WITHOUT:
        rabbitmq.purge(setup.settings.queue, dead_name(setup.settings))
    return asked


def directory() -> Answer:
    """All accounts, keys and sites; SECRET belongs to one key of the first."""
    accounts = [Account("".join("abcdefghij"[int(digit)] for digit in f"{n:010}"), f"a{n}") for n in range(ACCOUNTS)]
    hashes = (sha256(f"hw_w_{n:043}".encode()).hexdigest() for n in count())
    keys = [Key(next(hashes), f"{n:08x}", account.id, "write") for account in accounts for n in range(KEYS)]
    sites = [
        Site(account.id, f"site{n}", True, ("https://shop.example",)) for account in accounts for n in range(SITES)
    ]
    return Answer(State("benchmarks", 1), None, accounts, keys, sites)


def beside(options: argparse.Namespace, rabbitmq: RabbitMQ, server: str, queue: str) -> Asked:
    port, application = free_port(), f"{options.beside.stem}:app"
    command = granian(application, port) if server == "granian" else gunicorn(application, port, server)
    environ = {"AMQP_URL": rabbitmq.url, "MODE": "no" if queue == WITHOUT else ""}
    with Service(command, environ, port, options.beside.resolve().parent):
        return loaded(port, options.seconds, queue)


def loaded(port: int, seconds: float, queue: str) -> Asked:
    url = f"http://127.0.0.1:{port}/count?pk=test" + "&dimensions=services" * (queue != DIFFERENT)
    headers = (f"Authorization: Bearer {SECRET}",) if queue == KEYED else ()
    wrk(url, 1, headers=headers)  # connected and warm
    return wrk(url, seconds, different=queue == DIFFERENT, headers=headers)


if __name__ == "__main__":
    main()
