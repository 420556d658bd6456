"""How many inputs a law is tried on, and which.

`make test` tries as many as the test says, the same ones in each run: whoever changed nothing breaks nothing. `make test-long` tries
many times that, others in each run; a failure prints the line that brings its input back.
"""

from typing import Any

from hypothesis import settings

CI, LONG, TIMES = "ci", "long", 20

settings.register_profile(CI, deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile(
    LONG, deadline=None, derandomize=False, database=None, print_blob=True, max_examples=100 * TIMES
)


def law(examples: int, **more: Any) -> settings:
    """Settings of a Hypothesis test. examples: in `make test`. Further settings are Hypothesis's own."""
    times = TIMES if settings.get_current_profile_name() == LONG else 1
    return settings(max_examples=examples * times, deadline=None, **more)
