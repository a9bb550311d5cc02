"""What a turn may fail with, for the OpenAPI description of every route that runs one."""

from __future__ import annotations

from api.problems import error_responses
from errors import (
    ContentFiltered,
    ContextOverflow,
    IdempotencyKeyReused,
    InvalidRequest,
    ModelMisconfigured,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
    StoreUnavailable,
    ThreadNotFound,
    TurnInProgress,
    TurnInterrupted,
    TurnTimeout,
)

TURN_ERRORS = error_responses(
    ThreadNotFound,
    TurnInProgress,
    InvalidRequest,
    IdempotencyKeyReused,
    ContentFiltered,
    ContextOverflow,
    ModelThrottled,
    ModelUnavailable,
    StoreUnavailable,
    TurnInterrupted,
    ModelTimeout,
    TurnTimeout,
    ModelMisconfigured,
)
