"""Published libraries of Segment, unchanged, that send to a real Hail; what they sent is read back from Whale exactly."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from segment.analytics.client import Client

from tests.clients import NEEDED, Clients
from tests.farm import ROOT, Farm
from tests.servers import RedisServer, missing, wait_until

FOR_NODE = Path(__file__).with_name("segment_client.mjs")
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.fixture
def clients(tmp_path: Path, own_redis: RedisServer) -> Iterator[Clients]:
    with Farm(tmp_path, own_redis, None, **NEEDED) as farm:
        farm.start_whale()
        yield Clients(farm)


def test_segments_library_for_python_counts_exactly(clients: Clients) -> None:
    key, failed = clients.site("web"), list[Any]()
    client = Client(
        key, host=clients.farm.url, gzip=True, upload_interval=0.05, on_error=lambda *given: failed.append(given)
    )
    page = {"url": "https://shop.example/a?utm_source=News&utm_campaign=spring", "referrer": "https://www.google.com/"}
    on_phone = {"userAgent": SAFARI, "ip": "192.0.2.7", "page": page}
    client.page(anonymous_id="a1", name="A", properties=page, context=on_phone)
    client.page(anonymous_id="a2", name="Docs")
    client.page(anonymous_id="a3", properties={"url": "https://shop.example/a"}, context={"userAgent": CRAWLER})
    client.screen(user_id=42, name="Home")
    client.identify(
        user_id="u1",
        anonymous_id="a1",
        traits={"plan": "pro", "address": {"city": "Wien"}, "since": datetime(2026, 1, 2)},
    )
    client.alias(previous_id="a2", user_id="u2")
    client.group(user_id="u1", anonymous_id="a1", group_id="g1", traits={"size": 7})
    order = {"order_id": "1001", "total": 59.5, "products": [{"product_id": "sku-1"}]}
    client.track(user_id="u1", event="Order Completed", properties=order, context=on_phone)
    client.track(user_id="u1", event="Order Refunded", properties={"order_id": "1001", "total": 9.5})
    again = str(uuid4())
    for _ in range(2):
        client.track(user_id="u1", event="Rated", properties={"stars": 5}, message_id=again)
    client.track(
        user_id="u2",
        event="Upgraded",
        properties={"revenue": "3.25", "value": 2},
        timestamp=datetime.now(UTC) - timedelta(seconds=2),
    )
    for number in range(150):  # more than one request
        client.track(user_id=f"v{number}", event="Seen")
    client.shutdown()
    assert failed == []
    clients.wait_for("web", 157)

    assert clients.totals("web", "pageviews", "orders", "refunds", "revenue", "value") == {
        "pageviews": 3,
        "orders": 1,
        "refunds": 1,
        "revenue": 53.25,
        "value": 2,
    }
    assert clients.by("web", "page", "pageviews") == {"/a": 1, "/Docs": 1, "/Home": 1}
    assert clients.by("web", "event") == {
        "pageview": 3,
        "purchase": 1,
        "refund": 1,
        "Rated": 1,
        "Upgraded": 1,
        "Seen": 150,
    }
    assert clients.by("web", "source", "pageviews") == {"news": 1}
    assert clients.by("web", "device") == {"phone": 2}
    assert clients.by(["__bots__", "web"], "class") == {"crawler": 1}
    assert clients.events("web") == {
        "pageview": (3, 3),
        "purchase": (1, 1),
        "refund": (1, 1),
        "Rated": (1, 1),
        "Upgraded": (1, 1),
        "Seen": (150, 150),
    }
    wait_until(
        lambda: clients.ids("web", "u1") == {"u1", "a1"} and clients.ids("web", "u2") == {"u2", "a2"}, 60, "joined ids"
    )
    said = clients.said("web", "u1")
    assert said == said | {
        "plan": "pro",
        "address.city": "Wien",
        "since": "2026-01-02T00:00:00",
        "group": "g1",
        "group.size": 7,
        "page": "/a",
        "source": "news",
        "campaign": "spring",
        "device": "phone",
    }


def test_segments_library_for_node_counts_exactly(clients: Clients) -> None:
    if not (ROOT / "node_modules" / "@segment").is_dir():
        missing("no packages of Node: run make servers")
    key = clients.site("web")
    done = subprocess.run(["node", FOR_NODE, clients.farm.url, key], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    clients.wait_for("web", 6)
    assert clients.totals("web", "pageviews", "orders", "revenue", "value") == {
        "pageviews": 2,
        "orders": 1,
        "revenue": 25.5,
        "value": 3,
    }
    assert clients.by("web", "page", "pageviews") == {"/kettle": 1, "/Home": 1}
    assert clients.by("web", "event") == {"pageview": 2, "add_to_cart": 1, "purchase": 1, "Rated": 1, "Upgraded": 1}
    assert clients.by("web", "product") == {"sku-1": 1}
    assert clients.by("web", "browser") == {"Chrome": 2}
    assert clients.by("web", "source", "pageviews") == {"google": 1}
    wait_until(
        lambda: clients.ids("web", "u1") == {"u1", "a1"} and clients.ids("web", "u3") == {"u3", "u2"}, 60, "joined ids"
    )
    assert clients.said("web", "u1")["address.city"] == "Wien"


def test_a_library_with_a_wrong_key_is_told_so(clients: Clients) -> None:
    failed = list[Any]()
    client = Client(
        "hw_w_" + "x" * 43, host=clients.farm.url, upload_interval=0.05, on_error=lambda *given: failed.append(given)
    )
    client.track(user_id="u1", event="Rated")
    client.shutdown()
    ((error, batch),) = failed
    assert (error.status, error.code, len(batch)) == (401, "unauthorized", 1)
    assert "expected the write key" in error.message
