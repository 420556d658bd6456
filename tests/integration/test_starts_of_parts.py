"""How each part starts, and what is said where it cannot: one sentence on stderr, and exit code 2."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from hail.settings import load
from tests.servers import RabbitMQ, RedisServer, free_port, wait_until
from tests.starts import CELERY, HAILWHALE, HERE, Part, environ_of, ran
from whale.errors import SetupError
from whale.health.queues import Queues


@pytest.fixture
def broker(rabbitmq: RabbitMQ, unique: str) -> Iterator[dict[str, str]]:
    """The settings of a farm's queue that was made."""
    settings = {"BROKER_URL": rabbitmq.url, "QUEUE": unique}
    made = load({f"HAILWHALE_{name}": value for name, value in settings.items()})
    with Queues(made) as queues:
        queues.difference(unique)  # declares it
    yield settings
    rabbitmq.delete(unique, f"{unique}.dead")


def with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    return f"amqp://guest:{password}@{parts.hostname}:{parts.port}//"


def refused_starts(settings: dict[str, str]) -> dict[str, tuple[dict[str, str], str]]:
    """By what is wrong: the settings, and the sentence."""
    url = settings["BROKER_URL"]
    queue = settings["QUEUE"]
    return {
        "password": (
            {**settings, "BROKER_URL": with_password(url, "wrong")},
            "RabbitMQ refuses the user or the password in HAILWHALE_BROKER_URL: correct them",
        ),
        "vhost": (
            {**settings, "BROKER_URL": url.removesuffix("/") + "nowhere"},
            "RabbitMQ: vhost nowhere not found: run `rabbitmqctl add_vhost` and `rabbitmqctl set_permissions`, "
            "or correct the end of HAILWHALE_BROKER_URL (the vhost / is written //)",
        ),
        "argument": (
            {**settings, "QUEUE_MAX_MESSAGES": "100"},
            f"RabbitMQ's queue {queue} was created with HAILWHALE_QUEUE_MAX_MESSAGES=20000, but this process has 100: "
            "restore the value, or let the workers empty the queue and delete it",
        ),
    }


@pytest.mark.parametrize("wrong", ["password", "vhost", "argument"])
def test_a_worker_that_rabbitmq_refuses_does_not_start(wrong: str, broker: dict[str, str]) -> None:
    settings, sentence = refused_starts(broker)[wrong]
    assert ran(CELERY, **settings) == (2, "", f"worker: {sentence}\n")


def test_all_parts_say_the_same_of_a_wrong_password(broker: dict[str, str], tmp_path: Path) -> None:
    settings, sentence = refused_starts(broker)["password"]
    assert ran(f"{HAILWHALE} worker", **settings) == (2, "", f"worker: {sentence}\n")
    binds = {"HAIL_BIND": f"127.0.0.1:{free_port()}", "WHALE_BIND": f"127.0.0.1:{free_port()}", "LIVE_BIND": ""}
    up = {**settings, **binds, "DATA_DIR": str(tmp_path)}
    assert ran(f"{HAILWHALE} up", **up) == (2, "", f"hailwhale: {sentence}\n")
    with pytest.raises(SetupError, match=sentence):
        Queues(load({f"HAILWHALE_{name}": value for name, value in settings.items()}))


def test_a_user_without_rights_is_told_which(rabbitmq: RabbitMQ, broker: dict[str, str]) -> None:
    rabbitmq.ctl("add_user", "poor", "poor")
    rabbitmq.ctl("set_permissions", "poor", "^other", "^other", "^other")
    try:
        parts = urlsplit(rabbitmq.url)
        code, said, complained = ran(
            CELERY, **{**broker, "BROKER_URL": f"amqp://poor:poor@{parts.hostname}:{parts.port}//"}
        )
    finally:
        rabbitmq.ctl("delete_user", "poor")
    right = f"'^{broker['QUEUE']}'"
    assert (code, said) == (2, "")
    assert complained == (
        f"worker: RabbitMQ: access to exchange '{broker['QUEUE']}' in vhost '/' refused for user 'poor': "
        f"run `rabbitmqctl set_permissions -p VHOST USER {right} {right} {right}`\n"
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "a worker reads from RabbitMQ: set HAILWHALE_BROKER_URL, or use `hailwail --follow --apply`"),
        (
            {"BROKER_URL": "redis://localhost"},
            "HAILWHALE_BROKER_URL: expected amqp://user:password@host:5672/ of RabbitMQ (or amqps://), got a redis:// URL",
        ),
        (
            {"BROKER_ULR": "amqp://localhost"},
            "HAILWHALE_BROKER_ULR is not a setting: did you mean HAILWHALE_BROKER_URL?",
        ),
    ],
)
def test_celery_itself_says_what_is_wrong_with_the_settings(values: dict[str, str], sentence: str) -> None:
    assert ran(CELERY, **values) == (2, "", f"worker: {sentence}\n")


def test_a_port_below_1024_needs_root(tmp_path: Path) -> None:
    without_right = ["setpriv", "--bounding-set=-net_bind_service"] if os.geteuid() == 0 else []
    line = [*without_right, sys.executable, "-m", HAILWHALE, "hail", "--bind", "127.0.0.1:80"]
    done = subprocess.run(
        line, env=environ_of(DATA_DIR=str(tmp_path)), capture_output=True, text=True, cwd=HERE, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "hailwhale: cannot listen on 127.0.0.1:80: ports below 1024 need root; "
        "choose one above, such as HAILWHALE_HAIL_BIND=127.0.0.1:8080, and put nginx in front of it\n"
    )


def test_each_part_prints_one_line_when_it_stands(
    broker: dict[str, str], redis_server: RedisServer, tmp_path: Path
) -> None:
    values = {**broker, "REDIS_URL": redis_server.url, "DATA_DIR": str(tmp_path / "var")}
    hail, whale = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    parts = {
        f"{HAILWHALE} hail --bind {hail} --processes 2": f"hail: listens on {hail}",
        f"{HAILWHALE} whale --bind {whale}": f"whale: listens on {whale}",
        CELERY: f"worker: counts the hits in RabbitMQ's queue {broker['QUEUE']}",
    }
    with ExitStack() as stack:
        started = [
            stack.enter_context(Part(line, tmp_path / f"output{number}", **values)) for number, line in enumerate(parts)
        ]
        for part, said in zip(started, parts.values(), strict=True):
            assert part.first_line() == said


def test_keys_that_can_be_guessed_or_are_alike_are_told_in_one_line_at_the_start(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    keys = {"WRITE_KEY": "geheim", "READ_KEY": "geheim", "ADMIN_KEY": "a" * 32}
    values = {"REDIS_URL": redis_server.url, "DATA_DIR": str(tmp_path / "var"), **keys}
    names = "HAILWHALE_WRITE_KEY and HAILWHALE_READ_KEY"
    with ExitStack() as stack:
        parts = {
            name: stack.enter_context(
                Part(f"{HAILWHALE} {name} --bind 127.0.0.1:{free_port()}", tmp_path / name, **values)
            )
            for name in ("hail", "whale")
        }
        for name, part in parts.items():
            wait_until(lambda part=part: part.output.read_text().count("\n") > 1, what=f"two lines of {name}")
            first, second = part.output.read_text().splitlines()
            assert first == (
                f"{name}: {names} are the same, so each gives the rights of the others; {names} have fewer than 16 characters and can be "
                "guessed: make new ones with `openssl rand -hex 32`"
            )
            assert second.startswith(f"{name}: listens on ")


def test_each_part_names_the_setting_whose_host_is_not_known_and_never_a_password(tmp_path: Path) -> None:
    redis, broker = "redis://hw:geheim@redis.invalid:6379/0", "amqp://hw:geheim@rabbit.invalid:5672//"
    no_redis = r"HAILWHALE_REDIS_URL: cannot resolve the host redis\.invalid \([^)]+\)"
    no_broker = r"HAILWHALE_BROKER_URL: cannot resolve the host rabbit\.invalid \([^)]+\)"
    hail, both = f"127.0.0.1:{free_port()}", {"REDIS_URL": redis, "BROKER_URL": broker}
    binds = {"HAIL_BIND": hail, "WHALE_BIND": f"127.0.0.1:{free_port()}", "LIVE_BIND": ""}
    (tmp_path / "rows.csv").write_text("at\n2026-09-21\n")
    (tmp_path / "m.toml").write_text('pk = "t"\nat = "at"\n')
    imports = f"{HAILWHALE} import {tmp_path}/rows.csv --mapping {tmp_path}/m.toml"
    of_up = [
        rf"up +\| {no_broker}; hits go to",
        rf"up +\| {no_redis}; Hail takes hits",
        rf"whale +\| waiting, .*: {no_redis}\n",
        rf"worker +\| waiting: {no_broker}\n",
        rf"worker +\| waiting: {no_redis}\n",
        rf"hail +\| no connection: {no_broker}; hits go to",
    ]
    expected: dict[str, tuple[dict[str, str], list[str]]] = {
        f"{HAILWHALE} up": ({**both, **binds}, of_up),
        "whale.count.hailwail --follow --apply": ({"REDIS_URL": redis}, [f"^hailwail: {no_redis}: waiting; "]),
        f"{HAILWHALE} audit": ({"REDIS_URL": redis}, [f"^hailwhale: {no_redis}\n$"]),
        imports: ({"BROKER_URL": broker}, [f"^hailwhale: {no_broker}\n$"]),
    }
    with ExitStack() as stack:
        parts = []
        for number, (line, (values, patterns)) in enumerate(expected.items()):
            folder = str(tmp_path / f"var{number}")
            part = stack.enter_context(Part(line, tmp_path / f"output{number}", DATA_DIR=folder, **values))
            parts.append((part, patterns))
        wait_until(lambda: connects(hail), what="Hail, which connects when it is first asked")
        for part, patterns in parts:
            for pattern in patterns:
                wait_until(lambda part=part, p=pattern: re.search(p, part.output.read_text(), re.M), 60, pattern)
        for part, _ in parts:
            assert "geheim" not in part.output.read_text()


def connects(bind: str) -> bool:
    try:
        return requests.get(f"http://{bind}/readyz", timeout=20).ok
    except requests.ConnectionError:
        return False
