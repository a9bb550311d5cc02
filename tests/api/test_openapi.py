"""The OpenAPI document and the health check."""

import json
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from tests.programs.fuzz.document import strict


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


def examples_of(content: dict[str, Any]) -> list[Any]:
    """Return the examples of a body, record by record where each line is one."""
    single = [content["example"]] if "example" in content else []
    found = [*single, *(example["value"] for example in content.get("examples", {}).values())]
    return [json.loads(line) for text in found for line in text.splitlines()] if isinstance(found[0], str) else found


def test_every_example_is_as_its_schema_says(document: dict[str, Any]) -> None:
    document = strict(document)
    contents = [
        (operation["operationId"], content)
        for operation in operations(document)
        for response in operation["responses"].values()
        for media_type, content in response.get("content", {}).items()
        if media_type != "text/event-stream" and ("example" in content or "examples" in content)
    ]
    bodies = [
        (operation["operationId"], {"schema": schema, "example": example})
        for operation in operations(document)
        if "requestBody" in operation
        for schema in [operation["requestBody"]["content"]["application/json"]["schema"]]
        for example in document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["examples"]
    ]
    assert len(contents) > 100
    assert len(bodies) > 5
    wrong: list[tuple[str, str]] = []
    for name, content in contents + bodies:
        validator = jsonschema_rs.Draft202012Validator({**content["schema"], "components": document["components"]})
        wrong += [(name, error.message) for each in examples_of(content) for error in validator.iter_errors(each)]
    assert wrong == []


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


def schemas_of(document: dict[str, Any], part: Any) -> dict[str, Any]:
    """Return the named schemas that a part of the document refers to, and those that they refer to."""
    found: dict[str, Any] = {}
    waiting = [part]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found[name] = document["components"]["schemas"][name]
                waiting.append(found[name])
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
    return found


def test_a_field_of_an_answer_is_always_there_or_never_null(document: dict[str, Any]) -> None:
    """A generated client takes a default for a promise that the field is there, and ``null`` for something to expect."""
    answers = schemas_of(document, [operation["responses"] for operation in operations(document)])
    assert {"Message", "Turn", "ToolCall", "BatchResult", "ToolCompleted", "Problem", "Health"} <= set(answers)
    optional = {
        f"{name}.{field}": schema
        for name, answer in answers.items()
        for field, schema in answer.get("properties", {}).items()
        if field not in answer.get("required", ())
    }
    assert {"Message.problem", "ToolCall.error", "Turn.message", "BatchResult.message_id"} <= set(optional)
    assert [
        name for name, schema in optional.items() if "default" in schema or {"type": "null"} in schema.get("anyOf", ())
    ] == []


def test_a_body_promises_no_default_for_what_is_left_out(document: dict[str, Any]) -> None:
    bodies = schemas_of(
        document, [operation["requestBody"] for operation in operations(document) if "requestBody" in operation]
    )
    assert {"ThreadCreate", "ThreadUpdate", "Batch"} <= set(bodies)
    assert [
        (name, field)
        for name, body in bodies.items()
        for field, schema in body.get("properties", {}).items()
        if "default" in schema
    ] == []


def test_the_kinds_of_a_status_are_one_schema_wherever_they_are(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, field, kinds in (
        ("Message", "status", "TurnStatus"),
        ("Turn", "status", "TurnStatus"),
        ("ThreadUpdate", "status", "ThreadStatus"),
        ("Feedback", "rating", "Rating"),
        ("FeedbackUpdate", "rating", "Rating"),
    ):
        assert schemas[name]["properties"][field]["$ref"] == f"#/components/schemas/{kinds}"
        assert schemas[kinds]["enum"]


def test_a_client_that_tries_one_problem_after_another_finds_the_most_telling(document: dict[str, Any]) -> None:
    plain = {"$ref": "#/components/schemas/Problem"}
    choices = [
        response["content"]["application/problem+json"]["schema"]["anyOf"]
        for operation in operations(document)
        for status, response in operation["responses"].items()
        if status >= "400" and "anyOf" in response["content"]["application/problem+json"]["schema"]
    ]
    assert choices
    assert all(choice[-1] == plain and plain not in choice[:-1] for choice in choices)


def test_an_export_is_a_typed_record_a_line(document: dict[str, Any]) -> None:
    content = document["paths"]["/api/export"]["get"]["responses"]["200"]["content"]
    assert content["application/x-ndjson"]["schema"] == {"$ref": "#/components/schemas/ExportLine"}
    kinds = document["components"]["schemas"]["ExportLine"]["discriminator"]["mapping"]
    assert set(kinds) == {"owner", "user_state", "thread", "message", "turn", "end", "error"}


def test_a_stream_is_a_text_or_a_typed_event_a_line(document: dict[str, Any]) -> None:
    for operation_id in ("send_message", "follow_turn"):
        operation = next(each for each in operations(document) if each["operationId"] == operation_id)
        content = operation["responses"]["200"]["content"]
        assert content["text/event-stream"]["schema"]["type"] == "string"
        assert content["application/x-ndjson"]["schema"] == {"$ref": "#/components/schemas/TurnEvent"}
