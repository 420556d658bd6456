"""Accounts that are there: workers and hailwail drop the hits of all others."""

from whale.accounts import Account, Act
from whale.store.contract.accounts import Accounts


def make_accounts(store: Accounts, *ids: str, zone: str = "UTC") -> None:
    """Named as their ids. zone: of their days."""
    for id_ in ids:
        store.add_entry(Account(id_, id_, zone, 0), Act(0, "a test", "add account", id_, id_))
