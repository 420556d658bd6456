"""The routes that Hail asks for the directory of accounts, and for the salts of days. They open to the internal key alone."""

from collections.abc import Callable
from typing import Any

import bottle

from hail.directory import CONTENT_TYPE, state_of
from hail.salts import CONTENT_TYPE as SALTS_TYPE
from whale.client import Whale
from whale.errors import CallerError
from whale.library.handing import Handing
from whale.routes.asked import DirectorySeen, SaltsAsked
from whale.routes.door import Door


class InternalRoutes:
    """For many threads. draw: random bytes."""

    def __init__(self, door: Door, whale: Whale, draw: Callable[[int], bytes]):
        self._clock = whale.clock
        self._door, self._handing = door, Handing(whale.store, door.settings.internal_key, draw)

    def add_to(self, app: bottle.Bottle) -> None:
        self._door.add(app, "/internal/directory", ["GET"], self.directory, DirectorySeen)
        self._door.add_options(app, "/internal/directory")
        self._door.add(app, "/internal/salts", ["GET"], self.salts, SaltsAsked)
        self._door.add_options(app, "/internal/salts")

    def directory(self, asked: DirectorySeen) -> Any:
        """Of an asker who has it as it is, the answer is 304, which the door makes of this one."""
        seen = state_of(asked.since) if asked.since is not None else None
        if asked.since is not None and seen is None:
            raise CallerError("expected the state of a directory, as ETag has it", "since")
        tag = bottle.request.environ.get("HTTP_IF_NONE_MATCH", "").strip()
        if seen and tag == f'"{seen.text}"' and self._handing.state() == seen:
            return _answer(seen.text, b"")
        state, record = self._handing.record(seen)
        return _answer(state.text, record)

    def salts(self, asked: SaltsAsked) -> Any:
        record = self._handing.salts(self._clock())
        return bottle.HTTPResponse(record, 200, {"Content-Type": SALTS_TYPE, "Cache-Control": "no-store"})


def _answer(tag: str, record: bytes) -> Any:
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", "ETag": f'"{tag}"'}
    return bottle.HTTPResponse(record, 200, headers)
