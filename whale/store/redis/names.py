"""Names of pks, paths, metrics and bins, as dictionaries hold them."""

from collections.abc import Sequence
from functools import cache

from whale.dimension import Path, Pk
from whale.store.contract.names import Missing, place_of
from whale.store.redis.connection import reachable
from whale.store.redis.known import Dictionaries


class Names:
    """For many threads."""

    def __init__(self, dictionaries: Dictionaries):
        self._dictionaries = dictionaries

    @reachable
    def kinds(self, account: str, pk: Pk) -> dict[str, str]:
        known = self._dictionaries.newest(account, pk)
        return known.kinds if known else {}

    @reachable
    def kinds_of(self, account: str, pks: Sequence[Pk]) -> list[dict[str, str]]:
        known = self._dictionaries.newest_of(account, pks)
        return [mine.kinds if (mine := known[pk]) else {} for pk in pks]

    @reachable
    def bins(self, account: str, pk: Pk, paths: Sequence[Path], metric: str) -> list[list[str]]:
        known = self._dictionaries.newest(account, pk)
        return [known.children(f"q{known.number(path)}:{metric}") if known else [] for path in paths]

    @reachable
    def children(self, account: str, pk: Pk, path: Path) -> list[str]:
        known = self._dictionaries.newest(account, pk)
        if known is None:
            return []
        number = known.number(path)
        return [] if number is None else known.children(str(number))

    @reachable
    def uncounted(self, account: str, pk: Pk, paths: Sequence[Path], metrics: Sequence[str]) -> Missing | None:
        known = self._dictionaries.remembered(account, pk)
        if known is None or not known.has(paths, metrics):
            newest = self._dictionaries.newest_of(account, [pk] if known else [pk, ()])
            known = newest[pk]
            if known is None:
                pks = newest.get(())
                return Missing(place_of(pk, pks.names_below if pks else lambda _: ()) or (len(pk) - 1, ()), {}, (), ())
        if known.has(paths, metrics):
            return None
        names_below = cache(known.names_below)
        places = {path: place_of(path, names_below) for path in paths if known.number(path) is None}
        absent = [name for name in metrics if name not in known.metrics]
        return Missing(None, {path: place for path, place in places.items() if place}, absent, known.in_order)

    @reachable
    def counted(self, account: str, pk: Pk, paths: Sequence[Path]) -> list[Path]:
        known = self._dictionaries.newest(account, pk)
        return [path for path in paths if known.number(path) is not None] if known else []

    @reachable
    def descendants(self, account: str, pk: Pk, path: Path, levels: int) -> list[Path]:
        known = self._dictionaries.newest(account, pk)
        return known.descendants(path, levels) if known else []

    @reachable
    def descendants_of(self, account: str, asked: Sequence[tuple[Pk, Path, int]]) -> list[list[Path]]:
        known = self._dictionaries.newest_of(account, [pk for pk, _, _ in asked])
        return [mine.descendants(path, levels) if (mine := known[pk]) else [] for pk, path, levels in asked]

    @reachable
    def pks(self, account: str, parent: Pk = (), prefix: str = "") -> list[str]:
        known = self._dictionaries.newest(account, ())
        number = known.number(parent) if known else None
        return known.beginning(str(number), prefix) if known and number is not None else []

    @reachable
    def pks_of(self, account: str, parents: Sequence[Pk]) -> list[list[str]]:
        known = self._dictionaries.newest(account, ()) if parents else None
        numbers = [None if known is None else known.number(parent) for parent in parents]
        return [known.children(str(number)) if known and number is not None else [] for number in numbers]

    @reachable
    def metrics_of(self, account: str, pks: Sequence[Pk]) -> list[list[str]]:
        known = self._dictionaries.newest_of(account, pks)
        return [[*mine.in_order] if (mine := known[pk]) else [] for pk in pks]

    @reachable
    def metrics(self, account: str, pk: Pk) -> list[str]:
        known = self._dictionaries.newest(account, pk)
        return [*known.in_order] if known else []
