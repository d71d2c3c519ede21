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
    from collections.abc import Callable

    from starlette.types import Scope

    from airflow_provider_convertapi.sandbox.state import State


def build(state: State, abort: Callable[[Scope, bool], None]) -> Front:
    """Return the application.

    Args:
        state: What it serves from.
        abort: Closes the connection of a scope, at once (True) or when all is sent (False).
    """
    groups = (ConvertRoutes, FileRoutes, AccountRoutes, InfoRoutes, Control)
    # The routes alone, without Starlette's own error pages: the door answers for every error.
    routes = [route for group in groups for route in group(state).routes()]
    return Front(Router(routes=routes, redirect_slashes=False), state, abort)
