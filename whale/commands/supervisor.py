"""`hailwhale up`: Redis, Hail, hailwail, Whale, live (and the Celery worker, with a broker) as children of one process.

Promises: a part that dies is started again, and it is said so. At Ctrl-C or SIGTERM the parts stop in the order of the
data (Hail, hailwail, worker, Whale, live, Redis), each when the one before has handed over; what is not yet counted then lies
in the spool or in RabbitMQ for the next start. A second Ctrl-C hurries. When this process is killed, its children stop.
"""

import http.client
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from hail.access import check_bind
from hail.binds import address_of, check_free, url_of
from hail.broker import check_broker
from hail.settings import Settings
from whale.commands.embedded import ANSWERS, STARTS, EmbeddedRedis, dying_with_parent, kept_secret, make_folder
from whale.errors import SetupError
from whale.starts import store_says
from whale.store.local import INTERNAL_FILE

START_S = 60.0  # for all services to answer
STOP_S = {
    "demo": 5.0,
    "hail": 15.0,
    "hailwail": 30.0,
    "worker": 30.0,
    "whale": 15.0,
    "live": 5.0,
}  # in the order of the stop
HURRY_S = 2.0
BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
LASTED_S = 60.0  # one that ran this long starts again without delay
LAST_WORDS_S = 5.0  # for what it said to be read; its children may hold the pipe for longer
TICK_S = 0.1
AN_ERROR = re.compile(r"[\w.]+(Error|Exception): ")


def hail_command(settings: Settings, is_demo: bool = False) -> list[str]:
    """gunicorn with Hail. is_demo: and with the pages of the demo's shop."""
    workers = ["--bind", settings.hail_bind, "--workers", str(settings.hail_processes)]
    application = f"hail.{'demo' if is_demo else 'web'}:application"
    return [*_gunicorn(), *workers, "--worker-class", "hail.server.HailWorker", application]


def whale_command(settings: Settings) -> list[str]:
    """gunicorn with Whale."""
    workers = ["--bind", settings.whale_bind, "--workers", str(settings.whale_processes)]
    threads = ["--worker-class", "hail.server.WhaleWorker", "--threads", str(settings.whale_threads)]
    return [*_gunicorn(), *workers, *threads, "whale.web:application"]


def live_command(settings: Settings) -> list[str]:
    """gunicorn with the live service: one process, since all streams share one subscription."""
    worker = ["--bind", settings.live_bind, "--workers", "1", "--worker-class", "hail.server.LiveWorker"]
    return [*_gunicorn(), *worker, "whale.live.web:application"]


def _gunicorn() -> list[str]:
    return [sys.executable, "-m", "gunicorn", "--config", "python:hail.gunicorn_conf"]


def hailwail_command(settings: Settings) -> list[str]:
    """Follows the spool: applies it, or with a broker ships it."""
    return [sys.executable, "-m", "whale.count.hailwail", "--follow", *([] if settings.broker_url else ["--apply"])]


def worker_command(settings: Settings) -> list[str]:
    """The Celery worker: threads, so that waiting messages are merged into one apply."""
    threads = ["--pool", "threads", "--concurrency", str(settings.worker_threads)]
    quiet = ["--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    return [sys.executable, "-m", "celery", "--quiet", "--app", "whale.count.worker", "worker", *threads, *quiet]


def demo_command() -> list[str]:
    """Sends what happens in the shop of the demo."""
    return [sys.executable, "-m", "whale.commands.demo"]


@dataclass
class Part:
    """One child: its command, and how its last starts went."""

    name: str
    command: list[str]
    process: subprocess.Popen[str] | None = None
    began: float = 0.0
    again_at: float | None = None
    backoff_s: float = BACKOFF_S
    last_line: str = ""
    reader: threading.Thread | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, environ: Mapping[str, str]) -> None:
        self.began, self.again_at, self.last_line = time.monotonic(), None, ""
        self.process = subprocess.Popen(
            self.command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches us alone: the order of the stop is ours
            preexec_fn=dying_with_parent(),
        )
        self.reader = threading.Thread(target=self._forward, args=(self.process,), daemon=True)
        self.reader.start()

    def _forward(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        with process.stdout as lines:
            for line in lines:
                if line.strip():
                    if not AN_ERROR.match(self.last_line) or AN_ERROR.match(line):
                        self.last_line = line.strip()  # of a traceback, what went wrong
                    say(line.rstrip().removeprefix(f"{self.name}: "), self.name)

    def how_it_ended(self) -> str:
        assert self.process
        if self.reader:
            self.reader.join(LAST_WORDS_S)
        return ending(self.process.returncode)

    def stop(self, wait_s: float, hurried: "Stopping") -> None:
        """SIGTERM, and SIGKILL to it and its children when it takes too long."""
        if not self.process:
            return
        if self.running:
            self.process.terminate()
        deadline = time.monotonic() + wait_s
        while self.running and time.monotonic() < deadline:
            if hurried.asked > 1:
                deadline = min(deadline, time.monotonic() + HURRY_S)
            time.sleep(0.02)
        if self.running:
            say(f"{self.name} did not stop in time and was killed")
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


@dataclass
class Stopping:
    """How often a stop was asked for."""

    asked: int = 0

    def ask(self, signum: int, frame: FrameType | None) -> None:
        self.asked += 1


def up(settings: Settings, environ: Mapping[str, str], is_demo: bool = False) -> int:
    """Run everything until a stop is asked for; the exit code. Call it from the main thread; `environ` goes to the
    children. Raises SetupError or SettingsError, with nothing left running, when it cannot start.

    is_demo: also run the shop of the demo, whose folder is prepared."""
    binds = {"HAIL_BIND": settings.hail_bind, "WHALE_BIND": settings.whale_bind, "LIVE_BIND": settings.live_bind}
    binds = {name: bind for name, bind in binds.items() if bind}
    for bind in binds.values():
        check_bind(bind, settings)
    make_folder(Path(settings.data_dir))
    embedded = None if settings.redis_url else EmbeddedRedis(settings.data_dir)
    with ExitStack() as stack:
        if embedded:
            stack.callback(embedded.stop)
            embedded.take()  # before ports: who starts all a second time is told so, and not that a port is in use
        check_free(**binds)
        if settings.broker_url and (said := check_broker(settings)):
            say(f"{said}; hits go to the spool, and wait there")
        if settings.redis_url and (said := store_says(settings)):
            say(f"{said}; Hail takes hits, and the other parts wait")
        return run(settings, environ, embedded, is_demo)


def run(settings: Settings, environ: Mapping[str, str], embedded: EmbeddedRedis | None, is_demo: bool = False) -> int:
    """All parts, until a stop is asked for; the exit code."""
    hail_url, whale_url = url_of(settings.hail_bind), url_of(settings.whale_bind)
    stopping = Stopping()
    with stop_signals(stopping), ExitStack() as stack:
        environ = dict(environ)
        environ["PYTHONUNBUFFERED"] = "1"
        environ["HAILWHALE_HAIL_URLS"] = ", ".join(dict.fromkeys((hail_url, *settings.hail_urls)))
        if embedded:
            stack.callback(embedded.stop)
            embedded.begin()
            while embedded.look() == STARTS:
                time.sleep(TICK_S / 4)
            environ["HAILWHALE_REDIS_URL"] = embedded.url
            environ.setdefault("HAILWHALE_MESSAGE_VERSION", "2")  # all that read are of this program
            environ["HAILWHALE_SECRET"] = settings.secret or kept_secret(settings.data_dir)
            environ["HAILWHALE_INTERNAL_KEY"] = settings.internal_key or kept_secret(settings.data_dir, INTERNAL_FILE)
            if said := store_says(settings.replace(redis_url=embedded.url)):
                say(f"{said}; Hail takes hits, and the other parts wait")
        parts = {"hail": Part("hail", hail_command(settings, is_demo)), "whale": Part("whale", whale_command(settings))}
        parts["hailwail"] = Part("hailwail", hailwail_command(settings))
        urls = {"hail": hail_url, "whale": whale_url}
        if settings.live_bind:
            parts["live"], urls["live"] = Part("live", live_command(settings)), url_of(settings.live_bind)
        if settings.broker_url:
            parts["worker"] = Part("worker", worker_command(settings))
        try:
            for part in parts.values():
                part.start(environ)
            wait_until_all_answer(parts, urls, stopping)
            if not stopping.asked:
                say(welcome(settings, hail_url, whale_url))
                if is_demo:
                    parts["demo"] = Part("demo", demo_command())
                    parts["demo"].start(environ)
            keeper = Keeper(parts, environ, embedded)
            while not stopping.asked:
                keeper.look()
                time.sleep(TICK_S)
        finally:
            if stopping.asked:
                say("stopping: hail first, then the hits it handed over; press Ctrl-C again to hurry")
            for name, wait_s in STOP_S.items():
                if name in parts:
                    parts[name].stop(wait_s, stopping)
    say("stopped")
    return 0


def wait_until_all_answer(parts: Mapping[str, Part], urls: Mapping[str, str], stopping: Stopping) -> None:
    deadline = time.monotonic() + START_S
    silent = set(urls)
    while silent and not stopping.asked:
        silent = {name for name in silent if not healthy(urls[name])}
        for part in parts.values():
            if not part.running:
                ended = part.how_it_ended()  # before its last line is asked for: then it is read
                said = f": {part.last_line}" if part.last_line else ""
                raise SetupError(f"{part.name} did not start, it {ended}{said}")
        if time.monotonic() > deadline:
            name = min(silent)
            raise SetupError(f"{name} does not answer at {urls[name]}/healthz after {START_S:.0f} s")
        time.sleep(TICK_S)


def healthy(url: str) -> bool:
    host, port = address_of(url.removeprefix("http://"))
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass
class Keeper:
    """Starts again what has died."""

    parts: Mapping[str, Part]
    environ: Mapping[str, str]
    embedded: EmbeddedRedis | None
    redis_again_at: float = 0.0
    redis_starts: bool = False

    def look(self) -> None:
        """Redis at once, since all wait for it; the others with a growing delay. Waits for nobody."""
        now = time.monotonic()
        if self.embedded and (self.redis_starts or not self.embedded.running) and now >= self.redis_again_at:
            self._look_at_redis(self.embedded)
        for part in self.parts.values():
            if part.running:
                continue
            if part.again_at is None:
                part.backoff_s = BACKOFF_S if now - part.began > LASTED_S else part.backoff_s * 2
                part.backoff_s = min(part.backoff_s, LONGEST_BACKOFF_S)
                part.again_at = now + part.backoff_s
                say(f"{part.name} {part.how_it_ended()}: starting it again in {part.backoff_s:.0f} s")
            elif now >= part.again_at:
                part.start(self.environ)

    def _look_at_redis(self, embedded: EmbeddedRedis) -> None:
        """Starts it, or looks how far it is: it may read its data for minutes, in which others die too."""
        try:
            if not self.redis_starts:
                if embedded.process:
                    words = embedded.last_words()
                    said = f" ({words})" if embedded.process.returncode > 0 and words else ""
                    say(f"redis {ending(embedded.process.returncode)}{said}: starting it again")
                embedded.begin()
                self.redis_starts = True
            elif embedded.look() == ANSWERS:
                self.redis_starts = False
                say("redis is running again")
        except SetupError as error:  # Hail goes on: what it takes lies in the spool until Redis is back
            self.redis_starts = False
            self.redis_again_at = time.monotonic() + LONGEST_BACKOFF_S
            say(f"{error}; trying again in {LONGEST_BACKOFF_S:.0f} s")


@contextmanager
def stop_signals(stopping: Stopping) -> Iterator[None]:
    """While inside, Ctrl-C, SIGTERM and a closed terminal only ask for a stop."""
    before = {number: signal.signal(number, stopping.ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(text: str, who: str = "up") -> None:
    """Each line with the name of the part it is from."""
    try:
        for line in text.split("\n"):
            print(f"{who:8} | {line}", flush=True)
    except OSError:  # nobody reads us any more: that is no reason to stop counting
        pass


def welcome(settings: Settings, hail_url: str, whale_url: str) -> str:
    def curl(url: str, key: str, variable: str, *data: str) -> str:
        words = ["curl", "-G", url, *(word for item in data for word in ("--data-urlencode", item))]
        return shlex.join(words) + (f' -H "Authorization: Bearer ${variable}"' if key else "")

    count = curl(
        f"{hail_url}/count", settings.write_key, "HAILWHALE_WRITE_KEY", "pk=test", "dimensions=services",
        'metrics={"dollars": 200}',
    )  # fmt: skip
    read = curl(
        f"{whale_url}/plotpoints", settings.read_key, "HAILWHALE_READ_KEY", "pk=test", "depth=1",
        'metrics=["dollars","dollars/hits"]', "period=today",
    )  # fmt: skip
    return (
        f"Hail counts at {hail_url}, Whale answers at {whale_url}. Ctrl-C stops both.\ncount:  {count}\nread:   {read}"
    )
