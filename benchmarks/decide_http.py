"""How long Whale takes to decide, over HTTP, by one client on one connection, on a Redis with AOF always.

    python -m benchmarks.decide_http                 1,000 of each question
    python -m benchmarks.decide_http --asks 3000

The outcomes: 20 countries (Zipf) x 4 devices, 400 hits an option. New visitors each come with a context of their own, as in traffic: so
most asks find no snapshot of their context, and read the counters.
"""

import argparse
import json
import random
import statistics
import time
from urllib.parse import urlencode

from benchmarks.report import Figure, report
from benchmarks.services import Setup, answer_ms
from hail.hit import encode_hit, parse_decided
from hail.message import decode_message, encode_message
from hail.settings import Settings
from tests.servers import RedisServer
from whale.count.apply import Applier
from whale.store.redis import connect

COUNTRIES, DEVICES, OUTCOMES, WARM = 20, 4, 400, 50
TARGET_MS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=1000)
    options = parser.parse_args()
    rng, figures = random.Random(1), []
    with RedisServer() as redis:
        setup = Setup(redis.url)
        for count in (5, 50):
            count_outcomes(setup.settings, count, rng)
        with setup.whale():
            for what, size, visitors in (
                ("5 options, a new visitor", 5, "new"),
                ("5 options, a visitor who comes again", 5, "same"),
                ("5 options, no visitor", 5, ""),
                ("50 options, a new visitor", 50, "new"),
            ):
                took = asked(setup.whale_port, size, visitors, options.asks, rng)
                figures.append(Figure(f"{what}, p50", [statistics.median(took)], "ms"))
                p99 = statistics.quantiles(took, n=100)[-1]
                figures.append(Figure(f"{what}, p99", [p99], "ms", TARGET_MS if size == 5 else None, less=True))
    report("decide_http", figures)


def context(rng: random.Random) -> dict[str, str]:
    weights = [1 / (rank + 1) for rank in range(COUNTRIES)]
    country = rng.choices(range(COUNTRIES), weights)[0]
    return {"country": f"c{country}", "device": f"d{rng.randrange(DEVICES)}"}


def count_outcomes(settings: Settings, count: int, rng: random.Random) -> None:
    applier, now = Applier(connect(settings), settings), time.time()
    for option in range(count):
        rows = []
        for _ in range(OUTCOMES):
            earned = {"value": int(rng.random() < 0.05 + 0.01 * (option % 3))}
            given = {"pk": f"page{count}", "option": f"o{option}", "dimensions": context(rng), "metrics": earned}
            rows.append(encode_hit(parse_decided(given, settings, now)))
        body = encode_message(f"{count:016x}", option, "default", (option + 1) * OUTCOMES, int(now * 1000), rows)
        applier.apply([decode_message(body)], now)


def asked(port: int, size: int, visitors: str, times: int, rng: random.Random) -> list[float]:
    """Milliseconds of each answer."""
    names = json.dumps([f"o{option}" for option in range(size)])

    def address(nth: int) -> str:
        given = {"pk": f"page{size}", "options": names, "dimensions": json.dumps(context(rng))}
        if visitors:
            given["visitor"] = f"{size}-{visitors}-{nth if visitors == 'new' else nth % WARM}"
        return f"/decide?{urlencode(given)}"

    return answer_ms(port, map(address, range(WARM + times)), WARM)


if __name__ == "__main__":
    main()
