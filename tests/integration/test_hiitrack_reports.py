"""The cases of HiiTrack about numbers: totals, visitors, paths and funnels, over HTTP on a real Redis, as a client of it asks."""

import itertools
import json
import time
from base64 import b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.integration.test_hiitrack import ANN, PASSWORD, Client, message_of, store, url

__all__ = ["store", "url"]  # fixtures
HOME = "/ann/home"


class Bucket:
    """A client of HiiTrack, with a user and a bucket."""

    def __init__(self, url: str):
        self.client = Client(url)
        assert self.client.status("POST", "/ann", password=PASSWORD) == 201
        assert self.client.status("POST", HOME, ANN, description="Home") == 201

    def event(self, visitor: str, *events: str) -> None:
        for event in events:
            assert self.client.status("POST", f"{HOME}/event/{event}", ANN, visitor_id=visitor) == 200
            time.sleep(0.002)  # events of one ms are in no order

    def property(self, visitor: str, name: str, value: Any) -> None:
        coded = b64encode(json.dumps(value).encode()).decode()
        path = f"{HOME}/property/{quote(name)}"
        assert self.client.status("POST", path, ANN, visitor_id=visitor, value=coded) == 200

    def batch(self, visitor: str, events: Sequence[str], properties: Sequence[Sequence[Any]] = ()) -> None:
        message = message_of(list(events), [list(each) for each in properties])
        assert self.client.batch(HOME, ANN, message=message, visitor_id=visitor)[0] == 200

    def save(self, name: str, steps: Sequence[tuple[str, str]], description: str = "") -> None:
        """A funnel."""
        query = urlencode([*steps, ("description", description)])
        assert self.client.ask("POST", f"{HOME}/funnel/{name}?{query}", ANN) == (201, {})

    def ids(self) -> dict[str, str]:
        """Of each event."""
        return {name: row["id"] for name, row in self.get("").get("events", {}).items()}

    def value_id(self, name: str, value: Any) -> str:
        rows = self.get(f"/property/{quote(name)}")["values"]
        (found,) = (id_ for id_, row in rows.items() if row["value"] == value)
        return str(found)

    def get(self, path: str, *query: tuple[str, Any]) -> Any:
        status, found = self.client.ask("GET", f"{HOME}{path}?{urlencode(query)}", ANN)
        assert status == 200, found
        return found


@pytest.fixture
def bucket(url: str) -> Bucket:
    return Bucket(url)


def numbers(pairs: Sequence[Sequence[Any]]) -> list[int]:
    return [number for _, number in pairs]


def test_totals_and_paths_of_one_visitor(bucket: Bucket) -> None:
    bucket.event("v1", *"1231231221")
    ids = bucket.ids()
    found = {event: bucket.get(f"/event/{event}") for event in "123"}
    assert [found[event]["total"] for event in "123"] == [4, 4, 2]
    assert [[found[event]["path"][ids[before]] for before in "123"] for event in "123"] == [
        [3, 3, 3],
        [4, 3, 3],
        [2, 2, 1],
    ]
    unique = [found[event]["unique_path"][ids[before]] for event, before in itertools.product("123", repeat=2)]
    assert unique == [1] * 9
    assert [found[event]["unique_total"] for event in "123"] == [1, 1, 1]


@pytest.fixture
def split(bucket: Bucket) -> Bucket:
    """Three events of two visitors, who get three properties on the way."""
    bucket.property("v1", "p1", "x1")
    bucket.event("v1", "1", "1")
    bucket.event("v2", "1")
    bucket.event("v1", "2")
    bucket.event("v2", "2")
    bucket.property("v1", "p2", "x2")
    bucket.property("v2", "p2", "x2")
    bucket.event("v1", "3")
    bucket.event("v2", "3", "3")
    bucket.property("v1", "p3", "x3")
    return bucket


def test_totals_of_events_by_each_property(split: Bucket) -> None:
    every = [split.get(f"/event/{event}") for event in "123"]
    assert [found["total"] for found in every] == [3, 2, 3]
    assert [found["unique_total"] for found in every] == [2, 2, 2]
    assert every[0]["properties"].keys() == split.get("")["properties"].keys()
    for name, value, totals, unique in (
        ("p1", "x1", [2, 1, 1], [1, 1, 1]),
        ("p2", "x2", [3, 2, 3], [2, 2, 2]),
        ("p3", "x3", [2, 1, 1], [1, 1, 1]),
    ):
        id_ = split.value_id(name, value)
        found = [split.get(f"/event/{event}", ("property", name)) for event in "123"]
        assert [each["totals"][id_] for each in found] == totals
        assert [each["unique_totals"][id_] for each in found] == unique
        assert all(each["values"] == {id_: value} for each in found)


def test_paths_of_events_by_each_property(split: Bucket) -> None:
    ids = split.ids()
    for name, value, second, third in (("p1", "x1", 1, [1, 1]), ("p2", "x2", 2, [3, 3]), ("p3", "x3", 1, [1, 1])):
        id_ = split.value_id(name, value)
        found = {event: split.get(f"/event/{event}", ("property", name)) for event in "123"}
        assert found["1"]["paths"][id_] == {ids["1"]: 1}
        assert found["2"]["paths"][id_] == {ids["1"]: second}
        assert [found["3"]["paths"][id_][ids[before]] for before in "12"] == third
        assert found["3"]["paths"][id_].get(ids["3"], 0) == (1 if name == "p2" else 0)
        assert found["3"]["unique_paths"][id_][ids["1"]] == (2 if name == "p2" else 1)


def test_a_report_of_a_property_counts_visitors_of_each_event(split: Bucket) -> None:
    ids, found = split.ids(), split.get("/property/p2")
    (row,) = found["values"].values()
    assert [row["total"][ids[event]] for event in "123"] == [2, 2, 2]
    assert found["events"] == {ids[event]: event for event in "123"}
    assert split.get(f"/property_id/{found['id']}") == found


@pytest.fixture
def three(bucket: Bucket) -> Bucket:
    bucket.event("v1", "3", "3", "1", "1")
    for visitor, event in (("v2", "1"), ("v3", "1"), ("v1", "2"), ("v2", "2")):
        bucket.event(visitor, event)
    bucket.event("v1", "2", "3", "3")
    bucket.property("v1", "P1", "x1")
    bucket.property("v1", "P2", "x2")
    bucket.property("v2", "P2", "x2")
    return bucket


def test_a_funnel_counts_events_and_visitors_by_each_property(three: Bucket) -> None:
    query = [("event", event) for event in "123"]
    three.save("all", [("event_id", three.ids()[event]) for event in "123"])
    found = three.get("/funnel/all")
    assert (numbers(found["funnel"]), numbers(found["unique_funnel"])) == ([4, 3, 2], [3, 2, 1])
    for name, value, events, visitors in (("P1", "x1", [2, 2, 2], [1, 1, 1]), ("P2", "x2", [3, 3, 2], [2, 2, 1])):
        id_, by = three.value_id(name, value), three.get("/funnel", *query, ("property", name))
        assert (numbers(by["funnels"][id_]), numbers(by["unique_funnels"][id_])) == (events, visitors)
        assert by["property"]["values"] == {id_: value}


def test_a_funnel_by_ids_and_by_names_and_a_saved_one(bucket: Bucket) -> None:
    bucket.event("v1", "1", "2")
    ids = bucket.ids()
    by_id, by_name = [("event_id", ids["1"]), ("event_id", ids["2"])], [("event", "1"), ("event", "2")]
    bucket.save("signup", by_id, "The way in")
    assert bucket.get("/funnel/signup")["description"] == "The way in"
    for path, query in (("/funnel", by_id), ("/funnel", by_name), ("/funnel/signup", [])):
        found = bucket.get(path, *query)
        assert found["event_ids"] == [ids["1"], ids["2"]]
        assert found["funnel"] == found["unique_funnel"] == [[ids["1"], 1], [ids["2"], 1]]


def test_batches_of_two_visitors(bucket: Bucket) -> None:
    properties = [("p1", "x1"), ("p2", "x2"), ("p3", "x3")]
    bucket.batch("v1", "123", properties)
    bucket.batch("v2", "13")
    ids, found = bucket.ids(), {event: bucket.get(f"/event/{event}") for event in "123"}
    assert [found[event]["total"] for event in "123"] == [2, 1, 2]
    assert found["3"]["path"] == {ids["1"]: 2, ids["2"]: 1}
    assert (found["2"]["path"], found["1"]["path"]) == ({ids["1"]: 1}, {})
    for name, value in properties:
        id_ = bucket.value_id(name, value)
        assert [bucket.get(f"/event/{event}", ("property", name))["totals"][id_] for event in "123"] == [1, 1, 1]


def test_a_property_that_comes_with_each_batch_counts_nothing_twice(bucket: Bucket) -> None:
    for _ in range(3):
        bucket.batch("v1", "X", [("plan", "pro")])
        time.sleep(0.002)
    id_, x = bucket.value_id("plan", "pro"), bucket.ids()["X"]
    found = bucket.get("/event/X", ("property", "plan"))
    assert (found["totals"][id_], found["paths"][id_][x], found["unique_totals"][id_]) == (3, 2, 1)


@pytest.mark.parametrize("interval", ["day", "hour"])
def test_reports_by_time_have_one_point_where_all_happened_in_one_bucket(bucket: Bucket, interval: str) -> None:
    bucket.property("v1", "plan", "pro")
    width = 86_400 if interval == "day" else 3600
    bucket.event("v1", "1", "2")
    time_query = ("start", int(time.time()) - 7 * 86_400), ("interval", interval)
    ids = bucket.ids()
    for event in "12":
        ((at, count),) = bucket.get(f"/event/{event}", *time_query)["total"]
        assert (at % width, count) == (0, 1)
        assert 0 <= int(time.time()) - at < width + 30
    assert numbers(bucket.get("/event/2", *time_query)["path"][ids["1"]]) == [1]
    by = bucket.get("/event/2", *time_query, ("property", "plan"))
    assert numbers(by["paths"][bucket.value_id("plan", "pro")][ids["1"]]) == [1]


def test_a_late_property_counts_in_reports_by_days(bucket: Bucket) -> None:
    bucket.event("v1", "A", "A")
    bucket.property("v1", "late", "x")
    found = bucket.get("/event/A", ("property", "late"), ("start", int(time.time()) - 86_400))
    assert sum(numbers(found["totals"][bucket.value_id("late", "x")])) == 2


def test_unique_paths_within_a_batch(bucket: Bucket) -> None:
    bucket.batch("v1", "ABBB")
    a, found = bucket.ids()["A"], bucket.get("/event/B")
    assert (found["path"][a], found["unique_path"][a]) == (3, 1)


@pytest.mark.parametrize(
    ("events", "steps", "expected"),
    [
        ((("v1", "12"), ("v2", "23"), ("v3", "23"), ("v4", "3")), "123", [1, 1, 0]),
        ((("v1", "21"),), "12", [1, 0]),
    ],
)
def test_a_funnel_is_in_order(
    bucket: Bucket, events: Sequence[tuple[str, str]], steps: str, expected: list[int]
) -> None:
    for visitor, some in events:
        bucket.event(visitor, *some)
    found = bucket.get("/funnel", *(("event", step) for step in steps))
    assert numbers(found["unique_funnel"]) == expected


def test_an_event_that_was_never_seen_is_not_found(bucket: Bucket) -> None:
    status, said = bucket.client.ask("GET", f"{HOME}/event/never", ANN)
    assert (status, said["code"]) == (404, "unknown_event")
    bucket.event("v1", "1")
    assert bucket.client.status("GET", f"{HOME}/funnel?event=1", ANN) == 400
    assert bucket.client.status("GET", f"{HOME}/funnel?event=1&event=never", ANN) == 404


def test_a_saved_funnel_is_overwritten_deleted_and_not_found_then(bucket: Bucket) -> None:
    bucket.event("v1", "1", "2")
    ids = bucket.ids()
    for steps in ("12", "21"):
        bucket.save("signup", [("event_id", ids[step]) for step in steps])
        assert bucket.get("/funnel/signup")["event_ids"] == [ids[step] for step in steps]
    assert bucket.client.status("POST", f"{HOME}/funnel/one?event_id={ids['1']}", ANN) == 400
    assert [bucket.client.status("DELETE", f"{HOME}/funnel/signup", ANN) for _ in range(2)] == [200, 200]
    assert bucket.client.status("GET", f"{HOME}/funnel/signup", ANN) == 404
    assert bucket.client.status("GET", f"{HOME}/funnel/one", ANN) == 404
