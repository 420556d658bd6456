"""One visitor of a site, by any of their ids: what they did last and which properties they have, or all that is kept of them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from whale.answer.properties import assigned, last_values, value_of
from whale.answer.site_log import FOR_EVER_MS, Log, shown
from whale.answer.visited import happened_times, history
from whale.errors import NotFound
from whale.store.contract.events import Logged
from whale.visitors.entries import EVENT_PROPERTY, TICKS_A_MS


class Export(NamedTuple):
    """head: who they are.  events, properties: in order of time."""

    head: dict[str, Any]
    events: Iterator[dict[str, Any]]
    properties: Iterator[dict[str, Any]]


class _Known(NamedTuple):
    """What is kept of a visitor under one id. id: as it is kept, or ""."""

    id: str
    logged: Logged


def shown_visitor(log: Log, visitor: str, limit: int, now: float, zone: str) -> dict[str, Any]:
    """The last events of a visitor, the newest first, and their properties; raises NotFound of one who is not known."""
    known = _known(log, log.store.ids_of_visitor(log.log, log.person(visitor).hash)[0])
    if known is None:
        raise _unknown(visitor)
    done = history(known.logged, limit)
    last = list(_events([(known.logged, done)], zone))
    return {
        "visitor": known.id or visitor,
        "since": shown(log.since_ms(now), zone),
        "is_incomplete": known.logged.is_incomplete,
        "events": last[::-1],
        "more": happened_times(known.logged) - len(last),
        "properties": [
            {"property": each.name, "value": value_of(each.value), "since": shown(each.since_ms, zone)}
            for each in last_values(known.logged)
        ],
    }


def export(log: Log, visitor: str, now: float, zone: str) -> Export:
    """All that is kept of a visitor, also under further ids of theirs, from before these were joined; raises NotFound."""
    several = [_known(log, hash_) for hash_ in log.store.ids_of_visitor(log.log, log.person(visitor).hash)]
    known = [each for each in several if each]
    if not known:
        raise _unknown(visitor)
    ids = dict.fromkeys([*(each.id for each in known if each.id), visitor])
    head = {
        "site": log.log.site,
        "visitor": several[0].id if several[0] and several[0].id else visitor,
        "ids": list(ids),
        "since": shown(log.since_ms(now), zone),
        "is_incomplete": any(each.logged.is_incomplete for each in known),
    }
    logged = [each.logged for each in known]
    return Export(head, _events([(each, history(each)) for each in logged], zone), _properties(logged, zone))


def _known(log: Log, hash_: bytes) -> _Known | None:
    number = log.store.number_in_log(log.log, hash_)
    if number is None:
        return None
    partition = log.log.partition_of(hash_)
    id_ = log.store.id_in_log(log.log, hash_)
    logged = log.store.read_log(log.log, partition, 0, FOR_EVER_MS, who=range(number, number + 1))
    return _Known(id_.decode("utf-8", "replace"), logged)


def _unknown(visitor: str) -> NotFound:
    return NotFound(f"no visitor {ascii(visitor)[:60]} is known", "visitor")


def _events(several: Sequence[tuple[Logged, list[tuple[int, str]]]], zone: str) -> Iterator[dict[str, Any]]:
    """several: what is logged under an id, and ticks and events of it."""
    beside: list[dict[int, dict[str, Any]]] = [{} for _ in several]
    for mine, (logged, done) in zip(beside, several, strict=True):
        wanted = {tick for tick, _ in done}
        for tick, name, value in sorted(row for row in assigned(logged, EVENT_PROPERTY) if row[0] in wanted):
            mine.setdefault(tick, {})[name] = value_of(value)
    for tick, event, place in sorted(
        (tick, event, place) for place, (_, done) in enumerate(several) for tick, event in done
    ):
        row: dict[str, Any] = {"at": shown(tick // TICKS_A_MS, zone), "event": event}
        if tick in beside[place]:
            row["properties"] = beside[place][tick]
        yield row


def _properties(several: Sequence[Logged], zone: str) -> Iterator[dict[str, Any]]:
    """Each time that they were said."""
    for tick, name, value in sorted(row for logged in several for row in assigned(logged)):
        yield {"at": shown(tick // TICKS_A_MS, zone), "property": name, "value": value_of(value)}
