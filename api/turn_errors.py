"""What a turn may fail with, for the description of every route that answers with its outcome."""

from __future__ import annotations

from errors import (
    Busy,
    ChatError,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    ModelMisconfigured,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
    StoreUnavailable,
    ThreadFull,
    ThreadNotFound,
    TurnInProgress,
    TurnInterrupted,
    TurnTimeout,
)

TURN_ERRORS: tuple[type[ChatError], ...] = (
    ThreadNotFound,
    TurnInProgress,
    ThreadFull,
    InvalidRequest,
    ContentFiltered,
    ContextOverflow,
    ModelThrottled,
    ModelUnavailable,
    Busy,
    StoreUnavailable,
    TurnInterrupted,
    ModelTimeout,
    TurnTimeout,
    ModelMisconfigured,
)
