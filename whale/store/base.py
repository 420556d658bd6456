"""Store: the sum of the contracts, each of which says what a store promises of one subject.

memory.py is the readable reference, redis/ the fast one; one suite runs on both.

A store keeps, per account: pks; for each pk a dictionary of nodes (its paths) and of metrics; and cells
(pk, path, interval, bucket, metric) -> signed 64-bit integer. It remembers which messages and which hit ids it has counted.

Caps close over `__other__`: where a parent has `max_children` children, a pk `max_nodes` nodes or `max_metrics` metrics, an account
`max_pks` pks, what is new counts in `__other__` beside them (and what lies deeper ends there), so sums always close.

A metric has one kind in a pk, the one of its first use (whale/metric.py). What comes as another kind is not counted: cells of
`mixed_kinds`. Metrics that are no sums do not fold: past `max_metrics` theirs are cells of `too_many_metrics`.
"""

from typing import Protocol

from whale.store.contract.accounts import Accounts
from whale.store.contract.aside import Aside
from whale.store.contract.batches import Batches
from whale.store.contract.changes import Changes
from whale.store.contract.counters import Counters
from whale.store.contract.decisions import Decisions
from whale.store.contract.declared import Declarations
from whale.store.contract.definitions import Definitions
from whale.store.contract.directory import Directory
from whale.store.contract.events import Events
from whale.store.contract.faults import Faults
from whale.store.contract.identities import Identities
from whale.store.contract.ids import Ids
from whale.store.contract.imports import Imports
from whale.store.contract.live import Live
from whale.store.contract.log_ranges import LogRanges
from whale.store.contract.log_sweep import LogSweep
from whale.store.contract.log_who import LogWho
from whale.store.contract.owners import Owners
from whale.store.contract.saved import Saved
from whale.store.contract.server import Server
from whale.store.contract.site_logs import SiteLogs
from whale.store.contract.spy import Spy
from whale.store.contract.talks import Talks
from whale.store.contract.tallies import Tallies
from whale.store.contract.timeline import Timeline


class Store(
    Counters,
    Batches,
    Ids,
    Changes,
    Tallies,
    Faults,
    Aside,
    Spy,
    Live,
    Talks,
    Decisions,
    Definitions,
    Saved,
    Declarations,
    Imports,
    Timeline,
    Accounts,
    Owners,
    Directory,
    Events,
    Identities,
    SiteLogs,
    LogRanges,
    LogSweep,
    LogWho,
    Server,
    Protocol,
):
    """Whoever needs one subject asks for its contract. Every method raises whale.errors.Unavailable while the store is away."""
