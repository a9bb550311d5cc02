"""The parts of a turn; `turn.py` puts them together."""
