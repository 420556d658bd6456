"""Every text that a user meets is plain English, by the patterns of tests/plain.py."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest

import hail.openapi
import whale
import whale.routes.openapi
from hail.settings import TABLE, Setting
from tests.plain import offences
from whale import fasttrack
from whale.fasttrack import Tracker
from whale.middleware import PageViews
from whale.orm import Counted

TEXTS = ("title", "summary", "description")
ROOT = Path(__file__).parents[2]
RECORDS = ("CHANGELOG.md", "docs/decisions/")  # of their time; they are not rewritten
PAGES = {
    name: path.read_text()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    if not (name := str(path.relative_to(ROOT))).startswith(RECORDS)
}

MODULES = {
    str(path.relative_to(ROOT)): path for name in ("hail", "whale") for path in sorted((ROOT / name).rglob("*.py"))
}
WORDS = 3  # of a sentence, at least


def sentences_of(source: str) -> Iterator[str]:
    """The texts of a program that may be sentences: errors, help, log lines. A value in one is shown as `x`; docstrings are left out."""
    tree, passed = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in ast.walk(node) if part is not node}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(id(node.value))
    for node in ast.walk(tree):
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "`x`" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if len(text.split()) >= WORDS:
            yield text


def help_of(command: click.Command) -> Iterator[str]:
    """The help of a command, of its options and of its subcommands, each from the module where it lives."""
    yield command.help or ""
    yield from (getattr(option, "help", None) or "" for option in command.params)
    for below in getattr(command, "commands", {}).values():
        yield below.help or ""
        yield from help_of(importlib.import_module(below.module).main if hasattr(below, "module") else below)


HELP = [
    inspect.cleandoc(text)
    for script in entry_points(group="console_scripts")
    if script.value.startswith("whale.")
    for text in help_of(script.load())
    if text
]


def texts_in(part: Any) -> Iterator[str]:
    """The texts of an OpenAPI document that people read."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name in TEXTS and isinstance(value, str):
                yield value
            else:
                yield from texts_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from texts_in(value)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Until then, what was counted is kept.", "Until then, counted hits are kept."),
        ("What is counted: a name.", "The thing to count: a name."),
        ("It is told only how many trials it takes.", "It shows only the number of trials."),
        ("A visitor stays where he is.", "A visitor stays where they are."),
        ("Of policy `split`, one an option.", "For policy `split` only: one per option."),
        ("Weights of the options; none: even.", "Omit for equal weights."),
        ("names that bear a key; empty: the account's zone", "names that have a key. Default: the account's zone"),
        ("An outcome that is so old weighs half.", "An outcome of this age weighs half."),
    ],
)
def test_the_patterns_find_a_riddle_and_let_its_plain_form_pass(text: str, plain: str) -> None:
    assert offences(text)
    assert offences(plain) == []


@pytest.mark.parametrize(
    "text",
    [
        "Of course it counts.",
        "So many hits that Redis stops.",
        "What changed?",
        "Says what to do.",
        '{"sort": none: 1}',
        "It is null: no hits came.",
        "    told = he",
        "## What is kept",
    ],
)
def test_the_patterns_let_good_sentences_code_and_headings_pass(text: str) -> None:
    assert offences(text) == []


@pytest.mark.parametrize("setting", TABLE, ids=[setting.name for setting in TABLE])
def test_the_meaning_of_a_setting_is_plain(setting: Setting) -> None:
    assert offences(setting.meaning) == []


@pytest.mark.parametrize("document", [hail.openapi.document(), whale.routes.openapi.document()], ids=["hail", "whale"])
def test_the_openapi_documents_are_plain(document: dict[str, Any]) -> None:
    assert [offence for text in dict.fromkeys(texts_in(document)) for offence in offences(text)] == []


@pytest.mark.parametrize("module", MODULES)
def test_the_sentences_of_the_code_are_plain(module: str) -> None:
    found = sentences_of(MODULES[module].read_text())
    assert [offence for text in found for offence in offences(text)] == []


def test_sentences_are_found_in_errors_whatever_they_are_made_of() -> None:
    source = '"""A docstring."""\nraise E(f"expected {a} to {b}, got " "nothing")\nx = "a key"\n'
    assert list(sentences_of(source)) == ["expected `x` to `x`, got nothing"]


def test_the_help_of_all_commands_is_plain() -> None:
    assert len(HELP) > 30
    assert [offence for text in HELP for offence in offences(text)] == []


@pytest.mark.parametrize("kind", [whale.HailWhale, Counted, Tracker, fasttrack.Redis, PageViews])
def test_the_docstrings_of_the_library_are_plain(kind: type) -> None:
    said = [inspect.getdoc(member) or "" for name, member in inspect.getmembers(kind) if not name.startswith("_")]
    assert [offence for text in [inspect.getdoc(kind) or "", *said] for offence in offences(text)] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_are_plain(page: str) -> None:
    assert offences(PAGES[page]) == []


def test_what_is_not_yet_published_is_plain() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    unreleased, newest = re.split(r"^## ", text, flags=re.M)[1:3]
    assert offences(unreleased) == []
    assert offences(newest) == []


def test_the_index_the_recipes_and_the_readme_are_among_the_pages() -> None:
    assert PAGES.keys() >= {"README.md", "docs/http.md", "docs/http/hits.md", "docs/howto/orders.md", "docs/deploy.md"}
