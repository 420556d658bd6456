"""Hits get the same further paths in columns as one by one."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hail.message import Message
from hail.settings import load
from tests.contract.hits import in_columns, message
from tests.laws import law
from whale.count import event_paths
from whale.count.denormalize import Branches
from whale.count.extras import places_of

SETTINGS = load({})
LISTED = {"shop": frozenset(("plan", "age", "geo")), "blog": frozenset[str]()}
hits = st.fixed_dictionaries(
    {"pk": st.sampled_from(["shop", "blog", "none", ["shop", "shoes"]])},
    optional={
        "visitor": st.sampled_from(["ann", "bob"]),
        "event": st.sampled_from(["visit", "buy", "é"]),
        "dimensions": st.sampled_from(
            [
                {"event": "buy"},
                {"event": {"visit": "deep"}},
                {"c": "US"},
                {"plan": "pro", "event": "visit"},
                {"geo": {"u": "u3"}},
            ]
        ),
        "properties": st.dictionaries(
            st.sampled_from(["plan", "age", "colour", "geo"]),
            st.sampled_from(["pro", "52.5,13.4", 'é\\"', "", 7, True, None, ["pro"], {"a": 1}, "x" * 201]),
            max_size=3,
        ),
    },
)


def branches_of(found: Message, is_columns: bool) -> list[list[Any]]:
    branches = Branches("a")
    places, _ = places_of(found.hits, branches)
    if is_columns:
        more = event_paths.with_further(places, found.hits, LISTED, 200, branches)
        assert all(cells == sum(branch.cells for branch in mine) for mine, cells in more)
    else:
        more = event_paths.one_by_one(list(places), found.hits, LISTED, 200, branches)
    return [sorted((branch.pk, branch.paths) for branch in mine) for mine, _ in more]


@law(150)
@given(st.lists(hits, min_size=1, max_size=8))
def test_columns_have_the_paths_that_hits_have_one_by_one(some: list[dict[str, Any]]) -> None:
    lines = message(some, SETTINGS, "a")
    (columns,) = in_columns([lines])
    assert branches_of(columns, True) == branches_of(columns, False)
