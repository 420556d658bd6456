"""The pages of the demo's shop, beside Hail: `gunicorn hail.demo:application`, as `hailwhale up --demo` starts it.

    /  /shoes  /shoes/trail-runner  …     a page each, as the story of the demo names them
    /basket  /thanks                      what is in the basket lies in the browser alone
    /shop.js  /shop.css                   all other addresses are Hail's

Promise: pages are made once, at the start, of the table below and of the files beside this one. They run scripts and ask servers of this
address alone, and have no script or style within them. Nothing that a request says stands in them.
"""

import html
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from hail import web
from hail.answers import HttpAnswer, answer
from hail.binds import url_of
from hail.settings import load

FOLDER = Path(__file__).parent
ACCOUNT, SITE = "default", "shop"
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
}


class Thing(NamedTuple):
    """A page of the shop. price: in whole dollars, of a product; else 0."""

    path: str
    title: str
    text: str
    price: int = 0


THINGS = (
    Thing("/", "Out & about", "Shoes, jackets and bags for a walk. All of it is made up, and so is the money."),
    Thing("/shoes", "Shoes", "For hills, and for streets."),
    Thing("/shoes/trail-runner", "Trail runner", "A light shoe for muddy hills.", 89),
    Thing("/shoes/city-low", "City low", "A flat shoe for streets.", 65),
    Thing("/jackets", "Jackets", "There is one."),
    Thing("/jackets/rain-shell", "Rain shell", "A jacket for the other half of the year.", 120),
    Thing("/bags/day-pack", "Day pack", "Room for a day: a book, an apple and a jacket.", 55),
    Thing("/sale", "Sale", "All of it was dearer, some time ago."),
    Thing("/gift-cards", "Gift card", "For somebody who has all of it.", 50),
    Thing("/journal/how-to-choose", "How to choose", "Walk in it. If you forget it, take it."),
    Thing("/basket", "Your basket", "Nobody pays anything here."),
    Thing("/thanks", "Thank you", "Nothing is on its way: this shop is made up."),
)
MENU = ("/", "/shoes", "/jackets", "/bags/day-pack", "/sale", "/basket")
FILES = {"/shop.js": "text/javascript; charset=utf-8", "/shop.css": "text/css; charset=utf-8"}


def made(whale: str) -> Mapping[str, HttpAnswer]:
    """Answers by their paths. whale: the address of the dashboard."""
    page = Template((FOLDER / "page.html").read_text())
    found = {path: answer(200, (FOLDER / path[1:]).read_bytes(), kind, HEADERS) for path, kind in FILES.items()}
    titles = {thing.path: thing.title for thing in THINGS}
    for thing in THINGS:
        below = [each for each in THINGS if each.price and (thing.path in ("/", "/sale") or _is_below(each, thing))]
        text = page.substitute(
            account=ACCOUNT,
            site=SITE,
            title=html.escape(thing.title),
            text=html.escape(thing.text),
            menu=" ".join(_link(path, titles[path]) for path in MENU),
            things="".join(f"<li>{_link(each.path, each.title)}, ${each.price}</li>" for each in below),
            thing=_offer(thing) if thing.price else "",
            basket='<ul id="basket"></ul><button id="order">Order</button>' if thing.path == "/basket" else "",
            whale=html.escape(whale),
        )
        found[thing.path] = answer(200, text, "text/html; charset=utf-8", HEADERS)
    return found


def _is_below(thing: Thing, other: Thing) -> bool:
    return thing.path.startswith(f"{other.path}/")


def _link(path: str, title: str) -> str:
    return f'<a href="{html.escape(path)}">{html.escape(title)}</a>'


def _offer(thing: Thing) -> str:
    """What the script of the page reads."""
    id_ = html.escape(thing.path.rpartition("/")[2])
    data = f'data-id="{id_}" data-name="{html.escape(thing.title)}" data-price="{thing.price}"'
    return f'<p id="thing" {data}>${thing.price} <button id="add">Into the basket</button></p>'


class Demo:
    """Hail with these pages beside it."""

    def __init__(self, hail: web.Hail, pages: Mapping[str, HttpAnswer]):
        self._hail, self._pages = hail, pages
        self.acceptor, self.short_routes, self.short = (
            hail.acceptor,
            hail.short_routes,
            hail.short,
        )  # for hail/server.py

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        found = self._pages.get(environ.get("PATH_INFO", ""))
        if found is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            all_else: Iterable[bytes] = self._hail(environ, start_response)
            return all_else
        start_response(found.status, list(found.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [found.body]


def __getattr__(name: str) -> Any:
    """Made when it is first asked for, as that of hail/web.py."""
    if name != "application":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["application"] = app = Demo(web.application, made(url_of(load(os.environ).whale_bind)))
    return app
