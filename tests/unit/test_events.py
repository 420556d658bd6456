"""What is told of hits to those who look, and that nothing is told where nobody looks."""

import json
from typing import Any

import pytest

from hail.hit import Reason
from hail.message import Message, Refusal, decode_message, encode_message, encode_refusal
from hail.settings import Settings, load
from tests.contract.hits import NOW, PUBLISHER, message, sums
from tests.servers import wait_until
from whale import events
from whale.count.apply import Applier
from whale.count.witness import MOST_HITS, Witness
from whale.dimension import Pk
from whale.errors import Unavailable
from whale.events import MAX_EVENT_BYTES, Event, Pace, Watched, added, hits_of
from whale.store.contract.names import OTHER
from whale.store.memory import MemoryStore

SETTINGS = load({})


def shop(name: str = "shop", **more: Any) -> dict[str, Any]:
    return {"pk": name, "dimensions": {"country": {"US": "CA"}}, "metrics": {"revenue": 2.5}, **more}


def data(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(event.data))
    return found


class Told(MemoryStore):
    """Remembers what was published."""

    def __init__(self, settings: Settings, *looked: Pk):
        super().__init__(settings)
        self.said: list[list[Event]] = []
        self.looks = 0
        self.look({"a": looked}, 100)

    def looked(self, account: str) -> frozenset[Pk]:
        self.looks += 1
        return super().looked(account)

    def publish(self, account: str, said: bytes) -> None:
        self.said.append(events.decode(said))

    def all(self, kind: str) -> list[Event]:
        return [event for said in self.said for event in said if event.kind == kind]


def test_at_most_so_many_in_any_second() -> None:
    pace = Pace(3)
    assert pace.room(10.0) == 3
    pace.take(2, 10.0)
    pace.take(1, 10.5)
    assert [pace.room(at) for at in (10.5, 10.99, 11.0, 11.4, 11.5)] == [0, 0, 2, 2, 3]


def test_a_hit_is_told_with_every_place_it_counted_in() -> None:
    given = {"pk": ["shop", "berlin"], "dimensions": {"country": {"US": "CA"}, "b": "\0<img>"}, "id": "o1"}
    hit = message([{**given, "metrics": {"revenue": 9.5, "top": {"max": 3}}}], SETTINGS, "a")
    (event,) = hits_of([hit], {}, Watched({()}), 50)
    assert (event.kind, event.pk) == ("hit", ("shop", "berlin"))
    assert data(event) == {
        "name": f"{PUBLISHER}-0.0",
        "pk": ["shop", "berlin"],
        "paths": [[], ["b"], ["b", "\0<img>"], ["country"], ["country", "US"], ["country", "US", "CA"]],
        "metrics": {"hits": 1, "revenue": 9.5, "top": {"max": 3}},
        "at": int(NOW * 1000),
        "id": "o1",
    }


def test_a_large_hit_is_told_in_part() -> None:
    many = {"pk": "shop", "dimensions": {f"{i}{'n' * 150}": {} for i in range(60)}}
    (event,) = hits_of([message([many], SETTINGS, "a")], {}, Watched({()}), 50)
    assert len(event.data) <= MAX_EVENT_BYTES
    assert data(event)["cut"] is True
    assert data(event)["paths"][0] == []
    huge = {"pk": ["\1" * 200] * 8}
    (event,) = hits_of([message([huge], SETTINGS, "a")], {}, Watched({()}), 50)
    assert len(event.data) <= MAX_EVENT_BYTES
    at, name = int(NOW * 1000), f"{PUBLISHER}-0.0"
    assert data(event) == {"name": name, "pk": None, "paths": [], "metrics": {}, "at": at, "id": None, "cut": True}


def test_the_newest_are_told_and_no_pk_hides_another() -> None:
    hits = [shop("quiet", id="q"), *(shop("busy", id=str(i)) for i in range(200)), shop("other", id="o")]
    told = hits_of([message(hits, SETTINGS, "a")], {}, Watched({("quiet",), ("busy",)}), 4)
    assert [data(event)["id"] for event in told] == ["q", "197", "198", "199"]
    assert hits_of([message(hits, SETTINGS, "a")], {}, Watched({("nobody",)}), 4) == []


def test_what_did_not_count_and_what_an_import_counts_is_no_hit() -> None:
    one = message([shop(id="a"), shop(id="b")], SETTINGS, "a")
    (event,) = hits_of([one], {one.name: {0: Reason.DUPLICATE}}, Watched({()}), 50)
    assert data(event)["id"] == "b"
    assert hits_of([message([shop()], SETTINGS, "a", lasting=True)], {}, Watched({()}), 50) == []


def test_sums_of_two_workers_add_up() -> None:
    assert added({"hits": 1, "r": 0.1}, {"hits": 2, "r": 0.2, "s": 1}) == {"hits": 3, "r": 0.3, "s": 1}


# With the applier


def applied(store: MemoryStore, settings: Settings, *messages: Message) -> Applier:
    applier = Applier(store, settings)
    applier.apply(messages, NOW)
    applier.witness.tell()
    return applier


def test_nothing_is_published_where_nobody_looks() -> None:
    store = Told(SETTINGS)
    applied(store, SETTINGS, message([shop()], SETTINGS, "a"))
    assert (store.said, sums(store, "a", ("shop",), [()])) == ([], [1])
    assert store.looks > 0


def test_who_looks_at_a_pk_is_told_its_hits_and_sums_and_what_was_refused() -> None:
    store = Told(SETTINGS, ("shop",))
    refusal = Refusal(int(NOW * 1000), "bad_pk", "pk", "came", "v")
    refused = encode_message(PUBLISHER, 1, "a", 3, int(NOW * 1000), [], refused=[encode_refusal(refusal)])
    hits = [shop(id="1"), shop(id="1"), shop("other", id="2"), {**shop(), "pk": ["shop", "berlin"]}]
    applied(store, SETTINGS, message(hits, SETTINGS, "a"), decode_message(refused))
    assert [data(event)["pk"] for event in store.all("hit")] == [["shop"], ["shop", "berlin"]]
    assert [data(event) for event in store.all("totals")] == [
        {"pk": ["shop"], "metrics": {"hits": 2, "revenue": 5}, "at": int(NOW * 1000)}
    ]
    at = int(NOW * 1000)
    assert [data(event) for event in store.all("refused")] == [
        {
            "reason": "duplicate",
            "name": f"{PUBLISHER}-0.1",
            "field": None,
            "came": None,
            "pk": ["shop"],
            "at": at,
            "id": "1",
        },
        {
            "reason": "bad_pk",
            "name": f"{PUBLISHER}-1.r0",
            "field": "pk",
            "came": "came",
            "pk": None,
            "at": at,
            "id": None,
        },
    ]


def test_where_hits_are_not_shown_sums_alone_are_told() -> None:
    settings = SETTINGS.replace(spy=False)
    store = Told(settings, ())
    applied(store, settings, message([shop(id="1"), shop(id="1")], settings, "a"))
    assert {event.kind for said in store.said for event in said} == {"totals"}
    assert data(store.all("totals")[0])["metrics"] == {"hits": 1}
    assert store.spied("a") == []


def test_at_most_so_many_hits_a_second_and_all_of_them_in_the_sums() -> None:
    store = Told(SETTINGS, ("shop",))
    applier = applied(store, SETTINGS, message([shop()], SETTINGS, "a", 99))  # now it knows who looks
    each = MOST_HITS + 100
    for seq in (0, 2, 4):
        many = [message([shop()] * size, SETTINGS, "a", seq + one) for one, size in enumerate((1000, each))]
        applier.apply(many, NOW)
    applier.witness.tell()
    wait_until(lambda: not applier.witness._live.waiting(), what="the sums of the last second")
    assert 50 <= len(store.all("hit")) <= 100
    assert sum(data(event)["metrics"]["hits"] for event in store.all("totals")) == 1 + 3 * (1000 + each)
    assert len(store.all("totals")) <= 4


def test_sums_that_nobody_waits_for_are_forgotten() -> None:
    store = Told(SETTINGS, ("shop",))
    applier = applied(store, SETTINGS, message([shop()], SETTINGS, "a"))
    store.look({"a": []}, 100)
    applier.apply([message([shop()], SETTINGS, "a", 1)], NOW)
    applier.witness.tell()
    assert applier.witness._live.waiting() == []


def test_a_hit_beyond_a_cap_is_told_with_the_names_that_it_came_with() -> None:
    settings = SETTINGS.replace(max_children=1)
    store = Told(settings, ("shop",))
    hits = [{**shop(), "dimensions": {"country": name}} for name in ("US", "DE")]
    applied(store, settings, message(hits, settings, "a"))
    assert sums(store, "a", ("shop",), [("country", "US"), ("country", OTHER)]) == [1, 1]
    assert [data(event)["paths"][-1] for event in store.all("hit")] == [["country", "US"], ["country", "DE"]]


@pytest.mark.parametrize("error", [Unavailable("Redis: NOPERM"), RuntimeError("a fault of ours")])
def test_what_cannot_be_told_fails_no_batch(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    class Mute(Told):
        def publish(self, account: str, said: bytes) -> None:
            raise error

    store = Mute(SETTINGS, ("shop",))
    applier = Applier(store, SETTINGS)
    for seq in range(3):
        applier.apply([message([shop()], SETTINGS, "a", seq)], NOW)
        applier.witness.tell()
    assert sums(store, "a", ("shop",), [()]) == [3]
    assert applier.witness._live.waiting() == []
    assert len(store.spied("a")) == 3
    assert "those who look at hits miss some" in caplog.text


def test_a_refusal_of_whale_is_told_too() -> None:
    store = Told(SETTINGS, ())
    witness = Witness(store)
    witness.refused("a", '{"at": 5, "name": "w", "outcome": "bad_pk", "field": "pk", "came": "x"}', NOW)
    witness.tell()
    assert [data(event)["reason"] for event in store.all("refused")] == ["bad_pk"]
