"""py-fasttrack's interface: configurations, and what is refused."""

import datetime
import math
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from tests.servers import free_port
from whale.errors import CallerError, SetupError, Unavailable
from whale.fasttrack import MAX_PAIRS, Dummy, Memory, Redis, Tracker, create_analytic_backend

DAY = datetime.date(2012, 4, 5)
SETTINGS = {"defaults": {"host": "localhost", "port": 6379, "db": 0}}


# Configurations


class Mine(Dummy):
    def __init__(self, settings: Any):
        self.settings = settings


@pytest.mark.parametrize("settings", [SETTINGS, {"default": SETTINGS["defaults"]}, {"hosts": [{"db": 1}]}])
@pytest.mark.parametrize(
    "path",
    [
        "fasttrack.backends.redis_backend.Redis",
        "fasttrack.backends.redis.Redis",
        "analytics.backends.redis.Redis",
        "whale.fasttrack.Redis",
    ],
)
def test_the_old_paths_mean_redis(path: str, settings: dict[str, Any]) -> None:
    assert type(create_analytic_backend({"backend": path, "settings": settings})) is Redis


def test_a_backend_is_a_class_or_its_path_and_is_given_its_settings() -> None:
    for backend in (Mine, f"{__name__}.Mine"):
        made = create_analytic_backend({"backend": backend, "settings": {"some": "thing"}})
        assert made.settings == {"some": "thing"}
    assert type(create_analytic_backend({"backend": "whale.fasttrack.Memory"})) is Memory


def test_the_dummy_does_nothing() -> None:
    for path in ("analytics.backends.dummy.Dummy", "whale.fasttrack.Dummy"):
        dummy = create_analytic_backend({"backend": path})
        for name in vars(Tracker):
            if not name.startswith("_"):
                assert getattr(dummy, name)("1", "m", DAY, inc_amt=3) is None
        assert not hasattr(dummy, "track_everything")
        assert not hasattr(dummy, "_series")


def test_what_a_configuration_does_not_name_is_not_imported() -> None:
    code = (
        "import sys, whale.fasttrack; print([m for m in sys.modules if m.split('.')[0] in ('fasttrack', 'analytics')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "backend: expected"),
        (None, "backend: expected"),
        ({"settings": SETTINGS}, "backend: expected"),
        ({"backend": "fasttrack.backends.mongo.Mongo"}, "backend: cannot import 'fasttrack.backends.mongo.Mongo'"),
        ({"backend": "Redis"}, "backend: cannot import 'Redis'"),
        ({"backend": "whale.fasttrack.Nothing"}, "backend: cannot import"),
        ({"backend": "whale.fasttrack.PREFIX"}, "backend: expected a class or its dotted path, got '_analytics'"),
        ({"backend": 5}, "backend: expected a class"),
        ({"backend": Redis, "settings": []}, "settings: expected a dict"),
        ({"backend": Redis}, "no HailWhale runs on"),
        ({"backend": Redis, "settings": {"defualts": {}}}, "settings: expected .*, got 'defualts'"),
        ({"backend": Redis, "settings": {"defaults": {"hots": "a"}}}, "settings.defaults: expected .*, got 'hots'"),
        ({"backend": Redis, "settings": {"defaults": 5}}, "settings.defaults: expected a dict, got 5"),
        ({"backend": Redis, "settings": {"hosts": [5]}}, "settings.hosts: expected a dict, got 5"),
        ({"backend": Redis, "settings": {"hosts": 5}}, "settings.hosts: expected a list"),
        ({"backend": Redis, "settings": {"hosts": "localhost"}}, "settings.hosts: expected a list"),
        (
            {"backend": Redis, "settings": {"hosts": [{"db": 1}, {"db": 1}]}},
            "settings.hosts: localhost:6379/1 is listed twice",
        ),
        ({"backend": Redis, "settings": {"defaults": {"port": "6379"}}}, "settings.defaults.port: expected 0 to 65535"),
        ({"backend": Redis, "settings": {"defaults": {"db": -1}}}, "settings.defaults.db: expected 0 to"),
        ({"backend": Redis, "settings": {"defaults": {"host": ""}}}, "settings.defaults.host: expected a name"),
        ({"backend": Redis, "settings": {"defaults": {"url": "http://a"}}}, "settings.defaults.url: expected redis://"),
        ({"backend": Redis, "settings": {"defaults": {"timeout_s": 0}}}, "timeout_s: expected seconds"),
        ({"backend": Redis, "settings": {**SETTINGS, "prefix": ""}}, "settings.prefix: expected"),
        ({"backend": Redis, "settings": {**SETTINGS, "max_records": 0}}, "settings.max_records: expected at least 1"),
    ],
)
def test_a_configuration_that_cannot_work_says_what_to_mend(config: Any, said: str) -> None:
    with pytest.raises(SetupError, match=said):
        create_analytic_backend(config)


def test_user_and_password_may_hold_any_character() -> None:
    defaults = {"host": "::1", "port": 7000, "username": "a:b", "password": "p@ss/ wörd"}
    made = Redis({"defaults": defaults})
    (client,) = made.store.hosts.values()
    used = client.connection_pool.connection_kwargs
    assert {name: used[name] for name in ("host", "port", "db", "username", "password")} == {**defaults, "db": 0}


def test_without_a_server_in_the_settings_it_is_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAILWHALE_REDIS_URL", "redis://ann:secret@redis.example:7000/3")
    for settings in ({}, {"prefix": "mine"}):
        made = create_analytic_backend({"backend": Redis, "settings": settings})
        ((name, client),) = made.store.hosts.items()
        used = client.connection_pool.connection_kwargs
        assert (used["host"], used["port"], used["db"], used["username"]) == ("redis.example", 7000, 3, "ann")
        assert name == "redis.example:7000/3"


def test_without_a_server_a_call_says_so() -> None:
    tracker = Redis({"defaults": {"port": free_port()}})
    with pytest.raises(Unavailable):
        tracker.track_count("1", "m")
    with pytest.raises(Unavailable):
        tracker.get_counts([("1", "m"), ("2", "m")])


# Arguments


@pytest.fixture
def tracker() -> Memory:
    return Memory(clock=lambda: datetime.datetime(2012, 4, 5, 12).timestamp())


@pytest.mark.parametrize(
    ("call", "given", "said"),
    [
        ("track_metric", ("1", "m", None), "date: expected a datetime.date, got None"),
        ("track_metric", ("1", "m", "2012-04-05"), "date: expected a datetime.date"),
        ("set_metric_by_day", ("1", "m", None, 1), "date: expected"),
        ("get_metric_by_day", ("1", "m", None), "from_date: expected"),
        ("get_metric_by_week", ("1", "m", 20120405), "from_date: expected"),
        ("get_count", ("1", "m", "x", None), "start_date: expected"),
        ("get_count", ("1", "m", None, 5), "end_date: expected"),
        ("sync_agg_metric", ("1", "m", DAY, None), "end_date: expected"),
        ("sync_agg_metric", ("1", "m", None, DAY), "start_date: expected"),
        ("sync_agg_metric", ("1", "m", datetime.date(1, 1, 1), DAY), "end_date: 1 x .* days, the limits are 10000"),
        ("sync_agg_metric", (range(1000), "m", datetime.date(2000, 1, 1), DAY), "end_date: 1000 x .* ask for less"),
        ("get_metric_by_day", ("1", "m", DAY, -1), "limit: expected 0 to 10000, got -1"),
        ("get_metric_by_day", ("1", "m", DAY, 10_001), "limit: expected 0 to 10000"),
        ("get_metric_by_day", ("1", "m", DAY, True), "limit: expected"),
        ("get_metric_by_day", ("1", "m", DAY, 2.5), "limit: expected"),
        ("get_metric_by_day", ("1", "m", DAY, None), "limit: expected"),
        ("get_metric_by_day", ("1", "m", datetime.date.max, 2), "limit: expected dates up to the year 9999"),
        ("get_metric_by_week", ("1", "m", datetime.date.max, 2), "limit: expected dates up to the year 9999"),
        ("get_metric_by_month", ("1", "m", datetime.date.max, 2), "limit: expected dates up to the year 9999"),
        ("get_metric_by_day", (["1", "2"], "m", DAY), "unique_identifier: expected a name, got"),
        ("get_count", ("1", ["m", "n"]), "metric: expected a name, got"),
        ("get_metrics", ([("1", "m")] * 1001, DAY, 1000), "limit: 1001 x 1000 buckets, the limit is 1000000"),
        ("get_metrics", ([("1", "m")], DAY, 5, None), "group_by: expected day, week or month, got None"),
        ("get_metrics", ("1", DAY), "metric_identifiers: expected a list"),
        ("get_metrics", (None, DAY), "metric_identifiers: expected a list"),
        ("get_metrics", (["1m"], DAY), r"metric_identifiers\[0\]: expected \(id, metric\), got '1m'"),
        ("get_counts", ([("1", "m"), ("1",)],), r"metric_identifiers\[1\]: expected"),
        ("get_counts", ([("1", None)],), r"metric_identifiers\[0\]\[1\]: expected a name"),
        ("get_counts", ((("1", "m") for _ in range(10**9)),), "metric_identifiers: expected at most 10000"),
        ("track_metric", ((i for i in range(10**9)), "m", DAY), "unique_identifier: expected at most 10000"),
        ("track_metric", (range(5000), ["a", "b", "c"], DAY), "unique_identifier: 5000 ids x 3 metrics, the limit is"),
        ("track_metric", ("1", "m", DAY, math.nan), "inc_amt: expected a number"),
        ("track_metric", ("1", "m", DAY, math.inf), "inc_amt: expected a number"),
        ("track_metric", ("1", "m", DAY, 10**400), "inc_amt: expected a number"),
        ("track_metric", ("1", "m", DAY, -(10**5000)), "inc_amt: expected a number"),
        ("track_metric", ("1", "m", DAY, "3"), "inc_amt: expected a number"),
        ("track_metric", ("1", "m", DAY, True), "inc_amt: expected a number"),
        ("track_metric", ("1", "m", DAY, None), "inc_amt: expected a number"),
        ("track_metric", ("1", "m", DAY, Decimal("NaN")), "inc_amt: expected a number"),
        ("set_metric_by_day", ("1", "m", DAY, math.nan), "count: expected a number"),
        ("track_count", ("1", "m", math.nan), "inc_amt: expected a number"),
        ("track_count", ("", "m"), "unique_identifier: expected a name, got empty text"),
        ("track_count", (None, "m"), "unique_identifier: expected a name, got null"),
        ("track_count", (b"1", "m"), "unique_identifier: expected a name"),
        ("track_count", ("1", "x" * 201), "metric: expected at most 200 bytes"),
        ("track_count", ("1", "\ud800"), "metric: expected Unicode text"),
        ("track_count", (10**5000, "m"), "unique_identifier: expected at most 200 bytes"),
        ("track_metric", ({"1": 1}, "m", DAY), "unique_identifier: expected a name"),
        ("track_uncountable", ("1", "e", None), "details: expected a dict, got None"),
        ("track_uncountable", ("1", "e", {1: 2}), "details: expected text as names, got 1"),
        ("track_uncountable", ("1", "e", {"a": math.nan}), "details.a: expected text or a number"),
        ("track_uncountable", ("1", "e", {"a": [1]}), "details.a: expected text or a number"),
        ("track_uncountable", ("1", "e", {"a": b"1"}), "details.a: expected a name, a number"),
        ("track_uncountable", ("1", "e", {"a": "\ud800"}), "details: expected Unicode text"),
        ("track_uncountable", ("1", "e", {"a": 10**5000}), "details.a: expected a number of less than"),
        ("track_uncountable", ("1", "e", {"a": "x" * 70_000}), "details: is .* bytes as JSON, the limit is 65536"),
        ("track_uncountable", ("", "e", {}), "user_id: expected a name"),
        ("track_uncountable", ("1", None, {}), "event_id: expected a name"),
        ("track_uncountable", ("1", "e", {}, "soon"), "now: expected epoch seconds or ISO 8601"),
        ("track_uncountable", ("1", "e", {}, 1e300), "now: expected"),
        ("track_uncountable", ("1", "e", {}, datetime.datetime.max), "now: expected"),
        ("track_uncountable", ("1", "e", {}, datetime.datetime.min), "now: expected"),
        ("track_uncountable", ("1", "e", {}, DAY), "now: expected"),
    ],
)
def test_what_cannot_be_is_refused_and_named(tracker: Memory, call: str, given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(CallerError, match=f"^{said}"):
        getattr(tracker, call)(*given)
    assert tracker.get_counts([("1", "m")]) == [0]
    assert tracker.get_uncountable("e") == {}


def test_a_refused_argument_of_any_size_is_shown_short(tracker: Memory) -> None:
    with pytest.raises(CallerError) as caught:
        tracker.track_metric("1", "m" * 10**6, DAY)
    assert len(str(caught.value)) < 200


def test_lists_may_be_empty_or_any_iterable(tracker: Memory) -> None:
    assert tracker.track_metric([], "m", DAY) == []
    assert tracker.get_counts([]) == tracker.get_metrics([], DAY) == []
    assert tracker.track_metric(range(2), ("m", "n"), DAY) == [[1, 1, 1, 1]] * 4
    assert tracker.track_metric((str(i) for i in range(2)), {"m"}, DAY) == [[2, 2, 2, 2]] * 2
    assert len(tracker.track_metric(range(MAX_PAIRS), "o", DAY)) == MAX_PAIRS


def test_without_a_date_it_is_today(tracker: Memory) -> None:
    tracker.track_metric("1", "m", inc_amt=2)
    assert tracker.get_metric_by_day("1", "m", DAY, 1)[1] == {"2012-04-05": 2}


def test_a_datetime_counts_on_its_own_date(tracker: Memory) -> None:
    late = datetime.datetime(2012, 4, 5, 23, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=-8)))
    tracker.track_metric("1", "m", late)
    assert tracker.get_metric_by_day("1", "m", late, 1) == (["2012-04-05"], {"2012-04-05": 1})
    assert tracker.get_count("1", "m", late, datetime.datetime(2012, 4, 5, 1)) == 1


def test_a_record_has_the_time_of_the_clock_or_the_one_that_is_given() -> None:
    times = iter([1333620000.25, 1333620060.5, 1333620061.0])
    tracker = Memory(clock=lambda: next(times))
    tracker.track_uncountable("1", "e", {"n": 1})
    tracker.track_uncountable("1", "e", {"n": 2})
    zone = datetime.timezone(datetime.timedelta(hours=2))
    tracker.track_uncountable("1", "e", {"n": 3}, now=datetime.datetime(2012, 4, 5, 12, 0, 0, 123456, zone))
    assert [time.isoformat() for time in tracker.get_uncountable_for_user("1", "e")] == [
        "2012-04-05T10:00:00.123456+00:00",
        "2012-04-05T10:00:00.250000+00:00",
        "2012-04-05T10:01:00.500000+00:00",
    ]
