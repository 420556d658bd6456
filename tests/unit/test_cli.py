import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tests.servers import free_port
from whale.cli import main
from whale.errors import SetupError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HAILWHALE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that this process was replaced by."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: commands.append(command))
    return commands


def test_the_help_names_every_command() -> None:
    said = CliRunner().invoke(main, ["--help"])
    assert said.exit_code == 0
    for name in ("up", "hail", "whale", "worker", "import", "audit", "doctor"):
        assert f"\n  {name} " in said.output


def test_the_list_of_commands_cuts_no_sentence_off() -> None:
    listed = CliRunner().invoke(main, ["--help"]).output.partition("Commands:\n")[2].splitlines()
    assert len(listed) == len(main.commands)
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("name", ["up", "hail", "whale", "worker"])
def test_every_command_has_help(name: str) -> None:
    said = CliRunner().invoke(main, [name, "--help"])
    assert (said.exit_code, said.output.startswith(f"Usage: main {name}")) == (0, True)


def test_a_misspelt_setting_is_one_sentence_and_exit_2() -> None:
    environ = {**os.environ, "HAILWHALE_WHALE_BIN": "127.0.0.1:1"}
    ran = subprocess.run(
        [sys.executable, "-m", "whale.cli", "whale"],
        env=environ,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "hailwhale: HAILWHALE_WHALE_BIN is not a setting: did you mean HAILWHALE_WHALE_BIND?\n"


def test_what_the_machine_lacks_is_one_sentence_and_exit_2(monkeypatch: pytest.MonkeyPatch) -> None:
    import whale.commands.supervisor

    def refuse(*_: Any) -> int:
        raise SetupError("port 8085 is in use: stop what listens there")

    monkeypatch.setattr(whale.commands.supervisor, "up", refuse)
    said = CliRunner().invoke(main, ["up"])
    assert (said.exit_code, said.stderr) == (2, "hailwhale: port 8085 is in use: stop what listens there\n")


def test_up_gives_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    import whale.commands.supervisor

    monkeypatch.setattr(whale.commands.supervisor, "up", lambda *_: 3)
    assert CliRunner().invoke(main, ["up"]).exit_code == 3


def test_whale_becomes_gunicorn_with_its_options(became: list[list[str]]) -> None:
    bind = f"127.0.0.1:{free_port()}"
    said = CliRunner().invoke(main, ["whale", "--bind", bind, "--processes", "2", "--threads", "5"])
    assert said.exit_code == 0, said.output
    (command,) = became
    assert command[:3] == [sys.executable, "-m", "gunicorn"]
    assert command[-1] == "whale.web:application"
    assert f"--bind {bind} --workers 2 " in " ".join(command)
    assert "--threads 5 " in " ".join(command)
    assert os.environ["HAILWHALE_WHALE_BIND"] == bind


def test_hail_becomes_gunicorn(became: list[list[str]]) -> None:
    said = CliRunner().invoke(main, ["hail", "--bind", f"127.0.0.1:{free_port()}", "--processes", "2"])
    assert said.exit_code == 0, said.output
    assert became[0][-1] == "hail.web:application"


@pytest.mark.parametrize("name", ["hail", "whale"])
def test_a_service_off_loopback_asks_for_keys(name: str, became: list[list[str]]) -> None:
    said = CliRunner().invoke(main, [name, "--bind", "0.0.0.0:9001"])
    assert (said.exit_code, became) == (2, [])
    assert "HAILWHALE_READ_KEY" in said.stderr


def test_the_worker_becomes_celery(became: list[list[str]]) -> None:
    os.environ["HAILWHALE_BROKER_URL"] = "amqp://localhost"
    assert CliRunner().invoke(main, ["worker", "--threads", "4"]).exit_code == 0
    assert {"celery", "whale.count.worker", "--without-gossip", "--without-mingle", "4"} <= set(became[0])


def test_a_command_that_lives_elsewhere_is_imported_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @click.argument("file")
    def elsewhere(file: str) -> None:
        click.echo(f"counting {file}")

    monkeypatch.setitem(sys.modules, "whale.commands.importer", SimpleNamespace(main=elsewhere))
    assert CliRunner().invoke(main, ["import", "flights.csv"]).output == "counting flights.csv\n"
    assert "Usage: main import" in CliRunner().invoke(main, ["import"]).stderr
