"""Ids of names lead back to them, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws import law
from whale.answer.ids import id_of, id_of_value, name_of_id


@given(st.text(min_size=1).filter(lambda text: not any(0xD800 <= ord(letter) < 0xE000 for letter in text)))
@law(100)
def test_an_id_leads_to_its_name(name: str) -> None:
    found = id_of(name)
    assert name_of_id(found) == name
    assert all(letter.isalnum() or letter in "-_" for letter in found)


def test_an_id_is_the_base64_of_addresses() -> None:
    assert (id_of("a?>"), id_of("landed")) == ("YT8-", "bGFuZGVk")


@pytest.mark.parametrize("text", ["", "a", "YQ==", "YR", "gA", "é", "bGFuZ GVk", "bGFuZ\n"])
def test_what_is_no_id_has_no_name(text: str) -> None:
    assert name_of_id(text) is None


def test_values_of_two_properties_have_different_ids() -> None:
    ids = {id_of_value(name, value) for name in ("a", "a.b", "b") for value in ("1", '"1"', '".1"')}
    assert len(ids) == 9
    assert {len(each) for each in ids} == {22}
