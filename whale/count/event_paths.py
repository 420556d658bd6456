"""Events in the rollups: at the level of its site a hit also counts at the paths `event` and `event` > its name, and at those of its
properties that the site lists as dimensions. Pure.

The hit itself is not counted again. Where it has a dimension of its own of that name, both are one: a path counts once.
Pks below the site know nothing of it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import compress, repeat
from typing import NamedTuple

import msgspec
import numpy as np

from hail.columns import Hits
from hail.message import WireHit
from whale.accounts import EVENT_PATH
from whale.cells import Branch
from whale.count.denormalize import Branches, Placed
from whale.count.said import Saying, first_of, sayings
from whale.count.sections import Places
from whale.sums import Ints
from whale.visitors.deeds import numbered_as_they_come

_decode = msgspec.json.Decoder().decode
_NONE = np.zeros(0, np.int64)


_NOWHERE = -1


class Further(NamedTuple):
    """Of the hit at a position: at its site it also counts at `name`, and at `name` > `value`."""

    position: int
    site: str
    name: str
    value: str


class Together(NamedTuple):
    """The same of many hits: at their site they also count at `name`, and at `name` > the value of each."""

    site: str
    name: str
    positions: Ints
    values: Sequence[str]


def with_further(
    places: Sequence[Placed],
    hits: Sequence[WireHit],
    listed: Mapping[str, Collection[str]],
    most: int,
    branches: Branches,
) -> Sequence[Placed]:
    """The branches of hits, with those of further paths. listed: of first levels of pks that are sites the properties that they list.
    most: bytes of a name.

    A property whose value is no name, as a list or a long text, is no path.
    """
    if isinstance(hits, Hits) and isinstance(places, Places):
        return in_columns(places, hits, listed, most, branches)
    return one_by_one(places, hits, listed, most, branches)


def one_by_one(
    places: Sequence[Placed],
    hits: Sequence[WireHit],
    listed: Mapping[str, Collection[str]],
    most: int,
    branches: Branches,
) -> Sequence[Placed]:
    """The definition."""
    found = list(places)
    for position, site, name, value in _further(sayings(hits), listed, most):
        mine, cells = found[position]
        branch = branches.further(site, name, value, _own(mine, name)) if mine else None
        if branch:
            found[position] = (*mine, branch), cells + branch.cells
    return found


def _further(said: Iterable[Saying], listed: Mapping[str, Collection[str]], most: int) -> Iterator[Further]:
    for position, site, event, properties in said:
        if site not in listed:
            continue
        if event:
            yield Further(position, site, EVENT_PATH, event)
        if properties:
            for name in listed[site]:
                if name in properties and (value := _name_of(properties[name], most)):
                    yield Further(position, site, name, value)


def _name_of(text: str, most: int) -> str:
    """A value of JSON as a name; "" of one that is none."""
    if text.startswith(("{", "[")):
        return ""
    value: str = _decode(text) if text.startswith('"') else text
    return value if len(value.encode("utf-8", "surrogatepass")) <= most else ""


def _own(mine: Sequence[Branch], name: str) -> Branch | None:
    """The branch of a hit's own dimension of that name."""
    return next((branch for branch in mine if branch.paths[0] == (name,)), None)


def in_columns(
    places: Places, hits: Hits, listed: Mapping[str, Collection[str]], most: int, branches: Branches
) -> Places:
    """As `one_by_one`: a step for each value, and none for each hit."""
    known, numbers = list(places.branches), dict[Branch, int]()
    at, added = [_NONE], [_NONE]
    for site, name, positions, values in _together(hits, listed, most):
        own = _owns(places, name)
        owns = repeat(_NOWHERE) if own is None else own[positions].tolist()
        pairs, pair = numbered_as_they_come(list(zip(values, owns, strict=False)))
        mine = [branches.further(site, name, value, None if of < 0 else known[of]) for value, of in pairs]
        found = [_NOWHERE if each is None else numbers.setdefault(each, len(known) + len(numbers)) for each in mine]
        number = np.array(found, np.int64)[pair]
        adds = (number >= 0) & (places.counts[positions] > 0)  # else it cannot be read
        at.append(positions[adds])
        added.append(number[adds])
    where, ends = np.concatenate(at), np.cumsum(places.counts)
    if not len(where):
        return places
    counts = places.counts + np.bincount(where, minlength=len(places.counts))
    return Places([*known, *numbers], counts, np.insert(places.numbers, ends[where], np.concatenate(added)))


def _together(hits: Hits, listed: Mapping[str, Collection[str]], most: int) -> Iterator[Together]:
    section, nothing = hits.section, (_NONE, ())
    for field in ("event", "properties"):
        positions, given = section.fields.get(field, nothing)
        pks = section.pk[positions]
        firsts = {pk: first_of(section.pks[pk].encode()) for pk in dict.fromkeys(pks.tolist())}
        for site in listed.keys() & firsts.values():
            mine = np.isin(pks, [pk for pk, first in firsts.items() if first == site])
            some = list(compress(given, mine.tolist()))
            for name in (EVENT_PATH,) if field == "event" else listed[site]:
                texts = some if field == "event" else [each.get(name) for each in some]
                if field != "event":
                    value_of = {text: _name_of(text, most) for text in dict.fromkeys(texts) if text is not None}
                    texts = [value_of.get(text, "") for text in texts]
                has = [*map(bool, texts)]
                if any(has):
                    yield Together(site, name, positions[mine][np.array(has)], list(compress(texts, has)))


def _owns(places: Places, name: str) -> Ints | None:
    """Of each hit the number of its own branch of that name; None where no hit has one."""
    is_own = np.array([branch.paths[0] == (name,) for branch in places.branches], bool)
    if not is_own.any():
        return None
    which = is_own[places.numbers]
    found = np.full(len(places.counts), _NOWHERE)
    found[np.repeat(np.arange(len(places.counts)), places.counts)[which]] = places.numbers[which]
    return found
