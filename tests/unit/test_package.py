"""`pip install .` brings everything that runs; version and changelog agree."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

import hail
import whale
from hail import columns, message, spool
from whale.routes.assets import read_assets
from whale.store.redis import keys

HERE = Path(__file__).parents[2]
LISTED = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]


class Built(NamedTuple):
    """packages: the files of hail and whale that git knows."""

    packages: set[str]
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist of what git knows, and the wheel that is made of that sdist alone."""
    folder = tmp_path_factory.mktemp("package")
    known = subprocess.run(LISTED, cwd=HERE, check=True, capture_output=True, text=True).stdout.split("\0")
    files = {name for name in known if name and (HERE / name).is_file()}
    for name in files:
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / name, folder / "source" / name)
    make = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(folder)]
    subprocess.run(make, cwd=folder / "source", check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(sdist)], check=True)
    (wheel,) = folder.glob("*.whl")
    return Built({name for name in files if name.split("/")[0] in ("hail", "whale")}, sdist, wheel)


def test_the_sdist_holds_every_file_of_the_packages_and_its_licences(built: Built) -> None:
    assert built.sdist.name == f"hailwhale-{hail.__version__}.tar.gz"
    with tarfile.open(built.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert sorted(built.packages - names) == []
    assert {"LICENSE", "README.md", "setup.py"} <= names
    assert [name for name in names if "/__pycache__/" in name or name.startswith("tests/")] == []


def test_the_wheel_holds_every_file_of_the_packages(built: Built) -> None:
    assert built.wheel.name.startswith(f"hailwhale-{hail.__version__}-")
    assert whale.__version__ == hail.__version__
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
        commands = next(wheel.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert {name for name in names if ".dist-info/" not in name} == built.packages
    assert "hailwhale = whale.cli:main" in commands
    assert "hailwail = whale.count.hailwail:main" in commands


def test_the_pages_of_the_wheel_are_those_of_the_checkout(built: Built, tmp_path: Path) -> None:
    """Every file that a page or one of its modules names is served from these, by tests/unit/test_dashboard.py."""
    with zipfile.ZipFile(built.wheel) as wheel:
        wheel.extractall(tmp_path)
    version, assets = read_assets(tmp_path / "whale" / "dashboard")
    assert version == read_assets()[0]
    assert assets.keys() == read_assets()[1].keys()


CHANGELOG = (HERE / "CHANGELOG.md").read_text()


def test_the_newest_version_of_the_changelog_is_the_one_of_the_program() -> None:
    versions = re.findall(r"^## \[(.*?)\](?: - (\d{4}-\d{2}-\d{2}))?$", CHANGELOG, re.M)
    assert versions[0] == ("Unreleased", "")
    assert versions[1][0] == hail.__version__
    assert all(day for _, day in versions[1:])


def test_the_changelog_says_first_which_forms_are_stored() -> None:
    written, read = spool.MAGIC[-1:].decode(), spool.MARKED[-1:].decode()
    messages = f"message {message.VERSION} (reads {columns.VERSION})"
    forms = f"Layout {keys.VERSION}, {messages}, spool {written} (reads {read})."
    assert CHANGELOG.partition("## [Unreleased]\n\n")[2].split("\n")[0] == forms


def test_no_line_of_the_changelog_is_there_twice() -> None:
    """It is merged by union, which can leave both sides of a line."""
    lines = [line for line in CHANGELOG.split("\n") if line.startswith("- ")]
    assert [line for line in lines if lines.count(line) > 1] == []
    for version in re.split(r"^## ", CHANGELOG, flags=re.M)[1:]:
        headings = re.findall(r"^### (.*)$", version, re.M)
        assert headings == [name for name in ("Added", "Changed", "Removed", "Fixed") if name in headings]
