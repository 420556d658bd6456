"""Passwords: hashed by argon2id, compared at the side, and known again for a minute where they were right.

    password ── right within the last minute? ──> right, in microseconds
       └─ no ──> a place free? ──> argon2id, 23 ms of one core ──> right, and remembered | wrong
                   └─ no ──> Busy: 503, Retry-After

- Whoever is not let in costs one hash of equal cost and gets one answer: a wrong password, an unknown name, a password that is too
  long, a hash that cannot be read.
- One hash is made at a time, and few threads wait for it. All others are refused at once, so logins hold up nobody who asks
  something else: argon2id runs outside of Python's lock.
- Remembered is a keyed hash of the password and of what is stored, never the password. The key is drawn for each process. So a changed
  password ends what was remembered in every process that knows of the change.

Not promised: an equal time for a hash that was stored with another cost, until the next right login makes it anew
(`needs_new_hash`).

Pure: time is an argument, and so is what draws at random.
"""

import base64
import hmac
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from hail.room import COST as ENTRY_BYTES
from hail.room import MEGABYTE, WIDE, Bounded
from whale.errors import CallerError
from whale.turns import Turns

LEAST_LETTERS = 8
MOST_BYTES = 1024
SALT_BYTES, DIGEST_BYTES, KEY_BYTES = 16, 32, 32
REMEMBERED_S = 60.0
REMEMBERED_BYTES = MEGABYTE
WAITING = 3
PHC = re.compile(
    r"(\$argon2id\$v=19\$m=[1-9]\d{0,9},t=[1-9]\d{0,9},p=[1-9]\d{0,7})\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{6,}"
)

Who = tuple[str, str]
"""The id of an account, and the name of a user there."""
Draw = Callable[[int], bytes]
"""As many random bytes; `os.urandom` is one."""
Check = Callable[[bytes, str], bool]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one hash. memory_kib: held while it is made.  passes: over this memory.  lanes: cores that work on it."""

    memory_kib: int
    passes: int
    lanes: int = 1

    @property
    def text(self) -> str:
        """As a hash begins."""
        return f"$argon2id$v=19$m={self.memory_kib},t={self.passes},p={self.lanes}"


COST = Cost(19_456, 2)
"""19 MiB. Source: OWASP Password Storage Cheat Sheet, Argon2id."""


def hash_of(password: str, salt: bytes, cost: Cost = COST) -> str:
    """What is stored of a password: `$argon2id$v=19$m=…,t=…,p=…$salt$digest`. salt: random, at least 8 bytes, never used before."""
    return _argon2id(salt, cost).derive_phc_encoded(_bytes(password))


def matches(password: bytes, stored: str) -> bool:
    """Whether a hash is of this password; costs what the hash says."""
    try:
        Argon2id.verify_phc_encoded(password, stored)
    except InvalidKey:
        return False
    return True


def needs_new_hash(stored: str, cost: Cost = COST) -> bool:
    """Whether a hash has another cost than hashes made now: make it anew once its password came."""
    found = PHC.fullmatch(stored)
    return found is None or found[1] != cost.text


def check_new(password: str) -> None:
    """Raises CallerError where nobody should choose this password."""
    if len(password) < LEAST_LETTERS:
        raise CallerError(f"expected at least {LEAST_LETTERS} letters, got {len(password)}", "password")
    if (size := len(password.encode("utf-8", "surrogatepass"))) > MOST_BYTES:
        raise CallerError(f"expected at most {MOST_BYTES} bytes, got {size}", "password")


class Passwords:
    """Compares the passwords of all users. One for each process; for many threads.

    draw: random bytes.  waiting: threads that may wait while another makes a hash.
    """

    def __init__(self, draw: Draw, *, cost: Cost = COST, waiting: int = WAITING, check: Check = matches):
        self.places = 1 + waiting
        self._draw, self._cost, self._check = draw, cost, check
        self._key = draw(KEY_BYTES)
        self._nobody = _hash_of_nobody(draw, cost)
        self._turns = Turns(waiting, "too many logins at once: try again in a second")
        self._right: Bounded[Who, tuple[bytes, float]] = Bounded("passwords", REMEMBERED_BYTES, _size)

    @classmethod
    def beside(cls, threads: int, draw: Draw) -> "Passwords":
        """In a process that answers by so many threads: at most half of them are about logins."""
        return cls(draw, waiting=max(threads // 2, 1) - 1)

    @property
    def remembered_bytes(self) -> int:
        return self._right.held

    def hash(self, password: str) -> str:
        """What to store of a new password; raises Busy."""
        with self._turns.turn():
            return hash_of(password, self._draw(SALT_BYTES), self._cost)

    def are_right(self, who: Who, stored: str | None, password: str, now: float) -> bool:
        """Whether this is the password of a user. stored: their hash; None where there is no such user.  Raises Busy."""
        given = _bytes(password)
        compared = stored if stored and PHC.fullmatch(stored) and len(given) <= MOST_BYTES else None
        mac = hmac.digest(self._key, f"{compared}\0".encode() + given, "sha256")
        if compared and self._remembers(who, mac, now):
            return True
        with self._turns.turn():
            if compared and self._remembers(who, mac, now):  # another thread has just compared it
                return True
            right = self._check(given[:MOST_BYTES], compared or self._nobody)
        if not right or compared is None:
            return False
        self._right.keep(who, (mac, now))
        return True

    def forget(self, who: Who) -> None:
        """To call where a password changes, or a user goes."""
        self._right.drop(who)

    def _remembers(self, who: Who, mac: bytes, now: float) -> bool:
        known = self._right.get(who)
        return known is not None and 0 <= now - known[1] < REMEMBERED_S and hmac.compare_digest(known[0], mac)


def _argon2id(salt: bytes, cost: Cost) -> Argon2id:
    return Argon2id(
        salt=salt, length=DIGEST_BYTES, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib
    )


def _bytes(password: str) -> bytes:
    """Letters that look alike are the same ones, as RFC 8265 and NIST SP 800-63B advise; what is too long stays too long."""
    return unicodedata.normalize("NFKC", password[: MOST_BYTES + 1]).encode("utf-8", "surrogatepass")


def _hash_of_nobody(draw: Draw, cost: Cost) -> str:
    """A hash that no password has, and that nobody had to make."""
    salt, digest = (base64.b64encode(draw(size)).decode("ascii").rstrip("=") for size in (SALT_BYTES, DIGEST_BYTES))
    return f"{cost.text}${salt}${digest}"


def _size(who: Who, known: tuple[bytes, float]) -> int:
    return 3 * ENTRY_BYTES + WIDE * (len(who[0]) + len(who[1])) + len(known[0])
