"""Data that a later version has begun to keep in another form: programs of this version change nothing of it, and lose nothing."""

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hail.hit import MILLION
from hail.message import ACCOUNT
from hail.settings import DAY, Settings, load
from tests.contract.hits import NOW, in_columns, message, publisher_of, sums
from tests.farm import Farm
from tests.killing import Importing
from tests.load import PKS
from tests.servers import RabbitMQ, RedisServer, wait_until
from tests.wsgi import call
from whale.client import Whale
from whale.count.apply import Applier
from whale.dimension import Pk
from whale.store import connect
from whale.store.contract.changes import Change
from whale.store.redis import RedisStore
from whale.store.redis.connection import Script, pack
from whale.store.redis.keys import Keys
from whale.store.redis.refusals import NewerData
from whale.web import make_app

SAID = "this Redis holds data that only a later version of HailWhale may change: use the release that wrote it; hits wait meanwhile"
KINDS = {"price": 2, "who": {"unique": "a"}, "level": {"last": 5}, "q": {"quantile": 5}}
HIT = {"pk": ["t", "child"], "dimensions": {"c": "x"}, "metrics": KINDS}


class Later:
    """What a later version leaves in the dictionary of a pk, and all that is kept."""

    def __init__(self, settings: Settings, account: str):
        self.store = redis_store(settings)
        self._client, self._keys = self.store.client, Keys(account, int(settings.shards))

    def key(self, *pk: str) -> str:
        return self._keys.dictionary(*self._keys.pk(pk))

    def begins(self, *pk: str) -> None:
        self._client.hset(self.key(*pk), "w", "17")

    def ends(self, *pk: str) -> None:
        assert self._client.hdel(self.key(*pk), "w") == 1

    def kept(self, *but: str) -> dict[bytes, bytes]:
        """but: keys that are not looked at."""
        return {key: self._client.dump(key) for key in self._client.keys("*") if key.decode() not in but}


def redis_store(settings: Settings) -> RedisStore:
    store = connect(settings)
    assert isinstance(store, RedisStore)
    return store


@pytest.fixture
def settings(module_redis: RedisServer) -> Settings:
    """One shard, so that all that a message adds is in one call; nothing is written after it."""
    return load({"HAILWHALE_REDIS_URL": module_redis.url, "HAILWHALE_SPY": "0"})


@pytest.fixture
def later(settings: Settings, unique: str) -> Later:
    return Later(settings, unique)


def plain(*pk: str) -> dict[str, Any]:
    return {"pk": list(pk), "dimensions": {"c": "x"}, "metrics": {"price": 2}}


def counted(settings: Settings, account: str, *pk: str) -> int:
    return sums(connect(settings), account, pk, [()])[0]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("above", [False, True], ids=["of the pk", "of the pk above"])
@pytest.mark.parametrize(
    ("script", "hit"), [("apply", plain("t", "child")), ("mark", HIT), ("intern", {**HIT, "dimensions": {"c": "new"}})]
)
def test_a_message_waits_and_is_counted_once_when_it_may_be(
    settings: Settings, later: Later, unique: str, script: str, hit: dict[str, Any], above: bool, version: int
) -> None:
    """Each of the scripts is the first that would write something; a new name gets its number in the other pk."""
    pk, other = ("t",) if above else ("t", "child"), later.key("t", *["child"] * above)
    applier = Applier(redis_store(settings), settings)
    name = publisher_of(unique)
    messages = [message(hits, settings, unique, seq, seq + 1, name) for seq, hits in enumerate(([HIT], [hit]))]
    first, second = messages if version == 1 else (in_columns([each])[0] for each in messages)
    applier.apply([first], NOW)
    later.begins(*pk)
    before = later.kept(other)
    for _ in range(2):
        with pytest.raises(NewerData) as refused:
            applier.apply([second], NOW)
    assert str(refused.value) == f"{SAID} ({json.dumps(pk, separators=(',', ':'))})"
    assert later.kept(other) == before
    assert counted(settings, unique, "t") == 1  # questions are answered
    later.ends(*pk)
    for _ in range(2):
        applier.apply([second], NOW)
    assert [counted(settings, unique, "t"), counted(settings, unique, "t", "child")] == [2, 2]
    assert [row.hits for row in later.store.audit(unique)] == [2]


def test_a_message_that_was_counted_before_is_done_with(settings: Settings, later: Later, unique: str) -> None:
    applier = Applier(redis_store(settings), settings)
    applier.apply([message([plain("t")], settings, unique)], NOW)
    later.begins("t")
    applier.apply([message([plain("t")], settings, unique)], NOW)
    later.ends("t")
    assert counted(settings, unique, "t") == 1


def test_the_rest_of_a_message_on_other_shards_counts_once_too(module_redis: RedisServer, unique: str) -> None:
    settings = load({"HAILWHALE_REDIS_URL": module_redis.url.removesuffix("0") + "1", "HAILWHALE_SHARDS": "4"})
    later = Later(settings, unique)
    pks = [f"pk{i}" for i in range(12)]
    applier = Applier(redis_store(settings), settings)
    first, second = (message(map(plain, pks), settings, unique, seq, 12 * (seq + 1)) for seq in range(2))
    applier.apply([first], NOW)
    later.begins("pk5")
    with pytest.raises(NewerData):
        applier.apply([second], NOW)
    later.ends("pk5")
    applier.apply([second], NOW)
    assert [counted(settings, unique, pk) for pk in pks] == [2] * 12
    assert [(row.hits, row.total, row.messages) for row in later.store.audit(unique)] == [(24, 24, 2)]


def change(id: str) -> Change:
    day = int(NOW // DAY * DAY)
    return Change(id, ("t", "child"), ("c", "x"), DAY, day, day + DAY, {"price": 7 * MILLION})


def set_cells(store: RedisStore, account: str) -> None:
    store.set(account, change("one"), NOW)


def reset_above(store: RedisStore, account: str) -> None:
    store.reset(account, ("t",), None, NOW + 1)


def reset(store: RedisStore, account: str) -> None:
    store.reset(account, ("t", "child"), None, NOW + 1)


def reset_path(store: RedisStore, account: str) -> None:
    store.reset(account, ("t", "child"), ("c", "x"), NOW + 1)


@pytest.mark.parametrize(
    ("write", "pk"),
    [(write, pk) for write in (set_cells, reset_above, reset) for pk in (("t",), ("t", "child"))]
    + [(reset_path, ("t", "child"))],
)
def test_nothing_is_set_or_reset(
    settings: Settings, later: Later, unique: str, write: Callable[[RedisStore, str], None], pk: Pk
) -> None:
    Applier(redis_store(settings), settings).apply([message([plain("t", "child")], settings, unique)], NOW)
    store = redis_store(settings)
    later.begins(*pk)
    before = later.kept()
    with pytest.raises(NewerData):
        write(store, unique)
    assert later.kept() == before
    later.ends(*pk)
    write(store, unique)
    assert later.kept() != before


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (("set", "apply"), [pack([[], ["token"], 0, 0, [[], [], 0]]), pack([]), pack(["f", 60, "", 0])]),
        (("reset",), ["all", "", "next"]),
        (("reset",), ["node", "", "token", "1", "0", "x"]),
        (("sweep",), ["fields", "", "", "0:x"]),
        (("sweep",), ["hash", pack([1])]),
        (("sweep",), ["dense", pack([1])]),
    ],
    ids=["set", "reset", "reset of a path", "sweep of fields", "sweep of a hash", "sweep of a string"],
)
def test_a_script_looks_itself_at_the_moment_when_it_writes(
    later: Later, unique: str, script: tuple[str, ...], words: list[Any]
) -> None:
    """A later version may begin between the look of the program and the script."""
    key, other = later.key("t"), f"{later.key('t')}:other"
    client = later.store.client
    client.hset(key, mapping={"g": "token", "0:x": "1", "pk": '["t"]'})
    client.hset(other, "1", "5")
    later.begins("t")
    before = later.kept()
    with pytest.raises(NewerData, match=r'\(\["t"\]\)'):
        Script(client, "newer", *script)(
            [key, other, f"{other}:faults", f"{other}:aside", f"{other}:record", f"{other}:scratch"], words
        )
    assert later.kept() == before


@pytest.mark.parametrize("path", [None, ("c", "x")], ids=["pk", "path"])
def test_what_a_reset_left_is_freed_when_it_may_be(
    settings: Settings, later: Later, unique: str, path: tuple[str, ...] | None
) -> None:
    Applier(redis_store(settings), settings).apply([message([HIT], settings, unique)], NOW)
    store = redis_store(settings)
    store.reset(unique, ("t", "child"), path, NOW + 1)
    dictionaries = ("t", "child"), ("t",), ()
    for pk in dictionaries:
        later.begins(*pk)
    before = later.kept()
    while store.sweep(unique, NOW + 2):
        pass
    assert later.kept() == before
    for pk in dictionaries:
        later.ends(*pk)
    while store.sweep(unique, NOW + 2):
        pass
    assert not store.client.exists(Keys(unique, int(settings.shards)).trash)
    assert later.kept().keys() < before.keys()


def test_whale_answers_503_and_names_no_pk(settings: Settings, later: Later, unique: str) -> None:
    whale = Whale.connect(settings, unique)
    app = make_app(settings, whale)
    assert call(app, "GET", "/count_now", {"pk": "t"}).text == "OK"
    later.begins("t")
    before = later.kept()
    for path, body in (
        ("/count_now", {"pk": "t"}),
        ("/update_count_to", {"pk": "t", "metrics": {"hits": 5}, "id": "one"}),
        ("/reset", {"pk": "t"}),
    ):
        answer = call(app, "POST", path, body=json.dumps(body).encode(), CONTENT_TYPE="application/json")
        assert (answer.status, answer.headers.get("Retry-After")) == (503, "1"), answer.text
        assert answer.json["detail"] == SAID
    assert later.kept() == before
    assert call(app, "GET", "/totals", {"pk": "t", "period": "1d"}).json == {"1d": {"_": {"hits": 1}}}
    later.ends("t")
    assert call(app, "GET", "/count_now", {"pk": "t"}).text == "OK"
    assert call(app, "GET", "/totals", {"pk": "t", "period": "1d"}).json == {"1d": {"_": {"hits": 2}}}


@pytest.mark.parametrize("has_broker", [True, False], ids=["worker", "hailwail"])
def test_hits_wait_while_programs_run_and_count_once_then(
    tmp_path: Path, own_redis: RedisServer, rabbitmq: RabbitMQ, unique: str, has_broker: bool
) -> None:
    with Farm(tmp_path, own_redis, rabbitmq if has_broker else None, queue=unique) as farm:
        counting = farm.worker if has_broker else farm.hailwail
        later = Later(farm.settings, ACCOUNT)
        with farm.load(unique) as load:
            load.counting(later.store)
            later.begins(unique)
            wait_until(lambda: f'{SAID} (["{unique}"])' in counting.said(), what="the program to say why it waits")
            before = load.total(later.store)
            load.more(100)
            counting.stop()  # while it waits
            counting.start()
            load.more(100)
            assert load.total(later.store) == before
            later.ends(unique)
            load.counting(later.store)
        farm.settle(load)
        assert "Traceback" not in counting.said()


@pytest.mark.long(part="kills")
@pytest.mark.parametrize("has_broker", [True, False], ids=["worker", "hailwail"])
def test_it_comes_and_goes_and_programs_are_killed_at_random(
    tmp_path: Path, own_redis: RedisServer, rabbitmq: RabbitMQ, unique: str, has_broker: bool
) -> None:
    chance, broker = random.Random(unique), rabbitmq if has_broker else None
    with Farm(tmp_path, own_redis, broker, queue=unique, shards=4) as farm:
        counting = farm.worker if has_broker else farm.hailwail
        later = Later(farm.settings, ACCOUNT)
        with farm.load(unique) as load:
            load.more(100)
            for _ in range(8):
                load.counting(later.store)
                pk = chance.choice([(unique,), (unique, str(chance.randrange(PKS)))])
                later.begins(*pk)
                time.sleep(chance.uniform(0, 0.5))
                if chance.random() < 0.5:
                    counting.kill9()
                    counting.start()
                later.ends(*pk)
        farm.settle(load)


def test_an_import_waits_and_counts_each_row_once_then(tmp_path: Path, own_redis: RedisServer) -> None:
    given = {**os.environ, "HAILWHALE_REDIS_URL": own_redis.url, "HAILWHALE_DATA_DIR": str(tmp_path)}
    settings, importing = load(given), Importing(tmp_path, given)
    importing.grow(90)
    importing.ends()
    later = Later(settings, ACCOUNT)
    later.begins("shop")
    importing.grow(90)
    process = importing.start()
    assert process.stderr
    line = next(line for line in process.stderr if "waiting" in line)
    assert line == f'import: waiting: {SAID} (["shop"])\n'
    assert Whale.connect(settings).total("shop", "sold", period="2016-01") == 180
    later.ends("shop")
    assert "90 of 90 new rows counted" in process.communicate(timeout=60)[1]
    assert Whale.connect(settings).total("shop", "sold", period="2016-01") == 360
