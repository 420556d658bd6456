"""The worst legal hits, kind by kind: each is accepted, and each is as unlike all others as the bounds allow."""

import math
import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from hail.hit import Row, encode_row, parse_decided, parse_hit, row_of_hit
from hail.packing import FORMS, Packed, most_of
from hail.settings import Settings

Given = dict[str, Any]
KINDS: dict[str, Callable[[random.Random], Given]] = {}
DAY = 86_400


def kind(make: Callable[[random.Random], Given]) -> Callable[[random.Random], Given]:
    KINDS[make.__name__] = make
    return make


def name(rng: random.Random, size: int = 200) -> str:
    return f"{rng.getrandbits(64):016x}".ljust(size, "n")


@kind
def long_names(rng: random.Random) -> Given:
    return {"pk": "long", "dimensions": {name(rng, 185): {} for _ in range(31)}}


@kind
def new_values(rng: random.Random) -> Given:
    return {"pk": "values", "dimensions": {f"d{i}": {name(rng, 20): {}} for i in range(32)}}


@kind
def many_levels(rng: random.Random) -> Given:
    tree: Given = {}
    for _ in range(8):
        tree = {name(rng): tree}
    return {"pk": [f"p{i}" for i in range(8)], "dimensions": tree, "metrics": {f"m{i}": i for i in range(9)}}


@kind
def new_pks(rng: random.Random) -> Given:
    return {"pk": [name(rng) for _ in range(8)], "dimensions": {"a": "b"}}


@kind
def many_cells(rng: random.Random) -> Given:
    tree = {f"{rng.getrandbits(24):x}": {} for _ in range(50)}
    return {"pk": ["cells", "x"], "dimensions": tree, "metrics": {f"m{i}": rng.random() for i in range(7)}}


@kind
def new_metrics(rng: random.Random) -> Given:
    return {"pk": "metrics", "dimensions": {"a": {}, "b": {}}, "metrics": {name(rng): rng.random() for _ in range(15)}}


@kind
def other_metrics_each(rng: random.Random) -> Given:
    tree = {f"d{i}": {} for i in range(45)}
    return {"pk": "metrics2", "dimensions": tree, "metrics": {name(rng, 16): rng.random() for _ in range(15)}}


@kind
def distinct_values(rng: random.Random) -> Given:
    return {
        "pk": "distinct",
        "dimensions": {f"d{i}": {f"{rng.getrandbits(20):x}": {}} for i in range(20)},
        "metrics": {f"u{i}": {"unique": name(rng)} for i in range(15)},
    }


@kind
def visitors(rng: random.Random) -> Given:
    return {
        "pk": "visitors",
        "dimensions": {"a": {}},
        "metrics": {"u": "is_unique"},
        "visitor": name(rng),
        "event": name(rng),
    }


@kind
def quantiles(rng: random.Random) -> Given:
    return {
        "pk": "quantiles",
        "dimensions": {f"d{i}": {f"{rng.getrandbits(16):x}": {}} for i in range(20)},
        "metrics": {f"q{i}": {"quantile": rng.lognormvariate(0, 3)} for i in range(15)},
    }


@kind
def values_that_stay(rng: random.Random) -> Given:
    return {
        "pk": "stays",
        "dimensions": {f"d{i}": {f"{rng.getrandbits(24):x}": {}} for i in range(20)},
        "metrics": {f"{how}{i}": {how: rng.random()} for how in ("min", "max", "last") for i in range(5)},
    }


@kind
def ids(rng: random.Random) -> Given:
    return {"pk": "ids", "id": name(rng), "visitor": name(rng), "event": name(rng)}


@kind
def small(rng: random.Random) -> Given:
    return {"pk": "s"}


@kind
def all_times(rng: random.Random) -> Given:
    at = rng.randrange(100_000_000, 1_790_000_000)  # fewer digits are YYYYMMDD
    return {"pk": "times", "dimensions": {f"d{i}": {f"{rng.getrandbits(8)}": {}} for i in range(20)}, "at": at}


@kind
def outcomes(rng: random.Random) -> Given:
    return {
        "pk": [f"p{i}" for i in range(3)],
        "decision": f"{rng.getrandbits(8)}",
        "option": name(rng, 20),
        "dimensions": {f"{rng.getrandbits(16):x}": {} for _ in range(20)},
        "metrics": {f"m{i}": rng.random() for i in range(4)},
    }


def hits(which: str, settings: Settings, now: float, seed: int = 1) -> Iterator[tuple[Row, int]]:
    """Rows and cells, without end."""
    rng, make = random.Random(f"{which}{seed}"), KINDS[which]
    while True:
        given = make(rng)
        hit = (parse_decided if "option" in given else parse_hit)(given, settings, now)
        yield row_of_hit(hit), hit.cells


def messages(
    which: str,
    settings: Settings,
    now: float,
    publisher: str,
    account: str,
    seed: int = 1,
    most_cells: float = math.inf,
    most_bytes: float = math.inf,
) -> Iterator[bytes]:
    """Messages as Hail packs them where many hits wait, until so many cells or bytes (as lines) are in them."""
    form, most = FORMS[settings.message_version], most_of(settings)
    seq = total = 0
    packed = Packed(form, most)
    for row, cells in hits(which, settings, now, seed):
        most_cells, most_bytes = most_cells - cells, most_bytes - len(encode_row(row))
        packed.add(row, cells)
        is_last = most_cells < 0 or most_bytes < 0
        while len(packed.parts) > 1 or (is_last and packed.parts):
            part = packed.parts.pop(0)
            total += part.hits
            yield form.encode(publisher, seq, int(now * 1000), {account: [part]}, {account: total}, {})
            seq += 1
        if is_last:
            return


def batch_of(which: str, count: int, seed: int) -> list[Given]:
    rng = random.Random(f"{which}{seed}")
    return list(islice((KINDS[which](rng) for _ in iter(int, 1)), count))
