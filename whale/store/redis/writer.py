"""Writing what hits add up to: find the number of each node and metric, turn cells into slots of pages, hand all pages of a shard
to apply.lua in one call. What is no sum goes to mark.lua before.

Where buckets may be written whole (whole.py), a call has those that are, and what others get. If somebody else wrote meanwhile, Redis
writes nothing and says so; the call goes again at once, with all as amounts to be added.

The calls of all shards are sent at once. Redis works on them while the next group is made ready: at most one is on its way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hail.message import Mark
from hail.settings import DAY
from whale.cells import Batch, Settle, Tally, Zoned
from whale.errors import Unavailable
from whale.period import Interval
from whale.store.redis import keys as layout
from whale.store.redis.connection import Script, Sent, pack, reachable
from whale.store.redis.database import Database
from whale.store.redis.draft import Draft, Page
from whale.store.redis.keys import Keys, place
from whale.store.redis.marker import Lost, Marker, lose
from whale.store.redis.numbers import TRIES, Dictionary, Numbers, ResetLog
from whale.store.redis.slots import Packed, pack_rows, pack_sums
from whale.store.redis.whole import Whole

TALLY_TTL_S = 7 * DAY

_Told = tuple[str, int, int, list[Any]]  # publisher, its last seq, the total then, [field, n, ...]
_ShardPages = dict[tuple[Dictionary, Interval, int, int], list[Any]]  # (..., block, page) -> [bucket, slots, ...]
_Pages = dict[int, _ShardPages]


@dataclass(frozen=True)
class _Part:
    """What one account adds in an apply. homed: by shard, of each publisher that is at home there all that its messages tell."""

    account: str
    keys: Keys
    batch: Batch
    pages: _Pages
    lost: Lost
    homed: Mapping[int, Sequence[_Told]]


@dataclass(frozen=True)
class _Call:
    """Of apply.lua, on one shard. of: an account in it.  dictionaries, logs: those that it checks, with their accounts.

    draft: where buckets may be written whole.  blocks: those that are added to.  again: the call anew, after the draft has changed.
    """

    of: Keys
    shard: int
    keys: Sequence[str]
    arguments: Sequence[bytes]
    dictionaries: Sequence[tuple[str, Dictionary]]
    logs: Sequence[tuple[str, ResetLog]]
    draft: Draft | None
    blocks: Sequence[Page]
    again: "Callable[[], _Call]"


class Writer:
    """Not for several threads at once. whole: None where nothing is written whole."""

    def __init__(self, database: Database, numbers: Numbers, marker: Marker, whole: Whole | None = None):
        self._database, self._numbers, self._marker, self._whole = database, numbers, marker, whole
        self._apply = whole.script if whole else database.script("newer", "apply")
        self._sent: _InFlight | None = None

    @reachable
    def send(self, batches: Mapping[str, Batch], cells: Zoned, now: float) -> Settle:
        for account in batches:
            self._database.begin(account)
        self._numbers.trim(now)
        tallies = list({tally.mark: tally for batch in batches.values() for tally in batch.tallies}.values())
        for _ in range(TRIES):
            parts = self._parts(batches, cells, now)
            calls, again = self._calls(tallies, parts, now)
            changes = self._changes()
            if self._sent:
                self._sent.arrive()
            if self._changes() == changes:  # else what is ready may be as old as what came back
                marks = [tally.mark for tally in tallies]
                for call in calls:
                    if call.draft:
                        call.draft.sent()
                try:
                    sent = self._send(calls)
                except BaseException:
                    _lose(calls)
                    raise
                self._sent = _InFlight(self._database, self._numbers, self._apply, sent, calls, marks, again)
                return self._sent
        raise Unavailable(f"Redis: dictionaries changed {TRIES} times while hits were made ready")

    def forget(self) -> None:
        """What is remembered only to count faster."""
        self._numbers.forget()
        if self._whole:
            self._whole.mirror.forget()

    def _changes(self) -> tuple[int, int]:
        return self._numbers.drops, self._whole.mirror.losses if self._whole else 0

    def _send(self, calls: Sequence[_Call]) -> Sent:
        return Sent(self._database.connection, self._apply, [(call.keys, call.arguments) for call in calls])

    def _calls(
        self, tallies: Sequence[Tally], parts: Sequence[_Part], now: float
    ) -> tuple[list[_Call], dict[int, set[Mark]]]:
        """Those of all shards; and the shards that get none, since they know of resets that these parts have not heeded.

        tallies: one a message, also where it has hits of several accounts.
        """
        there: dict[int, list[_Part]] = {}
        for part in parts:
            for shard in part.pages.keys() | part.homed.keys():
                there.setdefault(shard, []).append(part)
        ready, refused = list[tuple[int, list[_Part], list[tuple[str, ResetLog]]]](), dict[int, set[Mark]]()
        for shard, mine in sorted(there.items()):
            logs = [(part.account, self._numbers.resets_on(part.account, part.keys, shard)) for part in mine]
            if all(log.resets <= part.batch.resets for part, (_, log) in zip(mine, logs, strict=True)):
                ready.append((shard, mine, logs))
            else:
                refused[shard] = set()
        drafts = dict[int, Draft]()
        if self._whole:
            drafts = self._whole.drafts(
                {shard: [part.pages.get(shard, {}) for part in mine] for shard, mine, _ in ready}
            )
        calls = [self._call(shard, tallies, mine, logs, now, drafts.get(shard)) for shard, mine, logs in ready]
        return calls, refused

    def _parts(self, batches: Mapping[str, Batch], cells: Zoned, now: float) -> list[_Part]:
        """What each account adds. Where dictionaries turn out to be gone, the names of their accounts are asked for again."""
        keys = {account: self._database.keys(account) for account in batches}
        tables = [batch.table for batch in batches.values() if batch.table]
        for _ in range(TRIES):
            wanted = self._numbers.unplanned(cells.values(), tables)
            planned = [self._numbers.plan(account, keys[account], of) for account, of in wanted.items()]
            if not all(planned):
                continue
            pages, lost = self._pages(batches, cells)
            marked = [
                self._marker.mark(account, keys[account], batch, now, lost[account])
                for account, batch in batches.items()
                if batch.extras
            ]
            if all(marked):
                return [
                    _Part(account, keys[account], batch, pages[account], lost[account], _homed(keys[account], batch))
                    for account, batch in batches.items()
                ]
        raise Unavailable(f"Redis: dictionaries changed {TRIES} times while hits were made ready")

    def _call(
        self,
        shard: int,
        tallies: Sequence[Tally],
        parts: Sequence[_Part],
        logs: Sequence[tuple[str, ResetLog]],
        now: float,
        draft: Draft | None,
    ) -> _Call:
        dictionaries = [
            (part.account, dictionary)
            for part in parts
            for dictionary in dict.fromkeys(dictionary for dictionary, *_ in part.pages.get(shard, {}))
        ]
        checked: list[Dictionary | ResetLog] = [known for _, known in dictionaries]
        checked += (log for _, log in logs)
        bits: list[int] = []
        for tally in tallies:
            seen_ttl = int(max(self._database.settings.spool_max_age_s, tally.kept_s)) + DAY
            bits += (tally.seq % layout.SEEN_BITS, 0 if tally.lasting else seen_ttl)
        names = [layout.seen(shard, tally.mark) for tally in tallies]
        names += (known.key for known in checked)
        head: list[Any] = [bits, [known.token.decode() for known in checked], int(now), TALLY_TTL_S]
        flat: list[list[Any]] = []
        blocks: list[Page] = []
        for number, part in enumerate(parts):
            pages = draft.amounts[number] if draft else part.pages.get(shard, {})
            head.append(self._told(shard, part, pages, names, flat, now))
            blocks += pages
        asked: list[bytes] = []
        if draft:
            whole, asked = draft.asked(
                [known for _, known in dictionaries], len(logs), lambda page: self._ttl(page, now)
            )
            names += map(self._block, whole)

        def again() -> _Call:
            return self._call(shard, tallies, parts, logs, now, draft)

        arguments = [pack(head), pack(flat), *asked]
        return _Call(parts[0].keys, shard, names, arguments, dictionaries, logs, draft, blocks, again)

    def _ttl(self, page: Page, now: float) -> int:
        return self._database.ttl(page[1], page[2], now)

    def _block(self, page: Page) -> str:
        dictionary, interval, block, number = page
        keys = self._database.keys(dictionary.account)
        return keys.block(dictionary.shard, dictionary.blocks, interval, block, number)

    def _told(
        self,
        shard: int,
        part: _Part,
        pages: Mapping[Page, Sequence[Any]],
        names: list[str],
        flat: list[list[Any]],
        now: float,
    ) -> list[Any]:
        """Adds the keys and the blocks of an account on a shard, and gives its part of the head: see apply.lua."""
        keys, homed = part.keys, part.homed.get(shard, ())
        names += (keys.publisher(publisher) for publisher, *_ in homed)
        names += (keys.publishers(shard), keys.faults(shard), keys.aside(shard))
        for (dictionary, interval, block, page), buckets in pages.items():
            names.append(keys.block(shard, dictionary.blocks, interval, block, page))
            flat.append([self._database.ttl(interval, block, now), *buckets])
        lost = [word for row in part.lost.get(shard, {}).items() for word in row]
        return [homed, lost, len(pages)]

    def _pages(self, batches: Mapping[str, Batch], cells: Zoned) -> tuple[dict[str, _Pages], dict[str, Lost]]:
        """Of each account cells by shard, block and page, and bucket, those of a bucket as apply.lua takes them; and what is lost."""
        shards = next((batch.shards for batch in batches.values()), None)
        grouped: dict[str, _Pages] = {account: {} for account in batches}
        lost: dict[str, Lost] = {account: {} for account in batches}

        def add(interval: Interval, block: int, offset: int, found: Packed) -> None:
            for dictionary, reason, count in found.lost:
                lose(lost[dictionary.account], dictionary.shard, reason, count)
            for (dictionary, page), slots in found.pages:
                if shards is None or dictionary.shard in shards:
                    of_shard = grouped[dictionary.account].setdefault(dictionary.shard, {})
                    of_shard.setdefault((dictionary, interval, block, page), []).extend((offset, slots))

        for zone, of_zone in cells.items():
            packed: dict[int, Packed] = {}
            for interval, level in of_zone.items():
                for start, sums in level.items():
                    known = packed.get(id(sums))  # levels share their sums
                    if known is None:
                        known = packed[id(sums)] = pack_sums(sums)
                    add(interval, *place(interval, start, zone), known)
        for account, batch in batches.items():
            zone, tables = self._database.zone(account), dict[int, list[Packed]]()
            for interval, (starts, rows) in batch.table.levels.items():
                if id(rows) not in tables:  # levels share their rows, too
                    pages, as_columns = self._numbers.pages, self._whole is not None
                    tables[id(rows)] = pack_rows(batch.table, rows, len(starts), pages, as_columns)
                for start, found in zip(starts, tables[id(rows)], strict=True):
                    add(interval, *place(interval, start, zone), found)
        return grouped, lost


def _homed(keys: Keys, batch: Batch) -> dict[int, list[_Told]]:
    told: dict[str, tuple[dict[str, int], Tally]] = {}
    for tally in batch.tallies:
        known = told.get(tally.publisher)
        if known is None:
            told[tally.publisher] = fields, _ = {"messages": 1, "hits": tally.hits}, tally
        else:
            fields, last = known
            fields["messages"] += 1
            fields["hits"] += tally.hits
            if tally.seq > last.seq:
                told[tally.publisher] = fields, tally
        more = {f"dropped.{reason}": count for reason, count in tally.dropped.items()}
        if tally.to_log:
            more["to_log"] = tally.to_log
        for field, count in more.items():
            fields[field] = fields.get(field, 0) + count
    found: dict[int, list[_Told]] = {}
    for publisher, (fields, last) in told.items():
        shard = keys.home(publisher)
        if batch.shards is None or shard in batch.shards:
            row = publisher, last.seq, last.total, [word for pair in fields.items() for word in pair]
            found.setdefault(shard, []).append(row)
    return found


def _lose(calls: Sequence[_Call]) -> None:
    for call in calls:
        if call.draft:
            call.draft.lost()


class _InFlight:
    """Calls that were sent. What they stand on is kept from there to their answers: the state of the servers, numbers and resets.

    again: the shards that got none.
    """

    def __init__(
        self,
        database: Database,
        numbers: Numbers,
        script: Script,
        sent: Sent,
        calls: Sequence[_Call],
        marks: Sequence[Mark],
        again: dict[int, set[Mark]],
    ):
        self._database, self._numbers, self._calls, self._marks = database, numbers, calls, marks
        self._script = script
        self._sent: Sent | None = sent
        self._steady = database.connection.steady_now
        self._again = again
        self._error: Exception | None = Unavailable("Redis: nobody waited for its answer")

    @property
    def held(self) -> int:
        return sum(len(argument) for call in self._calls for argument in call.arguments)

    @reachable
    def __call__(self) -> dict[int, set[Mark]]:
        self.arrive()
        error, self._error = self._error, None
        if error:
            raise error
        return self._again

    def arrive(self) -> None:
        """Waits until it is answered; what went wrong is for whoever settles it."""
        if self._sent is None:
            return
        sent, self._sent = self._sent, None
        try:
            with self._steady:
                for call, answer in zip(self._calls, sent.answers(), strict=True):
                    if answer[0] == b"moved" and call.draft:
                        call.draft.moved(call.dictionaries[i][1] for i in answer[1:])
                        call = call.again()
                        answer = self._script(call.keys, call.arguments)
                    self._heed(call, answer)
                for call in self._calls:
                    self._database.await_replicas(call.of, call.shard)
            self._error = None
        except Exception as error:  # of this group alone, while another one is sent
            self._error = error
            _lose(self._calls)
        self._calls, self._marks = (), ()

    def _heed(self, call: _Call, answer: Any) -> None:
        if call.draft and answer[0] == b"ok":
            _, _, others, dense = answer
            places = zip(dense[::2], dense[1::2], strict=True)
            call.draft.kept(
                [call.dictionaries[i][1] for i in others],
                [(call.blocks[block - 1], offset) for block, offset in places],
            )
        elif call.draft:
            call.draft.lost()
        if answer[0] == b"seen":
            self._again[call.shard] = {self._marks[i] for i in answer[1:]}
        elif answer[0] == b"stale":
            self._again[call.shard] = set()
            for i in answer[1:]:
                if i < len(call.dictionaries):
                    self._numbers.drop(*call.dictionaries[i])
                else:
                    account, log = call.logs[i - len(call.dictionaries)]
                    self._numbers.drop_resets(account, call.shard, log)
