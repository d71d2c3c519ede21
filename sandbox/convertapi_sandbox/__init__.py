"""A ConvertAPI on loopback that speaks its protocol, bills as it does and really converts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convertapi_sandbox.faults import Fault
    from convertapi_sandbox.journal import Entry, Requests
    from convertapi_sandbox.server import Sandbox
    from convertapi_sandbox.settings import Settings

__all__ = ["Entry", "Fault", "Requests", "Sandbox", "Settings"]

_HOMES = {
    "Entry": "journal",
    "Fault": "faults",
    "Requests": "journal",
    "Sandbox": "server",
    "Settings": "settings",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: a worker, or a pytest run without a sandbox, uses none."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module  # noqa: PLC0415 - see above

    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError:
        from convertapi_sandbox import requirements  # noqa: PLC0415 - rare

        requirements.check()  # names everything that is missing
        raise
