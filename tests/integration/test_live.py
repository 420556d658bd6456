"""Hits in a browser while they are counted: real servers, and what goes wrong with them."""

import json
import os
import random
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from click.testing import CliRunner

from hail.message import ACCOUNT
from hail.settings import Settings
from tests.contract.hits import NOW, message, sums
from tests.farm import Farm
from tests.servers import RedisServer, wait_until
from tests.streams import Stream
from whale.accounts import ALL, Account, Act, Key, Rights, User, new_key, revoked
from whale.cli import main
from whale.count.apply import Applier
from whale.events import Event, encode
from whale.live.admission import Looker, token_of
from whale.passwords import hash_of
from whale.store import connect
from whale.store.base import Store

ACT = Act(0, "a test", "did", "default", "it")
KEYS = {"write_key": "w" * 16, "read_key": "r" * 16, "admin_key": "a" * 16}
HIT = {"pk": ["shop", "berlin"], "dimensions": '{"country": {"US": "CA"}}', "metrics": '{"revenue": 9.5}', "id": "o1"}
PLACES = [[], ["country"], ["country", "US"], ["country", "US", "CA"]]


def farm_of(folder: Path, redis: RedisServer, **settings: object) -> Farm:
    """Hail, hailwail and live, where they are started."""
    redis.client().flushall()
    return Farm(folder, redis, None, **settings)


@pytest.fixture
def farm(tmp_path: Path, module_redis: RedisServer) -> Iterator[Farm]:
    """Its live service alone runs."""
    module_redis.start()
    farm = farm_of(tmp_path, module_redis)
    try:
        farm.start_live()
        yield farm
    finally:
        farm.close()


@pytest.fixture
def store(farm: Farm) -> Store:
    return connect(farm.settings)


def tell(
    store: Store, kind: str = "hit", pk: tuple[str, ...] | None = ("shop",), size: int = 10, account: str = ACCOUNT
) -> None:
    """As an applier does."""
    store.publish(account, encode([Event(kind, pk, msgspec.Raw(json.dumps({"text": "x" * size}).encode()))]))


def metric(farm: Farm, name: str) -> float:
    lines = requests.get(f"{farm.live_url}/metrics", timeout=20).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


# What is told


def test_a_hit_shows_within_a_second_with_every_place_it_counted_in(tmp_path: Path, module_redis: RedisServer) -> None:
    with farm_of(tmp_path, module_redis) as farm:
        farm.start_live()
        with Stream(farm.live_url) as everything, Stream(farm.live_url, pk="shop") as shop:
            assert everything.next("ping").data["redis"] == "up"
            shop.next("ping")
            began = time.monotonic()
            assert requests.get(f"{farm.url}/count", {**HIT, "pk": json.dumps(HIT["pk"])}, timeout=20).text == "OK"
            told = shop.next("hit")
            assert time.monotonic() - began < 5
            assert told.data["pk"] == ["shop", "berlin"]
            assert told.data["paths"] == PLACES
            assert (told.data["metrics"], told.data["id"]) == ({"hits": 1, "revenue": 9.5}, "o1")
            assert shop.next("totals").data["metrics"] == {"hits": 1, "revenue": 9.5}
            assert everything.next("hit").id == told.id
            assert everything.next("totals").data["metrics"] == {"hits": 1}
            requests.get(f"{farm.url}/count", {"pk": "shop", "metrics": '{"revenue": "12,50"}'}, timeout=20)
            refused = everything.next("refused").data
            assert (refused["reason"], refused["field"]) == ("bad_metrics", "metrics.revenue")
            assert refused["came"].startswith("pk=shop&metrics=")
            requests.get(f"{farm.url}/count", {"pk": "other"}, timeout=20)
            assert everything.next("hit").data["pk"] == ["other"]
            requests.get(f"{farm.url}/count", {"pk": "shop", "id": "last"}, timeout=20)
            assert shop.next("hit").data["id"] == "last"  # no other pk came between
        farm.live.kill9()  # a killed live service is nothing to the counts
        requests.get(f"{farm.url}/count", {"pk": "shop"}, timeout=20)
        counted = connect(farm.settings)
        wait_until(lambda: sums(counted, ACCOUNT, ("shop",), [()], now=time.time()) == [3], what="the counts")


def test_what_nobody_looks_at_is_not_published(farm: Farm, store: Store) -> None:
    applier = Applier(store, farm.settings)

    def count(seq: int) -> None:
        applier.apply([message([{"pk": "shop"}], farm.settings, ACCOUNT, seq)], NOW)
        applier.witness.tell()

    with store.hearing() as hearing:
        hearing.hear(ACCOUNT)
        count(0)
        with Stream(farm.live_url, pk="other") as other:
            other.next("ping")
            assert store.looked(ACCOUNT) == {("other",)}
            count(1)
        assert hearing.next(0.05) is None
        with Stream(farm.live_url, pk="shop") as shop:
            shop.next("ping")
            count(2)
            assert shop.next("hit").data["pk"] == ["shop"]
        wait_until(lambda: hearing.next(0.05) is None, what="the rest")
        store.look({ACCOUNT: []}, 0.1)  # its time ends, seconds sooner
        wait_until(lambda: not store.looked(ACCOUNT), what="nobody to look")
        count(3)
        assert hearing.next(0.05) is None


def test_whoever_comes_back_gets_what_came_meanwhile(farm: Farm, store: Store) -> None:
    with Stream(farm.live_url) as stream, Stream(farm.live_url) as another:
        another.next("ping")
        stream.next("ping")
        tell(store)
        last = stream.next("hit").id
        stream.close()
        tell(store, size=11)
        tell(store, "refused", None, size=12)
        another.next("refused")
        with Stream(farm.live_url, {"Last-Event-ID": last}) as again:
            assert [len(again.next(kind).data["text"]) for kind in ("hit", "refused")] == [11, 12]
        with Stream(farm.live_url, last=last, pk="other") as again:
            assert len(again.next("refused").data["text"]) == 12
        with Stream(farm.live_url, last="another-7") as again:
            tell(store, size=13)
            assert len(again.next("hit").data["text"]) == 13


def test_without_the_spy_sums_alone_are_told(tmp_path: Path, module_redis: RedisServer) -> None:
    farm = farm_of(tmp_path, module_redis, spy=0)
    try:
        farm.start_live()
        store = connect(farm.settings)
        spying = Applier(store, farm.settings.replace(spy=True))  # another service with another setting
        applier = Applier(store, farm.settings)
        with Stream(farm.live_url, pk="shop") as stream:
            assert stream.next("ping").data["spy"] is False
            for seq, one in enumerate((applier, spying)):
                one.apply([message([{"pk": "shop"}], farm.settings, ACCOUNT, seq)], NOW)
                one.witness.tell()
            told = [stream.event(), stream.event()]
            assert [each and each.kind for each in told] == ["totals", "totals"]
    finally:
        farm.close()


# What goes wrong


def test_redis_goes_and_comes_and_the_stream_lives_on_and_says_so(farm: Farm) -> None:
    with Stream(farm.live_url) as stream:
        assert stream.next("ping").data["redis"] == "up"
        farm.redis.kill9()
        assert stream.next("ping").data["redis"] == "away"
        assert requests.get(f"{farm.live_url}/readyz", timeout=20).status_code == 503
        with Stream(farm.live_url) as late:
            assert late.next("ping").data["redis"] == "away"
            farm.redis.start()
            assert late.next("ping").data["redis"] == "up"
        assert stream.next("ping").data["redis"] == "up"
        store = connect(farm.settings)
        wait_until(lambda: store.looked(ACCOUNT) == {()}, what="it to be said that somebody looks")
        tell(store)
        assert stream.next("hit")
    assert requests.get(f"{farm.live_url}/readyz", timeout=20).status_code == 200


def test_live_starts_without_redis_and_says_so(tmp_path: Path, module_redis: RedisServer) -> None:
    farm = farm_of(tmp_path, module_redis)
    module_redis.kill9()
    try:
        farm.live.start()
        wait_until(lambda: "streams wait: Redis" in farm.live.said(), what="a line")
        with Stream(farm.live_url) as stream:
            assert stream.next("ping").data["redis"] == "away"
            module_redis.start()
            assert stream.next("ping").data["redis"] == "up"
    finally:
        module_redis.start()
        farm.close()


def test_a_slow_reader_is_dropped_and_counted_and_others_are_told(farm: Farm, store: Store) -> None:
    slow = socket.create_connection(("127.0.0.1", int(farm.live_url.rpartition(":")[2])))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with Stream(farm.live_url) as stream:
        stream.next("ping")
        wait_until(lambda: metric(farm, "hailwhale_live_viewers") == 2, what="both")

        def dropped() -> bool:
            tell(store, pk=None, size=100_000)
            stream.next("hit")
            return metric(farm, 'hailwhale_live_streams_ended_total{why="slow"}') == 1

        wait_until(dropped, what="the slow one to be dropped")
        tell(store)
        assert stream.next("hit")
        assert metric(farm, "hailwhale_live_viewers") == 1
    slow.close()


def test_a_thousand_who_open_it_hold_nothing(tmp_path: Path, module_redis: RedisServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    farm = farm_of(tmp_path, module_redis, live_max_viewers=900)
    address = ("127.0.0.1", int(farm.live_url.rpartition(":")[2]))
    sockets = []
    try:
        farm.start_live()
        for number in range(1000):
            one = socket.create_connection(address, timeout=60)
            pk = f"?pk=p{number}" if number % 2 else ""
            one.sendall(f"GET /live{pk} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            sockets.append(one)
        said = [one.recv(1000) for one in sockets]
        assert all(b"text/event-stream" in text for text in said if text.startswith(b"HTTP/1.1 200"))
        statuses = [text[9:12] for text in said]
        assert (statuses.count(b"200"), statuses.count(b"503")) == (900, 100)
        with Stream(farm.live_url) as full:
            assert (full.status, full.headers["Retry-After"], full.json()["code"]) == (503, "5", "overloaded")
        assert metric(farm, "hailwhale_live_viewers") == 900
        for one in sockets:
            one.close()
        wait_until(lambda: metric(farm, "hailwhale_live_viewers") == 0, what="all to be gone")
        wait_until(lambda: metric(farm, "hailwhale_connections") == 1, what="their connections too")
        assert metric(farm, 'hailwhale_held_bytes{what="live viewers"}') == 0
        store = connect(farm.settings)
        wait_until(lambda: not store.looked(ACCOUNT), what="nobody to look")
        with Stream(farm.live_url) as stream:
            stream.next("ping")
            tell(store)
            assert stream.next("hit")
    finally:
        for one in sockets:
            one.close()
        farm.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_half_a_request_ends_and_a_stream_ends_after_its_time(tmp_path: Path, module_redis: RedisServer) -> None:
    farm = farm_of(tmp_path, module_redis, head_timeout_s=0.3, live_stream_s=0.5)
    try:
        farm.start_live()
        with socket.create_connection(("127.0.0.1", int(farm.live_url.rpartition(":")[2])), timeout=30) as half:
            half.sendall(b"GET /live HTTP/1.1\r\nHo")
            assert half.recv(100) == b""
        with Stream(farm.live_url) as stream:
            assert [told.kind for told in stream.rest()] == ["ping"]
        assert metric(farm, 'hailwhale_live_streams_ended_total{why="time"}') == 1
    finally:
        farm.close()


def test_it_stops_at_once_with_streams_open(farm: Farm) -> None:
    with Stream(farm.live_url) as stream:
        stream.next("ping")
        assert farm.live.process
        farm.live.process.send_signal(signal.SIGTERM)
        assert stream.rest() == []
        assert farm.live.process.wait(25) == 0  # 5 s at most, and five times as long under load


# Who may look


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, module_redis: RedisServer) -> Iterator[Farm]:
    module_redis.start()
    farm = Farm(tmp_path_factory.mktemp("locked"), module_redis, None, **KEYS, secret="s" * 32)
    try:
        farm.start_live()
        farm.start_whale()
        yield farm
    finally:
        farm.close()


def token(settings: Settings, at: float, host: str) -> str:
    return token_of(settings, Looker(ACCOUNT), host, at)


def test_with_keys_a_stream_opens_to_the_read_key_or_a_token(locked: Farm) -> None:
    read = {"Authorization": f"Bearer {KEYS['read_key']}"}
    assert requests.get(f"{locked.whale_url}/live_token", timeout=20).status_code == 401
    said = requests.get(f"{locked.whale_url}/live_token", headers=read, timeout=20).json()
    assert said["url"] == f"{locked.live_url}/live"
    assert 0 < said["expires"] - time.time() <= 60
    page = locked.whale_url
    with Stream(locked.live_url, {"Origin": page}, token=said["token"]) as stream:
        assert (stream.status, stream.headers["Access-Control-Allow-Origin"]) == (200, page)
        assert stream.headers["Vary"] == "Origin"
        stream.next("ping")
    with Stream(locked.live_url, read) as stream:
        assert (stream.status, stream.headers["Access-Control-Allow-Origin"]) == (200, None)
    with Stream(locked.live_url, key=KEYS["admin_key"]) as stream:
        assert stream.status == 200


def test_a_forged_or_expired_token_or_none_opens_nothing(locked: Farm) -> None:
    host = locked.whale_url.removeprefix("http://")
    good = token(locked.settings, time.time(), host)
    others = locked.settings.replace(read_key="x" * 16)
    text, _, mac = good.partition(".")
    other_text = token(locked.settings, time.time() + 1000, host).partition(".")[0]
    said = {
        "": "expected the read key, or a token",
        "nonsense": "it was not made with the keys",
        "é.é": "it is no token",
        token(others, time.time(), host): "it was not made with the keys",
        f"{other_text}.{mac}": "it was not made with the keys",
        f"{text}.": "it was not made with the keys",
        f"{text}.{mac[:-3]}": "it was not made with the keys",
        token(locked.settings, time.time() - 61, host): "it has expired",
        "a" * 5000: "it is too long",
    }
    for one, why in said.items():
        with Stream(locked.live_url, token=one) as stream:
            assert (stream.status, stream.json()["code"]) == (401, "unauthorized"), one
        assert why in requests.get(f"{locked.live_url}/live", {"token": one}, timeout=20).json()["detail"]
    with Stream(locked.live_url, {"Authorization": f"Bearer {KEYS['write_key']}"}) as stream:
        assert stream.status == 401


PASSWORD = "correct horse"


class Cafe:
    """An account on the farm whose services want keys: its owner, a user who reads counts, and one who does not."""

    def __init__(self, locked: Farm):
        self.farm, self.store = locked, connect(locked.settings)
        id_ = "".join(random.choices("abcdefghij", k=10))
        self.name = f"cafe-{id_}"  # a name is remembered for a second
        self.account = Account(id_, self.name, "UTC", 0)
        self.store.add_entry(self.account, ACT)
        for name, rights in (("", ALL), ("anna", Rights(counts="read")), ("ben", Rights(decisions="write"))):
            self.user(name, rights)

    def user(self, name: str, rights: Rights) -> None:
        hashed = hash_of(PASSWORD, os.urandom(16))
        self.store.add_entry(User(self.account.id, name, hashed, rights, 0), ACT)

    def key(self, scope: str = "read") -> tuple[Key, str]:
        key, secret = new_key(self.account.id, scope, None, os.urandom(36), time.time())
        self.store.add_entry(key, ACT)
        return key, secret

    def log_in(self, name: str) -> requests.Session:
        session = requests.Session()
        session.headers["Origin"] = self.farm.whale_url
        form = {"name": f"{self.name}/{name}", "password": PASSWORD}
        answer = session.post(f"{self.farm.whale_url}/login", form, allow_redirects=False, timeout=20)
        assert answer.status_code == 303
        return session

    def stream(self, session: requests.Session) -> Stream:
        """As the page opens it."""
        said = session.get(f"{self.farm.whale_url}/live_token", timeout=20).json()
        return Stream(self.farm.live_url, {"Origin": self.farm.whale_url}, token=said["token"])

    def change(self, name: str, **given: Any) -> None:
        user = self.store.user_named(self.account.id, name)
        assert user
        self.store.change_entry(user, replace(user, **given), ACT)


@pytest.fixture
def cafe(locked: Farm) -> Cafe:
    return Cafe(locked)


def test_a_stream_by_curl_shows_the_account_of_the_user_alone(cafe: Cafe) -> None:
    curl = ["curl", "-sN", "-u", f"{cafe.name}/anna:{PASSWORD}", f"{cafe.farm.live_url}/live"]
    with subprocess.Popen(curl, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = iter(process.stdout.readline, "")
        assert next(line for line in lines if line.startswith("data: "))  # the ping
        tell(cafe.store, size=11)
        tell(cafe.store, "refused", None, size=12)
        tell(cafe.store, size=13, account=cafe.account.id)
        told = next(line for line in lines if line.startswith("data: "))
        assert json.loads(told.removeprefix("data: ")) == {"text": "x" * 13}
        process.terminate()
    refused = ["curl", "-s", "-u", f"{cafe.name}/ben:{PASSWORD}", f"{cafe.farm.live_url}/live"]
    assert json.loads(subprocess.run(refused, capture_output=True, check=True).stdout)["code"] == "not_allowed"


def test_each_hears_their_own_account_while_all_look(cafe: Cafe) -> None:
    read = {"Authorization": f"Bearer {KEYS['read_key']}"}
    with (
        Stream(cafe.farm.live_url, read) as default,
        Stream(cafe.farm.live_url, key=cafe.key()[1]) as key,
        cafe.stream(cafe.log_in("anna")) as page,
    ):
        for stream in (default, key, page):
            assert stream.next("ping").data["redis"] == "up"
        assert cafe.store.looked(cafe.account.id) == {()}
        tell(cafe.store, size=20)
        tell(cafe.store, size=21, account=cafe.account.id)
        tell(cafe.store, size=22, account="nobodyever")
        for stream, size, account in ((default, 20, None), (key, 21, cafe.account), (page, 21, cafe.account)):
            told = stream.next("hit")
            assert len(told.data["text"]) == size
            assert account is None or told.id.endswith("-1")
        cafe.farm.redis.kill9()
        assert page.next("ping").data["redis"] == "away"
        cafe.farm.redis.start()
        assert page.next("ping").data["redis"] == "up"  # its account is heard again
        tell(cafe.store, size=23, account=cafe.account.id)
        assert len(page.next("hit").data["text"]) == 23


@pytest.mark.parametrize("way", ["logout", "password", "right", "user", "account"])
def test_a_session_that_ends_ends_its_streams_and_no_others(cafe: Cafe, way: str) -> None:
    session = cafe.log_in("anna")
    early = session.get(f"{cafe.farm.whale_url}/live_token", timeout=20).json()["token"]
    read = {"Authorization": f"Bearer {KEYS['read_key']}"}
    with cafe.stream(session) as first, cafe.stream(session) as second, Stream(cafe.farm.live_url, read) as other:
        for stream in (first, second, other):
            stream.next("ping")
        match way:
            case "logout":
                session.post(f"{cafe.farm.whale_url}/logout", allow_redirects=False, timeout=20)
            case "password":
                cafe.change("anna", password=hash_of("another horse", os.urandom(16)))
            case "right":
                cafe.change("anna", rights=Rights(decisions="write"))
            case "user":
                user = cafe.store.user_named(cafe.account.id, "anna")
                assert user
                cafe.store.remove_entry(user, ACT)
            case "account":
                cafe.store.remove_entry(cafe.account, ACT)
        first.rest()
        second.rest()
        tell(cafe.store)
        assert other.next("hit")
    with Stream(cafe.farm.live_url, {"Origin": cafe.farm.whale_url}, token=early) as late:
        assert (late.status, late.json()["detail"].partition(";")[0]) == (
            401,
            "token: whoever it was made for may look no more",
        )


def test_a_revoked_key_ends_its_stream(cafe: Cafe) -> None:
    key, secret = cafe.key()
    ended = metric(cafe.farm, 'hailwhale_live_streams_ended_total{why="ended"}')
    with Stream(cafe.farm.live_url, key=secret) as stream:
        stream.next("ping")
        cafe.store.change_entry(key, revoked(key, int(time.time())), ACT)
        stream.rest()
    assert metric(cafe.farm, 'hailwhale_live_streams_ended_total{why="ended"}') == ended + 1
    with Stream(cafe.farm.live_url, key=secret) as stream:
        assert stream.status == 401


def test_wrong_passwords_hold_up_no_stream_and_are_slowed_down(cafe: Cafe) -> None:
    with Stream(cafe.farm.live_url, key=cafe.key()[1]) as stream:
        stream.next("ping")
        who, wrong = f"{cafe.name}/anna", list[int]()
        while 429 not in wrong and len(wrong) < 50:
            answer = requests.get(f"{cafe.farm.live_url}/live", auth=(who, f"wrong {len(wrong)}"), timeout=20)
            wrong.append(answer.status_code)
        assert wrong[:10] == [401] * 10  # the wait after it is a second
        assert wrong[-1] == 429
        tell(cafe.store, account=cafe.account.id)
        assert stream.next("hit")


def test_pages_of_other_sites_may_not_look(locked: Farm, farm: Farm) -> None:
    read = {"Authorization": f"Bearer {KEYS['read_key']}"}
    port = locked.whale_url.rpartition(":")[2]
    evil = "http://evil.example", f"http://evil.example:{port}", "null", f"{locked.whale_url}9", ""
    for origin in evil:
        for service, more in ((locked, read), (farm, {})):
            with Stream(service.live_url, {"Origin": origin, **more}) as stream:
                assert (stream.status, stream.headers["Access-Control-Allow-Origin"]) == (403, None)
                assert stream.json()["code"] == "foreign_origin"
    for site in ("cross-site", "same-site"):
        with Stream(farm.live_url, {"Sec-Fetch-Site": site}) as stream:
            assert stream.status == 403
    with Stream(farm.live_url, {"Origin": farm.whale_url}) as stream:
        assert stream.headers["Access-Control-Allow-Origin"] == farm.whale_url
    elsewhere = token(locked.settings, time.time(), "count.example.org")  # behind a proxy, by another name
    with Stream(locked.live_url, {"Origin": "https://count.example.org"}, token=elsewhere) as stream:
        assert stream.headers["Access-Control-Allow-Origin"] == "https://count.example.org"


def test_without_keys_strangers_get_nothing(farm: Farm) -> None:
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-For": "1.2.3.4"}):
        with Stream(farm.live_url, headers) as stream:
            assert (stream.status, stream.json()["code"]) == (403, "keyless")


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"pk": "[]"}, "pk"), ({"pk": "[1"}, "pk"), ({"what": "1"}, "what"), ({"pk": "\ud800"}, "pk")],
)
def test_a_bad_question_names_its_field(farm: Farm, parameters: dict[str, Any], field: str) -> None:
    query = {name: value.encode("utf-8", "surrogatepass") for name, value in parameters.items()}
    answer = requests.get(f"{farm.live_url}/live", query, timeout=20)
    assert answer.status_code == 400
    assert answer.json().get("field", "query") in (field, "query")


def test_the_command_says_what_it_needs() -> None:
    for bind, said in (("0.0.0.0:1", "set HAILWHALE_WRITE_KEY"), ("nonsense", "expected host:port"), ("", "is empty")):
        done = CliRunner().invoke(main, ["live", "--bind", bind])
        assert done.exit_code == 2
        assert said in done.stderr
