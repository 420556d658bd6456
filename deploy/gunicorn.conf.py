"""gunicorn's settings for both services on a farm: those of `hailwhale up`; change below what your machines need."""

from hail.gunicorn_conf import *  # noqa: F403  # gunicorn reads the names of this file
