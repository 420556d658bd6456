"""A group of messages is made ready while the store works on the one before: each keeps its own claims, resets and numbers."""

from collections.abc import Callable
from typing import Any

import pytest

from hail.room import MEGABYTE
from hail.settings import DAY, Settings
from tests import cut
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, PUBLISHER, message, sums
from tests.contract.test_changes import message_at
from whale.count.apply import CELL_BYTES, Applier
from whale.errors import Unavailable
from whale.store.base import Store

PKS = 12


def each(first: str = "", **more: Any) -> list[dict[str, Any]]:
    """A hit of each of PKS pks: on all shards."""
    return [{"pk": f"p{i}", **({"id": f"{first}{i}"} if first else {}), **more} for i in range(PKS)]


def counted(store: Store, account: str, metric: str = "hits") -> set[int]:
    return {sums(store, account, (f"p{i}",), [()], metric)[0] for i in range(PKS)}


def dropped(store: Store, account: str) -> dict[str, int]:
    (audit,) = store.audit(account)
    return dict(audit.dropped)


def before_call(method: Callable[..., Any], at: int, then: Callable[[], Any]) -> Callable[..., Any]:
    """The method, which calls `then` before its call number `at`, from 1."""
    calls = 0

    def called(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            then()
        return method(*given)

    return called


def test_what_is_on_its_way_counts_in_the_bound_of_the_next_group(
    settings: Settings, store: Store, unique: str
) -> None:
    """Six messages. A bound that two of them nearly reach is passed by the third, and by the second where some are on their way."""
    hit = {"pk": "t", "dimensions": {"d": {f"{i}": {} for i in range(60)}}}
    messages = [message([hit], settings, unique, seq, seq + 1) for seq in range(6)]
    estimated = (1 + 1 + 60) * len(settings.periods) * CELL_BYTES
    applier = Applier(store, settings.replace(apply_max_mb=2.05 * estimated / MEGABYTE))
    sizes, held, before = [], [], None
    for group in (messages[:3], messages[3:]):
        for going in applier.send(group, NOW):
            sizes.append(len(going.wholes))
            held.append(going.answer.held)
            if before:
                assert before.answer.held == 0  # the store was done with it before it took more
                applier.settle(before)
            before = going
    assert before
    applier.settle(before)
    assert before.answer.held == 0
    if settings.redis_url:
        assert sizes == [3, 2, 1]
        assert min(held) > 60 * len(settings.periods) * len("#100")  # a node of each sum at least
    else:
        assert (sizes, held) == ([3, 3], [0, 0])
    assert sums(store, unique, ("t",), [()]) == [6]


def test_two_groups_share_ids(settings: Settings, store: Store, unique: str) -> None:
    one, two = (message(each("id"), settings, unique, seq, PKS * (seq + 1)) for seq in range(2))
    Applier(store, settings).apply_each([[one], [two]], NOW)
    Applier(open_store(settings) if settings.redis_url else store, settings).apply_each([[two], [one], [two]], NOW)
    assert counted(store, unique) == {1}
    assert dropped(store, unique) == {"duplicate": PKS}


def test_a_message_stands_in_two_groups(settings: Settings, store: Store, unique: str) -> None:
    messages = [message(each(f"of{seq}-"), settings, unique, seq, PKS * (seq + 1)) for seq in range(3)]
    one, two, three = messages
    Applier(store, settings).apply_each([[one, two], [two, three], [three, one], [two]], NOW)
    assert counted(store, unique) == {3}
    assert (store.audit(unique)[0].hits, dropped(store, unique)) == (3 * PKS, {})


def test_what_was_applied_in_part_is_completed_while_the_next_group_is_on_its_way(
    settings: Settings, store: Store, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extras = {"metrics": {"visitors": {"unique": "ann"}, "q": {"quantile": 2}, "now": {"last": 7}}}
    one, two, three = (message(each(f"of{seq}-", **extras), settings, unique, seq, PKS * (seq + 1)) for seq in range(3))
    if settings.redis_url and settings.shards > 1:
        other = open_store(settings)
        monkeypatch.setattr(
            other.writer, "_send", cut.after(other.writer._send, settings.shards // 2, cut.off("cut off"))
        )
        with pytest.raises(Unavailable):
            Applier(other, settings).apply([one], NOW)
    Applier(store, settings).apply_each([[two, one], [three], [one]], NOW)
    assert counted(store, unique) == {3}
    assert store.read_distinct(unique, ("p0",), [()], "visitors", DAY, [[int(NOW) // DAY * DAY]]) == [[1]]
    assert store.audit(unique)[0].hits == 3 * PKS


@pytest.mark.parametrize("when", ["the first is sent", "the second was claimed", "the second is sent"])
def test_a_reset_comes_while_a_group_is_on_its_way(
    settings: Settings, store: Store, unique: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    applier = Applier(store, settings)
    applier.apply([message(each("first"), settings, unique, 0)], NOW)
    one, two = (message(each(f"of{seq}-"), settings, unique, seq, PKS * (seq + 1)) for seq in (1, 2))
    other = open_store(settings) if settings.redis_url else store

    def resets() -> None:
        for i in range(PKS):
            other.reset(unique, (f"p{i}",), None, NOW + 1)

    writer, method, at = (store.writer, "_send", 1) if settings.redis_url else (store, "send", 1)
    if when == "the second was claimed":
        writer, method = store, "resets"
        at = 2
    elif when == "the second is sent":
        at = 2
    monkeypatch.setattr(writer, method, before_call(getattr(writer, method), at, resets))
    applier.apply_each([[one], [two]], NOW)
    monkeypatch.undo()
    later = message_at(NOW + 2, each("later"), settings, unique, 3)
    applier.apply([later], NOW + 2)
    assert counted(store, unique) == {1}
    audit = store.audit(unique)[0]
    assert audit.hits == 4 * PKS
    assert audit.dropped.get("reset", 0) % PKS == 0


def test_names_get_other_numbers_while_a_group_is_on_its_way(
    settings: Settings, store: Store, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not settings.redis_url:
        return  # it has no numbers
    applier = Applier(store, settings)
    names = [{"pk": "t", "dimensions": {"n": f"name {i}"}} for i in range(PKS)]
    applier.apply([message(names, settings, unique, 0)], NOW)
    client: Any = store.client

    def forgets() -> None:
        for key in client.scan_iter(f"{unique}:*"):
            if b":seen:" not in key:
                client.delete(key)
        back = [message(names[::-1], settings, unique, seq, publisher=f"{PUBLISHER[:-1]}b") for seq in range(2)]
        Applier(open_store(settings), settings).apply_each([[each] for each in back], NOW)

    monkeypatch.setattr(store.writer, "_send", before_call(store.writer._send, 2, forgets))
    messages = [message(names, settings, unique, seq) for seq in (1, 2, 3)]
    applier.apply_each([[each] for each in messages], NOW)
    assert sums(store, unique, ("t",), [("n", f"name {i}") for i in range(PKS)]) == [4] * PKS
    assert sums(store, unique, ("t",), [(), ("n",)]) == [4 * PKS] * 2


def test_scripts_that_the_server_forgot_are_sent_again(settings: Settings, store: Store, unique: str) -> None:
    applier = Applier(store, settings)
    for seq in range(4):
        if settings.redis_url:
            store.client.script_flush()
        groups = [[message(each(), settings, unique, 2 * seq + more)] for more in range(2)]
        applier.apply_each(groups, NOW)
    assert counted(store, unique) == {8}
