import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whale.dimension import parse_path, parse_pk, path_text, paths_asked, paths_of, pk_text
from whale.errors import PathError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def test_every_path_of_a_tree_comes_the_root_first() -> None:
    assert paths_of({"a": {"5": {}}, "b": {"x": {"1": {}}}}) == [
        (),
        ("a",),
        ("a", "5"),
        ("b",),
        ("b", "x"),
        ("b", "x", "1"),
    ]
    assert paths_of({}) == [()]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "_"),
        (("country",), "country"),
        (("country", "US"), '["country", "US"]'),
        (("_",), '{"_": {}}'),
        (('{"_": {}}',), '["{\\"_\\": {}}"]'),
        (("[x",), '["[x"]'),
        (("[x]",), '["[x]"]'),
        (("_", "_"), '["_", "_"]'),
        (("{a}",), "{a}"),
        (("\0",), "\0"),
        (("köln", "🐋"), '["köln", "🐋"]'),
    ],
)
def test_a_path_is_written_shortly_and_read_back(path: tuple[str, ...], text: str) -> None:
    assert path_text(path) == text
    assert parse_path(text) == path


@given(st.lists(NAMES, max_size=8).map(tuple))
def test_every_path_reads_back(path: tuple[str, ...]) -> None:
    assert parse_path(path_text(path)) == path
    if len(path) > 1:
        assert path_text(path) == json.dumps(path, ensure_ascii=False)
        assert path_text((None, *path)) == json.dumps((None, *path), ensure_ascii=False)


@given(st.lists(NAMES, min_size=1, max_size=8).map(tuple))
def test_every_pk_reads_back(pk: tuple[str, ...]) -> None:
    assert parse_pk(pk_text(pk)) == pk


def test_a_pk_may_be_called_as_the_root() -> None:
    assert pk_text(("_",)) == "_"
    assert parse_pk("_") == ("_",)


@pytest.mark.parametrize("text", ["[", "[1", '["a"', '[""]', "[{}]", '["a", []]', "[" * 100_000])
def test_a_broken_path_is_refused(text: str) -> None:
    with pytest.raises(PathError) as refused:
        parse_path(text)
    assert refused.value.field == "dimensions"
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("text", ["", "[]", "[", '[""]'])
def test_a_broken_pk_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        parse_pk(text)


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (None, [()]),
        ("_", [()]),
        ("country", [("country",)]),
        (["country", "US"], [("country", "US")]),
        ([["country", "US"], ["device"]], [("country", "US"), ("device",)]),
        ([["country", "US"], "device"], [("country", "US"), ("device",)]),
        ({"country": "US"}, [("country", "US")]),
        ({"country": ["US", "UK"], "age": 5}, [("country", "US"), ("country", "UK"), ("age", "5")]),
        ({"a": {"b": {}}, "c": None}, [("a", "b"), ("c",)]),
        ([1, True, 2.0], [("1", "true", "2")]),
        ([["a"], ["a"]], [("a",)]),
    ],
)
def test_a_question_names_paths_in_many_forms(value: object, paths: list[tuple[str, ...]]) -> None:
    assert paths_asked(value) == paths
