"""The right to hear one visitor: who gets a token at Hail, what it opens, and bad input."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hail.live import TOKEN_S, Heard, heard_by, is_drawn, push_token
from hail.publish import Publisher
from hail.settings import load
from hail.signed import MAX_TOKEN
from hail.web import make_app
from tests.nodes import ANN, INTERNAL, Asked, Node
from tests.unit.test_hail_keys import EVIL, SHOP, Hail, Keyed
from tests.wsgi import Answer, call

BROWSER = "3f2c0f52-6a3e-4d57-9d3f-0d6f6a1f2b3c"
SETTINGS = load({"HAILWHALE_INTERNAL_KEY": INTERNAL})
HEARD = Heard("annannanna", "web", BROWSER)
NOW = 1_800_000_000.0
PAGE = {"HTTP_ORIGIN": SHOP, "HTTP_SEC_FETCH_SITE": "cross-site", "CONTENT_TYPE": "text/plain;charset=UTF-8"}


@pytest.fixture
def whale() -> Asked:
    return Asked()


@pytest.fixture
def hail(node: Node, whale: Asked) -> Iterator[Keyed]:
    whale.site("web", SHOP)
    whale.site("shop.example", SHOP)
    whale.site("closed")
    whale.site("other", "https://other.example")
    found = Keyed(node, whale)
    yield found
    found.publisher.close()


def ask(hail: Hail, given: Any = None, **environ: str) -> Answer:
    asked = {"account": "ann", "site": "web", "v_visitor": BROWSER, **(given or {})}
    body = json.dumps(asked).encode()
    return call(hail.app, "POST", "/push_token", body=body, **{"HTTP_HOST": "127.0.0.1:8085", **PAGE, **environ})


def opened(hail: Hail, answer: Answer) -> Heard:
    return heard_by(answer.json["token"], hail.settings, hail.node.now)


def test_a_page_that_the_site_lists_hears_its_own_visitor(hail: Keyed) -> None:
    found = ask(hail)
    assert found.status == 200
    assert opened(hail, found) == Heard(ANN.id, "web", BROWSER)
    assert found.json["url"] == "http://127.0.0.1:8087/push"
    assert found.json["expires"] == int(hail.node.now) + TOKEN_S
    assert found.json["why"] is None
    assert found.headers["Access-Control-Allow-Origin"] == "*"
    assert found.headers["Cache-Control"] == "no-store"


def test_without_a_site_it_is_that_of_the_page(hail: Keyed) -> None:
    assert opened(hail, ask(hail, {"site": None})).site == "shop.example"
    assert ask(hail, {"site": "www.shop.example"}).status == 200


@pytest.mark.parametrize(
    ("given", "environ", "status", "code"),
    [
        ({}, {"HTTP_ORIGIN": EVIL}, 403, "foreign_origin"),
        ({}, {"HTTP_ORIGIN": "null"}, 403, "foreign_origin"),
        ({"site": "closed"}, {}, 403, "foreign_origin"),
        ({"site": "other"}, {}, 403, "foreign_origin"),
        ({"site": "nothing"}, {}, 400, "unknown_site"),
        ({"account": "nobody"}, {}, 400, "unknown_account"),
        ({"account": None}, {}, 400, "unknown_site"),  # of the account default
        ({"v_visitor": "42"}, {}, 400, "bad_id"),
        ({"v_visitor": "ann@shop.example"}, {}, 400, "bad_id"),
        ({"v_visitor": BROWSER.replace("-4d57", "-1d57")}, {}, 400, "bad_id"),  # made of a time and a machine
        ({"v_visitor": "1-2-3-4"}, {}, 400, "bad_id"),
        ({"v_visitor": f"{BROWSER}\n"}, {}, 400, "bad_id"),
        ({"v_visitor": None}, {}, 400, "bad_json"),
        ({"v_visitor": "x" * 5000}, {}, 413, "body_too_large"),
        ({"visitor": "42"}, {}, 400, "bad_json"),
        ({"site": ["web"]}, {}, 400, "bad_json"),
    ],
)
def test_nobody_else_gets_one(hail: Keyed, given: Any, environ: dict[str, str], status: int, code: str) -> None:
    found = hail.settled(lambda: ask(hail, given, **environ))
    assert (found.status, found.json["code"]) == (status, code)
    assert "token" not in found.json


def test_a_key_of_the_account_opens_no_page_that_the_site_does_not_list(hail: Keyed, whale: Asked) -> None:
    _, secret = whale.key("admin")
    hail.learn()
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {secret.decode()}"}
    assert hail.settled(lambda: ask(hail, HTTP_ORIGIN=EVIL, **bearer)).json["code"] == "foreign_origin"
    assert ask(hail, **bearer).status == 200


@pytest.mark.parametrize("wish", ["HTTP_SEC_GPC", "HTTP_DNT"])
def test_who_does_not_want_to_be_followed_gets_none(hail: Keyed, wish: str) -> None:
    found = ask(hail, **{wish: "1"})
    assert (found.status, found.json) == (200, {"url": None, "token": None, "expires": None, "why": "anonymous"})


def test_where_live_cannot_be_found_there_is_none(node: Node, whale: Asked) -> None:
    whale.site("web", SHOP)
    hail = Hail(node, live_bind="")
    hail.learn()
    assert ask(hail).json == {"url": None, "token": None, "expires": None, "why": "no_live"}
    hail = Hail(node, live_url="https://count.example.org")
    hail.learn()
    assert ask(hail).json["url"] == "https://count.example.org/push"


def test_a_page_of_a_site_that_was_just_made_is_asked_to_come_again(hail: Keyed, whale: Asked) -> None:
    whale.site("new", SHOP)
    found = ask(hail, {"site": "new"})
    assert (found.status, found.json["code"], "Retry-After" in found.headers) == (503, "no_directory", True)
    hail.learn()
    assert opened(hail, ask(hail, {"site": "new"})).site == "new"


def test_a_hail_that_knows_no_sites_says_so(tmp_path: Path) -> None:
    for keys in ({}, {"write_key": "w" * 16, "read_key": "r" * 16, "admin_key": "a" * 16}):
        settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)}).replace(**keys)
        body = json.dumps({"v_visitor": BROWSER}).encode()
        publisher = Publisher(settings)
        found = call(make_app(settings, publisher), "POST", "/push_token", body=body, **PAGE, HTTP_HOST="localhost")
        assert (found.status, found.json["why"]) == (200, "no_sites")
        publisher.close()


def test_a_hail_that_has_no_directory_gives_none(node: Node, whale: Asked) -> None:
    whale.site("web", SHOP)
    assert ask(Hail(node)).json["code"] == "no_directory"


def test_a_token_opens_one_talk_for_a_minute() -> None:
    token = push_token(SETTINGS, HEARD, NOW)
    assert heard_by(token, SETTINGS, NOW + TOKEN_S - 1) == HEARD
    with pytest.raises(ValueError, match="expired"):
        heard_by(token, SETTINGS, NOW + TOKEN_S)


@pytest.mark.parametrize("bad", ["x", "a.b", "é.é", "x" * (MAX_TOKEN + 1)])
def test_what_is_no_token_opens_nothing(bad: str) -> None:
    with pytest.raises(ValueError, match="it is"):
        heard_by(bad, SETTINGS, NOW)


def test_a_token_that_was_changed_or_made_elsewhere_opens_nothing() -> None:
    token = push_token(SETTINGS, HEARD, NOW)
    said, _, mac = token.partition(".")
    other = push_token(SETTINGS, HEARD._replace(visitor=str(uuid.uuid4())), NOW)
    for forged in ("", ".", "=.=", f"{other.partition('.')[0]}.{mac}", f"{said}.", f"{said}.{mac[:-2]}", mac):
        with pytest.raises(ValueError, match="it "):
            heard_by(forged, SETTINGS, NOW)
    elsewhere = load({"HAILWHALE_INTERNAL_KEY": "j" * 32})
    with pytest.raises(ValueError, match="not made with the key"):
        heard_by(token, elsewhere, NOW)
    with pytest.raises(ValueError, match="no key is set"):
        heard_by(token, load({}), NOW)
    with pytest.raises(ValueError, match="no key is set"):
        push_token(load({}), HEARD, NOW)


def test_ids_that_the_tracker_draws_are_known_by_their_form() -> None:
    assert all(is_drawn(str(uuid.uuid4())) for _ in range(100))
    assert is_drawn("4294967295-1234567890-123456789-2345678901")
