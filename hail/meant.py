"""A misspelt name, and the known one that it is near to, in words. Pure."""

import difflib
from collections.abc import Iterable

LIKENESS = 0.6


def near(name: str, known: Iterable[str], likeness: float = LIKENESS) -> str:
    """The known name that is nearest; empty where none is. likeness: 0 to 1."""
    return next(iter(nearest(name, known, 1, likeness)), "")


def nearest(name: str, known: Iterable[str], most: int, likeness: float = LIKENESS) -> list[str]:
    """The known names that are near, at most so many, the nearest first."""
    return difflib.get_close_matches(name, list(known), most, likeness)


def did_you_mean(name: str, known: Iterable[str], likeness: float = LIKENESS, most: int = 1, before: str = "") -> str:
    """`did you mean a or b?`, at most so many; where none is near `expected one of a, b, c`. before: stands before each near one."""
    names = list(known)
    meant = " or ".join(f"{before}{each}" for each in difflib.get_close_matches(name, names, most, likeness))
    return f"did you mean {meant}?" if meant else f"expected one of {', '.join(names)}"
