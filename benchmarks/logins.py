"""How long a wrong login takes: of a user, of nobody in the same account, and in no account. Strangers must not tell them apart.

    python -m benchmarks.logins              200 tries of each, in turns, on a Redis of its own
    python -m benchmarks.logins --tries 50

Nothing is asked over HTTP: `whale.logins.Logins` answers from Redis, as Whale's door calls it. The last figure is a right login that is
remembered.
"""

import argparse
import base64
import os
import statistics
import time
from typing import Any

from benchmarks.report import Figure, report
from hail.settings import load
from tests.servers import RedisServer
from whale.accounts import ALL, Act, User
from whale.logins import Logins
from whale.passwords import Passwords
from whale.store.redis import connect

TRIES = 200
ALIKE = 0.05
PASSWORD, WRONG = "korrekt pferd", "falsches pferd"
NAMES = {"user": "default/anna", "no user": "default/nobody", "no account": "nowhere/anna"}
APART_S = 3600.0  # nobody waits for having guessed before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=TRIES)
    options = parser.parse_args()
    report("logins", figures(measure(options.tries)))


def figures(took: dict[str, list[float]]) -> list[Figure]:
    medians = {name: statistics.median(times) for name, times in took.items()}
    found = [Figure(f"wrong login, {name}, p50", [medians[name] * 1000], "ms") for name in NAMES]
    for name in ("no user", "no account"):
        apart = abs(medians[name] / medians["user"] - 1)
        found.append(Figure(f"{name}, beside a user", [apart], "apart", ALIKE, less=True))
    found.append(Figure("right login, remembered, p50", [medians["remembered"] * 1000], "ms"))
    return found


def measure(tries: int) -> dict[str, list[float]]:
    """Seconds of each try, by name."""
    with RedisServer() as redis:
        settings = load({"HAILWHALE_REDIS_URL": redis.url})
        store, passwords, now = connect(settings), Passwords(os.urandom), [time.time()]
        anna = User("default", "anna", passwords.hash(PASSWORD), ALL, 1)
        store.add_entry(anna, Act(1, "benchmark", "add user", "default", "anna"))
        logins = Logins(store, settings, lambda: now[0], os.urandom(32), passwords)
        took: dict[str, list[float]] = {name: [] for name in (*NAMES, "remembered")}
        order = list(NAMES)
        for _ in range(tries):
            order.append(order.pop(0))
            for name in order:
                now[0] += APART_S
                took[name].append(seconds_of(logins, basic(NAMES[name], WRONG), False))
            right = basic(NAMES["user"], PASSWORD)
            seconds_of(logins, right, True)
            took["remembered"].append(seconds_of(logins, right, True))
        return took


def seconds_of(logins: Logins, environ: dict[str, Any], is_let_in: bool) -> float:
    begun = time.perf_counter()
    caller = logins.by_basic(environ)
    ended = time.perf_counter()
    assert bool(caller) is is_let_in
    return ended - begun


def basic(name: str, password: str) -> dict[str, Any]:
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": f"Basic {text}"}


if __name__ == "__main__":
    main()
