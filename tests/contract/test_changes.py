"""Setting and resetting, on every store, beside hits that go on."""

import itertools
import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hail.hit import MILLION, HitError, encode_hit, parse_hit
from hail.message import Message, decode_message, encode_message
from hail.settings import DAY, HOUR, MONTH, Settings
from tests.contract.conftest import open_store
from tests.contract.hits import NOW, PUBLISHER, everything, message, sums
from tests.laws import law
from tests.wsgi import call
from whale.client import Whale
from whale.count.apply import Applier
from whale.dimension import Path, Pk
from whale.errors import CallerError, PeriodError
from whale.metric import bins_of
from whale.period import bucket_start, interval_name, next_start
from whale.store.base import Store
from whale.store.contract.changes import Change
from whale.store.contract.names import OTHER
from whale.store.redis import RedisStore
from whale.web import make_app

ACCOUNTS = itertools.count()
COUNTRY: list[Path] = [(), ("country",), ("country", "US"), ("country", "DE")]


def message_at(at: float, hits: list[dict[str, Any]], settings: Settings, account: str, seq: int) -> Message:
    """As Hail would make it when it accepts hits at a time."""
    wire = [encode_hit(parse_hit(hit, settings, at)) for hit in hits]
    return decode_message(encode_message(PUBLISHER, seq, account, (seq + 1) * len(wire), int(at * 1000), wire))


def change(id: str, path: Path, amount: int, pk: Pk = ("t",), metric: str = "revenue", interval: Any = DAY) -> Change:
    start = bucket_start(interval, NOW, "UTC")
    order = [60, 900, HOUR, DAY, MONTH]
    wider = {each: bucket_start(each, NOW, "UTC") for each in order[order.index(interval) + 1 :]}
    return Change(id, pk, path, interval, start, next_start(interval, start, "UTC"), {metric: amount}, wider)


def sold(country: str, revenue: float, pk: Any = "t") -> dict[str, Any]:
    return {"pk": pk, "dimensions": {"country": country}, "metrics": {"revenue": revenue}}


def drain(store: Store, account: str) -> None:
    while store.sweep(account, NOW):
        pass


# Setting


def test_a_set_path_has_its_value_and_what_is_above_still_adds_up(
    settings: Settings, store: Store, unique: str
) -> None:
    Applier(store, settings).apply([message([sold("US", 60), sold("DE", 40)], settings, unique)], NOW)
    assert store.set(unique, change("a", ("country", "US"), 100 * MILLION), NOW) == {"revenue": 40 * MILLION}
    for interval in (DAY, MONTH):
        assert sums(store, unique, ("t",), COUNTRY, "revenue", interval) == [
            140 * MILLION,
            140 * MILLION,
            100 * MILLION,
            40 * MILLION,
        ]
    assert sums(store, unique, ("t",), COUNTRY, "revenue", HOUR) == [
        100 * MILLION,
        100 * MILLION,
        60 * MILLION,
        40 * MILLION,
    ]
    assert sums(store, unique, ("t",), COUNTRY) == [2, 2, 1, 1]
    day, now = int(NOW // DAY * DAY), int(NOW)
    asked = [(HOUR, day, now), (60, day - 60, day), (60, day, day + 60), (DAY, day, day + DAY), (MONTH, 0, now)]
    assert store.adjusted(unique, ("t",), asked) == [True, False, True, False, False]
    assert store.adjusted(unique, ("nobody",), asked) == [False] * 5


def test_what_a_read_gave_stays_as_it_was(settings: Settings, store: Store, unique: str) -> None:
    """It is looked at while other threads set."""

    def change(id: str, hour: int) -> Change:
        start = int(NOW) // HOUR * HOUR - hour * HOUR
        return Change(id, ("t",), (), HOUR, start, start + HOUR, {"m": 1})

    store.set(unique, change("one", 1), NOW)
    marks = store.read_several(unique, ("t",), [()], ["m"], [(HOUR, [int(NOW) // HOUR * HOUR])]).notes.adjustments
    before = set(marks)
    store.set(unique, change("two", 2), NOW)
    assert set(marks) == before
    assert len(before) == 1


def test_the_same_operation_changes_nothing_and_answers_as_before(
    settings: Settings, store: Store, unique: str
) -> None:
    applier = Applier(store, settings)
    assert store.set(unique, change("a", (), 5), NOW) == {"revenue": 5}
    applier.apply([message([{"pk": "t", "metrics": {"revenue": 0.000002}}], settings, unique)], NOW)
    assert store.set(unique, change("a", (), 5), NOW) == {"revenue": 5}
    assert sums(store, unique, ("t",), [()], "revenue") == [7]
    assert store.set(unique, change("b", (), 5), NOW) == {"revenue": -2}
    with pytest.raises(CallerError, match="id: belongs to another operation: send a new id"):
        store.set(unique, change("b", (), 6), NOW)
    assert sums(store, unique, ("t",), [()], "revenue") == [5]


def test_a_set_child_pk_adds_its_difference_to_the_pks_above(settings: Settings, store: Store, unique: str) -> None:
    hits = [sold("US", 1, ["Product", name, "red"]) for name in ("1", "2")]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    pk = ("Product", "1", "red")
    store.set(unique, change("a", ("country", "US"), 10 * MILLION, pk), NOW)
    store.set(unique, change("a", ("country", "US"), 10 * MILLION, pk), NOW)
    assert sums(store, unique, pk, COUNTRY[:3], "revenue") == [10 * MILLION] * 3
    assert sums(store, unique, ("Product", "1"), [*COUNTRY[:3], (None, "red")], "revenue") == [10 * MILLION] * 4
    paths: list[Path] = [*COUNTRY[:3], (None, "1"), (None, "2")]
    assert sums(store, unique, ("Product",), paths, "revenue") == [11 * MILLION] * 3 + [10 * MILLION, MILLION]
    assert store.adjusted(unique, ("Product",), [(HOUR, 0, int(NOW))]) == [True]


@pytest.mark.parametrize("cells", [1, 40, 900], ids=["one hash", "split", "dense"])
def test_large_and_negative_values_are_set_exactly_in_every_form(
    settings: Settings, store: Store, unique: str, cells: int
) -> None:
    hits = [
        {"pk": "t", "dimensions": {"page": f"p{i}"}, "metrics": {"m": -9e9}, "at": NOW - (i * 61) % 3600}
        for i in range(cells)
        for _ in range(2)
    ]
    applier = Applier(store, settings)
    for seq in range(2):
        applier.apply([message(hits, settings, unique, seq)], NOW)
    path = ("page", f"p{cells - 1}")
    for value in (9_007_199_254_740_993, -9_007_199_254_740_993, 0, 1):
        for interval in (900, DAY, MONTH):
            before = sums(store, unique, ("t",), [path], "m", interval)[0]
            asked = change(f"{interval} {value}", path, value, metric="m", interval=interval)
            assert store.set(unique, asked, NOW) == {"m": value - before}
            assert sums(store, unique, ("t",), [path], "m", interval) == [value]


def test_what_counts_in_other_cannot_be_set(settings: Settings, unique: str) -> None:
    settings = settings.replace(max_children=1, max_metrics=2, max_pks=1)
    store = open_store(settings)
    hits = [sold("US", 1), sold("DE", 1), {"pk": "u", "metrics": {"m": 1}}]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    for asked, field in (
        (change("a", ("country", "DE"), 1), "dimensions"),
        (change("a", (), 1, metric="m"), "metrics.m"),
        (change("a", (), 1, ("u",)), "pk"),
    ):
        with pytest.raises(CallerError) as raised:
            store.set(unique, asked, NOW)
        assert raised.value.field == field


names = st.sampled_from(["a", "b", "_", "{1}", "a:b", "💥", "\0", "p"])
hits = st.tuples(st.lists(names, min_size=1, max_size=2), st.lists(names, max_size=2), st.integers(-5, 5))


@law(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.booleans(), hits), max_size=8))
def test_after_any_hits_and_sets_days_add_up_to_the_month_and_children_to_their_parent(
    settings: Settings, store: Store, unique: str, steps: list[Any]
) -> None:
    account = f"{unique}-{next(ACCOUNTS)}"
    applier = Applier(store, settings)
    for seq, (is_set, (pk, path, amount)) in enumerate(steps):
        if is_set:
            store.set(account, change(str(seq), tuple(path), amount * MILLION, tuple(pk)), NOW)
            assert sums(store, account, tuple(pk), [tuple(path)], "revenue") == [amount * MILLION]
        else:
            hit = {"pk": pk, "dimensions": path, "metrics": {"revenue": amount}}
            applier.apply([message([hit], settings, account, seq)], NOW)
    cells = everything(store, account, settings, NOW - DAY)
    days = {(pk, path, metric): value for (pk, path, interval, _, metric), value in cells.items() if interval == DAY}
    months = {
        (pk, path, metric): value for (pk, path, interval, _, metric), value in cells.items() if interval == MONTH
    }
    assert days == months
    for pk in {pk for pk, _, _ in days if len(pk) == 2}:
        assert days.get((pk, (), "revenue"), 0) == days.get((pk[:1], (None, pk[1]), "revenue"), 0)


# Resetting


def test_a_reset_pk_is_gone_at_once_with_all_below_it(settings: Settings, store: Store, unique: str) -> None:
    hits = [sold("US", 1, pk) for pk in (["Product", "1", "red"], ["Product", "2"], ["Other", "1"])]
    applier = Applier(store, settings)
    applier.apply([message(hits, settings, unique, 0)], NOW)
    store.set(unique, change("a", (), 5, ("Product",)), NOW)
    store.reset(unique, ("Product",), None, NOW + 1)
    for pk in (("Product",), ("Product", "1"), ("Product", "1", "red"), ("Product", "2")):
        assert sums(store, unique, pk, [*COUNTRY, (None, "1")], "revenue") == [0] * 5
        assert store.children(unique, pk, ()) == store.metrics(unique, pk) == store.pks(unique, pk) == []
    assert store.adjusted(unique, ("Product",), [(HOUR, 0, int(NOW))]) == [False]
    assert store.pks(unique) == ["Other"]
    assert sums(store, unique, ("Other",), COUNTRY[:3]) == [1, 1, 1]
    applier.apply([message_at(NOW + 1, hits[:1], settings, unique, 1)], NOW + 2)
    drain(store, unique)
    assert sums(store, unique, ("Product",), [(), (None, "1"), (None, "2")]) == [1, 1, 0]
    assert sums(store, unique, ("Product", "1", "red"), COUNTRY[:3]) == [1, 1, 1]
    assert store.pks(unique) == ["Other", "Product"]
    assert store.pks(unique, ("Product",)) == ["1"]
    assert sums(store, unique, ("Other",), COUNTRY[:3]) == [1, 1, 1]


def test_hits_accepted_before_a_reset_are_dropped_and_counted_as_reset(
    settings: Settings, store: Store, unique: str
) -> None:
    hits = [sold("US", 1, ["Product", "1"]), sold("US", 1, "Other")]
    waiting, later = (message_at(at, hits, settings, unique, seq) for seq, at in enumerate((NOW, NOW + 5)))
    store.reset(unique, ("Product",), None, NOW + 5)
    applier = Applier(open_store(settings) if settings.redis_url else store, settings)
    applier.apply([waiting, later], NOW + 6)
    applier.apply([waiting], NOW + 6)
    assert sums(store, unique, ("Product",), [(), (None, "1")]) == [1, 1]
    assert sums(store, unique, ("Product", "1"), COUNTRY[:3]) == [1, 1, 1]
    assert sums(store, unique, ("Other",), [()]) == [2]
    audit = store.audit(unique)[0]
    assert (audit.hits, audit.total, audit.dropped) == (4, 4, {"reset": 1})
    applier.witness.tell()
    outcomes = [json.loads(trace)["outcome"] for trace in store.spied(unique)]
    assert set(outcomes) == {"counted", "reset"}


def test_what_is_above_a_reset_pk_or_path_keeps_its_sums_whenever_hits_are_counted(
    settings: Settings, store: Store, unique: str
) -> None:
    hits = [sold("US", 1, ["Product", "1"]), sold("DE", 1, ["Product", "2"])]
    applier = Applier(store, settings)
    counted, waiting = (message_at(NOW, hits, settings, unique, seq) for seq in range(2))
    applier.apply([counted], NOW)
    store.reset(unique, ("Product", "1"), None, NOW + 1)
    store.reset(unique, ("Product",), ("country", "US"), NOW + 1)
    store.reset(unique, ("Product",), ("nowhere",), NOW + 1)
    assert store.children(unique, ("Product",), ("country",)) == ["DE"]
    assert store.pks(unique, ("Product",)) == ["2"]
    for count, done in ((1, None), (2, waiting)):
        if done:
            applier.apply([done], NOW + 2)
        assert sums(store, unique, ("Product",), COUNTRY) == [2 * count, 2 * count, 0, count]
        assert sums(store, unique, ("Product",), [(None, "1"), (None, "2")]) == [0, count]
        assert sums(store, unique, ("Product", "1"), COUNTRY) == [0] * 4
        assert sums(store, unique, ("Product", "2"), COUNTRY) == [count, count, 0, count]
        drain(store, unique)
    assert store.audit(unique)[0].dropped == {}
    applier.apply([message_at(NOW + 3, hits, settings, unique, 2)], NOW + 3)
    assert sums(store, unique, ("Product",), COUNTRY) == [6, 6, 1, 3]
    assert sums(store, unique, ("Product", "1"), COUNTRY) == [1, 1, 1, 0]
    assert store.pks(unique, ("Product",)) == ["2", "1"]


def test_a_reset_gives_the_caps_room_again(settings: Settings, unique: str) -> None:
    settings = settings.replace(max_children=3, max_nodes=10, max_pks=3)
    store = open_store(settings)
    applier = Applier(store, settings)

    def seen(prefix: str, seq: int, count: int = 3) -> None:
        some = [{"pk": "t", "dimensions": {"c": {f"{prefix}{i}": "x"}}} for i in range(count)]
        applier.apply([message_at(NOW + seq, some, settings, unique, seq)], NOW + seq)

    seen("a", 0)
    store.reset(unique, ("t",), ("c",), NOW + 0.5)
    drain(store, unique)
    seen("b", 1)
    assert store.children(unique, ("t",), ("c",)) == ["b0", "b1", "b2"]
    for i in range(3):
        store.reset(unique, ("t",), ("c", f"b{i}"), NOW + 1.5)
    drain(store, unique)
    seen("c", 2, 4)
    assert store.children(unique, ("t",), ("c",)) == ["c0", "c1", "c2", OTHER]
    pks = [{"pk": name} for name in ("u", "v", "w")]
    applier.apply([message_at(NOW + 3, pks, settings, unique, 3)], NOW + 3)
    assert store.pks(unique) == ["t", "u", "v", OTHER]
    store.reset(unique, ("u",), None, NOW + 4)
    drain(store, unique)
    applier.apply([message_at(NOW + 70, [{"pk": "x"}], settings, unique, 4)], NOW + 70)
    assert sorted(store.pks(unique)) == sorted(["t", "v", OTHER, "x"])


NAMES = ("__other__", "_", "a:b", "{17}", "|", "/", '"', "[1]", "\0", "💥", "m:hits", "0:x", "r0", " ", "ß" * 100, "p")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_data_for_set_and_reset(settings: Settings, store: Store, unique: str, name: str) -> None:
    hit = {"pk": [name, name], "dimensions": {name: {name: "below"}}, "metrics": {name: 2}}
    Applier(store, settings).apply([message([hit], settings, unique)], NOW)
    pk, path = (name, name), (name, name)
    store.set(unique, change(name, path, 7, pk, name), NOW)
    assert sums(store, unique, pk, [(), (name,), path], name) == [7] * 3
    store.reset(unique, pk, path, NOW)
    assert sums(store, unique, pk, [(), (name,), path, (*path, "below")], name) == [7, 7, 0, 0]
    store.reset(unique, (name,), None, NOW)
    drain(store, unique)
    assert store.pks(unique) == []


@law(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_resets_leave_the_same_whenever_the_hits_before_them_are_counted(
    settings: Settings, store: Store, unique: str, data: st.DataObject
) -> None:
    """Below the caps. What came before a reset of all above it may leave other names listed, never other sums."""
    few = st.sampled_from(["a", "b"])
    some = data.draw(st.lists(st.tuples(st.lists(few, min_size=1, max_size=3), st.lists(few, max_size=2)), max_size=6))
    resets = data.draw(
        st.lists(
            st.tuples(st.lists(few, min_size=1, max_size=2), st.lists(few, min_size=1, max_size=2) | st.none()),
            max_size=3,
        )
    )
    found = []
    for late in (False, True):
        account = f"{unique}-{next(ACCOUNTS)}"
        applier = Applier(store, settings)
        messages = [
            message_at(NOW - 50, [{"pk": pk, "dimensions": path}], settings, account, seq)
            for seq, (pk, path) in enumerate(some)
        ]
        if not late:
            applier.apply(messages, NOW - 49)
        for pk, path in resets:
            store.reset(account, tuple(pk), None if path is None else tuple(path), NOW - 40)
        applier.apply(messages, NOW - 39)
        after = [{"pk": ["a", "b"], "dimensions": ["a", "a"]}]
        applier.apply([message_at(NOW - 30, after, settings, account, len(some))], NOW - 29)
        drain(store, account)
        found.append(everything(store, account, settings, NOW - DAY))
    assert found[0] == found[1]


def test_after_a_reset_a_metric_may_be_of_another_kind_for_a_process_that_knew_the_first(
    settings: Settings, store: Store, unique: str
) -> None:
    other = open_store(settings) if settings.redis_url else store
    here = Whale(store, settings, unique, clock=lambda: NOW)
    there = Whale(other, settings, unique, clock=lambda: NOW)
    for amount, total in ((5, 5), ({"min": 7}, 7), (8, 8), ({"last": 9}, 9)):
        here.count_now("t", metrics={"level": amount})
        assert there.total("t", "level", period="today") == total
        here.reset("t")


def test_a_pk_that_is_reset_while_its_names_are_read_has_none(settings: Settings, store: Store, unique: str) -> None:
    Applier(store, settings).apply([message([sold("US", 60)], settings, unique)], NOW)
    reader = open_store(settings) if settings.redis_url else store
    if isinstance(reader, RedisStore):
        read = reader.client.hget

        def hget(*asked: Any) -> Any:
            found = read(*asked)
            store.reset(unique, ("t",), None, NOW)
            return found

        reader.client.hget = hget
    else:
        store.reset(unique, ("t",), None, NOW)
    assert reader.children(unique, ("t",), ()) == []
    assert reader.kinds(unique, ("t",)) == {}


def test_a_reader_remembers_so_many_names_and_reads_the_others_again(
    settings: Settings, store: Store, unique: str
) -> None:
    pks = [f"t{i}" for i in range(5)]
    hits = [{"pk": pk, "dimensions": {"c": {f"{pk}-{i}": None for i in range(20)}}} for pk in pks]
    Applier(store, settings).apply([message(hits, settings, unique)], NOW)
    reader = open_store(settings.replace(names_mb=0.02)) if settings.redis_url else store
    for pk in pks * 2:
        assert reader.children(unique, (pk,), ("c",)) == store.children(unique, (pk,), ("c",))
        if isinstance(reader, RedisStore):
            assert len(reader.dictionaries._cache) in (1, 2)
            assert reader.dictionaries._cache.held <= 20_000


KINDS = {"visitors": {"unique": "a"}, "level": {"last": 5}, "q": {"quantile": 5}}


def kept(store: Store, account: str, path: Path = (), pk: Pk = ("t",)) -> tuple[int | None, int | None, int]:
    """Of today at a path: how many visitors, the last level, how many values of q."""
    today = [bucket_start(DAY, NOW, "UTC")]
    visitors = store.read_distinct(account, pk, [path], "visitors", DAY, [today])[0][0]
    level = store.read_values(account, pk, [path], "level", DAY, today)[0][0]
    bins = [(*bins_of(path, "q"), bin_) for bin_ in store.bins(account, pk, [path], "q")[0]]
    return visitors, level, int(store.read(account, pk, bins, ["hits"], DAY, today).sum())


NONE_KEPT = 0, None, 0


def test_a_reset_pk_with_metrics_of_every_kind_is_empty_at_once_and_counts_anew(
    settings: Settings, store: Store, unique: str
) -> None:
    hit = {"pk": ["t", "child"], "dimensions": {"c": "x"}, "metrics": KINDS}
    counted, waiting = (message_at(NOW - 50, [hit], settings, unique, seq) for seq in range(2))
    applier, reader = Applier(store, settings), open_store(settings) if settings.redis_url else store
    applier.apply([counted], NOW - 49)
    assert kept(reader, unique) == kept(reader, unique, ("c", "x"), ("t", "child")) == (1, 5 * MILLION, 1)
    store.reset(unique, ("t",), None, NOW - 40)
    assert reader.kinds(unique, ("t",)) == reader.kinds(unique, ("t", "child")) == {}
    for _ in range(2):
        for pk in (("t",), ("t", "child")):
            assert [kept(reader, unique, path, pk) for path in ((), ("c",), ("c", "x"))] == [NONE_KEPT] * 3
        applier.apply([counted, waiting], NOW - 39)
        drain(store, unique)
    assert store.audit(unique)[0].dropped == {"reset": 1}
    if isinstance(store, RedisStore):
        names = [name.decode() for name in store.client.scan_iter(f"{unique}:*")]
        assert [name for name in names if name.split(":")[2] in ("r", "v", "u")] == []
    new = {**hit, "metrics": {**KINDS, "visitors": {"unique": "b"}, "level": {"last": 3}}}
    applier.apply([message_at(NOW - 30, [new], settings, unique, 2)], NOW - 29)
    assert kept(reader, unique) == kept(reader, unique, ("c", "x"), ("t", "child")) == (1, 3 * MILLION, 1)


def test_a_reset_path_takes_metrics_of_every_kind_along(settings: Settings, unique: str) -> None:
    settings = settings.replace(max_distinct_nodes=4, max_bins=4)
    store = open_store(settings)
    applier = Applier(store, settings)
    hits = [{"pk": "t", "dimensions": {"c": name}, "metrics": KINDS} for name in ("x", "y")]
    counted, waiting = (message_at(NOW - 50, hits, settings, unique, seq) for seq in range(2))
    applier.apply([counted], NOW - 49)
    store.reset(unique, ("t",), ("c", "x"), NOW - 40)
    for seen in (1, 2):
        values = [kept(store, unique, path) for path in ((), ("c",), ("c", "x"), ("c", "y"))]
        both, one = (1, 5 * MILLION, 2 * seen), (1, 5 * MILLION, seen)
        assert values[:2] + values[3:] == [both, both, one]
        assert values[2][1:] == (None, 0)
        applier.apply([counted, waiting], NOW - 39)
        drain(store, unique)
    if isinstance(store, RedisStore):
        names = [name.decode() for name in store.client.scan_iter(f"{unique}:*:[uv]:*")]
        members = {member for name in names if name.count(":") == 3 for member in store.client.smembers(name)}
        counts = {":".join(name.split(":")[-2:]).encode() for name in names if name.split(":")[2] == "u"}
        assert len(members) == 3
        assert {count for count in counts if b"}" not in count and not count.startswith(b"u:")} == members
        fields = [field for name in names if ":v:" in name for field in store.client.hkeys(name)]
        assert len({int(field) % 1024 for field in fields}) == 3
    again = [{"pk": "t", "dimensions": {"c": "z"}, "metrics": KINDS}]  # there is room for it again
    applier.apply([message_at(NOW - 30, again, settings, unique, 2)], NOW - 29)
    assert kept(store, unique, ("c", "z")) == (1, 5 * MILLION, 1)
    assert store.bins(unique, ("t",), [("c", "z")], "q") != [[OTHER]]


# The library


def test_a_metric_that_is_no_sum_cannot_be_set(settings: Settings, store: Store, unique: str) -> None:
    whale = Whale(store, settings, unique, lambda: NOW)
    whale.count_now(["t", "child"], {"c": "x"}, {"visitors": {"unique": "a"}})
    asked: list[dict[str, Any]] = [{"metrics": {"visitors": 5}}, {"metrics": {"visitors": {"unique": "b"}}}]
    for wrong in [*asked, {"metrics": {"visitors": 5}, "dimensions": {"c": "x"}}]:
        with pytest.raises(CallerError, match="is of kind distinct: only a metric of kind sum can be set") as raised:
            whale.update_count_to(["t", "child"], **wrong)
        assert raised.value.field == "metrics.visitors"
    assert whale.total(["t", "child"], "visitors", period="1d:1d") == 1
    whale.count_now(["t", "other"], None, {"hits": 1})
    before = store.faults(unique).get("mixed_kinds", 0)
    assert whale.update_count_to(["t", "other"], metrics={"visitors": 5, "revenue": 2}) == {"visitors": 5, "revenue": 2}
    assert whale.total(["t", "other"], "visitors", period="1d:1d") == 5
    assert whale.total(["t"], "visitors", period="1d:1d") == 1
    assert whale.total(["t"], "revenue", period="1d:1d") == 2
    assert store.faults(unique)["mixed_kinds"] - before == 4  # the root and the child's node, by day and month
    whale.reset(["t"])
    assert whale.update_count_to(["t", "child"], metrics={"visitors": 5}) == {"visitors": 5}


def test_the_library_sets_and_resets(settings: Settings, store: Store, unique: str) -> None:
    whale = Whale(store, settings, unique, lambda: NOW)
    whale.count_now("t", {"country": "US"}, {"revenue": 60})
    assert whale.update_count_to("t", {"country": "US"}, {"revenue": 100.5}, id="one") == {"revenue": 40.5}
    assert whale.update_count_to("t", {"country": "US"}, {"revenue": 100.5}, id="one") == {"revenue": 40.5}
    assert whale.update_count_to("t", metrics={"hits": 3}, period="1mo") == {"hits": 2}
    totals = whale.totals("t", metrics=["revenue", "hits"], periods=["today", "1d:1d", "1mo:1mo"])
    assert {period: dict(row) for period, row in totals.items()} == {
        "today": {"_": {"revenue": 60, "hits": 1}},
        "1d:1d": {"_": {"revenue": 100.5, "hits": 1}},
        "1mo:1mo": {"_": {"revenue": 100.5, "hits": 3}},
    }
    assert [row.adjusted for row in totals.values()] == [True, True, False]
    assert whale.plotpoints("t", period="today").adjusted
    whale.reset("t", {"country": "US"})
    assert whale.total("t", "revenue", {"country": "US"}, "1mo") == 0
    assert whale.total("t", "revenue", period="1d:1d") == 100.5
    whale.reset("t")
    assert whale.pks() == []


BAD: list[tuple[dict[str, Any], str]] = [
    ({"metrics": None}, "metrics"),
    ({"metrics": {"m": "x"}}, "metrics.m"),
    ({"dimensions": {"a": 1, "b": 2}}, "dimensions"),
    ({"period": "nonsense"}, "period"),
    ({"period": "1w"}, "period"),
    ({"at": NOW + 100}, "at"),
    ({"at": NOW - 2 * DAY, "period": 60}, "at"),
    ({"pk": None}, "pk"),
    ({"id": ["x"]}, "id"),
]


@pytest.mark.parametrize(("wrong", "field"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_set_is_refused_with_its_field(
    store: Store, settings: Settings, wrong: dict[str, Any], field: str
) -> None:
    whale = Whale(store, settings, "bad", lambda: NOW)
    with pytest.raises((CallerError, HitError)) as raised:
        whale.update_count_to(**{"pk": "t", "metrics": {"m": 1}, **wrong})
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("period", "hint"),
    [
        ("today", ": did you mean 1d?"),
        ("yesterday", ": did you mean 1d?"),
        ("day", ": did you mean 1d?"),
        ("2015-06-16", ": did you mean 1d?"),
        ("today|Europe/Berlin", ": did you mean 1d?"),
        ("2015-06", ": did you mean 1mo?"),
        ("mtd", ": did you mean 1mo?"),
        ("last_month", ": did you mean 1mo?"),
        ("hour", ": did you mean 1h?"),
        ("year", ""),
        ("wtd", ""),
        ("2015-06-01..2015-06-02", ""),
        ("last_7d", ""),
    ],
)
def test_a_period_that_says_no_interval_sets_nothing(
    settings: Settings, store: Store, unique: str, period: str, hint: str
) -> None:
    """`today` is read by hours: the hour of now was set, and somebody meant the day."""
    whale = Whale(store, settings, unique, lambda: NOW)
    with pytest.raises(PeriodError) as refused:
        whale.update_count_to("t", metrics={"hits": 3}, period=period)
    kept = ", ".join(interval_name(interval) for interval, _ in settings.periods)
    then = f"{hint} Send" if hint else "; send"
    assert str(refused.value) == (
        f"period: expected an interval that is kept, one of {kept}, got '{period}'{then} the time of the bucket as `at`"
    )
    assert whale.pks() == []


@pytest.mark.parametrize(
    ("period", "interval"),
    [
        ("1d", "1d:1d"),
        ("1d:1mo", "1d:1d"),
        ("1 day", "1d:1d"),
        ("86400", "1d:1d"),
        (86_400, "1d:1d"),
        ((86_400, 7 * 86_400), "1d:1d"),
        ("thirty", "1d:1d"),
        ("seven", "1d:1d"),
        (None, "1d:1d"),
        ("1h", "1h:1h"),
        ("24h", "1h:1h"),
    ],
)
def test_a_period_that_says_its_interval_sets_that_bucket(
    settings: Settings, store: Store, unique: str, period: Any, interval: str
) -> None:
    whale = Whale(store, settings, unique, lambda: NOW)
    whale.update_count_to("t", metrics={"hits": 3}, period=period)
    assert whale.update_count_to("t", metrics={"hits": 3}, period=interval.partition(":")[0]) == {"hits": 0}
    assert whale.total("t", "hits", period="1h:1h") == (3 if interval == "1h:1h" else 0)


def test_a_reset_of_what_was_never_counted_says_so_and_is_done(settings: Settings, store: Store, unique: str) -> None:
    whale = Whale(store, settings, unique, lambda: NOW)
    app = make_app(settings, whale)
    whale.count_now(["shop", "Book"], {"country": "US"}, {"revenue": 60})

    def said(**asked: Any) -> str | None:
        answer = call(app, "POST", "/reset", body=json.dumps(asked).encode(), CONTENT_TYPE="application/json")
        assert (answer.status, answer.text) == (200, "OK")
        found = answer.headers.get("X-Whale-Unknown")
        return unquote(found) if found else None

    assert said(pk="shpo") == "pk=shpo;near=shop"
    assert said(pk=["shop", "Bok"]) == 'pk=["shop", "Bok"];near=["shop", "Book"]'
    assert said(pk=["shop", "Book"], dimensions={"country": "UK"}) == 'path=["country", "UK"]'
    assert said(pk=["shop", "Book"], dimensions={"country": "US"}) is None
    assert said(pk=["shop", "Book"], dimensions={"country": "US"}) == 'path=["country", "US"]'
    assert said(pk="shop") is None
    assert said(pk="shop") == "pk=shop"
    assert whale.reset("shop") == [("pk", "shop", "")]
    assert whale.pks() == []
