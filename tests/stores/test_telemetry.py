"""What a collector gets of the stores' operations."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from errors import StoreUnavailable, ThreadNotFound
from observability import spans
from observability.turn_usage import count_turn
from stores.contract import ThreadStore
from tests.support.collected import Collected
from tests.support.stores import ANN, Backend, CosmosBackend, cosmos_backend, talk

CHARGE = "azure.cosmosdb.operation.request_charge"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_operations_hang_under_who_asked(collected: Collected, store: ThreadStore, backend: Backend) -> None:
    with spans.span_of("asking", {}) as asking:
        thread = await store.create_thread(ANN, title=None, metadata={})
        await talk(store, thread.id)
    system = "azure.cosmosdb" if isinstance(backend, CosmosBackend) else "sqlite"
    operations = [span for span in collected.spans if span.kind is SpanKind.CLIENT]
    assert len(operations) >= 3
    for span in operations:
        told = attributes(span)
        assert told["db.system.name"] == system
        assert span.name == f"{told['db.operation.name']} {told['db.collection.name']}"
        assert span.parent == asking.get_span_context()
    counted = collected.count("db.client.operation.duration", db__system__name=system)
    assert counted >= len(operations)


async def test_an_operation_by_nobody_has_metrics_only(collected: Collected, store: ThreadStore) -> None:
    await store.list_threads(ANN, status=None, limit=1, cursor=None)
    assert collected.spans == []
    assert collected.count("db.client.operation.duration") >= 1


async def test_what_is_not_there_is_no_failure_of_the_store(collected: Collected, store: ThreadStore) -> None:
    with spans.span_of("asking", {}), pytest.raises(ThreadNotFound):
        await store.get_thread(ANN, f"thread_{'0' * 32}")
    operation = next(span for span in collected.spans if span.kind is SpanKind.CLIENT)
    assert operation.status.status_code is StatusCode.UNSET
    assert not any("error.type" in point.attributes for point in collected.points("db.client.operation.duration"))


async def test_requests_and_their_units_are_counted_as_the_account_has_charged_them(collected: Collected) -> None:
    async with cosmos_backend() as cosmos:
        async with cosmos.new() as store:
            with spans.span_of("asking", {}):
                thread = await store.create_thread(ANN, title=None, metadata={})
                for number in range(3):
                    await talk(store, thread.id, key=f"key-{number}")
                await talk(store, thread.id)
                await store.list_threads(ANN, status=None, limit=10, cursor=None)
                await store.list_messages(ANN, thread.id, limit=10, after=None, before=None, order="asc")
                with pytest.raises(ThreadNotFound):
                    await store.get_thread(ANN, f"thread_{'0' * 32}")
                await store.delete_thread(ANN, thread.id)
        charged = cosmos.fake.requests()
    assert collected.sum("chat.store.requests") == len(charged)
    for status in {entry.status for entry in charged}:
        counted = collected.sum("chat.store.requests", http__response__status_code=status)
        assert counted == len([entry for entry in charged if entry.status == status])
    total = sum(entry.charge for entry in charged)
    assert collected.sum("azure.cosmosdb.client.operation.request_charge") == pytest.approx(total)
    told = [attributes(span) for span in collected.spans if span.kind is SpanKind.CLIENT]
    assert sum(each.get(CHARGE, 0) for each in told) == pytest.approx(total)
    assert sum(each.get("chat.store.requests", 0) for each in told) == len(charged)
    assert {each["db.operation.name"] for each in told} >= {"create_item", "execute_batch", "query_items", "read_item"}


async def test_a_retry_is_counted_by_its_reason(collected: Collected) -> None:
    async with cosmos_backend() as cosmos, cosmos.new() as store:
        cosmos.fake.fail("create", "messages", status=429, headers={"x-ms-retry-after-ms": "1"}, times=2)
        with spans.span_of("asking", {}):
            await store.create_thread(ANN, title=None, metadata={})
    assert collected.sum("chat.store.retries") == 2
    assert collected.sum("chat.store.retries", db__operation__name="create_item", error__type="429") == 2
    assert collected.sum("chat.store.requests", http__response__status_code=429) == 2
    created = collected.span("create_item messages")
    assert attributes(created)["chat.store.requests"] == 3
    assert created.status.status_code is StatusCode.UNSET


async def test_a_store_that_does_not_answer(collected: Collected) -> None:
    async with cosmos_backend() as cosmos, cosmos.new() as store:
        cosmos.fake.fail("create", status=503, times=100)
        with spans.span_of("asking", {}), pytest.raises(StoreUnavailable):
            await store.create_thread(ANN, title=None, metadata={})
    failed = collected.span("create_item messages")
    assert failed.status.status_code is StatusCode.ERROR
    assert attributes(failed)["error.type"] == "store_unavailable"
    assert collected.count("db.client.operation.duration", error__type="store_unavailable") == 1
    assert failed.events == ()


async def test_a_turn_counts_the_requests_of_its_store_and_their_repetitions() -> None:
    async with cosmos_backend() as cosmos, cosmos.new() as store:
        cosmos.fake.fail("create", "messages", status=429, headers={"x-ms-retry-after-ms": "1"}, times=2)
        before, usage = len(cosmos.fake.log), count_turn()
        thread = await store.create_thread(ANN, title=None, metadata={})
        await talk(store, thread.id)
        assert usage.store_requests == len(cosmos.fake.requests(before)) > 4
