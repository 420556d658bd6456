"""Which hits belong in logs of visitors, in each version of a message; and the record of a site's log."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from hail.hit import Reason, encode_hit, parse_hit
from hail.message import Message, decode_message, encode_message
from hail.settings import load
from tests.contract.hits import in_columns
from whale.accounts import Site
from whale.count.said import entry, said_by, to_log
from whale.visitors.entries import Done
from whale.visitors.record import LATEST_S, MOST_LISTINGS, Generation, LogRecord, begun, ended

SETTINGS = load({})
NOW, SUB = 1_790_003_590.000_5, 24
"""Half of a ms is 24.5 of its 49 parts."""
AT = int(NOW * 1000)
SITE = Site("a", "shop", keep_days=90, keep_ids=False)
HITS = [
    {"pk": "shop", "visitor": "ann", "event": "buy"},
    {
        "pk": ["shop", "shoes"],
        "visitor": "bob",
        "event": "visit",
        "at": NOW - 5,
        "properties": {"plan": "pro", "age": 7.0, "none": None},
    },
    {"pk": "shop", "visitor": "ann"},
    {"pk": "shop", "event": "buy"},
    {"pk": "blog", "visitor": "ann", "event": "read"},
    {"pk": "shop", "visitor": "cy", "event": "buy"},
    {"pk": "shop", "visitor": "dee", "properties": {"is_new": True}, "basis": "daily"},
]


def message(*hits: dict[str, Any], at_ms: int = AT) -> Message:
    wire = [encode_hit(parse_hit(hit, SETTINGS, NOW)) for hit in hits]
    return decode_message(encode_message("0" * 16, 7, "a", len(wire), at_ms, wire))


def record(*generations: Generation) -> LogRecord:
    return LogRecord(1, 180, 400, True, generations)


def open_since(since_ms: int) -> LogRecord:
    return record(Generation("", "ab" * 16, since_ms))


def test_a_hit_says_something_that_has_a_visitor_and_an_event_and_counts() -> None:
    shop = [
        Done("ann", AT, "buy", sub=SUB),
        Done("bob", AT - 5000, "visit", {"plan": '"pro"', "age": "7"}),
        Done("dee", AT, "", {"is_new": "true"}, SUB, is_daily=True),
    ]
    expected = {"shop": shop, "blog": [Done("ann", AT, "read", sub=SUB)]}
    lines = message(*HITS)
    for each in (lines, *in_columns([lines])):
        found = said_by(each, {5: Reason.DUPLICATE})
        assert {site: done.rows for site, done in found.items()} == expected


def test_hits_that_cannot_be_read_say_nothing() -> None:
    whole = encode_message("0" * 16, 7, "a", 2, AT, [b'[7,{},{"hits":1},5,null,"ann","buy"]', b"{]"])
    assert said_by(decode_message(whole), (0, 1)) == {}


def sites_of(found: Message, records: dict[str, LogRecord]) -> Collection[str]:
    return [each.log.site for each in to_log(found, said_by(found, ()), records)]


def test_a_message_is_logged_where_the_site_had_a_log_when_it_was_accepted() -> None:
    found = message(*HITS)
    assert sites_of(found, {}) == []
    assert sites_of(found, {"shop": open_since(AT)}) == ["shop"]
    assert sites_of(found, {"shop": open_since(AT + 1), "blog": open_since(0)}) == ["blog"]
    assert sites_of(found, {"shop": ended(open_since(0), AT)}) == []


def test_of_a_log_that_has_ended_since_each_hit_is_left_out_for_its_reason() -> None:
    found = message(*HITS)
    again = begun(ended(open_since(0), AT + 1), SITE, 1, 30, AT + 9, "cafe", "cd" * 16)
    (each,) = to_log(found, said_by(found, ()), {"shop": again})
    made = entry(found, each, {})
    assert (made.log.generation, made.records) == ("", [])
    assert [(visitor.hits, visitor.dropped) for visitor in made.visitors] == [(0, {"reset": 1})] * 4


def test_a_log_begins_with_the_site_and_takes_over_what_the_site_says() -> None:
    first = begun(None, SITE, 4, 180, 5, "cafe", "ab" * 16)
    assert first == LogRecord(4, 180, 90, False, (Generation("", "ab" * 16, 5),))
    log = first.log("a", "shop", first.generations[0])
    assert (log.partitions, log.period_s, log.keep_days, log.keep_ids) == (4, 180 * 86_400, 90, False)
    assert begun(first, SITE, 1, None, 9, "f00d", "cd" * 16) == first
    other = begun(first, Site("a", "shop", keep_days=7), 1, 30, 9, "f00d", "cd" * 16)
    assert (other.keep_days, other.keep_ids, other.generations) == (7, True, first.generations)


def test_what_a_site_lists_holds_from_then_on() -> None:
    def listing(record: LogRecord, at_ms: int, site: Site) -> LogRecord:
        return begun(record, site, 1, 30, at_ms, "f00d", "cd" * 16)

    first = begun(None, replace(SITE, dimensions=("plan",)), 1, 30, 5, "cafe", "ab" * 16)
    second = listing(first, 9, replace(SITE, event_properties=("price",)))
    assert listing(second, 12, replace(SITE, event_properties=("price",))) == second
    found = [(each.dimensions, each.event_properties) for each in map(second.listing, (4, 5, 8, 9))]
    assert found == [(set(), set()), ({"plan"}, set()), ({"plan"}, set()), (set(), {"price"})]
    assert second.log("a", "shop", second.generations[0], 9).listed == {"price"}
    later = listing(second, LATEST_S * 1000 + 10, SITE)
    assert [each.since_ms for each in later.listings] == [9, LATEST_S * 1000 + 10]  # what a message of before may need
    many = later
    for number in range(100):
        many = listing(many, LATEST_S * 1000 + 20 + number, replace(SITE, dimensions=(f"d{number}",)))
    assert len(many.listings) == MOST_LISTINGS + 1


def test_a_site_that_is_made_anew_has_another_log_under_another_secret() -> None:
    first = begun(None, SITE, 4, 180, 5, "cafe", "ab" * 16)
    gone = ended(first, 20)
    assert (first.is_open, gone.is_open, ended(gone, 30)) == (True, False, gone)
    anew = begun(gone, SITE, 1, 30, 25, "f00d", "cd" * 16)
    old, new = anew.generations
    assert (old, new) == (Generation("", "ab" * 16, 5, 20), Generation("f00d", "cd" * 16, 25))
    assert [anew.generation(at) for at in (4, 5, 19, 20, 24, 25)] == [None, old, old, None, None, new]
    assert anew.partitions == 4
    assert ended(begun(None, SITE, 4, 180, 50, "", "ab" * 16), 20).generation(50) is None
