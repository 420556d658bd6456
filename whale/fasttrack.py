"""py-fasttrack's interface: dated metrics of ids, by its calls and its configurations, and those of its parent py-analytics.

tracker = create_analytic_backend({"backend": "fasttrack.backends.redis_backend.Redis"})  # the HailWhale that runs on ./var
tracker = create_analytic_backend({  # or any Redis
    "backend": "fasttrack.backends.redis_backend.Redis",
    "settings": {"defaults": {"host": "localhost", "port": 6379, "db": 0}},
})
tracker.track_metric(["1234", "4567"], ["comments", "likes"], datetime.date(2012, 4, 5))
tracker.get_metric_by_week("1234", "comments", datetime.date(2012, 4, 2), limit=10)

Ids and metrics are names of 1 to 200 bytes; 5 and "5" are one name. A date is a datetime.date, or a datetime, whose own date
counts. Numbers are those of hits: up to +-9.0e9 with six decimals; an answer is an int where it is whole, else a float.
Wherever an id or a metric may be a list, so may it be a tuple, a set or a generator.

Each call changes one id and metric in one step, or not at all. It takes one round trip to Redis, or two where noted, and one
more if the server does not know a script yet. Raises CallerError, which names the argument, and Unavailable: then a write
may have been done.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from importlib import import_module
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from hail.hit import MAX_NUMBER, MILLION, HitError, Reason, millionths, name_of, of_millionths, parse_time
from hail.message import ACCOUNT
from hail.settings import load
from hail.times import EPOCH
from whale.errors import CallerError, SetupError
from whale.formula import Number
from whale.period import DAY, MONTH, WEEK, Interval
from whale.plain import exact, kind_of, plain
from whale.store import with_redis
from whale.store.dated import DatedStore, MemoryDated, Pair, Values, starts_between, starts_from
from whale.store.redis.connection import CLUSTER_SCHEME
from whale.store.redis.dated import RedisDated, open_client

PREFIX = "_analytics"
TIMEOUT_S = 10.0
MAX_PAIRS = 10_000
"""Ids x metrics of a call."""
MAX_POINTS = 10_000
"""Buckets of one series, and days of a sync."""
MAX_ANSWER_POINTS = 1_000_000
"""Ids x metrics x buckets of a call."""
MAX_RECORDS = 100_000
"""Detail records of an event, unless the configuration says another number."""
MAX_RECORD_BYTES = 65_536
GROUPS: dict[str, Interval] = {"day": DAY, "week": WEEK, "month": MONTH}
NAMES = load({})

Series = tuple[list[str], dict[str, Number]]
"""Where its buckets begin, as 2012-04-02, in order; and what each holds, 0 where nothing is."""
Details = Mapping[str, str | int | float | bool | None]


class _Today:
    """Where no date is given: that of the clock, in this machine's zone."""

    def __repr__(self) -> str:
        return "today"


TODAY: Final = _Today()


def create_analytic_backend(config: Mapping[str, Any]) -> Any:
    """The backend that a configuration names: {"backend": class or dotted path, "settings": its arguments}.

    The paths of py-fasttrack and py-analytics mean the classes here; any other path is imported.  Raises SetupError.
    """
    if not isinstance(config, Mapping) or not config.get("backend"):
        raise SetupError('backend: expected {"backend": a class or its dotted path, "settings": {...}}')
    backend, settings = config["backend"], config.get("settings", {})
    if not isinstance(settings, Mapping):
        raise SetupError(f"settings: expected a dict, got {_shown(settings)}")
    if isinstance(backend, str):
        backend = KNOWN.get(backend) or _imported(backend)
    if not isinstance(backend, type):
        raise SetupError(f"backend: expected a class or its dotted path, got {_shown(backend)}")
    return backend(settings)


class Tracker:
    """All calls, on any store of dated cells. clock: epoch seconds. max_records: the limit of detail records for one event."""

    def __init__(self, store: DatedStore, clock: Callable[[], float] = time.time, max_records: int = MAX_RECORDS):
        self.store, self.clock, self.max_records = store, clock, max_records

    # tracking

    def track_count(self, unique_identifier: Any, metric: Any, inc_amt: Number = 1) -> Number:
        """Adds to a count without dates, and returns the new value. It is separate from track_metric's counts of the same name."""
        return of_millionths(self.store.count(_pair(unique_identifier, metric), _amount(inc_amt, "inc_amt")))

    def track_metric(
        self, unique_identifier: Any, metric: Any, date: date | _Today = TODAY, inc_amt: Number = 1
    ) -> list[list[Number]]:
        """Adds to a day of each id and metric, to its week, its month and the total.

        Returns [[day, week, month, total], ...] with the new values: the first id with each metric, the second id, ...
        """
        pairs = _product(unique_identifier, metric)
        return _numbers(self.store.add(pairs, self._day(date, "date"), _amount(inc_amt, "inc_amt")))

    def set_metric_by_day(
        self,
        unique_identifier: Any,
        metric: Any,
        date: date,
        count: Number,
        sync_agg: bool = True,
        update_counter: bool = True,
    ) -> list[list[Number]]:
        """Sets a day of each id and metric. sync_agg: recompute its week and month. update_counter: change the total too.

        Returns what track_metric does.
        """
        pairs, day = _product(unique_identifier, metric), _date(date, "date")
        return _numbers(self.store.set_day(pairs, day, _amount(count, "count"), bool(sync_agg), bool(update_counter)))

    def sync_agg_metric(self, unique_identifier: Any, metric: Any, start_date: date, end_date: date) -> None:
        """Recomputes from their days all weeks and months with a day from start_date to end_date."""
        self._sync(unique_identifier, metric, start_date, end_date, weeks=True, months=True)

    def sync_week_metric(self, unique_identifier: Any, metric: Any, start_date: date, end_date: date) -> None:
        """sync_agg_metric of the weeks."""
        self._sync(unique_identifier, metric, start_date, end_date, weeks=True)

    def sync_month_metric(self, unique_identifier: Any, metric: Any, start_date: date, end_date: date) -> None:
        """sync_agg_metric of the months."""
        self._sync(unique_identifier, metric, start_date, end_date, months=True)

    def clear_all(self) -> None:
        """Removes all data of this prefix, some hundred keys at a time. Data tracked during the call may stay or go.

        Walks over all keys of the server without blocking it: the one call of many round trips.
        """
        self.store.clear()

    # reading

    def get_metric_by_day(self, unique_identifier: Any, metric: Any, from_date: date, limit: int = 30) -> Series:
        """The series of `limit` days from a date on."""
        return self._series([_pair(unique_identifier, metric)], from_date, limit, DAY)[0]

    def get_metric_by_week(self, unique_identifier: Any, metric: Any, from_date: date, limit: int = 10) -> Series:
        """The series of `limit` weeks, from the Monday on or before a date; each is named by its Monday."""
        return self._series([_pair(unique_identifier, metric)], from_date, limit, WEEK)[0]

    def get_metric_by_month(self, unique_identifier: Any, metric: Any, from_date: date, limit: int = 10) -> Series:
        """The series of `limit` months, from the month of a date on; each is named by its first day."""
        return self._series([_pair(unique_identifier, metric)], from_date, limit, MONTH)[0]

    def get_metrics(
        self, metric_identifiers: Iterable[Any], from_date: date, limit: int = 10, group_by: str = "week"
    ) -> list[Series]:
        """The series of many (id, metric), in their order. group_by: day, week or month."""
        group = _plain(group_by, "group_by")
        interval = GROUPS.get(group.lower()) if isinstance(group, str) else None
        if interval is None:
            raise CallerError(f"expected day, week or month, got {_shown(group_by)}", "group_by")
        return self._series(_pairs(metric_identifiers), from_date, limit, interval)

    def get_count(
        self, unique_identifier: Any, metric: Any, start_date: date | None = None, end_date: date | None = None
    ) -> Number:
        """Without dates the total of all counts of track_metric and track_count; else the sum of the days between them.

        Both dates are included, in any order; without one the range is open on that side. The cost does not grow with the days.
        """
        return self._counts([_pair(unique_identifier, metric)], start_date, end_date)[0]

    def get_counts(
        self, metric_identifiers: Iterable[Any], start_date: date | None = None, end_date: date | None = None
    ) -> list[Number]:
        """get_count of many (id, metric), in their order."""
        return self._counts(_pairs(metric_identifiers), start_date, end_date)

    # details

    def track_uncountable(self, user_id: Any, event_id: Any, details: Details, now: Any = None) -> int:
        """Keeps a record of a user and an event under its time: now, or the datetime, ISO 8601, epoch seconds, … given.

        details: {text: text, number, boolean or None}; it is read back as it was given. Where another record has the same
        time, this one is kept a microsecond later.  Returns 1.
        """
        user, event, record = _name(user_id, "user_id"), _name(event_id, "event_id"), _record(details)
        self.store.add_record(event, user, self._microseconds(now), record, self.max_records)
        return 1

    def get_uncountable_for_user(self, user_id: Any, event_id: Any) -> dict[datetime, dict[str, Any]]:
        """{time in UTC: details}, in order of time."""
        return _records(self.store.records_of(_name(event_id, "event_id"), _name(user_id, "user_id")))

    def get_uncountable(self, event_id: Any) -> dict[str, dict[datetime, dict[str, Any]]]:
        """{user: {time in UTC: details}} of all users of an event. Two round trips."""
        found = self.store.records(_name(event_id, "event_id"))
        return {user: _records(records) for user, records in found.items()}

    def _counts(self, pairs: Sequence[Pair], start_date: Any, end_date: Any) -> list[Number]:
        first = None if start_date is None else _date(start_date, "start_date")
        last = None if end_date is None else _date(end_date, "end_date")
        if first is None and last is None:
            return [of_millionths(total) for total in self.store.totals(pairs)]
        if first is not None and last is not None:
            first, last = min(first, last), max(first, last)
        return [of_millionths(total) for total in self.store.sums(pairs, first, last)]

    def _series(self, pairs: Sequence[Pair], from_date: Any, limit: Any, interval: Interval) -> list[Series]:
        day, limit = _date(from_date, "from_date"), _plain(limit, "limit")
        if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= MAX_POINTS:
            raise CallerError(f"expected 0 to {MAX_POINTS}, got {_shown(limit)}", "limit")
        if limit * len(pairs) > MAX_ANSWER_POINTS:
            raise CallerError(
                f"{len(pairs)} x {limit} buckets, the limit is {MAX_ANSWER_POINTS}: ask for less", "limit"
            )
        try:
            starts = starts_from(interval, day, limit)
        except OverflowError:
            raise CallerError(
                f"expected dates up to the year 9999, got {limit} buckets from {day} on", "limit"
            ) from None
        names = [start.isoformat() for start in starts]
        found = self.store.series(pairs, interval, starts) if names else [[] for _ in pairs]
        return [(list(names), dict(zip(names, map(of_millionths, values), strict=True))) for values in found]

    def _sync(
        self, ids: Any, metric: Any, start_date: Any, end_date: Any, weeks: bool = False, months: bool = False
    ) -> None:
        pairs = _product(ids, metric)
        first, last = sorted((_date(start_date, "start_date"), _date(end_date, "end_date")))
        days = (last - first).days + 1
        if days > MAX_POINTS or days * len(pairs) > MAX_ANSWER_POINTS:
            raise CallerError(
                f"{len(pairs)} x {days} days, the limits are {MAX_POINTS} days and {MAX_ANSWER_POINTS} in all: ask for less",
                "end_date",
            )
        self.store.sync(
            pairs,
            starts_between(WEEK, first, last) if weeks else [],
            starts_between(MONTH, first, last) if months else [],
        )

    def _day(self, given: Any, field: str) -> date:
        return datetime.fromtimestamp(self.clock()).date() if given is TODAY else _date(given, field)

    def _microseconds(self, now: Any) -> int:
        clock = self.clock()
        if isinstance(now, date) and not isinstance(now, datetime):
            raise CallerError(f"expected a datetime, got {_shown(now)}", "now")
        if now is None:
            return round(clock * MILLION)
        try:
            given = now if isinstance(now, datetime) else _plain(now, "now", float)
            return parse_time(given, clock, "now")
        except HitError as error:
            raise _fault(error) from None
        except CallerError:
            raise
        except Exception:  # of a datetime whose zone raises
            raise CallerError(f"expected 1900 to a year from now, got {_shown(now)}", "now") from None


class Redis(Tracker):
    """On Redis or Redis Cluster, under the settings of a configuration:

    defaults     {host, port, db, username, password, timeout_s}, or {url}: redis://, rediss:// or redis+cluster://
    hosts        a list, or {any: host}: each in the form of defaults, which fill omitted fields; an id is kept on one of them
                 without defaults and hosts: HAILWHALE_REDIS_URL, else the HailWhale that runs on HAILWHALE_DATA_DIR
    prefix       first part of its keys; two prefixes are separate
    max_records  limit of detail records for one event
    """

    def __init__(self, settings: Mapping[str, Any], clock: Callable[[], float] = time.time):
        _known(settings, {"default", "defaults", "hosts", "prefix", "max_records"}, "settings")
        defaults, hosts = settings.get("defaults", settings.get("default", {})), settings.get("hosts", [])
        if isinstance(hosts, Mapping):
            hosts = list(hosts.values())
        if not isinstance(hosts, list | tuple):
            raise SetupError(f"settings.hosts: expected a list, got {_shown(hosts)}")
        prefix = settings.get("prefix", PREFIX)
        if not isinstance(prefix, str) or not 0 < len(prefix) <= 100:
            raise SetupError(f"settings.prefix: expected 1 to 100 characters, got {_shown(prefix)}")
        most, clients = _max_records(settings), dict[str, Any]()
        servers = [_address(defaults, host) for host in hosts or [{}]] if defaults or hosts else [_own_address()]
        for name, url, timeout_s in servers:
            if name in clients:
                raise SetupError(f"settings.hosts: {name} is listed twice")
            clients[name] = open_client(url, timeout_s)
        super().__init__(RedisDated(clients, ACCOUNT, prefix), clock, most)


class Memory(Tracker):
    """In this process only: for tests and trials."""

    def __init__(self, settings: Mapping[str, Any] | None = None, clock: Callable[[], float] = time.time):
        super().__init__(MemoryDated(), clock, _max_records(settings or {}))


class Dummy:
    """Has every call of Tracker. Each does nothing and returns None."""

    def __init__(self, settings: Any = None):
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_") or not callable(getattr(Tracker, name, None)):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return _nothing


def _nothing(*_: Any, **__: Any) -> None:
    return None


KNOWN: dict[str, type] = {
    "fasttrack.backends.redis_backend.Redis": Redis,
    "fasttrack.backends.redis.Redis": Redis,  # as the second example of its README has it
    "fasttrack.backends.dummy.Dummy": Dummy,
    "analytics.backends.redis.Redis": Redis,
    "analytics.backends.dummy.Dummy": Dummy,
}


# Configurations


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(KNOWN)
        raise SetupError(f"backend: cannot import {_shown(path)} ({error}); here are {known}") from error


def _known(given: Any, names: set[str], field: str) -> None:
    if not isinstance(given, Mapping):
        raise SetupError(f"{field}: expected a dict, got {_shown(given)}")
    for name in given:
        if name not in names:
            raise SetupError(f"{field}: expected {', '.join(sorted(names))}, got {_shown(name)}")


def _address(defaults: Any, host: Any) -> tuple[str, str, float]:
    """Name of a host, its URL, its time-out."""
    known = {"url", "host", "port", "db", "username", "password", "timeout_s"}
    _known(defaults, known, "settings.defaults")
    _known(host, known, "settings.hosts")
    found = {**defaults, **host}
    timeout_s = found.get("timeout_s", TIMEOUT_S)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s < math.inf:
        raise SetupError(f"settings.defaults.timeout_s: expected seconds, got {_shown(timeout_s)}")
    if "url" in found:
        url = found["url"]
        if not isinstance(url, str) or not url.startswith(("redis://", "rediss://", CLUSTER_SCHEME)):
            raise SetupError(
                f"settings.defaults.url: expected redis://, rediss:// or {CLUSTER_SCHEME}, got {_shown(url)}"
            )
        return url.rpartition("@")[2], url, timeout_s
    name = found.get("host", "localhost")
    if not isinstance(name, str) or not name:
        raise SetupError(f"settings.defaults.host: expected a name, got {_shown(name)}")
    port, db = (_whole(found.get(field, default), field, most) for field, default, most in _PARTS)
    secret = ":".join(quote(str(found.get(part) or ""), safe="") for part in ("username", "password"))
    at = f"{f'[{name}]' if ':' in name else name}:{port}/{db}"
    return at, f"redis://{secret}@{at}" if secret != ":" else f"redis://{at}", timeout_s


def _own_address() -> tuple[str, str, float]:
    """Of the Redis that HailWhale's settings in the environment name, as `_address` gives it."""
    url = with_redis(load(os.environ)).redis_url
    return url.rpartition("@")[2], url, TIMEOUT_S


_PARTS = (("port", 6379, 65_535), ("db", 0, 1_000_000))


def _whole(value: Any, field: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise SetupError(f"settings.defaults.{field}: expected 0 to {most}, got {_shown(value)}")
    return value


def _max_records(settings: Mapping[str, Any]) -> int:
    most = settings.get("max_records", MAX_RECORDS)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise SetupError(f"settings.max_records: expected at least 1, got {_shown(most)}")
    return most


# Arguments


def _shown(value: Any) -> str:
    if type(value) is int and value.bit_length() > 200:  # text of a huge integer is slow, or refused
        return "a huge integer"
    try:
        return ascii(plain(value, "value", float))[:60]
    except HitError:  # it may hold anything
        return kind_of(value)


def _plain(value: Any, field: str, number: Callable[[Fraction], Any] | None = None) -> Any:
    try:
        return plain(value, field, number)
    except HitError as error:
        raise _fault(error) from None


def _fault(error: HitError) -> CallerError:
    return CallerError(str(error).removeprefix(f"{error.field}: "), error.field)


def _name(value: Any, field: str) -> str:
    try:
        return name_of(value if type(value) is int else plain(value, field), field, NAMES, Reason.BAD_ID)
    except HitError as error:
        raise _fault(error) from None


def _list(value: Any, field: str) -> list[Any]:
    """What may be one name or several."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return [value]
    return _bounded(value, field)


def _bounded(values: Iterable[Any], field: str) -> list[Any]:
    try:
        found = list(islice(values, MAX_PAIRS + 1))
    except Exception as error:  # whatever a program's own type raises
        raise CallerError(f"expected a list, got {kind_of(values)} that raised {kind_of(error)}", field) from error
    if len(found) > MAX_PAIRS:
        raise CallerError(f"expected at most {MAX_PAIRS}: ask in several calls", field)
    return found


def _product(ids: Any, metrics: Any) -> list[Pair]:
    uids = [_name(uid, "unique_identifier") for uid in _list(ids, "unique_identifier")]
    names = [_name(name, "metric") for name in _list(metrics, "metric")]
    if len(uids) * len(names) > MAX_PAIRS:
        raise CallerError(f"{len(uids)} ids x {len(names)} metrics, the limit is {MAX_PAIRS}", "unique_identifier")
    return [(uid, name) for uid in uids for name in names]


def _pair(uid: Any, metric: Any) -> Pair:
    return _name(uid, "unique_identifier"), _name(metric, "metric")


def _pairs(given: Any) -> list[Pair]:
    field = "metric_identifiers"
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise CallerError(f"expected a list of (id, metric), got {_shown(given)}", field)
    pairs = []
    for i, each in enumerate(_bounded(given, field)):
        pair = _plain(each, f"{field}[{i}]")
        if not isinstance(pair, list) or len(pair) != 2:
            raise CallerError(f"expected (id, metric), got {_shown(pair)}", f"{field}[{i}]")
        pairs.append((_name(pair[0], f"{field}[{i}][0]"), _name(pair[1], f"{field}[{i}][1]")))
    return pairs


def _date(value: Any, field: str) -> date:
    if isinstance(value, datetime):
        return value.date()
    if not isinstance(value, date):
        raise CallerError(f"expected a datetime.date, got {_shown(value)}", field)
    return value


def _amount(value: Any, field: str) -> int:
    """Millionths, as of a hit's metrics."""
    number = _plain(value, field, exact)
    if (
        isinstance(number, bool)
        or not isinstance(number, int | float | Fraction)
        or not -MAX_NUMBER <= number <= MAX_NUMBER
    ):  # nor NaN
        raise CallerError(f"expected a number between -9.0e9 and 9.0e9, got {_shown(value)}", field)
    return millionths(number)


def _numbers(found: Iterable[Values]) -> list[list[Number]]:
    return [[of_millionths(value) for value in values] for values in found]


def _record(details: Any) -> str:
    details = _plain(details, "details", float)
    if not isinstance(details, dict):
        raise CallerError(f"expected a dict, got {_shown(details)}", "details")
    for name, value in details.items():
        if not isinstance(name, str):
            raise CallerError(f"expected text as names, got {_shown(name)}", "details")
        if not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
            raise CallerError(f"expected text or a number, got {_shown(value)}", f"details.{_shown(name)[1:-1]}")
    try:
        record = json.dumps(dict(details), ensure_ascii=False, separators=(",", ":"))
        size = len(record.encode())
    except ValueError:  # half of a surrogate pair; an integer of thousands of digits
        raise CallerError("expected Unicode text, and numbers of some digits", "details") from None
    if size > MAX_RECORD_BYTES:
        raise CallerError(f"is {size} bytes as JSON, the limit is {MAX_RECORD_BYTES}", "details")
    return record


def _records(found: Mapping[int, str]) -> dict[datetime, dict[str, Any]]:
    return {EPOCH + timedelta(microseconds=at): json.loads(record) for at, record in found.items()}
