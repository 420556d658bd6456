"""Errors that no route answers, as RFC 9457 bodies of Hail and of Whale: no such address or method, a request that cannot be read.

They have no code of ours: the status says it all to a program, and `detail` says to people what to do.
"""

import logging
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import bottle
import msgspec

from hail.access import RIGHTS
from hail.meant import near

HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
WILDCARDS = ("0.0.0.0", "[::]")
AUTOMATIC = ("HEAD", "OPTIONS")  # methods of browsers and proxies: no section of the docs is theirs
PLACE = re.compile("<[^>]*>")
SHOWN = 200  # letters


class Unrouted:
    """Answers of one service where no route does. other, bind: the other service, and where it listens.  fault: said with a 500."""

    def __init__(self, log: logging.Logger, other: str, bind: str, fault: str):
        self._log, self._other, self._bind, self._fault = log, other, bind, fault

    def add_to(self, app: bottle.Bottle) -> None:
        app.add_hook("before_request", _check_path)
        app.default_error_handler = self._answer

    def failed(self, error: BaseException, path: str) -> dict[str, Any]:
        """The body about what a route did not expect; the log says more."""
        self._log.error("%s: %r", path, error, exc_info=error)
        return plain_problem(500, self._fault)

    def _answer(self, error: bottle.HTTPError) -> str:
        request, path, detail = bottle.request, bottle.request.path, str(error.body)
        bottle.response.content_type = "application/problem+json"
        if error.status_code == 500:
            return msgspec.json.encode(self.failed(error.exception, path)).decode()
        if error.status_code == 404:
            host, rules = request.environ.get("HTTP_HOST", ""), [route.rule for route in request.app.routes]
            detail += elsewhere(path, rules, host, self._other, self._bind)
        elif error.status_code == 405:
            detail = other_method(request.method, path, error.headers["Allow"])
        return msgspec.json.encode(plain_problem(error.status_code, detail)).decode()


def _check_path() -> None:
    if not is_utf8(bottle.request.environ["bottle.raw_path"]):
        raise bottle.HTTPError(400, "the address: expected UTF-8")


def plain_problem(status: int, detail: str) -> dict[str, Any]:
    """An RFC 9457 body without a code."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def seen_from(host: str, bind: str) -> str:
    """Where whoever reached us as `host` finds what listens on `bind`."""
    address, _, port = bind.rpartition(":")
    return f"{re.sub(':[0-9]+$', '', host)}:{port}" if address in WILDCARDS and HOST.fullmatch(host) else bind


def elsewhere(path: str, own: Iterable[str], host: str, service: str, bind: str) -> str:
    """A sentence that the other service answers this path, and where, or which route is near to it; else empty.

    own: rules of the routes of this one.  host: as the request had it.
    """
    first, here = _first(path), _words(own)
    known = here | _words(right.rule for right in RIGHTS)
    meant = first if first in known else near(first[:SHOWN], sorted(known)) or None
    if first in here or meant is None:
        return ""
    asked = "" if meant == first else f": did you mean /{meant}?"
    return asked if meant in here else f"{asked or '.'} {service} answers it, at {seen_from(host, bind)}"


def other_method(method: str, path: str, allowed: str) -> str:
    """A sentence about a method that a route does not take. allowed: those it takes, as the header Allow lists them."""
    takes = [word for word in allowed.split(",") if word not in AUTOMATIC]
    rules = dict.fromkeys(right.rule for right in RIGHTS if takes[0] in right.methods)
    fitting = (rule for rule in rules if re.fullmatch(PLACE.sub("(?s:.+)", rule), path))
    rule = max(fitting, key=lambda rule: len(PLACE.sub("", rule)), default=path)
    return (
        f"expected {' or '.join(takes)} for {path[:SHOWN]}, got {method[:SHOWN]}: see {takes[0]} {rule} in docs/http.md"
    )


def _first(path: str) -> str:
    return path[1:].partition("/")[0]


def _words(rules: Iterable[str]) -> set[str]:
    """The first words of rules that begin with a word of their own."""
    return {word for word in map(_first, rules) if not word.startswith("<")}


def is_utf8(raw_path: str) -> bool:
    """Whether a path, as WSGI hands it over, is UTF-8. Bottle drops what is not, and would take /res%FFet for /reset."""
    try:
        raw_path.encode("latin-1").decode()
    except UnicodeError:
        return False
    return True
