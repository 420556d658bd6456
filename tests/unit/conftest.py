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


@pytest.fixture
def loop_of_now() -> None:
    """A loop of gevent remembers the time of its last turn, maybe of a test long ago: a time-out that begins then has passed already."""
    import gevent  # only where it is used: it takes a while

    gevent.get_hub().loop.update_now()
