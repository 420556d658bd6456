"""HailWhale's whale: counts hits, answers questions.

import whale
whale.connect()   # the Redis of HAILWHALE_REDIS_URL, else the HailWhale that runs on HAILWHALE_DATA_DIR (./var)

whale.Whale.count_now("shop", {"country": "US"}, {"revenue": 5})
whale.Whale.plotpoints("shop", metrics=["revenue", "revenue/hits"], period="seven")

A name is loaded when it is first used, so that importing this package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hail import __version__ as __version__
    from whale.client import HailWhale, Whale, connect
    from whale.errors import CallerError, HailWhaleError, PeriodError, SetupError, Unavailable
    from whale.period import Span

_HOMES = {
    **dict.fromkeys(("Whale", "HailWhale", "connect"), "whale.client"),
    **dict.fromkeys(("HailWhaleError", "CallerError", "PeriodError", "Unavailable", "SetupError"), "whale.errors"),
    "Span": "whale.period",
    "__version__": "hail",
}
__all__ = [
    "CallerError",
    "HailWhale",
    "HailWhaleError",
    "PeriodError",
    "SetupError",
    "Span",
    "Unavailable",
    "Whale",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
