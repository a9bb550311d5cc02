"""What is seen of the app from outside: spans, metrics and log lines. `observability/setup.py` sends them."""
