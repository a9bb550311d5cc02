"""The connection to a model's server, where the server does with HTTP what few servers do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from errors import ContentFiltered
from tests.fakes.model import FakeModel, Reply, head_of
from tests.support.agent import agent_on, run


class InPieces(FakeModel):
    """A server whose answers arrive in two pieces, the second one well after the first."""

    async def write_answer(self, writer: asyncio.StreamWriter, request: dict[str, Any], reply: Reply) -> None:
        body = json.dumps({"error": reply.error}).encode()
        writer.write(head_of(reply.status, {"content-length": str(len(body))}) + body[:20])
        for _ in range(20):
            await asyncio.sleep(0)
        writer.write(body[20:])
        await writer.drain()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_that_comes_in_pieces_is_read_as_a_whole(stream: bool) -> None:
    reply = Reply(status=400, error={"message": "no", "code": "content_filter"})
    async with InPieces(reply) as model, agent_on(model) as agent:
        with pytest.raises(ContentFiltered):
            await run(agent, stream=stream)
