"""What answered a question, and how long each stage took: a Store that watches what is read from another."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from whale.answer.once import once
from whale.period import Range, interval_name
from whale.store.contract.counters import Counters
from whale.store.contract.rollups import Buckets

KEYS_SHOWN = 20


class Watch:
    """Stages of one question, and the reads of its store. explain: whether anyone wants to know."""

    def __init__(self, store: Counters, explain: bool):
        self.reads: list[dict[str, Any]] = []
        self.names = 0
        self._seconds = {"parse": 0.0, "names": 0.0, "read": 0.0, "answer": 0.0, "encode": 0.0}
        self._inner = store
        self._last = time.perf_counter()
        self.store = once(cast(Counters, _Watched(self, store)) if explain else store)

    def stage(self, name: str) -> None:
        """What ran since the last call was this stage."""
        now = time.perf_counter()
        self._seconds[name] += now - self._last
        self._last = now

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        self.stage("answer")
        found = call()
        self.stage(name)
        return found

    def read_several(self, account: str, pk: Any, paths: Any, metrics: Any, spans: Sequence[Buckets]) -> Any:
        begun = self._seconds["read"]
        found = self.around("read", lambda: self._inner.read_several(account, pk, paths, metrics, spans))
        self._note(begun, account, pk, paths, metrics, spans)
        return found

    def read_below(
        self, account: str, pk: Any, path: Any, levels: int, metrics: Any, interval: Any, groups: Any, most: int
    ) -> Any:
        begun = self._seconds["read"]
        asked = account, pk, path, levels, metrics, interval, groups, most
        paths, sums = self.around("read", lambda: self._inner.read_below(*asked))
        starts = [start for group in groups for start in group]
        self._note(begun, account, pk, paths, metrics, [(interval, starts)])
        return paths, sums

    def _note(self, begun: float, account: str, pk: Any, paths: Any, metrics: Any, spans: Sequence[Buckets]) -> None:
        """Keeps what a read was of. begun: the seconds of all reads before it."""
        took = self._seconds["read"] - begun
        for interval, starts in spans:
            keys = self._inner.keys_of(account, pk, paths, interval, starts)
            self.reads.append(
                {
                    "interval": interval_name(interval),
                    "buckets": len(starts),
                    "first": iso(starts[0]) if len(starts) else None,
                    "last": iso(starts[-1]) if len(starts) else None,
                    "paths": len(paths),
                    "metrics": list(metrics),
                    "pages": len({key.rpartition(":")[2] for key in keys[1:]}),
                    "keys": len(keys),
                    "first_keys": keys[:KEYS_SHOWN],
                    "ms": round(took * 1000, 3),
                }
            )
        self._last = time.perf_counter()

    def said(self, ranges: dict[str, Range], now: float) -> dict[str, Any]:
        """As JSON holds it. ranges: by the period as it was asked."""
        return {
            "as_of": iso(now),
            "ranges": {
                period: {
                    "interval": interval_name(found.interval),
                    "answered_from": interval_name(found.source or found.interval),
                    "start": iso(found.start),
                    "end": iso(found.end),
                    "zone": found.zone,
                    "points": len(found.starts),
                    "complete": found.end <= now,
                }
                for period, found in ranges.items()
            },
            "reads": self.reads,
            "name_calls": self.names,
            "stages_ms": {name: round(seconds * 1000, 3) for name, seconds in self._seconds.items()},
        }


class _Watched:
    def __init__(self, watch: Watch, store: Counters):
        self._watch, self._store = watch, store

    def __getattr__(self, name: str) -> Any:
        if name in ("read_several", "read_below"):
            return getattr(self._watch, name)
        method = getattr(self._store, name)

        def watched(*args: Any) -> Any:
            is_read = name.startswith("read_")  # of metrics that are no sums
            self._watch.names += not is_read
            return self._watch.around("read" if is_read else "names", lambda: method(*args))

        return watched


def minute_text(at: int) -> str:
    """`2026-11-19T00:00Z`; with seconds where there are any."""
    when = datetime.fromtimestamp(at, UTC)
    return when.isoformat(timespec="seconds" if when.second else "minutes").replace("+00:00", "Z")


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
