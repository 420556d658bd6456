"""An account with sites, and a Hail, hailwail and Whale of its own, for clients of others that send to it.

with Clients(farm) as clients:
    key = clients.site("web")                        # a key that writes at it, known to Hail
    clients.totals("web", ["hits"])
"""

import json
import os
import time
from typing import Any

import requests

from tests.farm import Farm
from tests.servers import wait_until
from whale.accounts import Account, Act, Site, new_key
from whale.store.redis import connect

ACT = Act(0, "a test", "did", "default", "it")
SHOP = Account("shopshopsh", "shop", "UTC", 0)
NEEDED = {"internal_key": "i" * 32, "message_version": 2}
"""Settings of the farm."""


class Clients:
    def __init__(self, farm: Farm):
        self.farm, self._store = farm, connect(farm.settings)
        self._store.add_entry(SHOP, ACT)
        self._secret = self._key("read", None)

    def _key(self, scope: str, site: str | None) -> str:
        key, secret = new_key(SHOP.id, scope, site, os.urandom(36), time.time())
        self._store.add_entry(key, ACT)
        return secret

    def site(self, pk: str, *origins: str) -> str:
        """A site whose log holds, as Hail knows; origins: of its pages. Its key."""
        site = Site(SHOP.id, pk, open=bool(origins), origins=origins)
        self._store.add_entry(site, ACT)
        self._store.begin_log(site, after_ms=0)
        key = self._key("write", pk)
        wait_until(lambda: self._is_known(key), 60, "the key at Hail", pause_s=0.1)
        return key

    def wait_for_salt(self, origin: str, agent: str) -> None:
        """Returns when Hail knows visitors without an id for a day: by views of another site."""
        self.site("before", origin)
        wait_until(lambda: self._is_somebody(origin, agent), 90, "the salt of the day at Hail", pause_s=0.3)

    def _is_somebody(self, origin: str, agent: str) -> bool:
        view = json.dumps({"n": "pageview", "u": origin, "d": "before"})
        headers = {"Origin": origin, "User-Agent": agent}
        assert requests.post(f"{self.farm.url}/shop/api/event", view, headers=headers, timeout=20).status_code == 202
        return any(visitors for _, visitors in self.events("before").values())

    def _is_known(self, key: str) -> bool:
        """By a hit of nobody, which counts nothing."""
        body = json.dumps({"type": "identify", "userId": "nobody"})
        return requests.post(f"{self.farm.url}/v1/identify", body, auth=(key, ""), timeout=20).status_code == 200

    def ask(self, route: str, **given: Any) -> Any:
        given = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
        headers = {"Authorization": f"Bearer {self._secret}"}
        answer = requests.get(f"{self.farm.whale_url}/{route}", given, headers=headers, timeout=20)
        assert answer.ok, answer.text
        return answer.json()

    def totals(self, pk: Any, *metrics: str) -> dict[str, float]:
        found: dict[str, float] = self.ask("totals", pk=pk, metrics=metrics, period="1d:1mo")["1d:1mo"]["_"]
        return found

    def wait_for(self, pk: str, hits: int) -> None:
        wait_until(lambda: self.totals(pk, "hits") == {"hits": hits}, 60, f"{hits} hits", pause_s=0.1)

    def by(self, pk: Any, dimension: str, metric: str = "hits") -> dict[str, float]:
        rows = self.ask("rank", pk=pk, dimension=dimension, by=metric, period="1d:1mo")["rows"]
        return {row["path"].split('"')[-2]: row["value"] for row in rows if row["value"]}

    def events(self, pk: str) -> dict[str, tuple[int, int]]:
        """Times and visitors of each, by the log."""
        rows = self.ask("events", pk=pk, period="today")["events"]
        return {row["event"]: (row["times"], row["visitors"]) for row in rows}

    def ids(self, pk: str, visitor: str) -> set[str]:
        """All ids of a visitor."""
        return set(self.ask(f"visitor/{visitor}", pk=pk, export="true")["ids"])

    def said(self, pk: str, visitor: str) -> dict[str, Any]:
        """Properties of a visitor."""
        rows = self.ask(f"visitor/{visitor}", pk=pk)["properties"]
        return {row["property"]: row["value"] for row in rows}
