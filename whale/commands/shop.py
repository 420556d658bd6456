"""The shop of the demo: who came in an hour, what they did, and which campaign broke. Pure: the seed and the hour decide all.

    story(seed, began) ── which campaign breaks, when, and how much of its orders is left
    sums(story, hour)      the hour as about SUMS hits, each the sum of some visits that are alike
    visits(story, hour)    an hour of the same shop as one hit for each visit
    reports(story, hour)   outcomes of a plain experiment, one for each option
    mistakes(story, hour)  hits that Hail refuses
    people(story, hour)    those who met the managed experiment

Hours are whole, in seconds since 1970. Every hit has an `id`, so the same hour sent twice counts once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HOUR, DAY = 3600, 86400
PK, BUTTON, SHIPPING = "shop", "checkout button", "free-shipping"
HISTORY_DAYS, EXPERIMENT_DAYS = 64, 14  # 31 days, and as many before to compare with
SUMS = 40  # hits of an hour of the past
VISITS = 1_200  # of an hour, on average
MISTAKES = 8  # of an hour
PEOPLE_SHARE = 0.0016  # of the visits that meet the managed experiment

Hit = dict[str, Any]
Numbers = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Value:
    """A value of a dimension. weight: its share of the visits.  buys: how often they order, beside the average."""

    name: Any
    weight: float
    buys: float
    costs: float = 0.0  # dollars a visit, for a campaign


COUNTRIES = [
    Value("US", 30, 1.0),
    Value("DE", 22, 1.2),
    Value("GB", 12, 0.95),
    Value("FR", 9, 0.8),
    Value("NL", 6, 1.1),
    Value("CA", 5, 0.9),
    Value("AT", 4, 1.2),
    Value("CH", 4, 1.45),
    Value("SE", 3, 1.0),
    Value("IT", 3, 0.7),
    Value("ES", 2, 0.65),
]
DEVICES = [Value("phone", 58, 0.65), Value("desktop", 36, 1.5), Value("tablet", 6, 0.95)]
PAGES = [
    Value("/", 26, 0.9),
    Value("/shoes", 15, 1.0),
    Value("/shoes/trail-runner", 12, 1.1),
    Value("/sale", 11, 1.4),
    Value("/shoes/city-low", 9, 1.0),
    Value("/jackets", 8, 0.95),
    Value("/jackets/rain-shell", 8, 1.05),
    Value("/bags/day-pack", 5, 1.0),
    Value("/journal/how-to-choose", 4, 0.5),
    Value("/gift-cards", 2, 1.2),
]
SOURCES = [
    Value({"google": "brand"}, 16, 1.7, 0.22),
    Value({"google": "shoes"}, 13, 1.0, 0.48),
    Value({"instagram": "spring-sale"}, 11, 1.4, 0.31),
    Value({"instagram": "creators"}, 6, 0.7, 0.40),
    Value({"newsletter": "weekly"}, 9, 1.6, 0.01),
    Value({"newsletter": "win-back"}, 4, 1.4, 0.01),
    Value({"bing": "brand"}, 5, 1.5, 0.18),
    Value({"affiliate": "coupon-fox"}, 6, 1.1, 0.25),
    Value({"affiliate": "gear-tests"}, 5, 1.2, 0.20),
    Value("direct", 17, 1.2),
    Value("organic", 15, 0.9),
]
CAMPAIGNS = [at for at, source in enumerate(SOURCES) if isinstance(source.name, dict)]
BUTTONS = {"buy now": 0.050, "add to bag": 0.058, "get yours": 0.044}
"""Shares of those who saw a button and bought."""
SHIPPING_FROM = {"from $50": 0.20, "from $80": 0.17, "always": 0.26}
"""Shares of those who met an option and ordered."""
MEASURES = {
    "revenue": {"unit": "money", "currency": "USD", "better": "up"},
    "ad_cost": {"unit": "money", "currency": "USD", "better": "down"},
}
BUYS = 0.030
BUY_FROM_CART, CARTS_MORE = 0.45, 2.1
VIEWS_MORE = 2.2
PRICES = (4.1, 0.45)  # mean and deviation of the logarithm
MEAN_PRICE = float(np.exp(PRICES[0] + PRICES[1] ** 2 / 2))


@dataclass(frozen=True)
class Story:
    """What is true of a demo. campaign: its place in SOURCES.  broke: the second from which on it broke.

    left: the share of its orders that is left.  sale: the day on which half as many more came.
    """

    seed: int
    began: int
    campaign: int
    broke: int
    left: float
    sale: int

    @property
    def since(self) -> int:
        """The first hour of all."""
        return (self.began - HISTORY_DAYS * DAY) // DAY * DAY


def story(seed: int, began: int) -> Story:
    """began: when the demo was started for the first time."""
    random, today = np.random.default_rng([seed, 0]), began // DAY * DAY
    return Story(
        seed=seed,
        began=began,
        campaign=int(random.choice(CAMPAIGNS)),
        broke=today - int(random.integers(5, 13)) * DAY + int(random.integers(0, 4)) * HOUR,
        left=float(random.uniform(0.05, 0.25)),
        sale=today - int(random.integers(16, 27)) * DAY,
    )


@dataclass(frozen=True)
class Note:
    at: int
    text: str


def notes(story: Story) -> list[Note]:
    """Written by those who run the shop: of the sale, and of each release. One release came shortly before the break."""
    random = np.random.default_rng([story.seed, 6])
    month = range(story.began // DAY * DAY - 30 * DAY, story.began // DAY * DAY - DAY, 5 * DAY)
    releases = [day + int(random.integers(9 * HOUR, 4 * DAY)) for day in month]
    releases.append(story.broke - int(random.integers(10 * 60, 50 * 60)))
    first = int(random.integers(3, 40))
    found = [Note(at, f"Release 4.{first + number}") for number, at in enumerate(sorted(releases))]
    return [*found, Note(story.sale, "Sale: 20 % off, today only")]


def expected_visits(story: Story, hour: int) -> float:
    """Of an hour: more in the evening, at weekends and on the day of the sale, and a few more every week."""
    of_day, weekday = hour % DAY / HOUR, (hour // DAY + 3) % 7  # 1970 began with a Thursday; Monday is 0
    rhythm = 1 + 0.6 * np.sin((of_day - 10) / 24 * 2 * np.pi) + 0.15 * np.sin((of_day - 3) / 12 * 2 * np.pi)
    week = 1.12 if weekday >= 5 else 0.97
    growth = 1.003 ** ((hour - story.began) / DAY)
    return float(VISITS * rhythm * week * growth * (1.5 if hour // DAY * DAY == story.sale else 1.0))


def sums(story: Story, hour: int) -> list[Hit]:
    random = np.random.default_rng([story.seed, 1, hour])
    each = random.poisson(_of_the_hour(story, hour, random) / SUMS, SUMS)
    return _opening(story, hour) + _hits(story, hour, random, each[each > 0], "sum")


def _opening(story: Story, hour: int) -> list[Hit]:
    """The very first visits. Metrics are listed in the order in which they were first counted, the dashboard begins with the last step."""
    firsts: list[dict[str, float]] = [{}, {"carts": 1, "pageviews": 4}, {"carts": 1, "orders": 1, "revenue": 58.9}]
    return [
        {
            "pk": PK,
            "id": f"demo-{story.seed}-{hour}-opening-{at}",
            "at": hour,
            "dimensions": {"country": "US", "device": "desktop", "source": "direct", "page": "/"},
            "metrics": {"hits": 4, "visits": 1} | more,
        }
        for at, more in enumerate(firsts if hour == story.since else [])
    ]


def visits(story: Story, hour: int) -> list[Hit]:
    random = np.random.default_rng([story.seed, 2, hour])
    count = random.poisson(_of_the_hour(story, hour, random))
    return _hits(story, hour, random, np.ones(count, np.int64), "visit")


def _of_the_hour(story: Story, hour: int, random: np.random.Generator) -> float:
    return expected_visits(story, hour) * random.lognormal(0, 0.04)


def _hits(story: Story, hour: int, random: np.random.Generator, each: Places, kind: str) -> list[Hit]:
    """One hit for so many visits each, in the order of their times."""
    chosen = {
        "country": (COUNTRIES, _drawn(COUNTRIES, len(each), random)),
        "device": (DEVICES, _drawn(DEVICES, len(each), random)),
        "source": (SOURCES, _drawn(SOURCES, len(each), random)),
        "page": (PAGES, _drawn(PAGES, len(each), random)),
    }
    times = np.sort(random.integers(0, HOUR, len(each))) + hour
    rates = orders_share(story, times, *(places for _, places in chosen.values()))
    orders = random.binomial(each, rates)
    carts = orders + random.binomial(each - orders, np.minimum(rates * CARTS_MORE / (1 - rates), 1))
    views = each + random.poisson(each * VIEWS_MORE)
    prices = np.round(random.lognormal(*PRICES, orders.sum()), 2)
    revenue = np.bincount(np.repeat(np.arange(len(each)), orders), prices, len(each))
    costs = np.array([source.costs for source in SOURCES])[chosen["source"][1]]
    spent = each * costs * random.uniform(0.85, 1.15, len(each))
    rows = zip(times, each, views, carts, orders, revenue, spent, strict=True)
    return [
        {
            "pk": PK,
            "id": f"demo-{story.seed}-{hour}-{kind}-{at}",
            "at": int(time),
            "dimensions": {name: values[places[at]].name for name, (values, places) in chosen.items()},
            "metrics": {"hits": int(seen), "visits": int(came)}
            | {
                name: number
                for name, number in (
                    ("carts", int(carted)),
                    ("orders", int(ordered)),
                    ("revenue", round(float(earned), 2)),
                    ("ad_cost", round(float(paid), 2)),
                )
                if number
            },
        }
        for at, (time, came, seen, carted, ordered, earned, paid) in enumerate(rows)
    ]


def orders_share(
    story: Story, times: Places, countries: Places, devices: Places, sources: Places, pages: Places
) -> Numbers:
    """How likely a visit orders, by its time and its properties."""
    found = np.full(len(times), BUYS)
    for values, places in ((COUNTRIES, countries), (DEVICES, devices), (SOURCES, sources), (PAGES, pages)):
        found *= np.array([value.buys for value in values])[places]
    broken = (sources == story.campaign) & (times >= story.broke)
    return np.where(broken, found * story.left, found)


def lost_orders(story: Story, end: int) -> float:
    """How many orders fewer are to be expected, from the break to this second, than without it."""
    source = SOURCES[story.campaign]
    share = source.weight / sum(each.weight for each in SOURCES)
    rate = BUYS * source.buys
    for values in (COUNTRIES, DEVICES, PAGES):
        rate *= sum(each.weight * each.buys for each in values) / sum(each.weight for each in values)
    visits = sum(expected_visits(story, hour) for hour in range(story.broke, end, HOUR))
    return visits * share * rate * (1 - story.left)


def _drawn(values: Sequence[Value], count: int, random: np.random.Generator) -> Places:
    """So many places of values, each as often as its weight says, to the nearest; in any order."""
    ends = np.cumsum([value.weight for value in values])
    found: Places = np.searchsorted(ends, (random.random() + np.arange(count)) / max(count, 1) * ends[-1], "right")
    random.shuffle(found)
    return np.minimum(found, len(values) - 1)


def reports(story: Story, hour: int) -> list[Hit]:
    """Outcomes of the plain experiment with a button, for /count_decision. Four times a day it reports the last six hours."""
    if hour < story.began - EXPERIMENT_DAYS * DAY or hour // HOUR % 6 != 5:
        return []
    random = np.random.default_rng([story.seed, 3, hour])
    found = []
    for option, share in BUTTONS.items():
        shown, device = int(random.poisson(expected_visits(story, hour) * 0.05)), _drawn(DEVICES, 1, random)[0]
        hit = {
            "pk": BUTTON,
            "option": option,
            "id": f"demo-{story.seed}-{hour}-{option}",
            "at": hour + HOUR - 1,
            "dimensions": {"device": DEVICES[device].name},
            "metrics": {"shown": shown, "bought": int(random.binomial(shown, share))},
        }
        found += [hit] if shown else []
    return found


def mistakes(story: Story, hour: int) -> list[Hit]:
    """Hits of an hour that cannot be counted: somebody's program writes numbers with a comma."""
    random = np.random.default_rng([story.seed, 5, hour])
    times = np.sort(random.integers(hour, hour + HOUR, random.poisson(MISTAKES)))
    return [
        {
            "pk": PK,
            "at": int(time),
            "dimensions": {"source": {"affiliate": "coupon-fox"}},
            "metrics": {"orders": 1, "revenue": f"{random.integers(20, 120)},{random.integers(10, 100)}"},
        }
        for time in times
    ]


@dataclass(frozen=True)
class Person:
    """One who met the managed experiment. draws: the number from 0 to 1 that decides whether they order, whatever the option."""

    name: str
    at: int
    dimensions: dict[str, str]
    draws: float
    spends: float

    def earned(self, option: str) -> dict[str, float]:
        """The reward under an option; empty where they do not order."""
        return {"orders": 1, "revenue": self.spends} if self.draws < SHIPPING_FROM[option] else {}


def people(story: Story, hour: int) -> list[Person]:
    """Those of an hour, in the order of their times."""
    if hour < story.began - EXPERIMENT_DAYS * DAY:
        return []
    random = np.random.default_rng([story.seed, 4, hour])
    count = random.poisson(expected_visits(story, hour) * PEOPLE_SHARE)
    return list(_met(story, np.sort(random.integers(hour, hour + HOUR, count)), random))


def _met(story: Story, times: Places, random: np.random.Generator) -> Iterator[Person]:
    countries, devices = _drawn(COUNTRIES, len(times), random), _drawn(DEVICES, len(times), random)
    for at, time in enumerate(times):
        properties = {"country": COUNTRIES[countries[at]].name, "device": DEVICES[devices[at]].name}
        spends = round(float(random.lognormal(4.1, 0.45)), 2)
        yield Person(f"demo-{story.seed}-{time}-{at}", int(time), properties, float(random.random()), spends)
