"""The one table of settings: name, default, unit, meaning. Both services read it; a misspelt name stops the start.

Every setting is an environment variable `HAILWHALE_<NAME>`. Nothing else in the project reads the environment.
"""

import ast
import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

PREFIX = "HAILWHALE_"
MINUTE, HOUR, DAY = 60, 3600, 86_400
MONTH = "1mo"
SUM, DISTINCT, QUANTILE = "sum", "distinct", "quantile"
PIXEL_KEY_LETTERS = 32
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
    hail_bind: str = setting("127.0.0.1:8085", "host:port", "where Hail listens")
    whale_bind: str = setting("127.0.0.1:8086", "host:port", "where Whale listens")
    data_dir: str = setting("./var", "folder", "spool, embedded Redis and process files")
    redis_url: str = setting("", "URL", "redis://, rediss://, unix:// or redis+cluster://; empty: an embedded Redis")
    broker_url: str = setting("", "URL", "amqp:// of RabbitMQ; empty: the spool is the queue")
    queue: str = setting("hailwhale", "name", "name of the exchange, the queue and (with .dead) its dead-letter queue")
    timezone: str = setting("UTC", "IANA zone", "zone of the account's days and months, fixed when the account is made")
    week_starts: str = setting(
        "monday", "monday or sunday", "the day that weeks begin with, where a question does not say it"
    )
    default_table: str = setting("analytics", "pk", "what HailWhale.log counts and HailWhale.dataset reads")
    shards: int = setting(1, "shards", "hash slots a farm is spread over, fixed at the first start (a farm: 64)")
    wait_replicas: int = setting(
        0, "replicas", "Redis replicas that must have what is applied before a message is done with"
    )
    hail_processes: int = setting(1, "processes", "gunicorn workers of Hail")
    whale_processes: int = setting(1, "processes", "gunicorn workers of Whale")
    whale_threads: int = setting(8, "threads", "threads of one Whale process")
    worker_threads: int = setting(32, "threads", "messages a Celery worker holds at once, to be merged into one apply")
    # who may
    write_key: str = setting("", "secret", "asked by Hail for each hit; needed off loopback")
    read_key: str = setting("", "secret", "asked by Whale for each question; needed off loopback")
    admin_key: str = setting("", "secret", "opens both, and what changes or removes; needed off loopback")
    pixel_key: str = setting(
        "", "secret", "seals pixels that hide what they count (`hailwhale pixel`); empty: there are none"
    )
    allowed_origins: tuple[str, ...] = setting(
        "",
        "origins",
        "sites whose pages may read answers and change things; empty: without keys the own origin alone, with keys all",
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = setting(
        "", "CIDR", "networks of the proxies whose `Forwarded` and `X-Forwarded-*` are believed; empty: nobody's"
    )
    # what addresses may carry beside
    ignored_parameters: re.Pattern[str] = setting(
        "",
        "names",
        "parameters of addresses and forms that are passed over, as `ref, my_*`, beside those that docs/http.md names",
    )
    # what is shown of single hits
    spy: bool = setting("1", "0 or 1", "whether the last hits can be looked at, by GET /spy and `hailwhale tail`")
    max_spied_visitors: int = setting(1000, "visitors", "visitors whose last hits are kept, for a day; the newest stay")
    # what connections may hold, in each process of Hail and of Whale
    head_timeout_s: float = setting(
        10.0, "s", "how long the head of a request may take, from the first byte to the last"
    )
    body_timeout_s: float = setting(30.0, "s", "how long a body may take, from the first byte to the last")
    send_timeout_s: float = setting(30.0, "s", "how long a client may take to read an answer")
    max_connections: int = setting(
        2000, "connections", "open connections; beyond, the one that has waited longest is closed"
    )
    max_connections_a_peer: int = setting(
        200, "connections", "the same of one IPv4 address or IPv6 /64; not of loopback, nor of trusted proxies"
    )
    connections_max_mb: int = setting(
        64, "MB", "heads, bodies and answers that connections hold; beyond, the one that has waited longest is closed"
    )
    # what one hit may carry
    max_body_bytes: int = setting(1_000_000, "bytes", "a request body, after inflating")
    max_batch_hits: int = setting(500, "hits", "hits in one batch request")
    max_paths: int = setting(64, "paths", "paths of one hit below the root")
    max_levels: int = setting(8, "levels", "depth of a path and of a pk")
    max_metrics_per_hit: int = setting(16, "metrics", "metrics of one hit, hits included")
    max_name_bytes: int = setting(200, "bytes", "a name in UTF-8: of a pk, a dimension, a metric, an id")
    max_cells_per_hit: int = setting(4096, "cells", "pk prefixes x paths x metrics x intervals of one hit")
    # what Hail holds and hands on
    linger_ms: int = setting(50, "ms", "the longest a message waits to grow while others are under way")
    message_max_hits: int = setting(2000, "hits", "hits in one message")
    message_max_bytes: int = setting(1_000_000, "bytes", "size of one message")
    message_max_cells: int = setting(
        168_000, "cells", "cells of a message before they are added up (about 3 to 12 fold)"
    )
    waiting_max_hits: int = setting(20_000, "hits", "hits of one Hail process that wait for their confirm; more: 503")
    waiting_max_mb: float = setting(32.0, "MB", "the same in megabytes; a request that is larger waits alone")
    known_hits_mb: float = setting(
        8.0, "MB", "memory for hits of one Hail process that came before, checked and encoded"
    )
    confirm_timeout_ms: int = setting(
        150, "ms", "how long a broker may take to connect, to take or to confirm a message"
    )
    breaker_s: float = setting(2.0, "s", "how long the broker is left alone after a failure; hits go to the spool")
    spool_max_mb: int = setting(1024, "MB", "size of the spool folder; full: 503")
    spool_file_mb: int = setting(4, "MB", "size at which a spool file is sealed")
    spool_max_age_s: int = setting(2 * DAY, "s", "older spool files are shipped only with --force")
    queue_max_messages: int = setting(20_000, "messages", "length at which RabbitMQ refuses; hits then go to the spool")
    delivery_limit: int = setting(100, "deliveries", "deliveries of a message before it is set aside as dead")
    # what is kept
    periods: tuple[Retention, ...] = setting(
        "((60, 86400), (900, 1209600), (3600, 7776000), (86400, None), ('1mo', None))",
        "((interval s, retention s), ...)",
        "intervals kept, and how long; '1mo' is a calendar month, None is for ever",
    )
    dedupe_window_s: int = setting(2 * DAY, "s", "how long a hit's id is remembered")
    max_ids: int = setting(10_000_000, "ids", "hit ids remembered at once; beyond, hits are counted unchecked")
    max_children: int = setting(10_000, "nodes", "children of one path, or child pks of one pk; beyond: __other__")
    max_nodes: int = setting(50_000, "nodes", "paths of one pk; beyond: __other__")
    max_pks: int = setting(100_000, "pks", "pks of an account; beyond: __other__")
    max_metrics: int = setting(63, "metrics", "metrics of one pk (at most 63); beyond: __other__")
    kinds: dict[str, str] = setting(
        "", "{name: kind}", "kinds of metrics: sum (the rest), distinct, min, max, last, quantile"
    )
    bands: dict[str, tuple[int, ...]] = setting(
        "", "{dimension: widths}", "dimensions of numbers, which count in bands so wide, the widest first"
    )
    max_distinct_nodes: int = setting(
        1000, "nodes", "distinct counts of one pk, a path and a metric each; beyond: null"
    )
    max_bins: int = setting(50_000, "bins", "bins of a pk's quantile metrics; beyond: null")
    max_undecodable_bytes: int = setting(
        1_000_000, "bytes", "hits that no program could read, for `hailwhale doctor --dead`; the newest stay"
    )
    apply_max_hits: int = setting(10_000, "hits", "hits merged into one apply")
    apply_max_cells: int = setting(
        50_000,
        "sums",
        "sums and names of one interval in one apply; more, and its messages are applied one after the other",
    )
    # imports
    max_imports: int = setting(
        10_000, "imports", "imports an account remembers, to count no row twice; more are refused"
    )
    import_line_bytes: int = setting(1_000_000, "bytes", "a line or row of an imported file; a longer one is refused")
    # what a worker, hailwail and /count_now hold in memory
    apply_max_mb: float = setting(
        64.0, "MB", "memory of one apply, estimated; more, and its messages are applied one after the other"
    )
    branches_mb: float = setting(48.0, "MB", "memory for parts of hits that came before, expanded")
    forget_above_mb: float = setting(
        200.0, "MB", "memory of a worker or hailwail above which it forgets what it remembers"
    )
    dictionaries_mb: float = setting(48.0, "MB", "memory for numbers of names that Redis gave out, of those who count")
    # what Whale holds in memory
    names_mb: float = setting(128.0, "MB", "memory for names and their numbers, of those who ask")
    answers_mb: float = setting(
        32.0, "MB", "memory for answers of HTTP that are remembered, and as much for those of Python"
    )
    trials_max_mb: float = setting(64.0, "MB", "memory for decisions that wait to be counted; more are not counted")
    # decisions
    decision_sticky_s: int = setting(30 * DAY, "s", "how long a visitor who asks again gets the same option")
    decision_kept_s: int = setting(30 * DAY, "s", "how long a decision can be rewarded")
    max_rewards: int = setting(100, "rewards", "rewards of one decision, each with its id; beyond, refused")
    max_decisions: int = setting(200_000, "decisions", "decisions of an account that are kept; the newest stay")
    decide_snapshot_s: float = setting(1.0, "s", "how old the counters may be that a decision rests on")
    max_definitions: int = setting(200, "decisions", "decisions that an account may define")
    max_options: int = setting(50, "options", "options of a decision that is defined (at most 200)")
    max_phases: int = setting(20, "phases", "phases of a decision that are kept, the newest")
    max_definition_bytes: int = setting(
        65_536, "bytes", "a decision that is defined, with the values of its options, as JSON"
    )
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
            near = difflib.get_close_matches(name, NAMES, 1)
            hint = f": did you mean {PREFIX}{near[0]}?" if near else "; docs/settings.md lists them"
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


def _origins(text: str) -> tuple[str, ...]:
    """As browsers send them: lower case, and no port where it is the scheme's own."""
    expected = f"{PREFIX}ALLOWED_ORIGINS: expected * or origins such as https://shop.example, got {text!r}"
    words = [word.lower() for word in LISTED.split(text) if word]
    if words == [ANY_ORIGIN]:
        return (ANY_ORIGIN,)
    found = []
    for word in words:
        match = ORIGIN.fullmatch(word)
        if not match or int(match["port"] or 0) > 65535:
            raise SettingsError(expected)
        own = {"http": "80", "https": "443"}[match["scheme"]]
        found.append(word.removesuffix(f":{own}"))
    return tuple(found)


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


def _up_to(most: int, name: str) -> Callable[[int], int]:
    def read(number: int) -> int:
        if not 1 <= number <= most:
            raise SettingsError(f"{PREFIX}{name}: expected 1 to {most}, got {number}")
        return number

    return read


def _pixel_key(text: str) -> str:
    if 0 < len(text) < PIXEL_KEY_LETTERS:
        raise SettingsError(
            f"{PREFIX}PIXEL_KEY: expected at least {PIXEL_KEY_LETTERS} random letters, as `openssl rand -hex 32` prints them"
        )
    return text


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
            raise SettingsError(f"{expected}, got {f'a {ascii(scheme)[1:-1]}:// one' if found else 'no URL'}")
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
        raise SettingsError(f"{expected}, got {f'a {ascii(scheme)[1:-1]}:// one' if found else 'no URL'}")
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
            near = difflib.get_close_matches(name, REDIS_OPTIONS, 1)
            hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(REDIS_OPTIONS)}"
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
    raise SettingsError(f"{PREFIX}KINDS: expected {expected}, of the kinds {', '.join(KINDS)}; got {text!r}")


def _bands(text: str, levels: int) -> dict[str, tuple[int, ...]]:
    """Widths in millionths."""
    expected = f'{PREFIX}BANDS: expected {{"price": [1000, 100, 10]}}, widths that divide the one before, got {text!r}'
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
        raise SettingsError(f"{expected}: at most {levels - 1} of them, with six decimals, up to 1e9")
    return found


def _periods(text: str) -> tuple[Retention, ...]:
    """The seed's form, `(15, 3600*3), (3600, 3600*24*7)`: read by hand, products allowed, nothing evaluated."""
    expected = f"{PREFIX}PERIODS: expected ((60, 86400), (3600, 3600*24*90), (86400, None)), got {text!r}"
    try:
        rows = _literal(ast.parse(text.strip(), mode="eval").body)
        periods = tuple(sorted(((a, b) for a, b in rows), key=lambda row: 32 * DAY if row[0] == MONTH else row[0]))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise SettingsError(expected) from None
    for interval, kept in periods:
        whole = isinstance(interval, int) and ((0 < interval <= HOUR and HOUR % interval == 0) or interval == DAY)
        if not (whole or interval == MONTH) or not (kept is None or (isinstance(kept, int | float) and kept > 0)):
            raise SettingsError(f"{expected}: an interval divides an hour, or is 86400 or '1mo'")
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
    "BROKER_URL": _broker_url,
    "REDIS_URL": _redis_url,
    "PERIODS": _periods,
    "KINDS": _kinds,
    "PIXEL_KEY": _pixel_key,
    "SPY": lambda text: _one_of("SPY", "0", "1")(text) == "1",
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
