"""PageViews around applications of Flask, of Django and by hand, with the real publisher and its spool."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.handlers import SimpleHandler

import django
import flask
import pytest
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.urls import path as route

from hail.message import decode_message
from hail.settings import Settings, load
from hail.spool import SpoolFolder, read_records
from tests.servers import wait_until
from whale import middleware
from whale.middleware import PAGE, PageViews

Body = Iterable[bytes]
Seen = list[tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"HAILWHALE_DATA_DIR": str(tmp_path)})


def app_of(body: Body = (b"<h1>Hello</h1>",), status: str = "200 OK", type_: str = "text/html; charset=utf-8") -> Any:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Body:
        start_response(status, [("Content-Type", type_)])
        return body

    return app


def get(app: Any, address: str = "/", method: str = "GET", **environ: Any) -> bytes:
    """As a server does: it closes what it was given."""
    started: list[Any] = []
    given = {
        "REQUEST_METHOD": method,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "PATH_INFO": address,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "HTTP_HOST": "shop.example",
    }
    body = app({**given, **environ}, lambda *said: started.append(said))
    try:
        return b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()


def counted(views: PageViews, settings: Settings, ms: int | None = None) -> Seen:
    """Dimensions and metrics of what was counted, the time aside. ms: that it was."""
    views.close()
    folder = SpoolFolder(settings.data_dir)
    found = []
    for name in folder.names():
        for body in read_records((folder.path / name).read_bytes()).messages:
            for hit in decode_message(body).hits:
                assert bytes(hit.pk) == b'["page_views"]'
                took = hit.metrics.pop("ms") / 1_000_000
                assert 0 <= took < 60_000 if ms is None else took == ms
                found.append((json.loads(bytes(hit.dimensions)), dict(hit.metrics)))
    return found


def hit(**dimensions: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {name: {value: {}} for name, value in dimensions.items()}, {"hits": 1}


def test_a_page_counts_by_page_status_and_referring_site(settings: Settings) -> None:
    views = PageViews(app_of(), settings=settings)
    assert get(views, "/", HTTP_REFERER="https://search.example/?q=books") == b"<h1>Hello</h1>"
    get(views, "/caf\xc3\xa9", HTTP_REFERER="https://shop.example/")  # WSGI has bytes as latin-1
    assert counted(views, settings) == [
        hit(page="/", status="200", referrer="search.example"),
        hit(page="/café", status="200"),
    ]


@pytest.mark.parametrize(
    ("app", "environ"),
    [
        (app_of(type_="application/json"), {}),
        (app_of(type_="image/png"), {}),
        (app_of(status="302 Found"), {}),
        (app_of(), {"REQUEST_METHOD": "POST"}),
        (app_of(), {"REQUEST_METHOD": "HEAD"}),
        (app_of(), {"HTTP_SEC_PURPOSE": "prefetch;prerender"}),
        (app_of(), {"HTTP_PURPOSE": "prefetch"}),
        (app_of((), "304 Not Modified", ""), {"HTTP_ACCEPT": "image/avif"}),
    ],
)
def test_what_is_no_view_does_not_count(settings: Settings, app: Any, environ: dict[str, str]) -> None:
    views = PageViews(app, settings=settings)
    get(views, **environ)
    assert counted(views, settings) == []
    assert views.dropped == 0


def test_a_page_that_a_browser_had_already_is_a_view(settings: Settings) -> None:
    views = PageViews(app_of((), "304 Not Modified", ""), settings=settings)
    get(views, HTTP_ACCEPT="text/html,*/*")
    assert counted(views, settings) == [hit(page="/", status="304")]


def test_an_address_that_strangers_made_up_is_not_named(settings: Settings) -> None:
    views = PageViews(app_of(status="404 Not Found"), settings=settings)
    get(views, "/wp-admin", HTTP_REFERER="http://[half")
    assert counted(views, settings) == [hit(status="404")]


def test_the_application_may_name_its_page(settings: Settings) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Body:
        environ[PAGE] = "/books/<number>"
        return app_of()(environ, start_response)

    views = PageViews(app, settings=settings)
    get(views, "/books/7")
    assert counted(views, settings) == [hit(page="/books/<number>", status="200")]


def test_own_dimensions_and_pk(settings: Settings) -> None:
    def dimensions(environ: dict[str, Any], status: int) -> dict[str, str] | None:
        return {"language": environ["HTTP_ACCEPT_LANGUAGE"]} if "HTTP_ACCEPT_LANGUAGE" in environ else None

    views = PageViews(app_of(), ["page_views"], dimensions, settings)
    get(views, HTTP_ACCEPT_LANGUAGE="de")
    get(views)
    assert counted(views, settings) == [hit(language="de")]


def test_a_page_that_is_made_while_it_is_sent_counts_when_it_was_sent(settings: Settings) -> None:
    closed = []

    class Parts:
        def __init__(self, environ: dict[str, Any], start_response: Callable[..., Any]):
            self._start_response = start_response

        def __iter__(self) -> Any:
            self._start_response("200 OK", [("Content-Type", "text/html")])
            yield b"one "
            yield b"two"

        def close(self) -> None:
            closed.append(True)

    views = PageViews(Parts, settings=settings)
    assert get(views) == b"one two"
    assert closed == [True]
    assert counted(views, settings) == [hit(page="/", status="200")]


def test_the_time_is_that_of_the_application_and_not_of_sending(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([10.0, 11.5])
    monkeypatch.setattr(middleware.time, "perf_counter", lambda: next(ticks))
    views = PageViews(app_of(), settings=settings)
    get(views)
    monkeypatch.undo()
    assert counted(views, settings, ms=1500) == [hit(page="/", status="200")]


def test_what_is_no_page_is_handed_on_as_it_is(settings: Settings) -> None:
    """A server may send a file by the kernel, if nothing is wrapped around it."""
    body = (b"file",)
    views = PageViews(app_of(body, type_="application/pdf"), settings=settings)
    assert views({"REQUEST_METHOD": "GET"}, lambda *_: None) is body


def test_an_error_of_the_application_is_its_own(settings: Settings) -> None:
    def app(*_: Any) -> Body:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        get(PageViews(app, settings=settings))


def test_what_cannot_be_counted_is_dropped_and_told_once(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    def dimensions(environ: dict[str, Any], _: int) -> Any:
        return {"page": "x" * 1000} if environ["PATH_INFO"] == "/long" else 1 / 0

    views = PageViews(app_of(), dimensions=dimensions, settings=settings)
    with caplog.at_level(logging.WARNING):
        for address in ("/", "/long", "/long"):
            assert get(views, address) == b"<h1>Hello</h1>"
        assert counted(views, settings) == []
    assert views.dropped == 3
    assert [record.getMessage() for record in caplog.records] == [
        "1 page views were not counted since the start; the last one: ZeroDivisionError('division by zero')"
    ]


def test_an_error_that_nobody_expected_does_not_end_the_counting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = PageViews(app_of(), settings=settings)
    publish, broken = views._publisher.publish, [OSError("the disk"), None]

    def once(*given: Any) -> None:
        if error := broken.pop(0):
            raise error
        publish(*given)

    monkeypatch.setattr(views._publisher, "publish", once)
    get(views, "/first")
    wait_until(lambda: views.dropped == 1, what="the view that is dropped")
    get(views, "/second")
    assert counted(views, settings) == [hit(page="/second", status="200")]


def test_views_that_wait_are_bounded_in_bytes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "WAITING_BYTES", 2000)
    views = PageViews(app_of(), settings=settings)
    goes_on = threading.Event()
    publish = views._publisher.publish
    monkeypatch.setattr(views._publisher, "publish", lambda *given: goes_on.wait(60) and publish(*given))
    for _ in range(50):
        assert get(views, "/" + "x" * 150) == b"<h1>Hello</h1>"
    assert 42 <= views.dropped <= 48  # some 450 bytes each
    goes_on.set()
    seen = len(counted(views, settings))
    assert seen + views.dropped == 50
    assert views._waiting_bytes == 0


def test_pages_are_served_where_nothing_can_be_counted(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("no folder")
    views = PageViews(app_of(), settings=load({"HAILWHALE_DATA_DIR": str(tmp_path / "var")}))
    assert get(views) == b"<h1>Hello</h1>"
    views.close()
    assert views.dropped == 1


def test_each_process_counts_its_own_views_after_a_fork(settings: Settings) -> None:
    views = PageViews(app_of(), settings=settings)
    get(views, "/before")
    if not (child := os.fork()):
        get(views, "/child")
        views.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    get(views, "/after")
    pages = [next(iter(dimensions["page"])) for dimensions, _ in counted(views, settings)]
    assert sorted(pages) == ["/after", "/before", "/child"]


def test_greenlets_of_an_application_that_was_loaded_before_gevent_patched_wait_for_nobody(settings: Settings) -> None:
    """As under `gunicorn --preload --worker-class gevent`: a lock that is older than the patches stops all greenlets."""
    program = f"""
from hail.settings import load
from whale.middleware import PageViews

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html")])
    return [b"page"]

views = PageViews(app, settings=load({{"HAILWHALE_DATA_DIR": {settings.data_dir!r}}}))

from gevent import monkey
monkey.patch_all()
import gevent

def get():
    body = views({{"REQUEST_METHOD": "GET", "PATH_INFO": "/"}}, lambda *_: None)
    parts = b"".join(body)
    body.close()
    return parts

found = [each.value for each in gevent.joinall([gevent.spawn(get) for _ in range(5)])]
assert found == [b"page"] * 5, found
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert counted(PageViews(app_of(), settings=settings), settings) == [hit(page="/", status="200")] * 5


def test_flask(settings: Settings) -> None:
    app = flask.Flask(__name__)

    @app.get("/books/<int:number>")
    def book(number: int) -> str:
        flask.request.environ[PAGE] = flask.request.url_rule.rule if flask.request.url_rule else ""
        return f"<h1>Book {number}</h1>"

    views = PageViews(app.wsgi_app, settings=settings)
    assert get(views, "/books/7") == b"<h1>Book 7</h1>"
    get(views, "/other")
    assert counted(views, settings) == [hit(page="/books/<int:number>", status="200"), hit(status="404")]


def book(request: HttpRequest, number: int) -> HttpResponse:
    match = request.resolver_match
    request.META[PAGE] = match.route if match else ""
    return HttpResponse(f"<h1>Book {number}</h1>")


urlpatterns = [route("books/<int:number>", book)]


def test_django(settings: Settings) -> None:
    if not django_settings.configured:
        django_settings.configure()
        django.setup()
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False):
        views = PageViews(WSGIHandler(), settings=settings)
        assert get(views, "/books/7", **{"wsgi.input": io.BytesIO()}) == b"<h1>Book 7</h1>"
    assert counted(views, settings) == [hit(page="books/<int:number>", status="200")]


class Unsized:
    def __iter__(self) -> Iterator[bytes]:
        return iter([b"unsized"])


def by_keyword(environ: dict[str, Any], start_response: Callable[..., Any]) -> Body:
    start_response("200 OK", [("Content-Type", "text/html")])
    try:
        raise ValueError("while the page was made")
    except ValueError:
        start_response("500 Oh", [("Content-Type", "text/html")], exc_info=sys.exc_info())
    return [b"sorry"]


@pytest.mark.parametrize(
    "app", [app_of([b"one part"]), app_of([b"two ", b"parts"]), app_of(Unsized()), app_of([]), by_keyword]
)
def test_a_server_says_of_an_answer_all_that_it_says_without(settings: Settings, app: Any) -> None:
    """Servers take Content-Length from an answer that is one part, which they know by its len()."""

    def served(application: Any) -> bytes:
        sent = io.BytesIO()
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1"}
        handler = SimpleHandler(io.BytesIO(), sent, io.StringIO(), environ)
        handler.origin_server = False  # it would say the date
        handler.run(application)
        return sent.getvalue()

    assert served(PageViews(app, settings=settings)) == served(app)
