"""Visitors of the log and what bounds it: numbers, periods, caps, in every store."""

from collections import Counter
from secrets import token_bytes

import pytest

from hail.settings import DAY
from tests.contract.logs import CAPS, FOR_EVER_MS, NOW_MS, hash_in, logged, numbers, pass_by, visit
from tests.servers import wait_until
from whale.accounts import Account, Act, account_id
from whale.store.base import Store
from whale.store.contract.events import Caps
from whale.store.redis import RedisStore
from whale.visitors.entries import MOST_ID_BYTES, Done, SiteLog, entry_of
from whale.visitors.identity import Person
from whale.visitors.record import LATEST_S

PUBLISHER = "ab" * 8


@pytest.fixture
def log(unique: str) -> SiteLog:
    return SiteLog(unique, "shop", period_s=180 * DAY)


def test_each_visitor_has_one_number_and_numbers_have_no_gaps(store: Store, log: SiteLog) -> None:
    people = [f"visitor {number}" for number in range(2_500)]
    for seq in range(5):
        store.add_to_log([visit(log, seq, *people[500 * seq :], *people[: 500 * seq])], CAPS)
    column = store.read_log(log, 0, 0, FOR_EVER_MS).columns["e", "visit"]
    assert Counter(column.visitors.tolist()) == dict.fromkeys(range(2_500), 5)
    assert sorted(store.ids_in_log(log, 0, range(3_000)).values()) == sorted(name.encode() for name in people)
    assert {record[0] for record in logged(store, log)} == set(people)


def test_two_ids_of_one_hash_are_one_visitor(store: Store, log: SiteLog) -> None:
    def eight_bits(visitor: str) -> bytes:
        return bytes([int(visitor[1:])]) * 16

    for seq in range(300):
        hits = [Done(f"{letter}{seq % 256}", NOW_MS, "visit") for letter in "vw"]
        store.add_to_log([entry_of(log, (log.account, PUBLISHER, seq), NOW_MS, hits, eight_bits)], CAPS)
    column = store.read_log(log, 0, 0, FOR_EVER_MS).columns["e", "visit"]
    assert sorted(set(column.visitors.tolist())) == list(range(256))
    assert len(column.ticks) == 600


def test_a_message_that_comes_again_with_others_is_logged_once(store: Store, log: SiteLog) -> None:
    store.add_to_log([visit(log, 0, "ann")], CAPS)
    store.add_to_log([visit(log, 1, "bob"), visit(log, 0, "ann")], CAPS)
    assert [record[0] for record in logged(store, log)] == ["ann", "bob"]
    assert store.log_tallies(log.account, [PUBLISHER]) == {PUBLISHER: {"logged": 2, "records": 2}}


def test_a_message_of_two_sites_and_two_accounts_is_logged_in_each(store: Store, log: SiteLog, unique: str) -> None:
    logs = [log, SiteLog(unique, "blog", partitions=3), SiteLog(f"{unique}-b", "shop")]
    mark = "", PUBLISHER + unique, 7
    entries = [entry_of(each, mark, NOW_MS, [Done("ann", NOW_MS, "visit")], hash_in(each)) for each in logs]
    for _ in range(2):
        store.add_to_log(entries, CAPS)
    for each in logs:
        assert [record[0] for record in logged(store, each)] == ["ann"]
    assert store.log_tallies(unique, [mark[1]])[mark[1]] == {"logged": 2, "records": 2}
    assert store.log_tallies(f"{unique}-b", [mark[1]])[mark[1]] == {"logged": 1, "records": 1}


def test_a_visitor_is_known_for_a_period_after_the_last_visit_and_for_two_at_most(store: Store, log: SiteLog) -> None:
    def come(seq: int) -> None:
        store.add_to_log([visit(log, seq, "ann")], CAPS)

    store.add_to_log([visit(log, 0, "ann", "bob")], CAPS)
    assert store.ids_in_log(log, 0, [0, 1]) == {0: b"ann", 1: b"bob"}
    pass_by(store, log, 180 * DAY - 60)
    assert set(numbers(store, log)) == {0, 1}
    come(1)
    pass_by(store, log, 180 * DAY)  # into the next period, in which Ann comes and Bob does not
    come(2)
    assert Counter(numbers(store, log)) == {0: 3, 1: 1}
    pass_by(store, log, 180 * DAY)
    come(3)
    store.add_to_log([visit(log, 4, "bob")], CAPS)
    assert Counter(numbers(store, log)) == {0: 4, 1: 1, 2: 1}
    assert store.ids_in_log(log, 0, [0, 1, 2]) == {0: b"ann", 2: b"bob"}
    pass_by(store, log, 3 * 180 * DAY)
    store.add_to_log([visit(log, 5, "ann")], CAPS)
    assert store.ids_in_log(log, 0, range(9)) == {3: b"ann"}


def test_another_length_of_periods_begins_with_the_next_one_and_numbers_stay(store: Store, log: SiteLog) -> None:
    store.add_to_log([visit(log, 0, "ann")], CAPS)
    longer = SiteLog(log.account, log.site, period_s=365 * DAY)
    store.add_to_log([visit(longer, 1, "bob")], CAPS)
    pass_by(store, log, 181 * DAY)
    store.add_to_log([visit(longer, 2, "ann")], CAPS)
    pass_by(store, log, 300 * DAY)
    store.add_to_log([visit(longer, 3, "bob", "ann")], CAPS)
    assert Counter(numbers(store, log)) == {0: 3, 1: 2}


def test_visitors_are_known_for_ever_where_no_period_ends(store: Store, unique: str) -> None:
    log = SiteLog(unique, "shop", period_s=None)
    for seq in range(3):
        store.add_to_log([visit(log, seq, "ann", "bob")], CAPS)
        pass_by(store, log, 1000 * DAY)
    assert Counter(numbers(store, log)) == {0: 3, 1: 3}


def test_the_cap_counts_visitors_who_are_known_and_says_whom_it_left_out(store: Store, log: SiteLog) -> None:
    few = Caps(visitors=100)
    for seq in range(8):  # 20 new ones a period: never more than 40 are known
        store.add_to_log([visit(log, seq, *(f"{seq} {number}" for number in range(20)))], few)
        pass_by(store, log, 180 * DAY)
    assert sorted(numbers(store, log)) == list(range(160))
    store.add_to_log([visit(log, 8, *(f"more {number}" for number in range(90)), "7 0")], few)
    assert sorted(set(numbers(store, log))) == list(range(240))
    assert store.log_tallies(log.account, [PUBLISHER])[PUBLISHER] == {
        "logged": 241,
        "records": 241,
        "visitors_full": 10,
    }


def test_visitors_of_a_day_are_new_the_next_day_and_count_in_the_cap(store: Store, log: SiteLog) -> None:
    store.add_to_log([visit(log, 0, "x", "y", is_daily=True)], CAPS)
    store.add_to_log([visit(log, 1, "x", is_daily=True), visit(log, 2, "x")], CAPS)
    assert Counter(numbers(store, log)) == {0: 2, 1: 1, 2: 1}
    assert store.ids_in_log(log, 0, range(3)) == {2: b"x"}
    for is_daily in (False, True):
        store.add_to_log([visit(log, 3 + is_daily, "z", is_daily=is_daily)], Caps(visitors=3))
    store.add_to_log([visit(log, 5, "z", is_daily=True), visit(log, 6, "z")], Caps(visitors=4))
    assert Counter(numbers(store, log)) == {0: 2, 1: 1, 2: 1, 3: 1}


def test_a_visitor_of_a_very_long_id_is_logged_and_the_id_not_kept(store: Store, log: SiteLog) -> None:
    most = "ä" * (MOST_ID_BYTES // 2)
    for seq in range(2):
        store.add_to_log([visit(log, seq, most + "ö", "ann", most)], CAPS)
    assert Counter(numbers(store, log)) == {0: 2, 1: 2, 2: 2}
    assert store.ids_in_log(log, 0, range(3)) == {1: b"ann", 2: most.encode()}


def test_names_and_values_past_the_caps_are_logged_together(store: Store, log: SiteLog) -> None:
    few = Caps(events=2, properties=2, values=2)
    for seq, name in enumerate("abcdab"):
        hit = Done("ann", NOW_MS + seq, name, {name: '"1"', "a": f'"{name}"', "__other__": "1"})
        store.add_to_log([entry_of(log, (log.account, PUBLISHER, seq), NOW_MS, [hit], hash_in(log))], few)
    found = Counter(record[2:] for record in logged(store, log))
    assert {key: count for key, count in found.items() if key[0] == "e"} == {
        ("e", "a", ""): 2,
        ("e", "b", ""): 2,
        ("e", "__other__", ""): 2,
    }
    assert sum(count for key, count in found.items() if key[0] == "p") == 16
    assert {key[1] for key in found if key[0] == "p"} == {"a", "__other__", "b"}
    assert {key[2] for key in found if key[1] == "a" and key[0] == "p"} == {'"a"', '"b"', "__other__"}


def test_so_are_those_of_one_message(store: Store, log: SiteLog) -> None:
    few, texts = Caps(events=3, properties=2, values=3), [*map(str, range(40)), "__other__"]
    hits = [Done("ann", NOW_MS + seq, text, {"a": text, "b": text, f"c{text}": text}) for seq, text in enumerate(texts)]
    for seq in range(2):
        store.add_to_log([entry_of(log, (log.account, PUBLISHER, seq), NOW_MS, hits, hash_in(log))], few)
    found = Counter(record[2:] for record in logged(store, log))
    assert sum(found.values()) == 2 * 4 * len(texts)
    for kind, name in (("e", ""), ("p", "a"), ("p", "b")):
        own = [count for said, count in found.items() if said[0] == kind and name in ("", said[1])]
        assert sorted(own) == [2, 2, 2, 2 * (len(texts) - 3)]
    assert found["p", "__other__", "__other__"] == 2 * len(texts)


def test_ids_are_not_kept_where_the_site_says_so(store: Store, unique: str) -> None:
    log = SiteLog(unique, "shop", keep_ids=False)
    store.add_to_log([visit(log, 0, "ann", "bob"), visit(log, 1, "ann")], CAPS)
    assert numbers(store, log) == [0, 1, 0]
    assert store.ids_in_log(log, 0, range(3)) == {}


def test_what_is_older_than_anything_remembers_is_not_logged(store: Store, log: SiteLog) -> None:
    at = NOW_MS - (LATEST_S + 60) * 1000
    late = entry_of(log, (log.account, PUBLISHER, 0), at, [Done("ann", at, "visit")] * 3, hash_in(log))
    store.add_to_log([late], CAPS)
    assert logged(store, log) == []
    assert store.log_tallies(log.account, [PUBLISHER])[PUBLISHER] == {"too_old": 3}


def test_a_removed_account_leaves_nothing_of_its_logs(store: Store, unique: str) -> None:
    account, act = Account(account_id(token_bytes(16)), unique, "UTC", 0), Act(0, "test", "add account", "", unique)
    store.add_entry(account, act)
    log = SiteLog(account.id, "shop")
    store.add_to_log([visit(log, 0, "ann")], CAPS)
    store.identify(log, Person(b"a" * 16, b"ann"), Person(b"b" * 16, b"bob"))
    store.compact_log(log, 0)
    store.remove_entry(account, act)
    if isinstance(store, RedisStore):
        store.client.delete("hailwhale:{accounts}:freeing")  # an applier of another test may be at it
    wait_until(lambda: not store.free_accounts(NOW_MS / 1000) and not logged(store, log), what="the log to be freed")
    assert store.aliases(log, [b"b" * 16]) == {}
    assert store.log_tallies(log.account, [PUBLISHER]) == {PUBLISHER: {}}


def test_the_number_of_a_visitor_is_found_by_their_hash(store: Store, log: SiteLog) -> None:
    people = [f"visitor {number}" for number in range(1_000)]
    for seq in range(4):
        store.add_to_log([visit(log, seq, *people[250 * seq : 250 * seq + 250])], CAPS)
    hash_of = hash_in(log)
    numbers_ = [store.number_in_log(log, hash_of(name)) for name in people]
    assert sorted(number for number in numbers_ if number is not None) == list(range(1_000))
    ids = store.ids_in_log(log, 0, range(1_000))
    assert [ids[number] for number in numbers_ if number is not None] == [name.encode() for name in people]
    assert [ids[number] for number in numbers_ if number is not None] == [
        store.id_in_log(log, hash_of(n)) for n in people
    ]
    assert (store.number_in_log(log, hash_of("nobody")), store.id_in_log(log, hash_of("nobody"))) == (None, b"")
    pass_by(store, log, 180 * DAY)
    store.add_to_log([visit(log, 4, "visitor 7")], CAPS)
    assert store.number_in_log(log, hash_of("visitor 7")) == numbers_[7]
    assert store.number_in_log(log, hash_of("visitor 8")) == numbers_[8]
    pass_by(store, log, 180 * DAY)
    store.add_to_log([visit(log, 5, "visitor 7")], CAPS)
    assert [store.number_in_log(log, hash_of(f"visitor {n}")) for n in (7, 8)] == [numbers_[7], None]


def test_a_log_that_nobody_wrote_to_is_empty(store: Store, unique: str) -> None:
    log = SiteLog(unique, "never seen")
    assert logged(store, log) == []
    assert store.ids_in_log(log, 0, [0]) == {}
    assert store.number_in_log(log, hash_in(log)("ann")) is None
    assert not store.compact_log(log, 0)
