"""What `hailwhale account`, `user`, `key`, `site` and `journal` share: the store, what is printed, how long a key lasts, a password.

They work on Redis itself, so before Whale runs. A caller's fault is one line on stderr and exit code 2.
"""

import getpass
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn, Protocol

import click

from hail.settings import Settings, load
from whale.accounts import MOST_DAYS, MOST_S
from whale.errors import CallerError, SetupError, visible
from whale.library.erasing import ErasingStore
from whale.library.managing import AccountStore, Managing
from whale.passwords import MOST_BYTES, SALT_BYTES, check_new, hash_of
from whale.store import connect, with_redis
from whale.store.contract.server import Server

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
HELP = {"help_option_names": ["-h", "--help"]}


class Commands(click.Group):
    """Says a caller's fault in one line."""

    def __init__(self, *arguments: Any, **more: Any):
        super().__init__(*arguments, context_settings=HELP, **more)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CallerError as error:
            refuse(error)


def refuse(error: CallerError) -> NoReturn:
    click.echo(f"hailwhale: {visible(str(error))}", err=True)
    sys.exit(2)


class CommandStore(AccountStore, ErasingStore, Server, Protocol):
    """All that these commands ask of a store."""


class Opened:
    """The store that the settings name, and the admin at this terminal."""

    def __init__(self) -> None:
        self.settings: Settings = with_redis(load(os.environ))
        self.store: CommandStore = connect(self.settings)
        self.now = time.time()
        self.managing = Managing(
            self.store, self.now, secrets.token_bytes, _who(), keeps_logs=self.settings.visitor_log
        )


def _who() -> str:
    try:
        return f"{visible(getpass.getuser())[:64]} on the command line"
    except (OSError, KeyError):  # a container may have no name for its user
        return "the command line"


json_option = click.option("--json", "json_", is_flag=True, help="As JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


class Duration(click.ParamType[int]):
    """Seconds of a text such as 90d, 12h, 30m or 45s."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"([0-9]{1,9})([smhd])", str(value))
        seconds = int(found[1]) * UNITS[found[2]] if found else -1
        if not 0 <= seconds <= MOST_S:
            self.fail(
                f"expected a time such as 90d, 12h or 30m, at most {MOST_DAYS}d, got {ascii(value)[:60]}", param, ctx
            )
        return seconds


def confirm(yes: bool, question: str) -> None:
    """Asks at a terminal; elsewhere --yes must be given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise SetupError("this cannot be undone: add --yes")
    click.confirm(question, abort=True, err=True)


def hash_of_new_password() -> str:
    """Of a password that is typed twice at a terminal, or is the first line of stdin."""
    if sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        line = sys.stdin.buffer.readline(MOST_BYTES + 3)
        try:
            password = line.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise CallerError("expected UTF-8", "password") from None
        if not password:
            raise CallerError("expected a line on stdin, got nothing", "password")
    check_new(password)
    return hash_of(password, secrets.token_bytes(SALT_BYTES))


def show_all(rows: Sequence[Mapping[str, Any]], json_: bool, columns: Sequence[str]) -> None:
    """A table: in columns on a terminal, elsewhere a line for each row, separated by tabs."""
    if json_:
        click.echo(json.dumps(list(rows)))
        return
    lines = [columns, *([_cell(name, row[name]) for name in columns] for row in rows)]
    if not sys.stdout.isatty():
        for line in lines:
            click.echo("\t".join(line))
        return
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        click.secho(text, bold=number == 0)


def show_one(row: Mapping[str, Any], json_: bool) -> None:
    if json_:
        click.echo(json.dumps(row))
        return
    width = max(map(len, row))
    for name, value in row.items():
        click.echo(f"{name.ljust(width)}  {_cell(name, value)}".rstrip())


def said(sentence: str, row: Mapping[str, Any], json_: bool) -> None:
    """What was done: a sentence, or the entry as it is now."""
    click.echo(json.dumps(row) if json_ else visible(sentence))


def _cell(name: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if name == "at" or name.endswith("_at"):
        return datetime.fromtimestamp(value / 1000).astimezone().isoformat(" ", "seconds")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={each}" for key, each in value.items() if each != "none") or "-"
    if isinstance(value, list):
        return " ".join(visible(str(each)) for each in value) or "-"
    return visible(str(value))
