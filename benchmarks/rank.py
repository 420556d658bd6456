"""How long a ranking takes over HTTP, alone and with many clients; and beside DuckDB on the raw hits, of equal answers.

    pip install '.[bench]'
    python -m benchmarks.rank                       1 million hits
    python -m benchmarks.rank --hits 10000000

The hits: 30 days; a country of 200 (Zipf) and a page of 10,000 (Zipf); impressions, clicks, visitors, sales and revenue. DuckDB holds
every hit, as columns in its memory; Whale what they add up to by day, country and page, which is what counting them leaves behind.
Whale answers over HTTP, DuckDB within the process that asks it.
"""

import argparse
import http.client
import json
import math
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from benchmarks.report import Figure, report
from benchmarks.services import Setup, answer_ms
from hail.hit import encode_hit, parse_hit
from hail.message import decode_message, encode_message
from hail.settings import DAY
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store.redis import connect

DAYS, COUNTRIES, PAGES, WARM = 30, 200, 10_000, 20
METRICS = ["impressions", "clicks", "visitors", "sales", "revenue"]
Columns = dict[str, np.ndarray[Any, Any]]
ASKS = {
    "10,000 pages by revenue/visitors": ("page", "revenue/visitors", ["revenue", "visitors"], "value", 25.0),
    "the same by confidence": ("page", "revenue/visitors", ["revenue", "visitors"], "confidence", None),
    "200 countries, five metrics, by revenue/visitors": ("country", "revenue/visitors", METRICS, "value", 10.0),
    "200 countries by sales": ("country", "sales", ["sales"], "value", 10.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hits", type=int, default=1_000_000)
    parser.add_argument("--asks", type=int, default=300)
    parser.add_argument("--clients", type=int, default=50)
    options = parser.parse_args()
    hits = made(options.hits)
    duck = duck_of(hits)
    figures = []
    with RedisServer(appendonly="no") as redis:
        setup = Setup(redis.url, HAILWHALE_PERIODS=f"(({DAY}, None),)")
        count(setup, hits)
        with setup.whale() as service:
            for what, (dimension, by, columns, order, target) in ASKS.items():
                address = address_of(dimension, by, columns, order)
                took = answer_ms(setup.whale_port, [address] * (WARM + options.asks), WARM)
                figures += figures_of(what, took, target)
                if order == "value":
                    check(answer(setup.whale_port, address), duck(dimension, by, columns))
                    query = [timed(lambda d=dimension, b=by, c=columns: duck(d, b, c)) for _ in range(WARM)]
                    figures.append(Figure(f"{what}, DuckDB, p50", [statistics.median(query)], "ms"))
                    ratio = statistics.median(query) / statistics.median(took)
                    figures.append(Figure(f"{what}, DuckDB / Whale over HTTP", [ratio], ""))
            before = memory_mb(service.process.pid)
            for what in (next(iter(ASKS)), list(ASKS)[2]):
                dimension, by, columns, order, _ = ASKS[what]
                took, rate = crowd(setup.whale_port, address_of(dimension, by, columns, order), options)
                figures += figures_of(f"{what}, {options.clients} clients", took, None)
                figures.append(Figure(f"{what}, {options.clients} clients", [rate], "answers/s"))
                queueing = options.clients / rate * 1000
                p99 = percentile(took, 0.99)
                figures.append(
                    Figure(f"{what}, {options.clients} clients, p99 / clients x time of one", [p99 / queueing], "")
                )
            after = memory_mb(service.process.pid)
            figures += [Figure("Whale's memory before the crowd", [before], "MB"), Figure("after it", [after], "MB")]
    report("rank", figures, [f"{options.hits:,} hits; {options.asks} of each question"])


def made(count: int) -> Columns:
    """The hits, a column each; revenue in quarters, which every sum of floats has exactly."""
    draw = np.random.default_rng(1)

    def zipf(values: int) -> np.ndarray[Any, Any]:
        share = 1 / np.arange(1, values + 1)
        return draw.choice(values, count, p=share / share.sum()).astype(np.int32)

    sales = (draw.random(count) < 0.05).astype(np.int64)
    return {
        "day": draw.integers(0, DAYS, count, dtype=np.int32),
        "country": zipf(COUNTRIES),
        "page": zipf(PAGES),
        "impressions": draw.integers(1, 5, count),
        "clicks": draw.integers(0, 2, count),
        "visitors": (draw.random(count) < 0.4).astype(np.int64),
        "sales": sales,
        "revenue": sales * draw.integers(1, 400, count) / 4,
    }


def duck_of(hits: Columns) -> Callable[[str, str, list[str]], list[tuple[Any, ...]]]:
    try:
        import duckdb
    except ImportError:
        raise SystemExit("this needs DuckDB: pip install '.[bench]'") from None
    con = duckdb.connect()
    con.register("given", hits)
    con.execute("CREATE TABLE hits AS SELECT * FROM given")

    def ask(dimension: str, by: str, columns: list[str]) -> list[tuple[Any, ...]]:
        above, _, below = by.partition("/")
        formula = f"sum({above}) / nullif(sum({below}), 0)" if below else f"sum({above})"
        sums = ", ".join(f"sum({column})" for column in columns)
        return con.execute(
            f"SELECT {dimension}, {formula} AS value, {sums} FROM hits WHERE day BETWEEN 0 AND {DAYS - 1} GROUP BY {dimension}"
            " ORDER BY value DESC NULLS LAST LIMIT 10"
        ).fetchall()

    return ask


def count(setup: Setup, hits: Columns) -> None:
    """Counts, for each day and each country or page, one hit that has all their sums."""
    applier, now, seq = Applier(connect(setup.settings), setup.settings), time.time(), 0
    for dimension, values in (("country", COUNTRIES), ("page", PAGES)):
        place = hits["day"].astype(np.int64) * values + hits[dimension]
        names = ["hits", *METRICS]
        sums = [np.bincount(place, hits.get(name), DAYS * values).reshape(DAYS, values) for name in names]
        for day in range(DAYS):
            at = now - day * DAY
            rows = [
                {"pk": dimension, "dimensions": f"{value}", "at": at, "metrics": dict(zip(names, amounts, strict=True))}
                for value, amounts in enumerate(zip(*(each[day].tolist() for each in sums), strict=True))
                if amounts[0]
            ]
            wire = [encode_hit(parse_hit(row, setup.settings, now)) for row in rows]
            body = encode_message("0" * 16, seq, "default", len(wire), int(now * 1000), wire)
            applier.apply([decode_message(body)], now)
            seq += 1


def address_of(dimension: str, by: str, columns: list[str], order: str) -> str:
    asked = {"pk": dimension, "by": by, "columns": json.dumps(columns), "order": order, "period": f"1d:{DAYS - 1}d"}
    return f"/rank?{urlencode(asked)}"


def check(found: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    """The same values, and for each row that both have the same sums: equal values may stand in another order."""
    rows = {row["path"]: row for row in found["rows"]}
    values = [row["value"] for row in found["rows"]]
    assert all(map(math.isclose, values, [row[1] for row in expected])), (values, expected)
    assert len(values) == len(expected)
    for name, _, *sums in expected:
        if str(name) in rows:
            assert all(map(math.isclose, rows[str(name)]["columns"].values(), sums)), (rows[str(name)], sums)


def answer(port: int, address: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", address)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    connection.close()
    found: dict[str, Any] = json.loads(body)
    return found


def crowd(port: int, address: str, options: argparse.Namespace) -> tuple[list[float], float]:
    """Milliseconds of each answer where so many ask at once, each as soon as it has its answer; and answers a second."""
    took: list[float] = []
    each = max(2, options.asks // options.clients)

    def one() -> None:
        took.extend(answer_ms(port, [address] * (1 + each), 1))

    clients = [threading.Thread(target=one) for _ in range(options.clients)]
    begun = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return took, options.clients * (each + 1) / (time.perf_counter() - begun)


def timed(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1000


def figures_of(what: str, took: Sequence[float], target: float | None) -> list[Figure]:
    p99 = Figure(f"{what}, p99", [percentile(took, 0.99)], "ms", target, less=True)
    return [Figure(f"{what}, p50", [statistics.median(took)], "ms"), p99]


def percentile(took: Sequence[float], share: float) -> float:
    return sorted(took)[min(len(took) - 1, int(len(took) * share))]


def memory_mb(pid: int) -> float:
    """Resident memory of a process and those it started."""
    found = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            said = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(pid) in (said["Pid"].strip(), said["PPid"].strip()):
            found += int(said.get("VmRSS", "0 kB").split()[0]) / 1024
    return found


if __name__ == "__main__":
    main()
