"""Which tests share a worker. `make test` runs two workers beside each other (pytest-xdist, decision 071); here it is decided who
is beside whom. A test that stands in neither set goes to the worker that is free, in any order.

Each worker has servers of its own (tests/conftest.py), so a test may kill and stop the shared ones; no port is told to two.
"""

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).parent

# One after the other, on one worker, from the beginning: they measure memory, or answers within a deadline, or need most of the machine.
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
    "integration/test_doors.py",
    "integration/test_flights.py",
    "integration/test_moving.py",
    "integration/test_ofrep.py",
    "integration/test_openapi.py",
    "integration/test_reset.py",
    "integration/test_rewards.py",
    "integration/test_up.py",
}


def group_of(file: str) -> str | None:
    """file: below the folder of this one."""
    if file.startswith("browser/"):
        return "browser"  # one Chromium, one `hailwhale up` and one farm for all
    if file in SERIAL:
        return "serial"
    return file if file in TOGETHER else None


def sort(items: list[pytest.Item]) -> None:
    """Groups come first, the serial one before all: whatever is left at the end is short, so both workers end together."""
    order = {"serial": 0, None: 2}
    items.sort(key=lambda item: order.get(group_of(item.path.relative_to(HERE).as_posix()), 1))


class InGroups(LoadScopeScheduling):
    """The worker that is free gets the next group, or the next test that is in none.

    Not `--dist loadgroup` and its marks: pytest-xdist 3.8.0 hands them on in a field that tests of pytest 9.2 do not have.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0].removeprefix("tests/")) or nodeid
