"""Threads through the API."""

import re

import httpx2

MISSING = "thread_" + "0" * 32


async def test_a_thread_is_created_read_changed_and_deleted(api: httpx2.AsyncClient) -> None:
    created = await api.post("/api/threads", json={"title": " Trip ", "metadata": {"channel": "web"}})
    assert created.status_code == 201
    thread = created.json()
    assert created.headers["location"] == f"/api/threads/{thread['id']}"
    assert re.fullmatch(r"thread_[0-9a-f]{32}", thread["id"])
    assert {key: thread[key] for key in ("title", "status", "metadata", "message_count", "last_message_preview")} == {
        "title": "Trip",
        "status": "active",
        "metadata": {"channel": "web"},
        "message_count": 0,
        "last_message_preview": None,
    }
    assert thread["created_at"].endswith("Z")
    assert (await api.get(created.headers["location"])).json() == thread

    changed = await api.patch(f"/api/threads/{thread['id']}", json={"title": None, "status": "archived"})
    assert changed.status_code == 200
    assert (changed.json()["title"], changed.json()["status"], changed.json()["metadata"]) == (
        None,
        "archived",
        {"channel": "web"},
    )
    assert changed.json()["updated_at"] >= thread["updated_at"]

    assert (await api.delete(f"/api/threads/{thread['id']}")).status_code == 204
    for response in (
        await api.get(f"/api/threads/{thread['id']}"),
        await api.delete(f"/api/threads/{thread['id']}"),
        await api.get(f"/api/threads/{thread['id']}/messages"),
        await api.post(f"/api/threads/{thread['id']}/messages", json={"content": "hello"}),
        await api.patch(f"/api/threads/{thread['id']}", json={"title": "x"}),
    ):
        assert response.status_code == 404
        assert response.json()["type"] == "thread_not_found"


async def test_a_thread_needs_no_title(api: httpx2.AsyncClient) -> None:
    assert (await api.post("/api/threads", json={})).json()["title"] is None


async def test_threads_are_listed_by_activity_page_by_page(api: httpx2.AsyncClient) -> None:
    ids = [(await api.post("/api/threads", json={"title": str(n)})).json()["id"] for n in range(5)]
    await api.post(f"/api/threads/{ids[1]}/messages", json={"content": "Tell me a joke"})
    await api.patch(f"/api/threads/{ids[0]}", json={"status": "archived"})

    listed, cursor = [], ""
    while cursor is not None:
        page = (await api.get("/api/threads", params={"limit": 2, "cursor": cursor} if cursor else {"limit": 2})).json()
        listed += [thread["id"] for thread in page["threads"]]
        cursor = page["next_cursor"]
    assert listed == [ids[0], ids[1], ids[4], ids[3], ids[2]]

    archived = (await api.get("/api/threads", params={"status": "archived"})).json()
    assert [thread["id"] for thread in archived["threads"]] == [ids[0]]


async def test_a_list_that_grows_while_it_is_read_shows_nothing_twice(api: httpx2.AsyncClient) -> None:
    ids = [(await api.post("/api/threads", json={})).json()["id"] for _ in range(4)]
    first = (await api.get("/api/threads", params={"limit": 2})).json()
    await api.post("/api/threads", json={})
    second = (await api.get("/api/threads", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [thread["id"] for thread in first["threads"] + second["threads"]] == ids[::-1]
    assert second["next_cursor"] is None
