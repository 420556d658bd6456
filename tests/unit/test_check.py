"""`hailwhale check`: what it says of a page, with a real Hail beside it; and that it counts nothing."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.nodes import Asked, Node
from tests.servers import free_port
from tests.unit.test_hail_keys import EVIL, Keyed
from tests.wsgi import serving
from whale.cli import main
from whale.commands import check as check_command

POLICY = "Content-Security-Policy"
SCRIPT = b"window.Trackr = 1"
TAG = '<script defer data-account="ann" data-site="web" src="{hail}/js/trackr.js"></script>'
LOADER = '<script>var o = {{ account: "ann", site: \'web\', serverUrl: "{hail}" }}; window.trackr = new window.Trackr(o)</script>'


class Shop:
    """Pages by their path, and Hail at another address. The script is there as a file."""

    def __init__(self, hail: Keyed, whale: Asked):
        self.hail, self.whale, self.url, self.server = hail, whale, "", ""
        self.pages: dict[str, tuple[str, list[tuple[str, str]]]] = {}

    def page(self, body: str, *policies: str) -> str:
        path = f"/{len(self.pages)}"
        headers = [("Content-Type", "text/html; charset=utf-8")]
        self.pages[path] = (body.format(hail=self.server), [*headers, *((POLICY, each) for each in policies)])
        return self.url + path

    def answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        body, headers = self.pages.get(environ["PATH_INFO"], ("none", []))
        start_response("200 OK" if environ["PATH_INFO"] in self.pages else "404 Not Found", headers)
        return [body.encode()]

    def count(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/js/trackr.js":
            start_response("200 OK", [("Content-Type", "text/javascript")])
            return [SCRIPT]
        self.hail.node.now += 1.0
        self.hail.informed.refresh(0)
        return self.hail.app(environ, start_response)


@pytest.fixture
def whale() -> Asked:
    return Asked()


@pytest.fixture
def shop(tmp_path: Path, whale: Asked, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(check_command, "PAUSES_S", (0, 0, 0, 0))
    with serving(whale) as address:
        hail = Keyed(Node(tmp_path, address), whale)
        found = Shop(hail, whale)
        with serving(found.answer) as found.url, serving(found.count) as found.server:
            whale.site("web", found.url)
            whale.site("closed")
            whale.site("other", EVIL)
            hail.learn()
            yield found
            hail.publisher.close()


def check(url: str) -> Result:
    return CliRunner().invoke(main, ["check", url], env={"COLUMNS": "300"})


@pytest.mark.parametrize("tag", [TAG, LOADER])
def test_a_page_that_is_counted(shop: Shop, tag: str) -> None:
    found = check(shop.page(f"<html><head>{tag}</head>"))
    assert (found.exit_code, found.output.splitlines()[-1]) == (0, "the page is counted"), found.output
    assert f"account 'ann', site 'web': takes hits of {shop.url}" in found.output
    assert shop.hail.kept() == []


def test_policies_of_headers_and_of_the_page(shop: Shop) -> None:
    fine = f"script-src {shop.server}; connect-src {shop.server}"
    assert check(shop.page(TAG, fine)).exit_code == 0
    found = check(shop.page(TAG, fine, "default-src 'self'"))
    assert f"add {shop.server} to script-src" in found.output
    assert f"add {shop.server} to connect-src" in found.output
    assert found.output.endswith("2 wrong\n")
    meta = f'<meta http-equiv="Content-Security-Policy" content="connect-src \'self\'">{TAG}'
    assert "forbids to send" in check(shop.page(meta)).output
    assert "forbids the script in the page" in check(shop.page(LOADER, f"script-src {shop.server}")).output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"ann"', '"nobody"', "Hail knows no such account"),
        ('"web"', '"none"', "the account has no such site: add it with `hailwhale site add`"),
        ('"web"', '"closed"', "the site is closed, or does not list"),
        ('"web"', '"other"', "hailwhale site change SITE --open --origin http://127.0.0.1:"),
        ("/js/", "/nothing/", "answers 404 and is not the tracker"),
        ("defer", "defer integrity='sha256-AAAA'", "has other bytes than its `integrity` says"),
        ("{hail}", "http://127.0.0.1:1", "cannot be reached from here"),
        (TAG, "<p>nothing</p><!-- " + TAG + " -->", "has no tracker: put this into the head"),
        (TAG, TAG + TAG, "twice for one account"),
    ],
)
def test_what_is_missing_is_said(shop: Shop, old: str, new: str, said: str) -> None:
    found = check(shop.page(TAG.replace(old, new)))
    assert said in found.output
    assert found.exit_code == (0 if "twice" in said else 1)
    assert shop.hail.kept() == []


def test_a_script_with_the_bytes_that_its_tag_names(shop: Shop) -> None:
    whole = b64encode(hashlib.sha384(SCRIPT).digest()).decode()
    assert check(shop.page(TAG.replace("defer", f"integrity='sha256-AAAA sha384-{whole}'"))).exit_code == 0


def test_without_data_site_the_host_is_the_site(shop: Shop) -> None:
    assert "no such site" in check(shop.page(TAG.replace(' data-site="web"', ""))).output
    shop.whale.site("127.0.0.1", shop.url)
    shop.hail.learn()
    assert check(shop.page(TAG.replace(' data-site="web"', ""))).exit_code == 0


def test_pages_that_are_none(shop: Shop) -> None:
    assert "answers 404, and no page" in check(f"{shop.url}/none").output
    assert "cannot be reached" in check(f"http://127.0.0.1:{free_port()}").output


@pytest.mark.parametrize("url", ["", "ftp://a", "https://", "http://[", "https://user:pass@host/", "http://h:99999"])
def test_what_is_no_address_is_refused(url: str) -> None:
    found = check(url)
    assert found.exit_code == 2
    assert "expected the address of a page" in found.output
