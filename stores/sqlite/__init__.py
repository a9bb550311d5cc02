"""The parts of the store on SQLite; `stores/sqlite/store.py` puts them together."""
