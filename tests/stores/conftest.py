"""What tests of every store begin with."""

from __future__ import annotations

import pytest

from models import Thread
from stores.contract import ThreadStore
from tests.support.stores import ANN


@pytest.fixture
async def thread(store: ThreadStore) -> Thread:
    return await store.create_thread(ANN, title="Sums", metadata={})
