"""Where a rule is set aside, that line says why: a check that is off, an `except` that takes everything, a test that is skipped."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("hail", "whale", "tests", "benchmarks", "deploy", "examples")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
OFF = re.compile(r"#\s*(noqa|type:\s*ignore|pragma)")
OFF_WITH_REASON = re.compile(r"# (noqa: [A-Z]+\d+|type: ignore\[[a-z-]+\])  # \S.*")
EVERYTHING = {"Exception", "BaseException"}
SKIPS = {"skip", "skipif", "xfail", "importorskip"}


def set_aside(text: str) -> list[int]:
    """The lines that set a rule aside and do not say why."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    off = [line for line, said in comments.items() if OFF.match(said) and not OFF_WITH_REASON.fullmatch(said)]
    return off + [line for node in ast.walk(ast.parse(text)) for line in needs_reason(node) if line not in comments]


def needs_reason(node: ast.AST) -> list[int]:
    """The line of a node that may stand only with a reason."""
    match node:
        case ast.ExceptHandler(body=[*_, ast.Raise(exc=None)]):
            return []
        case ast.ExceptHandler(type=None):
            return [node.lineno]
        case ast.ExceptHandler(type=ast.expr() as caught) if names_in(caught) & EVERYTHING:
            return [node.lineno]
        case ast.Call(func=ast.Name("suppress") | ast.Attribute(attr="suppress")) if names_in(node) & EVERYTHING:
            return [node.lineno]
        case ast.Attribute(value=ast.Name("pytest") | ast.Attribute(attr="mark"), attr=name) if name in SKIPS:
            return [node.lineno]
        case ast.Raise(exc=ast.expr() as raised) if "NotImplementedError" in names_in(raised):
            return [node.lineno]
    return []


def names_in(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_rule_that_is_set_aside_has_its_reason_on_the_line(path: Path) -> None:
    assert set_aside(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "import os  # noqa",
        "import os  # noqa: F401",
        "x = 1  # type: ignore",
        "try:\n    f()\nexcept:\n    pass",
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept (OSError, BaseException) as error:\n    raise ValueError from error",
        "with contextlib.suppress(Exception):\n    f()",
        "@pytest.mark.skip\ndef test_f(): ...",
        "pytest.skip('no server')",
        "raise NotImplementedError",
    ],
)
def test_it_sees_what_has_no_reason(text: str) -> None:
    assert len(set_aside(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import os  # noqa: F401  # for those who import it from here",
        "x = 1  # type: ignore[misc]  # the library has no types",
        "try:\n    f()\nexcept Exception:  # it raises nearly anything\n    pass",
        "try:\n    f()\nexcept BaseException:\n    close()\n    raise",
        "try:\n    f()\nexcept OSError:\n    pass",
        "text = '# noqa'",
    ],
)
def test_it_lets_a_reason_pass(text: str) -> None:
    assert set_aside(text) == []
