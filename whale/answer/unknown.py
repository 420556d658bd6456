"""Names in a question that were never counted: they read 0, and may be misspelt.

Nothing more is read where all names are known; else one round trip, for a reader whose memory of the names may be old. At most
MOST_SHOWN names are told, and MOST_LOOKED known ones are compared with them, of each pk.
"""

import difflib
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote

from whale.answer.series import Question, formulas_of
from whale.dimension import Path, Pk, path_text, pk_text
from whale.errors import FormulaError
from whale.formula import parse_formula
from whale.store.base import Store

MOST_SHOWN, MOST_LOOKED = 20, 1000
MOST_LETTERS = 200
MOST_TOLD = 1000
"""Names that a process remembers to have told its log."""

log = logging.getLogger("whale")
_told: dict[tuple[str, Pk, str, str], None] = {}


class Unknown(NamedTuple):
    """kind: pk, path or metric.  name: as in answers.  near: a known name beside it, or empty."""

    kind: str
    name: str
    near: str


def unknown_of(store: Store, questions: Iterable[Question]) -> list[Unknown]:
    """What some questions name and was never counted. store: that answered, for it knows then what it read."""
    found: dict[tuple[str, str], Unknown] = {}
    for question in questions:
        whose = question.account, question.pk, question.paths
        rows = unknown_names(store, *whose, _guessed(question))
        # a metric may be named like a formula, which only the store can say
        if any(row.kind == "metric" and row.name not in question.metrics for row in rows):
            formulas = formulas_of(store, question, question.metrics)
            rows = unknown_names(store, *whose, [*dict.fromkeys(name for each in formulas for name in each.metrics)])
        for row in rows:
            found.setdefault(row[:2], row)
        if len(found) >= MOST_SHOWN:
            break
    return list(found.values())[:MOST_SHOWN]


def unknown_names(
    store: Store, account: str, pk: Pk, paths: Sequence[Path] = (), metrics: Sequence[str] = ()
) -> list[Unknown]:
    """The pk, or paths and metrics of it, that were never counted."""
    missing = store.uncounted(account, pk, [path for path in paths if None not in path], metrics)
    if missing is None:
        return []
    share = MOST_LOOKED // MOST_SHOWN
    if missing.pk:
        near = _near(pk, *missing.pk, MOST_LOOKED)
        return [Unknown("pk", pk_text(pk), pk_text(near) if near else "")]
    found = []
    for path, (depth, known) in islice(missing.paths.items(), MOST_SHOWN):
        other = _near(path, depth, known, share)
        found.append(Unknown("path", path_text(path), path_text(other) if other else ""))
    for name in missing.metrics[:MOST_SHOWN]:
        found.append(Unknown("metric", name, "".join(_near((name,), 0, missing.known_metrics, share))))
    return found


def header(rows: Iterable[Unknown]) -> str:
    """As `X-Whale-Unknown` says it: percent-encoded UTF-8."""
    return ", ".join(
        f"{kind}={quote(name[:MOST_LETTERS], safe='')}"
        + (f";near={quote(near[:MOST_LETTERS], safe='')}" if near else "")
        for kind, name, near in rows
    )


def _guessed(question: Question) -> list[str]:
    """The metrics that the formulas name, unless one is named like a formula."""
    names: dict[str, None] = {}
    for text in question.metrics:
        with suppress(FormulaError):  # then its name is no formula, as the answer has found
            names.update(dict.fromkeys(parse_formula(text).metrics))
    return list(names)


def tell(store: Store, question: Question) -> None:
    """Tells the log what a question of the library names and was never counted, each name once."""
    for row in unknown_of(store, [question]):
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
    near = difflib.get_close_matches(plain[depth][:MOST_LETTERS], known[:most], 1)
    return (*plain[:depth], near[0], *plain[depth + 1 :]) if near else ()
