"""What a setting may be; what it may not be stops the start with a sentence."""

import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import get_origin, get_type_hints

import pytest

from hail.settings import NAMES, READERS, Settings, SettingsError, load

ROOT = Path(__file__).parents[2]

AMQP = "expected amqp://user:password@host:5672/ of RabbitMQ (or amqps://)"
ENCODE = "in a user or password write / as %2F, @ as %40, : as %3A, # as %23, ? as %3F, [ as %5B"
WRONG = [
    ("HAIL_BIND", "8185", "expected host:port such as 127.0.0.1:8085, got '8185'"),
    ("HAIL_BIND", "", "expected host:port such as 127.0.0.1:8085, got ''"),
    ("HAIL_BIND", "localhost:0", "expected host:port such as 127.0.0.1:8085, got 'localhost:0'"),
    ("WHALE_BIND", "localhost:65536", "expected host:port such as 127.0.0.1:8086, got 'localhost:65536'"),
    ("WHALE_BIND", "http://localhost:80", "expected host:port such as 127.0.0.1:8086, got 'http://localhost:80'"),
    ("BROKER_URL", "redis://localhost", f"{AMQP}, got a redis:// URL"),
    ("BROKER_URL", "http://localhost", f"{AMQP}, got a http:// URL"),
    ("BROKER_URL", "a-password-perhaps", f"{AMQP}, got no URL"),
    ("BROKER_URL", "amqp://", f"{AMQP}; {ENCODE}"),
    ("BROKER_URL", "amqp://localhost:port", f"{AMQP}; {ENCODE}"),
    ("BROKER_URL", "amqp://user:se/cret@localhost//", f"{AMQP}; {ENCODE}"),
    ("BROKER_URL", "amqp://user:se[cret@localhost//", f"{AMQP}; {ENCODE}"),
    ("BROKER_URL", "amqp://localhost;redis://localhost", f"{AMQP}, got a redis:// URL"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG, ids=[f"{name}={value}" for name, value, _ in WRONG])
def test_a_setting_that_cannot_be_used_stops_the_start(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        load({f"HAILWHALE_{name}": value})
    assert str(error.value) == f"HAILWHALE_{name}: {said}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HAIL_BIND", "[::1]:8085"),
        ("HAIL_BIND", "unix:/run/hail.sock"),
        ("BROKER_URL", "amqp://localhost"),
        ("BROKER_URL", "amqps://user:p%40ss@rabbit.internal:5671/host"),
        ("BROKER_URL", "amqp://one//;amqp://two//"),
    ],
)
def test_a_setting_that_can_be_used_is_kept_as_it_is(name: str, value: str) -> None:
    assert getattr(load({f"HAILWHALE_{name}": value}), name.lower()) == value


def test_a_setting_that_does_not_exist_is_a_type_error(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("from hail.settings import load\nload({}).hail_bund\n")
    checked = subprocess.run([sys.executable, "-m", "mypy", str(program)], cwd=ROOT, capture_output=True, text=True)
    assert '"Settings" has no attribute "hail_bund"; maybe "hail_bind"?' in checked.stdout


def test_a_setting_that_does_not_exist_cannot_be_replaced() -> None:
    with pytest.raises(TypeError, match="hail_bund"):
        load({}).replace(hail_bund="127.0.0.1:8085")


def test_each_setting_has_the_type_that_the_table_says() -> None:
    settings = load({})
    for name, type_ in get_type_hints(Settings).items():
        value = getattr(settings, name)
        of = type_ if isinstance(type_, UnionType) else get_origin(type_) or type_
        assert isinstance(value, of), name
        assert type(value) is type(NAMES[name.upper()].default) or name.upper() in {*READERS, "BANDS"}
    assert READERS.keys() <= NAMES.keys()


def test_visitors_may_be_known_for_ever_and_memory_of_logs_may_go_by_the_server() -> None:
    found = load({"HAILWHALE_VISITOR_KEPT_DAYS": "none", "HAILWHALE_EVENTS_MAX_MB": "0.5"})
    assert (found.visitor_kept_days, found.events_max_mb) == (None, 0.5)
    assert (load({}).visitor_kept_days, load({}).events_max_mb) == (180, None)
    for name, wrong in (
        ("VISITOR_KEPT_DAYS", ("30", "3651", "never", "١٨٠")),
        ("EVENTS_MAX_MB", ("0", "-1", "nan", "inf", "x")),
    ):
        for text in wrong:
            with pytest.raises(SettingsError, match=name):
                load({f"HAILWHALE_{name}": text})
