"""`pip install .` brings everything that runs; version and changelog agree."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import hail
import whale
from hail import message, spool
from whale.store.redis import keys

HERE = Path(__file__).parents[2]
SHIPPED = {".py", ".typed", ".lua", ".js", ".html", ".css", ".svg"}


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for package in ("hail", "whale"):
        shutil.copytree(HERE / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "setup.py", source)
    expected = {
        str(path.relative_to(source)) for path in source.rglob("*") if path.suffix in SHIPPED or path.name == "LICENSE"
    } - {"setup.py"}
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True)
    (built,) = tmp_path.glob("*.whl")
    assert built.name.startswith(f"hailwhale-{hail.__version__}-")
    assert whale.__version__ == hail.__version__
    with zipfile.ZipFile(built) as wheel:
        names = set(wheel.namelist())
        commands = next(wheel.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert "hailwhale = whale.cli:main" in commands
    assert "hailwail = whale.count.hailwail:main" in commands


CHANGELOG = (HERE / "CHANGELOG.md").read_text()


def test_the_newest_version_of_the_changelog_is_the_one_of_the_program() -> None:
    versions = re.findall(r"^## \[(.*?)\](?: - (\d{4}-\d{2}-\d{2}))?$", CHANGELOG, re.M)
    assert versions[0] == ("Unreleased", "")
    assert versions[1][0] == hail.__version__
    assert all(day for _, day in versions[1:])


def test_the_changelog_says_first_which_forms_are_stored() -> None:
    forms = f"Layout {keys.VERSION}, message {message.VERSION}, spool {spool.MAGIC[-1:].decode()}."
    assert CHANGELOG.partition("## [Unreleased]\n\n")[2].split("\n")[0] == forms


def test_no_line_of_the_changelog_is_there_twice() -> None:
    """It is merged by union, which can leave both sides of a line."""
    lines = [line for line in CHANGELOG.split("\n") if line.startswith("- ")]
    assert [line for line in lines if lines.count(line) > 1] == []
    for version in re.split(r"^## ", CHANGELOG, flags=re.M)[1:]:
        headings = re.findall(r"^### (.*)$", version, re.M)
        assert headings == [name for name in ("Added", "Changed", "Removed", "Fixed") if name in headings]
