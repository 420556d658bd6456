"""deploy/Dockerfile, without Docker: its files are copied and installed as it says, and its commands run."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

from tests.servers import free_port, wait_until
from tests.unit.test_deploy import ROOT, image_settings, instructions


def test_what_the_image_copies_installs_starts_and_is_healthy(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for line in instructions("COPY"):
        *names, target = line.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source / target)
    assert instructions("RUN")[-2] == "pip install --no-cache-dir --no-deps ."
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(installed), "."], cwd=source, check=True)

    hail, whale = free_port(), free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
    environ |= image_settings() | {f"HAILWHALE_{name}_KEY": name * 10 for name in ("WRITE", "READ", "ADMIN")}
    environ |= {
        "HAILWHALE_DATA_DIR": str(tmp_path / "var"),
        "HAILWHALE_HAIL_BIND": f"127.0.0.1:{hail}",
        "HAILWHALE_WHALE_BIND": f"127.0.0.1:{whale}",
        "HAILWHALE_LIVE_BIND": f"127.0.0.1:{free_port()}",
        "PYTHONPATH": str(installed),
    }
    command = json.loads(instructions("CMD")[-1])
    assert command[0] == "hailwhale"
    up = subprocess.Popen(
        [sys.executable, "-c", "from whale.cli import main; main()", *command[1:]], cwd=tmp_path, env=environ
    )
    try:
        health = next(json.loads(line.partition("CMD ")[2]) for line in instructions("HEALTHCHECK"))
        asks = [part.replace(":8085", f":{hail}").replace(":8086", f":{whale}") for part in health]
        assert asks != health

        def is_healthy() -> bool:
            assert up.poll() is None
            return subprocess.run([sys.executable, *asks[1:]], capture_output=True).returncode == 0

        wait_until(is_healthy, 100, shlex.join(asks), pause_s=0.3)
        headers = {"Authorization": "Bearer " + environ["HAILWHALE_WRITE_KEY"], "Content-Type": "application/json"}
        with urlopen(Request(f"http://127.0.0.1:{hail}/count", b'{"pk": "image"}', headers)) as answer:
            assert answer.read() == b"OK"
    finally:
        up.terminate()
        up.wait(60)
