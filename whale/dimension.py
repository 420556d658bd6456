"""Nested dimensions <-> paths, and how a path or a pk is written.

A path is a tuple of names; () is the root. `{"a": {"5": {}}, "b": {}}` has the paths (), (a), (a, 5), (b). A pk has a
reserved path (None, name) for each child pk; it is read by the services and never written by anyone else.

As text the root is `_`, and one name is itself; a path of several names, and a name that could be taken for something
else (`_`, or one that begins with `[`), is the JSON text of the list: `["country", "US"]`, `["_"]`.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any

from hail.hit import Dimensions, is_text
from whale.errors import PathError

Pk = tuple[str, ...]
Path = tuple[str | None, ...]
ROOT: Path = ()
ROOT_TEXT = "_"
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
    if len(path) == 1 and name and name != ROOT_TEXT and not name.startswith("["):
        return name
    return _dumps(path)


def _dumps(names: Iterable[str | None]) -> str:
    """As json.dumps writes it without ensure_ascii, in a sixth of the time."""
    return "[" + ", ".join(["null" if name is None else encode_basestring(name) for name in names]) + "]"


def pk_text(pk: Pk) -> str:
    """A pk as in answers: a single name as itself, else the JSON text of the list."""
    return pk[0] if len(pk) == 1 and pk[0] and not pk[0].startswith("[") else _dumps(pk)


def parse_path(text: str, field: str = "dimensions") -> Path:
    """A path from the text of `path_text`; raises PathError."""
    if not text.startswith("["):
        return ROOT if text in (ROOT_TEXT, "") else (_name(text, field),)
    return _names(_decoded(text, field), field)


def parse_pk(text: str, field: str = "pk") -> Pk:
    """A pk from the text of `pk_text`; raises PathError."""
    names = _names(_decoded(text, field), field) if text.startswith("[") else (text,)
    if not names or not all(names) or not is_text(text):
        raise PathError(f"expected a name or a list of names, got {text[:60]!a}", field)
    return names


def pk_asked(value: Any, field: str = "pk") -> Pk:
    """A pk of decoded JSON or of a plain text; raises PathError."""
    if isinstance(value, str):
        return parse_pk(value, field)
    names = () if value is None else _names(value, field)
    if not names:
        raise PathError("expected a name or a list of names, got nothing", field)
    return names


def pks_asked(value: Any, field: str = "pks") -> list[Pk]:
    """Several pks, each once; raises PathError."""
    if not isinstance(value, list | tuple) or not value:
        raise PathError(f'expected a list of pks as ["a", ["b", "c"]], got {ascii(value)[:60]}', field)
    if len(value) > MAX_PKS_ASKED:
        raise PathError(f"expected at most {MAX_PKS_ASKED}, got {len(value)}", field)
    return list(dict.fromkeys(pk_asked(pk, field) for pk in value))


def paths_asked(value: Any, field: str = "dimensions") -> list[Path]:
    """The paths that a question names, in its order: of decoded JSON or of a plain text; raises PathError.

    Nothing, `_` and empty mean the root; a name or a list of names is one path; a list of lists is several;
    an object means its leaves: `{"country": ["US", "UK"], "device": "mac"}` is three.
    """
    if value in (None, "", [], {}):
        return [ROOT]
    if isinstance(value, str):
        return [parse_path(value, field)]
    if isinstance(value, list) and any(isinstance(item, list) for item in value):
        return list(dict.fromkeys(_names(item, field) for item in value))
    if isinstance(value, dict):
        return list(dict.fromkeys(_leaves(value, (), field)))
    return [_names(value if isinstance(value, list) else [value], field)]


def _leaves(value: Any, path: tuple[str, ...], field: str) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _leaves(below, (*path, _name(name, field)), field)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _leaves(item, path, field)
    elif value is None or value in ("", [], {}):
        yield path
    else:
        yield (*path, _name(value, field))


def _decoded(text: str, field: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise PathError(f'expected a name or a JSON list as ["country", "US"], got {text[:60]!a}', field) from None


def _names(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        value = [value]
    return tuple(_name(item, field) for item in value)


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
