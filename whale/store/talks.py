"""Talks with visitors in plain dicts: a part of the reference store."""

import math
import queue
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import msgspec

from hail.settings import Settings
from whale.store.contract.live import Hearing
from whale.store.contract.talks import Page, Said, Where


class _Ears(Hearing):
    """Told from any thread, heard by one."""

    def __init__(self) -> None:
        self._hears = False
        self._told: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def hear(self, account: str) -> None:
        self._hears = True

    def leave(self, account: str) -> None:
        self._hears = False

    def tell(self, said: bytes) -> None:
        if self._hears:
            self._told.put(("", said))

    def next(self, wait_s: float) -> tuple[str, bytes] | None:
        try:
            return self._told.get(timeout=wait_s)
        except queue.Empty:
            return None


class MemoryTalks:
    """Without a clock: nothing ends by itself."""

    def __init__(self, settings: Settings):
        self._most, self._talks_most = settings.push_visitor_kb * 1000, settings.push_talks
        self._talks: dict[tuple[str, Where], list[tuple[Said, str]]] = {}  # the one silent for longest first
        self._pages: dict[str, dict[Page, None]] = {}
        self._ears: list[_Ears] = []

    def forget(self, account: str) -> None:
        for key in [key for key in self._talks if key[0] == account]:
            del self._talks[key]
        self._pages.pop(account, None)

    def say(self, account: str, where: Where, by_visitor: bool, data: bytes, word: str = "") -> int:
        said = self._talks.pop((account, where), [])
        self._talks[account, where] = said
        for each, its_word in said:
            if word and its_word == word and each.by_visitor == by_visitor:
                return each.id
        last = said[-1][0].id if said else 0
        new = Said(max(math.floor(time.time() * 1000), last + 1), by_visitor, data), word
        while said and sum(map(_size, [*said, new])) > self._most:
            said.pop(0)
        said.append(new)
        while len(mine := [key for key in self._talks if key[0] == account]) > self._talks_most:
            unanswered = (key for key in mine[:-1] if all(each.by_visitor for each, _ in self._talks[key]))
            del self._talks[next(unanswered, mine[0])]
        return new[0].id

    def tell_more(self, account: str, where: Where) -> None:
        for ears in self._ears:
            ears.tell(msgspec.json.encode((account, *where)))

    def talk(self, account: str, where: Where, after: int = 0) -> list[Said]:
        return [said for said, _ in self._talks.get((account, where), []) if said.id > after]

    def talks(self, account: str, site: str, most: int) -> dict[str, Said]:
        mine = [key for key in reversed(self._talks) if key[0] == account and key[1][0] == site]
        return {key[1][1]: self._talks[key][-1][0] for key in mine[:most]}

    def forget_talks(self, account: str, site: str, visitors: Collection[str] | None = None) -> None:
        for key in [key for key in self._talks if key[0] == account and key[1][0] == site]:
            if visitors is None or key[1][1] in visitors:
                del self._talks[key]

    def listen(self, account: str, pages: Collection[Page], kept_s: float) -> None:
        self._pages.setdefault(account, {}).update(dict.fromkeys(pages))

    def listen_no_more(self, account: str, page: Page) -> None:
        self._pages.get(account, {}).pop(page, None)

    def listening(self, account: str, site: str, visitor: str | None = None) -> dict[str, int]:
        found: dict[str, int] = {}
        for page in self._pages.get(account, {}):
            if page.site == site and visitor in (None, page.visitor):
                found[page.visitor] = found.get(page.visitor, 0) + 1
        return found

    @contextmanager
    def hearing_talks(self) -> Iterator[Hearing]:
        ears = _Ears()
        self._ears.append(ears)
        try:
            yield ears
        finally:
            self._ears.remove(ears)


def _size(kept: tuple[Said, str]) -> int:
    """Bytes, as Redis keeps it."""
    said, word = kept
    return len(f"{said.id} s {word} ") + len(said.data)
