"""What metrics measure, as somebody declared it: texts by pk and metric, which a store keeps and does not read."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from whale.dimension import Pk
from whale.errors import CallerError

Metric = tuple[Pk, str]


def too_many_declared(most: int) -> CallerError:
    """What says that no further metric can be declared."""
    return CallerError(f"this account may declare {most} metrics: raise HAILWHALE_MAX_DECLARED", "metrics")


class Declarations(Protocol):
    """For many threads."""

    def declared(self, account: str, asked: Sequence[Metric]) -> dict[Metric, bytes]:
        """What is declared of some metrics; others are left out. One read."""

    def declare(self, account: str, pk: Pk, metrics: Mapping[str, bytes | None]) -> None:
        """Declares metrics of a pk, all or none; None takes back what is declared of one. A reset of the pk takes back all.

        Raises CallerError where more than `max_declared` of the account would be.
        """
