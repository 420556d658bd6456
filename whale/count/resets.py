"""What a reset leaves out of hits that were accepted before it and are counted after it. Pure.

A reset of a pk takes the pks below it along. What lies above keeps its sums: a hit of `Product/123` that was accepted
before the reset of `Product/123` still counts in `Product`, whenever it comes; its reserved node there goes. A reset of
a path takes the paths below it along, in that one pk. So what a reset leaves does not depend on when hits are counted.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from hail.message import WireHit
from whale.count.denormalize import Branch, Branches, Placed, branch_below, targets
from whale.dimension import Path, Pk


@dataclass(frozen=True, slots=True)
class Reset:
    """path: None for the whole pk.  at_ms: hits of messages accepted before it do not count there."""

    pk: Pk
    path: Path | None
    at_ms: int


def kept_targets(pk: Pk, branch: Branch) -> Iterator[tuple[Pk, tuple[Path, ...]]]:
    """Where a branch counts, without what its resets leave out. pk: as which its pk counts."""
    for target, paths in targets(pk, branch.paths):
        for reset in branch.resets:
            paths = _left(target, paths, reset)
        if paths:
            yield target, paths


def _left(target: Pk, paths: tuple[Path, ...], reset: Reset) -> tuple[Path, ...]:
    if reset.path is None:
        if target[: len(reset.pk)] == reset.pk:
            return ()
        gone: Path = (None, reset.pk[-1])
        return tuple(path for path in paths if path != gone) if target == reset.pk[:-1] else paths
    if target != reset.pk:
        return paths
    return tuple(path for path in paths if path[: len(reset.path)] != reset.path)


class Older:
    """The branches of hits that were accepted before some resets. left_out: hits, asked for so far, that count nowhere."""

    def __init__(self, branches: Branches, resets: tuple[Reset, ...]):
        self.left_out = self.cells = 0
        self._branches, self._resets = branches, resets
        self._cut: dict[Branch, Branch | None] = {}
        self._below: dict[tuple[Branch, Path, str], Branch] = {}

    def placed(self, pk: bytes, dimensions: bytes) -> Placed:
        """As Branches.placed; of nothing where the hit counts nowhere."""
        found, cells = self._branches.placed(pk, dimensions)
        cut = (self._without(branch) for branch in found)
        kept = tuple(branch for branch in cut if branch is not None)
        self.left_out += not kept
        return kept, cells

    def nowhere(self, hits: Sequence[WireHit], left_out: Collection[int]) -> list[int]:
        """Positions of readable hits that count nowhere, of those not left out."""
        return [
            position
            for position, hit in enumerate(hits)
            if position not in left_out and not self.placed(bytes(hit.pk), bytes(hit.dimensions))[0]
        ]

    def below(self, branch: Branch, reserved: Path, bin_: str) -> Branch:
        """As Branches.below, of a branch of `of`: what the resets leave out of it they leave out below."""
        if not branch.resets:
            return self._branches.below(branch, reserved, bin_)
        key = branch, reserved, bin_
        found = self._below.get(key)
        if found is None:
            found = self._below[key] = branch_below(branch, reserved, bin_)
        return found

    def _without(self, branch: Branch) -> Branch | None:
        if branch not in self._cut:
            cut = Branch(branch.pk, branch.paths, self._resets)
            kept = list(kept_targets(branch.pk, cut))
            whole = kept == list(targets(branch.pk, branch.paths))
            self._cut[branch] = branch if whole else cut if kept else None
        return self._cut[branch]
