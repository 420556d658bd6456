"""What was said to one visitor and by them, as pages, operators and programs see it. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from whale.store.contract.talks import Said


def message_of(said: Said) -> dict[str, Any]:
    """id: grows, about ms since 1970.  by: `visitor` or `site`.  data: an object."""
    return {"id": said.id, "by": "visitor" if said.by_visitor else "site", "data": msgspec.json.decode(said.data)}


def rows_of(pages: Mapping[str, int], last: Mapping[str, Said], limit: int) -> list[dict[str, Any]]:
    """Visitors: first those whose pages listen, of these and of the others first who talked last.

    pages: how many of each listen.  last: the last words with each, the newest first.
    """
    there = [visitor for visitor in last if visitor in pages]
    there += sorted(visitor for visitor in pages if visitor not in last)
    visitors = there + [visitor for visitor in last if visitor not in pages]
    return [
        {
            "visitor": visitor,
            "pages": pages.get(visitor, 0),
            "last": message_of(last[visitor]) if visitor in last else None,
        }
        for visitor in visitors[:limit]
    ]
