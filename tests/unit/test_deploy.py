"""The files of deploy/ start what the Procfile starts, with the settings that docs/deploy.md gives a farm."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hail import access
from hail.settings import SettingsError, load

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
        name: re.sub(r"\$\{\w+:[?-]\}", "letters" * 5, str(value))
        for name, value in COMPOSE["x-part"]["environment"].items()
    }


def test_containers_have_the_settings_of_a_farm() -> None:
    ours, told = compose_settings(), farm_settings()
    assert ours.keys() >= told.keys()
    assert ours["HAILWHALE_SHARDS"] == told["HAILWHALE_SHARDS"] == "64"
    load(ours)
    load({name: value for name, value in told.items() if "KEY" not in name and "SECRET" not in name})


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


# The image


def instructions(name: str) -> list[str]:
    """What stands after each such instruction of the Dockerfile."""
    return re.findall(rf"^{name} (.*)$", (ROOT / "deploy/Dockerfile").read_text(), re.M)


def image_settings() -> dict[str, str]:
    return dict(each.split("=", 1) for line in instructions("ENV") for each in line.split())


def test_the_image_starts_what_make_up_starts_and_only_with_keys() -> None:
    assert json.loads(instructions("CMD")[-1]) == ["hailwhale", "up"]
    settings = load(image_settings())
    assert instructions("VOLUME") == [settings.data_dir]
    assert instructions("USER") == ["hailwhale"]
    for bind in (settings.hail_bind, settings.whale_bind, settings.live_bind):
        assert bind.rpartition(":")[2] in instructions("EXPOSE")[0].split()
        with pytest.raises(SettingsError, match="WRITE_KEY"):
            access.check_bind(bind, settings)


def test_the_image_is_given_what_it_copies_and_no_more() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = {source for line in instructions("COPY") for source in line.split()[:-1]}
    assert ignored[0] == "*"
    assert {name.removeprefix("!") for name in ignored if name.startswith("!")} == copied


def test_docs_and_compose_build_this_image() -> None:
    assert COMPOSE["x-part"]["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}
    assert "docker build -f deploy/Dockerfile -t hailwhale ." in DEPLOY
