"""Managed decisions on every store: a report is what a log of the same decisions adds up to."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hail.settings import Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW
from tests.laws import law
from whale.client import Whale
from whale.decide.decider import Decision

OPTIONS = {"a": 1, "b": 2, 'it\'s "c" /é': 3}
COUNTRIES = ("US", "DE", "FR")


@pytest.mark.parametrize("policy", ["split", "epsilon"])
def test_a_report_is_what_the_log_adds_up_to(settings: Settings, unique: str, policy: str) -> None:
    now, draws = [NOW], np.random.default_rng(5)
    store = open_store(settings)
    in_force = settings.replace(decide_snapshot_s=0.0)
    whale = Whale(store, in_force, unique, clock=lambda: now[0], random=np.random.default_rng(6))
    rule = {"weights": dict(zip(OPTIONS, (5, 3, 2), strict=True))} if policy == "split" else {"epsilon": 0.4}
    whale.define_decision("page", options=OPTIONS, policy=policy, holdout=0.2, default="b", by_metric="earned", **rule)
    log: list[tuple[str, str, str, float, float]] = []
    for i in range(150):
        now[0] += 60
        country = COUNTRIES[int(draws.integers(3))]
        made = whale.choose("page", f"v{i}", {"country": country})
        earned = round(float(draws.exponential(10)), 2) if draws.random() < 0.4 else 0.0
        if earned:
            assert whale.reward(str(made.decision.decision_id), {"earned": earned})
            assert not whale.reward(str(made.decision.decision_id), {"earned": earned})
        assert whale.choose("page", f"v{i}", {"country": "elsewhere"}).decision == Decision(
            made.decision.option, made.decision.probability, made.decision.decision_id, made.decision.policy, "sticky"
        )
        log.append((made.why, made.decision.option, country, float(made.decision.probability or 0), earned))
        if i % 30 == 0:
            whale.flush()
    whale.flush()
    report = whale.decision_report("page", dimension="country").report
    mine = [row for row in log if row[0] != "held out"]
    out = [row for row in log if row[0] == "held out"]
    assert report.held_out is not None
    assert (report.held_out.trials, report.held_out.reward) == (len(out), pytest.approx(sum(row[4] for row in out)))
    assert report.held_out.lift == pytest.approx(
        np.mean([row[4] for row in mine]) / np.mean([row[4] for row in out]) - 1
    )
    assert report.decisions == len(mine)
    assert sum(option.expected for option in report.options) == pytest.approx(len(mine), abs=1e-3)
    for option in report.options:
        rows = [row for row in mine if row[1] == option.option]
        assert (option.trials, option.shown) == (len(rows), len(rows))
        assert option.reward == pytest.approx(sum(row[4] for row in rows))
        assert option.always is not None
        y, x = np.array([row[4] / row[3] for row in rows]), np.array([1 / row[3] for row in rows])
        assert option.always.rate == pytest.approx(y.sum() / x.sum(), rel=1e-4)
        assert option.always.decisions == pytest.approx(x.sum() ** 2 / (x * x).sum(), rel=1e-4)
    found: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0])
    for _, name, country, _, earned in mine:
        found[country, name][0] += 1
        found[country, name][1] += earned
    assert len(report.segments) == 3
    for segment in report.segments:
        country = segment.dimension.split('"')[3]
        for option in segment.options:
            trials, earned = found[country, option.option]
            assert (option.trials, option.reward) == (trials, pytest.approx(earned))
    assert store.faults(unique) == {}


def test_rewards_in_parts_give_the_report_of_their_sum(settings: Settings, unique: str) -> None:
    """Of decisions with one to three rewards each, in any order, or with one reward of the sum."""
    decisions = law(100).max_examples if settings.redis_url else 1000
    in_force = settings.replace(decide_snapshot_s=0.0, periods=((3600, 86400.0), (86400, None)))
    store, reports = open_store(in_force), []
    for parts in (True, False):
        draws = np.random.default_rng(7)
        whale = Whale(store, in_force, f"{unique}-{int(parts)}", clock=lambda: NOW, random=np.random.default_rng(6))
        whale.define_decision(
            "page", options=OPTIONS, weights=dict(zip(OPTIONS, (5, 3, 2), strict=True)), by_metric="earned"
        )
        rewards = []
        for i in range(decisions):
            made = str(
                whale.choose("page", f"v{i}", {"country": COUNTRIES[(i % 7 > 0) + (i % 7 > 2)]}).decision.decision_id
            )
            some = [
                {"earned": int(draws.integers(-200, 5000)) / 100, "cost": int(cost) / 10}
                for cost in draws.integers(0, 30, draws.integers(1, 4))
            ]
            if i % 4 == 0 and len(some) > 1:
                del some[-1]["cost"], some[0]["earned"]
            if not parts:
                names = dict.fromkeys(name for each in some for name in each)
                some = [{name: round(sum(each.get(name, 0) for each in some), 2) for name in names}]
            rewards += [(made, f"order {n}", each) for n, each in enumerate(some)]
        order = np.random.default_rng(8).permutation(len(rewards))
        with ThreadPoolExecutor(16) as pool:
            done = [pool.submit(whale.reward, made, each, id_) for made, id_, each in (rewards[i] for i in order)]
            assert all(each.result() for each in done)
        whale.flush()
        reports.append(whale.decision_report("page", dimension="country").report)
    assert reports[0] == reports[1]
    assert reports[0].decisions == decisions
    assert store.faults(f"{unique}-1") == {}
