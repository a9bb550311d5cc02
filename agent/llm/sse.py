"""Server-sent events as model servers write them (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

# No event of a model is longer; what is, is no stream of events.
MAX_EVENT_BYTES = 8 * 1024 * 1024
# Nor are all of them together, at a few hundred bytes for each token: what they tell is kept until the last.
MAX_STREAM_BYTES = 64 * 1024 * 1024
BOM = b"\xef\xbb\xbf"


async def event_data(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    r"""Yield the data of each event. Lines end in ``\n`` or ``\r\n``; comments and other fields are passed over.

    Several lines of data are one event's, and are joined, without the white space around each, which means nothing in JSON.
    An event without data is none. A server that does not stream answers with one object: it is yielded as it is.

    :raises ValueError: if an event, or the stream, does not end.
    """
    rest, is_begun, size = b"", False, 0
    lines: list[bytes] = []
    is_object: bool | None = None
    async for piece in pieces:
        size += len(piece)
        if size > MAX_STREAM_BYTES:
            raise ValueError("a stream without an end")
        if is_object is None and (begin := piece.lstrip()):
            is_object = begin.startswith(b"{")
        if is_object:
            rest = _bounded(rest + piece)
            continue
        *complete, rest = (rest + piece).split(b"\n")
        if complete and not is_begun:
            complete[0], is_begun = complete[0].removeprefix(BOM), True
        for line in complete:
            line = line.removesuffix(b"\r")
            if not line:
                if lines:
                    yield b"\n".join(lines) if len(lines) > 1 else lines[0]
                    lines = []
            elif line.startswith(b"data:") and (data := line[5:].strip()):
                lines.append(data)
        _bounded(rest)
    if is_object:
        lines.append(rest)
    # Some servers leave out the last empty line, or even its end.
    if rest.startswith(b"data:") and (data := rest[5:].strip()):
        lines.append(data)
    if lines:
        yield b"\n".join(lines)


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_EVENT_BYTES:
        raise ValueError("an event without an end")
    return data
