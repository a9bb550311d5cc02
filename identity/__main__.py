"""``python -m identity``: make an API key."""

from identity.api_keys import main

main()
