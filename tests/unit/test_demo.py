"""`hailwhale up --demo` mixes with no other counts: refusals before anything starts."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hail.settings import Settings, load
from whale.cli import main
from whale.commands import demo, shop
from whale.errors import SetupError

NOW = 1_795_690_000


def settings_of(folder: Path) -> Settings:
    return load({"HAILWHALE_DATA_DIR": str(folder)})


def up(folder: Path, *options: str, **environ: str) -> Result:
    own = {name: None for name in os.environ if name.startswith("HAILWHALE_")}
    return CliRunner().invoke(main, ["up", *options], env={**own, "HAILWHALE_DATA_DIR": str(folder), **environ})


def test_a_folder_keeps_its_story(tmp_path: Path) -> None:
    first = demo.prepare(settings_of(tmp_path / "new"), 7, NOW)
    assert (first.seed, first.began, first.singly) == (7, NOW, False)
    assert first.to == (NOW - 64 * 86400) // 86400 * 86400
    assert demo.prepare(settings_of(tmp_path / "new"), None, NOW + 5000) == first
    assert demo.prepare(settings_of(tmp_path / "new"), 7, NOW + 5000) == first
    with pytest.raises(SetupError, match="holds the demo of seed 7: leave out --seed, or remove that folder"):
        demo.prepare(settings_of(tmp_path / "new"), 8, NOW)


def test_a_seed_that_nobody_names_is_drawn(tmp_path: Path) -> None:
    seeds = {demo.prepare(settings_of(tmp_path / str(at)), None, NOW).seed for at in range(20)}
    assert len(seeds) > 10


@pytest.mark.parametrize("part", ["redis", "spool"])
def test_a_folder_with_other_counts_is_refused(tmp_path: Path, part: str) -> None:
    (tmp_path / part).mkdir()
    (tmp_path / part / "something").touch()
    said = up(tmp_path, "--demo")
    assert (said.exit_code, said.stdout) == (2, "")
    assert said.stderr == (
        f"hailwhale: {tmp_path} holds other counts, and the demo mixes with none: set HAILWHALE_DATA_DIR to a new folder\n"
    )
    assert not (tmp_path / "demo.json").exists()


def test_the_folder_of_the_demo_is_refused_without_demo(tmp_path: Path) -> None:
    demo.prepare(settings_of(tmp_path), 7, NOW)
    said = up(tmp_path)
    assert said.exit_code == 2
    assert said.stderr == (
        f"hailwhale: {tmp_path} holds the demo: start it with `hailwhale up --demo`, "
        "or set HAILWHALE_DATA_DIR to another folder\n"
    )


@pytest.mark.parametrize("name", ["REDIS_URL", "BROKER_URL"])
def test_servers_of_others_are_refused(tmp_path: Path, name: str) -> None:
    url = {"REDIS_URL": "redis://127.0.0.1:1", "BROKER_URL": "amqp://127.0.0.1:1"}[name]
    said = up(tmp_path / "var", "--demo", **{f"HAILWHALE_{name}": url})
    assert said.exit_code == 2
    assert said.stderr == (
        f"hailwhale: the demo counts in servers of its own, so that it mixes with no other counts: unset HAILWHALE_{name}\n"
    )
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("options", [["--seed", "5"], ["--answer"]])
def test_options_of_the_demo_need_it(tmp_path: Path, options: list[str]) -> None:
    said = up(tmp_path, *options)
    assert (said.exit_code, said.stderr) == (2, "hailwhale: --seed and --answer are options of --demo\n")


@pytest.mark.parametrize("seed", ["-1", "five", "1.5", ""])
def test_a_seed_is_a_whole_number(tmp_path: Path, seed: str) -> None:
    said = up(tmp_path, "--demo", "--seed", seed)
    assert said.exit_code == 2
    assert "Invalid value for '--seed'" in said.stderr


@pytest.mark.parametrize("text", ["", "{", '{"seed": "x"}', '{"seed": 1}', "[1]"])
def test_a_state_that_cannot_be_read_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "demo.json").write_text(text)
    for options in ([], ["--demo"], ["--demo", "--answer"]):
        said = up(tmp_path, *options)
        assert said.exit_code == 2
        assert said.stderr.startswith(f"hailwhale: {tmp_path}/demo.json: expected the state of a demo, got ")
        assert said.stderr.endswith(f": remove {tmp_path}\n")


def test_the_answer_is_told_to_who_asks(tmp_path: Path) -> None:
    assert up(tmp_path, "--demo", "--answer").stderr == (
        f"hailwhale: {tmp_path} holds no demo: start one with `hailwhale up --demo`\n"
    )
    story = demo.prepare(settings_of(tmp_path), 1, NOW).story
    assert shop.SOURCES[story.campaign].name == {"newsletter": "weekly"}
    lost = shop.lost_orders(story, NOW // shop.DAY * shop.DAY)
    assert demo.answer(settings_of(tmp_path), NOW) == (
        "Since 2026-11-17 03:00 UTC the campaign newsletter > weekly has 8% of the orders a visit that it had. "
        f"Up to 2026-11-26 00:00 UTC that is about {lost:,.0f} orders and ${lost * shop.MEAN_PRICE:,.0f} less."
    )
    assert up(tmp_path, "--demo", "--answer").stdout.startswith("Since 2026-11-17 03:00 UTC")
