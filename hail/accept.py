"""From a request to accepted hits: what every format shares.

    caller ── may it? ──> a format reads hits ──> keep ──> the publisher
                 └── Refused      └── Refused ── note ──> /spy

Promise: `keep` returns after the publisher has made the hits durable, and raises else. Every Refused is counted under its reason.
Of keys that nobody could look up a process takes at most EARLY of the hits that may wait, in all, and notes no refusal: it cannot say
to whom it would show them.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import msgspec

from hail import counters
from hail.access import BROWSER, WRITE, Caller, Environ
from hail.bulk import Bulk
from hail.directory import Directory
from hail.hit import FIELDS, HitError, Parsed, Reason
from hail.message import CAME_BYTES, Refusal
from hail.packing import Packed
from hail.parameters import Read, read
from hail.publish import NotAccepted, Publisher
from hail.room import MEGABYTE
from hail.secret import masked, secrets_of, without_keys
from hail.settings import Settings
from hail.settled import Settled
from hail.times import shown
from hail.tracking.agents import Agents
from hail.tracking.places import Places
from hail.usual import Usual
from hail.visits import Visits

LONG_BODY = 10_000
RETRY_AFTER_S = 2
EARLY = 0.1
ENOUGH = "no directory of accounts has come from Whale yet, and no more hits are taken before; try again in 2 s"

_decode = msgspec.json.Decoder(strict=True).decode


class Refused(Exception):
    """Ends a request. hits: that are lost by it."""

    def __init__(self, reason: Reason, detail: str, field: str | None = None, hits: int = 1, retry_after_s: int = 0):
        super().__init__(detail)
        self.reason, self.detail, self.field, self.retry_after_s = reason, detail, field, retry_after_s
        (counters.UNCONFIRMED if reason is Reason.UNCONFIRMED else counters.REFUSED_BY[reason]).inc(hits)

    @classmethod
    def by(cls, error: HitError) -> "Refused":
        return cls(error.reason, str(error), error.field)

    @property
    def said(self) -> str:
        """What became of the hit, where the answer is an image or a script."""
        return "unconfirmed" if self.reason is Reason.UNCONFIRMED else f"dropped; reason={self.reason}"


class Early:
    """How many hits may still be taken by keys that nobody could look up. For many threads."""

    def __init__(self, most: int):
        self.left, self._lock = most, threading.Lock()

    def take(self, hits: int) -> bool:
        """Whether so many more may be taken: then they are."""
        with self._lock:
            if hits > self.left:
                return False
            self.left -= hits
        return True

    def give_back(self, hits: int) -> None:
        """Of those that were not kept."""
        with self._lock:
            self.left += hits


class Acceptor:
    """For many threads. clock: epoch seconds.  visits: None where no visitor gets a cookie.

    account_id: of the name of an account; None where there is none.  directory: of accounts, keys and sites, where there is one.
    salt_in: of the date that it is in a zone; None where nobody knows it.  told_at: when Whale last told the directory.
    caller_of: whom a key stands for that came within a body; the door of a service sets it.
    """

    caller_of: Callable[[bytes, Environ], Caller]

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        clock: Callable[[], float],
        visits: Visits | None = None,
        account_id: Callable[[str], str | None] = lambda name: name,
        directory: Directory | None = None,
        salt_in: Callable[[str], bytes | None] = lambda zone: None,
        told_at: Callable[[], float | None] = lambda: None,
    ):
        """Raises SettingsError where the file of countries cannot be read."""
        self.settings, self.publisher, self.clock = settings, publisher, clock
        self.visits, self.account_id, self.directory, self.salt_in = visits, account_id, directory, salt_in
        self.settled = Settled(told_at, clock)
        self.usual = Usual(settings)
        self.bulk = Bulk(settings, self.usual)
        self.agents = Agents(settings.known_agents_mb * MEGABYTE)
        self.places = Places(settings.country_file)
        self._secrets = secrets_of(settings)
        self._early = Early(int(settings.waiting_max_hits * EARLY))

    def may_hit(self, caller: Caller) -> bool:
        """Whether the caller may send hits, or those of a site."""
        return not caller.foreign and (caller.may(WRITE) or caller.may(BROWSER))

    def let_in(self, caller: Caller, with_hits: bool = False) -> None:
        """Raises Refused where the caller may not write. with_hits: nothing else, so that pages may send them, too."""
        if caller.unready:
            raise Refused(Reason.NO_DIRECTORY, caller.unready, retry_after_s=RETRY_AFTER_S)
        if caller.hash and not self._early.left:
            raise Refused(Reason.NO_DIRECTORY, ENOUGH, retry_after_s=RETRY_AFTER_S)
        if with_hits and caller.foreign:
            raise Refused(Reason.FOREIGN_ORIGIN, caller.foreign)
        if not (self.may_hit(caller) if with_hits else caller.may(WRITE)):
            raise Refused(
                Reason.UNAUTHORIZED,
                f"expected the {WRITE} key: as a Bearer token, as the Basic password or as key=KEY in the address",
            )

    def check(self, caller: Caller, parsed: Parsed) -> Parsed:
        """The same hit; raises HitError where no message can carry it, or the caller's key is for another site than the hit's."""
        self.publisher.check(parsed[0])
        if caller.site is not None and (first := parsed[0][0][0]) != caller.site:
            raise HitError(
                Reason.OTHER_SITE, "pk", f"expected {shown(caller.site)}, the site of this key, got {shown(first)}"
            )
        return parsed

    def parameters(self, text: str, names: Iterable[str]) -> Read:
        """The parameters of a query or a form; raises HitError."""
        return read(text, names, self.settings.ignored_parameters)

    def keep(self, caller: Caller, hits: Packed, skewed: int = 0) -> None:
        """Makes hits durable; raises Refused."""
        if caller.hash and not self._early.take(hits.hits):
            raise Refused(Reason.NO_DIRECTORY, ENOUGH, None, hits.hits, RETRY_AFTER_S)
        try:
            self.publisher.publish(caller.account, hits)
        except NotAccepted as error:
            if caller.hash and error.reason is not Reason.UNCONFIRMED:
                self._early.give_back(hits.hits)
            raise Refused(error.reason, str(error), None, hits.hits, error.retry_after_s) from None
        if caller.hash:
            counters.EARLY.inc(hits.hits)
        if skewed:
            counters.SKEWED.inc(skewed)

    def masked(self, text: str) -> str:
        """A text without the keys in it."""
        return masked(text, self._secrets)

    def note(self, caller: Caller, error: HitError | Refused, came: str, visitor: Any = None) -> None:
        """Remembers what was refused, for those who ask where their hit went."""
        if self.settings.spy and not caller.hash:
            known = visitor if isinstance(visitor, str) and 0 < len(visitor) <= self.settings.max_name_bytes else None
            if known and self.masked(known) != known:
                known = None
            cut = self.masked(came).encode("utf-8", "ignore")[:CAME_BYTES].decode("utf-8", "ignore")
            field = self.masked(error.field or "")
            row = Refusal(int(self.clock() * 1000), str(error.reason), field, cut, known)
            self.publisher.note(caller.account, row)

    def note_query(self, caller: Caller, error: Refused, query: str) -> None:
        """`note`, of a hit in a query or a form, as WSGI gives it."""
        if self.settings.spy:
            text = query.encode("latin-1", "replace").decode("utf-8", "replace")[: 100 * CAME_BYTES]
            visitor = parse_qs(text, errors="replace").get("visitor", [None])[0]
            self.note(caller, error, came_of_query(text), visitor)


def came_of_query(query: str) -> str:
    """The fields of a hit in a query or a form, as people read them; never the key, nor what is not ours."""
    pairs = (
        (unquote_plus(name), unquote_plus(value)) for name, _, value in (p.partition("=") for p in query.split("&"))
    )
    return "&".join(f"{name}={value}" for name, value in pairs if name in FIELDS)


def came_of_body(body: bytes | msgspec.Raw) -> tuple[str, str | None]:
    """The beginning of a body, and the visitor where it names one."""
    text = bytes(body)
    try:
        given = _decode(text) if len(text) <= LONG_BODY else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return text[:LONG_BODY].decode("utf-8", "ignore"), None
    shown = msgspec.json.encode(without_keys(given)).decode("utf-8", "ignore")
    return shown, given.get("visitor")
