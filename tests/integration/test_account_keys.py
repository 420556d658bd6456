"""Keys of accounts on a farm: two Hails learn of them from one Whale, keep them while it is away, and follow a Redis that went back."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from hail.hit import Reason
from hail.message import ACCOUNT
from hail.settings import DAY
from tests.farm import PROCFILE, Farm, Program
from tests.servers import RedisServer, free_port, wait_until
from whale.accounts import Account, Act, Key, Site, new_key, revoked
from whale.health.audit import Audit, Line, Look, close
from whale.store.redis import RedisStore, connect

ACT = Act(0, "a test", "did", "default", "it")
SHOP = Account("shopshopsh", "shop", "UTC", 0)


class Keys:
    """A farm without a broker, whose Whale runs, and a second Hail with a folder of its own that nobody may enter without a key."""

    def __init__(self, farm: Farm, folder: Path):
        self.farm = farm
        bind = f"127.0.0.1:{free_port()}"
        other = {"HAIL_BIND": bind, "DATA_DIR": str(folder), "WHALE_URL": farm.whale_url}
        environ = {**farm.hail.environ, **{f"HAILWHALE_{name}": value for name, value in other.items()}}
        self.other = Program("other hail", PROCFILE["hail"], environ, farm.folder)
        self.urls = (farm.url, f"http://{bind}")
        self.store: RedisStore = connect(farm.settings)
        self.other.start()
        for url in self.urls:
            wait_until(lambda url=url: self.age(url) is not None, 60, "a directory")

    def key(self, site: str | None = None) -> tuple[Key, str]:
        key, secret = new_key(SHOP.id, "write", site, os.urandom(36), time.time())
        self.store.add_entry(key, ACT)
        return key, secret

    def readyz(self, url: str) -> dict[str, Any]:
        try:
            state: dict[str, Any] = requests.get(f"{url}/readyz", timeout=20).json()
        except requests.RequestException:
            return {}
        return state

    def age(self, url: str) -> float | None:
        found: float | None = self.readyz(url).get("directory_age_s")
        return found

    def count(self, url: str, secret: str) -> int:
        """The status of the answer."""
        return requests.get(f"{url}/count", {"pk": "web", "key": secret}, timeout=20).status_code

    def count_at_each(self, secret: str) -> list[int]:
        return [self.count(url, secret) for url in self.urls]

    def wait_for(self, status: int, secret: str) -> None:
        for url in self.urls:
            wait_until(lambda url=url: self.count(url, secret) == status, 60, f"{status} at {url}", pause_s=0.1)

    def counted(self) -> int:
        now = int(time.time())
        days = range(now // DAY * DAY - DAY, now + 1, DAY)
        return int(self.store.read(SHOP.id, ("web",), [()], ["hits"], DAY, list(days)).sum())


@pytest.fixture
def keys(tmp_path: Path, own_redis: RedisServer) -> Iterator[Keys]:
    folder = tmp_path / "other"
    folder.mkdir()
    with Farm(tmp_path, own_redis, None, internal_key="i" * 32) as farm:
        farm.start_whale()
        found = Keys(farm, folder)
        found.store.add_entry(SHOP, ACT)
        yield found
        found.other.kill9()


def test_a_key_is_good_at_each_hail_until_it_is_revoked(keys: Keys) -> None:
    key, secret = keys.key()
    assert keys.count_at_each("") == [200, 401]
    keys.wait_for(200, secret)
    hits = keys.counted()
    assert keys.count(keys.farm.url, secret) == 200
    wait_until(lambda: keys.counted() > hits, 60, "the hit of the account")
    keys.store.change_entry(key, revoked(key, int(time.time())), ACT)
    keys.wait_for(401, secret)


def test_while_whale_is_away_keys_stay_as_last_known_and_the_worker_drops_what_ended(keys: Keys) -> None:
    key, secret = keys.key()
    keys.wait_for(200, secret)
    keys.farm.whale.kill9()
    keys.other.kill9()
    keys.other.start()
    for url in keys.urls:
        wait_until(lambda url=url: (keys.age(url) or 0) > 2, 60, "an old directory")
    assert keys.count_at_each(secret) == [200, 200]
    _, later = keys.key()
    assert keys.count_at_each(later) == [401, 401]
    keys.store.change_entry(key, revoked(key, int(time.time()) - 60), ACT)
    assert keys.count_at_each(secret) == [200, 200]

    def dropped() -> int:
        return close(keys.store, SHOP.id, Look(keys.farm.settings)()).whole.dropped.get(Reason.REVOKED_KEY, 0)

    wait_until(lambda: keys.count(keys.farm.url, secret) == 200 and dropped(), 60, "a hit that is dropped", pause_s=0.2)
    wait_until(lambda: close(keys.store, SHOP.id, Look(keys.farm.settings)()).closes, 60, "the audit", pause_s=0.2)
    keys.farm.start_whale()
    keys.wait_for(401, secret)
    keys.wait_for(200, later)


def test_hits_of_a_site_that_is_removed_count_until_then_and_are_dropped_after(keys: Keys) -> None:
    site = Site(SHOP.id, "web")
    keys.store.add_entry(site, ACT)
    key, secret = keys.key(site="web")
    keys.wait_for(200, secret)

    def books() -> Line:
        return close(keys.store, SHOP.id, Look(keys.farm.settings)()).whole

    wait_until(lambda: 0 < books().accepted == books().counted, 60, "the first hits")
    keys.farm.hailwail.kill9()
    hits = keys.counted()
    assert keys.count(keys.farm.url, secret) == 200  # waits in the spool while its site goes
    keys.farm.whale.kill9()
    for entry in (key, site):
        keys.store.remove_entry(entry, replace(ACT, at_ms=int(time.time() * 1000)))
    keys.farm.hailwail.start()
    wait_until(lambda: keys.counted() > hits and not books().spooled, 60, "the hit that came before")
    assert (keys.counted(), books().dropped) == (hits + 1, {})
    wait_until(
        lambda: keys.count(keys.farm.url, secret) == 200 and Reason.UNKNOWN_SITE in books().dropped, 60, "a drop"
    )
    wait_until(lambda: close(keys.store, SHOP.id, Look(keys.farm.settings)()).closes, 60, "the audit", pause_s=0.2)
    assert {*books().dropped} == {Reason.UNKNOWN_SITE}


def test_hits_that_come_before_whale_ever_answered_find_their_account(tmp_path: Path, own_redis: RedisServer) -> None:
    stranger = f"hw_w_{'x' * 43}"
    with Farm(tmp_path, own_redis, None, internal_key="i" * 32, message_version=2) as farm:
        store = connect(farm.settings)
        store.add_entry(SHOP, ACT)
        key, secret = new_key(SHOP.id, "write", None, os.urandom(36), time.time())
        store.add_entry(key, ACT)

        def count(secret: str, number: int = 1) -> list[int]:
            hits = [{"pk": "web"}] * number
            answer = requests.post(f"{farm.url}/batch", json=hits, params={"key": secret}, timeout=20)
            return [answer.status_code, answer.json().get("accepted", 0)]

        def books(account: str) -> Audit:
            return close(store, account, Look(farm.settings)())

        farm.hailwail.kill9()
        assert [count(secret, 3), count(stranger, 2), count(secret, 40)] == [[202, 3], [202, 2], [202, 40]]
        store.change_entry(key, revoked(key, int(time.time())), ACT)
        farm.hailwail.start()
        wait_until(lambda: books(SHOP.id).whole.counted == 43, 60, "the hits of the account")
        farm.hailwail.kill9()
        assert count(secret, 2) == [202, 2]
        farm.hail.kill9()
        farm.start()
        wait_until(lambda: not books(ACCOUNT).whole.spooled, 60, "what a killed Hail left")
        assert (books(ACCOUNT).closes, books(SHOP.id).closes) == (True, True)
        everything, mine = books(ACCOUNT).whole, books(SHOP.id).whole
        assert (everything.accepted, everything.dropped) == (47, {Reason.UNKNOWN_ACCOUNT: 2})
        assert mine.accepted == mine.counted + sum(mine.dropped.values()) == 45
        assert mine.dropped.keys() <= {Reason.REVOKED_KEY}
        farm.start_whale()
        wait_until(lambda: [count(each)[0] for each in (secret, stranger)] == [401, 401], 60, "the directory")
        later, new = new_key(SHOP.id, "write", None, os.urandom(36), time.time())
        store.add_entry(later, ACT)
        wait_until(lambda: count(new)[0] == 202, 60, "a new key")
        wait_until(lambda: later.id in store.last_uses(SHOP.id), 60, "its use")
        for account in (ACCOUNT, SHOP.id):
            wait_until(lambda account=account: books(account).closes, 60, "the audit", pause_s=0.2)


def test_an_older_copy_of_redis_is_followed(keys: Keys) -> None:
    redis, copies = keys.farm.redis, keys.farm.folder / "aof"
    _, early = keys.key()
    keys.wait_for(200, early)
    files = [path for path in redis.folder.iterdir() if path.name.startswith("appendonly")]
    copies.mkdir()
    for path in files:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copies / path.name)
    late = [keys.key()[1] for _ in range(5)]
    keys.wait_for(200, late[-1])
    redis.kill9()
    for path in files:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.move(copies / path.name, path)
    redis.start()
    for secret in late:
        keys.wait_for(401, secret)
    keys.wait_for(200, early)
    _, again = keys.key()
    keys.wait_for(200, again)
