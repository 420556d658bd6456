"""A door makes of each request one Caller; what is remembered for one account is never told to another."""

import ast
import base64
from pathlib import Path
from typing import Any

import bottle
import pytest

from hail.accept import Acceptor
from hail.access import ADMIN, ALL_RIGHTS, READ, WRITE, Access, Caller
from hail.formats.address import Address
from hail.hit import Reason
from hail.message import ACCOUNT, decode_message
from hail.publish import Publisher
from hail.settings import Settings, load
from hail.spool import SpoolFolder, read_records
from tests.wsgi import call
from whale.client import Whale
from whale.library.whales import Whales
from whale.routes.asked import TotalAsked
from whale.routes.door import CALLER, Door
from whale.routes.parameters import period_of
from whale.routes.remembered import Remembered
from whale.routes.responses import json_answer
from whale.store.memory import MemoryStore
from whale.web import make_app as make_whale

ROOT = Path(__file__).parents[2]
NOW = 1_795_300_800.25
ANN, BEN = Caller("ann", ALL_RIGHTS), Caller("ben", ALL_RIGHTS)
KEYS = {"write_key": "w" * 16, "read_key": "r" * 16, "admin_key": "a" * 16}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"HAILWHALE_DATA_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("letter", "rights"),
    [("w", {WRITE}), ("r", {READ}), ("a", {WRITE, READ, ADMIN}), ("x", set())],
)
def test_a_key_gives_its_rights_however_it_came(settings: Settings, letter: str, rights: set[str]) -> None:
    access, key = Access(settings.replace(**KEYS), "127.0.0.1:8086", "ann", "HTTP_X_API_KEY"), letter * 16
    basic = base64.b64encode(f"name:{key}".encode()).decode()
    ways = [
        {"HTTP_AUTHORIZATION": f"Bearer {key}"},
        {"HTTP_AUTHORIZATION": f"Basic {basic}"},
        {"QUERY_STRING": f"pk=shop&key={key}"},
        {"QUERY_STRING": f"k%65y={key[:15]}%{ord(letter):x}"},
        {"QUERY_STRING": f"key=other&key={key}"},
        {"HTTP_X_API_KEY": key},
    ]
    assert [access.caller(environ) for environ in ways] == [Caller("ann", frozenset(rights))] * len(ways)


def test_a_header_that_a_service_does_not_name_brings_no_key(settings: Settings) -> None:
    access = Access(settings.replace(**KEYS), "127.0.0.1:8085")
    assert access.caller({"HTTP_X_API_KEY": "w" * 16}) == Caller(ACCOUNT)


def test_who_has_a_wrong_key_has_no_right_where_some_keys_are_not_set(settings: Settings) -> None:
    access = Access(settings.replace(write_key="w" * 16), "127.0.0.1:8085")
    for environ in ({}, {"QUERY_STRING": "key="}, {"HTTP_AUTHORIZATION": "Bearer "}, {"HTTP_AUTHORIZATION": "Basic !"}):
        assert access.caller(environ) == Caller(ACCOUNT)
    assert Caller(ACCOUNT).may(None)
    assert not Caller(ACCOUNT).may(READ)


def test_whoever_comes_may_do_all_where_no_key_is_set(settings: Settings) -> None:
    assert Access(settings, "127.0.0.1:8085").caller({"HTTP_AUTHORIZATION": "Bearer x"}) == Caller(ACCOUNT, ALL_RIGHTS)


def names_of_the_account(path: Path) -> list[str]:
    """Where a module writes the name of an account out: as a constant, a default or an argument."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        pairs: list[tuple[str, ast.expr | None]] = []
        match node:
            case ast.Assign(targets=targets, value=value):
                pairs = [(ast.unparse(target), value) for target in targets]
            case ast.AnnAssign(target=target, value=value):
                pairs = [(ast.unparse(target), value)]
            case ast.keyword(arg=str(name), value=value):
                pairs = [(name, value)]
            case ast.arguments(posonlyargs=first, args=args, defaults=defaults, kwonlyargs=named, kw_defaults=more):
                plain = [*first, *args]
                pairs = [
                    (arg.arg, value) for arg, value in zip(plain[len(plain) - len(defaults) :], defaults, strict=True)
                ]
                pairs += [(arg.arg, value) for arg, value in zip(named, more, strict=True)]
            case ast.Dict(keys=keys, values=values):  # of classes it has words for people
                pairs = [
                    (ast.unparse(key), value)
                    for key, value in zip(keys, values, strict=True)
                    if key and ast.unparse(key) != "Account"
                ]
            case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant() as value, *_]) if method != "get":
                pairs = [("account", value)] if value.value == ACCOUNT else []
        found += [
            f"{path.relative_to(ROOT)}: {name}"
            for name, value in pairs
            if "account" in name.lower() and isinstance(value, ast.Constant) and isinstance(value.value, str)
            if value.value not in set(Reason) and not name.startswith("Reason.")  # a reason about accounts is none
        ]
    return found


def test_one_place_names_the_account() -> None:
    modules = sorted(path for folder in ("hail", "whale") for path in (ROOT / folder).rglob("*.py"))
    assert [name for path in modules for name in names_of_the_account(path)] == ["hail/message.py: ACCOUNT"]


def test_hail_keeps_the_hits_of_each_caller_for_the_callers_account(settings: Settings) -> None:
    publisher = Publisher(settings, lambda: NOW)
    address = Address(Acceptor(settings, publisher, lambda: NOW))
    for caller in (ANN, BEN, ANN):  # the third is remembered
        address.count(caller, {"QUERY_STRING": "pk=shop"})
    publisher.close()
    folder = SpoolFolder(settings.data_dir)
    bodies = [body for name in folder.names() for body in read_records((folder.path / name).read_bytes()).messages]
    messages = [decode_message(body) for body in bodies]
    assert [(message.account, len(message.hits)) for message in messages] == [("ann", 1), ("ben", 1), ("ann", 1)]
    assert len(address._known) == 2


def two_whales(settings: Settings) -> tuple[Whale, Whale]:
    """Of two accounts on one store, which remember in the same place."""
    store = MemoryStore(settings)
    ann = Whale(store, settings, ANN.account, lambda: NOW)
    ben = ann.of(BEN.account)
    ann.count_now("shop")
    for _ in range(2):
        ben.count_now("shop")
    return ann, ben


def test_remembered_answers_of_http_are_of_one_account(settings: Settings) -> None:
    ann, _ = two_whales(settings)
    door = Door(settings, Whales(ann))

    def total(asked: TotalAsked) -> Any:
        return json_answer(door.whale.total(asked.pk, period="today"))

    answered = Remembered(door, ann.clock).remembering(total, period_of)
    told = []
    for caller in (ANN, BEN, ANN, BEN):
        bottle.request.bind({CALLER: caller})
        told.append(answered(TotalAsked(pk="shop", period="today", cached=True)).body)
    assert told == [b"1", b"2", b"1", b"2"]


def test_remembered_answers_of_python_are_of_one_account(settings: Settings) -> None:
    ann, ben = two_whales(settings)
    assert [whale.cached_total("shop", period="today") for whale in (ann, ben, ann, ben)] == [1, 2, 1, 2]


def test_what_decisions_rest_on_is_of_one_account(settings: Settings) -> None:
    ann, ben = two_whales(settings)
    assert ben._decider()._snapshots is ann._decider()._snapshots
    ann.count_outcome({"pk": "colour", "option": "red", "metrics": {"value": 1}})
    trials = [
        [row.trials for row in whale.decision("colour", None, ["red"], "value/hits").evidence] for whale in (ann, ben)
    ]
    assert trials == [[1.0], [0.0]]


def test_definitions_are_of_one_account(settings: Settings) -> None:
    ann, ben = two_whales(settings)
    assert ben.managed._known is ann.managed._known
    ann.define_decision("colour", options={"red": 1, "blue": 2})
    assert [[each.name for each in whale.managed.running()] for whale in (ann, ben)] == [["colour"], []]


def test_the_door_of_a_whale_lets_in_callers_of_its_account(settings: Settings) -> None:
    _, ben = two_whales(settings)
    app = make_whale(settings, ben)
    asked = {"pk": "shop", "period": "today", "cached": "true"}
    assert [call(app, "GET", "/total", asked).text for _ in range(2)] == ["2", "2"]
    assert bottle.request.environ[CALLER] == BEN


@pytest.mark.parametrize("query", ["key=k%ff", "key=" + "r" * 16])
def test_a_key_that_is_no_utf_8_opens_as_any_other(query: str) -> None:
    """The environment holds bytes, and Python gives those that are no UTF-8 as surrogates."""
    settings = load({"HAILWHALE_WRITE_KEY": "k\udcff", "HAILWHALE_READ_KEY": "r" * 16})
    rights = Access(settings, "127.0.0.1:8085").caller({"QUERY_STRING": query}).rights
    assert rights == {"write" if "ff" in query else "read"}
