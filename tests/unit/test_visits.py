"""Hits of pages at Hail that say an event and no visitor: who gets the cookie `v`, and whose the hits are then."""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config

from hail.pixel import token_of
from hail.publish import Publisher
from hail.short import ShortWay
from hail.web import make_app
from tests.nodes import ANN, Asked, Node
from tests.unit.test_hail_keys import Keyed
from tests.wsgi import Answer, call

HTTPS = {"wsgi.url_scheme": "https"}
OTHER_PAGE = {"HTTP_SEC_FETCH_SITE": "cross-site"}
PIXEL_KEY = "p" * 32
EVENT: dict[str, Any] = {"pk": "web", "event": "signup"}
COOKIE = re.compile(r"v=([0-9a-f]{32}); Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax")


@pytest.fixture
def whale() -> Asked:
    found = Asked()
    found.site("web")
    found.site("crossing", cross_site_cookie=True)
    return found


class Site(Keyed):
    def ask(self, path: str = "/count.gif", given: dict[str, Any] = EVENT, **environ: str) -> Answer:
        return call(self.app, "GET", path, {"key": self.key, **given}, **environ)

    def visitors(self) -> list[str | None]:
        return [hit.visitor for hit in self.hits()]


@pytest.fixture
def hail(node: Node, whale: Asked) -> Iterator[Site]:
    found = Site(node, whale, pixel_key=PIXEL_KEY)
    yield found
    found.publisher.close()


def visitor_in(answer: Answer) -> str:
    found = COOKIE.fullmatch(answer.headers["Set-Cookie"])
    assert found, answer.headers
    return found[1]


@pytest.mark.parametrize("path", ["/count", "/count.gif", "/count.js"])
@pytest.mark.parametrize("said", [{"event": "signup"}, {"properties": '{"plan": "pro"}'}])
def test_a_visitor_who_is_not_named_gets_a_cookie_and_is_known_by_it(
    hail: Site, path: str, said: dict[str, str]
) -> None:
    given = {"pk": "web", **said}
    first = hail.ask(path, given)
    visitor = visitor_in(first)
    again = hail.ask(path, given, HTTP_COOKIE=f"a=b; v={visitor}")
    assert (again.status, again.headers.get("Set-Cookie")) == (200, None)
    other = visitor_in(hail.ask(path, given))
    assert hail.visitors() == [visitor, visitor, other]
    assert visitor != other
    assert first.body == again.body
    assert {**first.headers, "Set-Cookie": ""} == {**again.headers, "Set-Cookie": ""}


def test_the_hit_is_whole_with_the_time_within_its_ms_and_metrics_that_tell_visitors_apart(hail: Site) -> None:
    answer = hail.ask(given={**EVENT, "metrics": '{"people": {"distinct": "v1"}}', "dimensions": "a"})
    assert answer.headers["X-Hail"] == "accepted"
    (hit,) = [hit for part in hail.messages() for hit in part.hits]
    assert (hit.event, hit.sub, hit.visitor) == ("signup", 0, visitor_in(answer))


@pytest.mark.parametrize(
    "given",
    [
        {"pk": "web"},
        {"pk": "web", "event": "signup", "visitor": "v1"},
        {"pk": "web", "event": "signup", "basis": "daily"},
        {"pk": "nosite", "event": "signup"},
        {"pk": '["nosite", "web"]', "event": "signup"},
    ],
    ids=["no event", "a visitor", "known for a day", "no site", "a site below another pk"],
)
def test_other_hits_get_no_cookie_and_keep_their_visitor(hail: Site, given: dict[str, str]) -> None:
    answer = hail.ask(given=given, HTTP_COOKIE="v=somebody")
    assert (answer.headers["X-Hail"], answer.headers.get("Set-Cookie")) == ("accepted", None)
    assert hail.visitors() == [given.get("visitor")]


def test_a_level_below_a_site_is_of_the_site(hail: Site) -> None:
    visitor = visitor_in(hail.ask(given={"pk": '["web", "cart"]', "event": "signup"}))
    assert hail.visitors() == [visitor]


def test_a_site_is_one_of_the_account_of_the_key(hail: Site, whale: Asked) -> None:
    hail.key = whale.key(account="default")[1].decode()
    hail.learn()
    assert "Set-Cookie" not in hail.ask().headers
    assert hail.visitors() == [None]


def test_a_hit_that_is_refused_sets_no_cookie(hail: Site) -> None:
    for given in ({**EVENT, "at": "never"}, {**EVENT, "key": "nobody"}):
        answer = hail.ask(given=given)
        assert answer.headers["X-Hail"].startswith("dropped")
        assert "Set-Cookie" not in answer.headers
    assert "Set-Cookie" not in hail.ask("/count.js", {**EVENT, "callback": "alert(1)//"}).headers
    assert hail.visitors() == []


def test_a_page_of_another_site_gets_nobody_unless_the_site_wants_it_over_https(hail: Site) -> None:
    crossing = {"pk": "crossing", "event": "signup"}
    for given, page in ((EVENT, OTHER_PAGE), (EVENT, {**OTHER_PAGE, **HTTPS}), (crossing, OTHER_PAGE)):
        assert "Set-Cookie" not in hail.ask(given=given, **page).headers
    cookie = hail.ask(given=crossing, **OTHER_PAGE, **HTTPS).headers["Set-Cookie"]
    visitor = cookie[2:34]
    assert cookie == f"v={visitor}; Max-Age=31536000; Path=/; HttpOnly; SameSite=None; Secure; Partitioned"
    again = hail.ask(given=crossing, HTTP_COOKIE=cookie.partition(";")[0], **OTHER_PAGE, **HTTPS)
    assert "Set-Cookie" not in again.headers
    assert hail.visitors() == [None, None, None, visitor, visitor]


def test_over_https_the_cookie_is_secure_also_where_a_trusted_proxy_says_so(node: Node, whale: Asked) -> None:
    hail = Site(node, whale, trusted_proxies=(ip_network("10.0.0.0/8"),))
    secure = "; HttpOnly; SameSite=Lax; Secure"
    assert hail.ask(**HTTPS).headers["Set-Cookie"].endswith(secure)
    said = {"HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "10.0.0.1"}
    assert hail.ask(**said).headers["Set-Cookie"].endswith(secure)
    said["REMOTE_ADDR"] = "192.0.2.1"
    assert hail.ask(**said).headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Lax")


@pytest.mark.parametrize("cookie", ["v=", "v=%ff", "v=%00", "v=" + "x" * 10_000, "w=1", ";;="])
def test_a_cookie_that_names_nobody_is_none(hail: Site, cookie: str) -> None:
    assert visitor_in(hail.ask(HTTP_COOKIE=cookie))


def test_a_sealed_pixel_may_carry_an_event_of_a_visitor(hail: Site) -> None:
    token = token_of({"pk": "web"}, hail.settings, "default")
    assert "Set-Cookie" not in call(hail.app, "GET", "/count.gif", {"pixel": token, "event": "open"}).headers
    token = token_of({"pk": "web"}, hail.settings, ANN.id)
    assert COOKIE.fullmatch(hail.ask(given={"pixel": token, "event": "open"}).headers["Set-Cookie"])


def test_where_nobody_is_logged_or_no_directory_is_there_no_cookie_is_set(node: Node, whale: Asked) -> None:
    assert "Set-Cookie" not in Site(node, whale, visitor_log=False).ask().headers
    settings = node.settings.replace(internal_key="")
    publisher = Publisher(settings)
    assert "Set-Cookie" not in call(make_app(settings, publisher), "GET", "/count.gif", EVENT).headers
    publisher.close()


def test_the_short_way_gives_each_caller_a_cookie_of_their_own(hail: Site) -> None:
    worker: Any = SimpleNamespace(cfg=Config(), alive=True, nr=0, max_requests=1000)
    way = ShortWay(hail.app.short_routes, hail.app.short, worker)
    sent = b"GET /count.gif?pk=web&event=signup&key=%b HTTP/1.1\r\nHost: 127.0.0.1:8085\r\n" % hail.key.encode()
    found = []
    for cookie in [b""] * 20 + [b"Cookie: v=me\r\n"] * 20:
        environ = way.read(sent + cookie + b"\r\n", "127.0.0.1")
        assert environ
        found.append(way.answer(environ, lambda: 1_800_000_000.0).decode("latin-1"))
    set_ = [re.findall(r"(?m)^Set-Cookie: v=([0-9a-f]{32});", each) for each in found]
    assert [len(each) for each in set_] == [1] * 20 + [0] * 20
    new = [visitor for each in set_ for visitor in each]
    assert len(set(new)) == 20
    assert hail.visitors() == [*new, *["me"] * 20]
