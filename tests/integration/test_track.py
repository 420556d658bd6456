"""A visit that pages send to POST /track and GET /track/it, read back from Whale exactly: through RabbitMQ and a worker, and without."""

import gzip
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from hail.salts import dates_at
from tests.farm import Farm
from tests.mmdb import file_of
from tests.servers import RabbitMQ, RedisServer, wait_until
from whale.accounts import Account, Act, Site, new_key
from whale.store.redis import connect

ACT = Act(0, "a test", "did", "default", "it")
SHOP = Account("shopshopsh", "shop", "UTC", 0)
PAGE = "https://shop.example"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
COUNTRIES = {"192.0.2.0/24": {"country": {"iso_code": "DE"}}}


class Shop:
    """A site that its pages send to. All is sent as of now, by a clock of the page that is a day behind."""

    def __init__(self, farm: Farm):
        self.farm, self.store = farm, connect(farm.settings)
        self.store.add_entry(SHOP, ACT)
        site = Site(SHOP.id, "web", open=True, origins=(PAGE,))
        self.store.add_entry(site, ACT)
        self.store.begin_log(site)
        key, self._secret = new_key(SHOP.id, "read", None, os.urandom(36), time.time())
        self.store.add_entry(key, ACT)
        self.bots = 0

    def is_known(self) -> bool:
        """Whether Hail knows the site: then a bot was there once more."""
        self.bots += self.send({"event": "pageview", "bot": 1}) == "accepted"
        return self.bots > 0

    def send(self, *hits: dict[str, Any], agent: str = CHROME, client: str = "192.0.2.7", **headers: str) -> str:
        """What X-Hail says."""
        now = round((time.time() - 86_400) * 1000)
        each = [{"at": now - 1000 + number, **hit} for number, hit in enumerate(hits)]
        body = json.dumps({"account": "shop", "site": "web", "sent_at": now, "hits": each})
        own = {"Origin": PAGE, "User-Agent": agent, "X-Forwarded-For": client, "Content-Type": "text/plain"}
        return requests.post(f"{self.farm.url}/track", body, headers=own | headers, timeout=20).headers["X-Hail"]

    def image(self, **parameters: Any) -> str:
        own = {"Referer": f"{PAGE}/", "User-Agent": SAFARI, "X-Forwarded-For": "198.51.100.1"}
        given = {"config_account": "shop", "site": "web", "hostname": "shop.example", **parameters}
        answer = requests.get(f"{self.farm.url}/track/it", given, headers=own, timeout=20)
        assert (answer.headers["Content-Type"], answer.content[:3]) == ("image/gif", b"GIF")
        return answer.headers["X-Hail"]

    def get(self, route: str, **given: Any) -> requests.Response:
        given = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
        headers = {"Authorization": f"Bearer {self._secret}"}
        return requests.get(f"{self.farm.whale_url}/{route}", given, headers=headers, timeout=20)

    def ask(self, route: str, **given: Any) -> Any:
        answer = self.get(route, **given)
        assert answer.ok, answer.text
        return answer.json()

    def totals(self, metrics: list[str], pk: Any = "web", **given: Any) -> Any:
        return self.ask("totals", pk=pk, metrics=metrics, period="1d:1mo", **given)["1d:1mo"]


@pytest.fixture(params=["rabbitmq", "embedded"])
def shop(
    request: pytest.FixtureRequest, tmp_path: Path, own_redis: RedisServer, rabbitmq: RabbitMQ, unique: str
) -> Iterator[Shop]:
    (tmp_path / "countries.mmdb").write_bytes(file_of(COUNTRIES))
    settings: dict[str, Any] = {
        "internal_key": "i" * 32,
        "message_version": 2,
        "country_file": str(tmp_path / "countries.mmdb"),
        "trusted_proxies": "127.0.0.1/32",
    }
    with Farm(tmp_path, own_redis, rabbitmq if request.param == "rabbitmq" else None, unique, **settings) as farm:
        farm.start_whale()
        found = Shop(farm)
        began = time.time()
        wait_until(found.is_known, 60, "the site at Hail", pause_s=0.1)
        wait_until(lambda: time.time() > began + 6, 60, "the beginning of its log", pause_s=0.1)
        yield found


def view(path: str, **given: Any) -> dict[str, Any]:
    return {"event": "pageview", "url": f"{PAGE}{path}", "referrer": f"{PAGE}/before", **given}


def test_a_visit_reads_back_exactly(shop: Shop) -> None:
    ann, bob = {"v_visitor": "ann"}, {"v_visitor": "bob"}
    landing = view("/?utm_source=news&utm_campaign=spring&utm_medium=email", id="1", load=300, **ann)
    assert shop.send(landing, view("/bikes", id="2", load=500, width=1300, **ann)) == "accepted"
    assert shop.send({**landing}) == "accepted"  # again, as a tracker does that had no answer
    seen = {"event": "engagement", "url": f"{PAGE}/bikes", **ann}
    assert (
        shop.send({**seen, "id": "3", "engaged": 4000, "depth": 60}, {**seen, "id": "4", "engaged": 500}) == "accepted"
    )
    order = {
        "event": "purchase",
        "url": f"{PAGE}/done",
        "properties": {"id": "1001", "revenue": 59.5},
        "metrics": {"items": 2},
    }
    assert shop.send({**order, "id": "5", **ann}, {**order, "id": "6", **ann}) == "accepted"  # it counts once
    assert shop.send({"event": "refund", "properties": {"id": "1001", "revenue": 9.5}, **ann}) == "accepted"
    assert shop.send({"event": "login", "visitor": "user-1", **ann}) == "accepted"
    assert shop.send(view("/", id="7", referrer="https://www.google.de/", lost=3, **bob), agent=SAFARI) == "accepted"
    assert shop.send(view("/bikes", id="8", **bob), agent=SAFARI, **{"Sec-GPC": "1"}) == "accepted"
    for _ in range(2):  # the same event_id counts once
        assert (
            shop.image(
                path="/bikes", trackr_event_type="trackr_pageloaded_event", event_id="9", config_cookies_v_visitor="cid"
            )
            == "accepted"
        )
    assert shop.send(view("/"), agent="Googlebot/2.1 (+http://www.google.com/bot.html)") == "accepted"
    evil = {"Origin": "https://evil.example"}
    wait_until(
        lambda: shop.send(view("/"), **evil) == "dropped; reason=foreign_origin", 60, "Hail to be sure", pause_s=0.2
    )
    wait_until(lambda: shop.totals(["hits"])["_"]["hits"] == 8, 60, "all hits")

    whole = shop.totals(
        [
            "hits",
            "pageviews",
            "engaged_ms",
            "scroll_pct",
            "orders",
            "revenue",
            "refunds",
            "items",
            "lost",
            "p0(load_ms)",
        ]
    )
    load = whole["_"].pop("p0(load_ms)")
    assert whole == {
        "_": {
            "hits": 8,
            "pageviews": 5,
            "engaged_ms": 4500,
            "scroll_pct": 60,
            "lost": 3,
            "orders": 1,
            "revenue": 50,
            "refunds": 1,
            "items": 2,
        }
    }
    assert abs(load / 300 - 1) < 0.01

    def by(dimension: str, metric: str = "pageviews", pk: Any = "web") -> dict[str, float]:
        rows = shop.ask("rank", pk=pk, dimension=dimension, by=metric, period="1d:1mo")["rows"]
        return {row["path"].split('"')[-2]: row["value"] for row in rows if row["value"]}

    assert by("page") == {"/": 2, "/bikes": 3}
    assert by("page", "engaged_ms") == {"/bikes": 4500}
    assert by("source") == {"news": 1, "google": 1}
    assert by("channel") == {"mail": 1, "search": 1}
    assert by("browser") == {"Chrome": 2, "Safari": 3}
    assert by("device") == {"desktop": 2, "phone": 3}
    assert by("screen") == {"1200-1919": 1}
    assert by("country") == {"DE": 4}  # not that of the image
    assert by("event", "hits") == {"pageview": 5, "purchase": 1, "refund": 1, "login": 1}

    assert by("class", "hits", ["__bots__", "web"]) == {"crawler": 1, "said": shop.bots}

    events = {
        each["event"]: (each["times"], each["visitors"])
        for each in shop.ask("events", pk="web", period="today")["events"]
    }
    assert events == {"pageview": (4, 3), "purchase": (1, 1), "refund": (1, 1), "login": (1, 1)}
    sessions = shop.ask("sessions", site="web", period="today", by="source")
    assert {row["value"]: (row["sessions"], row["bounces"]) for row in sessions["rows"]} == {
        "news": (1, 0),
        "google": (1, 1),
        None: (1, 1),
    }
    assert sessions["engaged_s"] == 4.5
    wait_until(lambda: shop.get("visitor/user-1", pk="web").ok, 60, "that two ids are one visitor's")
    assert len(shop.ask("visitor/user-1", pk="web")["events"]) == 5


def test_what_is_wrong_is_counted_by_its_reason_and_shown_to_its_account(shop: Shop) -> None:
    assert shop.send({"event": "rated", "metrics": {"score": "12,50"}}) == "dropped; reason=bad_metrics"
    assert shop.send(view("/"), {"event": "rated", "at": "x"}) == "accepted; refused=1"
    metrics = requests.get(f"{shop.farm.url}/metrics", timeout=20).text
    for reason in ("bad_metrics", "bad_time"):
        assert f'hailwhale_hits_refused_total{{reason="{reason}"}} 1.0' in metrics
    wait_until(lambda: shop.totals(["hits"])["_"]["hits"] == 1, 60, "the hit that was good")
    assert "192.0.2.7" not in "".join(part.said() for part in (shop.farm.hail, shop.farm.whale))


def test_visitors_without_an_id_are_distinguished_for_a_day_and_leave_no_id(shop: Shop) -> None:
    def is_daily() -> bool:
        assert shop.send(view("/")) == "accepted"  # as long as Hail has no salt it counts without a visitor
        return bool(shop.ask("visitors", pk="web", period="today")["visitors"])

    wait_until(is_daily, 60, "the salt of the day", pause_s=0.3)
    for number, client in enumerate(("192.0.2.7", "192.0.2.8", "192.0.2.8")):
        assert shop.send(view("/", id=f"n{number}"), client=client) == "accepted"
    wait_until(lambda: shop.ask("events", pk="web", period="today")["events"][0]["times"] >= 4, 60, "all views")
    visitors = shop.ask("visitors", pk="web", period="today")
    assert (visitors["visitors"], visitors["new"], visitors["returning"]) == (2, None, None)
    assert (visitors["basis"], visitors["exact"]) == ("daily", False)
    salts = shop.store.salts(dict.fromkeys(dates_at(time.time()), ""))
    assert all(len(salt) == 64 for salt in salts.values())


def raw(shop: Shop, head: str, body: bytes = b"") -> bytes:
    """The first answer to bytes on a connection."""
    host, _, port = shop.farm.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        named = {"Host": f"{host}:{port}", "Origin": PAGE, "User-Agent": CHROME, "X-Forwarded-For": "192.0.2.7"}
        lines = [head, *(f"{name}: {value}" for name, value in named.items()), "Connection: close"]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return connection.makefile("rb").read()


def test_hostile_clients_are_refused_or_counted_and_smuggle_nothing(shop: Shop) -> None:
    def body(**more: Any) -> bytes:
        return json.dumps({"account": "shop", "site": "web", "hits": [view("/", **more)]}).encode()

    bomb = gzip.compress(b'{"hits":[' + b" " * 50_000_000 + b"]}")
    within = b"0\r\n\r\nGET /count?pk=smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    deep = b'{"account":"shop","site":"web","hits":[' + b"[" * 20_000 + b"]" * 20_000 + b"]}"
    good, post = body(id="good"), "POST /track HTTP/1.1\r\nContent-Type: text/plain\r\n"
    image = (
        "GET /track/it?config_account=shop%0d%0aX-A:%20b&site=web&trackr_event_type=a%0d%0aSet-Cookie:%20a=b HTTP/1.1"
    )
    for head, sent, statuses in (
        (f"{post}Content-Length: {len(bomb)}\r\nContent-Encoding: gzip", bomb, ("413",)),
        (f"{post}Content-Length: 4\r\nTransfer-Encoding: chunked", within, ("400",)),
        (f"{post}Content-Length: {len(deep)}", deep, ("400",)),
        (f"{post}Content-Length: {len(good)}\r\nContent-Encoding: br", good, ("400", "415")),
        (f"{post}Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(good), good), ("202",)),
        (f"{post}Content-Length: {len(good)}", good, ("202",)),
        (image, b"", ("200",)),
    ):
        answer = raw(shop, head, sent)
        assert answer[9:12].decode() in statuses, (head, answer[:300])
        assert b"\r\nX-A:" not in answer
        assert b"Set-Cookie" not in answer
    for more in (
        {"at": 1e308},
        {"at": 32_503_680_000_000},
        {"referrer": "https://a.example/" + "a" * 65_536},
        {"load": -1},
    ):
        assert shop.send(view("/", **more)).startswith("dropped; reason=bad_")
    half = (
        b'{"account":"shop","site":"web","hits":[{"event":"cut","url":"%b/","properties":{"t":"\\ud83d"}}]}'
        % PAGE.encode()
    )
    assert raw(shop, f"{post}Content-Length: {len(half)}", half)[9:12] == b"202"
    wait_until(lambda: shop.totals(["hits"])["_"]["hits"] == 2, 60, "the two that count")
    assert set(shop.ask("pks")) == {"web", "__bots__"}
    assert "Traceback" not in "".join(part.said() for part in (shop.farm.hail, shop.farm.whale))
