"""The files of the dashboard as they are served: read, named by their contents and gzipped once, when Whale starts.

All lie under one folder that is named by a hash of all of them: /static/4f1d…/main.js. So the modules import each other by plain
relative paths and are served as they were written, and a browser may keep each address for ever.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "dashboard"
PAGE = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. name: as in the address, below /static/; changes with the contents."""

    name: str
    content_type: str
    body: bytes
    gzipped: bytes

    def tag(self, encoding: str) -> str:
        """Its ETag; one per form, as RFC 9110 wants it."""
        return f'"{self.name}{encoding and "-" + encoding}"'


def read_assets(folder: Path = FOLDER) -> tuple[str, dict[str, Asset]]:
    """The name of the folder that all lie in, and each file by its path in `folder`. About 100 KB."""
    bodies = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES
    }
    digest = hashlib.sha256()
    for name, body in bodies.items():
        digest.update(b"%d %d %b%b" % (len(name), len(body), name.encode(), body))
    version = digest.hexdigest()[:16]
    return version, {name: _asset(f"{version}/{name}", body) for name, body in bodies.items()}


def _asset(name: str, body: bytes) -> Asset:
    return Asset(name, TYPES[Path(name).suffix], body, gzip.compress(body, 9, mtime=0))
