"""One SQLite file: its schema, and transactions on it that never block the event loop."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

from errors import StoreMisconfigured, StoreUnavailable
from stores.telemetry import store_operation

R = TypeVar("R")
Work = Callable[[sqlite3.Connection], R]
logger = logging.getLogger(__name__)

# One script per schema version, never changed once released: a database is brought up to date by those it has not seen.
MIGRATIONS = (
    """
    CREATE TABLE threads (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        tenant TEXT NOT NULL,
        user TEXT NOT NULL,
        title TEXT,
        status TEXT NOT NULL,
        metadata TEXT NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        sort TEXT NOT NULL,
        last_seq INTEGER NOT NULL,
        last_message_preview TEXT,
        lease_turn_id TEXT,
        lease_until REAL,
        lease_seq INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX threads_by_activity ON threads (owner, sort);
    CREATE TABLE messages (
        thread_id TEXT NOT NULL REFERENCES threads ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (thread_id, seq)
    ) WITHOUT ROWID;
    CREATE TABLE idempotency_keys (
        thread_id TEXT NOT NULL REFERENCES threads ON DELETE CASCADE,
        key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        seq INTEGER NOT NULL,
        reply_seq INTEGER,
        PRIMARY KEY (thread_id, key)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE threads ADD COLUMN lease_started_at REAL;
    ALTER TABLE threads ADD COLUMN lease_cancel_requested INTEGER NOT NULL DEFAULT 0;
    UPDATE threads SET lease_started_at = lease_until;
    CREATE TABLE turns (
        thread_id TEXT NOT NULL REFERENCES threads ON DELETE CASCADE,
        id TEXT NOT NULL,
        status TEXT NOT NULL,
        reply_seq INTEGER,
        problem TEXT,
        started_at REAL NOT NULL,
        ended_at REAL NOT NULL,
        final_event_id INTEGER,
        PRIMARY KEY (thread_id, id)
    ) WITHOUT ROWID;
    CREATE TABLE events (
        thread_id TEXT NOT NULL REFERENCES threads ON DELETE CASCADE,
        turn_id TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        expires_at REAL NOT NULL,
        events TEXT NOT NULL,
        PRIMARY KEY (thread_id, turn_id, first)
    ) WITHOUT ROWID;
    CREATE INDEX events_by_expiry ON events (expires_at);
    """,
    """
    CREATE INDEX threads_by_owner ON threads (owner, id);
    CREATE TABLE erasures (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        tenant TEXT,
        user TEXT,
        status TEXT NOT NULL,
        threads INTEGER NOT NULL,
        started_at REAL NOT NULL,
        heartbeat REAL NOT NULL,
        ended_at REAL
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX erasures_running ON erasures (owner) WHERE status = 'running';
    """,
    """
    CREATE TABLE user_states (
        owner TEXT PRIMARY KEY,
        etag TEXT NOT NULL,
        record TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE threads ADD COLUMN external_id TEXT;
    """,
    """
    ALTER TABLE turns ADD COLUMN events_kept INTEGER NOT NULL DEFAULT 1;
    """,
    """
    ALTER TABLE threads ADD COLUMN open_turn_id TEXT;
    ALTER TABLE threads ADD COLUMN open_seq INTEGER;
    ALTER TABLE threads ADD COLUMN open_question_seq INTEGER;
    ALTER TABLE threads ADD COLUMN approvals TEXT;
    ALTER TABLE threads ADD COLUMN lease_calls TEXT;
    ALTER TABLE threads ADD COLUMN lease_cancelled_turn_id TEXT;
    ALTER TABLE threads ADD COLUMN lease_continues TEXT;
    CREATE INDEX threads_open ON threads (owner, sort) WHERE open_turn_id IS NOT NULL;
    ALTER TABLE turns ADD COLUMN pause TEXT;
    ALTER TABLE turns ADD COLUMN continues TEXT;
    ALTER TABLE turns ADD COLUMN continued_by TEXT;
    ALTER TABLE turns ADD COLUMN cancelled_turn_id TEXT;
    """,
    """
    CREATE TABLE author_feedback (
        thread_id TEXT NOT NULL REFERENCES threads ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        author_id TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (thread_id, seq, author_id)
    ) WITHOUT ROWID;
    CREATE INDEX author_feedback_by_author ON author_feedback (author_id);
    """,
)
LOCK_TIMEOUT_SECONDS = 5.0
LOG_TIMEOUT_SECONDS = 0.2
TRANSIENT_ERRORS = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_INTERRUPT")


class NewerSchema(sqlite3.NotSupportedError):
    """The file was brought up to date by a newer release of this program."""


class SqliteDatabase:
    """A SQLite file with one connection, used by one thread of its own.

    Its methods raise :class:`~errors.StoreUnavailable` when the file is locked or full and
    :class:`~errors.StoreMisconfigured` when it cannot be used at all.
    """

    def __init__(self, path: Path, *, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
        self._path = path
        self._lock_timeout = lock_timeout_seconds
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection

    async def open(self) -> None:
        """Connect, make the folder and the file, for this user only, if they are missing, and bring the schema up to date."""
        try:
            await self._call("open", self._open)
        except BaseException:
            # Whoever opens may be cancelled while the thread goes on and connects.
            self._executor.submit(self._disconnect)
            self._executor.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Wait for the transactions that have been started, then disconnect."""
        await self._call("close", self._disconnect)
        self._executor.shutdown(wait=False)

    async def read(self, work: Work[R]) -> R:
        """Run ``work`` in a transaction that sees one moment of the database."""
        return await self._call("read", lambda: _transaction(self._connection, "BEGIN", work))

    async def write(self, work: Work[R]) -> R:
        """Run ``work`` in a transaction that holds the write lock; an exception undoes all of it."""
        return await self._call("write", lambda: _transaction(self._connection, "BEGIN IMMEDIATE", work))

    async def empty_log(self) -> bool:
        """Move the write-ahead log into the file and empty it; return whether nobody was in the way.

        A transaction in another process is in the way, and hardly waited for: everybody here would have to wait too.
        """
        return await self._call("empty_log", lambda: _empty_log(self._connection, self._lock_timeout))

    def _open(self) -> None:
        # A folder that is there already may hold more than the file, and keeps its mode.
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = db = sqlite3.connect(self._path, isolation_level=None, timeout=self._lock_timeout)
        try:
            _make_private(self._path)
            db.row_factory = sqlite3.Row
            _use_write_ahead_log(db, self._lock_timeout)
            # FULL: a commit survives a power cut, not only a crash of this process.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            # What is deleted is overwritten: it must not stay readable in the file.
            db.execute("PRAGMA secure_delete = ON")
            _transaction(db, "BEGIN IMMEDIATE", _migrate)
        except BaseException:
            db.close()
            raise

    def _disconnect(self) -> None:
        with suppress(AttributeError):  # never connected
            self._connection.close()

    async def _call(self, name: str, work: Callable[[], R]) -> R:
        with store_operation("sqlite", name, self._path.name):
            return await self._run(work)

    async def _run(self, work: Callable[[], R]) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except (sqlite3.Error, OSError) as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            if name.startswith(TRANSIENT_ERRORS):
                raise StoreUnavailable from error
            # Of a file's own refusals only SQLite's names are logged; this one is ours.
            reason = str(error) if isinstance(error, NewerSchema) else name
            logger.exception("SQLite file %s cannot be used: %s", self._path, reason)
            raise StoreMisconfigured from error


def _make_private(path: Path) -> None:
    """Let nobody else read the file or its logs; logs that SQLite makes from now on get the file's mode.

    Not by opening the file, as closing it again would end the locks that other connections of this process hold.
    """
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        # Logs come and go, and the mode of another user's file is theirs to choose.
        with suppress(FileNotFoundError, PermissionError):
            path.with_name(name).chmod(0o600)


def _use_write_ahead_log(db: sqlite3.Connection, seconds: float) -> None:
    """Switch the file to a write-ahead log, waiting for other processes that do the same: SQLite's own wait leaves this out."""
    give_up_at = monotonic() + seconds
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or monotonic() > give_up_at:
                raise
            sleep(0.01)
        else:
            return


def _empty_log(db: sqlite3.Connection, lock_timeout: float) -> bool:
    db.execute(f"PRAGMA busy_timeout = {LOG_TIMEOUT_SECONDS * 1000:.0f}")
    try:
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {lock_timeout * 1000:.0f}")
    return not busy


def _transaction(db: sqlite3.Connection, begin: str, work: Work[R]) -> R:
    db.execute(begin)
    try:
        result = work(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return result


def _migrate(db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise NewerSchema(f"its schema is version {version}, newer than this program's {len(MIGRATIONS)}")
    for script in MIGRATIONS[version:]:
        for statement in script.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
