"""Names of pks, paths, metrics and bins, as they were counted."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from whale.dimension import Path, Pk

OTHER = "__other__"
CHILD_PKS: Path = (None,)
"""Where the nodes of a pk's child pks stand."""
Place = tuple[int, Sequence[str]]
"""At which of some nested names none is known, and the names that are known there."""


class Missing(NamedTuple):
    """What was never counted. pk: where its names end, or None where it was.  paths: of the pk.  known_metrics: that it has."""

    pk: Place | None
    paths: Mapping[Path, Place]
    metrics: Sequence[str]
    known_metrics: Sequence[str]


def place_of(names: Path, children: Callable[[Path], Sequence[str]]) -> Place | None:
    """Where nested names are not known; None where they are. children: of a parent."""
    for depth, name in enumerate(names):
        known = children(names[:depth])
        if name not in known:
            return depth, known
    return None


class Names(Protocol):
    """For many threads."""

    def pks(self, account: str, parent: Pk = (), prefix: str = "") -> list[str]:
        """Names of the pks one level below a pk, of () the top ones, that begin with a text in any case, in the order as `children`."""

    def pks_of(self, account: str, parents: Sequence[Pk]) -> list[list[str]]:
        """`pks` of several parents, in one round trip, or two where the directory has changed."""

    def metrics(self, account: str, pk: Pk) -> list[str]:
        """Names of a pk's metrics, in the order they were first counted; `hits` first."""

    def metrics_of(self, account: str, pks: Sequence[Pk]) -> list[list[str]]:
        """`metrics` of several pks, in one round trip, or two where a dictionary has changed."""

    def kinds(self, account: str, pk: Pk) -> dict[str, str]:
        """Kinds of a pk's metrics that are no sums, as they are now: after a reset a metric may be of another kind."""

    def kinds_of(self, account: str, pks: Sequence[Pk]) -> list[dict[str, str]]:
        """`kinds` of several pks, in one round trip, or two where a dictionary has changed."""

    def bins(self, account: str, pk: Pk, paths: Sequence[Path], metric: str) -> list[list[str]]:
        """For each path the bins of a quantile metric. How full they are: `read` hits of (*bins_of(path, metric), bin)."""

    def children(self, account: str, pk: Pk, path: Path) -> list[str]:
        """Names of the paths one level below a path, in the order they were first counted; `__other__` where it exists."""

    def descendants(self, account: str, pk: Pk, path: Path, levels: int) -> list[Path]:
        """The paths up to so many levels below a path, level by level, each as `children` orders it; one read."""

    def descendants_of(self, account: str, asked: Sequence[tuple[Pk, Path, int]]) -> list[list[Path]]:
        """`descendants` of several pks, paths and levels, in one round trip, or two where a dictionary has changed."""

    def counted(self, account: str, pk: Pk, paths: Sequence[Path]) -> list[Path]:
        """Those of some paths of a pk that were counted. One read, and one more where a dictionary has changed."""

    def uncounted(self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str]) -> Missing | None:
        """Which of a pk, paths and metrics of it were never counted; None where all were.

        No read where the last one of this pk said that all were; else one, and one more where a dictionary has changed.
        """
