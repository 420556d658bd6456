"""The stamp of a pk's cells, its dictionary's field `w`: whoever writes cells removes it in the same call, and nobody else does."""

from collections.abc import Callable
from typing import Any

import pytest

from hail.hit import MILLION
from hail.settings import DAY, Settings, load
from tests.contract.hits import NOW, in_columns, message, publisher_of, sums
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.errors import Unavailable
from whale.store import connect
from whale.store.contract.changes import Change
from whale.store.redis import RedisStore
from whale.store.redis.connection import Script, pack
from whale.store.redis.keys import STAMP, Keys

MINE = "0123456789abcdef"
PKS = (), ("t",), ("t", "child")
PLAIN = {"pk": ["t", "child"], "dimensions": {"c": "x"}, "metrics": {"price": 2}}
WIDE = [{"pk": ["t", "child"], "dimensions": {"c": str(i)}} for i in range(600)]
KINDS = {**PLAIN, "visitor": "v", "metrics": {"who": {"unique": "a"}, "low": {"min": 5}, "q": {"quantile": 5}}}


@pytest.fixture
def settings(module_redis: RedisServer) -> Settings:
    return load({"HAILWHALE_REDIS_URL": module_redis.url})


class Pks:
    """Of an account that was counted, with a stamp in each dictionary."""

    def __init__(self, settings: Settings, account: str, hits: list[dict[str, Any]]):
        self.account, self.settings, self.seq = account, settings, 0
        store = connect(settings)
        assert isinstance(store, RedisStore)
        self.store = store
        self.applier, self.keys = Applier(self.store, settings), Keys(account, int(settings.shards))
        self.count(hits)
        self.stamp()

    def count(self, hits: list[dict[str, Any]], version: int = 1) -> None:
        self.seq += 1
        name = publisher_of(self.account)
        given = message(hits, self.settings, self.account, self.seq, self.seq, name)
        self.applier.apply([given] if version == 1 else in_columns([given]), NOW)

    def key(self, pk: tuple[str, ...]) -> str:
        return self.keys.dictionary(*self.keys.pk(pk))

    def stamp(self) -> None:
        for pk in PKS:
            self.store.client.hset(self.key(pk), "w", MINE)

    def stamped(self) -> list[tuple[str, ...]]:
        return [pk for pk in PKS if self.store.client.hget(self.key(pk), "w") == MINE.encode()]


def change(amount: int = 7) -> Change:
    day = int(NOW // DAY * DAY)
    return Change("one", ("t", "child"), ("c", "x"), DAY, day, day + DAY, {"price": amount * MILLION})


def test_a_stamp_has_its_length() -> None:
    assert len(MINE) == STAMP == 16


@pytest.mark.parametrize("version", [1, 2])
def test_hits_remove_the_stamps_of_their_pks_and_count_once(settings: Settings, unique: str, version: int) -> None:
    pks = Pks(settings, unique, [PLAIN])
    pks.count([{**PLAIN, "pk": "t"}], version)
    assert pks.stamped() == [(), ("t", "child")]
    pks.count([PLAIN, *WIDE], version)
    assert pks.stamped() == [()]
    assert [sums(pks.store, unique, pk, [()]) for pk in PKS[1:]] == [[603], [602]]


def test_a_message_that_was_counted_before_leaves_them(settings: Settings, unique: str) -> None:
    pks = Pks(settings, unique, [PLAIN])
    pks.seq -= 1
    pks.count([PLAIN])
    assert pks.stamped() == [*PKS]


def test_setting_a_cell_removes_them_and_what_is_known_leaves_them(settings: Settings, unique: str) -> None:
    pks = Pks(settings, unique, [PLAIN])
    pks.store.set(unique, change(), NOW)
    assert pks.stamped() == [()]
    pks.stamp()
    pks.store.set(unique, change(), NOW)  # the same operation
    assert pks.stamped() == [*PKS]


def test_the_call_that_only_adds_a_difference_removes_it(settings: Settings, unique: str) -> None:
    pks = Pks(settings, unique, [PLAIN])
    pks.store.client.hdel(pks.key(("t", "child")), "w")
    pks.store.set(unique, change(), NOW)
    assert pks.stamped() == [()]


@pytest.mark.parametrize("hits", [[PLAIN], WIDE], ids=["hash", "strings"])
def test_sweeping_cells_of_a_path_removes_the_stamp(
    settings: Settings, unique: str, hits: list[dict[str, Any]]
) -> None:
    pks = Pks(settings, unique, hits)
    pks.store.reset(unique, ("t", "child"), ("c",), NOW + 1)
    assert pks.stamped() == [*PKS]  # its cells are still there
    while pks.store.sweep(unique, NOW + 2):
        pass
    assert pks.stamped() == [(), ("t",)]


def test_sweeping_a_string_of_zeros_removes_it(settings: Settings, unique: str) -> None:
    pks = Pks(settings, unique, [PLAIN])
    client = pks.store.client
    client.set(f"{pks.key(('t',))}:zeros", b"\0" * 16)
    Script(client, "newer", "sweep")([pks.key(("t",)), f"{pks.key(('t',))}:zeros"], ["dense", pack([5])])
    assert pks.stamped() == [(), ("t", "child")]


def test_a_pk_that_was_reset_has_none(settings: Settings, unique: str) -> None:
    pks = Pks(settings, unique, [PLAIN])
    pks.store.reset(unique, ("t", "child"), None, NOW + 1)
    assert pks.stamped() == [(), ("t",)]


def learn(pks: Pks) -> None:
    pks.store.numbers.list_pks(pks.account, pks.keys, [("t", "other")])
    dictionary = pks.store.numbers.known(pks.account, pks.keys, ("t",), [("new", "path")], ["new_metric"])
    assert dictionary


def mark(pks: Pks) -> None:
    """What an apply does before its cells are sent; which then is refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pks.store.writer, "_send", refused)
        with pytest.raises(Unavailable):
            pks.count([KINDS])
    assert pks.store.client.keys(f"{pks.account}:*:v:*")


def refused(*_: object) -> Any:
    raise Unavailable("not now")


def claim(pks: Pks) -> None:
    assert pks.store.claim(pks.account, [("an id", ("publisher", 1))], NOW) == set()


def look(pks: Pks) -> None:
    pks.store.spied(pks.account)
    pks.store.read(pks.account, ("t",), [()], ["hits"], DAY, [int(NOW // DAY * DAY)])


@pytest.mark.parametrize("act", [learn, mark, claim, look])
def test_what_writes_no_cell_leaves_them(settings: Settings, unique: str, act: Callable[[Pks], None]) -> None:
    pks = Pks(settings, unique, [PLAIN])
    act(pks)
    assert pks.stamped() == [*PKS]
