"""Fixed splits: which option a visitor has by chance alone, the same each time, with nothing stored of him. Pure.

    visitor ── hash ──> slot 0 .. 9,999 ── runs ──> option

The slots are dealt out as runs, an option and how many slots in a row. Where weights change, slots go from options that shrink to
options that grow and no other visitor moves. Whether somebody is held out is a hash of its own, so that it moves nobody either:
a greater share holds out those that were, and more.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

SLOTS = 10_000
_ALL = 1 << 64

Runs = list[tuple[str, int]]


def dealt(weights: Mapping[str, float]) -> dict[str, int]:
    """How many slots each option has: as near to its weight as can be. weights: finite, >= 0, not all 0.

    A weight above 0 that is less than half a slot gets none.
    """
    greatest = max(weights.values())
    total = math.fsum(weight / greatest for weight in weights.values())
    exact = {option: weight / greatest / total * SLOTS for option, weight in weights.items()}
    slots = {option: int(share) for option, share in exact.items()}
    left = SLOTS - sum(slots.values())
    by_rest = sorted(exact, key=lambda option: slots[option] - exact[option])
    for option in [option for option in by_rest if exact[option]][:left]:
        slots[option] += 1
    return slots


def moved(runs: Sequence[tuple[str, int]], slots: Mapping[str, int]) -> Runs:
    """Runs with so many slots an option, made of others by moving as few as can be; of no runs, in order."""
    if not runs:
        return [(option, count) for option, count in slots.items() if count]
    have: dict[str, int] = {}
    for option, count in runs:
        have[option] = have.get(option, 0) + count
    surplus = {option: count - slots.get(option, 0) for option, count in have.items()}
    growing = [(option, count - have.get(option, 0)) for option, count in slots.items() if count > have.get(option, 0)]
    growing.reverse()
    found: Runs = []

    def put(option: str, count: int) -> None:
        if found and found[-1][0] == option:
            count += found.pop()[1]
        if count:
            found.append((option, count))

    for option, count in runs:
        leaving = max(0, min(count, surplus[option]))
        surplus[option] -= leaving
        put(option, count - leaving)
        while leaving:
            taker, wants = growing.pop()
            taken = min(leaving, wants)
            put(taker, taken)
            leaving -= taken
            if wants > taken:
                growing.append((taker, wants - taken))
    return found


def option_at(runs: Sequence[tuple[str, int]], share: float) -> str:
    """The option of a slot. share: where it lies among all, in [0, 1)."""
    slot = int(share * SLOTS)
    for option, count in runs:
        slot -= count
        if slot < 0:
            return option
    raise ValueError(f"{share} is not in [0, 1), or the runs are short")


def share_of(*names: str) -> float:
    """A number in [0, 1) that is always the same for the same names, and even over many of them."""
    state = hashlib.blake2b(digest_size=8)
    for name in names:
        raw = name.encode()
        state.update(len(raw).to_bytes(4, "big") + raw)
    return (int.from_bytes(state.digest(), "big") >> 11) / (_ALL >> 11)
