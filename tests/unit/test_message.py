"""A message: what goes in comes out, and nothing but BadMessage for anything else."""

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hail.hit import encode_hit, parse_hit
from hail.message import BadMessage, decode_message, encode_message
from hail.settings import load
from tests.laws import law

SETTINGS = load({})
NAME = "91b2c3d4e5f60718"
HIT = encode_hit(parse_hit({"pk": "😀\0", "dimensions": {'"': "{}|:/[]"}, "id": "i"}, SETTINGS, 1_795_300_800.25))
BODY = encode_message(NAME, 7, "default", 4210, 1_795_300_800_250, [HIT, HIT])


def test_a_message_comes_back_as_it_was() -> None:
    message = decode_message(BODY)
    assert message.name == (NAME, 7)
    assert (message.account, message.total, message.at, message.lasting) == ("default", 4210, 1_795_300_800_250, False)
    first, second = message.hits
    assert first == second
    assert json.loads(bytes(first.pk)) == ["😀\0"]
    assert json.loads(bytes(first.dimensions)) == {'"': {"{}|:/[]": {}}}
    assert (first.metrics, first.at_ms, first.id) == ({"hits": 1}, 1_795_300_800_250, "i")


def test_an_import_is_lasting() -> None:
    assert decode_message(encode_message(NAME, 0, "a", 0, 0, [], lasting=True)).lasting


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"v":1', b'"v":2'),
        (b'"seq":7', b'"seq":-1'),
        (b'"seq":7', b'"seq":1e30'),
        (b'"total":4210', b'"total":9007199254740993'),
        (NAME.encode(), b"91B2C3D4E5F60718"),
        (b'"default"', b'"De fault"'),
        (b'"hits":[', b'"hits":{"a":['),
        (b"{", b'{"more":1,'),
        (b'"lasting":false', b'"lasting":0'),
    ],
)
def test_a_message_of_another_shape_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_message(BODY.replace(old, new, 1))


def test_a_message_cut_anywhere_is_refused() -> None:
    for length in range(len(BODY)):
        with pytest.raises(BadMessage):
            decode_message(BODY[:length])


BROKEN = [
    b"3",
    b"nonsense",
    b"[",
    b"]",
    b"]}",
    b'"',
    b"[[],{}",
    b'[["k"],{},{"hits":1},1795300800250,null,null,null,{"low":["max",1795300800250]',  # as it was cut at its last comma
    b'[["a"],{},{"x":1180591620717411303424},5]',
    b'[["a"],{},{"x":9000000000000001},5]',
    b'[["a"],{},{"x":1.5},5]',
    b'[["a"],{},{"x":1},"5"]',
    b'[["a"],{},{"x":1},1e300]',
    b'[["a"],{},{"\xff":1},5]',
    b'[["a"],{},{"x":1},5,7]',
    b'[["a"],{},{"x":1},5,null,null,null,{"y":["max",9000000000000001]}]',
    b"[" * 5000,
    HIT[:-1],
    b'"hits":[',
    HIT + b"," + HIT,
]


@given(st.lists(st.sampled_from(BROKEN) | st.just(HIT), max_size=8))
@example([HIT, b"", b"]}", HIT])
@example([b"]", b'"hits":['])
@law(300)
def test_a_hit_that_cannot_be_read_takes_no_other_along(hits: list[bytes]) -> None:
    message = decode_message(encode_message(NAME, 7, "default", 4210, 5, hits))
    assert [hit.raw for hit in message.hits if not hit.is_legible] == [hit for hit in hits if hit != HIT]
    (whole,) = decode_message(encode_message(NAME, 7, "default", 4210, 5, [HIT])).hits
    assert [hit for hit in message.hits if hit.is_legible] == [whole] * hits.count(HIT)
    assert [hit.is_legible for hit in message.hits] == [hit == HIT for hit in hits]
    assert (message.name, message.total, message.at) == ((NAME, 7), 4210, 5)


def test_of_a_message_without_lines_the_hits_are_told_apart_where_its_json_is_sound() -> None:
    compact = json.dumps(json.loads(BODY)).encode()
    assert [hit.is_legible for hit in decode_message(compact).hits] == [True, True]
    mixed = compact.replace(b'"hits": [', b'"hits": [3, ["a"], ')
    assert [hit.is_legible for hit in decode_message(mixed).hits] == [False, False, True, True]
    assert [hit.raw for hit in decode_message(mixed).hits[:2]] == [b"3", b'["a"]']
    with pytest.raises(BadMessage):
        decode_message(mixed.replace(b'"v": 1', b'"v": 2'))
    with pytest.raises(BadMessage):
        decode_message(mixed.replace(b'["a"]', b'["a"'))


@given(st.binary(max_size=200))
@law(300)
def test_any_bytes_are_a_bad_message(body: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_message(body)


@given(st.integers(0, len(BODY) - 1), st.binary(min_size=1, max_size=3))
@law(500)
def test_a_damaged_message_is_read_or_refused(at: int, bytes_: bytes) -> None:
    with contextlib.suppress(BadMessage):
        decode_message(BODY[:at] + bytes_ + BODY[at + len(bytes_) :])
