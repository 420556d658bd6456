"""How the store reaches Redis: the client, the scripts, and what counts as being away."""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from hashlib import sha1
from importlib import resources
from typing import Any, ParamSpec, TypeVar

import msgspec
import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.cluster import PRIMARY, ClusterNode, RedisCluster
from redis.retry import Retry

from hail.settings import SettingsError, check_redis_url
from whale.errors import Interrupted, SetupError, Unavailable
from whale.store.redis.refusals import NewerData, SlotMoving, unavailable_of

CLUSTER_SCHEME = "redis+cluster://"
TOGETHER = f"begin it with {CLUSTER_SCHEME} instead of redis://"
ALONE = f"begin it with redis:// instead of {CLUSTER_SCHEME}"
KEEPS = b"noeviction"

log = logging.getLogger(__name__)

MOVING, NEWER = [b"moving"], b"newer"

pack = msgspec.msgpack.Encoder().encode

P = ParamSpec("P")
R = TypeVar("R")


class _Reconnected(redis.RedisError):
    """Within `steady`. No ConnectionError: a client would only connect again."""


def reachable(method: Callable[P, R]) -> Callable[P, R]:
    """Says Unavailable for what is no fault of ours: no connection, loading, failing over, out of memory, a right that lacks."""

    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except _Reconnected as error:
            raise Interrupted(f"Redis: {error}") from error
        except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
            meaning = unavailable_of(error)
            if meaning is None:
                raise
            raise meaning from error

    return guarded


class Connection:
    """A client of Redis or Redis Cluster, which connects again by itself, except within `steady`.

    A connection cannot outlive its server. So work on connections that there were before, or on new ones to the same run of
    a server, stands on one state of it.
    """

    def __init__(self, url: str, timeout_s: float):
        self._mine = threading.local()
        self._runs: dict[Any, bytes] = {}  # address -> the run of the server last seen there
        try:
            check_redis_url(url)
        except SettingsError as error:
            raise SetupError(str(error)) from None
        options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": min(timeout_s, 2.0),
            "redis_connect_func": self._on_connect,
        }
        self.is_cluster = url.startswith(CLUSTER_SCHEME)
        try:
            if self.is_cluster:
                self.client: Any = RedisCluster.from_url("redis://" + url.removeprefix(CLUSTER_SCHEME), **options)
                _meet_new_nodes(self.client.nodes_manager)
                _read_layout_again(self.client)
            else:
                retry = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.02), 2)
                self.client = redis.Redis.from_url(url, retry=retry, **options)
                self._check_each(self.client.connection_pool)
        except ValueError as error:
            raise SetupError(f"HAILWHALE_REDIS_URL: {error}") from None
        except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
            if "Cluster mode is not enabled" in str(error):
                raise SetupError(
                    f"HAILWHALE_REDIS_URL: expected a Redis Cluster, got a single Redis: {ALONE}"
                ) from None
            raise (unavailable_of(error) or Unavailable(f"Redis: {error}")) from error

    def steady(self) -> "Steady":
        """Within, this thread only talks to servers that run since before; where one was started again, it raises Interrupted.

        A server that was started again may know less than it did.
        """
        return Steady(self._mine, self._runs)

    @property
    def steady_now(self) -> "Steady":
        """The one that this thread is within; else one that begins now."""
        return getattr(self._mine, "steady", None) or self.steady()

    def pools(self, keys: Iterable[str]) -> list[tuple[Any, list[int]]]:
        """The pool of each server that has some of the keys, and which."""
        found: dict[Any, list[int]] = {}
        for i, key in enumerate(keys):
            server = self.client.get_node_from_key(key) if self.is_cluster else None
            found.setdefault(server, []).append(i)
        clients = (
            (self.client.get_redis_connection(node) if node else self.client, which) for node, which in found.items()
        )
        return [(client.connection_pool, which) for client, which in clients]

    def _check_each(self, pool: Any) -> None:
        """Has a pool hand out no connection to another run than the thread stands on, whoever made it."""
        give = pool.get_connection

        def get_connection(*args: Any, **kwargs: Any) -> Any:
            connection = give(*args, **kwargs)
            steady: Steady | None = getattr(self._mine, "steady", None)
            try:
                if steady:
                    steady.check()
            except _Reconnected:
                pool.release(connection)
                raise
            return connection

        pool.get_connection = get_connection

    def _on_connect(self, connection: Any) -> None:
        if not self.is_cluster:  # a cluster's client does it before it calls this
            connection.on_connect()
        connection.send_command("INFO", "server")
        found = re.search(rb"run_id:([0-9a-f]+)", connection.read_response(disable_decoding=True))
        run = found[1] if found else b""
        address = getattr(connection, "path", None) or (connection.host, connection.port)
        if run not in _looked_at:
            _looked_at.add(run)
            _warn_of_eviction(connection, address)
        self._runs[address] = run
        self.steady_now.meets(address, run)


class Steady:
    """May be entered again, also where the thread is within another one: it stands on the runs that there were when it was made."""

    def __init__(self, mine: threading.local, known: dict[Any, bytes]):
        """known: the runs of the servers that were last seen, as it goes on."""
        self._mine, self._known, self._runs = mine, known, known.copy()
        self._around: list[Steady | None] = []

    def __enter__(self) -> None:
        self._around.append(getattr(self._mine, "steady", None))
        self._mine.steady = self

    def __exit__(self, *_: object) -> None:
        self._mine.steady = self._around.pop()

    def meets(self, address: Any, run: bytes) -> None:
        if self._runs.setdefault(address, run) != run:
            raise _Reconnected("the server was started again while hits were applied")

    def check(self) -> None:
        """Raises where a server was started again since, whoever noticed."""
        for address in self._runs:
            self.meets(address, self._known[address])


def _meet_new_nodes(manager: Any) -> None:
    """Has a client follow an ASK to a node that joined after it read the layout, as it follows MOVED; else it fails on None."""
    known = manager.get_node

    def get_node(host: str | None = None, port: int | None = None, node_name: str | None = None) -> Any:
        found = known(host, port, node_name)
        if found is None and node_name and host is None:
            address, _, number = node_name.rpartition(":")
            found = manager.nodes_cache.setdefault(node_name, ClusterNode(address, int(number), PRIMARY))
        return found

    manager.get_node = get_node


def _read_layout_again(client: Any) -> None:
    """Has a client ask anew who owns a slot that nobody owned when it last asked, as its own commands do; else it fails for ever."""
    known = client.get_node_from_key

    def get_node_from_key(key: str, replica: bool = False) -> Any:
        try:
            return known(key, replica)
        except redis.exceptions.SlotNotCoveredError:
            client.nodes_manager.initialize()
            return known(key, replica)

    client.get_node_from_key = get_node_from_key


def script_text(*names: str) -> str:
    """Of Lua files that run as one, after moving.lua."""
    folder = resources.files("whale.store") / "lua"
    return "\n".join((folder / f"{name}.lua").read_text() for name in ("moving", *names))


def settled(answer: Any) -> Any:
    """What a script answered; where it wrote nothing, since its slot moves, SlotMoving; since a later version has to, NewerData."""
    if answer == MOVING:
        raise SlotMoving()
    if isinstance(answer, list) and answer[:1] == [NEWER]:
        raise NewerData(answer[1].decode())
    return answer


def _settled_or_why_not(answer: Any) -> Any:
    try:
        return settled(answer)
    except (SlotMoving, NewerData) as error:
        return error


_looked_at: set[bytes] = set()
"""Runs of servers that this process has looked at."""


def _warn_of_eviction(connection: Any, address: Any) -> None:
    connection.send_command("INFO", "memory")
    policy = re.search(rb"maxmemory_policy:(\S+)", connection.read_response(disable_decoding=True))
    if policy and policy[1] != KEEPS:
        server = address if isinstance(address, str) else "{}:{}".format(*address)
        log.warning("Redis at %s %s", server, evicts(policy[1].decode()))


def evicts(policy: str) -> str:
    """What to say of a server that throws keys away where its memory is full."""
    return (
        f"has maxmemory-policy {policy}, so it may evict counts: CONFIG SET maxmemory-policy noeviction, and in "
        "redis.conf for the next start"
    )


class Script:
    """A Lua file, or several that run as one, loaded where it runs first. Raises SlotMoving, NewerData."""

    def __init__(self, client: Any, *names: str):
        self._client, self._is_cluster = client, isinstance(client, RedisCluster)
        self._text = script_text(*names)
        self._sha = sha1(self._text.encode()).hexdigest()

    def command(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        return ("EVALSHA", self._sha, len(keys), *keys, *args)

    def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            return settled(self._client.evalsha(self._sha, len(keys), *keys, *args))
        except redis.exceptions.NoScriptError:
            return settled(self._client.eval(self._text, len(keys), *keys, *args))

    def queue(self, pipe: Any, keys: Sequence[str], args: Sequence[Any], is_known: bool = True, **where: Any) -> None:
        """Within a pipeline; NoScriptError comes where it has not run there yet. is_known: False sends the text."""
        what = ("EVALSHA", self._sha) if is_known else ("EVAL", self._text)
        pipe.execute_command(*what, len(keys), *keys, *args, **where)

    def many(self, calls: Sequence[tuple[Sequence[str], Sequence[Any]]], is_known: bool = True) -> list[Any]:
        """Several calls in one round trip (a round trip a server, all at once, where there are several); two after a restart."""
        answers = self.each(calls, is_known)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def each(self, calls: Sequence[tuple[Sequence[str], Sequence[Any]]], is_known: bool = True) -> list[Any]:
        """As `many`, with what it would raise for one call in place of its answer; raises where a server is away."""
        if not calls:
            return []
        with self._client.pipeline(transaction=False) as pipe:
            for keys, args in calls:
                # else the client would ask a server, for each call, what its keys are
                where = {"target_nodes": self._client.get_node_from_key(keys[0])} if self._is_cluster else {}
                self.queue(pipe, keys, args, is_known, **where)
            answers = pipe.execute(raise_on_error=False)
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, redis.exceptions.NoScriptError)]
        for i, answer in zip(unknown, self.each([calls[i] for i in unknown], is_known=False), strict=True):
            answers[i] = answer
        return [answer if isinstance(answer, Exception) else _settled_or_why_not(answer) for answer in answers]


class Sent:
    """Calls of a script on their way, to each server its own at once. None is answered yet.

    Their connections serve nothing else until `answers`; one of which an answer is missing then is closed, so no later command
    reads an answer that is not its own.
    """

    def __init__(self, connection: Connection, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]):
        self._connection, self._script, self._calls = connection, script, calls
        self._open: list[tuple[Any, Any, list[int]]] = []  # pool, connection, which calls
        try:
            for pool, which in connection.pools(keys[0] for keys, _ in calls):
                # where none is to be had, `answers` asks again, and says why
                with suppress(redis.ConnectionError, redis.TimeoutError):
                    self._open.append((pool, pool.get_connection(), which))
            connection.steady_now.check()
            for _, line, which in self._open:
                try:
                    line.send_packed_command(line.pack_commands([script.command(*calls[i]) for i in which]))
                except (redis.ConnectionError, redis.TimeoutError):  # it is closed
                    which.clear()
        except BaseException:
            self.close()
            raise

    def answers(self) -> list[Any]:
        """One a call, once each. What came back as an error or not at all is asked again, in the way that loads the script and
        follows moved slots. Raises SlotMoving."""
        found: dict[int, Any] = {}
        try:
            while self._open:
                pool, line, which = self._open[0]
                answered: dict[int, Any] = {}
                try:
                    for i in which:
                        with suppress(redis.ResponseError):
                            answered[i] = line.read_response()
                    if line.can_read():  # the server is gone, and may come back as it was before it answered
                        raise redis.ConnectionError()
                    found |= answered
                except (redis.ConnectionError, redis.TimeoutError):
                    line.disconnect()
                del self._open[0]
                pool.release(line)
        except BaseException:
            self.close()
            raise
        self._connection.steady_now.check()
        return [settled(found[i]) if i in found else self._script(*call) for i, call in enumerate(self._calls)]

    def close(self) -> None:
        """Gives up the answers."""
        while self._open:
            pool, line, _ = self._open.pop()
            line.disconnect()
            pool.release(line)
