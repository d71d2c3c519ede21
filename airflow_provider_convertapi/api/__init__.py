"""ConvertAPI without Airflow: requests and answers as values, and a client that sends them.

The client is imported by its own name (`airflow_provider_convertapi.api.client`), so that
importing this package loads no HTTP library.  What it exports is loaded when it is asked for,
because a DAG file needs only the catalogue of converters.

This module may change from release to release.
"""

from __future__ import annotations

import importlib
import typing

if typing.TYPE_CHECKING:
    from airflow_provider_convertapi.api.auth import CurrentToken, find_jwt, mint
    from airflow_provider_convertapi.api.endpoints import Conversion, ConvertedFile, JobAnswer
    from airflow_provider_convertapi.api.ids import JobIds
    from airflow_provider_convertapi.api.retry import Backoff, poll_delays
    from airflow_provider_convertapi.api.wire import Credential, Endpoint, Request, Response

__all__ = [
    "Backoff",
    "Conversion",
    "ConvertedFile",
    "Credential",
    "CurrentToken",
    "Endpoint",
    "JobAnswer",
    "JobIds",
    "Request",
    "Response",
    "find_jwt",
    "mint",
    "poll_delays",
]

_HOMES = {
    "auth": ("CurrentToken", "find_jwt", "mint"),
    "endpoints": ("Conversion", "ConvertedFile", "JobAnswer"),
    "ids": ("JobIds",),
    "retry": ("Backoff", "poll_delays"),
    "wire": ("Credential", "Endpoint", "Request", "Response"),
}


def __getattr__(name: str) -> typing.Any:
    """Load an export when it is first asked for."""
    for home, names in _HOMES.items():
        if name in names:
            found = getattr(importlib.import_module(f"{__name__}.{home}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
