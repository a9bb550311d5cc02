"""The HTTP API, on any ASGI server and behind Azure Functions."""
