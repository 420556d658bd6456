"""All flags of a visitor at once, on every store: the same answers as one by one, in a few round trips."""

import random
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from hail.settings import Settings
from tests.contract.conftest import IN_REDIS, open_store
from tests.contract.hits import NOW, message
from whale.client import Whale
from whale.count.apply import Applier
from whale.decide.decider import Asked
from whale.decide.outcomes import PATHS_AT_ONCE, Ratio
from whale.dimension import Path
from whale.period import DAY, day_start
from whale.routes import ofrep
from whale.store.contract.decisions import Keeping

ABC = ["a", "b", "c"]
FLAGS: dict[str, dict[str, Any]] = {
    "archived": {"options": ABC, "archived": True},
    "cost": {"options": ABC, "policy": "thompson", "by_metric": "spent/earned", "goal": "min"},
    "deep": {"options": {"a": {"n": [1]}, "b": None}, "policy": "thompson", "dimensions": ["country"]},
    "epsilon": {"options": ABC, "policy": "epsilon", "epsilon": 0.5, "by_metric": "earned"},
    "held": {"options": ABC, "holdout": 0.5, "default": "c"},
    "held learning": {"options": ABC, "policy": "thompson", "holdout": 0.3, "by_metric": "earned"},
    "new": {"options": ABC, "policy": "thompson"},
    "paused": {"options": ABC, "paused": True, "default": "b"},
    "seed": {"options": ABC, "policy": "seed", "by_metric": "earned/spent"},
    "split": {"options": ABC},
    "thompson": {"options": ABC, "policy": "thompson", "by_metric": "earned/spent"},
    "weights": {"options": ABC, "weights": {"a": 1, "b": 2, "c": 7}},
    "won": {"options": ABC, "winner": "a"},
}
LEARNING = ("cost", "deep", "epsilon", "held learning", "seed", "thompson")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a store that is slow is not away."""
    monkeypatch.setattr("whale.decide.decider.HURRY_S", 10.0)


def defined(settings: Settings, account: str, **more: Any) -> Whale:
    """An account with all flags, and outcomes of those that learn."""
    whale = Whale(
        open_store(settings), settings.replace(**more), account, clock=lambda: NOW, random=np.random.default_rng(8)
    )
    for name, fields in FLAGS.items():
        whale.define_decision(name, **fields)
    draw = random.Random(3)
    for name in LEARNING:
        for option in "ab" if name in ("cost", "deep") else ABC:
            for _ in range(8):
                earned = 0 if (name, option) == ("cost", "b") else draw.randrange(3)
                whale.count_decision(
                    ["decisions", name, "1"],
                    option=option,
                    metrics={"earned": earned, "spent": 2, "value": earned},
                    dimensions={"country": draw.choice(["US", "DE"]), "device": draw.choice(["mac", "pc"])},
                )
    return whale


def request(visitor: str | None, **context: Any) -> ofrep.Request:
    return ofrep.Request(visitor, context)


def one_by_one(whale: Whale, asked: ofrep.Request) -> list[Any]:
    found: list[Any] = []
    for name in FLAGS:
        try:
            found.append(ofrep.evaluate(whale.managed, name, asked))
        except ofrep.Refused as refused:
            if refused.code != "FLAG_NOT_FOUND":
                found.append(refused.said(name))
    return shown(found)


def at_once(whale: Whale, asked: ofrep.Request) -> list[Any]:
    return shown(ofrep.evaluate_all(whale.managed, asked).flags)


def shown(flags: Any) -> list[Any]:
    """Without the ids of decisions, which nobody can guess."""
    found: list[Any] = msgspec.to_builtins(flags)
    for flag in found:
        if "metadata" in flag and "decision_id" in flag["metadata"]:
            flag["metadata"]["decision_id"] = ...
    return found


@pytest.mark.parametrize(("snapshot_s", "paths_at_once"), [(0.0, PATHS_AT_ONCE), (60.0, PATHS_AT_ONCE), (0.0, 60)])
def test_all_at_once_is_each_by_itself(
    settings: Settings, unique: str, monkeypatch: pytest.MonkeyPatch, snapshot_s: float, paths_at_once: int
) -> None:
    monkeypatch.setattr("whale.decide.outcomes.PATHS_AT_ONCE", paths_at_once)
    one = defined(settings, f"{unique}-1", decide_snapshot_s=snapshot_s)
    all_ = defined(settings, f"{unique}-2", decide_snapshot_s=snapshot_s)
    draw, whys = random.Random(9), set()
    for turn in range(14):
        visitor = None if turn == 5 else f"v{draw.randrange(8)}"
        context = {"country": {"US": "CA"}, "device": "mac"} if draw.random() < 0.7 else {"country": "new"}
        asked = request(visitor, **(context if turn % 3 else {}))
        found = at_once(all_, asked)
        assert found == one_by_one(one, asked)
        assert [flag["key"] for flag in found] == [name for name in FLAGS if name != "archived"]
        whys |= {flag["metadata"]["why"] for flag in found if "metadata" in flag}
        one.flush()
        all_.flush()
    assert whys == {"held out", "paused", "policy", "split", "winner"}
    assert one.random.random() == all_.random.random()
    for name in LEARNING:
        reports = [msgspec.to_builtins(whale.decision_report(name).report) for whale in (one, all_)]
        assert reports[0] == reports[1]
        assert reports[0]["decisions"] > 0


def test_an_option_that_left_is_decided_anew_beside_one_that_stays(settings: Settings, unique: str) -> None:
    decider = defined(settings, unique)._decider()
    one, two = (Asked(("page", name), ABC, {}, Ratio("value"), visitor="ann") for name in ("one", "two"))
    before = decider.decide_each([(one, None), (two, None)])
    assert [made.reason for made in before] == ["chosen", "chosen"]
    rest = [option for option in ABC if option != before[0].option]
    changed = replace(one, options=rest)
    after = decider.decide_each([(changed, None), (two, None)])
    assert [made.reason for made in after] == ["chosen", "sticky"]
    assert after[0].option in rest
    assert after[1].decision_id == before[1].decision_id
    assert [made.reason for made in decider.decide_each([(two, None), (changed, None)])] == ["sticky", "sticky"]
    twice = decider.decide_each([(replace(one, visitor="bob"), None)] * 2)
    assert twice[0].decision_id == twice[1].decision_id
    assert decider.decide_each([]) == []


@pytest.mark.parametrize("settings", IN_REDIS, indirect=True)
def test_twenty_flags_take_as_many_round_trips_as_one(
    settings: Settings, unique: str, trips: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a trial that is counted in between changes dictionaries, which are then asked for again
    monkeypatch.setattr("whale.decide.trials.PAUSE_S", 600.0)
    whale = defined(settings, unique)
    for i in range(20 - len(FLAGS)):
        whale.define_decision(f"more {i}", options=ABC, policy="split" if i % 2 else "thompson")
    decider = whale._decider()

    def most(visitor: str, **context: Any) -> int:
        trips.clear()
        ofrep.evaluate_all(whale.managed, request(visitor, **context))
        return max((trips.count(server) for server in trips), default=0)

    most("nobody")  # connects, and loads the scripts
    # sticky, kinds, dictionaries, counters, keep; three for the inverse of a cost; two for all values of these dimensions
    assert most("ann", country="DE", device="pc") <= 10
    assert most("ann", country="US", device="pc") == 1
    assert most("bob", country="US", device="pc") <= 8
    assert most("eve", country="US", device="pc") == 2
    decider.store().client.script_flush()
    assert most("joe", country="DE", device="mac") <= 11
    whale.flush()


def test_reads_of_several_are_those_of_each(settings: Settings, unique: str) -> None:
    store = defined(settings, unique).store
    today = day_start(int(NOW), "UTC")
    pks = [("decisions", name, "1", option) for name in FLAGS for option in ABC]
    paths: list[list[Path]] = [[()], [(), ("country", "US")], [("device", "mac"), (), ("no", "where")]]
    wanted = [(pk, paths[i % 3], ["hits", "earned", "none"][: i % 4]) for i, pk in enumerate([*pks, pks[2]])]
    for _ in range(2):  # dictionaries are read, and then they are known
        found = store.read_each(unique, wanted, DAY, [today - DAY, today])
        for cells, (pk, paths_, metrics) in zip(found, wanted, strict=True):
            one = store.read(unique, pk, paths_, metrics, DAY, [today - DAY, today])
            assert cells.shape == one.shape
            assert (cells == one).all()
        assert sum(int(cells.sum()) for cells in found) > 0
    Applier(store, settings).apply([message([{"pk": "kinds", "metrics": {"m": {"max": 1}}}], settings, unique)], NOW)
    names = [("decisions", name, "1") for name in FLAGS] + [("kinds",), ("nobody",), ("kinds",)]
    assert store.kinds_of(unique, names) == [store.kinds(unique, pk) for pk in names]
    assert store.kinds_of(unique, [("kinds",)]) == [{"m": "max"}]
    assert store.metrics_of(unique, names) == [store.metrics(unique, pk) for pk in names]
    assert store.metrics_of(unique, [("kinds",)]) == [["hits", "m"]]
    parents = [(), ("decisions",), ("decisions", next(iter(FLAGS)), "1"), ("nobody",)]
    assert store.pks_of(unique, parents) == [store.pks(unique, parent) for parent in parents]
    assert all(store.pks_of(unique, parents)[:2])
    asked = [(pk, path, levels) for pk in names for path in ((), ("country",), ("no",)) for levels in (1, 2)]
    assert store.descendants_of(unique, asked) == [store.descendants(unique, *each) for each in asked]
    assert any(store.descendants_of(unique, asked))
    assert (
        store.read_each(unique, [], DAY, [today])
        == store.kinds_of(unique, [])
        == store.metrics_of(unique, [])
        == store.pks_of(unique, [])
        == store.descendants_of(unique, [])
        == []
    )


def test_several_are_kept_and_found_as_each(settings: Settings, unique: str) -> None:
    store = open_store(settings)
    pks = [("page", str(i)) for i in range(6)]
    keeping = [Keeping(pk, "ann" if i % 3 else None, b"{}", f"n{i}", 100) for i, pk in enumerate(pks)]
    assert store.decisions_of(unique, [(pk, "ann") for pk in pks], NOW) == [None] * 6
    kept = store.keep_decisions(unique, keeping, NOW)
    assert [each.id.partition("-")[2] for each in kept] == [f"n{i}" for i in range(6)]
    found = store.decisions_of(unique, [(pk, "ann") for pk in pks], NOW)
    assert found == [each if i % 3 else None for i, each in enumerate(kept)]
    assert found == [store.decision_of(unique, pk, "ann", NOW) for pk in pks]
    again = [replace(each, nonce=f"m{i}", instead_of=kept[1].id) for i, each in enumerate(keeping)]
    assert [each.id.partition("-")[2] for each in store.keep_decisions(unique, again, NOW)] == [
        "m0", "m1", "n2", "m3", "n4", "n5"
    ]  # fmt: skip
    assert store.keep_decisions(unique, [], NOW) == store.decisions_of(unique, [], NOW) == []


def test_pks_are_found_by_the_beginning_of_their_names_in_any_case(settings: Settings, unique: str) -> None:
    store = open_store(settings)
    applier = Applier(store, settings)
    for seq, pk in enumerate(("Shop", "shed", "Straße", "ship", "é", "[x", "a*", ["a*", "shy"], ["a*", "Shoot"])):
        applier.apply([message([{"pk": pk}], settings, unique, seq)], NOW)
    found = {
        prefix: store.pks(unique, (), prefix)
        for prefix in ("sh", "SHE", "strasse", "STRAß", "É", "[", "a", "a*", "hop", "s")
    }
    assert found == {
        "sh": ["Shop", "shed", "ship"],
        "SHE": ["shed"],
        "strasse": ["Straße"],
        "STRAß": ["Straße"],
        "É": ["é"],
        "[": ["[x"],
        "a": ["a*"],
        "a*": ["a*"],
        "hop": [],
        "s": ["Shop", "shed", "Straße", "ship"],
    }  # fmt: skip
    assert store.pks(unique, ("a*",), "sho") == ["Shoot"]
    assert store.pks(unique, ("nobody",), "s") == []
    applier.apply([message([{"pk": "Shoes"}], settings, unique, 99)], NOW)
    assert store.pks(unique, (), "sho") == ["Shop", "Shoes"]
