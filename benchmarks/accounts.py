"""What accounts cost: the hits of 1,000 accounts in equal shares beside those of one, applied by a worker and accepted by Hail; the memory
of the bits of messages that were applied; and whether the time of a wrong login tells names that are there from those that are not.

    python -m benchmarks.accounts                    all of it
    python -m benchmarks.accounts --parts apply --batch 10
                                                     hits come in batches of ten, each of one account, instead of one by one
    python -m benchmarks.accounts --shards 64        as on a farm
    python -m benchmarks.accounts --profile          where the time of 1,000 accounts goes, of the worker and of Redis

Apply: each message holds hits of as many accounts as batches allow, under one name, and each hit came by a key of its account. All is
applied once before, so that names are known, as a day after the start; then hits of the same kind are measured. The fair comparison has
the hits of the accounts in one account, with a pk for each of them: the cells are as many as with accounts, and nothing is merged more.
One account with one pk stands beside.

Accept: 64 clients send single GETs, or batches, to one process of Hail with RabbitMQ. Each request shows the next one of 1,000 keys, each
of an account of its own, or the same one.

Bits: bytes of all keys that say which messages were applied, after the same messages of one publisher with 1 to 1,000 accounts.
"""

import argparse
import cProfile
import pstats
import random
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from benchmarks import accept, logins, workload
from benchmarks.apply import Run, apply_each, groups, redis_cpu
from benchmarks.report import Figure, report
from benchmarks.services import Setup, cpu_seconds, wrk
from hail.broker import dead_name
from hail.directory import record_of
from hail.hit import parse_row, with_key
from hail.informed import COPY, FOLDER
from hail.message import Message
from hail.packing import FORMS, Packed, most_of
from hail.room import few_collections
from hail.settings import Settings
from tests.servers import RabbitMQ, RedisServer
from whale.accounts import Account, Act, Key
from whale.count.apply import Applier
from whale.count.standing import Standing
from whale.store import connect
from whale.store.base import Store

VERSION = 2
ACCOUNTS, HITS = 1000, 40_000
MESSAGE, APPLY = 500, 10_000
RATE, SPREAD = 0.5, 0.1
BITS = (1, 10, 100, 1000)
BATCHES, WARM_S = (1, 10, 100), 5
PARTS = ("apply", "accept", "bits", "logins")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
REQUESTS = """
local n, batch = 0, BATCH
local body = '[' .. string.rep('{"pk":"web","dimensions":"a"}', batch, ',') .. ']'
function request()
  n = n + 1
  local headers = {['Authorization'] = string.format('Bearer hw_w_%043d', n % KEYS * EACH), ['Content-Type'] = 'application/json'}
  if batch == 1 then return wrk.format('GET', '/count?pk=web&dimensions=a', headers) end
  return wrk.format('POST', '/batch', headers, body)
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--hits", type=int, default=HITS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=1, help="hits of one account that come together to a worker")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--appendonly", choices=("no", "everysec", "always"), default="no")
    parser.add_argument("--seconds", type=float, default=4, help="of each load on Hail")
    parser.add_argument("--tries", type=int, default=logins.TRIES, help="wrong logins of each kind")
    parser.add_argument(
        "--of",
        choices=("reference", "plain"),
        default="plain",
        help="workload: plain is a pk and no dimensions, reference that of benchmarks.apply",
    )
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    few_collections()  # as a worker
    figures: list[Figure] = []
    with RedisServer(appendonly=options.appendonly) as redis:
        settings = workload.settings(redis_url=redis.url, shards=options.shards)
        if options.profile:
            profile(redis, settings, options)
            return
        figures += applied(redis, settings, options) if "apply" in options.parts else []
        figures += bits(redis, settings) if "bits" in options.parts else []
    figures += accepted(options) if "accept" in options.parts else []
    figures += logins.figures(logins.measure(options.tries)) if "logins" in options.parts else []
    report("accounts", figures, [f"{options.accounts} accounts, {options.shards} shards, batches of {options.batch}"])


# apply


def applied(redis: RedisServer, settings: Settings, options: argparse.Namespace) -> list[Figure]:
    """In turns, so that slow phases of the machine meet all alike."""
    ways = {"one account": (1, 1), "accounts": (options.accounts, 1), "pks of one account": (1, options.accounts)}
    bodies = {name: made(settings, options, *way) for name, way in ways.items()}
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(options.runs):
        for name, mine in runs.items():
            mine.append(measure(redis, settings, bodies[name], ways[name][0]))
    figures = []
    for name, mine in runs.items():
        what = name if name == "one account" else f"{options.accounts:,} {name}"
        figures.append(Figure(what, [run.rate for run in mine], "hits/s"))
        figures.append(Figure("  worker", [run.worker_us for run in mine], "us/hit"))
        figures.append(Figure("  Redis", [run.redis_us for run in mine], "us/hit"))
    pairs = list(zip(runs["accounts"], runs["one account"], runs["pks of one account"], strict=True))
    figures.append(Figure("accounts, beside pks of one", [many.rate / pks.rate for many, _, pks in pairs], "", RATE))
    cpu = [(pks.worker_us + pks.redis_us) / (many.worker_us + many.redis_us) for many, _, pks in pairs]
    figures.append(Figure("  by CPU of worker and Redis", cpu, ""))
    figures.append(Figure("accounts, beside one with one pk", [many.rate / one.rate for many, one, _ in pairs], ""))
    return figures


def made(settings: Settings, options: argparse.Namespace, accounts: int, pks: int) -> tuple[list[bytes], list[bytes]]:
    """Messages that come first, and those that are measured."""
    given = dealt(options.hits * 2, options.batch, accounts, pks)
    if options.of == "plain":
        given = ((account, {"pk": hit["pk"], "at": hit["at"]}) for account, hit in given)
    found = messages(settings, given)
    return found[: len(found) // 2], found[len(found) // 2 :]


def dealt(count: int, batch: int, accounts: int, pks: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Hits of the workload, with the account of each: in batches, whose accounts are shuffled."""
    names, turn = [account_of(number) for number in range(accounts)], list(range(max(accounts, pks)))
    rng = random.Random(5)
    for first, hit in enumerate(workload.hits(count)):
        if first % (batch * len(turn)) == 0:
            rng.shuffle(turn)
        number = turn[first // batch % len(turn)]
        yield names[number % accounts], {**hit, "pk": f"s{number % pks}"}


def account_of(number: int) -> str:
    """Ten letters, as ids of accounts are."""
    return "".join(LETTERS[number // 26**place % 26] for place in range(10))


def key_of(account: str) -> str:
    return account.encode().hex()[:8]


def messages(settings: Settings, given: Iterator[tuple[str, dict[str, object]]], size: int = MESSAGE) -> list[bytes]:
    """As Hail packs them where so many hits came meanwhile."""
    form, most = FORMS[VERSION], most_of(settings)
    totals: dict[str, int] = {}
    found: list[bytes] = []
    while group := list(islice(given, size)):
        shares: dict[str, Packed] = {}
        for account, hit in group:
            row, cells, _ = parse_row(hit, settings, workload.NOW)
            shares.setdefault(account, Packed(form, most)).add(with_key(row, key_of(account)), cells)
        for account, packed in shares.items():
            totals[account] = totals.get(account, 0) + packed.hits
        parts = {account: packed.parts for account, packed in shares.items()}
        found.append(form.encode(workload.PUBLISHER, len(found), int(workload.NOW * 1000), parts, totals, {}))
    return found


def measure(redis: RedisServer, settings: Settings, bodies: tuple[list[bytes], list[bytes]], accounts: int) -> Run:
    """As a worker does it, which asks of each message whose it is."""
    first, then = bodies
    hits = len(then) * MESSAGE
    with redis.client(socket_timeout=60) as client:
        client.flushall()
        store = connect(settings)
        register(store, accounts)
        applier = Applier(store, settings, Standing(store))
        apply_each(applier, judged(applier, groups(first, APPLY)))
        wall, mine, theirs = time.perf_counter(), time.process_time(), redis_cpu(client)
        apply_each(applier, judged(applier, groups(then, APPLY)))
        wall = time.perf_counter() - wall
        worker = (time.process_time() - mine) / hits * 1e6
        applier.witness.tell()
        return Run(hits / wall, worker, (redis_cpu(client) - theirs) / hits * 1e6)


def judged(applier: Applier, groups: Iterable[list[Message]]) -> Iterator[list[Message]]:
    return (list(applier.judged(group)) for group in groups)


def register(store: Store, accounts: int) -> None:
    """So many accounts, each with a key."""
    act = Act(0, "a benchmark", "add", "", "")
    for number in range(accounts):
        id_ = account_of(number)
        store.add_entry(Account(id_, id_, "UTC", 0), act)
        store.add_entry(Key(id_, key_of(id_), "write", None, False, f"{number:064x}", "hw_w_", 0), act)


def profile(redis: RedisServer, settings: Settings, options: argparse.Namespace) -> None:
    bodies = made(settings, options, options.accounts, 1)
    with redis.client() as client:
        client.flushall()
        store = connect(settings)
        register(store, options.accounts)
        applier = Applier(store, settings, Standing(store))
        apply_each(applier, judged(applier, groups(bodies[0], APPLY)))
        client.config_resetstat()
        with cProfile.Profile() as watched:
            apply_each(applier, judged(applier, groups(bodies[1], APPLY)))
        pstats.Stats(watched).sort_stats("tottime").print_stats(45)
        hits = len(bodies[1]) * MESSAGE
        for name, row in sorted(client.info("commandstats").items(), key=lambda item: -item[1]["usec"])[:16]:
            print(f"{name.removeprefix('cmdstat_'):20} {row['calls']:9} calls {row['usec'] / hits:8.2f} us/hit")


# accept


def accepted(options: argparse.Namespace) -> list[Figure]:
    """Hits a second and the CPU of Hail for each, by one key and by many, in turns."""
    rates: dict[tuple[int, int], list[float]] = {}
    cpu: dict[tuple[int, int], list[float]] = {}
    with RabbitMQ() as rabbitmq:
        for _ in range(options.runs):
            for batch in BATCHES:
                for keys in (1, options.accounts):
                    rate, us = loaded(rabbitmq, options.seconds, batch, keys)
                    rates.setdefault((batch, keys), []).append(rate)
                    cpu.setdefault((batch, keys), []).append(us)
    figures = []
    for batch in BATCHES:
        kind = "single GETs" if batch == 1 else f"batches of {batch}"
        for keys in (1, options.accounts):
            figures.append(Figure(f"accepted, {kind}, {keys:,} keys", rates[batch, keys], "hits/s"))
            figures.append(Figure("  Hail", cpu[batch, keys], "us/hit"))
        pairs = zip(rates[batch, options.accounts], rates[batch, 1], strict=True)
        figures.append(Figure("  beside one key", [many / one for many, one in pairs], "", RATE))
    return figures


def loaded(rabbitmq: RabbitMQ, seconds: float, batch: int, keys: int) -> tuple[float, float]:
    keyed = {"HAILWHALE_INTERNAL_KEY": accept.INTERNAL, "HAILWHALE_WHALE_URL": "http://127.0.0.1:1"}
    setup = Setup("", rabbitmq.url, HAILWHALE_QUEUE_MAX_MESSAGES="1000000", **keyed)
    folder = Path(setup.settings.data_dir) / FOLDER
    folder.mkdir(mode=0o700)
    (folder / COPY).write_bytes(record_of(accept.directory(), accept.INTERNAL))
    requests = REQUESTS.replace("BATCH", str(batch)).replace("KEYS", str(keys)).replace("EACH", str(accept.KEYS))
    with setup.hail() as hail:
        url = f"http://127.0.0.1:{setup.hail_port}/"
        wrk(url, 1 if keys == 1 else WARM_S, requests=requests)  # connected, and each key was shown
        before = cpu_seconds(hail.process.pid)
        asked = wrk(url, seconds, requests=requests)
        used = cpu_seconds(hail.process.pid) - before
        assert not asked.refused, asked
    rabbitmq.purge(setup.settings.queue, dead_name(setup.settings))
    return asked.rate * batch, used / (asked.answered * batch) * 1e6


# bits


def bits(redis: RedisServer, settings: Settings) -> list[Figure]:
    sizes: dict[int, int] = {}
    fields: dict[int, float] = {}
    for accounts in BITS:
        first = messages(settings, dealt(2 * APPLY, 1, accounts, 1))
        with redis.client(socket_timeout=60) as client:
            client.flushall()
            apply_each(Applier(connect(settings), settings), groups(first, APPLY))
            sizes[accounts] = sum(client.memory_usage(key, samples=0) for key in client.scan_iter("*:seen:*", 10_000))
            tallies = [client.hlen(key) for key in client.scan_iter("*:pub:*", 10_000)]
            fields[accounts] = sum(tallies) / accounts
    figures = [Figure(f"bits of {accounts:,} accounts", [size], "bytes") for accounts, size in sizes.items()]
    spread = max(sizes.values()) / min(sizes.values()) - 1
    figures.append(Figure("  the most, beside the least", [spread], "more", SPREAD, less=True))
    figures.append(Figure("fields of tallies, an account", [fields[max(BITS)]], ""))
    return figures


if __name__ == "__main__":
    main()
