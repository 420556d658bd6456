"""What no route answers: the wrong service asked, addresses that are no UTF-8, and requests that cannot be read."""

import re
from pathlib import Path
from typing import Any

import pytest
from gunicorn.http import errors

from hail import problem
from hail.publish import Publisher
from hail.settings import load
from hail.unreadable import EVERY_S, Summary, answer, line_of, said_of
from tests.wsgi import call
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.web import make_app as make_whale

ROOT = Path(__file__).parents[2]


@pytest.fixture
def apps(tmp_path: Path) -> dict[str, Any]:
    from hail.web import make_app as make_hail

    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path), "HAILWHALE_HAIL_BIND": "0.0.0.0:9085"}).replace(read_key="r")
    whale = Whale(MemoryStore(settings), settings)
    return {"Hail": make_hail(settings, Publisher(settings)), "Whale": make_whale(settings, whale)}


def test_each_route_of_one_service_is_named_by_the_other(apps: dict[str, Any]) -> None:
    rules = {name: {route.rule for route in app.routes} for name, app in apps.items()}
    for service, other in (("Hail", "Whale"), ("Whale", "Hail")):
        for rule in rules[other] - rules[service]:
            answer = call(apps[service], "GET", rule, HTTP_HOST="localhost")
            assert answer.status == 404
            names_it = f". {other} answers it, at " in answer.json["detail"]
            assert names_it is not rule.startswith("/<user:account>"), rule  # which any word may be
    assert "answers it" not in call(apps["Whale"], "GET", "/ofrep/v2", HTTP_HOST="localhost").text


def test_the_wrong_service_says_which_one_answers_and_where(apps: dict[str, Any]) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        asked = call(apps["Whale"], method, "/count", {"pk": "a"}, HTTP_HOST="localhost:9086")
        assert (asked.status, asked.json["title"]) == (404, "Not Found")
        assert asked.json["detail"] == "Not found: '/count'. Hail answers it, at localhost:9085"
        counted = call(apps["Hail"], method, "/plotpoints", {"pk": "a"}, HTTP_HOST="localhost:9085")
        assert counted.json["detail"] == "Not found: '/plotpoints'. Whale answers it, at 127.0.0.1:8086"
    for path in ("/decisions/a/b", "/ofrep/v1/evaluate/flags"):
        assert (
            call(apps["Hail"], "POST", path, HTTP_HOST="localhost")
            .json["detail"]
            .endswith("Whale answers it, at 127.0.0.1:8086")
        )
    for app in apps.values():
        assert call(app, "GET", "/nobody", HTTP_HOST="localhost").json["detail"] == "Not found: '/nobody'"


def test_a_misspelt_address_names_the_route_that_is_near_and_who_answers_it(apps: dict[str, Any]) -> None:
    for service, path, said in (
        ("Hail", "/cuont", "Not found: '/cuont': did you mean /count?"),
        ("Whale", "/plotpoint", "Not found: '/plotpoint': did you mean /plotpoints?"),
        ("Hail", "/total", "Not found: '/total'. Whale answers it, at 127.0.0.1:8086"),
        (
            "Hail",
            "/plotpoint",
            "Not found: '/plotpoint': did you mean /plotpoints? Whale answers it, at 127.0.0.1:8086",
        ),
    ):
        assert call(apps[service], "GET", path, HTTP_HOST="localhost").json["detail"] == said


def test_a_method_that_a_route_does_not_take_names_those_it_takes_and_the_section_of_the_docs(
    apps: dict[str, Any],
) -> None:
    headings = re.findall(r"^### (.*)$", (ROOT / "docs/http.md").read_text(), re.M)
    sections = {part for heading in headings for part in heading.split(", ")}
    for app in apps.values():
        for rule in {route.rule for route in app.routes}:
            path = rule.replace("<call:call>", "track")
            answer = call(app, "PATCH", path, HTTP_HOST="localhost")
            allowed = set(answer.headers["Allow"].split(",")) - {"HEAD", "OPTIONS"}
            found = re.fullmatch("expected (.*) for (.*), got PATCH: see (.*) in docs/http.md", answer.json["detail"])
            assert found, answer.json
            assert (answer.status, set(found[1].split(" or ")), found[2]) == (405, allowed, path)
            assert found[3] in sections
    said = call(apps["Whale"], "PUT", "/decisions/a/b", HTTP_HOST="localhost").json["detail"]
    assert said == ("expected GET or POST for /decisions/a/b, got PUT: see GET /decisions/<name:path> in docs/http.md")


def test_an_address_is_named_as_whoever_asks_can_reach_it() -> None:
    assert problem.seen_from("count.test:8086", "0.0.0.0:8085") == "count.test:8085"
    assert problem.seen_from("[2001:db8::1]:8086", "[::]:8085") == "[2001:db8::1]:8085"
    assert problem.seen_from("count.test", "10.0.0.2:8085") == "10.0.0.2:8085"
    assert problem.seen_from("a b<script>", "0.0.0.0:8085") == "0.0.0.0:8085"
    assert problem.seen_from("", "unix:/run/hail") == "unix:/run/hail"


def test_an_address_that_is_no_utf_8_reaches_no_other_route(apps: dict[str, Any]) -> None:
    """A proxy that keeps /reset inside would let /res%FFet pass."""
    for service, method, path in (("Hail", "GET", "/cou\xffnt"), ("Hail", "POST", "/flush_hail\xff")):
        assert call(apps[service], method, path, {"pk": "a"}).status == 400
    for path in ("/res\xffet", "/pks\xff", "/decisions/a\xed\xa0\x80"):
        asked = call(apps["Whale"], "POST", path, {"pk": "a"})
        assert (asked.status, asked.json["detail"]) == (400, "the address: expected UTF-8")
    assert call(apps["Whale"], "GET", "/decisions/caf\xc3\xa9", {"key": "r"}).status == 404


def test_many_unreadable_requests_are_one_line_a_minute() -> None:
    now, lines = 1000.0, list[str]()
    summary = Summary(lines.append, lambda: now)
    for _ in range(10_000):
        summary.note("no request")
    assert lines == ["no request"]
    now += EVERY_S
    summary.note("no request either")
    summary.note("no request either")
    assert lines[1:] == ["no request either; 9999 more since the last such line"]
    summary.end()
    summary.end()
    assert lines[2:] == ["1 more unreadable request since the last such line"]


def test_no_line_of_the_log_shows_a_key() -> None:
    for error in (
        errors.InvalidRequestLine("GET /count?pk=a&key=geheim"),
        errors.InvalidHeader("Authorization Bearer geheim"),
        errors.InvalidHeaderName("X-API-Key geheim"),
    ):
        _, detail = said_of(error)
        assert "geheim" in detail  # whoever sent it may read it
        assert "geheim" not in line_of(("10.0.0.9", 1234), detail)
        assert line_of(("10.0.0.9", 1234), detail).startswith("unreadable request from 10.0.0.9: this is not an HTTP")
    assert line_of("", "x") == "unreadable request from a unix socket: x"


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (errors.LimitRequestLine(9000, 8190), 414, "8190 bytes"),
        (errors.LimitRequestHeaders("many"), 431, "headers"),
        (errors.InvalidRequestLine("GET /caf\xc3\xa9"), 400, "caf%C3%A9"),
        (errors.InvalidRequestLine("x" * 5000), 400, "x" * 100),
        (errors.InvalidHTTPVersion((9, 9)), 400, "(9, 9)"),
        (errors.InvalidHTTPVersion("b HTTP/1.1"), 400, "%20"),
        (errors.InvalidHeader("CONTENT-LENGTH"), 400, "Content-Length"),
        (errors.InvalidHeaderName("a\r\nb\x1b[2J"), 400, "HTTP/1.1"),
        (errors.ForbiddenProxyRequest("1.2.3.4"), 403, "connection"),
        (errors.InvalidResponseHeader("X"), 500, "log"),
        (ZeroDivisionError(), 500, "log"),
    ],
)
def test_each_error_of_the_parser_is_a_short_problem(error: Exception, status: int, words: str) -> None:
    found, detail = said_of(error)
    assert found == status
    assert words in detail
    assert len(detail) < 300
    assert detail.isprintable()
    head, _, body = answer(found, detail).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"Content-Length: {len(body)}".encode() in head
