"""Dated cells in Redis or Redis Cluster. What each method promises is in dated.py, where things lie in keys.py.

The cells of a pair lie in one hash a quarter of a year: 92 days, 14 weeks and 3 months stay a listpack on any server. The sum of
each quarter's days lies beside the total, so that any range is that one hash and its two edges.

A call is one pipeline, and a second one where a server does not know a script yet; with several hosts one to each that it needs.
Nothing is sent twice: where the answer to a write is lost, it raises Unavailable and was done or not.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import blake2b, sha1
from typing import Any, NamedTuple, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from whale.errors import SetupError, Unavailable
from whale.period import DAY, MONTH, WEEK, Interval
from whale.store.dated import (
    MAX_AT_ONCE,
    Pair,
    Values,
    days_of,
    overflow,
    start_of,
    too_many_at_once,
    too_many_records,
)
from whale.store.redis.connection import CLUSTER_SCHEME, pack, reachable, script_text, settled
from whale.store.redis.keys import DatedKeys

KEYS_A_STEP, BUCKETS_A_SCRIPT = 1000, 100
T = TypeVar("T")
_Place = tuple[int, str]
"""A quarter, and a field of its hash."""
_Program = tuple[Sequence[int], list[list[Any]]]
"""Quarters, and steps of dated.lua."""


class _Script(NamedTuple):
    text: str
    sha: str


class _Call(NamedTuple):
    """One command, on the host of its first key. script: instead of a command, with its keys and arguments."""

    key: str
    words: tuple[Any, ...]
    script: _Script | None = None

    def command(self, known: bool) -> tuple[Any, ...]:
        """known: the server knows the script."""
        if self.script is None:
            return self.words
        return ("EVALSHA", self.script.sha, *self.words) if known else ("EVAL", self.script.text, *self.words)


def open_client(url: str, timeout_s: float) -> Any:
    """A client that sends nothing twice; of Redis Cluster where the URL begins with redis+cluster://. Raises SetupError, Unavailable."""
    options = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, 2.0),
    }
    try:
        if url.startswith(CLUSTER_SCHEME):
            return RedisCluster.from_url("redis://" + url.removeprefix(CLUSTER_SCHEME), **options)
        return redis.Redis.from_url(url, **options)
    except ValueError as error:
        raise SetupError(f"settings.defaults: {error}") from None
    except redis.RedisError as error:
        raise Unavailable(f"Redis: {error}") from error


class RedisDated:
    """whale.store.dated.DatedStore on clients that return bytes and send nothing twice, by the names of their hosts.

    An id is kept on one host, by rendezvous: a host more or less moves only what goes to it or came from it.
    """

    def __init__(self, hosts: Mapping[str, Any], account: str, prefix: str):
        self.hosts = dict(hosts)
        self.keys = DatedKeys(account, prefix)
        self._change, self._detail = _script("dated"), _script("detail")

    @reachable
    def add(self, pairs: Sequence[Pair], day: date, amount: int) -> list[Values]:
        quarters, places = _places(day)
        steps = [["add", quarters.index(quarter) + 2, field, str(amount)] for quarter, field in places]
        steps += [["add", 1, "t", str(amount)], ["add", 1, str(_quarter(day)), str(amount)]]
        return [(found[0], found[1], found[2], found[3]) for found in self._run(pairs, [(quarters, steps)])]

    @reachable
    def set_day(self, pairs: Sequence[Pair], day: date, value: int, sync: bool, total: bool) -> list[Values]:
        quarters, places = _places(day)
        own, field = _place(DAY, day)
        k = quarters.index(own) + 2
        steps: list[list[Any]] = [["set", k, field, str(value), 1, str(own), *([1, "t"] if total else [])]]
        if sync:
            steps += _sums(quarters, WEEK, start_of(WEEK, day)), _sums(quarters, MONTH, start_of(MONTH, day))
        steps += [["get", quarters.index(quarter) + 2, field] for quarter, field in places] + [["get", 1, "t"]]
        return [(found[0], found[1], found[2], found[3]) for found in self._run(pairs, [(quarters, steps)])]

    @reachable
    def sync(self, pairs: Sequence[Pair], weeks: Sequence[date], months: Sequence[date]) -> None:
        buckets: list[tuple[Interval, date]] = [
            *((WEEK, start) for start in weeks),
            *((MONTH, start) for start in months),
        ]
        programs: list[_Program] = []
        for some in _several(buckets, BUCKETS_A_SCRIPT):
            ends = (day for interval, start in some for day in (start, days_of(interval, start)[-1]))
            quarters = sorted({_quarter(day) for day in ends})
            programs.append((quarters, [_sums(quarters, interval, start) for interval, start in some]))
        self._run(pairs, programs)

    @reachable
    def count(self, pair: Pair, amount: int) -> int:
        return self._run([pair], [([], [["add", 1, "n", str(amount)]])])[0][0]

    @reachable
    def series(self, pairs: Sequence[Pair], interval: Interval, starts: Sequence[date]) -> list[list[int]]:
        fields: dict[int, list[str]] = {}
        for quarter, field in (_place(interval, start) for start in starts):
            fields.setdefault(quarter, []).append(field)
        calls = []
        for pair in pairs:
            key = self.keys.pair(*pair)
            calls += [_read(self.keys.quarter(key, quarter), names) for quarter, names in fields.items()]
        found = iter(self._send(calls))
        return [[int(value or 0) for _ in fields for value in next(found)] for _ in pairs]

    @reachable
    def sums(self, pairs: Sequence[Pair], first: date | None, last: date | None) -> list[int]:
        whole, edges = _split(first, last)
        calls = []
        for pair in pairs:
            key = self.keys.pair(*pair)
            calls.append(_Call(key, ("HGETALL", key)))
            calls += [_read(self.keys.quarter(key, quarter), names) for quarter, names in edges.items()]
        found = iter(self._send(calls))
        sums = []
        for _ in pairs:
            quarters = ((name, value) for name, value in next(found).items() if name not in (b"t", b"n"))
            total = sum(int(value) for name, value in quarters if int(name) in whole)
            sums.append(total + sum(int(value or 0) for _ in edges for value in next(found)))
        return sums

    @reachable
    def totals(self, pairs: Sequence[Pair]) -> list[int]:
        found = self._send([_read(self.keys.pair(*pair), ["t", "n"]) for pair in pairs])
        return [sum(int(value or 0) for value in values) for values in found]

    @reachable
    def add_record(self, event: str, user: str, at_us: int, record: str, most: int) -> None:
        keys = self.keys.event(event), self.keys.records(event, user)
        (kept,) = self._send(
            [_Call(keys[0], (2, *keys, *_words(user, at_us, record, most, MAX_AT_ONCE)), self._detail)]
        )
        if kept < 1:
            raise too_many_at_once() if kept < 0 else too_many_records(event, most)

    @reachable
    def records_of(self, event: str, user: str) -> dict[int, str]:
        return self._records_of(event, [user])[0]

    @reachable
    def records(self, event: str) -> dict[str, dict[int, str]]:
        key = self.keys.event(event)
        (names,) = self._send([_Call(key, ("HKEYS", key))])
        users = sorted(name.decode() for name in names if name)
        return dict(zip(users, self._records_of(event, users), strict=True))

    @reachable
    def clear(self) -> None:
        for client in self.hosts.values():
            for keys in _several(client.scan_iter(match=f"{self.keys.head}*", count=KEYS_A_STEP), KEYS_A_STEP):
                pipe = client.pipeline(transaction=False)
                for key in keys:
                    pipe.unlink(key)
                pipe.execute()

    def _records_of(self, event: str, users: Sequence[str]) -> list[dict[int, str]]:
        keys = [self.keys.records(event, user) for user in users]
        found = self._send([_Call(key, ("HGETALL", key)) for key in keys])
        return [
            {at: text.decode() for at, text in sorted((int(at), text) for at, text in row.items())} for row in found
        ]

    def _run(self, pairs: Sequence[Pair], programs: Sequence[_Program]) -> list[list[int]]:
        """Each program for each pair. k in steps: 1 is the pair's hash, then come its quarters."""
        calls = []
        for quarters, steps in programs:
            packed = pack(steps)
            for pair in pairs:
                key = self.keys.pair(*pair)
                hashes = [self.keys.quarter(key, quarter) for quarter in quarters]
                calls.append(_Call(key, (1 + len(hashes), key, *hashes, packed), self._change))
        found = self._send(calls)
        for i, values in enumerate(found):
            if values == [b"overflow"]:
                raise overflow(pairs[i % len(pairs)])
        return [[int(value) for value in values] for values in found]

    def _send(self, calls: Sequence[_Call]) -> list[Any]:
        """The replies, in order; raises the first error, or SlotMoving."""
        return [settled(reply) for reply in self._replies(calls)]

    def _replies(self, calls: Sequence[_Call]) -> list[Any]:
        if len(calls) == 1:
            client = self.hosts[self._host(calls[0].key)]
            try:
                return [client.execute_command(*calls[0].command(known=True))]
            except redis.exceptions.NoScriptError:
                return [client.execute_command(*calls[0].command(known=False))]
        # Not by pipelines of RedisCluster, which send commands again whose answer is lost, and ask where each script's keys are.
        replies: list[Any] = [None] * len(calls)
        for (client, server), mine in self._servers(calls).items():
            left, known = mine, True
            while left:
                pipe = server.pipeline(transaction=False)
                for i in left:
                    pipe.execute_command(*calls[i].command(known))
                try:
                    found = pipe.execute(raise_on_error=False)
                except (redis.ConnectionError, redis.TimeoutError):
                    if isinstance(client, RedisCluster):
                        client.nodes_manager.initialize()  # another server may have taken over
                    raise
                for i, reply in zip(left, found, strict=True):
                    replies[i] = reply
                left = [i for i in left if known and isinstance(replies[i], redis.exceptions.NoScriptError)]
                known = False
        for i, reply in enumerate(replies):
            if isinstance(reply, redis.exceptions.AskError):  # MOVED too: the key is elsewhere, nothing was done
                (replies[i],) = self._send([calls[i]])
            elif isinstance(reply, Exception):
                raise reply
        return replies

    def _servers(self, calls: Sequence[_Call]) -> dict[tuple[Any, Any], list[int]]:
        """(client of the host, client of the server) for each server that is needed, and which calls it is sent."""
        servers: dict[tuple[Any, Any], list[int]] = {}
        for i, call in enumerate(calls):
            client = server = self.hosts[self._host(call.key)]
            if isinstance(client, RedisCluster):
                server = client.get_redis_connection(client.get_node_from_key(call.key))
            servers.setdefault((client, server), []).append(i)
        return servers

    def _host(self, key: str) -> str:
        if len(self.hosts) == 1:
            return next(iter(self.hosts))
        tag = key[key.index("{") : key.index("}")]
        return max(self.hosts, key=lambda host: blake2b(f"{host} {tag}".encode(), digest_size=8).digest())


def _script(name: str) -> _Script:
    text = script_text(name)
    return _Script(text, sha1(text.encode()).hexdigest())


def _read(key: str, fields: Sequence[str]) -> _Call:
    return _Call(key, ("HMGET", key, *fields))


def _words(*values: str | int) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _several(found: Iterable[T], count: int) -> Iterable[list[T]]:
    several: list[T] = []
    for each in found:
        several.append(each)
        if len(several) == count:
            yield several
            several = []
    if several:
        yield several


# Where a date lies


def _quarter(day: date) -> int:
    return day.year * 4 + (day.month - 1) // 3


def _place(interval: Interval, start: date) -> _Place:
    if interval == MONTH:
        return _quarter(start), f"m{start.month}"
    return _quarter(start), f"{'w' if interval == WEEK else ''}{start.month * 100 + start.day}"


def _places(day: date) -> tuple[list[int], list[_Place]]:
    """The quarters that hold the day, its week and all days of that; and the places of day, week and month."""
    monday = start_of(WEEK, day)
    places = [_place(interval, start_of(interval, day)) for interval in (DAY, WEEK, MONTH)]
    return sorted({_quarter(day), _quarter(monday), _quarter(days_of(WEEK, monday)[-1])}), places


def _sums(quarters: Sequence[int], interval: Interval, start: date) -> list[Any]:
    """The step that sums a week or a month up."""
    own, field = _place(interval, start)
    fields: dict[int, list[str]] = {}
    for day in days_of(interval, start):
        fields.setdefault(_quarter(day), []).append(_place(DAY, day)[1])
    summed = (part for quarter, names in fields.items() for part in (quarters.index(quarter) + 2, names))
    return ["sum", quarters.index(own) + 2, field, *summed]


def _split(first: date | None, last: date | None) -> tuple[range, dict[int, list[str]]]:
    """The quarters that lie in a range as a whole, and the days of those at its edges.

    Not their sums less the days outside: what is tracked between the two reads would be taken off without being in the sum.
    """
    begin, end = first or date.min, last or date.max
    low, high = _quarter(begin), _quarter(end)
    edges: dict[int, list[str]] = {}
    for quarter in (low, high):
        days = _days(quarter)
        inside = [_place(DAY, day)[1] for day in days if begin <= day <= end]
        if len(inside) < len(days):
            edges[quarter] = inside
    return range(low + (low in edges), high + 1 - (high in edges)), edges


def _days(quarter: int) -> list[date]:
    months = (date(quarter // 4, quarter % 4 * 3 + month, 1) for month in (1, 2, 3))
    return [day for month in months for day in days_of(MONTH, month)]
