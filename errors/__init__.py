"""Every error a caller can meet, each with its stable problem type.

    ChatError
    ├── Unauthenticated              401  unauthenticated
    ├── Forbidden                    403  missing_scope
    ├── IdentityUnavailable          503  identity_unavailable
    ├── RateLimited                  429  rate_limited
    ├── Busy                         503  busy
    ├── NotAcceptable                406  not_acceptable
    ├── InvalidActivity              400  invalid_activity
    ├── InvalidRequest               422  validation_failed (names the fields)
    │   └── InvalidCursor            422  validation_failed
    ├── ThreadNotFound               404  thread_not_found
    ├── ThreadDeleting               409  thread_deleting
    ├── MessageNotFound              404  message_not_found
    ├── NotAnAnswer                  422  not_an_answer
    ├── TurnNotFound                 404  turn_not_found
    ├── ErasureNotFound              404  erasure_not_found
    ├── TurnInProgress               409  turn_in_progress
    ├── ThreadFull                   409  thread_full
    ├── TurnEnded                    409  turn_ended
    ├── TurnContinued                409  turn_continued
    │   └── CallsUndecided           409  turn_continued
    ├── ApprovalExpired              409  approval_expired
    ├── StateChanged                 409  state_changed
    ├── IdempotencyKeyReused         422  idempotency_key_reused
    ├── TurnInterrupted              503  turn_interrupted
    │   └── LeaseLost                503  turn_interrupted
    ├── TurnTimeout                  504  turn_timeout
    ├── StoreError
    │   ├── StoreUnavailable         503  store_unavailable
    │   └── StoreMisconfigured       500  store_misconfigured
    ├── ModelError
    │   ├── ModelThrottled           429  model_throttled
    │   ├── ModelUnavailable         503  model_unavailable
    │   ├── ModelTimeout             504  model_timeout
    │   ├── ContentFiltered          422  content_filtered
    │   ├── ContextOverflow          422  context_overflow
    │   └── ModelMisconfigured       500  model_misconfigured
    ├── NotReady                     503  not_ready
    └── InternalError                500  internal_error
    ToolError                        (never a response: goes to the model and into tool_calls[].error)

What a ChatError carries is safe to show to a caller. The exception that caused it is chained (``raise … from``) and only
logged.
"""

from __future__ import annotations

from errors.base import ChatError
from errors.callers import (
    Busy,
    Forbidden,
    IdentityUnavailable,
    InvalidActivity,
    InvalidCursor,
    InvalidRequest,
    NotAcceptable,
    RateLimited,
    Unauthenticated,
)
from errors.parts import (
    ContentFiltered,
    ContextOverflow,
    InternalError,
    ModelError,
    ModelMisconfigured,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
    NotReady,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
    ToolError,
)
from errors.threads import (
    ApprovalExpired,
    CallsUndecided,
    ErasureNotFound,
    IdempotencyKeyReused,
    LeaseLost,
    MessageNotFound,
    NotAnAnswer,
    StateChanged,
    ThreadDeleting,
    ThreadFull,
    ThreadNotFound,
    TurnContinued,
    TurnEnded,
    TurnInProgress,
    TurnInterrupted,
    TurnNotFound,
    TurnTimeout,
)

__all__ = [
    "ApprovalExpired",
    "Busy",
    "CallsUndecided",
    "ChatError",
    "ContentFiltered",
    "ContextOverflow",
    "ErasureNotFound",
    "Forbidden",
    "IdempotencyKeyReused",
    "IdentityUnavailable",
    "InternalError",
    "InvalidActivity",
    "InvalidCursor",
    "InvalidRequest",
    "LeaseLost",
    "MessageNotFound",
    "ModelError",
    "ModelMisconfigured",
    "ModelThrottled",
    "ModelTimeout",
    "ModelUnavailable",
    "NotAcceptable",
    "NotAnAnswer",
    "NotReady",
    "RateLimited",
    "StateChanged",
    "StoreError",
    "StoreMisconfigured",
    "StoreUnavailable",
    "ThreadDeleting",
    "ThreadFull",
    "ThreadNotFound",
    "ToolError",
    "TurnContinued",
    "TurnEnded",
    "TurnInProgress",
    "TurnInterrupted",
    "TurnNotFound",
    "TurnTimeout",
    "Unauthenticated",
]
