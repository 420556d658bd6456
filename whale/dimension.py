"""Nested dimensions <-> paths, and how a path or a pk is written.

A path is a tuple of names; () is the root. `{"a": {"5": {}}, "b": {}}` has the paths (), (a), (a, 5), (b). A pk has a
reserved path (None, name) for each child pk; it is read by the services and never written by anyone else.

As text the root is `_`, and one name is itself; a path of several names, and a name that begins with `[`, is the JSON text
of the list: `["country", "US"]`. A path that is the one name `_` is `{"_": {}}`, since `["_"]` is the root, too.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from hail.hit import ROOT_TEXT, Dimensions, is_text
from whale.errors import PathError

Pk = tuple[str, ...]
Path = tuple[str | None, ...]
ROOT: Path = ()
ROOT_NAMED = '{"_": {}}'
"""The text of the path of one name that is written as the root is."""
MAX_PKS_ASKED = 100


def paths_of(tree: Dimensions) -> list[Path]:
    """Every path of a tree, the root first, a parent before its children."""
    return [ROOT, *_below(tree, ROOT)]


def _below(tree: Dimensions, path: Path) -> Iterator[Path]:
    for name, branches in tree.items():
        child = (*path, name)
        yield child
        yield from _below(branches, child)


def path_text(path: Path) -> str:
    """A path as in answers; `parse_path` gives it back."""
    if not path:
        return ROOT_TEXT
    name = path[0]
    if len(path) == 1 and name and name not in (ROOT_TEXT, ROOT_NAMED) and not name.startswith("["):
        return name
    return ROOT_NAMED if path == (ROOT_TEXT,) else _dumps(path)


def _dumps(names: Iterable[str | None]) -> str:
    """As json.dumps writes it without ensure_ascii, in a sixth of the time."""
    return "[" + ", ".join(["null" if name is None else encode_basestring(name) for name in names]) + "]"


def pk_text(pk: Pk) -> str:
    """A pk as in answers: a single name as itself, else the JSON text of the list."""
    return pk[0] if len(pk) == 1 and pk[0] and not pk[0].startswith("[") else _dumps(pk)


def parse_path(text: str, field: str = "dimensions") -> Path:
    """A path from the text of `path_text`; raises PathError."""
    if text == ROOT_NAMED:
        return (ROOT_TEXT,)
    if not text.startswith("["):
        return ROOT if text in (ROOT_TEXT, "") else (_name(text, field),)
    return _path(_decoded(text, field), field)


def parse_pk(text: str, field: str = "pk") -> Pk:
    """A pk from the text of `pk_text`; raises PathError."""
    names = _pk_names(_decoded(text, field), field) if text.startswith("[") else (text,)
    if not names or not all(names) or not is_text(text):
        raise PathError(f"expected a name or a list of names, got {text[:60]!a}", field)
    return names


def pk_asked(value: Any, field: str = "pk") -> Pk:
    """A pk of decoded JSON or of a plain text; raises PathError."""
    if isinstance(value, str):
        return parse_pk(value, field)
    names = () if value is None else _pk_names(value, field)
    if not names:
        raise PathError("expected a name or a list of names, got nothing", field)
    return names


def pks_asked(value: Any, field: str = "pks") -> list[Pk]:
    """Several pks, each once; raises PathError."""
    if not isinstance(value, list | tuple) or not value:
        raise PathError(f'expected a list of pks such as ["a", ["b", "c"]], got {ascii(value)[:60]}', field)
    if len(value) > MAX_PKS_ASKED:
        raise PathError(f"expected at most {MAX_PKS_ASKED}, got {len(value)}", field)
    return list(dict.fromkeys(pk_asked(pk, field) for pk in value))


class Asked(NamedTuple):
    """paths: that a question names, in its order.  lists: the lists of names below an object, each with the path above it.

    A list below an object is several paths; a hit with the same object counts one, (*above, *names).
    """

    paths: list[Path]
    lists: list[tuple[Path, Path]]


def paths_asked(value: Any, field: str = "dimensions") -> list[Path]:
    """The paths that a question names, whatever was counted; see `read_paths`."""
    return read_paths(value, field).paths


def read_paths(value: Any, field: str = "dimensions") -> Asked:
    """The paths that a question names: of decoded JSON or of a plain text; raises PathError.

    Nothing, `_` and empty mean the root; a name or a list of names is one path; a list of lists is several;
    an object means its leaves: `{"country": ["US", "UK"], "device": "mac"}` is three. A null in a list is left out.
    """
    lists: list[tuple[Path, Path]] = []
    found: Iterable[Path] = ()
    if isinstance(value, str):
        found = [parse_path(value, field)]
    elif isinstance(value, Mapping):
        found = _leaves(value, field, lists)
    elif isinstance(value, list | tuple) and any(isinstance(item, list | tuple) for item in value):
        found = [_path(item, field) for item in value if item is not None]
    elif value is not None:
        found = [_path(value, field)]
    return Asked(list(dict.fromkeys(found)) or [ROOT], lists)


def two_readings(above: Path, names: Path) -> str:
    """What is said of a list below an object where a hit has counted one as a path: how to ask that path, and how the several."""
    written = json.dumps(names)
    for name in reversed(above):
        written = f"{{{json.dumps(name)}: {written}}}"
    single, several = json.dumps([*above, *names]), json.dumps([[*above, name] for name in dict.fromkeys(names)])
    return (
        f"{written} is ambiguous, because hits counted it as one path: "
        f"send {single} for that path, or {several} for each of the names"
    )


def _leaves(value: Mapping[Any, Any], field: str, lists: list[tuple[Path, Path]]) -> Iterator[Path]:
    """The leaves of an object, in its order. Without recursion: a question may nest as deep as it is long."""
    waiting: list[tuple[Path, Any]] = [(ROOT, value)] if value else []
    while waiting:
        path, below = waiting.pop()
        if isinstance(below, Mapping) and below:
            waiting += reversed([((*path, _name(name, field)), each) for name, each in below.items()])
        elif isinstance(below, list | tuple) and (items := [item for item in below if item is not None]):
            if len(items) > 1 and not any(isinstance(item, Mapping | list | tuple) or item == "" for item in items):
                lists.append((path, _names(items, field)))
            each_path = (
                ((*path, *_names(item, field)), None) if isinstance(item, list | tuple) else (path, item)
                for item in items
            )
            waiting += reversed(list(each_path))
        elif below is None or below == "" or isinstance(below, Mapping | list | tuple):
            yield path
        else:
            yield (*path, _name(below, field))


def _path(value: Any, field: str) -> Path:
    """One path: a name, or a list of names, of which a null is left out. `_` alone is the root."""
    names = _names(value, field)
    return ROOT if names == (ROOT_TEXT,) else names


def _decoded(text: str, field: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise PathError(
            f'expected a name, or a JSON list such as ["country", "US"], got {text[:60]!a}', field
        ) from None


def _names(value: Any, field: str) -> tuple[str, ...]:
    """Of a path; a null is left out."""
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(_name(item, field) for item in items if item is not None)


def _pk_names(value: Any, field: str) -> Pk:
    return tuple(_name(item, field) for item in (value if isinstance(value, list | tuple) else [value]))


def _name(value: Any, field: str) -> str:
    """A name as Hail counts it: numbers and booleans as their JSON text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, str) and value and is_text(value):
        return value
    raise PathError(f"expected a name, got {ascii(value)[:60]}", field)
