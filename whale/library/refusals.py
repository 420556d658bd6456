"""What a door refuses is kept for the spy."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

from hail.hit import HitError
from hail.secret import secrets_of
from hail.settings import Settings
from whale.count.witness import EVERY_REFUSED_S, Watching, Witness
from whale.spy import refused


class Refusals:
    """For many threads. Where it does not work, nothing is kept, and nobody waits."""

    def __init__(self, store: Watching, settings: Settings, account: str, clock: Callable[[], float]):
        self._settings, self._account, self._clock = settings, account, clock
        self._witness = Witness(store, EVERY_REFUSED_S)

    def of(self, account: str) -> "Refusals":
        """The same for another account."""
        refusals = copy(self)
        refusals._account = account
        return refusals

    @contextmanager
    def kept(self, given: Mapping[str, Any]) -> Iterator[None]:
        """Keeps that the given hit was refused, where a HitError says so."""
        try:
            yield
        except HitError as error:
            self.keep(error, given)
            raise

    def keep(self, error: HitError, given: Mapping[str, Any]) -> None:
        if self._settings.spy:
            now = self._clock()
            name = f"whale-{secrets.token_hex(8)}"
            trace = refused(name, now, error.reason, error.field, given, secrets_of(self._settings))
            self._witness.refused(self._account, trace, now)
