"""doctor and audit on real servers: what is wrong is said, dead messages are shown and replayed, each counts once."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hail.broker import Broker, BrokerFailed, dead_name
from hail.message import ACCOUNT, encode_message
from hail.settings import DAY, Settings, load
from hail.spool import SpoolFolder, SpoolWriter
from tests.servers import RabbitMQ, RedisCluster, RedisServer, free_port, wait_until
from whale.client import Whale
from whale.commands.doctor import findings
from whale.commands.finding import WRONG
from whale.commands.supervisor import worker_command

NOW = 1_795_300_800.0
ONE, TWO = "1" * 16, "2" * 16


def body(seq: int, hits: int = 1, total: int | None = None) -> bytes:
    hit = b'[["doctored"],{},{"hits":1},%d]' % int(NOW * 1000)
    return encode_message(ONE, seq, "default", total or seq + hits, int(NOW * 1000), [hit] * hits)


@pytest.fixture
def settings(own_redis: RedisServer, rabbitmq: RabbitMQ, unique: str, tmp_path: Path) -> Settings:
    return load({}).replace(
        redis_url=own_redis.url, broker_url=rabbitmq.url, queue=unique, data_dir=str(tmp_path), delivery_limit=3
    )


def environ(settings: Settings) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
    names = ("redis_url", "broker_url", "queue", "data_dir", "delivery_limit", "queue_max_messages")
    return own | {f"HAILWHALE_{name.upper()}": str(getattr(settings, name)) for name in names}


def run(settings: Settings, *words: str) -> Result:
    from whale.cli import main

    return CliRunner(env=environ(settings)).invoke(main, words)


def send(settings: Settings, *bodies: bytes) -> None:
    broker = Broker(settings)
    broker.send([(f"{ONE}-{i}", body) for i, body in enumerate(bodies)], 10)
    broker.close()


def kill_messages(settings: Settings, rabbitmq: RabbitMQ, count: int) -> None:
    """Rejects what waits, as a worker does with what it cannot read."""
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        for _ in range(count):
            got = wait_until(lambda: channel.basic_get(settings.queue), what="a message")
            channel.basic_reject(got.delivery_tag, requeue=False)
    wait_until(lambda: rabbitmq.depth(dead_name(settings)) == count, what="dead messages")


@pytest.fixture
def worker(settings: Settings) -> Iterator[None]:
    process = subprocess.Popen(worker_command(settings), env=environ(settings), stderr=subprocess.DEVNULL)
    yield
    process.terminate()
    process.wait(60)


def wrong(settings: Settings, now: float = NOW) -> dict[str, str]:
    """What is wrong, by what it is about."""
    found: dict[str, str] = {}
    for finding in findings(settings, now):
        if finding.state == WRONG:
            found[finding.about] = "; ".join(filter(None, (found.get(finding.about), finding.text)))
    return found


def test_a_fresh_farm_lacks_only_its_worker(settings: Settings) -> None:
    send(settings)
    assert wrong(settings) == {
        f"queue {settings.queue}": "no worker reads it, 0 messages wait: start `hailwhale worker`"
    }
    said = run(settings, "doctor")
    assert (said.exit_code, said.output.splitlines()[-1]) == (1, "1 wrong")


def test_all_is_well_with_a_worker(settings: Settings, worker: None) -> None:
    wait_until(lambda: not wrong(settings), what="the worker")
    said = run(settings, "doctor")
    assert (said.exit_code, said.output.splitlines()[-1]) == (0, "all is well")
    assert "ok    Redis: version 7" in said.output


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("appendonly", "no", "no append-only file, so its counts are lost when it stops"),
        ("maxmemory-policy", "allkeys-lru", "it has maxmemory-policy allkeys-lru, so it may evict counts: CONFIG"),
        ("hash-max-listpack-entries", "128", "hash-max-listpack-entries is 128: counts take several times the memory"),
        ("maxmemory", "1mb", "raise maxmemory, because a full Redis counts nothing"),
    ],
)
def test_a_setting_of_redis_that_loses_counts_is_wrong(own_redis: RedisServer, key: str, value: str, text: str) -> None:
    settings = load({}).replace(redis_url=own_redis.url)
    assert "Redis" not in wrong(settings)
    own_redis.client().config_set(key, value)
    assert text in wrong(settings)["Redis"]


def test_a_redis_that_evicts_is_said_at_the_start_and_by_audit_and_doctor(
    own_redis: RedisServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings, client = settings.replace(redis_url=own_redis.url, broker_url=""), own_redis.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    for _ in range(2):
        Whale.connect(settings).count_now("x")
    warned = [each.message for each in caplog.records if "maxmemory-policy allkeys-lru" in each.message]
    assert len(warned) == 1
    assert "so it may evict counts: CONFIG SET maxmemory-policy noeviction" in warned[0]
    whole = run(settings, "audit", "--wait", "0")
    assert whole.exit_code == 0, whole.output
    client.config_set("maxmemory", client.info()["used_memory"] + 20_000)
    for i in range(50):
        client.set(f"other{i}", "x" * 1000)
    client.config_set("maxmemory", 0)
    gone = client.info("stats")["evicted_keys"]
    assert gone
    torn = run(settings, "audit", "--wait", "0")
    assert torn.exit_code == 1, torn.output
    assert f"Redis has evicted {gone} keys since its start" in torn.output
    assert "the sums do not add up" in torn.output
    found = [finding.text for finding in findings(settings, NOW) if finding.about == "Redis"]
    assert any(f"it has evicted {gone} keys since its start" in text for text in found)


def test_redis_62_names_its_setting_in_its_own_way(redis_62: RedisServer) -> None:
    settings = load({}).replace(redis_url=redis_62.url)
    assert "Redis" not in wrong(settings)
    redis_62.client().config_set("hash-max-ziplist-entries", "128")
    try:
        assert "CONFIG SET hash-max-ziplist-entries 512" in wrong(settings)["Redis"]
    finally:
        redis_62.client().config_set("hash-max-ziplist-entries", "512")


def test_every_node_of_a_cluster_is_asked(redis_cluster: RedisCluster) -> None:
    url = f"redis+cluster://127.0.0.1:{redis_cluster.nodes[0].port}"
    about = [finding.about for finding in findings(load({}).replace(redis_url=url), NOW) if "version" in finding.text]
    assert sorted(about) == sorted(f"Redis 127.0.0.1:{node.port}" for node in redis_cluster.nodes)


def test_servers_that_are_away_and_other_shards_are_said(settings: Settings, tmp_path: Path) -> None:
    Whale.connect(settings).count_now("x")
    found = wrong(settings.replace(shards=64, broker_url=f"amqp://127.0.0.1:{free_port()}//"))
    assert found["Redis"] == "HAILWHALE_SHARDS is 64, but this Redis was set up with 1: set it to 1"
    assert "(HAILWHALE_BROKER_URL): start it, or correct the setting; hits go to the spool" in found["RabbitMQ"]
    found = wrong(settings.replace(redis_url=f"redis://:secret@127.0.0.1:{free_port()}"))
    assert "does not answer" in found["Redis"]
    assert "secret" not in found["Redis"]
    assert "start it with `hailwhale up`" in wrong(settings.replace(redis_url=""))["Redis"]
    assert run(settings.replace(data_dir=str(tmp_path / "x"), redis_url=""), "audit").exit_code == 2


def test_doctor_writes_nothing_to_a_fresh_redis(own_redis: RedisServer) -> None:
    list(findings(load({}).replace(redis_url=own_redis.url, shards=64), NOW))
    assert own_redis.client().keys() == []


def test_a_queue_that_was_made_in_another_way_is_wrong(settings: Settings, rabbitmq: RabbitMQ) -> None:
    send(settings)
    text = wrong(settings.replace(queue_max_messages=5))[f"queue {settings.queue}"]
    assert "was created with HAILWHALE_QUEUE_MAX_MESSAGES=20000, but this process has 5: restore the value" in text
    with rabbitmq.connect() as connection:
        connection.channel().queue_delete(settings.queue)
        connection.channel().queue_declare(settings.queue, durable=True, auto_delete=False)
    assert "x-dead-letter-exchange" in wrong(settings)[f"queue {settings.queue}"]


def test_a_spool_that_nobody_reads_is_wrong(settings: Settings) -> None:
    writer = SpoolWriter(SpoolFolder(settings.data_dir), ONE, 2, 10)
    writer.reserve([len(body(0))])
    assert "spool" not in wrong(settings, NOW + 100)  # ready, but empty
    writer.append([body(0)])
    assert "spool" not in wrong(settings, NOW + 10)
    assert "1 file, the oldest of 2 min; no process hands them on" in wrong(settings, NOW + 120)["spool"]
    assert "the oldest of 3 d, which is too old: run `hailwail --force`" in wrong(settings, NOW + 3 * DAY)["spool"]
    (SpoolFolder(settings.data_dir).path / "1-x.damaged").touch()
    assert "1-x.damaged" in wrong(settings)["spool"]
    writer.seal()


def test_too_old_and_dated_ahead_are_told_of_any_file(settings: Settings) -> None:
    folder = SpoolFolder(settings.data_dir)
    for publisher, at in ((ONE, NOW), (TWO, NOW - 3 * DAY)):
        writer = SpoolWriter(folder, publisher, 2, 10)
        message = encode_message(publisher, 0, ACCOUNT, 0, int(at * 1000), [])
        writer.reserve([len(message)])
        writer.append([message])
        writer.seal()
    assert "2 files, the oldest of 3 d, which is too old" in wrong(settings, NOW + 1)["spool"]
    said = [finding.text for finding in findings(settings, NOW - 3 * DAY) if finding.about == "spool"]
    assert said == ["2 files, one of them dated 3 d in the future: check this machine's clock"]


def test_dead_messages_are_shown_and_replayed_and_count_once(settings: Settings, rabbitmq: RabbitMQ) -> None:
    send(settings, body(0, 2), body(1, 3, 5), b"garbage")
    kill_messages(settings, rabbitmq, 3)
    assert "3 dead messages" in wrong(settings)[f"queue {dead_name(settings)}"]
    shown = run(settings, "doctor", "--dead")
    assert shown.exit_code == 1
    lines = shown.output.splitlines()
    assert sorted(line.rpartition(", ")[0] for line in lines[:3]) == [
        f"{ONE}-0: 2 hits, rejected",
        f"{ONE}-1: 3 hits, rejected",
        f"{ONE}-2: cannot be read, 7 bytes, rejected",
    ]
    assert lines[3:] == ["3 dead messages"]
    wait_until(lambda: rabbitmq.depth(dead_name(settings)) == 3, what="all again: looking takes none away")
    audit = run(settings, "audit", "--wait", "0")
    assert audit.exit_code == 0, audit.output
    assert f"{ONE}\t5\t0\t0\t0\t0\t0\t5\t0" in audit.output
    assert "1 unreadable messages with an unknown number of hits " in audit.output

    wait_until(lambda: rabbitmq.depth(dead_name(settings)) == 3, what="all again")
    absent = run(settings, "doctor", "--replay", "nothing-1")
    assert (absent.exit_code, absent.output) == (1, "nothing-1: is not among the dead messages\n0 messages replayed\n")
    wait_until(lambda: rabbitmq.depth(dead_name(settings)) == 3, what="all again")
    one = run(settings, "doctor", "--replay", f"{ONE}-1")
    assert (one.exit_code, one.output.splitlines()[-1]) == (0, "1 messages replayed")
    assert rabbitmq.depth(settings.queue) == 1
    wait_until(lambda: rabbitmq.depth(dead_name(settings)) == 2, what="the others again")
    rest = run(settings, "doctor", "--replay")
    assert (rest.exit_code, rest.output.splitlines()[-1]) == (1, "1 messages replayed, 1 cannot be read and stay")
    waiting = run(settings, "audit", "--wait", "0")
    assert (waiting.exit_code, "in flight" in waiting.output) == (0, True)

    process = subprocess.Popen(worker_command(settings), env=environ(settings), stderr=subprocess.DEVNULL)
    store = Whale.connect(settings).store
    try:
        wait_until(lambda: sum(row.hits for row in store.audit("default")) == 5, what="what was replayed")
        counted = run(settings, "audit", "--wait", "100")
    finally:
        process.terminate()
        process.wait(60)
    assert counted.exit_code == 0, counted.output
    assert f"{ONE}\t5\t5\t0\t0\t0\t0\t0\t0" in counted.output


def test_a_lost_message_is_found_by_name(settings: Settings, worker: None) -> None:
    send(settings, body(0, 2), body(2, 1, 7))
    store = Whale.connect(settings).store
    wait_until(lambda: sum(row.hits for row in store.audit("default")) == 3, what="what was sent")
    audit = run(settings, "audit", "--wait", "0.5")
    assert audit.exit_code == 1
    assert f"{ONE}: 4 accepted hits are missing: lost, or still held by the process" in audit.output
    assert "the sums do not add up" in audit.output


def test_replay_that_is_refused_keeps_the_message(settings: Settings, rabbitmq: RabbitMQ) -> None:
    full = settings.replace(queue_max_messages=1)
    send(full, body(0))
    kill_messages(full, rabbitmq, 1)

    def fill() -> None:  # a quorum queue takes some more before it refuses
        for seq in range(1, 1000):
            send(full, body(seq))

    with pytest.raises(BrokerFailed, match="refused"):
        fill()
    refused = run(full, "doctor", "--replay")
    assert refused.exit_code == 2
    assert "after 0 messages: refused" in refused.stderr
    wait_until(lambda: rabbitmq.depth(dead_name(full)) == 1, what="the dead message again")


def test_a_metric_of_two_kinds_is_named_until_it_was_seen(settings: Settings, worker: None) -> None:
    whale = Whale.connect(settings)
    whale.count_now(["shop", "a"], None, {"revenue": 5})
    whale.count_now(["shop", "a"], None, {"revenue": {"max": 5}})
    found = wrong(settings)["store"]
    assert found.startswith('15 cells could not be added (mixed_kinds): revenue of shop, revenue of ["shop","a"]: ')
    assert found.endswith("acknowledge them with `hailwhale doctor --seen`")
    wait_until(lambda: list(wrong(settings)) == ["store"], what="the worker")
    said = run(settings, "doctor", "--seen")
    assert (said.exit_code, said.output.splitlines()[-1]) == (0, "all is well")
    assert "15 cells could not be added (mixed_kinds), all acknowledged" in said.output
    Whale.connect(settings).count_now("shop", None, {"revenue": {"max": 5}})
    assert wrong(settings)["store"].startswith("5 cells could not be added (mixed_kinds): revenue of shop")
