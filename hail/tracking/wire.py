"""What the tracker sends: POST /track has a Sent, with many Tracked. docs/http/track.md has the same as tables. Pure.

Promise: what is read here has the types that stand here. Whatever else came is refused by the name of its field.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hail.hit import HitError, Reason, meant
from hail.times import came

MOST_TEXT = 2000  # letters of an address, or of a title
PAGEVIEW, ENGAGEMENT = "pageview", "engagement"

Text = Annotated[str, Meta(max_length=MOST_TEXT)]
Short = Annotated[str, Meta(max_length=200)]
Id = Annotated[str, Meta(min_length=1, max_length=200)] | int
Amount = Annotated[float, Meta(ge=0, le=9e9)]
Flag = bool | Annotated[int, Meta(ge=0, le=1)]


class Sent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A body. sent_at: by the page's clock, in ms."""

    hits: Annotated[list[msgspec.Raw], Meta(min_length=1)]
    account: Annotated[str, Meta(min_length=1, max_length=64)] | int | None = None
    site: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    sent_at: float | None = None


class Tracked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A hit of it, as docs/http/track.md has its fields."""

    event: Annotated[str, Meta(min_length=1, max_length=200)]
    id: Id | None = None
    at: float | None = None
    url: Text = ""
    referrer: Text | None = None
    entry_url: Text = ""
    entry_referrer: Text = ""
    title: Text = ""
    session: Id | None = None
    v_visitor: Id | None = None
    visitor: Id | None = None
    tab: Id | None = None
    anonymous: Flag = False
    bot: Flag | Short = False
    screen: Short = ""
    width: Amount = 0
    language: Short = ""
    load: Amount | None = None
    engaged: Amount | None = None
    duration: Amount | None = None
    depth: Annotated[float, Meta(ge=0, le=100)] | None = None
    properties: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    signupDate: float | Short | None = None  # as Aktivat's calls have it
    lost: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0


REASONS = {
    **dict.fromkeys(("site", "url"), Reason.BAD_PK),
    **dict.fromkeys(("at", "sent_at", "signupDate"), Reason.BAD_TIME),
    **dict.fromkeys(("load", "engaged", "duration", "depth", "metrics", "lost"), Reason.BAD_METRICS),
    **dict.fromkeys(("event", "id", "session", "v_visitor", "visitor", "tab", "account"), Reason.BAD_ID),
    **dict.fromkeys(("referrer", "entry_url", "entry_referrer", "title"), Reason.BAD_DIMENSIONS),
    **dict.fromkeys(("screen", "width", "language", "anonymous", "bot"), Reason.BAD_DIMENSIONS),
    "properties": Reason.BAD_PROPERTIES,
    # as Segment's libraries and Plausible's have them
    **dict.fromkeys(("userId", "anonymousId", "previousId", "groupId", "messageId", "name"), Reason.BAD_ID),
    **dict.fromkeys(("timestamp", "originalTimestamp", "sentAt"), Reason.BAD_TIME),
    **dict.fromkeys(("context", "hash"), Reason.BAD_DIMENSIONS),
    **dict.fromkeys(("traits", "props"), Reason.BAD_PROPERTIES),
    "domain": Reason.BAD_PK,
    "revenue": Reason.BAD_METRICS,
}
MOST_MENDED = 100_000
"""Bytes of a body that is read a second time: browsers send 64 KB at most."""
NO_IDS = frozenset(("undefined", "null", "NaN", "[object Object]"))
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.S)
"""One of JSON: the two halves of a letter, one half alone, or any other."""
_PLACE = re.compile(r"(.*) - at `\$\.?([^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.S)
_read_sent = msgspec.json.Decoder(Sent).decode
_read_tracked = msgspec.json.Decoder(Tracked).decode


def sent_of(body: bytes) -> Sent:
    """Raises HitError."""
    found: Sent = checked(_read_sent, body, fields=Sent.__struct_fields__)
    return found


def tracked_of(item: msgspec.Raw | bytes) -> Tracked:
    """Raises HitError."""
    found: Tracked = checked(_read_tracked, item)
    return found


def checked(
    read: Callable[..., Any], *given: Any, fields: tuple[str, ...] = Tracked.__struct_fields__, is_first: bool = True
) -> Any:
    """What one of msgspec's functions makes of something; raises HitError, by the name of the field at fault.

    Of JSON with half a letter it makes what it makes of a whole one, a second time: else a text that a page cut in the middle of an emoji
    would refuse all hits beside it.
    """
    try:
        return read(*given)
    except msgspec.ValidationError as error:
        raise _wrong(str(error), fields) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        if is_first and (mended := _whole_letters(given[0])) != given[0]:
            return checked(read, mended, *given[1:], fields=fields, is_first=False)
        raise HitError(Reason.BAD_JSON, "body", f"expected JSON: {error}") from None


def _wrong(said: str, fields: tuple[str, ...]) -> HitError:
    """By the words of msgspec."""
    if found := _UNKNOWN.match(said):
        name = found[1]
        return HitError(Reason.UNKNOWN_FIELD, ascii(name[:60])[1:-1], f"is not a field here: {meant(name, fields)}")
    if missing := re.match(r"Object missing required field `(\w+)`", said):
        return HitError(REASONS.get(missing[1], Reason.BAD_JSON), missing[1], "expected it, got nothing")
    found = _PLACE.match(said)
    expected, place = (found[1], found[2]) if found else (said, "")
    name = re.split(r"[.\[]", place)[0]
    expected = f"{expected[:1].lower()}{expected[1:]}".replace("`", "")
    return HitError(REASONS.get(name, Reason.BAD_JSON), place[:60] or "body", expected[:200])


def _whole_letters(given: Any) -> Any:
    """JSON whose escapes of one half of a letter are escapes of U+FFFD. Another thing is given back as it is."""
    if not isinstance(given, bytes | msgspec.Raw) or len(bytes(given)) > MOST_MENDED:
        return given
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], bytes(given))


def name_of_id(given: str | int | None) -> str | None:
    """An id as text; None where it is what a script makes of no id, which all visitors would share."""
    return None if given is None or given in NO_IDS else str(given)


def number_of(text: str, field: str) -> float:
    """A number of an address; raises HitError."""
    try:
        return float(text)
    except ValueError:
        raise HitError(REASONS[field], field, f"expected a number, got {came(text)}") from None


class TokenAsked(msgspec.Struct, forbid_unknown_fields=True):
    """Who wants to hear what is said to them. account, site: as of a hit.  v_visitor: the random id of the browser."""

    v_visitor: str
    account: str | None = None
    site: str | None = None
