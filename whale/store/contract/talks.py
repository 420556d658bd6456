"""What is said to one visitor of a site and by them, for a short while, and which pages listen.

    said ──> the talk of the visitor: the last `push_visitor_kb`, until `push_kept_s` after what was said last
         └─> a word to all who hear: there is more in this talk

A visitor is named by the id of their browser. Nobody else's talk is ever looked at for it: two ids that were joined have two talks.
"""

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from whale.store.contract.live import Hearing

Where = tuple[str, str]
"""A site, and a visitor of it."""


class Said(NamedTuple):
    """id: grows within a talk; ms since 1970, or a little more.  by_visitor: else by the site.  data: JSON."""

    id: int
    by_visitor: bool
    data: bytes


class Page(NamedTuple):
    """One that listens. page: a word of its own, of letters, digits, `-` and `_`."""

    site: str
    visitor: str
    page: str


class Talks(Protocol):
    """For many threads. It goes with its visitor, its site and its account, and a reset of the site."""

    def say(self, account: str, where: Where, by_visitor: bool, data: bytes, word: str = "") -> int:
        """Its id. A word that this side of the talk said something by before, in what is kept, stands for that.

        The oldest is forgotten past the bytes of a visitor. Past the talks of an account the one goes that was silent for longest, of
        those first in which the site said nothing.
        """

    def tell_more(self, account: str, where: Where) -> None:
        """To all who hear, that there is more in a talk."""

    def talk(self, account: str, where: Where, after: int = 0) -> list[Said]:
        """What is kept and came after this id, as it was said. One read."""

    def talks(self, account: str, site: str, most: int) -> dict[str, Said]:
        """The last words with each visitor, the newest first. Two round trips."""

    def forget_talks(self, account: str, site: str, visitors: Collection[str] | None = None) -> None:
        """Of these visitors; None: of all."""

    def listen(self, account: str, pages: Collection[Page], kept_s: float) -> None:
        """Says for so many seconds that these pages listen."""

    def listen_no_more(self, account: str, page: Page) -> None: ...

    def listening(self, account: str, site: str, visitor: str | None = None) -> dict[str, int]:
        """How many pages of each visitor listen. A page whose service was killed may stay until its time ends."""

    def hearing_talks(self) -> AbstractContextManager[Hearing]:
        """Hears of the talks of all accounts, once it was told to hear "". Each word is JSON: [account, site, visitor]."""
