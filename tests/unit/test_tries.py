"""Whoever guesses passwords waits longer and longer; the owner of a name waits half a minute at most, and mostly not at all."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from hail.room import MEGABYTE
from whale.tries import KNOWN_S, MOST_BYTES, OF_ADDRESS, OF_KNOWN, OF_NAME, REMEMBERED_S, Pace, Tries, address_of

NOW = 1_795_000_000.0
ANNA = ("shop", "anna")
HOME, OFFICE, STRANGER = "192.0.2.1", "198.51.100.7", "203.0.113.9"
PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.fixture
def tries() -> Tries:
    return Tries(b"k" * 32)


def guess(tries: Tries, who: tuple[str, str], address: str | None, times: int, now: float = NOW) -> None:
    for _ in range(times):
        tries.wrong(who, address, now)


def test_a_pace_leaves_some_tries_free_and_then_doubles_up_to_its_bound() -> None:
    pace = Pace(free=2, first_s=1, most_s=10)
    assert [pace.wait_s(wrong) for wrong in (0, 1, 2, 3, 4, 5, 6, 7, 10_000)] == [0, 0, 1, 2, 4, 8, 10, 10, 10]


def test_the_paces_are_those_of_the_decision() -> None:
    assert Pace(free=5, first_s=2, most_s=300) == OF_ADDRESS
    assert Pace(free=10, first_s=1, most_s=30) == OF_NAME
    assert Pace(free=5, first_s=1, most_s=30) == OF_KNOWN
    assert (REMEMBERED_S, KNOWN_S) == (15 * 60, 30 * 24 * 3600)


def test_nobody_waits_who_mistyped_a_few_times(tries: Tries) -> None:
    guess(tries, ANNA, HOME, 4)
    assert tries.wait_s(ANNA, HOME, NOW) == 0


def test_an_address_waits_whatever_names_it_tries(tries: Tries) -> None:
    for number in range(5):
        tries.wrong(("shop", str(number)), STRANGER, NOW)
    assert tries.wait_s(ANNA, STRANGER, NOW) == 2
    assert tries.wait_s(ANNA, STRANGER, NOW + 0.5) == 1.5
    assert tries.wait_s(ANNA, STRANGER, NOW + 2) == 0
    assert tries.wait_s(ANNA, HOME, NOW) == 0
    tries.wrong(ANNA, STRANGER, NOW + 2)
    assert tries.wait_s(ANNA, STRANGER, NOW + 2) == 4


def test_a_name_waits_wherever_it_is_tried(tries: Tries) -> None:
    for number in range(10):
        tries.wrong(ANNA, f"203.0.113.{number}", NOW)
    assert tries.wait_s(ANNA, HOME, NOW) == 1
    assert tries.wait_s(("shop", "bert"), HOME, NOW) == 0
    assert tries.wait_s(("other", "anna"), HOME, NOW) == 0


def test_a_quarter_of_an_hour_without_a_wrong_password_ends_it(tries: Tries) -> None:
    guess(tries, ANNA, STRANGER, 10)
    assert tries.wait_s(ANNA, STRANGER, NOW) == 64
    assert tries.wait_s(ANNA, STRANGER, NOW + 899) == 0
    tries.wrong(ANNA, STRANGER, NOW + 900)
    assert tries.wait_s(ANNA, STRANGER, NOW + 900) == 0
    guess(tries, ANNA, STRANGER, 4, NOW + 900)
    assert tries.wait_s(ANNA, STRANGER, NOW + 900) == 2


def test_a_stranger_holds_up_an_owner_for_half_a_minute_and_not_where_they_were_before(tries: Tries) -> None:
    tries.right(ANNA, HOME, NOW - 86_400)
    for number in range(10_000):
        tries.wrong(ANNA, f"2001:db8:{number:x}::/64", NOW)
    assert tries.wait_s(ANNA, OFFICE, NOW) == 30
    assert tries.wait_s(ANNA, OFFICE, NOW + 30) == 0
    assert tries.wait_s(ANNA, HOME, NOW) == 0
    assert tries.wait_s(ANNA, OFFICE, NOW, known=True) == 0


def test_a_stranger_at_the_address_of_an_owner_holds_up_those_alone_who_were_never_there(tries: Tries) -> None:
    tries.right(ANNA, OFFICE, NOW)
    for number in range(1000):
        tries.wrong(("shop", str(number)), OFFICE, NOW)
    assert tries.wait_s(("shop", "bert"), OFFICE, NOW) == 300
    assert tries.wait_s(ANNA, OFFICE, NOW) == 0


def test_who_was_there_before_waits_too_once_they_guess(tries: Tries) -> None:
    tries.right(ANNA, HOME, NOW)
    guess(tries, ANNA, HOME, 5)
    assert tries.wait_s(ANNA, HOME, NOW) == 1
    guess(tries, ANNA, HOME, 100)
    assert tries.wait_s(ANNA, HOME, NOW) == 30
    assert tries.wait_s(ANNA, OFFICE, NOW) == 0  # the name alone has no wrong ones
    tries.right(ANNA, HOME, NOW + 30)
    assert tries.wait_s(ANNA, HOME, NOW + 30) == 0


def test_a_browser_that_was_let_in_before_waits_once_it_guesses(tries: Tries) -> None:
    for _ in range(5):
        tries.wrong(ANNA, OFFICE, NOW, known=True)
    assert tries.wait_s(ANNA, OFFICE, NOW, known=True) == 1
    assert tries.wait_s(ANNA, OFFICE, NOW) == 0


def test_who_has_an_account_cannot_wipe_out_what_they_guessed_of_others(tries: Tries) -> None:
    for number in range(20):
        tries.wrong(("shop", str(number)), STRANGER, NOW)
        tries.right(("mallory", ""), STRANGER, NOW)
    assert tries.wait_s(ANNA, STRANGER, NOW) == 300


def test_an_address_is_known_for_thirty_days(tries: Tries) -> None:
    tries.right(ANNA, HOME, NOW)
    guess(tries, ANNA, STRANGER, 100, NOW + KNOWN_S)
    assert tries.wait_s(ANNA, HOME, NOW + KNOWN_S - 1) == 0
    assert tries.wait_s(ANNA, HOME, NOW + KNOWN_S) == 30


def test_a_clock_that_was_set_back_makes_no_wait_longer(tries: Tries) -> None:
    guess(tries, ANNA, STRANGER, 100)
    assert tries.wait_s(ANNA, STRANGER, NOW - 86_400) == 300


def test_without_an_address_the_name_counts(tries: Tries) -> None:
    for number in range(1000):
        tries.wrong(("shop", str(number)), None, NOW)
    assert tries.wait_s(ANNA, None, NOW) == 0
    guess(tries, ANNA, None, 10)
    assert tries.wait_s(ANNA, None, NOW) == 1


def test_of_10_000_wrong_logins_in_100_seconds_few_are_compared(tries: Tries) -> None:
    compared = 0
    for number in range(10_000):
        now = NOW + number / 100
        if not tries.wait_s(ANNA, STRANGER, now):
            compared += 1
            tries.wrong(ANNA, STRANGER, now)
    assert compared == 10  # 5, then after 2, 4, 8, 16 and 32 s
    assert tries.wait_s(ANNA, STRANGER, NOW + 100) <= 300


@pytest.mark.parametrize(
    ("who", "address"),
    [
        (lambda number: ("x" * 10_000, str(number)), lambda number: STRANGER),
        (lambda number: ("\ud800{}:/\0", str(number) * 2000), lambda number: f"2001:db8:{number:x}::/64"),
        (lambda number: ANNA, lambda number: f"2001:db8:{number:x}::/64"),
    ],
    ids=["names", "both", "addresses"],
)
def test_what_a_stranger_sends_takes_bounded_memory(
    tries: Tries, who: Callable[[int], tuple[str, str]], address: Callable[[int], str]
) -> None:
    for number in range(20_000):
        tries.wrong(who(number), address(number), NOW + number)
        tries.right((str(number), ""), address(number), NOW + number)
        assert tries.held_bytes <= MOST_BYTES
    assert MOST_BYTES == 6 * MEGABYTE


def test_where_memory_is_full_the_oldest_is_forgotten_first(tries: Tries) -> None:
    guess(tries, ANNA, STRANGER, 100, NOW)
    for number in range(4_000):
        tries.wrong((str(number), ""), f"2001:db8:{number:x}::/64", NOW + 1)
    assert tries.wait_s(ANNA, STRANGER, NOW) == 300
    for number in range(40_000):
        tries.wrong((str(number), ""), f"2001:db8:{number:x}::/64", NOW + 2)
    assert tries.wait_s(ANNA, STRANGER, NOW) == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "192.0.2.1", "203.0.113.9"),  # no trusted proxy says so
        ("::ffff:203.0.113.9", "", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1%eth0", "", "2001:db8:1:2::/64"),
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
        ("fd00::1", "[2001:db8:1:2::7]:4711", "2001:db8:1:2::/64"),
        ("10.0.0.1", "127.0.0.1, 203.0.113.9", "203.0.113.9"),  # the left one is whatever the client wrote
        ("10.0.0.1", "1.1.1.1, 192.0.2.1, 10.9.9.9", "192.0.2.1"),  # two proxies
        ("10.0.0.1", "1.1.1.1,unknown", None),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", None),
        ("10.0.0.1", "", None),
        ("10.0.0.1", "127.0.0.1", None),
        ("10.0.0.1", "," * 8000, None),
        ("127.0.0.1", "192.0.2.1", None),  # a proxy that nobody listed may bring everybody
        ("::1", "", None),
        ("", "192.0.2.1", None),
    ],
)
def test_the_address_is_what_a_trusted_proxy_saw(peer: str, forwarded: str, address: str | None) -> None:
    environ = {"REMOTE_ADDR": peer, **({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {})}
    assert address_of(environ, PROXIES) == address
