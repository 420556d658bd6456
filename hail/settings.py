"""The one table of settings: name, default, unit, meaning. Both services read it; a misspelt name stops the start.

Every setting is an environment variable `HAILWHALE_<NAME>`. Nothing else in the project reads the environment.
"""

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from hail.meant import did_you_mean, near
from hail.units import Declaration, NotDeclared, declaration_of

PREFIX = "HAILWHALE_"
MINUTE, HOUR, DAY = 60, 3600, 86_400
MONTH = "1mo"
SUM, DISTINCT, QUANTILE = "sum", "distinct", "quantile"
SECRET_LETTERS = 32
MOST_SECRETS = 4
MOST_HAILS = 64
MESSAGE_VERSIONS = 1, 2
MAX_BAND = 10**15  # millionths
ANY_ORIGIN = "*"
ORIGIN = re.compile(r"(?P<scheme>https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
LISTED = re.compile(r"[,\s]+")
BIND = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]*):([0-9]{1,5})")
PASSED_OVER = (
    "_*, utm_*, gclid, fbclid, msclkid, dclid, gbraid, wbraid, yclid, mc_cid, mc_eid, igshid, cb, cachebuster, rnd"
)
"""Parameters that mails, advertisements and caches append to any address; `*`: and whatever follows."""
KINDS = (SUM, DISTINCT, "min", "max", "last", QUANTILE)


class SettingsError(Exception):
    """A setting that cannot be used; the message says which, and what to do."""


@dataclass(frozen=True)
class Setting:
    """A row of the table. name: as in the environment, without PREFIX.  default: as it would be written there."""

    name: str
    default: Any
    unit: str
    meaning: str


Retention = tuple[int | str, float | None]
"""An interval and how long its buckets are kept, both in seconds; MONTH is an interval, too, and None is for ever."""


def setting(default: str | int | float, unit: str, meaning: str) -> Any:
    """A row of the table below. Where its type is no text or number, READERS say what the text means."""
    return field(metadata={"default": default, "unit": unit, "meaning": meaning})


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """The one table, and the settings in force, one attribute each: `settings.hail_bind` is HAILWHALE_HAIL_BIND."""

    # where things are
    hail_bind: str = setting("127.0.0.1:8085", "host:port", "address that Hail listens on")
    whale_bind: str = setting("127.0.0.1:8086", "host:port", "address that Whale listens on")
    hail_urls: tuple[str, ...] = setting(
        "",
        "URLs",
        "addresses of all Hails, such as `http://10.0.0.5:8085, https://hail.example`, for the state that Whale shows. "
        "`hailwhale up` adds its own",
    )
    whale_url: str = setting(
        "",
        "URL",
        "address at which Hail reaches Whale, such as `http://10.0.0.7:8086`. Leave empty where that is WHALE_BIND",
    )
    live_bind: str = setting(
        "127.0.0.1:8087", "host:port", "address that the live service listens on. Leave empty to run none"
    )
    live_url: str = setting(
        "",
        "origin",
        "origin at which browsers reach the live service. Leave empty where it is the host of Whale with the port of LIVE_BIND",
    )
    data_dir: str = setting("./var", "folder", "folder of the spool, the embedded Redis and process files")
    redis_url: str = setting(
        "", "URL", "redis://, rediss://, unix:// or redis+cluster://. Leave empty to run an embedded Redis"
    )
    broker_url: str = setting("", "URL", "amqp:// of RabbitMQ. Leave empty to use the spool as the queue")
    queue: str = setting(
        "hailwhale", "name", "name of the exchange and of the queue; the dead-letter queue adds `.dead`"
    )
    timezone: str = setting(
        "UTC", "IANA zone", "time zone of the account's days and months, fixed when the account is created"
    )
    week_starts: str = setting("monday", "monday or sunday", "first day of the week, if a query names none")
    default_table: str = setting("analytics", "pk", "pk that HailWhale.log counts and HailWhale.dataset reads")
    shards: int = setting(
        1, "shards", "hash slots that a farm is spread over, fixed at the first start (use 64 for a farm)"
    )
    wait_replicas: int = setting(
        0, "replicas", "Redis replicas that must acknowledge a write before its message is acknowledged"
    )
    hail_processes: int = setting(1, "processes", "gunicorn workers of Hail")
    whale_processes: int = setting(1, "processes", "gunicorn workers of Whale")
    whale_threads: int = setting(8, "threads", "threads of each Whale process")
    worker_threads: int = setting(
        32, "threads", "messages that a Celery worker takes at once and merges into one apply"
    )
    # who may
    write_key: str = setting("", "secret", "key that Hail requires for each hit; required off loopback")
    read_key: str = setting("", "secret", "key that Whale requires for each query; required off loopback")
    admin_key: str = setting(
        "",
        "secret",
        "key for every route, and the only one for routes that reset counts or define decisions; required off loopback",
    )
    internal_key: str = setting(
        "",
        "secret",
        "secret by which Hail asks Whale for the directory of accounts, the same on all machines. Leave empty to have the account "
        "`default` alone; `hailwhale up` makes one",
    )
    pixel_key: str = setting(
        "", "secret", "secret that encrypts the pk of a pixel (`hailwhale pixel`). Leave empty to refuse such pixels"
    )
    secret: str = setting(
        "",
        "secret",
        "secret that signs the links of shares and the sessions of users. Write `new,old` to change it and keep those that the old "
        "one signed. Leave empty on one machine: `hailwhale up` with its own Redis makes one",
    )
    allowed_origins: tuple[str, ...] = setting(
        "",
        "origins",
        "other sites whose pages may read answers and change data. Leave empty to allow no other site while no key is set, "
        "and every site once one is",
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = setting(
        "",
        "CIDR",
        "networks of the proxies whose `Forwarded` and `X-Forwarded-*` headers are trusted. Leave empty to trust none",
    )
    open_registration: bool = setting(
        "0",
        "0 or 1",
        "1 lets anybody make an account by `POST /<user>`. Without keys all of this machine may do so anyway",
    )
    # what addresses may carry beside
    ignored_parameters: re.Pattern[str] = setting(
        "",
        "names",
        "further parameters of URLs and forms to ignore, such as `ref, my_*`. docs/http/hits.md#other-names lists those that are "
        "always ignored",
    )
    # where hits of the tracker come from
    country_file: str = setting(
        "",
        "file",
        "file in MaxMind's format (.mmdb) by which Hail tells the country of a browser. Leave empty to count no countries",
    )
    known_agents_mb: float = setting(
        2.0, "MB", "cache of the browsers that sent hits of the tracker, by User-Agent, in one Hail process"
    )
    # what is shown of single hits
    spy: bool = setting("1", "0 or 1", "1 shows the last hits at GET /spy and `hailwhale tail`")
    max_spied_visitors: int = setting(
        1000, "visitors", "visitors whose last hits are kept for a day; the oldest are dropped first"
    )
    # what connections may hold, in each process of Hail and of Whale
    head_timeout_s: float = setting(10.0, "s", "time for the head of a request, from its first byte to its last")
    body_timeout_s: float = setting(30.0, "s", "time for a request body, from its first byte to its last")
    send_timeout_s: float = setting(30.0, "s", "time for a client to read an answer")
    max_connections: int = setting(
        2000, "connections", "open connections. Above the limit, the connection that has waited longest is closed"
    )
    max_connections_a_peer: int = setting(
        200, "connections", "open connections of one IPv4 address or IPv6 /64. Loopback and trusted proxies are exempt"
    )
    connections_max_mb: int = setting(
        64,
        "MB",
        "memory of heads, bodies and answers in all connections. Above the limit, the connection that has waited longest is closed",
    )
    # what live streams may hold
    live_max_viewers: int = setting(
        1000, "viewers", "streams that are open at once. Above the limit a viewer gets 503 and asks again"
    )
    live_account_viewers: int = setting(
        100, "viewers", "of these, streams that one account may have open at once; the account default may have all"
    )
    live_viewer_kb: int = setting(
        256, "kB", "events that wait for one viewer to read them. Above the limit the viewer is disconnected"
    )
    live_stream_s: float = setting(
        900.0, "s", "time after which a stream ends; the page opens it again, with a new token where keys are set"
    )
    # messages to one visitor
    push_max_pages: int = setting(
        800, "pages", "pages that listen to one live service at once. Above the limit a page gets 503 and asks again"
    )
    push_account_pages: int = setting(500, "pages", "of these, pages of one account; the account default may have all")
    push_message_bytes: int = setting(4000, "bytes", "size of one message to a visitor or by them")
    push_visitor_kb: int = setting(16, "kB", "messages with one visitor that are kept. The oldest are forgotten first")
    push_talks: int = setting(
        1000,
        "visitors",
        "visitors of one account whose messages are kept. Who was silent for longest is forgotten first",
    )
    push_kept_s: float = setting(3600.0, "s", "how long messages with a visitor are kept after the last one")
    # what one hit may carry
    max_body_bytes: int = setting(1_000_000, "bytes", "size of a request body after decompression")
    max_batch_hits: int = setting(500, "hits", "hits in one batch request")
    max_paths: int = setting(64, "paths", "paths of one hit below the root")
    max_levels: int = setting(8, "levels", "depth of a path and of a pk")
    max_metrics_per_hit: int = setting(16, "metrics", "metrics of one hit, `hits` included")
    max_name_bytes: int = setting(200, "bytes", "UTF-8 bytes of one name (pk, dimension, metric or id)")
    max_cells_per_hit: int = setting(4096, "cells", "cells of one hit: pk prefixes x paths x metrics x intervals")
    # what Hail holds and hands on
    linger_ms: int = setting(50, "ms", "longest time a message waits for more hits while other messages are being sent")
    message_max_hits: int = setting(2000, "hits", "hits in one message (at most 65,535)")
    message_max_bytes: int = setting(1_000_000, "bytes", "size of one message")
    message_max_cells: int = setting(
        168_000, "cells", "cells of one message before equal ones are merged (merging leaves a third to a twelfth)"
    )
    message_version: int = setting(
        1,
        "1 or 2",
        "form of the messages that Hail writes. Set 2 on a farm once every worker, hailwail, Whale and import can read it; "
        "`hailwhale up` with its own Redis does so",
    )
    waiting_max_hits: int = setting(
        20_000, "hits", "hits of one Hail process that wait for the broker's confirm. Above the limit Hail answers 503"
    )
    waiting_max_mb: float = setting(
        32.0, "MB", "memory of the hits that wait for the broker's confirm; a larger request waits alone"
    )
    known_hits_mb: float = setting(8.0, "MB", "cache of checked and encoded GET hits in one Hail process")
    confirm_timeout_ms: int = setting(150, "ms", "timeout of the broker for connecting, publishing and confirming")
    breaker_s: float = setting(2.0, "s", "pause after the broker failed; meanwhile hits go to the spool")
    directory_mb: float = setting(
        64.0, "MB", "memory of the directory of accounts in one Hail process. A larger one is not taken"
    )
    spool_max_mb: int = setting(1024, "MB", "size of the spool folder. When it is full Hail answers 503")
    spool_file_mb: int = setting(4, "MB", "size at which a spool file is sealed")
    spool_max_age_s: int = setting(
        2 * DAY, "s", "age above which a spool file is handed on only with `hailwail --force`"
    )
    queue_max_messages: int = setting(20_000, "messages", "length of the queue. When it is full hits go to the spool")
    delivery_limit: int = setting(100, "deliveries", "deliveries of a message before it goes to the dead-letter queue")
    # what is kept
    periods: tuple[Retention, ...] = setting(
        "((60, 86400), (900, 1209600), (3600, 7776000), (86400, None), ('1mo', None))",
        "((interval s, retention s), ...)",
        "intervals to keep and their retention; '1mo' is a calendar month, None keeps forever",
    )
    dedupe_window_s: int = setting(
        2 * DAY, "s", "time that the id of a hit is remembered, so that a repeat counts once"
    )
    max_ids: int = setting(
        10_000_000, "ids", "hit ids remembered at once. Above the limit, hits count without a check for repeats"
    )
    max_children: int = setting(
        10_000, "nodes", "children of one path, or child pks of one pk; further ones count in __other__"
    )
    max_nodes: int = setting(50_000, "nodes", "paths of one pk; further ones count in __other__")
    max_pks: int = setting(100_000, "pks", "pks of an account; further ones count in __other__")
    max_metrics: int = setting(63, "metrics", "metrics of one pk (at most 63); further ones count in __other__")
    kinds: dict[str, str] = setting(
        "",
        "{name: kind}",
        "kinds of metrics: distinct, min, max, last or quantile. Metrics that are not listed are sums",
    )
    metrics: dict[str, Declaration] = setting(
        "",
        "{name: declaration}",
        "units, currencies and better directions of metrics, for every pk. PUT /metrics_of declares those of one pk; others are guessed",
    )
    max_declared: int = setting(
        10_000, "metrics", "metrics that an account declares by PUT /metrics_of; further ones are refused"
    )
    bands: dict[str, tuple[int, ...]] = setting(
        "", "{dimension: widths}", "numeric dimensions to count in bands, each with its band widths, the widest first"
    )
    max_distinct_nodes: int = setting(
        1000, "nodes", "places of one pk (a path and a metric) that have a distinct count; further ones read null"
    )
    max_bins: int = setting(50_000, "bins", "histogram bins of a pk's quantile metrics; further ones read null")
    max_undecodable_bytes: int = setting(
        1_000_000,
        "bytes",
        "memory for unreadable hits, shown by `hailwhale doctor --dead`; the oldest are dropped first",
    )
    apply_max_hits: int = setting(10_000, "hits", "hits merged into one apply")
    apply_max_cells: int = setting(
        50_000,
        "sums",
        "cells and names of one interval in one apply. Above the limit, messages are applied one by one",
    )
    # the log of visitors
    visitor_log: bool = setting(
        "1",
        "0 or 1",
        "1 logs each hit of a site that has a visitor, and an event or properties: who, which, and when. 0 logs nobody",
    )
    site_partitions: int = setting(
        1, "partitions", "partitions of a new site's log, 1 to 64. More than 1 spreads a large site over several shards"
    )
    visitor_kept_days: int | None = setting(
        "180",
        "days",
        "days for which a visitor of a new site is known at least after the last visit, 31 to 3650, or none for ever",
    )
    max_visitors: int = setting(
        16_000_000,
        "visitors",
        "visitors known at a time in each partition of a log (at most 60,000,000); hits of further ones are counted, not logged",
    )
    max_event_names: int = setting(
        10_000, "names", "names of events in each partition of a log; further ones are logged as __other__"
    )
    max_properties: int = setting(
        200,
        "properties",
        "properties of visitors in each partition of a log (at most 1023); further ones are __other__",
    )
    max_property_values: int = setting(
        10_000, "values", "values of one property in a partition (at most 1,048,574); further ones are __other__"
    )
    session_gap_s: int = setting(
        1800, "s", "time without an event after which the next one of a visitor begins a session, 1 to 86400"
    )
    events_max_mb: float | None = setting(
        "",
        "MB",
        "memory that the logs of one account may take; hits of further events are counted, not logged. Leave empty for a quarter of the "
        "`maxmemory` of Redis, or 1000 if it has none",
    )
    events_cache_mb: float = setting(
        256.0,
        "MB",
        "memory of each process for columns of logs of visitors that questions have read, so that the next one need not read them again",
    )
    events_question_mb: float = setting(
        128.0,
        "MB",
        "memory that a question about visitors takes at a time; a larger one is answered in ranges of visitors, and one of them at a time",
    )
    log_tail_records: int = setting(
        65_536, "records", "records of a partition that wait before a worker packs them (at most 65,536)"
    )
    # imports
    max_imports: int = setting(
        10_000, "imports", "imports that an account remembers, so that no row counts twice; further ones are refused"
    )
    import_line_bytes: int = setting(
        1_000_000, "bytes", "size of one line or row of an imported file; a longer one is refused"
    )
    # what a worker, hailwail and /count_now hold in memory
    apply_max_mb: float = setting(
        64.0, "MB", "estimated memory of one apply. Above the limit, messages are applied one by one"
    )
    branches_mb: float = setting(48.0, "MB", "cache of expanded dimensions in each worker or hailwail")
    forget_above_mb: float = setting(200.0, "MB", "memory of a worker or hailwail above which it empties its caches")
    dictionaries_mb: float = setting(48.0, "MB", "cache of Redis' numbers for names, in each process that counts")
    mirror_mb: float = setting(
        0.0, "MB", "cache of busy buckets in a worker or hailwail, which then writes them whole; 0: none"
    )
    # what Whale holds in memory
    names_mb: float = setting(128.0, "MB", "cache of names and their numbers, in each process that queries")
    answers_mb: float = setting(32.0, "MB", "cache of HTTP answers, and another as large for Python answers")
    trials_max_mb: float = setting(
        64.0, "MB", "memory of decisions that wait to be counted; further ones are not counted"
    )
    # decisions
    decision_sticky_s: int = setting(30 * DAY, "s", "time that a returning visitor gets the same option")
    decision_kept_s: int = setting(30 * DAY, "s", "time that a decision accepts rewards")
    max_rewards: int = setting(100, "rewards", "rewards of one decision, each with its id; further ones are refused")
    max_decisions: int = setting(200_000, "decisions", "decisions that an account keeps; the oldest are dropped first")
    decide_snapshot_s: float = setting(1.0, "s", "age of the counters that a decision may use")
    max_definitions: int = setting(200, "decisions", "managed decisions of an account")
    max_options: int = setting(50, "options", "options of a managed decision (at most 200)")
    max_phases: int = setting(20, "phases", "phases that a managed decision keeps; the oldest are dropped first")
    max_definition_bytes: int = setting(65_536, "bytes", "size of a managed decision as JSON, option values included")
    # what one answer may cost
    max_points: int = setting(10_000, "points", "points of one series")
    max_answer_points: int = setting(200_000, "points", "points of one answer")

    def replace(self, **changes: Any) -> "Settings":
        """The same settings with some changed. Raises TypeError where there is no such setting."""
        return replace(self, **changes)


TABLE = tuple(Setting(each.name.upper(), **each.metadata) for each in fields(Settings))
NAMES = {setting.name: setting for setting in TABLE}
REDIS_OPTIONS: dict[str, Callable[[str], object]] = {
    "db": int,
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "health_check_interval": int,
    "max_connections": int,
    "client_name": str,
    "ssl_ca_certs": str,
    "ssl_cert_reqs": str,
    "ssl_certfile": str,
    "ssl_check_hostname": str,
    "ssl_keyfile": str,
}
"""What may follow the ? of a Redis URL."""


def load(environ: Mapping[str, str]) -> Settings:
    """Settings from an environment; raises SettingsError with a sentence that says what to do."""
    values: dict[str, Any] = {setting.name: setting.default for setting in TABLE}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX)
        if name not in NAMES:
            known = near(name, NAMES)
            hint = f": did you mean {PREFIX}{known}?" if known else "; docs/settings.md lists them"
            raise SettingsError(f"{variable} is not a setting{hint}")
        values[name] = _number(variable, text, NAMES[name].default)
    for name, read in READERS.items():
        values[name] = read(values[name])
    values["BANDS"] = _bands(values["BANDS"], values["MAX_LEVELS"])
    return Settings(**{name.lower(): value for name, value in values.items()})


def _number(variable: str, text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    try:
        value = type(default)(text)
    except ValueError:
        raise SettingsError(f"{variable}: expected a number, got {text!r}") from None
    if not 0 <= value < float("inf") or (default and not value):
        raise SettingsError(f"{variable}: expected {'more than 0' if default else '0 or more'}, got {text!r}")
    return value


def _message_version(version: int) -> int:
    if version not in MESSAGE_VERSIONS:
        raise SettingsError(f"{PREFIX}MESSAGE_VERSION: expected 1 or 2, got {version}")
    return version


def _live_url(text: str) -> str:
    if text and not origin_of(text):
        raise SettingsError(f"{PREFIX}LIVE_URL: expected an origin such as https://count.example, got {text!r}")
    return origin_of(text)


def _origins(text: str) -> tuple[str, ...]:
    """As browsers send them: lower case, and no port where it is the scheme's own."""
    expected = f"{PREFIX}ALLOWED_ORIGINS: expected * or origins such as https://shop.example, got {text!r}"
    words = [word for word in LISTED.split(text) if word]
    if words == [ANY_ORIGIN]:
        return (ANY_ORIGIN,)
    found = [origin_of(word) for word in words]
    if "" in found:
        raise SettingsError(expected)
    return tuple(found)


def origin_of(word: str) -> str:
    """An origin as browsers send it; empty where it is none."""
    match = ORIGIN.fullmatch(word.lower())
    if not match or int(match["port"] or 0) > 65535:
        return ""
    own = {"http": "80", "https": "443"}[match["scheme"]]
    return word.lower().removesuffix(f":{own}")


def _whale_url(text: str) -> str:
    url = text.lower().removesuffix("/")
    if url and not origin_of(url):
        raise SettingsError(f"{PREFIX}WHALE_URL: expected an address such as http://10.0.0.7:8086, got {text!r}")
    return url


def _hail_urls(text: str) -> tuple[str, ...]:
    """Scheme, host and port alone: no other address is ever asked."""
    words = [word.lower().removesuffix("/") for word in LISTED.split(text) if word]
    for word in words:
        match = ORIGIN.fullmatch(word)
        if not match or int(match["port"] or 1) not in range(1, 65_536):
            raise SettingsError(f"{PREFIX}HAIL_URLS: expected addresses such as http://127.0.0.1:8085, got {text!r}")
    if len(words) > MOST_HAILS:
        raise SettingsError(f"{PREFIX}HAIL_URLS: expected at most {MOST_HAILS} addresses, got {len(words)}")
    return tuple(dict.fromkeys(words))


def _names_passed_over(text: str) -> re.Pattern[str]:
    """What names match that are passed over, those of PASSED_OVER among them."""
    words = [word for word in LISTED.split(f"{PASSED_OVER},{text}") if word]
    for word in words:
        if "*" in word[:-1] or word == "*":
            expected = "expected names, or beginnings of names such as my_*"
            raise SettingsError(f"{PREFIX}IGNORED_PARAMETERS: {expected}, got {word!r}")
    return re.compile("|".join(re.escape(word.removesuffix("*")) + ".*" * word.endswith("*") for word in words), re.S)


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(word) for word in LISTED.split(text) if word)
    except ValueError as error:
        expected = "expected networks such as 10.0.0.0/8, 127.0.0.1"
        raise SettingsError(f"{PREFIX}TRUSTED_PROXIES: {expected}, got {text!r} ({error})") from None


def _one_of(name: str, *words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise SettingsError(f"{PREFIX}{name}: expected {' or '.join(words)}, got {text!r}")
        return text

    return read


def _up_to(most: int, name: str, least: int = 1) -> Callable[[int], int]:
    def read(number: int) -> int:
        if not least <= number <= most:
            raise SettingsError(f"{PREFIX}{name}: expected {least} to {most}, got {number}")
        return number

    return read


def _days_or_none(text: str) -> int | None:
    if text == "none":
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 31 <= number <= 3650:
        raise SettingsError(f"{PREFIX}VISITOR_KEPT_DAYS: expected 31 to 3650, or none, got {text!r}")
    return number


def _megabytes(text: str) -> float | None:
    """Empty: as much as fits the server."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise SettingsError(f"{PREFIX}EVENTS_MAX_MB: expected a number above 0, got {text!r}")
    return number


def _secret(name: str, most: int = 1) -> Callable[[str], str]:
    """most: how many there may be, with commas between."""

    def read(text: str) -> str:
        keys = [key.strip() for key in text.split(",")] if most > 1 else [text]
        if text and len(keys) > most:
            raise SettingsError(f"{PREFIX}{name}: expected at most {most} secrets, got {len(keys)}")
        if text and any(len(key) < SECRET_LETTERS for key in keys):
            raise SettingsError(
                f"{PREFIX}{name}: expected at least {SECRET_LETTERS} random characters, such as `openssl rand -hex 32` prints"
            )
        return text

    return read


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise SettingsError(f"{PREFIX}TIMEZONE: expected an IANA zone such as Europe/Berlin, got {text!r}") from None
    return text


def _bind(name: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        found = BIND.fullmatch(text)
        if not text.startswith("unix:") and not (found and 0 < int(found[1]) < 65_536):
            raise SettingsError(f"{PREFIX}{name}: expected host:port such as {NAMES[name].default}, got {text!r}")
        return text

    return read


def _broker_url(text: str) -> str:
    """Never shows the URL itself: it may hold a password."""
    expected = f"{PREFIX}BROKER_URL: expected amqp://user:password@host:5672/ of RabbitMQ (or amqps://)"
    for url in text.split(";") if text else ():
        scheme, found, _ = url.partition("://")
        if not found or scheme not in ("amqp", "amqps"):
            raise SettingsError(f"{expected}, got {f'a {ascii(scheme)[1:-1]}:// URL' if found else 'no URL'}")
        try:
            parts = urlsplit(url)
            readable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            readable = False
        if not readable:
            raise SettingsError(
                f"{expected}; in a user or password write / as %2F, @ as %40, : as %3A, # as %23, ? as %3F, [ as %5B"
            )
    return text


def _redis_url(text: str) -> str:
    check_redis_url(text)
    return text


def check_redis_url(text: str) -> None:
    """Raises SettingsError; never shows the URL itself: it may hold a password."""
    if not text:
        return
    expected = (
        f"{PREFIX}REDIS_URL: expected redis://user:password@host:6379/0, rediss://, redis+cluster:// or unix:///path"
    )
    scheme, found, rest = text.partition("://")
    if not found or scheme not in ("redis", "rediss", "redis+cluster", "unix"):
        raise SettingsError(f"{expected}, got {f'a {ascii(scheme)[1:-1]}:// URL' if found else 'no URL'}")
    try:
        parts = urlsplit(f"redis://{rest}")
        readable = scheme == "unix" or (bool(parts.hostname) and (parts.port is None or parts.port > 0))
    except ValueError:
        readable = False
    if not readable or "@" in parts.path + parts.query + parts.fragment or parts.fragment:
        raise SettingsError(
            f"{expected}; in a user or password write / as %2F, @ as %40, : as %3A, # as %23, ? as %3F, [ as %5B"
        )
    database = parts.path.removeprefix("/")
    if scheme != "unix" and database and not (database.isascii() and database.isdecimal()):
        raise SettingsError(f"{PREFIX}REDIS_URL: expected the number of a database after the last /, got {database!a}")
    if scheme == "redis+cluster" and database.strip("0"):
        raise SettingsError(f"{PREFIX}REDIS_URL: a Redis Cluster has only database 0, got {database}")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in REDIS_OPTIONS:
            hint = did_you_mean(name, REDIS_OPTIONS)
            raise SettingsError(f"{PREFIX}REDIS_URL: {name!a} is not an option: {hint}")
        try:
            REDIS_OPTIONS[name](value)
        except ValueError:
            raise SettingsError(f"{PREFIX}REDIS_URL: option {name}: expected a number, got {value!a}") from None


def _kinds(text: str) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
        if isinstance(found, dict) and all(kind in KINDS for kind in found.values()):
            if found.get("hits", SUM) == SUM:
                return found
            raise SettingsError(f"{PREFIX}KINDS: hits is always a sum, got {found['hits']!r}")
    except (ValueError, RecursionError, TypeError):
        pass
    expected = '{"time_on_page": "quantile", "visitors": "distinct"}'
    raise SettingsError(f"{PREFIX}KINDS: expected {expected}, with the kinds {', '.join(KINDS)}; got {text!r}")


def _metrics(text: str) -> dict[str, Declaration]:
    such = '{"revenue": {"unit": "money", "currency": "USD", "better": "up"}}'
    name = ""
    found = {}
    try:
        for name, given in json.loads(text or "{}").items():
            found[name] = declaration_of(given)
    except NotDeclared as error:
        where = ascii(f"{name[:60]}.{error.field}".removesuffix("."))[1:-1]
        raise SettingsError(f"{PREFIX}METRICS: {where}: {error}; write it as {such}") from None
    except (ValueError, RecursionError, AttributeError):
        raise SettingsError(f"{PREFIX}METRICS: expected {such}, got {text[:200]!r}") from None
    return found


def _bands(text: str, levels: int) -> dict[str, tuple[int, ...]]:
    """Widths in millionths."""
    expected = (
        f'{PREFIX}BANDS: expected {{"price": [1000, 100, 10]}}, each width a divisor of the one before it, got {text!r}'
    )
    try:
        given = json.loads(text or "{}", parse_float=Decimal)
        found = {
            name: tuple(int(min(width, MAX_BAND) * 1_000_000) for width in widths) for name, widths in given.items()
        }
        exact = all(
            width * 1_000_000 == whole for name in found for width, whole in zip(given[name], found[name], strict=True)
        )
        nested = all(wide > narrow and wide % narrow == 0 for row in found.values() for wide, narrow in pairwise(row))
        within = all(row and row[-1] > 0 and row[0] <= MAX_BAND and len(row) < levels for row in found.values())
    except (ValueError, ArithmeticError, RecursionError, TypeError, AttributeError):
        raise SettingsError(expected) from None
    if not (exact and nested and within):
        raise SettingsError(f"{expected}: at most {levels - 1} widths, with up to six decimals, up to 1e9")
    return found


def _periods(text: str) -> tuple[Retention, ...]:
    """The seed's form, `(15, 3600*3), (3600, 3600*24*7)`: read by hand, products allowed, nothing evaluated."""
    expected = f"{PREFIX}PERIODS: expected pairs of seconds such as ((60, 86400), (3600, 3600*24*90), (86400, None)), got {text!r}"
    try:
        rows = _literal(ast.parse(text.strip(), mode="eval").body)
        periods = tuple(sorted(((a, b) for a, b in rows), key=lambda row: 32 * DAY if row[0] == MONTH else row[0]))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise SettingsError(expected) from None
    for interval, kept in periods:
        whole = isinstance(interval, int) and ((0 < interval <= HOUR and HOUR % interval == 0) or interval == DAY)
        if not (whole or interval == MONTH) or not (kept is None or (isinstance(kept, int | float) and kept > 0)):
            raise SettingsError(f"{expected}: an interval must divide an hour, or be 86400 or '1mo'")
    if not periods or len({interval for interval, _ in periods}) < len(periods):
        raise SettingsError(expected)
    return periods


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(_literal(item) for item in items)
        case ast.Constant(value=None | int() | float() | str() as value):
            return value
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            factors = _literal(left), _literal(right)
            if all(isinstance(factor, int | float) for factor in factors):
                return factors[0] * factors[1]
    raise ValueError(ast.dump(node))


READERS: dict[str, Callable[[Any], Any]] = {
    "HAIL_BIND": _bind("HAIL_BIND"),
    "WHALE_BIND": _bind("WHALE_BIND"),
    "HAIL_URLS": _hail_urls,
    "WHALE_URL": _whale_url,
    "LIVE_BIND": lambda text: text and _bind("LIVE_BIND")(text),
    "LIVE_URL": _live_url,
    "BROKER_URL": _broker_url,
    "MESSAGE_VERSION": _message_version,
    "REDIS_URL": _redis_url,
    "PERIODS": _periods,
    "KINDS": _kinds,
    "METRICS": _metrics,
    "INTERNAL_KEY": _secret("INTERNAL_KEY"),
    "PIXEL_KEY": _secret("PIXEL_KEY"),
    "SECRET": _secret("SECRET", MOST_SECRETS),
    "OPEN_REGISTRATION": lambda text: _one_of("OPEN_REGISTRATION", "0", "1")(text) == "1",
    "SPY": lambda text: _one_of("SPY", "0", "1")(text) == "1",
    "VISITOR_LOG": lambda text: _one_of("VISITOR_LOG", "0", "1")(text) == "1",
    "SESSION_GAP_S": _up_to(86_400, "SESSION_GAP_S"),
    "SITE_PARTITIONS": _up_to(64, "SITE_PARTITIONS"),
    "VISITOR_KEPT_DAYS": _days_or_none,
    "EVENTS_MAX_MB": _megabytes,
    "MAX_VISITORS": _up_to(60_000_000, "MAX_VISITORS"),
    "MAX_PROPERTIES": _up_to(1023, "MAX_PROPERTIES"),
    "MAX_PROPERTY_VALUES": _up_to(1_048_574, "MAX_PROPERTY_VALUES"),
    "LOG_TAIL_RECORDS": _up_to(65_536, "LOG_TAIL_RECORDS"),
    "IGNORED_PARAMETERS": _names_passed_over,
    "ALLOWED_ORIGINS": _origins,
    "TRUSTED_PROXIES": _networks,
    "MAX_METRICS": _up_to(63, "MAX_METRICS"),
    "MAX_OPTIONS": _up_to(200, "MAX_OPTIONS"),
    "WEEK_STARTS": _one_of("WEEK_STARTS", "monday", "sunday"),
    "TIMEZONE": _zone,
}
"""What the text or number of a setting becomes, where it is not the value itself. Each raises SettingsError.

BANDS also needs MAX_LEVELS: `load` reads it.
"""
