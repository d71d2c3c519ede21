"""Read sources from, and publish results to, the local disk and all stores that Airflow reaches.

This module may change from release to release.
"""

from __future__ import annotations

from airflow_provider_convertapi.storage.content import digest_of_path
from airflow_provider_convertapi.storage.destination import Destination
from airflow_provider_convertapi.storage.folder import Folder
from airflow_provider_convertapi.storage.listing import (
    Sought,
    canonical,
    directory_of,
    is_file,
    is_glob,
    list_everything,
    list_files,
)
from airflow_provider_convertapi.storage.location import BLOCK, OWN_DIRECTORY, Found, State
from airflow_provider_convertapi.storage.names import (
    fitting_directory,
    published_name,
    safe_name,
)
from airflow_provider_convertapi.storage.publication import (
    Publication,
    SizeMismatch,
    unstamped,
)
from airflow_provider_convertapi.storage.schemes import check_uri, resolve_anew
from airflow_provider_convertapi.storage.source import Source, find_source, listed_source
from airflow_provider_convertapi.storage.uris import (
    check_url,
    is_url,
    shown,
    unsigned,
    without_secrets,
)

__all__ = [
    "BLOCK",
    "OWN_DIRECTORY",
    "Destination",
    "Folder",
    "Found",
    "Publication",
    "SizeMismatch",
    "Sought",
    "Source",
    "State",
    "canonical",
    "check_uri",
    "check_url",
    "digest_of_path",
    "directory_of",
    "find_source",
    "fitting_directory",
    "is_file",
    "is_glob",
    "is_url",
    "list_everything",
    "list_files",
    "listed_source",
    "published_name",
    "resolve_anew",
    "safe_name",
    "shown",
    "unsigned",
    "unstamped",
    "without_secrets",
]
