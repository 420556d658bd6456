"""What requests to Whale ask, read out of addresses and bodies: queries by the types of whale/routes/asked.py, and hits."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar, get_args, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from hail.body import FORM, is_json, json_of, kind_of, looks_like_json, read_body
from hail.hit import FIELDS, HitError, Reason, fields_of, lenient
from hail.parameters import not_here
from hail.settings import Settings
from whale.dimension import Pk, pk_asked, pks_asked
from whale.errors import TYPES, CallerError, NotBegun, PathError, PeriodError, expected_of
from whale.period import Span
from whale.routes.asked import PlotAsked, Subject, TotalsAsked
from whale.routes.responses import Problem

MAX_PARAMETERS = 100
FORM_KEPT = "hailwhale.form"
MAX_PERIODS = 100
BOOL = TYPES["bool"]
PLURAL = {"dimension": "dimensions", "metric": "metrics"}
A = TypeVar("A", bound=msgspec.Struct)


def parameters(
    text: str, names: Iterable[str], passed_over: re.Pattern[str], several: Iterable[str] = ()
) -> dict[str, str]:
    """The named parameters of a query or a form; an empty value is none. `key` and what is passed over may be there too.

    several: names that `all_of` reads, and that are left out here.
    Raises CallerError: what is misspelt would change the answer without a word.
    """
    often = tuple(several)
    expected = (*names, *often)
    found: dict[str, str] = {}
    for name, value in _pairs(text):
        if name in often:
            continue
        if name in found:
            raise CallerError("came twice", name)
        if name in expected or name == "key":
            found[name] = value
        elif not passed_over.fullmatch(name):
            raise CallerError(not_here(name, expected), ascii(name[:60])[1:-1])
    for name, plural in PLURAL.items():
        if name in found and plural in found:
            raise CallerError(f"came twice, as {plural} and as {name}", plural)
    return found


def all_of(text: str, names: Iterable[str]) -> dict[str, list[str]]:
    """The parameters that may come more than once, in their order; raises CallerError."""
    expected, found = tuple(names), dict[str, list[str]]()
    for name, value in _pairs(text):
        if name in expected:
            found.setdefault(name, []).append(value)
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError as error:
        raise CallerError(f"expected UTF-8, got byte {error.object[error.start]:#04x}", "query") from None
    except ValueError:
        raise CallerError(f"expected at most {MAX_PARAMETERS} parameters", "query") from None


def asked_of(query: str, kind: type[A], passed_over: re.Pattern[str]) -> A:
    """A query as its msgspec type says it; raises CallerError with the parameter."""
    spellings: Mapping[str, str] = getattr(kind, "SPELLINGS", {})
    found = parameters(query, (*kind.__struct_fields__, *spellings), passed_over)
    given = {name: value for name, value in spelled(found, kind).items() if name != "key"}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`")
        if not field and (missing := re.search("required field `(.*)`", said)):
            raise PathError("expected a name or a list of names, got nothing", missing[1]) from None
        if said.startswith("Invalid enum value"):
            words = get_args(get_type_hints(kind)[field])
            said = " or ".join(filter(None, words))
        expected = expected_of(error).removesuffix(" or null").replace(BOOL, f"{BOOL}, or 1 or 0")
        came = given.get(field, "")
        hint = _number_hint(came) if expected in (TYPES["int"], TYPES["float"]) else ""
        raise CallerError(f"expected {expected or said}, got {ascii(came)[:60]}{hint}", field) from None


def _number_hint(text: str) -> str:
    """How JSON writes a number such as `.1` or `+1`; empty of anything else."""
    written = f"{Decimal(text):f}" if _PLAIN_NUMBER.fullmatch(text) else text
    return "" if written == text else f": write {written}"


_PLAIN_NUMBER = re.compile(r"[+-]?([0-9]{1,15}\.?|[0-9]{0,15}\.[0-9]{1,15})", re.ASCII)


def address_query(environ: Mapping[str, Any]) -> str:
    """The query in the address. WSGI has one letter a byte, and some servers let bytes through that are not written with %."""
    text = str(environ.get("QUERY_STRING", ""))
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        raise CallerError("expected UTF-8", "query") from None


def query_of(environ: dict[str, Any], limit: int) -> str:
    """The query of a question; what is too long for an address may be POSTed, as a form."""
    query = address_query(environ)
    if environ["REQUEST_METHOD"] != "POST":
        return query
    if FORM_KEPT not in environ:
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip()
        body = body_of(environ, limit)
        if looks_like_json(body):
            raise CallerError(f"expected {FORM} such as pk=shop&period=today, got JSON", "body")
        if body and kind != FORM:
            raise CallerError(f"expected {FORM}, got {ascii(kind)[:60]}", "body")
        try:
            environ[FORM_KEPT] = body.decode("ascii")
        except UnicodeDecodeError:
            raise CallerError("expected a percent-encoded form", "body") from None
    return "&".join(filter(None, (query, environ[FORM_KEPT])))


def subject(asked: Subject | PlotAsked) -> dict[str, Any]:
    """Dimensions and metrics, decoded; raises HitError."""
    return {
        "dimensions": typed("dimensions", asked.dimensions or asked.dimension),
        "metrics": typed("metrics", asked.metrics or asked.metric),
    }


def pks_of(asked: Subject) -> list[Pk]:
    """The pk, or the pks; raises CallerError, HitError."""
    if asked.pk and asked.pks:
        raise CallerError("came twice, as pks and as pk", "pks")
    if asked.pks:
        return pks_asked(lenient("pks", asked.pks))
    return [pk_asked(lenient("pk", asked.pk) or None)]


def typed(name: str, text: str) -> Any:
    return lenient(name, text) if text else None


def period_of(asked: Any) -> str | Span | None:
    """A period, or a range from start on; None where none is asked."""
    if not asked.start:
        for name in ("finish", "interval", "buckets"):
            if getattr(asked, name) not in ("", None):
                raise PeriodError("requires start", name)
        return asked.period or None
    if asked.period:
        raise PeriodError("came together with period: send only one of them", "start")
    return Span(asked.start, asked.finish or None, asked.interval or "day", asked.buckets)


def periods_of(asked: TotalsAsked) -> list[Any] | None:
    """The periods of /totals: one, or several as a JSON list or with commas; None where none is asked."""
    one = period_of(asked)
    if isinstance(one, Span):
        if asked.periods:
            raise PeriodError("came together with periods: send only one of them", "start")
        return [one]
    if asked.period and asked.periods:
        raise CallerError("came twice, as periods and as period", "periods")
    text = asked.periods or asked.period
    if not text:
        return None
    found = lenient("periods", text)
    if isinstance(found, str):
        found = [part.strip() for part in found.split(",")]
    if not isinstance(found, list) or not found or not all(isinstance(part, str | int) for part in found):
        raise CallerError(f"expected a list of periods, got {ascii(text)[:60]}", "periods")
    if len(found) > MAX_PERIODS:
        raise CallerError(f"expected at most {MAX_PERIODS}, got {len(found)}", "periods")
    return found


def about_asked(error: CallerError, asked: Any) -> CallerError:
    """An error about a period, about the parameter that says it: `start` or `interval` of a range, or `periods`."""
    if error.field != "period":
        return error
    if getattr(asked, "start", ""):
        return error.named("start" if isinstance(error, NotBegun) else "interval")
    return error.named("periods") if getattr(asked, "periods", "") else error


def hit_fields(environ: Mapping[str, Any], settings: Settings, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a hit, from the query or the body, as Hail's /count takes them. more: names beside them.

    Raises CallerError, HitError, Problem.
    """
    names = (*FIELDS, *more)
    given = parameters(address_query(environ), names, settings.ignored_parameters)
    body = body_of(environ, settings.max_body_bytes) if environ["REQUEST_METHOD"] == "POST" else b""
    if body and is_json(environ, body):
        return object_of(body, "a hit", is_hit=True)
    if body:
        try:
            given = parameters(body.decode(), names, settings.ignored_parameters)
        except UnicodeDecodeError:
            raise CallerError("expected UTF-8", "body") from None
    given.pop("key", None)
    return fields_of(given)


def body_of(environ: Mapping[str, Any], limit: int) -> bytes:
    """Raises Problem 413 where it is larger than the limit, HitError where it is not whole or cannot be read."""
    try:
        return read_body(environ, limit)
    except HitError as error:
        if error.reason is Reason.BODY_TOO_LARGE:
            raise Problem(413, error.reason, str(error), error.field) from None
        raise


def object_of(body: bytes, what: str, is_hit: bool = False) -> dict[str, Any]:
    """A JSON object, in a body; raises HitError. is_hit: as `json_of` has it."""
    found = json_of(body, is_hit=is_hit)
    if not isinstance(found, dict):
        raise HitError(Reason.BAD_JSON, "body", f"expected {what} as an object, got {kind_of(found)}")
    return found


def spelled(fields: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    """The same under the names that a type has; raises CallerError of one that came twice."""
    found = {**fields}
    for spelling, name in getattr(kind, "SPELLINGS", {}).items():
        if spelling in found:
            if name in found:
                raise CallerError(f"came twice, as {name} and as {spelling}", name)
            found[name] = found.pop(spelling)
    return found


def struct_of(fields: dict[str, Any], kind: type[A]) -> A:
    """The fields of a body as a type has them; raises CallerError with the field."""
    try:
        return msgspec.convert(spelled(fields, kind), kind)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at `")
        field = re.sub(r"^key in `|^\$\.?|\[\.\.\.\]|`", "", where.replace("key in `$", "$"))
        for start, means in (("Object missing required field `", "expected a value, got nothing"), *_unknown(kind)):
            if said.startswith(start):
                raise CallerError(means, ascii(said.removeprefix(start).rstrip("`")[:60])[1:-1]) from None
        if expected := expected_of(error):
            came = said.rpartition(", got ")[2].strip("`")
            raise CallerError(f"expected {expected}, got {TYPES.get(came, came)}", field) from None
        raise CallerError(said.replace("Expected", "expected").replace("`", ""), field) from None


def _unknown(kind: type[msgspec.Struct]) -> list[tuple[str, str]]:
    return [("Object contains unknown field `", f"is not a field here: expected {', '.join(kind.__struct_fields__)}")]
