"""/info: which converters there are, and what they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import Route

    from airflow_provider_convertapi.sandbox.state import State


class InfoRoutes:
    """The endpoints that describe the converters."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes."""
        return []
