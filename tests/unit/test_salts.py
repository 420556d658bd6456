"""Salts of days: the form in which Whale hands them to Hail, who gets them, and how long Hail has them."""

import pytest

from hail.informed import COPY, FOLDER, SALTS_AGAIN_S, SALTS_S
from hail.salts import NoSalts, daily_id, dates_at, record_of, salts_of
from tests.nodes import INTERNAL, Asked, Node
from tests.wsgi import call

SALTS = {"2027-01-15": "ab" * 32, "2027-01-16": "cd" * 32}
HEAD = {"HTTP_AUTHORIZATION": f"Bearer {INTERNAL}"}


@pytest.fixture
def whale() -> Asked:
    found = Asked()
    found.now = 1_800_000_000.0
    return found


def test_there_are_salts_for_each_date_on_earth_and_for_the_next() -> None:
    assert dates_at(1_800_000_000.0) == ["2027-01-14", "2027-01-15", "2027-01-16", "2027-01-17"]


def test_a_record_is_read_as_it_was_written() -> None:
    assert salts_of(record_of(SALTS, INTERNAL), INTERNAL) == {day: bytes.fromhex(salt) for day, salt in SALTS.items()}


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"nonsense",
        record_of(SALTS, "another key"),
        record_of(SALTS, INTERNAL)[:-1],
        record_of(SALTS, INTERNAL) + b" ",
        record_of(SALTS, INTERNAL).replace(b"abab", b"acab"),
        record_of({"2027-01-15": "short"}, INTERNAL),
        record_of(SALTS, INTERNAL).replace(b"hws1", b"hwd1"),
    ],
)
def test_what_no_holder_of_the_key_has_signed_is_not_taken(record: bytes) -> None:
    with pytest.raises(NoSalts):
        salts_of(record, INTERNAL)


def test_whale_hands_the_same_salts_to_everyone_with_the_internal_key_and_to_nobody_else(whale: Asked) -> None:
    one, other = (call(whale, "GET", "/internal/salts", **HEAD) for _ in range(2))
    assert (one.status, one.body, one.headers["Cache-Control"]) == (200, other.body, "no-store")
    assert len(salts_of(one.body, INTERNAL)) == 4
    assert call(whale, "GET", "/internal/salts", HTTP_AUTHORIZATION="Bearer x").status == 401
    assert call(whale, "GET", "/internal/salts", {"since": "1"}, **HEAD).status == 400


def test_hail_asks_once_a_minute_and_sooner_where_it_got_none(node: Node, whale: Asked) -> None:
    informed = node.process()
    informed.renew_salts()
    asked = len(whale.asked)
    node.now += SALTS_S - 1
    informed.renew_salts()
    assert len(whale.asked) == asked
    node.now += 2
    informed.renew_salts()
    assert len(whale.asked) == asked + 1
    away = node.process(whale_url="http://127.0.0.1:9")
    away.renew_salts()
    assert away.salt_in("UTC") is None
    assert away._salts_due_at == node.now + SALTS_AGAIN_S


def test_a_salt_is_in_no_file_of_hail(node: Node, whale: Asked) -> None:
    informed = node.process()
    node.later(informed)
    record = call(whale, "GET", "/internal/salts", **HEAD).body
    informed._salts = salts_of(record, INTERNAL)
    salts = list(informed._salts.values())
    informed._write_all()
    text = (node.folder / FOLDER / COPY).read_bytes()
    assert len(salts) == 4
    assert all(salt not in text and salt.hex().encode() not in text for salt in salts)


def test_an_id_of_a_day_depends_on_each_of_its_parts() -> None:
    parts = [b"s" * 32, "acc", "web", b"\x01\x02", "Agent"]
    others = [b"t" * 32, "add", "wed", b"\x01\x03", "Agents"]
    ids = {daily_id(*parts)}  # type: ignore[arg-type]  # of five types
    for place, other in enumerate(others):
        ids.add(daily_id(*[*parts[:place], other, *parts[place + 1 :]]))  # type: ignore[arg-type]  # the same
    assert len(ids) == 6
