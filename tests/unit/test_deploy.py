"""The files of deploy/ start what the Procfile starts, with the settings that docs/deploy.md gives a farm."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hail.settings import load

ROOT = Path(__file__).parents[2]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
DEPLOY = (ROOT / "docs/deploy.md").read_text()


def farm_settings() -> dict[str, str]:
    """The variables of /etc/hailwhale.env in docs/deploy.md."""
    return dict(re.findall(r"^    (HAILWHALE_\w+)=(.*)$", DEPLOY.partition("## A farm")[2], re.M))


def compose_settings() -> dict[str, str]:
    """Those of the containers, with a password where one is asked for."""
    return {
        name: re.sub(r"\$\{\w+:\?\}", "letters", str(value)) for name, value in COMPOSE["x-part"]["environment"].items()
    }


def test_containers_have_the_settings_of_a_farm() -> None:
    ours, told = compose_settings(), farm_settings()
    assert ours.keys() >= told.keys()
    assert ours["HAILWHALE_SHARDS"] == told["HAILWHALE_SHARDS"] == "64"
    load(ours)
    load({name: value for name, value in told.items() if "KEY" not in name})


def test_no_container_has_a_password_of_everybody() -> None:
    text = (ROOT / "deploy/compose.yaml").read_text()
    assert "guest" not in text
    user = COMPOSE["services"]["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_USER"]
    assert COMPOSE["x-part"]["environment"]["HAILWHALE_BROKER_URL"].startswith(f"amqp://{user}:")


@pytest.mark.parametrize("part", PROCFILE)
def test_containers_run_what_the_procfile_runs(part: str) -> None:
    def plain(line: str) -> list[str]:
        line = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", line)
        return re.sub(r"(--bind|--workers) \S+ ", "", line).split()

    assert plain(COMPOSE["services"][part]["command"]) == plain(PROCFILE[part])
