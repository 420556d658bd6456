"""The dashboard as it is served, and the rules that its own files keep."""

import gzip
import re
import shlex
import shutil
from html import unescape
from pathlib import Path

import pytest

from hail.settings import load
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.errors import Unavailable
from whale.routes.assets import ELEMENT, EXPORT, FOLDER, IMPORT, LATER, SERVED, START, joined, reached, read_assets
from whale.store.memory import MemoryStore
from whale.web import make_app

KEYS = {"HAILWHALE_WRITE_KEY": "w", "HAILWHALE_READ_KEY": "r", "HAILWHALE_ADMIN_KEY": "a"}
OWN = sorted(path for path in FOLDER.rglob("*.js") if "vendor" not in path.parts)
MOST_LETTERS, STILL_WIDE = 160, {"chart.js", "element.js", "line.js", "lines.js", "options.js"}
MOST_LINES, MOST_LINES_OF_A_FILE = 4302, 300
FIRST_VIEW_BYTES, FURTHER_VIEW_BYTES = 60_000, 15_000


class Site:
    """Whale on the memory store."""

    def __init__(self, **environ: str):
        settings = load(environ)
        self.store = MemoryStore(settings)
        self.app = make_app(settings, Whale(self.store, settings))

    def get(self, path: str = "/", **environ: str) -> Answer:
        path, _, query = path.partition("?")
        return call(self.app, "GET", path, query=query, **environ)


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


def named(page: str) -> list[str]:
    """Addresses that the page names."""
    return [unescape(address) for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page)]


def closure(start: Path, later: bool) -> set[Path]:
    """All that a module imports; later: with what it imports only when it is needed."""
    found, ahead = set(), [start]
    while ahead:
        module = ahead.pop()
        found.add(module)
        text = module.read_text()
        names = [path for _, _, path in IMPORT.findall(text)] + (LATER.findall(text) if later else [])
        ahead += [path for name in names if (path := (module.parent / name).resolve()) not in found]
    return found


def test_the_page_may_run_nothing_but_its_own_service_and_ask_the_live_one_too(site: Site) -> None:
    answer = site.get()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self' http://127.0.0.1:8087; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("settings", "host", "origin"),
    [
        ({}, "localhost:8086", "http://localhost:8087"),
        ({}, "[::1]:8086", "http://[::1]:8087"),
        ({"LIVE_BIND": "127.0.0.1:9000"}, "127.0.0.1", "http://127.0.0.1:9000"),
        ({"LIVE_URL": "https://count.example.org"}, "localhost:8086", "https://count.example.org"),
        ({"LIVE_BIND": ""}, "localhost:8086", ""),
        ({"LIVE_BIND": "unix:/run/live.sock"}, "localhost:8086", ""),
        ({"LIVE_BIND": "", "LIVE_URL": "https://count.example.org"}, "localhost:8086", "https://count.example.org"),
    ],
    ids=str,
)
def test_the_page_may_ask_the_stream_that_it_is_told_and_no_other(
    settings: dict[str, str], host: str, origin: str
) -> None:
    site = Site(**{f"HAILWHALE_{name}": value for name, value in settings.items()})
    told = site.get("/live_token", HTTP_HOST=host).json
    assert told == {"url": f"{origin}/live" if origin else None, "token": None, "expires": None, "spy": True}
    policy = site.get("/", HTTP_HOST=host).headers["Content-Security-Policy"]
    assert re.findall("connect-src ([^;]*);", policy) == [f"'self' {origin}".strip()]


def test_every_file_that_the_page_or_a_module_names_is_served(site: Site) -> None:
    addresses = named(site.get().text)
    assert len(addresses) == 3
    folder = addresses[0].split("/")[2]
    _, assets = read_assets()
    modules = closure(FOLDER / "main.js", later=True)
    addresses += [f"/static/{folder}/{path.relative_to(FOLDER).as_posix()}" for path in modules]
    for address in addresses:
        answer = site.get(address)
        assert answer.status == 200, address
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert answer.body == assets[address.split("/", 3)[3]].body


def test_modules_and_styles_are_answered_as_such(site: Site) -> None:
    types = {Path(address).suffix: site.get(address).headers["Content-Type"] for address in named(site.get().text)}
    assert types == {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
    }


def test_who_takes_gzip_gets_it_and_who_has_the_file_gets_304(site: Site) -> None:
    address = named(site.get().text)[-1]
    plain, packed = site.get(address), site.get(address, HTTP_ACCEPT_ENCODING="br, gzip")
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["Etag"] != packed.headers["Etag"]
    assert site.get(address, HTTP_IF_NONE_MATCH="*").status == 304
    again = site.get(address, HTTP_ACCEPT_ENCODING="gzip", HTTP_IF_NONE_MATCH=packed.headers["Etag"])
    assert (again.status, again.body) == (304, b"")
    assert gzip.decompress(site.get("/", HTTP_ACCEPT_ENCODING="gzip").body) == site.get("/").body


def test_an_address_changes_with_the_contents_of_any_file(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "dashboard")
    before, _ = read_assets(tmp_path / "dashboard")
    assert before == read_assets()[0]
    (tmp_path / "dashboard" / "format.js").write_text("export const number = String\n")
    after, assets = read_assets(tmp_path / "dashboard")
    assert after != before
    assert assets["main.js"].name == f"{after}/main.js"


@pytest.mark.parametrize(
    "path",
    ["nothing.js", "{v}/../../web.py", "{v}/nothing.js", "{v}/vendor", "{v}/index.html", "../web.py", "{v}/\n", "{v}"],
)
def test_a_file_that_is_not_there_is_404(site: Site, path: str) -> None:
    version = read_assets()[0]
    answer = site.get("/static/" + path.replace("{v}", version))
    assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_with_keys_the_page_and_its_files_ask_for_the_read_key() -> None:
    site = Site(**KEYS)
    address = f"/static/{read_assets()[0]}/main.js"
    for path in ("/", address):
        refused = site.get(path)
        assert refused.status == 401
        assert refused.headers["Www-Authenticate"] == 'Bearer, Basic realm="whale"'
        assert site.get(path, HTTP_AUTHORIZATION="Basic OnI=").status == 200  # ":r"
        assert "Access-Control-Allow-Origin" not in site.get(path, HTTP_AUTHORIZATION="Bearer r").headers


def test_without_keys_strangers_see_neither_the_page_nor_its_files(site: Site) -> None:
    for path in ("/", f"/static/{read_assets()[0]}/main.js"):
        assert site.get(path, HTTP_HOST="whale.test").status == 403
        assert site.get(path, HTTP_X_FORWARDED_FOR="10.0.0.1").status == 403


def facts(page: str) -> dict[str, str]:
    return {name: unescape(value) for name, value in re.findall(r'data-(\w+)="([^"]*)"', page.split(">", 2)[1])}


def test_the_page_names_hail_where_its_reader_finds_it() -> None:
    site = Site(HAILWHALE_HAIL_BIND="0.0.0.0:8085", HAILWHALE_TIMEZONE="Europe/Berlin", **KEYS)
    page = site.get("/?key=r&theme=dark", HTTP_HOST="whale.test:8086").text
    assert facts(page) == {
        "theme": "dark",
        "hail": "http://whale.test:8085",
        "keys": "needed",
        "account": "default",
        "zone": "Europe/Berlin",
    }


def test_behind_a_trusted_proxy_hail_is_at_the_same_address_as_the_page() -> None:
    """As deploy/nginx.conf has it: the reader of the page cannot reach where Hail listens."""
    asked = {"HTTP_HOST": "counts.example", "HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "10.0.0.9"}
    trusting = Site(HAILWHALE_TRUSTED_PROXIES="10.0.0.0/8", **KEYS)
    assert facts(trusting.get("/?key=r", **asked).text)["hail"] == "https://counts.example"
    for other in ({"REMOTE_ADDR": "192.168.0.9"}, {"HTTP_X_FORWARDED_PROTO": "gopher"}):
        assert facts(trusting.get("/?key=r", **asked | other).text)["hail"] == "http://127.0.0.1:8085"


def test_the_page_repeats_nothing_that_is_no_host_and_no_theme() -> None:
    page = Site(**KEYS).get('/?key=r&theme="><script>boom(1)</script>', HTTP_HOST="x;rm -rf ~;<script>").text
    assert "rm -rf" not in page
    assert "boom" not in page
    assert facts(page)["theme"] == ""


def test_the_page_is_there_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(HAILWHALE_TIMEZONE="Asia/Tokyo")

    def refuse(*_: object) -> str:
        raise Unavailable("Redis: connection refused")

    monkeypatch.setattr(site.store, "zone", refuse)
    assert facts(site.get().text)["zone"] == "Asia/Tokyo"


def test_the_page_has_a_line_that_counts_a_hit(site: Site) -> None:
    (line,) = re.findall(r"<pre[^>]*>(curl .*?)</pre>", site.get().text, re.S)
    assert shlex.split(unescape(line).replace("\\\n", "")) == [
        "curl",
        "-G",
        "http://127.0.0.1:8085/count",
        "--data-urlencode",
        "pk=shop",
        "--data-urlencode",
        'dimensions={"country": "US"}',
        "--data-urlencode",
        'metrics={"revenue": 9.5}',
    ]
    assert "Authorization: Bearer $KEY" in unescape(Site(**KEYS).get("/?key=r").text)


# What the policy refuses, and what asks another server: (pattern, why)
FORBIDDEN = (
    (r"\b(inner|outer)HTML\b|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment", "parses markup"),
    (r"\beval\b|new Function|setTimeout\(\s*['\"`]", "runs text"),
    (r"\bstyle\s*[=:]\s*['\"`]|\.cssText|setAttribute\(\s*['\"]style", "styles inline"),
    (r"(?:https?:)?//(?!www\.w3\.org/2000/svg|/)[a-z0-9-]+\.[a-z]", "names another server"),
    (r"\bon[a-z]+=['\"]", "has a handler in markup"),
)


@pytest.mark.parametrize("path", [*OWN, FOLDER / "index.html"], ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_no_file_of_the_dashboard_does_what_its_policy_refuses(path: Path) -> None:
    text = path.read_text()
    for pattern, why in FORBIDDEN:
        assert not (found := re.search(pattern, text)), f"{path.name} {why}: {found}"


def lines_of_code(text: str) -> list[str]:
    """Without comments and empty lines: what explains the code costs a reader nothing."""
    lines = re.sub(r"/\*\*.*?\*/", "", text, flags=re.S).splitlines()
    return [line for line in lines if line.strip() and not line.strip().startswith("//")]


@pytest.mark.parametrize("start", [START, ELEMENT])
def test_no_text_of_what_is_put_together_goes_over_a_line(start: str) -> None:
    """The space before a line is left out of what is sent: within a text that would change it."""
    texts = {path.relative_to(FOLDER).as_posix(): path.read_text() for path in FOLDER.rglob("*.js")} | {SERVED: ""}
    for name in reached(start, texts):
        for line in texts[name].splitlines():
            assert re.sub(r'\[[\^/`"]+\]', "", line).count("`") % 2 == 0, (name, line)


def test_the_dashboard_is_small() -> None:
    lines = {path.relative_to(FOLDER).as_posix(): len(lines_of_code(path.read_text())) for path in OWN}
    assert max(lines.values()) <= MOST_LINES_OF_A_FILE, lines
    assert sum(lines.values()) <= MOST_LINES, lines
    wide = {path.name for path in OWN if max(map(len, path.read_text().splitlines())) > MOST_LETTERS}
    assert wide <= STILL_WIDE


def test_views_are_small_on_the_wire(site: Site) -> None:
    _, assets = read_assets()
    first = [address.split("/", 3)[3] for address in named(site.get().text)]
    size = sum(len(assets[name].gzipped) for name in first) + len(gzip.compress(site.get().body))
    assert size <= FIRST_VIEW_BYTES
    at_once = closure(FOLDER / "main.js", later=False)
    for view in FOLDER.glob("views/*.js"):
        further = closure(view, later=False) - at_once
        more = sum(len(assets[path.relative_to(FOLDER).as_posix()].gzipped) for path in further)
        assert more <= FURTHER_VIEW_BYTES, view.name
    assert FOLDER / "options.js" not in at_once
    assert len(assets["options.js"].gzipped) <= FURTHER_VIEW_BYTES


def test_modules_are_sent_as_one_and_views_take_from_it() -> None:
    modules = {
        "main.js": "import { a, b as c } from './low.js'\nimport * as f from './format.js'\n"
        "export const views = () => import('./views/live.js')\nrun(a, c, f)\n",
        "low.js": "/** Says\n * why. */\nimport { number } from './format.js'\nexport const a = 1\nexport async function b() {}\n",
        "format.js": "export class Shown {}\nexport function number() {}\nconst own = 1\n",
        "views/live.js": "import { a } from '../low.js'\nimport { own } from './table.js'\nexport function show() {}\n",
        "views/table.js": "import { Shown } from '../format.js'\nexport const own = Shown\n",
        "graph.js": "import { number } from './format.js'\n",
    }
    assert joined(modules) == {
        "main.js": "const format_js = (() => {\nclass Shown {}\nfunction number() {}\nconst own = 1\nreturn { Shown, number }\n})();\n"
        "const low_js = (() => {\nconst { number } = format_js\nconst a = 1\nasync function b() {}\nreturn { a, b }\n})();\n"
        "const main_js = (() => {\nconst { a, b: c } = low_js\nconst f = format_js\n"
        "const views = () => import('./views/live.js')\nrun(a, c, f)\nreturn { views }\n})();\n"
        "export { format_js, low_js, main_js }\n",
        "views/live.js": "import { low_js } from '../main.js'; const { a } = low_js\nimport { own } from './table.js'\n"
        "export function show() {}\n",
        "views/table.js": "import { format_js } from '../main.js'; const { Shown } = format_js\nexport const own = Shown\n",
    }


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_every_import_and_export_has_the_form_that_is_known(path: Path) -> None:
    text = path.read_text()
    assert len(re.findall(r"^import\b", text, re.M)) == len(IMPORT.findall(text))
    assert len(re.findall(r"^export\b", text, re.M)) == len(EXPORT.findall(text))
    assert not re.search(r"^await\b", text, re.M)
    if path.name != "main.js":
        assert not LATER.search(text), "only main.js opens modules later"
