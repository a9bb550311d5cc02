"""The examples in the OpenAPI document: one conversation, seen through every endpoint."""

from __future__ import annotations

from typing import Any

THREAD_EXAMPLE = {
    "id": "thread_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40",
    "title": "Dinner",
    "status": "active",
    "metadata": {"channel": "web"},
    "created_at": "2026-01-01T10:30:00Z",
    "updated_at": "2026-01-01T10:30:05Z",
    "message_count": 2,
    "last_message_preview": "A 15% tip on $85 is $12.75.",
    "external_id": None,
}
MESSAGE_EXAMPLE = {
    "id": "msg_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40_2",
    "thread_id": "thread_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40",
    "seq": 2,
    "role": "assistant",
    "content": "A 15% tip on $85 is $12.75.",
    "timestamp": "2026-01-01T10:30:05Z",
    "status": "completed",
    "turn_id": "turn_8d0b7c5e4f3a4c2d9e1f0a6b5c4d3e2f",
    "tool_calls": [
        {
            "id": "call_1",
            "tool": "calculate",
            "arguments": {"expression": "85 * 0.15"},
            "status": "completed",
            "result": 12.75,
            "duration_ms": 1,
        }
    ],
    "citations": [],
    "metadata": {"model": "gpt-4o", "usage": {"input_tokens": 310, "output_tokens": 42}},
}
RATED_EXAMPLE: dict[str, Any] = {
    **MESSAGE_EXAMPLE,
    "content": "You can return it within 60 days [1].",
    "tool_calls": [],
    "citations": [
        {
            "index": 1,
            "id": "return-policy",
            "title": "Return policy",
            "url": "https://help.example.com/return-policy",
            "snippet": "Returns are possible within 60 days",
        }
    ],
    "feedback": {"rating": "up", "comment": "Just what I needed", "timestamp": "2026-01-01T10:31:00Z"},
}
TURN_EXAMPLE = {
    "id": "turn_8d0b7c5e4f3a4c2d9e1f0a6b5c4d3e2f",
    "thread_id": "thread_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40",
    "status": "running",
    "started_at": "2026-01-01T10:30:03Z",
    "ended_at": None,
}
ERASURE_EXAMPLE = {
    "id": "erasure_2c9e6a1b405f0c1f0d3f4b4c1e8a3b7d",
    "status": "running",
    "threads": 0,
    "started_at": "2026-01-01T10:30:00Z",
    "ended_at": None,
}
EXPORT_EXAMPLE: list[Any] = [
    {"type": "owner", "tenant": "local", "user": "local", "exported_at": "2026-01-01T10:30:10Z"},
    {
        "type": "user_state",
        "user_state": {"thread_id": None, "preferences": {}, "last_feedback": None, "values": {}},
    },
    {"type": "thread", "thread": THREAD_EXAMPLE},
    {"type": "message", "message": MESSAGE_EXAMPLE},
    {"type": "turn", "turn": {**TURN_EXAMPLE, "status": "completed", "ended_at": "2026-01-01T10:30:05Z"}},
    {"type": "end", "threads": 1, "messages": 1},
]
INVOCATION_EXAMPLE = {
    "final_answer": MESSAGE_EXAMPLE["content"],
    "status": "completed",
    "thread_id": MESSAGE_EXAMPLE["thread_id"],
    "message_id": MESSAGE_EXAMPLE["id"],
    "turn_id": MESSAGE_EXAMPLE["turn_id"],
    "open_calls": [],
    "tool_calls": MESSAGE_EXAMPLE["tool_calls"],
    "citations": MESSAGE_EXAMPLE["citations"],
}
BATCH_EXAMPLE = {
    "answers": [MESSAGE_EXAMPLE["content"]],
    "results": [{key: value for key, value in INVOCATION_EXAMPLE.items() if key != "final_answer"}],
}
