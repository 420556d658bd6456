"""Both services as their OpenAPI descriptions say, asked by schemathesis: never a 500, and what comes is described."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import hail.openapi
import hail.web
import whale.routes.openapi
from hail.publish import Publisher
from hail.settings import load
from tests.laws import law
from tests.servers import RedisServer
from whale.accounts import RESERVED, Account, Act
from whale.client import Whale
from whale.store.redis import connect
from whale.web import make_app

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 30


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(path, method) for path, methods in document["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def whale_app(redis_server: RedisServer) -> Any:
    in_force = load({"HAILWHALE_SECRET": "s" * 32}).replace(redis_url=redis_server.url)
    name, store = f"openapi-{os.getpid()}", connect(in_force)
    store.add_entry(Account(name, name, "UTC", 0), Act(0, "test", "add account", name, name))
    asked = Whale(store, in_force, name)
    asked.count_now("shop", {"country": {"US": "CA"}}, {"revenue": 5})
    return make_app(in_force, asked)


@pytest.fixture(scope="module")
def hail_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    in_force = load({"HAILWHALE_DATA_DIR": str(tmp_path_factory.mktemp("spool"))})
    publisher = Publisher(in_force)
    yield hail.web.make_app(in_force, publisher)
    publisher.close()


def is_of_its_own(case: Any) -> bool:
    """Whether no other route has this address: `users` is the name of no account."""
    user = (case.path_parameters or {}).get("user")
    return not isinstance(user, str) or user.lower() not in RESERVED


def check(app: Any, path: str, method: str) -> None:
    operation = schemathesis.openapi.from_wsgi("/openapi.json", app)[path][method]

    @given(case=operation.as_strategy().filter(is_of_its_own))
    @law(EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    def asked(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, headers={"Accept-Encoding": "identity"})  # its client unpacks nothing

    asked()


@pytest.mark.hypothesis
@pytest.mark.parametrize(("path", "method"), operations(whale.routes.openapi.document()))
def test_whale_answers_as_it_says(whale_app: Any, path: str, method: str) -> None:
    check(whale_app, path, method)


@pytest.mark.hypothesis
@pytest.mark.parametrize(("path", "method"), operations(hail.openapi.document()))
def test_hail_answers_as_it_says(hail_app: Any, path: str, method: str) -> None:
    check(hail_app, path, method)
