"""`hailwhale doctor`: checks the settings, Redis, RabbitMQ, the spool and the dead messages, and says what to do.

It changes nothing, unless --replay is asked for. Exit codes: 0 all is well, 1 something is wrong, 2 a setting cannot
be read.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import msgspec
import redis
from redis.cluster import RedisCluster
from rich.console import Console

from hail.access import check_bind, has_directory, is_locked
from hail.broker import dead_name
from hail.hit import Reason
from hail.message import ACCOUNT
from hail.settings import MONTH, Settings, SettingsError, load
from hail.spool import MEGABYTE, SpoolFolder
from whale import held
from whale.commands.embedded import LISTPACK_ENTRIES, OLDEST
from whale.commands.finding import ADVICE, FINE, WRONG, Finding, Findings
from whale.commands.outside import outside_findings
from whale.errors import SetupError, Unavailable
from whale.health.lag import accepted_s
from whale.health.queues import Letter, Queues
from whale.store import with_redis
from whale.store.contract.aside import Illegible
from whale.store.contract.faults import Faults
from whale.store.redis import connect
from whale.store.redis.connection import CLUSTER_SCHEME, KEEPS, evicts
from whale.store.redis.keys import META, Keys

ANSWER_S = 3.0
SHOWN_BYTES = 200
OLDEST_RABBITMQ = (3, 10)
SPOOL_WAITS_S = 60.0
AHEAD_S = 60.0
NEARLY_FULL = 0.9
SHOWN = 5  # metrics that do not count


def version_of(text: str) -> tuple[int, ...]:
    """(7, 0, 15) of "7.0.15"; what follows a letter is left out."""
    parts = []
    for part in text.split("."):
        if not part.isdecimal():
            break
        parts.append(int(part))
    return tuple(parts)


# Settings


def settings_findings(settings: Settings) -> Findings:
    for bind in (settings.hail_bind, settings.whale_bind):
        try:
            check_bind(bind, settings)
        except SettingsError as error:
            yield Finding(WRONG, "settings", str(error))
    if not any(kept is None and interval in (86_400, MONTH) for interval, kept in settings.periods):
        yield Finding(ADVICE, "settings", "HAILWHALE_PERIODS keeps neither days nor months forever: old counts expire")
    if settings.trusted_proxies and not (is_locked(settings) or has_directory(settings)):
        text = "HAILWHALE_TRUSTED_PROXIES is set without keys: every request through these proxies may do everything; set keys"
        yield Finding(WRONG, "settings", text)
    yield Finding(FINE, "settings", "every HAILWHALE_ variable is a setting with a valid value")


# Memory


def memory_findings(settings: Settings) -> Findings:
    """What the worker and hailwail of this machine hold; Hail and Whale say it on /metrics."""
    for program, rows in held.programs(settings.data_dir):
        name = program.partition("-")[0]
        parts = ", ".join(
            f"{what} {held_ / MEGABYTE:.1f} of {most / MEGABYTE:.0f}" for what, (held_, most) in rows.items()
        )
        yield Finding(FINE, name, f"holds in memory, in MB: {parts or 'nothing yet'}")


# Redis


def redis_findings(settings: Settings) -> Findings:
    try:
        found = with_redis(settings)
    except SetupError as error:
        yield Finding(WRONG, "Redis", str(error))
        return
    url = found.redis_url
    try:
        for name, client in _redis_nodes(url):
            yield from _node_findings(name, client, ours=not settings.redis_url)
            if url.startswith(CLUSTER_SCHEME):
                yield from _slot_findings(name, client)
        yield from _store_findings(found)
    except (redis.RedisError, OSError, Unavailable) as error:
        text = str(error).removeprefix("Redis: ")
        yield Finding(WRONG, "Redis", f"{_without_password(url)} does not answer ({text}): start it, or set the URL")
    except (SetupError, ValueError) as error:
        yield Finding(WRONG, "Redis", str(error))


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _redis_nodes(url: str) -> Iterator[tuple[str, Any]]:
    options: dict[str, Any] = {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}
    if not url.startswith(CLUSTER_SCHEME):
        yield "Redis", redis.Redis.from_url(url, **options)
        return
    cluster = RedisCluster.from_url("redis://" + url.removeprefix(CLUSTER_SCHEME), **options)
    for node in cluster.get_primaries():
        yield f"Redis {node.name}", cluster.get_redis_connection(node)


def _node_findings(name: str, client: Any, ours: bool) -> Findings:
    info = client.info()
    version = version_of(str(info["redis_version"]))
    if version < OLDEST:
        yield Finding(
            WRONG, name, f"it is {info['redis_version']}, but 6.2 or later is required: install a newer version"
        )
    else:
        yield Finding(FINE, name, f"version {info['redis_version']} answers")
    used, most = int(info["used_memory"]), int(info.get("maxmemory") or 0)
    if most and used > NEARLY_FULL * most:
        yield Finding(
            WRONG, name, f"{used:,} of {most:,} bytes are used: raise maxmemory, because a full Redis counts nothing"
        )
    policy, gone = str(info["maxmemory_policy"]), int(info["evicted_keys"])
    if policy != KEEPS.decode():
        yield Finding(WRONG, name, f"it {evicts(policy)}")
    if gone:
        text = f"it has evicted {gone:,} keys since its start, and their counts are lost"
        yield Finding(WRONG, name, f"{text}; CONFIG RESETSTAT clears this number")
    listpack = "hash-max-listpack-entries" if version >= (7, 0) else "hash-max-ziplist-entries"
    try:
        config = {key: _config(client, key) for key in ("appendonly", "appendfsync", listpack)}
    except redis.ResponseError as error:
        yield Finding(ADVICE, name, f"its configuration cannot be read ({error}): check appendonly")
        return
    yield from _config_findings(name, config, listpack)


def _slot_findings(name: str, client: Any) -> Findings:
    """Of a node of a cluster: slots that it has begun to give away."""
    nodes = client.execute_command("CLUSTER NODES").values()
    own = next(node for node in nodes if "myself" in node["flags"])
    moving = sorted(int(each["slot"]) for each in own["migrations"] if each["state"] == "migrating")
    if moving:
        text = f"slots moving to another node, which count and answer nothing until then: {', '.join(map(str, moving))}"
        yield Finding(WRONG, name, f"{text}; if the move was abandoned: redis-cli --cluster fix")


def _config(client: Any, key: str) -> str:
    return str(client.config_get(key).get(key, ""))


def _config_findings(name: str, config: dict[str, str], listpack: str) -> Findings:
    how = "CONFIG SET {} {}, and in redis.conf for the next start"
    if config["appendonly"] != "yes":
        text = "no append-only file, so its counts are lost when it stops: " + how.format("appendonly", "yes")
        yield Finding(WRONG, name, text)
    elif config["appendfsync"] != "always":
        text = f"appendfsync is {config['appendfsync']}: a crash of the machine may lose the last 2 s of counts"
        yield Finding(ADVICE, name, f"{text}: {how.format('appendfsync', 'always')}")
    else:
        yield Finding(FINE, name, "each write is on disk before its answer")
    if int(config[listpack] or 0) < LISTPACK_ENTRIES:
        text = f"{listpack} is {config[listpack]}: counts take several times the memory"
        yield Finding(WRONG, name, f"{text}: {how.format(listpack, LISTPACK_ENTRIES)}")


def _client_of(settings: Settings) -> Any:
    if settings.redis_url.startswith(CLUSTER_SCHEME):
        return RedisCluster.from_url("redis://" + settings.redis_url.removeprefix(CLUSTER_SCHEME))
    return next(_redis_nodes(settings.redis_url))[1]


def _store_findings(settings: Settings) -> Findings:
    client = _client_of(settings)
    if not client.exists(META):
        yield Finding(FINE, "store", "no hit was counted yet")
        return
    store = connect(settings, ANSWER_S)  # says so where the number of shards, or the layout, is another
    yield Finding(FINE, "store", f"shards: {store.shards}")
    zone = client.hget(Keys(ACCOUNT, store.shards).account, "zone")  # store.zone would make the account
    if zone is not None and zone.decode() != settings.timezone:
        text = (
            f"HAILWHALE_TIMEZONE is {settings.timezone}, but the account was created with {zone.decode()} and keeps it"
        )
        yield Finding(ADVICE, "store", text)
    unread = len(store.aside(ACCOUNT))
    if unread:
        yield Finding(ADVICE, "store", f"{unread:,} unreadable hits: `hailwhale doctor --dead` shows them")
    yield from _fault_findings(store)


def _fault_findings(store: Faults) -> Findings:
    seen = store.faults_seen(ACCOUNT)
    for reason, count in sorted(store.faults(ACCOUNT).items()):
        new = count - seen.get(reason, 0)
        if not new:
            yield Finding(FINE, "store", f"{count:,} cells could not be added ({reason}), all acknowledged")
            continue
        names = [
            f"{each.metric} of {name_pk(each.pk)}" for each in store.faulty_metrics(ACCOUNT) if each.reason == reason
        ]
        where = f": {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}" if names else ""
        text = f"{new:,} cells could not be added ({reason}){where}: docs/http/errors.md#{reason} says why"
        yield Finding(WRONG, "store", f"{text}; acknowledge them with `hailwhale doctor --seen`")


def name_pk(pk: tuple[str, ...]) -> str:
    """A pk as one types it: a name, or a JSON list."""
    return pk[0] if len(pk) == 1 else msgspec.json.encode(pk).decode()


# RabbitMQ


def broker_findings(settings: Settings) -> Findings:
    if not settings.broker_url:
        yield Finding(FINE, "RabbitMQ", "none is set: the spool is the queue")
        return
    try:
        with Queues(settings) as queues:
            yield from _broker_findings(settings, queues)
    except Unavailable as error:
        yield Finding(WRONG, "RabbitMQ", f"{error}: start it, or correct the setting; hits go to the spool")
    except SetupError as error:
        yield Finding(WRONG, "RabbitMQ", str(error))


def _broker_findings(settings: Settings, queues: Queues) -> Findings:
    if version_of(queues.version) < OLDEST_RABBITMQ:
        yield Finding(
            WRONG, "RabbitMQ", f"it is {queues.version}, but 3.10 or later is required: install a newer version"
        )
    else:
        yield Finding(FINE, "RabbitMQ", f"version {queues.version} answers")
    for name in (settings.queue, dead_name(settings)):
        state = queues.state(name)
        if state is None:
            yield Finding(
                ADVICE, f"queue {name}", "it does not exist yet: Hail and the worker create it at their start"
            )
            continue
        difference = queues.difference(name)
        if difference:
            yield Finding(WRONG, f"queue {name}", difference)
        waiting, consumers = state
        if name != settings.queue:
            yield from _dead_findings(name, waiting)
        elif not consumers:
            text = f"no worker reads it, {waiting:,} messages wait: start `hailwhale worker`"
            yield Finding(WRONG, f"queue {name}", text)
        elif waiting > NEARLY_FULL * settings.queue_max_messages:
            text = f"{waiting:,} of {settings.queue_max_messages:,} messages wait: start more workers"
            yield Finding(WRONG, f"queue {name}", text)
        else:
            yield Finding(FINE, f"queue {name}", f"{waiting:,} messages wait, {consumers} workers read")


def _dead_findings(name: str, dead: int) -> Findings:
    if dead:
        text = f"{dead:,} dead messages: `hailwhale doctor --dead` shows them, --replay counts them again"
        yield Finding(WRONG, f"queue {name}", text)
    else:
        yield Finding(FINE, f"queue {name}", "no dead messages")


# The spool


def spool_findings(settings: Settings, now: float) -> Findings:
    folder = SpoolFolder(settings.data_dir)
    try:
        names, size = folder.names(), folder.size()
        damaged = sorted(path.name for path in folder.path.glob("*.damaged"))
    except OSError as error:
        yield Finding(WRONG, "spool", f"{folder.path} cannot be read: {error.strerror}")
        return
    if damaged:
        yield Finding(
            WRONG, "spool", f"damaged files in {folder.path}: {', '.join(damaged)}; inspect, then remove them"
        )
    if size > NEARLY_FULL * settings.spool_max_mb * MEGABYTE:
        text = f"{size / MEGABYTE:,.1f} of {settings.spool_max_mb:,} MB are used; a full spool refuses hits"
        yield Finding(WRONG, "spool", f"{text}: run hailwail, or raise HAILWHALE_SPOOL_MAX_MB")
    files = "1 file" if len(names) == 1 else f"{len(names)} files"
    ages = [now - at for at in accepted_s(folder, names)]
    age_s = max(ages, default=0.0)
    if age_s > settings.spool_max_age_s:
        text = f"{files}, the oldest of {age_text(age_s)}, which is too old: run `hailwail --force`"
        old = sum(age > settings.spool_max_age_s for age in ages)
        yield Finding(WRONG, "spool", text if old == 1 else f"{text} ({old} are too old)")
    elif min(ages, default=0.0) < -AHEAD_S:
        text = f"{files}, one of them dated {age_text(-min(ages))} in the future: check this machine's clock"
        yield Finding(ADVICE, "spool", text)
    elif age_s > SPOOL_WAITS_S:
        text = f"{files}, the oldest of {age_text(age_s)}; no process hands them on: run hailwail --follow"
        yield Finding(WRONG, "spool", text if settings.broker_url else f"{text} --apply, or `hailwhale up`")
    else:
        yield Finding(FINE, "spool", f"{files}, {size / MEGABYTE:.1f} MB")


def age_text(seconds: float) -> str:
    """ "3 h" of 11000: in the largest unit of which there are two."""
    for width, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * width:
            return f"{seconds / width:.0f} {unit}"
    return f"{seconds:.0f} s"


def findings(settings: Settings, now: float) -> Findings:
    """Everything that was looked at."""
    yield from settings_findings(settings)
    yield from memory_findings(settings)
    yield from redis_findings(settings)
    yield from broker_findings(settings)
    yield from spool_findings(settings, now)


# The dead


def letter_text(letter: Letter, now: float) -> str:
    """One line about a dead message."""
    hits = f"{letter.envelope.hits:,} hits" if letter.envelope else f"cannot be read, {len(letter.body):,} bytes"
    age = age_text(now - letter.at) + " ago" if letter.at else "at an unknown time"
    return f"{letter.name}: {hits}, {letter.reason}, {age}"


def hit_text(hit: Illegible, now: float, in_full: bool) -> str:
    """One line about a hit that could not be read, as letters that no terminal obeys."""
    raw = hit.raw if in_full else hit.raw[:SHOWN_BYTES]
    size = (
        f"{len(hit.raw):,} bytes kept"
        if len(raw) == len(hit.raw)
        else f"the first {len(raw)} of {len(hit.raw):,} bytes"
    )
    return f"{hit.name}: {Reason.UNDECODABLE_HIT}, {age_text(now - hit.at_ms / 1000)} ago, {size}: {ascii(raw)[2:-1]}"


def hits_aside(settings: Settings) -> list[Illegible]:
    """The hits that could not be read; raises SetupError, Unavailable."""
    settings = with_redis(settings)
    try:
        return connect(settings, ANSWER_S).aside(ACCOUNT) if _client_of(settings).exists(META) else []
    except redis.RedisError as error:
        raise Unavailable(f"Redis: {error}") from None


def show_dead(settings: Settings, names: tuple[str, ...], now: float, say: Callable[[str], None]) -> int:
    """Lists the dead messages, and the hits that could not be read, of these names, or all; the exit code. Raises Unavailable."""
    letters: list[Letter] = []
    if settings.broker_url:
        with Queues(settings) as queues:
            letters = [letter for letter in queues.dead() if not names or letter.name in names]
    for letter in letters:
        say(letter_text(letter, now))
    try:
        aside, unknown = hits_aside(settings), ""
    except (SetupError, Unavailable) as error:
        aside, unknown = [], str(error)
    hits = [hit for hit in aside if not names or hit.name in names or hit.name.split(".")[0] in names]
    for hit in hits:
        say(hit_text(hit, now, in_full=bool(names)))
    known = {letter.name for letter in letters}.union(*({hit.name, hit.name.split(".")[0]} for hit in hits))
    absent = set(names) - known
    for name in sorted(absent):
        say(f"{name}: is not among the dead")
    said = f"{len(letters):,} dead messages"
    say(f"{said}, {len(hits):,} unreadable hits" if hits else said)
    if unknown:
        say(f"cannot list unreadable hits, because Redis did not answer: {unknown}")
    return 1 if letters or hits or absent or unknown else 0


def replay_dead(settings: Settings, names: tuple[str, ...], now: float, say: Callable[[str], None]) -> int:
    """Replays the dead messages of these names, or all; the exit code. Raises SetupError, Unavailable."""
    if not settings.broker_url:
        raise SetupError("HAILWHALE_BROKER_URL is not set: without RabbitMQ there are no dead messages to replay")
    letters: list[Letter] = []

    def wanted(letter: Letter) -> bool:
        if names and letter.name not in names:
            return False
        letters.append(letter)
        say(letter_text(letter, now))
        return True

    with Queues(settings) as queues:
        replayed = queues.replay(wanted)
    absent = set(names) - {letter.name for letter in letters}
    for name in sorted(absent):
        say(f"{name}: is not among the dead messages")
    left = len(letters) - replayed
    say(f"{replayed:,} messages replayed" + (f", {left:,} cannot be read and stay" if left else ""))
    return 1 if left or absent else 0


@click.command("doctor", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--dead", is_flag=True, help="Show dead messages and unreadable hits.")
@click.option("--replay", is_flag=True, help="Send dead messages to the queue again; none counts twice.")
@click.option(
    "--from",
    "url",
    metavar="URL",
    help="Request this address without a key, and show the data that anyone can read there.",
)
@click.option("--seen", is_flag=True, help="Acknowledge all cells that could not be added.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def main(dead: bool, replay: bool, seen: bool, url: str | None, names: tuple[str, ...]) -> None:
    """Check this machine and the servers, and say what to do; exit 1 if something is wrong.

    NAME: with --dead or --replay, only these messages.
    """
    settings, now = load(os.environ), time.time()
    console = Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    if url is not None and (dead or replay or names):
        raise click.UsageError("--from cannot be combined with other options")
    if names and not (dead or replay):
        raise click.UsageError("names of messages require --dead or --replay")
    if dead or replay:
        sys.exit(replay_dead(settings, names, now, say) if replay else show_dead(settings, names, now, say))
    if seen:
        connect(with_redis(settings)).see_faults(ACCOUNT)
    wrong = 0
    styles = {FINE: "green", ADVICE: "yellow", WRONG: "bold red"}
    for finding in findings(settings, now) if url is None else outside_findings(url):
        wrong += finding.state == WRONG
        console.print(f"{finding.state:5}", style=styles[finding.state], end=" ")
        say(f"{finding.about}: {finding.text}")
    say(f"{wrong} wrong" if wrong else "all is well")
    sys.exit(1 if wrong else 0)
