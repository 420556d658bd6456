"""How hits may come over HTTP, a module each: its routes, how a request becomes hits, and how it is answered.

A new format is a module here and its place in FORMATS; a row in the table of rights (hail/access.py) for each of its paths, in
hail/openapi.py and docs/http/counting.md a description, and tests.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from hail.accept import Acceptor, Refused
from hail.access import Caller, Environ
from hail.answers import HttpAnswer
from hail.formats.address import Address
from hail.formats.batch import Batch
from hail.formats.hiitrack import HiiTrack
from hail.formats.joining import Joining
from hail.formats.plausible import Plausible
from hail.formats.posted import Posted
from hail.formats.push import PushTokens
from hail.formats.segment import Segment
from hail.formats.track import Track

Handler = Callable[[Caller, Environ], HttpAnswer]


class Format(Protocol):
    """For many threads."""

    @property
    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """By method and path: what reads a request, has its hits kept, and answers."""

    def refuse(self, error: Refused, environ: Environ) -> HttpAnswer:
        """The answer to who is not let in at all."""


FORMATS: tuple[Callable[[Acceptor], Format], ...] = (
    Address,
    Posted,
    Batch,
    Joining,
    Track,
    Segment,
    Plausible,
    PushTokens,
    HiiTrack,
)
