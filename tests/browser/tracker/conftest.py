from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.tracking import Recorder, person
from tests.browser.visits import Chromium


@pytest.fixture
def hail() -> Iterator[Recorder]:
    """It writes down what pages send."""
    with Recorder() as found:
        yield found


@pytest.fixture
def visit(chromium: Chromium, hail: Recorder) -> Iterator[tuple[Page, list[str]]]:
    """It ends before Hail does."""
    with person(chromium) as one:
        yield one
