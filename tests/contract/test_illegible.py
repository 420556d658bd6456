"""Hits that no program can read, on each store: the others of their message count, and their bytes are kept."""

import itertools

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.message import decode_message, encode_message
from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, PUBLISHER, sums
from tests.laws import law
from whale.count.apply import Applier
from whale.store.base import Store
from whale.store.contract.aside import Illegible

GOOD = b'[["t"],{"a":{"b":{}}},{"hits":1,"x":1000000},%d]' % int(NOW * 1000)
TEXTS = st.sampled_from(
    [
        *(
            b"5",
            b"null",
            b"true",
            b'"t"',
            b"[]",
            b"{}",
            b'["t"]',
            b'[""]',
            b'["t",5]',
            b'[["t"]]',
            b'["\\ud800"]',
            b'["\xff"]',
        ),
        *(b'{"":{}}', b'{"a":5}', b'{"a":[]}', b'{"a":{"b":null}}', b'{"\xff":{}}', b'{"\\ud800":{}}', b'{"a":' * 900),
        *(
            b'{"a":' * 3000 + b"{}" + b"}" * 3000,
            b'{"hits":1}',
            b'{"":1}',
            b'{"hits":1180591620717411303424}',
            b"1e300",
        ),
        *(
            b'{"x":-9000000000000001}',
            b'{"x":9000000000000000}',
            b'{"hits":1.5}',
            b"-1",
            b"8796093022207",
            b"9796093022208",
        ),
        *(
            b'{"q":["quantile",9000000000000000]}',
            b'{"q":["quantile",1180591620717411303424]}',
            b'{"q":["distinct",5]}',
        ),
        *(b'{"q":["distinct","n"]}', b'{"q":["last","n"]}', b'{"q":["nothing",1]}', b'{"__moments__":["moments",5]}'),
        *(
            b'{"__moments__":["moments",{"x":5}]}',
            b'{"q":["max",{"x":5}]}',
            b'{"__moments__":["moments",{"x":9000000000000001}]}',
        ),
        *(
            b'{"__moments__":["moments",9000000000000000]}',
            b'{"hits":["max",5]}',
            b'{"x":["min",1,2]}',
            b'"\\ud83d"',
            b"",
        ),
    ]
)
HITS = st.lists(TEXTS, min_size=3, max_size=9).map(lambda parts: b"[%b]" % b",".join(parts))
ACCOUNTS = itertools.count()


@given(st.lists(HITS | TEXTS | st.just(GOOD), min_size=1, max_size=6), st.booleans())
@law(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_hit_is_the_others_count_and_two_deliveries_agree(
    settings: Settings, store: Store, unique: str, wire: list[bytes], in_two: bool
) -> None:
    account = f"{unique}-{next(ACCOUNTS)}"
    wire = [*wire, GOOD]
    body = encode_message(PUBLISHER, 0, account, len(wire), int(NOW * 1000), wire)
    Applier(store, settings).apply([decode_message(body)], NOW)
    (line,) = store.audit(account)
    assert (line.messages, line.hits, line.total) == (1, len(wire), len(wire))
    unread = line.dropped.get("undecodable_hit", 0)
    assert unread <= len(wire) - wire.count(GOOD)
    assert set(line.dropped) <= {"undecodable_hit", "duplicate"}
    assert len(store.aside(account)) == unread
    assert sums(store, account, ("t",), [("a", "b")], "x") == [1_000_000 * wire.count(GOOD)]
    other = encode_message(PUBLISHER, 1, account, len(wire) + 1, int(NOW * 1000), [GOOD])
    bodies = [body, other] if in_two else [body]
    Applier(store, settings).apply([decode_message(again) for again in bodies], NOW + 60)
    (line,) = store.audit(account)
    assert line.dropped.get("undecodable_hit", 0) == unread == len(store.aside(account))
    assert sums(store, account, ("t",), [("a", "b")], "x") == [1_000_000 * (wire.count(GOOD) + in_two)]


def test_an_unreadable_hit_claims_no_id_and_is_no_duplicate(settings: Settings, store: Store, unique: str) -> None:
    at = int(NOW * 1000)
    bad, good = b'[["t"],{"a":5},{"hits":1},%d,"i"]' % at, b'[["t"],{},{"hits":1},%d,"i"]' % at
    body = encode_message(PUBLISHER, 0, unique, 4, at, [bad, good, bad, good])
    Applier(store, settings).apply([decode_message(body)], NOW)
    assert store.audit(unique)[0].dropped == {"undecodable_hit": 2, "duplicate": 1}
    assert sums(store, unique, ("t",), [()]) == [1]
    assert [hit.name for hit in store.aside(unique)] == [f"{PUBLISHER}-0.0", f"{PUBLISHER}-0.2"]


def test_what_is_set_aside_is_kept_once_the_newest_within_its_bytes(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(max_undecodable_bytes=1000))
    assert store.aside(unique) == []
    first = [Illegible(f"p-{i}", 1000 + i, bytes([i]) * 96) for i in range(9)]
    store.set_aside(unique, first)
    store.set_aside(unique, first[3:5])
    assert store.aside(unique) == first
    large = Illegible("p-9", 2000, b"\xff\0" * 300)
    store.set_aside(unique, [large])
    assert store.aside(unique) == [*first, large._replace(raw=large.raw[:100])]
    store.set_aside(unique, [Illegible(f"q-{i}", 3000 + i, b"x" * 96) for i in range(50)])
    assert [hit.name for hit in store.aside(unique)] == [f"q-{i}" for i in range(40, 50)]
