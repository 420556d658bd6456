"""Real purchases that nobody here made: who comes back, and how many buy again, as an oracle says that reads the file alone.

The purchases of customers of CDNOW from 1997-01 to 1998-06 (Fader and Hardie) come with the package `lifetimes`. They have days and no
times, so many of one customer tie. All days are moved by whole weeks, so that the last one is a week ago.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from importlib.metadata import distribution
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from hail.settings import DAY, load
from tests.contract.logs import CAPS
from tests.servers import RedisServer
from whale.accounts import Account, Act, Site
from whale.client import Whale
from whale.store.redis import connect
from whale.visitors.deeds import Deeds, entry_in_columns
from whale.visitors.record import hasher_of

FILE = "lifetimes/datasets/CDNOW_master.txt"
ZONES = ("UTC", "America/New_York")
MESSAGE = 2000
ONE, SEVERAL = "buy one", "buy several"


class Purchase(NamedTuple):
    customer: str
    day: date
    event: str


def purchases() -> list[Purchase]:
    text = distribution("lifetimes").locate_file(FILE).read_text()
    rows = [line.split() for line in text.splitlines()[1:] if line.strip()]
    found = [(row[0], datetime.strptime(row[1], "%Y%m%d").date(), int(row[2])) for row in rows]
    weeks = (date.today() - max(day for _, day, _ in found)).days // 7 - 1
    return [
        Purchase(customer, day + timedelta(weeks=weeks), ONE if number == 1 else SEVERAL)
        for customer, day, number in found
    ]


def messages(bought: list[Purchase]) -> Iterator[list[Purchase]]:
    """No message has two purchases of one customer on one day: hits of one message keep their order, and these are to tie."""
    waves = defaultdict(list)
    known = Counter[tuple[str, date]]()
    for each in bought:
        waves[known[each.customer, each.day]].append(each)
        known[each.customer, each.day] += 1
    for wave in waves.values():
        for first in range(0, len(wave), MESSAGE):
            yield wave[first : first + MESSAGE]


class Shop(NamedTuple):
    whale: Whale
    bought: list[Purchase]
    zone: str

    @property
    def period(self) -> str:
        days = [each.day for each in self.bought]
        return f"{min(days)}..{max(days) + timedelta(days=1)}"


@pytest.fixture(scope="module", params=ZONES)
def shop(request: pytest.FixtureRequest, redis_server: RedisServer) -> Shop:
    zone = request.param
    account = f"cdnow{ZONES.index(zone)}abcd"
    store = connect(load({"HAILWHALE_REDIS_URL": redis_server.url}))
    site = Site(account, "shop", keep_days=800)
    act = Act(0, "a test", "add", account, "shop")
    store.add_entry(Account(account, account, zone, 1), act)
    store.add_entry(site, act)
    record = store.begin_log(site, after_ms=-700 * DAY * 1000)
    (generation,) = record.generations
    log, hash_of = record.log(account, "shop", generation), hasher_of(account, "shop", generation)
    bought = purchases()
    now_ms = int(datetime.now().timestamp() * 1000)
    for seq, some in enumerate(messages(bought)):
        at = [
            int(datetime(each.day.year, each.day.month, each.day.day, 12, tzinfo=ZoneInfo(zone)).timestamp() * 1000)
            for each in some
        ]
        deeds = Deeds([each.customer for each in some], np.array(at), [each.event for each in some])
        store.add_to_log([entry_in_columns(log, (account, "ab" * 8, seq), now_ms, deeds, hash_of)], CAPS)
    while store.compact_log(log, 0):
        pass
    return Shop(Whale(store, store.settings, account), bought, zone)


def test_all_of_them_are_there(shop: Shop) -> None:
    found = shop.whale.events("shop", shop.period)["events"]
    assert sum(row["times"] for row in found) == len(shop.bought) == 69_659
    whole = shop.whale.visitors("shop", shop.period)
    assert whole["visitors"] == whole["new"] == len({each.customer for each in shop.bought}) == 23_570


@pytest.mark.parametrize(
    ("steps", "days"),
    [
        ([ONE, ONE], 7),
        ([ONE, ONE], 90),
        ([ONE, SEVERAL], 30),
        ([SEVERAL, ONE, SEVERAL], 200),
        ([ONE, ONE, ONE, ONE], 360),
    ],
)
def test_so_many_buy_again(shop: Shop, steps: list[str], days: int) -> None:
    """The last start of a chain is the only one that matters: an oracle of a few lines."""
    reached = [0] * len(steps)
    of_customers = defaultdict(list)
    for each in shop.bought:
        of_customers[each.customer].append((each.day, each.event))
    for mine in of_customers.values():
        ends = {day: day for day, event in mine if event == steps[0]}  # when a chain ends: its last start
        for number, step in enumerate(steps):
            if number:
                ends = {
                    day: max(begun)
                    for day, event in mine
                    if event == step and (begun := [start for end, start in ends.items() if end < day])
                }
                ends = {day: start for day, start in ends.items() if (day - start).days <= days}
            reached[number] += bool(ends)
    found = shop.whale.funnel("shop", steps, shop.period, window=days * DAY + 2 * 3600)
    assert [row["visitors"] for row in found["steps"]] == reached


@pytest.mark.parametrize("by", ["week", "month"])
def test_so_many_come_back(shop: Shop, by: str) -> None:
    def bucket(day: date) -> date:
        return day - timedelta(days=day.weekday()) if by == "week" else day.replace(day=1)

    first: dict[str, date] = {}
    came = defaultdict(set)
    for each in shop.bought:
        first[each.customer] = min(first.get(each.customer, each.day), each.day)
        came[each.customer].add(bucket(each.day))
    found = shop.whale.retention("shop", by=by, count=18, start=f"{min(each.day for each in shop.bought)}")
    starts = [date.fromisoformat(cohort["at"][:10]) for cohort in found["cohorts"]]
    assert len(starts) == 18
    for start, cohort in zip(starts, found["cohorts"], strict=True):
        mine = [customer for customer, day in first.items() if bucket(day) == start]
        assert cohort["visitors"] == len(mine)
        following = starts[starts.index(start) :]
        expected = [sum(each in came[customer] for customer in mine) for each in following]
        assert cohort["kept"][: len(expected)] == expected


def test_nothing_follows_within_a_session_of_one_day(shop: Shop) -> None:
    """Purchases of a day tie, so none is before another, and those of two days are two sessions."""
    found = shop.whale.paths("shop", ONE, shop.period)
    assert found["rows"] == []
    assert found["occurrences"] == found["ended"] == sum(each.event == ONE for each in shop.bought)
    sessions = shop.whale.sessions("shop", shop.period)
    assert sessions["sessions"] == len({(each.customer, each.day) for each in shop.bought})
