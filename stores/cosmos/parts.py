"""The parts of the Cosmos DB store, put together on its two containers."""

from __future__ import annotations

from stores.cosmos.authors import CosmosAuthors
from stores.cosmos.commits import CosmosCommits
from stores.cosmos.container import CosmosContainer
from stores.cosmos.continuations import CosmosContinuations
from stores.cosmos.deletion import CosmosDeletion
from stores.cosmos.erasure import CosmosErasures
from stores.cosmos.feedback import CosmosFeedback
from stores.cosmos.history import CosmosHistory
from stores.cosmos.leases import CosmosLeases
from stores.cosmos.messages import CosmosMessages
from stores.cosmos.pauses import CosmosPauses
from stores.cosmos.progress import CosmosProgress
from stores.cosmos.rows import CosmosRows
from stores.cosmos.session_threads import CosmosSessionThreads
from stores.cosmos.threads import CosmosThreads
from stores.cosmos.turn_requests import TurnReader
from stores.cosmos.turns import CosmosTurns
from stores.cosmos.user_states import CosmosUserStates
from stores.limits import StoreLimits


class CosmosParts:
    """One part for each thing that the store does; ``row_seconds`` is how often the row of a busy thread is written."""

    def __init__(
        self,
        messages: CosmosContainer,
        threads: CosmosContainer,
        history: CosmosHistory,
        limits: StoreLimits,
        row_seconds: float,
    ) -> None:
        self.rows = CosmosRows(threads, row_seconds)
        self.threads = CosmosThreads(messages, threads, self.rows, limits)
        self.messages = CosmosMessages(messages, self.threads)
        leases = CosmosLeases(messages, self.rows.update_later)
        reader = TurnReader(messages, self.rows.update_later)
        self.pauses = CosmosPauses(messages, reader, self.rows.update_soon)
        self.turns = CosmosTurns(messages, leases, reader, self.pauses, history, limits)
        self.continuations = CosmosContinuations(messages, leases, reader, history, self.rows.update_soon)
        self.commits = CosmosCommits(messages, self.rows.update_later, self.rows.update_soon, history)
        self.progress = CosmosProgress(messages, leases.end_expired)
        self.feedback = CosmosFeedback(messages, history)
        self.user_states = CosmosUserStates(threads)
        self.deletion = CosmosDeletion(messages, threads, history)
        self.sessions = CosmosSessionThreads(messages, self.threads, self.rows, self.deletion)
        self.erasures = CosmosErasures(messages, threads, self.deletion)
        self.authors = CosmosAuthors(
            messages, self.rows, self.deletion, self.feedback, history, reader, self.pauses, leases.end_expired
        )
