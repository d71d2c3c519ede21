"""The ASGI application of a sandbox: every route, behind the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Router

from airflow_provider_convertapi.sandbox.account_routes import AccountRoutes
from airflow_provider_convertapi.sandbox.control import Control
from airflow_provider_convertapi.sandbox.convert_routes import ConvertRoutes
from airflow_provider_convertapi.sandbox.file_routes import FileRoutes
from airflow_provider_convertapi.sandbox.front import Front
from airflow_provider_convertapi.sandbox.info_routes import InfoRoutes

if TYPE_CHECKING:
    from airflow_provider_convertapi.sandbox.state import State
    from airflow_provider_convertapi.sandbox.wire import Connections


def build(state: State, connections: Connections) -> Front:
    """Return the application that serves from a state, over connections that it may close."""
    groups = (ConvertRoutes, FileRoutes, AccountRoutes, InfoRoutes, Control)
    routes = [route for group in groups for route in group(state).routes()]
    return Front(Router(routes=routes, redirect_slashes=False), state, connections)
