"""Messages to one visitor on real servers: who hears whom, how many may listen, what is left of those who are gone, and bad input."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.browser.conftest import LOCKED
from tests.farm import Farm
from tests.servers import RedisServer, free_port, wait_until
from tests.streams import Stream
from tests.up import ROOT, Up
from whale.live.push import PING_S

PAGE = "https://shop.example"
MOST_PAGES = 30


class Talking:
    """`hailwhale up` with keys, and two accounts that have a site of one name."""

    def __init__(self, up: Up):
        self.hail, self.whale, self.live = (f"http://{each}" for each in (up.hail, up.whale, up.live))
        self.up, self.keys = up, dict[str, str]()
        for account in ("cafe", "shop"):
            up.command_line("account", "add", account)
            up.command_line("site", "add", account, "web", "--open", "--origin", PAGE)
            up.command_line("site", "add", account, "blog", "--open", "--origin", PAGE)
            for scope in ("write", "read"):
                self.keys[f"{account} {scope}"] = up.command_line("key", "add", account, "--scope", scope)
        self.keys["shop blog"] = up.command_line("key", "add", "shop", "--scope", "write", "--site", "blog")

    def ask_token(self, visitor: str, account: str = "shop", site: str = "web", **headers: str) -> requests.Response:
        given = {"account": account, "site": site, "v_visitor": visitor}
        return requests.post(f"{self.hail}/push_token", json=given, headers={"Origin": PAGE, **headers}, timeout=20)

    def token(self, visitor: str, account: str = "shop", site: str = "web") -> str:
        wait_until(lambda: self.ask_token(visitor, account, site).status_code == 200, 30, "Hail to know the site")
        found = self.ask_token(visitor, account, site).json()
        assert found["url"] == f"{self.live}/push"
        return str(found["token"])

    def hears(self, visitor: str, account: str = "shop", **parameters: str) -> Stream:
        return Stream(self.live, path="/push", token=self.token(visitor, account), **parameters)

    def push(self, visitor: str, data: Any, key: str = "shop write", site: str = "web") -> requests.Response:
        bearer = {"Authorization": f"Bearer {self.keys.get(key, key)}"}
        return requests.post(f"{self.whale}/push/{site}/{visitor}", json=data, headers=bearer, timeout=20)

    def listening(self, account: str = "shop", site: str = "web") -> dict[str, int]:
        bearer = {"Authorization": f"Bearer {self.keys[f'{account} read']}"}
        rows = requests.get(f"{self.whale}/push/{site}?limit=1000", headers=bearer, timeout=20).json()["rows"]
        return {row["visitor"]: row["pages"] for row in rows if row["pages"]}

    def measured(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", requests.get(f"{self.live}/metrics", timeout=20).text, re.M)
        return float(found[1]) if found else 0.0


def is_ready(live: str) -> bool:
    try:
        return requests.get(f"{live}/readyz", timeout=20).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talking]:
    up = Up(
        tmp_path_factory.mktemp("talking") / "var",
        **LOCKED,
        internal_key="i" * 32,
        push_max_pages=MOST_PAGES,
        push_account_pages=MOST_PAGES,
    )
    up.start()
    yield Talking(up)
    up.stop(signal.SIGTERM)


def test_only_the_pages_of_the_visitor_hear_it(talking: Talking) -> None:
    ann, bob = str(uuid.uuid4()), str(uuid.uuid4())
    with talking.hears(ann) as stream, talking.hears(bob) as other, talking.hears(ann, "cafe") as cafe:
        for each in (stream, other, cafe):
            assert each.next("ping").data["redis"] == "up"
        assert talking.push(ann, {"text": "for ann"}).json()["reached"] == 1
        assert stream.next("message").data["data"] == {"text": "for ann"}
        assert talking.push(ann, {"text": "for the other ann"}, "cafe write").json()["reached"] == 1
        assert cafe.next("message").data["data"] == {"text": "for the other ann"}
        assert talking.push(bob, {"text": "for bob"}).json()["reached"] == 1
        assert other.next("message").data["data"] == {"text": "for bob"}
        assert talking.push(str(uuid.uuid4()), {"text": "for nobody"}).json()["reached"] == 0


def test_a_push_without_the_right_reaches_nobody(talking: Talking) -> None:
    ann = str(uuid.uuid4())
    with talking.hears(ann) as stream:
        stream.next("ping")
        refused = {
            "shop read": (401, "unauthorized"),
            "shop blog": (403, "not_allowed"),
            "cafe read": (401, "unauthorized"),
            "nonsense": (401, "unauthorized"),
        }
        for key, expected in refused.items():
            found = talking.push(ann, {"text": "no"}, key)
            assert (found.status_code, found.json()["code"]) == expected, key
        assert talking.push(ann, {"text": "elsewhere"}, "cafe write").json()["reached"] == 0
        assert talking.push(ann, {"text": "of the blog"}, "shop blog", "blog").json()["reached"] == 0
        assert talking.push(ann, {"text": "no site"}, site="nothing").status_code == 404
        assert talking.push(ann, {"text": "x" * 1_000_000}).status_code in (400, 413)
        assert talking.push(ann, {"text": "yes"}).json()["reached"] == 1
        assert stream.next("message").data["data"] == {"text": "yes"}


def test_a_token_is_for_its_talk_alone_and_a_key_is_none(talking: Talking) -> None:
    ann, bob = str(uuid.uuid4()), str(uuid.uuid4())
    said, mac = talking.token(ann).split(".")
    other = talking.token(bob).split(".")[0]
    for token in ("", "x", f"{other}.{mac}", f"{said}.{mac[:-1]}", talking.keys["shop read"], LOCKED["admin_key"]):
        with Stream(talking.live, path="/push", token=token) as stream:
            assert (stream.status, stream.json()["code"]) == (401, "unauthorized")
        posted = requests.post(f"{talking.live}/push", params={"token": token}, json={"text": "x"}, timeout=20)
        assert posted.status_code == 401
    assert talking.ask_token(ann, **{"Sec-GPC": "1"}).json()["why"] == "anonymous"
    assert talking.ask_token("42").json()["code"] == "bad_id"
    evil = talking.ask_token(ann, Origin="https://evil.example")
    assert (evil.status_code, evil.json()["code"]) in ((503, "no_directory"), (403, "foreign_origin"))


def test_so_many_pages_listen_and_no_more_and_places_are_given_back(talking: Talking) -> None:
    tokens = [talking.token(str(uuid.uuid4())) for _ in range(MOST_PAGES + 10)]
    wait_until(lambda: talking.measured("hailwhale_push_pages") == 0, 30, "nobody")
    streams = [Stream(talking.live, path="/push", token=token) for token in tokens]
    assert [stream.status for stream in streams] == [200] * MOST_PAGES + [503] * 10
    assert streams[-1].headers["Retry-After"] == "5"
    assert streams[-1].headers["Access-Control-Allow-Origin"] == "*"
    assert talking.measured("hailwhale_push_pages") == MOST_PAGES
    assert talking.measured('hailwhale_push_refused_total{reason="overloaded"}') >= 10
    with Stream(talking.live, {"Authorization": f"Bearer {talking.keys['shop read']}"}, pk="web") as hits:
        hits.next("ping")  # has places of its own
    wait_until(lambda: len(talking.listening()) == MOST_PAGES, 30, "all of them to be known")
    for stream in streams:
        stream.close()
    wait_until(lambda: talking.measured("hailwhale_push_pages") == 0, 30, "their places")
    wait_until(lambda: talking.listening() == {}, 30, "nobody to be known")


def test_who_waits_by_a_request_hears_at_once_and_a_page_that_vanishes_gives_its_place_back(talking: Talking) -> None:
    ann = str(uuid.uuid4())
    token = talking.token(ann)
    asked = {"token": token, "wait": "30", "page": "p1"}
    found: list[Any] = []
    poll = threading.Thread(target=lambda: found.append(requests.get(f"{talking.live}/push", asked, timeout=40).json()))
    poll.start()
    wait_until(lambda: talking.listening() == {ann: 1}, 30, "the page")
    id_ = talking.push(ann, {"text": "there"}).json()["id"]
    poll.join(20)
    assert found == [{"messages": [{"id": id_, "by": "site", "data": {"text": "there"}}], "after": id_}]
    host, _, port = talking.live.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(f"GET /push?token={token}&wait=30&after={id_} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        wait_until(lambda: talking.measured("hailwhale_push_pages") == 1, 30, "the page")
    wait_until(lambda: talking.measured("hailwhale_push_pages") == 0, 30, "its place")


def test_pages_end_with_their_site_and_talks_go_with_it(talking: Talking) -> None:
    ann = str(uuid.uuid4())
    talking.up.command_line("site", "add", "shop", "old", "--open", "--origin", PAGE)
    token = talking.token(ann, site="old")
    with Stream(talking.live, path="/push", token=token) as stream:
        stream.next("ping")
        talking.push(ann, {"text": "bye"}, site="old")
        assert stream.next("message").data["data"] == {"text": "bye"}
        talking.up.command_line("site", "remove", "shop", "old", "--yes")
        assert stream.rest() == []
    with Stream(talking.live, path="/push", token=token) as stream:
        assert stream.status == 401
    talking.up.command_line("site", "add", "shop", "old", "--open", "--origin", PAGE)
    with Stream(talking.live, path="/push", token=token, wait="0") as stream:
        assert stream.json()["messages"] == []


def test_a_visitor_who_is_erased_is_forgotten_here_too(talking: Talking) -> None:
    ann = str(uuid.uuid4())
    token = talking.token(ann)
    requests.post(f"{talking.live}/push", params={"token": token}, json={"text": "my secret"}, timeout=20)
    time.sleep(0.01)
    bearer = {"Authorization": f"Bearer {talking.keys['shop read']}"}
    address = f"{talking.whale}/push/web/{ann}"
    assert "my secret" in requests.get(address, headers=bearer, timeout=20).text
    talking.up.command_line("erase", "shop", "web", ann, "--yes")
    assert requests.get(address, headers=bearer, timeout=20).json()["messages"] == []


def test_a_page_at_one_live_hears_what_another_one_takes(talking: Talking) -> None:
    ann = str(uuid.uuid4())
    other = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "whale.cli", "live", "--bind", other]
    second = subprocess.Popen(command, env=talking.up.environ, cwd=ROOT)
    try:
        wait_until(lambda: is_ready(f"http://{other}"), 60, "the second live")
        token = talking.token(ann)
        with talking.hears(ann) as stream, Stream(f"http://{other}", path="/push", token=token) as elsewhere:
            for each in (stream, elsewhere):
                each.next("ping")
            assert talking.push(ann, {"text": "for both"}).json()["reached"] == 2
            said = requests.post(
                f"http://{other}/push", params={"token": token}, json={"text": "hi"}, timeout=20
            ).json()
            for each in (stream, elsewhere):
                assert each.next("message").data["data"] == {"text": "for both"}
                assert each.next("message").id == str(said["id"])
        second.kill()
        second.wait(20)
        wait_until(lambda: talking.listening() == {}, 40, "the pages of the one that was killed")
    finally:
        second.kill()
        second.wait(20)


def test_pages_stay_while_redis_is_away_and_hear_what_is_said_afterwards(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    ann = str(uuid.uuid4())
    with Farm(tmp_path, own_redis, None, internal_key="i" * 32) as farm:
        farm.start_whale()
        farm.start_live()
        given = {"pk": "web", "open": True, "origins": [PAGE]}
        assert requests.post(f"{farm.whale_url}/sites", json=given, timeout=20).status_code == 201
        asked = {"site": "web", "v_visitor": ann}

        def ask() -> Any:
            return requests.post(f"{farm.url}/push_token", json=asked, headers={"Origin": PAGE}, timeout=20).json()

        wait_until(lambda: ask().get("token"), 30, "Hail to know the site")
        with Stream(farm.live_url, path="/push", token=ask()["token"]) as stream:
            stream.next("ping")
            own_redis.kill9()
            assert (
                requests.post(f"{farm.whale_url}/push/web/{ann}", json={"text": "lost"}, timeout=20).status_code == 503
            )
            own_redis.start()

            def push() -> bool:
                found = requests.post(f"{farm.whale_url}/push/web/{ann}", json={"text": "again"}, timeout=20)
                return found.status_code == 200

            wait_until(push, 60, "Redis to be back")
            began = time.monotonic()
            assert stream.next("message").data["data"] == {"text": "again"}
            assert time.monotonic() - began < PING_S  # it was woken, and did not read by chance
