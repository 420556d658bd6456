"""The descriptions of both APIs say which key an operation needs, as the table of rights does."""

from typing import Any

import pytest

import hail.openapi
import whale.routes.openapi

WAYS = ["bearer", "basic", "address"]


def ways_of(document: dict[str, Any], path: str, method: str) -> list[str]:
    return [way for each in document["paths"][path][method]["security"] for way in each]


@pytest.mark.parametrize(
    ("document", "path", "method", "expected"),
    [
        (hail.openapi.document(), "/count", "get", WAYS),
        (hail.openapi.document(), "/batch", "post", WAYS),
        (whale.routes.openapi.document(), "/totals", "get", [*WAYS, "header"]),
        (whale.routes.openapi.document(), "/keys/{id}", "delete", [*WAYS, "header"]),
        (whale.routes.openapi.document(), "/metrics_of", "put", [*WAYS, "header"]),
        (whale.routes.openapi.document(), "/s/{token}", "get", []),
        (whale.routes.openapi.document(), "/{user}", "post", []),
    ],
)
def test_an_operation_names_the_ways_to_show_its_key(
    document: dict[str, Any], path: str, method: str, expected: list[str]
) -> None:
    assert ways_of(document, path, method) == expected
    assert set(expected) <= document["components"]["securitySchemes"].keys()
