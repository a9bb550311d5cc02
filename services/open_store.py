"""Opens the store that the settings ask for. The others are not imported."""

from __future__ import annotations

from identity.azure_credential import AzureCredential
from settings import Settings
from stores.contract import ThreadStore
from stores.limits import StoreLimits

MEGABYTE = 1024 * 1024


def open_store(settings: Settings, credential: AzureCredential) -> ThreadStore:
    """Make the store that the settings ask for: Cosmos DB if ``COSMOS_ENDPOINT`` is set, else SQLite in ``DATA_DIR``."""
    limits = StoreLimits(threads=settings.limit_threads, messages=settings.limit_messages_per_thread)
    if settings.cosmos_endpoint:
        from cosmos_store import CosmosStore

        return CosmosStore(
            settings.cosmos_endpoint,
            database=settings.cosmos_database,
            credential=settings.cosmos_key.get_secret_value() if settings.cosmos_key else credential,
            limits=limits,
            cache_bytes=settings.history_cache_mb * MEGABYTE,
        )
    from stores.sqlite.store import SqliteStore

    return SqliteStore(settings.data_dir / "chat.db", limits=limits)
