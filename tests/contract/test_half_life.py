"""Half-lives on every store: the evidence is what the hits add up to, each weighed by hand."""

import random
from typing import Any

import numpy as np
import pytest

from hail.hit import encode_hit, parse_decided
from hail.message import Message, decode_message, encode_message
from hail.settings import DAY, HOUR, Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, PUBLISHER, message
from whale.count.apply import Applier
from whale.decide.evidence import Evidence
from whale.decide.outcomes import FORGOTTEN, Decay, Judged, Ratio, evidence_of, evidence_of_each
from whale.period import Range, parse_period
from whale.store.base import Store

PK, OPTIONS = ("page",), ["a", "b", "never"]
NODES: list[Any] = [(), ("country", "US")]


def outcomes(settings: Settings, account: str, days: float, count: int) -> tuple[Message, list[dict[str, Any]]]:
    draw = random.Random(6)
    given = [
        {
            "pk": "page",
            "option": draw.choice("ab"),
            "dimensions": {"country": draw.choice(["US", "DE"])},
            "metrics": {"earned": draw.choice([0, 0, draw.randrange(1, 5000) / 100]), "visitors": draw.randrange(1, 5)},
            "at": NOW - draw.random() * days * DAY,
        }
        for _ in range(count)
    ]
    rows = [encode_hit(parse_decided(each, settings, NOW)) for each in given]
    return decode_message(encode_message(PUBLISHER, 0, account, count, int(NOW * 1000), rows)), given


def weighed(store: Store, account: str, ratio: Ratio, period: Range, half_life_s: float) -> Evidence:
    judged = [Judged(PK, OPTIONS, NODES, ratio)]
    return evidence_of_each(store, account, judged, period, 10_000, Decay(half_life_s, NOW))[0]


@pytest.mark.parametrize(
    ("text", "half_life_s"), [("thirty", DAY), ("thirty", 10 * DAY), ("1h:3d", 5 * HOUR), ("1w:6w", 20 * DAY)]
)
@pytest.mark.parametrize("ratio", [Ratio("earned"), Ratio("earned", "visitors")])
def test_the_sums_are_those_of_the_hits_each_weighed_by_its_bucket(
    settings: Settings, unique: str, text: str, half_life_s: float, ratio: Ratio
) -> None:
    store = open_store(settings)
    batch, hits = outcomes(settings, unique, 40, 300)
    Applier(store, settings).apply([batch], NOW)
    period = parse_period(text, NOW, "UTC", settings.periods)
    found = weighed(store, unique, ratio, period, half_life_s)
    width = DAY if period.interval != HOUR else HOUR  # weeks are summed from days
    for i, option in enumerate(OPTIONS):
        sums, low, high = np.zeros((2, 6)), 0.0, 0.0
        for hit in hits:
            if hit["option"] != option or hit["at"] < period.start:
                continue
            begin = hit["at"] // width * width
            age = NOW - (begin + min(begin + width, NOW)) / 2
            y, x = hit["metrics"]["earned"], hit["metrics"]["visitors"] if ratio.base == "visitors" else 1
            row = 0.5 ** (age / half_life_s) * np.array([1, y, x, y * y, x * x, x * y])
            sums[0] += row
            sums[1] += row * (hit["dimensions"]["country"] == "US")
            exact = y * 0.5 ** ((NOW - hit["at"]) / half_life_s)
            low, high = low + exact * 0.5 ** (width / 2 / half_life_s), high + exact * 2 ** (width / 2 / half_life_s)
        assert found.sums[i, 0] == pytest.approx(sums[0], rel=1e-6)
        assert found.sums[i, 1, :3] == pytest.approx(sums[1, :3], rel=1e-6)
        assert found.trials[i] == pytest.approx(sums[:, 2], rel=1e-6)
        assert low <= found.rewards[i, 0] <= high  # of the hits, each by its own age
    assert not found.sums[2].any()


def test_a_half_life_without_end_weighs_nothing(settings: Settings, unique: str) -> None:
    store = open_store(settings)
    batch, _ = outcomes(settings, unique, 30, 200)
    plain = [{"pk": ["page", "b"], "metrics": {"earned": 5}, "at": NOW - days * DAY} for days in (1, 3)]  # no moments
    Applier(store, settings).apply([batch, message(plain, settings, unique, seq=1, publisher="aa" * 8)], NOW)
    period = parse_period("thirty", NOW, "UTC", settings.periods)
    for ratio in (Ratio("earned"), Ratio("earned", "visitors"), Ratio("visitors", "earned")):
        one = evidence_of(store, unique, PK, OPTIONS, NODES, ratio, period, 1000)
        other = weighed(store, unique, ratio, period, 1e15)
        assert other.sums == pytest.approx(one.sums, rel=1e-6)
        assert other.trials == pytest.approx(one.trials, rel=1e-6)
        assert other.noise == pytest.approx(one.noise, rel=1e-6)


def test_a_weight_is_never_more_than_one_and_what_is_very_old_weighs_nothing() -> None:
    begins = [int(NOW) - ago for ago in (-DAY, 10, DAY, 2 * FORGOTTEN * DAY)]
    weights = Decay(DAY, NOW).weights(begins, [begin + HOUR for begin in begins])
    assert weights.tolist() == pytest.approx([1, 0.5 ** (5 / DAY), 0.5 ** (23.5 / 24), 0], rel=1e-12)
    assert Decay(DAY, NOW).weights([], []).shape == (0,)
