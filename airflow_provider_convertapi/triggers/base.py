"""The base class of the triggers: they fire once, and never raise.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from airflow.triggers.base import BaseTrigger, TriggerEvent  # noqa: TID253 - imported in `execute`

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ConvertApiTrigger(BaseTrigger):
    """Tell the worker when to check; the worker itself reads the answers.

    Each trigger is a data class, whose fields are its arguments.
    """

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's own has no types

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments as JSON values."""
        cls = type(self)
        arguments = {item.name: getattr(self, item.name) for item in fields(cast("Any", self))}
        return f"{cls.__module__}.{cls.__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event."""
        try:
            payload = await self._watch()
        except Exception as error:  # noqa: BLE001 - whatever it is; a `CancelledError` passes
            # An error that left here would fail the task without a call of its `execute_complete`
            # (`submit_failure` in `airflow/models/trigger.py`): nothing would collect what is paid.
            self.log.warning(
                "The triggerer cannot watch (%s); the worker looks for itself.",
                type(error).__name__,
            )
            payload = self._unwatched()
        yield TriggerEvent(payload)

    async def _watch(self) -> dict[str, Any]:
        """Wait, and return the event's payload."""
        raise NotImplementedError

    def _unwatched(self) -> dict[str, Any]:
        """Return the payload of an event that says that the triggerer could not watch."""
        raise NotImplementedError
