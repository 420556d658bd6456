"""`hailwhale site`: settings of a first-level pk whose visitors are logged."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from whale.accounts import MOST_DAYS, MOST_GAP_S, PIXELS, Site
from whale.commands.entries import Commands, Opened, confirm, json_option, said, show_all, show_one, yes_option
from whale.errors import CallerError
from whale.library.managing import site_shown
from whale.options import WholeNumber

OPTIONS = (
    click.option("--name", metavar="TEXT", help="Its name for people."),
    click.option("--description", metavar="TEXT", help="A description for people."),
    click.option("--open/--closed", "open", default=None, help="Whether browsers may send to it. Default: closed."),
    click.option(
        "--origin",
        "origins",
        multiple=True,
        metavar="ORIGIN",
        help="Pages that may send, such as https://shop.example.",
    ),
    click.option(
        "--keep-days",
        type=WholeNumber(1, MOST_DAYS),
        metavar="N",
        help="Days that its visitor log is kept. Default: 400.",
    ),
    click.option(
        "--keep-ids/--no-ids", "keep_ids", default=None, help="Whether ids of visitors are kept. Default: kept."
    ),
    click.option(
        "--dimension", "dimensions", multiple=True, metavar="NAME", help="A property of its hits that counts as a path."
    ),
    click.option(
        "--event-property",
        "event_properties",
        multiple=True,
        metavar="NAME",
        help="A property that is of an event, not of its visitor.",
    ),
    click.option(
        "--cross-site-cookie/--no-cross-site-cookie",
        "cross_site_cookie",
        default=None,
        help="Whether pages of other sites send the cookie of its visitors over https. Default: no.",
    ),
    click.option(
        "--session-gap-s",
        type=WholeNumber(0, MOST_GAP_S),
        metavar="N",
        help="Seconds without an event after which a session is over. Default: 0, that of HAILWHALE_SESSION_GAP_S.",
    ),
    click.option(
        "--pages-in-lower-case/--pages-as-they-are",
        "pages_in_lower_case",
        default=None,
        help="Whether the tracker's pages are counted in lower case. Default: as they are.",
    ),
    click.option(
        "--pages-without-slash/--pages-with-slash",
        "pages_without_slash",
        default=None,
        help="Whether a slash at the end of a page is dropped. Default: it stays.",
    ),
    click.option(
        "--page-parameter",
        "page_parameters",
        multiple=True,
        metavar="NAME",
        help="A parameter of addresses that is part of the page.",
    ),
    click.option(
        "--pixels",
        type=click.Choice(PIXELS),
        help="Whether an image with a browser key needs a Referer of an origin. Default: referer.",
    ),
)


def options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def _with(site: Site, given: dict[str, Any]) -> Site:
    """A site with those settings that were given."""
    return replace(site, **{name: value for name, value in given.items() if value not in (None, ())})


@click.group("site", cls=Commands)
def main() -> None:
    """Make, list, change and remove sites.

    A site is a first-level pk with settings. Visitors are logged only for sites.
    """


@main.command()
@click.argument("account")
@click.argument("pk")
@options
@json_option
def add(account: str, pk: str, json_: bool, **given: Any) -> None:
    """Make a site of a first-level pk."""
    opened = Opened()
    whose = opened.managing.account(account)
    site = opened.managing.add_site(_with(Site(whose.id, pk), given), opened.settings.max_name_bytes)
    said(f"site {site.pk} is made", site_shown(site), json_)


@main.command("list")
@click.argument("account")
@json_option
def list_(account: str, json_: bool) -> None:
    """List the sites of an account."""
    managing = Opened().managing
    rows = managing.sites_shown(managing.account(account))
    show_all(rows, json_, ("pk", "name", "open", "origins", "keep_days", "keep_ids"))


@main.command()
@click.argument("account")
@click.argument("pk")
@json_option
def show(account: str, pk: str, json_: bool) -> None:
    """Show all settings of a site."""
    opened = Opened()
    show_one(site_shown(opened.managing.site(opened.managing.account(account), pk)), json_)


@main.command()
@click.argument("account")
@click.argument("pk")
@options
@json_option
def change(account: str, pk: str, json_: bool, **given: Any) -> None:
    """Change settings of a site. Those that you leave out stay.

    --origin, --dimension, --event-property and --page-parameter replace their whole list.
    """
    opened = Opened()
    site = opened.managing.site(opened.managing.account(account), pk)
    if all(value in (None, ()) for value in given.values()):
        raise CallerError("expected an option that changes something", "site")
    changed = opened.managing.change_site(site, _with(site, given), opened.settings.max_name_bytes)
    said(f"site {changed.pk} is changed", site_shown(changed), json_)


@main.command()
@click.argument("account")
@click.argument("pk")
@yes_option
@json_option
def remove(account: str, pk: str, yes: bool, json_: bool) -> None:
    """Remove the settings of a site, and its visitor log. The counts of its pk stay."""
    opened = Opened()
    whose = opened.managing.account(account)
    site = opened.managing.site(whose, pk)
    confirm(yes, f"Remove the site {site.pk!a}?")
    opened.managing.remove_site(whose, site)
    said(f"site {site.pk} is removed", site_shown(site), json_)
