"""Settings that work."""

from __future__ import annotations

import json

AZURE = {
    "WEBSITE_SITE_NAME": "chat",
    "COSMOS_ENDPOINT": "https://chat.documents.azure.com:443/",
    "AZURE_OPENAI_ENDPOINT": "https://chat.openai.azure.com",
    "AZURE_OPENAI_MODEL": "gpt-4o",
    "API_KEYS": json.dumps([{"name": "web", "tenant": "contoso", "sha256": "0" * 64}]),
}
