"""Two customers on one `hailwhale up`, as they are told to begin: counted and asked by their own keys and users."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.farm import ROOT
from tests.servers import wait_until
from tests.up import Up

CUSTOMERS = ("shop", "cafe")
PASSWORD = "correct horse"
PAGE = "https://{}.example"


class Served(Up):
    """With two customers: each with an owner, two users, a site and a key of each scope."""

    def command_line(self, *words: str, given: str = "") -> str:
        command = [sys.executable, "-m", "whale.cli", *words]
        found = subprocess.run(
            command, env=self.environ, input=given, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()

    def customer(self, name: str) -> dict[str, str]:
        """The secrets of the keys by scope."""
        self.command_line("account", "add", name, "--zone", "Europe/Berlin")
        self.command_line("user", "add", name, given=f"{PASSWORD}\n")
        admin = self.command_line("key", "add", name, "--scope", "admin")

        def make(route: str, **given: Any) -> Any:
            answer = requests.post(f"http://{self.whale}/{route}", json=given, headers=bearer(admin), timeout=20)
            assert answer.status_code == 201, answer.text
            return answer.json()

        make("users", name="anna", password=PASSWORD, rights={"counts": "read"})
        make("users", name="ben", password=PASSWORD, rights={"decisions": "write"})
        make("sites", pk="web", open=True, origins=[PAGE.format(name)])
        scopes = {"write": None, "read": None, "browser": "web"}
        secrets = {scope: make("keys", scope=scope, site=site)["secret"] for scope, site in scopes.items()}
        return {**secrets, "admin": admin}

    def total(self, **shown: Any) -> Any:
        asked = {"pk": "web", "period": "today"}
        answer = requests.get(f"http://{self.whale}/total", asked, timeout=20, **shown)
        return answer.json() if answer.status_code == 200 else answer.status_code

    def has(self, hits: int, **shown: Any) -> bool:
        return bool(self.total(**shown) == hits)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Served]:
    up = Served(tmp_path / "var")
    up.start()
    yield up
    up.stop(signal.SIGTERM)


def test_two_customers_share_one_server_and_see_nothing_of_each_other(up: Served) -> None:
    secrets = {name: up.customer(name) for name in CUSTOMERS}
    times = {"shop": 2, "cafe": 3}
    for name, hits in times.items():
        for _ in range(hits):
            sent = requests.get(f"http://{up.hail}/count", {"pk": "web", "key": secrets[name]["write"]}, timeout=20)
            assert (sent.status_code, sent.text.strip()) == (200, "OK")
    page = {"Origin": PAGE.format("shop"), "Content-Type": "application/json"}
    hit = requests.post(
        f"http://{up.hail}/count",
        json.dumps({"pk": "web"}),
        headers={**page, **bearer(secrets["shop"]["browser"])},
        timeout=20,
    )
    assert hit.status_code == 202
    times["shop"] += 1
    for name, hits in times.items():
        shown = bearer(secrets[name]["read"])
        wait_until(partial(up.has, hits, headers=shown), 20, f"the hits of {name}")
    assert up.total() == 0  # `default`, by this machine

    for name, hits in times.items():
        assert up.total(auth=(name, PASSWORD)) == up.total(auth=(f"{name}/anna", PASSWORD)) == hits
        assert up.total(auth=(f"{name}/ben", PASSWORD)) == 403
        assert up.total(auth=(name, "wrong horse")) == 401
        assert up.total(headers=bearer(secrets[name]["admin"])) == hits
        for scope in ("write", "browser"):
            assert up.total(headers=bearer(secrets[name][scope])) == 401

    flag = {"options": {"old": 1, "new": 2}, "weights": {"old": 0, "new": 1}, "public": True}
    defined = requests.post(
        f"http://{up.whale}/decisions/banner", json.dumps(flag), headers=bearer(secrets["shop"]["admin"]), timeout=20
    )
    assert defined.status_code == 200
    found = {}
    for name in CUSTOMERS:
        for origin in CUSTOMERS:
            headers = {**page, **bearer(secrets[name]["browser"]), "Origin": PAGE.format(origin)}
            url = f"http://{up.whale}/ofrep/v1/evaluate/flags/banner"
            found[name, origin] = requests.post(
                url, '{"context": {"targetingKey": "ann"}}', headers=headers, timeout=20
            )
    assert {each: answer.status_code for each, answer in found.items()} == {
        ("shop", "shop"): 200,
        ("shop", "cafe"): 403,
        ("cafe", "shop"): 403,
        ("cafe", "cafe"): 404,
    }
    assert found["shop", "shop"].json()["value"] == 2

    keys = requests.get(f"http://{up.whale}/keys", headers=bearer(secrets["shop"]["admin"]), timeout=20).json()
    read = next(key for key in keys if key["scope"] == "read")
    assert read["last_used_at"] is not None
    up.command_line("key", "revoke", "shop", read["id"])
    wait_until(partial(up.has, 401, headers=bearer(secrets["shop"]["read"])), 3, "the key to be refused")
    up.command_line("account", "remove", "cafe", "--yes")
    wait_until(partial(up.has, 401, headers=bearer(secrets["cafe"]["admin"])), 3, "the account to be gone")
    assert up.total(headers=bearer(secrets["shop"]["admin"])) == times["shop"]
