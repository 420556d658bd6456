"""Which tests share a worker. `make test` runs two workers beside each other (pytest-xdist, decision 071); here it is decided who
is beside whom. A test that stands in neither set goes to the worker that is free, in any order.

Each worker has servers of its own (tests/conftest.py), so a test may kill and stop the shared ones; no port is told to two.
"""

from pathlib import Path

import pytest

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


def group_of(path: Path) -> str | None:
    file = path.relative_to(Path(__file__).parent).as_posix()
    if file in SERIAL:
        return "serial"
    return file if file in TOGETHER else None


def put_in_groups(items: list[pytest.Item]) -> None:
    """Groups come first, the serial one before all: whatever is left at the end is short, so both workers end together."""
    order = {"serial": 0, None: 2}
    groups = {item: group_of(item.path) for item in items}
    for item, group in groups.items():
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: order.get(groups[item], 1))
