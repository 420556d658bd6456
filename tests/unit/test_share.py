"""A share answers its own question to whoever has its link, and nothing else."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hail.settings import SettingsError, load
from tests.unit.test_whale_web import DAY, NOW, Door
from tests.wsgi import Answer, call
from whale.commands.embedded import kept_secret
from whale.errors import CallerError, NotFound
from whale.routes.shares import BELOW
from whale.share import MOST_TOKEN, Share, share_of, token_of
from whale.store.local import SECRET_FILE, secret_of

SECRET = "s" * 32
SHARE = Share(("shop",), (("country",),), ("orders/visits",), "seven", int(NOW) + DAY, ("https://site.example",), True)


@pytest.fixture
def door() -> Door:
    door = Door(secret=SECRET, write_key="w" * 16, read_key="r" * 16, admin_key="a" * 16)
    for country, revenue in (("US", 5), ("DE", 3)):
        door.count("shop", {"country": country, "plan": "pro"}, {"revenue": revenue, "costs": 1})
    door.count("other", {"country": "US"}, {"revenue": 7})
    return door


def make(door: Door, key: str = "r" * 16, **fields: Any) -> Answer:
    body = json.dumps({"pk": "shop", "dimensions": "country", "metrics": "revenue", "period": "today", **fields})
    more = {"HTTP_AUTHORIZATION": f"Bearer {key}"} if key else {}
    return call(door.app, "POST", "/shares", body=body.encode(), CONTENT_TYPE="application/json", **more)


def path_of(answer: Answer) -> str:
    assert answer.status == 201, answer.text
    url: str = answer.json["url"]
    return url.removeprefix("http://127.0.0.1:8086")


def code(answer: Answer) -> tuple[int, str, str]:
    return answer.status, answer.json["code"], answer.json.get("field", "")


@pytest.mark.parametrize(
    "more", ['="><h1>', "=", "==", '"', "<", " ", "\n", "=\x00", "=é", '="><meta http-equiv=refresh content="0;url=x">']
)
def test_a_token_with_anything_beside_is_no_share(door: Door, more: str) -> None:
    """A decoder of base64 passes over what is no letter of it, and over all that follows a `=`."""
    path = path_of(make(door))
    token = path.removeprefix("/s/")
    for changed in (token + more, token[:-1] + more + token[-1], more + token):
        for below in ("", "/plotpoints", "/plot.svg", "/metrics_of"):
            answer = door.get(f"/s/{changed.encode().decode('latin-1')}{below}")
            assert answer.status == 404, (changed, below)
            assert "<h1>T" in answer.text or answer.json["code"] == "not_found"
            assert more not in answer.text or len(more) == 1
    assert door.get(path).status == 200


def test_a_share_answers_its_question_without_a_key_to_pages_of_any_site(door: Door) -> None:
    made = make(door)
    assert made.json["expires"] == "2015-07-17T14:35:20Z"
    path = path_of(made)
    answer = door.get(f"{path}/plotpoints")
    assert answer.status == 200
    assert list(answer.json) == ["country"]
    assert sum(value for _, value in answer.json["country"]["revenue"]) == 8
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "X-Whale-Unknown" not in answer.headers
    picture = door.get(f"{path}/plot.svg", size="full")
    assert (picture.status, picture.headers["Content-Type"]) == (200, "image/svg+xml; charset=utf-8")
    assert picture.headers["Access-Control-Allow-Origin"] == "*"
    page = door.get(path)
    assert (page.status, page.headers["Referrer-Policy"]) == (200, "no-referrer")
    assert "17 Jul 2015 14:35 UTC" in page.text
    assert "changes the secret" in page.text


def test_pages_of_all_sites_may_read_a_share_whatever_origins_are_allowed(door: Door) -> None:
    door = Door(secret=SECRET, allowed_origins="https://one.example")
    door.count("shop", {"country": "US"}, {"revenue": 1})
    path = path_of(make(door, key=""))
    for sent in ({}, {"HTTP_ORIGIN": "https://two.example"}, {"HTTP_ORIGIN": "https://one.example"}):
        for below in ("", "/plotpoints", "/plot.svg", "/metrics_of"):
            assert call(door.app, "GET", path + below, **sent).headers["Access-Control-Allow-Origin"] == "*"
    asked = call(door.app, "OPTIONS", f"{path}/plotpoints", HTTP_ORIGIN="https://two.example")
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, "*")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"dimensions": "plan"}, "dimensions"),
        ({"dimension": "_"}, "dimensions"),
        ({"dimensions": '["country", "US"]'}, "dimensions"),
        ({"dimensions": '{"country": ["US", "XX"]}'}, "dimensions"),
        ({"metrics": "costs"}, "metrics"),
        ({"metric": "revenue/costs"}, "metrics"),
        ({"depth": "1"}, "depth"),
        ({"pk": "other"}, "pk"),
        ({"period": "year"}, "period"),
        ({"compare": "previous"}, "compare"),
        ({"start": "2015-01-01"}, "start"),
        ({"explain": "true"}, "explain"),
        ({"tz": "Asia/Tokyo"}, "tz"),
    ],
)
def test_a_share_answers_nothing_but_its_own_question(door: Door, asked: dict[str, str], field: str) -> None:
    path = path_of(make(door))
    for below in ("plotpoints", "plot.svg"):
        answer = door.get(f"{path}/{below}", **asked)
        assert code(answer) == (400, "bad_request", field)


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1e9", "ten"])
def test_an_answer_of_a_share_has_a_hundred_paths_at_most(door: Door, limit: str) -> None:
    path = path_of(make(door, drill=True))
    assert code(door.get(f"{path}/plotpoints", depth=1, limit=limit)) == (400, "bad_request", "limit")


def test_with_drill_the_paths_below_are_answered_too_and_no_others(door: Door) -> None:
    path = path_of(make(door, drill=True))
    assert list(door.get(f"{path}/plotpoints", depth=1).json) == ["country", '["country", "US"]', '["country", "DE"]']
    below = door.get(f"{path}/plotpoints", dimensions='["country", "DE"]').json
    assert sum(value for _, value in below['["country", "DE"]']["revenue"]) == 3
    assert code(door.get(f"{path}/plotpoints", dimensions="plan", depth=1)) == (400, "bad_request", "dimensions")


def test_a_share_tells_what_its_metrics_measure_and_of_no_other_and_of_no_day(door: Door) -> None:
    path = path_of(make(door, metrics="revenue/hits"))
    answer = door.get(f"{path}/metrics_of")
    assert answer.json == [
        {"name": "hits", "kind": "sum", "unit": "count", "currency": None, "better": "up"},
        {"name": "revenue", "kind": "sum", "unit": "money", "currency": None, "better": "up"},
    ]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert code(door.get(f"{path}/metrics_of", pk="other")) == (400, "bad_request", "pk")
    assert code(door.get("/s/x/metrics_of")) == (404, "not_found", "")


def test_no_answer_names_what_is_counted_beside_the_share(door: Door) -> None:
    path = path_of(make(door, metrics="revenu", dimensions="countr", drill=True))
    for below in ("", "/plotpoints", "/plot.svg", "/metrics_of"):
        answer = door.get(path + below)
        assert "X-Whale-Unknown" not in answer.headers
        assert "revenue" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("below", ["", "/plotpoints", "/plot.svg", "/metrics_of", "/pks", "/", "x", "/plotpoints/x"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
@pytest.mark.parametrize("host", ["127.0.0.1:8086", "stranger.example"])
def test_no_answer_below_a_link_hands_it_on_and_every_page_reads_it(method: str, below: str, host: str) -> None:
    door = Door(secret=SECRET, allowed_origins="https://one.example")
    path = path_of(make(door, key=""))
    for query in ("", "pk=other", "limit=1e9"):
        answer = call(door.app, method, path + below, query=query, HTTP_HOST=host, HTTP_ORIGIN="https://two.example")
        sent = {name: answer.headers.get(name) for name in BELOW["/s/"]}
        assert sent == BELOW["/s/"], (answer.status, answer.text)
    assert "Referrer-Policy" not in call(door.app, "GET", "/pks").headers


def test_a_share_opens_no_other_route(door: Door) -> None:
    token = path_of(make(door)).removeprefix("/s/")
    for route in ("/totals", "/plotpoints", "/rank", "/pks", "/plot.svg", "/spy", "/"):
        assert door.get(route, pk="shop", key=token).status in (401, 400)
    for below in ("totals", "rank", "pks", "shares", "..", "plotpoints/x"):
        assert door.get(f"/s/{token}/{below}").status == 404


def test_after_its_end_a_share_says_so_and_answers_no_more(door: Door) -> None:
    path = path_of(make(door, days=0.5, frame="https://site.example"))
    door.now += DAY / 2 - 1
    assert door.get(path).status == 200
    door.now += 1
    page = door.get(path)
    assert page.status == 410
    assert "This share has ended" in page.text
    assert "shop" not in page.text
    assert "frame-ancestors https://site.example;" in page.headers["Content-Security-Policy"]
    for below in ("plotpoints", "plot.svg", "metrics_of"):
        answer = door.get(f"{path}/{below}")
        assert code(answer) == (410, "gone", "")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def forged(token: str) -> list[str]:
    text, _, signature = token.rpartition(".")
    other = token_of(SHARE, load({"HAILWHALE_SECRET": "o" * 32}), "default")
    elsewhere = token_of(SHARE, load({"HAILWHALE_SECRET": SECRET}), "another account")
    return [
        "x",
        ".",
        text,
        f"{text}.",
        f".{signature}",
        f"{text}.{signature[:-1]}",
        f"{text[:-1]}.{signature}",
        f"{token}x",
        f"{text}\u00e9.{signature}".encode().decode("latin-1"),
        other,
        elsewhere,
        "a" * (MOST_TOKEN + 1),
        "a" * 7000,
    ]


def test_a_forged_share_is_told_nothing(door: Door) -> None:
    answers = set()
    for token in forged(path_of(make(door)).removeprefix("/s/")):
        page, points = door.get(f"/s/{token}"), door.get(f"/s/{token}/plotpoints")
        assert (page.status, code(points)) == (404, (404, "not_found", ""))
        answers.add((page.text, points.text))
    assert len(answers) == 1


def test_all_shares_end_when_the_secret_is_changed(door: Door) -> None:
    path = path_of(make(door))
    later = Door(secret="t" * 32)
    assert later.get(path).status == 404


def test_without_a_secret_no_share_is_made_and_none_is_answered() -> None:
    door = Door()
    door.count("shop", {"country": "US"}, {"revenue": 1})
    refused = make(door, key="")
    assert (refused.status, refused.json["code"]) == (503, "unavailable")
    assert "set HAILWHALE_SECRET" in refused.json["detail"]
    path = path_of(make(Door(secret=SECRET), key=""))
    assert door.get(path).status == 404
    with pytest.raises(SettingsError, match="set HAILWHALE_SECRET"):
        door.whale.share("shop")


def test_a_share_needs_the_read_key_and_a_page_that_may_ask(door: Door) -> None:
    assert make(door, key="").status == 401
    assert make(door, key="w" * 16).status == 401
    assert make(door, key="a" * 16).status == 201
    open_door = Door(secret=SECRET)
    body = b'{"pk": "shop"}'
    assert call(open_door.app, "POST", "/shares", body=body, HTTP_ORIGIN="https://evil.example").status == 403


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"days": 1e9}, "days"),
        ({"days": 366.1}, "days"),
        ({"days": 0}, "days"),
        ({"days": -1}, "days"),
        ({"days": True}, "days"),
        ({"days": "ten"}, "days"),
        ({"days": None}, "days"),
        ({"frame": "site.example"}, "frame"),
        ({"frame": "https://site.example/path"}, "frame"),
        ({"frame": "https://site.example; script-src *"}, "frame"),
        ({"frame": "*"}, "frame"),
        ({"frame": ["https://a.example", 5]}, "frame"),
        ({"frame": {"a": 1}}, "frame"),
        ({"frame": ["https://a.example"] * 21}, "frame"),
        ({"drill": "perhaps"}, "drill"),
        ({"pk": None}, "pk"),
        ({"pk": [[]]}, "pk"),
        ({"pk": {"a": 1}}, "pk"),
        ({"metrics": "a//b"}, "metrics"),
        ({"metrics": 5}, "metrics"),
        ({"metric": "costs"}, "metrics"),
        ({"dimension": "plan"}, "dimensions"),
        ({"period": "nonsense"}, "period"),
        ({"period": 5.5}, "period"),
        ({"dimensions": [[["a"]]]}, "dimensions"),
        (
            {
                "dimensions": [
                    [sha256(b"%d" % n).hexdigest() for n in range(3 * first, 3 * first + 3)] for first in range(60)
                ]
            },
            "dimensions",
        ),
        ({"host": "https://evil.example"}, "host"),
        ({"expires": 5}, "expires"),
        ({"<script>": 5}, "<script>"),
    ],
)
def test_bad_input_is_refused_with_its_field(door: Door, given: dict[str, Any], field: str) -> None:
    answer = make(door, **given)
    assert (answer.status, answer.json.get("field")) == (400, field), answer.text


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"5", b'{"pk": "a"', b"\xff"])
def test_a_body_that_is_no_object_is_refused(door: Door, body: bytes) -> None:
    answer = call(door.app, "POST", "/shares", body=body, HTTP_AUTHORIZATION=f"Bearer {'r' * 16}")
    assert (answer.status, answer.json["field"]) == (400, "body")


def test_only_the_named_sites_may_frame_the_page(door: Door) -> None:
    def ancestors(**fields: Any) -> str:
        return door.get(path_of(make(door, **fields))).headers["Content-Security-Policy"].split("frame-ancestors ")[1]

    assert ancestors().startswith("'none';")
    assert ancestors(frame=["https://A.example:443", "http://b.example:81"]).startswith(
        "https://a.example http://b.example:81;"
    )


def test_names_in_the_page_of_a_share_stay_text(door: Door) -> None:
    name = "<img src=x onerror=alert(1)>\"'&"
    door.count(name, {name: name}, {name: 1})
    path = path_of(make(door, pk=name, dimensions=[[name]], metrics=[f"`{name}`"]))
    for text in (door.get(path).text, door.get(f"{path}/plot.svg", size="full").text):
        assert "<img src=x" not in text
        assert "&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;" in text


def test_the_link_names_the_host_that_was_asked(door: Door) -> None:
    body = b'{"pk": "shop"}'
    asked = {"HTTP_AUTHORIZATION": f"Bearer {'r' * 16}", "HTTP_HOST": "counts.example", "wsgi.url_scheme": "https"}
    assert call(door.app, "POST", "/shares", body=body, **asked).json["url"].startswith("https://counts.example/s/")
    plain = {**asked, "wsgi.url_scheme": "http", "HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "10.0.0.9"}
    assert call(door.app, "POST", "/shares", body=body, **plain).json["url"].startswith("http://counts.example/s/")
    trusting = Door(secret=SECRET, read_key="r" * 16, trusted_proxies="10.0.0.0/8")
    assert call(trusting.app, "POST", "/shares", body=body, **plain).json["url"].startswith("https://counts.example/s/")
    odd = {**asked, "HTTP_HOST": "a b<>"}
    assert call(door.app, "POST", "/shares", body=body, **odd).json["url"].startswith("https://127.0.0.1:8086/s/")


@pytest.mark.parametrize("drill", ["no", "false", 1, None])
def test_only_true_lets_a_share_of_the_library_drill(door: Door, drill: Any) -> None:
    """A text that says no would be true to Python, and the link would answer more than its maker meant."""
    with pytest.raises(CallerError, match=r"^drill: expected true or false"):
        door.whale.share("shop", drill=drill)


def test_a_share_from_python_is_the_same(door: Door) -> None:
    made = door.whale.share("shop", "country", "revenue", "today", host="https://counts.example/")
    assert made == {
        "url": f"https://counts.example{path_of(make(door))}",
        "expires": "2015-07-17T14:35:20Z",
    }
    with pytest.raises(CallerError, match="days"):
        door.whale.share("shop", days=1000)


def test_the_form_of_a_token_stays() -> None:
    settings = load({"HAILWHALE_SECRET": SECRET})
    token = token_of(SHARE, settings, "default")
    text, signature = (
        ".eJwNykEKgCAQQNG7zFoyUyK6iriIGlAoFWeUun2z_PznPVAsFYLyHs7SM7cPghSUdmEjPRIlJvlAODCDMs661W5mmQVF5kq71mJwwvd46o1iuXUMP3Q7HlY",
        "sz0TWhim92R55v9YirYkqbIyrx7Tabf0Rto-GLMx_Ps",
    )
    assert token == f"{text}.{signature}"
    assert share_of(token, settings, "default") == ("default", SHARE)


@given(st.text(max_size=200))
def test_no_text_but_a_token_opens_a_share(text: str) -> None:
    with pytest.raises(NotFound):
        share_of(text, load({"HAILWHALE_SECRET": SECRET}), "default")


def test_a_data_folder_keeps_its_secret_for_its_user_alone(tmp_path: Path) -> None:
    assert secret_of(tmp_path) == ""
    made = kept_secret(tmp_path)
    assert (len(made), kept_secret(tmp_path), secret_of(tmp_path)) == (64, made, made)
    assert (tmp_path / SECRET_FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / SECRET_FILE).unlink()
    assert kept_secret(tmp_path) != made


def test_a_short_secret_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="SECRET: expected at least 32"):
        load({"HAILWHALE_SECRET": "short"})
