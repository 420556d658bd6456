"""The reference of accounts and their directory: plain dicts, every rule of contract/accounts.py, directory.py and owners.py."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from hail.message import ACCOUNT
from whale.accounts import Account, Act, Key, Site, User
from whale.store.contract.accounts import (
    FREED_AGAIN_S,
    MOST_ACCOUNTS,
    MOST_OF_A_KIND,
    Entry,
    account_of,
    changed_meanwhile,
    check_same,
    default_stays,
    field_of,
    no_account,
    not_there,
    retired,
    taken,
    too_many,
)
from whale.store.contract.directory import MOST_ACTS, MOST_CHANGES, MOST_GONE, Changed, State, Whole
from whale.store.contract.owners import MOST_REMOVED, Doors

Place = tuple[str, str]
"""An account's id, and the field of an entry."""


class MemoryAccounts:
    """For many threads. zone: of the account `default`.  known_s: of contract/owners.py.  forget: frees all that an account has counted."""

    def __init__(self, zone: str, known_s: int, forget: Callable[[str], None]):
        self._default, self._forget = Account(ACCOUNT, ACCOUNT, zone, 0), forget
        self._lock = threading.RLock()
        self._entries: dict[Place, Entry] = {(ACCOUNT, "a"): self._default}
        self._known_s = known_s
        self._removed: dict[Place, tuple[Entry, int]] = {}
        self._retired: set[str] = set()
        self._trash: dict[str, float] = {}  # by id: 0, and once it was freed when that is done again
        self._word, self._version, self._known_since = "", 0, 0
        self._changes: dict[Place, int] = {}
        self._gone: dict[Place, int] = {}
        self._uses: dict[Place, int] = {}
        self._salts: dict[str, str] = {}
        self._journal: deque[Act] = deque(maxlen=MOST_ACTS)

    def accounts(self) -> list[Account]:
        with self._lock:
            return [entry for entry in self._entries.values() if isinstance(entry, Account)]

    def account_named(self, name: str) -> Account | None:
        return next((each for each in self.accounts() if each.name == name), None)

    def account_with(self, id: str) -> Account | None:
        return next((each for each in self.accounts() if each.id == id), None)

    def users(self, account: str) -> list[User]:
        return [entry for entry in self._of(account) if isinstance(entry, User)]

    def user_named(self, account: str, name: str) -> User | None:
        return next((user for user in self.users(account) if user.name == name), None)

    def sites(self, account: str) -> list[Site]:
        return [entry for entry in self._of(account) if isinstance(entry, Site)]

    def keys(self, account: str) -> list[Key]:
        return [entry for entry in self._of(account) if isinstance(entry, Key)]

    def doors(self, account: str) -> Doors | None:
        with self._lock:
            if (account, "a") not in self._entries:
                return None
            removed = [(entry, at_ms) for (whose, _), (entry, at_ms) in self._removed.items() if whose == account]
            return Doors(
                self.keys(account),
                {site.pk for site in self.sites(account)},
                [(entry, at_ms) for entry, at_ms in removed if isinstance(entry, Key)],
                {entry.pk: at_ms for entry, at_ms in removed if isinstance(entry, Site)},
            )

    def key_hashed(self, hash: str) -> Key | None:
        with self._lock:
            keys = (entry for entry in self._entries.values() if isinstance(entry, Key))
            return next((key for key in keys if key.hash == hash), None)

    def owners(self, hashes: Collection[str]) -> dict[str, tuple[str, str]]:
        with self._lock:
            entries = (*(entry for entry, _ in self._removed.values()), *self._entries.values())
            keys = (entry for entry in entries if isinstance(entry, Key))
            return {key.hash: (key.account, key.id) for key in keys if key.hash in hashes}

    def _of(self, account: str) -> list[Entry]:
        with self._lock:
            return [entry for entry in self._entries.values() if account_of(entry) == account]

    def add_entry(self, entry: Entry, act: Act) -> None:
        with self._lock:
            place = account_of(entry), field_of(entry)
            if isinstance(entry, Account):
                if self.account_named(entry.name):
                    raise taken(entry)
                if entry.id in self._retired or place in self._entries:
                    raise retired(entry)
                full = len(self.accounts()) >= MOST_ACCOUNTS
            else:
                if (entry.account, "a") not in self._entries:
                    raise no_account(entry)
                if place in self._entries or (isinstance(entry, Key) and self.key_hashed(entry.hash)):
                    raise taken(entry)
                full = sum(type(each) is type(entry) for each in self._of(entry.account)) >= MOST_OF_A_KIND
            if full:
                raise too_many(entry)
            self._entries[place] = entry
            self._removed.pop(place, None)
            self._noted(entry, act)

    def change_entry(self, seen: Entry, new: Entry, act: Act) -> None:
        place = account_of(seen), field_of(seen)
        check_same(seen, new)
        with self._lock:
            if place not in self._entries:
                raise not_there(seen)
            if place == (ACCOUNT, "a"):
                raise default_stays()
            if self._entries[place] != seen:
                raise changed_meanwhile(seen)
            if isinstance(new, Account) and self.account_named(new.name) not in (None, seen):
                raise taken(new)
            self._entries[place] = new
            self._noted(new, act)

    def remove_entry(self, entry: Entry, act: Act) -> None:
        with self._lock:
            place = account_of(entry), field_of(entry)
            if place not in self._entries:
                raise not_there(entry)
            if place == (ACCOUNT, "a"):
                raise default_stays()
            if isinstance(entry, Key | Site):
                self._remember(place, act.at_ms)
            self._noted(self._entries[place], act, is_gone=True)
            gone = [each for each in self._entries if each == place or (each[0] == place[0] and place[1] == "a")]
            for each in gone:
                del self._entries[each]
                self._changes.pop(each, None)
                self._uses.pop(each, None)
            if isinstance(entry, Account):
                self._removed = {each: row for each, row in self._removed.items() if each[0] != entry.id}
                self._retired.add(entry.id)
                self._trash[entry.id] = 0.0

    def _remember(self, place: Place, at_ms: int) -> None:
        """What is about to be removed."""
        mine = {each: at for each, (_, at) in self._removed.items() if each[0] == place[0]}
        old = [each for each, at in mine.items() if at + 1000 * self._known_s < at_ms]
        if len(mine) - len(old) >= MOST_REMOVED:
            old.append(min(mine.keys() - old, key=lambda each: mine[each]))
        for each in old:
            del self._removed[each]
        self._removed[place] = self._entries[place], at_ms

    def _noted(self, entry: Entry, act: Act, is_gone: bool = False) -> None:
        self._journal.appendleft(act)
        if isinstance(entry, User):
            return
        self._version += 1
        place = account_of(entry), field_of(entry)
        for places in (self._changes, self._gone):
            places.pop(place, None)
        (self._gone if is_gone else self._changes)[place] = self._version
        while len(self._gone) > MOST_GONE:
            self._known_since = self._gone.pop(next(iter(self._gone)))

    def free_accounts(self, now: float) -> bool:
        with self._lock:
            account = next((each for each, due in self._trash.items() if due <= now), None)
            if account is None:
                return False
            if not self._trash.pop(account):
                self._trash[account] = now + FREED_AGAIN_S
        self._forget(account)
        return True

    def salts(self, fresh: Mapping[str, str]) -> dict[str, str]:
        with self._lock:
            kept = {day: salt for day, salt in self._salts.items() if day >= min(fresh)}
            self._salts = {**fresh, **kept}
            return {day: self._salts[day] for day in fresh}

    def directory_state(self, word: str) -> State:
        with self._lock:
            self._word = self._word or word
            return State(self._word, self._version)

    def directory(self, word: str) -> Whole:
        with self._lock:
            return Whole(self.directory_state(word), *_sorted(self._entries.values()))

    def directory_since(self, seen: State, word: str) -> Changed | None:
        with self._lock:
            state = self.directory_state(word)
            if state.word != seen.word or not self._known_since <= seen.version <= state.version:
                return None
            changed = [self._entries[place] for place, version in self._changes.items() if version > seen.version]
            gone = [place for place, version in self._gone.items() if version > seen.version]
        if len(changed) + len(gone) > MOST_CHANGES:
            return None
        accounts = [account for account, field in gone if field == "a"]
        sites, keys = ([(account, field[2:]) for account, field in gone if field[:2] == kind] for kind in ("s:", "k:"))
        return Changed(state, *_sorted(changed), accounts, sites, keys)

    def note_uses(self, used: Mapping[tuple[str, str], int]) -> None:
        with self._lock:
            for (account, id_), at_s in used.items():
                place = account, f"k:{id_}"
                if place in self._entries:
                    self._uses[place] = max(at_s, self._uses.get(place, at_s))

    def last_uses(self, account: str) -> dict[str, int]:
        with self._lock:
            return {field[2:]: at_s for (whose, field), at_s in self._uses.items() if whose == account}

    def write_act(self, act: Act) -> None:
        self._journal.appendleft(act)

    def journal(self, account: str | None = None) -> list[Act]:
        with self._lock:
            return [act for act in self._journal if account in (None, act.account)]


def _sorted(entries: Iterable[Entry]) -> tuple[list[Account], list[Site], list[Key]]:
    entries = list(entries)
    return (
        [entry for entry in entries if isinstance(entry, Account)],
        [entry for entry in entries if isinstance(entry, Site)],
        [entry for entry in entries if isinstance(entry, Key)],
    )
