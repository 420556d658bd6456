"""What the tracker sends, as the fields of a hit: docs/http/track.md has it as a table. Pure.

    pageview       hits 1, pageviews 1, load_ms      at its page and at where it came from, with what
    engagement     hits 0, engaged_ms, scroll_pct    at its page: it tells of a view, and is no event
    another name   hits 1, its metrics               as a page view, and at what its kind names: product, goal, …

Promise: no metric and no name here comes from the tracker, but for those of `properties`, `metrics`, and of pages, sources and events.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from hail.hit import DAILY, MOST_PROPERTIES, HitError, Reason, name_of
from hail.settings import Settings
from hail.times import came
from hail.tracking.agents import OTHER, SAID, Agent
from hail.tracking.sources import DIRECT, NOWHERE, Address, Source, address_of, parameters_of, source_of
from hail.tracking.wire import ENGAGEMENT, PAGEVIEW, Tracked, name_of_id

SKEW_MS = 60_000
"""The page's clock may differ by so much; more is taken off."""
MOST_SKEW_MS = 1e13
"""Three hundred years: what says so is no clock."""
SCREENS = (576, 768, 1200, 1920)
NO_CAMPAIGN = "none"
USERS = frozenset(("signup", "login", "update", "logout"))
"""Events that say who somebody is; their properties are those of the user."""
PURCHASE = "purchase"
ORDERS = {PURCHASE: "order", "refund": "refund"}
JOINED = frozenset(("signup", "login"))
QUANTILE = "quantile"
WEBDRIVER = "webdriver"
OF_VISITS = ("platform", "device", "screen", "language", "country")
"""Dimensions of a page view that are properties where a visit begins; the browser is one without its version."""

Fields = dict[str, Any]
Tree = dict[str, Any]


class Rules(Protocol):
    """Of a site: how its pages are named."""

    @property
    def pages_in_lower_case(self) -> bool: ...
    @property
    def pages_without_slash(self) -> bool: ...
    @property
    def page_parameters(self) -> Sequence[str]: ...


class Seen(NamedTuple):
    """A hit with what is known of it. fields: for `parse_row`.  known: another id of the same visitor, to be joined."""

    fields: Fields
    known: str | None = None


def site_of(tracked: Tracked, site: str | None) -> str:
    """The site that a hit is of: what the page says, else its host; raises HitError."""
    if site:
        return site
    if host := address_of(tracked.url).host:
        return host
    raise HitError(Reason.BAD_PK, "url", f"expected a site, or the address of a page, got {came(tracked.url)}")


def skew_of(sent_at: float | None, now: float) -> float:
    """Ms that the page's clock is behind, where it is by more than a while. now: epoch seconds."""
    ahead = 0.0 if sent_at is None else now * 1000 - sent_at
    return ahead if SKEW_MS < abs(ahead) < MOST_SKEW_MS else 0.0


class Around(NamedTuple):
    """What is known of whoever sent some hits. skew_ms: added to their times.  says_all: whether messages carry properties.

    is_anonymous: whether the browser does not want to be followed.  agent: None where no browser sent them.  country: two letters, or
    empty.
    """

    skew_ms: float = 0.0
    says_all: bool = True
    is_anonymous: bool = False
    agent: Agent | None = None
    country: str = ""


def bot_of(tracked: Tracked, agent: Agent | None) -> list[str]:
    """Class and name, where a program sent a hit; else nothing."""
    if tracked.bot:
        return [SAID, tracked.bot if isinstance(tracked.bot, str) else WEBDRIVER]
    return [agent.bot, agent.browser or OTHER] if agent and agent.bot else []


def seen_bot(tracked: Tracked, site: str, bot: Sequence[str], around: Around, settings: Settings) -> Fields:
    """A hit of a bot, for `parse_row`: it counts by its class, and leaves nobody in a log."""
    fields: Fields = {"pk": site, "id": _id_of(tracked, site), "dimensions": {"class": _path(*bot, settings=settings)}}
    if tracked.event == ENGAGEMENT:
        fields["metrics"] = {"hits": 0}
    return {**fields, **_time_of(tracked, around)}


def _time_of(tracked: Tracked, around: Around) -> Fields:
    return {} if tracked.at is None else {"at": round(tracked.at + around.skew_ms)}


def is_nobody(tracked: Tracked, around: Around) -> bool:
    """Whether a hit names nobody, and may all the same be of somebody."""
    is_named = name_of_id(tracked.v_visitor) is not None or name_of_id(tracked.visitor) is not None
    return not (is_named or tracked.anonymous or around.is_anonymous)


def seen_of(
    tracked: Tracked,
    site: str,
    around: Around,
    settings: Settings,
    daily: str | None = None,
    rules: Rules | None = None,
) -> Seen:
    """daily: who it is for a day, where `is_nobody`.  rules: the site. Raises HitError."""
    page, name = address_of(tracked.url), tracked.event
    fields: Fields = {"pk": site, "id": _id_of(tracked, site), **_time_of(tracked, around)}
    tree: Tree = {}
    if page.host:
        tree["page"] = _cut(page_of(page, rules), settings)
    metrics: Fields = {**_metrics_of(tracked), **({"lost": tracked.lost} if tracked.lost else {})}
    fields |= {"dimensions": tree, "metrics": metrics}
    if name == ENGAGEMENT:
        return Seen(fields)
    source = _source_of(tracked, page)
    tree |= {"event": name_of(name, "event", settings, Reason.BAD_ID), **_dimensions(tracked, source, around, settings)}
    properties = {
        **(_own(page, source, tree) if name == PAGEVIEW and around.says_all else {}),
        **(tracked.properties or {}),
    }
    if kind := KINDS.get(name):
        kind(tracked, tree, metrics, settings)
    if name == PURCHASE and metrics["revenue"] and len(properties) < MOST_PROPERTIES:
        properties.setdefault("revenue", metrics["revenue"])  # the log knows no metrics
    if tracked.signupDate is not None:
        properties["signup_date"] = tracked.signupDate
    if not around.says_all:
        properties = {}
    fields["event"] = name
    visitor, user = name_of_id(tracked.v_visitor), name_of_id(tracked.visitor)
    if tracked.anonymous or around.is_anonymous:
        if name in USERS:
            properties = {}
        visitor = user = None
    fields |= {"visitor": visitor or user or daily, "properties": properties or None}
    if daily:
        fields["basis"] = DAILY
    return Seen(fields, user if name in JOINED and visitor and user != visitor else None)


def _id_of(tracked: Tracked, site: str) -> str | None:
    """Of the browser, or of the order, which counts once whoever tells it."""
    own: Any = tracked.id
    if (word := ORDERS.get(tracked.event)) and (order := _text(tracked.properties, "id")):
        own = f"{word}-{order}"
    return None if own is None else id_in(site, own)


def id_in(site: str, own: object) -> str:
    """The id of a hit that its sender calls so. No site has those of another, whatever their names."""
    escaped = site.replace("%", "%25").replace(":", "%3A") if ":" in site or "%" in site else site
    return f"b:{escaped}:{own}"


def _metrics_of(tracked: Tracked) -> Fields:
    """Raises HitError."""
    if tracked.event == ENGAGEMENT:
        numbers = {"engaged_ms": tracked.engaged, "duration_ms": tracked.duration, "scroll_pct": tracked.depth}
        return {"hits": 0, **{name: number for name, number in numbers.items() if number is not None}}
    if tracked.event == PAGEVIEW:
        load = {} if tracked.load is None else {"load_ms": {QUANTILE: tracked.load}}
        return {"pageviews": 1, **load, **(tracked.metrics or {})}
    return dict(tracked.metrics or {})


def page_of(page: Address, rules: Rules | None) -> str:
    """Its path, as the site wants it, and its fragment where a page within the page stands there."""
    path = page.path
    if rules:
        if rules.pages_in_lower_case:
            path = path.lower()
        if rules.pages_without_slash:
            path = path.rstrip("/") or "/"
        if rules.page_parameters and page.query:
            given = parameters_of(page.query)
            if kept := [(name, given[name]) for name in rules.page_parameters if name in given]:
                path = f"{path}?{urlencode(kept)}"
    return f"{path}#{page.fragment}" if page.fragment.startswith(("/", "!/")) else path


def _source_of(tracked: Tracked, page: Address) -> Source | None:
    """Of the page at which the visit began, where that is said."""
    if tracked.entry_url:
        return source_of(address_of(tracked.entry_url), address_of(tracked.entry_referrer))
    if page is NOWHERE:
        return None
    found = source_of(page, address_of(tracked.referrer or ""))
    return None if found and found.channel == DIRECT and tracked.referrer is None else found


def _dimensions(tracked: Tracked, source: Source | None, around: Around, settings: Settings) -> Tree:
    """Of who sees a page, and of where they came from."""
    found: Tree = {}
    if source:
        rest = [source.campaign or NO_CAMPAIGN, source.medium] if source.medium else [source.campaign]
        found["source"] = _path(source.source, *rest, settings=settings)
        found["channel"] = source.channel
    if agent := around.agent:
        if agent.browser:
            found["browser"] = _path(agent.browser, agent.version, settings=settings)
        if agent.platform:
            found["platform"] = _cut(agent.platform, settings)
        found["device"] = agent.device
    if around.country:
        found["country"] = around.country
    if width := tracked.width or _width_of(tracked.screen):
        found["screen"] = _screen_of(width)
    if language := tracked.language.partition("-")[0].lower():
        found["language"] = _cut(language, settings)
    return found


def _width_of(screen: str) -> float:
    """Of 1920x1080."""
    width = screen.lower().partition("x")[0].strip()
    return float(width) if width.isascii() and width.isdecimal() and len(width) < 7 else 0


def _screen_of(width: float) -> str:
    """The class of a width: <576, 576-767, …, 1920+."""
    above = next((number for number, edge in enumerate(SCREENS) if width < edge), len(SCREENS))
    if not above:
        return f"<{SCREENS[0]}"
    return f"{SCREENS[-1]}+" if above == len(SCREENS) else f"{SCREENS[above - 1]}-{SCREENS[above] - 1}"


def _own(page: Address, source: Source | None, tree: Tree) -> Fields:
    """Properties that a page view says by itself; those of where a visit came from, and of what shows it, only where it begins."""
    found: Fields = {"page": tree["page"]} if page.host else {}
    if source:
        found |= {name: value for name, value in source._asdict().items() if value}
        found |= {name: tree[name] for name in OF_VISITS if name in tree}
        if "browser" in tree:
            found["browser"] = tree["browser"][0]
    return found


def _path(*names: str, settings: Settings) -> list[str]:
    """Names of a path, up to the first that is empty."""
    found = []
    for name in names:
        if not name:
            break
        found.append(_cut(name, settings))
    return found


def _cut(name: str, settings: Settings) -> str:
    """As much of a name as may be one."""
    if len(name) * 4 <= settings.max_name_bytes:
        return name
    return name.encode("utf-8", "replace")[: settings.max_name_bytes].decode("utf-8", "ignore")


# what the calls of the tracker send


def _text(given: Mapping[str, Any] | None, *names: str) -> str:
    """The first of some properties that is there, as text."""
    found = next((given[name] for name in names if given and given.get(name) is not None), "")
    return str(found) if isinstance(found, str | int | float) else ""


def _goal(tracked: Tracked, tree: Tree, metrics: Fields, settings: Settings) -> None:
    tree["goal"] = _path(_text(tracked.properties, "goal"), settings=settings)
    metrics["goals"] = 1


def _product(tracked: Tracked, tree: Tree, metrics: Fields, settings: Settings) -> None:
    if found := _path(_text(tracked.properties, "id", "sku", "name"), settings=settings):
        tree["product"] = found


def _order(sign: int, count: str) -> Callable[[Tracked, Tree, Fields, Settings], None]:
    def order(tracked: Tracked, tree: Tree, metrics: Fields, settings: Settings) -> None:
        given = tracked.properties or {}
        revenue = metrics.pop("revenue", given.get("revenue", given.get("total", 0)))
        if isinstance(revenue, bool) or not isinstance(revenue, int | float):
            raise HitError(Reason.BAD_METRICS, "properties.revenue", f"expected a number, got {came(revenue)}")
        metrics |= {count: 1, "revenue": sign * abs(revenue)}

    return order


def _interest(tracked: Tracked, tree: Tree, metrics: Fields, settings: Settings) -> None:
    tree["interest"] = _path(_text(tracked.properties, "topic"), settings=settings)
    metrics["interest"] = metrics.pop("weight", 1)


def _experiment(tracked: Tracked, tree: Tree, metrics: Fields, settings: Settings) -> None:
    names = (_text(tracked.properties, name) for name in ("experiment", "option"))
    tree["experiment"] = _path(*names, settings=settings)


def _element(tracked: Tracked, tree: Tree, metrics: Fields, settings: Settings) -> None:
    names = (_text(tracked.properties, name) for name in ("on", "type", "label", "position"))
    tree["element"] = _path(*names, settings=settings)


def _one(dimension: str, name: str) -> Callable[[Tracked, Tree, Fields, Settings], None]:
    def one(tracked: Tracked, tree: Tree, metrics: Fields, settings: Settings) -> None:
        tree[dimension] = _path(_text(tracked.properties, name), settings=settings)

    return one


KINDS: Mapping[str, Callable[[Tracked, Tree, Fields, Settings], None]] = {
    "goal": _goal,
    "view_product": _product,
    "add_to_cart": _product,
    "remove_from_cart": _product,
    "purchase_item": _product,
    "purchase": _order(1, "orders"),
    "refund": _order(-1, "refunds"),
    "interest": _interest,
    "experiment": _experiment,
    "element": _element,
    "outbound": _one("outbound", "to"),
    "download": _one("download", "file"),
}
