"""`pip install .` brings everything that runs."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import hail
import whale

HERE = Path(__file__).parents[2]
SHIPPED = {".py", ".typed", ".lua", ".js", ".html", ".css"}


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for package in ("hail", "whale"):
        shutil.copytree(HERE / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "setup.py", source)
    expected = {str(path.relative_to(source)) for path in source.rglob("*") if path.suffix in SHIPPED} - {"setup.py"}
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
