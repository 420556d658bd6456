"""Users over HTTP: the form, the cookie, Basic, and which routes which right opens."""

import base64
import re
from itertools import count
from urllib.parse import urlencode

import pytest

from hail.access import INTERNAL, RIGHTS, Pages
from hail.settings import load
from tests.wsgi import Answer, address_of, call
from whale.accounts import ALL, Account, Act, Rights, User
from whale.client import Whale
from whale.passwords import Cost, Passwords
from whale.routes.login import own_path
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_795_000_000.0
ACT = Act(1, "test", "add", "", "")
KEYS = {"WRITE_KEY": "w" * 16, "READ_KEY": "r" * 16, "ADMIN_KEY": "a" * 16}
OWN = {"HTTP_ORIGIN": "http://127.0.0.1:8086"}
EVIL = "https://evil.example"
PASSWORD = "korrekt pferd"


class Site:
    """Whale with keys, the owner of `default`, users with one right each, and another account."""

    def __init__(self, **settings: str):
        values = {**KEYS, "SECRET": "s" * 32, **settings}
        self.settings = load({f"HAILWHALE_{name}": value for name, value in values.items()})
        self.store, self.now, numbers = MemoryStore(self.settings), NOW, count(1)
        self.passwords = Passwords(lambda size: next(numbers).to_bytes(size, "big"), cost=Cost(64, 1))
        self.app = make_app(self.settings, Whale(self.store, self.settings, clock=lambda: self.now), self.passwords)
        self.stored = self.passwords.hash(PASSWORD)
        self.store.add_entry(Account("abcdefghij", "shop", "UTC", 1), ACT)
        for account in ("default", "abcdefghij"):
            self.add(account, "", ALL)
        self.add("default", "nobody", Rights())
        for module in ("counts", "visitors", "funnels", "decisions", "admin"):
            for level in ("read", "write"):
                self.add("default", f"{module}.{level}", Rights(**{module: level}))

    def add(self, account: str, name: str, rights: Rights) -> None:
        self.store.add_entry(User(account, name, self.stored, rights, 1), ACT)

    def call(self, method: str, path: str, query: str = "", body: bytes = b"", **environ: str) -> Answer:
        return call(self.app, method, path, None, body, query, **environ)

    def log_in(self, name: str = "default", password: str = PASSWORD, path: str = "/", **environ: str) -> Answer:
        form = urlencode({"name": name, "password": password, "next": path}).encode()
        more = {"CONTENT_TYPE": "application/x-www-form-urlencoded", **OWN, **environ}
        return self.call("POST", "/login", body=form, **more)

    def cookie(self, name: str = "default") -> dict[str, str]:
        answer = self.log_in(name)
        assert answer.status == 303, answer.text
        return {"HTTP_COOKIE": answer.headers["Set-Cookie"].partition(";")[0]}


@pytest.fixture
def site() -> Site:
    return Site()


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def said(answer: Answer) -> str:
    found = re.search('<p role="alert">(.*?)</p>', answer.text)
    return found[1] if found else ""


# The form


def test_the_form_runs_no_script_and_is_sent_to_this_service_alone(site: Site) -> None:
    answer = site.call("GET", "/login")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"]
    assert re.sub("sha256-[^']*", "sha256-x", policy) == (
        "default-src 'none'; style-src 'sha256-x'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "<script" not in answer.text
    assert " on" not in re.sub(r"<style>.*</style>|>[^<]*<", "", answer.text, flags=re.S)
    assert '<form method="post" action="/login">' in answer.text
    assert said(answer) == ""


def test_the_right_password_logs_in_by_a_cookie(site: Site) -> None:
    answer = site.log_in(path="/?pk=shop&view=compare")
    assert (answer.status, answer.headers["Location"]) == (303, "/?pk=shop&view=compare")
    cookie = answer.headers["Set-Cookie"]
    assert re.fullmatch(r"hailwhale-8086=[\w.-]+; Max-Age=7776000; Path=/; HttpOnly; SameSite=Lax", cookie), cookie
    assert answer.headers["Cache-Control"] == "no-store"
    came = {"HTTP_COOKIE": cookie.partition(";")[0]}
    assert [site.call("GET", path, **came).status for path in ("/", "/pks", "/live_token")] == [200, 200, 200]


def test_behind_a_trusted_proxy_with_tls_the_cookie_is_secure() -> None:
    site = Site(TRUSTED_PROXIES="10.0.0.0/8")
    proxied = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_HOST": "count.example"}
    answer = site.log_in(**proxied, HTTP_ORIGIN="https://count.example")
    assert answer.status == 303
    assert answer.headers["Set-Cookie"].startswith("__Host-hailwhale-443=")
    assert answer.headers["Set-Cookie"].endswith("; Secure")


@pytest.mark.parametrize(
    ("name", "password"), [("default", "falsch"), ("default/none", PASSWORD), ("none", PASSWORD), ("", "")]
)
def test_all_that_is_wrong_gets_one_answer(site: Site, name: str, password: str) -> None:
    answer = site.log_in(name, password, "/?pk=a")
    assert (answer.status, said(answer)) == (403, "The name or the password is wrong.")
    assert "Set-Cookie" not in answer.headers
    without = site.log_in("default", "auch falsch", "/?pk=a").text.replace('value="default"', 'value=""')
    assert answer.text.replace(f'value="{name}"', 'value=""').replace(" autofocus", "") == without.replace(
        " autofocus", ""
    )


@pytest.mark.parametrize("name", ['"><script>alert(1)</script>', "\ud800", "x" * 100_000, "\0", "a:b/c{}"])
def test_a_name_of_any_letters_is_shown_as_text(site: Site, name: str) -> None:
    form = urlencode({"name": name, "password": "x"}, errors="surrogatepass").encode()
    answer = site.call("POST", "/login", body=form, **OWN)
    assert answer.status == 403
    assert "<script" not in answer.text
    assert len(answer.text) < 5_000


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"name=default", b"\xff=\xff", b"&" * 10_000, b"name=%ff&password=%00", b"a=" * 999]
)
def test_a_form_that_cannot_be_read_logs_nobody_in(site: Site, body: bytes) -> None:
    assert site.call("POST", "/login", body=body, **OWN).status == 403


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_ORIGIN": EVIL},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": ""},
        {"HTTP_ORIGIN": "http://127.0.0.1:3000"},
        {"HTTP_ORIGIN": "http://localhost:8086"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "none"},
        {},
    ],
)
def test_only_an_own_page_may_log_in_and_out(site: Site, environ: dict[str, str]) -> None:
    form = urlencode({"name": "default", "password": PASSWORD}).encode()
    for path, body in (("/login", form), ("/logout", b"")):
        answer = site.call("POST", path, body=body, **environ)
        assert (answer.status, answer.json["code"]) == (403, "foreign_origin")
        assert "Set-Cookie" not in answer.headers
        assert "expected a page of this service, '127.0.0.1:8086'" in answer.json["detail"]


def test_origins_that_are_allowed_to_ask_may_not_log_in() -> None:
    site = Site(ALLOWED_ORIGINS=EVIL)
    assert site.log_in(HTTP_ORIGIN=EVIL).status == 403


def test_to_log_out_clears_the_cookie(site: Site) -> None:
    answer = site.call("POST", "/logout", **OWN, **site.cookie())
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert answer.headers["Set-Cookie"] == "hailwhale-8086=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
    assert site.call("GET", "/logout").status == 405


def test_whoever_guesses_is_shown_how_long_they_wait(site: Site) -> None:
    peer = {"REMOTE_ADDR": "192.0.2.1"}
    for _ in range(5):
        site.log_in(password="falsch", **peer)
    answer = site.log_in(**peer)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
    assert said(answer) == "Too many wrong passwords. Try again in 2 s."
    answer = site.call("GET", "/pks", **peer, **basic("default"))
    assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (429, "too_soon", "2")
    assert site.call("GET", "/pks", **peer, HTTP_AUTHORIZATION=f"Bearer {'r' * 16}").status == 200
    site.now += 2
    assert site.log_in(**peer).status == 303


def test_without_a_secret_the_form_says_so() -> None:
    answer = Site(SECRET="").log_in()
    assert answer.status == 503
    assert said(answer).startswith("Nobody can log in: no secret is set for sessions: set HAILWHALE_SECRET to")


@pytest.mark.parametrize("text", ["/", "/?pk=shop&view=compare", "/#x", "/?a=%20'"])
def test_a_login_goes_on_at_an_address_of_the_dashboard(text: str) -> None:
    assert own_path(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "//evil.example",
        "/\\evil.example",
        EVIL,
        "/x",
        "/?a\r\nSet-Cookie: x",
        "/?\x00",
        "javascript:x",
        "/?" + "a" * 3000,
        "/?é",
    ],
)
def test_a_login_goes_on_nowhere_else(text: str) -> None:
    assert own_path(text) == "/"


# The dashboard


def test_a_browser_without_a_session_is_sent_to_the_form(site: Site) -> None:
    html = {"HTTP_ACCEPT": "text/html,application/xhtml+xml"}
    answer = site.call("GET", "/", "pk=a&view=b", **html)
    assert (answer.status, answer.headers["Location"]) == (303, "/login?next=%2F%3Fpk%3Da%26view%3Db")
    assert site.call("GET", "/pks", **html).status == 401
    assert site.call("GET", "/").status == 401
    assert site.call("GET", "/", **html, **basic("", "falsch")).status == 401
    assert site.call("GET", "/", f"key={'r' * 16}", **html).status == 200


def test_where_nobody_can_log_in_a_browser_asks_for_the_key() -> None:
    site = Site()
    for user in site.store.users("default"):
        site.store.remove_entry(user, ACT)
    html = {"HTTP_ACCEPT": "text/html"}
    assert site.call("GET", "/", **html).status == 401
    assert Site(SECRET="").call("GET", "/", **html).status == 401


def test_the_dashboard_logs_out_whoever_logged_in(site: Site) -> None:
    form = '<form id="logout" method="post" action="/logout"'
    assert f"{form}>" in site.call("GET", "/", **site.cookie()).text
    assert f"{form} hidden>" in site.call("GET", "/", HTTP_AUTHORIZATION=f"Bearer {'r' * 16}").text
    assert "form-action 'self';" in site.call("GET", "/", **site.cookie()).headers["Content-Security-Policy"]


# Rights

NEEDS = {
    "/count_now": "counts.write",
    "/count_decision": "decisions.write",
    "/tracker": "counts.write",
    "/reward": "decisions.write",
    "/update_count_to": "counts.write",
    "/reset": "admin.write",
    "POST /decisions/<name:path>": "decisions.write",
    "POST /notes": "counts.write",
    "/notes/<id:path>": "admin.write",
    "/decide": "decisions.read",
    "/ofrep/v1/evaluate/flags": "decisions.read",
    "/ofrep/v1/evaluate/flags/<key:path>": "decisions.read",
    "/decisions": "decisions.read",
    "/decisions/<name:path>": "decisions.read",
    "/outcomes": "decisions.read",
    "PUT /metrics_of": "admin.write",
    "/visitors": "visitors.read",
    "/visits": "visitors.read",
    "/visitors/recent": "visitors.read",
    "/events": "visitors.read",
    "/properties": "visitors.read",
    "/funnel": "visitors.read",
    "/sessions": "visitors.read",
    "/paths": "visitors.read",
    "/retention": "visitors.read",
    "/overlap": "visitors.read",
    **{f"/{word}/<site>": "visitors.read" for word in ("funnels", "segments")},
    **{f"GET /{word}/<site>/<name:path>": "visitors.read" for word in ("funnels", "segments")},
    **{f"/{word}/<site>/<name:path>": "visitors.write" for word in ("funnels", "segments")},
    "GET /visitor/<visitor:path>": "visitors.read",
    "DELETE /visitor/<visitor:path>": "visitors.write",
    "/identify": "visitors.write",
    "/push/<site>": "visitors.read",
    "GET /push/<site>/<visitor>": "visitors.read",
    "POST /push/<site>/<visitor>": "visitors.write",
    "GET /users": "admin.read",
    "POST /users": "admin.write",
    "/users/<name:path>": "admin.write",
    "GET /keys": "admin.read",
    "POST /keys": "admin.write",
    "/keys/<id:path>": "admin.write",
    "GET /sites": "admin.read",
    "POST /sites": "admin.write",
    "/sites/<pk:path>": "admin.write",
    "GET /journal": "admin.read",
    "DELETE /<user:account>": "admin.write",
    "POST /<user:account>/<bucket:bucket>": "admin.write",
    "DELETE /<user:account>/<bucket:bucket>": "admin.write",
    "/<user:account>/<bucket:bucket>/batch": "counts.write",
    "/<user:account>/<bucket:bucket>/property/<name:word>": "counts.write",
    "/<user:account>/<bucket:bucket>/property/<name:word>/jsonp": "counts.write",
    "/<user:account>/<bucket:bucket>/property/<name:word>/<value:name>": "counts.write",
    "/<user:account>/<bucket:bucket>/property/<name:word>/<value:name>/jsonp": "counts.write",
    "/<user:account>/<bucket:bucket>/event/<name:name>": "counts.write",
    "/<user:account>/<bucket:bucket>/event/<name:name>/jsonp": "counts.write",
    **{
        f"GET /<user:account>/<bucket:bucket>/{rest}": "visitors.read"
        for rest in (
            "event/<name:name>",
            "event_id/<id:word>",
            "property/<name:word>",
            "property_id/<id:word>",
            "funnel",
        )
    },
    "GET /<user:account>/<bucket:bucket>/funnel/<name:name>": "visitors.read",
    "/<user:account>/<bucket:bucket>/funnel/<name:name>": "visitors.write",
    "/": "any",
    "/static/<name:path>": "any",
}
"""All others: counts.read."""


READING = {
    (method, right.rule) for right in RIGHTS for method in right.methods if right.pages not in (Pages.ANY, Pages.CHANGE)
}


def routes(site: Site) -> list[tuple[str, str]]:
    closed = {(right.rule, method) for right in RIGHTS for method in right.methods if right.key not in (None, INTERNAL)}
    return [(each.method, each.rule) for each in site.app.routes if (each.rule, each.method) in closed]


def is_open_to(needed: str, user: str) -> bool:
    if needed == "any" or user == "":
        return True
    module, _, level = needed.partition(".")
    return user == needed or (level == "read" and user == f"{module}.write")


USERS = [
    "",
    "nobody",
    *(
        f"{module}.{level}"
        for module in ("counts", "visitors", "funnels", "decisions", "admin")
        for level in ("read", "write")
    ),
]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("by", ["basic", "cookie"])
def test_each_route_opens_to_the_right_of_its_module(site: Site, user: str, by: str) -> None:
    name = f"default/{user}"
    shown = {**(basic(name) if by == "basic" else site.cookie(name)), **OWN, "CONTENT_TYPE": "application/json"}
    found = {}
    for method, rule in routes(site):
        answer = site.call(method, address_of(rule), **shown)
        refused = answer.status == 403 and answer.json["code"] == "not_allowed"
        assert answer.status not in (401, 429), (method, rule, answer)
        assert refused or answer.status != 403, (method, rule, answer)
        found[method, rule] = not refused
    expected = {
        (method, rule): is_open_to(NEEDS.get(f"{method} {rule}", NEEDS.get(rule, "counts.read")), user)
        for method, rule in routes(site)
    }
    assert found == expected


@pytest.mark.parametrize(
    "environ",
    [{"HTTP_ORIGIN": EVIL}, {"HTTP_ORIGIN": "http://127.0.0.1:3000"}, {"HTTP_SEC_FETCH_SITE": "same-site"}, {}],
)
def test_a_page_of_another_site_changes_nothing_by_a_cookie(site: Site, environ: dict[str, str]) -> None:
    cookie = site.cookie()
    changing = [each for each in routes(site) if each not in READING]
    for method, rule in changing:
        answer = site.call(method, address_of(rule), **cookie, **environ)
        assert (answer.status, answer.json["code"]) == (403, "foreign_origin"), (method, rule)
    assert len(changing) == 48
    assert site.store.pks("default") == []
    answer = site.call("GET", "/pks", **cookie, **environ)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"  # which lets no page read what a cookie opened
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("environ", [{"HTTP_ORIGIN": EVIL}, {"HTTP_SEC_FETCH_SITE": "cross-site"}])
def test_a_page_of_another_site_changes_nothing_by_a_password_that_the_browser_knows(
    site: Site, environ: dict[str, str]
) -> None:
    for method, rule in routes(site):
        if (method, rule) not in READING:
            answer = site.call(method, address_of(rule), **basic("default"), **environ)
            assert (answer.status, answer.json["code"]) == (403, "foreign_origin"), (method, rule)
    assert site.store.pks("default") == []


def test_a_listed_site_and_a_program_count_by_the_password_of_a_user() -> None:
    site = Site(ALLOWED_ORIGINS="https://shop.example")
    for environ in ({"HTTP_ORIGIN": "https://shop.example"}, {}):
        answer = site.call("GET", "/tracker", "pk=a", **basic("default"), **environ)
        assert answer.status == 200, answer.text


@pytest.mark.parametrize("name", ["default", "default/falsch", "x", "/", "default/default/x"])
def test_a_wrong_password_of_basic_is_a_wrong_key(site: Site, name: str) -> None:
    answer = site.call("GET", "/pks", **basic(name, "falsch"))
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert answer.json == site.call("GET", "/pks").json


def test_the_password_of_basic_is_a_key_still(site: Site) -> None:
    for name in ("", "x", "default"):
        assert site.call("GET", "/pks", **basic(name, "r" * 16)).status == 200


def test_a_forged_cookie_opens_nothing(site: Site) -> None:
    cookie = site.cookie()["HTTP_COOKIE"]
    for forged in (
        cookie[:-1],
        cookie + "x",
        "hailwhale-8086=",
        "hailwhale-8086=a.b",
        cookie.replace("8086", "8087"),
        "x" * 8000,
    ):
        assert site.call("GET", "/pks", HTTP_COOKIE=forged).status == 401
