"""Hail in process, over the spool: what is answered, what is kept, and that nothing a client sends is a 500."""

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from hail.body import inflate
from hail.formats.address import PARAMETERS
from hail.hit import FIELDS, HitError, Reason, encode_hit, fields_of, line_of, parse_hit, row_of_hit
from hail.message import decode_message
from hail.parameters import read
from hail.publish import NotAccepted, Publisher
from hail.settings import KINDS, MESSAGE_VERSIONS, Settings, SettingsError, load
from hail.spool import SpoolFolder, read_records
from hail.web import make_app
from tests.laws import law
from tests.servers import wait_until
from tests.taken import Taken
from tests.wsgi import Answer, call

NOW = 1_795_300_800.25
MB = 1_000_000
FORM = "application/x-www-form-urlencoded"


class Client:
    """Calls the app as a server would, and reads what it kept."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.publisher = Publisher(settings, lambda: NOW)
        self.app = make_app(settings, self.publisher, lambda: NOW)

    def __call__(self, method: str, target: str, body: bytes = b"", **environ: Any) -> Answer:
        path, _, query = target.partition("?")
        return call(self.app, method, path, query=query, body=body, **environ)

    def get(self, target: str, **environ: Any) -> Answer:
        return self("GET", target, **environ)

    def count(self, **fields: str) -> Answer:
        return self("GET", f"/count?{urlencode(fields)}")

    def post(self, target: str, value: Any, content_type: str = "application/json", **environ: Any) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self("POST", target, body, CONTENT_TYPE=content_type, **environ)

    def kept(self) -> list[list[Any]]:
        """Wire forms of all hits that were accepted."""
        folder = SpoolFolder(self.settings.data_dir)
        hits = []
        for name in folder.names():
            for body in read_records((folder.path / name).read_bytes()).messages:
                assert decode_message(body).account == "default"
                hits += json.loads(body)["hits"]
        return hits


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"HAILWHALE_DATA_DIR": str(tmp_path)})


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    client = Client(settings)
    yield client
    client.publisher.close()


@pytest.fixture
def locked(settings: Settings) -> Iterator[Client]:
    client = Client(settings.replace(write_key="w", read_key="r", admin_key="ä"))
    yield client
    client.publisher.close()


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("hailwhale_hits_refused_total", {"reason": reason}) or 0.0


def test_the_two_get_examples_of_the_readme(client: Client) -> None:
    first = client.count(pk="test", dimensions="services", metrics='{"dollars": 200}')
    assert (first.status, first.body) == (200, b"OK")
    assert first.headers["Content-Type"].startswith("text/plain")
    client.count(pk="test", dimensions="{'sales': 55}", metric='{"dollars": .50}')
    assert client.kept() == [
        [["test"], {"services": {}}, {"dollars": 200_000_000, "hits": 1}, 1_795_300_800_250],
        [["test"], {"sales": {"55": {}}}, {"dollars": 500_000, "hits": 1}, 1_795_300_800_250],
    ]


def test_hits_alike_but_for_their_time_are_remembered_and_kept_apart(client: Client) -> None:
    for number in range(3):
        client.get(f"/count?pk=a&metrics=x&rnd={number}")
    client.get("/count?pk=a&metrics=x&at=5")
    client.get("/count?pk=a&metrics=x&id=i")
    client.get("/count?pk=a&metrics=y")
    kept = client.kept()
    assert kept[:3] == [[["a"], {}, {"hits": 1, "x": 1_000_000}, 1_795_300_800_250]] * 3
    assert [hit[3:] for hit in kept[3:5]] == [[5000], [1_795_300_800_250, "i"]]
    assert kept[5][2] == {"hits": 1, "y": 1_000_000}


def test_what_is_no_sum_is_remembered_whole(client: Client) -> None:
    for _ in range(3):
        assert client.count(pk="k", metrics='{"low": {"max": 5}}').status == 200
    others = {"low": ["max", 5_000_000]}
    assert client.kept() == [[["k"], {}, {"hits": 1}, 1_795_300_800_250, None, None, None, others]] * 3


NAMES = st.sampled_from(["a", "price", "seen", "low", "é 😀", '],[["x', "\0", "a,b", "}", "5", "hits"])
NUMBERS = st.integers(-(10**9), 10**9) | st.floats(-9e9, 9e9) | st.sampled_from([0, -0.0, 1e-7, 37.5])
TREES = st.recursive(
    NAMES | NUMBERS | st.none(),
    lambda below: st.dictionaries(NAMES, below, max_size=3) | st.lists(below, max_size=3),
    max_leaves=6,
)
AMOUNTS = NUMBERS | st.just("is_unique") | NAMES
OF_KINDS = AMOUNTS | st.dictionaries(
    st.sampled_from(["sum", "max", "min", "last", "quantile", "unique", "distinct"]), AMOUNTS, min_size=1, max_size=1
)
QUERIES = st.fixed_dictionaries(
    {"pk": NAMES | st.lists(NAMES, min_size=1, max_size=3)},
    optional={
        "dimensions": TREES,
        "dimension": NAMES,
        "metrics": st.dictionaries(NAMES, OF_KINDS, max_size=4) | st.lists(NAMES, max_size=3) | NAMES,
        "metric": st.dictionaries(NAMES, OF_KINDS, max_size=4) | NAMES,
        "at": st.sampled_from([0, NOW, NOW + 90.5, NOW + 86_400, "2026-11-22T10:00:00", "nonsense"]),
        "id": NAMES,
        "visitor": NAMES,
        "event": NAMES,
        "callback": NAMES,
        "_": NAMES,
    },
)
DECLARED = st.fixed_dictionaries(
    {},
    optional={
        "kinds": st.dictionaries(NAMES.filter(lambda name: name != "hits"), st.sampled_from(KINDS), max_size=3),
        "bands": st.just({"price": (1_000_000_000, 100_000_000), "a": (500_000,)}),
        "max_name_bytes": st.sampled_from([4, 200]),
        "periods": st.just(((60, 86_400),)),
        "message_version": st.sampled_from(MESSAGE_VERSIONS),
    },
)


def query_of(fields: dict[str, Any]) -> str:
    return urlencode({name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()})


def parsed_anew(query: str, settings: Settings, now: float) -> tuple[str, list[list[Any]], int]:
    """What a GET that nobody remembers answers and keeps."""
    try:
        given = read(query, PARAMETERS, settings.ignored_parameters).given
        hit = parse_hit(fields_of({name: given[name] for name in FIELDS if name in given}), settings, now)
    except HitError as error:
        return str(error.reason), [], 0
    wire = line_of(row_of_hit(hit)) if settings.message_version == 1 else encode_hit(hit)
    return "OK", [json.loads(wire)], hit.cells


@given(QUERIES, DECLARED, st.lists(st.floats(NOW - 9e8, NOW + 9e8), min_size=3, max_size=3))
@example({"pk": "k", "metrics": {"low": {"max": 5}}}, {}, [NOW, NOW + 1.0, NOW + 2.0])
@example({"pk": "k", "metrics": {"low": 5, "hits": 3}}, {"kinds": {"low": "last"}}, [NOW, NOW + 1.0, NOW - 2.0])
@law(400)
def test_a_remembered_hit_is_the_hit_parsed_anew(
    fields: dict[str, Any], declared: dict[str, Any], times: list[float]
) -> None:
    settings = load({"HAILWHALE_SPY": "0"}).replace(**declared)
    publisher, clock = Taken(settings), [0.0]
    app = make_app(settings, publisher, lambda: clock[0])
    query = query_of(fields)
    for now in times:
        clock[0] = now
        answer = call(app, "GET", "/count", query=query)
        said = "OK" if answer.status == 200 else answer.json["code"]
        assert (said, publisher.hits, publisher.cells) == parsed_anew(query, settings, now)
        publisher.hits, publisher.cells = [], 0


PASSED_OVER = "_=1&_x=2&cb=%ff&utm_source=x&utm_=y&gclid=1&fbclid=1&msclkid=1&dclid=1&gbraid=1&wbraid=1&yclid=1"


@pytest.mark.parametrize("path", ["/count", "/count.gif", "/count.js"])
def test_what_mails_and_advertisements_append_is_passed_over(client: Client, path: str) -> None:
    query = f"pk=a&{PASSED_OVER}&mc_cid=1&mc_eid=1&igshid=1&cachebuster=1&rnd=1&callback=f&at=&metrics=&country=&x"
    answer = client.get(f"{path}?{query}")
    assert (answer.status, answer.headers.get("X-Hail", "accepted")) == (200, "accepted")
    assert client.kept() == [[["a"], {}, {"hits": 1}, 1_795_300_800_250]]


@pytest.mark.parametrize(
    ("target", "form", "field", "hint"),
    [
        ("/count?pk=a&country=US&revenue=5", "", "country", "expected one of pk, dimensions, dimension, metrics, "),
        ("/count?pk=a&dims=b", "", "dims", "did you mean dimensions?"),
        ("/count?pk=a&metircs=b", "", "metircs", "did you mean metrics or metric?"),
        ("/count?pk=a&Metrics=b", "", "Metrics", "did you mean metrics or metric?"),
        ("/count?pk=a&option=b", "", "option", "expected one of pk, "),
        ("/count?pk=a&caf%C3%A9=b", "", "caf\\xe9", "expected one of pk, "),
        ("/count_decision?pk=a&option=b&optoin=c", "", "optoin", "did you mean option?"),
        ("/count", "pk=a&t=1", "t", "did you mean at?"),
        ("/count?t=1", "pk=a", "t", "did you mean at?"),
        ("/count_decision", "pk=a&option=b&reward=5", "reward", "expected one of pk, "),
    ],
)
def test_an_unknown_parameter_is_refused_with_near_names(
    client: Client, target: str, form: str, field: str, hint: str
) -> None:
    for _ in range(2):
        answer = client.post(target, form.encode(), FORM) if form else client.get(target)
        assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "unknown_field", field)
        assert answer.json["detail"].startswith(f"{field}: is not a parameter here: {hint}")
    assert client.kept() == []


def test_an_unknown_parameter_beside_a_body_is_refused(client: Client) -> None:
    for path, body in (("/count", {"pk": "a"}), ("/batch", [{"pk": "a"}])):
        answer = client.post(f"{path}?country=US", body)
        assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "unknown_field", "country")
    assert client.kept() == []


@pytest.mark.parametrize("path", ["/count.gif", "/count.js"])
@pytest.mark.parametrize(
    "name",
    [
        "dims",
        "DIM",
        "metircs",
        "metrcs",
        "Metrics",
        "dimensionss",
        "visitr",
        "visitor_id",
        "events",
        "evnt",
        "PK",
        "ids",
    ],
)
def test_an_image_with_a_misspelt_field_counts_nothing(client: Client, path: str, name: str) -> None:
    for _ in range(2):
        answer = client.get(f"{path}?pk=a&{name}=b")
        assert (answer.status, answer.headers["X-Hail"]) == (200, "dropped; reason=unknown_field")
    assert client.kept() == []


def ignored_parameters() -> float:
    return REGISTRY.get_sample_value("hailwhale_parameters_ignored_total") or 0.0


def test_an_image_counts_whatever_mails_append_and_says_so_each_time(client: Client) -> None:
    before = ignored_parameters()
    for number in range(3):
        answer = client.get(f"/count.gif?pk=a&country=US&t={number}&rnd={number}&t=again")
        assert (answer.status, answer.headers["X-Hail"]) == (200, "accepted; ignored=country,t")
        script = client.get(f"/count.js?pk=a&t={number}&callback=f")
        assert (script.body, script.headers["X-Hail"]) == (b'/**/f("accepted");', "accepted; ignored=t")
    assert ignored_parameters() == before + 9
    assert client.get("/count.gif?pk=a").headers["X-Hail"] == "accepted"
    assert client.get("/count?pk=a&country=US&t=1").json["code"] == "unknown_field"  # though an image has counted it
    assert [hit[8:] for hit in client.kept()] == [[["country", "t"]], [["t"]]] * 3 + [[]]


def test_ignored_names_are_bounded_and_plain_in_a_header(client: Client) -> None:
    many = "&".join(f"n{number:02}=1" for number in range(25))
    before = ignored_parameters()
    said = client.get(f"/count.gif?pk=a&{many}").headers["X-Hail"]
    assert said == "accepted; ignored=" + ",".join(f"n{number:02}" for number in range(20))
    assert ignored_parameters() == before + 25
    for name, shown in (
        ("%C3%A9%0D%0Ax%2C%3B", "%C3%A9%0D%0Ax%2C%3B"),
        ("é".encode().decode("latin-1"), "%C3%A9"),
        ("my+name", "my%20name"),
        ("a%2Bb+c", "a%2Bb%20c"),
    ):
        assert client.get(f"/count.gif?pk=a&{name}=1").headers["X-Hail"] == f"accepted; ignored={shown}"
    long = client.get(f"/count.gif?pk=a&{'y' * 500}=1").headers["X-Hail"]
    assert long == "accepted; ignored=" + "y" * 60


def test_a_secret_as_a_name_is_not_kept_with_the_hit(settings: Settings) -> None:
    locked = Client(settings.replace(write_key="very-secret-words"))
    answer = locked.get("/count.gif?pk=a&key=very-secret-words&very-secret-words=1")
    assert answer.headers["X-Hail"].startswith("accepted; ignored=")
    assert "very-secret-words" not in json.dumps(locked.kept()) + answer.headers["X-Hail"]
    locked.publisher.close()


def test_the_setting_passes_over_more_names_but_no_field(settings: Settings) -> None:
    more = load({"HAILWHALE_IGNORED_PARAMETERS": "ref, my_* dims,metrics"}).replace(data_dir=settings.data_dir)
    client = Client(more)
    assert client.get("/count?pk=a&ref=1&my_=2&my_x=3&dims=4&_=5&metrics=m").body == b"OK"
    assert client.get("/count?pk=a&refs=1").json["code"] == "unknown_field"
    assert [hit[2] for hit in client.kept()] == [{"hits": 1, "m": 1_000_000}]
    client.publisher.close()


@pytest.mark.parametrize("name", ["agent", "sent", "rent"])  # two letters from `event`, as the docs say
def test_a_word_near_to_a_field_counts_where_the_setting_names_it(
    client: Client, settings: Settings, name: str
) -> None:
    assert client.get(f"/count.gif?pk=a&{name}=1").headers["X-Hail"] == "dropped; reason=unknown_field"
    told = Client(load({"HAILWHALE_IGNORED_PARAMETERS": name}).replace(data_dir=f"{settings.data_dir}/told"))
    assert told.get(f"/count.gif?pk=a&{name}=1").headers["X-Hail"] == "accepted"
    told.publisher.close()


def test_names_are_any_unicode(client: Client) -> None:
    for name in ("\0", "😀 é", '{}|:/[]"&=+%', "_"):
        assert client.count(pk=json.dumps([name]) if name.startswith("{") else name).status == 200
    assert client.get("/count?pk=" + "😀".encode().decode("latin-1")).status == 200  # raw UTF-8, as WSGI gives it
    assert [hit[0][0] for hit in client.kept()] == ["\0", "😀 é", '{}|:/[]"&=+%', "_", "😀"]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "bad_pk", "pk"),
        ("pk=a&pk=b", "bad_pk", "pk"),
        ("pk=%ff", "bad_pk", "pk"),
        ("pk=a&metrics={", "bad_json", "metrics"),
        ("pk=a&metric=x&metrics=y", "bad_metrics", "metrics"),
        ("pk=a&metrics=" + quote('{"x": NaN}'), "bad_metrics", "metrics.x"),
        ("pk=a&metrics=" + quote('{"x": -Infinity}'), "bad_metrics", "metrics.x"),
        ("pk=a&dimensions=" + quote('{"x": NaN}'), "bad_dimensions", "dimensions.'x'"),
        ("pk=a&dimensions=" + quote("[['x'], ('a', ())]"), "bad_dimensions", "dimensions[1]"),
        ("pk=a&metrics=" + quote('{"x": 1e400}'), "number_out_of_range", "metrics.x"),
        ("pk=a&metrics=" + quote('{"x": 9.1e9}'), "number_out_of_range", "metrics.x"),
        ("pk=a&at=9999-01-01", "bad_time", "at"),
        ("pk=a&dimensions=" + quote(json.dumps([[str(i)] for i in range(65)])), "too_many_paths", "dimensions"),
        ("pk=a&dimensions=" + quote(json.dumps(list("123456789"))), "too_many_levels", "dimensions"),
        ("pk=" + "a" * 201, "name_too_long", "pk"),
    ],
)
def test_a_refused_hit_is_a_problem_and_is_counted(client: Client, query: str, code: str, field: str) -> None:
    before = refused(code)
    answer = client.get(f"/count?{query}")
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.json) == {"type", "title", "status", "detail", "code", "field"}
    assert (answer.json["code"], answer.json["field"]) == (code, field)
    assert refused(code) == before + 1
    pixel = client.get(f"/count.gif?{query}")
    assert (pixel.status, pixel.headers["X-Hail"]) == (200, f"dropped; reason={code}")
    assert client.kept() == []


def test_post_takes_json_under_any_type_and_forms(client: Client) -> None:
    assert client.post("/count", {"pk": "a"}).status == 202
    assert client.post("/count", {"pk": "b"}, "text/plain;charset=UTF-8").status == 202
    assert client.post("/count", {"pk": "c"}, "application/x-www-form-urlencoded").status == 202
    form = urlencode({"pk": "d é", "metrics": '["x"]'}).encode()
    assert client.post("/count", form, "application/x-www-form-urlencoded").status == 202
    assert client("POST", "/count?pk=e").status == 202
    assert [hit[0][0] for hit in client.kept()] == ["a", "b", "c", "d é", "e"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"nonsense", 400, "bad_json"),
        (b'{"pk": "\xff"}', 400, "bad_json"),
        (b'{"pk": "a", "metrics": {"x": NaN}}', 400, "bad_metrics"),
        (b'{"pk": "a", "metrics": {"x": -Infinity}}', 400, "bad_metrics"),
        (b'{"pk": "a", "dimensions": NaN}', 400, "bad_dimensions"),
        (b'{"pk": "a", "metrics": {"x": NaN}', 400, "bad_json"),
        (b'{"pk": "a", "metrics": {"x": 1e400}}', 400, "number_out_of_range"),
        (b'[{"pk": "a"}]', 400, "bad_json"),
        (b'{"pk": "a", "more": 1}', 400, "unknown_field"),
        (b"[" * 100_000, 400, "bad_json"),
        (b'{"pk":' * 50_000, 400, "bad_json"),
        (b"[" + b"0" * MB, 413, "body_too_large"),
    ],
)
def test_a_bad_body_is_refused(client: Client, body: bytes, status: int, code: str) -> None:
    answer = client.post("/count", body)
    assert (answer.status, answer.json["code"]) == (status, code)


class Endless(io.RawIOBase):
    """A body without end, which says how much of it was read."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "read without a bound"
        self.taken += size
        return b"[" * size


def test_large_and_endless_bodies_are_not_held(client: Client) -> None:
    source = Endless()
    large: dict[str, Any] = {"wsgi.input": source, "CONTENT_LENGTH": str(10 * MB)}
    declared = client("POST", "/batch", **large)
    assert (declared.status, declared.json["code"], source.taken) == (413, "body_too_large", 0)
    endless: dict[str, Any] = {"wsgi.input": source, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    endless["SERVER_SOFTWARE"] = "gunicorn/27.0.1"
    chunked = client("POST", "/batch", **endless)
    assert (chunked.status, source.taken) == (413, MB + 1)


def test_gzip_is_inflated_and_a_bomb_is_refused(client: Client) -> None:
    body = gzip.compress(b'{"pk": "a"}\n') + gzip.compress(b'{"pk": "b"}')
    assert client.post("/batch", body, HTTP_CONTENT_ENCODING="gzip").json["accepted"] == 2
    bomb = client.post("/batch", gzip.compress(bytes(100 * MB)), HTTP_CONTENT_ENCODING="gzip")
    assert (bomb.status, bomb.json["code"]) == (413, "body_too_large")
    for broken in (body[:-9], b"not gzip", body + b"more"):
        assert client.post("/batch", broken, HTTP_CONTENT_ENCODING="gzip").json["code"] == "bad_json"
    assert client.post("/batch", body, HTTP_CONTENT_ENCODING="br").json["field"] == "Content-Encoding"
    assert inflate(gzip.compress(b"x" * 10), 10) == b"x" * 10


GOOD, BAD = {"pk": "a"}, {"pk": "a", "metrics": {"x": "many"}}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (json.dumps([GOOD, BAD, GOOD]).encode(), "application/json"),
        (json.dumps({"hits": [GOOD, BAD, GOOD]}).encode(), "text/plain"),
        (b"\n".join(json.dumps(item).encode() for item in (GOOD, BAD, GOOD)) + b"\r\n\n", "application/x-ndjson"),
        (b"\n".join(json.dumps(item).encode() for item in (GOOD, BAD, GOOD)), "application/json"),
        (b'{"pk": "a"}\nnot json\n{"pk": "a"}', ""),
        (b'[{"pk": "a"}, {"pk": "a", "metrics": {"x": 1e400}}, {"pk": "a"}]', ""),
        (b'[{"pk": "a"}, {"pk": "a", "metrics": {"x": NaN}}, {"pk": "a"}]', ""),
        (b'{"hits": [{"pk": "a"}, {"pk": "a", "metrics": {"x": -Infinity}}, {"pk": "a"}]}', ""),
        (b'{"pk": "a"}\n{"pk": "a", "metrics": {"x": NaN}}\n{"pk": "a"}', ""),
        (b'[{"pk": "a"}, 5, {"pk": "a"}]', ""),
    ],
)
def test_a_bad_item_takes_no_neighbour_along(client: Client, body: bytes, content_type: str) -> None:
    answer = client.post("/batch", body, content_type)
    assert answer.status == 202
    assert answer.json["accepted"] == 2
    assert [result["status"] for result in answer.json["results"]] == ["accepted", "refused", "accepted"]
    assert {"code", "detail", "field"} < set(answer.json["results"][1])
    assert [hit[0] for hit in client.kept()] == [["a"], ["a"]]


def test_a_batch_without_one_good_hit_is_400(client: Client) -> None:
    answer = client.post("/batch", [BAD])
    assert (answer.status, answer.json["code"], answer.json["accepted"]) == (400, "bad_metrics", 0)
    assert len(answer.json["results"]) == 1
    for empty in (b"", b"[]", b'{"hits": []}', b"\n\n"):
        assert client.post("/batch", empty).json["code"] == "bad_json"
    assert client.post("/batch", b'[{"pk": "a"}').json["code"] == "bad_json"


def test_a_batch_is_at_most_500_hits(client: Client) -> None:
    assert client.post("/batch", [GOOD] * 500).json["accepted"] == 500
    answer = client.post("/batch", [GOOD] * 501)
    assert (answer.status, answer.json["code"]) == (413, "batch_too_large")
    assert len(client.kept()) == 500


def test_the_pixel_is_always_an_image(client: Client) -> None:
    for query, said in (("pk=a", "accepted"), ("", "dropped; reason=bad_pk")):
        answer = client.get(f"/count.gif?{query}")
        assert answer.status == 200
        assert answer.body.startswith(b"GIF89a")
        assert answer.headers["Content-Type"] == "image/gif"
        assert answer.headers["X-Hail"] == said
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert len(client.kept()) == 1


def test_the_script_calls_back_only_a_name(client: Client) -> None:
    assert client.get("/count.js?pk=a").body == b"/* accepted */"
    assert client.get("/count.js?pk=a&callback=app.done").body == b'/**/app.done("accepted");'
    assert client.get("/count.js?callback=f").body == b'/**/f("dropped; reason=bad_pk");'
    for callback in ("alert(1)", "a;b", "a.", "1a", "a" * 500, "é", "</script>"):
        answer = client.get(f"/count.js?pk=a&callback={quote(callback)}")
        assert answer.body == b"/* dropped; reason=bad_callback */"
        assert answer.headers["Content-Type"].startswith("text/javascript")
    assert len(client.kept()) == 2


def test_any_site_may_send(client: Client) -> None:
    for path in ("/count", "/count.gif", "/count.js", "/batch"):
        preflight = client("OPTIONS", path)
        assert preflight.status == 200
        assert preflight.headers["Access-Control-Max-Age"] == "86400"
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    for answer in (
        client.get("/count?pk=a"),
        client.get("/count"),
        client.get("/count.gif"),
        client.post("/batch", []),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_head_counts_nothing(client: Client) -> None:
    assert client("HEAD", "/count?pk=a").status == 200
    assert client.kept() == []


@pytest.mark.parametrize("header", ["Bearer w", "bearer w", "Basic Ondlcg==", "Basic d3JpdGVyOnc=", "Bearer \xc3\xa4"])
def test_keys_open_by_bearer_and_basic(locked: Client, header: str) -> None:
    expected = 401 if "Ondlcg" in header else 200  # password "wer"
    assert locked.get("/count?pk=a", HTTP_AUTHORIZATION=header).status == expected


def test_without_a_good_key_nothing_is_counted(locked: Client) -> None:
    answer = locked.get("/count?pk=a")
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert "Bearer" in answer.headers["Www-Authenticate"]
    for header in ("Bearer r", "Basic !!", "Basic dzpy", "Digest w", "Bearer", "Bearer \xff"):
        assert locked.get("/count?pk=a", HTTP_AUTHORIZATION=header).status == 401
    assert locked.get("/count?pk=a&key=r").status == 401
    assert locked.post("/batch", [GOOD]).status == 401
    assert locked.get("/flush_hail").status == 401
    assert locked.get("/count.gif?pk=a&key=x").headers["X-Hail"] == "dropped; reason=unauthorized"
    assert locked.kept() == []
    assert locked.get("/count.gif?pk=a&key=w").headers["X-Hail"] == "accepted"
    assert locked.get("/count?pk=a&key=" + quote("ä")).status == 200
    assert locked.post("/batch?key=w", [GOOD]).status == 202


@pytest.mark.parametrize("reason", [Reason.OVERLOADED, Reason.SPOOL_FULL])
def test_what_is_not_durable_is_503(client: Client, monkeypatch: pytest.MonkeyPatch, reason: Reason) -> None:
    def refuse(account: str, hits: list[tuple[bytes, int]]) -> None:
        raise NotAccepted(reason, 7)

    monkeypatch.setattr(client.publisher, "publish", refuse)
    before = refused(reason)
    for answer in (client.count(pk="a"), client.post("/count", GOOD), client.post("/batch", [GOOD, GOOD, BAD])):
        assert (answer.status, answer.headers["Retry-After"], answer.json["code"]) == (503, "7", reason)
    assert client.get("/count.gif?pk=a").headers["X-Hail"] == f"dropped; reason={reason}"
    assert refused(reason) == before + 5


def test_a_full_spool_is_503(settings: Settings) -> None:
    client = Client(settings.replace(spool_max_mb=0.1))
    assert client.count(pk="a").json["code"] == "spool_full"
    assert client.get("/readyz").status == 503
    client.publisher.close()


def test_a_spool_that_has_room_again_is_ready_before_a_hit_comes(settings: Settings, tmp_path: Path) -> None:
    client = Client(settings.replace(spool_max_mb=3.0))
    folder = Path(settings.data_dir) / "spool"
    folder.mkdir(parents=True)
    (folder / "1-other.spool").write_bytes(b"x" * 3_000_000)
    assert client.count(pk="a").json["code"] == "spool_full"
    assert client.get("/readyz").status == 503
    (folder / "1-other.spool").unlink()
    wait_until(lambda: client.get("/readyz").status == 200, what="room to be seen")
    client.publisher.close()


def test_health(client: Client) -> None:
    assert client.get("/healthz").status == 200
    ready = client.get("/readyz")
    assert (ready.status, ready.json) == (200, {"ready": True, "broker": "none", "spool": "ok", "spool_mb": 0.0})
    client.count(pk="a")
    page = client.get("/metrics").body.decode()
    assert 'hailwhale_hits_accepted_total{kept="spool"}' in page
    for reason in Reason:
        assert (f'reason="{reason}"' in page) == (reason is not Reason.UNCONFIRMED)
    assert "hailwhale_hits_unconfirmed_total" in page


def test_unknown_routes_are_problems(client: Client) -> None:
    for method, path, status in (("GET", "/nope", 404), ("DELETE", "/count", 405), ("GET", "/batch", 405)):
        answer = client(method, path)
        assert answer.status == status
        assert answer.json["status"] == status


def test_a_closed_publisher_refuses(client: Client) -> None:
    client.count(pk="a")
    client.publisher.close()
    assert client.count(pk="a").status == 503


def test_a_bind_beyond_this_machine_wants_all_keys(settings: Settings) -> None:
    from hail.access import check_bind

    for bind in ("127.0.0.1:8085", "localhost:1", "[::1]:8085", "127.9.9.9:1"):
        check_bind(bind, settings)
    for bind in ("0.0.0.0:8085", ":8085", "[::]:8085", "10.0.0.1:80", "example.org:80", "unix:/x.sock"):
        with pytest.raises(SettingsError, match="WRITE_KEY, HAILWHALE_READ_KEY, HAILWHALE_ADMIN_KEY"):
            check_bind(bind, settings)
        check_bind(bind, settings.replace(write_key="w", read_key="r", admin_key="a"))
    with pytest.raises(SettingsError, match="set HAILWHALE_ADMIN_KEY,"):
        check_bind("0.0.0.0:1", settings.replace(write_key="w", read_key="r"))


@given(
    st.sampled_from(["/count", "/count.gif", "/count.js"]),
    st.text("pkmetricsdno=&%{}[]:,'\"0123456789\x00\xff +-.", max_size=80) | st.text(max_size=40),
)
@law(200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_is_an_error_of_ours(client: Client, path: str, query: str) -> None:
    answer = client.get(f"{path}?{query.replace('?', '')}")
    assert answer.status in (200, 400)
    assert b"Internal" not in answer.body


@given(
    st.sampled_from(["/count", "/batch"]),
    st.binary(max_size=60) | st.text('[]{}":,pkhits01e\n ', max_size=60).map(str.encode),
    st.sampled_from(["", "application/json", "application/x-ndjson", "application/x-www-form-urlencoded"]),
    st.sampled_from(["", "gzip"]),
)
@law(200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_is_an_error_of_ours(client: Client, path: str, body: bytes, kind: str, encoding: str) -> None:
    answer = client.post(path, body, kind, HTTP_CONTENT_ENCODING=encoding)
    assert answer.status in (202, 400)


# Outcomes of decisions


def test_an_outcome_is_a_hit_of_its_option_with_its_moments(client: Client) -> None:
    given = {"pk": "Page", "option": "b", "dimensions": '{"country": "US"}', "metric": '{"spent": .50}'}
    assert client.get(f"/count_decision?{urlencode(given)}").text == "OK"
    posted = {"pk": ["Product", 1], "decision": "language", "option": "EN", "metrics": {"value": 2}, "id": "i"}
    assert client.post("/count_decision", posted).status == 202
    form = urlencode({"pk": "Page", "option": "a"}).encode()
    assert client.post("/count_decision", form, "application/x-www-form-urlencoded").status == 202
    moments, now = {"__moments__": ["moments", 1]}, int(NOW * 1000)
    assert client.kept() == [
        [["Page", "b"], {"country": {"US": {}}}, {"hits": 1, "spent": 500_000}, now, None, None, None, moments],
        [["Product", "1", "language", "EN"], {}, {"hits": 1, "value": 2_000_000}, now, "i", None, None, moments],
        [["Page", "a"], {}, {"hits": 1}, now, None, None, None, moments],
    ]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("pk=Page", "bad_pk", "option"),
        ("option=a", "bad_pk", "pk"),
        (f"pk=Page&option={'x' * 201}", "name_too_long", "option"),
        ("pk=Page&option=a&option=b", "bad_id", "option"),
        ("pk=Page&option=a&metric={'__moments__':1}", "bad_metrics", "metrics.__moments__"),
    ],
)
def test_an_outcome_that_cannot_be_counted_names_its_field(client: Client, query: str, code: str, field: str) -> None:
    answer = client.get(f"/count_decision?{query}")
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, code, field)


def test_an_option_is_no_field_of_a_plain_hit(client: Client) -> None:
    assert client.count(pk="Page", option="b").json["code"] == "unknown_field"
    assert client.post("/count", {"pk": "Page", "option": "b"}).json["code"] == "unknown_field"
    assert client("HEAD", "/count_decision?pk=Page&option=a").status == 200
    assert client.kept() == []


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_list_sent_to_count_is_told_to_go_to_batch(client: Client, content_type: str) -> None:
    answer = client.post("/count", b'[{"pk": "a"}]', content_type)
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_json", "body")
    assert answer.json["detail"].endswith("got a list; send a list of hits to /batch")


@pytest.mark.parametrize("body", [b'{"hits": 3}', b'{"hits": {"pk": "a"}}', b'{"hits": NaN}'])
def test_a_batch_whose_hits_are_no_list_is_told_so(client: Client, body: bytes) -> None:
    answer = client.post("/batch", body)
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "unknown_field", "hits")
    assert answer.json["detail"] == "hits: expected a list of hits"
    assert client.post("/batch", b'{"hits": [{"pk": "a"}]}').json["accepted"] == 1
    assert client.post("/batch", b'[{"hits": 3}]').json["detail"].startswith("hits: is not a field of a hit")


def test_the_publisher_has_its_turn_soon_in_a_server_with_threads_and_nothing_is_changed_in_other_programs(
    tmp_path: Path,
) -> None:
    code = "import sys, hail.web, whale; print(sys.getswitchinterval()); hail.web.application; print(sys.getswitchinterval())"
    environ = {**os.environ, "HAILWHALE_DATA_DIR": str(tmp_path)}
    assert subprocess.check_output([sys.executable, "-c", code], env=environ, text=True) == "0.005\n0.0005\n"


def posted(settings: Settings, publisher: Taken, given: Any) -> Answer:
    return call(make_app(settings, publisher, lambda: NOW), "POST", "/identify", body=json.dumps(given).encode())


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"pk": "shop", "anonymous": "a"}, "bad_id", "known"),
        ({"pk": "shop", "anonymous": "a", "known": ""}, "bad_id", "known"),
        ({"pk": "shop", "anonymous": "a" * 10_000, "known": "b"}, "name_too_long", "anonymous"),
        ({"pk": ["shop", "x"], "anonymous": "a", "known": "b"}, "bad_pk", "pk"),
        ({"anonymous": "a", "known": "b"}, "bad_pk", "pk"),
        ({"pk": "shop", "anonymous": "a", "known": "b", "event": "c"}, "unknown_field", "event"),
        ({"pk": "shop", "site": "shop", "anonymous": "a", "known": "b"}, "unknown_field", "site"),
        ([], "bad_json", "body"),
    ],
)
def test_what_joins_no_two_ids_is_refused(given: Any, code: str, field: str) -> None:
    settings = load({"HAILWHALE_MESSAGE_VERSION": "2"})
    answer = posted(settings, Taken(settings), given)
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, code, field)


def test_two_ids_are_joined_by_a_hit_that_counts_nothing() -> None:
    settings = load({"HAILWHALE_MESSAGE_VERSION": "2"})
    publisher = Taken(settings)
    answer = posted(settings, publisher, {"pk": "shop", "anonymous": "phone \0", "known": 7})
    assert answer.status == 202
    (row,) = publisher.hits
    assert (row[:3], row[5], row[14]) == ([["shop"], {}, {"hits": 0}], "phone \0", "7")
    assert posted(settings, publisher, {"site": "shop", "anonymous": "phone \0", "known": 7}).status == 202
    assert publisher.hits[1][:3] == row[:3]
    old = posted(load({}), Taken(load({})), {"pk": "shop", "anonymous": "a", "known": "b"})
    assert (old.status, old.json["code"], old.json["field"]) == (400, "bad_properties", "known")
