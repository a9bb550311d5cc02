"""The server that is fuzzed: the real program, but sign-ins may fail as often as they like, and requests are not logged."""

from __future__ import annotations

import logging
import sys

from limits import RateLimitItemPerMinute

from observability.logs import REQUEST_LOGGER
from quotas import quotas


def main() -> int:
    quotas.FAILED_ATTEMPTS_PER_MINUTE = RateLimitItemPerMinute(10**9)
    logging.getLogger(REQUEST_LOGGER).disabled = True
    import local

    return local.main()


if __name__ == "__main__":
    sys.exit(main())
