"""The server that is fuzzed: the real program, but sign-ins may fail as often as they like."""

from __future__ import annotations

import sys

from limits import RateLimitItemPerMinute

from quotas import quotas


def main() -> int:
    quotas.FAILED_ATTEMPTS_PER_MINUTE = RateLimitItemPerMinute(10**9)
    import local

    return local.main()


if __name__ == "__main__":
    sys.exit(main())
