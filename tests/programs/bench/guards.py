"""What identity and quotas add to a request."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from identity.api_keys import make_key
from tests.fakes.entra import AUDIENCE, TENANT, fake_entra
from tests.fakes.redis import SERVER, RedisServer
from tests.programs.bench import processes
from tests.programs.bench.extent import Extent
from tests.programs.bench.load import Client

LIMITS = {
    f"{party}LIMIT_{what}": "1000000000"
    for party in ("", "TENANT_")
    for what in ("REQUESTS_PER_MINUTE", "TURNS_AT_ONCE", "TOKENS_PER_DAY")
}
ATTEMPTS = 1500


async def bench_guards(model_url: str, data_dir: Path, report: Callable[..., None], extent: Extent) -> None:
    """Compare servers that differ in one thing, a request to each in turn, so that all see the same machine."""
    key, entry = make_key("bench", "contoso", ["chat"], None)
    keys = {"API_KEYS": json.dumps([entry.model_dump(mode="json")])}
    async with AsyncExitStack() as stack:
        entra = await stack.enter_async_context(fake_entra())
        tokens = {"ENTRA_TENANT_IDS": TENANT, "ENTRA_AUDIENCE": AUDIENCE, "ENTRA_AUTHORITY": entra.url}
        kinds: dict[str, tuple[dict[str, str], dict[str, str]]] = {
            "nothing": ({}, {}),
            "API key": (keys, {"X-API-Key": key}),
            "Entra token": (tokens, {"Authorization": f"Bearer {entra.token()}"}),
            "limits in memory": (LIMITS, {}),
        }
        if SERVER:
            redis = await stack.enter_async_context(RedisServer(data_dir))
            kinds["limits on Redis"] = (LIMITS | {"REDIS_URL": redis.url}, {})
        clients: dict[str, tuple[Client, dict[str, str]]] = {}
        for name, (environment, headers) in kinds.items():
            api = processes.api(data_dir / name.replace(" ", "-"), model_url, **environment)
            url, _ = await stack.enter_async_context(api)
            clients[name] = (await stack.enter_async_context(Client(url)), headers)
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(extent.of(ATTEMPTS)):
            for name, (client, headers) in clients.items():
                start = time.perf_counter()
                status, answer = await client.request("GET", "/api/info", headers=headers)
                taken[name].append((time.perf_counter() - start) * 1000)
                if status != 200:
                    raise RuntimeError(f"{name}: {status} {answer.decode()}")
    medians = {name: statistics.median(values) for name, values in taken.items()}
    bare = medians.pop("nothing")
    for name, median in medians.items():
        target = "< 2" if name == "limits on Redis" else "< 0.5"
        report(f"a request, added by: {name}", median - bare, "ms", target, f"without {bare:.2f}")
