"""The command line. What cannot start says so in one sentence on stderr and exits 2."""

import importlib
import os
import signal
import sys
import time
from typing import Any, NoReturn

import click

from hail import access
from hail.binds import check_free
from hail.hit import HitError, fields_of
from hail.message import ACCOUNT
from hail.pixel import token_of
from hail.settings import Settings, SettingsError, load
from whale import __version__
from whale.errors import SetupError, Unavailable, visible
from whale.options import WholeNumber


class _Group(click.Group):
    """Turns what stops a start into a sentence and exit code 2; knows where each command lives."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SettingsError, SetupError, Unavailable) as error:
            is_down = isinstance(error, Unavailable) and "Connection refused" in str(error)
            hint = " Start Redis (`hailwhale up` does), or correct HAILWHALE_REDIS_URL." if is_down else ""
            click.echo(f"hailwhale: {visible(str(error))}{hint}", err=True)
            ctx.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hailwhale")
def main() -> None:
    """Count events of sites and applications, by nested dimensions and many periods.

    `hailwhale up` runs everything on this machine. The other commands run one part of a farm.

    Settings are environment variables HAILWHALE_*; docs/settings.md lists them.
    """


@main.command()
@click.option("--demo", "is_demo", is_flag=True, help="Also count a made-up shop, in ./var/demo. One campaign broke.")
@click.option("--seed", type=WholeNumber(0), help="Number that decides the story of the demo. Default: a random one.")
@click.option("--answer", is_flag=True, help="Print which campaign of the demo broke, and start nothing.")
def up(is_demo: bool, seed: int | None, answer: bool) -> None:
    """Run everything here: Redis, Hail, hailwail, Whale, live.

    Prints both addresses, with examples. With HAILWHALE_REDIS_URL and HAILWHALE_BROKER_URL it uses those
    servers instead of its own Redis and the spool. Ctrl-C stops; nothing that was accepted is lost.
    """
    from whale.commands import demo
    from whale.commands.supervisor import up as run

    environ = {**({"HAILWHALE_DATA_DIR": demo.FOLDER} if is_demo else {}), **os.environ}
    settings = load(environ)
    if not is_demo:
        if seed is not None or answer:
            raise SetupError("--seed and --answer are options of --demo")
        demo.refuse_demo(settings.data_dir)
    elif answer:
        click.echo(demo.answer(settings, int(time.time())))
        return
    else:
        demo.prepare(settings, seed, time.time())
    sys.exit(run(settings, environ, is_demo))


@main.command()
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on (HAILWHALE_HAIL_BIND).")
@click.option("--processes", type=WholeNumber(1), help="Processes (HAILWHALE_HAIL_PROCESSES).")
def hail(bind: str | None, processes: int | None) -> None:
    """Run Hail, which takes hits, under gunicorn."""
    from whale.commands.supervisor import hail_command

    settings = _with(HAIL_BIND=bind, HAIL_PROCESSES=processes)
    _check_bind("HAIL_BIND", settings)
    _become(hail_command(settings))


@main.command()
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on (HAILWHALE_WHALE_BIND).")
@click.option("--processes", type=WholeNumber(1), help="Processes (HAILWHALE_WHALE_PROCESSES).")
@click.option("--threads", type=WholeNumber(1), help="Threads of each process (HAILWHALE_WHALE_THREADS).")
def whale(bind: str | None, processes: int | None, threads: int | None) -> None:
    """Run Whale, which answers questions, under gunicorn."""
    from whale.commands.supervisor import whale_command

    settings = _with(WHALE_BIND=bind, WHALE_PROCESSES=processes, WHALE_THREADS=threads)
    _check_bind("WHALE_BIND", settings)
    _become(whale_command(settings))


@main.command()
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on (HAILWHALE_LIVE_BIND).")
def live(bind: str | None) -> None:
    """Run live, which shows hits as they are counted."""
    from whale.commands.supervisor import live_command

    settings = _with(LIVE_BIND=bind)
    if not settings.live_bind:
        raise SettingsError("HAILWHALE_LIVE_BIND is empty: set it to an address such as 127.0.0.1:8087")
    _check_bind("LIVE_BIND", settings)
    _become(live_command(settings))


@main.command()
@click.option("--threads", type=WholeNumber(1), help="Messages taken at once (HAILWHALE_WORKER_THREADS).")
def worker(threads: int | None) -> None:
    """Run a Celery worker, which counts the hits in RabbitMQ's queue."""
    from whale.commands.supervisor import worker_command

    _become(worker_command(_with(WORKER_THREADS=threads)))


@main.command(short_help="Print a token that counts PK without showing it.")
@click.argument("pk")
@click.option("--dimensions", metavar="JSON", help="Its dimensions, in the form of /count.")
@click.option("--metrics", metavar="JSON", help="Its metrics. Default: hits only.")
def pixel(pk: str, dimensions: str | None, metrics: str | None) -> None:
    """Print a token that counts PK without showing it, for /count.gif?pixel=TOKEN, /count and /tracker.

    PK is a name, or a JSON list. Requires HAILWHALE_PIXEL_KEY, with the same value as for Hail and Whale.
    """
    given = {"pk": pk, "dimensions": dimensions, "metrics": metrics}
    try:
        hit = fields_of({name: value for name, value in given.items() if value})
        click.echo(token_of(hit, load(os.environ), ACCOUNT))
    except HitError as error:
        raise SetupError(str(error)) from None


def _with(**options: Any) -> Settings:
    """The settings with the options of the command line, which the process we become finds in its environment."""
    for name, value in options.items():
        if value is not None:
            os.environ[f"HAILWHALE_{name}"] = str(value)
    return load(os.environ)


def _check_bind(name: str, settings: Settings) -> None:
    bind = getattr(settings, name.lower())
    access.check_bind(bind, settings)
    if not bind.startswith(("unix:", ":")):  # forms that gunicorn alone knows
        check_free(**{name: bind})


def _become(command: list[str]) -> NoReturn:
    """Replaces this process, so that signals and exit codes are the server's own."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.flush()
    os.execv(command[0], command)


class _Elsewhere(click.Command):
    """A command that lives in another module, as its `main`; imported when it is used."""

    def __init__(self, name: str, module: str, help_text: str):
        super().__init__(name, help=help_text)
        self.module = module

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> click.Context:
        real: click.Command = importlib.import_module(self.module).main
        return real.make_context(info_name, args, *more, **extra)


main.add_command(
    _Elsewhere("import", "whale.commands.importer", "Count a file of events: CSV or NDJSON, plain, gz or zip.")
)
main.add_command(
    _Elsewhere("audit", "whale.commands.audit", "Show where every accepted hit is, and whether the sums add up.")
)
main.add_command(
    _Elsewhere("doctor", "whale.commands.doctor", "Check this machine and the servers; show and replay dead messages.")
)
main.add_command(_Elsewhere("check", "whale.commands.check", "Check whether a page is counted by the browser tracker."))
main.add_command(_Elsewhere("agent", "whale.commands.agent", "Count how busy this machine is: CPU, memory and disk."))
main.add_command(_Elsewhere("tail", "whale.commands.tail", "Show the last hits, each with its outcome."))
for _name, _help in (
    ("account", "Make, list, rename and remove accounts."),
    ("user", "Make, list, change and remove users and their rights."),
    ("key", "Make, list, rotate and revoke keys of programs and pages."),
    ("site", "Make, list, change and remove sites and their settings."),
    ("erase", "Erase a visitor of a site."),
    ("journal", "Show who changed accounts, users, sites and keys."),
    ("unstamp", "Make an older version able to count again."),
):
    main.add_command(_Elsewhere(_name, f"whale.commands.{_name}", _help))

if __name__ == "__main__":
    main()
