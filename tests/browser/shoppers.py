"""A site with a log of visitors, for views that ask about them: who did what, as a test says it."""

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from typing import Any

from tests.browser.conftest import whale_with
from tests.contract.logs import CAPS
from whale.accounts import Act, Site
from whale.answer.site_log import Log
from whale.client import Whale
from whale.visitors.entries import Done, entry_of

DAY_MS = 86_400_000
_SEQUENCE = count()

Deed = tuple[str, float, str, dict[str, Any]]
"""Visitor, days ago, event (or none), properties."""


def site_of(name: str = "shop", **settings: str) -> Whale:
    """Its log holds since 100 days; `price` is a property of its events."""
    whale = whale_with(visitor_log="1", **settings)
    site = Site("default", name)
    whale.store.add_entry(site, Act(0, "a test", "add site", "default", name))
    whale.store.begin_log(site, after_ms=-100 * DAY_MS)
    return whale


def did(whale: Whale, deeds: Iterable[Deed], site: str = "shop") -> None:
    """Logs and counts them, as hits that came at their times."""
    now_ms = int(time.time() * 1000)
    some = sorted(deeds, key=lambda deed: -deed[1])
    log = Log.of(whale.store, "default", site)
    listed = replace(log.log, listed=frozenset(["price"]))
    done = []
    for place, (visitor, days_ago, event, properties) in enumerate(some):
        at = int(now_ms - days_ago * DAY_MS) + place % 50
        done.append(Done(visitor, at, event, {name: json.dumps(value) for name, value in properties.items()}))
        paths = {"event": event} if event else None
        whale.count_now(site, paths, {"hits": 1}, at / 1000)
    mark = ("default", "ab" * 8, next(_SEQUENCE))
    whale.store.add_to_log([entry_of(listed, mark, now_ms, done, log.hash_of)], CAPS)


def usual(people: int = 40) -> list[Deed]:
    """Of each visitor a visit a day apart; every second one sees a product, every fourth fills a basket, every eighth orders."""
    found: list[Deed] = []
    for number in range(people):
        who, day = f"visitor {number}", number % 20 + 1.2
        source, plan = ("mail", "search")[number % 2], ("free", "pro", "team")[number % 3]
        found.append((who, day, "visit", {"source": source, "plan": plan}))
        for step, (event, each) in enumerate({"product": 2, "basket": 4, "order": 8}.items(), 1):
            if number % each == 0:
                found.append((who, day - step * 0.01, event, {"price": 5 + number} if event == "order" else {}))
        if number % 5 == 0 and day > 3:
            found.append((who, day - 1, "visit", {}))
    return found
