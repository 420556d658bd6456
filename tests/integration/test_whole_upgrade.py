"""A worker that remembers busy buckets beside the version before, and the way back: nothing is lost, doubled or missed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hail.hit import encode_hit, parse_hit
from hail.message import encode_message
from hail.settings import Settings, load
from tests.before import BEFORE_STAMPS, program_before
from tests.contract.hits import NOW, message, publisher_of, sums
from tests.farm import ROOT
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store import connect

PATHS = 300
APPLIES = """
import sys
from hail.message import decode_message
from hail.settings import load
from whale.count.apply import Applier
from whale.errors import Unavailable
from whale.store import connect
settings = load({"HAILWHALE_REDIS_URL": sys.argv[1]})
try:
    Applier(connect(settings), settings).apply([decode_message(sys.stdin.buffer.read())], float(sys.argv[2]))
    print("counted")
except Unavailable as error:
    print(error)
"""
WAITS = "this Redis holds data that only a later version of HailWhale may change"


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program_before(tmp_path_factory.mktemp("before"), BEFORE_STAMPS)


@pytest.fixture
def settings(own_redis: RedisServer) -> Settings:
    return load({"HAILWHALE_REDIS_URL": own_redis.url, "HAILWHALE_MIRROR_MB": "8"})


class Counting:
    """Messages of one publisher, each of PATHS hits of a pk, that go to this version or to the one before."""

    def __init__(self, settings: Settings, account: str, before: Path):
        self.settings, self.account, self.root = settings, account, before
        self.store = connect(settings)
        self.applier = Applier(self.store, settings)
        self.seq = 0

    def hits(self, pk: str) -> list[dict[str, object]]:
        return [{"pk": pk, "dimensions": {"c": f"n{i}"}, "metrics": {"m": 1}} for i in range(PATHS)]

    def here(self, pk: str = "t") -> None:
        self.seq += 1
        self.applier.apply(
            [message(self.hits(pk), self.settings, self.account, self.seq, 0, publisher_of(self.account))], NOW
        )

    def there(self, pk: str = "t", again: bool = False) -> str:
        """By the version before; what it said. again: the message that it had before."""
        self.seq += not again
        name = publisher_of(self.account)
        wire = [encode_hit(parse_hit(hit, self.settings, NOW)) for hit in self.hits(pk)]
        body = encode_message(name, self.seq, self.account, PATHS, int(NOW * 1000), wire)
        done = subprocess.run(
            [sys.executable, "-c", APPLIES, self.settings.redis_url, str(NOW)],
            input=body,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            cwd=self.root,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def counted(self, pk: str = "t") -> int:
        return sums(self.store, self.account, (pk,), [()])[0]


def test_the_version_before_waits_where_a_pk_is_remembered_and_counts_elsewhere(
    settings: Settings, unique: str, before: Path
) -> None:
    counting = Counting(settings, unique, before)
    for _ in range(3):
        counting.here()
    assert counting.there("u") == "counted\n"
    assert counting.there().startswith(WAITS)
    counting.here()
    assert counting.there(again=True).startswith(WAITS)
    assert (counting.counted(), counting.counted("u")) == (4 * PATHS, PATHS)
    assert [row.hits for row in counting.store.audit(unique)] == [5 * PATHS]


def test_what_it_counts_after_the_stamp_is_gone_is_seen(settings: Settings, unique: str, before: Path) -> None:
    counting = Counting(settings, unique, before)
    for _ in range(3):
        counting.here()
    assert counting.store.remove_stamps() == 1
    assert counting.there() == "counted\n"
    assert counting.there(again=True) == "counted\n"  # it was, and is not again
    for _ in range(3):
        counting.here()
    assert counting.counted() == 7 * PATHS


def test_the_way_back(settings: Settings, unique: str, before: Path) -> None:
    """Nothing is remembered any more, the command removes what was, and the version before counts."""
    counting = Counting(settings, unique, before)
    for _ in range(3):
        counting.here()
    given = {**os.environ, "HAILWHALE_REDIS_URL": settings.redis_url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "whale.cli", "unstamp"]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
    assert done.stdout == "the stamps of 1 pks are removed\n"
    assert counting.there() == "counted\n"
    assert counting.counted() == 4 * PATHS
    again = subprocess.run([*command, "--json"], env=given, capture_output=True, text=True, check=True)
    assert again.stdout == '{"pks": 0}\n'


def test_a_stamp_of_a_later_version_stays(settings: Settings, unique: str, before: Path) -> None:
    counting = Counting(settings, unique, before)
    counting.here()
    (key,) = [key for key in counting.store.client.keys(f"{unique}:*:n:*") if counting.store.client.hexists(key, "m:m")]
    counting.store.client.hset(key, "w", "17")
    assert counting.store.remove_stamps() == 0
    assert counting.store.client.hget(key, "w") == b"17"
    counting.store.client.hdel(key, "w")
