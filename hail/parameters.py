"""Names of parameters in addresses and forms: a name is read, passed over, ignored, or refused as misspelt.

read          it is a field of a hit, or another parameter of the route
passed over   it has no value, or is in the setting IGNORED_PARAMETERS, as what mails and advertisements append: no word about it
refused       else: what is misspelt would count another hit than was meant
ignored       else, of an image or a script, where it is far from every field: pages and mails that exist append names of
              their own. The answer, /spy and a counter say so
"""

import re
from binascii import a2b_qp
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from hail.hit import FIELDS, OTHER_SPELLINGS, HitError, Reason, meant

FAULT = {
    "pk": Reason.BAD_PK,
    "at": Reason.BAD_TIME,
    "metric": Reason.BAD_METRICS,
    "metrics": Reason.BAD_METRICS,
    "dimension": Reason.BAD_DIMENSIONS,
    "dimensions": Reason.BAD_DIMENSIONS,
    "pixel": Reason.BAD_PIXEL,
}
LONG_FIELDS = tuple(field for field in FIELDS if len(field) > 4)
MOST_LETTERS = max(map(len, FIELDS)) + 2
NEAR_LETTERS = 2
CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,60}(\.[A-Za-z_$][A-Za-z0-9_$]{0,60}){0,4}", re.ASCII)
"""The name that a script calls; nothing else of what came stands in a script."""
MAX_SHOWN, SHOWN_BYTES = 20, 60
"""Names that an answer shows, and bytes of one."""


class Read(NamedTuple):
    """given: value by name.  unknown: other names that came with a value and are not passed over, once each, in their order."""

    given: dict[str, str]
    unknown: Sequence[str]


def read(text: str, names: Iterable[str], passed_over: re.Pattern[str]) -> Read:
    """The parameters of a query or form, as WSGI gives it; an empty value is none.  Raises HitError."""
    found: dict[str, str] = {}
    unknown: dict[str, None] = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if not value:
            continue
        name = name.replace("+", " ")
        if "%" in name:
            name = unquote_to_bytes(name).decode("utf-8", "replace")
        if name not in names:
            if not passed_over.fullmatch(name):
                unknown[name] = None
            continue
        if name in found:
            raise HitError(FAULT.get(name, Reason.BAD_ID), name, "came twice")
        if "%" in value or "+" in value or not value.isascii():
            try:
                value = unquoted(value.replace("+", " ").encode("latin-1")).decode()
            except UnicodeError:
                raise HitError(FAULT.get(name, Reason.BAD_ID), name, "expected UTF-8") from None
        found[name] = value
    return Read(found, tuple(unknown))


def unquoted(data: bytes) -> bytes:
    """As `unquote_to_bytes`, which is written in Python, by what reads quoted-printable, which is written in C.

    They differ at ends of lines, and where a % is no escape: each escape, and nothing else, makes the text two bytes shorter.
    """
    if b"\n" not in data and b"\r" not in data:
        found = a2b_qp(data.replace(b"=", b"=3D").replace(b"%", b"="))
        if len(found) == len(data) - 2 * data.count(b"%"):
            return found
    return unquote_to_bytes(data)


def refuse_unknown(unknown: Sequence[str], expected: Sequence[str]) -> None:
    """Raises HitError about the first of some unknown names."""
    for name in unknown:
        raise HitError(Reason.UNKNOWN_FIELD, ascii(name[:60])[1:-1], not_here(name, expected))


def not_here(name: str, expected: Sequence[str]) -> str:
    """A sentence about a name that a route does not take: the names that it is near to, else all that there are."""
    return f"is not a parameter here: {meant(name, expected)}"


def refuse_misspelt(unknown: Sequence[str]) -> None:
    """Raises HitError where a name is a field of a hit, but for two letters or as some people write it."""
    for name in unknown:
        if is_misspelt(name):
            raise HitError(Reason.UNKNOWN_FIELD, ascii(name)[1:-1], not_here(name, FIELDS))


def is_misspelt(name: str) -> bool:
    """Fields of two letters are left out, but for upper case: any name of two letters would be near to them."""
    if len(name) > MOST_LETTERS:
        return False
    lower = name.lower()
    return lower in OTHER_SPELLINGS or lower in FIELDS or any(is_near(lower, field) for field in LONG_FIELDS)


def is_near(one: str, other: str) -> bool:
    """Whether at most NEAR_LETTERS are added, left out, changed, or swapped with their neighbour."""
    if abs(len(one) - len(other)) > NEAR_LETTERS:
        return False
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above, row, last = row, [i], before
        before = above
        for j, wanted in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1] <= NEAR_LETTERS


def names_shown(unknown: Sequence[str], mask: Callable[[str], str]) -> tuple[str, ...]:
    """Ignored names as they are kept with a hit: so many, each so long. mask: hides secrets."""
    return tuple(
        mask(_text(name)).encode("utf-8", "replace")[:SHOWN_BYTES].decode("utf-8", "ignore")
        for name in unknown[:MAX_SHOWN]
    )


def accepted(names: Sequence[str]) -> str:
    """`accepted`, and the names that were ignored, as a header can hold them."""
    return f"accepted; ignored={','.join(quote(name, safe='') for name in names)}" if names else "accepted"


def _text(name: str) -> str:
    """A name that came without %, one letter a byte as WSGI has it, as it was meant."""
    try:
        return name.encode("latin-1").decode()
    except UnicodeError:
        return name
