"""Find the file system behind an Airflow connection.

This module may change from release to release.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.storage.trouble import is_of_network, plain_id, refused
from airflow_provider_convertapi.storage.uris import shown, wrong

if TYPE_CHECKING:
    from airflow_provider_convertapi.storage.location import Address

_resolving = threading.Lock()


def file_system(address: Address, argument: str) -> tuple[str, Any]:
    """Return the path of the store's root, and its file system, which all threads share.

    `ParameterError` if the connection does not exist, the scheme is unknown, or its package is not
    installed; `ConnectionConfigError` if the connection does not open the store.
    """
    from airflow_provider_convertapi.airflow_names import ObjectStoragePath  # noqa: PLC0415 - 2 s, at run time only

    if address.conn_id is not None:
        _check_connection(address.conn_id, address, argument)
    authority = f"{address.conn_id}@{address.host}" if address.conn_id else address.host
    uri = shown(address.uri)
    try:
        with _resolving:  # otherwise every thread would build and connect its own file system
            root = ObjectStoragePath(f"{address.scheme}://{authority}/")
            return root.path, root.fs
    except ImportError as error:
        complaint = f"{uri} cannot be reached: {error}. {address.remedy}"
        raise wrong(argument, complaint) from error
    except Exception as error:
        # Airflow's `get_fs` raises a `ValueError` for an unknown scheme (airflow/sdk/io/fs.py), and
        # libraries raise one for a wrong setting of the connection.
        if isinstance(error, ValueError):
            check_scheme(address, argument)
        if is_of_network(error):
            raise
        raise refused(address.uri, address.family, address.conn_id, error) from error


def check_scheme(address: Address, argument: str) -> None:
    """Raise `ParameterError` if Airflow has no file system for the address's scheme."""
    from airflow_provider_convertapi.airflow_names import has_fs  # noqa: PLC0415 - as above

    if not has_fs(address.scheme):
        complaint = f"has a scheme that this Airflow does not know. {address.remedy}"
        raise wrong(argument, f"{shown(address.uri)} {complaint}")


def forget(address: Address) -> None:
    """Forget the store's file system, which Airflow otherwise keeps while the process runs."""
    from airflow_provider_convertapi.airflow_names import attach, has_fs  # noqa: PLC0415 - as above

    if has_fs(address.scheme):  # a file system that a user attached could not be made again
        # `ObjectStore.fs` is a cached property of a store that `attach` keeps for the whole process
        # (airflow/sdk/io/store.py), so a rotated credential would not be noticed.
        with _resolving:
            vars(attach(address.scheme, address.conn_id)).pop("fs", None)


def _check_connection(conn_id: str, address: Address, argument: str) -> None:
    """Make sure that the connection exists: without it, Airflow would use S3 anonymously."""
    from airflow_provider_convertapi.airflow_names import AirflowNotFoundException  # noqa: PLC0415 - as above

    try:
        _find_connection(conn_id)
    except AirflowNotFoundException:
        complaint = f"there is no connection {plain_id(conn_id)!r}; create it, or fix the URI."
        raise wrong(argument, f"{shown(address.uri)}: {complaint}") from None


@cache
def _find_connection(conn_id: str) -> None:
    # Cached, since every call asks the secrets backend.  A failure is not cached.
    from airflow_provider_convertapi.airflow_names import BaseHook  # noqa: PLC0415 - as above

    BaseHook.get_connection(conn_id)
