"""Users, keys, sites and the journal over HTTP: what each answers and changes, who may ask, and bad input."""

import json
from base64 import b64encode
from typing import Any

import pytest

from hail.settings import load
from tests.wsgi import Answer, call
from whale.accounts import hash_of
from whale.client import Whale
from whale.passwords import matches
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_800_000_000.0
KEYS = {"HAILWHALE_WRITE_KEY": "w" * 32, "HAILWHALE_READ_KEY": "r" * 32, "HAILWHALE_ADMIN_KEY": "a" * 32}


class Server:
    def __init__(self) -> None:
        self.settings, self.now = load(KEYS), NOW
        self.store = MemoryStore(self.settings)
        self.app = make_app(self.settings, Whale(self.store, self.settings, clock=lambda: self.now))

    def ask(self, method: str, path: str, body: Any = None, key: str = "a" * 32, **environ: str) -> Answer:
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return call(
            self.app,
            method,
            path.encode().decode("latin-1"),
            body=sent,
            **{"CONTENT_TYPE": "application/json", "HTTP_AUTHORIZATION": f"Bearer {key}", **environ},
        )

    def done(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self.ask(method, path, body)
        assert answer.status == status, answer
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.json


@pytest.fixture
def server() -> Server:
    return Server()


def test_a_user_is_made_changed_and_removed(server: Server) -> None:
    anna = server.done(
        "POST", "/users", {"name": "anna", "password": "correct horse", "rights": {"counts": "read"}}, 201
    )
    assert anna == {
        "name": "default/anna",
        "rights": {"counts": "read", "visitors": "none", "funnels": "none", "decisions": "none", "admin": "none"},
        "made_at": 1_800_000_000_000,
    }
    owner = server.done("POST", "/users", {"name": "default", "password": "correct horse"}, 201)
    assert set(owner["rights"].values()) == {"write"}
    assert server.done("GET", "/users") == [owner, anna]
    changed = server.done("POST", "/users/anna", {"rights": {"admin": "write"}, "password": "another horse"})
    assert changed == {**anna, "rights": {**anna["rights"], "admin": "write"}}
    (user,) = [user for user in server.store.users("default") if user.name == "anna"]
    assert matches(b"another horse", user.password)
    assert server.done("DELETE", "/users/anna") == changed
    assert server.done("GET", "/users") == [owner]


def test_the_secret_of_a_key_is_answered_once(server: Server) -> None:
    made = server.done("POST", "/keys", {"scope": "write", "expires_s": 60}, 201)
    secret = made.pop("secret")
    key = server.store.key_hashed(hash_of(secret))
    assert key is not None
    assert (made["id"], made["prefix"], made["expires_at"]) == (key.id, secret[:11], 1_800_000_060_000)
    assert server.done("GET", "/keys") == [made]
    rotated = server.done("POST", f"/keys/{key.id}", {"rotate_s": 10, "expires_s": 100})
    assert rotated["secret"] != secret
    ends = {each["id"]: each["expires_at"] for each in server.done("GET", "/keys")}
    assert ends == {key.id: 1_800_000_010_000, rotated["id"]: 1_800_000_100_000}
    assert server.done("POST", f"/keys/{key.id}", {"expires_s": None})["expires_at"] is None
    assert server.done("POST", f"/keys/{key.id}", {"revoke": True})["standing"] == "revoked"
    server.done("DELETE", f"/keys/{key.id}")
    assert [each["id"] for each in server.done("GET", "/keys")] == [rotated["id"]]


def test_a_site_is_made_changed_and_removed(server: Server) -> None:
    site = server.done("POST", "/sites", {"pk": "a/b", "open": True, "origins": ["https://shop.example"]}, 201)
    assert (site["pk"], site["open"], site["origins"], site["keep_days"]) == (
        "a/b",
        True,
        ["https://shop.example"],
        400,
    )
    changed = server.done("POST", "/sites/a/b", {"open": False, "keep_ids": False, "origins": []})
    assert changed == {**site, "open": False, "keep_ids": False, "origins": []}
    assert server.done("GET", "/sites") == [changed]
    lists = {"dimensions": ["plan"], "event_properties": ["price", "price"]}
    listing = server.done("POST", "/sites/a/b", lists)
    assert (listing["dimensions"], listing["event_properties"]) == (["plan"], ["price"])
    server.done("POST", "/sites/a/b", {"dimensions": [], "event_properties": []})
    key = server.done("POST", "/keys", {"scope": "browser", "site": "a/b"}, 201)
    assert server.ask("DELETE", "/sites/a/b").json["code"] == "conflict"
    server.done("DELETE", f"/keys/{key['id']}")
    assert server.done("DELETE", "/sites/a/b") == changed
    assert server.done("GET", "/sites") == []


def test_the_journal_has_the_last_changes(server: Server) -> None:
    for pk in ("a", "b", "c"):
        server.done("POST", "/sites", {"pk": pk}, 201)
    acts = call(server.app, "GET", "/journal", {"limit": "2"}, HTTP_AUTHORIZATION=f"Bearer {'a' * 32}").json
    assert acts == [
        {"at": 1_800_000_000_000, "who": "an admin key over HTTP", "did": "add site", "account": "default", "about": pk}
        for pk in ("b", "c")
    ]


ROUTES = [
    *(("GET", path) for path in ("/users", "/keys", "/sites", "/journal")),
    *(("POST", path) for path in ("/users", "/keys", "/sites", "/users/a", "/keys/a", "/sites/a")),
    *(("DELETE", path) for path in ("/users/a", "/keys/a", "/sites/a")),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_but_an_admin_sees_or_changes_anything(server: Server, method: str, path: str) -> None:
    for key in ("w" * 32, "r" * 32, "", "a" * 31):
        assert server.ask(method, path, {}, key).status == 401
    if method != "GET":
        basic = {
            "HTTP_AUTHORIZATION": "Basic " + "OmFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh",
            "HTTP_ORIGIN": "https://evil.example",
        }
        assert server.ask(method, path, {}, **basic).status == 403
    assert server.store.journal() == []


BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/users", b"{", 400, "body"),
    ("POST", "/users", [], 400, "body"),
    ("POST", "/users", {"password": "correct horse"}, 400, "name"),
    ("POST", "/users", {"name": 5, "password": "correct horse"}, 400, "name"),
    ("POST", "/users", {"name": "a:b", "password": "correct horse"}, 400, "name"),
    ("POST", "/users", {"name": "x" * 10_240, "password": "correct horse"}, 400, "name"),
    ("POST", "/users", {"name": "a\0", "password": "correct horse"}, 400, "name"),
    ("POST", "/users", {"name": "a", "password": "short"}, 400, "password"),
    ("POST", "/users", {"name": "a", "password": "x" * 1025}, 400, "password"),
    ("POST", "/users", {"name": "a", "password": "correct horse", "rights": {"all": "read"}}, 400, "rights"),
    ("POST", "/users", {"name": "a", "password": "correct horse", "rights": {"admin": "all"}}, 400, "rights.admin"),
    ("POST", "/users", {"name": "a", "password": "correct horse", "rights": []}, 400, "rights"),
    ("POST", "/users", {"name": "a", "password": "correct horse", "right": {}}, 400, "right"),
    ("POST", "/users/none", {"password": "correct horse"}, 404, "name"),
    ("POST", "/users/none", {}, 400, "body"),
    ("DELETE", "/users/no:ne", None, 404, "name"),
    ("POST", "/keys", {"scope": "all"}, 400, "scope"),
    ("POST", "/keys", {"scope": "browser"}, 400, "site"),
    ("POST", "/keys", {"scope": "read", "site": "none"}, 404, "site"),
    ("POST", "/keys", {"scope": "read", "expires_s": 0}, 400, "expires_s"),
    ("POST", "/keys", {"scope": "read", "expires_s": 1e300}, 400, "expires_s"),
    ("POST", "/keys/none", {"revoke": True}, 404, "key"),
    ("POST", "/keys/none", {"revoke": True, "rotate_s": 5}, 400, "body"),
    ("POST", "/keys/none", {}, 400, "body"),
    ("DELETE", "/keys/🐳", None, 404, "key"),
    ("POST", "/sites", {"pk": ""}, 400, "pk"),
    ("POST", "/sites", {"pk": "x" * 10_240}, 400, "pk"),
    ("POST", "/sites", {"pk": "\ud800"}, 400, "pk"),
    ("POST", "/sites", {"pk": "a", "open": True}, 400, "origins"),
    ("POST", "/sites", {"pk": "a", "origins": ["*"]}, 400, "origins"),
    ("POST", "/sites", {"pk": "a", "keep_days": 0}, 400, "keep_days"),
    ("POST", "/sites", {"pk": "a", "keep_days": 10**30}, 400, "keep_days"),
    ("POST", "/sites/none", {"pk": "a"}, 400, "pk"),
    ("DELETE", "/sites/none", None, 404, "site"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "field"), BAD)
def test_a_bad_request_names_the_field_and_changes_nothing(
    server: Server, method: str, path: str, body: Any, status: int, field: str
) -> None:
    answer = server.ask(method, path, body)
    assert (answer.status, answer.json["field"]) == (status, field)
    assert server.store.journal() == []


def test_a_name_is_taken_once(server: Server) -> None:
    for path, body in (("/users", {"name": "a", "password": "correct horse"}), ("/sites", {"pk": "a"})):
        server.done("POST", path, body, 201)
        again = server.ask("POST", path, body)
        assert (again.status, again.json["code"]) == (409, "conflict")


@pytest.mark.parametrize("limit", ["0", "10001", "x", "-1"])
def test_the_journal_takes_a_number(server: Server, limit: str) -> None:
    answer = call(server.app, "GET", "/journal", {"limit": limit}, HTTP_AUTHORIZATION=f"Bearer {'a' * 32}")
    assert (answer.status, answer.json["field"]) == (400, "limit")


def test_a_user_with_the_right_manages_and_stands_in_the_journal(server: Server) -> None:
    def basic(name: str) -> dict[str, str]:
        return {"HTTP_AUTHORIZATION": "Basic " + b64encode(f"{name}:correct horse".encode()).decode()}

    for name, rights in (
        ("default", None),
        ("boss", {"admin": "write"}),
        ("clerk", {"admin": "read", "counts": "write"}),
    ):
        body = {"name": name, "password": "correct horse", **({"rights": rights} if rights else {})}
        server.done("POST", "/users", body, 201)
    for number, name in enumerate(("default", "default/boss")):
        made = server.ask("POST", "/sites", {"pk": f"s{number}"}, **basic(name))
        assert made.status == 201
        assert server.store.journal()[0].who == f"{name} over HTTP"
    refused = server.ask("POST", "/sites", {"pk": "s"}, **basic("default/clerk"))
    assert (refused.status, refused.json["code"]) == (403, "not_allowed")
    server.done("POST", "/users/boss", {"password": "another horse"})
    server.now += 2  # until then it may hold
    assert server.ask("DELETE", "/sites/s1", **basic("default/boss")).status == 401
