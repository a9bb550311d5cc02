"""The server that is fuzzed: the real program, but sign-ins may fail as often as they like, and requests are not logged.

Its OpenAPI document says of metadata what the real one leaves out, as generators of clients stumble over a schema that refers
to itself: what holds for a value holds for those within it.
"""

from __future__ import annotations

import logging
import sys

from limits import RateLimitItemPerMinute

from api import fields
from observability.logs import REQUEST_LOGGER
from quotas import quotas


def main() -> int:
    quotas.FAILED_ATTEMPTS_PER_MINUTE = RateLimitItemPerMinute(10**9)
    logging.getLogger(REQUEST_LOGGER).disabled = True
    itself = {"$ref": fields.METADATA_VALUE_REF}
    *_, array, mapping = fields.METADATA_VALUE_SCHEMA["anyOf"]
    array["items"] = mapping["additionalProperties"] = itself
    import local

    return local.main()


if __name__ == "__main__":
    sys.exit(main())
