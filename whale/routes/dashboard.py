"""The dashboard: one document at `/`, and its files. It asks the public routes alone, from the reader's browser.

The policy lets it run nothing but its own files, and ask nothing but this service and the live one. Scripts put text into the page,
never markup: browsers that know Trusted Types refuse the rest.
"""

import gzip
import re
from html import escape
from shlex import quote as shell_quote
from string import Template
from typing import Any
from urllib.parse import quote

import bottle

from hail.live import live_origin
from hail.problem import HOST, seen_from
from whale.errors import NotFound
from whale.routes.assets import PAGE, Asset, read_assets
from whale.routes.door import Door, OfCaller
from whale.routes.negotiation import file_answer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src {connect}; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
THEMES = ("light", "dark")
FOR_EVER = "private, max-age=31536000, immutable"


class DashboardRoutes(OfCaller):
    """For many threads."""

    def __init__(self, door: Door):
        super().__init__(door)
        self._version, self._assets = read_assets()
        self._served = {asset.name: asset for name, asset in self._assets.items() if name != PAGE}
        self._page = Template(self._assets[PAGE].body.decode())

    def add_to(self, app: bottle.Bottle) -> None:
        self._door.add(app, "/", ["GET"], self.page)
        self._door.add(app, "/static/<name:path>", ["GET"], self.file)

    def page(self) -> Any:
        """The document; it holds the address of Hail, and whether keys are asked for, for the lines to copy."""
        settings = self._door.settings
        host = bottle.request.environ.get("HTTP_HOST", "")
        host = host if HOST.fullmatch(host) else settings.whale_bind
        proxied = self._door.proxied
        hail = f"{proxied}://{host}" if proxied else f"http://{seen_from(host, settings.hail_bind)}"
        asked = bottle.request.environ.get("QUERY_STRING", "")
        theme = re.search(r"(?:^|&)theme=(\w+)", asked)
        facts = {
            "static": f"/static/{self._version}",
            "icon": quote(self._assets["icon.svg"].body.decode().strip()),
            "hail": hail,
            "keys": "needed" if self._door.access.locked else "none",
            "account": self._whale.asking.account_name,
            "zone": self._whale.asking.zone_or_setting,
            "send": send_line(hail, self._door.access.locked),
            "pixel": f'<img src="{hail}/count.gif?pk=shop&dimensions=pages" alt="" width="1" height="1">',
            "out": "" if self._door.has_session else " hidden",
            "theme": theme[1] if theme and theme[1] in THEMES else "",
        }
        text = self._page.substitute({name: escape(value) for name, value in facts.items()}).encode()
        headers = {
            "Content-Security-Policy": POLICY.format(
                connect=" ".join(filter(None, ("'self'", live_origin(settings, host))))
            ),
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        page = Asset("", "text/html; charset=utf-8", text, gzip.compress(text, 6, mtime=0))
        return file_answer(page, headers)

    def file(self, name: str) -> Any:
        asset = self._served.get(name)
        if asset is None:
            raise NotFound("no file of the dashboard has this address: load the page again")
        return file_answer(asset, {"Cache-Control": FOR_EVER})


def send_line(hail: str, needs_keys: bool) -> str:
    """A line for a terminal that counts a hit."""
    key = ' \\\n  -H "Authorization: Bearer $KEY"' if needs_keys else ""
    hit = {"pk": "shop", "dimensions": '{"country": "US"}', "metrics": '{"revenue": 9.5}'}
    fields = "".join(f" \\\n  --data-urlencode {shell_quote(f'{name}={value}')}" for name, value in hit.items())
    return f"curl -G {shell_quote(hail + '/count')}{key}{fields}"
