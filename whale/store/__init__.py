"""Stores: `connect(settings)` gives the one that the settings ask for."""

from hail.settings import Settings
from whale.errors import SetupError
from whale.store.base import Store
from whale.store.redis import connect as connect_redis


def connect(settings: Settings, timeout_s: float = 10.0) -> Store:
    """The Redis store of settings.redis_url; raises SetupError, Unavailable."""
    if not settings.redis_url:
        raise SetupError("HAILWHALE_REDIS_URL is not set: run `hailwhale up`, or name a Redis")
    return connect_redis(settings, timeout_s)
