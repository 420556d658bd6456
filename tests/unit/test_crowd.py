"""The visitors of the demo: believable, the same for the same seed, and those of the broken campaign leave at the basket."""

from collections import Counter, defaultdict
from typing import Any

import pytest

from hail.hit import parse_hit
from hail.settings import load
from whale.commands import crowd, shop
from whale.commands.crowd import FUNNEL, LIFE_DAYS, Lives
from whale.commands.shop import DAY, HOUR, Hit

SETTINGS = load({})
BEGAN = 1_795_690_000  # Thursday 2026-11-26 10:46:40 UTC
STORY = shop.story(7, BEGAN)


@pytest.fixture(scope="module")
def hits() -> list[Hit]:
    return Lives(STORY).between(STORY.since, BEGAN)


def by_visitor(hits: list[Hit]) -> dict[str, list[Hit]]:
    found: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        found[hit["visitor"]].append(hit)
    return found


def test_every_step_can_be_counted_and_comes_once(hits: list[Hit]) -> None:
    rows = [parse_hit(hit, SETTINGS, BEGAN) for hit in hits]
    assert {row.event for row in rows} == set(FUNNEL)
    assert len({hit["id"] for hit in hits}) == len(hits)
    assert 50_000 < len(hits) < 150_000
    assert [hit["at"] for hit in hits] == sorted(hit["at"] for hit in hits)
    assert STORY.since <= hits[0]["at"] < STORY.since + HOUR
    assert BEGAN - HOUR < hits[-1]["at"] < BEGAN


def test_a_stretch_has_the_hits_of_its_time_whenever_it_is_asked_for(hits: list[Hit]) -> None:
    cut = BEGAN - 5 * DAY + 1234
    expected = [hit for hit in hits if hit["at"] >= cut]
    assert Lives(STORY).between(cut, BEGAN) == expected
    some = Lives(STORY)
    assert some.between(cut, cut + 4000) + some.between(cut + 4000, BEGAN) == expected
    assert crowd.lives(shop.story(8, BEGAN), BEGAN // HOUR * HOUR) != crowd.lives(STORY, BEGAN // HOUR * HOUR)


def test_visitors_go_step_by_step_and_some_come_again(hits: list[Hit]) -> None:
    lives = by_visitor(hits).values()
    for life in lives:
        assert life[0]["event"] == "visit"
        times = [hit["at"] for hit in life]
        assert times == sorted(set(times))
        assert times[-1] <= times[0] + LIFE_DAYS * DAY + HOUR
    reached = [sum(any(hit["event"] == step for hit in life) for life in lives) for step in FUNNEL]
    assert reached[0] > 1.5 * reached[1] > 3 * reached[2] > 4 * reached[3] > 400
    again = sum(sum(hit["event"] == "visit" for hit in life) > 1 for life in lives)
    assert 0.2 < again / len(lives) < 0.5


def test_properties_are_of_the_visitor_or_of_the_event_as_the_site_lists(hits: list[Hit]) -> None:
    names = Counter((hit["event"], name) for hit in hits for name in hit["properties"])
    assert {event for event, name in names if name in crowd.EVENT_PROPERTIES} == {"product", "basket", "order"}
    assert names["order", "price"] == names["order", "customer"] == sum(hit["event"] == "order" for hit in hits)
    assert names["visit", "source"] == sum(hit["event"] == "visit" for hit in hits)
    assert names["visit", "country"] == len(by_visitor(hits))


def test_visits_of_the_broken_campaign_end_at_the_basket(hits: list[Hit]) -> None:
    def share(is_after: bool) -> float:
        """Of baskets that led to an order within the visit."""
        baskets = orders = 0
        for seed in range(3):
            story = shop.story(seed, BEGAN)
            came = crowd.came_by(shop.SOURCES[story.campaign])
            for life in by_visitor(Lives(story).between(story.broke - 12 * DAY, BEGAN)).values():
                last: dict[str, Any] = {}
                for hit in life:
                    if hit["event"] == "visit":
                        last = {name: hit["properties"].get(name) for name in ("source", "campaign")}
                    if last == {"campaign": None, **came} and (hit["at"] >= story.broke) == is_after:
                        baskets += hit["event"] == "basket"
                        orders += hit["event"] == "order"
        return orders / baskets

    assert share(is_after=True) < 0.5 * share(is_after=False)
