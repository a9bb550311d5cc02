"""The parts of a turn; `turns/service.py` puts them together."""
