"""The promise without a broker: each accepted hit is counted once, whatever dies, comes twice or comes back.

Real Hail and hailwail on a real Redis 6.2, the spool as the queue, on four shards, while hits keep coming. After each
scenario the load's book is compared with the store value by value and the audit closes; after the last all of them once more.
"""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hail.columns import messages_of
from hail.spool import SpoolFolder, head_size, read_records, start_of
from tests.farm import ROOT, Farm
from tests.killing import kill_at_an_exact_place, kill_at_random_moments, kill_hail_and_its_master
from tests.older_aof import put_back_an_older_aof
from tests.servers import RedisServer, find_redis_62, wait_until
from whale.store.redis import connect

SHARDS = 4
LOGS = {"visitor_log": 1, "site_partitions": 3, "log_tail_records": 64}
"""Each hit is one of a site, so that it is logged, too; tails are packed every few seconds."""


@pytest.fixture(
    scope="module",
    params=[2, pytest.param(1, marks=pytest.mark.long(part="kills"))],
    ids="messages of version {}".format,
)
def running(
    request: pytest.FixtureRequest, redis_62: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Farm]:
    """One Hail and hailwail for all scenarios, on a Redis of their own."""
    folder, version = tmp_path_factory.mktemp("embedded"), request.param
    with (
        RedisServer(find_redis_62()) as redis,
        Farm(folder, redis, None, shards=SHARDS, message_version=version, **LOGS) as farm,
    ):
        yield farm


@pytest.fixture
def farm(running: Farm) -> Farm:
    """The same, with what the test before left dead running again."""
    running.redis.start()
    running.start()
    return running


def test_a_hail_process_killed_by_itself_and_with_its_master(farm: Farm, unique: str) -> None:
    kill_hail_and_its_master(farm, unique)


def test_hailwail_killed_at_random_moments(farm: Farm, unique: str) -> None:
    kill_at_random_moments(farm, farm.hailwail, unique)


@pytest.mark.parametrize(
    "fault", ["before-apply:3", "between-shards:3", "before-log:3", "among-logs:3", "before-pack:2", "after-apply:3"]
)
def test_hailwail_killed_at_an_exact_place(farm: Farm, unique: str, fault: str) -> None:
    kill_at_an_exact_place(farm, farm.hailwail, fault, unique)


def test_two_hailwails_at_once(farm: Farm, unique: str) -> None:
    farm.other_hailwail.start()
    with farm.load(unique) as load:
        for _ in range(2):
            load.more(100)
            farm.hail.kill9()  # its file is unlocked under both
            farm.hail.start()
            load.more(100)
            farm.hailwail.kill9()
            farm.hailwail.start()
    farm.settle(load)
    farm.other_hailwail.stop()


def test_every_message_twice(farm: Farm, unique: str) -> None:
    farm.hailwail.kill9()
    farm.hailwail.start("twice")
    with farm.load(unique) as load:
        load.more(200)
        copied = put_back(farm, kept_spool(farm), f"{unique}-1")
        load.more(200)
    kept = kept_spool(farm)
    farm.settle(load)
    copied |= put_back(farm, kept, f"{unique}-2")  # all of it is counted
    wait_until(lambda: not copied & set(farm.spool.names()), what="the copies to be applied")
    farm.settle(load)
    farm.hailwail.kill9()


def kept_spool(farm: Farm) -> list[Path]:
    """Copies of all files, outside of the spool."""
    kept = [Path(shutil.copy(farm.spool.path / each, farm.folder / f"{each}.kept")) for each in farm.spool.names()]
    assert kept
    return kept


def put_back(farm: Farm, kept: list[Path], name: str) -> set[str]:
    """Puts them into the spool under other names, as if somebody had put a backup back; these names."""
    names = {each: f"{each.stem}-{name}.spool" for each in kept}
    for each, other in names.items():
        shutil.move(each, farm.spool.path / other)
    return set(names.values())


def test_redis_killed_and_started_again(farm: Farm, unique: str) -> None:
    with farm.load(unique) as load:
        for _ in range(3):
            load.more(150)
            farm.redis.kill9()
            load.more(150)
            farm.redis.start()
        load.more(50)
    assert farm.hailwail.running
    assert not load.refused
    farm.settle(load)


def test_everything_killed_at_once(farm: Farm, unique: str) -> None:
    with farm.load(unique) as load:
        for _ in range(2):
            load.more(150)
            farm.close()
            farm.redis.kill9()
            farm.redis.start()
            farm.start()
        load.more(50)
    farm.settle(load)


def test_a_spool_file_cut_inside_its_last_record(farm: Farm, unique: str, tmp_path: Path) -> None:
    farm.hailwail.kill9()
    with farm.load(unique) as load:
        load.more(200)
        farm.hail.kill9()
    name = farm.spool.names()[-1]
    data = (farm.spool.path / name).read_bytes()
    bodies = [body for body in read_records(data, start_of(name)).messages if unique.encode() in body]
    last = head_size(start_of(name)) + len(bodies[-1])
    end = data.rindex(bodies[-1]) + len(bodies[-1])
    whole = {number for body in bodies[:-1] for number in numbers_in(body, unique)}
    for cut in (1, 10, head_size(start_of(name)), last // 2, last - 1):
        folder = SpoolFolder(tmp_path / str(cut))
        folder.path.mkdir(parents=True)
        (folder.path / name).write_bytes(data[: end - last + cut])
        with RedisServer() as redis:
            settings = farm.settings.replace(redis_url=redis.url)
            changed = {"HAILWHALE_DATA_DIR": str(tmp_path / str(cut)), "HAILWHALE_REDIS_URL": redis.url}
            done = subprocess.run(
                ["hailwail", "--apply"], env={**farm.hail.environ, **changed}, cwd=ROOT, capture_output=True, text=True
            )
            assert (done.returncode, folder.names()) == (0, []), done.stderr
            assert f"its last {cut} bytes are incomplete and were never accepted" in done.stderr
            assert load.counted(connect(settings)) == Counter(whole)
    farm.start()
    farm.settle(load)


def numbers_in(body: bytes, pk: str) -> list[int]:
    """The load's hits in a message."""
    hits = [hit for message in messages_of(body) for hit in message.hits]
    trees = [json.loads(bytes(hit.dimensions))["n"] for hit in hits if pk in json.loads(bytes(hit.pk))]
    return [int(value) for tree in trees for values in tree.values() for value in values]


def test_an_older_aof_under_a_running_hailwail(redis_62: RedisServer, unique: str, tmp_path: Path) -> None:
    with RedisServer(find_redis_62()) as redis, Farm(tmp_path, redis, None, shards=SHARDS, **LOGS) as farm:
        put_back_an_older_aof(farm, farm.hailwail, unique)


def test_at_the_end_nothing_is_left_and_all_is_still_counted_once(farm: Farm) -> None:
    farm.finish()
