"""Real input: 336,776 flights imported, and a third of them sent to Hail, equal to the last digit to what the file says.

The expected figures come from the csv module and fractions alone. `make test-long PART=oracle` sends all of them to Hail, too.
"""

import csv
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
import requests

from hail.settings import Settings, load
from tests.fetch_flights import flights_zip
from tests.servers import RabbitMQ, RedisServer, free_port, wait_until
from tests.wsgi import call
from whale.client import Whale
from whale.commands.supervisor import hail_command, hailwail_command, worker_command
from whale.web import make_app

FLIGHTS = 336_776
METRICS = ("distance", "dep_delay", "arr_delay")
BATCH = 500
CLIENTS = 8
PERIODS = "((86400, None), ('1mo', None))"  # of flights in 2013 nothing finer is kept anyway
MAPPING = Path(__file__).parents[2] / "examples" / "flights.toml"


@dataclass
class Figures:
    """What is compared."""

    totals: dict[str, int] = field(default_factory=dict)
    months: dict[str, dict[int, int]] = field(default_factory=dict)
    delay_by_carrier: dict[str, float] = field(default_factory=dict)
    busiest: list[tuple[str, int]] = field(default_factory=list)


def rows(every: int) -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(flights_zip()) as archive, archive.open("flights.csv") as file:
        yield from itertools.islice(csv.DictReader(io.TextIOWrapper(file, "utf-8")), 0, None, every)


@cache
def expected_of(every: int) -> Figures:
    totals, busiest = Counter[str](), Counter[str]()
    months: dict[str, Counter[int]] = {name: Counter() for name in ("hits", *METRICS)}
    delays, flights = Counter[str](), Counter[str]()
    for row in rows(every):
        year, number = row["time_hour"][:4], row["time_hour"][5:7]
        month = int(datetime(int(year), int(number), 1, tzinfo=UTC).timestamp()) * 1000
        amounts = {"hits": 1} | {name: int(row[name]) for name in METRICS if row[name] not in ("", "NA")}
        for name, amount in amounts.items():
            totals[name] += amount
            months[name][month] += amount
        flights[row["carrier"]] += 1
        delays[row["carrier"]] += amounts.get("arr_delay", 0)
        busiest[row["dest"]] += 1
    ratios = {carrier: float(Fraction(delays[carrier], count)) for carrier, count in flights.items()}
    top = sorted(busiest.items(), key=lambda item: (-item[1], item[0]))[:10]
    return Figures(dict(totals), {name: dict(found) for name, found in months.items()}, ratios, top)


def test_the_file_is_the_one_we_know() -> None:
    expected = expected_of(1)
    assert expected.totals == {"hits": 336_776, "distance": 350_217_607, "dep_delay": 4_152_200, "arr_delay": 2_257_174}
    assert len(expected.delay_by_carrier) == 16


def answered(settings: Settings) -> Figures:
    """The same figures from Whale, over HTTP."""
    app = make_app(settings, Whale.connect(settings))

    def get(path: str, **parameters: Any) -> Any:
        answer = call(app, "GET", path, {name: _text(value) for name, value in parameters.items()})
        assert answer.status == 200, answer.text
        return answer.json

    year, by_month = "2013-01-01..2014-02-01", "1mo:20y"
    metrics = ["hits", *METRICS]
    totals = get("/totals", pk="flights", metrics=metrics, period=year)[year]["_"]
    plot = get("/plotpoints", pk="flights", metrics=metrics, period=by_month)["_"]
    months = {name: {start: value for start, value in plot[name] if value} for name in metrics}
    ratios = {}
    for text in get("/pks", pk="flights"):
        carrier = json.loads(text)[1]
        found = get("/totals", pk=["flights", carrier], metrics=["arr_delay/hits"], period=year)
        ratios[carrier] = found[year]["_"]["arr_delay/hits"]
    below = get("/plotpoints", pk="flights", dimensions=["origin"], metrics=["hits"], depth=2, period=by_month, limit=0)
    destinations = Counter[str]()
    for text, found in below.items():
        path = json.loads(text) if text.startswith("[") else [text]
        if len(path) == 3:
            destinations[path[2]] += sum(value for _, value in found["hits"])
    top = sorted(destinations.items(), key=lambda item: (-item[1], item[0]))[:10]
    return Figures(totals, months, ratios, top)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def check(settings: Settings, expected: Figures) -> None:
    found = answered(settings)
    assert found.totals == expected.totals
    assert found.months == expected.months
    assert found.delay_by_carrier == expected.delay_by_carrier
    assert found.busiest == expected.busiest
    whale = Whale.connect(settings)
    stored = whale.store.read("default", ("flights",), [(None, c) for c in expected.delay_by_carrier], ["hits"], "1mo",
                              [start // 1000 for start in expected.months["hits"]])  # fmt: skip
    assert int(stored.sum()) == expected.totals["hits"]
    publishers = whale.store.audit("default")
    assert sum(row.hits for row in publishers) == sum(row.total for row in publishers) == expected.totals["hits"]
    assert (sum(sum(row.dropped.values()) for row in publishers), whale.store.faults("default")) == (0, {})


class Farm:
    """Settings, and the processes that were started with them."""

    def __init__(self, folder: Path, redis_url: str, **more: str):
        own = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
        chosen = {
            "DATA_DIR": str(folder / "var"),
            "REDIS_URL": redis_url,
            "HAIL_BIND": f"127.0.0.1:{free_port()}",
            "PERIODS": PERIODS,
            **more,
        }
        self.environ = own | {f"HAILWHALE_{name}": value for name, value in chosen.items()}
        self.settings = load(self.environ)
        self._output = folder / "output"
        self._stack = ExitStack()

    def __enter__(self) -> "Farm":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        output = self._stack.enter_context(self._output.open("ab"))
        process = subprocess.Popen(command, env=self.environ, stdout=output, stderr=output, start_new_session=True)
        self._stack.callback(_end, process)
        return process

    def wait_for_hail(self) -> None:
        def ready() -> bool:
            try:
                return requests.get(f"http://{self.settings.hail_bind}/readyz", timeout=5).status_code == 200
            except requests.ConnectionError:
                return False

        wait_until(ready, what="Hail")

    def said(self) -> str:
        return self._output.read_text()

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "whale.cli", *words], env=self.environ, capture_output=True, text=True, timeout=240
        )

    @cached_property
    def whale(self) -> Whale:
        return Whale.connect(self.settings)

    def counted(self) -> int:
        return sum(row.hits for row in self.whale.store.audit("default"))

    def wait_for(self, flights: int) -> None:
        """Asks seldom: whoever counts them needs the machine."""
        wait_until(lambda: self.counted() == flights, 240, "all flights", pause_s=0.2)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def send_all(farm: Farm, batches: Iterator[bytes]) -> None:
    """Every flight by POST /batch, from several clients; a batch that Hail has no room for comes again."""
    lock, wrong = threading.Lock(), list[str]()

    def work() -> None:
        with requests.Session() as session:
            while not wrong:
                with lock:
                    body = next(batches, None)
                if body is None:
                    return
                while (answer := session.post(f"http://{farm.settings.hail_bind}/batch", body)).status_code == 503:
                    time.sleep(0.1)
                if answer.status_code != 202 or answer.json()["accepted"] != body.count(b"\n"):
                    wrong.append(answer.text)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@cache
def batches_of(every: int) -> list[bytes]:
    """As bodies of POST /batch."""
    bodies: list[bytes] = []
    lines: list[bytes] = []
    for row in rows(every):
        hit: dict[str, Any] = {"pk": ["flights", row["carrier"]], "at": row["time_hour"]}
        hit["dimensions"] = {"origin": {row["origin"]: row["dest"]}}
        if row["tailnum"] not in ("", "NA"):
            hit["dimensions"]["plane"] = row["tailnum"]
        hit["metrics"] = {name: int(row[name]) for name in METRICS if row[name] not in ("", "NA")}
        lines.append(json.dumps(hit).encode() + b"\n")
        if len(lines) == BATCH:
            bodies.append(b"".join(lines))
            lines = []
    return [*bodies, b"".join(lines)] if lines else bodies


def closes(farm: Farm, flights: int) -> None:
    audit = farm.run("audit", "--json", "--wait", "60")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    whole = json.loads(audit.stdout)["all"]
    assert (whole["accepted"], whole["counted"], whole["missing"]) == (flights, flights, 0)


def come_in(farm: Farm, every: int) -> None:
    send_all(farm, iter(batches_of(every)))
    expected = expected_of(every)
    farm.wait_for(expected.totals["hits"])
    check(farm.settings, expected)
    closes(farm, expected.totals["hits"])


EVERY = pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long(part="oracle"))])


@EVERY
@pytest.mark.timeout(600)
def test_flights_through_hail_rabbitmq_and_celery(
    tmp_path: Path, own_redis: RedisServer, rabbitmq: RabbitMQ, unique: str, every: int
) -> None:
    with Farm(tmp_path, own_redis.url, BROKER_URL=rabbitmq.url, QUEUE=unique) as farm:
        farm.start(worker_command(farm.settings))
        farm.start(hailwail_command(farm.settings))  # what a slow moment sent to the spool
        farm.start(hail_command(farm.settings))
        farm.wait_for_hail()
        come_in(farm, every)


@EVERY
@pytest.mark.timeout(600)
def test_flights_through_the_embedded_path(tmp_path: Path, own_redis: RedisServer, every: int) -> None:
    with Farm(tmp_path, own_redis.url) as farm:
        farm.start(hailwail_command(farm.settings))
        farm.start(hail_command(farm.settings))
        farm.wait_for_hail()
        come_in(farm, every)


@pytest.mark.timeout(600)
def test_flights_imported_killed_and_imported_again_count_once(tmp_path: Path, own_redis: RedisServer) -> None:
    expected = expected_of(1)
    words = ("import", str(flights_zip()), "--mapping", str(MAPPING))
    with Farm(tmp_path, own_redis.url) as farm:
        killed = farm.start([sys.executable, "-m", "whale.cli", *words])
        wait_until(lambda: 20_000 < farm.counted() < FLIGHTS, 60, "some of the flights")
        killed.kill()
        killed.wait()
        before = farm.counted()
        assert before < FLIGHTS
        again = farm.run(*words)
        assert again.returncode == 0, again.stderr
        assert f"336,776 of 336,776 rows counted ({before:,} of them before), refused: none" in again.stderr
        check(farm.settings, expected)
        again = farm.run(*words)
        assert "nothing to count: all 336,776 rows were counted on " in again.stderr
        check(farm.settings, expected)
        closes(farm, FLIGHTS)
