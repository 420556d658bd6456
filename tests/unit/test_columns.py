"""Messages of version 2: what goes in comes out, and of bytes that nobody wrote nothing does."""

import random
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail import columns
from hail.columns import (
    BadMessage,
    ColumnMessage,
    NewerMessage,
    decode,
    encode,
    hits_of,
    messages_of,
    read_envelope,
)
from hail.hit import MAX_AMOUNT, encode_hit, parse_hit
from hail.message import Refusal, WireHit, decode_message, encode_message
from hail.settings import load
from tests.laws import law
from tests.taken import section_of

SETTINGS, NOW = load({}), 1_795_300_800.25
NAMES = st.text(min_size=1, max_size=6).filter(lambda name: name.isprintable()) | st.sampled_from(
    ["US", "CA", "a", "b", "é\n", "=cmd()"]
)
AMOUNTS = st.integers(-MAX_AMOUNT, MAX_AMOUNT) | st.integers(0, 500).map(lambda cents: cents * 10_000) | st.just(1)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.just({}), lambda below: st.dictionaries(NAMES, below, max_size=3), max_leaves=6
)
HITS = st.builds(
    WireHit,
    st.lists(NAMES, min_size=1, max_size=3).map(lambda names: msgspec.Raw(msgspec.json.encode(names))),
    st.dictionaries(NAMES, TREES, max_size=3).map(
        lambda tree: msgspec.Raw(msgspec.json.encode(tree, order="deterministic"))
    ),
    st.dictionaries(NAMES, AMOUNTS, max_size=4),
    st.integers(-(2**43), 2**43 - 1) | st.integers(1_795_300_000_000, 1_795_300_010_000),
    st.none() | NAMES,
    st.none() | NAMES,
    st.none() | NAMES,
    st.none()
    | st.dictionaries(
        NAMES, st.tuples(NAMES, AMOUNTS | NAMES | st.dictionaries(NAMES, AMOUNTS, max_size=2)), min_size=1, max_size=2
    ),
    st.none() | st.lists(NAMES, min_size=1, max_size=2),
)
SECTIONS = st.dictionaries(st.from_regex("[a-z0-9_-]{1,40}", fullmatch=True), st.lists(HITS, max_size=12), max_size=3)
REFUSALS = st.lists(
    st.builds(Refusal, st.integers(-(2**43), 2**43 - 1), NAMES, NAMES, NAMES, st.none() | NAMES), max_size=3
)


def message_of(given: dict[str, list[WireHit]], refused: list[Refusal] | None = None, lasting: bool = False) -> bytes:
    sections = [section_of(account, 7 + len(hits), hits, refused or []) for account, hits in given.items()]
    return encode("0" * 16, 3, 1_795_300_800_250, sections, lasting)


@law(100)
@given(SECTIONS, REFUSALS, st.booleans())
def test_the_same_hits_come_out(accounts: dict[str, list[WireHit]], refused: list[Refusal], lasting: bool) -> None:
    message = message_of(accounts, refused, lasting)
    found = messages_of(message)
    assert {each.account: list(each.hits) for each in found} == accounts
    assert {section.account: hits_of(section) for section in decode(message).sections} == accounts
    for each in found:
        assert (each.v, each.name, each.at, each.lasting) == (2, ("0" * 16, 3), 1_795_300_800_250, lasting)
        assert (each.total, each.refused) == (7 + len(each.hits), refused)
    shares = [(account, len(hits), 7 + len(hits)) for account, hits in accounts.items()]
    assert read_envelope(message)[:6] == (2, "0" * 16, 3, 1_795_300_800_250, lasting, shares)
    assert not message.endswith(b"\0")


def usual(hits: int) -> list[WireHit]:
    chance = random.Random(4)
    rows = []
    for i in range(hits):
        hit = {
            "pk": ["shop", f"site{chance.randrange(3)}"],
            "dimensions": {
                "country": {chance.choice("ABCDE") + "x": [f"city{chance.randrange(40)}"]},
                "device": chance.choice("mdt"),
                "source": f"s{chance.randrange(20)}",
            },
            "metrics": {"revenue": chance.randrange(10_000) / 100, "seconds": chance.randrange(60)},
            "at": NOW - i / 50,
        }
        rows.append(encode_hit(parse_hit(hit, SETTINGS, NOW)))
    return decode_message(encode_message("0" * 16, 0, "default", hits, int(NOW * 1000), rows)).hits


def test_a_message_of_five_hundred_hits_is_at_most_forty_bytes_a_hit() -> None:
    assert len(message_of({"default": usual(500)})) <= 40 * 500


# bytes that nobody wrote


def sealed(told: bytes) -> bytes:
    """With the sum that belongs to it, so that what is wrong is found behind that."""
    return columns.MAGIC + zlib.crc32(told).to_bytes(4, "big") + told


def outcome(message: bytes) -> ColumnMessage | None:
    try:
        found = decode(message)
    except BadMessage:
        return None
    for section in found.sections:
        assert len(hits_of(section)) == section.hits
    return found


def assert_read_alike(message: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one and in columns: the same hits, or the same refusal."""
    found: list[Any] = []
    for many in (0, 2**30):
        monkeypatch.setattr(columns, "MANY", many)
        try:
            found.append([(each, list(each.hits)) for each in messages_of(message)])
        except BadMessage as error:
            found.append(str(error))
    one, other = found
    if isinstance(one, str):
        assert one == other
        return
    assert [hits for _, hits in one] == [hits for _, hits in other]
    assert [msgspec.structs.replace(each, hits=[]) for each, _ in one] == [
        msgspec.structs.replace(each, hits=[]) for each, _ in other
    ]


def test_few_hits_are_read_as_many_are_whatever_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    given = usual(20)
    for position, hit in enumerate(given):
        hit.id = f"id{position}" if position % 3 else None
        hit.visitor = "v" if position == 4 else None
        hit.key = f"{position:08x}" if position > 12 else None
        hit.others = {"peak": ("max", position)} if position % 7 == 0 else None
    alone = {f"alone{position}": [given[position]] for position in (0, 1, 4, 13)}
    alone["rare"] = [WireHit(given[0].pk, msgspec.Raw(b"{}"), {}, 5, event="e"), *usual(2)[1:]]
    alone["pairs"] = [WireHit(given[0].pk, msgspec.Raw(b'{"a":{}}'), {"b": 1, "a": 2}, 5, key="00000001")]
    message = message_of({"default": given, "other": given[:2], "none": [], **alone}, [Refusal(1, "bad_pk", "pk", "x")])
    assert_read_alike(message, monkeypatch)
    chance = random.Random(6)
    for _ in range(5000):
        changed = damaged(message, chance, most=3, start=10)
        assert_read_alike(sealed(changed[6:]), monkeypatch)


def damaged(message: bytes, chance: random.Random, most: int, start: int = 0) -> bytes:
    """With 1 to `most` bytes, or runs of them, changed, gone or new, none of them before `start`."""
    changed = bytearray(message)
    for _ in range(chance.randint(1, most)):
        kind, at = chance.randrange(3), chance.randrange(start, len(changed))
        if kind == 0:
            changed[at] = chance.randrange(256)
        elif kind == 1:
            del changed[at : at + chance.randint(1, 9)]
        else:
            changed[at:at] = chance.randbytes(chance.randint(1, 9))
    return bytes(changed)


@pytest.mark.parametrize("seal", [bytes, lambda message: sealed(message[6:])], ids=["as they are", "with their sum"])
def test_changed_bytes_are_a_bad_message_or_a_sound_one(seal: Callable[[bytes], bytes]) -> None:
    given = usual(20)
    for position, hit in enumerate(given):
        hit.id = f"id{position}" if position % 3 else None
    message = message_of({"default": given, "other": given[:2]}, [Refusal(1, "bad_pk", "pk", "x")])
    chance, sound = random.Random(5), 0
    for _ in range(5000):
        changed = damaged(message, chance, most=4)
        sound += changed != message and outcome(seal(changed)) is not None
    assert seal is not bytes or sound == 0


def test_each_cut_is_a_bad_message() -> None:
    message = message_of({"default": usual(5)})
    assert all(outcome(message[:end]) is None for end in range(len(message)))


def test_an_account_that_is_there_twice_is_a_bad_message() -> None:
    """Its hits would be applied under one name, so one half would be lost."""
    both = section_of("default", 3, usual(3))
    with pytest.raises(BadMessage, match="twice"):
        decode(encode("0" * 16, 3, 1, [both, both]))


# versions


def altered(message: bytes, **changes: Any) -> bytes:
    """The same message with another envelope."""
    told = message[6:]
    end = 4 + int.from_bytes(told[:4], "big")
    names = ("version", "publisher", "seq", "at", "lasting", "shares", "fields")
    head = dict(zip(names, msgspec.msgpack.decode(told[4:end]), strict=True)) | changes
    body = msgspec.msgpack.encode(list(head.values()))
    return sealed(len(body).to_bytes(4, "big") + body + told[end:])


@pytest.mark.parametrize(("changes", "says"), [({"version": 3}, "version 3"), ({"fields": ["id", "mood"]}, "id, mood")])
def test_of_a_later_version_the_envelope_is_read_alone(changes: dict[str, Any], says: str) -> None:
    message = altered(message_of({"default": usual(5)}), **changes)
    assert read_envelope(message).shares == [("default", 5, 12)]
    with pytest.raises(NewerMessage, match=says):
        decode(message)


def test_a_later_version_may_have_any_body() -> None:
    told = altered(message_of({"default": usual(5)}), version=9)[6:]
    end = 4 + int.from_bytes(told[:4], "big")
    message = sealed(told[:end] + b"\xc1 nothing that msgpack knows.")
    assert read_envelope(message).version == 9
    with pytest.raises(NewerMessage):
        decode(message)


@pytest.mark.parametrize(
    "changes",
    [
        {"shares": [["default", 6, 12]]},
        {"shares": [["default", 5, 12], ["other", 0, 0]]},
        {"shares": [["default", 5, 12], ["default", 0, 0]]},
        {"shares": [["default", 2**20 + 1, 12]]},
        {"shares": [["Default!", 5, 12]]},
        {"publisher": "x" * 16},
        {"seq": -1},
        {"version": 1},
        {"fields": []},
    ],
    ids=str,
)
def test_an_envelope_that_does_not_fit_is_a_bad_message(changes: dict[str, Any]) -> None:
    given = usual(5)
    given[0].id = "a"
    message = altered(message_of({"default": given}), **changes)
    assert outcome(message) is None


def test_few_bytes_do_not_become_many_amounts() -> None:
    """Columns of one value have no bytes, however long they are."""
    hits, metrics = columns.MOST_HITS, [f"m{i}" for i in range(17)]
    zeros, ones = np.zeros(hits, np.int64), np.ones(hits, np.int64)
    more = [zeros, zeros[:0], zeros, zeros, zeros, [ones] * len(metrics), {}]
    section = columns.Section("a", hits, ['["t"]'], [], metrics, [list(range(17))], *more)
    message = encode("0" * 16, 0, 0, [section])
    assert len(message) < 300
    with pytest.raises(BadMessage, match="17825792 amounts"):
        decode(message)
