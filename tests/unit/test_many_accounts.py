"""What an applier remembers of many accounts: it is bounded in bytes, whatever their number, and is kept where there is room."""

from collections.abc import Sequence

from hail.message import Message
from hail.settings import Settings, load
from tests.contract.hits import NOW, message, publisher_of, sums
from whale.count.apply import ACCOUNT_BYTES, SWEPT_AT_ONCE, Applier
from whale.errors import Unavailable
from whale.store.memory import MemoryStore

MANY = 1500


def round_of(accounts: Sequence[str], settings: Settings, seq: int) -> list[Message]:
    hits = [{"pk": "t", "dimensions": {"page": f"/{seq % 2}"}}]
    return [message(hits, settings, account, seq, publisher=publisher_of(account)) for account in accounts]


def test_branches_of_more_than_a_thousand_accounts_stay_where_there_is_room() -> None:
    settings = load({})
    store, accounts = MemoryStore(settings), [f"a{number}" for number in range(MANY)]
    applier = Applier(store, settings)
    applier.apply(round_of(accounts, settings, 0), NOW)
    before = dict(applier._branches)
    applier.apply(round_of(accounts, settings, 1), NOW)
    assert len(before) == MANY
    assert applier._branches == before
    assert applier._room.held == sum(each.held + ACCOUNT_BYTES for each in before.values())


def test_where_there_is_none_the_accounts_that_are_known_for_longest_are_forgotten() -> None:
    settings = load({"HAILWHALE_BRANCHES_MB": "0.2", "HAILWHALE_APPLY_MAX_HITS": "20"})
    store, accounts = MemoryStore(settings), [f"a{number}" for number in range(200)]
    applier = Applier(store, settings)
    for seq in range(3):
        applier.apply(round_of(accounts, settings, seq), NOW)
        assert accounts[0] not in applier._branches
        assert accounts[-1] in applier._branches
        assert 20 < len(applier._branches) < 150
        assert applier._room.held < 0.3e6
    assert {sums(store, account, ("t",), [()])[0] for account in accounts} == {3}
    assert applier._room.held == sum(each.held + ACCOUNT_BYTES for each in applier._branches.values())


def test_a_step_of_sweeping_looks_at_few_accounts_and_stays_where_there_is_something_to_do() -> None:
    settings, looked, left = load({}), list[str](), {"a7": 3, "a9": 1}

    class Swept(MemoryStore):
        def sweep(self, account: str, now: float) -> bool:
            looked.append(account)
            if account == "a8":
                raise Unavailable("Redis: away")
            left[account] = left.get(account, 0) - 1
            return left[account] >= 0

    applier = Applier(Swept(settings), settings)
    accounts = [f"a{number}" for number in range(100)]
    applier.apply(round_of(accounts, settings, 0), NOW)
    steps = 0
    while len(set(looked)) < 101:
        before = len(looked)
        applier._sweep_at = 0.0
        applier.sweep(NOW)
        steps += 1
        assert 0 < len(looked) - before <= SWEPT_AT_ONCE
    assert steps <= 101 / SWEPT_AT_ONCE + 1 + 4 + 1
    assert {account: looked.count(account) for account in ("default", "a1", "a7", "a8", "a9")} == {
        "default": 1,
        "a1": 1,
        "a7": 4,
        "a8": 1,
        "a9": 2,
    }
