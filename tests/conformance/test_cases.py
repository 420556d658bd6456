"""The cases under cases/: hits in, questions, exact answers. The same ones for every stack.

A case has `now` and `zone`, `hits` as Hail takes them (`times`: so often; `at` missing: now), and `asks`: a path of
Whale's HTTP API, `with` its parameters, and what must come: `answer` as it is, or of /plotpoints the `values` of all
points, the `last` value, or how many `points` each series has. The order of paths counts.
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from hail.settings import Settings, load
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.store.base import Store
from whale.store.memory import MemoryStore
from whale.store.redis import connect
from whale.web import make_app

CASES = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "cases").glob("*.json"))]


class Stack(Protocol):
    """One way from a hit to an answer."""

    def count(self, hits: list[dict[str, Any]]) -> None: ...

    def ask(self, path: str, parameters: dict[str, str]) -> Answer: ...


class InProcess:
    """Whale's own count_now and its HTTP application, on one store."""

    def __init__(self, store: Store, settings: Settings, account: str, now: float):
        self.whale = Whale(store, settings, account, clock=lambda: now)
        self.app = make_app(settings, self.whale)

    def count(self, hits: list[dict[str, Any]]) -> None:
        for hit in hits:
            self.whale.count_hit(hit)

    def ask(self, path: str, parameters: dict[str, str]) -> Answer:
        return call(self.app, "GET", path, parameters)


MakeStack = Callable[[dict[str, Any]], Stack]


@pytest.fixture(params=["memory", "redis"])
def make_stack(request: pytest.FixtureRequest, unique: str) -> MakeStack:
    """Makes an empty stack for a case."""

    def make(case: dict[str, Any]) -> Stack:
        settings = load({"HAILWHALE_TIMEZONE": case["zone"]})
        store: Store
        if request.param == "memory":
            store = MemoryStore(settings)
        else:
            settings = settings.replace(redis_url=request.getfixturevalue("redis_server").url)
            store = connect(settings)
        return InProcess(store, settings, unique, datetime.fromisoformat(case["now"]).timestamp())

    return make


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_a_case_is_answered_exactly(case: dict[str, Any], make_stack: MakeStack) -> None:
    stack = make_stack(case)
    stack.count([{"at": case["now"], **hit} for given in case["hits"] for hit in repeated(given)])
    for ask in case["asks"]:
        parameters = {name: v if isinstance(v, str) else json.dumps(v) for name, v in ask["with"].items()}
        answer = stack.ask(ask["ask"], parameters)
        assert answer.status == 200, answer.text
        (form,) = FORMS.keys() & ask.keys()
        shown = FORMS[form](answer.json)
        assert shown == ask[form], ask
        if isinstance(shown, dict):
            assert list(shown) == list(ask[form]), ask


def repeated(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in given.items() if name != "times"}] * given.get("times", 1)


def each(answer: Any, form: Callable[[list[Any]], Any]) -> Any:
    return {path: {metric: form(points) for metric, points in row.items()} for path, row in answer.items()}


def points(answer: Any) -> int:
    (count,) = {len(series) for row in answer.values() for series in row.values()}
    return count


FORMS: dict[str, Callable[[Any], Any]] = {
    "answer": lambda answer: answer,
    "values": lambda answer: each(answer, lambda series: [value for _, value in series]),
    "last": lambda answer: each(answer, lambda series: series[-1][1]),
    "points": points,
}
