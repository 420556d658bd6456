"""Hits of Aktivat's tracker, in the address of an image: GET /track/it. docs/http/track.md has its fields as a table. Pure.

    every hit     config_account config_screen_width config_screen_height config_cookies_session config_cookies_v_visitor
                  config_cookies_visitor config_tab hostname path hash args_NAME[_i] event_id
    its event     trackr_event_type, and trackr_page_loadtime trackr_visit_time trackr_element_…; else a user's data by their names

Promise: values of fields and codes of keys, which Aktivat's tracker sends, are passed over and kept nowhere.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from hail.hit import MOST_PROPERTIES, HitError, Reason
from hail.tracking.wire import ENGAGEMENT, PAGEVIEW, Tracked, checked, number_of, tracked_of

MOST_PARAMETERS = 200
EVENTS = {
    "trackr_pageloaded_event": PAGEVIEW,
    "trackr_visitDuration_event": ENGAGEMENT,
    "trackr_element_event": "element",
    "trackr_signupUser_event": "signup",
    "trackr_loginUser_event": "login",
    "trackr_updateUser_event": "update",
    "trackr_logoutUser_event": "logout",
}
OF_USERS = frozenset(("signup", "login", "update", "logout"))
TYPE = ("trackr_event_type", "event_type")
NUMBERS = {"trackr_page_loadtime": "load", "trackr_visit_time": "duration"}
IDS = {
    "event_id": "id",
    "config_cookies_v_visitor": "v_visitor",
    "config_cookies_visitor": "visitor",
    "config_cookies_session": "session",
    "config_tab": "tab",
}
PARTS = ("label", "type", "position")
ELEMENT = "trackr_element"
OWN = re.compile(r"config_.*|args_.*|trackr_.*|hostname|path|hash|event_id|event_type|key|account|site|protocol|_")
_NUMBER = re.compile(r"_[0-9]+$", re.ASCII)


class Asked(NamedTuple):
    """What an address says: whose hit, of which site, and the hit. sent_at: ms, or None."""

    account: str | None
    site: str | None
    sent_at: float | None
    tracked: Tracked


def asked_of(query: str) -> Asked:
    """query: as WSGI has it. Raises HitError."""
    given = parameters_of(query)
    account, site = given.get("config_account", given.get("account")), given.get("site")
    if "hit" in given:
        sent_at = number_of(given["sent_at"], "sent_at") if "sent_at" in given else None
        return Asked(account, site, sent_at, tracked_of(given["hit"].encode()))
    return Asked(account, site, None, _tracked(given))


def parameters_of(query: str) -> Mapping[str, str]:
    """The last value of each; raises HitError."""
    try:
        text = query.encode("latin-1").decode()
        return dict(parse_qsl(text, max_num_fields=MOST_PARAMETERS, errors="strict"))
    except UnicodeError:
        raise HitError(Reason.BAD_JSON, "query", "expected UTF-8") from None
    except ValueError:
        raise HitError(Reason.UNKNOWN_FIELD, "query", f"expected at most {MOST_PARAMETERS} parameters") from None


def _tracked(given: Mapping[str, str]) -> Tracked:
    kind = next((given[name] for name in TYPE if name in given), "")
    if not kind:
        raise HitError(Reason.BAD_ID, TYPE[0], "expected the type of an event, got nothing")
    event = EVENTS.get(kind, kind)
    fields: dict[str, Any] = {"event": event, "url": _url_of(given)}
    fields |= {field: given[name] for name, field in IDS.items() if name in given}
    fields |= {field: number_of(given[name], field) for name, field in NUMBERS.items() if name in given}
    if width := given.get("config_screen_width"):
        fields["screen"] = f"{width}x{given.get('config_screen_height', '')}"
    properties: dict[str, str] = {}
    if event == "element":
        properties = _element(given)
    elif event in OF_USERS:
        own = (name for name in given if name != "signupDate" and not OWN.fullmatch(name))
        properties = {name: given[name] for name in list(own)[: MOST_PROPERTIES + 1]}
        if "signupDate" in given:
            fields["signupDate"] = given["signupDate"]
    return checked(msgspec.convert, {**fields, "properties": properties or None}, Tracked)


def _element(given: Mapping[str, str]) -> dict[str, str]:
    """Which element, and what was done; never its value, nor a key."""
    found = {"on": given.get(f"{ELEMENT}_event", "")}
    for part in PARTS:
        found[part] = given.get(f"{ELEMENT}_event_{part}", given.get(f"{ELEMENT}_{part}", ""))
    return {name: value for name, value in found.items() if value}


def _url_of(given: Mapping[str, str]) -> str:
    """The address of the page, of its parts."""
    host = given.get("hostname", "")
    if not host:
        return ""
    pairs = [
        (_NUMBER.sub("", name.removeprefix("args_")), value) for name, value in given.items() if name[:5] == "args_"
    ]
    query, hash_ = urlencode(pairs), given.get("hash", "").removeprefix("#")
    path = quote(given.get("path", "/"), safe="/%:@!$&'()*+,;=~-._")
    return f"https://{host}{path}" + (f"?{query}" if query else "") + (f"#{hash_}" if hash_ else "")
