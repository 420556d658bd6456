"""`hailwhale audit`: the sums of whale/health/audit.py, as a table, as lines or as JSON.

Exit codes: 0 it closes, 1 it does not, 2 it could not start.
"""

import json
import os
import sys

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from hail.hit import Reason
from hail.message import ACCOUNT
from hail.settings import load
from whale.accounts import NAME
from whale.errors import Unavailable
from whale.health.audit import Audit, Line, Look, as_json, audits
from whale.options import NumberBetween
from whale.store import connect, with_redis
from whale.store.contract.accounts import Accounts

WAIT_S = 5.0
WIDEST = 1000  # columns of a table that would cut no number
COLUMNS = ("accepted", "counted", "duplicate", "dropped", "in flight", "spooled", "dead-lettered", "missing")


def sentences(done: Audit) -> list[str]:
    """What the table does not say."""
    said = []
    for line in done.lines:
        if line.missing > 0:
            said.append(
                f"{line.publisher}: {line.missing:,} accepted hits are missing: lost, or still held by the process"
            )
        elif line.missing < 0:
            said.append(f"{line.publisher}: {-line.missing:,} hits exist that were never accepted")
        if line.missing_in_log:
            said.append(f"{line.publisher}: {line.missing_in_log:,} hits are missing in the log of visitors")
    if done.whole.to_log:
        said.append(f"log of visitors: {done.whole.to_log:,} hits to log, {done.whole.logged:,} logged")
    if done.whole.not_logged:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(done.whole.not_logged.items()))
        said.append(f"counted, but not logged: {reasons}")
    dropped = done.whole.dropped
    if dropped:
        said.append("dropped: " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(dropped.items())))
    if done.unreadable:
        said.append(f"{done.unreadable:,} unreadable messages with an unknown number of hits (hailwhale doctor --dead)")
    for reason, count in sorted(done.faults.items()):
        said.append(f"{count:,} cells could not be added: {reason}")
    if done.faults.get(Reason.OVERFLOW):
        said.append("cells at the limit of 64 bits lack these amounts; X-Whale-Overflow names them in answers")
    if done.evicted:
        said.append(
            f"Redis has evicted {done.evicted:,} keys since its start, and their counts are lost: "
            "hailwhale doctor says what to do"
        )
    said.append("every accepted hit is accounted for" if done.closes and done.log_closes else "the sums do not add up")
    return said


def equation(line: Line) -> str:
    """One line of the table in words: what is 0 is left out."""
    accepted, *there, missing = line.values()
    named = [f"{value:,} {name}" for value, name in zip(there, COLUMNS[1:-1], strict=True) if value]
    return f"{line.publisher}: {accepted:,} accepted = {' + '.join(named) or 0}" + (
        f"; {missing:,} missing" if missing else ""
    )


def show(done: Audit, console: Console) -> None:
    """A table on a terminal that is wide enough for its numbers, else lines that wrap; elsewhere lines with tabs."""
    lines = [*done.lines, done.whole]
    if console.is_terminal:
        table = Table("publisher", title="hits")
        for column in COLUMNS:
            table.add_column(column, justify="right")
        for line in lines:
            style = "bold red" if line.missing else "bold" if line is lines[-1] else None
            table.add_row(line.publisher, *(f"{value:,}" for value in line.values()), style=style)
        if Measurement.get(console, console.options.update(width=WIDEST), table).maximum <= console.width:
            console.print(table)
        else:
            for line in lines:
                console.print(equation(line), style="bold red" if line.missing else None, highlight=False)
    else:
        click.echo("\t".join(("publisher", *COLUMNS)))
        for line in lines:
            click.echo("\t".join((line.publisher, *map(str, line.values()))))
    for sentence in sentences(done):
        click.echo(sentence)


@click.command("audit", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("account", default=ACCOUNT)
@click.option("--all", "all_", is_flag=True, help="The sums of each account, on a line.")
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.option(
    "--wait",
    "wait_s",
    type=NumberBetween(0, 3600),
    default=WAIT_S,
    show_default=True,
    metavar="S",
    help="Seconds to wait for hits in flight.",
)
def main(account: str, all_: bool, json_: bool, wait_s: float) -> None:
    """Show where every accepted hit of ACCOUNT is; exit 1 if the sums do not add up.

    ACCOUNT is `default` if you name none.

    For each publisher (a process of Hail, an import) and in total: accepted = counted + duplicate + dropped + in flight +
    spooled + dead-lettered. Where a log of visitors is kept, each hit that belongs there is logged, or was not for a counted reason.
    """
    settings = with_redis(load(os.environ))
    try:
        store = connect(settings)
        chosen = named(store, None if all_ else account)
        found = audits(store, list(chosen), Look(settings), wait_s)
    except OSError as error:
        raise Unavailable(f"the spool in {settings.data_dir}: {error.strerror}") from None
    if json_:
        shown = [{"account": chosen[id_], **as_json(done)} for id_, done in found.items()]
        click.echo(json.dumps(shown if all_ else as_json(next(iter(found.values())))))
    elif all_:
        for id_, done in found.items():
            show_briefly(chosen[id_], done)
    else:
        show(next(iter(found.values())), Console())
    sys.exit(0 if all(adds_up(done) for done in found.values()) else 1)


def named(store: Accounts, name: str | None) -> dict[str, str]:
    """Ids and names: of one account, or of all, `default` first. Raises UsageError where there is none of that name."""
    if name is None:
        accounts = sorted(store.accounts(), key=lambda each: (each.id != ACCOUNT, each.name))
    elif found := store.account_named(name) if NAME.fullmatch(name) else None:
        accounts = [found]
    else:
        raise click.UsageError(f"there is no account {ascii(name)[1:-1][:64]}")
    return {each.id: each.name for each in accounts}


def adds_up(done: Audit) -> bool:
    """Hits, and what is logged of them."""
    return done.closes and done.log_closes


def show_briefly(name: str, done: Audit) -> None:
    """One line, and where it does not close the sentences that say why."""
    _, _, sums = equation(done.whole).partition(": ")
    click.echo(f"{name}: {sums}")
    for sentence in [] if adds_up(done) else sentences(done):
        click.echo(f"  {sentence}")
