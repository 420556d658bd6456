import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from whale.answer.shapes import flot_json

Values = st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """Rows as flot_json takes them, which may differ in their metrics; and labels."""
    labels = draw(st.lists(st.integers(0, 2**45) | st.text(), max_size=4))
    row = st.lists(st.just(0) | Values, min_size=len(labels), max_size=len(labels))
    values = draw(st.dictionaries(st.text(), st.dictionaries(st.text(), row, max_size=3), max_size=4))
    totals = {path: {name: draw(Values) for name in metrics} for path, metrics in values.items()}
    return [(path, metrics, totals[path]) for path, metrics in values.items()], labels


@given(answers(), st.booleans(), st.booleans())
def test_flot_json_is_what_its_pairs_are_as_json(
    answer: tuple[list[Any], list[Any]], descending: bool, with_totals: bool
) -> None:
    rows, labels = answer
    expected: dict[str, Any] = {}
    for path, values, totals in rows:
        expected[path] = {}
        for name, numbers in values.items():
            pairs = [[label, number] for label, number in zip(labels, numbers, strict=True)]
            total = [["Total", totals[name]]] if with_totals else []
            expected[path][name] = [*(pairs[::-1] if descending else pairs), *total]
    assert json.loads(flot_json(rows, labels, descending, with_totals)) == expected
