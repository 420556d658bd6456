"""Who was erased is shown by the spy no more: also not by hits that were accepted before that, and are counted later.

After traces are kept it is looked up whether their visitors were erased; then those traces go. An erasure first notes the visitor and
then makes the spy forget them, so one of the two finds each trace. Where a worker is killed between, a trace may stay for a day.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from whale.spy import Traces
from whale.store.contract.accounts import Accounts
from whale.store.contract.identities import Identities
from whale.store.contract.site_logs import SiteLogs
from whale.store.contract.spy import Spy
from whale.visitors.record import hasher_of


class ErasedStore(Accounts, Identities, SiteLogs, Spy, Protocol):
    """All that is asked of a store."""


class _Trace(msgspec.Struct):
    at: int
    visitor: str | None = None
    pk: Any = None


_trace = msgspec.json.Decoder(_Trace).decode


def forget_erased(store: ErasedStore, account: str, traces: Traces) -> None:
    """Of traces that were kept, those of erased visitors; raises Unavailable."""
    some = [_trace(text) for text in _all(traces)]
    visitors = {trace.visitor for trace in some if trace.visitor is not None}
    if visitors:
        until_ms = _erased(store, account, visitors, _sites(store, account, some))
        if until_ms:
            store.spy_forget(account, until_ms)


def _sites(store: ErasedStore, account: str, some: Iterable[_Trace]) -> set[str]:
    """Which they may be of: a trace that is cut, or was refused, does not say it."""
    said = [trace for trace in some if trace.visitor is not None]
    found = {str(trace.pk[0] if isinstance(trace.pk, list) else trace.pk) for trace in said if trace.pk}
    if not all(trace.pk for trace in said):
        found |= {site.pk for site in store.sites(account)}
    return found


def _erased(store: ErasedStore, account: str, visitors: Iterable[str], sites: Iterable[str]) -> Mapping[str, int]:
    """By visitor the ms until which what was accepted is forgotten."""
    found: dict[str, int] = {}
    for site, record in store.log_records(account, [*sites]).items():
        for generation in record.generations:
            hash_of = hasher_of(account, site, generation)
            names = {hash_of(visitor): visitor for visitor in visitors}
            log = record.log(account, site, generation)
            for hash_, until_ms in store.erased(log, names).items():
                found[names[hash_]] = max(until_ms, found.get(names[hash_], 0))
    return found


def _all(traces: Traces) -> Iterable[str]:
    yield from traces.counted
    yield from traces.others
    yield from traces.refused
    for of_visitor in traces.visitors.values():
        yield from of_visitor
