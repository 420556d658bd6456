"""`hailwhale agent` with options that cannot work, where nothing is sent; and a disk that goes away."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from whale.cli import main
from whale.commands.agent import Machine


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", ""], "agent: --host: "),
        (["--host", "x" * 300], "agent: --host: expected"),
        (["--disk", "/no/such/disk"], "agent: --disk: expected a path on this machine, got '/no/such/disk': No such file"),
        (["--hail", "count.example.org"], "agent: --hail: expected an address such as https://count.example.org, got "),
        (["--hail", "ftp://count.example.org"], "agent: --hail: expected an address"),
        (["--hail", "http://[::1"], "agent: --hail: expected an address"),
        (["--hail", "http://127.0.0.1:99999"], "agent: --hail: expected an address"),
        (["--every", "0.5"], "Invalid value for '--every'"),
        (["--every", "5000"], "Invalid value for '--every'"),
        (["--every", "nan"], "Invalid value for '--every'"),
        (["--every", "often"], "Invalid value for '--every': expected a number, got 'often'"),
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_one_sentence(options: list[str], says: str) -> None:
    said = CliRunner().invoke(main, ["agent", *options])
    assert (said.exit_code, said.stdout) == (2, "")
    assert says in said.stderr.splitlines()[-1]


def test_a_disk_that_goes_away_stops_nothing_else(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    machine = Machine(str(disk))
    assert sorted(machine.shares()) == ["cpu", "cpu_peak", "disk", "memory"]
    disk.rmdir()
    assert sorted(machine.shares()) == ["cpu", "cpu_peak", "memory"]
    disk.mkdir()
    assert "disk" in machine.shares()
