"""Read sources from, and publish results to, the local disk and every store Airflow reaches."""

from __future__ import annotations

from airflow_provider_convertapi.storage.destination import Destination
from airflow_provider_convertapi.storage.location import BLOCK
from airflow_provider_convertapi.storage.names import safe_name
from airflow_provider_convertapi.storage.publication import Publication, SizeMismatch
from airflow_provider_convertapi.storage.source import Source, find_source
from airflow_provider_convertapi.storage.uris import is_url

__all__ = [
    "BLOCK",
    "Destination",
    "Publication",
    "SizeMismatch",
    "Source",
    "find_source",
    "is_url",
    "safe_name",
]
