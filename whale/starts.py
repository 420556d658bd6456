"""Whether a part can start with the Redis that it is given. hail/gunicorn_conf.py asks `check` before Whale's processes begin."""

import sys

from hail.settings import Settings, SettingsError
from whale.errors import SetupError, Unavailable
from whale.store import connect, with_redis

ANSWER_S = 2.0


def store_says(settings: Settings) -> str:
    """ "" where the store is as these settings say; why it cannot be asked now. Raises SetupError where it never will be."""
    try:
        connect(settings, ANSWER_S)
    except Unavailable as error:
        return str(error)
    return ""


def check(settings: Settings) -> None:
    """Raises SettingsError where Whale cannot start; says so where it has to wait."""
    try:
        said = store_says(with_redis(settings))
    except SetupError as error:
        raise SettingsError(str(error)) from None
    if said:
        print(f"whale: waiting, and answers 503 meanwhile: {said}", file=sys.stderr, flush=True)
