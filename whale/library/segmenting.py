"""Saved segments of sites in the library: sets of visitors under names; a part of Whale, see client.py."""

from typing import Any

from whale.library.arguments import on_default
from whale.library.noting import Noting
from whale.library.saving import Shelf
from whale.library.segments import reader_of
from whale.library.splitting import Splitting
from whale.plain import plain
from whale.store.contract.saved import SEGMENTS


class Segmenting(Splitting):
    """What visitors of sites did, and sets of them that are saved."""

    @on_default
    def save_segment(self, pk: Any, name: Any, set: Any, revision: int | None = None) -> dict[str, Any]:
        """{"name", "revision", "set"}: saves a set of visitors of a site, as `overlap` has them, or changes it. Each question about
        visitors takes its name as `segment`.

        revision: the one that you have read, 0 for none; raises Conflict where another one is there. At most 50 a site.
        """
        return kept_segment(self, pk, name, set, revision)[0]

    @on_default
    def segments(self, pk: Any) -> list[dict[str, Any]]:
        """[{"name", "revision", "set"}, ...]: the saved segments of a site, by name."""
        return Shelf(self, pk, SEGMENTS).all()

    @on_default
    def saved_segment(self, pk: Any, name: Any) -> dict[str, Any]:
        """{"name", "revision", "set"}: a saved segment of a site. Raises NotFound."""
        return Shelf(self, pk, SEGMENTS).one(name)

    @on_default
    def delete_segment(self, pk: Any, name: Any) -> None:
        """Raises NotFound."""
        Shelf(self, pk, SEGMENTS).remove(name)


def kept_segment(whale: Noting, pk: Any, name: Any, set: Any, revision: int | None) -> tuple[dict[str, Any], bool]:
    """A segment as it is saved then, and whether it is a new one."""
    shelf, given = Shelf(whale, pk, SEGMENTS), plain(set, "set")
    reader_of(whale, pk).one(given, "set")
    return shelf.keep(name, {"set": given}, revision, "set")
