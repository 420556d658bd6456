"""How a policy explores: the one table of its parameters, with their defaults, limits and meanings. Pure.

Policy (policy.py) has a field for each, a definition (definition.py) keeps those that were given, and /decide and the library take
them by the same names. Defaults, checks, error texts and OpenAPI are all read from here.
"""

import math
from dataclasses import dataclass

from msgspec import Meta

from whale.errors import CallerError


@dataclass(frozen=True)
class Parameter:
    """of: the policies that use it.  most: None for no limit."""

    name: str
    default: float
    of: tuple[str, ...]
    meaning: str
    unit: str = "from 0 to 1"
    most: float | None = 1

    @property
    def described(self) -> Meta:
        only = " only" if len(self.of) == 1 else ""
        return Meta(description=f"For {' and '.join(f'`{policy}`' for policy in self.of)}{only}: {self.meaning}")

    @property
    def limits(self) -> Meta:
        """Of a field that is checked as it is read."""
        return Meta(ge=0, le=self.most)

    @property
    def shown(self) -> Meta:
        """Described, with limits that OpenAPI shows and `check` holds: a query is refused in the words of the library."""
        limits = {"minimum": 0} | ({} if self.most is None else {"maximum": self.most})
        return Meta(description=self.described.description, extra_json_schema=limits)

    def check(self, value: float) -> None:
        """Raises CallerError, and TypeError where it is no number."""
        if not 0 <= value <= (math.inf if self.most is None else self.most) or value == math.inf:
            raise CallerError(f"expected a number {self.unit}, got {value}", self.name)


EXPLORATION = Parameter(
    "exploration",
    0.5,
    ("thompson",),
    "share of the uncertainty used for exploration. 0 always takes the best known option.",
)
FLOOR = Parameter("floor", 0.005, ("thompson",), "share of the traffic spread evenly over all options.")
EPSILON = Parameter("epsilon", 0.1, ("epsilon",), "share of the traffic spread evenly over all options.")
MIN_TRIALS = Parameter(
    "min_trials",
    0,
    ("thompson", "epsilon"),
    "trials below which an option gets at least its even share.",
    unit="of trials",
    most=None,
)
BAD_IDEA = Parameter("bad_idea_threshold", 0.05, ("seed",), "share of the traffic for options known to be bad.")
TEST_IDEA = Parameter("test_idea_threshold", 0.05, ("seed",), "share of the traffic for untested options.")

PARAMETERS = (EXPLORATION, FLOOR, EPSILON, MIN_TRIALS, BAD_IDEA, TEST_IDEA)
