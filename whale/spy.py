"""The spy: the last hits of a visitor and of the account, counted or not and why: "where did my hit go?".

A trace is what is kept of one hit, as JSON text:

    {"at": ms, "name": "<publisher>-<seq>.<position>", "outcome": "counted", or a word of hail.hit.Reason, "visitor": ...,
     "event": ..., "id": ..., "pk": [...], "dimensions": {...}, "metrics": {name: amount as stored}, "ignored": [...],
     "hit_at": ms, "field": ..., "came": ...}

at is when Hail took or refused it, hit_at the hit's own time; ignored are parameters that no field has. What
was refused has field and came in place of pk, dimensions and metrics; a large hit has none of them, and `"cut": true`.

Promise: none. It is shown, never counted from: a trace may be missing where a worker was killed, or where more hits come in one
apply than are kept.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hail.hit import EXPECTED, RESERVED, Others, Reason, of_millionths
from hail.message import CAME_BYTES, Message, WireHit
from hail.secret import masked, without_keys

KEPT = 100  # traces of a list; and the newest of one apply that are looked at
KEPT_S = 86_400
MAX_TRACE_BYTES = 1000
MAX_VISITOR = 200
COUNTED = "counted"


@dataclass(frozen=True)
class Traces:
    """What is added, oldest first. Each at most KEPT.

    others: what was accepted and did not count.  visitors: of both, those that name a visitor.  refused: what was never accepted;
    it has a list of its own, so that whoever sends nonsense pushes out no hit that was accepted, and no visitor.
    """

    counted: list[str]
    others: list[str]
    visitors: Mapping[str, list[str]]
    refused: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.counted or self.others or self.refused)


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
    others: Others | None = None
    ignored: list[str] | None = None
    hit_at: int | None = None
    field: str = ""
    came: str | None = None
    cut: bool = False


class _Named(msgspec.Struct):
    at: int = 0
    visitor: str | None = None
    came: str | None = None


_named = msgspec.json.Decoder(_Named).decode
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def traces_of(messages: Sequence[Message], dropped: Mapping[tuple[str, int], Mapping[int, Reason]]) -> Traces:
    """The newest hits of some messages, and the newest of those that name a visitor.

    dropped: by message, positions of hits that did not count.  An import's hits are not shown: it has its own report.
    Cost: at most 3 * KEPT traces, whatever comes.
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
    refused: list[str] = []
    for message, position in told[:KEPT]:
        row = message.refused[position]
        name = f"{message.publisher}-{message.seq}.r{position}"
        refused.append(_text(_Trace(row.at_ms, name, row.code, row.visitor, field=row.field, came=row.came)))
    return Traces(counted[::-1], others[::-1], {who: traces[::-1] for who, traces in visitors.items()}, refused[::-1])


def name_of(message: Message, position: int) -> str:
    """The name of a hit, which no other one has."""
    return f"{message.publisher}-{message.seq}.{position}"


def _hit_trace(message: Message, position: int, hit: WireHit, outcome: Reason | None) -> str:
    name = name_of(message, position)
    at, said = message.at, str(outcome or COUNTED)
    if outcome is Reason.UNDECODABLE_HIT:
        return _text(_Trace(at, name, said, hit.visitor, came=hit.raw[:CAME_BYTES].decode("utf-8", "ignore")))
    hit_at = hit.at_ms if abs(hit.at_ms - at) >= 1000 else None
    trace = _Trace(at, name, said, hit.visitor, hit.event, hit.id, hit.pk, hit.dimensions, hit.metrics)
    trace.others, trace.ignored, trace.hit_at = hit.others, hit.ignored, hit_at
    if len(hit.pk) + len(hit.dimensions) > MAX_TRACE_BYTES or len(hit.metrics) + len(hit.others or ()) > 10:
        trace.pk = trace.dimensions = trace.metrics = trace.others = None
        trace.cut = True
    return _text(trace)


def refused(
    name: str, at: float, reason: Reason, field: str, given: Mapping[str, Any], secrets: Collection[str] = ()
) -> str:
    """The trace of a hit that Whale itself refused. given: its fields; no key among them, nor any of the secrets, is kept."""
    came = masked(_encode(without_keys(dict(given), secrets)).decode("utf-8", "ignore"), secrets)
    cut = came.encode("utf-8", "ignore")[:CAME_BYTES].decode("utf-8", "ignore")
    visitor = given.get("visitor")
    known = visitor if isinstance(visitor, str) and 0 < len(visitor) <= MAX_VISITOR else None
    if known and masked(known, secrets) != known:
        known = None
    return _text(_Trace(int(at * 1000), name, reason, known, field=masked(field, secrets), came=cut))


def _text(trace: _Trace) -> str:
    return _encode(trace).decode("utf-8", "replace")


def shown(traces: Iterable[str | bytes], limit: int = KEPT, visitor: str | None = None) -> list[dict[str, Any]]:
    """Traces as people read them, the newest first: metrics as numbers; one that came twice once, what cannot be read not at all.

    Of what counted, what did not, and what was refused each has a third of the limit, so that none hides the others; the newest
    of all have what is left.  visitor: leaves out what was refused of others.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in traces:
        try:
            trace = _decode(text)
        except (msgspec.DecodeError, UnicodeError):
            continue
        if visitor is not None and "came" in trace and trace.get("visitor") != visitor:
            continue
        metrics = shown_metrics(trace.get("metrics") or {}, trace.pop("others", None))
        if metrics:
            trace["metrics"] = metrics
        found[str(trace.get("name"))] = trace
    return _shared_out(sorted(found.values(), key=lambda trace: int(trace.get("at", 0)))[::-1], limit)


def shown_metrics(amounts: Mapping[str, int], others: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Metrics of a hit as people read them; those that are no sums as {kind: value}."""
    found: dict[str, Any] = {
        name: amount if name == "hits" else of_millionths(amount) for name, amount in amounts.items()
    }
    for name, (kind, value) in (others or {}).items():
        if name not in RESERVED:
            found[name] = {kind: value if isinstance(value, str) else of_millionths(value)}
    return found


def _shared_out(newest: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    if len(newest) <= limit:
        return newest
    taken = dict.fromkeys((COUNTED, "refused", "other"), 0)
    sure: set[int] = set()
    for position, trace in enumerate(newest):
        kind = COUNTED if trace.get("outcome") == COUNTED else "refused" if "came" in trace else "other"
        if taken[kind] < limit // len(taken):
            taken[kind] += 1
            sure.add(position)
    room = limit - len(sure)
    more = [position for position in range(len(newest)) if position not in sure][:room]
    return [newest[position] for position in sorted({*sure, *more})]


def visitor_in(trace: bytes) -> str | None:
    """Who a trace is of."""
    return _named(trace).visitor


def names_one_of(trace: bytes, visitors: Mapping[str, int]) -> bool:
    """Whether a trace is of one of these visitors, or shows their id in what came, and is from before a time, ms."""
    found = _named(trace)
    named = [each for each in visitors if each == found.visitor or (found.came is not None and each in found.came)]
    return any(found.at < visitors[each] for each in named)
