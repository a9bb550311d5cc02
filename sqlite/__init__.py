"""The parts of the store on SQLite; `sqlite_store.py` puts them together."""
