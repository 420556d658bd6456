"""The commands of accounts on a real Redis that nothing else uses yet: they need no Whale."""

import json
import os
import subprocess
import sys
from typing import Any

from hail.settings import load
from tests.farm import ROOT
from tests.servers import RedisServer
from whale.accounts import hash_of
from whale.passwords import matches
from whale.store import connect


def ran(redis: RedisServer, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
    return subprocess.run(
        [sys.executable, "-m", "whale.cli", *words],
        env={**environ, "HAILWHALE_REDIS_URL": redis.url},
        input=given,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


def test_the_first_account_is_made_before_anything_runs(own_redis: RedisServer) -> None:
    def done(*words: str, given: str = "") -> Any:
        found = ran(own_redis, *words, "--json", given=given)
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)

    shop = done("account", "add", "shop", "--zone", "Europe/Berlin")
    done("user", "add", "shop", given="correct horse\n")
    made = ran(own_redis, "key", "add", "shop", "--scope", "write")
    secret = made.stdout.strip()

    store = connect(load({"HAILWHALE_REDIS_URL": own_redis.url}))
    account = store.account_named("shop")
    assert account is not None
    assert (account.id, account.zone) == (shop["id"], "Europe/Berlin")
    (owner,), (key,) = store.users(account.id), store.keys(account.id)
    assert matches(b"correct horse", owner.password)
    assert store.key_hashed(hash_of(secret)) == key
    kept = b"".join(path.read_bytes() for path in own_redis.folder.rglob("appendonly*") if path.is_file())
    assert key.hash.encode() in kept
    assert b"correct horse" not in kept
    assert secret.removeprefix("hw_w_")[6:].encode() not in kept
    assert [act["did"] for act in done("journal")] == ["add account", "add user", "add key"]

    again = ran(own_redis, "account", "add", "shop")
    assert (again.returncode, again.stdout, again.stderr) == (
        2,
        "",
        "hailwhale: name: there is an account shop already\n",
    )
    own_redis.stop()
    away = ran(own_redis, "account", "list")
    assert (away.returncode, away.stdout, away.stderr.count("\n")) == (2, "", 1)
    assert "Connection refused" in away.stderr
