"""Routes whose body is JSON: the content type is checked and the text is parsed strictly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NoReturn

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from typing_extensions import override

from api.deps import services_of
from api.secured_route import Handler, SecuredRoute

MAX_BODY_BYTES = 256 * 1024


class JsonRequest(Request):
    """A request whose body must be JSON as RFC 8259 has it, and at most 256 KB of it."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives.

        :raises HTTPException: 413 as soon as it is known to be too large.
        """
        if int(self.headers.get("content-length", 0)) > MAX_BODY_BYTES:
            raise HTTPException(413)
        size = 0
        async with aclosing(super().stream()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise HTTPException(413)
                yield chunk

    async def body(self) -> bytes:
        """Return the whole body.

        :raises HTTPException: 408 if it does not arrive in time.
        """
        try:
            async with asyncio.timeout(services_of(self.scope["state"]).intervals.body):
                return await super().body()
        except TimeoutError as error:
            raise HTTPException(408) from error

    async def json(self) -> Any:
        """Parse the body.

        :raises json.JSONDecodeError: if it is not JSON; NaN, infinite, over-long and over-nested values are not either.
        """
        body = await self.body()
        try:
            return json.loads(body, parse_constant=_refuse, parse_float=_finite)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError("not valid JSON", "", 0) from error


class JsonRoute(SecuredRoute):
    """A route that takes a JSON body (if it takes one) and answers 415 to anything else."""

    @override
    def body_handler(self, handle: Handler) -> Handler:
        if self.body_field is None:
            return handle

        async def handle_json(request: Request) -> Response:
            require_json(request)
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json


def require_json(request: Request) -> None:
    """Let only a body pass that says to be JSON.

    :raises HTTPException: 415 if it is something else.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" and not (content_type.startswith("application/") and content_type.endswith("+json")):
        raise HTTPException(415)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return value
