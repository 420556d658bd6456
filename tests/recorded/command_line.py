"""What is asked on the command line: each command's help, its good and its bad use. Where a store is needed, it is one in memory."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.recorded.records import Entry, in_place, masked, on_lines
from tests.recorded.world import KEYS, PIXEL_KEY, Became, WhaleWorld, commands, seed, settings_of, store_is

MAPPING = """
pk = "orders"
id = "number"
[dimensions]
country = "country"
[metrics]
revenue = "price"
[at]
column = "when"
format = "iso"
zone = "UTC"
"""
FILES = {
    "orders.csv": "number,when,country,price\n1,2026-11-17T10:00Z,US,5\n2,2026-11-17T11:00Z,DE,7.5\n3,soon,DE,1\n4,2026-11-18,FR,x\n",
    "good.csv": "number,when,country,price\n5,2026-11-17T10:00Z,US,5\n6,2026-11-17T11:00Z,DE,7.5\n",
    "grown.csv": "number,when,country,price\n5,2026-11-17T10:00Z,US,5\n6,2026-11-17T11:00Z,DE,7.5\n7,2026-11-18T01:00Z,DE,2\n",
    "empty.csv": "",
    "rows.json": '{"when": "2026-11-17", "price": 5}\n{"when": 5\n',
    "bad.toml": "[hit\n",
    "unknown.toml": '[hit]\npk = "a"\nnonsense = 1\n',
}
Use = tuple[tuple[str, ...], dict[str, str]]
OPEN = {name.upper(): key for name, key in KEYS.items()}
WITHOUT_STORE: tuple[Use, ...] = (
    (("--version",), {}), ((), {}), (("nonsense",), {}), (("--nonsense",), {}), (("hail", "--bind", "unix:a"), {}),
    (("hail", "--processes", "0"), {}), (("hail", "--processes", "x"), {}), (("hail", "--bind", "0.0.0.0:1"), {}), (("hail", "extra"), {}),
    (("hail", "--bind", "unix:/run/hail"), {}), (("hail", "--bind", "nonsense"), {}),
    (("hail", "--processes", "3", "--bind", "unix:a"), {}),
    (("hail",), {"HAIL_BIND": "unix:a", **OPEN}), (("hail",), {"HAIL_BNID": "x"}),
    (("hail",), {"PERIODS": "soon"}), (("hail",), {"TIMEZONE": "Mars/Olympus"}), (("hail", "--bind", "0.0.0.0:1"), {"WRITE_KEY": "short"}),
    (("hail",), {"KINDS": "{'a': 'mean'}"}), (("hail",), {"BANDS": "x"}), (("hail",), {"MAX_PATHS": "many"}),
    (("hail",), {"LINGER_MS": "-1"}),
    (("hail",), {"ALLOWED_ORIGINS": "x"}), (("hail",), {"TRUSTED_PROXIES": "x"}), (("hail",), {"REDIS_URL": "http://x"}),
    (("hail",), {"BROKER_URL": "http://x"}), (("hail",), {"PIXEL_KEY": "x"}), (("hail",), {"NONSENSE": "1"}),
    (("whale", "--bind", "unix:a", "--threads", "3"), {}), (("whale", "--bind", "unix:a", "--threads", "2"), OPEN),
    (("whale", "--threads", "0"), {}),
    (("whale", "--bind", "0.0.0.0:1"), {}), (("worker",), {}), (("worker", "--threads", "2"), {"BROKER_URL": "amqp://127.0.0.1"}),
    (("worker", "--threads", "-1"), {}), (("up", "extra"), {}), (("up",), {"NONSENSE": "1"}), (("pixel",), {}), (("pixel", "shop"), {}),
    (("pixel", "shop"), {"PIXEL_KEY": PIXEL_KEY}),
    (("pixel", '["a","b"]', "--dimensions", "x", "--metrics", '{"y":1}'), {"PIXEL_KEY": PIXEL_KEY}),
    (("pixel", "["), {"PIXEL_KEY": PIXEL_KEY}), (("pixel", "a", "--metrics", '{"y":"z"}'), {"PIXEL_KEY": PIXEL_KEY}),
    (("pixel", "a", "--dimensions", "{"), {"PIXEL_KEY": PIXEL_KEY}), (("import",), {}), (("import", "orders.csv"), {}),
    (("import", "none.csv", "--mapping", "none.toml"), {}), (("import", "orders.csv", "--mapping", "bad.toml"), {}),
    (("import", "orders.csv", "--mapping", "unknown.toml"), {}), (("import", "orders.csv", "--mapping", "m.toml", "--again", "--undo"), {}),
    (("import", "orders.csv", "--mapping", "m.toml", "--dry-run", "--undo"), {}),
    (("import", "x", "--mapping", "m.toml", "--block-hits", "0"), {}),
    (("audit", "--wait", "x"), {}), (("audit", "--wait", "-1"), {}), (("audit", "extra"), {}), (("audit",), {}), (("doctor", "name"), {}),
    (("doctor", "--from", "http://127.0.0.1:1", "--dead"), {}), (("doctor", "--from", "nonsense"), {}), (("doctor", "--nonsense"), {}),
    (("tail", "--nonsense"), {}), (("tail",), {}), (("tail", "extra"), {}), (("tail",), {"SPY": "0", "REDIS_URL": "redis://127.0.0.1:1"}),
    (("audit",), {"REDIS_URL": "redis://127.0.0.1:1"}), (("doctor", "--dead"), {}),
    (("account",), {}), (("account", "list"), {}), (("key", "add", "a"), {}),
    (("key", "rotate", "a", "b", "--overlap", "x"), {}), (("site", "add", "a", "b", "--keep-days", "x"), {}), (("journal", "a", "b"), {}),
)  # fmt: skip
WITH_STORE: tuple[Use, ...] = (
    (("tail",), {}), (("tail", "--visitor", "v1"), {}), (("tail", "--visitor", "nobody"), {}), (("tail", "--visitor", "n" * 201), {}),
    (("tail",), {"SPY": "0"}), (("import", "orders.csv", "--mapping", "m.toml", "--dry-run"), {}),
    (("import", "orders.csv", "--mapping", "m.toml"), {}), (("import", "orders.csv", "--mapping", "m.toml"), {}),
    (("import", "orders.csv", "--mapping", "m.toml", "--again"), {}), (("import", "good.csv", "--mapping", "m.toml", "--name", "g"), {}),
    (("import", "grown.csv", "--mapping", "m.toml", "--name", "g", "--dry-run"), {}),
    (("import", "grown.csv", "--mapping", "m.toml", "--name", "g"), {}), (("import", "good.csv", "--mapping", "m.toml", "--name", "g"), {}),
    (("import", "good.csv", "--mapping", "m.toml", "--name", "n" * 201), {}), (("import", "empty.csv", "--mapping", "m.toml"), {}),
    (("import", "rows.json", "--mapping", "m.toml"), {}), (("import", "none.csv", "--mapping", "m.toml"), {}),
    (("import", "grown.csv", "--mapping", "m.toml", "--name", "g", "--undo"), {}),
    (("import", "orders.csv", "--mapping", "m.toml", "--undo"), {}), (("audit", "--wait", "0"), {}),
    (("audit", "--wait", "0", "--json"), {}),
    (("doctor", "--dead"), {}), (("doctor", "--replay"), {}), (("doctor", "--dead", "none"), {}),
    (("account", "list"), {}), (("account", "show", "default"), {}), (("account", "add", "login"), {}), (("account", "show", "none"), {}),
    (("user", "add", "default"), {}), (("user", "list", "default", "--json"), {}), (("site", "add", "default", "shop"), {}),
    (("site", "show", "default", "shop"), {}), (("site", "change", "default", "shop", "--open"), {}), (("key", "list", "default"), {}),
    (("site", "remove", "default", "shop"), {}),
)  # fmt: skip


def used(name: str, main: Any, words: tuple[str, ...], environ: dict[str, str]) -> Entry:
    before = dict(os.environ)  # a command may tell the process that it becomes
    given = {f"HAILWHALE_{key}": value for key, value in environ.items()}
    ran = CliRunner().invoke(main, words, env=given, prog_name=name)
    os.environ.clear()
    os.environ.update(before)
    title = " ".join([*(f"{key}={value}" for key, value in environ.items()), name, *words])
    lines = [f"exit {ran.exit_code}"]
    if isinstance(ran.exception, Became):
        lines = [f"becomes {in_place(str(ran.exception))}"]
    elif ran.exception is not None and not isinstance(ran.exception, SystemExit):
        lines.append(f"raises {type(ran.exception).__name__}: {on_lines(str(ran.exception))}")
    for stream, text in (("out", ran.stdout), ("err", ran.stderr)):
        lines += [f"{stream}: {on_lines(line)}".rstrip() for line in masked(in_place(text)).splitlines()]
    return Entry(on_lines(title), "\n".join(lines))


def use(uses: tuple[Use, ...]) -> Iterator[Entry]:
    main = commands()["hailwhale"]
    for words, environ in uses:
        yield used("hailwhale", main, words, environ)


def command_line() -> Iterator[Entry]:
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name, text in {**FILES, "m.toml": MAPPING}.items():
                Path(name).write_text(text)
            for name, main in commands().items():
                for words in ((), *((each,) for each in getattr(main, "commands", ()))):
                    yield used(name, main, (*words, "--help"), {})
            yield from use(WITHOUT_STORE)
            world = WhaleWorld()
            seed(world.whale)
            world.settle()
            with store_is(world.whale.store):
                yield from use(WITH_STORE)
            for pk in ("orders", "shop"):
                yield Entry(f"totals of {pk} then", str(world.whale.totals(pk, None, ["hits", "revenue"], "seven")))
        finally:
            os.chdir(before)


def settings_table() -> Iterator[Entry]:
    """Every setting, left out and with values that it may refuse."""
    known = vars(settings_of())
    yield Entry("the settings", "\n".join(f"{name} = {on_lines(repr(value))}" for name, value in sorted(known.items())))
    for name in sorted(known):
        for value in ("", "0", "-1", "nonsense"):
            yield Entry(f"{name}={value}", loaded(name, value))


def loaded(name: str, value: str) -> str:
    try:
        return repr(getattr(settings_of(**{name: value}), name))
    except Exception as error:  # whatever it is, it is what is recorded
        return f"raises {type(error).__name__}: {error}"
