"""Whale and HailWhale: the entry of the library. An object holds one connection; the class holds no state of its own.

whale = Whale.connect(settings)
whale.count_now("shop", {"country": "US"}, {"revenue": 5})
whale.plotpoints("shop", depth=1, metrics=["revenue", "revenue/hits"], period="seven")

You may also call every method on the class, such as `Whale.count_now("shop")`. It then uses the default connection: the
one of the last `whale.connect(...)`, or else the one that the settings in the environment name.

A time may be epoch seconds, milliseconds or microseconds by size, YYYYMMDD, ISO 8601
(without an offset: UTC), a date, or a datetime (without a zone: this machine's, as Python has it). `metric`, `dimension` and
`period` may be written for `metrics`, `dimensions`, `periods`.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hail.message import ACCOUNT
from hail.settings import Settings, load
from whale.answer.asking import Asking, Period
from whale.decide.managed import Managed
from whale.errors import CallerError
from whale.library.arguments import on_default
from whale.library.deciding import Deciding
from whale.library.happening import Happening
from whale.library.parts import Parts
from whale.library.pictures import Pictures
from whale.library.questions import Questions
from whale.library.rankings import Rankings
from whale.library.refusals import Refusals
from whale.store import with_redis
from whale.store.base import Store
from whale.store.redis import connect as connect_store

if TYPE_CHECKING:
    from whale.health.watch import HealthWatch


class Whale(Rankings, Pictures, Deciding, Happening):
    """Counts, answers and decides for one account. For many threads; raises whale.errors and HitError.

    asking, managed, refusals: parts that the routes use too.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        account: str = ACCOUNT,
        clock: Callable[[], float] = time.time,
        random: np.random.Generator | None = None,
    ):
        self.store, self.settings, self.account, self.clock = store, settings, account, clock
        self.random = np.random.default_rng() if random is None else random
        self.asking = Asking(store, settings, account, clock)
        self.refusals = Refusals(store, settings, account, clock)
        self.managed = Managed(store, settings, account, clock, self._decider)
        self._parts = Parts(clock, settings.answers_mb)
        self._health: HealthWatch | None = None

    @on_default
    def of(self, account: str) -> Self:
        """The same on this connection for another account. Both share their caches, which keep accounts apart."""
        whale = copy(self)
        whale.account, whale._health = account, None
        whale.asking = Asking(self.store, self.settings, account, self.clock)
        whale.refusals = self.refusals.of(account)
        whale.managed = self.managed.of(account, whale._decider)
        return whale

    @classmethod
    def connect(cls, settings: Settings, account: str = ACCOUNT, timeout_s: float = 10.0) -> "Whale":
        """On settings.redis_url; raises SetupError, Unavailable."""
        return cls(connect_store(settings, timeout_s), settings, account)

    @on_default
    def health(self) -> dict[str, Any]:
        """{"whale", "redis", "queue", "hails", "lag_s", "audit", "dead", "versions", "why"}: the state of all parts, as GET /health.json.

        Each part is looked at once in 5 s at most. A field that cannot be known is None, and `why` has the reason.
        """
        from whale.health.watch import HealthWatch  # needs all that reads the spool and RabbitMQ

        with self._parts.lock:
            if self._health is None:
                self._health = HealthWatch(self.store, self.account, self.settings, self.clock)
        return self._health.now()

    @classmethod
    def default(cls) -> "Whale":
        """The default connection."""
        with _lock:
            first = _connections.get(Whale) or connect()
            if cls not in _connections:
                _connections[cls] = cls(first.store, first.settings, first.account, first.clock)
            return _connections[cls]


class HailWhale(Whale):
    """Whale, and the first HailWhale's two calls: paths of one table, settings.default_table."""

    @on_default
    def log(self, path: Sequence[Any], values: Any = None, at: Any = None) -> None:
        """Counts values at every prefix of a path, at once. `is_unique` counts the path's last name as a visitor."""
        if not path or not isinstance(path, list):
            raise CallerError(f"expected a list of names, got {ascii(path)[:60]}", "path")
        given = {"pk": self.settings.default_table, "dimensions": path, "metrics": values, "at": at}
        if isinstance(values, Mapping) and "is_unique" in values.values():
            given["visitor"] = path[-1]
        self.count_hit(given)

    @on_default
    def dataset(  # type: ignore[override]  # the first HailWhale has no pk there
        self,
        path: Sequence[Any],
        value: str = "hits",
        period: Period = None,
        start_at: Any = None,
        depth: int = 0,
        *,
        tz: str | None = None,
        tzoffset: Any = None,
    ) -> Any:
        """[(datetime, number), ...] for a path of the table; with depth {child: [(datetime, number), ...]} for the paths below it."""
        if not isinstance(path, list):
            raise CallerError(f"expected a list of names, got {ascii(path)[:60]}", "path")
        whole = Questions.__dict__["dataset"].function
        table = self.settings.default_table
        return whole(self, table, path, value, period, start_at, depth, tz=tz, tzoffset=tzoffset)


# The default connection

_lock = threading.RLock()
_connections: dict[type[Whale], Whale] = {}


def connect(
    url: str = "", account: str = ACCOUNT, settings: Settings | None = None, store: Store | None = None
) -> Whale:
    """Makes the default connection, the one of `Whale.count_now(...)` on the class, and returns it.

    url: of Redis; else what the settings name, else the HailWhale that runs on their DATA_DIR.
    Raises SettingsError, SetupError, Unavailable.
    """
    in_force = load(os.environ) if settings is None else settings
    if store is None:
        in_force = with_redis(in_force.replace(redis_url=url or in_force.redis_url))
        store = connect_store(in_force)
    made = Whale(store, in_force, account)
    with _lock:
        _connections.clear()
        _connections[Whale] = made
    return made
