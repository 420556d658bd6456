"""How long Whale takes to say which of 10,000 values explain a change, over HTTP, by one client on one connection.

    python -m benchmarks.factors                 200 of each question
    python -m benchmarks.factors --asks 1000

The hits: 10,000 values of a dimension on each of 60 days, 20 of them with 5 values below, with three metrics. One value loses half of its
visitors in the second half, one a third of its sales, the others move by chance (fixed seed).
"""

import argparse
import random
import statistics
import time
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from benchmarks.report import Figure, report
from benchmarks.services import Setup, answer_ms
from hail.hit import encode_hit, parse_hit
from hail.message import decode_message, encode_message
from hail.settings import DAY, Settings
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store.redis import connect

VALUES, DAYS, WARM, PK = 10_000, 60, 10, "many"
OPEN = {"pk": PK, "period": f"1d:{DAYS // 2 - 1}d"}
CLOSED = {"pk": PK, "start": f"{date.today() - timedelta(DAYS // 2)}", "finish": f"{date.today()}"}
ASKS = [
    ("10,000 values x 30 days and the 30 before, a count", {**CLOSED, "metric": "visitors"}),
    ("the same, a ratio", {**CLOSED, "metric": "sales/visitors"}),
    ("the same, today cut at the hour", {**OPEN, "metric": "sales/visitors"}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=200)
    options = parser.parse_args()
    figures = []
    with RedisServer(appendonly="no") as redis:
        setup = Setup(redis.url)
        count(setup.settings)
        with setup.whale():
            for what, with_ in ASKS:
                address = f"/factors?{urlencode(with_)}"
                took = answer_ms(setup.whale_port, [address] * (WARM + options.asks), WARM)
                p99 = statistics.quantiles(took, n=100)[-1]
                figures.append(Figure(f"{what}, p50", [statistics.median(took)], "ms"))
                figures.append(Figure(f"{what}, p99", [p99], "ms", 100.0, less=True))
    report("factors", figures)


def count(settings: Settings) -> None:
    """Counts the data, a message a day."""
    applier, now, draw = Applier(connect(settings), settings), time.time(), random.Random(5)
    for day in range(DAYS):
        rows = []
        for value in range(VALUES):
            visitors = draw.randrange(10, 30) * (10 if value == 7 and day >= DAYS // 2 else 5 if value == 7 else 1)
            sales = sum(draw.random() < (0.1 if value == 8 and day < DAYS // 2 else 0.2) for _ in range(visitors))
            tree: Any = {f"v{value}": f"below{value % 5}"} if value < 20 else f"v{value}"
            metrics = {"hits": visitors, "visitors": visitors, "sales": sales}
            hit = {"pk": PK, "at": now - day * DAY, "dimensions": {"value": tree}, "metrics": metrics}
            rows.append(encode_hit(parse_hit(hit, settings, now)))
        for part, first in enumerate(range(0, VALUES, 2000)):
            some = rows[first : first + 2000]
            body = encode_message("0" * 16, day * 10 + part, "default", len(some), int(now * 1000), some)
            applier.apply([decode_message(body)], now)


if __name__ == "__main__":
    main()
