"""Who is let in without keys, through real servers and raw sockets: Hail and Whale behind one port, see tests/both.py."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.servers import RedisServer, free_port, wait_until
from whale.commands.embedded import dying_with_parent

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "gevent": ["gunicorn", "--config", "python:hail.gunicorn_conf", "-w", "1", "-k", "gevent", "-b", "127.0.0.1:{}"],
    "granian": ["granian", "--interface", "wsgi", "--log-level", "warning", "--host", "0.0.0.0", "--port", "{}"],
}


def ask(port: int, *lines: str, address: str = "127.0.0.1") -> tuple[int, bytes]:
    """Status and body of a request with just these lines."""
    with socket.create_connection((address, port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


def is_up(port: int) -> bool:
    try:
        return all(ask(port, "GET /readyz HTTP/1.1", f"Host: {host}")[0] == 200 for host in ("localhost", "127.0.0.1"))
    except (OSError, http.client.HTTPException):
        return False


@pytest.fixture(scope="module", params=COMMANDS)
def port(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """gunicorn on loopback, and granian on all addresses: nothing stops that one at the start."""
    folder, found = tmp_path_factory.mktemp("doors"), free_port()
    words = [sys.executable, "-m", *(word.format(found) for word in COMMANDS[request.param]), "tests.both:application"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HAILWHALE_")}
    environ |= {"HAILWHALE_DATA_DIR": str(folder), "HAILWHALE_REDIS_URL": redis_server.url}
    start = partial(subprocess.Popen, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process = start(words, preexec_fn=dying_with_parent(signal.SIGKILL))
    try:
        wait_until(partial(is_up, found), what=request.param)
        yield found
    finally:
        process.terminate()
        process.wait(60)


STRANGE = [
    ["GET {} HTTP/1.1", "Host: evil.example"],
    ["GET {} HTTP/1.1", "Host: 0.0.0.0:8086"],
    ["GET {} HTTP/1.1", "Host: "],
    ["GET {} HTTP/1.1"],
    ["GET {} HTTP/1.0"],
    ["GET {} HTTP/1.1", "Host: localhost", "X-Forwarded-For: 127.0.0.1"],
    ["GET {} HTTP/1.1", "Host: 127.0.0.1", "x-forwarded-proto: https"],
    ["GET {} HTTP/1.1", "Host: 127.0.0.1", "Forwarded: for=192.0.2.60"],
    ["POST {} HTTP/1.1", "Host: evil.example", "Content-Length: 0"],
]


@pytest.mark.parametrize("lines", STRANGE, ids=str)
def test_a_strangers_request_is_refused(port: int, lines: list[str]) -> None:
    first, *rest = lines
    for path in ("/pks", "/count?pk=a", "/reset", "/nowhere"):
        status, body = ask(port, first.format(path), *rest)
        assert (status, b'"keyless"' in body) == (403, True), body
    assert ask(port, "GET /healthz HTTP/1.1", *rest)[0] == 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8086", "127.1.2.3", "[::1]:8086", "a.localhost", "LOCALHOST."]
)
def test_this_machine_is_answered(port: int, host: str) -> None:
    assert ask(port, "GET /pks HTTP/1.1", f"Host: {host}")[0] == 200


def test_two_hosts_are_none(port: int) -> None:
    assert ask(port, "GET /pks HTTP/1.1", "Host: 127.0.0.1", "Host: evil.example")[0] in (400, 403)


def test_a_header_makes_no_other_address(port: int) -> None:
    """gunicorn takes SCRIPT_NAME of a proxy that it believes, and cuts it off the path."""
    for name in ("SCRIPT_NAME", "Script-Name", "PATH_INFO", "X-Script-Name", "X-HTTP-Method-Override"):
        status, body = ask(port, "GET /x/count_now?pk=a HTTP/1.1", "Host: 127.0.0.1", f"{name}: /x")
        assert status == 404, (name, body)


def test_another_machine_is_a_stranger_whatever_host_it_names(port: int) -> None:
    """Tried from this machine by its address on the network, where it has one and the server listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            address = probe.getsockname()[0]
            status, body = ask(port, "GET /pks HTTP/1.1", "Host: 127.0.0.1", address=address)
        except OSError:  # no network, or loopback alone is listened on
            return
    assert (status, b"another machine, " in body) == (403, True)
