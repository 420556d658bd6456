"""The cases of HiiTrack about users, buckets and events, over HTTP on a real Redis, as a client of it asks."""

import json
import re
import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from hail.settings import load
from tests.integration.test_readme import Shell, answers_what_is_printed
from tests.servers import RedisServer, wait_until
from tests.up import Up
from tests.wsgi import serving
from whale.accounts import Act, new_key
from whale.client import Whale
from whale.store import connect
from whale.store.base import Store
from whale.web import make_app

PASSWORD = "correct horse"
LOGGED = {"HAILWHALE_VISITOR_LOG": "1"}


class Client:
    """One connection, which stays open, and the last cookie. who: name and password."""

    def __init__(self, url: str):
        self._to = HTTPConnection(url.removeprefix("http://"), timeout=30)
        self.cookie = ""

    def ask(self, method: str, path: str, who: tuple[str, str] | None = None, **form: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Basic {b64encode(':'.join(who).encode()).decode()}"} if who else {}
        headers |= {"Cookie": self.cookie} if self.cookie else {}
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        self._to.request(method, path, urlencode(form) or None, {**headers, **kind})
        answer = self._to.getresponse()
        body = answer.read()
        self.cookie = (answer.getheader("Set-Cookie") or self.cookie).partition(";")[0]
        return answer.status, json.loads(body) if "json" in (answer.getheader("Content-Type") or "") else body.decode()

    def batch(self, path: str, who: tuple[str, str], **query: str) -> tuple[int, Any]:
        return self.ask("GET", f"{path}/batch?{urlencode(query)}", who)

    def status(self, method: str, path: str, who: tuple[str, str] | None = None, **form: str) -> int:
        return self.ask(method, path, who, **form)[0]


@pytest.fixture
def store(own_redis: RedisServer) -> Store:
    return connect(load({"HAILWHALE_REDIS_URL": own_redis.url, **LOGGED}))


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    """Of a Whale where the log of a new bucket holds at once."""
    settings = load(LOGGED)
    with serving(make_app(settings, Whale(store, settings), hold_ms=0)) as found:
        yield found


ANN, BEN, WRONG = ("ann", PASSWORD), ("ben", "another horse"), ("ann", "wrong horse")


def test_a_user_is_made_once_read_by_the_password_and_removed_by_it(url: str) -> None:
    client = Client(url)
    assert client.ask("POST", "/ann", password=PASSWORD) == (201, {})
    assert client.status("POST", "/ann", password=PASSWORD) == 403
    assert [client.status("GET", "/ann", who) for who in (None, WRONG, ANN)] == [401, 401, 200]
    assert [client.status("DELETE", "/ann", who) for who in (None, WRONG, ANN)] == [401, 401, 200]
    assert client.status("GET", "/ann", ANN) == 401
    assert client.status("GET", "/ann") == 404


def test_no_user_opens_what_is_another_ones(url: str) -> None:
    client = Client(url)
    for name, password in (ANN, BEN):
        assert client.status("POST", f"/{name}", password=password) == 201
    assert client.status("POST", "/ben/home", BEN) == 201
    as_another = client.ask("GET", "/ben", ANN)
    with_another_ones_password = client.ask("GET", "/ben", ("ben", PASSWORD))
    assert as_another == with_another_ones_password
    assert as_another[0] == 401
    for method, path in (("GET", "/ben/home"), ("POST", "/ben/new"), ("DELETE", "/ben/home"), ("DELETE", "/ben")):
        assert client.status(method, path, ANN) == 401
    assert client.ask("GET", "/ben", BEN) == (200, {"buckets": {"home": {"description": ""}}})


def test_a_bucket_that_was_not_made_is_not_found(url: str) -> None:
    client = Client(url)
    assert client.status("POST", "/ann", password=PASSWORD) == 201
    assert client.status("GET", "/ann/home", ANN) == 404
    assert client.status("POST", "/ann/home", ANN, description="Home") == 201
    assert client.status("POST", "/ann/home", ANN) == 403
    shown = {"bucket_name": "home", "description": "Home", "properties": {}, "events": {}}
    assert client.ask("GET", "/ann/home", ANN) == (200, shown)
    assert client.ask("DELETE", "/ann/home", ANN) == (200, {})
    assert client.status("GET", "/ann/home", ANN) == 404


def test_the_token_of_a_bucket_is_a_password_that_reads_it_alone(url: str) -> None:
    client = Client(url)
    assert client.status("POST", "/ann", password=PASSWORD) == 201
    token = client.ask("POST", "/ann/home", ANN)[1]["token"]
    assert client.status("POST", "/ann/other", ANN) == 201
    with_token = ("home", token)
    assert client.status("GET", "/ann/home", with_token) == 200
    assert client.status("GET", "/ann/other", with_token) == 401
    assert client.status("DELETE", "/ann/home", with_token) == 401
    status, script = client.ask("GET", f"/ann/home?key={token}&callback=shown&request_id=7")
    assert status == 200
    found = re.fullmatch(r"/\*\*/shown\((.*)\);", script)
    assert found
    assert json.loads(found[1])["request_id"] == "7"


def test_a_slash_at_the_end_changes_nothing_for_the_next_client(url: str) -> None:
    first, second = Client(url), Client(url)
    assert first.status("POST", "/ann/", password=PASSWORD) == 201
    assert first.status("POST", "/ann/home/", ANN) == 201
    for path in ("/ann/", "/ann/home/"):
        assert first.status("GET", path, ANN) == 200
        assert second.status("GET", path.removesuffix("/"), ANN) == 200
        assert second.status("GET", "/pks") == 200
        assert first.status("GET", path) == 401


def test_an_answer_without_a_password_comes_and_has_the_id_of_its_request(url: str) -> None:
    client = Client(url)
    status, said = client.ask("POST", "/ann", request_id="7")
    assert (status, said["field"], said["request_id"]) == (400, "password", "7")
    status, said = client.ask("GET", "/nobody?request_id=8")
    assert (status, said["request_id"]) == (404, "8")


def test_what_is_removed_takes_all_that_was_counted_with_it(url: str, store: Store) -> None:
    client = Client(url)

    def made() -> Whale:
        assert client.status("POST", "/ann", password=PASSWORD) == 201
        account = store.account_named("ann")
        assert account is not None
        return Whale(store, load({}), account.id)

    whale = made()
    assert client.status("POST", "/ann/home", ANN) == 201
    for pk in ("home", "beside"):
        whale.count_now(pk, "page")
    assert client.status("DELETE", "/ann/home", ANN) == 200
    assert whale.pks() == [("beside",)]
    assert client.status("POST", "/ann/home", ANN) == 201
    assert whale.total("home", period="today") == 0
    assert client.status("DELETE", "/ann", ANN) == 200
    again = made()
    assert again.account != whale.account
    assert again.pks() == []
    while store.free_accounts(time.time()):
        pass
    assert whale.pks() == []


def test_each_printed_command_answers_what_is_printed(url: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.whale = url.removeprefix("http://")
    assert answers_what_is_printed(shell, "docs/http/hiitrack.md") == 4


# What visitors did


def logged(store: Store, user: str, site: str) -> dict[str, tuple[int, int]]:
    """Of each event how often, and by how many visitors."""
    account = store.account_named(user)
    assert account is not None
    rows = Whale(store, load({}), account.id).events(site, "today")["events"]
    return {row["event"]: (row["times"], row["visitors"]) for row in rows}


def test_an_event_to_a_bucket_that_is_not_there_makes_it(url: str, store: Store) -> None:
    client = Client(url)
    assert client.status("POST", "/ann", password=PASSWORD) == 201
    for visitor in ("v1", "v1", "v2"):
        assert client.ask("POST", "/ann/home/event/a", ANN, visitor_id=visitor) == (200, {"visitor_id": visitor})
    assert client.status("GET", "/ann/home", ANN) == 200
    assert logged(store, "ann", "home") == {"a": (3, 2)}


def test_an_event_of_an_unknown_user_and_one_of_nobody_are_refused(url: str) -> None:
    client = Client(url)
    assert client.status("POST", "/ann", password=PASSWORD) == 201
    assert client.status("POST", "/nobody/home/event/a", visitor_id="v1") == 404
    assert client.status("POST", "/ann/home/event/a", ANN) == 400
    assert client.status("GET", "/ann/home", ANN) == 404


def test_a_slash_behind_an_event_changes_nothing_for_the_next_client(url: str, store: Store) -> None:
    first, second = Client(url), Client(url)
    assert first.status("POST", "/ann", password=PASSWORD) == 201
    for client in (first, second):
        assert client.status("POST", "/ann/home/event/a/", ANN, visitor_id="v1") == 200
        assert client.status("GET", "/ann/home/event/a/jsonp/?visitor_id=v1", ANN) == 200
        assert client.status("POST", "/ann/home/event/a", ANN, visitor_id="v1") == 200
    assert logged(store, "ann", "home") == {"a": (6, 1)}


def message_of(*parts: Any) -> str:
    return b64encode(json.dumps(parts).encode()).decode()


def test_a_batch_without_a_visitor_gives_the_cookie_of_its_answer_and_another_id_replaces_it(
    url: str, store: Store
) -> None:
    client = Client(url)
    assert client.status("POST", "/ann", password=PASSWORD) == 201
    message = message_of(["a", "b"], [])
    status, said = client.batch("/ann/home", ANN, message=message)
    assert (status, client.cookie) == (200, f"v={said['visitor_id']}")
    assert client.batch("/ann/home", ANN, message=message) == (200, said)
    assert client.batch("/ann/home", ANN, message=message, visitor_id=said["visitor_id"]) == (200, said)
    assert client.cookie == f"v={said['visitor_id']}"
    assert client.batch("/ann/home", ANN, message=message, visitor_id="another") == (200, {"visitor_id": "another"})
    assert client.cookie == "v=another"
    assert client.batch("/ann/home", ANN, message=message) == (200, {"visitor_id": "another"})
    assert logged(store, "ann", "home") == {"a": (5, 2), "b": (5, 2)}


def test_a_batch_calls_a_script_back_with_the_id_of_its_request(url: str, store: Store) -> None:
    client = Client(url)
    assert client.status("POST", "/ann", password=PASSWORD) == 201
    account = store.account_named("ann")
    assert account is not None
    key, secret = new_key(account.id, "write", None, bytes(36), time.time())
    store.add_entry(key, Act(0, "a test", "add key", account.id, key.prefix))
    fields = {"message": message_of(["a"], []), "request_id": "7", "callback": "done", "visitor_id": "v1"}
    status, script = client.ask("GET", f"/ann/home/batch?{urlencode({**fields, 'key': secret})}")
    found = re.fullmatch(r"/\*\*/done\((.*)\);", script)
    assert status == 200
    assert found
    assert json.loads(found[1]) == {"visitor_id": "v1", "request_id": "7"}


def test_batches_of_two_visitors_count_each_event_of_both_and_keep_their_properties(url: str, store: Store) -> None:
    client = Client(url)
    assert client.status("POST", "/ann", password=PASSWORD) == 201
    pairs = [["p1", "x"], ["p2", {"a": [1, None]}], ["p3", True]]
    for visitor, events, properties in (
        ("v1", ["1", "2", "3"], pairs),
        ("v2", ["1", "3"], []),
        ("v3", ["A", "B", "B", "B"], []),
    ):
        assert client.batch("/ann/home", ANN, message=message_of(events, properties), visitor_id=visitor)[0] == 200
    assert logged(store, "ann", "home") == {"1": (2, 2), "2": (1, 1), "3": (2, 2), "A": (1, 1), "B": (3, 1)}
    account = store.account_named("ann")
    assert account is not None
    whale = Whale(store, load({}), account.id)
    for name, value in pairs:
        found = whale.properties("home", name)
        assert found["rows"] == [{"value": value, "visitors": 1}]
        assert {row["event"]: row["visitors"] for row in found["events"]} == {"1": 1, "2": 1, "3": 1}
    shown = client.ask("GET", "/ann/home", ANN)[1]
    assert shown["properties"] == {"cDE": "p1", "cDI": "p2", "cDM": "p3"}
    assert shown["events"]["B"] == {"id": "Qg"}
    assert shown["events"].keys() == {"1", "2", "3", "A", "B"}


@pytest.mark.parametrize("what", ["event/a", "property/p", "batch"])
def test_each_address_that_counts_makes_its_bucket(url: str, what: str) -> None:
    client = Client(url)
    assert client.status("POST", "/ann", password=PASSWORD) == 201
    if what == "batch":
        assert client.batch("/ann/home", ANN, message=message_of(["a"], [["p", 1]]), visitor_id="v1")[0] == 200
    else:
        value = {"value": b64encode(b"1").decode()} if what.startswith("property") else {}
        assert client.ask("POST", f"/ann/home/{what}", ANN, visitor_id="v1", **value) == (200, {"visitor_id": "v1"})
    assert client.ask("GET", "/ann/home", ANN)[1]["description"] == "home"


def test_events_of_the_first_seconds_of_a_new_bucket_are_counted_and_not_logged(store: Store) -> None:
    settings = load(LOGGED)
    with serving(make_app(settings, Whale(store, settings))) as url:
        client = Client(url)
        assert client.status("POST", "/ann", password=PASSWORD) == 201
        assert client.status("POST", "/ann/home/event/a", ANN, visitor_id="v1") == 200
    account = store.account_named("ann")
    assert account is not None
    assert Whale(store, settings, account.id).total("home", dimension=[["event", "a"]], period="today") == 1
    assert logged(store, "ann", "home") == {}


def test_the_addresses_of_hiitracks_own_readme_are_answered(url: str, store: Store) -> None:
    client, user = Client(url), ("exampleuser", PASSWORD)
    bucket = "/exampleuser/homepagetestbucket"
    assert client.status("POST", "/exampleuser", password=PASSWORD) == 201
    assert client.status("GET", "/exampleuser", user) == 200
    assert client.status("POST", bucket, user, description="The home page") == 201
    version = b64encode(b'"Version A"').decode()
    assert client.status("POST", f"{bucket}/event/landed-on-homepage", user, visitor_id="v1") == 200
    assert client.status("POST", f"{bucket}/property/homepage-version", user, visitor_id="v1", value=version) == 200
    shown = client.ask("GET", bucket, user)[1]
    assert [*shown["events"]] == ["landed-on-homepage"]
    assert [*shown["properties"].values()] == ["homepage-version"]
    account = store.account_named("exampleuser")
    assert account is not None
    found = Whale(store, load({}), account.id).properties("homepagetestbucket", "homepage-version")
    assert found["rows"] == [{"value": "Version A", "visitors": 1}]
    assert found["events"] == [{"event": "landed-on-homepage", "visitors": 1}]


def test_visitors_of_hail_are_logged_by_a_cookie_and_by_hiitracks_addresses(tmp_path: Path) -> None:
    """On `hailwhale up`: Hail learns of the site from Whale, and what it takes goes through the spool into the log."""
    up = Up(tmp_path / "var")
    up.start()
    try:
        hail, whale = f"http://{up.hail}", f"http://{up.whale}"
        assert requests.post(f"{whale}/ann", json={"password": PASSWORD}, timeout=30).status_code == 201
        assert requests.post(f"{whale}/ann/home", auth=ANN, timeout=30).status_code == 201
        made = requests.post(f"{whale}/keys", json={"scope": "write"}, auth=ANN, timeout=30).json()
        key = {"key": made["secret"]}
        event = {**key, "pk": "home", "event": "seen"}

        def knows_it() -> bool:
            answer = requests.get(f"{hail}/count.gif", {**event, "event": "early"}, timeout=30)
            return "Set-Cookie" in answer.headers

        wait_until(knows_it, 30, "a site at Hail")
        browser = requests.Session()

        def logged() -> Any:
            rows = requests.get(f"{whale}/events", {"pk": "home", "period": "today"}, auth=ANN, timeout=30).json()
            return {row["event"]: (row["times"], row["visitors"]) for row in rows["events"]}

        def holds() -> bool:
            requests.get(f"{hail}/count.gif", {**event, "event": "begun", "visitor": "me"}, timeout=30)
            return "begun" in logged()

        wait_until(holds, 60, "the log of the site")
        first = browser.get(f"{hail}/count.gif", params=event, timeout=30)
        visitor = first.cookies["v"]
        assert "Set-Cookie" not in browser.get(f"{hail}/count.js", params=event, timeout=30).headers
        message = b64encode(b'[["signup", "seen"], [["plan", "pro"]]]').decode()
        batch = browser.get(f"{hail}/ann/home/batch", params={**key, "message": message}, timeout=30)
        assert (batch.status_code, batch.json()) == (200, {"visitor_id": visitor})
        sent = requests.post(f"{hail}/ann/home/event/seen", params=key, data={"visitor_id": "v2"}, timeout=30)
        assert (sent.status_code, sent.json()) == (202, {"visitor_id": "v2"})
        wait_until(lambda: logged().get("seen") == (4, 2) and logged().get("signup") == (1, 1), 60, "the log")
        shown = requests.get(f"{whale}/ann/home", auth=ANN, timeout=30).json()
        assert list(shown["properties"].values()) == ["plan"]
    finally:
        up.stop(signal.SIGTERM)
