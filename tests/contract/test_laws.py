"""Laws that hold for any hits: however they are cut into messages, in whatever order and however often these come."""

import itertools
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.hit import parse_hit
from hail.settings import DAY, Settings
from tests.contract.hits import NOW, everything, in_columns, message, publisher_of
from tests.laws import law
from whale.count.apply import Applier
from whale.count.denormalize import expand
from whale.period import next_start, starts
from whale.store.base import Store

ACCOUNTS = itertools.count()
anything = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
names = st.sampled_from(["a", "b", "_", "{1}", "a:b"]) | anything
trees = st.recursive(
    st.none() | names, lambda below: st.dictionaries(names, below, min_size=1, max_size=3), max_leaves=5
)
hits = st.lists(
    st.fixed_dictionaries(
        {
            "pk": st.lists(st.sampled_from(["a", "b", "é"]), min_size=1, max_size=3),
            "dimensions": trees,
            "metrics": st.dictionaries(
                names, st.integers(-(9 * 10**9), 9 * 10**9) | st.floats(-9e9, 9e9), max_size=3
            ).map(lambda metrics: {name: number for name, number in metrics.items() if name != "hits"}),
            "at": st.integers(int(NOW) - 3 * DAY, int(NOW)),
        }
    ),
    max_size=10,
)


def expected_of(some: list[dict[str, Any]], settings: Settings) -> Counter[Any]:
    sums: Counter[Any] = Counter()
    for given_hit in some:
        hit = parse_hit(given_hit, settings, NOW)
        for interval, kept in settings.periods:
            for pk, path, _, start, metric, amount in expand(
                hit.pk, hit.dimensions, hit.metrics, hit.at_ms, [interval], "UTC"
            ):
                if kept is None or next_start(interval, start, "UTC") > NOW - kept:
                    sums[pk, path, interval, start, metric] += amount
    return Counter({key: value for key, value in sums.items() if value})


@law(40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(some=hits, data=st.data())
def test_any_split_any_order_and_any_redelivery_give_the_same_cells(
    settings: Settings, store: Store, unique: str, some: list[dict[str, Any]], data: st.DataObject
) -> None:
    account = f"{unique}-{next(ACCOUNTS)}"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(some)), max_size=3)))
    parts = [some[i:j] for i, j in zip([0, *cuts], [*cuts, len(some)], strict=True)]
    messages = [
        message(part, settings, account, seq, publisher=publisher_of(account)) for seq, part in enumerate(parts)
    ]
    messages = [each if data.draw(st.booleans()) else in_columns([each])[0] for each in messages]
    deliveries = data.draw(st.permutations(messages * data.draw(st.integers(1, 2))))
    groups = []
    while deliveries:
        together = data.draw(st.integers(1, len(deliveries)))
        groups.append(deliveries[:together])
        deliveries = deliveries[together:]
    Applier(store, settings).apply_each(groups, NOW)
    found = everything(store, account, settings, NOW - 4 * DAY)
    assert found == expected_of(some, settings)
    for (pk, path, interval, start, metric), value in found.items():
        if interval == DAY and start > NOW - DAY:  # the minutes of this day are all kept
            buckets = list(starts(60, start, int(NOW) + 60, "UTC"))
            minutes = store.read(account, pk, [path], [metric], 60, buckets)
            assert sum(minutes[0, 0].tolist()) == value
