"""Tools of the client's own, which come with a message, and what the client sends back for their calls and for approvals."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import to_json

from api.bodies import Body
from api.fields import METADATA_VALUE_REF, METADATA_VALUE_SCHEMA, NOT_BLANK_WITHOUT_NUL, WITHOUT_NUL, check_value, without_nul
from calls import MAX_CALL_ID
from turns.decisions import ClientResult, Decisions, Verdict

MAX_TOOLS = 32
MAX_TOOLS_BYTES = 65_536
# As many as a turn may make.
MAX_CALLS = 200
MAX_RESULT_BYTES = 65_536
MAX_DEPTH = 32
# What model servers take.
TOOL_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"


def _json_value(value: JsonValue) -> JsonValue:
    check_value(value, MAX_DEPTH)
    if len(to_json(value)) > MAX_RESULT_BYTES:
        raise ValueError(f"must be at most {MAX_RESULT_BYTES} bytes of JSON")
    return value


def _object_schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _json_value(schema)
    if schema.get("type", "object") != "object":
        raise ValueError("must be the schema of an object")
    if not isinstance(schema.get("properties", {}), dict):
        raise ValueError("properties must be an object")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise ValueError("required must be a list of names")
    return {"type": "object", **schema}


def _small(tools: list[ClientTool]) -> list[ClientTool]:
    if len({tool.name for tool in tools}) < len(tools):
        raise ValueError("must not have two tools of one name")
    if len(to_json([tool.model_dump() for tool in tools])) > MAX_TOOLS_BYTES:
        raise ValueError(f"must be at most {MAX_TOOLS_BYTES} bytes of JSON together")
    return tools


Words = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000, strip_whitespace=True),
    Field(json_schema_extra={"pattern": NOT_BLANK_WITHOUT_NUL}),
    AfterValidator(without_nul),
]
CallId = Annotated[
    str, Field(min_length=1, max_length=MAX_CALL_ID, json_schema_extra={"pattern": WITHOUT_NUL}), AfterValidator(without_nul)
]
JsonResult = Annotated[JsonValue, AfterValidator(_json_value), WithJsonSchema({"anyOf": METADATA_VALUE_SCHEMA["anyOf"]})]
ObjectSchema = Annotated[
    dict[str, JsonValue],
    AfterValidator(_object_schema),
    Field(
        description="JSON Schema of an object.",
        json_schema_extra={"propertyNames": {"pattern": WITHOUT_NUL}, "additionalProperties": {"$ref": METADATA_VALUE_REF}},
    ),
]


class ClientTool(Body):
    """A tool of the caller's own: the model may call it, the caller runs it."""

    name: str = Field(pattern=TOOL_NAME)
    description: Words
    parameters: ObjectSchema


ClientTools = Annotated[
    list[ClientTool], Field(max_length=MAX_TOOLS, json_schema_extra={"uniqueItems": True}), AfterValidator(_small)
]


class CallApproval(Body):
    """Whether a tool call may run."""

    call_id: CallId
    approved: StrictBool
    reason: Words | None = None
    remember: Literal["thread"] | None = Field(
        None, description="With an approval: the tool need not ask again in this thread, until that is taken back."
    )


class ToolResult(Body):
    """What a tool of the caller's own has returned: `result` or `error`."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 2, "maxProperties": 2})

    call_id: CallId
    # Not defaults that the OpenAPI document would tell: one of the two is there.
    result: JsonResult = Field(default_factory=lambda: None)
    error: Words = Field(default_factory=str)

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if len(self.model_fields_set & {"result", "error"}) != 1:
            raise ValueError("must have either result or error")
        return self


class TurnContinue(Body):
    """Decisions about all open calls of a paused turn."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"approvals": [{"call_id": "call_1", "approved": True}]}]})

    approvals: list[CallApproval] = Field(default_factory=list, max_length=MAX_CALLS)
    tool_results: list[ToolResult] = Field(default_factory=list, max_length=MAX_CALLS)

    @property
    def decisions(self) -> Decisions:
        """The same, as turns take it."""
        verdicts = [
            Verdict(each.call_id, each.approved, each.reason, each.approved and each.remember is not None)
            for each in self.approvals
        ]
        results = [
            ClientResult(each.call_id, each.result, each.error if "error" in each.model_fields_set else None)
            for each in self.tool_results
        ]
        return Decisions(verdicts, results)
