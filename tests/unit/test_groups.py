"""The tables that say where and when tests run speak of tests that are there."""

import re
from pathlib import Path

from hypothesis import settings

from tests import groups
from tests.laws import CI, LONG, law

ROOT = Path(__file__).parents[2]


def test_every_file_that_a_group_names_is_there() -> None:
    assert [file for file in groups.SERIAL | groups.TOGETHER if not (groups.HERE / file).exists()] == []
    assert not groups.SERIAL & groups.TOGETHER


def test_a_test_is_in_the_group_of_its_file() -> None:
    assert {groups.group_of(file) for file in groups.SERIAL} == {"serial"}
    assert groups.group_of("browser/test_visits.py") == "browser"
    assert groups.group_of("unit/test_groups.py") is None


def test_each_long_test_is_in_a_part_that_the_makefile_explains() -> None:
    sources = "\n".join(path.read_text() for path in groups.HERE.rglob("test_*.py") if path != Path(__file__))
    marks = re.findall(r"mark\.long\b(.*)", sources)
    parts = [re.match(r'\(part="(\w+)"\)', mark) for mark in marks]
    assert all(parts), marks
    explained = re.findall(r"^#     (\w+)  ", (ROOT / "Makefile").read_text(), re.M)
    assert {part[1] for part in parts if part} == set(explained)


def test_only_tests_of_integration_run_alone() -> None:
    """There make test looks for them."""
    alone = {
        path.parent.name for path in groups.HERE.rglob("test_*.py") if "\n@pytest.mark.alone\n" in path.read_text()
    }
    assert alone == {"integration"}


def test_two_runs_of_make_test_try_the_same_inputs_and_long_ones_others() -> None:
    ci, long = settings.get_profile(CI), settings.get_profile(LONG)
    assert (ci.derandomize, long.derandomize) == (True, False)
    assert (ci.deadline, long.deadline) == (None, None)
    assert ci.print_blob
    assert long.print_blob
    times = long.max_examples // ci.max_examples
    assert law(7).max_examples == 7 * (times if settings.get_current_profile_name() == LONG else 1)
