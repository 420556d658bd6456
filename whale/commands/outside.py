"""`hailwhale doctor --from URL`: asks an address without a key, as a stranger would, and says what it could read.

Run it from another machine: on the same one a service without keys answers. It changes nothing: it reads, and asks Hail to count a
hit that names no pk.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from hail.hit import Reason
from whale.commands.fetching import Fetched, fetch
from whale.commands.finding import ADVICE, FINE, WRONG, Finding, Findings
from whale.errors import SetupError

SHOWN_PKS = 5
KEYS = "set HAILWHALE_WRITE_KEY, HAILWHALE_READ_KEY and HAILWHALE_ADMIN_KEY there"


def outside_findings(url: str) -> Findings:
    """What an address answers to who has no key. Raises SetupError where it is no address."""
    base = _base_of(url)
    first = _asked(f"{base}/pks")
    if not first.status:
        yield Finding(WRONG, base, f"cannot be reached from here ({first.body.decode()}): check the address")
        return
    known = [_about_pks(first), _about_spy(_asked(f"{base}/spy?limit=1")), _about_count(_asked(f"{base}/count"))]
    if not any(known):
        yield Finding(WRONG, base, f"/pks answers {first.status}: this is not an address of HailWhale")
    for path, found in zip(("/pks", "/spy", "/count"), known, strict=True):
        if found:
            yield Finding(found[0], f"{base}{path}", found[1])
    yield from _about_inside(base)


def _base_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        fits = (
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0
            and "@" not in parts.netloc
            and not parts.query
        )
    except ValueError:  # a bracket that is not closed, a port above 65535
        fits = False
    if not fits:
        raise SetupError(f"--from: expected an address without a key, such as https://count.example.org, got {url!r}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _about_pks(said: Fetched) -> tuple[str, str] | None:
    try:
        names = msgspec.json.decode(said.body, type=list[str]) if said.status == 200 else None
    except (msgspec.DecodeError, UnicodeError):
        names = None
    if names is None:
        return _refused(said)
    shown = ", ".join(map(ascii, names[:SHOWN_PKS])) + (", …" if len(names) > SHOWN_PKS else "")
    named = f"{len(names):,} pks ({shown})" if names else "that there are no counts yet"
    return WRONG, f"anyone can read {named} and all other counts, and can reset them: {KEYS}"


def _about_spy(said: Fetched) -> tuple[str, str] | None:
    try:
        read = said.status == 200 and isinstance(msgspec.json.decode(said.body), list)
    except (msgspec.DecodeError, UnicodeError):
        read = False
    return (WRONG, f"anyone can read single hits: {KEYS}") if read else _refused(said)


def _about_count(said: Fetched) -> tuple[str, str] | None:
    if said.status == 400 and _code_of(said) == Reason.BAD_PK:
        return WRONG, f"anyone can count: {KEYS}"
    return _refused(said)


def _refused(said: Fetched) -> tuple[str, str] | None:
    """A refusal by a door of ours; None where something else answered."""
    code = _code_of(said)
    if said.status == 401 and code == Reason.UNAUTHORIZED:
        return FINE, "asks for a key"
    if said.status == 403 and code == Reason.KEYLESS:
        return FINE, f"no key is set, so requests from here are refused: {KEYS} to allow them"
    return None


def _code_of(said: Fetched) -> str:
    try:
        found = msgspec.json.decode(said.body)
    except (msgspec.DecodeError, UnicodeError):
        return ""
    return str(found.get("code", "")) if isinstance(found, dict) else ""


def _about_inside(base: str) -> Iterator[Finding]:
    said = _asked(f"{base}/metrics")
    if said.status == 200 and b"hailwhale_" in said.body:
        yield Finding(ADVICE, f"{base}/metrics", "anyone can read it: block it in the proxy, as deploy/nginx.conf does")


def _asked(url: str) -> Fetched:
    return fetch(url, "hailwhale-doctor")
