"""The documents name every setting, route, reason, key and command that there is, and none that there is not."""

import importlib
import inspect
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import bottle
import pytest

import hail.openapi
import hail.web
import whale.live.web
import whale.routes.asked
import whale.routes.asked_of_following
import whale.routes.asked_of_visitors
import whale.routes.openapi
import whale.web
from hail import access
from hail.access import RIGHTS
from hail.hit import FIELDS, Reason
from hail.publish import Publisher
from hail.settings import NAMES, PREFIX, TABLE, load
from whale import HailWhale, errors
from whale.cli import main
from whale.client import Whale
from whale.count import hailwail
from whale.decide.definition import DecisionGiven
from whale.library.arguments import on_default
from whale.live.relay import Relay
from whale.live.viewers import Viewers
from whale.store.memory import MemoryStore
from whale.store.redis import keys

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
}
ALL = "\n".join(DOCUMENTS.values())
INDEX = "docs/http.md"
HTTP = {document: text for document, text in DOCUMENTS.items() if document.startswith("docs/http/")}
MISSPELT_ON_PURPOSE = {"HAIL_BNID"}
SETTINGS = load({})
COMMANDS = {name: getattr(command, "module", None) for name, command in main.commands.items()}


def section(document: str, title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", DOCUMENTS[document], re.M | re.S)
    assert found, f"{document} has no section {title}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in a text, without head."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line.startswith("|")]
    return [row for i, row in enumerate(cells) if not set(row[0]) <= {"-", " "} and not _is_head(cells, i)]


def _is_head(cells: list[list[str]], i: int) -> bool:
    return i + 1 < len(cells) and set(cells[i + 1][0]) <= {"-", " "}


# Settings


def test_the_table_of_settings_is_the_one_in_the_code() -> None:
    shown = {row[0].strip("`"): row[1:4] for row in rows(DOCUMENTS["docs/settings.md"])}
    expected = {
        PREFIX + setting.name: [
            f"`{setting.default}`" if setting.default != "" else "empty",
            setting.unit,
            setting.meaning,
        ]
        for setting in TABLE
    }
    assert shown == expected


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_no_setting_that_does_not_exist(document: str) -> None:
    named = set(re.findall(rf"{PREFIX}([A-Z_]*[A-Z])", DOCUMENTS[document]))
    assert named - NAMES.keys() - MISSPELT_ON_PURPOSE == set()


# Routes


def routes(app: bottle.Bottle) -> set[str]:
    return {f"{route.method} {route.rule}" for route in app.routes if route.method not in ("HEAD", "OPTIONS")}


HAIL = routes(hail.web.make_app(SETTINGS, Publisher(SETTINGS)))
WHALE = routes(whale.web.make_app(SETTINGS, Whale(MemoryStore(SETTINGS), SETTINGS)))
VIEWERS = Viewers(SETTINGS, lambda: "run")
LIVE = routes(whale.live.web.make_app(SETTINGS, VIEWERS, Relay(SETTINGS, VIEWERS, lambda: MemoryStore(SETTINGS))))


def routes_in(text: str) -> list[str]:
    headings = re.findall(r"^##+ (.*)$", text, re.M)
    return [
        " ".join(found)
        for heading in headings
        for found in re.findall(r"(GET|POST|PUT|DELETE) (/\S*?)(?=,|$)", heading)
    ]


def test_each_route_has_a_heading_in_the_index_and_each_heading_a_route() -> None:
    for title, expected in (("Hail", HAIL), ("Whale", WHALE), ("Live", LIVE)):
        assert sorted(routes_in(section(INDEX, title))) == sorted(expected)


def test_openapi_describes_each_route_that_takes_hits() -> None:
    takes = {f"{method} {row.rule}" for row in RIGHTS if row.key == access.WRITE for method in row.methods}
    takes -= {"GET /flush_hail", "POST /flush_hail"}
    for served, document in ((HAIL, hail.openapi.document()), (WHALE, whale.routes.openapi.document())):
        described = {f"{method.upper()} {path}" for path, each in document["paths"].items() for method in each}
        assert {re.sub(r"<(\w+)(:\w+)?>", r"{\1}", each) for each in takes & served} - described == set()
        assert len(takes & served) > 5


def test_each_route_has_one_section_a_service_in_the_pages() -> None:
    described = [route for text in HTTP.values() for route in routes_in(text)]
    assert set(described) == HAIL | WHALE | LIVE
    twice = {route for route in described if described.count(route) > 1}
    assert twice == (HAIL & WHALE) - {"GET /openapi.json"}


def test_the_index_of_routes_leads_each_to_its_section() -> None:
    for title in ("Hail", "Whale", "Live"):
        for heading, says in re.findall(r"^### (.*)\n\n(.*)$", section(INDEX, title), re.M):
            (target,) = re.findall(r"\]\(http/\w+\.md#([^)]+)\)", says)
            assert target == anchor_of(heading)


def test_an_old_address_of_a_section_leads_to_its_page() -> None:
    """Links to docs/http.md#… are out in the world. The index has an anchor for each section of its pages, with a link to it."""
    leading = dict(re.findall(r'^- <a id="([^"]+)"></a>\[.*\]\((.*)\)$', DOCUMENTS[INDEX], re.M))
    headed = set(anchors(DOCUMENTS[INDEX]))
    for document, text in HTTP.items():
        for anchor in anchors(text):
            assert anchor in headed
            if anchor in leading:
                assert leading[anchor] == f"{document.removeprefix('docs/')}#{anchor}"


def test_no_section_of_two_pages_has_one_name() -> None:
    names = [anchor for text in HTTP.values() for anchor in anchors(text)]
    assert len(names) == len(set(names)) > 90
    listed = re.findall(r"^\| \[\w+\]\(http/(\w+\.md)\)", DOCUMENTS[INDEX], re.M)
    assert sorted(f"docs/http/{name}" for name in listed) == sorted(HTTP)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_addresses_in_documents_are_routes(document: str) -> None:
    for port, known in (("8085", HAIL), ("8086", WHALE), ("8087", LIVE)):
        rules = {route.partition(" ")[2] for route in known} | {"/ann", "/"}  # all users of HiiTrack; the demo
        rules |= {rule.partition("/<")[0] for rule in rules}
        assert set(re.findall(rf"127\.0\.0\.1:{port}(/[\w.]*)", DOCUMENTS[document])) <= rules


def test_parameters_of_questions_are_those_of_the_table() -> None:
    shown = {
        name for row in rows(section("docs/http/questions.md", "Parameters")) for name in re.findall(r"`(\w+)`", row[0])
    }
    modules = whale.routes.asked, whale.routes.asked_of_visitors, whale.routes.asked_of_following
    types = [each for module in modules for name, each in vars(module).items() if name.endswith("Asked")]
    taken = {name for each in types for name in each.__struct_fields__}
    assert taken - shown == set()


OTHER_SPELLINGS = {"dimension", "dimensions", "metric", "metrics"}
OF_POLICIES = {"exploration", "floor", "min_trials", "epsilon", "bad_idea_threshold", "test_idea_threshold"}


@pytest.mark.parametrize("route", whale.routes.openapi.QUESTIONS)
def test_the_section_of_a_question_lists_the_parameters_that_it_takes(route: str) -> None:
    """Of a name that may be written in the singular and in the plural one will do."""
    (text,) = (
        found[1]
        for page in HTTP.values()
        for found in re.finditer(rf"^## GET {route}, POST {route}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    )
    takes = re.search(r"Takes (.*?)(?:\.\s|\n\n)", text, re.S)
    assert takes
    shown = {name for names in re.findall(r"`([^`]+)`", takes[1]) for name in names.split()}
    taken = set(whale.routes.openapi.QUESTIONS[route][0].__struct_fields__)
    assert shown <= taken
    assert taken - shown <= OTHER_SPELLINGS | (OF_POLICIES if route == "/decide" else set())
    assert {"dimension", "dimensions"} & taken == set() or {"dimension", "dimensions"} & shown


def test_the_table_of_periods_says_the_points_of_each() -> None:
    asked = Whale(MemoryStore(SETTINGS), SETTINGS, clock=lambda: datetime(2015, 6, 17, 14, 35, tzinfo=UTC).timestamp())
    table = rows(DOCUMENTS["docs/http/periods.md"].partition("## Zones")[0])
    assert len(table) > 15
    for row in table:
        periods = re.findall(r"`([^`]+)`", row[0].partition(": ")[0])
        said = {int(number) for number in re.findall(r"\d+", row[3].partition("(")[0] + row[3].partition(")")[2])}
        assert {asked.range_of(period).points for period in periods} == said, row


def first_names(document: str, title: str) -> set[str]:
    """The names in the first column of the tables of a section."""
    return {name for row in rows(section(document, title)) for name in re.findall(r"`([\w-]+)`", row[0])}


def test_the_fields_of_a_hit_and_of_a_decision_are_those_of_their_tables() -> None:
    assert first_names("docs/http/hits.md", "A hit") == set(FIELDS)
    heading = "GET /decisions/<name:path>, POST /decisions/<name:path>"
    assert first_names("docs/http/decisions.md", heading) == set(DecisionGiven.__struct_fields__) - OF_POLICIES


def test_each_header_of_ours_is_in_the_table_of_headers() -> None:
    modules = [path for folder in ("hail", "whale") for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in modules for name in re.findall(r'"(X-(?:Hail|Whale|Adjusted)[\w-]*)"', path.read_text())}
    shown = {name for row in rows(DOCUMENTS["docs/http/headers.md"]) for name in re.findall(r"`(X-[\w-]+)`", row[0])}
    assert shown - {"X-API-Key"} == named


def user_of(row: access.Right) -> str:
    """The right that a user needs, as people read it; Hail knows no users."""
    if row.key in (None, access.INTERNAL) or f"{row.methods[0]} {row.rule}" not in WHALE | LIVE:
        return "none" if row.key is None else "no user"
    return row.of_user.replace(":", " ") if row.module != access.ANY_MODULE else "any"


def test_the_table_of_rights_is_the_one_in_the_code() -> None:
    shown = rows(section("docs/http/access.md", "Keys"))
    written = [
        [f"`{row.rule}`", ", ".join(row.methods), row.key or "none", user_of(row), str(row.pages)] for row in RIGHTS
    ]
    assert shown == written


def test_what_limited_keys_open_is_listed() -> None:
    text = section("docs/http/access.md", "Keys of accounts").partition("### At Whale")[2]
    browser = next(row[1] for row in rows(text) if row[0] == "`browser`")
    site = next(line for line in text.splitlines() if line.startswith("- A key of one site opens"))
    assert set(re.findall(r"`(/[^`]*)`", browser)) == {row.rule for row in RIGHTS if row.public}
    assert set(re.findall(r"`(/[^`]*)`", site)) == {row.rule for row in RIGHTS if row.of_site}


# Reasons


def whale_codes() -> set[str]:
    def codes(kind: type[errors.CallerError]) -> set[str]:
        return {kind.code}.union(*map(codes, kind.__subclasses__()))

    return codes(errors.CallerError) | {"unavailable"}


def test_each_reason_has_a_heading_and_each_heading_a_reason() -> None:
    headings = re.findall(r"^### (.*)$", section("docs/http/errors.md", "Reasons"), re.M)
    assert sorted(headings) == sorted({str(reason) for reason in Reason} | whale_codes())


def test_each_metric_is_in_the_documents() -> None:
    modules = [path for folder in ("hail", "whale") for path in (ROOT / folder).rglob("*.py")]
    source = "\n".join(path.read_text() for path in modules)
    names = set(re.findall(r'(?:Counter|Gauge|Histogram)\(\s*"(hailwhale_\w+)"', source))
    shown = {name.removesuffix("_total") for name in re.findall(r"hailwhale_\w+", "".join(HTTP.values()))}
    assert shown == names


# Recipes


def test_the_recipe_of_one_machine_makes_all_keys(tmp_path: Path) -> None:
    """Its nginx hands on all that HailWhale answers, /reset too."""
    lines = [line.strip() for line in section("docs/deploy.md", "One machine").split("\n") if line.startswith("    ")]
    written = "\n".join(line for line in lines if "/etc/hailwhale.env" in line and "echo" in line)
    file = tmp_path / "hailwhale.env"
    subprocess.run(["sh", "-ec", written.replace("/etc/hailwhale.env", str(file))], check=True)
    settings = load(dict(line.split("=", 1) for line in file.read_text().split()))
    keys = {getattr(settings, name.lower()) for name in access.KEYS}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {64}


def test_nginx_shows_itself_and_keeps_inside_what_is_for_this_machine() -> None:
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    assert "proxy_set_header X-Forwarded-For" in text
    inside, hail = (re.search(rf"\^/\((\S+)\)\$ {{ {word}", text) for word in ("deny all", "proxy_pass http://hail"))
    assert inside is not None
    assert set(inside[1].split("|")) == {"metrics", "readyz", "flush_hail", "count_now"}
    assert hail is not None
    of_hail, of_whale = ({route.split()[1] for route in routes} for routes in (HAIL, WHALE))
    assert {f"/{name}".replace("\\", "") for name in hail[1].split("|")} == of_hail - of_whale - {
        "/flush_hail",
        *("/js/<name>", "/v1/<call:call>", "/api/event", "/<user:account>/api/event"),
    }
    clients = re.search(r"location ~ (\S+) { proxy_pass http://hail; }  # clients of others", text)
    assert clients
    for path in ("/v1/batch", "/api/event", "/shop/api/event"):
        assert re.match(clients[1], path), path
    for path in ("/v1", "/shop/home/event/a", "/ofrep/v1/evaluate/flags", "/a/b/api/event"):
        assert not re.match(clients[1], path), path
    assert "location /js/ { proxy_pass http://hail; }" in text
    live = re.search(r"location = (\S+) { proxy_pass http://live; proxy_buffering off;", text)
    assert live
    assert live[1] in {route.split()[1] for route in LIVE}


# Commands


def options_of(command: str) -> set[str]:
    module = COMMANDS[command]
    real = importlib.import_module(module).main if module else main.commands[command]
    each = [real, *getattr(real, "commands", {}).values()]
    named = {option for one in each for parameter in one.params for option in parameter.opts + parameter.secondary_opts}
    return named | {"--help", "-h"}


def test_each_command_is_in_the_table_of_commands() -> None:
    shown = "".join(line for line in DOCUMENTS["docs/deploy.md"].splitlines() if line.startswith("| `hailwhale "))
    for command in COMMANDS:
        assert re.search(rf"`hailwhale {command}\b", shown), command


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_no_command_or_option_that_does_not_exist(document: str) -> None:
    text = DOCUMENTS[document]
    for command, rest in re.findall(r"(?:bin/|`|- )hailwhale ([a-z]+)([^`\n|]*)", text):
        assert command in COMMANDS
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options_of(command)
    known = {option for parameter in hailwail.main.params for option in parameter.opts}
    for rest in re.findall(r"hailwail((?: --[a-z]+)+)", text):
        assert set(rest.split()) <= known


# Keys


def plain(text: str) -> str:
    for shown, written in (("×", "x"), ("→", "->"), ("…", "..."), ("`", "")):
        text = text.replace(shown, written)
    return text


def test_the_table_of_keys_is_the_one_in_the_code() -> None:
    shown = [[plain(cell) for cell in row] for row in rows(section("docs/storage.md", "Keys"))]
    written = [[plain(cell) for cell in row] for row in rows(keys.__doc__ or "")]
    assert [row[:2] for row in shown] == [row[:2] for row in written]
    assert len(shown) > 5


# The library


def test_each_call_of_the_library_may_be_made_on_the_class() -> None:
    """As library.md says, which has them in a table."""
    table = DOCUMENTS["docs/library.md"].partition("| call | result |")[2].partition("In an answer")[0]
    names = {
        name for row in rows("| call | result |" + table) for name in re.findall(r"`(?!whale)([a-z_]+)[(`]", row[0])
    }
    assert "range_of" in names
    calls = {name: inspect.getattr_static(HailWhale, name) for name in names}
    assert [name for name, each in calls.items() if not isinstance(each, on_default)] == []


# Links


BLOCKS = re.compile(r"^```.*?^```$|(?:^ {4}[^\n]*\n)+", re.M | re.S)


def anchor_of(title: str) -> str:
    """As GitHub makes it of a heading."""
    shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[^\w -]", "", shown).lower().replace(" ", "-")


def anchors(text: str) -> list[str]:
    """All that a link may lead to, in order; a heading that came before has a number behind it."""
    found: list[str] = []
    prose = BLOCKS.sub("", text)
    titles = re.findall(r'^#+ (.+)$|^(.+)\n(?:===+|---+)$|<a id="([^"]+)"', prose, re.M)
    for name in [given or anchor_of(title or underlined) for title, underlined, given in titles]:
        times = sum(each == name or bool(re.fullmatch(rf"{re.escape(name)}-\d+", each)) for each in found)
        found.append(f"{name}-{times}" if times else name)
    return found


def test_anchors_are_those_of_github() -> None:
    text = 'Top\n===\n\n# A `b`, c\n```sh\n# no heading\n```\n## GET /a, POST /a_b\n## A b c\n## A [link](x.md)\n- <a id="old"></a>\n'
    assert anchors(text) == ["top", "a-b-c", "get-a-post-a_b", "a-b-c-1", "a-link", "old"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCKS.sub("", DOCUMENTS[document])):
        path, _, anchor = unquote(target).partition("#")
        if "://" in target:
            continue
        linked = (ROOT / document).parent / path if path else ROOT / document
        assert linked.exists(), f"{target} in {document}"
        if anchor:
            assert anchor in anchors(linked.read_text()), f"{target} in {document}"


def test_pages_that_texts_in_code_name_are_there() -> None:
    modules = [path for folder in ("hail", "whale", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in modules for name in re.findall(r"(docs/[\w/-]+\.md)(?:#([\w-]+))?", path.read_text())}
    assert {page for page, _ in named} >= {"docs/http.md", "docs/settings.md"}
    assert {page for page, _ in named} <= DOCUMENTS.keys()
    assert [(page, anchor) for page, anchor in named if anchor and anchor not in anchors(DOCUMENTS[page])] == []


CODE = re.compile(r"^```\w*\n(.*?)^```$|((?:^ {4}[^\n]*\n)+)", re.M | re.S)
COUNTED = re.compile(
    r"""\bpk"?[=:] ?\[?"?(\w+)|/decisions/([\w-]+)|(?:count_now|count_decision|get_object_details|factors)\(\[?"([\w-]+)"(?=,)"""
)


def test_who_tries_the_examples_of_all_pages_on_one_machine_sees_the_numbers_of_each() -> None:
    """No two pages count, ask or define under the same name."""
    pages_of: dict[str, set[str]] = {}
    for document in DOCUMENTS:
        if document in ("CHANGELOG.md", "docs/howto/demo.md") or document.startswith("docs/decisions/"):
            continue  # the demo has a folder of its own
        code = "\n".join(fenced or indented for fenced, indented in CODE.findall(DOCUMENTS[document]))
        for found in COUNTED.findall(code):
            pages_of.setdefault("".join(found), set()).add(document)
    assert {name: pages for name, pages in pages_of.items() if len(pages) > 1} == {}
    assert pages_of.keys() >= {"test", "shop", "coffee", "orders", "store", "checkout-steps"}


def test_the_index_of_decisions_names_each_once() -> None:
    listed = re.findall(r"^- \[(\d+) .*\]\((.*)\)$", DOCUMENTS["docs/decisions/README.md"], re.M)
    assert sorted(name for _, name in listed) == sorted(
        path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md")
    )
    assert all(name.startswith(f"{number}-") for number, name in listed)


def test_the_public_names_of_the_library_are_those_of_its_page() -> None:
    text = (ROOT / "docs/library.md").read_text()
    cells = [line.split(" | ")[0] for line in text.partition("| call | result |")[2].partition("\n\n")[0].splitlines()]
    documented = {name for cell in cells for name in re.findall(r"`(?:Whale\.)?([a-z_]+)(?=[(`])", cell)}
    assert {name for name in dir(Whale) if not name.startswith("_")} == documented
    assert set(dir(HailWhale)) - set(dir(Whale)) == {"log"}
