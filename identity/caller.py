"""What a request shows, and who it acts for."""

from __future__ import annotations

from dataclasses import dataclass

from models import Owner


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request acts for, and what it may do: ``chat`` is its own threads, ``admin`` its tenant's usage and erasure."""

    owner: Owner
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows; ``from_this_machine`` says that it was made here, and for nobody else."""

    api_key: str | None
    user_id: str | None
    authorization: str | None
    from_this_machine: bool

    @property
    def are_shown(self) -> bool:
        """Whether there are any."""
        return bool(self.api_key or self.authorization)
