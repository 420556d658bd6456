"""Events in the rollups: at the level of its site a hit also counts at the paths `event` and `event` > its name, and at those of its
properties that the site lists as dimensions. Pure.

The hit itself is not counted again. Where it has a dimension of its own of that name, both are one: a path counts once.
Pks below the site know nothing of it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from whale.accounts import EVENT_PATH
from whale.cells import Branch
from whale.count.denormalize import Branches, Placed
from whale.count.said import Saying
from whale.count.sections import Places

_decode = msgspec.json.Decoder().decode


class Further(NamedTuple):
    """Of the hit at a position: at its site it also counts at `name`, and at `name` > `value`."""

    position: int
    site: str
    name: str
    value: str


def further(said: Iterable[Saying], listed: Mapping[str, Collection[str]], most: int) -> Iterator[Further]:
    """listed: of first levels of pks that are sites the properties that they list.  most: bytes of a name.

    A property whose value is no name, as a list or a long text, is no path.
    """
    for position, site, event, properties in said:
        if site not in listed:
            continue
        if event:
            yield Further(position, site, EVENT_PATH, event)
        if properties:
            for name in listed[site] & properties.keys():
                if (value := _name_of(properties[name])) and len(value.encode()) <= most:
                    yield Further(position, site, name, value)


def _name_of(text: str) -> str:
    """A value of JSON as a name; "" of one that is none."""
    value = _decode(text) if text.startswith('"') else text
    return "" if text.startswith(("{", "[")) else value


def with_further(places: Sequence[Placed], more: Sequence[Further], branches: Branches) -> Sequence[Placed]:
    """The branches of hits, with those of further paths."""
    if not more:
        return places
    return _in_columns(places, more, branches) if isinstance(places, Places) else _one_by_one(places, more, branches)


def _one_by_one(places: Sequence[Placed], more: Sequence[Further], branches: Branches) -> list[Placed]:
    found = list(places)
    for position, site, name, value in more:
        mine, cells = found[position]
        branch = branches.further(site, name, value, _own(mine, name)) if mine else None
        if branch:
            found[position] = (*mine, branch), cells + branch.cells
    return found


def _in_columns(places: Places, more: Sequence[Further], branches: Branches) -> Places:
    ends = np.cumsum(places.counts)
    names = {each.name for each in more}
    owns = {
        number: branch
        for number, branch in enumerate(places.branches)
        if branch.paths[0] in {(name,) for name in names}
    }
    numbers: dict[Branch, int] = {}
    at, added = list[int](), list[int]()
    for position, site, name, value in more:
        if not places.counts[position]:  # it cannot be read
            continue
        own = None
        if owns:
            mine = places.numbers[ends[position] - places.counts[position] : ends[position]].tolist()
            own = _own([owns[number] for number in mine if number in owns], name)
        branch = branches.further(site, name, value, own)
        if branch:
            at.append(position)
            added.append(numbers.setdefault(branch, len(places.branches) + len(numbers)))
    counts = places.counts + np.bincount(at, minlength=len(places.counts))
    return Places([*places.branches, *numbers], counts, np.insert(places.numbers, ends[at], added))


def _own(mine: Sequence[Branch], name: str) -> Branch | None:
    """The branch of a hit's own dimension of that name."""
    return next((branch for branch in mine if branch.paths[0] == (name,)), None)
