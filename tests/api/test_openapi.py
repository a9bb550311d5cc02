"""The OpenAPI document and the health check."""

from typing import Any

import httpx2
import pytest


@pytest.fixture
async def document(api: httpx2.AsyncClient) -> dict[str, Any]:
    response = await api.get("/api/openapi.json")
    assert response.headers["content-type"] == "application/json"
    document: dict[str, Any] = response.json()
    return document


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in document["paths"].values() for operation in methods.values()]


async def test_health_says_ok(api: httpx2.AsyncClient) -> None:
    assert (await api.get("/api/health")).json() == {"status": "ok"}


async def test_every_endpoint_is_described(document: dict[str, Any]) -> None:
    assert len(operations(document)) >= 8
    for operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]


async def test_every_endpoint_describes_its_errors_as_problems(document: dict[str, Any]) -> None:
    for operation in operations(document):
        errors = {status: response for status, response in operation["responses"].items() if status >= "400"}
        assert "500" in errors
        for response in errors.values():
            assert list(response["content"]) == ["application/problem+json"]


async def test_a_status_names_the_shape_of_each_of_its_problems(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            schema = response["content"]["application/problem+json"]["schema"]
            described = {kind["$ref"].rpartition("/")[2] for kind in schema.get("anyOf", [schema])}
            examples = response["content"]["application/problem+json"].get("examples", {})
            assert {problem_schema(example["value"]) for example in examples.values()} <= described
            assert len(described) == len(schema.get("anyOf", [schema]))


def problem_schema(problem: dict[str, Any]) -> str:
    return "ValidationProblem" if "errors" in problem else "ReadinessProblem" if "failing" in problem else "Problem"


async def test_bodies_and_answers_have_examples(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for operation in operations(document):
        if "requestBody" in operation:
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            assert schemas[reference.rpartition("/")[2]]["examples"]
            assert {"413", "415", "422"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            if status < "300" and "content" in response and "system" not in operation["tags"]:
                assert all(content["example"] for content in response["content"].values())


async def test_every_reference_resolves(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for item in value.values() for found in references(item)]
        if isinstance(value, list):
            return [found for item in value for found in references(item)]
        return []

    for reference in references(document):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target is not None
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_generated_clients_get_short_names_and_every_header(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert {"create_thread", "send_message", "follow_turn", "invoke", "list_tools"} <= set(names)
    assert len(set(names)) == len(names)
    for operation in operations:
        headers = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"]
        assert ("X-User-Id" in headers) == ("security" in operation)
