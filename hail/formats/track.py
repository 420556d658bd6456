"""Hits of the browser tracker: POST /track, as a page of another site sends it without asking first.

    who sends? ── a key of the account, or nobody else can reach this Hail ──> any site of it
               └─ nobody known ──> the site of that account, if it is open to browsers and lists the page's origin

Promise: each hit is accepted, or refused by itself with a reason; those that are accepted are durable when it answers.
"""

from typing import Any, NamedTuple

import msgspec

from hail import counters
from hail.accept import RETRY_AFTER_S, Acceptor, Refused, came_of_body
from hail.access import BROWSER, Caller, Environ
from hail.answers import CORS, HttpAnswer, json_answer, problem, refusal
from hail.body import read_body
from hail.callers import KEYLESS, NOT_YET, foreign_page
from hail.directory import Site
from hail.hit import HitError, Parsed, Reason, parse_joining, parse_row, with_key
from hail.packing import COLUMNS
from hail.parameters import refuse_unknown
from hail.times import shown
from hail.tracking.translation import seen_of, site_of, skew_of
from hail.tracking.wire import Sent, sent_of, tracked_of

PARAMETERS = ("key",)
SAID = "X-Hail"
HERE = "account: expected the name of an account"
PAGE = frozenset((BROWSER,))


class Told(NamedTuple):
    """What became of some hits. first: the first that was refused."""

    accepted: int
    refused: list[dict[str, Any]]
    first: HitError | None


class Track:
    """For many threads."""

    def __init__(self, acceptor: Acceptor):
        self._acceptor = acceptor
        self.routes = {("POST", "/track"): self.posted}

    def posted(self, caller: Caller, environ: Environ) -> HttpAnswer:
        try:
            told = self._posted(caller, environ)
        except Refused as error:
            return _refused(error)
        body: dict[str, Any] = {"accepted": told.accepted}
        if told.refused:
            body["refused"] = told.refused
        if told.accepted or not told.first:
            said = "accepted" if not told.refused else f"accepted; refused={len(told.refused)}"
            return json_answer(202, body, {**CORS, SAID: said})
        about = problem(told.first.reason, str(told.first), told.first.field)
        said = f"dropped; reason={told.first.reason}"
        return json_answer(about["status"], {**about, **body}, {**CORS, SAID: said}, "problem+json")

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        return _refused(error)

    def _posted(self, caller: Caller, environ: Environ) -> Told:
        acceptor, body = self._acceptor, b""
        try:
            try:
                _, unknown = acceptor.parameters(environ.get("QUERY_STRING", ""), PARAMETERS)
                refuse_unknown(unknown, PARAMETERS)
                body = read_body(environ, acceptor.settings.max_body_bytes)
                sent = sent_of(body)
                most = acceptor.settings.max_batch_hits
                if len(sent.hits) > most:
                    raise HitError(
                        Reason.BATCH_TOO_LARGE, "hits", f"expected at most {most} hits, got {len(sent.hits)}"
                    )
            except HitError as error:
                raise Refused.by(error) from None
            return self._count(Sender(acceptor, caller, environ, sent), sent)
        except Refused as error:
            acceptor.note(caller, error, *came_of_body(body))
            raise

    def _count(self, sender: "Sender", sent: Sent) -> Told:
        acceptor, refused, first = self._acceptor, list[dict[str, Any]](), None
        hits, accepted, skewed = acceptor.publisher.pack(), 0, 0
        now = acceptor.clock()
        skew_ms = skew_of(sent.sent_at, now)
        for item in sent.hits:
            try:
                rows = self._rows(sender, sent, item, skew_ms, now)
            except HitError as error:
                first = first or error
                refused.append(self._refuse(sender.caller, error, item))
                continue
            for row, cells, is_ahead in rows:
                hits.add(with_key(row, sender.caller.key), cells)
                skewed += is_ahead
            accepted += 1
        if hits.hits:
            acceptor.keep(sender.caller, hits, skewed)
        return Told(accepted, refused, first)

    def _rows(self, sender: "Sender", sent: Sent, item: msgspec.Raw, skew_ms: float, now: float) -> list[Parsed]:
        """A hit, and that two ids are one visitor's; raises HitError."""
        acceptor = self._acceptor
        settings, says_all = acceptor.settings, acceptor.publisher.form is COLUMNS
        tracked = tracked_of(item)
        site = sender.site_of(site_of(tracked, sent.site))
        seen = seen_of(tracked, site, skew_ms, settings, says_all, sender.is_anonymous)
        rows = [acceptor.check(sender.caller, parse_row(seen.fields, settings, now))]
        if seen.known and says_all:
            joining = {"pk": site, "anonymous": seen.fields["visitor"], "known": seen.known}
            rows.append(parse_joining(joining, settings, now))
        return rows

    def _refuse(self, caller: Caller, error: HitError, item: msgspec.Raw) -> dict[str, Any]:
        counters.REFUSED_BY[error.reason].inc()
        self._acceptor.note(caller, error, *came_of_body(item))
        return {"code": str(error.reason), "detail": str(error), "field": error.field}


class Sender:
    """Whose hits those of a body are, and of which sites they may be.

    caller: to whose account they go.  is_anonymous: whether the browser says that it does not want to be followed.
    """

    def __init__(self, acceptor: Acceptor, caller: Caller, environ: Environ, sent: Sent):
        """Raises Refused."""
        self._environ, self._directory, hits = environ, acceptor.directory, len(sent.hits)
        self._known: dict[str, str] = {}
        self.is_anonymous = environ.get("HTTP_SEC_GPC") == "1" or environ.get("HTTP_DNT") == "1"
        is_known = self._directory is None or self._directory.state is not None
        may = acceptor.may_hit(caller)
        if caller.unready or caller.hash or not (is_known or may):
            raise Refused(Reason.NO_DIRECTORY, caller.unready or NOT_YET, None, hits, RETRY_AFTER_S)
        account = caller.account if sent.account is None else acceptor.account_id(str(sent.account))
        if account is None or (account != caller.account and self._directory is None):
            raise Refused(Reason.UNKNOWN_ACCOUNT, f"{HERE}, got {shown(sent.account)}", "account", hits)
        self._is_its_own = may and account == caller.account
        if self._directory is None and not may:
            acceptor.let_in(caller, with_hits=True)
        self.caller = caller if self._is_its_own else Caller(account, PAGE)

    def site_of(self, name: str) -> str:
        """The site with this name, or with it but for its `www.`; raises HitError where the page may not send to it."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._found(name)
        return found

    def _found(self, name: str) -> str:
        site = self._site(name) or self._site(name.removeprefix("www."))
        if self._is_its_own:
            return site.pk if site else name
        if site is None:
            raise HitError(Reason.UNKNOWN_SITE, "site", f"expected a site of the account, got {shown(name)}")
        if said := foreign_page(site, self._environ, KEYLESS):
            raise HitError(Reason.FOREIGN_ORIGIN, "site", said)
        return site.pk

    def _site(self, name: str) -> Site | None:
        return self._directory.site(self.caller.account, name) if self._directory else None


def _refused(error: Refused) -> HttpAnswer:
    found = refusal(error)
    return found._replace(headers=[*found.headers, (SAID, error.said)])
