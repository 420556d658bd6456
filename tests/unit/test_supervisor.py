"""What `hailwhale up` and the Procfile start, and what is said when it cannot."""

import re
import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hail import binds
from hail.binds import address_of, check_free, url_of
from hail.settings import Settings, SettingsError, load
from whale.commands import supervisor
from whale.commands.supervisor import up, welcome

HERE = Path(__file__).parents[2]


def test_addresses_are_host_and_port() -> None:
    assert address_of("127.0.0.1:8085") == ("127.0.0.1", 8085)
    assert address_of("[::1]:8085") == ("::1", 8085)
    assert url_of("0.0.0.0:8085") == "http://127.0.0.1:8085"
    assert url_of("[::]:8085") == "http://[::1]:8085"


@pytest.mark.parametrize("bind", ["", "8085", ":8085", "localhost", "localhost:http", "localhost:0", "localhost:65536"])
def test_what_is_no_address_is_refused_by_name(bind: str) -> None:
    with pytest.raises(SettingsError, match="HAILWHALE_HAIL_BIND: expected host:port such as 127.0.0.1:8085, got "):
        check_free(HAIL_BIND=bind)


def test_a_port_in_use_names_the_setting_and_another_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binds, "PORT_WAIT_S", 0.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            SettingsError, match=rf"cannot listen on 127.0.0.1:{port} \(Address already in use\)"
        ) as raised:
            check_free(WHALE_BIND=f"127.0.0.1:{port}")
    assert str(raised.value).endswith(f"such as HAILWHALE_WHALE_BIND=127.0.0.1:{port + 10}")


def test_two_services_on_one_port_are_refused_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    port = bind.rpartition(":")[2]
    for other in (bind, f"localhost:{port}"):
        with pytest.raises(SettingsError) as raised:
            check_free(HAIL_BIND=bind, WHALE_BIND=other)
        assert str(raised.value) == (
            f"HAILWHALE_HAIL_BIND and HAILWHALE_WHALE_BIND are both port {port}: "
            f"choose another for one, such as HAILWHALE_WHALE_BIND={other.rpartition(':')[0]}:{int(port) + 10}"
        )


def test_up_beyond_loopback_asks_for_the_keys_before_it_starts_anything(tmp_path: Path) -> None:
    binds = {"HAILWHALE_HAIL_BIND": "0.0.0.0:18085", "HAILWHALE_WHALE_BIND": "127.0.0.1:18086"}
    environ = {"HAILWHALE_DATA_DIR": str(tmp_path), **binds}
    with pytest.raises(SettingsError, match="set HAILWHALE_WRITE_KEY, HAILWHALE_READ_KEY, HAILWHALE_ADMIN_KEY"):
        up(load(environ), environ)
    assert list(tmp_path.iterdir()) == []


def test_the_welcome_counts_and_reads_with_the_keys_that_are_set() -> None:
    said = welcome(load({"HAILWHALE_WRITE_KEY": "secret"}), "http://h:1", "http://w:2")
    count, read = (line.split(":", 1)[1].strip() for line in said.split("\n")[1:])
    assert shlex.split(count) == [
        *("curl", "-G", "http://h:1/count", "--data-urlencode", "pk=test", "--data-urlencode", "dimensions=services"),
        *("--data-urlencode", 'metrics={"dollars": 200}', "-H", "Authorization: Bearer $HAILWHALE_WRITE_KEY"),
    ]
    assert "http://w:2/plotpoints" in read
    assert "Authorization" not in read
    assert "secret" not in said


def test_the_procfile_starts_what_up_starts() -> None:
    settings = load({"HAILWHALE_BROKER_URL": "amqp://localhost"})
    made: dict[str, Callable[[Settings], list[str]]] = {
        "hail": supervisor.hail_command,
        "worker": supervisor.worker_command,
        "hailwail": supervisor.hailwail_command,
        "whale": supervisor.whale_command,
        "live": supervisor.live_command,
    }
    lines = dict(line.split(": ", 1) for line in (HERE / "Procfile").read_text().splitlines())
    assert list(lines) == list(made)
    for name, line in lines.items():
        in_file = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", line).replace(
            "deploy/gunicorn.conf.py", "python:hail.gunicorn_conf"
        )
        started = made[name](settings)[2:]
        assert in_file.split() == [started[0].replace("whale.count.hailwail", "hailwail"), *started[1:]]
