"""All that is kept of one visitor of a site: of the log, and the last hits that the spy shows. For the library and for HTTP."""

from collections.abc import Mapping
from typing import Any

from hail.hit import Reason, name_of
from whale import spy
from whale.answer.one_visitor import Export, export
from whale.answer.site_log import Log
from whale.dimension import pk_asked
from whale.errors import CallerError
from whale.library.noting import Noting


def exported(whale: Noting, pk: Any, visitor: Any, tz: str | None, tzoffset: Any) -> Export:
    """Rows are made when they are asked for. Raises NotFound of a visitor who is not known."""
    log = Log.of(whale.store, whale.account, site_asked(pk))
    found = export(log, name_of(visitor, "visitor", whale.settings, Reason.BAD_ID), *now_in(whale, tz, tzoffset))
    spied = (spy.shown(whale.store.spied(whale.account, id_), visitor=id_) for id_ in found.head["ids"])
    hits = [hit for some in spied for hit in some if _is_of(hit, found.head["site"])]
    return found._replace(head={**found.head, "last_hits": hits})


def _is_of(hit: Mapping[str, Any], site: str) -> bool:
    """Whoever asks may be let into this site alone. What was refused, or is cut, does not say whose it is."""
    pk = hit.get("pk")
    first = pk[0] if isinstance(pk, list) and pk else pk
    return first is not None and str(first) == site


def now_in(whale: Noting, tz: str | None, tzoffset: Any) -> tuple[float, str]:
    """The time, and the zone in which times are shown."""
    asking = whale.asking.now()
    return asking.clock(), asking.range_of("today", tz, tzoffset).zone


def site_asked(pk: Any) -> str:
    names = pk_asked(pk)
    if len(names) > 1:
        raise CallerError("expected a site, which is a pk of one level", "pk")
    return names[0]
