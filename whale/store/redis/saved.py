"""What people save of a site: one hash a site and kind, name -> revision and JSON, as definitions of decisions are kept."""

from whale.store.contract.definitions import Defined
from whale.store.contract.saved import FUNNELS, MOST_SAVED, SEGMENTS, too_many_saved
from whale.store.redis.connection import reachable
from whale.store.redis.database import Database
from whale.store.redis.definitions import Revisions


class Saved:
    """For many threads."""

    def __init__(self, database: Database):
        self._database, self._revisions = database, Revisions(database)

    @reachable
    def saved(self, account: str, site: str, kind: str) -> dict[str, Defined]:
        return self._revisions.read(self._key(account, site, kind))

    @reachable
    def keep_saved(self, account: str, site: str, kind: str, name: str, seen: int, new: Defined) -> Defined | None:
        return self._revisions.keep(self._key(account, site, kind), name, seen, new, MOST_SAVED, too_many_saved(kind))

    @reachable
    def forget_saved(self, account: str, site: str, kind: str, name: str) -> bool:
        return bool(self._database.client.hdel(self._key(account, site, kind), name))

    @reachable
    def forget_all_saved(self, account: str, site: str) -> None:
        self._database.client.unlink(*(self._key(account, site, kind) for kind in (FUNNELS, SEGMENTS)))

    def _key(self, account: str, site: str, kind: str) -> str:
        return self._database.keys(account).saved(site, kind)
