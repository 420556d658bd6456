"""Names in a question that were never counted: they read 0, and may be misspelt.

Nothing more is read where all names are known; else one round trip, for a reader whose memory of the names may be old. At most
MOST_NAMED names are told, MOST_LOOKED known ones are compared with them, of each pk, and further pks are not looked at.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from hail.meant import near
from whale.answer.listed import MOST_NAMED, listed, percent_encoded
from whale.answer.series import Question, formulas_of
from whale.dimension import Path, Pk, path_text, pk_text
from whale.errors import FormulaError
from whale.formula import parse_formula
from whale.store.contract.counters import Counters

MOST_LOOKED = 1000
MOST_LETTERS, MOST_NAME_BYTES = 200, 400
"""Of one name."""
MOST_TOLD = 1000
"""Names that a process remembers to have told its log."""

log = logging.getLogger("whale")
_told: dict[tuple[str, Pk, str, str], None] = {}


class Unknown(NamedTuple):
    """kind: pk, path or metric.  name: as in answers.  near: a known name beside it, or empty."""

    kind: str
    name: str
    near: str


class Unknowns(NamedTuple):
    """is_open: there are questions that were not looked at."""

    rows: Sequence[Unknown]
    is_open: bool = False


def unknown_of(store: Counters, questions: Sequence[Question]) -> Unknowns:
    """What some questions name and was never counted. store: that answered, for it knows then what it read."""
    found: dict[tuple[str, str], Unknown] = {}
    for question in questions:
        if len(found) >= MOST_NAMED:
            return Unknowns(list(found.values()), is_open=True)
        whose = question.account, question.pk, question.paths
        rows = unknown_names(store, *whose, _guessed(question))
        # a metric may be named like a formula, which only the store can say
        if any(row.kind == "metric" and row.name not in question.metrics for row in rows):
            formulas = formulas_of(store, question, question.metrics)
            rows = unknown_names(store, *whose, [*dict.fromkeys(name for each in formulas for name in each.metrics)])
        for row in rows:
            found.setdefault(row[:2], row)
    return Unknowns(list(found.values()))


def unknown_names(
    store: Counters, account: str, pk: Pk, paths: Sequence[Path] = (), metrics: Sequence[str] = ()
) -> list[Unknown]:
    """The pk, or paths and metrics of it, that were never counted. The first MOST_NAMED of each have a name that is near."""
    missing = store.uncounted(account, pk, [path for path in paths if None not in path], metrics)
    if missing is None:
        return []
    share = MOST_LOOKED // MOST_NAMED
    if missing.pk:
        near = _near(pk, *missing.pk, MOST_LOOKED)
        return [Unknown("pk", pk_text(pk), pk_text(near) if near else "")]
    found = []
    for number, (path, (depth, known)) in enumerate(missing.paths.items()):
        other = _near(path, depth, known, share) if number < MOST_NAMED else ()
        found.append(Unknown("path", path_text(path), path_text(other) if other else ""))
    for number, name in enumerate(missing.metrics):
        other = _near((name,), 0, missing.known_metrics, share) if number < MOST_NAMED else ()
        found.append(Unknown("metric", name, "".join(other)))
    return found


def unknown_header(unknown: Unknowns) -> dict[str, str]:
    """`X-Whale-Unknown`; none where all is known."""
    rows = (
        f"{row.kind}={percent_encoded(_short(row.name))}"
        + (f";near={percent_encoded(_short(row.near))}" if row.near else "")
        for row in unknown.rows
    )
    said = listed(rows, is_open=unknown.is_open)
    return {"X-Whale-Unknown": said} if said else {}


def _short(name: str) -> str:
    """So much of a name that one row always fits."""
    return name[:MOST_LETTERS].encode()[:MOST_NAME_BYTES].decode(errors="ignore")


def _guessed(question: Question) -> list[str]:
    """The metrics that the formulas name, unless one is named like a formula."""
    names: dict[str, None] = {}
    for text in question.metrics:
        with suppress(FormulaError):  # then its name is no formula, as the answer has found
            names.update(dict.fromkeys(parse_formula(text).metrics))
    return list(names)


def tell(store: Counters, question: Question) -> None:
    """Tells the log what a question of the library names and was never counted, each name once."""
    for row in unknown_of(store, [question]).rows[:MOST_NAMED]:
        key = question.account, question.pk, row.kind, row.name
        if key in _told:
            continue
        while len(_told) >= MOST_TOLD:
            _told.pop(next(iter(_told), key), None)
        _told[key] = None
        hint = f"; did you mean {row.near!a}?" if row.near else ""
        of = "" if row.kind == "pk" else f" of pk {pk_text(question.pk)!a}"
        log.warning("%s %a%s was never counted%s", row.kind, row.name[:MOST_LETTERS], of, hint)


def _near(names: Path, depth: int, known: Sequence[str], most: int) -> tuple[str, ...]:
    """The same names, with that at a depth as it is known; none where nothing is near."""
    plain = [name or "" for name in names]
    nearest = near(plain[depth][:MOST_LETTERS], known[:most])
    return (*plain[:depth], nearest, *plain[depth + 1 :]) if nearest else ()
