"""What was imported, and when things were last reset."""

from typing import Protocol

from whale.dimension import Path, Pk
from whale.errors import CallerError
from whale.store.contract.definitions import Defined


def too_many_imports(most: int) -> CallerError:
    """What says that no further import can be remembered."""
    return CallerError(f"the limit is {most} imports: raise HAILWHALE_MAX_IMPORTS", "name")


class Imports(Protocol):
    """For many threads."""

    def imports(self, account: str) -> dict[str, Defined]:
        """What is kept of imports, by name. One read."""

    def keep_import(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        """Keeps what an import was, as `define` does; raises CallerError where a new name is past `max_imports`."""

    def last_resets(self, account: str) -> dict[tuple[Pk, Path | None], int]:
        """When each pk, or path of one, was last reset, in ms, however long ago; without those below one that was reset later.

        It is there only when all of the reset is done.
        """
