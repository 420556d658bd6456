"""The records of the logs of sites: a hash of each account, site -> JSON, on the shard of its empty pk; changed by site_log.lua."""

import secrets
from collections.abc import Callable, Collection

import msgspec

from whale.accounts import Site
from whale.errors import Unavailable
from whale.store.contract.identities import HOLDS_AFTER_MS
from whale.store.contract.site_logs import NAME_BYTES, SECRET_BYTES
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.visitors.record import LogRecord, begun, ended

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

        record = self._changed(site.account, site.pk, change)
        assert record
        return record

    @reachable
    def end_log(self, account: str, site: str, after_ms: int = HOLDS_AFTER_MS) -> None:
        self._changed(account, site, lambda seen, now_ms: ended(seen, now_ms + after_ms) if seen else None)

    def _changed(
        self, account: str, site: str, change: Callable[[LogRecord | None, int], LogRecord | None]
    ) -> LogRecord | None:
        """change: the record, or None, and ms now -> what is to be there."""
        key = self._key(account)
        for _ in range(TRIES):
            now_ms, text = self._script([key], [site])
            seen = _decode(text) if text else None
            record = change(seen, now_ms)
            if record == seen or record is None:
                return seen
            if self._script([key], [site, text, _encode(record), now_ms + SOON_MS]):
                return record
        raise Unavailable(f"Redis: the record of a site's log could not be written within {SOON_MS} ms {TRIES} times")

    def _key(self, account: str) -> str:
        return self._database.keys(account).site_logs()
