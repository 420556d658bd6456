"""A node of Hail and a Whale in memory, for tests of the directory of accounts that Hail is handed."""

import time
from pathlib import Path
from typing import Any

from hail.informed import ASK_S, COPY, FOLDER, Informed
from hail.settings import load
from whale.accounts import Account, Act, Key, Site, new_key
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.web import make_app

INTERNAL = "i" * 32
ACT = Act(0, "a test", "did", "default", "it")
ANN = Account("annannanna", "ann", "UTC", 0)


class Node:
    """A folder and a Whale, and the time of both."""

    def __init__(self, folder: Path, url: str):
        self.folder, self.now, self.made = folder / "var", 1_800_000_000.0, 0
        self.settings = load(
            {
                "HAILWHALE_DATA_DIR": str(self.folder),
                "HAILWHALE_INTERNAL_KEY": INTERNAL,
                "HAILWHALE_WHALE_URL": url,
            }
        )

    def process(self, **settings: Any) -> Informed:
        return Informed(self.settings.replace(**settings), lambda: self.now)

    def later(self, *processes: Informed, seconds: float = 1.0) -> None:
        self.now += seconds
        for each in processes:
            each.refresh(ASK_S)

    @property
    def copy(self) -> Path:
        return self.folder / FOLDER / COPY


class Asked:
    """A Whale in memory behind HTTP; asked: what for.  now: what its clock says; None: the time."""

    def __init__(self) -> None:
        settings = load({"HAILWHALE_INTERNAL_KEY": INTERNAL})
        self.store, self.asked, self.made = MemoryStore(settings), list[str](), 0
        self.store.add_entry(ANN, ACT)
        self.now: float | None = None
        self._app = make_app(settings, Whale(self.store, settings, clock=lambda: self.now or time.time()))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.asked.append(environ["QUERY_STRING"])
        return self._app(environ, start_response)

    def key(self, scope: str = "write", site: str | None = None, **given: Any) -> tuple[Key, bytes]:
        self.made += 1
        key, secret = new_key(given.pop("account", ANN.id), scope, site, bytes([self.made]) * 36, 0, **given)
        self.store.add_entry(key, ACT)
        return key, secret.encode()

    def site(self, pk: str, *origins: str, **given: Any) -> Site:
        """Open where it lists pages."""
        site = Site(ANN.id, pk, open=bool(origins), origins=origins, **given)
        self.store.add_entry(site, ACT)
        return site
