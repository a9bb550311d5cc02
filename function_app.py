"""The entry on Azure: every route of the API is an HTTP-triggered function of the same name, and a timer keeps house.

With a bot, a queue-triggered function answers the activities that the route for them has accepted.

The HTTP-triggered functions differ only in what the host shows of them (names, invocations, metrics): all are answered by the
whole app.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import azure.functions as func

# Turns HTTP streaming on in the worker.
from azurefunctions.extensions.http.fastapi import web  # type: ignore[import-untyped]  # it comes without types

from api import functions_worker
from api.app import create_app
from api.deps import services_of
from api.functions_bridge import FunctionsBridge, http_functions
from observability import logs
from services.collector import freeze_what_stays
from services.services import Services
from settings import SettingsError, load_settings

if TYPE_CHECKING:
    from teams.bot import Bot

logger = logging.getLogger(__name__)
# Together with a sweep's own limit, less than the host's functionTimeout.
ERASING_SECONDS = 240.0

settings = load_settings()
if not (settings.auth_configured or settings.allow_anonymous_local):
    raise SettingsError("API_KEYS: nobody could sign in; or set ALLOW_ANONYMOUS_LOCAL=true to serve this machine only")
logs.install(settings)
api = create_app(settings)
bridge = FunctionsBridge(api)


async def complete_start(state: Mapping[str, Any]) -> None:
    """Wait for the agent, which is opened in the background."""
    await services_of(state).tools()
    freeze_what_stays()


async def end_turns(state: Mapping[str, Any]) -> None:
    """Let the turns that run finish, and end the others as interrupted."""
    services = services_of(state)
    await services.turns.close(grace_seconds=services.intervals.grace)


# Before the worker makes its web app, which it does once it has indexed this module.
functions_worker.install(
    web, start=partial(bridge.start, complete_start), drain=partial(bridge.drain, end_turns), close=bridge.aclose
)
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for function in http_functions(api):
    app.function_name(function.name)(app.route(route=function.route, methods=function.methods)(bridge.handle))


async def run_with_services(work: Callable[[Services], Awaitable[None]]) -> None:
    """Call ``work`` with the services of the app, which is started if it is not yet."""
    await bridge.run(lambda state: work(services_of(state)))


async def run_maintenance(services: Services) -> None:
    """Delete idle threads, and resume erasures that were stopped: no other process may be there to do it.

    :raises ExceptionGroup: if either failed, which does not keep the other from its work.
    """
    failures = []
    for failure, work in (
        ("the sweep for idle threads failed, will try again", services.retention.sweep),
        ("listing abandoned erasures failed, will try again", partial(services.eraser.resume, wait_seconds=ERASING_SECONDS)),
    ):
        try:
            await work()
        except Exception as error:
            logger.warning(failure, exc_info=True)
            failures.append(error)
    if failures:
        raise ExceptionGroup("maintenance failed", failures)


# Hourly, at a minute that differs between apps. Not monitored: a sweep that was missed is made up for by the next one, and
# without it the host needs no storage to start the timer.
@app.function_name("retention")
@app.timer_trigger(
    arg_name="timer", schedule=f"0 {zlib.crc32((settings.website_site_name or '').encode()) % 60} * * * *", use_monitor=False
)
async def retention(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the host passes it by name
    """Run the maintenance, once an hour, on one instance."""
    await run_with_services(run_maintenance)


async def open_bot(services: Services) -> Bot:
    """Return the bot. A message of the queue must not be taken without one: then this raises, and the host keeps it."""
    if services.bot is None:
        raise RuntimeError("a queue for activities, but no bot")
    return await services.bot.get()


async def answer_activity(payload: str, attempt: int, services: Services) -> None:
    """Answer an activity that was accepted."""
    await (await open_bot(services)).work(payload, attempt)


async def handle_dead_activity(payload: str, services: Services) -> None:
    """Tell the user about an activity that could not be answered."""
    await (await open_bot(services)).handle_dead_letter(payload)


if settings.bot_app_id and settings.bot_queue_name:
    # An attempt that fails is repeated by the host; after five the message is in the poison queue.
    @app.function_name("teams_activity")
    @app.queue_trigger(arg_name="message", queue_name=settings.bot_queue_name, connection="AzureWebJobsStorage")
    async def teams_activity(message: func.QueueMessage) -> None:
        """Work on an activity from the queue."""
        await run_with_services(
            partial(answer_activity, message.get_body().decode(errors="replace"), message.dequeue_count or 1)
        )

    @app.function_name("teams_activity_lost")
    @app.queue_trigger(arg_name="message", queue_name=f"{settings.bot_queue_name}-poison", connection="AzureWebJobsStorage")
    async def teams_activity_lost(message: func.QueueMessage) -> None:
        """Work on an activity from the poison queue."""
        await run_with_services(partial(handle_dead_activity, message.get_body().decode(errors="replace")))
