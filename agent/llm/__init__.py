"""The chat models: OpenAI's protocol, and one that needs none."""
