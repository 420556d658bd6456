"""The Python examples of both HailWhale READMEs, run on a real Redis.

Allowed edits: print(), the import lines, `hits = 1` in a dict to `'hits': 1`, months=1 to days=30, and a list around
.keys(). What decides is asserted, too: the README leaves the answer to the reader.
"""

import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

import whale
from hail.settings import load
from tests.servers import RedisServer
from tests.wsgi import Answer, call
from whale import HailWhale, Whale, client
from whale.web import make_app

LATER = """
     # This class is the main entry point into all the hailwhale functions
     # You can track counts, retrieve counts as totals, or retrieve counts as
     # plotpoints
     from whale import Whale

     # Optional, but includes some extra helpers for working with our periods
     from whale import period as periods

     # Let's log some data
     Whale.count_now('my_counter', metrics={'hits': 1})

     # How many hits today? 1. 1 hit. Gooood dooog.
     assert(Whale.total('my_counter', metric='hits', period='today') == 1)

     # Count something else probably
     Whale.count_now('my_counter', metrics={'sales': 1, 'revenue': 5})

     # Now we want some graph. The men in suits always want more graph :(
     pps = Whale.plotpoints('my_counter', metrics=['hits','sales','revenue/hits'], period='mtd')

     # we all gonna be out the job
     print(list(pps['my_counter']['revenue/hits'].keys())[:3])

     # you can also nest your PKs, and include a dimension to further subdivide your stats
     Whale.count_now(['Product', '123'], metric={'revenue': 10.0, 'sales': 1}, dimensions={'country': 'US', 'device': 'Mac OS X'})

     # Get some numbers for a dashboard
     totals = Whale.totals(['Product', '123'], metric=['revenue', 'sales'], period='1d:1mo')

     # Now get plotpoints for graphs of all countries, by revenue/visitor
     plotpoints = Whale.plotpoints(['Product', '123'], dimensions='country', metric=['revenue/visitor'], depth=1)
"""

DECIDING = """
     # And I believe you mentioned some recommendation utilities?
     # What if we showed US visitor an english page?
     Whale.count_decision(['Product', '123'], decided={'language': 'EN'},
          metric={'revenue': 500, 'visitors': 100}, dimensions={'country': 'US', 'device': 'Mac OS X'})
     # Then US visitors a spanish page?
     Whale.count_decision(['Product', '123'], decided={'language': 'SP'},
          metric={'revenue': 0, 'visitors': 100}, dimensions={'country': 'US', 'device': 'Mac OS X'})

     # Hey we have a guy from US, which page should we show him?
     decided = Whale.decide(['Product', '123'], options={'language': ['EN', 'SP']},
          known_dimensions={'country': 'US', 'device': 'Mac OS X'})
"""

OVER_HTTP = """
    # Log our decisions
    http://.../count_decision?pk=PageVariation&option=b&dimensions={"country": "US"}&metric={"spent": .50}
    # And log our successes, of course ;)
    http://.../count_decision?pk=PageVariation&option=b&dimensions={"country": "US"}&metric={"earned": 25}
    # Now choose one from our historical data
    http://.../decide?pk=PageVariation&options=['a', 'b', 'c']&dimensions={"country": "US"}&by_metric=spent/earned
"""

FIRST_SETTINGS = """
  # settings.py
  # Define our graph periods
  PERIODS = [
    (15, 3600*3), # Every 15 seconds for the last 3 hours
    (3600, 3600*24*7), # Every hour for the last week
    (3600*24, 3600*24*365), # Every day for the last year
  ]
  # Table must have column families 'meta', 'values'
  DEFAULT_TABLE='analytics'
"""

FIRST_SITE = """
  # my_site.wsgi
  def main_page(request):
    visitor_id = request.user.id

    # A hierarchy of traits to log
    update_params = ['pageviews', 'site.com', 'site.com/main', visitor_id]

    # The metrics we'll be tracking
    update_values = {
      'hits': 1, # Increment a value
      'time_on_page': 25, # Or store things to aggregate
      'visitors': 'is_unique', # Magic strings get replaced
      }

    HailWhale.log(update_params, update_values)
    return "<h1>Hello, Whale</h1>"
"""

FIRST_READING = """
  total_hits_this_month = HailWhale.dataset(
              ['pageviews'],
              value='hits',
              period=settings.PERIOD[-1],
              start_at=datetime.now() - timedelta(days=30),
      )
  #=> [(datetime, value), (datetime, value), (datetime, value), ... ]

  timeonpage_per_page_for_sitecom_this_week = \\
    HailWhale.dataset( ['pageviews', 'site.com'],
              depth=1, # include 1 layer beneath 'site.com'
              value='time_on_page',
              period=settings.PERIOD[1])
  #=> {'site.com/main': [(datetime,value),(datetime,value) ... ],
  #    'site.com/about': [(datetime,value),(datetiem,value) ...] }
"""

Connect = Callable[..., None]


@pytest.fixture
def connect(redis_server: RedisServer, unique: str, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Makes the default connection, to an account of its own."""
    monkeypatch.setattr(client, "_connections", {})

    def connected(**settings: str) -> None:
        in_force = load({f"HAILWHALE_{name}": value for name, value in settings.items()})
        whale.connect(redis_server.url, unique, in_force)

    return connected


def run(code: str, **names: Any) -> dict[str, Any]:
    exec(compile(textwrap.dedent(code), "README", "exec"), names)
    return names


def test_the_examples_of_the_later_readme(connect: Connect, capsys: pytest.CaptureFixture[str]) -> None:
    connect()
    found = run(LATER)
    today = datetime.now(UTC)
    assert found["totals"] == {"1d:1mo": {"_": {"revenue": 10, "sales": 1}}}
    assert list(found["pps"]["my_counter"]) == ["hits", "sales", "revenue/hits"]
    assert len(found["pps"]["my_counter"]["hits"]) == today.day
    assert list(found["pps"]["my_counter"]["revenue/hits"].values())[-1] == 2.5
    first_of_month = today.replace(day=1, hour=0, minute=0, second=0).ctime()
    assert first_of_month in capsys.readouterr().out
    assert list(found["plotpoints"]) == ["country", '["country", "US"]']
    assert set(found["plotpoints"]["country"]["revenue/visitor"].values()) == {0}
    assert Whale.total(["Product"], "revenue", ["device", "Mac OS X"], "today") == 10


def test_the_decision_of_the_later_readme(connect: Connect) -> None:
    connect()
    found = run(DECIDING, Whale=Whale)
    assert found["decided"] in ("EN", "SP")  # by value/hits, and there is no value
    asked = {"known_dimensions": {"country": "US", "device": "Mac OS X"}, "formula": "revenue/visitors"}
    languages = [Whale.decide(["Product", "123"], options={"language": ["EN", "SP"]}, **asked) for _ in range(50)]
    assert languages.count("EN") > 40
    assert Whale.total(["Product", "123", "language", "EN"], "revenue/visitors", ["country", "US"], "today") == 5
    Whale.flush()


def test_the_decisions_of_the_later_readme_over_http(connect: Connect) -> None:
    connect()
    app = make_app(Whale.default().settings, Whale.default())
    first, second, question = (line.partition("...")[2] for line in OVER_HTTP.split("\n") if "http" in line)

    def get(address: str, **more: str) -> Answer:
        path, _, query = address.partition("?")
        return call(app, "GET", path, query=quote(query, safe="&=[]{}") + "".join(f"&{k}={v}" for k, v in more.items()))

    assert [get(address).text for address in (first, second)] == ["OK", "OK"]
    assert get(question).json["option"] in "abc"
    for _ in range(100):
        for option in "abc":
            get(first.replace("option=b", f"option={option}"))
    for _ in range(20):
        get(second)
    chosen = [get(question, goal="min").json["option"] for _ in range(50)]  # what is spent for what is earned: a cost
    assert chosen.count("b") > 40
    Whale.flush()


def read_the_first(connect: Connect, site: str) -> dict[str, Any]:
    settings = run(FIRST_SETTINGS)
    periods = settings["PERIODS"]
    connect(PERIODS=repr(tuple(periods)), DEFAULT_TABLE=settings["DEFAULT_TABLE"])
    main_page = run(site, HailWhale=HailWhale)["main_page"]
    for visitor in (7, 7, 8):
        assert main_page(SimpleNamespace(user=SimpleNamespace(id=visitor))) == "<h1>Hello, Whale</h1>"
    named = SimpleNamespace(PERIOD=periods)
    return run(FIRST_READING, HailWhale=HailWhale, settings=named, datetime=datetime, timedelta=timedelta)


def check_the_first(found: dict[str, Any]) -> None:
    month = found["total_hits_this_month"]
    assert len(month) == 31
    assert month[-1] == (datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0), 3)
    week = found["timeonpage_per_page_for_sitecom_this_week"]
    assert list(week) == ["site.com/main"]
    assert sum(value for _, value in week["site.com/main"]) == 75
    path = ["pageviews", "site.com", "site.com/main", "7"]
    counted = {tuple(path[:depth]): HailWhale.total("analytics", "hits", path[:depth], "3600") for depth in range(1, 5)}
    assert list(counted.values()) == [3, 3, 3, 2]


def test_the_examples_of_the_first_readme(connect: Connect) -> None:
    check_the_first(read_the_first(connect, FIRST_SITE))
    assert HailWhale.total("analytics", "visitors", ["pageviews"], "3600:3600") == 2
