"""How a header of an answer lists what it names: so many rows, in so many bytes, and how many more there are. Pure.

Names come from whoever counted or asked, so a header of them would have any length, and proxies and clients refuse a long one.
"""

from collections.abc import Iterable
from itertools import accumulate, takewhile
from urllib.parse import quote

MOST_NAMED = 20
MOST_BYTES = 4000
BETWEEN = ", "
REST_BYTES = 30  # of `*;more=N`, with what stands before it


def listed(rows: Iterable[str], unlisted: int = 0, is_open: bool = False) -> str:
    """The first rows, then `*;more=N` for the others. unlisted: rows beside these.  is_open: nobody knows how many: `*` alone."""
    every = list(rows)
    sizes = accumulate(len(row) + len(BETWEEN) for row in every[:MOST_NAMED])
    said = every[: sum(1 for _ in takewhile(lambda size: size <= MOST_BYTES - REST_BYTES, sizes))]
    more = len(every) - len(said) + unlisted
    rest = "*" if is_open else f"*;more={more}" if more else ""
    return BETWEEN.join([*said, *([rest] if rest else [])])


def percent_encoded(name: str) -> str:
    """A name as a header can hold it: percent-encoded UTF-8."""
    return quote(name, safe="")
