"""The spy: the last hits of a visitor and of the account, counted or not and why: "where did my hit go?".

A trace is what is kept of one hit, as JSON text:

    {"at": ms, "name": "<publisher>-<seq>.<position>", "outcome": "counted", or a word of hail.hit.Reason, "visitor": ...,
     "event": ..., "id": ..., "pk": [...], "dimensions": {...}, "metrics": {name: amount as stored}, "hit_at": ms,
     "field": ..., "came": ...}

at is when Hail took or refused it, hit_at the hit's own time. What was refused has field and came in place of pk, dimensions and
metrics; a large hit has none of them, and `"cut": true`.

Promise: none. It is shown, never counted from: a trace may be missing where a worker was killed, or where more hits come in one
apply than are kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hail.hit import EXPECTED, MILLION, RESERVED, Reason
from hail.message import CAME_BYTES, Message, WireHit

KEPT = 100  # traces of a list; and the newest of one apply that are looked at
KEPT_S = 86_400
MAX_TRACE_BYTES = 1000
MAX_VISITOR = 200
COUNTED = "counted"


@dataclass(frozen=True)
class Traces:
    """What one apply adds, oldest first. Each at most KEPT."""

    counted: list[str]
    others: list[str]
    visitors: Mapping[str, list[str]]


class _Trace(msgspec.Struct, omit_defaults=True, gc=False):
    at: int
    name: str
    outcome: str
    visitor: str | None = None
    event: str | None = None
    id: str | None = None
    pk: msgspec.Raw | None = None
    dimensions: msgspec.Raw | None = None
    metrics: dict[str, int] | None = None
    others: dict[str, tuple[str, int | str]] | None = None
    hit_at: int | None = None
    field: str = ""
    came: str | None = None
    cut: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def traces_of(messages: Sequence[Message], dropped: Mapping[tuple[str, int], Mapping[int, Reason]]) -> Traces:
    """The newest hits of some messages, and the newest of those that name a visitor.

    dropped: by message, positions of hits that did not count.  An import's hits are not shown: it has its own report.
    Cost: at most 2 * KEPT traces, whatever comes.
    """
    counted: list[str] = []
    others: list[str] = []
    visitors: dict[str, list[str]] = {}
    looked = of_visitors = 0
    live = [message for message in messages if not message.lasting]
    for message in reversed(live):
        reasons = dropped.get(message.name, {})
        for position in range(len(message.hits) - 1, -1, -1):
            hit = message.hits[position]
            if EXPECTED in hit.metrics:
                continue  # not a hit of anybody: what decisions let expect
            whose = hit.visitor if of_visitors < KEPT else None
            if looked >= KEPT:
                if of_visitors >= KEPT:
                    break
                if whose is None:
                    continue
            outcome = reasons.get(position)
            trace = _hit_trace(message, position, hit, outcome)
            if looked < KEPT:
                (counted if outcome is None else others).append(trace)
                looked += 1
            if whose is not None:
                visitors.setdefault(whose, []).append(trace)
                of_visitors += 1
    told = [(message, position) for message in reversed(live) for position in reversed(range(len(message.refused)))]
    for message, position in told[:KEPT]:
        row = message.refused[position]
        name = f"{message.publisher}-{message.seq}.r{position}"
        trace = _text(_Trace(row.at_ms, name, row.code, row.visitor, field=row.field, came=row.came))
        others.append(trace)
        if row.visitor:
            visitors.setdefault(row.visitor, []).append(trace)
    return Traces(counted[::-1], others[:KEPT][::-1], {who: traces[:KEPT][::-1] for who, traces in visitors.items()})


def _hit_trace(message: Message, position: int, hit: WireHit, outcome: Reason | None) -> str:
    name = f"{message.publisher}-{message.seq}.{position}"
    at, said = message.at, str(outcome or COUNTED)
    hit_at = hit.at_ms if abs(hit.at_ms - at) >= 1000 else None
    trace = _Trace(at, name, said, hit.visitor, hit.event, hit.id, hit.pk, hit.dimensions, hit.metrics)
    trace.others, trace.hit_at = hit.others, hit_at
    if len(hit.pk) + len(hit.dimensions) > MAX_TRACE_BYTES or len(hit.metrics) + len(hit.others or ()) > 10:
        trace.pk = trace.dimensions = trace.metrics = trace.others = None
        trace.cut = True
    return _text(trace)


def refused(name: str, at: float, reason: Reason, field: str, given: Mapping[str, Any]) -> Traces:
    """What is kept of a hit that Whale itself refused. given: its fields, of which the key is not shown."""
    fields = {name: value for name, value in given.items() if name != "key"}
    came = _encode(fields)[:CAME_BYTES].decode("utf-8", "ignore")
    visitor = given.get("visitor")
    known = visitor if isinstance(visitor, str) and 0 < len(visitor) <= MAX_VISITOR else None
    trace = _text(_Trace(int(at * 1000), name, reason, known, field=field, came=came))
    return Traces([], [trace], {known: [trace]} if known else {})


def _text(trace: _Trace) -> str:
    return _encode(trace).decode("utf-8", "replace")


def shown(traces: Iterable[str | bytes], limit: int = KEPT) -> list[dict[str, Any]]:
    """Traces as people read them, the newest first: metrics as numbers; one that came twice once, what cannot be read not at all."""
    found: dict[str, dict[str, Any]] = {}
    for text in traces:
        try:
            trace = _decode(text)
        except (msgspec.DecodeError, UnicodeError):
            continue
        amounts = trace.get("metrics")
        if amounts:
            trace["metrics"] = {name: amount if name == "hits" else _number(amount) for name, amount in amounts.items()}
        for name, (kind, value) in (trace.pop("others", None) or {}).items():
            if name not in RESERVED:
                trace.setdefault("metrics", {})[name] = {kind: value if isinstance(value, str) else _number(value)}
        found[str(trace.get("name"))] = trace
    return sorted(found.values(), key=lambda trace: int(trace.get("at", 0)))[::-1][:limit]


def _number(millionths: int) -> int | float:
    return millionths // MILLION if millionths % MILLION == 0 else millionths / MILLION
