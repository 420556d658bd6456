"""Accounts, and the users, sites and keys of each."""

from dataclasses import replace
from typing import Protocol

from hail.message import ACCOUNT
from whale.accounts import Account, Act, Key, Site, User
from whale.errors import CallerError, Conflict, NotFound

Entry = Account | User | Site | Key
MOST_ACCOUNTS = 100_000
MOST_OF_A_KIND = 1_000
"""Users, sites and keys that an account may have, of each."""
FREED_AGAIN_S = 3600.0
"""How long after its deletion what an account has is looked for once more: a worker may have held hits of it."""
KINDS = {Account: "account", User: "user", Site: "site", Key: "key"}
LETTER = {User: "u", Site: "s", Key: "k"}


def field_of(entry: Entry) -> str:
    """How an entry stands among those of its account: `a`, or the letter of its kind and its name."""
    match entry:
        case Account():
            return "a"
        case User(name=name) | Site(pk=name) | Key(id=name):
            return f"{LETTER[type(entry)]}:{name}"


def account_of(entry: Entry) -> str:
    return entry.id if isinstance(entry, Account) else entry.account


def name_of(entry: Entry) -> str:
    """What people call it."""
    match entry:
        case User(name=""):
            return "the owner"
        case Account(name=name) | User(name=name) | Site(pk=name) | Key(id=name):
            return name


def check_same(seen: Entry, new: Entry) -> None:
    """That one may take the place of the other; else ValueError."""
    if isinstance(seen, Account) and isinstance(new, Account):
        same = replace(seen, name=new.name) == new
    else:
        same = type(seen) is type(new) and account_of(seen) == account_of(new) and field_of(seen) == field_of(new)
    if isinstance(seen, Key) and isinstance(new, Key):
        same = same and seen.hash == new.hash
    if not same:
        raise ValueError("expected the same entry")


def taken(entry: Entry) -> Conflict:
    return Conflict(f"there is {_article(entry)} {_named(entry)} already", _field(entry))


def retired(entry: Entry) -> Conflict:
    return Conflict(f"the id {account_of(entry)} was in use: draw another", "id")


def changed_meanwhile(entry: Entry) -> Conflict:
    return Conflict(f"{_named(entry)} was changed meanwhile: look at it, and try again", _field(entry))


def not_there(entry: Entry) -> NotFound:
    return NotFound(f"there is no {_named(entry)}", _field(entry))


def no_account(entry: Entry) -> NotFound:
    return NotFound(f"there is no account with the id {ascii(account_of(entry))[:60]}", "account")


def too_many(entry: Entry) -> CallerError:
    if isinstance(entry, Account):
        return CallerError(f"the limit is {MOST_ACCOUNTS} accounts", _field(entry))
    return CallerError(f"an account may have at most {MOST_OF_A_KIND} {KINDS[type(entry)]}s", _field(entry))


def default_stays() -> CallerError:
    return CallerError(
        f"the account {ACCOUNT} stays as it is, since all that was counted without an account is its own", "account"
    )


def _article(entry: Entry) -> str:
    return "an" if isinstance(entry, Account) else "a"


def _field(entry: Entry) -> str:
    return {Account: "name", User: "name", Site: "pk", Key: "key"}[type(entry)]


def _named(entry: Entry) -> str:
    return f"{KINDS[type(entry)]} {ascii(name_of(entry))[1:-1][:64]}"


class Accounts(Protocol):
    """For many threads and many programs: each change is whole, and is made once. An act is what the journal says of a change.

    No list is in an order. The account `default` is always there, changes never, and was made at 0.
    """

    def accounts(self) -> list[Account]:
        """All."""

    def account_named(self, name: str) -> Account | None:
        """The account that has this name now."""

    def account_with(self, id: str) -> Account | None:
        """The account that has this id. One read."""

    def users(self, account: str) -> list[User]:
        """Of an account, by its id; none where there is no such account."""

    def user_named(self, account: str, name: str) -> User | None:
        """One user of an account, by its id. One read."""

    def sites(self, account: str) -> list[Site]:
        """As `users`."""

    def keys(self, account: str) -> list[Key]:
        """As `users`: those that have ended too, until they are removed."""

    def key_hashed(self, hash: str) -> Key | None:
        """The key whose secret has this hash, whether it has ended or not. Two reads."""

    def add_entry(self, entry: Entry, act: Act) -> None:
        """Raises Conflict where its name, its id or its hash is taken, or the id of an account ever was; NotFound where its account
        is not there; CallerError past MOST_ACCOUNTS or MOST_OF_A_KIND."""

    def change_entry(self, seen: Entry, new: Entry, act: Act) -> None:
        """In place of what was seen: the same kind, account and name, but an account may change its name. An account's zone stays.

        Raises Conflict where something else is there by now, or the new name is taken; NotFound where nothing is there;
        CallerError of the account `default`; ValueError where it is another entry.
        """

    def remove_entry(self, entry: Entry, act: Act) -> None:
        """By its name, whatever it is by now. An account goes with its users, sites and keys at once; what it counted is freed by
        `free_accounts`. Its name is free at once, its id never again. A key or a site stays in `Owners.doors` for a while.

        Raises NotFound where it is not there, CallerError of the account `default`.
        """

    def free_accounts(self, now: float) -> bool:
        """Frees some of what accounts that were removed have counted, a small step; False where there is nothing to do now."""
