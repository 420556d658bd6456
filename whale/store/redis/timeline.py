"""Notes on the time axis. A note is `ms, a space, JSON of pk and text` under its id, and its id lies in a sorted set by its time."""

import msgspec

from whale.dimension import Pk
from whale.store.contract.timeline import MOST_NOTES, Note, other_note
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database

_content = msgspec.json.Decoder(tuple[Pk | None, str]).decode


class Timeline:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client, self._write = database, database.client, database.script("note")

    @reachable
    def write_note(self, account: str, note: Note, is_timed: bool) -> None:
        keys = self._database.keys(account).notes()
        content = msgspec.json.encode((note.pk, note.text))
        if not self._write(keys, [note.id, note.at_ms, content, int(is_timed), MOST_NOTES]):
            raise other_note()

    @reachable
    def notes_between(self, account: str, start_ms: int, end_ms: int) -> list[Note]:
        texts, times = self._database.keys(account).notes()
        ids = self._client.zrange(times, start_ms, f"({end_ms}", byscore=True)
        found = self._client.hmget(texts, ids) if ids else []
        return [_note_of(id, text) for id, text in zip(ids, found, strict=True) if text is not None]

    @reachable
    def erase_note(self, account: str, id: str) -> bool:
        return self._erase(account, [id]) > 0

    def erase_notes_of(self, account: str, pk: Pk) -> None:
        """Of a pk and of all below it, for a reset."""
        texts, _ = self._database.keys(account).notes()
        notes = [_note_of(id, text) for id, text in self._client.hgetall(texts).items()]
        self._erase(account, [note.id for note in notes if note.pk and note.pk[: len(pk)] == pk])

    def _erase(self, account: str, ids: list[str]) -> int:
        """How many were there. What is cut off in between is an id without a note, which is passed over."""
        texts, times = self._database.keys(account).notes()
        if not ids:
            return 0
        erased = int(self._client.hdel(texts, *ids))
        self._client.zrem(times, *ids)
        return erased


def _note_of(id: bytes, found: bytes) -> Note:
    at_ms, _, content = found.partition(b" ")
    return Note(id.decode(), int(at_ms), *_content(content))
