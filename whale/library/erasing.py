"""Forgets a visitor of a site, for the library and the command line."""

from typing import Any, Protocol

from whale.answer.site_log import FOR_EVER_MS, LogReading, generations
from whale.errors import NotFound
from whale.store.contract.server import Server
from whale.store.contract.spy import Spy
from whale.store.contract.talks import Talks

MOST_TALKS = 1_000_000
"""All of them."""
MOST_STEPS = 30
"""Of packing away the records of who was erased, before it is left to a worker."""


class ErasingStore(LogReading, Spy, Talks, Server, Protocol):
    """All that is asked of a store."""


def erase(store: ErasingStore, account: str, site: str, visitor: str) -> dict[str, Any]:
    """{"purged", "aof"}: see Whale.erase_visitor. Raises NotFound where the site has no log."""
    logs = list(generations(store, account, site))
    if not logs:
        raise NotFound(f"there is no log of the visitors of {ascii(site)[:60]}", "pk")
    for each in logs:
        erased = store.erase_visitor(each.log, each.person(visitor).hash)
        ids = {visitor} | each.named(erased, store.spied_visitors(account))
        store.spy_forget(account, dict.fromkeys(ids, FOR_EVER_MS))
        talked = store.talks(account, site, MOST_TALKS)
        store.forget_talks(account, site, {visitor} | each.named(erased, talked))
    steps = 0
    for each in logs:
        for partition in range(each.log.partitions):
            while store.purge_log(each.log, partition):
                steps += 1
                if steps > MOST_STEPS:
                    return {"purged": False, "aof": "kept"}
    return {"purged": True, "aof": store.rewrite_aof()}
