"""Bodies of requests, of Hail and of Whale: read whole or not at all, inflated, and never more than a limit of them in memory.

Promise: a body that ended before its head said so is never taken for whole, since `id=order-1001` without its metrics is a
hit too, and a reset without its path forgets the whole pk. Its end is known where there is a Content-Length, and where chunks
are read by a server that raises where one is missing (CHUNKS_CHECKED). Anything else is refused.
"""

import codecs
import json
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from hail.hit import HitError, Reason, is_text, with_nan

CHUNKS_CHECKED = ("gunicorn/", "gevent/", "waitress")
"""Beginnings of SERVER_SOFTWARE. granian hands over chunks that are cut off or malformed as if they were all."""
LENGTH_DIGITS = 15
FORM = "application/x-www-form-urlencoded"

_decode = msgspec.json.Decoder(strict=True).decode


def is_json(environ: Mapping[str, Any], body: bytes) -> bool:
    """By its type, or by its look: curl calls all it sends a form."""
    return not environ.get("CONTENT_TYPE", "").startswith(FORM) or looks_like_json(body)


def looks_like_json(body: bytes) -> bool:
    return body.lstrip().startswith((b"{", b"["))


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
            raise HitError(Reason.BAD_JSON, "body", "expected gzip: the data is truncated")
        parts.append(part)
        data = member.unused_data
    return b"".join(parts)


def _too_large(limit: int) -> HitError:
    return HitError(Reason.BODY_TOO_LARGE, "body", f"expected at most {limit} bytes")


def _cut_off(message: str, field: str = "body") -> HitError:
    return HitError(Reason.BODY_CUT_OFF, field, message)


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The whole body of a POST, inflated, without a byte order mark; never more than the limit in memory. Raises HitError."""
    body = _read(environ, _length(environ), limit)
    match environ.get("HTTP_CONTENT_ENCODING", "").strip().lower():
        case "" | "identity":
            pass
        case "gzip" | "x-gzip":
            body = inflate(body, limit)
        case other:
            raise HitError(Reason.BAD_JSON, "Content-Encoding", f"expected gzip, got {ascii(other)[:60]}")
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in body[:2]:
        raise HitError(Reason.BAD_JSON, "body", "expected UTF-8, got UTF-16 or UTF-32")
    return body.removeprefix(codecs.BOM_UTF8)


def _length(environ: Mapping[str, Any]) -> int | None:
    """How many bytes the head says there are; None where the server knows the end. Raises HitError where nobody knows it."""
    text = environ.get("CONTENT_LENGTH") or ""
    is_coded = bool(environ.get("HTTP_TRANSFER_ENCODING"))
    if text and is_coded:
        raise _cut_off("came together with Transfer-Encoding: send only one of them", "Content-Length")
    if text:
        if not (text.isascii() and text.isdecimal() and len(text) <= LENGTH_DIGITS):
            raise _cut_off(f"expected a number of bytes, got {ascii(text)[:60]}", "Content-Length")
        return int(text)
    protocol = environ.get("SERVER_PROTOCOL", "")
    if protocol == "HTTP/1.1" and not is_coded:
        return 0
    if protocol.startswith(("HTTP/1.0", "HTTP/0")) or protocol == "HTTP/1":  # granian's name of HTTP/1.0
        raise _cut_off("HTTP/1.0 requires it: send 0 for an empty body, or use HTTP/1.1", "Content-Length")
    if not environ.get("SERVER_SOFTWARE", "").startswith(CHUNKS_CHECKED):
        raise _cut_off(
            "this server cannot check that all chunks arrived: send Content-Length instead", "Content-Length"
        )
    return None


def _read(environ: Mapping[str, Any], length: int | None, limit: int) -> bytes:
    if length is not None and length > limit:
        raise _too_large(limit)
    left = limit + 1 if length is None else length
    source, parts = environ["wsgi.input"], []
    try:
        while left > 0 and (part := source.read(left)):
            parts.append(part)
            left -= len(part)
    except Exception:  # each server has errors of its own for chunks that are malformed and for a peer that is gone
        raise _cut_off("is truncated, or its chunks are malformed") from None
    body = b"".join(parts)
    if length is None:
        if len(body) > limit:
            raise _too_large(limit)
    elif left:
        raise _cut_off(f"expected {length} bytes (Content-Length), got {len(body)}")
    return body


def json_of(body: bytes | msgspec.Raw, field: str = "body", is_hit: bool = False) -> Any:
    """Any JSON value; raises HitError.

    is_hit: whose check is to name the field where a number is NaN or Infinity; and one too large for any float is out of range.
    """
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        where = _half_letter(bytes(body), field)
        if where is not None:
            raise HitError(Reason.BAD_JSON, where, "expected Unicode text, got half of a surrogate pair") from None
        if is_hit and (given := _with_nan(bytes(body))) is not None:
            return given
        reason = Reason.NUMBER_OUT_OF_RANGE if is_hit and "out of range" in str(error) else Reason.BAD_JSON
        raise HitError(reason, field, f"expected JSON: {error}") from None


def kind_of(value: Any) -> str:
    """The kind of a JSON value, in words."""
    return _KINDS.get(type(value), "null")


_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def readable_items(body: bytes, most: int) -> list[bytes] | None:
    """The items of a JSON list, or of {"hits": [...]}, that cannot be read since one of them has a text such as "\\ud800", or NaN.

    So that this one alone is refused. None where that is not the reason. Of more than `most` items only their number is right.
    """
    given = _with_nan(body) if _half_letter(body, "body") is None else json.loads(body)
    items = given.get("hits") if isinstance(given, dict) else given
    if not isinstance(items, list):
        return None
    try:
        return [json.dumps(item).encode() for item in items] if len(items) <= most else [b""] * len(items)
    except RecursionError:
        return None


def _with_nan(body: bytes) -> Any:
    """As `hail.hit.with_nan`."""
    try:
        return with_nan(body.decode())
    except UnicodeError:
        return None


def _half_letter(body: bytes, field: str) -> str | None:
    """Where JSON that could not be read has a text such as "\\ud800", as `dimensions.country`; None where it has none."""
    if b"\\ud" not in body.lower():
        return None
    try:
        return _half_letter_in(json.loads(body), "", field)
    except (ValueError, RecursionError):
        return None


def _half_letter_in(value: Any, where: str, field: str) -> str | None:
    if isinstance(value, str):
        return None if is_text(value) else (where or field)[:200]
    found = None
    if isinstance(value, list):
        for i, item in enumerate(value):
            found = found or _half_letter_in(item, f"{where or field}[{i}]", field)
    elif isinstance(value, dict):
        for name, below in value.items():
            inside = f"{where}.{ascii(name)[1:-1]}".lstrip(".")
            found = found or _half_letter_in(name, inside, field) or _half_letter_in(below, inside, field)
    return found
