"""The files of the dashboard as they are served: read, put together and gzipped once, when Whale starts.

All lie under one folder that is named by a hash of all of them: /static/4f1d…/main.js. So modules import each other by plain
relative paths, and a browser may keep each address for ever.

The modules that the first view needs are sent as one, since each request costs a round trip: main.js holds all that it imports, each
module in a function of its own that returns its exports. Comments and the space before a line stay behind.

    import { h, svg as draw } from './dom.js'     ->  const { h, svg: draw } = dom_js
    import * as f from './format.js'              ->  const f = format_js
    export function h(…)                          ->  function h(…), and `h` is returned

The style sheet holds those that it imports. Views that are opened later take from main.js by the same names, so that a module exists
once in a page. Modules that main.js does not lead to (graphs in pages of others) are served as they were written, and so is every
module under its own name.
"""

import gzip
import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

GRAPHS = ("hail-whale-graph.js", "graph.js", "table_graph.js", "jquery.hailwhale.js")
"""Scripts for pages of other sites. The first is put together."""
ELEMENT, SERVED, CHART = "element.js", "served.js", "vendor/uPlot-1.6.32"
FOLDER = Path(__file__).parents[1] / "dashboard"
PAGE, START = "index.html", "main.js"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
IMPORT = re.compile(r"^import (?:\{([^}]*)\}|\* as (\w+)) from '(\.[^']+)'$", re.M)
STYLES = re.compile(r"^@import '([^']+)';$", re.M)
EXPLAINED = re.compile(r"^ */\*\*.*?\*/\n", re.M | re.S)
REMARKED = re.compile(r"(^|[ \t]+)// [^'\"`\n]*$", re.MULTILINE)
SPACED = re.compile(r"^\s+", re.MULTILINE)
"""Of modules without a text of several lines: there it would be part of the text."""
NOTED = re.compile(r"/\*(?!!).*?\*/\s*", re.S)
"""Of style sheets; a licence stays."""
LATER = re.compile(r"\bimport\('(\.[^']+)'\)")
EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.M)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. name: changes with the contents; that of a file of the dashboard is its address below /static/."""

    name: str
    content_type: str
    body: bytes
    gzipped: bytes

    def tag(self, encoding: str) -> str:
        """Its ETag; one per form, as RFC 9110 wants it."""
        return f'"{self.name}{encoding and "-" + encoding}"'


def read_assets(folder: Path = FOLDER) -> tuple[str, dict[str, Asset]]:
    """The name of the folder that all lie in, and each file by its path in `folder`. About 150 KB."""
    bodies = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES
    }
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for name, body in bodies.items():
        digest.update(b"%d %d %b%b" % (len(name), len(body), name.encode(), body))
    version = digest.hexdigest()[:16]
    texts = {name: body.decode() for name, body in bodies.items()}
    styles = {"style.css": STYLES.sub(lambda found: texts[found[1]], texts["style.css"])}
    bodies |= {name: text.encode() for name, text in (joined(texts) | styles).items()}
    bodies |= {name: NOTED.sub("", body.decode()).encode() for name, body in bodies.items() if name.endswith(".css")}
    return version, {
        name: asset_of(f"{version}/{name}", TYPES[Path(name).suffix], body) for name, body in bodies.items()
    }


def asset_of(name: str, content_type: str, body: bytes) -> Asset:
    return Asset(name, content_type, body, gzip.compress(body, 9, mtime=0))


def joined(modules: Mapping[str, str]) -> dict[str, str]:
    """main.js with all that it imports, and the modules that it opens later, which take from it.  Raises CycleError."""
    imports = reached(START, modules)
    order = list(TopologicalSorter(imports).static_order())
    whole = "".join(_wrapped(name, modules[name]) for name in order)
    whole += f"export {{ {', '.join(map(_variable, order))} }}\n"
    later: dict[str, str] = {}
    ahead = [_path(START, name) for name in LATER.findall(modules[START])]
    while ahead:
        if (name := ahead.pop()) not in later and name not in imports:
            later[name] = _taking(name, modules[name], imports)
            ahead += _imported(name, modules[name])
    return {START: whole, **later}


def reached(start: str, modules: Mapping[str, str]) -> dict[str, list[str]]:
    """A module and all that it leads to, each with what it imports."""
    imports = {start: _imported(start, modules[start])}
    ahead = list(imports[start])
    while ahead:
        if (name := ahead.pop()) not in imports:
            imports[name] = _imported(name, modules[name])
            ahead += imports[name]
    return imports


def graph_files(zone: str, folder: Path = FOLDER) -> dict[str, str]:
    """GRAPHS, as they are served. zone: of the account.

    The element has one module more, served.js, with its styles and the zone. uPlot is a plain script, whose variable is then one of this
    module: the page around it may have a uPlot of its own.
    """
    modules = {name: (folder / name).read_text() for name in (*GRAPHS[1:], ELEMENT)}
    modules |= {path.name: path.read_text() for path in folder.glob("*.js")}
    facts = {"STYLE": _element_style(folder), "ZONE": zone}
    modules[SERVED] = "".join(f"export const {name} = {json.dumps(text)}\n" for name, text in facts.items())
    order = TopologicalSorter(reached(ELEMENT, modules)).static_order()
    whole = "".join(_wrapped(name, modules[name]) for name in order)
    exported = ", ".join(EXPORT.findall(modules[ELEMENT]))
    chart = (folder / f"{CHART}.iife.min.js").read_text()
    element = f"{chart}\n{whole}export const {{ {exported} }} = {_variable(ELEMENT)}\n"
    return {GRAPHS[0]: element, **{name: modules[name] for name in GRAPHS[1:]}}


def _element_style(folder: Path) -> str:
    """The tokens of style.css, which stand before its first rule, for the element instead of the document; and its own rules."""
    tokens = (folder / "style.css").read_text().partition("*, *::before")[0]
    tokens = re.sub(
        r":root(:not)?\(?\[data-(theme='\w+')\]\)?",
        lambda found: f":host({found[1] or ''}{'(' if found[1] else ''}[{found[2]}]{')' if found[1] else ''})",
        tokens,
    )
    tokens = re.sub(r"^@import .*\n", "", tokens, flags=re.M)
    own = [(folder / name).read_text() for name in (f"{CHART}.min.css", "embed.css")]
    return "\n".join([tokens.replace(":root", ":host"), *own])


def _path(module: str, imported: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(module), imported))


def _imported(module: str, text: str) -> list[str]:
    return [_path(module, path) for _, _, path in IMPORT.findall(text)]


def _variable(module: str) -> str:
    """dom.js -> dom_js; no two modules have the same."""
    return re.sub(r"\W", "_", module)


def _names(found: re.Match[str], module: str) -> str:
    """An import as the names that it takes from the variable of a module."""
    listed, whole, path = found.groups()
    return f"const {whole or '{' + listed.replace(' as ', ': ') + '}'} = {_variable(_path(module, path))}"


def _wrapped(module: str, text: str) -> str:
    exported = ", ".join(EXPORT.findall(text))
    text = SPACED.sub("", REMARKED.sub("", EXPLAINED.sub("", text)))
    inside = EXPORT.sub("", IMPORT.sub(lambda found: _names(found, module), text))
    return f"const {_variable(module)} = (() => {{\n{inside}return {{ {exported} }}\n}})();\n"


def _taking(module: str, text: str, inside: Mapping[str, object]) -> str:
    """A module that takes from main.js whatever lies in it; line by line as it was written."""
    start = posixpath.relpath(START, posixpath.dirname(module) or ".")

    def taken(found: re.Match[str]) -> str:
        path = _path(module, found[3])
        if path not in inside:
            return found[0]
        return f"import {{ {_variable(path)} }} from '{start if start[0] == '.' else './' + start}'; {_names(found, module)}"

    return IMPORT.sub(taken, text)
