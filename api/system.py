"""The API about itself: is it up, and what does it offer."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from api.deps import CallerDep, ServicesDep
from api.problems import error_responses, http_error_responses
from api.schemas import Health, Info, PartyUsage, Ready, SignIn, ToolList, UsageReport
from api.secured_route import SecuredRoute
from errors import NotReady

# What infra/hooks/entra.py lets the registration expose.
DEFAULT_SCOPE = "access_as_user"
router = APIRouter(prefix="/api", tags=["system"])
secured_router = APIRouter(prefix="/api", tags=["system"], route_class=SecuredRoute)


@router.get("/health", summary="Is the process up?", responses=error_responses())
async def get_health() -> Health:
    """Say that the process answers; nothing else is looked at."""
    return Health()


@router.get("/ready", summary="Can messages be answered?", responses=error_responses(NotReady))
async def get_ready(services: ServicesDep) -> Ready:
    """Ask the store, the model and the limits' Redis, or tell what they answered a moment ago; 503 names those that fail."""
    if failures := await services.readiness.failures():
        raise NotReady(failures)
    return Ready(parts=services.readiness.parts)


@router.get("/sign-in", summary="How do users sign in?", responses={**error_responses(), **http_error_responses(404)})
async def get_sign_in(services: ServicesDep, response: Response) -> SignIn:
    """Say where a client gets access tokens for its user from; 404 where users of Entra ID have no sign-in of their own."""
    settings = services.settings
    if settings.entra_client_id is None or settings.entra_audience is None:
        raise HTTPException(404)
    response.headers["Cache-Control"] = "max-age=300"
    tenants = settings.entra_tenant_ids
    resource = settings.entra_audience if ":" in settings.entra_audience else f"api://{settings.entra_audience}"
    return SignIn(
        authority=f"{settings.entra_authority.rstrip('/')}/{tenants[0] if len(tenants) == 1 else 'organizations'}",
        client_id=settings.entra_client_id,
        scope=f"{resource}/{settings.entra_required_permission or DEFAULT_SCOPE}",
    )


@secured_router.get("/info", summary="Which version and model answer?", responses=error_responses())
async def get_info(request: Request, services: ServicesDep) -> Info:
    """Say what a client may show its user about the service."""
    settings = services.settings
    return Info(version=request.app.version, model=settings.model_name, model_kind=settings.model_kind)


@secured_router.get("/tools", summary="The agent's tools", responses=error_responses(NotReady))
async def list_tools(services: ServicesDep) -> ToolList:
    """List the tools, and how a client may show their calls: a title, an icon, and where the result says what."""
    try:
        tools = await services.tools()
    except Exception as error:
        raise NotReady from error
    return ToolList(tools=[spec.view for spec in tools.values()])


@secured_router.get("/usage", summary="What has been used, and the limits", responses=error_responses())
async def get_usage(services: ServicesDep, caller: CallerDep) -> UsageReport:
    """Return the caller's use and limits; callers with the scope `admin` see their tenant's too."""
    owner, tenant = [PartyUsage.of(usage) for usage in await services.quotas.usage(caller.owner)]
    return UsageReport(owner=owner, tenant=tenant if "admin" in caller.scopes else None)


@router.get("/openapi.json", include_in_schema=False)
async def get_openapi(request: Request) -> Response:
    """Return the OpenAPI document; it is made once."""
    state = request.app.state
    if not hasattr(state, "openapi_json"):
        state.openapi_json = to_json(request.app.openapi())
    return Response(state.openapi_json, media_type="application/json")
