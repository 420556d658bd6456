"""From the version before messages of version 2 to this one and back, on real servers: nothing is lost, and nothing counts twice.

The programs before come from git (tests/before.py). The steps are those of docs/deploy.md.
"""

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from hail.broker import Broker, dead_name
from hail.columns import encode
from hail.hit import parse_row
from hail.message import ACCOUNT, decode_message, encode_message
from hail.publish import Publisher
from hail.spool import MAGIC, MARKED, SpoolFolder, SpoolWriter, start_of
from tests.before import program_before
from tests.existing import make_accounts
from tests.farm import ROOT, Farm, Program
from tests.integration.test_starts_with_redis import rights
from tests.killing import Importing
from tests.servers import RabbitMQ, RedisServer, wait_until
from tests.taken import section_of
from tests.up import Up
from whale.client import Whale
from whale.health.audit import Look, audit
from whale.store.redis import connect

LONG = pytest.mark.long(part="kills")
VERSION = "HAILWHALE_MESSAGE_VERSION"
PKS = [f"p{i}" for i in range(6)]  # on several shards, where there are such


class Sender:
    """A process of Hail as far as its messages go, which are made here. sent: how many hits."""

    def __init__(self, version: int, name: str):
        self.sent = self._seq = 0
        self._version = version
        self._publisher = hashlib.sha256(f"{version} {name}".encode()).hexdigest()[:16]

    def next(self) -> bytes:
        """20 hits of each pk: enough for columns to be added up as such."""
        at_ms = int(time.time() * 1000)
        hits = [
            b'[["%b"],{"country":{"US":{}}},{"hits":1,"revenue":2500000},%d]' % (pk.encode(), at_ms) for pk in PKS
        ] * 20
        self.sent += len(hits)
        body = encode_message(self._publisher, self._seq, ACCOUNT, self.sent, at_ms, hits)
        if self._version == 2:
            section = section_of(ACCOUNT, self.sent, decode_message(body).hits)
            body = encode(self._publisher, self._seq, at_ms, [section])
        self._seq += 1
        return body

    def spool(self, farm: Farm, messages: int) -> str:
        """A sealed file; its name."""
        bodies = [self.next() for _ in range(messages)]
        writer = SpoolWriter(farm.spool, self._publisher, file_mb=2, limit_mb=100, marked=self._version == 2)
        writer.reserve(map(len, bodies))
        writer.append(bodies)
        writer.seal()
        return farm.spool.names()[-1]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = program_before(tmp_path_factory.mktemp("before"))
    said = subprocess.run(
        [sys.executable, "-c", "import hail, whale.count.hailwail; print(hail.__file__)"],
        cwd=root,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(said.stdout.strip()) == root / "hail" / "__init__.py"
    assert not (root / "hail" / "columns.py").exists()
    return root


@pytest.fixture
def farm(tmp_path: Path, own_redis: RedisServer, rabbitmq: RabbitMQ, unique: str) -> Iterator[Farm]:
    """Nothing of it runs yet. Its Redis user has the rights that docs/deploy.md lists."""
    own_redis.client().execute_command("ACL", "SETUSER", "hailwhale", *rights(), f"~{unique}-*", ">pw")
    url = own_redis.url.replace("redis://", "redis://hailwhale:pw@")
    with closing(Farm(tmp_path, own_redis, rabbitmq, queue=unique, shards=4, redis_url=url)) as farm:
        farm.settings = farm.settings.replace(visitor_log=False)  # the version before keeps no logs of sites
        yield farm


@pytest.fixture
def embedded(tmp_path: Path, own_redis: RedisServer) -> Iterator[Farm]:
    """The same without a broker: each message is an apply of its own, and on several shards."""
    with closing(Farm(tmp_path, own_redis, None, shards=4, apply_max_hits=len(PKS))) as farm:
        farm.settings = farm.settings.replace(visitor_log=False)
        yield farm


def send(farm: Farm, body: bytes) -> None:
    with closing(Broker(farm.settings)) as broker:
        broker.send([("one", body)], 30)


def counted(farm: Farm) -> list[int]:
    """The hits of each pk today, and of all publishers."""
    whale = Whale.connect(farm.settings)
    return [*(int(whale.total(pk, period="1d:2d")) for pk in PKS), sum(row.hits for row in whale.store.audit(ACCOUNT))]


def are_counted(farm: Farm, *senders: Sender) -> bool:
    hits = sum(sender.sent for sender in senders)
    return counted(farm) == [*[hits // len(PKS)] * len(PKS), hits]


def closes(farm: Farm) -> bool:
    return audit(connect(farm.settings), ACCOUNT, Look(farm.settings), wait_s=0).closes


def hailwhale(root: Path, farm: Farm, *words: str, code: int = 0) -> None:
    """Runs `hailwhale` of a version, which must end with that code."""
    command = [sys.executable, "-m", "whale.cli", *words]
    environ = {**farm.hail.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environ, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr


def restart(root: Path, *programs: Program, **settings: str) -> None:
    """settings: without the prefix."""
    for program in programs:
        program.stop()
        program.becomes(root)
        program.start(**{f"HAILWHALE_{name}": value for name, value in settings.items()})


# A message that a worker counted and did not acknowledge


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        ("before-ack", "before-ack:2"),
        *(pytest.param(each, each, marks=LONG) for each in ("before-apply", "between-shards", "after-apply")),
    ],
)
def test_a_message_of_version_1_counts_once_whichever_worker_is_killed(
    farm: Farm, before: Path, fault: str, again: str
) -> None:
    """again: of the worker before, which gets the first message again, and another one."""
    one = Sender(1, farm.queue)
    for root, word in ((ROOT, fault), (before, again), (ROOT, "")):
        farm.worker.becomes(root)
        farm.worker.start(word)
        send(farm, one.next())
        if word:
            farm.worker.dies()
    wait_until(lambda: are_counted(farm, one), what="the hits")
    wait_until(lambda: not farm.depth(), what="an empty queue")
    farm.worker.stop()
    assert farm.depth() == farm.depth(dead_name(farm.settings)) == 0
    assert are_counted(farm, one)
    assert farm.audit_closes()


def test_a_message_of_version_2_waits_with_the_dead_ones_of_a_worker_before(farm: Farm, before: Path) -> None:
    two, dead = Sender(2, farm.queue), dead_name(farm.settings)
    farm.worker.start("before-ack")
    send(farm, two.next())
    farm.worker.dies()
    assert are_counted(farm, two)
    first = counted(farm)
    farm.worker.becomes(before)
    farm.worker.start()
    send(farm, two.next())
    wait_until(lambda: farm.depth(dead) == 2, what="dead messages")
    farm.worker.stop()
    hailwhale(before, farm, "doctor", "--replay", code=1)  # leaves those that it cannot read
    assert farm.depth(dead) == 2
    assert counted(farm) == first
    assert closes(farm)
    farm.worker.becomes(ROOT)
    farm.worker.start()
    hailwhale(ROOT, farm, "doctor", "--replay")
    wait_until(lambda: are_counted(farm, two), what="the hits of both")
    farm.worker.stop()
    assert farm.depth() == farm.depth(dead) == 0
    assert are_counted(farm, two)
    assert farm.audit_closes()


# A spool file that hailwail counted in part


def test_a_spool_file_of_version_1_goes_from_hailwail_to_hailwail(embedded: Farm, before: Path) -> None:
    one = Sender(1, embedded.folder.name)
    one.spool(embedded, 5)
    for root, fault in ((ROOT, "between-shards:2"), (before, "between-shards:4"), (ROOT, "")):
        embedded.hailwail.becomes(root)
        embedded.hailwail.start(fault)
        if fault:
            embedded.hailwail.dies()
            assert not are_counted(embedded, one)
    wait_until(lambda: not embedded.spool.names(), what="an empty spool")
    assert are_counted(embedded, one)
    assert embedded.audit_closes()
    assert not list(embedded.spool.path.glob("*.damaged"))


def test_a_hailwail_before_sets_a_file_of_version_2_aside_whole_and_it_counts_once_when_it_is_given_back(
    embedded: Farm, before: Path
) -> None:
    """Therefore every hailwail is upgraded before a Hail writes such files: docs/deploy.md."""
    two = Sender(2, embedded.folder.name)
    name = two.spool(embedded, 5)
    data = (embedded.spool.path / name).read_bytes()
    embedded.hailwail.start("between-shards:2")
    embedded.hailwail.dies()
    some = counted(embedded)
    embedded.hailwail.becomes(before)
    embedded.hailwail.start()
    aside = embedded.spool.path / name.replace(".spool", ".damaged")
    wait_until(aside.exists, what="the file aside")
    embedded.hailwail.stop()
    assert aside.read_bytes() == data
    assert counted(embedded) == some
    aside.rename(aside.with_suffix(".spool"))
    embedded.hailwail.becomes(ROOT)
    embedded.hailwail.start()
    wait_until(lambda: not embedded.spool.names(), what="an empty spool")
    assert are_counted(embedded, two)
    assert embedded.audit_closes()


# An import


@pytest.mark.parametrize(
    ("begins", "shards"),
    [("before", 1), *(pytest.param(*each, marks=LONG) for each in (("before", 4), ("now", 1), ("now", 4)))],
)
def test_an_import_that_each_version_continues_counts_each_row_once(
    tmp_path: Path, own_redis: RedisServer, before: Path, begins: str, shards: int
) -> None:
    farm = Farm(tmp_path, own_redis, None, shards=shards, apply_max_hits=50)
    importing = Importing(tmp_path, farm.hail.environ)
    importing.grow(495)
    here, there = (before, ROOT) if begins == "before" else (ROOT, before)
    for importing.root, fault in ((here, "after-apply:3"), (there, "after-apply:6")):
        importing.dies(fault)
    importing.root = here
    assert "495 of 495 rows counted" in importing.ends()
    importing.root = there
    assert "nothing to count" in importing.ends()
    assert Whale.connect(farm.settings).total("shop", "sold", period="2016-01") == 990
    (row,) = connect(farm.settings).audit(ACCOUNT)
    assert (row.hits, row.total, row.messages) == (495, 495, 10)
    assert farm.audit_closes()


@pytest.mark.long(part="kills")
@pytest.mark.parametrize("begins", ["before", "now"])
def test_an_import_through_workers_of_each_version_counts_each_row_once(
    farm: Farm, tmp_path: Path, before: Path, begins: str
) -> None:
    importing, store = Importing(tmp_path, farm.hail.environ), connect(farm.settings)
    importing.grow(4950)
    here, there = (before, ROOT) if begins == "before" else (ROOT, before)
    importing.root = here
    farm.worker.becomes(here)
    farm.worker.start("before-ack:20")
    importing.dies("after-send")
    importing.root = there
    assert "4,950 of 4,950 rows handed to RabbitMQ" in importing.ends()
    farm.worker.dies()
    restart(there, farm.worker)
    wait_until(lambda: sum(row.hits for row in store.audit(ACCOUNT)) == 4950 and not farm.depth(), what="all rows")
    farm.worker.stop()
    assert Whale.connect(farm.settings).total("shop", "sold", period="2016-01") == 2 * 4950
    (row,) = store.audit(ACCOUNT)
    assert (row.hits, row.total, row.messages) == (4950, 4950, 99)
    assert farm.depth() == farm.depth(dead_name(farm.settings)) == 0
    assert farm.audit_closes()


# All of it


def test_an_upgrade_and_the_way_back_lose_and_double_nothing(farm: Farm, before: Path, unique: str) -> None:
    readers, store = (farm.worker, farm.hailwail), connect(farm.settings)
    restart(before, *readers, farm.hail)
    farm.wait_for_hail()
    with farm.load(f"{unique}-there") as there:
        there.counting(store)
        restart(ROOT, *readers)
        there.more(50)
        restart(ROOT, farm.hail, MESSAGE_VERSION="2", BROKER_URL="amqp://127.0.0.1:1//")  # by the spool and the queue
        farm.wait_for_hail("down")
        there.more(50)
        wait_until(lambda: any(start_of(name) != MAGIC for name in farm.spool.names()), what="a file of version 2")
        restart(ROOT, farm.hail, MESSAGE_VERSION="1")
        farm.wait_for_hail()
        there.more(50)
    farm.settle(there)
    with farm.load(f"{unique}-back") as back:
        restart(before, farm.hail, *readers)
        farm.wait_for_hail()
        back.more(50)
    farm.settle(back)
    there.check(store)
    hailwhale(before, farm, "audit")
    farm.hail.environ[VERSION] = "1"
    hailwhale(before, farm, "audit", code=2)  # a setting that it does not know


@pytest.mark.long(part="kills")
def test_one_machine_is_upgraded_and_goes_back(tmp_path: Path, before: Path) -> None:
    """`hailwhale up` writes version 2 by itself."""
    up = Up(tmp_path / "var")
    folder = SpoolFolder(tmp_path / "var")
    written = set[bytes]()
    for turn, (root, settings) in enumerate(((before, {}), (ROOT, {}), (ROOT, {VERSION: "1"}), (before, {})), 1):
        up.root = root
        up.environ = {**{name: value for name, value in up.environ.items() if name != VERSION}, **settings}
        up.start()
        up.count(10)
        written.update(start_of(name)[:4] for name in folder.names())
        wait_until(lambda turn=turn: up.counted()["hits"] == 10 * turn, what="the hits")
        assert up.stop(signal.SIGTERM) == 0
        assert (folder.names(), list(folder.path.glob("*.damaged"))) == ([], [])
    assert written == {MAGIC, MARKED}


@pytest.mark.long(part="kills")
def test_versions_that_take_turns_and_are_killed_at_random_count_each_hit_once(
    farm: Farm, before: Path, unique: str
) -> None:
    """A farm in the midst of an upgrade: its Hail writes what both can read."""
    chance, store = random.Random(unique), connect(farm.settings)
    farm.start()
    with farm.load(unique) as load:
        for turn in range(16):
            program = chance.choice([farm.worker, farm.hailwail, farm.hail])
            time.sleep(chance.uniform(0, 0.3))
            program.kill9()
            program.becomes(chance.choice([before, ROOT]))
            program.start()
            load.more(30)
            if turn % 4 == 3:
                load.counting(store)
    farm.settle(load)


# A farm of which one Hail writes version 1 and another one version 2


def test_two_hails_that_disagree_close_the_audit_of_each_account(farm: Farm, unique: str) -> None:
    """Many accounts come by one publisher of each version. A slow broker sends some by the spool."""
    farm.worker.start()
    farm.hailwail.start()
    accounts = [f"{unique}-{i}" for i in range(16)]
    make_accounts(connect(farm.settings), *accounts)
    row, cells, _ = parse_row({"pk": "shop", "dimensions": {"country": "US"}}, farm.settings, time.time())
    publishers = [Publisher(farm.settings.replace(message_version=version)) for version in (1, 2)]

    def publish(publisher: Publisher, account: str, hits: int) -> None:
        publisher.publish(account, publisher.pack(*[(row, cells)] * hits))

    with ThreadPoolExecutor(32) as pool:
        turns = [
            (publisher, account, 1 + turn) for turn in range(4) for account in accounts for publisher in publishers
        ]
        assert [*pool.map(lambda turn: publish(*turn), turns)] == [None] * len(turns)
    for publisher in publishers:
        publisher.close()
    store = connect(farm.settings)
    for account in accounts:
        wait_until(lambda account=account: sum(row.hits for row in store.audit(account)) == 20, what="the hits")
        done = audit(store, account, Look(farm.settings), wait_s=0)
        assert (done.closes, done.whole.accepted, done.whole.missing) == (True, 20, 0)
