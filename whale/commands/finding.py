"""The words of `hailwhale doctor`, whichever part of it finds something."""

from collections.abc import Iterator
from dataclasses import dataclass

FINE, ADVICE, WRONG = "ok", "note", "wrong"


@dataclass(frozen=True)
class Finding:
    """One sentence about one thing. state: FINE, ADVICE (it works, and could be better) or WRONG."""

    state: str
    about: str
    text: str


Findings = Iterator[Finding]
