"""Small contracts, each asked for by name: what a store promises of one subject, and who takes all of it."""

import ast
import importlib
import inspect
from pathlib import Path
from typing import Protocol

import pytest

from whale.store.base import Store

ROOT = Path(__file__).parents[2]
CONTRACTS = sorted(path.stem for path in (ROOT / "whale/store/contract").glob("[a-z]*.py"))
MOST_METHODS = 12
# Who takes a whole store, and why. Everybody else asks for the contracts that are needed.
WHOLE = {
    "whale/client.py": "the front door of the library: it hands contracts on",
    "whale/library/questions.py": "a part of that door",
}


def protocol_of(name: str) -> type:
    """The one contract of a module."""
    module = importlib.import_module(f"whale.store.contract.{name}")
    own = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    (found,) = (each for each in own if Protocol in each.__bases__)
    return found


def own_methods(contract: type) -> set[str]:
    return {name for name, each in vars(contract).items() if inspect.isfunction(each) and not name.startswith("_")}


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_is_small(name: str) -> None:
    assert len(own_methods(protocol_of(name))) <= MOST_METHODS


def test_the_store_is_the_sum_of_the_contracts_and_nothing_else() -> None:
    contracts = [protocol_of(name) for name in CONTRACTS]
    assert set(contracts) <= set(Store.__mro__)
    methods = [method for contract in contracts for method in own_methods(contract)]
    assert len(methods) == len(set(methods))
    assert own_methods(Store) == set()


def annotations(module: Path) -> list[str]:
    """Of all parameters and attributes."""
    nodes = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.arg | ast.AnnAssign)]
    return [ast.unparse(node.annotation) for node in nodes if node.annotation]


def test_nobody_takes_a_whole_store_who_needs_a_part_of_it() -> None:
    modules = {str(path.relative_to(ROOT)): path for path in (ROOT / "whale").rglob("*.py")}
    takers = {name for name, path in modules.items() if any("Store" in text.split(" | ") for text in annotations(path))}
    assert takers == WHOLE.keys()
