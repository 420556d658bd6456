"""HiiTrack's routes for users and buckets: whose path it is, keys, scripts, what an address may be, and bad input."""

import base64
import json
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest

from hail.settings import load
from tests.servers import wait_until
from tests.wsgi import Answer, call
from whale.accounts import READ, Account, Act, Rights, User, new_key
from whale.client import Whale
from whale.passwords import Cost, Passwords
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_800_000_000.0
KEYS = {"WRITE_KEY": "w" * 16, "READ_KEY": "r" * 16, "ADMIN_KEY": "a" * 16}
PASSWORD = "correct horse"
ACT = Act(1, "test", "add", "", "")
EVIL = {"HTTP_ORIGIN": "https://evil.example"}


class Server:
    """Without keys, unless some are set. Logs of buckets hold at once."""

    def __init__(self, **settings: str):
        self.settings = load({f"HAILWHALE_{name}": value for name, value in settings.items()})
        self.store, self.now, numbers = MemoryStore(self.settings), NOW, count(1)
        self.passwords = Passwords(lambda size: next(numbers).to_bytes(size, "big"), cost=Cost(64, 1))
        self.whale = Whale(self.store, self.settings, clock=lambda: self.now)
        self.store.events._clock = lambda: self.now
        self.app = make_app(self.settings, self.whale, self.passwords, hold_ms=0)

    def ask(
        self,
        method: str,
        path: str,
        who: str = "",
        body: Any = None,
        query: str = "",
        password: str = PASSWORD,
        **environ: str,
    ) -> Answer:
        """body: a form as bytes, or JSON."""
        kind = "application/x-www-form-urlencoded" if isinstance(body, bytes) else "application/json"
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        basic = {"HTTP_AUTHORIZATION": f"Basic {base64.b64encode(f'{who}:{password}'.encode()).decode()}"}
        shown = {"CONTENT_TYPE": kind, **(basic if who else {}), **environ}
        return call(self.app, method, path.encode().decode("latin-1"), None, sent, query, **shown)

    def made(self, *names: str) -> None:
        for name in names:
            answer = self.ask("POST", f"/{name}", body={"password": PASSWORD})
            assert (answer.status, answer.json) == (201, {}), answer

    def bucket(self, user: str, name: str, **fields: str) -> str:
        """Its token."""
        answer = self.ask("POST", f"/{user}/{name}", user, fields)
        assert answer.status == 201, answer
        return str(answer.json["token"])


@pytest.fixture
def server() -> Server:
    found = Server()
    found.made("ann", "ben")
    return found


def statuses(server: Server, method: str, path: str, whos: Mapping[str, str]) -> list[int]:
    return [server.ask(method, path, who, password=password).status for who, password in whos.items()]


# Users


def test_a_user_is_an_account_with_its_owner(server: Server) -> None:
    account = server.store.account_named("ann")
    assert account is not None
    (owner,) = server.store.users(account.id)
    assert (owner.name, owner.rights.admin) == ("", "write")
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {}}
    assert [act.who for act in server.store.journal(account.id)] == ["anybody over HTTP"] * 2


def test_a_password_may_come_as_a_form_and_never_in_the_address() -> None:
    server = Server()
    assert server.ask("POST", "/ann", body=b"password=correct+horse").status == 201
    assert server.ask("GET", "/ann", "ann").status == 200
    answer = server.ask("POST", "/ben", query="password=correct+horse")
    assert (answer.status, answer.json["field"]) == (400, "password")
    assert "correct" not in answer.text
    assert server.ask("GET", "/ben").status == 404


def test_what_was_removed_is_gone_at_once_and_the_name_is_free(server: Server) -> None:
    server.bucket("ann", "home")
    server.whale.count_now("other")
    old = server.store.account_named("ann")
    assert old is not None
    assert server.ask("DELETE", "/ann", "ann").status == 200
    assert (server.ask("GET", "/ann").status, server.ask("GET", "/ann", "ann").status) == (404, 401)
    answer = server.ask("POST", "/ann", body={"password": "another horse"})
    assert answer.status == 201
    assert server.ask("GET", "/ann", "ann").status == 401  # the old password, within the second
    assert server.ask("GET", "/ann", "ann", password="another horse").json == {"buckets": {}}
    new = server.store.account_named("ann")
    assert new is not None
    assert new.id != old.id
    assert server.store.free_accounts(NOW)
    assert server.ask("DELETE", "/ben", "ben/x").status == 401
    assert server.store.pks("default") == ["other"]


def test_the_account_that_is_always_there_stays() -> None:
    server = Server()
    answer = server.ask("DELETE", "/default")
    assert (answer.status, answer.json["field"]) == (400, "account")
    assert server.ask("POST", "/default", body={"password": PASSWORD}).status == 403


def test_who_removes_a_user_removes_no_other_who_has_that_name_by_then(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_named = server.store.user_named

    def made_anew_meanwhile(account: str, name: str) -> User | None:
        found = user_named(account, name)
        old = server.store.account_named("ann")
        if old is not None and old.id == account:
            server.store.remove_entry(old, ACT)
            server.store.add_entry(Account("abcdefghij", "ann", "UTC", 1), ACT)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(server.store, "user_named", made_anew_meanwhile)
        assert server.ask("DELETE", "/ann", "ann").status == 404
    assert server.store.account_named("ann") == Account("abcdefghij", "ann", "UTC", 1)


def test_where_making_an_owner_fails_no_account_stays(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    add = server.store.add_entry

    def failing(entry: Any, act: Act) -> None:
        if isinstance(entry, User):
            raise ConnectionError
        add(entry, act)

    with monkeypatch.context() as patched:
        patched.setattr(server.store, "add_entry", failing)
        assert server.ask("POST", "/new", body={"password": PASSWORD}).status == 500
    assert server.store.account_named("new") is None
    server.made("new")


def test_a_user_within_an_account_needs_the_right(server: Server) -> None:
    account = server.store.account_named("ann")
    assert account is not None
    for name, rights in (("reader", Rights(counts="read")), ("nobody", Rights()), ("admin", Rights(admin="write"))):
        server.store.add_entry(User(account.id, name, server.passwords.hash(PASSWORD), rights, 1), ACT)
    server.bucket("ann", "home")
    whos = {f"ann/{name}": PASSWORD for name in ("reader", "nobody", "admin")}
    assert statuses(server, "GET", "/ann", whos) == [200, 403, 403]
    assert statuses(server, "GET", "/ann/home", whos) == [200, 403, 403]
    assert statuses(server, "DELETE", "/ann/home", whos) == [403, 403, 200]
    assert server.ask("DELETE", "/ann", "ann/reader").json["code"] == "not_allowed"


# Whose path it is


def test_the_password_of_another_user_gets_the_words_of_a_wrong_one(server: Server) -> None:
    server.bucket("ann", "home")
    for method, path in (
        ("GET", "/ann"),
        ("DELETE", "/ann"),
        ("GET", "/ann/home"),
        ("POST", "/ann/new"),
        ("DELETE", "/ann/home"),
    ):
        refused = [
            server.ask(method, path, "ann", password="wrong horse"),
            server.ask(method, path, "ben"),
            server.ask(method, path, "nobody"),
            server.ask(method, path),
        ]
        assert {(each.status, each.body) for each in refused} == {(401, refused[0].body)}, (method, path)
        server.now += 100  # no wait of the wrong one is left
        assert refused[0].headers["Www-Authenticate"] == 'Bearer, Basic realm="whale"'
    assert server.ask("GET", "/ghost", "ghost").body == refused[0].body
    assert server.ask("GET", "/ghost", "ben").body == refused[0].body
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {"home": {"description": ""}}}


def test_guesses_wait_here_as_anywhere(server: Server) -> None:
    for _ in range(10):
        assert server.ask("GET", "/ann", "ann", password="wrong horse").status == 401
    answer = server.ask("GET", "/ann", "ann")
    assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (429, "too_soon", "1")


# Registration


def test_with_keys_nobody_registers_unless_the_setting_says_so() -> None:
    closed, opened = Server(**KEYS), Server(**KEYS, OPEN_REGISTRATION="1")
    answer = closed.ask("POST", "/ann", body={"password": PASSWORD})
    assert (answer.status, answer.json["code"]) == (403, "not_allowed")
    assert "HAILWHALE_OPEN_REGISTRATION" in answer.json["detail"]
    admin = closed.ask("POST", "/ann", body={"password": PASSWORD}, HTTP_AUTHORIZATION=f"Bearer {'a' * 16}")
    assert admin.status == 403
    assert closed.store.account_named("ann") is None
    opened.made("ann")
    assert opened.ask("GET", "/ann", "ann").status == 200


def test_whoever_makes_many_users_waits(server: Server) -> None:
    opened = Server(**KEYS, OPEN_REGISTRATION="1")
    far = {"REMOTE_ADDR": "192.0.2.7"}

    def register(name: str, **environ: str) -> Answer:
        return opened.ask("POST", f"/{name}", body={"password": PASSWORD}, **environ)

    assert [register(f"u{number}", **far).status for number in range(6)] == [201] * 5 + [429]
    assert register("u6", **far).headers["Retry-After"] == "2"
    assert register("u6", REMOTE_ADDR="192.0.2.8").status == 201
    opened.now += 2
    assert register("u7", **far).status == 201
    server.made(*(f"u{number}" for number in range(12)))  # without keys, all of this machine


def test_a_page_of_another_site_registers_nobody(server: Server) -> None:
    answer = server.ask("POST", "/new", body={"password": PASSWORD}, **EVIL)
    assert (answer.status, answer.json["code"]) == (403, "foreign_origin")
    for method, path in (("DELETE", "/ann"), ("POST", "/ann/home")):
        assert server.ask(method, path, "ann", {}, **EVIL).json["code"] == "foreign_origin"
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {}}


# Buckets


def test_a_bucket_is_a_site(server: Server) -> None:
    server.bucket("ann", "home", description="The home page")
    shown = {"bucket_name": "home", "description": "The home page", "properties": {}, "events": {}}
    assert server.ask("GET", "/ann/home", "ann").json == shown
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {"home": {"description": "The home page"}}}
    account = server.store.account_named("ann")
    assert account is not None
    assert [site.pk for site in server.store.sites(account.id)] == ["home"]
    again = server.ask("POST", "/ann/home", "ann")
    assert (again.status, again.json["code"]) == (403, "conflict")
    assert server.ask("GET", "/ann/none", "ann").status == 404
    assert server.ask("DELETE", "/ann/none", "ann").status == 404


def test_a_bucket_goes_with_what_it_counted_and_with_its_token(server: Server) -> None:
    token = server.bucket("ann", "home")
    account = server.store.account_named("ann")
    assert account is not None
    whale = Whale(server.store, server.settings, account.id, clock=lambda: server.now)
    whale.count_now(["home", "page"])
    whale.count_now("stays")
    assert server.ask("DELETE", "/ann/home", "ann").json == {}
    assert (server.store.sites(account.id), server.store.keys(account.id)) == ([], [])
    assert whale.pks() == [("stays",)]
    new = server.bucket("ann", "home")
    assert whale.totals("home", periods=["today"])["today"]["_"]["hits"] == 0
    found = [server.ask("GET", "/ann/home", "x", password=each).status for each in (token, new)]
    assert found == [401, 200]


def test_the_last_use_of_a_token_is_noted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whale.keys.PAUSE_S", 0.01)
    token, account = server.bucket("ann", "home"), server.store.account_named("ann")
    assert account is not None
    (key,) = server.store.keys(account.id)
    assert server.ask("GET", "/ann/home", query=f"key={token}").status == 200
    wait_until(lambda: server.store.last_uses(account.id) == {key.id: int(NOW)}, what="the use")


def test_where_making_a_token_fails_no_bucket_stays(server: Server) -> None:
    account = server.store.account_named("ann")
    assert account is not None
    for number in range(1000):
        key, _ = new_key(account.id, READ, None, number.to_bytes(4, "big") * 9, NOW)
        server.store.add_entry(key, ACT)
    answer = server.ask("POST", "/ann/home", "ann")
    assert (answer.status, answer.json["detail"]) == (400, "key: an account may have at most 1000 keys")
    assert server.store.sites(account.id) == []


def test_a_token_reads_its_bucket_and_nothing_else(server: Server) -> None:
    token = server.bucket("ann", "home")
    server.bucket("ann", "other")
    server.made("home")
    ways: list[dict[str, Any]] = [
        {"who": "home", "password": token},
        {"who": "ann", "password": token},
        {"HTTP_AUTHORIZATION": f"Bearer {token}"},
        {"HTTP_X_API_KEY": token},
        {"query": f"key={token}"},
    ]
    for way in ways:
        assert server.ask("GET", "/ann/home", **way).status == 200
        for method, path in (
            ("GET", "/ann/other"),
            ("GET", "/ann/none"),
            ("GET", "/ann"),
            ("GET", "/ben"),
            ("DELETE", "/ann/home"),
            ("POST", "/ann/new"),
            ("DELETE", "/ann"),
        ):
            assert server.ask(method, path, **way).status == 401, (method, path, way)
        assert server.ask("GET", "/ghost/home", **way).status == 404
    server.now += 100  # and none of it was taken for a guess
    assert server.ask("GET", "/ann", "ann").status == 200


def test_keys_of_an_account_open_what_their_scope_says(server: Server) -> None:
    account = server.store.account_named("ann")
    assert account is not None
    server.bucket("ann", "home")
    found = {}
    for number, scope in enumerate(("write", "read", "admin")):
        key, secret = new_key(account.id, scope, None, bytes([number]) * 36, NOW, int(NOW + 60))
        server.store.add_entry(key, ACT)
        shown = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
        found[scope] = [server.ask(*each, **shown).status for each in (("GET", "/ann"), ("POST", f"/ann/{scope}"))]
    assert found == {"write": [401, 401], "read": [200, 401], "admin": [200, 201]}
    server.now += 60
    assert server.ask("GET", "/ann", **shown).status == 401
    assert [act.who for act in server.store.journal(account.id)[:1]] == ["a key over HTTP"]


def test_the_keys_of_the_settings_are_of_the_account_default() -> None:
    server = Server(**KEYS, OPEN_REGISTRATION="1")
    server.made("ann")
    for key, expected in (("r", [200, 401, 401, 404]), ("a", [200, 201, 401, 404]), ("x", [401, 401, 401, 404])):
        shown = {"HTTP_AUTHORIZATION": f"Bearer {key * 16}"}
        asked = (("GET", "/default"), ("POST", "/default/home"), ("GET", "/ann"), ("GET", "/ghost"))
        assert [server.ask(*each, **shown).status for each in asked] == expected


def test_without_keys_the_account_default_is_open_and_no_other(server: Server) -> None:
    assert server.ask("POST", "/default/home").status == 201
    assert server.ask("GET", "/default").json == {"buckets": {"home": {"description": ""}}}
    assert server.ask("GET", "/ann").status == 401
    assert server.ask("GET", "/default", HTTP_X_FORWARDED_FOR="192.0.2.7").json["code"] == "keyless"


# The id of a request, and scripts


@pytest.mark.parametrize(
    ("method", "path", "who", "status"),
    [
        ("GET", "/ann", "ann", 200),
        ("GET", "/ann", "", 401),
        ("GET", "/ghost", "", 404),
        ("GET", "/ann/none", "ann", 404),
        ("POST", "/ann", "", 400),
        ("DELETE", "/ann", "ben", 401),
        ("GET", "/ann", "ann/x", 401),
    ],
)
def test_the_id_of_a_request_is_in_its_answer_whatever_it_is(
    server: Server, method: str, path: str, who: str, status: int
) -> None:
    answer = server.ask(method, path, who, query="request_id=a%22%3C%E2%82%AC")
    assert (answer.status, answer.json["request_id"]) == (status, 'a"<€')


def test_the_id_of_a_request_may_stand_in_its_body(server: Server) -> None:
    for body in ({"request_id": "7", "description": "x"}, b"request_id=7&description=x", {"request_id": "7", "odd": 1}):
        assert server.ask("POST", "/ann/home", "", body).json["request_id"] == "7"
    assert server.ask("POST", "/ann/home", "ann", {"request_id": "7"}).json.keys() == {"token", "request_id"}
    assert server.ask("POST", "/new", body={"request_id": "7", "password": PASSWORD}).json == {"request_id": "7"}
    long = server.ask("GET", "/ann", "ann", query=f"request_id={'x' * 201}")
    assert (long.status, long.json["field"], "request_id" in long.json) == (400, "request_id", False)


def test_a_script_is_answered_to_a_key_in_the_address_alone(server: Server) -> None:
    token = server.bucket("ann", "home", description="a\u2028</script>")
    answer = server.ask("GET", "/ann/home", query=f"key={token}&callback=app.done&request_id=7&_=123", **EVIL)
    start, _, rest = answer.text.partition("(")
    assert (answer.status, start, rest[-2:]) == (200, "/**/app.done", ");")
    assert json.loads(rest[:-2])["request_id"] == "7"
    assert "\u2028" not in answer.text
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for way in ({"who": "ann"}, {}, {"who": "ann", "HTTP_SEC_FETCH_SITE": "cross-site"}):
        refused = server.ask("GET", "/ann/home", query="callback=f", **way)
        assert (refused.status, refused.text[:6]) == (401, "/**/f(")
        assert "script" in refused.text
    assert server.ask("GET", "/ann/home", "ann", query=f"callback=f&key={token}").status == 200
    assert server.ask("GET", "/default", query="callback=f").status == 401
    assert server.ask("GET", "/default", query="callback=f&key=x").status == 401
    assert server.ask("GET", "/ghost", query="callback=f").text.startswith("/**/f({")


@pytest.mark.parametrize("name", ["alert(1)", "a;b", "1", "a.", "a" * 100, "a\n", "é", "a[0]", "<b>"])
def test_what_is_no_name_is_called_by_no_script(server: Server, name: str) -> None:
    answer = call(
        server.app, "POST", "/ann/home", {"callback": name}, HTTP_AUTHORIZATION="Basic YW5uOmNvcnJlY3QgaG9yc2U="
    )
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_callback", "callback")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {}}


# Addresses


def test_a_slash_at_the_end_means_nothing_and_touches_nobody_else(server: Server) -> None:
    server.bucket("ann", "home")
    for path in ("/ann/", "/ann/home/"):
        assert server.ask("GET", path, "ann").status == 200
        assert server.ask("GET", path).status == 401
        assert server.ask("GET", path[:-1], "ann").status == 200
    assert server.ask("GET", "/ann//", "ann").status == 404
    assert server.ask("POST", "/new/", body={"password": PASSWORD}).status == 201
    assert server.store.account_named("new") is not None
    assert server.ask("POST", "/new/home/", "new").status == 201
    assert server.ask("DELETE", "/new/", "new").status == 200


def test_addresses_that_are_none_are_answered_as_before(server: Server) -> None:
    missing = server.ask("GET", "/plotpoint", query="pk=shop")
    assert (missing.status, missing.json["detail"]) == (404, "Not found: '/plotpoint': did you mean /plotpoints?")
    assert server.ask("GET", "/batch").json["detail"].endswith("Hail answers it, at 127.0.0.1:8085")
    for method, path, body in (
        ("POST", "/reset;a", {"pk": "shop"}),
        ("POST", "/plotpoint", b"pk=shop"),
        ("GET", "/favicon.ico", None),
        ("POST", "/favicon.ico", {"password": PASSWORD}),
        ("GET", "/login/x", None),
        ("POST", "/LOGIN", {"password": PASSWORD}),
        ("DELETE", "/pks/x", None),
        ("GET", "/ann/home/event", None),
    ):
        assert server.ask(method, path, body=body).status == 404, (method, path)
    assert server.ask("DELETE", "/pks", "ann").status == 405


NAMES = ["a:b", "{}", "a{b}", "a\0", "🐳", "ä", "a b", "a\n", "x" * 65, "x" * 10_240, "a;b", "a@b.example"]


@pytest.mark.parametrize("name", [*NAMES, "_a", "..", "..."])
def test_no_user_has_a_name_that_an_address_or_a_key_cannot_hold(server: Server, name: str) -> None:
    answer = server.ask("POST", f"/{name}", body={"password": PASSWORD})
    assert (answer.status, answer.json["field"]) == (400, "user")
    assert len(answer.body) < 500
    assert server.ask("GET", f"/{name}").status == 404
    assert server.ask("GET", f"/{name}", name.replace(":", "")).status == 401
    assert len(server.store.accounts()) == 3


@pytest.mark.parametrize("name", NAMES)
def test_no_bucket_is_made_with_such_a_name(server: Server, name: str) -> None:
    answer = server.ask("POST", f"/ann/{name}", "ann")
    assert (answer.status, answer.json["field"]) == (400, "bucket")
    assert server.ask("GET", f"/ann/{name}", "ann").status == 404
    assert server.ask("DELETE", f"/ann/{name}", "ann").status == 404
    assert server.ask("GET", "/ann", "ann").json == {"buckets": {}}


def test_an_address_that_is_no_utf8_is_none(server: Server) -> None:
    assert call(server.app, "GET", "/an\xffn").status == 400
    assert call(server.app, "POST", "/an\xffn", body=b'{"password": "correct horse"}').status == 400


BAD: list[tuple[str, Any, str, str]] = [
    ("/new", {"password": "short"}, "", "password"),
    ("/new", {"password": "x" * 1025}, "", "password"),
    ("/new", {"password": 12345678}, "", "password"),
    ("/new", {"password": None}, "", "password"),
    ("/new", {"password": PASSWORD, "passwort": "x"}, "", "passwort"),
    ("/new", {"password": PASSWORD, "request_id": 7}, "", "request_id"),
    ("/new", ["password"], "", "body"),
    ("/new", b"password=\xff", "", "body"),
    ("/new", b"password=%ff", "", "query"),
    ("/new", b"password=correct+horse&password=correct+horse", "", "password"),
    ("/new", {"password": PASSWORD}, "password=correct+horse", "password"),
    ("/new", {"password": PASSWORD}, "odd=1", "odd"),
    ("/new", {}, "", "password"),
    ("/new", b"", "", "password"),
    ("/ann/new", {"description": "x" * 301}, "", "description"),
    ("/ann/new", {"description": 7}, "", "description"),
    ("/ann/new", {"password": PASSWORD}, "", "password"),
    ("/ann/new", b"{", "", "body"),
    ("/ann/new", {}, "description=%ff", "query"),
]


@pytest.mark.parametrize(("path", "body", "query", "field"), BAD)
def test_bad_input_is_refused_by_its_field_and_makes_nothing(
    server: Server, path: str, body: Any, query: str, field: str
) -> None:
    before = server.store.journal()
    answer = server.ask("POST", path, "ann" if path.count("/") == 2 else "", body, query)
    assert (answer.status, answer.json["field"]) == (400, field), answer
    assert PASSWORD not in answer.text
    assert server.store.journal() == before


def test_a_body_that_is_too_large_is_refused() -> None:
    server = Server(MAX_BODY_BYTES="1000")
    assert server.ask("POST", "/ann", body={"password": "x" * 1000}).status == 413


def test_pages_ask_first_and_get_no_number(server: Server) -> None:
    for path, takes in (("/ann", "GET, POST, DELETE, OPTIONS"), ("/ann/home", "GET, POST, DELETE, OPTIONS")):
        answer = server.ask("OPTIONS", path)
        assert (answer.status, answer.headers["Access-Control-Allow-Methods"]) == (204, takes)
        assert server.ask("HEAD", path, "ann").body == b""


def test_an_account_of_the_directory_without_an_owner_is_nobodys(server: Server) -> None:
    server.store.add_entry(Account("abcdefghij", "empty", "UTC", 1), ACT)
    assert [server.ask("GET", "/empty", "empty", password=each).status for each in ("", PASSWORD)] == [401, 401]
