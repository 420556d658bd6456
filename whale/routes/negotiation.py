"""An answer as the asker takes it: 304 where it has it already, gzipped where it takes that.

Text from LEAST bytes on is gzipped; pictures are compressed as they are, and a stream has no end to wait for. A gzipped answer has a
weak ETag, since its bytes are others; both match the other in If-None-Match (RFC 9110, 8.8.3.2).
"""

import gzip
from collections.abc import Mapping
from typing import Any

import bottle

from whale.routes.assets import Asset

LEAST = 1000
"""Bytes, below which an answer fits into one packet anyway."""
LEVEL = 4  # 84 KB to 15 KB in 0.5 ms; level 6: 13 KB in 1.3 ms
KINDS = ("application/json", "application/problem+json", "text/", "image/svg+xml")
GZIP = ("gzip", "x-gzip")


def file_answer(asset: Asset, headers: Mapping[str, str]) -> Any:
    """A file that was gzipped once; with an ETag, where it has a name."""
    takes, _ = taken_codings(bottle.request.environ.get("HTTP_ACCEPT_ENCODING", ""))
    encoding = "gzip" if takes else ""
    more = {"Content-Type": asset.content_type, "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    if asset.name:
        more["ETag"] = asset.tag(encoding)
    if encoding:
        more["Content-Encoding"] = encoding
    return bottle.HTTPResponse(asset.gzipped if encoding else asset.body, 200, {**more, **headers})


def negotiated(found: Any, environ: Mapping[str, Any]) -> Any:
    """found: a bottle.HTTPResponse, which is changed."""
    has_it = _has(found.headers.get("ETag"), environ)
    if _may_be_gzipped(found):
        takes, refuses_plain = taken_codings(environ.get("HTTP_ACCEPT_ENCODING", ""))
        is_large = len(found.body) >= LEAST
        if is_large or (takes and refuses_plain):
            vary(found, "Accept-Encoding")
            if takes:
                _gzip(found, has_it)
    if has_it:
        found.status, found.body = 304, b""
    return found


def vary(found: Any, header: str) -> None:
    """Tells caches that the answer depends on a header of the request, beside others."""
    names = [name for name in found.headers.get("Vary", "").split(", ") if name]
    found.set_header("Vary", ", ".join(dict.fromkeys([*names, header])))


def _gzip(found: Any, has_it: bool) -> None:
    if tag := found.headers.get("ETag"):
        found.set_header("ETag", f"W/{tag.removeprefix('W/')}")
    if not has_it:
        body = found.body.encode() if isinstance(found.body, str) else found.body
        found.body = gzip.compress(body, LEVEL, mtime=0)  # the same bytes of the same answer
        found.set_header("Content-Encoding", "gzip")


def _has(tag: str | None, environ: Mapping[str, Any]) -> bool:
    """Whether the asker has the answer with this tag, in either form."""
    given = environ.get("HTTP_IF_NONE_MATCH", "")
    return tag is not None and (str(tag).removeprefix("W/") in given or given.strip() == "*")


def _may_be_gzipped(found: Any) -> bool:
    kind = found.headers.get("Content-Type", "")
    return (
        isinstance(found.body, str | bytes)
        and bool(found.body)
        and kind.startswith(KINDS)
        and not kind.startswith("text/event-stream")
        and "Content-Encoding" not in found.headers
    )


def taken_codings(header: str) -> tuple[bool, bool]:
    """Of an Accept-Encoding: whether gzip is taken, and at least as gladly as no coding; and whether no coding is refused.

    Who takes neither gets the answer as it is.
    """
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        name, *options = (text.strip() for text in part.split(";"))
        weight = next((option[2:] for option in options if option.startswith("q=")), "1")
        weights[name] = _weight(weight)
    plain = weights.get("identity", weights.get("*"))
    packed = max((weights[name] for name in GZIP if name in weights), default=weights.get("*", 0.0))
    return packed > 0 and packed >= weights.get("identity", 0.0), plain == 0


def _weight(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if 0 <= found <= 1 else 0.0
