"""Graphs for pages of other sites: scripts at names that stay, which hold no number and no key.

    /hail-whale-graph.js    the element, with the chart, its styles and the account's zone, as one module
    /graph.js, /table_graph.js, /jquery.hailwhale.js    scripts that write that element

They are files: nothing of a request is repeated in them. The element asks a share, or this service, from the reader's browser.
"""

import gzip
import hashlib
from functools import lru_cache
from typing import Any

import bottle

from whale.client import Whale
from whale.errors import Unavailable
from whale.routes.assets import GRAPHS, graph_files
from whale.routes.door import Door
from whale.routes.taken import taken_codings

HEADERS = {
    "Content-Type": "text/javascript; charset=utf-8",
    "Cache-Control": "public, max-age=300",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}


class GraphRoutes:
    """For many threads."""

    def __init__(self, door: Door, whale: Whale):
        self._door, self._whale = door, whale

    def add_to(self, app: bottle.Bottle) -> None:
        for name in GRAPHS:
            self._door.add(app, f"/{name}", ["GET"], self.graph_script)
            self._door.add_options(app, f"/{name}")

    def graph_script(self) -> Any:
        plain, packed, tag = _made(self._zone())[bottle.request.path[1:]]
        takes_gzip, _ = taken_codings(bottle.request.environ.get("HTTP_ACCEPT_ENCODING", ""))
        if not takes_gzip:
            return bottle.HTTPResponse(plain, 200, {**HEADERS, "ETag": f'"{tag}"'})
        return bottle.HTTPResponse(packed, 200, {**HEADERS, "ETag": f'"{tag}-gzip"', "Content-Encoding": "gzip"})

    def _zone(self) -> str:
        """Whose days the numbers are of. The scripts are there without the store too."""
        try:
            return self._whale.asking.zone
        except Unavailable:
            return self._door.settings.timezone


@lru_cache(maxsize=4)
def _made(zone: str) -> dict[str, tuple[bytes, bytes, str]]:
    """Each file plain and gzipped, and its ETag."""
    files = {name: text.encode() for name, text in graph_files(zone).items()}
    return {
        name: (body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:24])
        for name, body in files.items()
    }
