"""What a reset leaves out of hits that were accepted before it and are counted after it. Pure."""

from whale.cells import Branch, Reset, kept_targets, targets
from whale.count.denormalize import Branches, Placed, branch_below
from whale.dimension import Path


class Older:
    """The branches of hits that were accepted before some resets."""

    def __init__(self, branches: Branches, resets: tuple[Reset, ...]):
        self._branches, self._resets = branches, resets
        self._cut: dict[Branch, Branch | None] = {}
        self._below: dict[tuple[Branch, Path, str], Branch] = {}

    def cut(self, place: Placed) -> Placed:
        """What is left of a hit's branches; none where it counts nowhere."""
        found, cells = place
        cut = (self._without(branch) for branch in found)
        return tuple(branch for branch in cut if branch is not None), cells

    def below(self, branch: Branch, reserved: Path, bin_: str) -> Branch:
        """As Branches.below, of a branch that `cut` left: what the resets leave out of it they leave out below."""
        if not branch.resets:
            return self._branches.below(branch, reserved, bin_)
        key = branch, reserved, bin_
        found = self._below.get(key)
        if found is None:
            found = self._below[key] = branch_below(branch, reserved, bin_)
        return found

    def _without(self, branch: Branch) -> Branch | None:
        if branch not in self._cut:
            cut = Branch(branch.account, branch.pk, branch.paths, self._resets)
            kept = list(kept_targets(branch.pk, cut))
            whole = kept == list(targets(branch.pk, branch.paths))
            self._cut[branch] = branch if whole else cut if kept else None
        return self._cut[branch]
