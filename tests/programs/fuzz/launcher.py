"""The server that is fuzzed: the real program, but sign-ins may fail as often as they like, requests are not logged, and
its OpenAPI document is the strict one.
"""

from __future__ import annotations

import logging
import sys

from fastapi import FastAPI

import api.app
import local
from api.app import create_app
from observability.logs import REQUEST_LOGGER
from quotas import quotas
from services.intervals import Intervals
from settings import Settings
from tests.programs.fuzz.document import make_strict


def main() -> int:
    quotas.FAILED_ATTEMPTS_PER_MINUTE = 10**9
    logging.getLogger(REQUEST_LOGGER).disabled = True
    api.app.create_app = _create_app  # type: ignore[assignment]  # the program has no other way in
    return local.serve()


def _create_app(settings: Settings, intervals: Intervals) -> FastAPI:
    app = create_app(settings, intervals)
    make_strict(app)
    return app


if __name__ == "__main__":
    sys.exit(main())
