"""How the store reaches Redis: the client, the scripts, and what counts as being away."""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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


class _Reconnected(redis.ConnectionError):
    """Within `steady`."""


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
            else:
                retry = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.02), 2)
                self.client = redis.Redis.from_url(url, retry=retry, **options)
        except ValueError as error:
            raise SetupError(f"HAILWHALE_REDIS_URL: {error}") from None
        except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
            if "Cluster mode is not enabled" in str(error):
                raise SetupError(
                    f"HAILWHALE_REDIS_URL: expected a Redis Cluster, got a single Redis: {ALONE}"
                ) from None
            raise (unavailable_of(error) or Unavailable(f"Redis: {error}")) from error

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Within, this thread only talks to servers that run since before; where one was started again, it raises Interrupted.

        A server that was started again may know less than it did.
        """
        self._mine.runs = self._runs.copy()
        try:
            yield
        finally:
            self._mine.runs = None

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
        runs = getattr(self._mine, "runs", None)
        if runs is not None and runs.setdefault(address, run) != run:
            raise _Reconnected("the server was started again while hits were applied")


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
        if not calls:
            return []
        with self._client.pipeline(transaction=False) as pipe:
            for keys, args in calls:
                # else the client would ask a server, for each call, what its keys are
                where = {"target_nodes": self._client.get_node_from_key(keys[0])} if self._is_cluster else {}
                self.queue(pipe, keys, args, is_known, **where)
            answers = pipe.execute(raise_on_error=False)
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, redis.exceptions.NoScriptError)]
        for i, answer in zip(unknown, self.many([calls[i] for i in unknown], is_known=False), strict=True):
            answers[i] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            settled(answer)
        return list(answers)
