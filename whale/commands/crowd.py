"""The visitors of the demo's shop who are told apart, and what each of them did. Pure: the seed and the hour decide all, as in shop.py.

    lives(story, hour)       all that those ever do who come for the first time in an hour, as one hit for each step
    Lives(story).between     the same by the times of the hits, whoever's they are

A visit goes: visit, product, basket, order; each step may be the last. Who filled a basket and left may come back for it. Visits of the
campaign that broke end at the basket. Every hit has an `id`, so what is sent twice counts once.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from whale.commands import shop
from whale.commands.shop import DAY, HOUR, Hit, Story, Value

NEW_SHARE = 0.02  # of the visits that are a new visitor who is told apart
LIFE_DAYS = 28
EVENT_PROPERTIES = ("price", "product")
FUNNEL = ("visit", "product", "basket", "order")
SAVED_FUNNEL = "from visit to order"
SEGMENTS: dict[str, Any] = {
    "buyers": {"event": "order"},
    "baskets left": {"and": [{"event": "basket"}, {"not": {"event": "order"}}]},
    "on a phone": {"property": "device", "is": "phone"},
}
LOOKS = 0.55  # of the visits, at a product
COMES_AGAIN, FETCHES = 0.32, 0.45  # of the visitors; of those who left a basket
WAITS = (0.6, 1.1)  # days until the next visit: mean and deviation of the logarithm
DIRECT = next(source for source in shop.SOURCES if source.name == "direct")
PRODUCTS = [page for page in shop.PAGES if "/" in str(page.name)[1:]]


@dataclass(frozen=True)
class Visitor:
    """began: their first visit, in seconds."""

    name: str
    began: int
    country: Value
    device: Value
    source: Value


def lives(story: Story, hour: int) -> list[Hit]:
    random = np.random.default_rng([story.seed, 7, hour])
    count = random.poisson(shop.expected_visits(story, hour) * NEW_SHARE)
    found: list[Hit] = []
    for number, began in enumerate(np.sort(random.integers(hour, hour + HOUR, count)).tolist()):
        country, device, source = (_one(values, random) for values in (shop.COUNTRIES, shop.DEVICES, shop.SOURCES))
        visitor = Visitor(random.bytes(6).hex(), began, country, device, source)
        for step, hit in enumerate(_life(story, visitor, random)):
            found.append(
                {"pk": shop.PK, "id": f"demo-{story.seed}-{hour}-{number}-{step}", "visitor": visitor.name, **hit}
            )
    return found


def _one(values: Sequence[Value], random: np.random.Generator) -> Value:
    weights = np.cumsum([value.weight for value in values])
    return values[int(np.searchsorted(weights, random.random() * weights[-1], "right"))]


def _life(story: Story, visitor: Visitor, random: np.random.Generator) -> Iterator[Hit]:
    """In the order of their times: their steps, without what all hits of a visitor share."""
    at, source, has_basket, is_new = float(visitor.began), visitor.source, False, True
    while True:
        own = {"country": visitor.country.name, "device": visitor.device.name} if is_new else {}
        yield {"at": int(at), "event": "visit", "properties": {**own, **came_by(source)}}
        rate = shop.BUYS * visitor.country.buys * visitor.device.buys * source.buys
        product = _one(PRODUCTS, random).name
        if not has_basket and random.random() < LOOKS:
            at += random.uniform(8, 120)
            yield {"at": int(at), "event": "product", "properties": {"product": product}}
            if random.random() < min((1 + shop.CARTS_MORE) * rate / LOOKS, 0.9):
                at += random.uniform(15, 400)
                yield {"at": int(at), "event": "basket", "properties": {"product": product}}
                has_basket = True
        is_broken = source is shop.SOURCES[story.campaign] and at >= story.broke
        if has_basket and random.random() < (story.left if is_broken else 1) / (1 + shop.CARTS_MORE):
            at += random.uniform(40, 900)
            price = round(float(random.lognormal(*shop.PRICES)), 2)
            yield {"at": int(at), "event": "order", "properties": {"price": price, "customer": "yes"}}
            has_basket = False
        if random.random() > (FETCHES if has_basket else COMES_AGAIN):
            return
        at += random.lognormal(*WAITS) * DAY + HOUR
        if at > visitor.began + LIFE_DAYS * DAY:
            return
        source, is_new = (visitor.source if random.random() < 0.4 else DIRECT), False


def came_by(source: Value) -> dict[str, str]:
    """Where a visit came from, as properties."""
    if isinstance(source.name, dict):
        ((name, campaign),) = source.name.items()
        return {"source": name, "campaign": campaign}
    return {"source": str(source.name)}


@dataclass
class Lives:
    """Asked for one stretch of time after the other."""

    story: Story
    _told_to: int | None = None
    _hits: dict[int, list[Hit]] = field(default_factory=lambda: defaultdict(list))

    def between(self, start: int, end: int) -> list[Hit]:
        """Hits with a time in [start, end), in its order."""
        if self._told_to is None:
            self._told_to = max(self.story.since, (start - LIFE_DAYS * DAY) // HOUR * HOUR)
        for hour in range(self._told_to, end, HOUR):
            for hit in lives(self.story, hour):
                self._hits[hit["at"] // HOUR * HOUR].append(hit)
            self._told_to = hour + HOUR
        for hour in [each for each in self._hits if each + HOUR <= start]:
            del self._hits[hour]
        hours = range(start // HOUR * HOUR, end, HOUR)
        found = [hit for hour in hours for hit in self._hits.get(hour, ()) if start <= hit["at"] < end]
        return sorted(found, key=lambda hit: hit["at"])
