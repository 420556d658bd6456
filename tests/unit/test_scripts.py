"""The tracker's scripts as Hail serves them: sizes, how long they are kept, and addresses of other versions."""

import gzip
import re
from pathlib import Path

import pytest

from hail.access import Caller
from hail.publish import Publisher
from hail.scripts import FOLDER, HOUR, Scripts, read_scripts
from hail.settings import load
from hail.web import make_app
from tests.wsgi import Answer, call

KB = 1024
MOST = {"trackr.core": 2.5 * KB, "trackr": 4 * KB, "trackr.push": 1.5 * KB}
SCRIPTS = read_scripts()


@pytest.fixture
def hail(tmp_path: Path) -> object:
    settings = load({"HAILWHALE_DATA_DIR": str(tmp_path)})
    return make_app(settings, Publisher(settings))


def get(hail: object, path: str, **environ: str) -> Answer:
    return call(hail, "GET", path, **environ)


@pytest.mark.parametrize(("name", "most"), MOST.items())
def test_it_is_small(name: str, most: float) -> None:
    print(f"{name}.js: {len(SCRIPTS[name].gzipped)} bytes gzipped, of {most:.0f}")
    assert len(SCRIPTS[name].gzipped) <= most


def test_it_says_whose_it_is_and_asks_nobody_else() -> None:
    assert SCRIPTS.keys() == MOST.keys()
    for script in SCRIPTS.values():
        text = script.body.decode()
        assert text.startswith("/*! HailWhale MIT */")
        assert re.findall(r"https?://[\w.]+", text) == []
        assert re.findall(r"innerHTML|\beval\b|document\.write|new Function|preventDefault", text) == []


@pytest.mark.parametrize("name", MOST)
def test_it_is_kept_for_an_hour_and_under_its_hash_for_ever(hail: object, name: str) -> None:
    answer = get(hail, f"/js/{name}.js")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, max-age=3600")
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.body == (FOLDER / f"{name}.js").read_bytes()
    own = get(hail, f"/js/{name}-{SCRIPTS[name].hash}.js")
    assert (own.body, own.headers["Cache-Control"]) == (answer.body, "public, max-age=31536000, immutable")


def test_it_comes_gzipped_and_not_at_all_to_who_has_it(hail: object) -> None:
    packed = get(hail, "/js/trackr.js", HTTP_ACCEPT_ENCODING="gzip, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == SCRIPTS["trackr"].body
    assert packed.headers["Vary"] == "Accept-Encoding"
    again = {"HTTP_ACCEPT_ENCODING": "gzip", "HTTP_IF_NONE_MATCH": f"W/{packed.headers['Etag']}"}
    answer = get(hail, "/js/trackr.js", **again)
    assert (answer.status, answer.body, answer.headers["Etag"]) == (304, b"", packed.headers["Etag"])
    assert get(hail, "/js/trackr.js", HTTP_IF_NONE_MATCH='"other"').status == 200


def test_an_address_of_another_version_answers_with_the_tracker_of_today(hail: object) -> None:
    answer = get(hail, "/js/trackr.core-0123456789abcdef.js")
    assert (answer.body, answer.headers["Cache-Control"]) == (SCRIPTS["trackr.core"].body, HOUR)


@pytest.mark.parametrize(
    "path", ["/js/trackr", "/js/other.js", "/js/trackr.core", "/js/trackr-0123.js", "/js/.js", "/js/../web.py"]
)
def test_no_other_file_is_served(hail: object, path: str) -> None:
    assert get(hail, path).status == 404


def test_the_script_with_a_hash_of_an_empty_folder_is_none(tmp_path: Path) -> None:
    assert Scripts(tmp_path).get(Caller(""), {"PATH_INFO": "/js/trackr.js"}).status == "404 Not Found"
