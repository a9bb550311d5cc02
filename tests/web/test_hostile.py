"""What models, tools and titles say is only ever text: no script runs, and nothing even tries to."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Page, Route, expect

from tests.fakes.model import Call, FakeModel, Reply
from tests.web.conftest import OpenChat

IMAGE = "<img src=x onerror=\"window.hacked='image'\">"
MARKDOWN = f"""
{IMAGE} <script>window.hacked = "script"</script>

<svg onload="window.hacked='svg'"></svg> <iframe srcdoc="<script>parent.hacked=1</script>"></iframe>

[click me](javascript:window.hacked='link') [data](data:text/html,<script>alert(1)</script>)

[relative](/api/docs) <javascript:alert(1)>

[fine](https://example.com/?a=1&b=2) ![picture](https://example.com/x.png)
![bad](javascript:alert(1))

<a href="javascript:alert(1)" onclick="alert(1)" style="position:fixed;inset:0">html link</a>

<form action="https://example.com"><input name="password"><button>Go</button></form> <style>body {{ display: none }}</style>

<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">

| a |
|---|
| {IMAGE} |

```html" onmouseover="alert(1)
{IMAGE}
```

`{IMAGE}` <div id="input" class="toast">clobber</div>
"""


async def assert_harmless(page: Page) -> None:
    """Look for what must not be there, and click on all that is."""
    for link in await page.locator(".prose a[href], .tool a[href]").all():
        assert (await link.get_attribute("href") or "").startswith("https://")
        assert await link.get_attribute("rel") == "noopener noreferrer"
        assert await link.get_attribute("target") == "_blank"
    bad = ".prose :is(script, style, iframe, svg:not(.icon), form, img, [onerror], [onclick], [style], [id])"
    assert await page.locator(bad).count() == 0
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("#input").count() == 1


async def test_markdown_runs_no_script(open_chat: OpenChat) -> None:
    async with FakeModel(Reply(text=MARKDOWN)) as model:
        chat = await open_chat(model)
        requests: list[str] = []
        chat.page.on("request", lambda request: requests.append(request.url))
        await chat.send("Be evil")
        answer = chat.page.locator(".assistant:not(.live) .prose")
        await expect(answer).to_contain_text("clobber")
        await assert_harmless(chat.page)
        hrefs = [await link.get_attribute("href") for link in await answer.locator("a[href]").all()]
        assert hrefs == ["https://example.com/?a=1&b=2", "https://example.com/x.png"]
        assert [url for url in requests if not url.startswith(chat.address)] == []


@pytest.mark.parametrize("path", ["live", "stored"])
async def test_tool_calls_and_titles_run_no_script(open_chat: OpenChat, path: str) -> None:
    arguments = json.dumps({"expression": IMAGE})
    reply = Reply(calls=(Call("calculate", arguments, "call_1"), Call(f"x{IMAGE}"[:60], arguments, "call_2")))
    async with FakeModel(reply, Reply(text="done")) as model:
        chat = await open_chat(model)
        await chat.send(IMAGE)
        await expect(chat.page.locator(".assistant:not(.live) .prose")).to_have_text("done")
        if path == "stored":
            await chat.page.reload()
            await expect(chat.page.locator(".assistant:not(.live) .prose")).to_have_text("done")
        for summary in await chat.page.locator("summary").all():
            await summary.click()
        await expect(chat.page.locator(".bubble")).to_have_text(IMAGE)
        await expect(chat.page.locator("#title")).to_contain_text("<img src=x")
        await expect(chat.page.get_by_role("navigation").get_by_role("link")).to_contain_text("<img src=x")
        await expect(chat.page.locator("details").first).to_contain_text("<img src=x")
        await assert_harmless(chat.page)


async def test_hostile_results_and_problems_are_text(open_chat: OpenChat) -> None:
    chat = await open_chat()
    thread = await chat.api("POST", "threads", {"title": "</title><script>window.hacked = 1</script>"})
    tide = dict.fromkeys(("place", "country", "unit", "state"), IMAGE)
    hit = {"title": IMAGE, "url": "javascript:window.hacked=1", "snippet": IMAGE}
    results = [
        ("get_tide", {**tide, "height": 1}),
        ("get_tide", None),
        ("get_tide", [IMAGE]),
        ("calculate", IMAGE),
        ("calculate", {"a": IMAGE}),
        ("search_knowledge_base", [hit, None, 5, {"url": {"x": 1}}]),
        ("search_knowledge_base", IMAGE),
        (IMAGE, IMAGE),
        ("__proto__", {}),
    ]
    common = {"thread_id": thread["id"], "timestamp": "2026-01-01T10:00:00Z", "turn_id": "turn_1"}
    common |= {"content": IMAGE, "metadata": {"model": IMAGE}}
    calls = [
        {"id": f"call_{number}", "tool": tool, "arguments": {"location": IMAGE}, "result": result, "duration_ms": 1}
        for number, (tool, result) in enumerate(results)
    ]
    problem = {"type": IMAGE, "title": IMAGE, "detail": IMAGE, "status": 500, "retryable": True, "request_id": IMAGE}
    messages = [
        {**common, "id": "m3", "seq": 3, "role": "user", "status": "failed", "tool_calls": [], "problem": problem},
        {**common, "id": "m2", "seq": 2, "role": "assistant", "status": "completed", "tool_calls": calls},
        {**common, "id": "m1", "seq": 1, "role": "user", "status": "completed", "tool_calls": []},
    ]

    async def answer(route: Route) -> None:
        await route.fulfill(json={"messages": messages, "next_cursor": None})

    await chat.page.route("**/messages?*", answer)
    await chat.page.goto(f"{chat.address}/#{thread['id']}")
    await expect(chat.page.locator(".notice")).to_contain_text(IMAGE)
    assert await chat.page.locator("summary").count() == len(results)
    for summary in await chat.page.locator("summary").all():
        await summary.click()
    await expect(chat.page.locator(".bubble").first).to_have_text(IMAGE)
    await assert_harmless(chat.page)
    assert await chat.page.locator("main img:not([alt=''])").count() == 0
