"""The entry on Azure: every route of the API is an HTTP-triggered function of the same name.

The functions differ only in what the host shows of them (names, invocations, metrics): all are answered by the whole app.
"""

from __future__ import annotations

import azure.functions as func

# Turns HTTP streaming on in the worker.
import azurefunctions.extensions.http.fastapi  # type: ignore[import-untyped]  # noqa: F401 - it comes without types

from api.app import create_app
from functions_bridge import FunctionsBridge, http_functions
from settings import load_settings

api = create_app(load_settings())
bridge = FunctionsBridge(api)
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for function in http_functions(api):
    app.function_name(function.name)(app.route(route=function.route, methods=function.methods)(bridge.handle))
