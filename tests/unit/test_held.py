"""What programs without /metrics hold is in files, as long as they live, and the doctor reads them."""

import os
import subprocess
import sys
from pathlib import Path

from hail.room import Room
from hail.settings import load
from tests.farm import ROOT
from tests.servers import wait_until
from whale import held
from whale.commands.doctor import memory_findings

LIVES = """
import sys
from hail.room import Room
from whale.held import keep_written
room = Room("branches", 64_000_000)
room.held = 1_500_000
keep_written(sys.argv[1], "worker")
sys.stdin.read()
"""


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """A program that holds something until its input ends."""
    return subprocess.Popen([sys.executable, "-c", LIVES, str(folder)], stdin=subprocess.PIPE, cwd=ROOT)


def test_a_program_says_what_it_holds_as_long_as_it_lives(tmp_path: Path) -> None:
    with start(tmp_path) as program:
        path = tmp_path / "held" / f"worker-{program.pid}.prom"
        try:
            wait_until(path.exists, 60, "the file")
            assert dict(held.programs(str(tmp_path))) == {path.stem: {"branches": (1_500_000, 64_000_000)}}
            lines = path.read_text().splitlines()
            assert lines[0] == "# TYPE hailwhale_held_bytes gauge"
            assert 'hailwhale_held_bytes{program="worker",what="branches"} 1500000' in lines
            assert 'hailwhale_held_bytes_most{program="worker",what="branches"} 64000000' in lines
            found = list(memory_findings(load({"HAILWHALE_DATA_DIR": str(tmp_path)})))
            assert [(each.about, each.text) for each in found] == [
                ("worker", "holds in memory, in MB: branches 1.5 of 64")
            ]
        finally:
            assert program.stdin
            program.stdin.close()
        assert program.wait(60) == 0
    assert list((tmp_path / "held").iterdir()) == []


def test_the_file_of_a_killed_program_is_not_read_and_goes_with_the_next_start(tmp_path: Path) -> None:
    with start(tmp_path) as killed:
        path = tmp_path / "held" / f"worker-{killed.pid}.prom"
        wait_until(path.exists, 60, "the file")
        killed.kill()
    assert path.exists()
    assert (
        list(held.programs(str(tmp_path))) == list(memory_findings(load({"HAILWHALE_DATA_DIR": str(tmp_path)}))) == []
    )
    with start(tmp_path) as program:
        wait_until(lambda: (tmp_path / "held" / f"worker-{program.pid}.prom").exists(), 60, "the next file")
        assert not path.exists()
        program.kill()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "held").write_text("a file where the folder should be")
    held.write(tmp_path / "held" / f"worker-{os.getpid()}.prom", "worker")
    assert list(held.programs(str(tmp_path))) == []


def test_rooms_of_one_name_are_told_together(tmp_path: Path) -> None:
    mine = f"test {tmp_path.name}"
    rooms = [Room(mine, 10), Room(mine, 20)]
    for room in rooms:
        room.held = 3
    held.write(tmp_path / "held" / f"worker-{os.getpid()}.prom", "worker")
    assert dict(held.programs(str(tmp_path)))[f"worker-{os.getpid()}"][mine] == (6, 30)
