"""The pages of the demo's shop: strict, made of a table, and beside Hail as it is."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hail.access import Environ
from hail.demo import FILES, POLICY, SITE, THINGS, Demo, made
from hail.publish import Publisher
from hail.settings import load
from hail.web import make_app
from tests.wsgi import Answer, call
from whale.commands import crowd, shop
from whale.commands.supervisor import hail_command

WHALE = "http://127.0.0.1:8086"


class Read(HTMLParser):
    """scripts: the attributes of each.  links: where to.  said: text within scripts and styles.  handlers: attributes that are script."""

    def __init__(self, text: str):
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.said = ""
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        given = dict(attrs)
        self.handlers += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "script":
            self.scripts.append(given)
        if tag == "a":
            self.links.append(given["href"] or "")

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style"):
            self.said += data.strip()

    def handle_endtag(self, tag: str) -> None:
        self._within = ""


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings)
    yield Demo(make_app(settings, publisher), made(WHALE))
    publisher.close()


def get(demo: Demo, path: str, method: str = "GET") -> Answer:
    return call(demo, method, path)


@pytest.mark.parametrize("path", [thing.path for thing in THINGS])
def test_each_page_has_the_tracker_and_nothing_within_it_that_runs(demo: Demo, path: str) -> None:
    answer = get(demo, path)
    assert (answer.status, answer.headers["Content-Security-Policy"]) == (200, POLICY)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    read = Read(answer.body.decode())
    assert read.scripts == [
        {"defer": None, "src": "/shop.js"},
        {"defer": None, "data-account": "default", "data-site": "shop", "src": "/js/trackr.js"},
    ]
    assert (read.said, read.handlers) == ("", [])
    for link in read.links:
        assert link.startswith(f"{WHALE}/") or get(demo, link).status == 200, link


def test_no_policy_lets_a_page_run_or_ask_what_is_elsewhere() -> None:
    assert set(re.findall(r"'(\w[\w-]*)'|(data:)", POLICY)) == {
        ("none", ""),
        ("self", ""),
        ("script", ""),
        ("", "data:"),
    }
    assert "default-src 'none'" in POLICY


@pytest.mark.parametrize("path", FILES)
def test_its_files_are_as_they_lie_there(demo: Demo, path: str) -> None:
    answer = get(demo, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, FILES[path])
    assert b"innerHTML" not in answer.body


def test_the_pages_of_the_story_are_there(demo: Demo) -> None:
    assert {page.name for page in shop.PAGES} | {crowd.BASKET_PAGE, crowd.THANKS} == {thing.path for thing in THINGS}
    assert {page.name for page in crowd.PRODUCTS} <= {thing.path for thing in THINGS if thing.price}
    assert shop.PK == SITE


def test_names_are_data(demo: Demo) -> None:
    assert b"Out &amp; about" in get(demo, "/").body
    assert b"<b>" not in made('"><b>')["/"].body


def test_all_else_is_hails_and_pages_are_asked_for_by_get_alone(demo: Demo) -> None:
    assert get(demo, "/count?").status == 404
    assert call(demo, "GET", "/count", {"pk": "a"}).body == b"OK"
    assert get(demo, "/healthz").status == 200
    assert get(demo, "/js/trackr.js").status == 200
    head = get(demo, "/", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert get(demo, "/", "POST").status in (404, 405)
    assert get(demo, "/shoes/../demo").status == 404
    assert get(demo, "/page.html").status == 404


def test_hail_alone_has_none_of_them(tmp_path: Path) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    publisher = Publisher(settings)
    app = make_app(settings, publisher)
    assert {call(app, "GET", path).status for path in (*FILES, *(thing.path for thing in THINGS))} == {404}
    publisher.close()
    assert hail_command(settings)[-1] == "hail.web:application"
    assert hail_command(settings, is_demo=True)[-1] == "hail.demo:application"


def test_hails_server_finds_its_short_way(demo: Demo) -> None:
    assert ("POST", "/track") in demo.short_routes
    environ: Environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/count",
        "QUERY_STRING": "pk=a",
        "REMOTE_ADDR": "127.0.0.1",
    }
    assert demo.short({**environ, "HTTP_HOST": "127.0.0.1:8085"}).body == b"OK"
