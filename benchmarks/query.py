"""How long Whale takes to answer, over HTTP, by one client on one connection; and again after 100 times as many hits.

    python -m benchmarks.query                 300 of each question
    python -m benchmarks.query --asks 1000

The hits: every day of a year and every minute of a day for one pk; and 1,000 values of a dimension on each of 30 days, with three
metrics. The second time each of them is counted as 99 more: what 99 more hits of the same kind would leave behind.
"""

import argparse
import http.client
import json
import statistics
import time
from urllib.parse import urlencode

from benchmarks.report import Figure, report
from benchmarks.services import Setup
from hail.hit import encode_hit, parse_hit
from hail.message import decode_message, encode_message
from hail.settings import DAY, Settings
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store.redis import connect

VALUES, DAYS, WARM = 1000, 30, 30
METRICS = ["revenue", "cost", "visitors"]
MANY = {"pk": "many", "dimensions": "value", "depth": "1", "metrics": json.dumps(METRICS), "period": f"1d:{DAYS - 1}d"}
ASKS = [
    ("1 series x 365 points", "/plotpoints", {"pk": "one", "metrics": "revenue", "period": "1d:364d"}, 10.0),
    ("totals of 5 periods", "/totals", {"pk": "one", "metrics": '["hits", "revenue"]'}, 5.0),
    ("depth 1, 1,000 values x 3 metrics x 30 days, top 10", "/plotpoints", {**MANY, "limit": "10"}, 50.0),
    ("the same by a ratio", "/plotpoints", {**MANY, "limit": "10", "sort": "-revenue/visitors"}, 50.0),
    ("the same, all 90,000 points", "/plotpoints", {**MANY, "limit": "0"}, 50.0),
    ("1,440 minutes", "/plotpoints", {"pk": "one", "metrics": "revenue", "period": "1m:1439m"}, 15.0),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=300)
    options = parser.parse_args()
    figures = []
    with RedisServer(appendonly="no") as redis:
        setup = Setup(redis.url)
        count(setup.settings, 1)
        with setup.whale():
            before = {what: asked(setup.whale_port, path, with_, options.asks) for what, path, with_, _ in ASKS}
            count(setup.settings, 99)
            after = {what: asked(setup.whale_port, path, with_, options.asks) for what, path, with_, _ in ASKS}
    for what, _, _, target in ASKS:
        for took, when in ((before[what], ""), (after[what], ", 100 x the hits")):
            figures.append(Figure(f"{what}{when}, p50", [statistics.median(took)], "ms"))
            figures.append(
                Figure(f"{what}{when}, p99", [statistics.quantiles(took, n=100)[-1]], "ms", target, less=True)
            )
        ratio = statistics.median(after[what]) / statistics.median(before[what])
        figures.append(Figure(f"{what}, p50 after / before", [ratio], "", 1.2, less=True))
    report("query", figures)


def count(settings: Settings, hits: int) -> None:
    """Counts every hit of the data so many times over."""
    applier, now = Applier(connect(settings), settings), time.time()
    given = [
        {"pk": "one", "at": now - day * DAY, "metrics": {"hits": hits, "revenue": 2.5 * hits}} for day in range(365)
    ]
    given += [{"pk": "one", "at": now - 60 * m, "metrics": {"hits": hits, "revenue": 0.25 * hits}} for m in range(1440)]
    for day in range(DAYS):
        for value in range(VALUES):
            amounts = {"hits": hits, "revenue": value / 4 * hits, "cost": hits, "visitors": (value % 7 + 1) * hits}
            given.append(
                {"pk": "many", "at": now - day * DAY, "dimensions": {"value": f"v{value}"}, "metrics": amounts}
            )
    for seq, first in enumerate(range(0, len(given), 5000)):
        rows = [encode_hit(parse_hit(hit, settings, now)) for hit in given[first : first + 5000]]
        body = encode_message(f"{hits:016x}", seq, "default", first + len(rows), int(now * 1000), rows)
        applier.apply([decode_message(body)], now)


def asked(port: int, path: str, with_: dict[str, str], times: int) -> list[float]:
    """Milliseconds of each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    took = []
    for nth in range(WARM + times):
        begun = time.perf_counter()
        connection.request("GET", f"{path}?{urlencode(with_)}")
        answer = connection.getresponse()
        body = answer.read()
        if nth >= WARM:
            took.append((time.perf_counter() - begun) * 1000)
        assert answer.status == 200, body
    connection.close()
    return took


if __name__ == "__main__":
    main()
