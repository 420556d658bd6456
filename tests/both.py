"""Hail and Whale behind one port, for tests of what stands before them: `localhost` is Hail, `127.0.0.1` is Whale."""

from collections.abc import Iterable
from typing import Any

import hail.web
import whale.web


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    service = hail.web if environ.get("HTTP_HOST", "").startswith("localhost") else whale.web
    return service.application(environ, start_response)
