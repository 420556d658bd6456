"""Accounts that are there: workers and hailwail drop the hits of all others."""

from whale.accounts import Account, Act
from whale.store.contract.accounts import Accounts


def make_accounts(store: Accounts, *ids: str) -> None:
    """Named as their ids."""
    for id_ in ids:
        store.add_entry(Account(id_, id_, "UTC", 0), Act(0, "a test", "add account", id_, id_))
