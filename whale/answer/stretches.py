"""All of the visits that begin in a period: what is read of a log for them, a piece at a time, to the end of each of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whale.answer.log_reading import Reading
from whale.answer.properties import FOLDED
from whale.answer.site_log import TICKS_A_S, Log
from whale.answer.streams import Piece
from whale.store.contract.events import Column, Logged
from whale.sums import distinct
from whale.visitors.entries import EVENT, EVENT_PROPERTY, OTHER, PROPERTY


def read_on(
    log: Log, reading: Reading, partition: int, logged: Logged, end: int, gap_s: int, now: float
) -> list[Logged]:
    """A piece, which ends with a period, and what comes after it of those alone whose visits are open. For any thread."""
    stretches, step = [logged], 2 * gap_s
    who = _there_since(logged, end - gap_s)
    while len(who) and end <= now:
        said, some = reading.wanted[0].said, range(int(who[0]), int(who[-1]) + 1)
        later = log.store.read_log(log.log, partition, end * 1000, (end + step) * 1000, said, some)
        if later.is_incomplete:
            reading.is_incomplete = True
        columns = {each: _of(column, who) for each, column in later.columns.items()}
        stretches.append(later._replace(columns=columns))
        end, step = end + step, 2 * step
        who = _there_since(stretches[-1], end - gap_s)
    return stretches


def _there_since(logged: Logged, since: int) -> NDArray[np.uint32]:
    """The visitors with an event from then on."""
    tick = since * TICKS_A_S
    late = [column.visitors_from(tick) for (kind, _), column in logged.columns.items() if kind == EVENT]
    return distinct(np.concatenate([np.zeros(0, np.uint32), *late]))


def _of(column: Column, who: NDArray[np.uint32]) -> Column:
    return column.some(np.isin(column.visitors, who))


def pieces(logged: Logged, events: Sequence[str]) -> list[Piece]:
    """Its events by their places. An event that was logged after these were listed is left out."""
    places = {name: place for place, name in enumerate(events)}
    return [
        (places[name], column) for (kind, name), column in logged.columns.items() if kind == EVENT and name in places
    ]


def texts_of(stretches: Sequence[Logged], name: str = "") -> list[str]:
    """The values of a property in them as JSON, in order; OTHER for those past a cap. name: "" for the only one that was read."""
    several = (texts for each in stretches for said, texts in each.values_of.items() if not name or said[1] == name)
    return sorted({OTHER if text in FOLDED else text for texts in several for text in texts})


def placed(stretches: Sequence[Logged], texts: Sequence[str], name: str = "") -> list[Column]:
    """The records of a property, whoever's it is, with the places of their values among some texts."""
    places = {text: place for place, text in enumerate(texts)}
    found = []
    for stretch in stretches:
        for said, column in stretch.columns.items():
            if said[0] in (PROPERTY, EVENT_PROPERTY) and (not name or said[1] == name):
                among = [places[OTHER if text in FOLDED else text] for text in stretch.values_of[said]]
                found.append(Column(column.visitors, column.ticks, np.array(among, np.uint32)[column.values]))
    return found
