"""The program as it was before something, from git, for tests of an upgrade and of the way back.

before = program_before(folder)       # its root, from before messages of version 2
farm.worker.becomes(before)           # from its next start on
"""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.farm import ROOT

COMMIT = "6dd95b8d5c31739f430be68d96a0e52cb79a18f1"
BEFORE_STAMPS = "3fc635ddab0e99070d5ed7520ba794488e09e451"
PARTS = ("hail", "whale", "deploy", "Procfile", "tests/faulty.py")


def program_before(folder: Path, commit: str = COMMIT) -> Path:
    """Unpacks it; fails, and never skips, where git does not have it, since then nobody has tried the upgrade."""
    if not _git("cat-file", "-e", f"{commit}^{{commit}}"):
        _git("fetch", "--quiet", "--depth", "1", "origin", commit)  # a shallow clone
    archive = _git("archive", commit, *PARTS)
    if not archive:
        pytest.fail(
            f"the upgrade was not tried: this checkout lacks commit {commit[:7]}, a version of before, and "
            "cannot fetch it: git fetch --unshallow"
        )
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def _git(*words: str) -> bytes:
    """What it says, or a byte where that is nothing; nothing where it fails."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True)
    return b"" if done.returncode else done.stdout or b"\0"
