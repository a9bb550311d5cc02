"""Who calls: API keys, Entra ID tokens, and the owner that they stand for."""
