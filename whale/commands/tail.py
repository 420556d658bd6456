"""hailwhale tail: the last hits, counted or not and why: "where did my hit go?"."""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click
import msgspec

from hail.hit import HitError
from hail.settings import SettingsError, load
from whale.client import Whale
from whale.errors import CallerError, SetupError, Unavailable, visible
from whale.spy import COUNTED
from whale.store import with_redis

POLL_S = 0.3
COLUMNS = ("time", "outcome", "visitor", "pk", "what")
WIDTHS = (23, 18, 16, 24)  # of all but the last, which has the rest of the line
NARROW = 20


def row_of(trace: Mapping[str, Any]) -> tuple[str, ...]:
    """One trace as the columns of a line."""
    when = datetime.fromtimestamp(int(trace["at"]) / 1000).astimezone()
    if trace["outcome"] == COUNTED or "came" not in trace:
        parts = [_json(trace[name]) for name in ("dimensions", "metrics") if trace.get(name)]
        parts += [f"{name}={trace[name]}" for name in ("event", "id") if trace.get(name)]
        if trace.get("hit_at") is not None:
            hit_at = datetime.fromtimestamp(int(trace["hit_at"]) / 1000).astimezone()
            parts.append(f"at={hit_at.isoformat(' ', 'seconds')}")
        if trace.get("cut"):
            parts.append("(too large to be kept)")
    else:
        parts = [f"{trace['field']}:"] if trace.get("field") else []
        parts.append(str(trace["came"]))
    pk = _json(trace["pk"]) if "pk" in trace else ""
    cells = (
        when.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        trace["outcome"],
        trace.get("visitor") or "",
        pk,
        " ".join(parts),
    )
    return tuple(visible(str(cell)) for cell in cells)


def _json(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    return msgspec.json.encode(value).decode()


def folded(row: tuple[str, ...], width: int) -> str:
    """A row in columns, cut to the width of the terminal."""
    cells = [_cut(cell, size).ljust(size) for cell, size in zip(row, WIDTHS, strict=False)]
    rest = max(NARROW, width - sum(WIDTHS) - 2 * len(WIDTHS))
    return "  ".join([*cells, _cut(row[-1], rest)])


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def fresh(whale: Whale, visitor: str | None, known: set[str]) -> Iterator[dict[str, Any]]:
    """Traces that were not seen yet, the oldest first; `known` is then what there is."""
    traces = whale.get_spy(visitor, 200)
    names = {str(trace["name"]) for trace in traces}
    yield from (trace for trace in reversed(traces) if trace["name"] not in known)
    known |= names
    known &= names


@click.command("tail", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--visitor", metavar="V", help="Show only the hits of this visitor.")
@click.option("--follow", is_flag=True, help="Keep showing new hits until Ctrl-C.")
def main(visitor: str | None, follow: bool) -> None:
    """Show the last hits, each with its outcome.

    Up to 100 hits that counted and 100 that did not, or 100 of one visitor, the newest last. A terminal shows columns; a pipe gets
    one line per hit, separated by tabs. Exit code 2: it could not start.
    """
    try:
        whale = Whale.connect(with_redis(load(os.environ)))
        known: set[str] = set()
        show(fresh(whale, visitor, known), head=True)
    except (SettingsError, SetupError, Unavailable, CallerError, HitError) as error:
        click.echo(f"hailwhale tail: {error}", err=True)
        sys.exit(2)
    away = False
    while follow:
        time.sleep(POLL_S)
        try:
            show(fresh(whale, visitor, known))
            away = False
        except Unavailable as error:
            if not away:
                click.echo(f"hailwhale tail: {error}: waiting", err=True)
            away = True


def show(traces: Iterator[dict[str, Any]], head: bool = False) -> None:
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns
    if head and terminal:
        click.secho(folded(COLUMNS, width), bold=True)
    for trace in traces:
        row = row_of(trace)
        if terminal:
            click.secho(folded(row, width), fg=None if trace["outcome"] == COUNTED else "yellow")
        else:
            click.echo("\t".join(row))
    sys.stdout.flush()
