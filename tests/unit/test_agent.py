"""`hailwhale agent` with options that cannot work: nothing is sent."""

import pytest
from click.testing import CliRunner

from whale.cli import main


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
