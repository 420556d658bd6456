"""The shop of the demo: believable, the same for the same seed, and with a campaign that /shifts finds for any seed."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hail.hit import HitError, encode_hit, parse_decided, parse_hit
from hail.message import ACCOUNT, decode_message, encode_message
from hail.settings import load
from whale.client import Whale
from whale.commands import shop
from whale.commands.shop import DAY, HOUR, Hit, Story
from whale.count.apply import Applier
from whale.store.memory import MemoryStore

SETTINGS = load({"HAILWHALE_PERIODS": "((86400, None),)"})
BEGAN = 1_795_690_000  # Thursday 2026-11-26 10:46:40 UTC
NEAR = 0.15
"""Of the cost: rates are counted, and the lost orders are expected ones."""


def hours(story: Story, days: int) -> range:
    """Whole ones, up to the hour in which the demo begins."""
    end = story.began // HOUR * HOUR
    return range(story.began // DAY * DAY - days * DAY, end, HOUR)


def sums_of(story: Story, days: int) -> Iterator[Hit]:
    return (hit for hour in hours(story, days) for hit in shop.sums(story, hour))


def counted(story: Story, hits: list[Hit]) -> Whale:
    store = MemoryStore(SETTINGS)
    rows = [encode_hit(parse_hit(hit, SETTINGS, story.began)) for hit in hits]
    message = encode_message("00112233445566aa", 0, ACCOUNT, len(rows), story.began * 1000, rows)
    Applier(store, SETTINGS).apply([decode_message(message)], story.began)
    return Whale(store, SETTINGS, clock=lambda: float(story.began))


def lost(story: Story, hits: list[Hit]) -> float:
    """The orders that the break cost up to the last midnight, from the tables of the shop: visits x rate x the share that is gone."""
    buys = {
        (name, str(value.name)): value.buys
        for name, values in (
            ("country", shop.COUNTRIES),
            ("device", shop.DEVICES),
            ("source", shop.SOURCES),
            ("page", shop.PAGES),
        )
        for value in values
    }
    found = 0.0
    for hit in hits:
        if hit["dimensions"]["source"] == shop.SOURCES[story.campaign].name and broken(story, hit):
            rate = shop.BUYS
            for name, value in hit["dimensions"].items():
                rate *= buys[name, str(value)]
            found += hit["metrics"]["visits"] * rate * (1 - story.left)
    return found


def broken(story: Story, hit: Hit) -> bool:
    return bool(story.broke <= hit["at"] < story.began // DAY * DAY)


@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(s, marks=pytest.mark.long(part="oracle")) for s in range(3, 31))]
)
def test_the_campaign_that_broke_is_found_with_its_day_and_its_cost(seed: int) -> None:
    story = shop.story(seed, BEGAN)
    hits = list(sums_of(story, 30))
    said = counted(story, hits).shifts("shop", "orders/visits", "revenue", "30d")
    (shift,) = said["shifts"]
    ((source, campaign),) = shop.SOURCES[story.campaign].name.items()
    assert shift["path"] == ["source", source, campaign]
    assert datetime.fromisoformat(shift["at"]) == datetime.fromtimestamp(story.broke // DAY * DAY, UTC)
    assert shift["ongoing"]
    truth = lost(story, hits)
    assert shop.lost_orders(story, BEGAN // DAY * DAY) == pytest.approx(truth, rel=NEAR)
    assert shift["cost"]["orders"] == pytest.approx(-truth, rel=NEAR)
    price = sum(hit["metrics"].get("revenue", 0) for hit in hits) / sum(hit["metrics"].get("orders", 0) for hit in hits)
    assert shift["cost"]["revenue"] == pytest.approx(-truth * price, rel=1.5 * NEAR)


def test_a_seed_tells_one_story_and_others_another() -> None:
    story, hour = shop.story(5, BEGAN), BEGAN // DAY * DAY - HOUR
    assert shop.story(5, BEGAN) == story
    for told in (shop.sums, shop.visits, shop.reports, shop.mistakes, shop.people):
        assert told(story, hour) == told(story, hour)
        assert told(shop.story(6, BEGAN), hour) != told(story, hour)
    stories = [shop.story(seed, BEGAN) for seed in range(100)]
    assert {each.campaign for each in stories} == set(shop.CAMPAIGNS)
    assert len({each.broke // DAY for each in stories}) == 8


def test_every_hit_can_be_counted_but_the_mistakes() -> None:
    story = shop.story(5, BEGAN)
    ids: list[str] = []
    for hour in hours(story, 2):
        for hit in [*shop.sums(story, hour), *shop.visits(story, hour)]:
            assert hour <= parse_hit(hit, SETTINGS, BEGAN).at_ms / 1000 < hour + HOUR
            ids.append(hit["id"])
        for report in shop.reports(story, hour):
            assert parse_decided(report, SETTINGS, BEGAN).pk == (shop.BUTTON, report["option"])
            ids.append(report["id"])
    assert len(set(ids)) == len(ids)
    mistakes = [hit for hour in hours(story, 2) for hit in shop.mistakes(story, hour)]
    assert len(mistakes) > 100
    for hit in mistakes:
        with pytest.raises(HitError, match="metrics.revenue: expected a finite number"):
            parse_hit(hit, SETTINGS, BEGAN)


def test_an_hour_in_sums_and_the_same_hour_visit_by_visit_are_of_one_shop() -> None:
    story = shop.story(5, BEGAN)
    totals: dict[str, Counter[str]] = {"sums": Counter(), "visits": Counter()}
    for hour in hours(story, 3):
        totals["sums"].update(all_metrics(shop.sums(story, hour)))
        totals["visits"].update(all_metrics(shop.visits(story, hour)))
    for name in ("hits", "visits", "carts", "orders", "revenue", "ad_cost"):
        assert totals["sums"][name] == pytest.approx(totals["visits"][name], rel=0.1)
    assert 0.03 < totals["visits"]["orders"] / totals["visits"]["visits"] < 0.05


def all_metrics(hits: list[Hit]) -> Any:
    found: Counter[str] = Counter()
    for hit in hits:
        found.update(hit["metrics"])
    return found


def test_days_have_a_rhythm() -> None:
    story = shop.story(5, BEGAN)
    day = BEGAN // DAY * DAY - 2 * DAY
    each = [shop.expected_visits(story, day + hour * HOUR) for hour in range(24)]
    assert 14 <= each.index(max(each)) <= 20
    assert 2 <= each.index(min(each)) <= 6
    assert max(each) > 3 * min(each)
    saturday, tuesday = day + 4 * DAY, day
    assert shop.expected_visits(story, saturday) > 1.1 * shop.expected_visits(story, tuesday)
    assert shop.expected_visits(story, story.sale) > 1.4 * shop.expected_visits(story, story.sale - 7 * DAY)


def test_notes_tell_of_releases_and_not_of_what_broke() -> None:
    for seed in range(50):
        story = shop.story(seed, BEGAN)
        notes = shop.notes(story)
        assert len({note.at for note in notes}) == len(notes) >= 6
        assert any(0 < story.broke - note.at < HOUR for note in notes)
        assert {note.text.split()[0] for note in notes} == {"Release", "Sale:"}
        assert BEGAN - 32 * DAY < min(note.at for note in notes) <= max(note.at for note in notes) < BEGAN


def test_the_metrics_are_first_counted_in_the_order_in_which_one_reads_them() -> None:
    story = shop.story(5, BEGAN)
    names = dict.fromkeys(name for hit in shop.sums(story, story.since) for name in hit["metrics"])
    assert list(names) == ["hits", "visits", "carts", "pageviews", "orders", "revenue", "ad_cost"]
