"""The tracker's scripts as they are served: read and gzipped once, when Hail starts.

    /js/trackr.js                    all of it           kept for an hour, then asked for by its ETag
    /js/trackr.core.js               without the calls for shops, users and marked elements
    /js/trackr.push.js               messages to one visitor, beside either
    /js/trackr-4f1d0a9c….js          each under the hash of its bytes, kept for ever

A hash that is none of today's is that of another version of HailWhale, which pages still name: it answers with the tracker of today, for
an hour, so that an upgrade takes the tracker off no page.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hail.access import Caller, Environ
from hail.answers import CORS, HttpAnswer, answer, json_answer
from hail.problem import plain_problem

FOLDER = Path(__file__).parent / "static"
WHOLE = "trackr"
RULE = "/js/<name>"
HOUR, FOR_EVER = "public, max-age=3600", "public, max-age=31536000, immutable"
HASHED = re.compile(r"(trackr(?:\.core|\.push)?)-[0-9a-f]{16}\.js")
KIND = "text/javascript; charset=utf-8"


class Script(NamedTuple):
    """hash: of its bytes, as its address has it."""

    hash: str
    body: bytes
    gzipped: bytes


def read_scripts(folder: Path = FOLDER) -> dict[str, Script]:
    """By their names without `.js`."""
    return {path.stem: _script(path.read_bytes()) for path in sorted(folder.glob("*.js"))}


def _script(body: bytes) -> Script:
    return Script(hashlib.sha256(body).hexdigest()[:16], body, gzip.compress(body, 9, mtime=0))


class Scripts:
    """For many threads."""

    def __init__(self, folder: Path = FOLDER):
        self._scripts = read_scripts(folder)
        self._addresses = {f"{stem}-{script.hash}.js" for stem, script in self._scripts.items()}

    def get(self, caller: Caller, environ: Environ) -> HttpAnswer:
        name = str(environ.get("PATH_INFO", "")).rpartition("/")[2]
        found = HASHED.fullmatch(name)
        script = self._scripts.get(found[1] if found else name.removesuffix(".js") if name.endswith(".js") else "")
        if script is None:
            said = f"no script has this address: {', '.join(f'/js/{stem}.js' for stem in self._scripts)}"
            return json_answer(404, plain_problem(404, said), CORS, "problem+json")
        return _answer(script, FOR_EVER if name in self._addresses else HOUR, environ)


def _answer(script: Script, kept: str, environ: Environ) -> HttpAnswer:
    packs = "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
    tag = f'"{script.hash}{"-gzip" if packs else ""}"'
    headers: Mapping[str, str] = {
        **CORS,
        "Cache-Control": kept,
        "ETag": tag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if tag in environ.get("HTTP_IF_NONE_MATCH", "").replace("W/", ""):
        return answer(304, b"", KIND, headers)
    packed = {"Content-Encoding": "gzip"} if packs else {}
    return answer(200, script.gzipped if packs else script.body, KIND, {**headers, **packed})
