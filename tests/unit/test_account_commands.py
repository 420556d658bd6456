"""The commands of accounts: what each prints, what it changes, and one line with exit code 2 for a bad use."""

import json
import os
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from hail.settings import load
from whale.accounts import hash_of
from whale.cli import main
from whale.commands import entries
from whale.errors import NotFound
from whale.library.managing import Managing
from whale.passwords import matches
from whale.store.memory import MemoryStore

NOW = 1_800_000_000
Run = Callable[..., Result]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    for name in [name for name in os.environ if name.startswith("HAILWHALE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HAILWHALE_REDIS_URL", "redis://127.0.0.1:1")
    made = MemoryStore(load({}))
    monkeypatch.setattr(entries, "connect", lambda settings: made)
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    return made


@pytest.fixture
def run(store: MemoryStore) -> Run:
    return lambda *words, given="": CliRunner().invoke(main, words, input=given, prog_name="hailwhale")


@pytest.fixture
def done(run: Run) -> Callable[..., Any]:
    """What a command that must work prints, as JSON."""

    def call(*words: str, given: str = "") -> Any:
        ran = run(*words, "--json", given=given)
        assert ran.exit_code == 0, ran.stderr
        return json.loads(ran.stdout)

    return call


def test_an_account_is_made_listed_shown_renamed_and_removed(run: Run, done: Callable[..., Any]) -> None:
    ran = run("account", "add", "shop", "--zone", "Europe/Berlin")
    assert (ran.exit_code, ran.stdout) == (0, "account shop is made, in the zone Europe/Berlin\n")
    default, shop = done("account", "list")
    assert default == {"name": "default", "id": "default", "zone": "UTC", "made_at": None}
    assert shop == {"name": "shop", "id": shop["id"], "zone": "Europe/Berlin", "made_at": NOW * 1000}
    assert done("account", "show", "shop") == {**shop, "users": 0, "sites": 0, "keys": 0}
    renamed = done("account", "change", "shop", "--name", "store")
    assert renamed == {**shop, "name": "store"}
    assert done("account", "remove", "store", "--yes") == renamed
    assert [each["name"] for each in done("account", "list")] == ["default"]
    assert run("account", "list").stdout == "name\tid\tzone\tmade_at\ndefault\tdefault\tUTC\t-\n"


def test_a_user_is_made_with_a_password_from_stdin_and_rights(
    run: Run, done: Callable[..., Any], store: MemoryStore
) -> None:
    done("account", "add", "shop")
    owner = done("user", "add", "shop", given="correct horse\n")
    assert owner["name"] == "shop"
    assert set(owner["rights"].values()) == {"write"}
    bob = done("user", "add", "shop/bob", "--right", "counts=read", given="correct horse\r\n")
    assert bob["rights"] == {
        "counts": "read",
        "visitors": "none",
        "funnels": "none",
        "decisions": "none",
        "admin": "none",
    }
    account = store.account_named("shop")
    assert account is not None
    first, second = sorted(store.users(account.id), key=lambda user: user.name)
    assert matches(b"correct horse", first.password)
    assert matches(b"correct horse", second.password)
    assert first.password != second.password
    changed = done("user", "change", "shop/bob", "--right", "decisions=write")
    assert changed["rights"] == {**bob["rights"], "decisions": "write"}
    done("user", "change", "shop/bob", "--password", given="another horse\n")
    assert matches(b"another horse", store.users(account.id)[1].password)
    shown = run("user", "show", "shop/bob")
    assert shown.stdout.startswith("name     shop/bob\nrights   counts=read decisions=write\nmade_at  2027-01-1")
    assert "argon2" not in json.dumps([done("user", "list", "shop"), shown.stdout])
    done("user", "remove", "shop/bob", "--yes")
    assert [each["name"] for each in done("user", "list", "shop")] == ["shop"]


def test_a_password_is_typed_twice_at_a_terminal(monkeypatch: pytest.MonkeyPatch, store: MemoryStore) -> None:
    asked: list[dict[str, Any]] = []

    def prompt(text: str, **options: Any) -> str:
        asked.append(options)
        return "correct horse"

    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(click, "prompt", prompt)
    assert matches(b"correct horse", entries.hash_of_new_password())
    assert asked == [{"hide_input": True, "confirmation_prompt": True, "err": True}]


def test_the_secret_of_a_key_is_printed_once_and_alone(run: Run, done: Callable[..., Any], store: MemoryStore) -> None:
    ran = run("key", "add", "default", "--scope", "write", "--expires", "90d")
    secret = ran.stdout.removesuffix("\n")
    assert secret.startswith("hw_w_")
    assert len(secret) == 48
    key = store.key_hashed(hash_of(secret))
    assert key is not None
    assert ran.stderr == f"key {key.id}: keep the secret now, it is never shown again\n"
    (shown,) = done("key", "list", "default")
    assert shown == {
        "id": key.id,
        "prefix": secret[:11],
        "scope": "write",
        "site": None,
        "public": False,
        "standing": "good",
        "made_at": NOW * 1000,
        "expires_at": (NOW + 90 * 86_400) * 1000,
        "revoked_at": None,
        "last_used_at": None,
    }
    assert done("key", "show", "default", key.id) == shown
    assert secret not in run("key", "list", "default").stdout
    assert done("key", "change", "default", key.id, "--never-expires")["expires_at"] is None
    assert done("key", "revoke", "default", key.id)["standing"] == "revoked"
    done("key", "remove", "default", key.id, "--yes")
    assert done("key", "list", "default") == []


def test_an_account_never_takes_the_name_of_one_of_its_users(
    run: Run, done: Callable[..., Any], store: MemoryStore
) -> None:
    """`anna/anna` would be the owner then, and nobody could name the user: a new password for anna would be the owner's."""
    done("account", "add", "shop")
    for user in ("shop", "shop/anna"):
        done("user", "add", user, given="correct horse\n")
    before = store.users(done("account", "show", "shop")["id"])
    refused = run("account", "change", "shop", "--name", "anna")
    said = "hailwhale: name: shop/anna would be called as the owner: remove this user first\n"
    assert (refused.exit_code, refused.stderr) == (2, said)
    assert store.users(done("account", "show", "shop")["id"]) == before
    done("user", "remove", "shop/anna", "--yes")
    assert done("account", "change", "shop", "--name", "anna")["name"] == "anna"
    assert [user["name"] for user in done("user", "list", "anna")] == ["anna"]


def test_a_rotated_key_works_beside_the_new_one_for_the_overlap(done: Callable[..., Any]) -> None:
    old = done("key", "add", "default", "--scope", "read")
    new = done("key", "rotate", "default", old["id"], "--overlap", "12h")
    assert new["secret"] != old["secret"]
    ends = {each["id"]: each["expires_at"] for each in done("key", "list", "default")}
    assert ends == {old["id"]: (NOW + 12 * 3600) * 1000, new["id"]: None}


def test_a_rotation_that_is_cut_off_leaves_no_key_that_nobody_has(
    store: MemoryStore, done: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = done("key", "add", "default", "--scope", "read")
    managing = Managing(store, NOW, os.urandom, "test")
    key = managing.key(managing.account("default"), old["id"])
    managing.change_key(key, 60)
    with pytest.raises(Exception, match="changed meanwhile"):
        managing.rotate_key(key, 60, None)
    assert [each["id"] for each in done("key", "list", "default")] == [old["id"]]


def test_a_site_is_made_changed_and_removed(run: Run, done: Callable[..., Any]) -> None:
    site = done("site", "add", "default", "shop", "--open", "--origin", "https://shop.example", "--name", "The shop")
    assert site == {
        "pk": "shop",
        "name": "The shop",
        "description": "",
        "open": True,
        "origins": ["https://shop.example"],
        "pixels": "referer",
        "keep_days": 400,
        "keep_ids": True,
        "dimensions": [],
        "event_properties": [],
        "cross_site_cookie": False,
        "session_gap_s": 0,
        "pages_in_lower_case": False,
        "pages_without_slash": False,
        "page_parameters": [],
    }
    numbers = "--keep-days", "31", "--session-gap-s", "60"
    changed = done("site", "change", "default", "shop", "--closed", "--no-ids", *numbers, "--pixels", "any")
    new = {"open": False, "keep_ids": False, "keep_days": 31, "session_gap_s": 60, "pixels": "any"}
    assert changed == {**site, **new}
    assert done("site", "list", "default") == [changed]
    assert done("site", "show", "default", "shop") == changed
    key = done("key", "add", "default", "--scope", "browser", "--site", "shop")
    assert (key["public"], key["site"]) == (True, "shop")
    held = run("site", "remove", "default", "shop", "--yes")
    assert (held.exit_code, held.stderr) == (
        2,
        f"hailwhale: site: key {key['id']} opens the site 'shop': remove the key first\n",
    )
    done("key", "revoke", "default", key["id"])
    assert run("site", "remove", "default", "shop", "--yes").stdout == "site shop is removed\n"
    assert done("site", "list", "default") == []


def test_a_key_that_ended_before_its_site_was_removed_never_opens_it_again(
    run: Run, done: Callable[..., Any], store: MemoryStore
) -> None:
    done("site", "add", "default", "shop")
    managing = Managing(store, NOW - 60, os.urandom, "test")
    key, _ = managing.add_key(managing.account("default"), "read", "shop", 30)
    done("site", "remove", "default", "shop", "--yes")
    for end in (["--never-expires"], ["--expires", "1d"]):
        changed = run("key", "change", "default", key.id, *end)
        assert (changed.exit_code, changed.stderr) == (2, "hailwhale: site: account default has no site 'shop'\n")
    assert done("key", "show", "default", key.id)["standing"] == "expired"


def test_no_key_opens_a_site_that_is_removed_at_the_same_moment(
    done: Callable[..., Any], store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    managing = Managing(store, NOW, os.urandom, "test")
    account = managing.account("default")

    def first(name: str, other: Callable[[], Any]) -> None:
        """The next change of this kind comes after the other one."""
        meant = getattr(store, name)

        def changed(*entries: Any) -> None:
            monkeypatch.setattr(store, name, meant)
            other()
            meant(*entries)

        monkeypatch.setattr(store, name, changed)

    def remove() -> None:
        managing.remove_site(account, managing.site(account, "shop"))

    def standings() -> list[str]:
        return [key["standing"] for key in done("key", "list", "default")]

    done("site", "add", "default", "shop")
    first("add_entry", remove)
    with pytest.raises(NotFound, match="account default has no site 'shop'"):
        managing.add_key(account, "read", "shop", None)
    assert standings() == []

    done("site", "add", "default", "shop")
    before = Managing(store, NOW - 60, os.urandom, "test")
    key, _ = before.add_key(account, "read", "shop", 30)
    first("change_entry", remove)
    with pytest.raises(NotFound, match="account default has no site 'shop'"):
        managing.change_key(key, None)
    assert standings() == ["expired"]

    done("site", "add", "default", "shop")
    first("remove_entry", lambda: managing.add_key(account, "read", "shop", None))
    remove()
    assert sorted(standings()) == ["expired", "revoked"]


def test_a_visitor_of_a_site_is_erased(run: Run, done: Callable[..., Any]) -> None:
    done("account", "add", "shop")
    ran = run("erase", "shop", "web", "ann", "--yes")
    assert (ran.exit_code, ran.stderr) == (2, "hailwhale: pk: there is no log of the visitors of 'web'\n")
    done("site", "add", "shop", "web")
    assert run("erase", "shop", "web", "ann").stderr == "hailwhale: this cannot be undone: add --yes\n"
    assert run("erase", "shop", "web", "ann", "--yes").stdout == "the visitor ann is erased\n"
    assert done("erase", "shop", "web", "ann", "--yes")["purged"]
    assert run("erase", "nobody", "web", "ann", "--yes").exit_code == 2


def test_the_journal_shows_who_did_what(run: Run, done: Callable[..., Any]) -> None:
    done("account", "add", "shop")
    done("site", "add", "shop", "web")
    key = done("key", "add", "default", "--scope", "read")
    acts = done("journal")
    assert [(act["did"], act["account"], act["about"]) for act in acts] == [
        ("add account", "shop", "shop"),
        ("add site", "shop", "web"),
        ("add key", "default", key["prefix"]),
    ]
    assert {(act["who"], act["at"]) for act in acts} == {("anna on the command line", NOW * 1000)}
    assert [act["about"] for act in done("journal", "shop")] == ["shop", "web"]
    assert [act["did"] for act in done("journal", "--last", "1")] == ["add key"]
    assert run("journal").stdout.splitlines()[0] == "at\twho\tdid\taccount\tabout"


BAD: list[tuple[tuple[str, ...], str, str]] = [
    (("account", "add", "a/b"), "", "name: expected 1 to 64 of A-Z a-z 0-9 . _ -, got 'a/b'"),
    (("account", "add", "login"), "", "name: login is reserved: take another name"),
    (("account", "add", "default"), "", "name: there is an account default already"),
    (("account", "add", "x", "--zone", "Mars"), "", "zone: expected a time zone such as Europe/Berlin, got 'Mars'"),
    (("account", "show", "nobody"), "", "account: there is no account 'nobody'"),
    (("account", "show", "\udcff"), "", "account: there is no account '\\udcff'"),
    (
        ("account", "remove", "default", "--yes"),
        "",
        "account: the account default stays as it is, since all that was counted without an account is its own",
    ),
    (("account", "remove", "default"), "", "this cannot be undone: add --yes"),
    (("user", "add", "nobody"), "correct horse\n", "account: there is no account 'nobody'"),
    (("user", "add", "default/a/b"), "correct horse\n", "name: expected 1 to 64 of A-Z a-z 0-9 . _ -, got 'a/b'"),
    (("user", "add", "default"), "", "password: expected a line on stdin, got nothing"),
    (("user", "add", "default"), "short\n", "password: expected at least 8 letters, got 5"),
    (
        ("user", "add", "default", "--right", "admin=read"),
        "",
        "right: the owner of an account has all rights: leave this out",
    ),
    (
        ("user", "add", "default/b", "--right", "counts"),
        "",
        "right: expected MODULE=LEVEL such as counts=read, got 'counts'",
    ),
    (
        ("user", "add", "default/b", "--right", "count=read"),
        "",
        "rights: expected one of counts, visitors, funnels, decisions, admin, got 'count'",
    ),
    (("user", "show", "default/b"), "", "name: there is no user 'default/b'"),
    (("user", "change", "default"), "", "user: expected --right or --password"),
    (("key", "add", "default", "--scope", "browser"), "", "site: a browser key belongs to one site: name it"),
    (("key", "add", "default", "--scope", "read", "--site", "shop"), "", "site: account default has no site 'shop'"),
    (("key", "revoke", "default", "00000000"), "", "key: account default has no key '00000000'"),
    (("key", "change", "default", "00000000"), "", "expires: expected one of --expires and --never-expires"),
    (
        ("site", "add", "default", "shop", "--open"),
        "",
        "origins: is open for browsers, so list the origins that may send, such as https://shop.example",
    ),
    (("site", "add", "default", "\udcff"), "", "pk: expected Unicode text, got '\\udcff'"),
    (("site", "add", "default", ""), "", "pk: expected 1 to 200 bytes, got ''"),
    (("site", "change", "default", "shop", "--open"), "", "site: account default has no site 'shop'"),
    (("journal", "nobody"), "", "account: there is no account 'nobody'"),
]


@pytest.mark.parametrize(
    ("words", "given", "sentence"),
    BAD,
    ids=[" ".join(words).encode("ascii", "replace").decode() for words, _, _ in BAD],
)
def test_a_bad_use_is_one_line_and_exit_code_2(run: Run, words: tuple[str, ...], given: str, sentence: str) -> None:
    ran = run(*words, given=given)
    assert (ran.exit_code, ran.stdout, ran.stderr) == (2, "", f"hailwhale: {sentence}\n")


@pytest.mark.parametrize(
    "words",
    [
        ("account",),
        ("account", "add"),
        ("key", "add", "default"),
        ("key", "add", "default", "--scope", "all"),
        ("key", "add", "default", "--scope", "read", "--expires", "soon"),
        ("key", "add", "default", "--scope", "read", "--expires", "3651d"),
        ("user", "add", "default", "--password", "correct horse"),
        ("site", "add", "default", "shop", "--keep-days", "0"),
        ("journal", "--last", "0"),
    ],
)
def test_a_use_that_cannot_be_read_is_exit_code_2(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words, given="correct horse\n")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr
    assert "Traceback" not in ran.stderr


def test_who_is_taken_twice_is_asked_for_no_password(run: Run, done: Callable[..., Any]) -> None:
    done("user", "add", "default", given="correct horse\n")
    ran = run("user", "add", "default")
    assert (ran.exit_code, ran.stderr) == (2, "hailwhale: name: there is a user default already\n")
