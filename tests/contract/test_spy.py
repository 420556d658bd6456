"""What every store keeps of single hits for people who look at them."""

from typing import Any

from hail.message import Refusal, decode_message, encode_message, encode_refusal
from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, PUBLISHER, message, sums
from whale.count.apply import Applier
from whale.spy import KEPT, Traces, shown
from whale.store.base import Store
from whale.store.contract.tallies import PublisherAudit


def traces(*names: str, visitor: str = "") -> Traces:
    return Traces(list(names), [], {visitor: list(names)} if visitor else {})


def test_a_store_keeps_the_newest_traces_of_each_list(settings: Settings, store: Store, unique: str) -> None:
    assert store.spied(unique) == store.spied(unique, "v") == []
    for first in range(0, 3 * KEPT, 60):
        names = [str(number) for number in range(first, first + 60)]
        store.spy_add(unique, Traces(names, names[:1], {"v": names, "\0{x}": names[:2]}), NOW)
    expected = [str(number).encode() for number in range(2 * KEPT, 3 * KEPT)]
    assert store.spied(unique) == [*expected, b"0", b"60", b"120", b"180", b"240"]
    assert store.spied(unique, "v") == expected
    assert store.spied(unique, "\0{x}")[:3] == [b"0", b"1", b"60"]
    assert store.spied(f"{unique}b") == store.spied(unique, "w") == []


def test_no_more_visitors_are_kept_than_the_bound_the_newest(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(max_spied_visitors=3))
    for second, visitor in enumerate("abcdae"):
        store.spy_add(unique, traces("x", visitor=visitor), NOW + second)
    assert [visitor for visitor in "abcde" if store.spied(unique, visitor)] == ["a", "d", "e"]


def test_traces_of_several_accounts_are_kept_together(store: Store, unique: str) -> None:
    accounts = [f"{unique}-{number}" for number in range(5)]
    given = {account: traces(account, visitor="v") for account in accounts}
    assert not store.spy_add_each(given, NOW)
    assert not store.spy_add_each({}, NOW)
    for account in accounts:
        assert store.spied(account) == store.spied(account, "v") == [account.encode()]


def test_what_became_of_each_hit_is_shown_by_visitor(settings: Settings, store: Store, unique: str) -> None:
    hits: list[dict[str, Any]] = [
        {"pk": ["p", "q"], "dimensions": {"c": "💥\0"}, "metrics": {"m": 0.5}, "visitor": "v", "id": "a", "event": "e"},
        {"pk": "t", "visitor": "v", "id": "a"},
        {"pk": "t", "visitor": "w", "at": NOW - 3600},
    ]
    refusals = [Refusal(int(NOW * 1000) + 1, "bad_pk", "pk", "came", who) for who in ("v", None)]
    refused = encode_message(PUBLISHER, 1, unique, 3, int(NOW * 1000), [], refused=list(map(encode_refusal, refusals)))
    messages = [message(hits, settings, unique), decode_message(refused)]
    applier = Applier(store, settings)
    applier.apply(messages, NOW)
    applier.apply(messages, NOW)  # they came again
    applier.witness.tell()
    last, second, first = shown(store.spied(unique, "v"), visitor="v")
    assert first == {
        "at": int(NOW * 1000),
        "name": f"{PUBLISHER}-0.0",
        "outcome": "counted",
        "visitor": "v",
        "event": "e",
        "id": "a",
        "pk": ["p", "q"],
        "dimensions": {"c": {"💥\0": {}}},
        "metrics": {"hits": 1, "m": 0.5},
    }
    assert (second["outcome"], second["name"]) == ("duplicate", f"{PUBLISHER}-0.1")
    assert (last["outcome"], last["field"], last["came"]) == ("bad_pk", "pk", "came")
    assert shown(store.spied(unique, "w"), visitor="w")[0]["hit_at"] == int((NOW - 3600) * 1000)
    assert [trace["outcome"] for trace in shown(store.spied(unique))] == [
        *("bad_pk", "bad_pk", "duplicate", "counted", "counted")
    ]
    assert sums(store, unique, ("t",), [()]) == [1]
    assert sums(store, unique, ("p",), [()]) == [1]
    assert store.audit(unique) == [PublisherAudit(PUBLISHER, 2, 3, 1, 3, {"duplicate": 1})]


def test_a_visitor_is_forgotten_in_every_list(settings: Settings, store: Store, unique: str) -> None:
    hits: list[dict[str, Any]] = [{"pk": "t", "visitor": visitor} for visitor in ("Ann", "bob", "ann")]
    refusals = [
        Refusal(int(NOW * 1000) + 1, "bad_pk", "pk", came, who) for came, who in (("x", "Ann"), ("v=Ann", None))
    ]
    refused = encode_message(PUBLISHER, 1, unique, 3, int(NOW * 1000), [], refused=list(map(encode_refusal, refusals)))
    applier = Applier(store, settings)
    applier.apply([message(hits, settings, unique), decode_message(refused)], NOW)
    applier.witness.tell()
    assert store.spied_visitors(unique) == {"Ann", "ann", "bob"}
    store.spy_forget(unique, {"Ann": 2**60, "never seen": 2**60})
    assert store.spied_visitors(unique) == {"ann", "bob"}
    assert [trace.get("visitor") for trace in shown(store.spied(unique))] == ["ann", "bob"]
    assert store.spied(unique, "Ann") == []
    assert [trace["visitor"] for trace in shown(store.spied(unique, "bob"), visitor="bob")] == ["bob"]


def test_refused_hits_push_out_no_accepted_one_and_no_visitor(settings: Settings, unique: str) -> None:
    store = open_store(settings.replace(max_spied_visitors=3))
    applier = Applier(store, settings)
    mine = [{"pk": "t", "visitor": who, "id": who} for who in "vw"]
    applier.apply([message(mine, settings, unique)], NOW)
    applier.apply([message(mine[:1], settings, unique, 1)], NOW)
    applier.witness.tell()
    for second in range(15):
        refusals = [Refusal(int(NOW * 1000) + second, "bad_pk", "pk", "x", who) for who in ("v", *map(str, range(19)))]
        rows = list(map(encode_refusal, refusals))
        body = encode_message(PUBLISHER, 2 + second, unique, 3, int(NOW * 1000), [], refused=rows)
        applier.apply([decode_message(body)], NOW)
        applier.witness.tell()
    seen = [trace["outcome"] for trace in shown(store.spied(unique), 10)]
    assert seen == [*["bad_pk"] * 7, "duplicate", "counted", "counted"]
    of_v = [trace["outcome"] for trace in shown(store.spied(unique, "v"), visitor="v")]
    assert of_v == [*["bad_pk"] * 5, "duplicate", "counted"]
    assert [trace["outcome"] for trace in shown(store.spied(unique, "w"), visitor="w")] == ["counted"]
