"""Stores: `connect(settings)` gives the one that the settings name, and `with_redis` names the one that they mean."""

from hail.settings import Settings
from whale.errors import SetupError
from whale.store.base import Store
from whale.store.local import redis_url_of, secret_of
from whale.store.redis import connect as connect_redis


def connect(settings: Settings, timeout_s: float = 10.0) -> Store:
    """The Redis store of settings.redis_url; raises SetupError, Unavailable."""
    if not settings.redis_url:
        raise SetupError("HAILWHALE_REDIS_URL is not set: run `hailwhale up`, or set it to a Redis")
    return connect_redis(settings, timeout_s)


def with_redis(settings: Settings) -> Settings:
    """The settings with the Redis that they name, else the one that runs on their data directory, and the secret kept beside it.

    Raises SetupError where none runs.
    """
    if settings.redis_url:
        return settings
    secret = settings.secret or secret_of(settings.data_dir)
    return settings.replace(redis_url=redis_url_of(settings.data_dir), secret=secret)
