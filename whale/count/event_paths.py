"""Events in the rollups: at the level of its site a hit also counts at the paths `event` and `event` > its name. Pure.

The hit itself is not counted again. Where it has a dimension of its own that is called `event`, both are one: a path counts once.
Pks below the site know nothing of it.
"""

from collections.abc import Collection, Sequence

import numpy as np

from whale.cells import Branch
from whale.count.denormalize import EVENT, Branches, Placed
from whale.count.said import Event
from whale.count.sections import Places


def with_events(
    places: Sequence[Placed], events: Collection[Event], sites: Collection[str], branches: Branches
) -> Sequence[Placed]:
    """The branches of hits with those of their events. sites: first levels of pks that are sites."""
    of_sites = [event for event in events if event.pk in sites]
    if not of_sites:
        return places
    return (
        _in_columns(places, of_sites, branches)
        if isinstance(places, Places)
        else _one_by_one(places, of_sites, branches)
    )


def _one_by_one(places: Sequence[Placed], events: Collection[Event], branches: Branches) -> list[Placed]:
    found = list(places)
    for position, site, event in events:
        mine, cells = found[position]
        branch = branches.event(site, event, _own(mine)) if mine else None
        if branch:
            found[position] = (*mine, branch), cells + branch.cells
    return found


def _in_columns(places: Places, events: Collection[Event], branches: Branches) -> Places:
    ends = np.cumsum(places.counts)
    owns = {number: branch for number, branch in enumerate(places.branches) if _own((branch,))}
    numbers: dict[Branch, int] = {}
    at, added = list[int](), list[int]()
    counts = places.counts.copy()
    for position, site, event in events:
        if not counts[position]:  # it cannot be read
            continue
        own = None
        if owns:
            mine = places.numbers[ends[position] - counts[position] : ends[position]].tolist()
            own = next((owns[number] for number in mine if number in owns), None)
        branch = branches.event(site, event, own)
        if branch:
            at.append(position)
            added.append(numbers.setdefault(branch, len(places.branches) + len(numbers)))
    counts[at] += 1
    return Places([*places.branches, *numbers], counts, np.insert(places.numbers, ends[at], added))


def _own(mine: Sequence[Branch]) -> Branch | None:
    """The branch of a hit's own dimension of that name."""
    return next((branch for branch in mine if branch.paths[0] == (EVENT,)), None)
