"""How many inputs a law is tried on: as many as its test says, and under `make test-long` many times that."""

from typing import Any

from hypothesis import settings

LONG, TIMES = "long", 20


def law(examples: int, **more: Any) -> settings:
    """Settings of a Hypothesis test. examples: under the profile `ci`. Further settings are Hypothesis's own."""
    times = TIMES if settings.get_current_profile_name() == LONG else 1
    return settings(max_examples=examples * times, deadline=None, **more)
