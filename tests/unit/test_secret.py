"""No key is kept, shown or logged of what was refused, however it was written."""

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from hail.publish import Publisher
from hail.secret import masked, without_keys
from hail.settings import load
from hail.web import make_app
from tests.contract.hits import NOW
from tests.unit.test_spy import refusals
from tests.wsgi import call
from whale.client import Whale
from whale.spy import refused
from whale.store.memory import MemoryStore

SECRET = "s3cretOfTheShop"
BASIC = base64.b64encode(f"me:{SECRET}".encode()).decode()
BODIES = [
    f'{{"pk": "t", "key": "{SECRET}", }}',
    f"{{'pk': 't', 'key': '{SECRET}'}}",
    f'{{"pk": "t", "KEY" : "{SECRET}"',
    f'{{"pk": "t", "writeKey": "{SECRET}"',
    f'{{"pk": "t", "write_key": "{SECRET}"',
    f'{{"pk": "t", "X-API-Key": "{SECRET}"',
    f'{{"pk": "t", "Authorization": "Bearer {SECRET}"',
    f'{{"pk": "t", "headers": ["Basic {BASIC}"',
    f'[{{"pk": "t", "key": "{SECRET}"}}]',
    f'[["pk", "t"], ["key", "{SECRET}"]]',
    f'{{"hits": [{{"pk": "t", "key": "{SECRET}"}}]}}',
    f'{{"pk": "t", "more": {{"key": "{SECRET}"}}}}',
    f'{{"pk": "t", "more": "key={SECRET}"}}',
    f'{{"pk": "t", "at": "x", "key": "{SECRET}"}}',
    f'{{"key={SECRET}": 1, "pk": "t"}}',
    f"pk=t&at=x&key={SECRET}",
    f"pk=t&at=x&k%65y={SECRET}",
    f"pk%3Dt%26key%3D{SECRET}",
    f"pk=t&key%253D{SECRET}",
    f'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\n{SECRET}\r\n--x--',
    f"<hit><pk>t</pk><key>{SECRET}</key></hit>",
    f"pk: t\nkey: {SECRET}",
    f"POST /count HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\n\r\n",
    SECRET,
    f"curl /count -u me:{SECRET}",
]


@pytest.mark.parametrize("path", ["/count", "/batch", "/count_decision"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-8-sig"])
def test_no_key_in_a_body_is_ever_kept(tmp_path: Path, path: str, encoding: str) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path), "HAILWHALE_WRITE_KEY": SECRET})
    publisher = Publisher(settings, lambda: NOW)
    app = make_app(settings, publisher, lambda: NOW)
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {SECRET}"}
    for body in BODIES:
        for more in (
            {},
            {"CONTENT_TYPE": "application/x-www-form-urlencoded"},
            {"CONTENT_TYPE": "application/x-ndjson"},
        ):
            call(app, "POST", path, body=body.encode(encoding), **bearer, **more)
    publisher.close()
    found = refusals(tmp_path)
    assert found
    for each in found:
        assert SECRET not in str(each).replace("\\x00", "")
        assert BASIC not in str(each).replace("\\x00", "")


@pytest.mark.parametrize(
    "query",
    [
        f"pk=t&at=x&key={SECRET}",
        f"pk=t%26key%3D{SECRET}&at=x",
        f"pk=t&at={SECRET}",
        f"pk={quote(quote(f'a?key={SECRET}'))}&at=x",
        f"pk=t&at=x&visitor={SECRET}",
        f'pk=t&metrics={{"key": "{SECRET}"',
    ],
)
def test_no_key_in_an_address_is_ever_kept(tmp_path: Path, query: str) -> None:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path), "HAILWHALE_WRITE_KEY": SECRET})
    publisher = Publisher(settings, lambda: NOW)
    app = make_app(settings, publisher, lambda: NOW)
    for path in ("/count", "/count.gif", "/count.js", "/count_decision"):
        call(app, "GET", path, query=query, HTTP_AUTHORIZATION=f"Bearer {SECRET}")
    publisher.close()
    assert len(refusals(tmp_path)) == 4
    assert SECRET not in str(refusals(tmp_path))


def test_another_key_than_ours_is_not_kept_either() -> None:
    for body in BODIES[:-2]:
        assert SECRET not in masked(body)
        assert BASIC not in masked(body)


def test_what_speaks_of_no_key_is_kept_as_it_came() -> None:
    for text in ('{"pk": "monkey", "at": "x"', "pk=keyboard&dimensions=turkey%20soup", "a basis", "", "%", "\0"):
        assert masked(text) == text
    hit = {"pk": ["t", "keyboard"], "metrics": {"m": 1.5, "n": None}, "at": True}
    assert without_keys(hit) == hit
    assert masked('{"pk":"t","key":"x"') == '{"pk":"t","key***'


def test_whale_keeps_no_key_of_what_it_refuses() -> None:
    settings = load({"HAILWHALE_WRITE_KEY": SECRET})
    given = {"pk": "t", "key": SECRET, "visitor": "v", "metrics": {"a": f"key={SECRET}"}, "id": SECRET, "Key": "x"}
    text = str(refused("n", NOW, "bad_pk", f"metrics.{SECRET}", given, (SECRET,)))
    assert SECRET not in text
    whale = Whale(MemoryStore(settings), settings, clock=lambda: NOW)
    assert json.dumps(whale.get_spy()) == "[]"
