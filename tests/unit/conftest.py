from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes import Asked, Node
from tests.wsgi import serving


@pytest.fixture
def node(tmp_path: Path, whale: Asked) -> Iterator[Node]:
    """Beside the Whale of a test, which says what that knows."""
    with serving(whale) as url:
        yield Node(tmp_path, url)
