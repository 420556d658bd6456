"""The visitors of the demo: believable, the same for the same seed, and those of the broken campaign leave at the basket."""

import json
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from hail.hit import parse_hit
from hail.settings import load
from hail.tracking.agents import Agents
from hail.tracking.translation import Around, seen_of
from hail.tracking.wire import tracked_of
from whale.commands import crowd, shop
from whale.commands.crowd import BASKET, ENGAGED, FUNNEL, LIFE_DAYS, ORDER, PAGE, Lives
from whale.commands.shop import DAY, HOUR, Hit, Story

SETTINGS = load({})
BEGAN = 1_795_690_000  # Thursday 2026-11-26 10:46:40 UTC
STORY = shop.story(7, BEGAN)
AGENTS = {
    "iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
}


def lives(story: Story) -> Lives:
    return Lives(story, SETTINGS)


@pytest.fixture(scope="module")
def hits() -> list[Hit]:
    return lives(STORY).between(STORY.since, BEGAN)


def by_visitor(hits: list[Hit]) -> dict[str, list[Hit]]:
    """Without engagement, which names nobody."""
    found: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        if "event" in hit:
            found[hit["visitor"]].append(hit)
    return found


def test_every_step_can_be_counted_and_comes_once(hits: list[Hit]) -> None:
    rows = [parse_hit(hit, SETTINGS, BEGAN) for hit in hits]
    assert {row.event for row in rows} == {*FUNNEL, None}
    assert len({hit["id"] for hit in hits}) == len(hits)
    assert 25_000 < len(hits) < 60_000
    assert [hit["at"] for hit in hits] == sorted(hit["at"] for hit in hits)
    assert STORY.since <= hits[0]["at"] < STORY.since + HOUR
    assert BEGAN - HOUR < hits[-1]["at"] < BEGAN


def test_a_stretch_has_the_hits_of_its_time_whenever_it_is_asked_for(hits: list[Hit]) -> None:
    cut = BEGAN - 5 * DAY + 1234
    expected = [hit for hit in hits if hit["at"] >= cut]
    assert lives(STORY).between(cut, BEGAN) == expected
    some = lives(STORY)
    assert some.between(cut, cut + 4000) + some.between(cut + 4000, BEGAN) == expected
    hour = BEGAN // HOUR * HOUR
    assert crowd.lives(shop.story(8, BEGAN), hour, SETTINGS) != crowd.lives(STORY, hour, SETTINGS)


def test_visitors_go_step_by_step_and_some_come_again(hits: list[Hit]) -> None:
    told = by_visitor(hits).values()
    for life in told:
        assert life[0]["event"] == PAGE
        times = [hit["at"] for hit in life]
        assert times == sorted(set(times))
        assert times[-1] <= times[0] + LIFE_DAYS * DAY + 3 * HOUR
    reached = [sum(any(hit["event"] == step for hit in life) for life in told) for step in FUNNEL]
    assert reached[0] > 1.5 * reached[1] > 3 * reached[2] > 4 * reached[3] > 400
    again = sum(sum("visits" in hit["metrics"] for hit in life) > 1 for life in told)
    assert 0.2 < again / len(told) < 0.5


def test_a_hit_is_what_hail_makes_of_one_of_the_tracker() -> None:
    visitor = crowd.Visitor("5b2e", BEGAN, "AT", crowd.AGENTS["phone"][0], shop.SOURCES[2])
    entry = crowd.entry_of(visitor.source, "/sale")
    assert entry == "https://shop.example/sale?utm_source=instagram&utm_campaign=spring-sale"
    sent = {
        "id": "1",
        "event": "purchase",
        "url": "https://shop.example/thanks",
        "referrer": "",
        "entry_url": entry,
        "v_visitor": "5b2e",
        "screen": "390x844",
        "language": "de",
        "properties": {"id": "A7", "currency": "USD"},
        "metrics": {"revenue": 59.9},
    }
    given = {"properties": {"id": "A7", "currency": "USD"}, "metrics": {"revenue": 59.9}}
    step = crowd.Step(BEGAN, ORDER, "/thanks", entry, given)
    tracked = crowd.tracked_of(step, visitor, "1")
    assert tracked == tracked_of(json.dumps(sent).encode())
    fields = seen_of(tracked, "shop", Around(agent=visitor.agent, country="AT"), SETTINGS).fields
    assert fields["dimensions"] | {"source": ["instagram", "spring-sale"], "country": "AT"} == fields["dimensions"]
    assert fields["metrics"] == {"orders": 1, "revenue": 59.9}


def test_its_browsers_are_those_that_hail_tells_apart() -> None:
    known = Agents(1e6)
    assert {known.agent_of(f"Mozilla/5.0 ({text}") for text in AGENTS} == {
        agent for agents in crowd.AGENTS.values() for agent in agents
    }


def test_the_first_page_of_a_visit_and_a_basket_count_as_the_other_visits_do(hits: list[Hit]) -> None:
    visits = Counter(hit.get("event") for hit in hits if "visits" in hit["metrics"])
    assert visits.keys() == {PAGE}
    assert visits[PAGE] < sum(hit.get("event") == PAGE for hit in hits)
    assert all(("carts" in hit["metrics"]) == (hit.get("event") == BASKET) for hit in hits)
    assert all(("revenue" in hit["metrics"]) == (hit.get("event") == ORDER) for hit in hits)
    seen = [hit["metrics"] for hit in hits if "event" not in hit]
    assert len(seen) == sum(hit.get("event") == PAGE for hit in hits)
    assert {tuple(metrics) for metrics in seen} == {("hits", "engaged_ms", "scroll_pct")}
    assert ENGAGED not in {hit.get("event") for hit in hits}


def test_each_source_of_the_shop_is_the_same_path_for_those_who_are_told_apart(hits: list[Hit]) -> None:
    expected = {
        (next(iter(source.name.items())) if isinstance(source.name, dict) else (source.name,))
        for source in shop.SOURCES
    }
    assert {tuple(hit["dimensions"]["source"]) for hit in hits if "event" in hit} == expected
    assert {hit["dimensions"]["device"] for hit in hits if "event" in hit} == {each.name for each in shop.DEVICES}
    assert {hit["dimensions"]["country"] for hit in hits if "event" in hit} == {each.name for each in shop.COUNTRIES}


def test_properties_are_of_the_visitor_or_of_the_event_as_the_site_lists(hits: list[Hit]) -> None:
    names = Counter((hit["event"], name) for hit in hits if "event" in hit for name in hit["properties"] or ())
    assert {event for event, name in names if name in crowd.EVENT_PROPERTIES} == set(FUNNEL[1:])
    assert names[ORDER, "currency"] == names[ORDER, "customer"] == sum(hit.get("event") == ORDER for hit in hits)
    assert names[PAGE, "source"] == names[PAGE, "device"] == sum(hit.get("event") == PAGE for hit in hits)


def test_visits_of_the_broken_campaign_end_at_the_basket() -> None:
    def share(is_after: bool) -> float:
        """Of baskets that led to an order within the visit."""
        baskets = orders = 0
        for seed in range(8):
            story = replace(shop.story(seed, BEGAN), left=0.1)
            came = list(next(iter(shop.SOURCES[story.campaign].name.items())))
            for hit in lives(story).between(story.broke - 12 * DAY, BEGAN):
                if "event" in hit and hit["dimensions"]["source"] == came and (hit["at"] >= story.broke) == is_after:
                    baskets += hit["event"] == BASKET
                    orders += hit["event"] == ORDER
        return orders / baskets

    assert share(is_after=True) < 0.5 * share(is_after=False)
