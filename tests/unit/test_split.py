"""Fixed splits: shares, and how few visitors a change of weights moves."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whale.decide.split import SLOTS, dealt, moved, option_at, share_of

WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1e300, allow_subnormal=False), min_size=1).filter(
    lambda weights: any(weights.values())
)


def counted(runs: list[tuple[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for option, count in runs:
        found[option] += count
    return dict(found)


def test_slots_are_dealt_by_weight() -> None:
    assert dealt({"a": 1, "b": 1}) == {"a": 5000, "b": 5000}
    assert dealt({"a": 1, "b": 1, "c": 1}) == {"a": 3334, "b": 3333, "c": 3333}
    assert dealt({"a": 0, "b": 1e-300}) == {"a": 0, "b": 10000}
    assert dealt({"a": 1e308, "b": 1e308}) == {"a": 5000, "b": 5000}
    assert dealt({"a": 0.99999, "b": 0.00001}) == {"a": 10000, "b": 0}


@given(WEIGHTS)
def test_slots_close_and_lie_within_one_of_the_weight(weights: dict[str, float]) -> None:
    slots = dealt(weights)
    assert sum(slots.values()) == SLOTS
    greatest = max(weights.values())
    total = sum(weight / greatest for weight in weights.values())
    for option, weight in weights.items():
        assert abs(slots[option] - weight / greatest / total * SLOTS) <= 1
        assert weight or not slots[option]


@given(st.lists(WEIGHTS, min_size=2, max_size=6))
def test_a_change_of_weights_moves_only_from_options_that_shrink_to_options_that_grow(
    history: list[dict[str, float]],
) -> None:
    runs = moved([], dealt(history[0]))
    for weights in history[1:]:
        slots, before = dealt(weights), counted(runs)
        after = moved(runs, slots)
        assert counted(after) == {option: count for option, count in slots.items() if count}
        changes = 0
        for slot in range(0, SLOTS, 7):
            was, is_ = (option_at(each, slot / SLOTS + 1e-9) for each in (runs, after))
            if was != is_:
                changes += 1
                assert slots.get(was, 0) < before[was]
                assert slots[is_] > before.get(is_, 0)
        least = sum(max(0, count - slots.get(option, 0)) for option, count in before.items())
        flat = [[option for option, count in each for _ in range(count)] for each in (runs, after)]
        assert sum(one != other for one, other in zip(*flat, strict=True)) == least
        runs = after


def test_shares_of_20000_visitors_are_those_of_the_weights() -> None:
    runs = moved([], dealt({"a": 5, "b": 3, "c": 2}))
    found = Counter(option_at(runs, share_of("split", "checkout", "1", f"visitor {i}")) for i in range(20_000))
    for option, share in (("a", 0.5), ("b", 0.3), ("c", 0.2)):
        assert abs(found[option] - 20_000 * share) < 4 * (20_000 * share * (1 - share)) ** 0.5


def test_two_decisions_split_visitors_independently() -> None:
    runs = moved([], dealt({"a": 1, "b": 1}))
    pairs = Counter(
        tuple(option_at(runs, share_of("split", name, "1", f"v{i}")) for name in ("one", "two")) for i in range(20_000)
    )
    assert all(abs(count - 5000) < 4 * (20_000 * 0.25 * 0.75) ** 0.5 for count in pairs.values())
    assert len(pairs) == 4


def test_names_are_hashed_apart() -> None:
    assert share_of("ab", "c") != share_of("a", "bc")
    assert option_at([("a", SLOTS)], 0.9999999999999999) == "a"
    with pytest.raises(ValueError, match="not in"):
        option_at([("a", SLOTS)], 1.0)
