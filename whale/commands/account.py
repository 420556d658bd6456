"""`hailwhale account`: who has counts of their own here."""

import click

from whale.commands.entries import Commands, Opened, confirm, json_option, said, show_all, show_one, yes_option
from whale.library.managing import account_shown


@click.group("account", cls=Commands)
def main() -> None:
    """Make, list, rename and remove accounts.

    An account has its own hits, users, sites and keys. The account `default` is always there.
    """


@main.command()
@click.argument("name")
@click.option("--zone", metavar="ZONE", help="Time zone of its days, for ever. Default: HAILWHALE_TIMEZONE.")
@json_option
def add(name: str, zone: str | None, json_: bool) -> None:
    """Make an account."""
    opened = Opened()
    account = opened.managing.add_account(name, zone or str(opened.settings.timezone))
    said(f"account {account.name} is made, in the zone {account.zone}", account_shown(account), json_)


@main.command("list")
@json_option
def list_(json_: bool) -> None:
    """List all accounts."""
    accounts = sorted(Opened().store.accounts(), key=lambda account: account.name)
    show_all([account_shown(account) for account in accounts], json_, ("name", "id", "zone", "made_at"))


@main.command()
@click.argument("name")
@json_option
def show(name: str, json_: bool) -> None:
    """Show an account, and how many users, sites and keys it has."""
    opened = Opened()
    account, store = opened.managing.account(name), opened.store
    counts = {
        "users": len(store.users(account.id)),
        "sites": len(store.sites(account.id)),
        "keys": len(store.keys(account.id)),
    }
    show_one({**account_shown(account), **counts}, json_)


@main.command()
@click.argument("name")
@click.option("--name", "new", metavar="NAME", required=True, help="Its new name.")
@json_option
def change(name: str, new: str, json_: bool) -> None:
    """Rename an account. Its hits, users, sites and keys stay."""
    account = Opened().managing.rename_account(name, new)
    said(f"the account is now called {account.name}", account_shown(account), json_)


@main.command()
@click.argument("name")
@yes_option
@json_option
def remove(name: str, yes: bool, json_: bool) -> None:
    """Remove an account with all its hits, users, sites and keys.

    Its name is free at once. Its counts are deleted in the background.
    """
    opened = Opened()
    account = opened.managing.account(name)
    confirm(yes, f"Remove the account {account.name} with all its hits, users, sites and keys?")
    opened.managing.remove_account(account)
    said(f"account {account.name} is removed", account_shown(account), json_)
