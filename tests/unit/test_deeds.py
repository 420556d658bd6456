"""What hits add to a log is the same in columns as by rows."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from hail.message import Mark
from tests.laws import law
from whale.visitors.deeds import Columns, Deeds, entry_in_columns
from whale.visitors.entries import DAY_MS, Done, Hasher, Name, Record, SiteLog, Visitor, entry_of, hasher
from whale.visitors.identity import Alias

MARK: Mark = "a", "00112233445566aa", 7
AT_MS = 1_790_003_590_000
KEPT_DAYS = 60
LISTED = frozenset(("price", "é"))
names = st.sampled_from(["price", "é", "plan"])
values = st.sampled_from(['"a"', "1", "null"])
times = st.integers(0, 3) | st.integers(0, DAY_MS) | st.integers(KEPT_DAYS * DAY_MS - 2, KEPT_DAYS * DAY_MS + 2)
far = st.sampled_from([AT_MS, AT_MS + 2**42, 2**43])
hits = st.builds(
    Done,
    visitor=st.sampled_from(["", "ann", "bob", "cy", "dée", "\ud800"]),
    at_ms=times.map(lambda back: AT_MS - back) | far.map(lambda back: AT_MS - back),
    event=st.sampled_from(["", "visit", "buy", "é"]),
    properties=st.none() | st.dictionaries(names, values, max_size=3),
    sub=st.integers(0, 48),
    is_daily=st.booleans() | st.just(False),
)
logs = st.builds(
    SiteLog,
    st.just("a"),
    st.just("shop"),
    keep_days=st.just(KEPT_DAYS),
    keep_ids=st.booleans(),
    listed=st.sampled_from([LISTED, frozenset()]),
)
of_few_bits = st.sampled_from([hasher(b"secret", "a", "shop"), lambda visitor: bytes([len(visitor) % 2]) * 16])
spans = st.builds(
    Alias,
    st.sampled_from([bytes(16), b"\1" * 16, hasher(b"secret", "a", "shop")("ann")]),
    st.sampled_from([b"", b"ann"]),
    st.integers(AT_MS - 1, AT_MS + 1),
    st.none() | st.integers(AT_MS - 1, AT_MS + 1),
)


@law(300)
@given(
    log=logs,
    some=st.lists(hits, max_size=12),
    hash_of=of_few_bits,
    aliases=st.dictionaries(st.sampled_from(["ann", "bob", "cy"]), st.lists(spans, max_size=2), max_size=3),
)
def test_columns_say_what_rows_say(
    log: SiteLog, some: list[Done], hash_of: Hasher, aliases: dict[str, list[Alias]]
) -> None:
    of = {hash_of(visitor): held for visitor, held in aliases.items()}
    rows = entry_of(log, MARK, AT_MS, some, hash_of, of, None)
    columns = entry_in_columns(log, MARK, AT_MS, Deeds.of(some), hash_of, of, None)
    assert (columns.log, columns.mark, columns.at_ms, columns.kept_s) == (rows.log, MARK, AT_MS, None)
    assert (columns.visitors, columns.records) == (rows.visitors, rows.records)
    again = Columns.of(rows)
    assert (again.visitors, again.records) == (rows.visitors, rows.records)


def test_one_message_in_columns() -> None:
    def by_name(visitor: str) -> bytes:
        return hashlib.blake2b(visitor.encode(), digest_size=16).digest()

    log = SiteLog("a", "shop", keep_days=1, listed=frozenset(["price"]))
    some = [
        Done("ann", AT_MS, "buy", {"price": "5", "plan": '"free"'}),
        Done("bob", AT_MS - 2 * DAY_MS, "visit"),
        Done("ann", AT_MS - 1, "visit", sub=48),
        Done("ann", AT_MS, "", {"price": "6"}),
    ]
    found = entry_in_columns(log, MARK, AT_MS, Deeds.of(some), by_name)
    assert found.visitors == [
        Visitor(by_name("ann"), b"ann", 3, {}),
        Visitor(by_name("bob"), b"bob", 0, {"too_old": 1}),
    ]
    tick = 49 * AT_MS
    assert found.records == [
        Record(0, tick, Name("e", "buy")),
        Record(0, tick, Name("q", "price", "5")),
        Record(0, tick, Name("p", "plan", '"free"')),
        Record(0, tick - 1, Name("e", "visit")),
        Record(0, tick + 1, Name("p", "price", "6")),
    ]
    assert found.all_dropped("reset").visitors == [
        Visitor(by_name("ann"), b"", 0, {"reset": 3}),
        Visitor(by_name("bob"), b"", 0, {"reset": 1}),
    ]
    assert found.all_dropped("reset").records == []


def test_deeds_are_the_hits_that_say_something() -> None:
    some = [
        Done("", AT_MS, "buy"),
        Done("ann", AT_MS),
        Done("ann", AT_MS, "buy", {"a": "1"}, 3, True),
        Done("b", 5, "e"),
    ]
    assert Deeds.of(some).rows == some[2:]
    assert len(Deeds.of(some)) == 2
