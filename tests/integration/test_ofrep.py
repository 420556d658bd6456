"""Feature flags by the published OpenFeature client, against Whale as gunicorn runs it on a real Redis."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from hail.settings import load
from tests.servers import RedisServer, free_port, wait_until
from whale.client import Whale

KEYS = {"HAILWHALE_WRITE_KEY": "w" * 20, "HAILWHALE_READ_KEY": "r" * 20, "HAILWHALE_ADMIN_KEY": "a" * 20}
PATIENT = "from whale.decide import decider; decider.HURRY_S = 0.5; from gunicorn.app.wsgiapp import run; run()"
ANN = EvaluationContext("ann", {"country": {"US": "CA"}, "age": 42, "beta": True})


@pytest.fixture(scope="module")
def whale(module_redis: RedisServer) -> Whale:
    return Whale.connect(load({}).replace(redis_url=module_redis.url))


@pytest.fixture(scope="module")
def served(module_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    environ = {**os.environ, **KEYS, "HAILWHALE_REDIS_URL": module_redis.url, "HAILWHALE_DECIDE_SNAPSHOT_S": "0.001"}
    command = [
        sys.executable,
        "-c",
        PATIENT,
        "-k",
        "hail.server.WhaleWorker",
        "--threads",
        "4",
        "-b",
        f"127.0.0.1:{port}",
    ]
    log = tmp_path_factory.mktemp("whale") / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [*command, "whale.web:application"], cwd=Path(__file__).parents[2], env=environ, stdout=out, stderr=out
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url), what="Whale")
        yield url
    finally:
        running.terminate()
        running.wait(60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=20) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def flags(served: str) -> Iterator[OpenFeatureClient]:
    key = KEYS["HAILWHALE_READ_KEY"]
    api.set_provider(OFREPProvider(served, headers_factory=lambda: {"Authorization": f"Bearer {key}"}))
    yield api.get_client()
    api.clear_providers()


def test_values_of_each_type_come_as_they_were_defined(whale: Whale, flags: OpenFeatureClient) -> None:
    whale.define_decision("on", options={"on": True})
    whale.define_decision("text", options={"long": "Buy it now"})
    whale.define_decision("count", options={"three": 3})
    whale.define_decision("price", options={"full": 9.0})
    whale.define_decision("layout/page 1", options={"wide": {"columns": [1, 2], "hero": {"big": True}}})
    assert flags.get_boolean_value("on", False, ANN) is True
    assert flags.get_string_value("text", "", ANN) == "Buy it now"
    assert flags.get_integer_value("count", 0, ANN) == 3
    assert flags.get_float_value("price", 0.0, ANN) == 9.0
    assert flags.get_object_value("layout/page 1", {}, ANN) == {"columns": [1, 2], "hero": {"big": True}}


def test_a_visitor_keeps_his_variant_and_its_decision_can_be_rewarded(whale: Whale, flags: OpenFeatureClient) -> None:
    whale.define_decision("colour", options={"a": "red", "b": "green"}, weights={"a": 3, "b": 1}, by_metric="value")
    seen = {}
    for i in range(40):
        visitor = EvaluationContext(f"v{i}", {"country": "US"})
        first, again = (flags.get_string_details("colour", "", visitor) for _ in range(2))
        assert (first.reason, first.error_code) == (Reason.SPLIT, None)
        assert (again.value, again.variant, again.flag_metadata) == (first.value, first.variant, first.flag_metadata)
        assert first.flag_metadata["probability"] == {"a": 0.75, "b": 0.25}[str(first.variant)]
        assert whale.reward(str(first.flag_metadata["decision_id"]), {"value": 2})
        seen[i] = first.variant
    assert set(seen.values()) == {"a", "b"}

    def counted() -> bool:
        report = whale.decision_report("colour").report
        return report.decisions == 40 and all(option.rate == 2 for option in report.options)

    wait_until(counted, what="decisions are counted in the background")
    report = whale.decision_report("colour", dimension="country").report
    assert [segment.dimension for segment in report.segments] == ['["country", "US"]']
    assert sum(option.trials for option in report.segments[0].options) == 40


def test_reasons_and_errors_reach_the_program(whale: Whale, flags: OpenFeatureClient) -> None:
    whale.define_decision("learns", options={"a": True}, policy="thompson")
    whale.define_decision("won", options={"a": True, "b": False}, winner="b")
    whale.define_decision("off", options={"a": True, "b": False}, default="b", paused=True)
    whale.define_decision("code", options={"own": None})
    assert flags.get_boolean_details("learns", False, ANN).reason == Reason.TARGETING_MATCH
    assert flags.get_boolean_details("won", True, ANN).reason == Reason.STATIC
    assert flags.get_boolean_details("off", True, ANN).reason == Reason.DISABLED
    assert flags.get_boolean_details("off", True, ANN).value is False
    assert flags.get_integer_value("code", 7, ANN) == 7

    def code(flag: str, context: EvaluationContext) -> ErrorCode | None:
        found = flags.get_boolean_details(flag, True, context)
        assert found.value is True
        assert found.reason == Reason.ERROR
        return found.error_code

    assert code("none", ANN) == ErrorCode.FLAG_NOT_FOUND
    assert code("learns", EvaluationContext()) == ErrorCode.TARGETING_KEY_MISSING
    assert code("learns", EvaluationContext("ann", {"d": "x" * 300})) == ErrorCode.INVALID_CONTEXT
    whale.define_decision("words", options={"a": "on"})
    assert code("words", ANN) == ErrorCode.TYPE_MISMATCH


def test_without_a_key_nothing_is_evaluated(served: str, flags: OpenFeatureClient) -> None:
    api.set_provider(OFREPProvider(served))
    found = api.get_client().get_boolean_details("learns", True, ANN)
    assert (found.value, found.error_code, found.error_message) == (True, ErrorCode.GENERAL, "unauthorized")


def test_while_redis_is_away_a_split_holds(
    whale: Whale, served: str, flags: OpenFeatureClient, module_redis: RedisServer
) -> None:
    whale.define_decision("held", options={"a": "red", "b": "green"})
    visitors = [EvaluationContext(f"v{i}") for i in range(5)]
    before = [flags.get_string_value("held", "", visitor) for visitor in visitors]
    module_redis.sigstop()
    try:
        found = [flags.get_string_details("held", "", visitor) for visitor in visitors]
    finally:
        module_redis.sigcont()
    assert [each.value for each in found] == before
    wait_until(lambda: "decision_id" in flags.get_string_details("held", "", EvaluationContext("new")).flag_metadata)
