"""One request to an address of anybody, without any proxy of this machine, and no more of the answer than was asked for."""

import http.client
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import NamedTuple
from urllib.error import HTTPError

ANSWER_S = 10.0
MOST_BYTES = 1_000_000


class Fetched(NamedTuple):
    """An answer, and the address that gave it. status: 0 where there was none, and body then says why."""

    status: int
    body: bytes
    headers: Message
    url: str


def fetch(url: str, agent: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Fetched:
    """By GET, or by POST with a body. A proxy might add the header for which the other side refuses."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url, body, {"User-Agent": agent, **(headers or {})})
        with opener.open(request, timeout=ANSWER_S) as answer:
            return Fetched(answer.status, answer.read(MOST_BYTES), answer.headers, answer.url)
    except HTTPError as error:
        with error:
            return Fetched(error.code, error.read(MOST_BYTES), error.headers, url)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Fetched(0, str(getattr(error, "reason", error)).encode("utf-8", "replace"), Message(), url)
