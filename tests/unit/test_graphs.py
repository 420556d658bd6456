"""Scripts for pages of other sites, as they are served."""

import gzip
import re

import pytest

from tests.unit.test_whale_web import Door
from tests.wsgi import call
from whale.routes.assets import FOLDER, GRAPHS, graph_files

KEYS = {"write_key": "w" * 16, "read_key": "r" * 16, "admin_key": "a" * 16, "secret": "s" * 32}


@pytest.mark.parametrize("name", GRAPHS)
def test_pages_of_any_site_may_load_a_script_and_it_needs_no_key(name: str) -> None:
    door = Door(**KEYS, allowed_origins="https://one.example")
    answer = call(door.app, "GET", f"/{name}", HTTP_ORIGIN="https://two.example")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert not any(secret in answer.text for secret in KEYS.values())
    again = call(door.app, "GET", f"/{name}", HTTP_IF_NONE_MATCH=answer.headers["Etag"])
    assert (again.status, again.body) == (304, b"")
    packed = call(door.app, "GET", f"/{name}", HTTP_ACCEPT_ENCODING="gzip")
    assert gzip.decompress(packed.body) == answer.body
    assert packed.headers["Etag"] != answer.headers["Etag"]


@pytest.mark.parametrize("name", GRAPHS)
def test_a_script_repeats_nothing_that_was_asked(name: str) -> None:
    door = Door()
    plain = door.get(f"/{name}").text
    assert (
        door.get(f"/{name}", pk="</script><script>alert(1)", height='"><script>', hwurl="javascript:alert(1)").text
        == plain
    )


def test_without_keys_strangers_get_no_script() -> None:
    assert call(Door().app, "GET", "/graph.js", HTTP_HOST="whale.test").status == 403


def test_the_element_is_one_module_with_its_styles_and_the_zone_and_asks_no_other_file() -> None:
    text = Door(timezone="Europe/Berlin").get("/hail-whale-graph.js").text
    assert 'const ZONE = "Europe/Berlin"' in text
    own = text.partition("})();\nconst ")[2]
    assert not re.findall(r"^import\b|\bimport[(]", own, re.M)
    assert text.endswith("export const { Graph, graphOf, graphTables } = element_js\n")
    assert len(gzip.compress(text.encode(), 9)) <= 40_000


def test_the_styles_of_the_element_are_those_of_the_dashboard_for_the_element_alone() -> None:
    style = re.findall(r'^const STYLE = "(.*)"$', graph_files("UTC")[GRAPHS[0]], re.M)[0]
    assert ":root" not in style
    assert "@import" not in style  # a sheet that is adopted may not
    for selector in (":host {", ":host(:not([theme='light'])) {", ":host([theme='dark']) {"):
        assert selector in style
    tokens = re.findall(r"--[\w-]+(?=:)", (FOLDER / "style.css").read_text())
    assert set(tokens) <= set(re.findall(r"--[\w-]+(?=:)", style))
