"""Accounts, users, sites and keys as values: which names there may be, what a user and a key may, and for how long."""

from dataclasses import replace

import bottle
import pytest

import hail.web
import whale.live.web
import whale.web
from hail.publish import Publisher
from hail.settings import load
from whale.accounts import (
    ALL,
    LEVELS,
    MODULES,
    OWNER,
    RESERVED,
    RIGHTS_OF,
    SCOPES,
    Account,
    Rights,
    Site,
    account_id,
    check_name,
    check_rights,
    check_site,
    check_user_name,
    check_zone,
    hash_of,
    new_key,
    revoked,
    rotated,
    user_name,
)
from whale.client import Whale
from whale.errors import CallerError
from whale.live.relay import Relay
from whale.live.viewers import Viewers
from whale.store.memory import MemoryStore

NOW = 1_800_000_000.0
RAW = bytes(range(36))
SETTINGS = load({})


def refused(field: str, *arguments: object) -> None:
    """A call that names this field."""
    check, *given = arguments
    assert callable(check)
    with pytest.raises(CallerError) as caught:
        check(*given)
    assert caught.value.field == field
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["a", "Anna", "shop.example", "a-b_c", "0", "x" * 64, "default", "counts"])
def test_an_account_may_have_a_name_of_plain_letters(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        "x" * 10_240,
        "a:b",
        "a/b",
        "a{b}",
        "a\0",
        "🐳",
        "ä",
        "a b",
        "a\n",
        "_a",
        ".",
        "..",
        "...",
        "count",
        "LOGIN",
    ],
)
def test_an_account_may_not_have_a_name_that_an_address_or_a_key_cannot_hold(name: str) -> None:
    refused("name", check_name, name)


def test_a_user_may_be_called_as_a_route() -> None:
    assert check_user_name("count") == "count"
    for name in ("", "a:b", "a/b", "x" * 65, "\udc80"):
        refused("name", check_user_name, name)


def first_words(app: bottle.Bottle) -> set[str]:
    """But for an account's own name."""
    return {route.rule.split("/")[1] for route in app.routes} - {"", "<user:account>"}


def test_the_reserved_names_are_the_first_words_of_the_routes_of_all_services() -> None:
    viewers = Viewers(SETTINGS, lambda: "run")
    relay = Relay(SETTINGS, viewers, lambda: MemoryStore(SETTINGS))
    apps = [
        hail.web.make_app(SETTINGS, Publisher(SETTINGS)),
        whale.web.make_app(SETTINGS, Whale(MemoryStore(SETTINGS), SETTINGS)),
        whale.live.web.make_app(SETTINGS, viewers, relay),
    ]
    words = set[str]().union(*map(first_words, apps))
    assert len(words) > 40
    assert words - RESERVED == set()
    to_come = (
        "js login logout users keys sites journal internal identify visitor visitors events properties segments funnel funnels "
        "retention overlap paths sessions track push v1 api privacy favicon.ico robots.txt .well-known"
    )
    assert RESERVED - words == set(to_come.split()) - words


def test_the_name_of_the_account_is_its_owner() -> None:
    account = Account("abcdefghij", "anna", "UTC", 0)
    assert [user_name(account, name) for name in ("", "anna", "bob")] == [OWNER, OWNER, "bob"]


def test_an_id_is_ten_letters_of_random_bytes() -> None:
    assert account_id(bytes(16)) == "aaaaaaaaaa"
    assert account_id(b"\xff" * 16) == "vbkjgnucmo"
    assert account_id(bytes(15) + b"\x1b") == "bbaaaaaaaa"


def test_a_zone_is_one_that_there_is() -> None:
    assert check_zone("Europe/Berlin") == "Europe/Berlin"
    for zone in ("", "Europe", "Mars/Base", "../etc/passwd", "a\0", "x" * 10_000):
        refused("zone", check_zone, zone)


def test_rights_are_a_level_for_each_module() -> None:
    assert MODULES == ("counts", "visitors", "funnels", "decisions", "admin")
    assert check_rights({}) == Rights()
    assert check_rights({"counts": "read", "admin": "write"}) == Rights(counts="read", admin="write")
    refused("rights", check_rights, {"count": "read"})
    refused("rights.counts", check_rights, {"counts": "all"})


@pytest.mark.parametrize(("has", "may"), [("none", ["none"]), ("read", ["none", "read"]), ("write", [*LEVELS])])
def test_a_level_holds_those_before_it(has: str, may: list[str]) -> None:
    rights = Rights(counts=has)
    assert [level for level in LEVELS if rights.may("counts", level)] == may
    assert not rights.may("admin", "read")
    assert all(ALL.may(module, "write") for module in MODULES)


def test_a_site_is_kept_with_its_origins_as_browsers_write_them() -> None:
    given = Site(
        "default",
        "shop",
        open=True,
        origins=("HTTPS://Shop.Example:443", "https://shop.example"),
        dimensions=("a", "a"),
    )
    assert check_site(given, 256) == replace(given, origins=("https://shop.example",), dimensions=("a",))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("pk", {"pk": ""}),
        ("pk", {"pk": "x" * 257}),
        ("pk", {"pk": "\udc80"}),
        ("name", {"name": "x" * 301}),
        ("description", {"description": "x" * 301}),
        ("description", {"description": "\ud800"}),
        ("keep_days", {"keep_days": 0}),
        ("keep_days", {"keep_days": 3651}),
        ("session_gap_s", {"session_gap_s": -1}),
        ("session_gap_s", {"session_gap_s": 86_401}),
        ("page_parameters", {"page_parameters": [f"p{number}" for number in range(21)]}),
        ("page_parameters", {"page_parameters": [""]}),
        ("pk", {"pk": "__bots__"}),
        ("pixels", {"pixels": "all"}),
        ("origins", {"origins": ("shop.example",)}),
        ("origins", {"origins": ("*",)}),
        ("origins", {"origins": ("https://a.b/path",)}),
        ("origins", {"origins": tuple(f"https://a{i}.b" for i in range(101))}),
        ("origins", {"open": True}),
        ("dimensions", {"dimensions": ("",)}),
        ("dimensions", {"dimensions": ("x",) * 101}),
    ],
)
def test_a_site_that_cannot_be_is_refused_with_its_field(field: str, change: dict[str, object]) -> None:
    refused(field, check_site, replace(Site("default", "shop"), **change), 256)  # type: ignore[arg-type]  # of any field


@pytest.mark.parametrize(("scope", "letter"), [("write", "w"), ("read", "r"), ("admin", "a"), ("browser", "b")])
def test_a_secret_is_made_of_random_bytes_and_only_its_hash_is_kept(scope: str, letter: str) -> None:
    key, secret = new_key("default", scope, "shop", RAW, NOW)
    assert secret == f"hw_{letter}_BAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiM"
    assert (key.id, key.prefix, key.public, key.made_s) == (
        "00010203",
        f"hw_{letter}_BAUGBw",
        scope == "browser",
        1_800_000_000,
    )
    assert key.hash == hash_of(secret)
    assert secret[12:] not in repr(key)


def test_the_hash_is_sha256() -> None:
    assert hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(hash_of("\udc80")) == 64


def test_a_key_that_cannot_be_is_refused() -> None:
    refused("scope", new_key, "default", "all", None, RAW, NOW)
    refused("site", new_key, "default", "browser", None, RAW, NOW)
    refused("expires", new_key, "default", "read", None, RAW, NOW, int(NOW))
    with pytest.raises(ValueError, match="36 random bytes"):
        new_key("default", "read", None, RAW[:35], NOW)


def test_a_key_ends_by_its_date_or_when_it_is_revoked() -> None:
    key, _ = new_key("default", "read", None, RAW, NOW, int(NOW) + 10)
    assert [key.standing(NOW + s) for s in (0, 9.9, 10, 11)] == ["good", "good", "expired", "expired"]
    gone = revoked(key, NOW + 5)
    assert gone.standing(NOW) == "revoked"
    assert revoked(gone, NOW + 9) == gone
    assert not gone.may("read", None, NOW + 6)
    assert not key.may("read", None, NOW + 10)


def test_a_scope_opens_its_own_rights() -> None:
    asked = ("write", "read", "admin", "browser")
    opened = {scope: [right for right in asked if right in RIGHTS_OF[scope]] for scope in SCOPES}
    assert opened == {
        "write": ["write"],
        "read": ["read"],
        "admin": ["write", "read", "admin"],
        "browser": ["browser"],
    }


def test_a_key_of_a_site_opens_that_site_alone() -> None:
    whole, _ = new_key("default", "write", None, RAW, NOW)
    one, _ = new_key("default", "write", "shop", RAW, NOW)
    assert [key.may("write", pk, NOW) for key in (whole, one) for pk in ("shop", "other", None)] == [
        *(True, True, True),
        *(True, False, False),
    ]


def test_a_rotated_key_lasts_as_long_as_the_overlap() -> None:
    key, secret = new_key("default", "write", "shop", RAW, NOW)
    old, new, other = rotated(key, bytes(36), NOW + 100, 60)
    assert old == replace(key, expires_s=1_800_000_160)
    assert (new.scope, new.site, new.id, new.expires_s) == ("write", "shop", "00000000", None)
    assert other != secret
    assert new.hash == hash_of(other)
    short, _ = new_key("default", "write", None, RAW, NOW, int(NOW) + 10)
    assert rotated(short, bytes(36), NOW, 60)[0].expires_s == int(NOW) + 10
    refused("key", rotated, revoked(key, NOW), bytes(36), NOW, 60)
    refused("overlap", rotated, key, bytes(36), NOW, -1)
