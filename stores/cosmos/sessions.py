"""Session tokens: a read that passes the newest one sees this process's own writes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

SESSIONS_KEPT = 10_000
SESSION_TOKEN = "x-ms-session-token"  # noqa: S105 - the name of a header


class SessionTokens:
    """The newest session token of each partition key's value that was used lately.

    The SDK keeps tokens too, but not those of batches; without them a read from a lagging replica misses our own batch.
    """

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, str] = OrderedDict()

    def get(self, partition: str) -> str | None:
        """Return the token that the next read must pass."""
        return self._tokens.get(partition)

    def keep(self, partition: str, headers: Mapping[str, str] | None) -> None:
        """Remember the token in a response's headers unless a newer one is known."""
        token = (headers or {}).get(SESSION_TOKEN)
        if token and _position(token) >= _position(self._tokens.get(partition)):
            self._tokens[partition] = token
            self._tokens.move_to_end(partition)
            if len(self._tokens) > SESSIONS_KEPT:
                self._tokens.popitem(last=False)

    def forget(self, partition: str) -> None:
        """Drop a token that no replica can serve."""
        self._tokens.pop(partition, None)


def _position(token: str | None) -> tuple[int, int]:
    """Return a token's age: ``0:-1#33#…`` is version -1, position 33 of partition range 0."""
    if token is None:
        return (-2, 0)
    version, _, rest = token.rpartition(":")[2].partition("#")
    position = rest.partition("#")[0]
    return (int(version), int(position)) if position else (-1, int(version))
