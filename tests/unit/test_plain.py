"""Every text that a user meets is plain English, by the patterns of tests/plain.py."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hail.openapi
import whale.routes.openapi
from hail.settings import TABLE, Setting
from tests.plain import offences

TEXTS = ("title", "summary", "description")
ROOT = Path(__file__).parents[2]
RECORDS = ("CHANGELOG.md", "docs/decisions/")  # of their time; they are not rewritten
PAGES = {
    name: path.read_text()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    if not (name := str(path.relative_to(ROOT))).startswith(RECORDS)
}


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
