"""What a reset leaves out of hits that were accepted before it and are counted after it. Pure."""

from collections.abc import Collection, Sequence

from hail.message import WireHit
from whale.cells import Branch, Reset, kept_targets, targets
from whale.count.denormalize import Branches, Placed, branch_below
from whale.dimension import Path


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
