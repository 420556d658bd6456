"""How long Whale takes to answer, over HTTP, by one client on one connection; and how long where 100 times as many hits were counted.

    python -m benchmarks.query                 300 of each question
    python -m benchmarks.query --asks 1000

The hits: every day of a year and every minute of a day for one pk; and 1,000 values of a dimension on each of 30 days, with three
metrics. A second pair of pks has the same, each hit counted as 100: what 100 hits of the same kind leave behind. The two are asked
in turns, so that what else the machine does meets both alike.
"""

import argparse
import json
import statistics
import time
from urllib.parse import urlencode

from benchmarks.report import Figure, report
from benchmarks.services import Setup, answer_ms
from hail.hit import encode_hit, parse_hit
from hail.message import decode_message, encode_message
from hail.settings import DAY, Settings
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store.redis import connect

VALUES, DAYS, WARM = 1000, 30, 15
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
        for times in (1, 100):
            count(setup.settings, times)
        with setup.whale():
            for what, path, with_, target in ASKS:
                once, often = asked(setup.whale_port, path, with_, options.asks)
                for took, when in ((once, ""), (often, ", 100 x the hits")):
                    p99 = statistics.quantiles(took, n=100)[-1]
                    figures.append(Figure(f"{what}{when}, p50", [statistics.median(took)], "ms"))
                    figures.append(Figure(f"{what}{when}, p99", [p99], "ms", target, less=True))
                ratio = statistics.median(often) / statistics.median(once)
                figures.append(Figure(f"{what}, p50 of 100 x / of 1 x", [ratio], "", 1.2, less=True))
    report("query", figures)


def count(settings: Settings, times: int) -> None:
    """Counts every hit of the data so many times over, for pks of that name."""
    applier, now = Applier(connect(settings), settings), time.time()
    one, many = f"one{times}", f"many{times}"
    given = [
        {"pk": one, "at": now - day * DAY, "metrics": {"hits": times, "revenue": 2.5 * times}} for day in range(365)
    ]
    given += [{"pk": one, "at": now - 60 * m, "metrics": {"hits": times, "revenue": 0.25 * times}} for m in range(1440)]
    for day in range(DAYS):
        for value in range(VALUES):
            amounts = {"hits": times, "revenue": value / 4 * times, "cost": times, "visitors": (value % 7 + 1) * times}
            given.append({"pk": many, "at": now - day * DAY, "dimensions": {"value": f"v{value}"}, "metrics": amounts})
    for seq, first in enumerate(range(0, len(given), 5000)):
        rows = [encode_hit(parse_hit(hit, settings, now)) for hit in given[first : first + 5000]]
        body = encode_message(f"{times:016x}", seq, "default", first + len(rows), int(now * 1000), rows)
        applier.apply([decode_message(body)], now)


def asked(port: int, path: str, with_: dict[str, str], times: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each answer, of the pk with few hits and of the one with many, asked in turns."""
    few, many = (f"{path}?{urlencode({**with_, 'pk': with_['pk'] + hits})}" for hits in ("1", "100"))
    took = answer_ms(port, [few, many] * (WARM + times), 2 * WARM)
    return took[::2], took[1::2]


if __name__ == "__main__":
    main()
