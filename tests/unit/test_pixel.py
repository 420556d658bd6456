"""Sealed pixels: they count what is in them, show nothing, and cannot be made, changed or widened by others."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import hail.web
from hail.formats.address import GIF
from hail.hit import HitError, Reason
from hail.pixel import fields_of_pixel, token_of
from hail.publish import Publisher
from hail.settings import Settings, SettingsError, load
from hail.spool import SpoolFolder, read_records
from tests.wsgi import Answer, call
from whale.cli import main
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.web import make_app

NOW = 1_795_300_800.25
KEY = "k" * 32
HIT = {"pk": ["Product", "secret-123"], "dimensions": {"country": "US"}, "metrics": {"revenue": 0.5}}


def settings(**more: str) -> Settings:
    return load({"HAILWHALE_PIXEL_KEY": KEY, **{f"HAILWHALE_{name.upper()}": value for name, value in more.items()}})


def refused(token: str, in_force: Settings | None = None, account: str = "default", **beside: str) -> tuple[str, str]:
    with pytest.raises(HitError) as caught:
        fields_of_pixel({"pixel": token, **beside}, in_force or settings(), account)
    assert "secret-123" not in str(caught.value)
    assert caught.value.reason is Reason.BAD_PIXEL
    return caught.value.field, str(caught.value).partition(": ")[2]


def test_a_token_holds_a_hit_and_shows_nothing_of_it() -> None:
    token = token_of(HIT, settings(), "default")
    assert fields_of_pixel({"pixel": token, "visitor": "v"}, settings(), "default") == {**HIT, "visitor": "v"}
    raw = base64.urlsafe_b64decode(token + "==")
    assert b"secret" not in raw
    assert (raw[0], (len(raw) - 1 - 12 - 16) % 64) == (1, 0)
    assert token_of(HIT, settings(), "default") != token
    short, longer = (len(token_of({"pk": pk}, settings(), "default")) for pk in ("a", "a" * 40))
    assert short == longer


def test_the_form_of_a_token_stays() -> None:
    token = "AQcHBwcHBwcHBwcHB04bD_kf8BOwZ9l_56eRxZk6Xvx6_yYc6f8UqaqK1gSO_kIC5vudwibQYKGOv9jxzV2lVJUHxC6Tv5cxTUiajci0wbPC12_1d-WdXQU0WgWe"
    assert token_of({"pk": "shop"}, settings(), "default", lambda count: b"\7" * count) == token
    assert fields_of_pixel({"pixel": token}, settings(), "default") == {"pk": "shop"}


def test_what_is_cut_off_changed_or_of_others_is_refused_alike() -> None:
    token = token_of(HIT, settings(), "default")
    wrong = ("pixel", "expected a complete pixel made with the present key")
    for place in range(len(token)):
        assert refused(token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]) == wrong
        assert refused(token[:place]) == wrong
    for text in (
        "",
        "x",
        "=",
        token + "A",
        token + "=",
        token + "==",
        token * 2,
        "\0",
        "\udc80",
        "é",
        "A" * 100_000,
        " " + token,
    ):
        assert refused(text) == wrong
    assert refused(token, settings(pixel_key="l" * 32)) == wrong
    assert refused(token, account="other") == wrong
    assert refused(token, load({})) == ("pixel", "pixels are disabled, because HAILWHALE_PIXEL_KEY is empty")


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_refused(raw: bytes) -> None:
    assert refused(base64.urlsafe_b64encode(raw).decode().rstrip("="))[0] == "pixel"
    assert refused(base64.urlsafe_b64encode(b"\1" + raw).decode().rstrip("="))[0] == "pixel"


def test_nothing_that_is_counted_comes_beside_a_pixel() -> None:
    token = token_of({"pk": "a"}, settings(), "default")
    for name in ("pk", "dimensions", "dimension", "metrics", "metric", "at"):
        assert refused(token, **{name: "5"}) == (name, "came together with a pixel, which already contains it")


def test_what_is_beyond_a_limit_by_now_is_not_repeated() -> None:
    token = token_of(HIT, settings(), "default")
    assert refused(token, settings(max_name_bytes="5")) == (
        "pixel",
        "exceeds a limit of a hit: make a new pixel, or raise the limit",
    )


def test_a_token_is_made_of_a_hit_and_with_a_key() -> None:
    with pytest.raises(SettingsError, match="set HAILWHALE_PIXEL_KEY"):
        token_of(HIT, load({}), "default")
    with pytest.raises(SettingsError, match="at least 32 random characters"):
        load({"HAILWHALE_PIXEL_KEY": "short"})
    for hit, field in (
        ({"pk": ""}, "pk"),
        ({"pk": "a", "metrics": {"x": "y"}}, "metrics.x"),
        ({"pk": "a", "by": 1}, "by"),
    ):
        with pytest.raises(HitError) as caught:
            token_of(hit, settings(), "default")
        assert caught.value.field == field
    with pytest.raises(HitError, match="at most 6000 bytes"):
        token_of({"pk": "a", "dimensions": [[str(i) * 90] for i in range(10, 60)]}, settings(), "default")


class Doors:
    """Hail and Whale with keys, in process."""

    def __init__(self, folder: Path):
        self.settings = settings(data_dir=str(folder), write_key="w", read_key="r", admin_key="a")
        self.whale = Whale(MemoryStore(self.settings), self.settings, clock=lambda: NOW)
        self.app = make_app(self.settings, self.whale)
        self.publisher = Publisher(self.settings, lambda: NOW)
        self.hail = hail.web.make_app(self.settings, self.publisher, lambda: NOW)
        self.token = self.whale.pixel(**HIT)

    def count(self, path: str, **parameters: str) -> Answer:
        return call(self.hail, "GET", path, parameters)

    def track(self, query: str) -> Answer:
        return call(self.app, "GET", "/tracker", query=query)

    def kept(self) -> list[Any]:
        folder = SpoolFolder(self.settings.data_dir)
        bodies = [body for name in folder.names() for body in read_records((folder.path / name).read_bytes()).messages]
        return [hit for body in bodies for hit in json.loads(body)["hits"]]


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    doors = Doors(tmp_path)
    yield doors
    doors.publisher.close()


def test_hail_counts_a_pixel_without_the_write_key_and_refuses_others(doors: Doors) -> None:
    assert doors.count("/count.gif", pixel=doors.token, visitor="v").headers["X-Hail"] == "accepted"
    assert doors.count("/count", pixel=doors.token).text == "OK"
    assert doors.count("/count.js", pixel=doors.token).text == "/* accepted */"
    hidden = [HIT["pk"], {"country": {"US": {}}}, {"hits": 1, "revenue": 500_000}, int(NOW * 1000)]
    assert doors.kept() == [[*hidden, None, "v"], hidden, hidden]
    refusal = doors.count("/count.gif", pixel=doors.token[:-1])
    assert (refusal.status, refusal.headers["X-Hail"]) == (200, "dropped; reason=bad_pixel")
    assert refusal.body == GIF
    assert doors.count("/count.gif", pixel=doors.token, metrics="x").headers["X-Hail"] == "dropped; reason=bad_pixel"
    problem = doors.count("/count", pixel="AAAA")
    assert (problem.status, problem.json["code"], problem.json["field"]) == (400, "bad_pixel", "pixel")
    twice = call(doors.hail, "GET", "/count", query=f"pixel={doors.token}&pixel={doors.token}")
    assert (twice.status, twice.json["code"]) == (400, "bad_pixel")
    assert doors.count("/count", pk="a").status == 401
    assert 'hailwhale_hits_refused_total{reason="bad_pixel"}' in call(doors.hail, "GET", "/metrics").text


def test_the_tracker_counts_a_pixel_and_asks_for_the_key_without_one(doors: Doors) -> None:
    assert doors.track(urlencode({"pixel": doors.token, "uid": "me"})).text == "me"
    assert doors.whale.total(HIT["pk"], "revenue", ["country", "US"], "today") == 0.5
    for query, status, code in (
        ("pk=a", 401, "unauthorized"),
        ("pixel=", 401, "unauthorized"),
        ("pk=a&key=w", 200, None),
        ("pixel=AAAA", 400, "bad_pixel"),
        (f"pixel={doors.token}&metric=x", 400, "bad_pixel"),
        (f"pixel={doors.token}&pixel={doors.token}", 400, "bad_request"),
        (f"pixel={doors.token}&nonsense=1", 400, "bad_request"),
        (f"pixel={doors.token}&id=%ff", 400, "bad_request"),
    ):
        answer = doors.track(query)
        assert answer.status == status
        assert code is None or answer.json["code"] == code
        assert "secret-123" not in answer.text
    assert doors.whale.total(HIT["pk"], "hits", period="today") == 1


def test_the_command_prints_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAILWHALE_PIXEL_KEY", KEY)
    run = CliRunner().invoke(main, ["pixel", '["a", "b"]', "--metrics", '{"m": 2}', "--dimensions", "x"])
    assert run.exit_code == 0, run.output
    found = fields_of_pixel({"pixel": run.stdout.strip()}, settings(), "default")
    assert found == {"pk": ["a", "b"], "metrics": {"m": 2}, "dimensions": "x"}
    assert CliRunner().invoke(main, ["pixel", "[]"]).exit_code == 2
    monkeypatch.delenv("HAILWHALE_PIXEL_KEY")
    run = CliRunner().invoke(main, ["pixel", "a"])
    assert (run.exit_code, "set HAILWHALE_PIXEL_KEY" in run.stderr) == (2, True)
