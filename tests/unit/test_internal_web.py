"""GET /internal/directory: what Hail is handed, to whom, and bad input."""

from hashlib import sha512
from typing import Any

import pytest

from hail import directory
from hail.settings import SettingsError, load
from tests.wsgi import Answer, call
from whale.accounts import ALL, Account, Act, Key, Site, User, check_site, hash_of, new_key, revoked
from whale.client import Whale
from whale.errors import CallerError
from whale.passwords import hash_of as hash_password
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_800_000_000.0
INTERNAL = "i" * 32
KEYS = {"HAILWHALE_WRITE_KEY": "w" * 32, "HAILWHALE_READ_KEY": "r" * 32, "HAILWHALE_ADMIN_KEY": "a" * 32}
ACT = Act(0, "a test", "did", "default", "it")
ANN = Account("annannanna", "ann", "UTC", 0)
SHOP = Site(ANN.id, "shop", "The shop", "no need of this", True, ("https://shop.example",), 30)


class Server:
    def __init__(self, **environ: str) -> None:
        self.settings = load(environ)
        self.store = MemoryStore(self.settings)
        self.app = make_app(self.settings, Whale(self.store, self.settings, clock=lambda: NOW))
        self.drawn = 0

    def ask(self, query: str = "", key: str = INTERNAL, **environ: str) -> Answer:
        environ = {"HTTP_AUTHORIZATION": f"Bearer {key}", **environ}
        return call(self.app, "GET", "/internal/directory", None, b"", query, **environ)

    def handed(self, query: str = "") -> directory.Answer:
        answer = self.ask(query)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        found = directory.answer_of(answer.body, INTERNAL)
        assert answer.headers["Etag"] == f'"{directory.State(*found.state).text}"'
        return found

    def key(self, scope: str = "write", site: str | None = None, expires_s: int | None = None) -> tuple[Key, str]:
        self.drawn += 1
        key, secret = new_key(ANN.id, scope, site, sha512(b"%d" % self.drawn).digest()[:36], NOW, expires_s)
        self.store.add_entry(key, ACT)
        return key, secret


@pytest.fixture
def server() -> Server:
    found = Server(**KEYS, HAILWHALE_INTERNAL_KEY=INTERNAL)
    found.store.add_entry(ANN, ACT)
    return found


def taken(*answers: directory.Answer) -> directory.Directory:
    found = directory.Directory(1)
    for answer in answers:
        found.take(answer)
    return found


def test_hail_is_handed_accounts_keys_and_sites(server: Server) -> None:
    server.store.add_entry(SHOP, ACT)
    writes, secret = server.key("write", "shop", int(NOW) + 60)
    browses, _ = server.key("browser", "shop")
    found = server.handed()
    assert found == directory.Answer(
        found.state,
        None,
        [directory.Account("default", "default"), directory.Account(ANN.id, "ann")],
        [
            directory.Key(writes.hash, writes.id, ANN.id, "write", "shop", False, int(NOW) + 60),
            directory.Key(browses.hash, browses.id, ANN.id, "browser", "shop", True),
        ],
        [directory.Site(ANN.id, "shop", True, ("https://shop.example",), "referer")],
    )
    assert taken(found).key_of(secret.encode(), NOW) == found.keys[0]


def test_hail_is_handed_whether_pages_of_other_sites_send_cookies(server: Server) -> None:
    server.store.add_entry(Site(ANN.id, "shop", cross_site_cookie=True), ACT)
    found = server.handed()
    assert found.sites == [directory.Site(ANN.id, "shop", cross_site_cookie=True)]
    site = taken(found).site(ANN.id, "shop")
    assert site
    assert site.cross_site_cookie


def test_no_user_and_no_text_for_people_is_handed_on(server: Server) -> None:
    server.store.add_entry(SHOP, ACT)
    server.store.add_entry(User(ANN.id, "anna", hash_password("a password", bytes(16)), ALL, 0), ACT)
    body = server.ask().body
    assert b"The shop" not in body
    assert b"no need of this" not in body
    assert b"argon2" not in body


def test_a_delta_leads_where_the_whole_does(server: Server) -> None:
    server.store.add_entry(SHOP, ACT)
    gone, gone_secret = server.key()
    stays, stays_secret = server.key("read")
    before = server.handed()
    server.store.remove_entry(gone, ACT)
    server.store.remove_entry(SHOP, ACT)
    new, new_secret = server.key()
    delta = server.handed(f"since={directory.State(*before.state).text}")
    assert delta.since == before.state[1]
    assert len(delta.keys) == 1
    found = taken(before, delta)
    assert found.key_of(gone_secret.encode(), NOW) is None
    assert found.site(ANN.id, "shop") is None
    for key, secret in ((stays, stays_secret), (new, new_secret)):
        known = found.key_of(secret.encode(), NOW)
        assert known
        assert known.id == key.id
    whole = server.handed()
    assert sorted(found.answer().keys, key=str) == sorted(whole.keys, key=str)
    assert found.state == whole.state


def test_a_revoked_key_is_in_no_answer_though_the_store_keeps_it(server: Server) -> None:
    key, secret = server.key()
    before = server.handed()
    server.store.change_entry(key, revoked(key, NOW), ACT)
    assert server.store.key_hashed(hash_of(secret)) is not None
    delta = server.handed(f"since={directory.State(*before.state).text}")
    assert (delta.keys, delta.gone.keys) == ([], ((ANN.id, key.id),))
    assert taken(before, delta).key_of(secret.encode(), NOW) is None
    assert server.handed().keys == []


def test_an_account_that_is_gone_takes_its_keys_with_it(server: Server) -> None:
    _, secret = server.key()
    before = server.handed()
    server.store.remove_entry(ANN, ACT)
    delta = server.handed(f"since={directory.State(*before.state).text}")
    found = taken(before, delta)
    assert found.account(ANN.id) is None
    assert found.key_of(secret.encode(), NOW) is None


def test_an_asker_who_has_it_gets_304_and_without_a_body(server: Server) -> None:
    state = directory.State(*server.handed().state).text
    answer = server.ask(f"since={state}", HTTP_IF_NONE_MATCH=f'"{state}"')
    assert (answer.status, answer.body) == (304, b"")
    server.key()
    answer = server.ask(f"since={state}", HTTP_IF_NONE_MATCH=f'"{state}"')
    assert (answer.status, len(directory.answer_of(answer.body, INTERNAL).keys)) == (200, 1)


@pytest.mark.parametrize("since", ["another-word.1", "{word}.999999"])
def test_whoever_knows_another_state_gets_all(server: Server, since: str) -> None:
    word = server.handed().state[0]
    assert server.handed(f"since={since.format(word=word)}").since is None


@pytest.mark.parametrize(
    "query", ["since=1", "since=word-of-one-1", "since=word-of-one-1.x", "since=%00.1", "since=" + "a" * 9000]
)
def test_a_state_that_is_none_is_the_callers_fault(server: Server, query: str) -> None:
    answer = server.ask(query)
    assert (answer.status, answer.json["field"]) == (400, "since")


def test_a_parameter_that_is_none_is_refused(server: Server) -> None:
    assert server.ask("sinc=word-of-one-1.1").status == 400


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_AUTHORIZATION": ""},
        {"HTTP_AUTHORIZATION": "Bearer"},
        {"HTTP_AUTHORIZATION": f"Bearer {INTERNAL}x"},
        {"HTTP_AUTHORIZATION": f"Bearer {KEYS['HAILWHALE_ADMIN_KEY']}"},
        {"HTTP_AUTHORIZATION": "Basic OmlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaQ=="},
        {"HTTP_AUTHORIZATION": "", "HTTP_X_API_KEY": INTERNAL},
        {"HTTP_AUTHORIZATION": "Bearer \xff"},
    ],
)
def test_it_opens_to_the_internal_key_as_a_bearer_token_alone(server: Server, environ: dict[str, str]) -> None:
    assert server.ask(**environ).status == 401
    assert server.ask(f"key={INTERNAL}", **environ).status == 401


def test_without_an_internal_key_it_opens_to_nobody() -> None:
    for keys in ({"HAILWHALE_SPY": "1"}, KEYS):
        for key in ("", INTERNAL, KEYS["HAILWHALE_ADMIN_KEY"]):
            assert Server(**keys).ask(key=key).status == 401


def test_without_keys_it_opens_to_the_internal_key_on_this_machine_alone() -> None:
    server = Server(HAILWHALE_INTERNAL_KEY=INTERNAL)
    assert server.handed().accounts == [directory.Account("default", "default")]
    assert server.ask(HTTP_HOST="evil.example").status == 403


def test_the_internal_key_opens_nothing_else(server: Server) -> None:
    for path in ("/totals", "/keys", "/decisions"):
        answer = call(server.app, "GET", path, {"pk": "a"}, HTTP_AUTHORIZATION=f"Bearer {INTERNAL}")
        assert answer.status == 401


def test_a_short_internal_key_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="HAILWHALE_INTERNAL_KEY: expected at least 32 random characters"):
        load({"HAILWHALE_INTERNAL_KEY": "short"})


def test_whatever_a_site_may_be_is_taken(server: Server) -> None:
    """What whale/accounts.py lets through, the form lets through."""
    origins: tuple[Any, ...] = (
        "https://" + "a" * 2000,
        "http://[::1]:8080",
        "https://a:0443",
        "HTTPS://Shop.Example:443",
    )
    for number, origin in enumerate(origins):
        server.store.add_entry(check_site(Site(ANN.id, f"{number}", open=True, origins=(origin,)), 200), ACT)
    server.store.add_entry(check_site(Site(ANN.id, "p" * 5000), 5000), ACT)
    with pytest.raises(CallerError):
        check_site(Site(ANN.id, "star", open=True, origins=("*",)), 200)
    found = taken(server.handed())
    assert len(found.answer().sites) == 5
    site = found.site(ANN.id, "3")
    assert site
    assert site.lists("https://shop.example")
