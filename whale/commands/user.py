"""`hailwhale user`: who may log in, and what they may do."""

from collections.abc import Sequence

import click

from whale.accounts import MODULES, OWNER, Account, check_rights, with_rights
from whale.commands.entries import (
    Commands,
    Opened,
    confirm,
    hash_of_new_password,
    json_option,
    said,
    show_all,
    show_one,
    yes_option,
)
from whale.errors import CallerError
from whale.library.managing import full_name, user_shown

right_option = click.option(
    "--right",
    "rights",
    multiple=True,
    metavar="MODULE=LEVEL",
    help=f"Level none, read or write in a module: {', '.join(MODULES)}. Repeat it for several.",
)


def _levels(given: Sequence[str]) -> dict[str, str]:
    for word in given:
        if "=" not in word:
            raise CallerError(f"expected MODULE=LEVEL such as counts=read, got {ascii(word)[:60]}", "right")
    return {module: level for module, _, level in (word.partition("=") for word in given)}


def _found(opened: Opened, user: str) -> tuple[Account, str]:
    """Of `account` or `account/user` the account, and the name within it."""
    account, _, name = user.partition("/")
    return opened.managing.account(account), name


@click.group("user", cls=Commands)
def main() -> None:
    """Make, list, change and remove users.

    USER is ACCOUNT for the owner of an account, and ACCOUNT/NAME for everybody else. The owner has all rights.
    """


@main.command()
@click.argument("user")
@right_option
@json_option
def add(user: str, rights: tuple[str, ...], json_: bool) -> None:
    """Make a user. Type the password, or give it as the first line of stdin."""
    opened = Opened()
    account, name = _found(opened, user)
    wanted, levels = opened.managing.check_new_user(account, name), check_rights(_levels(rights))
    if wanted == OWNER and rights:
        raise CallerError("the owner of an account has all rights: leave this out", "right")
    made = opened.managing.add_user(account, wanted, hash_of_new_password(), levels)
    said(f"user {full_name(account, made.name)} is made", user_shown(account, made), json_)


@main.command("list")
@click.argument("account")
@json_option
def list_(account: str, json_: bool) -> None:
    """List the users of an account."""
    managing = Opened().managing
    show_all(managing.users_shown(managing.account(account)), json_, ("name", "rights", "made_at"))


@main.command()
@click.argument("user")
@json_option
def show(user: str, json_: bool) -> None:
    """Show a user and their rights."""
    opened = Opened()
    account, name = _found(opened, user)
    show_one(user_shown(account, opened.managing.user(account, name)), json_)


@main.command()
@click.argument("user")
@right_option
@click.option("--password", is_flag=True, help="Give a new password: type it, or write it to stdin.")
@json_option
def change(user: str, rights: tuple[str, ...], password: bool, json_: bool) -> None:
    """Give a user other rights, a new password, or both.

    Each --right changes one module. The others stay.
    """
    opened = Opened()
    account, name = _found(opened, user)
    if not rights and not password:
        raise CallerError("expected --right or --password", "user")
    found = opened.managing.user(account, name)
    levels = with_rights(found.rights, _levels(rights)) if rights else None
    changed = opened.managing.change_user(found, hash_of_new_password() if password else None, levels)
    said(f"user {full_name(account, changed.name)} is changed", user_shown(account, changed), json_)


@main.command()
@click.argument("user")
@yes_option
@json_option
def remove(user: str, yes: bool, json_: bool) -> None:
    """Remove a user. The hits of the account stay."""
    opened = Opened()
    account, name = _found(opened, user)
    found = opened.managing.user(account, name)
    confirm(yes, f"Remove the user {full_name(account, found.name)}?")
    opened.managing.remove_user(found)
    said(f"user {full_name(account, found.name)} is removed", user_shown(account, found), json_)
