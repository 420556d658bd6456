"""The visitors of the demo's shop who are told apart, and what the tracker sends of each. Pure: the seed and the hour decide all, as in
shop.py.

    lives(story, hour)       all that those ever do who come for the first time in an hour, as hits of the tracker
    Lives(story).between     the same by the times of the hits, whoever's they are

A visit goes: pages, a product, the basket, an order; each may be the last. Who filled a basket and left may come back for it. Visits of the
campaign that broke end at the basket. Every hit has an `id`, so what is sent twice counts once.

Promise: a hit is what Hail makes of one of the tracker (docs/http/track.md), at the place, on the device and in the country of its visitor,
with one thing more: the first page of a visit and a basket also count as in shop.py, so that rates hold.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import numpy as np

from hail.settings import Settings
from hail.tracking.agents import Agent
from hail.tracking.translation import Around, seen_of
from hail.tracking.wire import Tracked
from whale.commands import shop
from whale.commands.shop import DAY, HOUR, Hit, Story, Value

NEW_SHARE = 1 / 300  # of the visits that are a new visitor who is told apart
LIFE_DAYS = 28
PAGE, PRODUCT, BASKET, ORDER = FUNNEL = ("pageview", "view_product", "add_to_cart", "purchase")
ENGAGED = "engagement"
EVENT_PROPERTIES = ("id", "name", "currency", "revenue")
SAVED_FUNNEL = "from visit to order"
SEGMENTS: dict[str, Any] = {
    "buyers": {"event": ORDER},
    "baskets left": {"and": [{"event": BASKET}, {"not": {"event": ORDER}}]},
    "on a phone": {"property": "device", "is": "phone"},
}
LOOKS, LEAVES, MORE = (
    0.55,
    0.8,
    0.7,
)  # of the visits, at a product; of the others, at once; further pages of those who do not
COMES_AGAIN, FETCHES = 0.32, 0.45  # of the visitors; of those who left a basket
WAITS = (0.6, 1.1)  # days until the next visit: mean and deviation of the logarithm
READS = (3.1, 0.9)  # seconds at a page: the same
DIRECT = next(source for source in shop.SOURCES if source.name == "direct")
PRODUCTS = [page for page in shop.PAGES if str(page.name).count("/") == 2 and not str(page.name).startswith("/journal")]
SHOP, BASKET_PAGE, THANKS = "https://shop.example", "/basket", "/thanks"
AGENTS = {
    "phone": [Agent("Safari", "18", "iOS", "phone"), Agent("Chrome", "141", "Android", "phone")],
    "desktop": [Agent("Chrome", "141", "Windows", "desktop"), Agent("Safari", "18", "Mac OS X", "desktop")],
    "tablet": [Agent("Safari", "18", "iOS", "tablet")],
}
SCREENS = {"phone": "390x844", "desktop": "1440x900", "tablet": "820x1180"}
LANGUAGES = {"DE": "de", "AT": "de", "CH": "de", "FR": "fr", "NL": "nl", "SE": "sv", "IT": "it", "ES": "es"}


@dataclass(frozen=True)
class Visitor:
    """began: their first visit, in seconds."""

    name: str
    began: int
    country: str
    agent: Agent
    source: Value


@dataclass(frozen=True)
class Step:
    """One thing that a visitor does. entry: the address at which the visit began.  given: the fields of the hit that are its own."""

    at: int
    event: str
    page: str
    entry: str
    given: dict[str, Any]


def lives(story: Story, hour: int, settings: Settings) -> list[Hit]:
    random = np.random.default_rng([story.seed, 7, hour])
    count = random.poisson(shop.expected_visits(story, hour) * NEW_SHARE)
    found: list[Hit] = []
    for number, began in enumerate(np.sort(random.integers(hour, hour + HOUR, count)).tolist()):
        country, device, source = (_one(values, random) for values in (shop.COUNTRIES, shop.DEVICES, shop.SOURCES))
        agents = AGENTS[device.name]
        agent = agents[int(random.integers(len(agents)))]
        visitor, buys = Visitor(random.bytes(6).hex(), began, country.name, agent, source), country.buys * device.buys
        around = Around(agent=agent, country=country.name)
        for place, step in enumerate(_life(story, visitor, buys, random)):
            name = f"demo-{story.seed}-{hour}-{number}-{place}"
            fields = seen_of(tracked_of(step, visitor, name), shop.PK, around, settings).fields
            found.append({**fields, "at": step.at})
    return found


def tracked_of(step: Step, visitor: Visitor, name: str) -> Tracked:
    """What the tracker sends of a step."""
    return Tracked(
        id=name,
        event=step.event,
        url=SHOP + step.page,
        referrer="",
        entry_url=step.entry,
        v_visitor=visitor.name,
        screen=SCREENS[visitor.agent.device],
        language=LANGUAGES.get(visitor.country, "en"),
        **step.given,
    )


def _one(values: Sequence[Value], random: np.random.Generator) -> Value:
    weights = np.cumsum([value.weight for value in values])
    return values[int(np.searchsorted(weights, random.random() * weights[-1], "right"))]


def _life(story: Story, visitor: Visitor, buys: float, random: np.random.Generator) -> Iterator[Step]:
    """In the order of their times. buys: how often who is like them orders, beside the average."""
    at, source, has_basket = float(visitor.began), visitor.source, False
    while True:
        visit = _Visit(story, source, at, has_basket, shop.BUYS * buys * source.buys, random)
        yield from visit.steps()
        at, has_basket = visit.at, visit.has_basket
        if random.random() > (FETCHES if has_basket else COMES_AGAIN):
            return
        at += random.lognormal(*WAITS) * DAY + HOUR
        if at > visitor.began + LIFE_DAYS * DAY:
            return
        source = visitor.source if random.random() < 0.4 else DIRECT


@dataclass
class _Visit:
    """at: how far it has come.  rate: of its orders."""

    story: Story
    source: Value
    at: float
    has_basket: bool
    rate: float
    random: np.random.Generator
    _entry: str = ""

    def steps(self) -> Iterator[Step]:
        random, page = self.random, str(_one(shop.PAGES, self.random).name)
        self._entry = entry_of(self.source, page)
        yield from self._page(page, {"metrics": {"visits": 1}})
        looks = not self.has_basket and random.random() < LOOKS
        if looks or random.random() > LEAVES:
            for _ in range(random.poisson(MORE)):
                yield from self._page(str(_one(shop.PAGES, random).name))
        if looks:
            yield from self._product(str(_one(PRODUCTS, random).name))
        is_broken = self.source is shop.SOURCES[self.story.campaign] and self.at >= self.story.broke
        if self.has_basket and random.random() < (self.story.left if is_broken else 1) / (1 + shop.CARTS_MORE):
            yield from self._order()

    def _page(self, page: str, given: dict[str, Any] | None = None) -> Iterator[Step]:
        """Seen, and for how long."""
        yield self._step(PAGE, page, given or {})
        seen = min(float(self.random.lognormal(*READS)), 900.0) + 2
        self.at += seen
        depth = int(self.random.integers(20, 101))
        yield self._step(ENGAGED, page, {"engaged": int(seen * 1000), "depth": depth})
        self.at += 1

    def _product(self, page: str) -> Iterator[Step]:
        product = {"id": page.rpartition("/")[2], "name": page.rpartition("/")[2].replace("-", " ")}
        yield from self._page(page)
        yield self._step(PRODUCT, page, {"properties": product})
        self.at += 2
        if self.random.random() < min((1 + shop.CARTS_MORE) * self.rate / LOOKS, 0.9):
            yield self._step(BASKET, page, {"properties": product, "metrics": {"carts": 1}})
            self.at += 2
            self.has_basket = True

    def _order(self) -> Iterator[Step]:
        yield from self._page(BASKET_PAGE)
        price = round(float(self.random.lognormal(*shop.PRICES)), 2)
        order = {"id": self.random.bytes(5).hex(), "currency": "USD", "customer": "yes"}
        yield self._step(ORDER, THANKS, {"properties": order, "metrics": {"revenue": price}})
        self.at += 2
        yield from self._page(THANKS)
        self.has_basket = False

    def _step(self, event: str, page: str, given: dict[str, Any]) -> Step:
        return Step(int(self.at), event, page, self._entry, given)


def entry_of(source: Value, page: str) -> str:
    """The address at which a visit from there begins."""
    if source is DIRECT:
        return SHOP + page
    ((name, campaign),) = (source.name if isinstance(source.name, dict) else {source.name: ""}).items()
    given = {"utm_source": name, **({"utm_campaign": campaign} if campaign else {})}
    return f"{SHOP}{page}?{urlencode(given)}"


@dataclass
class Lives:
    """Asked for one stretch of time after the other."""

    story: Story
    settings: Settings
    _told_to: int | None = None
    _hits: dict[int, list[Hit]] = field(default_factory=lambda: defaultdict(list))

    def between(self, start: int, end: int) -> list[Hit]:
        """Hits with a time in [start, end), in its order."""
        if self._told_to is None:
            self._told_to = max(self.story.since, (start - LIFE_DAYS * DAY) // HOUR * HOUR)
        for hour in range(self._told_to, end, HOUR):
            for hit in lives(self.story, hour, self.settings):
                self._hits[hit["at"] // HOUR * HOUR].append(hit)
            self._told_to = hour + HOUR
        for hour in [each for each in self._hits if each + HOUR <= start]:
            del self._hits[hour]
        hours = range(start // HOUR * HOUR, end, HOUR)
        found = [hit for hour in hours for hit in self._hits.get(hour, ()) if start <= hit["at"] < end]
        return sorted(found, key=lambda hit: hit["at"])
