"""What every store promises, on each of them, through the applier that workers use."""

import json
import random
from functools import partial
from typing import Any

import pytest

from hail.hit import MILLION, encode_hit, parse_hit
from hail.message import Message, decode_message, encode_message
from hail.settings import DAY, HOUR, MONTH, Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, PUBLISHER, everything, message, sums
from tests.wsgi import call
from whale.client import Whale
from whale.commands.audit import sentences
from whale.count.apply import Applier
from whale.health.audit import Found, close
from whale.period import day_start
from whale.store.base import Store
from whale.store.contract.names import OTHER
from whale.store.contract.rollups import Overflowed
from whale.store.contract.tallies import PublisherAudit
from whale.web import make_app


def test_a_hit_counts_in_each_prefix_of_its_pk_and_each_path(settings: Settings, store: Store, unique: str) -> None:
    hit = {
        "pk": ["Product", "123"],
        "dimensions": {"country": "US", "device": {"os": "mac"}},
        "metrics": {"revenue": 10, "sales": 1},
    }
    Applier(store, settings).apply([message([hit], settings, unique)], NOW)
    paths = [(), ("country",), ("country", "US"), ("device",), ("device", "os"), ("device", "os", "mac")]
    for pk in (("Product",), ("Product", "123")):
        assert sums(store, unique, pk, paths, "revenue") == [10 * MILLION] * 6
        assert sums(store, unique, pk, paths, "hits") == [1] * 6
        assert store.metrics(unique, pk) == ["hits", "revenue", "sales"]
    assert store.pks(unique) == ["Product"]
    assert store.pks(unique, ("Product",)) == ["123"]
    assert sums(store, unique, ("Product",), [(None, "123"), (None, "124")], "revenue") == [10 * MILLION, 0]
    assert store.children(unique, ("Product",), ("device",)) == ["os"]


def test_a_hit_counts_in_every_interval_that_keeps_its_time(settings: Settings, store: Store, unique: str) -> None:
    hits = [{"pk": "t", "at": NOW - age} for age in (0, 2 * DAY, 20 * DAY, 400 * DAY)]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    for interval, kept in ((60, 1), (900, 2), (HOUR, 3), (DAY, 4), (MONTH, 4)):
        cells = everything(store, unique, settings, NOW - 410 * DAY)
        assert sum(value for key, value in cells.items() if key[2] == interval) == kept


def test_a_message_that_comes_again_counts_once(settings: Settings, store: Store, unique: str) -> None:
    one, two = (message([{"pk": "t"}] * 3, settings, unique, seq) for seq in (0, 1))
    applier = Applier(store, settings)
    applier.apply([one], NOW)
    applier.apply([one, two], NOW)
    applier.apply([two, one, two], NOW)
    Applier(open_store(settings) if settings.redis_url else store, settings).apply([one], NOW)
    assert sums(store, unique, ("t",), [()]) == [6]
    assert store.audit(unique) == [PublisherAudit(PUBLISHER, 2, 6, 1, 3, {})]


def test_an_id_counts_once_whoever_brings_it(settings: Settings, store: Store, unique: str) -> None:
    first = message([{"pk": "t", "id": "a"}, {"pk": "t", "id": "a"}, {"pk": "t", "id": "b"}], settings, unique, 0)
    second = message([{"pk": "other", "id": "a"}, {"pk": "t", "id": "c"}], settings, unique, 1)
    applier = Applier(store, settings)
    applier.apply([first], NOW)
    applier.apply([second, first], NOW)
    assert sums(store, unique, ("t",), [()]) == [3]
    assert store.pks(unique) == ["t"]
    assert store.audit(unique)[0].dropped == {"duplicate": 2}
    later = NOW + settings.dedupe_window_s + settings.spool_max_age_s
    assert store.claim(unique, [("a", ("ff" * 8, 0))], NOW + settings.dedupe_window_s) == {0}
    assert store.claim(unique, [("a", ("ff" * 8, 0))], later + settings.dedupe_window_s) == set()


def test_an_order_counts_once_in_a_month(settings: Settings, store: Store, unique: str) -> None:
    """Its page may be opened again weeks later."""
    ids = ["b:shop:order-1", "b:a:b:refund-1", "b:shop:1", "order-1", "b:shop:orders"]
    first, again = ([(each, (word * 8, 0)) for each in ids] for word in ("ee", "ff"))
    assert store.claim(unique, first, NOW) == set()
    assert store.claim(unique, again, NOW + DAY) == {0, 1, 2, 3, 4}
    assert store.claim(unique, again, NOW + 30.9 * DAY) == {0, 1}
    later = NOW + 31 * DAY + 2 * settings.spool_max_age_s
    assert store.claim(unique, again, later + 31 * DAY) == set()


def test_a_message_finds_the_ids_it_claimed_before_it_died(settings: Settings, store: Store, unique: str) -> None:
    name = (PUBLISHER, 7)
    assert store.claim(unique, [("a", name)], NOW) == set()
    assert store.claim(unique, [("a", name), ("a", (PUBLISHER, 8))], NOW) == {1}


def test_ids_of_several_accounts_are_claimed_together(store: Store, unique: str) -> None:
    one, other, third = f"{unique}-1", f"{unique}-2", f"{unique}-3"
    mine = [(f"id{number}", (PUBLISHER, 1)) for number in range(20)]
    assert store.claim_each({one: mine, other: mine[:3]}, NOW) == {one: set(), other: set()}
    theirs = [(hit_id, (PUBLISHER, 2)) for hit_id, _ in mine[:5]]
    assert store.claim_each({other: theirs, third: [], one: [*theirs, *mine]}, NOW) == {
        one: {0, 1, 2, 3, 4},
        other: {0, 1, 2},
        third: set(),
    }
    assert store.claim_each({}, NOW) == {}


NAMES = ("__other__", "_", "a:b", "{17}", "|", "/", '"', "[1]", "\0", "💥", "m:hits", "0:x", " ", "ß" * 100, "p")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_data(settings: Settings, store: Store, unique: str, name: str) -> None:
    hit = {"pk": [name, name], "dimensions": {name: {name: name}}, "metrics": {name: 2}}
    Applier(store, settings).apply([message([hit], settings, unique)], NOW)
    assert store.pks(unique) == store.pks(unique, (name,)) == [name]
    assert store.metrics(unique, (name,)) == ["hits", name]
    for path in ((), (name,), (name, name)):
        assert store.children(unique, (name, name), path) == [name]
    paths = [(), (name,), (name, name), (name, name, name)]
    assert sums(store, unique, (name, name), paths, name) == [2 * MILLION] * 4


def test_what_is_beyond_a_cap_counts_in_other_and_sums_close(settings: Settings, unique: str) -> None:
    settings = settings.replace(max_children=4, max_nodes=9, max_metrics=3, max_pks=6)
    store = open_store(settings)
    hits: list[dict[str, Any]] = [
        {
            "pk": [f"p{i % 5}", f"q{i % 7}"],
            "dimensions": {"c": {f"c{i % 11}": f"d{i % 3}"}},
            "metrics": {f"m{i % 6}": i},
        }
        for i in range(200)
    ]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    tops = store.pks(unique)
    assert tops == ["p0", "p1", "p2", OTHER]
    assert sum(sum(sums(store, unique, (top,), [()])) for top in tops) == 200
    assert store.metrics(unique, (tops[0],))[-1] == OTHER
    for top in tops:
        children = [("c", name) for name in store.children(unique, (top,), ("c",))]
        below = [(None, name) for name in store.pks(unique, (top,))]
        for metric in store.metrics(unique, (top,)):
            whole, at_c = sums(store, unique, (top,), [(), ("c",)], metric)
            assert whole == at_c == sum(sums(store, unique, (top,), children, metric))
            assert not below or whole == sum(sums(store, unique, (top,), below, metric))


def test_cells_survive_every_form_they_are_kept_in(settings: Settings, store: Store, unique: str) -> None:
    rng = random.Random(5)
    applier, expected = Applier(store, settings), dict[Any, int]()
    for seq, size in enumerate((1, 3, 40, 400, 1500, 1500)):
        hits = []
        for _ in range(size):
            page, worth, at = f"/{int(rng.paretovariate(0.4)) % 3000}", rng.randrange(-5, 90), NOW - rng.randrange(4000)
            hits.append({"pk": "s", "dimensions": {"page": page}, "metrics": {"worth": worth}, "at": at})
            key = ("page", page), int(at) // 60 * 60
            expected[key] = expected.get(key, 0) + worth * MILLION
        applier.apply([message(hits, settings, unique, seq)], NOW)
    paths = sorted({path for path, _ in expected})
    buckets = sorted({start for _, start in expected})
    for some in (paths, paths[:3]):
        cells = store.read(unique, ("s",), some, ["worth", "never"], 60, buckets)
        for i, path in enumerate(some):
            assert cells[i, 0].tolist() == [expected.get((path, start), 0) for start in buckets]
        assert not cells[:, 1].any()


def test_an_answer_names_the_cells_that_lack_an_amount(settings: Settings, store: Store, unique: str) -> None:
    """The parent keeps 9.0e12, its children add up to 1.35e13."""
    applier = Applier(store, settings)
    hits = [{"pk": ["shop", "eu"], "dimensions": {"c": c}, "metrics": {"m": 9e9, "n": 1}} for c in ("a", "b", "c")]
    for seq in range(10):
        applier.apply([message(hits * 50, settings, unique, seq, (seq + 1) * 150)], NOW)
    several = sums(store, unique, ("shop", "eu"), [(), ("c", "a"), ("c", "b")], "m")
    assert several == [8_100_000_000_000 * MILLION, *[4_500_000_000_000 * MILLION] * 2]
    applier.apply([message(hits * 50, settings, unique, 9, 1500)], NOW)  # it came again
    reader = open_store(settings) if settings.redis_url else store
    whale = Whale(reader, settings, unique, clock=lambda: NOW)
    app = make_app(settings, whale)
    day = day_start(int(NOW), "UTC")
    for pk in ("shop", ["shop", "eu"]):
        noted = reader.notes(unique, ("shop",) if pk == "shop" else ("shop", "eu")).overflowed
        assert noted
        assert {(cell.metric, cell.interval) for cell in noted} == {
            ("m", 60),
            ("m", 900),
            ("m", HOUR),
            ("m", DAY),
            ("m", MONTH),
        }
        assert {cell.path for cell in noted} == {(), ("c",), *([(None, "eu")] if pk == "shop" else [])}
        assert Overflowed((), "m", DAY, day) in noted

        said = partial(overflow_said, app, pk=pk if isinstance(pk, str) else json.dumps(pk))
        root = f"m;path=_;interval=1d;at={day * 1000}"
        both = f"{root}, m;path=c;interval=1d;at={day * 1000}"
        assert said("/totals", metrics="m") == root
        assert said("/total", metric="m/hits") == root
        assert said("/plotpoints", metrics='["n","m"]') == root
        assert said("/plotpoints", metrics="m", depth="1") in (both, ", ".join(reversed(both.split(", "))))
        assert said("/totals", metrics="n") is None
        assert said("/totals", metrics="m", dimensions='["c", "a"]') is None
        assert said("/totals", metrics="m", period="2026-01-01..2026-02-01") is None
        assert said("/rank", by="m", dimension="c") == f"m;path=c;interval=1d;at={day * 1000}"
        assert said("/factors", metric="m") is not None
    plot = whale.plotpoints("shop", metrics="m", period="1d:1d")
    assert plot.overflowed == [Overflowed((), "m", DAY, day)]
    done = close(store, unique, Found())
    assert not done.closes
    assert done.whole.missing == 0
    assert any("X-Whale-Overflow names them in answers" in sentence for sentence in sentences(done))
    store.see_faults(unique)
    assert close(store, unique, Found()).closes
    store.reset(unique, ("shop",), None, NOW)
    assert not reader.notes(unique, ("shop",)).overflowed


def overflow_said(app: Any, path: str, **asked: str) -> str | None:
    answer = call(app, "GET", path, {"period": "1d:1d", **asked})
    assert answer.status == 200, answer.text
    return answer.headers.get("X-Whale-Overflow")


def test_overflows_of_every_form_of_a_block_are_noted(settings: Settings, unique: str) -> None:
    """A packed hash, a hash of one bucket, a dense string; and too many to name them."""
    in_force = settings.replace(periods=((DAY, None),))
    store = open_store(in_force)
    applier, most = Applier(store, in_force), 9_000_000_000
    for seq, names in enumerate((range(3), range(300), range(1500))):
        account = f"{unique}-{seq}"
        hits = [{"pk": "p", "dimensions": {"d": str(i)}, "metrics": {"hits": most, "m": 1}} for i in names]
        for again in range(2):
            applier.apply([message(hits, in_force, account, again)], NOW)
        applier.apply([with_amount(message(hits[-2:], in_force, account, 5), "hits", 2**63 - 1)], NOW)
        noted = store.notes(account, ("p",)).overflowed
        last = [("d", str(i)) for i in names[-2:]]
        assert noted is not None
        assert {cell.path for cell in noted} == {(), ("d",), *last}
        assert {(cell.metric, cell.start) for cell in noted} == {("hits", day_start(int(NOW), "UTC"))}
        assert sums(store, account, ("p",), last) == [2 * most] * 2
    if settings.redis_url:
        applier.apply([with_amount(message(hits, in_force, account, 6), "hits", 2**63 - 1)], NOW)
        assert store.notes(account, ("p",)).overflowed is None
        app = make_app(in_force, Whale(store, in_force, account, clock=lambda: NOW))
        assert call(app, "GET", "/totals", {"pk": "p", "period": "1d:1d"}).headers["X-Whale-Overflow"] == "*"


def with_amount(message: Message, metric: str, amount: int) -> Message:
    """As no Hail makes it: with larger numbers than hits may have."""
    for hit in message.hits:
        hit.metrics[metric] = amount
    return message


def test_large_amounts_are_exact_and_an_overflow_is_counted(settings: Settings, store: Store, unique: str) -> None:
    applier = Applier(store, settings)
    huge = message([{"pk": "t", "metrics": {"m": 9e9}}, {"pk": "t", "metrics": {"m": 0.000001}}], settings, unique, 0)
    applier.apply([huge], NOW)
    assert sums(store, unique, ("t",), [()], "m") == [9_000_000_000_000_001]
    many = [{"pk": "t", "metrics": {"m": 9e9, "n": 1}}] * 1025
    applier.apply([message(many, settings, unique, 1)], NOW)
    assert sums(store, unique, ("t",), [()], "m") == [9_000_000_000_000_001]
    assert sums(store, unique, ("t",), [()], "n") == [1025 * MILLION]
    assert sums(store, unique, ("t",), [()]) == [1027]
    assert store.faults(unique) == {"overflow": 5}


def test_what_was_never_counted_reads_zero_and_has_no_names(store: Store, unique: str) -> None:
    assert sums(store, unique, ("nobody",), [(), ("a",)]) == [0, 0]
    assert store.pks(unique) == store.children(unique, ("nobody",), ()) == store.metrics(unique, ("nobody",)) == []
    assert store.audit(unique) == []


def test_accounts_do_not_see_each_other(settings: Settings, store: Store, unique: str) -> None:
    applier = Applier(store, settings)
    applier.apply(
        [
            message([{"pk": "t", "id": "a"}], settings, unique),
            message([{"pk": "t", "id": "a"}], settings, f"{unique}b"),
        ],
        NOW,
    )
    assert sums(store, unique, ("t",), [()]) == sums(store, f"{unique}b", ("t",), [()]) == [1]


def test_unreadable_hits_are_dropped_by_themselves(settings: Settings, store: Store, unique: str) -> None:
    wire = [
        b'[["t"],{},{"hits":1},0]',
        b'["t",{},{"hits":1},0]',
        b'[["t"],{"a":5},{"hits":1},0]',
        b'[[],{},{"hits":1},0]',
    ]
    Applier(store, settings).apply([decode_message(encode_message(PUBLISHER, 0, unique, 4, 0, wire))], NOW)
    assert store.audit(unique) == [PublisherAudit(PUBLISHER, 1, 4, 0, 4, {"undecodable_hit": 3})]
    assert store.pks(unique) == ["t"]


def test_days_are_those_of_the_accounts_zone(settings: Settings, unique: str) -> None:
    settings = settings.replace(timezone="Asia/Kolkata")
    store = open_store(settings)
    at = 1_790_015_400  # 2026-09-21T18:30Z, midnight in Kolkata
    hits = [{"pk": "t", "at": at - 1}, {"pk": "t", "at": at}, {"pk": "t", "at": at + DAY - 1}]
    now = NOW + 2 * DAY
    wire = [encode_hit(parse_hit(hit, settings, now)) for hit in hits]
    Applier(store, settings).apply([decode_message(encode_message(PUBLISHER, 0, unique, 3, 0, wire))], now)
    assert store.zone(unique) == "Asia/Kolkata"
    assert store.read(unique, ("t",), [()], ["hits"], DAY, [at - DAY, at])[0, 0].tolist() == [1, 2]


def test_a_large_apply_is_done_in_parts(settings: Settings, store: Store, unique: str) -> None:
    hits = [[{"pk": "t", "dimensions": {"page": f"p{n}-{i}"}} for i in range(20)] for n in range(5)]
    messages = [message(part, settings, unique, seq, 20 * seq + 20) for seq, part in enumerate(hits)]
    small = settings.replace(apply_max_cells=30)
    Applier(store, small).apply(messages, NOW)
    Applier(store, small).apply(messages, NOW)
    assert sums(store, unique, ("t",), [(), ("page",), ("page", "p4-19")]) == [100, 100, 1]
    assert store.audit(unique) == [PublisherAudit(PUBLISHER, 5, 100, 4, 100, {})]


def test_a_store_says_the_version_of_its_server(settings: Settings, store: Store) -> None:
    version = store.version()
    assert bool(version) == bool(settings.redis_url)
    assert store.evicted() == 0
    assert [part.isdecimal() for part in version.split(".")[:2]] == ([True, True] if version else [False])
