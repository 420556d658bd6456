"""`hailwhale journal`: what admins did."""

import click

from whale.commands.entries import HELP, Opened, json_option, refuse, show_all
from whale.errors import CallerError
from whale.options import WholeNumber
from whale.store.contract.directory import MOST_ACTS


@click.command("journal", context_settings=HELP)
@click.argument("account", required=False)
@click.option(
    "--last", type=WholeNumber(1, MOST_ACTS), default=100, show_default=True, metavar="N", help="Show the last N."
)
@json_option
def main(account: str | None, last: int, json_: bool) -> None:
    """Show who changed accounts, users, sites and keys, the newest last.

    With ACCOUNT only changes of this account. The last 10,000 are kept.
    """
    managing = Opened().managing
    try:
        rows = managing.journal_shown(managing.account(account) if account else None, last)
    except CallerError as error:
        refuse(error)
    show_all(rows, json_, ("at", "who", "did", "account", "about"))
