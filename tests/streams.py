"""A live stream as a browser reads it.

with Stream(farm.live_url, pk="shop") as stream:
    stream.next("ping")        # waits for the next event of this kind, with a deadline
"""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

PATIENCE_S = 30.0


class Told(NamedTuple):
    kind: str
    data: dict[str, Any]
    id: str


class Stream:
    """headers: more of the request.  path: of the stream.

    trusted: of an https address, a file with the certificate that it is asked by, whatever its name.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        trusted: Path | None = None,
        path: str = "/live",
        **parameters: str,
    ):
        address = urlsplit(url)
        assert address.hostname
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=PATIENCE_S)
        if trusted:
            context = ssl.create_default_context(cafile=trusted)
            context.check_hostname = False
            where = address.hostname, address.port
            self._connection = http.client.HTTPSConnection(*where, timeout=PATIENCE_S, context=context)
        query = urlencode(parameters)
        self._connection.request("GET", f"{path}?{query}" if query else path, headers=headers or {})
        self.answer = self._connection.getresponse()
        self.status, self.headers = self.answer.status, self.answer.headers

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.answer.close()
        self._connection.close()

    def json(self) -> Any:
        return json.loads(self.answer.read())

    def event(self) -> Told | None:
        """The next one; None where the stream has ended."""
        fields: dict[str, str] = {}
        while line := self.answer.readline():
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "event" in fields:
                return Told(fields["event"], json.loads(fields["data"]), fields.get("id", ""))
        return None

    def next(self, kind: str) -> Told:
        while (told := self.event()) and told.kind != kind:
            pass
        assert told, f"the stream ended before the next {kind}"
        return told

    def rest(self) -> list[Told]:
        """All until it ends."""
        return list(iter(self.event, None))  # type: ignore[arg-type]  # None is what ends it
