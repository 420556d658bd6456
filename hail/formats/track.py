"""Hits of the browser tracker: many in a body, as a page of another site sends it without asking first, or one in an address.

    POST /track       202, {"accepted": …, "refused": […]}
    GET /track/it     an image, as Aktivat's tracker asks for it; X-Hail says what became of the hit

    who sends? ── a key of the account, or nobody else can reach this Hail ──> any site of it
               └─ nobody known ──> the site of that account, if it is open to browsers and lists the page's origin
    what? ── a browser ──> a hit of the site
          └─ a program ──> a hit of [__bots__, site], by its class

Promise: each hit is accepted, or refused by itself with a reason; those that are accepted are durable when it answers. The address of a
client is asked for its country, and by it and the salt of the day a browser without an id is told apart for a day; it is kept nowhere.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from hail import counters
from hail.accept import RETRY_AFTER_S, Acceptor, Refused, came_of_body, came_of_query
from hail.access import BROWSER, Caller, Environ
from hail.answers import CORS, HttpAnswer, answer, json_answer, problem, refusal
from hail.body import read_body
from hail.callers import KEYLESS, NOT_YET, foreign_page
from hail.directory import Site
from hail.formats.address import GIF, PIXEL
from hail.hit import HitError, Parsed, Reason, of_bots, parse_joining, parse_row, with_key
from hail.packing import COLUMNS
from hail.parameters import refuse_unknown
from hail.salts import daily_id
from hail.times import shown
from hail.tracking.aktivat import asked_of
from hail.tracking.places import bytes_of, client_of
from hail.tracking.translation import Around, bot_of, is_nobody, seen_bot, seen_of, site_of, skew_of
from hail.tracking.wire import Tracked, sent_of, tracked_of
from hail.usual import UNUSUAL, is_ascii

PARAMETERS = ("key",)
SAID = "X-Hail"
HERE = "account: expected the name of an account"
UNSETTLED = "it is not in the directory of accounts, which may be older; try again in 2 s"
PAGE = frozenset((BROWSER,))

Read = Callable[[Any], Tracked]
Came = tuple[str, str | None]


class Given(NamedTuple):
    """Some hits that came at once. read: one of `items`, which raises HitError."""

    account: str | None
    site: str | None
    sent_at: float | None
    items: Sequence[Any]
    read: Read


class NotYet(HitError):
    """Nobody knows a site, or that it lists a page, and Whale may know it meanwhile."""


class Told(NamedTuple):
    """What became of some hits. first: the first that was refused."""

    accepted: int
    refused: list[dict[str, Any]]
    first: HitError | None


class Track:
    """For many threads."""

    def __init__(self, acceptor: Acceptor):
        self._acceptor, self._tracking = acceptor, Tracking(acceptor)
        self._answers: dict[int, HttpAnswer] = {}
        self.routes = {("POST", "/track"): self.posted, ("GET", "/track/it"): self.image}

    def posted(self, caller: Caller, environ: Environ) -> HttpAnswer:
        try:
            told = self._posted(caller, environ)
        except Refused as error:
            return refused_whole(error)
        if not told.first:
            return self._accepted(told.accepted)
        body = {"accepted": told.accepted, "refused": told.refused}
        if told.accepted:
            return json_answer(202, body, {**CORS, SAID: said_of(told)})
        return nothing_kept(told.first, body)

    def _accepted(self, hits: int) -> HttpAnswer:
        """The same object for the same number, so that a server can remember what it sends."""
        found = self._answers.get(hits)
        if found is None:
            found = self._answers[hits] = json_answer(202, {"accepted": hits}, {**CORS, SAID: "accepted"})
        return found

    def image(self, caller: Caller, environ: Environ) -> HttpAnswer:
        try:
            told = self._asked(caller, environ)
        except Refused as error:
            return _image(error.said)
        return _image(_dropped(told.first) if told.first else "accepted")

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        return _image(error.said) if environ["REQUEST_METHOD"] == "GET" else refused_whole(error)

    def _posted(self, caller: Caller, environ: Environ) -> Told:
        acceptor, body = self._acceptor, b""
        try:
            try:
                if query := environ.get("QUERY_STRING"):
                    refuse_unknown(acceptor.parameters(query, PARAMETERS).unknown, PARAMETERS)
                body = read_body(environ, acceptor.settings.max_body_bytes)
                sent = sent_of(body)
                most, hits = acceptor.settings.max_batch_hits, sent.hits
                if len(hits) > most:
                    raise HitError(Reason.BATCH_TOO_LARGE, "hits", f"expected at most {most} hits, got {len(hits)}")
            except HitError as error:
                raise Refused.by(error) from None
            account = None if sent.account is None else str(sent.account)
            return self._tracking.count(caller, environ, Given(account, sent.site, sent.sent_at, hits, tracked_of))
        except Refused as error:
            acceptor.note(caller, error, *came_of_body(body))
            raise

    def _asked(self, caller: Caller, environ: Environ) -> Told:
        query = environ.get("QUERY_STRING", "")
        try:
            try:
                asked = asked_of(query)
            except HitError as error:
                raise Refused.by(error) from None
            given = Given(asked.account, asked.site, asked.sent_at, [asked.tracked], _as_it_is)
            return self._tracking.count(caller, environ, given)
        except Refused as error:
            self._acceptor.note(caller, error, came_of_query(query))
            raise


class Tracking:
    """From what a client said to hits that are kept, for each format of such clients. For many threads."""

    def __init__(self, acceptor: Acceptor, came_of: Callable[[bytes | msgspec.Raw], Came] = came_of_body):
        """came_of: what may be noted of an item that is refused, and its visitor."""
        self._acceptor, self._came_of = acceptor, came_of

    def count(self, caller: Caller, environ: Environ, given: Given) -> Told:
        """Raises Refused, of all of them."""
        now = self._acceptor.clock()
        sender = Sender(self._acceptor, caller, environ, given.account, len(given.items))
        around = self.around(sender, environ, given.sent_at, now)

        def rows_of(item: Any) -> list[Parsed]:
            tracked = given.read(item)
            site = sender.site_of(site_of(tracked, given.site))
            return self.rows(sender, tracked, site, around, now, is_plain(item))

        return self.keep(sender.caller, given.items, rows_of)

    def keep(self, caller: Caller, items: Sequence[Any], rows_of: Callable[[Any], list[Parsed]]) -> Told:
        """rows_of: the rows of an item, or HitError, which refuses it by itself. Raises Refused, of all of them, also where
        none is taken and one of them may be soon.
        """
        acceptor = self._acceptor
        wrong = list[tuple[HitError, Any]]()
        hits, accepted, skewed = acceptor.publisher.pack(), 0, 0
        for item in items:
            try:
                rows = rows_of(item)
            except HitError as error:
                wrong.append((error, item))
                continue
            for row, cells, is_ahead in rows:
                hits.add(with_key(row, caller.key), cells)
                skewed += is_ahead
            accepted += 1
        late = next((error for error, _ in wrong if isinstance(error, NotYet)), None)
        if late and not accepted:  # else those that were taken would come again, and no other client sends by halves
            raise Refused(Reason.NO_DIRECTORY, f"{late}: {UNSETTLED}", late.field, len(items), RETRY_AFTER_S)
        refused = [self._refuse(caller, error, item) for error, item in wrong]
        if hits.hits:
            acceptor.keep(caller, hits, skewed)
        return Told(accepted, refused, wrong[0][0] if wrong else None)

    def around(self, sender: "Sender", environ: Environ, sent_at: float | None, now: float) -> Around:
        """sent_at: by the sender's clock, in ms, where it says so."""
        acceptor, agent, country = self._acceptor, None, ""
        if sender.is_page:
            agent = acceptor.agents.agent_of(environ.get("HTTP_USER_AGENT", ""))
            if acceptor.places.is_there:
                country = acceptor.places.country_of(client_of(environ, acceptor.settings.trusted_proxies), now)
        return Around(skew_of(sent_at, now), acceptor.publisher.form is COLUMNS, sender.is_anonymous, agent, country)

    def rows(
        self, sender: "Sender", tracked: Tracked, site: str, around: Around, now: float, is_plain: bool = False
    ) -> list[Parsed]:
        """A hit, and that two ids are one visitor's; raises HitError. is_plain: each letter of its texts is one byte."""
        acceptor, settings = self._acceptor, self._acceptor.settings
        if bot := bot_of(tracked, around.agent):
            parsed = parse_row(seen_bot(tracked, site, bot, around, settings), settings, now)
            row, cells, is_ahead = acceptor.check(sender.caller, parsed)
            return [(of_bots(row), 2 * cells, is_ahead)]
        daily = sender.daily_id(site) if around.says_all and is_nobody(tracked, around) else None
        seen = seen_of(tracked, site, around, settings, daily, sender.site(site))
        rows = [acceptor.check(sender.caller, self._parsed(seen.fields, now, is_plain))]
        if seen.known and around.says_all:
            joining = {"pk": site, "anonymous": seen.fields["visitor"], "known": seen.known}
            rows.append(parse_joining(joining, settings, now))
        return rows

    def _parsed(self, fields: dict[str, Any], now: float, is_plain: bool) -> Parsed:
        """The quick way where it may be one; raises HitError."""
        if is_plain:
            usual = self._acceptor.usual
            with suppress(*UNUSUAL):
                return usual.row(usual.of_fields(fields, ""), now)
        return parse_row(fields, self._acceptor.settings, now)

    def _refuse(self, caller: Caller, error: HitError, item: Any) -> dict[str, Any]:
        counters.REFUSED_BY[error.reason].inc()
        came = item if isinstance(item, msgspec.Raw) else msgspec.json.encode(item)
        self._acceptor.note(caller, error, *self._came_of(came))
        return {"code": str(error.reason), "detail": str(error), "field": error.field}


class Sender:
    """Whose hits some are, and of which sites they may be.

    caller: to whose account they go.  is_page: whether a page sent them, not a program with a key.  is_anonymous: whether the browser
    says that it does not want to be followed.
    """

    def __init__(self, acceptor: Acceptor, caller: Caller, environ: Environ, named: str | None, hits: int):
        """named: the account that the sender names. Raises Refused, of so many hits."""
        self._acceptor, self._environ, self._directory = acceptor, environ, acceptor.directory
        self._known: dict[str, str] = {}
        self.is_anonymous = environ.get("HTTP_SEC_GPC") == "1" or environ.get("HTTP_DNT") == "1"
        is_known = self._directory is None or self._directory.state is not None
        may = acceptor.may_hit(caller)
        if caller.unready or caller.hash or not (is_known or may):
            raise Refused(Reason.NO_DIRECTORY, caller.unready or NOT_YET, None, hits, RETRY_AFTER_S)
        account = caller.account if named is None else acceptor.account_id(named)
        if account is None and not self._is_final(named or ""):
            raise Refused(
                Reason.NO_DIRECTORY, f"{HERE}, got {shown(named)}: {UNSETTLED}", "account", hits, RETRY_AFTER_S
            )
        if account is None or (account != caller.account and self._directory is None):
            raise Refused(Reason.UNKNOWN_ACCOUNT, f"{HERE}, got {shown(named)}", "account", hits)
        self._is_its_own = may and account == caller.account
        if self._directory is None and not may:
            acceptor.let_in(caller, with_hits=True)
        self.caller = caller if self._is_its_own else Caller(account, PAGE)
        self.is_page = not self._is_its_own or "HTTP_ORIGIN" in environ or "HTTP_REFERER" in environ

    def site_of(self, name: str) -> str:
        """The site with this name, or with it but for its `www.`; raises HitError where the page may not send to it."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._found(name)
        return found

    def daily_id(self, site: str) -> str | None:
        """Who a page that names nobody is for a day; None where nobody can say so."""
        if not self.is_page or self._directory is None:
            return None
        account = self._directory.account(self.caller.account)
        salt = self._acceptor.salt_in(account.zone) if account else None
        client = client_of(self._environ, self._acceptor.settings.trusted_proxies)
        if salt is None or client is None or account is None:
            return None
        return daily_id(salt, account.id, site, bytes_of(client), self._environ.get("HTTP_USER_AGENT", ""))

    def _found(self, name: str) -> str:
        if self._is_its_own:
            site = self._called(name)
            return site.pk if site else name
        return self.listed(name).pk

    def _called(self, name: str) -> Site | None:
        return self.site(name) or self.site(name.removeprefix("www."))

    def listed(self, name: str) -> Site:
        """The site with this name, which lists the page, whatever key came; raises HitError, or NotYet where it may do so soon."""
        site = self._called(name)
        if site is None:
            said = f"expected a site of the account, got {shown(name)}"
            raise self._kind(name)(Reason.UNKNOWN_SITE, "site", said)
        if said := foreign_page(site, self._environ, KEYLESS):
            page = self._environ.get("HTTP_ORIGIN") or self._environ.get("HTTP_REFERER", "")
            raise self._kind(site.pk, page)(Reason.FOREIGN_ORIGIN, "site", said)
        return site

    def _kind(self, *name: str) -> type[HitError]:
        """Of the error about a site, or a site and a page: it may have been made, opened or told to list the page since Whale was asked."""
        return HitError if self._is_final(self.caller.account, *name) else NotYet

    def _is_final(self, *name: str) -> bool:
        """Whether nobody needs to ask again. Nobody asks for an image twice."""
        if self._directory is None or self._environ["REQUEST_METHOD"] == "GET":
            return True
        return self._acceptor.settled.is_final(*name)

    def site(self, name: str) -> Site | None:
        """What is known of a site."""
        return self._directory.site(self.caller.account, name) if self._directory else None


def is_plain(item: Any) -> bool:
    """Whether nothing that is read of a hit has a letter that takes more than a byte, in its JSON or in its addresses."""
    text = bytes(item) if isinstance(item, msgspec.Raw) else b"%"
    return is_ascii(text) and b"%" not in text


def _as_it_is(tracked: Tracked) -> Tracked:
    return tracked


def said_of(told: Told) -> str:
    """What X-Hail says of some hits."""
    if told.first and not told.accepted:
        return _dropped(told.first)
    return f"accepted; refused={len(told.refused)}" if told.refused else "accepted"


def _dropped(error: HitError) -> str:
    return f"dropped; reason={error.reason}"


def _image(outcome: str) -> HttpAnswer:
    return answer(200, GIF, "image/gif", {**CORS, **PIXEL, SAID: outcome})


def nothing_kept(first: HitError, more: dict[str, Any]) -> HttpAnswer:
    """Where no hit of a body was good. more: fields of the problem."""
    about = problem(first.reason, str(first), first.field)
    return json_answer(about["status"], {**about, **more}, {**CORS, SAID: _dropped(first)}, "problem+json")


def refused_whole(error: Refused, more: Mapping[str, Any] | None = None) -> HttpAnswer:
    """To a body of which nothing was read. X-Hail says why. more: fields of the problem."""
    found = refusal(error, more)
    return found._replace(headers=[*found.headers, (SAID, error.said)])
