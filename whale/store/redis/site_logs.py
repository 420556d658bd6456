"""The records of the logs of sites: a hash of each account, site -> JSON, on the shard of its empty pk; changed by site_log.lua.

Beside them a list of all accounts says when which log is to be seen to, see log_sweep.py. A log is in it before it has a record.
"""

import secrets
from collections.abc import Callable, Collection

import msgspec

from whale.accounts import Site
from whale.errors import Unavailable
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.store.contract.log_sweep import AGAIN_S, ENDED_S
from whale.store.contract.site_logs import NAME_BYTES, SECRET_BYTES
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.keys import LogKeys
from whale.visitors.record import LogRecord, begun, ended, restarted

TRIES = 20
SOON_MS = 100
"""Between the moment that a time in a record is reckoned from, and that at which the record is written."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LogRecord).decode


class SiteLogs:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._client, self._script = database, database.client, database.script("site_log")

    @reachable
    def log_records(self, account: str, sites: Collection[str]) -> dict[str, LogRecord]:
        wanted = [*sites]
        texts = self._client.hmget(self._key(account), wanted) if wanted else ()
        return {site: _decode(text) for site, text in zip(wanted, texts, strict=True) if text is not None}

    @reachable
    def begin_log(self, site: Site, after_ms: int = HOLDS_AFTER_MS) -> LogRecord:
        settings = self._database.settings

        def change(seen: LogRecord | None, now_ms: int) -> LogRecord:
            name, secret = secrets.token_hex(NAME_BYTES), secrets.token_hex(SECRET_BYTES)
            since_ms = now_ms + after_ms
            return begun(seen, site, settings.site_partitions, settings.visitor_kept_days, since_ms, name, secret)

        record = self.change(site.account, site.pk, change)
        assert record
        return record

    @reachable
    def end_log(self, account: str, site: str, after_ms: int = HOLDS_AFTER_MS) -> None:
        self.change(account, site, lambda seen, now_ms: ended(seen, now_ms + after_ms) if seen else None)

    @reachable
    def restart_log(self, account: str, site: str, after_ms: int = HOLDS_AFTER_MS) -> None:
        def change(seen: LogRecord | None, now_ms: int) -> LogRecord | None:
            name, secret = secrets.token_hex(NAME_BYTES), secrets.token_hex(SECRET_BYTES)
            return restarted(seen, now_ms + after_ms, name, secret) if seen else None

        self.change(account, site, change)

    @reachable
    def now_ms(self) -> int:
        """By the clock of the server that has the list of what is due."""
        return int(self._script([LogKeys.NONE], [""])[0])

    def change(
        self, account: str, site: str, change: Callable[[LogRecord | None, int], LogRecord | None]
    ) -> LogRecord | None:
        """change: the record, or None, and ms now -> what is to be there; None for none."""
        key = self._key(account)
        for _ in range(TRIES):
            now_ms, text = self._script([key], [site])
            seen = _decode(text) if text else None
            record = change(seen, now_ms)
            if record == seen:
                return seen
            self._note(account, site, record, now_ms)
            if self._script([key], [site, text, _encode(record) if record else "", now_ms + SOON_MS]):
                return record
        raise Unavailable(f"Redis: the record of a site's log could not be written within {SOON_MS} ms {TRIES} times")

    def _note(self, account: str, site: str, record: LogRecord | None, now_ms: int) -> None:
        """When it is to be seen to: where it ends, soon after that."""
        ends = [each.until_ms for each in record.generations if each.until_ms is not None] if record else []
        soon = [end_ms / 1000 + ENDED_S for end_ms in ends if end_ms > now_ms]
        due = min([now_ms / 1000 + AGAIN_S, *soon])
        self._client.zadd(LogKeys.DUE, {_encode((account, site)): due}, nx=not soon, lt=bool(soon))

    def _key(self, account: str) -> str:
        return self._database.keys(account).site_logs()
