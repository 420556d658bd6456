"""The one table of settings: name, default, unit, meaning. Both services read it; a misspelt name stops the start.

Every setting is an environment variable `HAILWHALE_<NAME>`. Nothing else in the project reads the environment.
"""

import ast
import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

PREFIX = "HAILWHALE_"
MINUTE, HOUR, DAY = 60, 3600, 86_400
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
    name: str
    default: Any
    unit: str
    meaning: str


TABLE = (
    # where things are
    Setting("HAIL_BIND", "127.0.0.1:8085", "host:port", "where Hail listens"),
    Setting("WHALE_BIND", "127.0.0.1:8086", "host:port", "where Whale listens"),
    Setting("DATA_DIR", "./var", "folder", "spool, embedded Redis and process files"),
    Setting("REDIS_URL", "", "URL", "redis://, rediss://, unix:// or redis+cluster://; empty: an embedded Redis"),
    Setting("BROKER_URL", "", "URL", "amqp:// of RabbitMQ; empty: the spool is the queue"),
    Setting("QUEUE", "hailwhale", "name", "name of the exchange, the queue and (with .dead) its dead-letter queue"),
    Setting("TIMEZONE", "UTC", "IANA zone", "zone of the account's days and months, fixed when the account is made"),
    Setting(
        "WEEK_STARTS", "monday", "monday or sunday", "the day that weeks begin with, where a question does not say it"
    ),
    Setting("DEFAULT_TABLE", "analytics", "pk", "what HailWhale.log counts and HailWhale.dataset reads"),
    Setting("SHARDS", 1, "shards", "hash slots a farm is spread over, fixed at the first start (a farm: 64)"),
    Setting(
        "WAIT_REPLICAS", 0, "replicas", "Redis replicas that must have what is applied before a message is done with"
    ),
    Setting("HAIL_PROCESSES", 1, "processes", "gunicorn workers of Hail"),
    Setting("WHALE_PROCESSES", 1, "processes", "gunicorn workers of Whale"),
    Setting("WHALE_THREADS", 8, "threads", "threads of one Whale process"),
    Setting("WORKER_THREADS", 32, "threads", "messages a Celery worker holds at once, to be merged into one apply"),
    # who may
    Setting("WRITE_KEY", "", "secret", "asked by Hail for each hit; needed off loopback"),
    Setting("READ_KEY", "", "secret", "asked by Whale for each question; needed off loopback"),
    Setting("ADMIN_KEY", "", "secret", "opens both, and what changes or removes; needed off loopback"),
    Setting(
        "PIXEL_KEY", "", "secret", "seals pixels that hide what they count (`hailwhale pixel`); empty: there are none"
    ),
    Setting(
        "ALLOWED_ORIGINS",
        "",
        "origins",
        "sites whose pages may read answers and change things; empty: without keys the own origin alone, with keys all",
    ),
    Setting(
        "TRUSTED_PROXIES",
        "",
        "CIDR",
        "networks of the proxies whose `Forwarded` and `X-Forwarded-*` are believed; empty: nobody's",
    ),
    # what addresses may carry beside
    Setting(
        "IGNORED_PARAMETERS",
        "",
        "names",
        "parameters of addresses and forms that are passed over, as `ref, my_*`, beside those that docs/http.md names",
    ),
    # what is shown of single hits
    Setting("SPY", "1", "0 or 1", "whether the last hits can be looked at, by GET /spy and `hailwhale tail`"),
    Setting("MAX_SPIED_VISITORS", 1000, "visitors", "visitors whose last hits are kept, for a day; the newest stay"),
    # what connections may hold, in each process of Hail and of Whale
    Setting("HEAD_TIMEOUT_S", 10.0, "s", "how long the head of a request may take, from the first byte to the last"),
    Setting("BODY_TIMEOUT_S", 30.0, "s", "how long a body may take, from the first byte to the last"),
    Setting("SEND_TIMEOUT_S", 30.0, "s", "how long a client may take to read an answer"),
    Setting(
        "MAX_CONNECTIONS", 2000, "connections", "open connections; beyond, the one that has waited longest is closed"
    ),
    Setting(
        "MAX_CONNECTIONS_A_PEER",
        200,
        "connections",
        "the same of one IPv4 address or IPv6 /64; not of loopback, nor of trusted proxies",
    ),
    Setting(
        "CONNECTIONS_MAX_MB",
        64,
        "MB",
        "heads, bodies and answers that connections hold; beyond, the one that has waited longest is closed",
    ),
    # what one hit may carry
    Setting("MAX_BODY_BYTES", 1_000_000, "bytes", "a request body, after inflating"),
    Setting("MAX_BATCH_HITS", 500, "hits", "hits in one batch request"),
    Setting("MAX_PATHS", 64, "paths", "paths of one hit below the root"),
    Setting("MAX_LEVELS", 8, "levels", "depth of a path and of a pk"),
    Setting("MAX_METRICS_PER_HIT", 16, "metrics", "metrics of one hit, hits included"),
    Setting("MAX_NAME_BYTES", 200, "bytes", "a name in UTF-8: of a pk, a dimension, a metric, an id"),
    Setting("MAX_CELLS_PER_HIT", 4096, "cells", "pk prefixes x paths x metrics x intervals of one hit"),
    # what Hail holds and hands on
    Setting("LINGER_MS", 50, "ms", "the longest a message waits to grow while others are under way"),
    Setting("MESSAGE_MAX_HITS", 2000, "hits", "hits in one message"),
    Setting("MESSAGE_MAX_BYTES", 1_000_000, "bytes", "size of one message"),
    Setting("MESSAGE_MAX_CELLS", 168_000, "cells", "cells of a message before they are added up (about 3 to 12 fold)"),
    Setting("WAITING_MAX_HITS", 20_000, "hits", "hits of one Hail process that wait for their confirm; more: 503"),
    Setting("WAITING_MAX_MB", 32.0, "MB", "the same in megabytes; a request that is larger waits alone"),
    Setting("KNOWN_HITS_MB", 8.0, "MB", "memory for hits of one Hail process that came before, checked and encoded"),
    Setting("CONFIRM_TIMEOUT_MS", 150, "ms", "how long a broker may take to connect, to take or to confirm a message"),
    Setting("BREAKER_S", 2.0, "s", "how long the broker is left alone after a failure; hits go to the spool"),
    Setting("SPOOL_MAX_MB", 1024, "MB", "size of the spool folder; full: 503"),
    Setting("SPOOL_FILE_MB", 4, "MB", "size at which a spool file is sealed"),
    Setting("SPOOL_MAX_AGE_S", 2 * DAY, "s", "older spool files are shipped only with --force"),
    Setting("QUEUE_MAX_MESSAGES", 20_000, "messages", "length at which RabbitMQ refuses; hits then go to the spool"),
    Setting("DELIVERY_LIMIT", 100, "deliveries", "deliveries of a message before it is set aside as dead"),
    # what is kept
    Setting(
        "PERIODS",
        "((60, 86400), (900, 1209600), (3600, 7776000), (86400, None), ('1mo', None))",
        "((interval s, retention s), ...)",
        "intervals kept, and how long; '1mo' is a calendar month, None is for ever",
    ),
    Setting("DEDUPE_WINDOW_S", 2 * DAY, "s", "how long a hit's id is remembered"),
    Setting("MAX_IDS", 10_000_000, "ids", "hit ids remembered at once; beyond, hits are counted unchecked"),
    Setting("MAX_CHILDREN", 10_000, "nodes", "children of one path, or child pks of one pk; beyond: __other__"),
    Setting("MAX_NODES", 50_000, "nodes", "paths of one pk; beyond: __other__"),
    Setting("MAX_PKS", 100_000, "pks", "pks of an account; beyond: __other__"),
    Setting("MAX_METRICS", 63, "metrics", "metrics of one pk (at most 63); beyond: __other__"),
    Setting("KINDS", "", "{name: kind}", "kinds of metrics: sum (the rest), distinct, min, max, last, quantile"),
    Setting(
        "BANDS", "", "{dimension: widths}", "dimensions of numbers, which count in bands so wide, the widest first"
    ),
    Setting("MAX_DISTINCT_NODES", 1000, "nodes", "distinct counts of one pk, a path and a metric each; beyond: null"),
    Setting("MAX_BINS", 50_000, "bins", "bins of a pk's quantile metrics; beyond: null"),
    Setting(
        "MAX_UNDECODABLE_BYTES",
        1_000_000,
        "bytes",
        "hits that no program could read, for `hailwhale doctor --dead`; the newest stay",
    ),
    Setting("APPLY_MAX_HITS", 10_000, "hits", "hits merged into one apply"),
    Setting(
        "APPLY_MAX_CELLS",
        50_000,
        "sums",
        "sums and names of one interval in one apply; more, and its messages are applied one after the other",
    ),
    # imports
    Setting("MAX_IMPORTS", 10_000, "imports", "imports an account remembers, to count no row twice; more are refused"),
    Setting("IMPORT_LINE_BYTES", 1_000_000, "bytes", "a line or row of an imported file; a longer one is refused"),
    # what a worker, hailwail and /count_now hold in memory
    Setting(
        "APPLY_MAX_MB",
        64.0,
        "MB",
        "memory of one apply, estimated; more, and its messages are applied one after the other",
    ),
    Setting("BRANCHES_MB", 48.0, "MB", "memory for parts of hits that came before, expanded"),
    Setting("FORGET_ABOVE_MB", 200.0, "MB", "memory of a worker or hailwail above which it forgets what it remembers"),
    Setting("DICTIONARIES_MB", 48.0, "MB", "memory for numbers of names that Redis gave out, of those who count"),
    # what Whale holds in memory
    Setting("NAMES_MB", 128.0, "MB", "memory for names and their numbers, of those who ask"),
    Setting(
        "ANSWERS_MB", 32.0, "MB", "memory for answers of HTTP that are remembered, and as much for those of Python"
    ),
    Setting("TRIALS_MAX_MB", 64.0, "MB", "memory for decisions that wait to be counted; more are not counted"),
    # decisions
    Setting("DECISION_STICKY_S", 30 * DAY, "s", "how long a visitor who asks again gets the same option"),
    Setting("DECISION_KEPT_S", 30 * DAY, "s", "how long a decision can be rewarded"),
    Setting("MAX_REWARDS", 100, "rewards", "rewards of one decision, each with its id; beyond, refused"),
    Setting("MAX_DECISIONS", 200_000, "decisions", "decisions of an account that are kept; the newest stay"),
    Setting("DECIDE_SNAPSHOT_S", 1.0, "s", "how old the counters may be that a decision rests on"),
    Setting("MAX_DEFINITIONS", 200, "decisions", "decisions that an account may define"),
    Setting("MAX_OPTIONS", 50, "options", "options of a decision that is defined (at most 200)"),
    Setting("MAX_PHASES", 20, "phases", "phases of a decision that are kept, the newest"),
    Setting(
        "MAX_DEFINITION_BYTES", 65_536, "bytes", "a decision that is defined, with the values of its options, as JSON"
    ),
    # what one answer may cost
    Setting("MAX_POINTS", 10_000, "points", "points of one series"),
    Setting("MAX_ANSWER_POINTS", 200_000, "points", "points of one answer"),
)
NAMES = {setting.name: setting for setting in TABLE}
MONTH = "1mo"
Period = tuple[int | str, float | None]
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


class Settings:
    """The settings in force, one attribute each, in lower case (`settings.hail_bind`)."""

    def __init__(self, values: Mapping[str, Any]):
        self.__dict__.update({name.lower(): value for name, value in values.items()})

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def replace(self, **changes: Any) -> "Settings":
        """The same settings with some changed, by lower-case name."""
        return Settings({**self.__dict__, **changes})


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
    for name in ("HAIL_BIND", "WHALE_BIND"):
        _check_bind(name, values[name])
    _check_broker_url(values["BROKER_URL"])
    check_redis_url(values["REDIS_URL"])
    values["PERIODS"] = _periods(values["PERIODS"])
    values["KINDS"] = _kinds(values["KINDS"])
    if 0 < len(values["PIXEL_KEY"]) < PIXEL_KEY_LETTERS:
        raise SettingsError(
            f"{PREFIX}PIXEL_KEY: expected at least {PIXEL_KEY_LETTERS} random letters, as `openssl rand -hex 32` prints them"
        )
    values["BANDS"] = _bands(values["BANDS"], values["MAX_LEVELS"])
    if values["SPY"] not in ("0", "1"):
        raise SettingsError(f"{PREFIX}SPY: expected 0 or 1, got {values['SPY']!r}")
    values["SPY"] = values["SPY"] == "1"
    values["IGNORED_PARAMETERS"] = _names_passed_over(values["IGNORED_PARAMETERS"])
    values["ALLOWED_ORIGINS"] = _origins(values["ALLOWED_ORIGINS"])
    values["TRUSTED_PROXIES"] = _networks(values["TRUSTED_PROXIES"])
    if not 1 <= values["MAX_METRICS"] <= 63:
        raise SettingsError(f"{PREFIX}MAX_METRICS: expected 1 to 63, got {values['MAX_METRICS']}")
    if not 1 <= values["MAX_OPTIONS"] <= 200:
        raise SettingsError(f"{PREFIX}MAX_OPTIONS: expected 1 to 200, got {values['MAX_OPTIONS']}")
    if values["WEEK_STARTS"] not in ("monday", "sunday"):
        raise SettingsError(f"{PREFIX}WEEK_STARTS: expected monday or sunday, got {values['WEEK_STARTS']!r}")
    try:
        ZoneInfo(values["TIMEZONE"])
    except (KeyError, ValueError, OSError):
        raise SettingsError(
            f"{PREFIX}TIMEZONE: expected an IANA zone such as Europe/Berlin, got {values['TIMEZONE']!r}"
        ) from None
    return Settings(values)


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


def _check_bind(name: str, text: str) -> None:
    found = BIND.fullmatch(text)
    if not text.startswith("unix:") and not (found and 0 < int(found[1]) < 65_536):
        raise SettingsError(f"{PREFIX}{name}: expected host:port such as {NAMES[name].default}, got {text!r}")


def _check_broker_url(text: str) -> None:
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


def _periods(text: str) -> tuple[Period, ...]:
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
