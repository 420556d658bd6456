"""Where a service listens: `host:port`, and whether that can be had."""

import os
import socket
import time
from contextlib import ExitStack

from hail.settings import PREFIX, SettingsError

PORT_WAIT_S = 6.0  # for those that were killed to leave their ports
TICK_S = 0.1
PRIVILEGED = 1024  # ports below it need a right


def address_of(bind: str) -> tuple[str, int]:
    """("127.0.0.1", 8085) of "127.0.0.1:8085"; `[::1]:8085` for IPv6. Raises SettingsError when it is neither."""
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError(f"expected host:port such as 127.0.0.1:8085, got {bind!r}")
    return host.strip("[]"), int(port)


def url_of(bind: str) -> str:
    """Where a browser on this machine finds it."""
    host, port = address_of(bind)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_free(**binds: str) -> None:
    """Raises SettingsError, naming the setting, where a service could not listen. binds: by setting, as HAIL_BIND="…".

    A port that is in use is asked for again for some seconds.
    """
    deadline = time.monotonic() + PORT_WAIT_S
    own: dict[int, str] = {}  # the ports that are held here, by the setting that names them
    with ExitStack() as held:
        for name, bind in binds.items():
            setting = PREFIX + name
            try:
                host, port = address_of(bind)
            except SettingsError as error:
                raise SettingsError(f"{setting}: {error}") from None
            while (failed := _listen(held, host, port)) is not None:
                if port in own:
                    raise SettingsError(
                        f"{own[port]} and {setting} are both port {port}: choose another for one, "
                        f"such as {setting}={bind.rpartition(':')[0]}:{port + 10}"
                    )
                if isinstance(failed, PermissionError) and port < PRIVILEGED:
                    raise SettingsError(
                        f"cannot listen on {bind}: ports below {PRIVILEGED} need root; "
                        f"choose one above, such as {setting}={bind.rpartition(':')[0]}:{port + 8000}, "
                        "and put nginx in front of it"
                    )
                if isinstance(failed, PermissionError | socket.gaierror) or time.monotonic() > deadline:
                    why = os.strerror(failed.errno) if failed.errno and failed.errno > 0 else failed.strerror
                    raise SettingsError(
                        f"cannot listen on {bind} ({why}): stop what listens there, "
                        f"or choose another address, such as {setting}=127.0.0.1:{port + 10}"
                    )
                time.sleep(TICK_S)
            own[port] = setting


def _listen(held: ExitStack, host: str, port: int) -> OSError | None:
    """Listens there until `held` ends; what went wrong, where it cannot."""
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen()
    except OSError as error:
        probe.close()
        return error
    held.enter_context(probe)
    return None
