"""Hits of the browser tracker at Hail: what each part of one counts, who may send, and bad input."""

import json
import re
import secrets
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from hail.directory import Site
from hail.hit import dimensions_of
from hail.publish import Publisher
from hail.salts import date_in, dates_at
from hail.settings import load
from hail.settled import MOST
from hail.tracking.agents import Agents
from hail.tracking.aktivat import asked_of
from hail.tracking.sources import address_of
from hail.tracking.translation import Around, page_of, seen_of, skew_of
from hail.tracking.wire import tracked_of
from hail.web import make_app
from tests.nodes import ACT, ANN, Asked, Node
from tests.unit.test_hail_keys import EVIL, SHOP, Hail, Keyed
from tests.wsgi import Answer, call
from whale.accounts import Account
from whale.accounts import Site as StoredSite

DOCUMENT = (Path(__file__).parents[2] / "docs/http/track.md").read_text()
ROWS = re.findall(r"^\| `(\".*?)` \| `(\".*?)` \|$", DOCUMENT, re.M)
SETTINGS = load({})
VIEW: dict[str, Any] = {"event": "pageview", "url": "https://shop.example/", "referrer": "https://shop.example/before"}
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
PAGE = {
    "HTTP_ORIGIN": SHOP,
    "HTTP_SEC_FETCH_SITE": "cross-site",
    "CONTENT_TYPE": "text/plain;charset=UTF-8",
    "HTTP_USER_AGENT": SAFARI,
}
OF_SAFARI = {"browser": {"Safari": {"17": {}}}, "platform": {"iOS": {}}, "device": {"phone": {}}}


def seen(given: dict[str, Any], **more: Any) -> Any:
    tracked = tracked_of(json.dumps({**VIEW, **given}).encode())
    return seen_of(tracked, "web", Around(**more), SETTINGS)


@pytest.mark.parametrize(("sent", "counted"), ROWS)
def test_each_row_of_the_table_is_so(sent: str, counted: str) -> None:
    fields = seen(json.loads(f"{{{sent}}}")).fields
    for name, expected in json.loads(f"{{{counted}}}").items():
        found = fields.get(name)
        assert found == (found | expected if isinstance(expected, dict) else expected), name


OF_PAGES = re.findall(r"^\| (none|`\w+`[^|]*) \| `(https:[^`]*)` \| `(/[^`]*)` \|$", DOCUMENT, re.M)
OF_AKTIVAT = re.findall(r"^\| `(\w+=.*?)` \| `(\".*?)` \|$", DOCUMENT, re.M)


def test_the_tables_have_rows() -> None:
    assert (len(ROWS) > 25, len(OF_AKTIVAT) > 12, len(OF_PAGES)) == (True, True, 5)


@pytest.mark.parametrize(("rule", "url", "page"), OF_PAGES)
def test_each_row_of_the_rules_of_pages_is_so(rule: str, url: str, page: str) -> None:
    name, *values = re.findall(r"`(\w+)`", rule) or [""]
    rules = Site(ANN.id, "web", **({name: tuple(values) or True} if name else {}))
    assert page_of(address_of(url), rules) == page


@pytest.mark.parametrize(("query", "field"), OF_AKTIVAT)
def test_each_row_of_aktivats_table_is_so(query: str, field: str) -> None:
    is_whole = "trackr_event_type" in query or query.startswith("hit=")
    tracked = asked_of(query.replace("#", "%23") + ("" if is_whole else "&trackr_event_type=a")).tracked
    for name, expected in json.loads(f"{{{field}}}").items():
        assert getattr(tracked, name) == expected, name


def test_aktivats_tracker_tells_no_value_and_no_key_and_no_source() -> None:
    """What was typed into a field, a password among it, and codes of keys came along."""
    kind = "hostname=shop.example&path=/&trackr_event_type=trackr_element_event&trackr_element_event=blur"
    tracked = asked_of(f"{kind}&trackr_element_value=secret&trackr_element_char=83&trackr_element_label=a").tracked
    assert tracked.properties == {"on": "blur", "label": "a"}
    assert "source" not in seen_of(tracked, "web", Around(), SETTINGS).fields["dimensions"]


def test_a_page_view_counts_at_24_paths_at_most() -> None:
    url = "https://shop.example/?utm_source=a&utm_campaign=b&utm_medium=c"
    tracked = tracked_of(json.dumps({**VIEW, "url": url, "width": 900, "language": "de", "v_visitor": "b"}).encode())
    around = Around(agent=Agents(1e6).agent_of(SAFARI), country="DE")
    _, paths = dimensions_of(seen_of(tracked, "web", around, SETTINGS).fields["dimensions"], SETTINGS)
    assert paths == 23


def test_a_page_within_a_visit_has_no_source_and_says_its_page_alone() -> None:
    fields = seen({"screen": "800x600", "language": "de"}).fields
    assert fields["dimensions"] == {"page": "/", "event": "pageview", "screen": "768-1199", "language": "de"}
    assert fields["properties"] == {"page": "/"}


def test_a_page_where_a_visit_begins_says_where_it_came_from() -> None:
    url = "https://shop.example/?utm_source=a&utm_campaign=b&utm_medium=c&utm_content=d&utm_term=e"
    fields = seen({"url": url, "screen": "800x600", "language": "de"}).fields
    assert fields["properties"] == {
        "channel": "campaign",
        "page": "/",
        "source": "a",
        "campaign": "b",
        "medium": "c",
        "content": "d",
        "term": "e",
        "screen": "768-1199",
        "language": "de",
    }
    assert seen({"url": url}, says_all=False).fields["properties"] is None


def test_who_logs_in_is_joined_with_the_browser() -> None:
    both = {"v_visitor": "b1", "visitor": "u1"}
    assert [seen({**both, "event": name}).known for name in ("signup", "login", "pageview", "update")] == [
        "u1",
        "u1",
        None,
        None,
    ]
    assert seen({**both, "event": "login"}).fields["visitor"] == "b1"
    assert seen({**both, "event": "login", "anonymous": 1}).known is None
    assert seen({"visitor": "u1", "event": "login"}).known is None


def test_an_anonymous_user_leaves_nothing_of_theirs() -> None:
    given = {"event": "signup", "visitor": "u1", "properties": {"mail": "a@b.c"}}
    for fields in (seen({**given, "anonymous": True}).fields, seen(given, is_anonymous=True).fields):
        assert (fields["visitor"], fields["properties"], fields["event"]) == (None, None, "signup")


@pytest.mark.parametrize(("sent_at", "skew"), [(None, 0), (1_000_000.0, 0), (940_001.0, 0), (939_000.0, 61_000)])
def test_a_clock_that_is_wrong_by_more_than_a_minute_is_set(sent_at: float | None, skew: float) -> None:
    assert skew_of(sent_at, 1000.0) == skew
    assert seen({"at": 5}, skew_ms=61_000.4).fields["at"] == 61_005


# Over HTTP


@pytest.fixture
def whale() -> Asked:
    found = Asked()
    found.site("web", SHOP)
    found.site("shop.example", SHOP)
    found.site("closed")
    found.now = 1_800_000_000.0
    return found


class Tracking(Keyed):
    def send(self, *hits: Any, account: Any = "ann", site: Any = "web", key: str = "", **environ: str) -> Answer:
        body = {"account": account, "site": site, "hits": hits}
        return self.post_body(json.dumps({k: v for k, v in body.items() if v is not None}).encode(), key, **environ)

    def post_body(self, body: bytes, key: str = "", **environ: str) -> Answer:
        return call(self.app, "POST", "/track", {"key": key} if key else {}, body, **{**PAGE, **environ})


@pytest.fixture
def hail(node: Node, whale: Asked) -> Iterator[Tracking]:
    found = Tracking(node, whale)
    yield found
    found.publisher.close()


def test_a_page_that_its_site_lists_sends_a_view_and_an_event_without_a_key(hail: Tracking) -> None:
    answer = hail.send({**VIEW, "id": "1", "v_visitor": "b1"}, {**VIEW, "event": "rated", "v_visitor": "b1"})
    assert (answer.status, answer.json) == (202, {"accepted": 2})
    assert (answer.headers["X-Hail"], answer.headers["Access-Control-Allow-Origin"]) == ("accepted", "*")
    (part,) = hail.messages()
    view, event = part.hits
    assert part.account == ANN.id
    assert (bytes(view.pk), view.id, view.event, view.visitor) == (b'["web"]', "b:web:1", "pageview", "b1")
    assert json.loads(bytes(view.dimensions)) == {"event": {"pageview": {}}, "page": {"/": {}}, **OF_SAFARI}
    assert view.metrics == {"hits": 1, "pageviews": 1_000_000}
    assert (event.event, event.metrics, event.key) == ("rated", {"hits": 1}, None)


def test_the_host_is_the_site_where_the_page_names_none(hail: Tracking) -> None:
    assert hail.send({**VIEW, "url": "https://WWW.shop.example:8443/"}, site=None).status == 202
    assert hail.kept() == [(ANN.id, "shop.example")]


def test_a_login_joins_two_ids_by_a_hit_that_counts_nothing(hail: Tracking) -> None:
    assert hail.send({"event": "login", "v_visitor": "b1", "visitor": 42}).json == {"accepted": 1}
    login, joining = hail.hits()
    assert (login.visitor, login.event) == ("b1", "login")
    assert (joining.visitor, joining.known, joining.metrics) == ("b1", "42", {"hits": 0})


def test_a_browser_that_does_not_want_to_be_followed_counts_without_an_id(hail: Tracking) -> None:
    for header in ("HTTP_SEC_GPC", "HTTP_DNT"):
        assert hail.send({**VIEW, "v_visitor": "b1"}, **{header: "1"}).status == 202
    assert [(hit.visitor, hit.event) for hit in hail.hits()] == [(None, "pageview")] * 2


def test_a_hit_that_is_wrong_is_refused_by_itself(hail: Tracking) -> None:
    answer = hail.send(VIEW, {**VIEW, "load": "fast"})
    assert (answer.status, answer.headers["X-Hail"]) == (202, "accepted; refused=1")
    assert answer.json["accepted"] == 1
    assert [(each["code"], each["field"]) for each in answer.json["refused"]] == [("bad_metrics", "load")]


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        ({"account": "nobody"}, 400, "unknown_account"),
        ({"account": None}, 400, "unknown_site"),  # of default
        ({"site": "none"}, 400, "unknown_site"),
        ({"site": "closed"}, 403, "foreign_origin"),
        ({"HTTP_ORIGIN": EVIL}, 403, "foreign_origin"),
        ({"HTTP_ORIGIN": "null"}, 403, "foreign_origin"),
        ({"HTTP_SEC_FETCH_SITE": "none"}, 403, "foreign_origin"),
    ],
)
def test_a_page_that_may_not_send_is_told_why(hail: Tracking, given: dict[str, Any], status: int, reason: str) -> None:
    answer = hail.settled(lambda: hail.send(VIEW, **given))
    assert (answer.status, answer.headers["X-Hail"]) == (status, f"dropped; reason={reason}")
    assert (answer.json["code"], hail.kept()) == (reason, [])


def test_a_site_that_was_just_made_opened_or_told_to_list_a_page_is_to_be_asked_for_again(
    hail: Tracking, whale: Asked
) -> None:
    def change(origins: tuple[str, ...] | None, new: tuple[str, ...]) -> None:
        made = StoredSite(ANN.id, "new", open=bool(new), origins=new)
        if origins is None:
            whale.store.add_entry(made, ACT)
        else:
            whale.store.change_entry(StoredSite(ANN.id, "new", open=bool(origins), origins=origins), made, ACT)

    new = {"site": "new"}
    for origins, later in ((None, ()), ((), (EVIL,)), ((EVIL,), (SHOP,))):
        answer = hail.send({**VIEW, "id": "1"}, **new)
        assert (answer.status, answer.headers["X-Hail"]) == (503, "dropped; reason=no_directory")
        assert answer.headers["Retry-After"] == "2"
        change(origins, later)
        hail.learn()
    assert hail.send({**VIEW, "id": "1"}, **new).status == 202
    assert hail.kept() == [(ANN.id, "new")]


def test_an_account_that_was_just_made_is_to_be_asked_for_again(hail: Tracking, whale: Asked) -> None:
    bob = Account("bobbobbobb", "bob", "UTC", 0)
    assert hail.send(VIEW, account="bob").status == 503
    whale.store.add_entry(bob, ACT)
    whale.store.add_entry(StoredSite(bob.id, "web", open=True, origins=(SHOP,)), ACT)
    hail.learn()
    assert hail.send(VIEW, account="bob").status == 202
    assert hail.kept() == [(bob.id, "web")]


def test_while_whale_is_away_nobody_is_told_that_there_is_no_such_site(hail: Tracking, whale: Asked) -> None:
    for _ in range(5):
        assert hail.send(VIEW, site="none").status == 503
        hail.node.now += 100
    hail.learn()
    assert hail.send(VIEW, site="none").headers["X-Hail"] == "dropped; reason=unknown_site"
    hail.node.now += 100
    assert hail.send(VIEW, site="none").headers["X-Hail"] == "dropped; reason=unknown_site"


def test_strangers_who_ask_for_many_sites_ask_whale_nothing_and_leave_little(hail: Tracking, whale: Asked) -> None:
    asked = len(whale.asked)
    for number in range(3 * MOST):
        assert hail.send(VIEW, site=f"none {number}").status == 503
    assert len(whale.asked) == asked
    assert len(hail.app.acceptor.settled) == MOST
    assert hail.send(VIEW).status == 202


def test_of_several_sites_those_that_are_known_count_at_once(hail: Tracking) -> None:
    other = {**VIEW, "url": "https://else.example/"}
    answer = hail.send({**VIEW, "url": f"{SHOP}/"}, other, site=None)
    assert (answer.status, answer.headers["X-Hail"]) == (202, "accepted; refused=1")
    assert [each["code"] for each in answer.json["refused"]] == ["unknown_site"]


@pytest.fixture
def lines(node: Node, whale: Asked) -> Iterator[Tracking]:
    """One that writes messages of version 1."""
    found = Tracking(node, whale, message_version=1)
    yield found
    found.publisher.close()


def test_hail_that_writes_version_1_counts_what_the_tracker_sends_without_properties(lines: Tracking) -> None:
    """Any of these would be lost: the tracker forgets a hit that was refused."""
    id_ = {"v_visitor": "b1"}
    order = {"event": "purchase", "properties": {"id": "7", "revenue": 59.9, "coupon": "may"}, **id_}
    answer = lines.send(
        {**VIEW, "url": f"{SHOP}/?utm_source=news", **id_},
        {"event": "engagement", "url": f"{SHOP}/", "engaged": 500},
        {"event": "add_to_cart", "properties": {"id": "sku-1"}, "metrics": {"price": 5}, **id_},
        order,
        {**order, "id": "2"},
        {"event": "signup", "visitor": "u1", "properties": {"plan": "pro"}, "signupDate": 5, **id_},
        {"event": "rated", "properties": {"stars": 5}},
    )
    assert (answer.status, answer.json) == (202, {"accepted": 7})
    hits = lines.hits()
    assert [(hit.event, hit.visitor, hit.properties) for hit in hits] == [
        ("pageview", "b1", None),
        (None, None, None),
        ("add_to_cart", "b1", None),
        ("purchase", "b1", None),
        ("purchase", "b1", None),
        ("signup", "b1", None),
        ("rated", None, None),
    ]
    assert [hit.id for hit in hits][3:5] == ["b:web:order-7"] * 2
    assert hits[3].metrics == {"hits": 1, "orders": 1_000_000, "revenue": 59_900_000}
    assert json.loads(bytes(hits[2].dimensions))["product"] == {"sku-1": {}}


def test_an_image_and_daily_visitors_count_in_version_1_too(lines: Tracking) -> None:
    lines.informed.renew_salts()
    assert asked(lines, f"{OF_PAGE.replace('pageloaded', 'updateUser')}&plan=pro") == "accepted"
    assert lines.send(VIEW).status == 202
    assert [(hit.visitor, hit.basis) for hit in lines.hits()] == [(None, None)] * 2


def test_a_key_sends_hits_of_any_site_of_its_account_and_of_no_other(hail: Tracking, whale: Asked) -> None:
    (_, other), (_, of_site) = whale.key(account="default"), whale.key(site="web")
    hail.learn()
    program = {"HTTP_ORIGIN": EVIL, "key": hail.key}
    assert hail.send(VIEW, site="new", **program).status == 202
    assert hail.send(VIEW, account=None, **program).status == 202
    foreign = hail.settled(lambda: hail.send(VIEW, HTTP_ORIGIN=EVIL, key=other.decode()))
    assert foreign.headers["X-Hail"] == "dropped; reason=foreign_origin"
    assert hail.send(VIEW, site="new", key=of_site.decode()).headers["X-Hail"] == "dropped; reason=other_site"
    assert hail.kept() == [(ANN.id, "new"), (ANN.id, "web")]
    assert {hit.key for hit in hail.hits()} == {hail.informed.directory.key_of(hail.key.encode(), 0).id}  # type: ignore[union-attr]  # it is there


# By an image


def asked(hail: Tracking, query: str, **environ: str) -> str:
    image = {"HTTP_REFERER": f"{SHOP}/a", "HTTP_USER_AGENT": SAFARI, **environ}
    answer = call(hail.app, "GET", "/track/it", query=query, **image)
    assert (answer.status, answer.headers["Content-Type"], answer.body[:6]) == (200, "image/gif", b"GIF89a")
    return answer.headers["X-Hail"]


OF_PAGE = "config_account=ann&hostname=shop.example&path=/a&trackr_event_type=trackr_pageloaded_event"


def test_aktivats_tracker_counts_a_page_and_is_answered_by_an_image(hail: Tracking) -> None:
    assert asked(hail, f"{OF_PAGE}&trackr_page_loadtime=320&event_id=1&config_cookies_v_visitor=b1") == "accepted"
    (part,) = hail.messages()
    (hit,) = part.hits
    assert (part.account, bytes(hit.pk), hit.id, hit.visitor) == (ANN.id, b'["shop.example"]', "b:shop.example:1", "b1")
    assert (hit.metrics, hit.others) == ({"hits": 1, "pageviews": 1_000_000}, {"load_ms": ("quantile", 320_000_000)})
    assert json.loads(bytes(hit.dimensions))["page"] == {"/a": {}}


def test_a_page_of_account_7_as_aktivats_tracker_tells_it(hail: Tracking, whale: Asked) -> None:
    """Page /a?x=1&x=2&y=3#h: account, path, hash, arguments, the size of the screen, session, browser, tab and the id of the event."""
    whale.store.add_entry(Account("sevenseven", "7", "UTC", 0), ACT)
    whale.store.add_entry(StoredSite("sevenseven", "shop.example", open=True, origins=(SHOP,)), ACT)
    hail.learn()
    ids = {
        name: str(uuid.UUID(int=number, version=4))
        for number, name in enumerate(("session", "v_visitor", "tab", "event"))
    }
    given = {
        "config_account": "7",
        "config_screen_width": "1920",
        "config_screen_height": "1080",
        "config_cookies_session": ids["session"],
        "config_cookies_v_visitor": ids["v_visitor"],
        "config_tab": ids["tab"],
        "hostname": "shop.example",
        "path": "/a",
        "hash": "#h",
        "args_x_0": "1",
        "args_x_1": "2",
        "args_y": "3",
        "event_id": ids["event"],
        "trackr_event_type": "trackr_pageloaded_event",
    }
    for _ in range(2):
        assert asked(hail, urlencode(given)) == "accepted"
    tracked = asked_of(urlencode(given)).tracked
    assert (tracked.url, tracked.session, tracked.tab) == (
        "https://shop.example/a?x=1&x=2&y=3#h",
        ids["session"],
        ids["tab"],
    )
    assert hail.kept() == [("sevenseven", "shop.example")] * 2
    one, other = hail.hits()
    assert one.id == other.id == f"b:shop.example:{ids['event']}"  # of which workers count the first
    assert one.visitor == ids["v_visitor"]
    assert json.loads(bytes(one.dimensions)) == {
        "page": {"/a": {}},
        "event": {"pageview": {}},
        "screen": {"1920+": {}},
        **OF_SAFARI,
    }


@pytest.mark.parametrize(
    ("query", "environ", "said"),
    [
        (OF_PAGE.replace("=ann", "=7"), {}, "dropped; reason=unknown_account"),
        (OF_PAGE.replace("shop.example", "else.example"), {}, "dropped; reason=unknown_site"),
        (OF_PAGE, {"HTTP_REFERER": EVIL}, "dropped; reason=foreign_origin"),
        (f"{OF_PAGE}&trackr_page_loadtime=fast", {}, "dropped; reason=bad_metrics"),
        (f"{OF_PAGE}&trackr_page_loadtime=nan", {}, "dropped; reason=bad_metrics"),
        (f"{OF_PAGE}&trackr_page_loadtime=-1", {}, "dropped; reason=bad_metrics"),
        (f"{OF_PAGE}&config_cookies_v_visitor={'x' * 300}", {}, "dropped; reason=bad_id"),
        ("config_account=ann", {}, "dropped; reason=bad_id"),
        ("", {}, "dropped; reason=bad_id"),
        ("config_account=ann&hit={", {}, "dropped; reason=bad_json"),
        ("&".join(f"p{number}=1" for number in range(10_000)), {}, "dropped; reason=unknown_field"),
        (f"{OF_PAGE}&path=%ff", {}, "dropped; reason=bad_json"),
    ],
)
def test_an_image_that_is_wrong_says_why(hail: Tracking, query: str, environ: dict[str, str], said: str) -> None:
    assert asked(hail, query, **environ) == said
    assert hail.kept() == []


# Bots


@pytest.mark.parametrize(
    ("agent", "given", "counted"),
    [
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            {},
            {"crawler": {"Googlebot": {}}},
        ),
        ("curl/8.0", {}, {"program": {"curl": {}}}),
        ("", {}, {"empty": {"other": {}}}),
        (SAFARI, {"bot": 1}, {"said": {"webdriver": {}}}),
        (SAFARI, {"bot": "cypress"}, {"said": {"cypress": {}}}),
    ],
)
def test_a_bot_counts_apart_and_leaves_nobody(hail: Tracking, agent: str, given: Any, counted: Any) -> None:
    assert hail.send({**VIEW, "v_visitor": "b1", "id": 1, **given}, HTTP_USER_AGENT=agent).status == 202
    (hit,) = hail.hits()
    assert (bytes(hit.pk), json.loads(bytes(hit.dimensions))) == (b'["__bots__","web"]', {"class": counted})
    assert (hit.id, hit.visitor, hit.event, hit.properties) == ("b:web:1", None, None, None)


def test_a_program_with_a_key_is_no_bot(hail: Tracking) -> None:
    body = json.dumps({"site": "web", "hits": [VIEW]}).encode()
    program = {"HTTP_USER_AGENT": "python-requests/2", "HTTP_AUTHORIZATION": f"Bearer {hail.key}"}
    assert call(hail.app, "POST", "/track", None, body, **program).status == 202
    (hit,) = hail.hits()
    assert (bytes(hit.pk), "browser" in json.loads(bytes(hit.dimensions))) == (b'["web"]', False)


@pytest.mark.parametrize("pk", ["__bots__", ["__bots__"], ["__bots__", "web"]])
def test_no_other_hit_may_be_one_of_a_bot(hail: Tracking, pk: Any) -> None:
    for path, hits in (("/count", {"pk": pk}), ("/batch", [{"pk": pk}]), ("/batch", [{"pk": pk}] * 40)):
        answer = hail.post(hail.key.encode(), hits, path)
        assert (answer.status, answer.json["code"]) == (400, "bad_pk")
    assert (
        call(hail.app, "GET", "/count", {"pk": pk if isinstance(pk, str) else json.dumps(pk), "key": hail.key}).json[
            "code"
        ]
        == "bad_pk"
    )
    assert hail.send(VIEW, site="__bots__", key=hail.key).headers["X-Hail"] == "dropped; reason=bad_pk"
    assert hail.kept() == []


# Visitors without an id


def day_of(hail: Tracking, **environ: str) -> tuple[str | None, str | None]:
    """Visitor and basis of one more page view without an id."""
    id_ = secrets.token_hex(8)
    assert hail.send({**VIEW, "id": id_}, **{"REMOTE_ADDR": "192.0.2.7", **environ}).status == 202
    (hit,) = (hit for hit in hail.hits() if hit.id == f"b:web:{id_}")
    hail.publisher = Publisher(hail.settings, lambda: hail.node.now)
    hail.app.acceptor.publisher = hail.publisher
    return hit.visitor, hit.basis


def test_a_browser_without_an_id_is_told_apart_for_a_day(hail: Tracking) -> None:
    assert day_of(hail) == (None, None)  # before Whale has told a salt
    hail.informed.renew_salts()
    visitor, basis = day_of(hail)
    assert basis == "daily"
    assert re.fullmatch("[0-9a-f]{32}", visitor or "")
    assert day_of(hail) == (visitor, "daily")
    others = [
        day_of(hail, REMOTE_ADDR="192.0.2.8")[0],
        day_of(hail, HTTP_USER_AGENT=f"{SAFARI} x")[0],
    ]
    hail.node.now += 86_400
    others.append(day_of(hail)[0])  # by the salt of tomorrow, which it has already
    assert len({visitor, *others}) == 4
    assert all(others)


def test_nobody_is_told_apart_who_does_not_want_it_or_cannot_be(hail: Tracking) -> None:
    hail.informed.renew_salts()
    assert day_of(hail, HTTP_SEC_GPC="1") == (None, None)
    assert day_of(hail, REMOTE_ADDR="") == (None, None)
    assert day_of(hail, HTTP_X_FORWARDED_FOR="192.0.2.9") == (None, None)
    assert day_of(hail, HTTP_USER_AGENT="curl/8") == (None, None)
    hail.node.now += 3 * 86_400  # Whale has been away
    assert day_of(hail) == (None, None)


def test_the_days_of_a_visitor_without_an_id_are_those_of_the_account(hail: Tracking, whale: Asked) -> None:
    hail.informed.renew_salts()
    account = hail.informed.directory.account(ANN.id)
    assert account is not None
    assert account.zone == "UTC"
    dates = [date_in(zone, 1_800_000_000.0) for zone in ("UTC", "Pacific/Kiritimati", "Etc/GMT+12", "No/Where")]
    assert dates == ["2027-01-15", "2027-01-15", "2027-01-14", "2027-01-15"]
    assert set(dates) <= set(dates_at(1_800_000_000.0))


def test_the_rules_of_a_site_name_its_pages(hail: Tracking, whale: Asked) -> None:
    whale.site("tidy", SHOP, pages_in_lower_case=True, pages_without_slash=True, page_parameters=("size",))
    hail.learn()
    assert hail.send({**VIEW, "url": f"{SHOP}/Bikes/?a=1&size=5"}, site="tidy").status == 202
    (hit,) = hail.hits()
    assert json.loads(bytes(hit.dimensions))["page"] == {"/bikes?size=5": {}}


NONSENSE = [None, True, [], {}, [1], {"a": []}, "x" * 3000, "\ud800", -1, 1e300, 10**30, ""]


@pytest.mark.parametrize("field", tracked_of(b'{"event":"a"}').__struct_fields__)
def test_nonsense_in_any_field_is_refused_by_a_reason_or_counts(hail: Tracking, field: str) -> None:
    for value in NONSENSE:
        answer = hail.send({**VIEW, field: value})
        assert answer.status in (202, 400), (field, value)
        assert re.fullmatch(r"accepted|dropped; reason=\w+", answer.headers["X-Hail"])


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "bad_json"),
        (b"nonsense", 400, "bad_json"),
        (b"[]", 400, "bad_json"),
        (b'{"hits":[]}', 400, "bad_json"),
        (b'{"hit":[{}]}', 400, "unknown_field"),
        (b'{"hits":[3]}', 400, "bad_json"),
        (b'{"account":"ann","site":"web","hits":[' + b",".join([b"{}"] * 501) + b"]}", 413, "batch_too_large"),
        (b'{"hits":["' + b"x" * 1_000_000 + b'"]}', 413, "body_too_large"),
    ],
)
def test_a_body_that_is_wrong_is_refused(hail: Tracking, body: bytes, status: int, reason: str) -> None:
    answer = hail.post_body(body)
    assert (answer.status, answer.headers["X-Hail"]) == (status, f"dropped; reason={reason}")
    assert hail.kept() == []


def test_an_address_with_10_000_parameters_counts_at_its_path(hail: Tracking) -> None:
    url = "https://shop.example/a?" + "&".join(f"p{i}={i}" for i in range(150))
    many = "&".join(f"p{i}={i}" for i in range(10_000))
    assert hail.send({**VIEW, "url": url}).status == 202
    assert hail.send({**VIEW, "url": f"{url}&{many}"}).headers["X-Hail"] == "dropped; reason=bad_pk"
    (hit,) = hail.hits()
    assert json.loads(bytes(hit.dimensions))["page"] == {"/a": {}}


def test_a_hail_without_a_directory_takes_hits_of_this_machine_for_default(tmp_path: Path) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings)
    app = make_app(settings, publisher)
    try:
        for account, status in (("default", 202), (None, 202), ("shop", 400)):
            body = json.dumps({"account": account, "site": "web", "hits": [VIEW]}).encode()
            assert call(app, "POST", "/track", None, body).status == status
    finally:
        publisher.close()


def test_a_hail_that_never_reached_whale_asks_to_try_again(node: Node) -> None:
    unknowing = node.settings.replace(whale_url="http://127.0.0.1:9")
    node.settings = unknowing
    hail = Hail(node)
    try:
        body = json.dumps({"account": "ann", "site": "web", "hits": [VIEW]}).encode()
        answer = call(hail.app, "POST", "/track", None, body, **PAGE)
        assert (answer.status, answer.headers["X-Hail"]) == (503, "dropped; reason=no_directory")
        assert answer.headers["Retry-After"] == "2"
    finally:
        hail.publisher.close()


# What hostile pages and clients send


@pytest.mark.parametrize("sent_at", [1.7e308, -1.7e308, 1e13 + 2e12, -1e15])
def test_a_clock_that_is_none_moves_nothing(hail: Tracking, sent_at: float) -> None:
    assert skew_of(sent_at, 1_800_000_000.0) == 0
    for at in (1.7e308, -1.7e308, 1_800_000_000_000):
        body = json.dumps({"account": "ann", "site": "web", "sent_at": sent_at, "hits": [{**VIEW, "at": at}]}).encode()
        answer = hail.post_body(body)
        assert (answer.status, answer.headers["X-Hail"]) in ((400, "dropped; reason=bad_time"), (202, "accepted"))
        query = urlencode({"sent_at": sent_at, "hit": json.dumps({**VIEW, "at": at}), "account": "ann", "site": "web"})
        assert asked(hail, query) in ("dropped; reason=bad_time", "accepted")


def test_half_a_letter_refuses_no_other_hit(hail: Tracking) -> None:
    texts = [
        r"cut \ud83d",
        r"\ude00 cut",
        r"whole \ud83d\ude00",
        r"no escape \\\\ud83d",
        r"\uD83D\uD83D\uDE00",
        r"\u00e4",
    ]
    hits = b",".join(
        b'{"event":"a","url":"https://shop.example/","properties":{"t":"%b"}}' % each.encode() for each in texts
    )
    answer = hail.post_body(b'{"account":"ann","site":"web","hits":[%b]}' % hits)
    assert (answer.status, answer.json) == (202, {"accepted": 6})
    assert [json.loads(hit.properties["t"]) for hit in hail.hits()] == [
        "cut \ufffd",
        "\ufffd cut",
        "whole \U0001f600",
        r"no escape \\ud83d",
        "\ufffd\U0001f600",
        "\u00e4",
    ]


def test_no_hit_of_a_site_has_the_id_of_another_sites(hail: Tracking, whale: Asked) -> None:
    names = ("web:order-1", "web", "a%3Ab", "a:b", "web:x")
    for name in names:
        if name != "web":
            whale.site(name, SHOP)
    hail.learn()
    for name in names:
        for own in ("1", "x:1", ":1", "b:1", "%3Ab:1"):
            assert hail.send({**VIEW, "id": own}, site=name).status == 202
    ids = [hit.id for hit in hail.hits()]
    assert len(ids) == len(set(ids)) == 25
    assert "b:web:1" in ids


@pytest.mark.parametrize("id_", ["undefined", "null", "NaN", "[object Object]"])
def test_what_a_script_makes_of_no_id_is_nobody(hail: Tracking, id_: str) -> None:
    assert hail.send({**VIEW, "event": "login", "v_visitor": "b1", "visitor": id_}).status == 202
    assert hail.send({**VIEW, "v_visitor": id_, "visitor": "u1"}).status == 202
    assert hail.send({**VIEW, "v_visitor": id_}).status == 202
    assert [(hit.visitor, hit.known) for hit in hail.hits()] == [("b1", None), ("u1", None), (None, None)]
