"""What is seen of the app from outside: spans, metrics and log lines. `telemetry.py` sends them."""
