"""Starts with a Redis that does not fit, and states of Redis while all runs: one sentence each, which says what to do."""

import contextlib
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest
import redis
import requests
from redis.crc import key_slot

from hail.message import ACCOUNT
from hail.settings import SettingsError, load
from tests.contract.hits import NOW, in_columns, message, publisher_of, sums
from tests.contract.logs import CAPS, logged, visit
from tests.farm import ROOT
from tests.servers import RabbitMQ, RedisCluster, RedisServer, find_redis, free_port, wait_until
from tests.starts import CELERY, HAILWHALE, Part, ran
from tests.wsgi import call
from whale.accounts import Account, Act, Site, account_id
from whale.client import Whale
from whale.commands.embedded import EmbeddedRedis, RedisBinary
from whale.commands.supervisor import LASTED_S, Keeper, Stopping
from whale.commands.supervisor import Part as SupervisedPart
from whale.count.apply import Applier
from whale.errors import SetupError
from whale.store import connect
from whale.store.redis.keys import Keys
from whale.visitors.entries import SiteLog
from whale.visitors.identity import JOINED, Person
from whale.web import STORE_TIMEOUT_S, Application, make_app

WHALE = "gunicorn --config python:hail.gunicorn_conf --worker-class gthread whale.web:application --bind"
MAPPING = 'pk = "t"\nat = { column = "at" }\n'
ESCAPES = "; in a user or password write / as %2F, @ as %40, : as %3A, # as %23, ? as %3F, [ as %5B"
EXPECTED = (
    "HAILWHALE_REDIS_URL: expected redis://user:password@host:6379/0, rediss://, redis+cluster:// or unix:///path"
)
URLS = {
    "redis://:pa/ss@localhost:6379/0": EXPECTED + ESCAPES,
    "redis://:pa[ss@localhost:6379/0": EXPECTED + ESCAPES,
    "redis://:pa#ss@localhost:6379/0": EXPECTED + ESCAPES,
    "redis://:pa?ss@localhost:6379/0": EXPECTED + ESCAPES,
    "redis://localhost:six/0": EXPECTED + ESCAPES,
    "http://localhost:6379": EXPECTED + ", got a http:// URL",
    "localhost:6379": EXPECTED + ", got no URL",
    "redis://localhost/abc": "HAILWHALE_REDIS_URL: expected the number of a database after the last /, got 'abc'",
    "redis+cluster://localhost/2": "HAILWHALE_REDIS_URL: a Redis Cluster has only database 0, got 2",
    "redis://localhost?socket_timout=2": "HAILWHALE_REDIS_URL: 'socket_timout' is not an option: did you mean socket_timeout?",
    "redis://localhost?db=two": "HAILWHALE_REDIS_URL: option db: expected a number, got 'two'",
}
REFUSES = "Redis refuses the user or the password in HAILWHALE_REDIS_URL: correct them"


def rights() -> list[str]:
    """Those that docs/deploy.md gives a user."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    return text[text.index("ACL SETUSER hailwhale ") :].split("\n")[0].split()[3:]


@pytest.mark.parametrize("url", URLS)
def test_a_redis_url_that_cannot_be_read_is_said_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"HAILWHALE_REDIS_URL": url})
    assert str(caught.value) == URLS[url]


def test_a_redis_url_that_cannot_be_read_stops_the_start() -> None:
    url = "redis://:pa/ss@localhost:6379/0"
    assert ran(f"{HAILWHALE} up", REDIS_URL=url) == (2, "", f"hailwhale: {URLS[url]}\n")


def test_a_redis_url_that_can_be_read_is_taken() -> None:
    for url in (
        "redis://u%2F:p%5B@[::1]:6379/3?socket_timeout=2",
        "rediss://h?ssl_cert_reqs=none&db=1",
        "unix:///a/b.sock?db=2",
        "unix://a%20b.sock",
        "redis+cluster://h:7000/0",
    ):
        assert load({"HAILWHALE_REDIS_URL": url}).redis_url == url


@pytest.fixture
def starts(tmp_path: Path) -> Callable[[str], dict[str, tuple[int, str]]]:
    """Exit code and stderr of each part, on a Redis."""
    rows, mapping = tmp_path / "rows.csv", tmp_path / "mapping.toml"
    rows.write_text("at\n2026-09-21\n")
    mapping.write_text(MAPPING)
    lines = {
        "whale": f"{WHALE} 127.0.0.1:{free_port()}",
        "up": f"{HAILWHALE} up",
        "hailwail": "whale.count.hailwail --apply --follow",
        "import": f"{HAILWHALE} import {rows} --mapping {mapping}",
    }

    def started(url: str, *names: str) -> dict[str, tuple[int, str]]:
        binds = {name: f"127.0.0.1:{free_port()}" for name in ("HAIL_BIND", "WHALE_BIND", "LIVE_BIND")}

        def run(name: str) -> tuple[int, str]:
            values = {"REDIS_URL": url, "DATA_DIR": str(tmp_path / name), **binds}
            code, _, said = ran(lines[name], **values)
            return code, said.partition(": ")[2]

        with ThreadPoolExecutor() as pool:
            return dict(zip(names, pool.map(run, names), strict=True))

    return started


def test_every_part_refuses_another_number_of_shards(starts: Any, own_redis: RedisServer) -> None:
    connect(load({"HAILWHALE_REDIS_URL": own_redis.url, "HAILWHALE_SHARDS": "4"}))
    parts = "whale", "up", "hailwail", "import"
    said = 2, "HAILWHALE_SHARDS is 1, but this Redis was set up with 4: set it to 4\n"
    assert starts(own_redis.url, *parts) == dict.fromkeys(parts, said)
    assert own_redis.client().keys() == [b"hailwhale:meta"]


def test_a_wrong_password_stops_the_start(starts: Any, own_redis: RedisServer) -> None:
    url = f"redis://hw:wrong@127.0.0.1:{own_redis.port}/0"
    assert starts(url, "whale", "hailwail") == dict.fromkeys(("whale", "hailwail"), (2, REFUSES + "\n"))


@pytest.mark.parametrize(
    ("without", "named"),
    [
        ("-hincrby", "it may not run HINCRBY"),
        ("-time", "it may not run TIME"),
        ("-rename", "it may not run RENAME"),
        ("-exists", "this user has no permissions to run the 'exists' command"),
        ("-info", "this user has no permissions to run the 'info' command"),
        ("-eval", "this user has no permissions to run the 'eval' command"),
        ("resetkeys", "this user has no permissions to access one of the keys used as arguments"),
    ],
)
def test_a_right_that_lacks_is_named(without: str, named: str, own_redis: RedisServer) -> None:
    own_redis.client().execute_command("ACL", "SETUSER", "hw", *rights(), without, ">right")
    with pytest.raises(SetupError) as caught:
        connect(load({"HAILWHALE_REDIS_URL": f"redis://hw:right@127.0.0.1:{own_redis.port}/0"}))
    assert str(caught.value) == (
        f"the user in HAILWHALE_REDIS_URL lacks a right ({named}): docs/deploy.md lists those it needs"
    )


def test_a_cluster_and_a_single_redis_are_told_apart(redis_cluster: RedisCluster, own_redis: RedisServer) -> None:
    for url, expected in (
        (own_redis.url.replace("redis://", "redis+cluster://"), "expected a Redis Cluster, got a single Redis"),
        (redis_cluster.url, "expected a single Redis, got a Redis Cluster"),
    ):
        with pytest.raises(SetupError, match=expected):
            connect(load({"HAILWHALE_REDIS_URL": url, "HAILWHALE_SHARDS": "8"}))


@pytest.mark.parametrize("binary", ["redis_server", "redis_62", "redis_cluster"])
def test_a_user_with_the_rights_of_the_docs_can_do_all(
    binary: str, request: pytest.FixtureRequest, unique: str
) -> None:
    """The account of tests is not `default`, so its keys are named too."""
    server = request.getfixturevalue(binary)
    for node in getattr(server, "nodes", [server]):
        node.client().execute_command("ACL", "SETUSER", unique, *rights(), f"~{unique}:*", ">pw")
    scheme, shards = ("redis+cluster", "8") if binary == "redis_cluster" else ("redis", "1")
    url = server.url.replace("redis://", f"{scheme}://{unique}:pw@")
    settings = load({"HAILWHALE_REDIS_URL": url, "HAILWHALE_SHARDS": shards})
    store, now = connect(settings), NOW
    hit = {"pk": ["t", "below"], "dimensions": {"n": "a"}, "visitor": "ann", "id": "one", "at": now}
    kinds = {"v": "is_unique", "top": {"max": 3}, "p": {"quantile": 4}}
    Applier(store, settings).apply([message([{**hit, "metrics": kinds}], settings, unique)], now)
    two = in_columns([message([{**hit, "id": "two"}], settings, unique, publisher=publisher_of(unique))])
    Applier(store, settings).apply(two, now)
    assert sums(store, unique, ("t",), [("n", "a")], now=now) == [2]
    day = int(now) // 86_400 * 86_400
    assert store.read_distinct(unique, ("t",), [()], "v", 86_400, [[day]]) == [[1]]
    assert store.read_values(unique, ("t",), [()], "top", 86_400, [day]) == [[3_000_000]]
    store.read_below(unique, ("t",), ("n",), 1, ["hits"], 86_400, [[day]], 10)
    kept = store.keep_decision(unique, ("t",), "ann", b"{}", now, "nonce", 10.0)
    assert store.decision_of(unique, ("t",), "ann", now) == kept
    store.reset(unique, ("t",), None, now)
    while store.sweep(unique, now):
        pass
    account, act = Account(account_id(token_bytes(16)), unique, "UTC", 0), Act(0, "test", "add account", "", unique)
    for entry in (account, Site(account.id, "shop")):
        store.add_entry(entry, act)
    store.note_uses({(account.id, "00000000"): 1})
    state = store.directory_state("word")
    store.remove_entry(account, act)
    changed = store.directory_since(state, "word")
    assert changed is not None
    assert changed.gone_accounts == [account.id]
    assert store.journal()[0] == act
    log = SiteLog(unique, "shop")
    assert store.identify(log, Person(b"a" * 16, b"ann"), Person(b"b" * 16, b"bob")) == JOINED
    store.add_to_log([visit(log, 0, "ann")], CAPS)
    assert store.compact_log(log, 0)
    assert [record[0] for record in logged(store, log)] == ["ann"]
    store.check_writable()
    store.look({unique: [("t",)]}, 6.0)
    assert store.looked(unique) == {("t",)}
    assert store.audit(unique)
    assert store.spied(unique) is not None


# While all runs


@pytest.fixture
def whale(own_redis: RedisServer) -> Any:
    """A Whale on a Redis of its own, with one hit."""
    settings = load({"HAILWHALE_REDIS_URL": own_redis.url})
    app = make_app(settings, Whale.connect(settings, timeout_s=STORE_TIMEOUT_S))
    assert call(app, "GET", "/count_now", {"pk": "t"}).text == "OK"
    return app


def answer(app: Any, path: str, **parameters: str) -> tuple[int, Any]:
    """Of what is refused the sentence."""
    found = call(app, "GET", path, parameters)
    if found.status == 503:
        assert (found.headers["Retry-After"], found.json["code"]) == ("1", "unavailable")
        return 503, found.json["detail"]
    return found.status, found.json if "json" in found.headers["Content-Type"] else found.text


def count(app: Any) -> tuple[int, Any]:
    return answer(app, "/count_now", pk="t")


def total(app: Any) -> tuple[int, Any]:
    return answer(app, "/total", pk="t", metric="hits", period="today")


def full(redis: RedisServer) -> None:
    redis.client().config_set("maxmemory", "1")


def replica(redis: RedisServer) -> None:
    redis.client().execute_command("REPLICAOF", "127.0.0.1", "1")


def disk_full(redis: RedisServer) -> None:
    """As Redis says it where it cannot save: its folder is gone."""
    client = redis.client()
    client.config_set("appendonly", "no")
    client.config_set("save", "3600 1")
    shutil.rmtree(redis.folder)
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", what="a save that failed")


def too_few_replicas(redis: RedisServer) -> None:
    redis.client().config_set("min-replicas-to-write", "1")


WRITES_REFUSED = {
    full: "Redis is full (maxmemory) and takes no writes: give it more memory; hits wait meanwhile",
    replica: "this Redis is a replica and takes no writes: set the master in HAILWHALE_REDIS_URL; hits wait meanwhile",
    disk_full: "Redis cannot write to its disk and takes no writes: see its log, the disk may be full; hits wait meanwhile",
    too_few_replicas: (
        "Redis has fewer replicas than min-replicas-to-write and takes no writes: start them; hits wait meanwhile"
    ),
}


@pytest.mark.parametrize("state", WRITES_REFUSED)
def test_a_redis_that_takes_no_writes_says_why_and_questions_are_answered(
    state: Callable[[RedisServer], None], whale: Any, own_redis: RedisServer
) -> None:
    assert answer(whale, "/readyz") == (200, {"ready": True, "store": "up"})
    state(own_redis)
    said = WRITES_REFUSED[state]
    assert count(whale) == (503, said)
    assert answer(whale, "/readyz") == (200, {"ready": True, "store": "takes no writes", "detail": said})
    assert total(whale) == (200, 1)


def wrong_password(redis: RedisServer) -> None:
    client = redis.client()
    client.config_set("requirepass", "another")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def lost_master(redis: RedisServer) -> None:
    redis.client().config_set("replica-serve-stale-data", "no")
    replica(redis)


def loads(redis: RedisServer) -> None:
    """Much data, read slowly."""
    redis.client().eval("for i = 1, 100000 do redis.call('SET', 'default:' .. i, 1) end", 0)
    redis.stop()
    redis.options["key_load_delay"] = "20"  # microseconds; it answers once in 1,024 keys
    redis.launch()


ANSWERS_REFUSED = {
    wrong_password: REFUSES,
    lost_master: "this Redis is a replica without its master: start the master, or set another server in HAILWHALE_REDIS_URL",
    loads: "Redis is loading its data from disk, and answers when it has finished",
}


@pytest.mark.parametrize("state", ANSWERS_REFUSED)
def test_a_redis_that_does_not_answer_makes_whale_not_ready_and_says_why(
    state: Callable[[RedisServer], None], whale: Any, own_redis: RedisServer
) -> None:
    state(own_redis)
    refused = 503, ANSWERS_REFUSED[state]
    wait_until(lambda: answer(whale, "/readyz") == refused, what=str(refused))
    assert total(whale) == refused
    assert count(whale) == refused
    assert answer(whale, "/healthz") == (200, "OK\n")


# Parts that wait


def waits_with(redis_url: str, folder: Path, shards: str = "1") -> Part:
    """`hailwhale up` on a Redis that is not there yet."""
    binds = {name: f"127.0.0.1:{free_port()}" for name in ("HAIL_BIND", "WHALE_BIND")}
    data = str(folder / "var")
    settings = {"REDIS_URL": redis_url, "SHARDS": shards, "DATA_DIR": data, "LIVE_BIND": "", **binds}
    part = Part(f"{HAILWHALE} up", folder / "said", **settings)
    part.urls = [f"http://{bind}" for bind in binds.values()]
    return part


def ready(url: str) -> Any:
    """What /readyz says; None where nobody listens yet."""
    try:
        found = requests.get(f"{url}/readyz", timeout=20)
    except requests.ConnectionError:
        return None
    return found.status_code == 200 and found.json()["ready"]


def test_all_of_up_waits_for_a_cluster_that_is_away_and_for_slots_that_nobody_has(tmp_path: Path) -> None:
    with RedisCluster() as cluster:
        url = cluster.url.replace("redis://", "redis+cluster://")
        cluster.stop()
        with waits_with(url, tmp_path, shards="8") as up:
            hail, whale = up.urls
            wait_until(lambda: ready(hail), what="Hail")
            assert requests.get(f"{hail}/count?pk=t", timeout=20).text == "OK"
            first = up.first_line()
            assert first.startswith("up       | Redis Cluster: ")
            assert first.endswith("; Hail takes hits, and the other parts wait")
            cluster.start()
            slot = key_slot(Keys(ACCOUNT, 8).definitions().encode())
            owner = cluster.owner(slot)
            wait_until(lambda: ready(whale), what="Whale")
            with owner.client() as client:
                client.execute_command("CLUSTER DELSLOTS", slot)
                wait_until(lambda: not ready(whale), what="the slot to be missed")
                assert requests.get(f"{hail}/count?pk=t", timeout=20).text == "OK"
                client.execute_command("CLUSTER ADDSLOTS", slot)
            asked = f"{whale}/total?pk=t&metric=hits&period=today"
            wait_until(lambda: requests.get(asked, timeout=20).text == "2", what="both hits")
            up.process.terminate()
            assert up.process.wait(60) == 0
        said = up.output.read_text()
        assert "Traceback" not in said
        assert not [line for line in said.split("\n") if "ended with" in line]


def test_a_whale_of_another_wsgi_server_says_what_is_wrong(own_redis: RedisServer, monkeypatch: Any) -> None:
    connect(load({"HAILWHALE_REDIS_URL": own_redis.url, "HAILWHALE_SHARDS": "4"}))
    monkeypatch.setenv("HAILWHALE_REDIS_URL", own_redis.url)
    assert answer(Application(), "/pks") == (
        503,
        "HAILWHALE_SHARDS is 1, but this Redis was set up with 4: set it to 4",
    )


def test_nothing_is_queued_that_no_worker_could_count(
    own_redis: RedisServer, rabbitmq: RabbitMQ, unique: str, tmp_path: Path
) -> None:
    connect(load({"HAILWHALE_REDIS_URL": own_redis.url, "HAILWHALE_SHARDS": "4"}))
    rows, mapping = tmp_path / "rows.csv", tmp_path / "mapping.toml"
    rows.write_text("at\n2026-09-21\n")
    mapping.write_text(MAPPING)
    values = {"REDIS_URL": own_redis.url, "BROKER_URL": rabbitmq.url, "QUEUE": unique, "DATA_DIR": str(tmp_path)}
    sentence = "HAILWHALE_SHARDS is 1, but this Redis was set up with 4: set it to 4"
    done = ran(f"{HAILWHALE} import {rows} --mapping {mapping}", **values)
    assert done == (2, "", f"hailwhale: {sentence}\n")
    assert ran(CELERY, **values) == (2, "", f"worker: {sentence}\n")


def test_others_are_looked_after_while_redis_reads_its_data(tmp_path: Path, capsys: Any) -> None:
    slow = tmp_path / "redis-server"
    found = find_redis()
    slow.write_text(f'#!/bin/sh\nexec {found.path} "$@" --key-load-delay 200\n')
    slow.chmod(0o700)
    with EmbeddedRedis(tmp_path, RedisBinary(str(slow), found.version)) as embedded:
        client = redis.Redis(unix_socket_path=str(embedded.socket_path))
        client.eval("for i = 1, 10000 do redis.call('SET', 'default:' .. i, 1) end", 0)
        assert embedded.process
        part = SupervisedPart("stand-in", [sys.executable, "-c", "import time; time.sleep(600)"])
        part.start(os.environ)
        part.began -= LASTED_S + 1
        keeper = Keeper({"stand-in": part}, os.environ, embedded)
        embedded.process.kill()
        embedded.process.wait()
        assert part.process
        part.process.kill()
        part.process.wait()
        seen = set()

        def looked() -> bool:
            keeper.look()
            seen.add((part.running, keeper.redis_starts))
            return part.running and not keeper.redis_starts

        wait_until(looked, what="both to run again")
        part.stop(5, Stopping())
        assert (True, True) in seen, "the other one was started while Redis read its data"
        assert client.dbsize() == 10_000
        said = capsys.readouterr().out
        assert "redis was ended by SIGKILL: starting it again\n" in said
        assert "redis is running again\n" in said


def test_a_server_that_is_not_redis_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def answer_as_http() -> None:
            with contextlib.suppress(OSError):
                while True:
                    link, _ = other.accept()
                    with link:
                        link.recv(100)
                        link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer_as_http, daemon=True).start()
        url = f"redis://127.0.0.1:{other.getsockname()[1]}/0"
        sentence = "the server at HAILWHALE_REDIS_URL is not Redis: check its host and port"
        values = {"REDIS_URL": url, "DATA_DIR": str(tmp_path)}
        assert ran(f"{HAILWHALE} audit", **values) == (2, "", f"hailwhale: {sentence}\n")
        assert ran(f"{HAILWHALE} whale --bind 127.0.0.1:{free_port()}", **values) == (2, "", f"whale: {sentence}\n")
