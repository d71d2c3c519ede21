"""ConvertAPI without Airflow: requests and answers as values, and a client that carries them.

The client is imported by its own name (`airflow_provider_convertapi.api.client`), so that
importing this package loads no HTTP library.

This module may change from release to release.
"""

from __future__ import annotations

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
