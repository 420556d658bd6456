"""The directory: which accounts, keys and sites there are, as Whale hands it to Hail. Pure.

An answer of Whale, and each record of the copy on disk, is

    hwd1 LENGTH HMAC\\n{"state":["q7Jd…",41],"since":40,"accounts":[…],"keys":[…],"sites":[…],"gone":[[…],[…],[…]]}

    LENGTH     bytes of the JSON, in decimal
    HMAC       SHA-256 under the internal key, over `hwd1 LENGTH` and the JSON; 64 hexadecimal letters
    state      a random word, drawn when the directory was made or an older copy of it was put back; and how many changes there were
    since      null: all there is.  Else a delta: what changed since this version, rows as they are now
    accounts   [id, name, zone]
    keys       [SHA-256 of the secret, id, account, scope, site | null, public, expires | null]       expires: epoch seconds
    sites      [account, pk, open, origins, pixels, cross_site_cookie, pages_in_lower_case, pages_without_slash, page_parameters]
    gone       of a delta: ids of accounts, [account, id] of keys, [account, pk] of sites

A row may grow at its end: fields that this version does not know are passed over. A key that was revoked is gone. Whoever makes an answer
has checked names, pks and origins; here they are only compared, so that no rule of theirs makes all of an answer unsound.

A large one is read and taken in steps of AT_ONCE rows, and between two of them `pause` is called: it may let others work.

Promise: `Directory.take` takes all of an answer or, where it raises, nothing of it. Nothing is taken that no holder of the internal key
has signed. A secret that was found was made by Whale, was not revoked, has not expired, and its account exists.
Not promised: that an answer is the newest one. Whoever can repeat an old answer of another word to Hail is believed; so let Hail ask Whale
over https, or in a network of your own.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

from hail.room import COST, WIDE, Room

FORM = b"hwd1"
CONTENT_TYPE = "application/vnd.hailwhale.directory"
HEAD = re.compile(rb"hwd1 ([1-9][0-9]{0,9}) ([0-9a-f]{64})\n")
LONGEST_HEAD = len(FORM) + 1 + 10 + 1 + 64 + 1
PURPOSE = b"hailwhale:directory"

BROWSER = "browser"
Scope = Literal["write", "read", "admin", "browser"]
Pixels = Literal["referer", "any"]
SECRET = re.compile(rb"hw_[wrab]_[A-Za-z0-9_-]{43}")
"""A secret by its form. What has another is no key of the directory, and nobody needs to be asked about it."""

ACCOUNT_ID = re.compile(r"[a-z0-9]{10}|default")
KEY_ID = re.compile(r"[0-9a-f]{8}")
HASH = re.compile(r"[0-9a-f]{64}")
WORD = re.compile(r"[A-Za-z0-9_-]{8,64}")
STATE = re.compile(r"([A-Za-z0-9_-]{8,64})\.(0|[1-9][0-9]{0,15})")
AT_ONCE = 1000
"""Rows of a step: about 3 ms."""
PIECE_BYTES = 1 << 20
ANY_ORIGIN = "*"
NO_ORIGINS = ("", "null")
"""What no site can list: a page that has no origin, or keeps it to itself."""

Short = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class NotTaken(Exception):
    """An answer that is not taken; the directory is as it was. The message says what was expected, and shows nothing of the answer."""


class Unsound(NotTaken):
    """It is cut off, was signed by somebody else, or is no directory."""


class DoesNotFit(NotTaken):
    """A delta of another state than ours: the whole is to be asked for."""


class Stale(NotTaken):
    """All there was, at an earlier version than ours of the same word."""


class TooLarge(NotTaken):
    """It would take more memory than it may."""


class State(NamedTuple):
    """Where a directory stands. word: random; versions of different words are not comparable."""

    word: str
    version: int

    @property
    def text(self) -> str:
        """As a tag of HTTP, and in an address."""
        return f"{self.word}.{self.version}"


def state_of(text: str) -> State | None:
    """The state with this text; None where it is none."""
    found = STATE.fullmatch(text)
    return State(found[1], int(found[2])) if found else None


class Account(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """id: 10 letters, drawn once and never again, or `default`; keys in Redis and messages name it.  name: as people write it.

    zone: of its days; rows of older versions do not say so.
    """

    id: Short
    name: Text
    zone: str = "UTC"


class Key(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """hash: SHA-256 of the secret, hex.  id: 8 hex letters.  site: the only one it is for, or None.  expires_s: epoch seconds."""

    hash: Hash
    id: Short
    account: Short
    scope: Scope
    site: Text | None = None
    public: bool = False
    expires_s: Number | None = None


class Site(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """open: for browsers.  origins: pages that may use its browser keys, or `*`.  pixels: `any` lets in images that name no page.

    cross_site_cookie: whether pages of other sites send the cookie of its visitors, too; rows of older versions do not say so.
    pages_in_lower_case, pages_without_slash, page_parameters: how pages of the tracker are named; nor these.
    """

    account: Short
    pk: Text
    open: bool = False
    origins: tuple[str, ...] = ()
    pixels: Pixels = "referer"
    cross_site_cookie: bool = False
    pages_in_lower_case: bool = False
    pages_without_slash: bool = False
    page_parameters: tuple[str, ...] = ()

    def lists(self, origin: str) -> bool:
        """Whether a page of this origin may use its browser keys. origin: as a browser sends it."""
        if not self.open or origin in NO_ORIGINS:
            return False
        return origin.lower() in self.origins or ANY_ORIGIN in self.origins


class Gone(msgspec.Struct, array_like=True, frozen=True):
    """What a delta takes away: ids of accounts, account and id of keys, account and pk of sites."""

    accounts: tuple[Short, ...] = ()
    keys: tuple[tuple[Short, Short], ...] = ()
    sites: tuple[tuple[Short, Text], ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """The whole directory (since: None), or what changed since a version of the same word."""

    state: tuple[Short, Number]
    since: Number | None = None
    accounts: list[Account] = []
    keys: list[Key] = []
    sites: list[Site] = []
    gone: Gone = Gone()


class _Unread(msgspec.Struct):
    """An Answer, whose rows are not read yet."""

    state: tuple[Short, Number]
    since: Number | None = None
    accounts: list[msgspec.Raw] = []
    keys: list[msgspec.Raw] = []
    sites: list[msgspec.Raw] = []
    gone: Gone = Gone()


Pause = Callable[[], None]
T = TypeVar("T")
_decode = msgspec.json.Decoder(_Unread, strict=True).decode
_decode_account = msgspec.json.Decoder(Account, strict=True).decode
_decode_key = msgspec.json.Decoder(Key, strict=True).decode
_decode_site = msgspec.json.Decoder(Site, strict=True).decode
_encode = msgspec.json.Encoder().encode


def no_pause() -> None:
    """Where nobody else has to work meanwhile."""


def record_of(answer: Answer, internal_key: str, pause: Pause = no_pause) -> bytes:
    """An answer as it travels and lies on disk."""
    names = ("accounts", "keys", "sites")
    lists = [b'"%b":[%b]' % (name.encode(), _encoded(getattr(answer, name), pause)) for name in names]
    head = b'"state":%b,"since":%b' % (_encode(answer.state), _encode(answer.since))
    body = b"{%b}" % b",".join((head, *lists, b'"gone":%b' % _encode(answer.gone)))
    start = b"%b %d" % (FORM, len(body))
    return b"%b %b\n%b" % (start, _signed(start, body, internal_key, pause), body)


def _encoded(rows: Collection[Any], pause: Pause) -> bytes:
    """Rows as JSON, without the brackets around them."""
    return b",".join(_encode(some)[1:-1] for some in _steps(rows, pause))


def _steps(rows: Iterable[T], pause: Pause) -> Iterator[list[T]]:
    """The rows, AT_ONCE of them at a time; between two of these it pauses."""
    left = iter(rows)
    while some := list(islice(left, AT_ONCE)):
        yield some
        if len(some) == AT_ONCE:
            pause()


def answer_of(record: bytes, internal_key: str, pause: Pause = no_pause) -> Answer:
    """What one whole record says; raises Unsound."""
    found, end = read_record(record, 0, internal_key, pause)
    if end != len(record):
        raise Unsound(f"expected one record of {end} bytes, got {len(record)}")
    return found


def read_record(data: bytes, at: int, internal_key: str, pause: Pause = no_pause) -> tuple[Answer, int]:
    """The answer that begins there, and where it ends; raises Unsound."""
    head = HEAD.match(data, at, at + LONGEST_HEAD)
    if not head:
        raise Unsound("expected the head of a directory, got something else")
    length, end = int(head[1]), head.end() + int(head[1])
    if end > len(data):
        raise Unsound(f"expected {length} bytes, got {len(data) - head.end()}: it was cut off")
    body = data[head.end() : end]
    if not hmac.compare_digest(_signed(b"%b %b" % (FORM, head[1]), body, internal_key, pause), head[2]):
        raise Unsound("the signature is wrong: is the internal key of Hail that of Whale?")
    try:
        answer = _read(_decode(body), pause)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        where = str(error).rpartition(" - at ")[2] if isinstance(error, msgspec.ValidationError) else "all of it"
        raise Unsound(f"it cannot be read: expected a directory, got something else at {where[:100]}") from None
    _check(answer, pause)
    return answer, end


def _read(unread: _Unread, pause: Pause) -> Answer:
    """The rows, too; raises msgspec.ValidationError."""
    pause()

    def rows(raw: list[msgspec.Raw], decode: Callable[[msgspec.Raw], T]) -> list[T]:
        return [decode(row) for some in _steps(raw, pause) for row in some]

    return Answer(
        unread.state,
        unread.since,
        rows(unread.accounts, _decode_account),
        rows(unread.keys, _decode_key),
        rows(unread.sites, _decode_site),
        unread.gone,
    )


def _signed(start: bytes, body: bytes, internal_key: str, pause: Pause = no_pause) -> bytes:
    own = hmac.digest(internal_key.encode("utf-8", "surrogateescape"), PURPOSE, hashlib.sha256)
    mac = hmac.new(own, start, hashlib.sha256)
    mac.update(b"\n")
    for at in range(0, len(body), PIECE_BYTES):
        if at:
            pause()
        mac.update(body[at : at + PIECE_BYTES])
    return mac.hexdigest().encode()


def _check(answer: Answer, pause: Pause) -> None:
    """What the types of the rows do not say. Raises Unsound."""
    _all(WORD, (answer.state[0],), "the word of the state", pause)
    _all(ACCOUNT_ID, (row.id for row in answer.accounts), "the id of an account", pause)
    _all(HASH, (row.hash for row in answer.keys), "the hash of a key", pause)
    _all(KEY_ID, (row.id for row in answer.keys), "the id of a key", pause)
    _once((row.id for row in answer.accounts), len(answer.accounts), "id of an account", pause)
    _once((row.hash for row in answer.keys), len(answer.keys), "hash of a key", pause)
    _once(((row.account, row.id) for row in answer.keys), len(answer.keys), "key of an account", pause)
    _once(((row.account, row.pk) for row in answer.sites), len(answer.sites), "site", pause)
    if answer.since is None:
        if answer.gone != Gone():
            raise Unsound("gone: expected nothing where the answer is all there is")
    elif answer.since > answer.state[1]:
        raise Unsound("since: expected no later version than that of the state")


def _all(pattern: re.Pattern[str], texts: Iterable[str], what: str, pause: Pause) -> None:
    for some in _steps(texts, pause):
        if not all(map(pattern.fullmatch, some)):
            raise Unsound(f"{what}: expected {pattern.pattern}, got something else")


def _once(values: Iterable[object], count: int, what: str, pause: Pause) -> None:
    found: set[object] = set()
    for some in _steps(values, pause):
        found.update(some)
    if len(found) != count:
        raise Unsound(f"the {what} came twice")


def _size_of_account(row: Account) -> int:
    return 2 * COST + len(row.id) + len(row.name)


def _size_of_key(row: Key) -> int:
    return 3 * COST + len(row.hash) + WIDE * len(row.site or "")


def _size_of_site(row: Site) -> int:
    return 2 * COST + WIDE * len(row.pk) + sum(COST // 2 + len(origin) for origin in row.origins)


class Directory:
    """All that was taken. Many threads may look up; one at a time may take.

    most_mb: memory that its rows may have, about.
    """

    def __init__(self, most_mb: float):
        self.state: State | None = None
        self._room = Room("directory", most_mb * 1_000_000)
        self._accounts: dict[str, Account] = {}
        self._ids: dict[str, str] = {}
        self._keys: dict[bytes, Key] = {}
        self._hashes: dict[tuple[str, str], bytes] = {}  # by account and id of a key
        self._sites: dict[tuple[str, str], Site] = {}

    def take(self, answer: Answer, pause: Pause = no_pause) -> None:
        """Raises DoesNotFit, Stale or TooLarge, and nothing has changed.

        A delta costs its rows, and all keys and sites once where accounts are gone; the whole costs about 2 us a row. All of it counts
        from one moment on, after the last pause.
        """
        state = State(*answer.state)
        if answer.since is None:
            self._take_whole(answer, state, pause)
        else:
            self._take_delta(answer, state)

    def _take_whole(self, answer: Answer, state: State, pause: Pause) -> None:
        if self.state and state.word == self.state.word and state.version < self.state.version:
            raise Stale(f"expected version {self.state.version} or later, got {state.version}")
        size = _size_of(answer, pause)
        if size > self._room.most:
            raise TooLarge(f"expected at most {self._room.most} bytes in memory, got about {size}")
        accounts, ids = dict[str, Account](), dict[str, str]()
        keys, hashes = dict[bytes, Key](), dict[tuple[str, str], bytes]()
        sites = dict[tuple[str, str], Site]()
        for some_accounts in _steps(answer.accounts, pause):
            accounts |= {row.id: row for row in some_accounts}
            ids |= {row.name: row.id for row in some_accounts}
        for some_keys in _steps(answer.keys, pause):
            of_hash = {bytes.fromhex(row.hash): row for row in some_keys}
            keys |= of_hash
            hashes |= {(row.account, row.id): hash_ for hash_, row in of_hash.items()}
        for some_sites in _steps(answer.sites, pause):
            sites |= {(row.account, row.pk): row for row in some_sites}
        self._accounts, self._ids, self._keys, self._hashes, self._sites = accounts, ids, keys, hashes, sites
        self._room.held, self.state = size, state

    def _take_delta(self, answer: Answer, state: State) -> None:
        if self.state != (state.word, answer.since):
            raise DoesNotFit("expected a change of the state that is known, got that of another")
        left = self._room.held + _size_of(answer)  # more than it will be, where rows take the place of others
        if left > self._room.most and left - self._replaced(answer) > self._room.most:
            raise TooLarge(f"expected at most {self._room.most} bytes in memory, got about {left}")
        for id_ in answer.gone.accounts:
            self._drop_account(id_)
        for place in answer.gone.keys:
            self._drop_key(place)
        for place in answer.gone.sites:
            self._drop_site(place)
        for account in answer.accounts:
            self._drop_account(account.id)
            self._accounts[account.id], self._ids[account.name] = account, account.id
            self._room.held += _size_of_account(account)
        for key in answer.keys:
            self._put_key(key)
        for site in answer.sites:
            self._drop_site((site.account, site.pk))
            self._sites[site.account, site.pk] = site
            self._room.held += _size_of_site(site)
        if answer.gone.accounts:
            self._drop_orphans()
        self.state = state

    def _replaced(self, answer: Answer) -> int:
        """Bytes of rows that others take the place of."""
        accounts = (self._accounts.get(row.id) for row in answer.accounts)
        hashes = (self._hashes.get((row.account, row.id)) for row in answer.keys)
        keys = (self._keys.get(hash_) for hash_ in hashes if hash_)
        sites = (self._sites.get((row.account, row.pk)) for row in answer.sites)
        return (
            sum(_size_of_account(row) for row in accounts if row)
            + sum(_size_of_key(row) for row in keys if row)
            + sum(_size_of_site(row) for row in sites if row)
        )

    def _drop_account(self, id_: str) -> None:
        if row := self._accounts.pop(id_, None):
            if self._ids.get(row.name) == id_:  # else another has taken the name
                del self._ids[row.name]
            self._room.held -= _size_of_account(row)

    def _put_key(self, key: Key) -> None:
        hash_ = bytes.fromhex(key.hash)
        self._drop_key((key.account, key.id))
        if other := self._keys.get(hash_):
            self._drop_key((other.account, other.id))
        self._keys[hash_], self._hashes[key.account, key.id] = key, hash_
        self._room.held += _size_of_key(key)

    def _drop_key(self, place: tuple[str, str]) -> None:
        if hash_ := self._hashes.pop(place, None):
            self._room.held -= _size_of_key(self._keys.pop(hash_))

    def _drop_site(self, place: tuple[str, str]) -> None:
        if row := self._sites.pop(place, None):
            self._room.held -= _size_of_site(row)

    def _drop_orphans(self) -> None:
        """Keys and sites of accounts that are gone."""
        for place in [place for place in self._hashes if place[0] not in self._accounts]:
            self._drop_key(place)
        for place in [place for place in self._sites if place[0] not in self._accounts]:
            self._drop_site(place)

    def answer(self) -> Answer:
        """All there is; raises LookupError where nothing was taken."""
        if not self.state:
            raise LookupError("no directory was taken")
        return Answer(
            self.state, None, list(self._accounts.values()), list(self._keys.values()), list(self._sites.values())
        )

    def key_of(self, secret: bytes, now: float) -> Key | None:
        """The key with this secret, if it is good now. now: epoch seconds.  About 1 us."""
        key = self._keys.get(hashlib.sha256(secret).digest())
        if key is None or key.account not in self._accounts or (key.expires_s is not None and now >= key.expires_s):
            return None
        return key

    def account_named(self, name: str) -> Account | None:
        id_ = self._ids.get(name)
        return None if id_ is None else self._accounts.get(id_)

    def account(self, id_: str) -> Account | None:
        return self._accounts.get(id_)

    def site(self, account: str, pk: str) -> Site | None:
        return self._sites.get((account, pk)) if account in self._accounts else None

    def __len__(self) -> int:
        """Rows."""
        return len(self._accounts) + len(self._keys) + len(self._sites)


def _size_of(answer: Answer, pause: Pause = no_pause) -> int:
    """Bytes of memory that its rows take, about."""
    return (
        sum(sum(map(_size_of_account, some)) for some in _steps(answer.accounts, pause))
        + sum(sum(map(_size_of_key, some)) for some in _steps(answer.keys, pause))
        + sum(sum(map(_size_of_site, some)) for some in _steps(answer.sites, pause))
    )
