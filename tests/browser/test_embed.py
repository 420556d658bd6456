"""Graphs in pages of other sites: a second origin, with a strict policy of its own, and what a share lets it see."""

import json
import re
import threading
import time
from collections.abc import Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import django
import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from hail.settings import load
from tests.browser.conftest import Site
from tests.browser.visits import Chromium, check_keyboard, check_looks
from tests.servers import free_port, wait_until
from tests.wsgi import serving
from whale.client import Whale
from whale.store.memory import MemoryStore
from whale.web import make_app

JQUERY = Path(django.__file__).parent / "contrib/admin/static/admin/js/vendor/jquery/jquery.min.js"
STRICT = (
    "default-src 'none'; script-src {whale} 'self'; connect-src {whale}; style-src 'self'; img-src {whale} data:; frame-src {whale}; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
EVIL = "<img src=x onerror=alert(1)>"
PK, DAY_S = "embedded", 86_400


class Foreign:
    """A site of its own, on another port. show: makes a page of it, and gives its address."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, str]] = {}
        pages = self.pages

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/jquery.js":
                    kind, body, policy = "text/javascript", JQUERY.read_bytes(), ""
                else:
                    text, policy = pages.get(path, ("", ""))
                    kind, body = (
                        "text/html; charset=utf-8" if path.count(".") == 0 else "text/javascript",
                        text.encode(),
                    )
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if policy:
                    self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def show(self, name: str, body: str, whale: str) -> str:
        page = f"<!DOCTYPE html><html lang=en><title>{name}</title><link rel=icon href='data:,'><main><h1>Elsewhere</h1>{body}</main>"
        self.pages[f"/{name}"] = page, STRICT.format(whale=whale)
        return f"{self.origin}/{name}"

    def script(self, name: str, text: str) -> None:
        self.pages[f"/{name}.js"] = text, ""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def foreign() -> Iterator[Foreign]:
    site = Foreign()
    yield site
    site.close()


@pytest.fixture(scope="module")
def shop(embedded: Site) -> Site:
    """Seven days of four countries: one small, and one whose name is markup."""
    today = int(time.time()) // DAY_S * DAY_S
    for back in range(1, 8):
        for country, orders in (("US", 30), ("DE", 12), ("FR", 1), (EVIL, 9)):
            metrics = {"orders": orders + back, "visits": 100, "revenue": 4.5 * orders}
            hit = {"pk": PK, "dimensions": {"country": country}, "metrics": metrics, "at": today - back * DAY_S}
            assert requests.post(f"{embedded.whale}/count_now", json=hit, timeout=20).text == "OK"
    return embedded


def share(site: Site, **fields: Any) -> str:
    """A link to the orders of the countries."""
    body = {"pk": PK, "dimensions": "country", "metrics": ["orders", "orders/visits"], "period": "last_7d", **fields}
    answer = requests.post(f"{site.whale}/shares", json=body, timeout=20)
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    return url


def tag(site: Site, **attributes: str) -> str:
    written = " ".join(f'{name.replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    return f'<hail-whale-graph {written}></hail-whale-graph><script type="module" src="{site.whale}/hail-whale-graph.js"></script>'


def rows(graph: Locator) -> list[list[str]]:
    return [each.locator("th, td").all_inner_texts() for each in graph.locator("#numbers tr").all()]


def test_a_share_is_drawn_in_a_page_of_another_site_under_its_strict_policy(
    page: Page, shop: Site, foreign: Foreign
) -> None:
    link = share(shop, drill=True)
    page.goto(foreign.show("element", tag(shop, src=link, depth="1", area="", title="Orders by country"), shop.whale))
    graph = page.locator("hail-whale-graph")
    expect(graph.locator("canvas")).to_be_visible()
    expect(graph.locator("h2")).to_have_text("Orders by country")
    head, *body = rows(graph)
    assert head == ["Time", "country", "US", "DE", EVIL, "FR"]
    assert body[0][1:] == ["80", "37", "19", "16", "8"]
    assert len(body) == 7
    assert graph.locator("caption").inner_text() == "Orders by country"
    label = graph.get_by_role("img").get_attribute("aria-label") or ""
    assert label.startswith("Orders by country: country 80 to 56; US 37 to 31; ")
    assert page.locator("img").count() == 0
    check_looks(page)
    graph.get_by_role("button", name="Orders/visits").click()
    expect(graph.locator("#numbers td").first).to_have_text(re.compile("%$"))
    graph.evaluate(
        "it => { it.setAttribute('dimensions', '[\"country\", \"US\"]'); it.setAttribute('depth', 0); it.title = 'One' }"
    )
    expect(graph.locator("h2")).to_have_text("One")
    expect(graph.locator("#numbers thead th")).to_have_count(2)


def test_the_value_at_the_cursor_follows_the_arrows(page: Page, shop: Site, foreign: Foreign) -> None:
    page.goto(foreign.show("keys", tag(shop, src=share(shop)), shop.whale))
    graph = page.locator("hail-whale-graph")
    expect(graph.locator(".at")).to_contain_text("56")
    graph.get_by_role("img").press("Home")
    expect(graph.locator(".at")).to_contain_text("80")
    expect(graph.locator("[aria-live]")).to_contain_text("80")


def test_whoever_reads_a_graph_by_keys_stays_in_it_when_new_numbers_come(
    page: Page, shop: Site, foreign: Foreign
) -> None:
    page.goto(foreign.show("focus", tag(shop, src=share(shop), interval="1000"), shop.whale))
    plot = page.locator("hail-whale-graph").get_by_role("img")
    plot.evaluate("it => { it.first = true; it.focus() }")
    wait_until(lambda: not plot.evaluate("it => it.first"), what="new numbers")
    assert plot.evaluate("it => it === it.getRootNode().activeElement")


def test_an_option_that_is_not_known_is_named_in_the_box_and_once_on_the_console(
    page: Page, shop: Site, foreign: Foreign
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "warning" else None)
    page.goto(foreign.show("unknown", tag(shop, src=share(shop), pk="other", colour="red", area="wiggle"), shop.whale))
    text = "unknown option: colour. a share has its own pk. area=wiggle is drawn as area=true"
    expect(page.locator("hail-whale-graph .notice")).to_have_text(text)
    assert [each for each in said if "hail-whale-graph" in each] == [f"hail-whale-graph: {text}"]


def test_a_share_that_has_ended_says_so_in_the_box_and_answers_nothing_else(
    page: Page, faults: list[str], shop: Site, foreign: Foreign
) -> None:
    link = share(shop, days=1 / DAY_S)
    wait_until(lambda: requests.get(link, timeout=20).status_code == 410, what="the end of the share")
    page.clock.install()
    page.goto(foreign.show("ended", tag(shop, src=link, interval="1000"), shop.whale))
    page.clock.run_for(500)
    expect(page.locator("hail-whale-graph .notice")).to_have_text("this share has ended: ask for a new one")
    page.clock.run_for(60_000)
    assert [fault for fault in faults if "410" in fault] == faults[:1]
    faults.clear()
    assert "This share has ended" in requests.get(link, timeout=20).text
    assert requests.get(f"{share(shop)}/plotpoints", {"pk": "other"}, timeout=20).status_code == 400


def test_only_a_site_that_a_share_names_shows_its_page_in_a_frame(
    page: Page, faults: list[str], shop: Site, foreign: Foreign
) -> None:
    for name, sites, is_shown in (("allowed", [foreign.origin], True), ("refused", ["https://other.example"], False)):
        link = share(shop, frame=sites, drill=True)
        page.goto(foreign.show(name, f'<iframe title=orders src="{link}" width=600 height=400></iframe>', shop.whale))
        graph = page.frame_locator("iframe").locator("hail-whale-graph canvas")
        if is_shown:
            expect(graph).to_be_visible()
            assert faults == []
        else:
            wait_until(lambda: any("frame-ancestors" in fault for fault in faults), what="the refusal")
            assert graph.count() == 0
    faults.clear()


def test_the_page_of_a_share_can_be_read_and_used_by_everyone(page: Page, shop: Site) -> None:
    page.goto(share(shop, drill=True))
    expect(page.locator("hail-whale-graph canvas")).to_be_visible()
    expect(page.get_by_text("This link works until")).to_be_visible()
    check_looks(page)
    check_keyboard(page)


def test_without_scripts_the_page_of_a_share_is_a_picture(chromium: Chromium, shop: Site) -> None:
    with chromium.visit(java_script_enabled=False) as (page, _):
        page.goto(share(shop))
        picture = page.get_by_role("img", name=f"orders, orders/visits of {PK}, last_7d")
        expect(picture).to_be_visible()
        assert picture.bounding_box()["height"] > 200  # type: ignore[index]  # it is visible


def test_a_tag_from_python_shows_a_graph_where_keys_are_set_and_no_key_reaches_the_page(
    page: Page, foreign: Foreign
) -> None:
    keys = {"write_key": "w" * 16, "read_key": "r" * 16, "admin_key": "a" * 16, "secret": "s" * 32}
    settings = load({f"HAILWHALE_{name.upper()}": value for name, value in keys.items()})
    whale = Whale(MemoryStore(settings), settings)
    whale.count_now(PK, {"country": "US"}, {"orders": 5})
    seen: list[str] = []
    page.on("request", lambda request: seen.append(f"{request.url} {request.headers} {request.post_data}"))
    page.on("response", lambda response: seen.append(response.text()) if "/s/" in response.url else None)
    with serving(make_app(settings, whale)) as url:
        tag = whale.graph_tag(PK, "country", "orders", {"period": "seven", "live": False}, host=url)
        page.goto(foreign.show("keys-set", tag, url))
        expect(page.locator("hail-whale-graph canvas")).to_be_visible()
        assert rows(page.locator("hail-whale-graph"))[0] == ["Time", "country", "US"]
        page.goto("about:blank")
    assert not [text for text in [tag, *seen] if any(key in text for key in keys.values())]


def test_the_dashboard_copies_a_tag_that_works_in_a_page_of_another_site(
    chromium: Chromium, shop: Site, foreign: Foreign
) -> None:
    with chromium.visit(permissions=["clipboard-read", "clipboard-write"]) as (page, _):
        page.goto(f"{shop.whale}/?pk={PK}&metric=orders&period=last_7d")
        expect(page.locator("#main [aria-busy=true]")).to_have_count(0)
        page.locator("#chart-tools").click()
        page.get_by_role("button", name="Copy tag").click()
        expect(page.get_by_text("Copied: tag")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        page.goto(foreign.show("copied", copied, shop.whale))
        expect(page.locator("hail-whale-graph canvas")).to_be_visible()
        assert page.locator("hail-whale-graph h2").inner_text() == "Orders"


def test_options_of_a_graph_stack_its_parts_share_them_and_close_by_other(
    page: Page, shop: Site, foreign: Foreign
) -> None:
    link = share(shop, drill=True)
    page.goto(foreign.show("parts", tag(shop, src=link, depth="1", limit="2", metric="orders", stacked=""), shop.whale))
    graph = page.locator("hail-whale-graph")
    expect(graph.locator("canvas")).to_be_visible()
    head, first, *_ = rows(graph)
    assert head == ["Time", "US", "DE", "other"]
    assert first[1:] == ["37", "19", "24"]
    check_looks(page)
    graph.evaluate("it => { it.setAttribute('shares', ''); it.setAttribute('nights', '') }")
    expect(graph.locator("#numbers td").first).to_have_text("46.3\u202f%")
    assert rows(graph)[1][1:] == ["46.3\u202f%", "23.8\u202f%", "30.0\u202f%"]
    expect(graph.locator(".notice")).to_be_empty()
    graph.evaluate("it => { it.setAttribute('metric', 'orders/visits') }")
    expect(graph.locator(".notice")).to_have_text("not for these lines: stacked, shares")
    for name in ("stacked", "shares"):
        graph.evaluate("(it, name) => it.removeAttribute(name)", name)
    for name, value in (("metric", "orders"), ("area", "percent")):
        graph.evaluate("(it, [name, value]) => it.setAttribute(name, value)", [name, value])
    expect(graph.locator("#numbers td").first).to_have_text("46.3\u202f%")
    expect(graph.locator(".notice")).to_be_empty()
    assert rows(graph)[1][1:] == ["46.3\u202f%", "23.8\u202f%", "30.0\u202f%"]


@pytest.mark.parametrize(
    "options",
    [
        {"metric": "orders/visits", "split": "country", "top": "2", "chart": "ma7"},
        {"metric": "orders", "split": "country", "top": "2", "chart": "stacked,shares,running"},
        {"metric": "orders", "also": "visits", "second": "orders/visits", "chart": "ma7,nights"},
    ],
    ids=lambda options: options["chart"],
)
def test_a_copied_tag_has_the_lines_of_the_chart(
    chromium: Chromium, shop: Site, foreign: Foreign, options: dict[str, str]
) -> None:
    with chromium.visit(permissions=["clipboard-read", "clipboard-write"]) as (page, _):
        page.goto(f"{shop.whale}/?{urlencode({'pk': PK, 'period': 'last_7d', 'compare': 'none', **options})}")
        expect(page.locator("#chart canvas")).to_be_visible()
        # until then the tools are made anew under the click
        expect(page.locator('#main [aria-busy="true"]')).to_have_count(0)
        page.locator("#chart-tools").click()
        page.get_by_role("button", name="Table", exact=True).first.click()
        numbers = page.locator("#chart-more tr").evaluate_all(CELLS)
        page.locator("#chart-tools").click()
        page.get_by_role("button", name="Copy tag").click()
        expect(page.get_by_text("Copied: tag")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        page.goto(foreign.show("lines", copied, shop.whale))
        graph = page.locator("hail-whale-graph")
        expect(graph.locator("canvas")).to_be_visible()
        expect(graph.locator(".notice")).to_be_empty()
        shown = graph.locator("#numbers tr").evaluate_all(CELLS)
        wide = len(shown[0])
        assert shown == [row[:wide] for row in numbers]
        assert numbers[0][wide:] in ([], ["All"])


CELLS = """rows => rows.map(row => [...row.cells].map(cell => {
  const text = (cell.title || cell.textContent).replaceAll('\u202f', '')
  return isNaN(text) || text === '' ? text : Number(text).toPrecision(9)
}))"""
README = (
    {"dimensions": "services", "metrics": '{"dollars": 200}'},
    {"dimensions": "advertising", "metrics": '{"dollars": -2000}'},
    {"dimensions": '{"sales": 55}', "metrics": '{"dollars": 500}'},
    {"dimensions": '{"sales": 56}', "metrics": '{"dollars": 20}'},
)
"""Hits of the first HailWhale's README, and one that is less than a tenth of its parent."""


def test_the_graph_of_the_first_readme_shows_the_whole_and_what_is_at_least_a_tenth_of_it(
    page: Page, embedded: Site
) -> None:
    for hit in README:
        assert requests.get(f"{embedded.whale}/count_now", {"pk": "income", **hit}, timeout=20).text == "OK"
    page.route(
        f"{embedded.whale}/admin",
        lambda route: route.fulfill(
            body="""<!DOCTYPE html><html lang=en><title>x</title><main><h1>Admin</h1>
        <script src="/graph.js?pk=income&metric=dollars&depth=1&area=true&title=Overall+Dollars" async></script>
        <script src="/graph.js?pk=income&metric=dollars&dimension=sales&depth=1&title=Sales+Overall" async></script>
        <script src="/graph.js?pk=income&metric=dollars/hits&title=Per+transaction" async></script>""",
            content_type="text/html",
        ),
    )
    page.goto(f"{embedded.whale}/admin")
    heads = {}
    for title in ("Overall Dollars", "Sales Overall", "Per transaction"):
        graph = page.locator("hail-whale-graph", has=page.get_by_role("heading", name=title))
        expect(graph.locator("canvas")).to_be_visible()
        heads[title] = rows(graph)[0]
    check_looks(page)
    assert heads == {
        "Overall Dollars": ["Time", "all", "sales", "services", "advertising"],
        "Sales Overall": ["Time", "sales", "55"],
        "Per transaction": ["Time", "Dollars per hit"],
    }


def test_a_script_tag_writes_the_graph_where_it_stands(page: Page, shop: Site, foreign: Foreign) -> None:
    token = share(shop, drill=True).rpartition("/")[2]
    address = f"{shop.whale}/graph.js?share={token}&depth=1&live=false&title={EVIL}&height=%22%3E%3Cscript%3E"
    body = (
        f'<p id=before>before</p><script src="{escape(address)}" async></script><p id=after>after</p><p id=there></p>'
    )
    body += f'<script src="{escape(address)}&amp;parent_div=there" async></script>'
    page.goto(foreign.show("tag", body, shop.whale))
    graph = page.locator("#before ~ hail-whale-graph:has(~ #after)")
    expect(graph.locator("h2")).to_have_text(EVIL)
    assert rows(graph)[0] == ["Time", "country", "US", "DE", EVIL]  # FR has less than a tenth
    expect(page.locator("#there > hail-whale-graph h2")).to_have_text(EVIL)
    assert page.locator("img").count() == 0


def test_the_options_of_a_script_tag_run_nothing_and_spoil_nothing(
    page: Page, faults: list[str], shop: Site, foreign: Foreign
) -> None:
    odd = "&onfocus=alert(1)&%22%3E%3Cimg%20src=x&1=1&=2&__proto__=3&metric=none"
    address = f"{shop.whale}/graph.js?share={share(shop).rpartition('/')[2]}&live=false{odd}"
    page.goto(foreign.show("odd", f'<script src="{escape(address)}" async></script>', shop.whale))
    graph = page.locator("hail-whale-graph")
    expect(graph.locator(".notice")).to_have_text(
        'unknown option: 1, onfocus, "><img src, “”, __proto__. metrics: expected metrics of this share'
    )
    assert [fault.partition(":")[0] for fault in faults] == ["answered with 400"]
    faults.clear()
    assert not set(graph.evaluate("graph => graph.getAttributeNames()")) & {"onfocus", "__proto__"}


HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', {value: hidden, configurable: true})
  document.dispatchEvent(new Event('visibilitychange'))
}"""


def test_a_hidden_page_asks_nothing_and_on_return_once(page: Page, shop: Site, foreign: Foreign) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/plotpoints" in request.url else None)
    page.clock.install()
    page.goto(foreign.show("hidden", tag(shop, src=share(shop), interval="1000"), shop.whale))
    expect(page.locator("hail-whale-graph canvas")).to_be_visible()
    page.clock.run_for(1500)
    wait_until(lambda: page.evaluate("1") and len(asked) >= 2, what="two questions")
    page.evaluate(HIDE, True)
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before
    page.evaluate(HIDE, False)
    page.clock.run_for(500)
    wait_until(lambda: page.evaluate("1") and len(asked) == before + 1, what="one question")


OLD = """
const hailwhale = $.hailwhale(location.hash.slice(1))
const old = {category: ['a', 'b'], dimension: 'country', metric: 'orders/visits', period: 'seven', tzoffset: 2}
document.title = JSON.stringify(hailwhale.make_params(old))
hailwhale.add_graph('#graph', {
  pk: 'embedded', dimension: 'country', depth: 1, metric: 'orders', metric_two: 'revenue', area: true, colors: ['#b00', '#0b0'],
  width_factor: 6, title: 'Old', period: 'last_7d', autoupdate: false, interval: 3500, threshold: 0.3,
})
hailwhale.trigger_fake_hits({pk: 'fakes'}).then(() => (document.body.dataset.faked = 'yes'))
"""


def test_the_jquery_plugin_takes_the_calls_and_options_of_the_first_hailwhale(chromium: Chromium, shop: Site) -> None:
    """With real jQuery, in a page of Whale's own origin: without keys no other page may ask without a share."""
    whale = shop.whale
    with chromium.visit() as (page, _):
        html = "<!DOCTYPE html><html lang=en><title>x</title><main><h1>Old</h1><div id=graph></div></main>"
        page.route(f"{whale}/old", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.goto(f"{whale}/old#{whale.removeprefix('http://')}")
        page.add_script_tag(content=JQUERY.read_text())
        page.add_script_tag(url=f"{whale}/jquery.hailwhale.js")
        page.add_script_tag(content=OLD)
        graph = page.locator("#graph hail-whale-graph")
        expect(graph.locator("canvas")).to_be_visible()
        assert json.loads(page.title()) == {
            "pk": '["a","b"]', "dimensions": "country", "metrics": "orders/visits", "period": "seven", "tzoffset": "2",
        }  # fmt: skip
        head, *body = rows(graph)
        assert head == ["Time", "country", "Revenue", "US"]
        assert body[0][1:] == ["80", "234", "37"]
        assert graph.locator("h2").inner_text() == "Old"
        assert graph.evaluate("it => it.style.getPropertyValue('--series-1')") == "#b00"
        assert graph.get_attribute("interval") is None
        expect(page.locator("body[data-faked=yes]")).to_be_attached()
        total = requests.get(f"{whale}/total", {"pk": "fakes", "period": "today"}, timeout=20).json()
        assert total == 25


def test_a_table_drives_a_graph(page: Page, shop: Site, foreign: Foreign) -> None:
    settings = load({})
    whale = Whale(MemoryStore(settings), settings)
    for country, orders in (("US", 37), ("DE", 19)):
        whale.count_now(PK, {"country": country}, {"orders": orders, "revenue": 2 * orders}, time.time() - DAY_S)

    def hidden(country: str, metric: str) -> str:
        return whale.render_hw_plotpoint_table(PK, metric, ["country", country], "last_1d", hidden=True)

    lines = "".join(
        f'<tr><td><input type=checkbox checked aria-label="{country}" data-hw-name="[&quot;country&quot;, &quot;{country}&quot;]">'
        f"{hidden(country, 'orders')}{hidden(country, 'revenue')}</td></tr>"
        for country in ("US", "DE")
    )
    heads = "".join(f'<th data-extra=graphable data-name="{name}">{name}</th>' for name in ("orders", "revenue"))
    button = "<td><button data-graphmetric=orders>Back to orders</button></td>"
    table = f'<div id=graph></div><table id=sales data-hw-target="#graph"><tr>{heads}{button}</tr>{lines}</table>'
    script = f'<script src="{shop.whale}/table_graph.js?table=%23sales&height=200" async></script>'
    page.goto(foreign.show("table", table + script, shop.whale))
    graph = page.locator("#graph hail-whale-graph")
    expect(graph.locator("canvas")).to_be_visible()
    assert rows(graph)[:2] == [["Time", "country › US", "country › DE"], [rows(graph)[1][0], "37", "19"]]
    page.locator("th[data-name=revenue]").click()
    expect(graph.locator("#numbers td").first).to_have_text("74")
    page.get_by_role("checkbox", name="DE").uncheck()
    expect(graph.locator("#numbers thead th")).to_have_text(["Time", "revenue"])
    page.get_by_role("button", name="Back to orders").click()
    expect(graph.locator("#numbers td").first).to_have_text("37")
    page.get_by_role("checkbox", name="DE").evaluate("it => { it.checked = true }")  # of which no event tells
    page.locator("#sales").evaluate("it => it.setAttribute('please-redraw', '')")
    expect(graph.locator("#numbers thead th")).to_have_text(["Time", "country › US", "country › DE"])


def test_a_table_of_any_name_changes_no_other_object_of_the_page(page: Page, shop: Site, foreign: Foreign) -> None:
    settings = load({})
    whale = Whale(MemoryStore(settings), settings)
    whale.count_now(PK, "__proto__", {"orders": 37, "__proto__": 5}, time.time() - DAY_S)
    tables = "".join(
        whale.render_hw_plotpoint_table(PK, metric, "__proto__", "last_1d") for metric in ("orders", "__proto__")
    )
    table = f'<div id=graph></div><table data-hw-target="#graph"><tr><td>{tables}</td></tr></table>'
    page.goto(foreign.show("proto", f'{table}<script src="{shop.whale}/table_graph.js" async></script>', shop.whale))
    graph = page.locator("#graph hail-whale-graph")
    expect(graph.locator("canvas")).to_be_visible()
    assert rows(graph)[0] == ["Time", "orders"]
    assert page.evaluate("({}).orders === undefined")
