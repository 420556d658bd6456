"""Two customers of one service, as docs/accounts.md tells them to begin: each with an owner, two users, a browser site and keys.

service = Service(hails, whale, live, environ, redis)
two_customers(service)      # counts and asks as both, by all ways in; nobody gets anything of the other one
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests

from tests.farm import ROOT
from tests.kept import SHARED, kept
from tests.servers import wait_until
from tests.streams import Stream

CUSTOMERS = ("shop", "cafe")
TIMES = {"shop": 3, "cafe": 4}
PASSWORD = "correct horse"
PAGE = "https://{}.example"
SITE = "web"
KNOWN_S = REVOKED_S = 3.0
READS = (
    *("/total", "/totals", "/plotpoints", "/rank", "/dataset", "/factors", "/shifts", "/subdimensions", "/pks"),
    *("/metrics_of", "/notes", "/spy", "/plot.svg", "/decisions", "/decisions/banner", "/outcomes", "/health.json"),
    *("/users", "/keys", "/sites", "/journal", "/live_token", "/internal/directory", "/shop", "/shop/web", "/"),
)
"""What no browser key reads."""


@dataclass
class Service:
    """hails, whale, live: addresses, as `https://localhost:8443`.  environ: of the command line.  trusted: the certificate of https.

    is_open: everybody on this machine may make an account.
    """

    hails: Sequence[str]
    whale: str
    live: str
    environ: dict[str, str]
    redis: Any
    trusted: Path | None = None
    is_open: bool = False

    def command_line(self, *words: str, given: str = "", expected: int = 0) -> str:
        """What `hailwhale` says."""
        command = [sys.executable, "-m", "whale.cli", *words]
        done = subprocess.run(
            command, env=self.environ, input=given, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return (done.stderr if expected else done.stdout).strip()

    def ask(self, method: str, url: str, **given: Any) -> requests.Response:
        trusted = str(self.trusted) if self.trusted else True
        return requests.request(method, url, timeout=20, verify=trusted, allow_redirects=False, **given)

    def get(self, path: str, parameters: dict[str, Any] | None = None, **given: Any) -> requests.Response:
        return self.ask("GET", f"{self.whale}{path}", params=parameters, **given)

    def post(self, path: str, body: Any, expected: int = 200, **given: Any) -> Any:
        answer = self.ask("POST", f"{self.whale}{path}", json=body, **given)
        assert answer.status_code == expected, answer.text
        return answer.json()

    def count(self, hail: str, secret: str, **hit: Any) -> int:
        query = {name: value if isinstance(value, str) else json.dumps(value) for name, value in hit.items()}
        answer = self.ask("GET", f"{hail}/count", params={**query, "key": secret})
        assert answer.status_code in (200, 401), answer.text
        return answer.status_code

    def refuses(self, hail: str, secret: str) -> bool:
        return self.count(hail, secret, pk="late") == 401

    def total(self, **shown: Any) -> Any:
        """The number, or the status of a refusal."""
        answer = self.get("/total", {"pk": SITE, "period": "today"}, **shown)
        return answer.json() if answer.status_code == 200 else answer.status_code

    def has(self, hits: int, **shown: Any) -> bool:
        return bool(self.total(**shown) == hits)

    def stream(self, name: str, password: str = PASSWORD) -> Stream:
        user = requests.Request("GET", self.live, auth=(name, password)).prepare()
        return Stream(self.live, {"Authorization": user.headers["Authorization"]}, self.trusted)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


class Customer:
    """made: by the command line against Redis alone."""

    def __init__(self, service: Service, name: str):
        self.service, self.name, self.hits = service, name, TIMES[name]
        service.command_line("account", "add", name, "--zone", "Europe/Berlin")
        service.command_line("user", "add", name, given=f"{PASSWORD}\n")
        self.admin = service.command_line("key", "add", name, "--scope", "admin")
        self.id = json.loads(service.command_line("account", "show", name, "--json"))["id"]
        self.secrets: dict[str, str] = {}

    def begin(self) -> None:
        """By Whale: users, a site, and a key of each scope."""
        for user, rights in (("anna", {"counts": "read"}), ("ben", {"decisions": "write"})):
            self.made("/users", name=user, password=PASSWORD, rights=rights)
        self.made("/sites", pk=SITE, open=True, origins=[PAGE.format(self.name)])
        for scope, site in (("write", None), ("read", None), ("browser", SITE)):
            self.secrets[scope] = self.made("/keys", scope=scope, site=site)["secret"]

    def made(self, path: str, **given: Any) -> Any:
        return self.service.post(path, given, 201, headers=bearer(self.admin))

    @property
    def page(self) -> dict[str, str]:
        """What a page of the site sends with its key."""
        return {**bearer(self.secrets["browser"]), "Origin": PAGE.format(self.name)}

    def count(self) -> None:
        """All but one by a server at each Hail in turn; one by a page. Each says whose it is."""
        hit = {"pk": SITE, "dimensions": {f"of {self.name}": f"{self.name}'s"}, "metrics": {"revenue": self.hits}}
        for number in range(self.hits - 1):
            hail = self.service.hails[number % len(self.service.hails)]
            send = partial(self.service.count, hail, self.secrets["write"], **hit)
            wait_until(lambda send=send: send() == 200, KNOWN_S, "the key to be known")
        sent = self.service.ask("POST", f"{self.service.hails[0]}/count", json=hit, headers=self.page)
        assert sent.status_code == 202

    def ways_in(self) -> list[dict[str, Any]]:
        """Those that read counts."""
        name = self.name
        passwords = [{"auth": (who, PASSWORD)} for who in (name, f"{name}/anna")]
        return [*passwords, *({"headers": bearer(secret)} for secret in (self.secrets["read"], self.admin))]


def two_customers(service: Service, customers: Sequence[Customer]) -> None:
    """All of it. customers: made, and nothing else was done."""
    for customer in customers:
        customer.begin()
    for customer in customers:
        customer.count()
    for customer in customers:
        read = bearer(customer.secrets["read"])
        wait_until(partial(service.has, customer.hits, headers=read), 60, f"the hits of {customer.name}")
    for customer, other in (customers, customers[::-1]):
        numbers(service, customer)
        nothing_of(service, customer, other)
        shares(service, customer, other)
        hiitrack(service, customer, other)
        sessions(service, customer)
    flags(service, *customers)
    streams(service, *customers)
    keys_are_apart(service, *customers)
    audits_close(service, *customers)
    what_ends(service, *customers)


def numbers(service: Service, customer: Customer) -> None:
    for shown in customer.ways_in():
        assert service.total(**shown) == customer.hits
    assert service.total(auth=(f"{customer.name}/ben", PASSWORD)) == 403
    assert service.total(auth=(customer.name, "wrong horse")) == 401
    for scope in ("write", "browser"):
        assert service.total(headers=bearer(customer.secrets[scope])) == 401
    for hail in service.hails:
        assert service.count(hail, customer.secrets["read"], pk=SITE) == 401
    refused = {path: service.get(path, {"pk": SITE}, headers=customer.page).status_code for path in READS}
    assert {path: status for path, status in refused.items() if status not in (401, 403)} == {}


def nothing_of(service: Service, customer: Customer, other: Customer) -> None:
    """Whatever is asked without naming anybody."""
    note = service.post("/notes", {"text": f"{customer.name} opens"}, 201, headers=bearer(customer.admin))
    paths = ("/pks", "/spy", "/notes", "/decisions", "/users", "/keys", "/sites", "/journal", "/subdimensions")
    for path in paths:
        answer = service.get(path, {"pk": SITE} if path == "/subdimensions" else None, headers=bearer(customer.admin))
        assert answer.status_code == 200, answer.text
        assert other.name not in answer.text, path
        assert other.id not in answer.text, path
    for path, word in (("/spy", f"of {customer.name}"), ("/notes", f"{customer.name} opens"), ("/journal", "anna")):
        assert word in service.get(path, headers=bearer(customer.admin)).text
    stolen = service.ask("DELETE", f"{service.whale}/notes/{note['id']}", headers=bearer(other.admin))
    assert stolen.status_code == 404
    assert service.get("/health.json", headers=bearer(customer.admin)).status_code == 403


def shares(service: Service, customer: Customer, other: Customer) -> None:
    """Whoever has the link sees that question, and no other."""
    asked = {"pk": SITE, "metrics": ["revenue"], "period": "today"}
    made = service.post("/shares", asked, 201, auth=(f"{customer.name}/anna", PASSWORD))
    assert made["url"].startswith(f"{service.whale}/s/")
    (points,) = service.ask("GET", f"{made['url']}/plotpoints").json().values()
    assert sum(value for _, value in points["revenue"] if value) == customer.hits**2
    of_another = made["url"].replace(customer.id, other.id)
    assert of_another != made["url"]
    assert service.ask("GET", f"{of_another}/plotpoints").status_code in (403, 404)


def hiitrack(service: Service, customer: Customer, other: Customer) -> None:
    owner, stranger = (customer.name, PASSWORD), (other.name, PASSWORD)
    token = service.ask("POST", f"{service.whale}/{customer.name}/homepage", auth=owner).json()["token"]
    shown = service.get(f"/{customer.name}", auth=owner).json()["buckets"]
    assert shown.keys() == {SITE, "homepage"}
    assert service.get(f"/{customer.name}/homepage", auth=("homepage", token)).json()["bucket_name"] == "homepage"
    assert service.get(f"/{customer.name}/{SITE}", auth=("homepage", token)).status_code in (401, 403)
    assert service.get("/total", {"pk": SITE}, headers=bearer(token)).status_code == 403
    for method, path in (
        *(("GET", ""), ("GET", "/homepage"), ("POST", "/stolen"), ("DELETE", "/homepage"), ("DELETE", "")),
    ):
        answer = service.ask(method, f"{service.whale}/{customer.name}{path}", auth=stranger)
        assert answer.status_code == 401, (method, path, answer.text)
    registered = service.ask("POST", f"{service.whale}/newcomer", data={"password": PASSWORD})
    assert registered.status_code == (201 if service.is_open else 403)
    if service.is_open:
        removed = service.ask("DELETE", f"{service.whale}/newcomer", auth=("newcomer", PASSWORD))
        assert removed.status_code == 200
    assert service.ask("DELETE", f"{service.whale}/{customer.name}/homepage", auth=owner).status_code == 200


def sessions(service: Service, customer: Customer) -> None:
    """By the form, from its own page alone: the cookie opens what the user may, and nothing after a logout."""
    form = {"name": f"{customer.name}/anna", "password": PASSWORD}
    host = service.whale.partition("://")[2]
    for origin in (f"http://evil.{host}", f"{service.whale}1", f"https://{host.partition(':')[0]}"):
        assert service.ask("POST", f"{service.whale}/login", data=form, headers={"Origin": origin}).status_code == 403
    own = {"Origin": service.whale}
    answer = service.ask("POST", f"{service.whale}/login", data=form, headers=own)
    assert answer.status_code == 303, answer.text
    name, _, value = answer.headers["Set-Cookie"].partition(";")[0].partition("=")
    assert name.endswith(f"hailwhale-{host.partition(':')[2]}")
    cookie = {"Cookie": f"{name}={value}"}
    assert service.total(headers=cookie) == customer.hits
    assert service.get("/", headers=cookie).status_code == 200
    assert service.get("/users", headers=cookie).status_code == 403
    said = service.get("/live_token", headers=cookie).json()
    assert said["url"] == f"{service.live}/live"
    with Stream(service.live, own, service.trusted, token=said["token"]) as stream:
        assert stream.next("ping").data["redis"] == "up"
        left = service.ask("POST", f"{service.whale}/logout", headers={**own, **cookie})
        assert left.status_code == 303
        stream.rest()


def flags(service: Service, first: Customer, second: Customer) -> None:
    flag = {"options": {"old": 1, "new": 2}, "weights": {"old": 0, "new": 1}, "public": True}
    service.post("/decisions/banner", flag, headers=bearer(first.admin))
    secret = {**flag, "public": False}
    service.post("/decisions/secret", secret, auth=(f"{first.name}/ben", PASSWORD))
    found = {}
    for whose in (first, second):
        for page in (first, second):
            headers = {**whose.page, "Origin": PAGE.format(page.name)}
            url = f"{service.whale}/ofrep/v1/evaluate/flags/banner"
            found[whose.name, page.name] = service.ask(
                "POST", url, json={"context": {"targetingKey": "ann"}}, headers=headers
            )
    assert {each: answer.status_code for each, answer in found.items()} == {
        ("shop", "shop"): 200,
        ("shop", "cafe"): 403,
        ("cafe", "shop"): 403,
        ("cafe", "cafe"): 404,
    }
    assert found["shop", "shop"].json()["value"] == 2
    all_flags = service.post("/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "ann"}}, headers=first.page)
    assert [each["key"] for each in all_flags["flags"]] == ["banner"]
    hidden = service.ask(
        "POST",
        f"{service.whale}/ofrep/v1/evaluate/flags/secret",
        json={"context": {"targetingKey": "ann"}},
        headers=first.page,
    )
    assert hidden.status_code == 404


def streams(service: Service, first: Customer, second: Customer) -> None:
    """Each sees the hit of their own, though that of the other came before."""
    with service.stream(f"{first.name}/anna") as one, service.stream(second.name) as two:
        for stream in (one, two):
            assert stream.next("ping").data["redis"] == "up"
        for customer, stream in ((first, two), (second, one)):
            assert service.count(service.hails[-1], customer.secrets["write"], pk="live", id=customer.name) == 200
            wait_until(partial(told_of, service, customer), 60, "the hit")
            del stream
        assert [one.next("hit").data["id"], two.next("hit").data["id"]] == [first.name, second.name]
    with service.stream(f"{first.name}/ben") as refused:
        assert (refused.status, refused.json()["code"]) == (403, "not_allowed")


def told_of(service: Service, customer: Customer) -> bool:
    asked = {"pk": "live", "period": "today"}
    return bool(service.get("/total", asked, headers=bearer(customer.secrets["read"])).json() == 1)


def keys_are_apart(service: Service, *customers: Customer) -> None:
    """Each key of Redis is of one account or of the directory, and what an account's keys hold names no other."""
    found = kept(service.redis)
    mine = {each.name: {key for key in found if key.startswith(f"{each.id}:".encode())} for each in customers}
    assert all(len(keys) > 5 for keys in mine.values())
    others = {key for key in found if not key.startswith((SHARED, b"default:"))}
    assert others == set().union(*mine.values())
    for customer, other in (customers, customers[::-1]):
        for key in mine[customer.name]:
            text = key + found[key]
            assert other.id.encode() not in text, key
            assert f"{other.name}'s".encode() not in text, key
        assert any(f"{customer.name}'s".encode() in found[key] for key in mine[customer.name])


def audits_close(service: Service, *customers: Customer) -> None:
    """Each account's own, and all together."""
    for customer in customers:
        done = json.loads(service.command_line("audit", customer.name, "--json", "--wait", "60"))
        assert done["closes"]
        sums = done["all"]
        assert sums["accepted"] == sums["counted"] > customer.hits
    assert "there is no account nobody" in service.command_line("audit", "nobody", expected=2)
    lines = service.command_line("audit", "--all", "--wait", "60").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["default", "cafe", "shop"]


def what_ends(service: Service, first: Customer, second: Customer) -> None:
    """A revoked key everywhere within 3 s; an account with all that it has."""
    listed = service.get("/keys", headers=bearer(first.admin)).json()
    for scope in ("read", "write"):
        key = next(each for each in listed if each["scope"] == scope and each["site"] is None)
        service.command_line("key", "revoke", first.name, key["id"])
    read, write = (first.secrets[scope] for scope in ("read", "write"))
    refused = [partial(service.has, 401, headers=bearer(read))]
    refused += [partial(service.refuses, hail, write) for hail in service.hails]
    for each in refused:
        wait_until(each, REVOKED_S, "the key to be refused")
    with service.stream(second.name) as stream:
        stream.next("ping")
        service.command_line("account", "remove", second.name, "--yes")
        stream.rest()
    for shown in second.ways_in():
        # where everybody may ask, a name that nobody has any more means nothing: they see `default`, where nothing is
        expected = 0 if service.is_open and "auth" in shown else 401
        wait_until(partial(service.has, expected, **shown), REVOKED_S, "the account to be gone")
    for hail in service.hails:
        wait_until(partial(service.refuses, hail, second.secrets["write"]), REVOKED_S, "its keys to be gone")
    assert service.total(headers=bearer(first.admin)) == first.hits
    gone = f"{second.id}:*"
    wait_until(lambda: not list(service.redis.scan_iter(gone)), 60, "its counts to be freed", pause_s=0.2)
