"""hailwail as a program, on real servers: what was spooled is counted once, whoever is away or killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hail.message import encode_message
from hail.settings import Settings, load
from hail.spool import SpoolFolder, SpoolWriter
from hail.web import make_app
from tests.existing import make_accounts
from tests.servers import RabbitMQ, RedisServer, free_port, wait_until
from tests.wsgi import call
from whale.store import connect

ROOT = Path(__file__).parents[2]
PUBLISHER = "0123456789abcdef"


class Spool:
    """A spool as one Hail process writes it."""

    def __init__(self, data_dir: Path, account: str):
        self.folder = SpoolFolder(data_dir)
        self.writer = SpoolWriter(self.folder, PUBLISHER, file_mb=2, limit_mb=100)
        self.account = account
        self.seq = 0

    def write(self, messages: int = 1) -> None:
        for _ in range(messages):
            at_ms = int(time.time() * 1000)
            hit = b'[["a"],{},{"hits":1},%d]' % at_ms
            body = encode_message(PUBLISHER, self.seq, self.account, self.seq + 1, at_ms, [hit])
            self.writer.reserve([len(body)])
            self.writer.append([body])
            self.seq += 1

    def seal(self) -> None:
        self.writer.seal()


@pytest.fixture
def spool(tmp_path: Path, redis_server: RedisServer, unique: str) -> Iterator[Spool]:
    make_accounts(connect(load({"HAILWHALE_REDIS_URL": redis_server.url})), unique)
    spool = Spool(tmp_path, unique)
    yield spool
    spool.seal()


@pytest.fixture
def environ(tmp_path: Path, redis_server: RedisServer) -> dict[str, str]:
    return {**os.environ, "HAILWHALE_DATA_DIR": str(tmp_path), "HAILWHALE_REDIS_URL": redis_server.url}


def settings_of(environ: dict[str, str]) -> Settings:
    return load(environ)


def counted(environ: dict[str, str], account: str) -> int:
    audit = connect(settings_of(environ)).audit(account)
    assert len(audit) <= 1
    return audit[0].hits if audit else 0


def run(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "whale.count.hailwail", *words]
    return subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.fixture
def following(environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "whale.count.hailwail", "--follow", "--apply"]
    process = subprocess.Popen(
        command, env=environ, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    yield process
    process.kill()
    process.communicate()


def stopped(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_sealed_files_are_applied_and_removed(spool: Spool, environ: dict[str, str]) -> None:
    spool.write(3)
    spool.seal()
    spool.write(1)  # still being written: left alone
    done = run(environ, "--apply")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "hailwail: 3 messages with 3 hits applied, 1 files done\n"
    assert counted(environ, spool.account) == 3
    assert len(spool.folder.names()) == 1


def test_a_live_file_is_followed_and_the_rest_is_applied_at_the_end(
    spool: Spool, environ: dict[str, str], following: subprocess.Popen[str]
) -> None:
    for _ in range(3):
        spool.write()
        wait_until(lambda: counted(environ, spool.account) == spool.seq, what="the hit")
    spool.write(200)
    spool.seal()
    code, out, _ = stopped(following)
    assert code == 0
    assert "203 messages with 203 hits applied" in out
    assert counted(environ, spool.account) == 203
    assert spool.folder.names() == []


def test_it_waits_while_redis_is_away_and_says_so(
    spool: Spool, environ: dict[str, str], following: subprocess.Popen[str], redis_server: RedisServer
) -> None:
    spool.write()
    wait_until(lambda: counted(environ, spool.account) == 1, what="the hit")
    redis_server.kill9()
    spool.write(5)
    said = following.stderr
    assert said
    wait_until(lambda: "waiting; the hits are safe in the spool" in said.readline(), what="its word")
    redis_server.start()
    wait_until(lambda: counted(environ, spool.account) == 6, what="the hits")
    code, _, err = stopped(following)
    assert code == 0
    assert "back again" in err


def test_killed_anywhere_it_counts_everything_once(
    spool: Spool, environ: dict[str, str], following: subprocess.Popen[str]
) -> None:
    for _ in range(3):
        spool.write(300)
        command = [sys.executable, "-m", "whale.count.hailwail", "--follow", "--apply"]
        other = subprocess.Popen(command, env=environ, cwd=ROOT)
        wait_until(lambda: counted(environ, spool.account) > 0)
        other.kill()
        other.wait()
    following.kill()
    spool.seal()
    assert run(environ, "--apply").returncode == 0
    assert counted(environ, spool.account) == 900
    assert spool.folder.names() == []


def test_no_redis_leaves_the_spool_and_exits_with_1(spool: Spool, environ: dict[str, str]) -> None:
    spool.write()
    spool.seal()
    done = run({**environ, "HAILWHALE_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}, "--apply")
    assert done.returncode == 1
    assert "hailwail: " in done.stderr
    assert "Traceback" not in done.stderr
    assert len(spool.folder.names()) == 1


def test_it_ships_to_rabbitmq_and_keeps_what_is_refused(
    spool: Spool, environ: dict[str, str], rabbitmq: RabbitMQ, unique: str
) -> None:
    spool.write(5)
    spool.seal()
    nobody = run({**environ, "HAILWHALE_BROKER_URL": f"amqp://127.0.0.1:{free_port()}//"})
    assert (nobody.returncode, len(spool.folder.names())) == (1, 1)
    assert "RabbitMQ" in nobody.stderr
    done = run({**environ, "HAILWHALE_BROKER_URL": rabbitmq.url, "HAILWHALE_QUEUE": unique})
    assert (done.returncode, done.stdout) == (0, "hailwail: 5 messages with 5 hits shipped, 1 files done\n")
    assert rabbitmq.depth(unique) == 5


@pytest.mark.parametrize(
    ("more", "said"),
    [({}, "HAILWHALE_BROKER_URL is not set"), ({"HAILWHALE_BROKR_URL": "x"}, "did you mean HAILWHALE_BROKER_URL?")],
)
def test_a_wrong_set_up_is_said_in_a_sentence(environ: dict[str, str], more: dict[str, str], said: str) -> None:
    done = run({**environ, **more})
    assert done.returncode == 2
    assert said in done.stderr


def test_flush_hail_counts_what_is_spooled_now(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from hail.publish import Publisher

    settings = settings_of(environ)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    publisher = Publisher(settings)
    app = make_app(settings, publisher)
    call(app, "GET", "/count", {"pk": tmp_path.name})
    answer = call(app, "GET", "/flush_hail")
    publisher.close()
    assert (answer.status, answer.text) == (200, "OK\nhailwail: 1 messages with 1 hits applied, 1 files done\n")
    assert tmp_path.name in connect(settings).pks("default")


def test_flush_hail_leaves_no_file(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from hail.publish import Publisher

    metrics = tmp_path / "metrics"
    metrics.mkdir()
    for name, value in {**environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    publisher = Publisher(settings_of(environ))
    app = make_app(settings_of(environ), publisher)
    call(app, "GET", "/count", {"pk": tmp_path.name})
    assert call(app, "GET", "/flush_hail").status == 200
    publisher.close()
    assert list(metrics.iterdir()) == []
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_what_was_spooled_before_a_reset_is_dropped_when_it_comes(
    environ: dict[str, str], spool: Spool, unique: str
) -> None:
    store = connect(settings_of(environ))
    spool.write(3)
    spool.seal()
    assert run(environ, "--apply").returncode == 0
    spool.write(4)
    store.reset(unique, ("a",), None, time.time() + 0.001)
    time.sleep(0.002)
    spool.write(5)
    spool.seal()
    assert run(environ, "--apply").returncode == 0
    (audit,) = store.audit(unique)
    assert (audit.hits, audit.total, audit.dropped) == (12, 12, {"reset": 4})
    day = int(time.time() // 86_400 * 86_400)
    assert store.read(unique, ("a",), [()], ["hits"], 86_400, [day]).tolist() == [[[5]]]
