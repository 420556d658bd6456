"""Load with a book: hits sent to a running Hail over HTTP, each with a name of its own, and what became of each.

    with Load(farm.url, unique) as load:
        load.more(300)          # waits until 300 more are accepted
        ...                     # break something
        load.more(300)
    load.settle(store)          # each accepted hit is counted once, an unanswered one at most once, others never

Some hits carry an id; those are sent again until they are answered, as a client would, and some of them twice although
they were. Hits go in by GET, POST, pixel and batch.
"""

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import numpy as np

from hail.settings import DAY
from tests.servers import wait_until
from whale.dimension import Path, Pk
from whale.store.base import Store

ACCOUNT = "default"
PKS, GROUP, BATCH = 8, 50, 20
EVENTS = 3  # of each visitor of a site
FOR_EVER_MS = 2**42
SINGLE_PAUSE_S, BATCH_PAUSE_S = 0.006, 0.025
ANSWER_S = 20.0
WEIGHT = 0.25
WEIGHT_STORED = 250_000


class Request(NamedTuple):
    """When it was sent, how long its answer took; in seconds of time.monotonic."""

    sent: float
    took: float
    status: int


class Load:
    """Threads that send hits until the block ends. `accepted`, `unanswered`, `refused` are hits by their number."""

    def __init__(self, url: str, pk: str, singles: int = 3, batches: int = 1, site: bool = False):
        """site: whether its pk is a site with a log; then each hit has a visitor and an event, and must be logged as it is counted."""
        self.pk, self._is_site = pk, site
        self._host = urlsplit(url).netloc
        self.accepted: set[int] = set()
        self.unanswered: set[int] = set()
        self.refused: set[int] = set()
        self.begun = -1  # the highest number of a hit that may have been sent
        self.twice = 0
        self.requests: list[Request] = []
        self.errors: list[str] = []
        self._began = time.time()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send_singles, daemon=True) for _ in range(singles)]
        self._threads += [threading.Thread(target=self._send_batches, daemon=True) for _ in range(batches)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(3 * ANSWER_S)
        assert not any(thread.is_alive() for thread in self._threads)
        assert not self.errors, self.errors[:3]

    def more(self, hits: int) -> None:
        """Waits until so many more were accepted."""
        until = len(self.accepted) + hits
        wait_until(lambda: len(self.accepted) >= until or self.errors, 60, f"{hits} more accepted hits")

    def counting(self, store: Store) -> None:
        """Waits until more is counted than now."""
        before = self.total(store)
        wait_until(lambda: self.total(store) > before, 60, "hits to be counted")

    def slowest(self, since: float, until: float, quantile: float = 0.9) -> float:
        """Seconds within which that share of the requests sent in this time was answered; there were at least 20.

        A machine that stands still for a moment holds up one request of each thread, which are few of them.
        """
        took = sorted(each.took for each in list(self.requests) if since <= each.sent <= until)
        assert len(took) >= 20, took
        return took[int(quantile * (len(took) - 1))]

    # the sender's side

    def _send_singles(self) -> None:
        ways: list[Callable[[Any], tuple[str, str, bytes, dict[str, str]]]] = [_get, _post, _pixel]
        link = http.client.HTTPConnection(self._host, timeout=ANSWER_S)
        while not self._stop.is_set():
            number = next(self._numbers)
            hit = self._hit(number)
            call = ways[number % len(ways)](hit)
            self._send(link, call, [number], "id" in hit)
            if number % 30 == 10 and "id" in hit and number in self.accepted:
                self._send(link, call, [number], True)
                self.twice += 1
            time.sleep(SINGLE_PAUSE_S)

    def _send_batches(self) -> None:
        link = http.client.HTTPConnection(self._host, timeout=ANSWER_S)
        for count in itertools.count():
            if self._stop.is_set():
                return
            numbers = list(itertools.islice(self._numbers, BATCH))
            hits = [self._hit(number) for number in numbers]
            named = count % 3 == 0
            for number, hit in zip(numbers, hits, strict=True):
                if named:
                    hit["id"] = f"{self.pk}-{number}"
                else:
                    hit.pop("id", None)
            self._send(link, ("POST", "/batch", json.dumps(hits).encode(), {}), numbers, named)
            time.sleep(BATCH_PAUSE_S)

    def _hit(self, number: int) -> dict[str, Any]:
        with self._lock:
            self.begun = max(self.begun, number)
        hit: dict[str, Any] = {
            "pk": [self.pk, str(number % PKS)],
            "dimensions": {"n": {str(number // GROUP): str(number)}},
            "metrics": {"weight": WEIGHT},
        }
        if self._is_site:
            hit |= {"visitor": str(number // EVENTS), "event": str(number % EVENTS)}
        return {**hit, "id": f"{self.pk}-{number}"} if number % 5 == 0 else hit

    def _send(
        self,
        link: http.client.HTTPConnection,
        call: tuple[str, str, bytes, dict[str, str]],
        numbers: list[int],
        named: bool,
    ) -> None:
        """One request; with ids in its hits again and again until it is answered."""
        sent_once = False
        while True:
            began = time.monotonic()
            status, accepted, sent = _ask(link, call)
            sent_once = sent_once or sent
            if status:
                self.requests.append(Request(began, time.monotonic() - began, status))
            if accepted:
                with self._lock:
                    self.accepted.update(numbers)
                return
            if status not in (0, 503):
                self.errors.append(f"{status}: {call}")
            if not named or status == 503 or self._stop.is_set():
                with self._lock:
                    left = set(numbers) - self.accepted
                    (self.unanswered if sent_once else self.refused).update(left)
                if not sent:
                    time.sleep(0.05)
                return
            time.sleep(0.05)

    # the oracle's side

    def total(self, store: Store, pk: Pk = ()) -> int:
        """Hits at the root of the load's pk, or of a pk below it."""
        return int(self._sums(store, (self.pk, *pk), [()])[0][0])

    def torn(self, store: Store) -> bool:
        """Whether something is counted in one pk and not in another."""
        return self.total(store) != sum(self.total(store, (name,)) for name in self._below(store))

    def settle(self, store: Store, lost: Collection[int] = (), timeout_s: float = 60.0) -> None:
        """Waits for `check` to hold: what is still on its way may arrive. What is counted twice stays so."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self.check(store, lost)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def check(self, store: Store, lost: Collection[int] = ()) -> None:
        """Each accepted hit is counted once, an unanswered one at most once, others never.

        Every pk, level, metric and interval must agree. To be called when nothing is under way.
        lost: hits that a Redis may have forgotten after it had them, in one pk and not in another: nothing twice, then.
        """
        counts = self.counted(store, lost)
        twice = {number: n for number, n in counts.items() if n != 1}
        assert not twice, f"{len(twice)} hits are counted more than once: {list(twice.items())[:5]}"
        missing = self.accepted.difference(counts, lost)
        said = f"{len(missing)} of {len(self.accepted)} accepted hits are not counted: {sorted(missing)[:5]}"
        assert not missing, said
        if self._is_site:
            logged = self.logged(store)
            differing = {number for number in counts.keys() | logged.keys() if counts[number] != logged[number]}
            assert not differing.difference(lost), f"log and counts differ in {len(differing)}: {sorted(differing)[:5]}"
        surplus = set(counts).difference(self.accepted, self.unanswered, lost)
        assert not surplus, f"{len(surplus)} hits are counted that were refused or never sent: {sorted(surplus)[:5]}"

    def counted(self, store: Store, lost: Collection[int] = ()) -> Counter[int]:
        """How often each hit is counted, in the load's pk; those below agree but for the lost."""
        top = self._checked(store, (self.pk,))
        below: Counter[int] = Counter()
        for name in self._below(store):
            mine = self._checked(store, (self.pk, name))
            assert all(number % PKS == int(name) for number in mine), f"hits of another pk in {name}"
            below.update(mine)
            reserved = int(self._sums(store, (self.pk,), [(None, name)])[0][0])
            assert lost or reserved == mine.total(), f"the node of child pk {name}"
        differing = {number for number in top.keys() | below.keys() if top[number] != below[number]}
        assert not differing.difference(lost), f"a pk and its child pks differ in {len(differing)} hits"
        return top | below

    def logged(self, store: Store) -> Counter[int]:
        """How often each hit is in the log of the load's site."""
        record, found = store.log_records(ACCOUNT, [self.pk])[self.pk], Counter[int]()
        for log in (record.log(ACCOUNT, self.pk, generation) for generation in record.generations):
            for partition in range(log.partitions):
                read = store.read_log(log, partition, 0, FOR_EVER_MS)
                assert not read.is_incomplete
                for (_, event), column in read.columns.items():
                    ids = store.ids_in_log(log, partition, set(column.visitors.tolist()))
                    found.update(EVENTS * int(ids[visitor]) + int(event) for visitor in column.visitors.tolist())
        return found

    def _below(self, store: Store) -> list[str]:
        return store.pks(ACCOUNT, (self.pk,))

    def _paths(self, store: Store, pk: Pk) -> list[Path]:
        groups = store.children(ACCOUNT, pk, ("n",))
        return [("n", group, value) for group in groups for value in store.children(ACCOUNT, pk, ("n", group))]

    def _checked(self, store: Store, pk: Pk) -> Counter[int]:
        """The hits of one pk, after its paths, metrics and intervals were compared with each other."""
        paths = self._paths(store, pk)
        astray = [path for path in paths if str(path[1]) != str(int(str(path[2])) // GROUP)]
        assert not astray, f"{pk}: values in another's group: {astray[:5]}"
        hits, weights = self._sums(store, pk, paths)
        assert (weights == WEIGHT_STORED * hits).all(), f"{pk}: metrics of a hit differ"
        all_hits, all_weights = self._sums(store, pk, [()])
        assert (all_hits[0], all_weights[0]) == (hits.sum(), weights.sum()), (
            f"{pk}: the root is not the sum of its values"
        )
        assert (self._sums(store, pk, paths, 60)[0] == hits).all(), f"{pk}: minutes do not add up to days"
        return Counter({int(str(path[2])): int(n) for path, n in zip(paths, hits, strict=True) if n})

    def _sums(self, store: Store, pk: Pk, paths: list[Path], interval: int = DAY) -> Any:
        """(hits of each path, weight of each path) since the load began."""
        starts = range(int(self._began) // interval * interval, int(time.time()) + 1, interval)
        cells = store.read(ACCOUNT, pk, paths, ["hits", "weight"], interval, starts)
        return np.moveaxis(cells.sum(2), 1, 0)


def _ask(link: http.client.HTTPConnection, call: tuple[str, str, bytes, dict[str, str]]) -> tuple[int, bool, bool]:
    """(status or 0 for no answer, accepted, may have arrived)"""
    method, target, body, headers = call
    try:
        if link.sock is None:
            link.connect()
    except OSError:
        return 0, False, False
    try:
        link.request(method, target, body or None, headers)
        answer = link.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException):
        with contextlib.suppress(OSError):
            link.close()
        return 0, False, True
    if target == "/batch":
        accepted = answer.status == 202 and all(each["status"] == "accepted" for each in json.loads(text)["results"])
    elif "gif" in target:
        accepted = answer.headers["X-Hail"] == "accepted"
    else:
        accepted = answer.status in (200, 202)
    status = 503 if "gif" in target and not accepted else answer.status
    if answer.will_close:
        link.close()
    return status, accepted, True


def _query(hit: dict[str, Any]) -> str:
    return urlencode({name: value if isinstance(value, str) else json.dumps(value) for name, value in hit.items()})


def _get(hit: dict[str, Any]) -> tuple[str, str, bytes, dict[str, str]]:
    return "GET", f"/count?{_query(hit)}", b"", {}


def _pixel(hit: dict[str, Any]) -> tuple[str, str, bytes, dict[str, str]]:
    return "GET", f"/count.gif?{_query(hit)}", b"", {}


def _post(hit: dict[str, Any]) -> tuple[str, str, bytes, dict[str, str]]:
    return "POST", "/count", json.dumps(hit).encode(), {"Content-Type": "application/json"}
