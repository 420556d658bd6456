"""What is saved of a site under names, with revisions.

Whoever names the revision that they saw changes nothing that others changed since.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from hail.hit import Reason, name_of
from whale.answer.site_log import Log
from whale.errors import CallerError, Conflict, NotFound, Unavailable
from whale.library.exporting import site_asked
from whale.library.noting import Noting
from whale.plain import plain
from whale.store.contract.definitions import Defined

TRIES = 20
MOST_BYTES = 65_536
"""Of a definition."""


class Shelf:
    """Of one kind, of one site. What is shown has `name` and `revision` beside its own fields. Raises NotFound where there is no log."""

    def __init__(self, whale: Noting, pk: Any, kind: str):
        self._store, self._account, self._settings = whale.store, whale.account, whale.settings
        self._site, self._kind = site_asked(pk), kind
        Log.of(whale.store, whale.account, self._site)

    def all(self) -> list[dict[str, Any]]:
        """By name."""
        return [_shown(*each) for each in sorted(self._there().items())]

    def one(self, name: Any) -> dict[str, Any]:
        """Raises NotFound."""
        wanted = self._name(name)
        there = self._there().get(wanted)
        if there is None:
            raise self._unknown(wanted)
        return _shown(wanted, there)

    def keep(self, name: Any, fields: Mapping[str, Any], revision: Any, largest: str) -> tuple[dict[str, Any], bool]:
        """What is then there, and whether it is new. revision: that was seen, 0 for none; None: whatever it is.
        largest: the field to mend where all are too large.

        Raises Conflict where another one is there.
        """
        wanted, text = self._name(name), msgspec.json.encode(fields)
        if revision is not None and (isinstance(revision, bool) or not isinstance(revision, int) or revision < 0):
            raise CallerError("expected the revision that you have read, 0 for none", "revision")
        if len(text) > MOST_BYTES:
            raise CallerError(f"expected at most {MOST_BYTES} bytes in all, got {len(text)}", largest)
        for _ in range(TRIES):
            there = self._there().get(wanted)
            seen = there.revision if there else 0
            if revision not in (None, seen):
                current = _shown(wanted, there) if there else None
                said = f"expected revision {seen}, got {revision}: someone changed it in between"
                raise Conflict(said, "revision", current)
            if there and there.text == text:
                return _shown(wanted, there), False
            new = Defined(seen + 1, text)
            kept = self._store.keep_saved(self._account, self._site, self._kind, wanted, seen, new)
            if kept == new:
                return _shown(wanted, new), not seen
        raise Unavailable(f"{wanted} was changed {TRIES} times by others during this change: try again")

    def remove(self, name: Any) -> None:
        """Raises NotFound."""
        wanted = self._name(name)
        if not self._store.forget_saved(self._account, self._site, self._kind, wanted):
            raise self._unknown(wanted)

    def _there(self) -> dict[str, Defined]:
        return self._store.saved(self._account, self._site, self._kind)

    def _name(self, name: Any) -> str:
        return name_of(plain(name, "name"), "name", self._settings, Reason.BAD_ID)

    def _unknown(self, name: str) -> NotFound:
        return NotFound(f"{ascii(name)[:60]} is none of the saved {self._kind} of this site", "name")


def _shown(name: str, defined: Defined) -> dict[str, Any]:
    return {"name": name, "revision": defined.revision, **msgspec.json.decode(defined.text)}
