"""The fast store: Redis (>= 6.2) or Redis Cluster. Each contract promises what it says, keys.py and lua/ say where things lie.

    connection ── database ─┬─ numbers ─┬─ marker ── writer      what hits add up to
                            │           └─ changes               set and reset, with numbers of its own
                            ├─ whole ── draft, mirror ── writer     busy buckets, remembered and written whole
                            ├─ known ── names, reader, below     questions
                            └─ ids, tallies, faults, aside, spy, live, talks, decisions, definitions, saved, declared, imports, timeline,
                                  sweep, accounts, directory, events, identities, compaction, log_reader, log_who,
                                  site_logs, log_sweep

A part holds those that it needs; none is another one.
"""

import re
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import redis

from hail.message import ACCOUNT
from hail.settings import Settings
from whale.errors import Refused, SetupError
from whale.store.local import is_own
from whale.store.redis import keys as layout
from whale.store.redis.accounts import Accounts
from whale.store.redis.aside import Aside
from whale.store.redis.below import Below
from whale.store.redis.changes import Changer
from whale.store.redis.compaction import Compaction
from whale.store.redis.connection import TOGETHER, Connection, reachable
from whale.store.redis.database import Database
from whale.store.redis.decisions import Decisions
from whale.store.redis.declared import Declarations
from whale.store.redis.definitions import Definitions
from whale.store.redis.directory import Directory
from whale.store.redis.events import Events
from whale.store.redis.faults import Faults
from whale.store.redis.identities import Identities
from whale.store.redis.ids import Ids
from whale.store.redis.imports import Imports
from whale.store.redis.known import Dictionaries
from whale.store.redis.live import Live
from whale.store.redis.log_cache import LogCache
from whale.store.redis.log_changes import LogChanges
from whale.store.redis.log_parts import LogParts
from whale.store.redis.log_reader import LogReader
from whale.store.redis.log_sweep import LogSweeper
from whale.store.redis.log_who import LogWho
from whale.store.redis.marker import Marker
from whale.store.redis.mirror import Mirror
from whale.store.redis.names import Names
from whale.store.redis.numbers import Numbers
from whale.store.redis.owners import Owners
from whale.store.redis.reader import Reader
from whale.store.redis.refusals import lacks_right
from whale.store.redis.saved import Saved
from whale.store.redis.site_logs import SiteLogs
from whale.store.redis.spy import Spy
from whale.store.redis.sweep import Sweepers
from whale.store.redis.talks import Talks
from whale.store.redis.tallies import Tallies
from whale.store.redis.timeline import Timeline
from whale.store.redis.whole import Whole
from whale.store.redis.writer import Writer


def connect(settings: Settings, timeout_s: float = 10.0) -> "RedisStore":
    """A store on settings.redis_url; raises SetupError where the server does not fit, Unavailable where there is none."""
    try:
        store = RedisStore(Connection(settings.redis_url, timeout_s), settings)
        store.check()
    except Refused as error:
        if error.lasting:
            raise SetupError(str(error)) from None
        raise
    return store


class RedisStore:
    """whale.store.base.Store on a connection, each method by its part. One thread may write at a time, beside it many may read,
    set and reset.

    learnt: the dictionaries of another store on the same server.
    """

    def __init__(self, connection: Connection, settings: Settings, learnt: Dictionaries | None = None):
        database = self._database = Database(connection, settings)
        self.connection, self.client, self.settings = connection, connection.client, settings
        self.shards, self.zone = database.shards, database.zone

        self.numbers = Numbers(database)
        self.marker = Marker(database, self.numbers)
        whole = Whole(database, Mirror(settings.mirror_mb)) if settings.mirror_mb else None
        self.writer = Writer(database, self.numbers, self.marker, whole)
        self.resets, self.forget, self.send = self.numbers.resets, self.writer.forget, self.writer.send
        self.sweep = Sweepers(database).sweep
        timeline = Timeline(database)
        self.write_note, self.erase_note = timeline.write_note, timeline.erase_note
        self.notes_between = timeline.notes_between
        changer = Changer(database, Numbers(database), timeline)
        self.set, self.reset = changer.set, changer.reset

        self.dictionaries = Dictionaries(database, learnt)
        reader = Reader(database, self.dictionaries)
        self.read, self.read_several = reader.read, reader.read_several
        self.read_many, self.read_each = reader.read_many, reader.read_each
        self.read_values, self.read_distinct = reader.read_values, reader.read_distinct
        self.read_below = Below(database, self.dictionaries).read_below
        self.adjusted, self.notes, self.keys_of = reader.adjusted, reader.notes, reader.keys_of
        self.adjustments_of = reader.adjustments_of

        names = Names(self.dictionaries)
        self.pks, self.pks_of = names.pks, names.pks_of
        self.metrics, self.metrics_of = names.metrics, names.metrics_of
        self.kinds, self.kinds_of, self.bins = names.kinds, names.kinds_of, names.bins
        self.children, self.descendants, self.descendants_of = names.children, names.descendants, names.descendants_of
        self.counted, self.uncounted = names.counted, names.uncounted

        ids = Ids(database)
        self.claim, self.claim_each = ids.claim, ids.claim_each
        tallies, faults = Tallies(database), Faults(database)
        self.seen, self.audit = tallies.seen, tallies.audit
        self.faults, self.faulty_metrics, self.evicted = faults.faults, faults.faulty_metrics, faults.evicted
        self.faults_seen, self.see_faults = faults.faults_seen, faults.see_faults
        aside = Aside(database)
        self.aside, self.set_aside = aside.aside, aside.set_aside
        spy = Spy(database)
        self.spy_add, self.spy_add_each, self.spied = spy.spy_add, spy.spy_add_each, spy.spied
        self.spied_visitors, self.spy_forget = spy.spied_visitors, spy.spy_forget

        live = Live(database)
        self.look, self.looked, self.publish, self.hearing = live.look, live.looked, live.publish, live.hearing
        self.log_out, self.logged_out = live.log_out, live.logged_out
        talks = Talks(database)
        self.say, self.tell_more, self.talk, self.talks = talks.say, talks.tell_more, talks.talk, talks.talks
        self.forget_talks, self.hearing_talks = talks.forget_talks, talks.hearing_talks
        self.listen, self.listen_no_more, self.listening = talks.listen, talks.listen_no_more, talks.listening

        decisions = Decisions(database)
        self.decision = decisions.decision
        self.decision_of, self.decisions_of = decisions.decision_of, decisions.decisions_of
        self.keep_decision, self.keep_decisions = decisions.keep_decision, decisions.keep_decisions
        self.begin_reward, self.end_reward = decisions.begin_reward, decisions.end_reward
        definitions = Definitions(database)
        self.definitions, self.define = definitions.definitions, definitions.define
        saved = Saved(database)
        self.saved, self.keep_saved = saved.saved, saved.keep_saved
        self.forget_saved, self.forget_all_saved = saved.forget_saved, saved.forget_all_saved
        declarations = Declarations(database)
        self.declared, self.declare = declarations.declared, declarations.declare
        imports = Imports(database)
        self.imports, self.keep_import, self.last_resets = imports.imports, imports.keep_import, imports.last_resets

        accounts = Accounts(database)
        self.accounts, self.account_named, self.key_hashed = (
            accounts.accounts,
            accounts.account_named,
            accounts.key_hashed,
        )
        self.account_with = accounts.account_with
        self.users, self.user_named = accounts.users, accounts.user_named
        self.sites, self.keys = accounts.sites, accounts.keys
        self.add_entry, self.change_entry, self.remove_entry = (
            accounts.add_entry,
            accounts.change_entry,
            accounts.remove_entry,
        )
        self.free_accounts = accounts.free_accounts
        owners = Owners(database)
        self.doors, self.owners = owners.doors, owners.owners
        directory = Directory(database, accounts.default)
        self.directory_state, self.directory = directory.directory_state, directory.directory
        self.directory_since = directory.directory_since
        self.salts = directory.salts
        self.note_uses, self.last_uses = directory.note_uses, directory.last_uses
        self.write_act, self.journal = directory.write_act, directory.journal

        events = Events(database)
        self.add_to_log, self.ids_in_log, self.log_tallies = events.add_to_log, events.ids_in_log, events.log_tallies
        self.number_in_log, self.id_in_log = events.number_in_log, events.id_in_log
        self.daily_in_log = events.daily_in_log
        compaction = Compaction(database)
        self.compact_log, self.purge_log = compaction.compact_log, compaction.purge_log
        cache = LogCache(settings.events_cache_mb)
        log_parts = LogParts(cache, self.client)
        log_reader = LogReader(database, cache, log_parts)
        self.read_log = log_reader.read_log
        log_who = LogWho(log_reader, log_parts, cache)
        self.came_in_log, self.visitors_in_log = log_who.came_in_log, log_who.visitors_in_log
        log_changes = LogChanges(log_reader)
        self.changed_in_log, self.erasures_in_log = log_changes.changed_in_log, log_changes.erasures_in_log
        self.ranges_in_log, self.records_in_log = log_reader.ranges_in_log, log_reader.records_in_log
        self.said_in_log = log_reader.said_in_log
        identities = Identities(database)
        self.identify, self.aliases, self.aliases_of = identities.identify, identities.aliases, identities.aliases_of
        self.ids_of_visitor, self.erase_visitor = identities.ids_of_visitor, identities.erase_visitor
        self.erased = identities.erased
        site_logs = SiteLogs(database)
        self.log_records, self.begin_log, self.end_log = site_logs.log_records, site_logs.begin_log, site_logs.end_log
        self.restart_log = site_logs.restart_log
        self.sweep_logs = LogSweeper(database, accounts, site_logs, compaction).sweep_logs

    @reachable
    def check(self) -> None:
        """That the server was set up for as many shards and this layout; the first one to come says so for ever.

        And that its user has all rights, where it is not the one that has them by itself.
        """
        if not self.connection.is_cluster and self.client.info("server").get("redis_mode") == "cluster":
            raise SetupError(f"HAILWHALE_REDIS_URL: expected a single Redis, got a Redis Cluster: {TOGETHER}")
        found = self.client.hmget(layout.META, "shards", "version")
        if None in found:
            self.client.hsetnx(layout.META, "shards", self.shards)
            self.client.hsetnx(layout.META, "version", layout.VERSION)
            found = self.client.hmget(layout.META, "shards", "version")
        shards, version = map(int, found)
        if shards != self.shards:
            raise SetupError(
                f"HAILWHALE_SHARDS is {self.shards}, but this Redis was set up with {shards}: set it to {shards}"
            )
        if version != layout.VERSION:
            raise SetupError(
                f"this Redis holds layout {version}, this program reads {layout.VERSION}: use the release that wrote it"
            )
        if urlsplit(self.settings.redis_url).username:
            scratch = self._database.keys(ACCOUNT).scratch(0)
            self.client.exists(scratch)  # every script begins with it
            lacks = self._database.script("rights")([scratch], [])
            if lacks:
                raise Refused(lacks_right(f"it may not run {lacks.decode()}"), lasting=True)

    @reachable
    def check_writable(self) -> None:
        """Raises Unavailable where no write is taken; writes nothing."""
        self.client.setrange(layout.META + ":none", 0, "")

    @reachable
    def version(self) -> str:
        versions = (str(each["redis_version"]) for each in self._database.info("server"))
        return min(versions, key=lambda text: [*map(int, re.findall("[0-9]+", text))])

    @reachable
    def rewrite_aof(self) -> str:
        if not any(int(each.get("aof_enabled", 0)) for each in self._database.info("persistence")):
            return "none"
        if not is_own(self.settings):
            return "kept"
        try:
            self.client.bgrewriteaof()
        except redis.ResponseError:  # it is at it, and began before now
            return "kept"
        return "rewriting"

    @reachable
    def remove_stamps(self) -> int:
        remove, found = self._database.script("newer", "unstamp"), 0
        for key in self.client.scan_iter("*:n:*", count=1000):
            if layout.is_dictionary(key.decode()):
                found += remove([key.decode()], [])
        return found

    def hurried(self, timeout_s: float) -> "RedisStore":
        return RedisStore(Connection(self.settings.redis_url, timeout_s), self.settings, self.dictionaries)

    def steady(self) -> AbstractContextManager[None]:
        return self.connection.steady()
