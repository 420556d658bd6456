"""Hail takes hits and makes them durable: in RabbitMQ, or in this node's spool."""

from typing import Any

from hail.hit import Hit, HitError

__all__ = ["Hit", "HitError", "Publisher"]
__version__ = "0.2.0"  # setup.py reads it here


def __getattr__(name: str) -> Any:
    """Publisher, when it is asked for: its counters want the folder that gunicorn names at its start."""
    if name != "Publisher":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hail.publish import Publisher

    return Publisher
