"""Whether a page's Content-Security-Policy lets a script run, or a request go. Pure; by CSP level 3, as far as a tracker needs it."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

Policy = Mapping[str, Sequence[str]]
"""Sources by directive."""
HASHES = ("sha256", "sha384", "sha512")
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SOURCE = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<host>\*|(?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>\*|[0-9]+))?(?P<path>/.*)?",
    re.I,
)


def policies_of(headers: Iterable[str]) -> list[Policy]:
    """Of the values of headers, or of <meta> tags. Of a directive that comes twice the first holds."""
    found = list[Policy]()
    for text in ",".join(headers).split(","):
        policy: dict[str, list[str]] = {}
        for part in text.split(";"):
            name, *sources = part.split() or [""]
            if name:
                policy.setdefault(name.lower(), sources)
        if policy:
            found.append(policy)
    return found


def lets_load(policies: Iterable[Policy], page: str, script: str, nonce: str = "") -> bool:
    """Whether a script with an address may run in a page."""
    return all(_lets_load(_of(policy, "script-src-elem", "script-src"), page, script, nonce) for policy in policies)


def lets_run(policies: Iterable[Policy], text: str, nonce: str = "") -> bool:
    """Whether a script that stands in the page may run."""
    return all(_lets_run(_of(policy, "script-src-elem", "script-src"), text, nonce) for policy in policies)


def lets_send(policies: Iterable[Policy], page: str, address: str) -> bool:
    return all(_fits(_of(policy, "connect-src"), page, address) for policy in policies)


def _of(policy: Policy, *names: str) -> Sequence[str] | None:
    """None where nothing is said, so all is allowed."""
    return next((policy[name] for name in (*names, "default-src") if name in policy), None)


def _lets_load(sources: Sequence[str] | None, page: str, script: str, nonce: str) -> bool:
    if sources is None or (nonce and f"'nonce-{nonce}'" in sources):
        return True
    return "'strict-dynamic'" not in sources and _fits(sources, page, script)


def _lets_run(sources: Sequence[str] | None, text: str, nonce: str) -> bool:
    if sources is None or (nonce and f"'nonce-{nonce}'" in sources):
        return True
    hashes = {name: hashlib.new(name, text.encode()).digest() for name in HASHES}
    if any(f"'{name}-{base64.b64encode(digest).decode()}'" in sources for name, digest in hashes.items()):
        return True
    is_strict = any(source.startswith(("'nonce-", "'sha", "'strict-dynamic'")) for source in sources)
    return "'unsafe-inline'" in sources and not is_strict


def _fits(sources: Sequence[str] | None, page: str, address: str) -> bool:
    if sources is None:
        return True
    wanted, own = urlsplit(address), urlsplit(page)
    return any(_fits_source(source, own, wanted) for source in sources)


def _fits_source(source: str, page: SplitResult, wanted: SplitResult) -> bool:
    if source == "'self'":
        return _origin(page) == _origin(wanted) or (
            page.hostname == wanted.hostname and page.scheme == "http" and wanted.scheme == "https"
        )
    if source == "*":
        return wanted.scheme in PORTS or wanted.scheme == page.scheme
    if source.endswith(":") and "/" not in source:
        return _scheme_fits(source[:-1].lower(), wanted.scheme)
    parts = _SOURCE.fullmatch(source)
    if parts is None:
        return False
    host, name = parts["host"].lower(), (wanted.hostname or "").lower()
    if not (host == "*" or host.strip("[]") == name or (host.startswith("*.") and name.endswith(host[1:]))):
        return False
    if not _scheme_fits((parts["scheme"] or page.scheme).lower(), wanted.scheme):
        return False
    port = wanted.port or PORTS.get(wanted.scheme)
    if parts["port"] not in (None, "*", str(port)) or (parts["port"] is None and port != PORTS.get(wanted.scheme)):
        return False
    path = parts["path"] or "/"
    return path == "/" or wanted.path == path or (path.endswith("/") and wanted.path.startswith(path))


def _scheme_fits(said: str, wanted: str) -> bool:
    """A page that names http may use https, too."""
    return said == wanted or (said, wanted) in (("http", "https"), ("ws", "wss"), ("http", "ws"), ("http", "wss"))


def _origin(address: SplitResult) -> tuple[str, str | None, int | None]:
    return address.scheme, address.hostname, address.port or PORTS.get(address.scheme)
