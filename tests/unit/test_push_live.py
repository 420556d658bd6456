"""What live tells the pages of one visitor: who may hear whom, what comes once, bounds, and bad input."""

import json
import re
from typing import Any

import gevent
import pytest

from hail.live import Heard, push_token
from hail.message import ACCOUNT
from hail.settings import load
from tests.wsgi import Answer, call
from whale.accounts import Account, Act, Site
from whale.errors import Unavailable
from whale.live.listeners import MOST_OF_VISITOR, Listeners, Watch
from whale.live.relay import Relay
from whale.live.viewers import ENDED, Full, Viewers
from whale.live.web import make_app
from whale.store.contract.talks import Page
from whale.store.memory import MemoryStore

pytestmark = pytest.mark.usefixtures("loop_of_now")

NOW = 1_800_000_000.0
ACT = Act(1, "test", "add", "", "")
SHOP, CAFE = "shopshopsh", "cafecafeca"
ANN, BOB = "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c", "9d8b7f52-6a3e-4d57-8d3f-0d6f6a1f2b3c"
HEARD = Heard(SHOP, "web", ANN)
NASTY = '</script><b>"\u2028\u2029 ü'


class Service:
    """Live over a store in memory. Streams end as soon as they have begun."""

    def __init__(self, **settings: Any):
        self.settings = load(
            {"HAILWHALE_INTERNAL_KEY": "i" * 32, "HAILWHALE_WHALE_URL": "http://127.0.0.1:8086"}
        ).replace(live_stream_s=0.02, **settings)
        self.store, self.listeners = MemoryStore(self.settings), Listeners(self.settings)
        viewers = Viewers(self.settings, lambda: "run")
        self.relay = Relay(self.settings, viewers, lambda: self.store, lambda: NOW)
        self.relay._store = self.store
        self.app = make_app(self.settings, viewers, self.relay, lambda: NOW, self.listeners)
        for id_, name in ((SHOP, "shop"), (CAFE, "cafe")):
            self.store.add_entry(Account(id_, name, "UTC", 1), ACT)
            self.store.add_entry(Site(id_, "web", open=True, origins=("https://shop.example",)), ACT)
        self.store.add_entry(Site(SHOP, "blog", open=True, origins=("https://shop.example",)), ACT)

    def token(self, heard: Heard = HEARD, now: float = NOW) -> str:
        return push_token(self.settings, heard, now)

    def get(self, heard: Heard = HEARD, **asked: Any) -> Answer:
        query = {"token": self.token(heard), **{name: str(value) for name, value in asked.items()}}
        return call(self.app, "GET", "/push", query)

    def poll(self, heard: Heard = HEARD, **asked: Any) -> Any:
        return self.get(heard, **{"wait": 0, **asked}).json

    def say(self, text: Any, heard: Heard = HEARD, **given: Any) -> Answer:
        body = json.dumps({"text": text, **given}).encode()
        return call(self.app, "POST", "/push", {"token": self.token(heard)}, body=body, CONTENT_TYPE="text/plain")

    def answer(self, text: str, heard: Heard = HEARD) -> int:
        return self.store.say(heard.account, (heard.site, heard.visitor), False, json.dumps({"text": text}).encode())


@pytest.fixture
def live() -> Service:
    return Service()


def messages(answer: Answer) -> list[Any]:
    return [json.loads(data) for data in re.findall(r"event: message\ndata: (.*)\n\n", answer.text)]


def test_a_page_hears_what_is_said_to_its_visitor(live: Service) -> None:
    said = live.answer("hello")
    found = live.get()
    assert found.status == 200
    assert found.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert found.headers["Access-Control-Allow-Origin"] == "*"
    assert found.text.startswith('retry: 2000\n\nevent: ping\ndata: {"at":1800000000000,"redis":"up"}\n\n')
    assert messages(found) == [{"id": said, "by": "site", "data": {"text": "hello"}}]
    assert f"id: {said}\n" in found.text


def test_each_message_comes_once_to_a_page_that_says_what_it_had(live: Service) -> None:
    first, second = live.answer("1"), live.answer("2")
    assert [each["id"] for each in messages(live.get(after=first))] == [second]
    assert messages(live.get(after=second)) == []
    by_header = call(live.app, "GET", "/push", {"token": live.token()}, HTTP_LAST_EVENT_ID=str(first))
    assert [each["id"] for each in messages(by_header)] == [second]
    assert live.poll(after=first) == {"messages": messages(by_header), "after": second}
    assert live.poll(after=second) == {"messages": [], "after": second}


def test_nobody_hears_another_visitor_site_or_account(live: Service) -> None:
    others = [HEARD._replace(visitor=BOB), HEARD._replace(site="blog"), HEARD._replace(account=CAFE)]
    live.answer("for ann")
    assert live.say("from ann").status == 200
    for other in others:
        assert live.poll(other)["messages"] == []
        assert live.say("from another", other).status == 200
    assert [each["data"]["text"] for each in live.poll()["messages"]] == ["for ann", "from ann"]


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "x",
        "e30.e30",
        "x" * 2000,
        push_token(load({"HAILWHALE_INTERNAL_KEY": "j" * 32}), HEARD, NOW),
        push_token(load({"HAILWHALE_INTERNAL_KEY": "i" * 32}), HEARD, NOW - 60),
        push_token(load({"HAILWHALE_INTERNAL_KEY": "i" * 32}), HEARD._replace(site="gone"), NOW),
        push_token(load({"HAILWHALE_INTERNAL_KEY": "i" * 32}), HEARD._replace(account="nobodynobo"), NOW),
    ],
)
def test_a_token_that_is_forged_expired_or_of_what_is_gone_opens_nothing(live: Service, token: str | None) -> None:
    live.answer("secret")
    query = {} if token is None else {"token": token}
    told = [
        call(live.app, "GET", "/push", query),
        call(live.app, "GET", "/push", {**query, "wait": "0"}),
        call(live.app, "POST", "/push", query, body=b'{"text": "x"}'),
    ]
    for found in told:
        assert (found.status, found.json["code"], found.json["field"]) == (401, "unauthorized", "token")
        assert found.headers["Access-Control-Allow-Origin"] == "*"
        assert "secret" not in found.text
    assert len(live.store.talk(SHOP, ("web", ANN))) == 1


def test_no_key_and_no_cookie_takes_the_place_of_a_token(live: Service) -> None:
    headers = {"HTTP_AUTHORIZATION": "Bearer whatever", "HTTP_COOKIE": f"trackit_v_visitor={ANN}"}
    assert call(live.app, "GET", "/push", **headers).status == 401


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"[]", 400, "body"),
        (b"\xff", 400, "body"),
        (b"{}", 400, "text"),
        (b'{"text": 5}', 400, "text"),
        (b'{"text": ""}', 400, "text"),
        (b'{"text": " \\n"}', 400, "text"),
        (json.dumps({"text": "x" * 3990}).encode(), 400, "text"),
        (json.dumps({"text": "x", "id": "no spaces"}).encode(), 400, "id"),
        (json.dumps({"text": "x", "by": "site"}).encode(), 400, "by"),
        (json.dumps({"text": "x" * 1_000_000}).encode(), 413, "body"),
    ],
)
def test_what_cannot_be_said_is_refused_and_not_kept(live: Service, body: bytes, status: int, field: str) -> None:
    found = call(live.app, "POST", "/push", {"token": live.token()}, body=body)
    assert (found.status, found.json.get("field")) == (status, field)
    assert found.headers["Access-Control-Allow-Origin"] == "*"
    assert live.store.talk(SHOP, ("web", ANN)) == []


def test_what_is_said_twice_by_one_word_is_said_once(live: Service) -> None:
    first = live.say("hello", id="w-1").json["id"]
    assert live.say("hello", id="w-1").json["id"] == first
    assert [each["id"] for each in live.poll()["messages"]] == [first]


def test_no_letter_ends_a_script_or_an_event(live: Service) -> None:
    live.say(f"{NASTY}\r\nevent: x\n\n")
    found = live.get()
    assert [each["data"]["text"] for each in messages(found)] == [f"{NASTY}\r\nevent: x\n\n"]
    assert re.findall("^event: (.*)$", found.text, re.M) == ["ping", "message"]


@pytest.mark.parametrize(
    "asked",
    [
        {"after": "x"},
        {"after": "-1"},
        {"wait": "x"},
        {"wait": "nan"},
        {"wait": "-1"},
        {"page": "a b"},
        {"page": "x" * 65},
        {"on": "1"},
    ],
)
def test_wrong_parameters_are_named(live: Service, asked: dict[str, str]) -> None:
    found = live.get(**asked)
    assert (found.status, found.json["field"]) == (400, *asked)


def test_who_listens_is_known_and_gone_with_the_page(live: Service) -> None:
    listener = live.listeners.open(HEARD, "p1")
    live.listeners.open(HEARD, "p2")
    live.listeners.open(HEARD._replace(account=CAFE), "p1")
    Watch(live.listeners, lambda: live.store).say_who_listens()
    assert live.store.listening(SHOP, "web") == {ANN: 2}
    assert live.listeners.close(listener)
    assert live.listeners.pages() == {SHOP: [Page("web", ANN, "p2")], CAFE: [Page("web", ANN, "p1")]}
    live.get(HEARD._replace(visitor=BOB), page="p3")
    assert live.store.listening(SHOP, "web", BOB) == {}
    live.poll(HEARD._replace(visitor=BOB), page="p3")
    assert live.store.listening(SHOP, "web", BOB) == {BOB: 1}


def test_a_page_that_comes_again_takes_its_own_place(live: Service) -> None:
    first = live.listeners.open(HEARD, "p1")
    second = live.listeners.open(HEARD, "p1")
    assert (first.ended, second.ended, len(live.listeners)) == ("again", "", 1)
    assert not live.listeners.close(first)
    assert live.listeners.close(second)
    assert (len(live.listeners), [*live.listeners]) == (0, [])


def test_ten_thousand_tokens_open_no_more_than_the_settings_say() -> None:
    live = Service(push_max_pages=30, push_account_pages=20)

    def opened(account: str) -> int:
        for number in range(10_000):
            try:
                live.listeners.open(Heard(account, "web", f"{number}"), "p")
            except Full:
                return number
        return 10_000

    assert (opened(SHOP), opened(CAFE), opened(ACCOUNT)) == (20, 10, 0)
    found = live.get(Heard(CAFE, "web", BOB))
    assert (found.status, found.json["code"], found.headers["Retry-After"]) == (503, "overloaded", "5")
    assert len(live.listeners) == 30


def test_the_default_account_may_have_all_places_and_one_visitor_a_few() -> None:
    listeners = Listeners(Service(push_max_pages=100, push_account_pages=1).settings)
    for number in range(50):
        listeners.open(Heard(ACCOUNT, "web", str(number)), "p")
    for page in range(MOST_OF_VISITOR):
        listeners.open(Heard(ACCOUNT, "web", ANN), str(page))
    with pytest.raises(Full):
        listeners.open(Heard(ACCOUNT, "web", ANN), "one more")


def test_a_word_wakes_the_pages_of_its_visitor_alone(live: Service) -> None:
    mine, others = live.listeners.open(HEARD, "p1"), live.listeners.open(HEARD._replace(visitor=BOB), "p1")
    live.listeners.more(HEARD)
    mine.wait(0.0)
    assert mine._wake.is_set()
    assert not others._wake.is_set()


def test_a_page_that_waits_hears_at_once(live: Service) -> None:
    found: list[Any] = []
    waiting = gevent.spawn(lambda: found.append(live.poll(wait=30)))
    gevent.sleep(0.01)
    live.answer("there")
    live.listeners.more(HEARD)
    waiting.join(10)
    assert [each["data"] for each in found[0]["messages"]] == [{"text": "there"}]


def test_pages_end_with_their_site(live: Service) -> None:
    listener, other = live.listeners.open(HEARD, "p1"), live.listeners.open(HEARD._replace(site="blog"), "p1")
    site = next(each for each in live.store.sites(SHOP) if each.pk == "web")
    live.store.remove_entry(site, ACT)
    Watch(live.listeners, lambda: live.store).end_of_closed_sites()
    assert (listener.ended, other.ended) == (ENDED, "")


def test_while_redis_is_away_a_page_stays_and_is_told(live: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("Redis: away")

    monkeypatch.setattr(live.store, "talk", away)
    assert '"redis":"away"' in live.get().text
    assert live.get(wait=0).status == 503
    monkeypatch.setattr(live.store, "say", away)
    assert live.say("x").status == 503
    assert len(live.listeners) == 0
