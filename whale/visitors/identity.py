"""Which ids are one person's: a rule of who stands for whom. Pure.

Who came first as an anonymous visitor stays who they are, and the id under which they are known becomes an alias; so does each further
anonymous id that turns out to be theirs. Aliases are one deep. Two who are both known are never joined.
"""

from typing import NamedTuple

ALREADY, OTHER_KNOWN, JOINED = "already", "other_known", "joined"


class Person(NamedTuple):
    """hash: of an id, see whale/visitors/entries.py.  id: as it is kept, or nothing."""

    hash: bytes
    id: bytes


class Alias(NamedTuple):
    """Who stands behind an id, for messages that are accepted from since_ms on, and before until_ms.

    id: theirs as it is kept, or nothing.  until_ms: None where it has no end; else they were erased.
    """

    hash: bytes
    id: bytes
    since_ms: int
    until_ms: int | None = None

    def holds(self, at_ms: int) -> bool:
        return self.since_ms <= at_ms and (self.until_ms is None or at_ms < self.until_ms)


class Standing(NamedTuple):
    """Of an id: who it has stood for, the last one last; or the hashes of the aliases that stand for it."""

    spans: tuple[Alias, ...] = ()
    aliases: frozenset[bytes] = frozenset()

    @property
    def alias(self) -> Alias | None:
        """Who it stands for."""
        return self.spans[-1] if self.spans and self.spans[-1].until_ms is None else None


class Join(NamedTuple):
    """alias is to stand for visitor."""

    visitor: Person
    alias: Person


def to_join(anonymous: Person, its: Standing, known: Person, their: Standing) -> Join | str:
    """What makes two ids one person's; or ALREADY, or OTHER_KNOWN."""
    visitor = known if their.alias is None else Person(their.alias.hash, their.alias.id)
    if anonymous.hash == visitor.hash or (its.alias and its.alias.hash == visitor.hash):
        return ALREADY
    if its.alias:
        return OTHER_KNOWN
    if their.alias or their.aliases:
        return OTHER_KNOWN if its.aliases else Join(visitor, anonymous)
    return Join(anonymous, known) if its.aliases <= {known.hash} else OTHER_KNOWN
