"""The cases under cases/: hits in, questions, exact answers. The same ones for every stack.

A case has `now` and `zone`, `hits` as Hail takes them (`times`: so often; `at` missing: now), and `asks`: a path of
Whale's HTTP API, or a method of the library, `with` its parameters, and what must come: `answer` as it is; of /plotpoints
the `values` of all points, the `last` value, or how many `points` each series has; of /rank the values of `rows`, or which
are `important`; of a ranking of the seed its `scores`, and which are important; of /factors the `factors`, without what is
told of chance. The order of paths counts. Steps between the asks: `count` counts more hits (one with an `option` is
an outcome of a decision); `set` (with what was `added`), `reset` and `declare` do what /update_count_to, /reset and PUT /metrics_of do.
`settings` of a case are beside the usual ones; `account`: of a case that is about this one. An ask may name `headers` of the answer. An
ask with a `problem` is
refused: its code and field; of a method of the library its field alone. Of a hit that is `refused` the `reason`.

Of decisions: the same question so many `times`, and for each option the `shares` of the answers, from and to; of the library's
weighted_reasons the `classes` (option: good, bad or test) or, rounded, the `effects` (option: effect, significance and the
ratio of all options). Of a report of /outcomes the `report`: its trials, rewards and verdict.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import msgspec
import numpy as np
import pytest

import hail.web
from hail.hit import MILLION, HitError, parse_time
from hail.message import ACCOUNT
from hail.publish import Publisher
from hail.settings import Settings, load
from tests.existing import make_accounts
from tests.servers import RedisServer
from tests.wsgi import Answer, call
from whale.client import Whale
from whale.count.hailwail import Apply, Hailwail
from whale.errors import CallerError
from whale.store.base import Store
from whale.store.memory import MemoryStore
from whale.store.redis import connect
from whale.web import make_app

OWN_DB = 11
CASES = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "cases").glob("*.json"))]


class Stack(Protocol):
    """One way from a hit to an answer."""

    whale: Whale

    def count(self, hits: list[dict[str, Any]]) -> None: ...

    def ask(self, path: str, parameters: dict[str, str]) -> Answer: ...

    def refusal(self, hit: dict[str, Any]) -> str: ...

    def set(self, given: dict[str, Any]) -> Any: ...

    def reset(self, given: dict[str, Any]) -> None: ...

    def note(self, given: dict[str, Any]) -> None: ...

    def declare(self, given: dict[str, Any]) -> Any: ...


class InProcess:
    """The library's count_now, and Whale's HTTP application."""

    def __init__(self, store: Store, settings: Settings, account: str, now: float):
        self.whale = Whale(store, settings, account, clock=lambda: now, random=np.random.default_rng(7))
        self.app = make_app(settings, self.whale)

    def count(self, hits: list[dict[str, Any]]) -> None:
        for hit in hits:
            if "option" in hit:
                self.whale.count_outcome(hit)
            else:
                self.whale.count_hit(hit)

    def refusal(self, hit: dict[str, Any]) -> str:
        with pytest.raises(HitError) as caught:
            self.whale.count_hit(hit)
        return str(caught.value.reason)

    def ask(self, path: str, parameters: dict[str, str]) -> Answer:
        return call(self.app, "GET", path, parameters)

    def set(self, given: dict[str, Any]) -> Any:
        return self.whale.update_count_to(**given)

    def reset(self, given: dict[str, Any]) -> None:
        self.whale.reset(**given)

    def note(self, given: dict[str, Any]) -> None:
        self.whale.note(**given)

    def declare(self, given: dict[str, Any]) -> Any:
        return msgspec.to_builtins(self.whale.declare_metrics(**given))


class OverHttp(InProcess):
    """Hail's HTTP application, its spool, hailwail, Redis, and Whale's HTTP application."""

    def __init__(self, store: Store, settings: Settings, account: str, now: float, closing: ExitStack):
        super().__init__(store, settings, account, now)
        if account != ACCOUNT:
            make_accounts(store, account, zone=str(settings.timezone))
        self.publisher = Publisher(settings, lambda: now)
        closing.callback(self.publisher.close)
        self.hail = hail.web.make_app(settings, self.publisher, lambda: now, account)
        self.hailwail = Hailwail(settings, Apply(settings, lambda: now), lambda: now, live=True, force=False)

    def count(self, hits: list[dict[str, Any]]) -> None:
        self.send(hits)
        while self.hailwail.once():
            pass

    def send(self, hits: list[dict[str, Any]]) -> None:
        outcomes = [hit for hit in hits if "option" in hit]
        plain = [hit for hit in hits if "option" not in hit]
        for path, given in [("/count", hit) for hit in plain[:1]] + [("/count_decision", hit) for hit in outcomes]:
            assert call(self.hail, "GET", path, texts(given)).text == "OK"
        for start in range(1, len(plain), 500):
            body = json.dumps(plain[start : start + 500]).encode()
            answer = call(self.hail, "POST", "/batch", body=body, CONTENT_TYPE="application/json")
            assert (answer.status, answer.json["accepted"]) == (202, len(plain[start : start + 500]))

    def refusal(self, hit: dict[str, Any]) -> str:
        body = json.dumps(hit).encode()
        answer = call(self.hail, "POST", "/count", body=body, CONTENT_TYPE="application/json")
        assert answer.status == 400
        return str(answer.json["code"])

    def set(self, given: dict[str, Any]) -> Any:
        return self._send("POST", "/update_count_to", given).json["added"]

    def reset(self, given: dict[str, Any]) -> None:
        assert self._send("POST", "/reset", given).text == "OK"

    def note(self, given: dict[str, Any]) -> None:
        assert self._send("POST", "/notes", given, 201).json == {"id": given["id"]}

    def declare(self, given: dict[str, Any]) -> Any:
        return self._send("PUT", "/metrics_of", given).json

    def _send(self, method: str, path: str, given: dict[str, Any], status: int = 200) -> Answer:
        answer = call(self.app, method, path, body=json.dumps(given).encode(), CONTENT_TYPE="application/json")
        assert answer.status == status, answer.text
        return answer


class ByGet(OverHttp):
    """The same, each hit by GET, twice: once to a Hail whose hits nobody counts, and then, as what is known, to be counted."""

    def __init__(self, store: Store, settings: Settings, account: str, now: float, closing: ExitStack):
        super().__init__(store, settings, account, now, closing)
        self.now = now
        unread = settings.replace(data_dir=f"{settings.data_dir}/unread")
        self.publishers = [Publisher(unread, lambda: now), self.publisher]
        closing.callback(self.publishers[0].close)

    def send(self, hits: list[dict[str, Any]]) -> None:
        for hit in hits:
            path = "/count_decision" if "option" in hit else "/count"
            is_now = parse_time(hit["at"], self.now) == self.now * MILLION
            fields = {name: value for name, value in hit.items() if not (is_now and name == "at")}
            for publisher in self.publishers:
                self.hail.acceptor.publisher = publisher
                assert call(self.hail, "GET", path, texts(fields)).text == "OK"

    def refusal(self, hit: dict[str, Any]) -> str:
        answer = call(self.hail, "GET", "/count", texts(hit))
        assert answer.status == 400
        return str(answer.json["code"])


def redis_of(server: RedisServer, account: str) -> str:
    """Where nothing of the account is: for one that other tests have too, an empty database of its own."""
    if account != ACCOUNT:
        return server.url
    server.client(db=OWN_DB).flushdb()
    return f"{server.url.removesuffix('/0')}/{OWN_DB}"


MakeStack = Callable[[dict[str, Any]], Stack]


@pytest.fixture(params=["memory", "redis", "http", "get"])
def make_stack(request: pytest.FixtureRequest, unique: str, tmp_path: Path) -> Iterator[MakeStack]:
    """Makes an empty stack for a case."""
    with ExitStack() as closing:

        def make(case: dict[str, Any]) -> Stack:
            stack = made(case)
            closing.callback(stack.whale.flush)
            return stack

        def made(case: dict[str, Any]) -> Stack:
            more = {f"HAILWHALE_{name}": value for name, value in case.get("settings", {}).items()}
            settings = load({"HAILWHALE_TIMEZONE": case["zone"], "HAILWHALE_DATA_DIR": str(tmp_path), **more})
            settings = settings.replace(decide_snapshot_s=0.0)
            now, account = datetime.fromisoformat(case["now"]).timestamp(), case.get("account", unique)
            if request.param == "memory":
                return InProcess(MemoryStore(settings), settings, account, now)
            settings = settings.replace(redis_url=redis_of(request.getfixturevalue("redis_server"), account))
            if request.param == "redis":
                return InProcess(connect(settings), settings, account, now)
            over = ByGet if request.param == "get" else OverHttp
            return over(connect(settings), settings, account, now, closing)

        yield make


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_a_case_is_answered_exactly(case: dict[str, Any], make_stack: MakeStack) -> None:
    stack = make_stack(case)
    for step in ({"count": case["hits"]}, *case["asks"]):
        if "count" in step:
            stack.count([{"at": case["now"], **hit} for given in step["count"] for hit in repeated(given)])
            continue
        if "set" in step:
            assert stack.set(step["set"]) == step["added"], step
            continue
        if "reset" in step:
            stack.reset(step["reset"])
            continue
        if "note" in step:
            stack.note(step["note"])
            continue
        if "declare" in step:
            assert stack.declare(step["declare"]) == step["answer"], step
            continue
        if "refused" in step:
            assert stack.refusal(step["refused"]) == step["reason"], step
            continue
        if "problem" in step:
            assert problem(stack, step["ask"], step["with"]) == step["problem"], step
            continue
        if "shares" in step:
            chosen = Counter(option_of(answered(stack, step["ask"], step["with"])) for _ in range(step["times"]))
            for option, (least, most) in step["shares"].items():
                assert least <= chosen.pop(option, 0) / step["times"] <= most, (option, step)
            assert not chosen
            continue
        (form,) = FORMS.keys() & step.keys()
        shown = FORMS[form](answered(stack, step["ask"], step["with"], step.get("headers", {})))
        assert shown == step[form], step
        if isinstance(shown, dict) and form != "factors":
            assert list(shown) == list(step[form]), step


def answered(stack: Stack, ask: str, given: dict[str, Any], headers: Mapping[str, str] = MappingProxyType({})) -> Any:
    if not ask.startswith("/"):
        return getattr(stack.whale, ask)(**given)
    answer = stack.ask(ask, texts(given))
    assert answer.status == 200, answer.text
    assert {name: answer.headers.get(name) for name in headers} == headers
    return answer.json


def texts(given: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


def problem(stack: Stack, ask: str, given: dict[str, Any]) -> list[Any]:
    if ask.startswith("/"):
        answer = stack.ask(ask, texts(given))
        return [answer.status, answer.json["code"], answer.json.get("field")]
    with pytest.raises(CallerError) as caught:
        getattr(stack.whale, ask)(**given)
    return [caught.value.field]


def option_of(answer: Any) -> str:
    return str(answer["option"] if isinstance(answer, dict) else answer)


def classes(answer: Any) -> dict[str, str]:
    kinds = zip(("good", "bad", "test"), answer, strict=True)
    return dict(sorted((option, kind) for kind, found in kinds for option in found))


def effects(answer: Any) -> dict[str, list[float]]:
    found = {option: row for kind in answer for option, row in kind.items()}
    return {
        option: [
            round(row["high"] + row["low"], 3),
            round(row["high_sig"] + row["low_sig"], 4),
            round(row["parent"], 5),
        ]
        for option, row in sorted(found.items())
    }


def report(answer: Any) -> dict[str, Any]:
    """What no draw decides: trials, rewards and states by option; those of each context; whether to stop, and with which option."""
    found = msgspec.to_builtins(answer)
    return {
        "options": {row["option"]: [row["trials"], row["reward"], row["state"]] for row in found["options"]},
        "segments": {
            segment["dimension"]: {row["option"]: [row["trials"], row["reward"]] for row in segment["options"]}
            for segment in found["segments"]
        },
        "stop": [found["stop"]["may_stop"], found["stop"]["option"]],
    }


def repeated(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in given.items() if name != "times"}] * given.get("times", 1)


def each(answer: Any, form: Callable[[list[Any]], Any]) -> Any:
    return {path: {metric: form(points) for metric, points in row.items()} for path, row in answer.items()}


def points(answer: Any) -> int:
    (count,) = {len(series) for row in answer.values() for series in row.values()}
    return count


COUNTED = {
    "because",
    "now",
    "before",
    "change",
    "dimensions",
    "dimension",
    "values",
    "closes",
    "rows",
    "path",
    "kind",
    "part",
    "rate",
    "mix",
}


def factors(answer: Any) -> Any:
    """What is exact; `rate` and `mix` of rows alone."""
    if isinstance(answer, list):
        return [factors(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    left_out = {"rate", "mix"} if "dimension" in answer else set()
    return {name: factors(each) for name, each in answer.items() if name in COUNTED - left_out}


FORMS: dict[str, Callable[[Any], Any]] = {
    "answer": lambda answer: answer,
    "values": lambda answer: each(answer, lambda series: [value for _, value in series]),
    "last": lambda answer: each(answer, lambda series: series[-1][1]),
    "points": points,
    "rows": lambda answer: {row["path"]: row["value"] for row in answer["rows"]},
    "important": lambda answer: {row["path"]: row["important"] for row in answer["rows"]},
    "scores": lambda answer: {path: [row["score"], row["important"]] for path, row in answer.items()},
    "factors": factors,
    "rounded": lambda answer: {
        period: {path: {name: round(value) for name, value in row.items()} for path, row in paths.items()}
        for period, paths in answer.items()
    },
    "nearest": lambda answer: [answer["why"], answer["nearest"]],
    "classes": classes,
    "effects": effects,
    "report": report,
}
