"""Every key in Redis: table and builders. Nothing else makes a key, except that a script may append to one it was handed.

Keys of one pk carry the hash tag of its shard, {17}, so one script may touch them together and Redis Cluster may move a shard.
A pk stands in keys as 16 characters of its hash, so no name can break a key.

| key | type | meaning | expiry |
| --- | --- | --- | --- |
| hailwhale:meta | hash | shards, version of this layout | none |
| hailwhale:{accounts}:state | hash | word, version, since: the version from which all that is gone is known; run: of Redis | none |
| hailwhale:{accounts}:names | hash | name of an account -> ID | none |
| hailwhale:{accounts}:a:ID | hash | JSON: a the account, u:NAME, s:PK, k:KEY its users, sites, keys; l:KEY -> last use, s | none |
| hailwhale:{accounts}:hashes | hash | SHA-256 of a key's secret -> ID, a space, KEY | none |
| hailwhale:{accounts}:changes, hailwhale:{accounts}:gone | zset | ID, a space, such a field: by version | none; gone: 10,000 |
| hailwhale:{accounts}:journal | list | the last 10,000 acts of admins, JSON, the newest first | none |
| hailwhale:{accounts}:removed:ID | hash | 1,000 that are gone: k:KEY -> ms, a space, JSON; s:PK -> ms | longest spool age + a day |
| hailwhale:{accounts}:was:HASH | string | such a key by the SHA-256 of its secret: ID, a space, KEY | as that |
| hailwhale:{accounts}:retired | set | IDs of accounts that were removed | none |
| hailwhale:{accounts}:trash | zset | IDs of which something may be left: 0, and once it was freed when to look again | none |
| hailwhale:{accounts}:salts | hash | date -> the salt of that day, hexadecimal | 3 days after it was last asked for |
| hailwhale:{accounts}:freeing | string | who frees it | 10 s |
| hailwhale:{logs}:due | zset | logs of visitors, [ID, site] as JSON, by when they are to be seen to, s | none |
| A:{0}:account | hash | zone | none |
| A:{s}:n:PK | hash | dictionary of a pk, see lua/intern.lua; of the empty pk: the directory of all pks | none |
| A:{s}:r:PK:I:B:P | hash, or string | one block of buckets of page P; once split: one bit a dense bucket | I's retention after it |
| ...:OFF | hash | one bucket of a split block, few cells: field metric * 1,024 + node | as its block |
| ...:OFF:M | string | one bucket and metric, many cells: 64-bit slots, one a node | as its block |
| A:{s}:op:PK:OP | string | what an operation that set cells has changed, in this pk; OP: hash of its id and its pk | 31 days |
| A:{s}:scratch | string | used within a script that sets | none, gone when it ends |
| A:{s}:resets | hash | resets of the last 31 days: Z and the pk and path, JSON -> ms; "g": tokens, as of a dictionary | none |
| A:{0}:trash | zset | what resets left and the sweeper frees: shard, PK, generation, number of a node, JSON; by when | none |
| A:{0}:sweeping | string | the sweeper that is at work | 10 s |
| A:{s}:v:PK:I:B:P | hash | values of min, max and last in such a block: field as in a block | as the block |
| A:{s}:u:PK | set | nodes that have distinct counts: node:metric | none |
| ...:I:START:N:M | string | HyperLogLog of one bucket, node and metric | I's retention after it, hours a week |
| A:{s}:seen:PUB:N | string | a bit for each of 65,536 messages; hailwhale for A: of all | longest spool age + a day; an import: none |
| A:{s}:pub:PUB | hash | what the messages of a publisher added up to, for the audit | a week |
| A:{s}:pubs | zset | publishers by when they were last heard of | none, trimmed to a week |
| A:{s}:faults, A:{s}:aside | hash, list | cells that could not be added: how many, and the last 1,000 | none |
| A:{s}:noted | hash | of such cells: at most 64 JSON [reason, pk, metric]; and reason -> how many somebody has seen | none |
| A:{s}:undecodable | zset | hits that could not be read: names by when they were accepted, ms | 31 days after the last |
| A:{s}:undecodable:raw | hash | name of such a hit -> its bytes; "" -> how many bytes names and hits take | as that |
| A:{s}:waited | string | a write that replicas are waited for with, see database.py | none |
| A:{s}:id:SLICE | string | hit ids claimed in a slice of the dedupe window | three slices |
| A:{s}:order:SLICE | string | the same of orders, which are remembered for longer | three slices |
| ...:B | hash | fingerprint of a hit id -> fingerprint of the message that owns it | as its slice |
| A:{s}:spy:counted, A:{s}:spy:others | list | the last 100 hits: those that count, and the others with why not | a day |
| A:{s}:spy:refused | list | the last 100 that were refused, of all visitors | a day |
| A:{s}:spy:visitors | zset | visitors whose last hits are kept, by when they were last heard of | a day |
| ...:V | list | the last 100 accepted hits of a visitor | a day |
| A:{s}:looked | zset | pks that somebody watches, JSON, by when that ends; on the shard of the empty pk | 6 s |
| A:{s}:talk:TALK | list | what was said with a visitor: ms, side, a word, JSON; TALK: hash of both | PUSH_KEPT_S after the last |
| A:{s}:talks | zset | such talks: TALK and [site, visitor], JSON, by ms of the last; on the shard of the empty pk | as that |
| A:{s}:talks:unanswered | zset | those of them in which the site said nothing yet | as that |
| A:{s}:listening, ...:ends | zset | pages that listen, [site, visitor, page], JSON: by name, by when that ends | 15 s |
| A:{s}:logged_out | zset | hashes of sessions that were logged out, by when no stream of them is open | LIVE_STREAM_S and 60 s |
| A:ft:P:{U}:m:M | hash | of an id's metric: total "t", count without dates "n", of each quarter Q the sum of its days | none |
| ...:Q | hash | cells of a quarter: days as 405 (April 5), weeks as w402 (by Monday), months as m4 | none |
| A:ft:P:{E}:d | hash | details of an event: user -> how many records; "" -> of all users | none |
| ...:W | hash | records of one user: microseconds since the epoch -> JSON | none |
| A:{s}:d:ID | hash | a decision: t JSON; of its rewards s sums, n how many, r and hash of an id: see lua/reward.lua | DECISION_KEPT_S |
| A:{s}:dv:W | string | ID of the decision that a visitor has; W: hash of the decision's pk and the visitor | DECISION_STICKY_S |
| A:{s}:decisions | zset | decisions that are kept: ID and W, by when; the oldest leave past MAX_DECISIONS | DECISION_KEPT_S |
| A:{s}:definitions | hash | decisions that are defined: name -> revision, a space, JSON; on the shard of the empty pk | none |
| A:{s}:saved:KIND:PK | hash | saved funnels or segments of a site: as definitions; on the same shard | none; goes with its site |
| A:{s}:declared | hash | what metrics measure: pk and metric, JSON -> JSON; on the shard of the empty pk | none |
| A:{s}:imports | hash | what was imported: name -> revision, a space, JSON; on the shard of the empty pk | none |
| A:{s}:notes | hash | notes of people: id -> ms, a space, JSON of pk and text; on the same shard | none; past 1,000 the earliest go |
| A:{s}:notes:times | zset | their ids by ms | none |
| A:{s}:sites | hash | records of the logs of sites: pk -> JSON, see whale/visitors/record.py; on the shard of the empty pk | none |
| A:{s}:wbytes | hash | site -> bytes that its log takes, about; on the same shard | none |
| W = A:{s}:w:SITE:p | hash | a partition of a visitor log: see lua/log.lua | none |
| W:f:G:i | hash | of period G: 8 bytes of a visitor's hash -> u32 number, u16 chunk of W:i where it is kept | a period after G |
| W:i:G:j | string | chunk j: ids of 960 of G's visitors as they came: u32 number, length, id | as W:f |
| W:a:G | hash | 8 bytes of a hash -> who that id stands for, since when; or which aliases stand for it: see lua/alias.lua | as W:f |
| W:c | hash | codes of names, and how many there are | none |
| W:t, W:z | string | the tail, see whale/visitors/tail.py; one that is being compacted | none |
| W:o:E | string | a tail that has become parts, for who follows by position | 60 s |
| W:x | hash | part -> where it lies in time: see whale/store/redis/compaction.py | none |
| W:b:ID | string | a part: see whale/visitors/parts.py | an hour until it is in W:x, then none |
| W:g | hash | 8 bytes of the hash of an erased visitor's id -> ms until which what was accepted is not logged | none |
| W:v | set | codes of values that dropped records had: maybe nobody has them any more | none, gone when there are none |
| W:r | set | numbers of erased visitors of whom there may be records | none, gone when there are none |
| A:{s}:wseen:PUB:N | string | a bit for each of 65,536 messages, of logs; hailwhale for A: of all | as A:{s}:seen |
| A:{s}:wlog:PUB | hash | what became of a publisher's hits in logs: logged, their records, and reasons | a week |
| A:{s}:reset_at | hash | when each pk and path was last reset: JSON -> ms; not those below a later one; on the same shard | none |

What is told of these pks goes through the Pub/Sub channel `A:{s}:live`.
Of a visitor log: SITE: its pk as PK, p: partition, s: (shard of the pk + p) mod shards, G: a period, d before it: a day, E: word of a tail.
ID, A: account's id, s: shard, I: interval, B: block, P: page of 1,024 nodes, V: hash of a visitor.
Of whale.fasttrack: P: prefix, percent-encoded; U, M, E, W: hashes of an id, a metric, an event, a user; Q: year * 4 + 0 to 3.
In a block's hash a field is bucket * 65,536 + metric * 1,024 + node.
Once a pk was reset, PK is followed by a dot and its generation in the keys of its blocks, values and distinct counts.
"""

import base64
import functools
import hashlib
from datetime import date, datetime, time
from urllib.parse import quote
from zoneinfo import ZoneInfo

from hail.message import ACCOUNT, Mark
from hail.room import calendar
from hail.settings import DAY, HOUR
from whale.dimension import Pk
from whale.period import Interval, day_start, month_start

PROGRAM = "hailwhale"  # begins what belongs to no account: the rights of a Redis user are given by such words (docs/deploy.md)
META = f"{PROGRAM}:meta"
VERSION = 1
PAGE_BITS = 10
PAGE = 1 << PAGE_BITS
BUCKET_BITS = 16
SEEN_BITS = 65_536
ID_BUCKETS = 8192
STAMP = 16  # characters of a stamp, see lua/newer.lua


def digest(*parts: str | bytes, size: int) -> bytes:
    """A hash of some texts that no other list of texts shares: each goes in with its length."""
    state = hashlib.blake2b(digest_size=size)
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        state.update(len(raw).to_bytes(4, "big") + raw)
    return state.digest()


def generation(pk_id: str, gen: str) -> str:
    """How a pk stands in the keys of its blocks: as in its dictionary's, until it was reset."""
    return f"{pk_id}.{gen}" if gen else pk_id


def is_later(stamp: bytes | None) -> bool:
    """Whether the field `w` of a dictionary says that only a later version may write the cells of its pk."""
    return stamp is not None and len(stamp) != STAMP


def is_dictionary(key: str) -> bool:
    """Whether it is a key that `Keys.dictionary` makes."""
    parts = key.split(":")
    return len(parts) == 4 and parts[2] == "n" and parts[1][:1] + parts[1][-1:] == "{}"


def visitor_id(visitor: str) -> str:
    """How a visitor stands in keys."""
    return base64.urlsafe_b64encode(digest(visitor, size=12)).decode()


def bucket(block: str, offset: int) -> str:
    """One bucket of a split block that has few cells."""
    return f"{block}:{offset}"


def column(block: str, offset: int, metric: int) -> str:
    """One metric of a dense bucket."""
    return f"{block}:{offset}:{metric}"


def seen(shard: int, mark: Mark, kind: str = "seen") -> str:
    """Where a shard remembers a message, and those of its publisher around it. kind: `wseen` for visitor logs."""
    account, publisher, seq = mark
    return f"{account or PROGRAM}:{{{shard}}}:{kind}:{publisher}:{seq // SEEN_BITS}"


class Keys:
    """Builders for one account. shards: how many hash slots the store is spread over."""

    def __init__(self, account: str, shards: int):
        self.account_name, self.shards = account, shards
        self.account = f"{account}:{{0}}:account"

    def _at(self, shard: int, rest: str) -> str:
        return f"{self.account_name}:{{{shard}}}:{rest}"

    def pk(self, pk: Pk) -> tuple[int, str]:
        """Shard of a pk, and how it stands in keys."""
        raw = digest(self.account_name, *pk, size=12)
        return int.from_bytes(raw[:8], "big") % self.shards, base64.urlsafe_b64encode(raw).decode()

    def home(self, publisher: str) -> int:
        """Shard of a publisher's tally."""
        return int(publisher, 16) % self.shards

    def dictionary(self, shard: int, pk_id: str) -> str:
        return self._at(shard, f"n:{pk_id}")

    def block(self, shard: int, pk_id: str, interval: Interval, block: int, page: int) -> str:
        return self._at(shard, f"r:{pk_id}:{interval}:{block}:{page}")

    def operation(self, shard: int, pk_id: str, raw: bytes) -> str:
        return self._at(shard, f"op:{pk_id}:{base64.urlsafe_b64encode(raw).decode()}")

    def scratch(self, shard: int) -> str:
        return self._at(shard, "scratch")

    def resets(self, shard: int) -> str:
        return self._at(shard, "resets")

    @property
    def trash(self) -> str:
        return self._at(0, "trash")

    @property
    def sweeping(self) -> str:
        return self._at(0, "sweeping")

    def below(self, shard: int, pk_id: str, kind: str) -> str:
        """What all blocks (kind r), values (v) or HyperLogLogs (u) of a pk, in one generation, begin with. pk_id: see `generation`."""
        return self._at(shard, f"{kind}:{pk_id}:")

    def values(self, shard: int, pk_id: str, interval: Interval, block: int, page: int) -> str:
        return self._at(shard, f"v:{pk_id}:{interval}:{block}:{page}")

    def distinct_nodes(self, shard: int, pk_id: str) -> str:
        return self._at(shard, f"u:{pk_id}")

    def distinct(self, shard: int, pk_id: str, interval: Interval, start: int, node: int, metric: int) -> str:
        return f"{self.distinct_bucket(shard, pk_id, interval, start)}:{node}:{metric}"

    def distinct_bucket(self, shard: int, pk_id: str, interval: Interval, start: int) -> str:
        """What the HyperLogLogs of a bucket begin with: `:node:metric` is appended."""
        return self._at(shard, f"u:{pk_id}:{interval}:{start}")

    def publisher(self, publisher: str) -> str:
        return self._at(self.home(publisher), f"pub:{publisher}")

    def publishers(self, shard: int) -> str:
        return self._at(shard, "pubs")

    def faults(self, shard: int) -> str:
        return self._at(shard, "faults")

    def noted(self, shard: int) -> str:
        return self._at(shard, "noted")

    def aside(self, shard: int) -> str:
        return self._at(shard, "aside")

    def undecodable(self) -> tuple[str, str]:
        """Names and bytes, on the shard of the empty pk."""
        shard, _ = self.pk(())
        return self._at(shard, "undecodable"), self._at(shard, "undecodable:raw")

    def waited(self, shard: int) -> str:
        return self._at(shard, "waited")

    def spy(self) -> tuple[str, str, str, str]:
        """What counts, what was accepted and does not, the visitors, and what was refused: all on one shard of the account."""
        shard, _ = self.pk(())
        counted, others, visitors, refused = (
            self._at(shard, f"spy:{name}") for name in ("counted", "others", "visitors", "refused")
        )
        return counted, others, visitors, refused

    def spied_visitor(self, visitor: str) -> str:
        return f"{self.spy()[2]}:{visitor_id(visitor)}"

    def live(self) -> tuple[str, str]:
        """The pks that somebody watches, and the channel on which it is told, on one shard of the account."""
        shard, _ = self.pk(())
        return self._at(shard, "looked"), self._at(shard, "live")

    def logged_out(self) -> str:
        """Sessions that are over, on the shard of the empty pk."""
        shard, _ = self.pk(())
        return self._at(shard, "logged_out")

    def talk_name(self, site: str, visitor: str) -> str:
        """TALK_NAME letters."""
        return base64.urlsafe_b64encode(digest(self.account_name, "talk", site, visitor, size=12)).decode()

    def talk(self, name: str) -> str:
        """All talks of an account lie on the shard of the empty pk."""
        shard, _ = self.pk(())
        return self._at(shard, f"talk:{name}")

    def talks(self) -> str:
        shard, _ = self.pk(())
        return self._at(shard, "talks")

    def unanswered(self) -> str:
        """Talks in which the site said nothing yet."""
        return f"{self.talks()}:unanswered"

    def listening(self) -> tuple[str, str]:
        """Pages by name, and by when their time ends."""
        shard, _ = self.pk(())
        return self._at(shard, "listening"), self._at(shard, "listening:ends")

    def decisions(self, shard: int) -> tuple[str, str, str]:
        """When each came; and what the decisions, and those of visitors, begin with."""
        return self._at(shard, "decisions"), self._at(shard, "d"), self._at(shard, "dv")

    def decided(self, pk: Pk, visitor: str) -> tuple[int, str]:
        """Shard of a visitor's decision of a pk, and how the two stand in keys."""
        raw = digest(self.account_name, *pk, visitor, size=12)
        return int.from_bytes(raw[:8], "big") % self.shards, base64.urlsafe_b64encode(raw).decode()

    def definitions(self) -> str:
        shard, _ = self.pk(())
        return self._at(shard, "definitions")

    def saved(self, site: str, kind: str) -> str:
        """What people saved of a site, on the shard of the empty pk."""
        (shard, _), (_, pk_id) = self.pk(()), self.pk((site,))
        return self._at(shard, f"saved:{kind}:{pk_id}")

    def declared(self) -> str:
        shard, _ = self.pk(())
        return self._at(shard, "declared")

    def imports(self) -> tuple[str, str]:
        """What was imported, and when each pk and path was last reset."""
        shard, _ = self.pk(())
        return self._at(shard, "imports"), self._at(shard, "reset_at")

    def notes(self) -> tuple[str, str]:
        """Notes by id, and their ids by time."""
        shard, _ = self.pk(())
        return self._at(shard, "notes"), self._at(shard, "notes:times")

    def site_logs(self) -> str:
        """The records of the logs of sites."""
        shard, _ = self.pk(())
        return self._at(shard, "sites")

    def log_bytes(self) -> str:
        shard, _ = self.pk(())
        return self._at(shard, "wbytes")

    def log(self, site: str, generation_: str, partition: int) -> tuple[int, str]:
        """Shard of a partition of a site's visitor log, and what its keys begin with. Partitions lie on shards in turn."""
        first, pk_id = self.pk((site,))
        shard = (first + partition) % self.shards
        return shard, self._at(shard, f"w:{generation(pk_id, generation_)}:{partition}")

    def log_tally(self, shard: int, publisher: str) -> str:
        return self._at(shard, f"wlog:{publisher}")

    def ids(self, shard: int, slice_: int, order: bool = False) -> str:
        return self._at(shard, f"{'order' if order else 'id'}:{slice_}")


TALKS_CHANNEL = f"{ACCOUNT}:talks"
"""Of all accounts. Rights of a Redis user may name the channels of this account alone (docs/deploy.md)."""
TALK_NAME = 16


class LogKeys:
    """Of the logs of visitors of all accounts."""

    DUE, NONE = f"{PROGRAM}:{{logs}}:due", f"{PROGRAM}:{{logs}}:none"


class DirectoryKeys:
    """Of the directory of accounts: all on one shard, so that one script may touch them together."""

    HEAD = f"{PROGRAM}:{{accounts}}:"
    STATE, NAMES, ENTRIES, HASHES = HEAD + "state", HEAD + "names", HEAD + "a", HEAD + "hashes"
    CHANGES, GONE, JOURNAL = HEAD + "changes", HEAD + "gone", HEAD + "journal"
    RETIRED, TRASH, FREEING = HEAD + "retired", HEAD + "trash", HEAD + "freeing"
    SALTS = HEAD + "salts"
    REMOVED, WAS = HEAD + "removed", HEAD + "was"

    @classmethod
    def entries(cls, account: str) -> str:
        return f"{cls.ENTRIES}:{account}"

    @classmethod
    def was(cls, hash: str) -> str:
        return f"{cls.WAS}:{hash}"

    @classmethod
    def removed(cls, account: str) -> str:
        return f"{cls.REMOVED}:{account}"


class DatedKeys:
    """Builders of whale.fasttrack's keys. An id is the hash tag of all that is its own; of details it is the event."""

    def __init__(self, account: str, prefix: str):
        self.head = f"{account}:ft:{quote(prefix, safe='')}:"

    def pair(self, uid: str, metric: str) -> str:
        return f"{self.head}{{{_name('id', uid)}}}:m:{_name('metric', metric)}"

    def quarter(self, pair: str, quarter: int) -> str:
        """pair: its key."""
        return f"{pair}:{quarter}"

    def event(self, event: str) -> str:
        return f"{self.head}{{{_name('event', event)}}}:d"

    def records(self, event: str, user: str) -> str:
        return f"{self.event(event)}:{_name('user', user)}"


def _name(kind: str, name: str) -> str:
    return base64.urlsafe_b64encode(digest(kind, name, size=12)).decode()


@calendar
@functools.lru_cache(maxsize=16_384)
def place(interval: Interval, start: int, zone: str) -> tuple[int, int]:
    """Block of a bucket and its position there: an hour of minutes, a day of quarters, 2 days of hours, 16 days, 16 months."""
    if isinstance(interval, int) and interval < DAY:
        width = HOUR if interval < 900 else DAY if interval < HOUR else 2 * DAY
        return start // width, start % width // interval
    date = datetime.fromtimestamp(start, ZoneInfo(zone))
    if interval == DAY:
        return date.toordinal() // 16, date.toordinal() % 16
    months = date.year * 12 + date.month - 1
    return months // 16, months % 16


def start_of(interval: Interval, block: int, offset: int, zone: str) -> int:
    """The start of the bucket that lies there: what `place` was asked."""
    if isinstance(interval, int) and interval < DAY:
        width = HOUR if interval < 900 else DAY if interval < HOUR else 2 * DAY
        return block * width + offset * interval
    number, noon = block * 16 + offset, time(12, tzinfo=ZoneInfo(zone))  # some zone has a day without midnight
    if interval == DAY:
        return day_start(int(datetime.combine(date.fromordinal(number), noon).timestamp()), zone)
    return month_start(int(datetime.combine(date(number // 12, number % 12 + 1, 1), noon).timestamp()), zone)


def block_end(interval: Interval, block: int) -> int:
    """Epoch seconds by which the last bucket of a block has surely ended."""
    if isinstance(interval, int) and interval < DAY:
        width = HOUR if interval < 900 else DAY if interval < HOUR else 2 * DAY
        return (block + 1) * width
    if interval == DAY:
        return ((block + 1) * 16 - 719_163 + 1) * DAY
    return ((block + 1) * 16 // 12 - 1970 + 1) * 366 * DAY
