"""The fake account's charges against those that were seen on a real one, by the SDK's own requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient

from tests.fakes.cosmos import KEY, FakeCosmos

KB = 1024
Charge = Callable[[], float]


@pytest.fixture
async def container(fake: FakeCosmos) -> AsyncIterator[ContainerProxy]:
    """A container that indexes everything, as it does by default."""
    async with CosmosClient(fake.endpoint, KEY) as client:
        database = await client.create_database("db")
        yield await database.create_container("c", PartitionKey("/p"))


@pytest.fixture
async def trimmed(container: ContainerProxy, fake: FakeCosmos) -> AsyncIterator[ContainerProxy]:
    """One that indexes two paths."""
    policy: Any = {"includedPaths": [{"path": "/p/?"}, {"path": "/a/b/?"}], "excludedPaths": [{"path": "/*"}]}
    async with CosmosClient(fake.endpoint, KEY) as client:
        database = client.get_database_client("db")
        yield await database.create_container("t", PartitionKey("/p"), indexing_policy=policy)


@pytest.fixture
def charge(fake: FakeCosmos) -> Charge:
    """What the last request for documents cost."""
    return lambda: fake.requests()[-1].charge


def document(id: str = "d", *, size: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": id, "p": "p", "pad": "x" * size, **fields}


async def test_writes_cost_what_was_seen(container: ContainerProxy, charge: Charge) -> None:
    await container.create_item(document(a=1, b=2))
    assert charge() == pytest.approx(6.67, rel=0.05)
    await container.replace_item("d", document(a=1, b=3))
    assert charge() == pytest.approx(11.05, rel=0.05)
    await container.patch_item("d", "p", [{"op": "set", "path": "/a", "value": 4}])
    assert charge() == pytest.approx(11.05, rel=0.05)
    await container.delete_item("d", "p")
    assert charge() == pytest.approx(6.67, rel=0.05)


async def test_a_batch_costs_its_parts(container: ContainerProxy, fake: FakeCosmos) -> None:
    results = await container.execute_item_batch([("create", (document(id, a=1),)) for id in ("d", "e")], "p")
    assert fake.requests()[-1].charge == pytest.approx(12.57, rel=0.05)
    assert sum(each["requestCharge"] for each in results) == pytest.approx(fake.requests()[-1].charge, abs=0.02)


async def test_reads_cost_what_was_seen(container: ContainerProxy, charge: Charge) -> None:
    await container.create_item(document(size=KB // 2))
    await container.read_item("d", "p")
    assert charge() == 1
    async for _ in container.query_items("SELECT * FROM c WHERE c.id = 'd'", partition_key="p"):
        assert charge() == pytest.approx(2.26, rel=0.05)
    await container.create_item(document("e", size=100 * KB))
    await container.read_item("e", "p")
    assert charge() == pytest.approx(10, rel=0.05)


async def test_a_page_of_a_thousand_rows_costs_what_was_seen(container: ContainerProxy, charge: Charge) -> None:
    for start in range(0, 1000, 100):
        rows = [document(f"id{number:08}", n=number) for number in range(start, start + 100)]
        await container.execute_item_batch([("create", (row,)) for row in rows], "p")
    pages = container.query_items("SELECT c.id, c.n FROM c", partition_key="p", max_item_count=1000).by_page()
    assert len([row async for row in await anext(pages)]) == 1000
    assert charge() == pytest.approx(17.16, rel=0.05)


async def test_size_and_index_cost(container: ContainerProxy, trimmed: ContainerProxy, charge: Charge) -> None:
    costs: list[float] = []
    for each in (container, trimmed):
        for fields in ({}, {"a": {"b": 1, "c": 2}}, {"tags": ["x", "y"]}, {"size": 10 * KB}):
            await each.create_item(document(f"d{len(costs)}", **fields))
            costs.append(charge())
    every, some = costs[:4], costs[4:]
    assert [cost - every[0] for cost in every[1:]] == pytest.approx([0.6, 0.6, 4.5], abs=0.1)
    assert [cost - some[0] for cost in some[1:]] == pytest.approx([0.3, 0, 4.5], abs=0.1)
