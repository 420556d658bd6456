"""The cases under cases/fasttrack/: calls of py-fasttrack's interface, and exact answers. In memory and on Redis.

A step is a `call` `with` its arguments and those that are `named`, and its `answer` or its `error`. In arguments text as
2012-04-05 is a date; in answers times are ISO 8601. The order of keys counts. And the examples of py-fasttrack's README,
of which only the imports are edited.
"""

import datetime
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.servers import RedisServer
from whale import fasttrack
from whale.errors import CallerError
from whale.fasttrack import Memory, Redis, Tracker, create_analytic_backend

CASES = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "cases/fasttrack").glob("*.json"))]
NOW = datetime.datetime(2012, 4, 5, 10, tzinfo=datetime.UTC).timestamp()


@pytest.fixture(params=["memory", "redis"])
def tracker(request: pytest.FixtureRequest, unique: str) -> Tracker:
    if request.param == "memory":
        return Memory(clock=lambda: NOW)
    server = request.getfixturevalue("redis_server")
    return Redis({"defaults": {"host": "127.0.0.1", "port": server.port, "db": 0}, "prefix": unique}, lambda: NOW)


def dated(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return datetime.date.fromisoformat(value)
    return [dated(each) for each in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """As JSON has it; the order of keys is told."""
    if isinstance(value, dict):
        return [(key.isoformat() if isinstance(key, datetime.datetime) else key, plain(v)) for key, v in value.items()]
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_a_case_is_answered_exactly(case: dict[str, Any], tracker: Tracker) -> None:
    for step in case["steps"]:
        call = getattr(tracker, step["call"])
        given = [dated(each) for each in step["with"]], {name: dated(v) for name, v in step.get("named", {}).items()}
        if step["call"] == "track_uncountable":
            given = step["with"], step["named"]
        if "error" in step:
            with pytest.raises(CallerError, match=re.escape(step["error"])):
                call(*given[0], **given[1])
            continue
        found = plain(call(*given[0], **given[1]))
        if "answer" in step:
            assert found == plain(step["answer"]), step


def test_there_are_as_many_cases_as_the_old_systems_have() -> None:
    assert len({case["id"].rstrip("b") for case in CASES}) == 17


# The README of py-fasttrack

FIRST = """
    from whale.fasttrack import create_analytic_backend

    tracker = create_analytic_backend({
        'backend': 'fasttrack.backends.redis_backend.Redis',
        'settings': {
            'defaults': {
                'host': 'localhost',
                'port': 6379,
                'db': 0,
            },
        },
    })
"""

SECOND = """
    from whale.fasttrack import create_analytic_backend
    import datetime

    tracker = create_analytic_backend({
        "backend": "fasttrack.backends.redis.Redis",
        "settings": {
            "default": {
                'host': 'localhost',
                'port': 6379,
                'db': 0,
            }
        },
    })

    year_ago = datetime.date.today() - datetime.timedelta(days=265)

    #create some analytics data
    # NOTE THAT ALL NUMBERS IN INITIAL ARGUMENTS ARE ASSUMED TO BE
    # UNIQUE USER IDS
    tracker.track_metric("1234", "comment", year_ago)
    tracker.track_metric("1234", "comment", year_ago, inc_amt=3)
    #we can even track multiple metrics at the same time for a particular user
    tracker.track_metric("1234", ["comments", "likes"], year_ago)
    #or track the same metric for multiple users (or a combination or both)
    tracker.track_metric(["1234", "4567"], "comment", year_ago)

    #retrieve analytics data:
    tracker.get_metric_by_day("1234", "comment", year_ago, limit=20)
    tracker.get_metric_by_week("1234", "comment", year_ago, limit=10)
    tracker.get_metric_by_month("1234", "comment", year_ago, limit=6)

    #create a counter
    tracker.track_count("1245", "login")
    tracker.track_count("1245", "login", inc_amt=3)

    #retrieve multiple metrics at the same time
    #group_by is one of ``month``, ``week`` or ``day``
    tracker.get_metrics([("1234", "login",), ("4567", "login",)], year_ago, group_by="day")

    #retrieve a count
    tracker.get_count("1245", "login")

    #retrieve a count between 2 dates
    tracker.get_count("1245", "login", start_date=datetime.date(month=1, day=5, year=2011), end_date=datetime.date(month=5, day=15, year=2011))

    #retrieve counts
    tracker.get_counts([("1245", "login",), ("1245", "logout",)])
"""  # noqa: E501  # as the README prints it


def run(example: str, server: RedisServer, monkeypatch: pytest.MonkeyPatch, prefix: str) -> Any:
    """Runs an example, against this server and under this prefix instead of those it names."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(fasttrack, "PREFIX", prefix)
    exec(compile(textwrap.dedent(example).replace("6379", str(server.port)), "README", "exec"), found)
    return found


def test_the_examples_of_the_readme_run(
    redis_server: RedisServer, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (run(example, redis_server, monkeypatch, unique) for example in (FIRST, SECOND))
    year_ago = second["year_ago"]
    for tracker in (first["tracker"], second["tracker"]):
        day = year_ago.isoformat()
        assert tracker.get_metric_by_day("1234", "comment", year_ago, limit=1) == ([day], {day: 5})
        assert list(tracker.get_metric_by_week("4567", "comment", year_ago, limit=2)[1].values()) == [1, 0]
        assert tracker.get_counts([("1234", "likes"), ("1245", "login"), ("1245", "logout")]) == [1, 4, 0]
        assert tracker.get_count("1245", "login", datetime.date(2011, 1, 5), datetime.date(2011, 5, 15)) == 0


def test_the_python_of_the_page_runs(redis_server: RedisServer, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs/fasttrack.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    monkeypatch.setenv("HAILWHALE_REDIS_URL", redis_server.url)
    assert run(program, redis_server, monkeypatch, unique)["details"]["code"] == "12"


def test_the_configuration_of_the_parent_spreads_ids_over_its_hosts(redis_server: RedisServer, unique: str) -> None:
    tracker = create_analytic_backend(
        {
            "backend": "analytics.backends.redis.Redis",
            "settings": {
                "defaults": {"host": "localhost", "port": redis_server.port, "db": 0},
                "hosts": [{"db": 0}, {"db": 1}, {"host": "127.0.0.1", "db": 2}],
                "prefix": unique,
            },
        }
    )
    day = datetime.date(2012, 4, 5)
    ids = [f"user:{i}" for i in range(60)]
    assert tracker.track_metric(ids, "m", day) == [[1, 1, 1, 1]] * 60
    assert tracker.get_counts([(uid, "m") for uid in ids]) == [1] * 60
    kept = [len(list(redis_server.client(db=db).scan_iter(f"default:ft:{unique}:*", 1000))) for db in (0, 1, 2)]
    assert sum(kept) == 120
    assert min(kept) > 10
    tracker.clear_all()
    assert tracker.get_counts([(uid, "m") for uid in ids]) == [0] * 60
