"""Bodies of requests, of Hail and of Whale: read and inflated, and never more than a limit of them in memory."""

import zlib
from collections.abc import Mapping
from typing import Any

from hail.hit import HitError, Reason


def inflate(data: bytes, limit: int) -> bytes:
    """gzip, never more than the limit; raises HitError."""
    parts, size = [], 0
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(data, limit + 1 - size)
        except zlib.error as error:
            raise HitError(Reason.BAD_JSON, "body", f"expected gzip: {error}") from None
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        if not member.eof:
            raise HitError(Reason.BAD_JSON, "body", "expected gzip: it is cut off")
        parts.append(part)
        data = member.unused_data
    return b"".join(parts)


def _too_large(limit: int) -> HitError:
    return HitError(Reason.BODY_TOO_LARGE, "body", f"expected at most {limit} bytes")


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The body, inflated, never more than the limit in memory; raises HitError."""
    text = environ.get("CONTENT_LENGTH") or ""
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if text.isdecimal() and not chunked:
        if int(text) > limit:
            raise _too_large(limit)
        size = int(text)
    elif chunked or environ.get("wsgi.input_terminated"):
        size = limit + 1
    else:
        return b""
    source, parts = environ["wsgi.input"], []
    while size > 0 and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    body = b"".join(parts)
    if len(body) > limit:
        raise _too_large(limit)
    match environ.get("HTTP_CONTENT_ENCODING", "").strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return inflate(body, limit)
        case other:
            raise HitError(Reason.BAD_JSON, "Content-Encoding", f"expected gzip, got {ascii(other)[:60]}")
