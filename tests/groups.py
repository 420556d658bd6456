"""Which tests share a worker, and in which order all begin. `make test` runs two workers beside each other (pytest-xdist, decision
071). A test that stands in neither set goes to the worker that is free.

Each worker has servers of its own (tests/conftest.py), so a test may kill and stop the shared ones; no port is told to two.
"""

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).parent

# One after the other, on one worker, from the beginning: they measure memory, or answers within a deadline.
SERIAL = {
    "integration/test_bodies.py",
    "integration/test_hail.py",
    "integration/test_memory.py",
    "integration/test_proof_embedded.py",
    "integration/test_proof_farm.py",
    "integration/test_publish.py",
    "integration/test_starts_of_parts.py",
    "integration/test_starts_with_redis.py",
    "integration/test_strangers.py",
    "integration/test_unconfirmed.py",
}

# Each on one worker, since its module starts servers of its own.
TOGETHER = {
    "integration/test_account_keys.py",
    "integration/test_agent.py",
    "integration/test_demo.py",
    "integration/test_doors.py",
    "integration/test_flights.py",
    "integration/test_live.py",
    "integration/test_log_moving.py",
    "integration/test_moving.py",
    "integration/test_newer_data.py",
    "integration/test_ofrep.py",
    "integration/test_openapi.py",
    "integration/test_reset.py",
    "integration/test_rewards.py",
    "integration/test_up.py",
    "integration/test_upgrade.py",
}


def group_of(file: str) -> str | None:
    """file: below the folder of this one."""
    if file.startswith("browser/"):
        return "browser"  # one Chromium, one `hailwhale up` and one farm for all
    if file in SERIAL:
        return "serial"
    return file if file in TOGETHER else None


def sort(items: list[pytest.Item]) -> None:
    """The serial group begins, and lasts for half of the run. Beside it are tests that ask little of the machine but its other core;
    then groups, which start many processes; single ones at the end, so that both workers end together."""
    items.sort(key=lambda item: _turn(item.path.relative_to(HERE).as_posix()))


def _turn(file: str) -> int:
    group = group_of(file)
    if group == "serial":
        return 0
    if file.startswith(("conformance/", "contract/", "recorded/")):
        return 1
    return 2 if group else 3


class InGroups(LoadScopeScheduling):
    """The worker that is free gets the next group, or the next test that is in none.

    Not `--dist loadgroup` and its marks: pytest-xdist 3.8.0 hands them on in a field that tests of pytest 9.2 do not have.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0].removeprefix("tests/")) or nodeid
