"""`hailwhale key`: what programs and pages show instead of a password."""

import json
from typing import Any

import click

from whale.accounts import SCOPES
from whale.commands.entries import (
    Commands,
    Duration,
    Opened,
    confirm,
    json_option,
    said,
    show_all,
    show_one,
    yes_option,
)
from whale.errors import CallerError

DAY_S = 86_400
COLUMNS = ("id", "prefix", "scope", "site", "standing", "expires_at", "last_used_at", "made_at")


def _print_secret(secret: str, key: dict[str, Any], json_: bool) -> None:
    """The secret alone on stdout, so that a script can take it."""
    if json_:
        click.echo(json.dumps({"secret": secret, **key}))
        return
    click.echo(f"key {key['id']}: keep the secret now, it is never shown again", err=True)
    click.echo(secret)


@click.group("key", cls=Commands)
def main() -> None:
    """Make, list, rotate, revoke and remove keys.

    A `write` key sends hits, a `read` key asks questions, an `admin` key does everything. A `browser` key is public: it stands in pages
    of one site.
    """


@main.command()
@click.argument("account")
@click.option("--scope", type=click.Choice(SCOPES), required=True, help="Purpose of the key.")
@click.option("--site", metavar="PK", help="The key opens this site only.")
@click.option(
    "--expires", type=Duration(), metavar="TIME", help="The key ends after this time, such as 90d. Default: never."
)
@json_option
def add(account: str, scope: str, site: str | None, expires: int | None, json_: bool) -> None:
    """Make a key, and print its secret once."""
    opened = Opened()
    whose = opened.managing.account(account)
    key, secret = opened.managing.add_key(whose, scope, site, expires)
    _print_secret(secret, opened.managing.key_shown(key), json_)


@main.command("list")
@click.argument("account")
@json_option
def list_(account: str, json_: bool) -> None:
    """List the keys of an account, without their secrets."""
    managing = Opened().managing
    show_all(managing.keys_shown(managing.account(account)), json_, COLUMNS)


@main.command()
@click.argument("account")
@click.argument("key")
@json_option
def show(account: str, key: str, json_: bool) -> None:
    """Show the key with the id KEY."""
    opened = Opened()
    whose = opened.managing.account(account)
    show_one(opened.managing.key_shown(opened.managing.key(whose, key)), json_)


@main.command()
@click.argument("account")
@click.argument("key")
@click.option("--expires", type=Duration(), metavar="TIME", help="It ends after this time from now, such as 90d.")
@click.option("--never-expires", "never", is_flag=True, help="It never ends by itself.")
@json_option
def change(account: str, key: str, expires: int | None, never: bool, json_: bool) -> None:
    """Change when a key ends."""
    if (expires is None) != never:
        raise CallerError("expected one of --expires and --never-expires", "expires")
    opened = Opened()
    whose = opened.managing.account(account)
    changed = opened.managing.change_key(opened.managing.key(whose, key), expires)
    said(f"key {changed.id} is changed", opened.managing.key_shown(changed), json_)


@main.command()
@click.argument("account")
@click.argument("key")
@click.option(
    "--overlap",
    type=Duration(),
    default="1d",
    show_default=True,
    metavar="TIME",
    help="How long the old key still works.",
)
@click.option("--expires", type=Duration(), metavar="TIME", help="The new key ends after this time. Default: never.")
@json_option
def rotate(account: str, key: str, overlap: int, expires: int | None, json_: bool) -> None:
    """Make a new key in place of KEY, and print its secret once.

    The old key works until the overlap ends, so that programs can change over.
    """
    opened = Opened()
    whose = opened.managing.account(account)
    _, new, secret = opened.managing.rotate_key(opened.managing.key(whose, key), overlap, expires)
    _print_secret(secret, opened.managing.key_shown(new), json_)


@main.command()
@click.argument("account")
@click.argument("key")
@json_option
def revoke(account: str, key: str, json_: bool) -> None:
    """End a key now. It stays in the list."""
    opened = Opened()
    whose = opened.managing.account(account)
    ended = opened.managing.revoke_key(opened.managing.key(whose, key))
    said(f"key {ended.id} is revoked", opened.managing.key_shown(ended), json_)


@main.command()
@click.argument("account")
@click.argument("key")
@yes_option
@json_option
def remove(account: str, key: str, yes: bool, json_: bool) -> None:
    """End a key now, and take it from the list."""
    opened = Opened()
    whose = opened.managing.account(account)
    found = opened.managing.key(whose, key)
    row = opened.managing.key_shown(found)
    confirm(yes, f"Remove the key {found.id} ({found.prefix}…)?")
    opened.managing.remove_key(found)
    said(f"key {found.id} is removed", row, json_)
