"""`hailwhale erase`: forgets a visitor of a site."""

import click

from whale.commands.entries import HELP, Opened, confirm, json_option, refuse, said, yes_option
from whale.errors import CallerError
from whale.library.erasing import erase


@click.command("erase", context_settings=HELP)
@click.argument("account")
@click.argument("pk")
@click.argument("visitor")
@yes_option
@json_option
def main(account: str, pk: str, visitor: str, yes: bool, json_: bool) -> None:
    """Erase a visitor of a site, by any of their ids.

    All ids of the visitor are erased with them. Hits that were accepted before are counted and not logged. Totals stay.
    """
    opened = Opened()
    try:
        whose = opened.managing.account(account)
        confirm(yes, f"Erase the visitor {visitor!a} of {pk!a}?")
        found = erase(opened.store, whose.id, pk, visitor)
    except CallerError as error:
        refuse(error)
    rest = "" if found["purged"] else "; a worker removes the rest of their records within an hour"
    if found["aof"] == "kept":
        rest += "; copies stay in Redis's append-only file until it is rewritten"
    said(f"the visitor {visitor} is erased{rest}", found, json_)
