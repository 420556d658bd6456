"""Graphs for pages of other sites: scripts at names that stay, which hold no number and no key.

    /hail-whale-graph.js    the element, with the chart, its styles and the account's zone, as one module
    /graph.js, /table_graph.js, /jquery.hailwhale.js    scripts that write that element

They are files: nothing of a request is repeated in them. The element asks a share, or this service, from the reader's browser.
"""

import hashlib
from functools import lru_cache
from typing import Any

import bottle

from whale.routes.assets import GRAPHS, TYPES, Asset, asset_of, graph_files
from whale.routes.door import OfCaller
from whale.routes.negotiation import file_answer

HEADERS = {"Cache-Control": "public, max-age=300", "Cross-Origin-Resource-Policy": "cross-origin"}


class GraphRoutes(OfCaller):
    """For many threads."""

    def add_to(self, app: bottle.Bottle) -> None:
        for name in GRAPHS:
            self._door.add(app, f"/{name}", ["GET"], self.graph_script)
            self._door.add_options(app, f"/{name}")

    def graph_script(self) -> Any:
        return file_answer(_made(self._whale.asking.zone_or_setting)[bottle.request.path[1:]], HEADERS)


@lru_cache(maxsize=4)
def _made(zone: str) -> dict[str, Asset]:
    """Each file by its address."""
    files = {name: text.encode() for name, text in graph_files(zone).items()}
    return {name: asset_of(hashlib.sha256(body).hexdigest()[:24], TYPES[".js"], body) for name, body in files.items()}
