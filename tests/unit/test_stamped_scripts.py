"""Each script that may write a key of cells (kind r) removes the stamp of their pk; of each script somebody has said whether it may."""

import re
from pathlib import Path

import whale.store

LUA = Path(whale.store.__file__).parent / "lua"
CELLS = {"apply", "sweep", "whole"}
BEFORE_APPLY = {"set"}
"""What it hands to apply.lua is all that it writes of cells."""
STAMP_ALONE = {"load", "unstamp"}
"""They put one, or remove it."""
NO_CELLS = {
    *(
        "alias",
        "aside",
        "claim",
        "commit",
        "dated",
        "decide",
        "declare",
        "define",
        "detail",
        "entry",
        "erase",
        "forget",
    ),
    *(
        "forms",
        "freeze",
        "intern",
        "log",
        "mark",
        "moving",
        "newer",
        "note",
        "number",
        "period",
        "read",
        "reset",
        "reward",
    ),
    *("rewarded", "rights", "say", "since", "site_log", "spans", "spy", "sticky", "unname", "used", "words"),
}
"""What they write are dictionaries, values, HyperLogLogs, logs and whatever else is no cell; forms and read write nothing."""
STAMPS = re.compile(r"\bunstamp\(")


def text(name: str) -> str:
    return (LUA / f"{name}.lua").read_text()


def test_each_script_is_said_to_write_cells_or_not() -> None:
    assert {path.stem for path in LUA.glob("*.lua")} == CELLS | BEFORE_APPLY | STAMP_ALONE | NO_CELLS


def test_those_that_write_cells_remove_the_stamp_and_no_other_does() -> None:
    assert {path.stem for path in LUA.glob("*.lua") if STAMPS.search(path.read_text())} == CELLS | {
        "newer",
        "unstamp",
    }


def test_whoever_takes_a_dictionary_asks_for_the_stamp_with_the_token_or_the_generation() -> None:
    asking = {path.stem for path in LUA.glob("*.lua") if "is_later(" in path.read_text()}
    assert asking == (CELLS - {"whole"}) | BEFORE_APPLY | STAMP_ALONE | {"intern", "mark", "newer", "reset"}
    for name in asking - {"newer", "unstamp"}:
        assert re.search(r"'HMGET', [^)]*'(g|gen)', 'w'\)", text(name)), name


def test_set_writes_no_block_itself() -> None:
    """It reads cells and keeps a record; a block key is handed to no command that writes."""
    writes = re.findall(r"redis\.p?call\('(\w+)', (\w+)", text("set"))
    assert {
        (command, key)
        for command, key in writes
        if command not in ("EXISTS", "HMGET", "TYPE", "HGET", "GETBIT", "GETRANGE", "GET")
    } == {
        ("SET", "scratch"),
        ("DECRBY", "scratch"),
        ("DEL", "scratch"),
        ("HSET", "KEYS"),
        ("SET", "record"),
    }


def test_blocks_are_written_from_python_by_these_modules_alone() -> None:
    """A key of a block is built for those who read, and for scripts that write."""
    folder = LUA.parent / "redis"
    using = {path.stem for path in folder.glob("*.py") if re.search(r"\bkeys\.block\(", path.read_text())}
    assert using == {"below", "changes", "reader", "whole", "writer"}
