"""Addresses that name an account, `/USER/BUCKET/…`: whose path it is, who may, which fields came, and how it is answered.

    request ── whose path? ──> key, user ──> fields ──> the route ──> an answer, with `request_id`, inside `callback`
                   └ 404         └ 401, 403, 429  └ 400     └ 403, 404, 503: the same

The account must be the caller's: a user of another one gets the words of a wrong password. A name is no secret, as it stands in
addresses; so whoever shows nothing is told 404 where there is no such user.

A script (`callback`) runs in pages of any site, and browsers send a password of Basic by themselves. So a GET with `callback` is
answered to a key in the address alone, which a page has to know.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import bottle
import msgspec

from hail import access
from hail.body import is_json, kind_of
from hail.callers import foreign_page, is_secret
from hail.directory import Key
from hail.hit import HitError, Reason
from hail.parameters import CALLBACK, not_here
from whale.accounts import RESERVED, RIGHTS_OF, Account
from whale.client import Whale
from whale.errors import CallerError, Conflict, Unavailable
from whale.library.managing import Managing, full_name
from whale.logins import Logins
from whale.routes.door import ANSWER_SECONDS, Door, check_user, problem_of
from whale.routes.parameters import MAX_PARAMETERS, address_query, all_of, object_of, parameters
from whale.routes.responses import Problem

USER, BUCKET = "/<user:account>", "/<user:account>/<bucket:bucket>"
BESIDE = ("request_id", "callback")
"""What every route takes beside its own fields."""
MOST_ID = 200
"""Letters of a request's id."""
WITH_BODY = ("POST", "PUT")
ENDS = ("/jsonp/", "/batch/")
SCRIPT = {"Content-Type": "text/javascript; charset=utf-8", "X-Content-Type-Options": "nosniff"}
ENDS_OF_LINES = {0x2028: "\\u2028", 0x2029: "\\u2029"}  # no text of a script could hold them before 2019


class NoUser(Exception):
    """The address names no account, and whoever asks shows nothing."""


@dataclass(frozen=True)
class Said:
    """What a request wants in its answer. Empty: not said."""

    request_id: str = ""
    callback: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Said":
        """What of it can be used, so that errors have it too."""
        request_id, callback = (text if isinstance(text := given.get(name), str) else "" for name in BESIDE)
        is_id = len(request_id) <= MOST_ID
        return cls(request_id if is_id else "", callback if CALLBACK.fullmatch(callback) else "")

    @staticmethod
    def check(given: Mapping[str, str]) -> None:
        """Raises CallerError, HitError."""
        if len(given.get("request_id", "")) > MOST_ID:
            raise CallerError(f"expected at most {MOST_ID} letters", "request_id")
        if given.get("callback") and not CALLBACK.fullmatch(given["callback"]):
            raise HitError(Reason.BAD_CALLBACK, "callback", "expected a JavaScript name such as app.done")

    def put_into(self, found: Any) -> Any:
        """The answer, with the id of the request, and as a script where one is to be called."""
        if self.request_id:
            found.body = msgspec.json.encode({**msgspec.json.decode(found.body), "request_id": self.request_id})
        if self.callback:
            found.body = f"/**/{self.callback}({found.body.decode().translate(ENDS_OF_LINES)});".encode()
            for name, value in SCRIPT.items():
                found.set_header(name, value)
        return found


@dataclass(frozen=True)
class Request:
    """Of somebody who may. account: of the address.  given: the fields that came.  bucket: of the address, if it names one.

    several: fields that may come more than once.
    """

    managing: Managing
    account: Account
    caller: access.Caller
    given: Mapping[str, str]
    bucket: str = ""
    several: Mapping[str, Sequence[str]] = field(default_factory=dict)


class AccountPaths:
    """What routes of such addresses share. For many threads. draw: random bytes.  hold_ms: until a new site's log begins."""

    def __init__(self, door: Door, whale: Whale, logins: Logins, draw: Callable[[int], bytes], hold_ms: int):
        self.door, self.whale, self.logins, self.draw, self._hold_ms = door, whale, logins, draw, hold_ms

    def managing(self, who: str = "") -> Managing:
        keeps_logs = self.door.settings.visitor_log
        return Managing(self.whale.store, self.whale.clock(), self.draw, who, keeps_logs, self._hold_ms)

    def add(self, app: bottle.Bottle, rule: str, method: str, answer: Callable[..., Any]) -> None:
        """A route. answer: of what the request said, its body, and the names in its address."""
        right = access.right_of(rule, method)
        seconds = ANSWER_SECONDS.labels(f"hiitrack {method} {re.sub(':[a-z]+', '', rule)}")

        def answered(**named: str) -> Any:
            said = Said.of(_loosely(bottle.request.environ["QUERY_STRING"], b""))
            try:
                with seconds.time():
                    body = self.door.body() if method in WITH_BODY else b""
                    said = Said.of(_loosely(bottle.request.environ["QUERY_STRING"], body))
                    found = answer(said, body, **named)
            except NoUser:
                if said == Said():  # as at any address that is none
                    raise bottle.HTTPError(404, f"Not found: {bottle.request.path!r}") from None
                found = Problem(404, "not_found", "there is no such user", "user").response()
            except Conflict as error:
                found = Problem(403, error.code, str(error), error.field).response()
            except (Problem, CallerError, HitError, Unavailable) as error:
                found = problem_of(error).response()
            return self.door.readable(said.put_into(found), right)

        app.route(rule, method, answered)

    def fields(self, body: bytes, names: tuple[str, ...]) -> dict[str, str]:
        """The fields of the body, a form or JSON, and of the address; raises CallerError, HitError."""
        return self.fields_and(body, names, ())[0]

    def fields_and(
        self, body: bytes, names: tuple[str, ...], several: tuple[str, ...]
    ) -> tuple[dict[str, str], dict[str, list[str]]]:
        """The same, and those that may come more than once."""
        environ, passed_over = bottle.request.environ, self.door.settings.ignored_parameters
        query, expected = address_query(environ), (*names, *BESIDE)
        found, often = parameters(query, expected, passed_over, several), all_of(query, several)
        if "password" in found:
            raise CallerError("expected it in the body, since addresses are kept in logs", "password")
        if body and is_json(environ, body):
            given = object_of(body, "the fields")
            often |= {name: _listed(given.pop(name), name) for name in several if name in given}
            found |= _texts(given, (*expected, *several))
        else:
            try:
                text = body.decode("ascii")
            except UnicodeDecodeError:
                raise CallerError("expected a percent-encoded form", "body") from None
            found |= parameters(text, expected, passed_over, several)
            often |= all_of(text, several)
        Said.check(found)
        return found, often

    # who asks

    def admitting(
        self, right: access.Right, answer: Callable[..., Any], names: tuple[str, ...], several: tuple[str, ...] = ()
    ) -> Callable[..., Any]:
        """What answers those alone who may. answer: of a Request, and of other names in the address.  names: of its fields.

        several: of those that may come more than once.
        """

        def admitted(said: Said, body: bytes, user: str, bucket: str = "", **named: str) -> Any:
            account = self.logins.account_now(user)
            is_script = bool(said.callback) and right.methods == access.GET
            caller = self._by_key(right, account, bucket, is_script)
            if caller is None and not is_script:
                caller = self._by_password(right, account)
            if account is None or caller is None:
                raise _wrong(is_script)
            self.check_page(right)
            managing = self.managing(f"{'a key' if caller.user is None else full_name(account, caller.user)} over HTTP")
            given, often = self.fields_and(body, names, several)
            return answer(Request(managing, account, caller, given, bucket, often), **named)

        return admitted

    def _by_key(
        self, right: access.Right, account: Account | None, bucket: str, is_script: bool
    ) -> access.Caller | None:
        """Whom a key lets in. A script shows it in the address, and what a browser sends by itself does not count.

        Raises NoUser where a key, or nothing, came for an account that is not there; Problem 401 where a key is for something else.
        """
        environ, door = bottle.request.environ, self.door.access
        shown = {"QUERY_STRING": environ["QUERY_STRING"]} if is_script else environ
        caller, is_key = door.caller_of_settings(shown), False
        if door.locked or not is_script:
            if account and caller.account == account.id and caller.opens(right):
                return caller
            is_key = door.locked and bool(caller.rights)
        keys, secret = self.door.keys, door.secret(shown)
        if not is_key and keys and is_secret(secret) and (key := keys.key_of(secret)):
            is_its_own = account and key.account == account.id and key.site in (None, bucket or None)
            rights = RIGHTS_OF[key.scope]
            if account and is_its_own and (right.key in rights or (access.BROWSER in rights and is_from_pages(right))):
                if said := self._foreign(key, environ):
                    raise Problem(403, Reason.FOREIGN_ORIGIN, said)
                return access.Caller(account.id, rights, key=key.id)
            is_key = True
        if account is None and (is_key or environ.get("HTTP_AUTHORIZATION", "")[:5].lower() != "basic"):
            raise NoUser
        if is_key:
            raise _wrong(is_script)
        return None

    def _foreign(self, key: Key, environ: Mapping[str, Any]) -> str:
        """Why the page that shows a browser key may not use it, as a sentence; empty where it may, and of other keys."""
        if key.scope != access.BROWSER or not self.door.keys or not key.site:
            return ""
        return foreign_page(self.door.keys.site_of(key.account, key.site), environ)

    def _by_password(self, right: access.Right, account: Account | None) -> access.Caller | None:
        """Whom a password or a cookie lets in, if the account of the address is theirs; raises NotAllowed, TooSoon, Unavailable."""
        caller = self.door.user_at(right, bottle.request.environ)
        if caller is None or account is None or caller.account != account.id:
            return None
        check_user(caller, right)
        return caller

    def check_page(self, right: access.Right) -> None:
        if said := self.door.access.foreign_page(right, bottle.request.environ):
            raise Problem(403, Reason.FOREIGN_ORIGIN, said)


def is_from_pages(right: access.Right) -> bool:
    """Whether a route takes hits of pages, by browser keys of their site."""
    return right.key == access.WRITE and right.pages is access.Pages.ANY


def add_filters(app: bottle.Bottle) -> None:
    """What of an address may name an account, a bucket, and an event or a property. A slash behind it means nothing."""
    reserved = "|".join(re.escape(name) for name in sorted(RESERVED))

    def named(text: str) -> str:
        return text.removesuffix("/")

    app.router.add_filter("account", lambda _: (rf"(?i:(?!(?:{reserved})(?:/|$)))[^/]+/?", named, None))
    app.router.add_filter("bucket", lambda _: ("[^/]+/?", named, None))
    app.router.add_filter("word", lambda _: ("[^/]+/?", named, None))
    app.router.add_filter("name", lambda _: ("(?s:.+)", named, None))

    @app.hook("before_request")
    def no_slash_behind_a_word() -> None:
        environ = bottle.request.environ
        if environ["PATH_INFO"].endswith(ENDS):
            environ["PATH_INFO"] = environ["PATH_INFO"][:-1]


def _wrong(is_script: bool) -> Problem:
    """The same for all that opens nothing here."""
    how = "a key as key=KEY in the address, since a script runs in any page" if is_script else "both by Basic"
    return Problem(401, Reason.UNAUTHORIZED, f"the name or the password is wrong: send {how}")


def _texts(fields: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """The fields of a JSON body; raises CallerError."""
    for name, value in fields.items():
        if name not in names:
            raise CallerError(not_here(name, names), ascii(name[:60])[1:-1])
        if not isinstance(value, str):
            raise CallerError(f"expected text, got {kind_of(value)}", name)
    return dict(fields)


def _listed(value: Any, name: str) -> list[str]:
    """A list of texts of a JSON body; raises CallerError."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise CallerError(f"expected a list of texts, got {kind_of(value)}", name)
    return value


def _loosely(query: str, body: bytes) -> dict[str, Any]:
    """What an address and a body hold, as far as they can be read."""
    found: dict[str, Any] = {}
    for text in (body.decode("utf-8", "replace"), query):
        with suppress(ValueError):
            found |= parse_qsl(text, errors="replace", max_num_fields=MAX_PARAMETERS)
    with suppress(msgspec.DecodeError):
        found |= msgspec.json.decode(body, type=dict[str, Any])
    return found
