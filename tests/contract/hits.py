"""Hits and messages in few words, for tests of what becomes of them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from hail.columns import Hits, decode, encode, messages_of
from hail.hit import encode_hit, parse_hit
from hail.message import Message, decode_message, encode_message
from hail.settings import Settings
from tests.taken import section_of
from whale.dimension import Path, Pk
from whale.period import Interval, bucket_start, starts
from whale.store.base import Store

NOW = 1_790_003_590.0  # 2026-09-21T15:13:10Z
PUBLISHER = "00112233445566aa"


def message(
    hits: Iterable[Mapping[str, Any]],
    settings: Settings,
    account: str,
    seq: int = 0,
    total: int = 0,
    publisher: str = PUBLISHER,
    lasting: bool = False,
) -> Message:
    """As Hail would make it at NOW."""
    wire = [encode_hit(parse_hit(hit, settings, NOW)) for hit in hits]
    return decode_message(encode_message(publisher, seq, account, total or len(wire), int(NOW * 1000), wire, lasting))


def publisher_of(account: str) -> str:
    """One of this account alone: messages of version 2 are remembered under no account."""
    return hashlib.sha256(account.encode()).hexdigest()[:16]


def in_columns(parts: Sequence[Message]) -> list[Message]:
    """As one message of version 2 brings them, and in columns however few they are. parts: messages of several accounts, of one name."""
    first = parts[0]
    sections = [section_of(part.account, part.total, part.hits, part.refused) for part in parts]
    body = encode(first.publisher, first.seq, first.at, sections, first.lasting)
    both = zip(messages_of(body), decode(body).sections, strict=True)
    return [msgspec.structs.replace(part, hits=Hits(section)) for part, section in both]


def sums(
    store: Store,
    account: str,
    pk: Pk,
    paths: Sequence[Path],
    metric: str = "hits",
    interval: Interval = 86_400,
    now: float = NOW,
) -> list[int]:
    """What a metric adds up to in the bucket of now, a number a path."""
    start = bucket_start(interval, now, store.zone(account))
    return [int(value) for value in store.read(account, pk, paths, [metric], interval, [start])[:, 0, 0]]


def everything(store: Store, account: str, settings: Settings, since: float, until: float = NOW) -> dict[Any, int]:
    """Every cell that is not 0 of every pk, path, metric and interval, found by walking from the top."""
    found = {}
    for pk in walk_pks(store, account):
        paths = [*walk_paths(store, account, pk), *((None, name) for name in store.pks(account, pk))]
        metrics = store.metrics(account, pk)
        for interval, kept in settings.periods:
            first = since if kept is None else max(since, until - kept)
            buckets = list(starts(interval, bucket_start(interval, first, "UTC"), int(until) + 1, "UTC"))
            cells = store.read(account, pk, paths, metrics, interval, buckets)
            for p, m, b in zip(*cells.nonzero(), strict=True):
                found[pk, paths[p], interval, buckets[b], metrics[m]] = int(cells[p, m, b])
    return found


def walk_pks(store: Store, account: str, parent: Pk = ()) -> list[Pk]:
    below = [(*parent, name) for name in store.pks(account, parent)]
    return [pk for child in below for pk in (child, *walk_pks(store, account, child))]


def walk_paths(store: Store, account: str, pk: Pk, path: Path = ()) -> list[Path]:
    below = [(*path, name) for name in store.children(account, pk, path)]
    return [path, *(deeper for child in below for deeper in walk_paths(store, account, pk, child))]
