"""Whale's decisions over HTTP in one process, on a store in memory that can be away."""

import json
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hail.settings import load
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.errors import Unavailable
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = datetime(2015, 6, 17, 14, 35, 20, tzinfo=UTC).timestamp()


class Away(MemoryStore):
    """A store that can be away."""

    is_away = False

    def definitions(self, *args: Any) -> Any:
        return self._or_away(super().definitions, args)

    def read_each(self, *args: Any) -> Any:
        return self._or_away(super().read_each, args)

    def decision_of(self, *args: Any) -> Any:
        return self._or_away(super().decision_of, args)

    def keep_decision(self, *args: Any) -> Any:
        return self._or_away(super().keep_decision, args)

    def decision(self, *args: Any) -> Any:
        return self._or_away(super().decision, args)

    def steady(self) -> AbstractContextManager[None]:
        return self._or_away(nullcontext, ())

    def _or_away(self, method: Any, args: Any) -> Any:
        if self.is_away:
            raise Unavailable("away")
        return method(*args)


class DecisionDoor:
    """now: what its clock says."""

    def __init__(self, **settings: Any):
        self.now = NOW
        self.settings = load({}).replace(**{"decide_snapshot_s": 0.0, **settings})
        self.store = Away(self.settings)
        self.whale = Whale(self.store, self.settings, clock=lambda: self.now, random=np.random.default_rng(3))
        self.app = make_app(self.settings, self.whale)

    def get(self, path: str, **parameters: Any) -> Answer:
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
        return call(self.app, "GET", path, texts)

    def send(self, path: str, fields: Any, **environ: Any) -> Answer:
        """A POST of JSON; bytes are sent as they are."""
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        return call(self.app, "POST", path, body=body, CONTENT_TYPE="application/json", **environ)
