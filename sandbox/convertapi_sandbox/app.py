"""The ASGI application of a sandbox: every route, behind the front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Router

from convertapi_sandbox.account_routes import AccountRoutes
from convertapi_sandbox.control import Control
from convertapi_sandbox.convert_routes import ConvertRoutes
from convertapi_sandbox.file_routes import FileRoutes
from convertapi_sandbox.front import Front
from convertapi_sandbox.info_routes import InfoRoutes

if TYPE_CHECKING:
    from convertapi_sandbox.state import State
    from convertapi_sandbox.wire import Connections


def build(state: State, connections: Connections) -> Front:
    """Return the application that serves a state, over connections that it may close."""
    groups = (ConvertRoutes, FileRoutes, AccountRoutes, InfoRoutes, Control)
    routes = [route for group in groups for route in group(state).routes()]
    return Front(Router(routes=routes, redirect_slashes=False), state, connections)
