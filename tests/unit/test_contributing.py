"""CONTRIBUTING.md and docs/releasing.md name files, folders, commands and functions that there are."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / name).read_text() for name in ("CONTRIBUTING.md", "docs/releasing.md")}
DOTTED = re.compile(r"`((?:hail|whale|tests)(?:\.\w+)+)`")
IN_REPOSITORY = re.compile(r"`((?:hail|whale|tests|benchmarks|deploy|docs)/[\w./-]*|\.ci/run|setup\.py)`")


def found(name: str) -> Any:
    """The module, or what it holds, of a dotted name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            each: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if not name.startswith(error.name or " "):
                raise
            continue
        for part in parts[length:]:
            each = getattr(each, part)
        return each
    raise AssertionError(f"there is no {name}")


@pytest.mark.parametrize("page", PAGES)
def test_each_function_that_is_named_is_there(page: str) -> None:
    for name in DOTTED.findall(PAGES[page]):
        assert found(name) is not None, name


@pytest.mark.parametrize("page", PAGES)
def test_each_file_that_is_named_is_there(page: str) -> None:
    named = IN_REPOSITORY.findall(PAGES[page]) + re.findall(r"(?:pytest|python) (tests/\S+\.py)", PAGES[page])
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_name_that_is_not_there_is_found_out() -> None:
    with pytest.raises(AttributeError):
        found("hail.accept.Acceptor.kept")
    with pytest.raises(AttributeError):
        found("whale.counting")


def test_the_map_has_every_folder() -> None:
    text = PAGES["CONTRIBUTING.md"].partition("## The map")[2].partition("## Tests")[0]
    linked = set(re.findall(r"\]\(([\w/]+)\)", text))
    parts = {f"whale/{path.name}" for path in (ROOT / "whale").iterdir() if (path / "__init__.py").exists()}
    assert parts | {"hail", "tests", "benchmarks", "docs", "deploy"} <= linked


SERVERS = {  # how a test asks for one
    "Redis": r"\bRedis(?:Server|Cluster)\b|\b(?:redis_server|redis_62|redis_cluster|own_redis)\b",
    "RabbitMQ": r"\brabbitmq: RabbitMQ\b|\bRabbitMQ\(",
    "nginx": r"\bnginx\(",
    "Chromium": r"\bChromium\b",
}


def test_the_table_of_tests_names_the_servers_of_each_folder() -> None:
    text = PAGES["CONTRIBUTING.md"].partition("| tests | need |")[2].partition("\n\n")[0]
    shown = {
        folder: {server for server in SERVERS if server in says}
        for folder, says in re.findall(r"^\| `tests/(\w+)` \| (.*) \|$", text, re.M)
    }
    used = {}
    for folder in shown:
        source = "\n".join(
            path.read_text() for path in (ROOT / "tests" / folder).glob("*.py") if path != Path(__file__)
        )
        used[folder] = {server for server, pattern in SERVERS.items() if re.search(pattern, source)}
    assert shown == used
    assert shown.keys() == {
        path.name
        for path in (ROOT / "tests").iterdir()
        if path.is_dir() and (any(path.glob("*.py")) or any(path.glob("*.js")))
    }


@pytest.mark.parametrize(
    "title", ["A hit, from door to queue", "A message, from queue to Redis", "A question, from door to Redis"]
)
def test_the_lists_of_calls_name_a_function_a_line(title: str) -> None:
    lines = re.findall(
        r"^\d+\. .*$", PAGES["CONTRIBUTING.md"].partition(f"\n## {title}\n")[2].partition("\n## ")[0], re.M
    )
    assert len(lines) > 9
    assert all(callable(found(DOTTED.findall(line)[0])) for line in lines)
