"""How often something is tried again in Cosmos DB: a request that failed, and after how long, or a write that came too late."""

from __future__ import annotations

import random
from dataclasses import dataclass

from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

REQUEST_SECONDS = 10.0
# How often what others change meanwhile is read anew, and the write that it led to tried again.
MAX_ATTEMPTS = 8
RETRY_AFTER_MS = "x-ms-retry-after-ms"
TRANSIENT_STATUSES = {408, 410, 429, 449, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often a request is tried: ``attempts``, none of which may take longer than ``request_seconds``.

    That is also the time for all of them once one has failed. ``backoff_seconds`` is the unit of the pauses between them.
    """

    attempts: int = 4
    request_seconds: float = REQUEST_SECONDS
    backoff_seconds: float = 0.05

    def backoff(self, attempt: int) -> float:
        """Return how many seconds to wait after an attempt, counted from 1, if nobody asks for more."""
        return self.backoff_seconds * 2.0**attempt * random.uniform(0.5, 1)  # noqa: S311 - spreads retries, keeps no secret


def retry_after(error: CosmosHttpResponseError | CosmosBatchOperationError) -> float:
    """Return how many seconds Cosmos DB asked to wait; a batch's failed operation says it for itself."""
    asked = [float((error.headers or {}).get(RETRY_AFTER_MS, 0))]
    for result in getattr(error, "operation_responses", None) or ():
        asked.append(float(result.get("retryAfterMilliseconds", 0)))
    return max(asked) / 1000
