"""The state of owners in SQLite: one row each. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
import uuid

from errors import StateChanged
from models import Owner, UserState


def get_user_state(db: sqlite3.Connection, owner: Owner) -> UserState:
    """Do what :meth:`ThreadStore.get_user_state` promises."""
    row = db.execute("SELECT etag, record FROM user_states WHERE owner = ?", (owner.hash,)).fetchone()
    if row is None:
        return UserState()
    return UserState.model_validate_json(row["record"]).model_copy(update={"etag": row["etag"]})


def put_user_state(db: sqlite3.Connection, owner: Owner, state: UserState) -> UserState:
    """Do what :meth:`ThreadStore.put_user_state` promises."""
    if get_user_state(db, owner).etag != state.etag:
        raise StateChanged
    new = state.model_copy(update={"etag": uuid.uuid4().hex})
    db.execute(
        "INSERT INTO user_states VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET etag = excluded.etag, record = excluded.record",
        (owner.hash, new.etag, new.model_dump_json()),
    )
    return new
