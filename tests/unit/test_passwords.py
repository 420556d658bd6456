"""Passwords: the same work for whoever is not let in, no waiting for anybody else, and a minute of memory for the right ones."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import count

import msgspec
import pytest

from whale.errors import Busy, CallerError
from whale.passwords import (
    COST,
    MOST_BYTES,
    REMEMBERED_BYTES,
    REMEMBERED_S,
    Cost,
    Passwords,
    check_new,
    hash_of,
    matches,
    needs_new_hash,
)
from whale.routes.responses import unavailable

CHEAP = Cost(64, 1)
SALT = b"somesalt"
NOW = 1_795_000_000.0
ANNA = ("abcdefghij", "anna")


def drawn() -> Callable[[int], bytes]:
    """As os.urandom, each time other bytes."""
    numbers = count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


class Seen:
    """Compares as usual, and writes down against which hash."""

    def __init__(self) -> None:
        self.hashes: list[str] = []

    def __call__(self, password: bytes, stored: str) -> bool:
        self.hashes.append(stored)
        return matches(password, stored)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def passwords(seen: Seen) -> Passwords:
    return Passwords(drawn(), cost=CHEAP, check=seen)


def parameters_of(stored: str) -> tuple[str, int, int]:
    """All of a hash but its salt and its digest, and how long these are."""
    *parameters, salt, digest = stored.split("$")
    return "$".join(parameters), len(salt), len(digest)


def test_a_hash_is_the_one_of_the_reference_implementation() -> None:
    expected = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
    assert hash_of("password", SALT, Cost(256, 2)) == expected
    assert matches(b"password", expected)
    assert not matches(b"Password", expected)


def test_a_hash_costs_what_owasp_advises() -> None:
    assert Cost(memory_kib=19_456, passes=2, lanes=1) == COST
    assert hash_of("x" * 8, SALT).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_the_right_password_is_right_and_no_other(passwords: Passwords) -> None:
    stored = passwords.hash("korrekt pferd")
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)
    for other in ("", "korrekt", "korrekt pferd\0", "Korrekt pferd", "korrekt pferd" * 1000, "\ud800"):
        assert not passwords.are_right(ANNA, stored, other, NOW), other


def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    assert passwords.hash("korrekt pferd") != passwords.hash("korrekt pferd")


@pytest.mark.parametrize("password", ["pass\0word", "Pässwörter", "🔑🔑🔑🔑🔑🔑🔑🔑", "a" * MOST_BYTES, "\udcff" * 8])
def test_any_letters_make_a_password(passwords: Passwords, password: str) -> None:
    stored = passwords.hash(password)
    assert passwords.are_right(ANNA, stored, password, NOW)
    assert not passwords.are_right(ANNA, stored, password[:-1], NOW)


def test_a_letter_that_a_keyboard_composes_is_the_same_letter(passwords: Passwords) -> None:
    assert passwords.are_right(ANNA, passwords.hash("Zu\u0308rich ist schön"), "Z\u00fcrich ist schön", NOW)


def test_an_unknown_name_and_a_wrong_password_cost_one_hash_of_equal_parameters(
    passwords: Passwords, seen: Seen
) -> None:
    stored = passwords.hash("korrekt pferd")
    assert not passwords.are_right(ANNA, stored, "falsches pferd", NOW)
    assert not passwords.are_right(("", "nobody"), None, "falsches pferd", NOW)
    of_anna, of_nobody = seen.hashes
    assert of_anna == stored
    assert parameters_of(of_nobody) == parameters_of(stored) == ("$argon2id$v=19$m=64,t=1,p=1", 22, 43)


def test_a_password_that_is_too_long_and_a_hash_that_cannot_be_read_cost_one_hash_too(
    passwords: Passwords, seen: Seen
) -> None:
    stored = passwords.hash("a" * MOST_BYTES)
    assert not passwords.are_right(ANNA, stored, "a" * (MOST_BYTES + 1), NOW)
    for unreadable in ("", "x", "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$", "$2b$12$abc", stored + "\n"):
        assert not passwords.are_right(ANNA, unreadable, "a" * MOST_BYTES, NOW)
    assert {parameters_of(each) for each in seen.hashes} == {parameters_of(stored)}
    assert len(seen.hashes) == 6


def test_a_right_password_is_remembered_for_a_minute(passwords: Passwords, seen: Seen) -> None:
    stored = passwords.hash("korrekt pferd")
    assert REMEMBERED_S == 60
    for later in (0.0, 1.0, 59.9):
        assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW + later)
    assert len(seen.hashes) == 1
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW + 60.0)
    assert len(seen.hashes) == 2


def test_a_clock_that_was_set_back_makes_no_memory_longer(passwords: Passwords, seen: Seen) -> None:
    stored = passwords.hash("korrekt pferd")
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW - 3600)
    assert len(seen.hashes) == 2


def test_a_wrong_password_is_looked_at_each_time(passwords: Passwords, seen: Seen) -> None:
    stored = passwords.hash("korrekt pferd")
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)
    for _ in range(3):
        assert not passwords.are_right(ANNA, stored, "falsches pferd", NOW)
    assert len(seen.hashes) == 4


def test_what_is_remembered_of_one_user_is_nothing_for_another(passwords: Passwords, seen: Seen) -> None:
    stored, other = passwords.hash("korrekt pferd"), passwords.hash("anderes pferd")
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)
    assert not passwords.are_right((ANNA[0], "bert"), other, "korrekt pferd", NOW)
    assert not passwords.are_right(("jihgfedcba", "anna"), other, "korrekt pferd", NOW)
    assert not passwords.are_right(ANNA, None, "korrekt pferd", NOW)
    assert len(seen.hashes) == 4


def test_a_changed_password_ends_what_is_remembered_also_where_nobody_said_so(passwords: Passwords) -> None:
    stored = passwords.hash("korrekt pferd")
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)
    changed = passwords.hash("anderes pferd")
    assert not passwords.are_right(ANNA, changed, "korrekt pferd", NOW)
    assert passwords.are_right(ANNA, changed, "anderes pferd", NOW)


def test_a_user_is_forgotten_when_told_so(passwords: Passwords, seen: Seen) -> None:
    stored = passwords.hash("korrekt pferd")
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)
    passwords.forget(ANNA)
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)
    assert len(seen.hashes) == 2


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    passwords = Passwords(drawn(), cost=CHEAP, check=lambda password, stored: True)
    stored = hash_of("korrekt pferd", SALT, CHEAP)
    for number in range(3_000):
        assert passwords.are_right(("abcdefghij", f"{number:064}"), stored, "korrekt pferd", NOW)
        assert passwords.remembered_bytes <= REMEMBERED_BYTES
    assert passwords.remembered_bytes > REMEMBERED_BYTES // 2


class Held:
    """Compares nothing until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go, self.at_once, self.most = threading.Semaphore(0), threading.Event(), 0, 0
        self._lock = threading.Lock()

    def __call__(self, password: bytes, stored: str) -> bool:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.begun.release()
        assert self.go.wait(30)
        with self._lock:
            self.at_once -= 1
        return matches(password, stored)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


def test_of_a_hundred_logins_a_few_wait_and_the_others_are_refused_at_once(held: Held) -> None:
    passwords = Passwords(drawn(), cost=CHEAP, check=held, waiting=3)
    stored = hash_of("korrekt pferd", SALT, CHEAP)
    with ThreadPoolExecutor(100) as threads:
        logins = {threads.submit(passwords.are_right, (ANNA[0], str(each)), stored, "x", NOW) for each in range(100)}
        refused = set()
        for login in as_completed(logins, 30):  # while one is compared and three wait
            refused.add(login)
            if len(refused) == 96:
                break
        assert not held.go.is_set()
        held.go.set()
    errors = [login.exception() for login in refused]
    assert {str(error) for error in errors} == {"too many logins at once: try again in a second"}
    assert {error.after_s for error in errors if isinstance(error, Busy)} == {1}
    assert [login.result() for login in logins - refused] == [False] * 4
    assert held.most == 1
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)


def test_who_waited_for_the_same_password_need_not_compare_it_again(held: Held) -> None:
    passwords = Passwords(drawn(), cost=CHEAP, check=held, waiting=3)
    stored = hash_of("korrekt pferd", SALT, CHEAP)
    with ThreadPoolExecutor(4) as threads:
        logins = [threads.submit(passwords.are_right, ANNA, stored, "korrekt pferd", NOW) for _ in range(4)]
        assert held.begun.acquire(timeout=30)
        held.go.set()
    assert [login.result() for login in logins] == [True] * 4
    assert not held.begun.acquire(blocking=False)


def test_who_is_remembered_is_let_in_while_all_places_are_taken(held: Held) -> None:
    passwords = Passwords(drawn(), cost=CHEAP, check=held, waiting=0)
    stored = hash_of("korrekt pferd", SALT, CHEAP)
    held.go.set()
    assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)
    held.go.clear()
    assert held.begun.acquire(timeout=30)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(passwords.are_right, (ANNA[0], "bert"), stored, "x", NOW)
        assert held.begun.acquire(timeout=30)
        assert passwords.are_right(ANNA, stored, "korrekt pferd", NOW)
        with pytest.raises(Busy):
            passwords.hash("korrekt pferd")
        held.go.set()


def test_a_comparison_that_fails_gives_its_place_back() -> None:
    def fails(password: bytes, stored: str) -> bool:
        raise MemoryError

    passwords = Passwords(drawn(), cost=CHEAP, check=fails, waiting=0)
    for _ in range(3):
        with pytest.raises(MemoryError):
            passwords.are_right(ANNA, None, "x", NOW)


@pytest.mark.parametrize(("threads", "places"), [(1, 1), (2, 1), (3, 1), (8, 4), (64, 32)])
def test_logins_take_at_most_half_of_the_threads(threads: int, places: int) -> None:
    assert Passwords.beside(threads, drawn()).places == places


def test_a_hash_of_an_earlier_cost_is_to_be_made_anew() -> None:
    assert needs_new_hash(hash_of("korrekt pferd", SALT, CHEAP))
    assert needs_new_hash("unreadable")
    assert not needs_new_hash(hash_of("korrekt pferd", b"s" * 16))


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "password: expected at least 8 letters, got 0"),
        ("1234567", "password: expected at least 8 letters, got 7"),
        ("ä" * 513, "password: expected at most 1024 bytes, got 1026"),
        ("a" * 10_000, "password: expected at most 1024 bytes, got 10000"),
    ],
)
def test_a_new_password_has_bounds(password: str, said: str) -> None:
    with pytest.raises(CallerError) as error:
        check_new(password)
    assert str(error.value) == said


def test_a_new_password_of_eight_letters_is_taken() -> None:
    assert [check_new(password) for password in ("12345678", "ä" * 512)] == [None, None]


def test_too_many_logins_are_answered_with_the_reason_and_when_to_come_again() -> None:
    answer = unavailable(Busy("too many logins at once: try again in a second", 1)).response()
    assert (answer.status_code, answer.get_header("Retry-After")) == (503, "1")
    assert msgspec.json.decode(answer.body)["detail"] == "too many logins at once: try again in a second"
