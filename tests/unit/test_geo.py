"""Places become geohashes, which others know too, and count at each area that they lie in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.geo import LETTERS, areas_of, geohash, place_of
from hail.hit import HitError, parse_hit, properties_of
from hail.settings import load
from tests.laws import law
from tests.unit.test_hiitrack_web import ACT, Server
from whale.accounts import Site

SETTINGS = load({})
ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        (57.64911, 10.40744, "u4pru"),
        (52.52, 13.405, "u33dc"),
        (-25.382708, -49.265506, "6gkzw"),
        (42.6, -5.6, "ezs42"),
        (0, 0, "s0000"),
        (90, 180, "zzzzz"),
        (-90, -180, "00000"),
    ],
)
def test_a_place_has_the_geohash_that_all_the_world_gives_it(latitude: float, longitude: float, expected: str) -> None:
    assert geohash(latitude, longitude) == expected
    assert place_of(f"{latitude},{longitude}") == place_of([latitude, longitude]) == expected


def box(text: str) -> tuple[float, float, float, float]:
    """South, north, west, east of a geohash."""
    sides = [[-180.0, 180.0], [-90.0, 90.0]]
    for at, bit in enumerate("".join(f"{ALPHABET.index(letter):05b}" for letter in text)):
        side = sides[at % 2]
        side[bit == "0"] = sum(side) / 2
    return sides[1][0], sides[1][1], sides[0][0], sides[0][1]


@given(st.floats(-90, 90), st.floats(-180, 180))
@law(200)
def test_each_area_of_a_place_has_it_within(latitude: float, longitude: float) -> None:
    for area in areas_of("geo", geohash(latitude, longitude)):
        south, north, west, east = box(area)
        assert south <= latitude <= north
        assert west <= longitude <= east
    assert north - south < 0.05


@pytest.mark.parametrize(
    "value", ["Berlin", "52.52", "52.52,", "1,2,3", "1e2,3", "", [1], [1, 2, 3], ["1", "2"], [True, 2], 5, {"a": 1}]
)
def test_what_is_no_pair_of_numbers_stays_as_it_is(value: Any) -> None:
    assert place_of(value) is None


@pytest.mark.parametrize("value", ["91,0", "-90.1,0", "0,180.5", [0, -181], "999,999"])
def test_a_place_that_is_not_on_the_earth_is_refused(value: Any) -> None:
    with pytest.raises(HitError, match=r"properties\.geo: expected a latitude from -90 to 90"):
        properties_of({"geo": value}, SETTINGS)


def test_the_property_geo_keeps_no_more_than_the_area_and_others_are_left_alone() -> None:
    hit = parse_hit({"pk": "shop", "properties": {"geo": " 52.520008, +13.404954", "at": "52.52,13.405"}}, SETTINGS, 0)
    assert hit.properties == {"geo": '"u33dc"', "at": '"52.52,13.405"'}


def test_a_value_of_geo_that_is_no_place_has_one_path() -> None:
    assert areas_of("geo", "Berlin") == ("Berlin",)
    assert areas_of("geo", "u33") == ("u33",)
    assert areas_of("plan", "u33dc") == ("u33dc",)
    assert len(areas_of("geo", "u33dc")) == LETTERS


def test_a_site_that_lists_geo_counts_at_each_area() -> None:
    server = Server(VISITOR_LOG="1")
    site = Site("default", "shop", dimensions=("geo",))
    server.store.add_entry(site, ACT)
    server.store.begin_log(site, after_ms=0)
    for visitor, place in (("a", "52.52,13.405"), ("b", "52.40,13.06"), ("c", "48.14,11.58")):
        server.whale.count_hit({"pk": "shop", "visitor": visitor, "event": "visit", "properties": {"geo": place}})
    paths = [["geo"], ["geo", "u"], ["geo", "u", "u3"], ["geo", "u", "u2"], ["geo", "u", "u3", "u33", "u33d", "u33dc"]]
    totals = server.whale.totals("shop", paths, ["hits"], "today")["today"]
    assert [row["hits"] for row in totals.values()] == [3, 3, 2, 1, 1]
    assert server.whale.total("shop", period="today") == 3
    rows = server.whale.properties("shop", "geo")["rows"]
    assert sorted(row["value"] for row in rows) == ["u281z", "u3361", "u33dc"]
