"""Who logged in: by a password or a cookie, with which rights, and until when."""

import base64
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from hail.access import RIGHTS, Caller
from hail.settings import load
from whale.accounts import ALL, Account, Act, Rights, User
from whale.errors import Busy, TooSoon
from whale.logins import KNOWN_AGAIN_S, Logins, rights_of
from whale.passwords import Cost, Passwords
from whale.store.memory import MemoryStore

SETTINGS = load({"HAILWHALE_SECRET": "s" * 32, "HAILWHALE_TRUSTED_PROXIES": "10.0.0.0/8"})
NOW = 1_795_000_000.0
ACT = Act(1, "test", "add", "", "")
SHOP = Account("abcdefghij", "shop", "UTC", 1)
READS = Rights(counts="read", decisions="write")
HOST = {"HTTP_HOST": "127.0.0.1:8086", "REMOTE_ADDR": "192.0.2.1"}


def drawn() -> Callable[[int], bytes]:
    numbers = count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


class World:
    """A store with the account `shop`, its owner and anna; the owner of `default`; and who lets them in."""

    def __init__(self) -> None:
        self.now, self.store = NOW, MemoryStore(SETTINGS)
        self.passwords = Passwords(drawn(), cost=Cost(64, 1))
        self.logins = Logins(self.store, SETTINGS, lambda: self.now, b"k" * 32, self.passwords)
        self.store.add_entry(SHOP, ACT)
        self.add("abcdefghij", "", "passwort des besitzers", ALL)
        self.add("abcdefghij", "anna", "passwort von anna", READS)
        self.add("default", "", "passwort von default", ALL)

    def add(self, account: str, name: str, password: str, rights: Rights) -> User:
        user = User(account, name, self.passwords.hash(password), rights, 1)
        self.store.add_entry(user, ACT)
        return user

    def user(self, account: str, name: str) -> User:
        return next(each for each in self.store.users(account) if each.name == name)

    def change(self, account: str, name: str, password: str) -> None:
        seen = self.user(account, name)
        self.store.change_entry(seen, User(account, name, self.passwords.hash(password), seen.rights, 1), ACT)

    def cookie(self, name: str = "shop/anna", password: str = "passwort von anna") -> dict[str, str]:
        found = self.logins.logged_in(name, password, HOST)
        assert found
        return {**HOST, "HTTP_COOKIE": found.partition(";")[0]}


@pytest.fixture
def world() -> World:
    return World()


def basic(name: str, password: str, **environ: str) -> dict[str, Any]:
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {**HOST, "HTTP_AUTHORIZATION": f"Basic {text}", **environ}


OWNER = Caller("abcdefghij", rights_of(ALL), "")
ANNA = Caller("abcdefghij", rights_of(READS), "anna")


@pytest.mark.parametrize(
    ("name", "password", "caller"),
    [
        ("shop", "passwort des besitzers", OWNER),
        ("shop/shop", "passwort des besitzers", OWNER),
        ("shop/anna", "passwort von anna", ANNA),
        ("default", "passwort von default", Caller("default", rights_of(ALL), "")),
        ("shop/anna", "passwort des besitzers", None),
        ("shop", "passwort von anna", None),
        ("shop/", "passwort von anna", None),
        ("shop/bert", "passwort von anna", None),
        ("default/anna", "passwort von anna", None),
        ("other/anna", "passwort von anna", None),
        ("SHOP/anna", "passwort von anna", None),
        ("abcdefghij/anna", "passwort von anna", None),
        ("shop/anna/x", "passwort von anna", None),
        ("anna", "passwort von anna", None),
        ("", "passwort von anna", None),
        ("shop/anna", "", None),
        ("shop\0/anna", "passwort von anna", None),
        ("🔑" * 2500, "passwort von anna", None),
    ],
)
def test_basic_lets_in_a_user_of_an_account(world: World, name: str, password: str, caller: Caller | None) -> None:
    assert world.logins.by_basic(basic(name, password)) == caller


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Basic c2hvcA==", "Bearer c2hvcDp4", "Basic /w==", "Basic Og=="]
)
def test_what_is_no_basic_lets_nobody_in(world: World, header: str) -> None:
    assert world.logins.by_basic({**HOST, "HTTP_AUTHORIZATION": header}) is None


def test_a_user_has_the_rights_of_their_modules() -> None:
    assert rights_of(Rights()) == {"any:read"}
    assert rights_of(READS) == {"any:read", "counts:read", "decisions:read", "decisions:write"}
    assert {f"{right.module}:read" for right in RIGHTS} <= rights_of(ALL)
    assert not rights_of(ALL) & {"read", "write", "admin"}  # the words of keys


def test_whoever_logged_in_is_known_by_the_cookie(world: World) -> None:
    assert world.logins.logged_in("shop/anna", "falsch", HOST) is None
    assert world.logins.by_cookie(world.cookie()) == ANNA
    assert world.logins.by_cookie(HOST) is None


def test_a_cookie_ends_when_the_password_changes(world: World) -> None:
    anna, owner = world.cookie(), world.cookie("shop", "passwort des besitzers")
    world.change("abcdefghij", "anna", "anderes passwort")
    world.now += KNOWN_AGAIN_S
    assert world.logins.by_cookie(anna) is None
    assert world.logins.by_cookie(owner) == OWNER
    assert world.logins.by_basic(basic("shop/anna", "passwort von anna")) is None
    assert world.logins.by_basic(basic("shop/anna", "anderes passwort")) == ANNA


def test_a_cookie_ends_after_fourteen_days_and_with_its_user(world: World) -> None:
    anna = world.cookie()
    world.now += 14 * 86_400 - 1
    assert world.logins.by_cookie(anna) == ANNA
    world.now += 1
    assert world.logins.by_cookie(anna) is None
    anna = world.cookie()
    world.store.remove_entry(world.user("abcdefghij", "anna"), ACT)
    world.now += KNOWN_AGAIN_S
    assert world.logins.by_cookie(anna) is None


def test_a_name_that_was_taken_anew_is_another_account(world: World) -> None:
    anna = world.cookie()
    assert world.logins.by_basic(basic("shop/anna", "passwort von anna"))
    world.store.remove_entry(SHOP, ACT)
    world.store.add_entry(Account("jihgfedcba", "shop", "UTC", 2), ACT)
    world.add("jihgfedcba", "anna", "passwort von anna", ALL)
    world.now += KNOWN_AGAIN_S
    assert world.logins.by_cookie(anna) is None
    assert world.logins.by_basic(basic("shop/anna", "passwort von anna")) == Caller(
        "jihgfedcba", rights_of(ALL), "anna"
    )


def test_rights_that_change_hold_within_a_second(world: World) -> None:
    anna = world.cookie()
    seen = world.user("abcdefghij", "anna")
    world.store.change_entry(seen, User(seen.account, seen.name, seen.password, Rights(), 1), ACT)
    assert KNOWN_AGAIN_S == 1
    world.now += 1
    assert world.logins.by_cookie(anna) == Caller("abcdefghij", rights_of(Rights()), "anna")


def test_whoever_guesses_waits_and_is_shown_how_long(world: World) -> None:
    for _ in range(5):
        assert world.logins.by_basic(basic("shop/anna", "falsch")) is None
    for name in ("shop/anna", "shop/nobody", "nobody/at-all"):
        with pytest.raises(TooSoon) as error:
            world.logins.by_basic(basic(name, "passwort von anna"))
        assert (str(error.value), error.value.after_s) == ("too many wrong passwords: try again in 2 s", 2)
    assert world.logins.by_basic(basic("shop/anna", "passwort von anna", REMOTE_ADDR="192.0.2.2")) == ANNA
    assert world.logins.by_basic(basic("shop/anna", "passwort von anna", REMOTE_ADDR="10.0.0.1")) == ANNA
    world.now += 2
    assert world.logins.by_basic(basic("shop/anna", "passwort von anna")) == ANNA


def test_the_address_is_the_one_that_a_trusted_proxy_saw(world: World) -> None:
    proxy = {"REMOTE_ADDR": "10.0.0.1"}
    for number in range(5):
        name = f"shop/{number}"
        assert world.logins.by_basic(basic(name, "x", **proxy, HTTP_X_FORWARDED_FOR="203.0.113.9")) is None
    with pytest.raises(TooSoon):
        world.logins.by_basic(basic("shop/anna", "x", **proxy, HTTP_X_FORWARDED_FOR="1.1.1.1, 203.0.113.9"))
    right = basic("shop/anna", "passwort von anna", **proxy, HTTP_X_FORWARDED_FOR="192.0.2.7")
    assert world.logins.by_basic(right) == ANNA


def test_whoever_was_let_in_before_waits_for_no_stranger(world: World) -> None:
    cookie = world.cookie()["HTTP_COOKIE"]
    for number in range(10):
        assert world.logins.by_basic(basic("shop/anna", "falsch", REMOTE_ADDR=f"203.0.113.{number}")) is None
    assert world.logins.by_basic(basic("shop/anna", "passwort von anna")) == ANNA
    with pytest.raises(TooSoon):
        world.logins.logged_in("shop/anna", "passwort von anna", {**HOST, "REMOTE_ADDR": "198.51.100.7"})
    elsewhere = {**HOST, "REMOTE_ADDR": "198.51.100.7", "HTTP_COOKIE": cookie}
    assert world.logins.logged_in("shop/anna", "passwort von anna", elsewhere)
    for number in range(10):
        assert world.logins.logged_in("shop", "falsch", {**elsewhere, "REMOTE_ADDR": f"198.51.100.{number}"}) is None
    with pytest.raises(TooSoon):  # the cookie of one user is none of another's
        world.logins.logged_in("shop", "passwort des besitzers", {**elsewhere, "REMOTE_ADDR": "198.51.100.99"})


def test_a_known_password_is_let_in_while_others_guess(world: World) -> None:
    assert world.logins.by_basic(basic("shop/anna", "passwort von anna"))
    for _ in range(5):
        world.logins.by_basic(basic("shop/anna", "falsch"))
    with pytest.raises(TooSoon):
        world.logins.by_basic(basic("shop/anna", "falsch"))


def test_a_login_that_is_refused_for_others_counts_as_no_wrong_one(world: World, monkeypatch: Any) -> None:
    def busy(*_: Any) -> bool:
        raise Busy("too many logins at once: try again in a second", 1)

    with monkeypatch.context() as patched:
        patched.setattr(world.passwords, "are_right", busy)
        for _ in range(20):
            with pytest.raises(Busy):
                world.logins.by_basic(basic("shop/anna", "passwort von anna"))
    assert world.logins.by_basic(basic("shop/anna", "passwort von anna")) == ANNA


def test_without_a_secret_there_is_basic_and_no_cookie(world: World) -> None:
    logins = Logins(world.store, load({}), lambda: NOW, b"k" * 32, world.passwords)
    assert logins.by_basic(basic("shop/anna", "passwort von anna")) == ANNA
    assert logins.by_cookie(world.cookie()) is None


def test_to_log_out_clears_the_cookie(world: World) -> None:
    assert world.logins.logged_out(HOST) == "hailwhale-8086=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
    secure = {"HTTP_HOST": "count.example", "wsgi.url_scheme": "https"}
    assert world.logins.logged_out(secure).startswith("__Host-hailwhale-443=; Max-Age=0;")


def test_an_account_has_users_or_none(world: World) -> None:
    assert [world.logins.has_users(account) for account in ("abcdefghij", "default", "nowhere")] == [True, True, False]


@pytest.mark.parametrize("name", ["\udcff", "a\0", "a:b", "{a}", "🔑", "a b", "x" * 65, ""])
def test_the_store_is_asked_for_no_name_that_none_can_have(world: World, monkeypatch: Any, name: str) -> None:
    asked: list[str] = []
    monkeypatch.setattr(world.store, "account_named", asked.append)
    assert world.logins.logged_in(name, "x", HOST) is None
    assert world.logins.logged_in(f"{name}/anna", "x", HOST) is None
    assert asked == []
