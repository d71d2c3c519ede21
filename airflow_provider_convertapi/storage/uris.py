"""Read what users write, and resolve the connection that it names."""

from __future__ import annotations

import os
import re
import threading
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage.location import (
    OBJECT_STORES,
    LocalLocation,
    StoreLocation,
    family,
)

if TYPE_CHECKING:
    from airflow_provider_convertapi.storage.location import Location

_URL = re.compile(r"^https?://", re.IGNORECASE)
_URI = re.compile(r"^([a-z][a-z0-9+.-]*)://(.*)$", re.IGNORECASE | re.DOTALL)
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^/@]*@")
_LOCAL = frozenset({"file", "local"})

_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
    "sftp": "apache-airflow-providers-sftp[sshfs]",
}

_resolving = threading.Lock()


def is_url(uri: str) -> bool:
    """Tell whether `uri` is an http(s) URL, which ConvertAPI fetches itself."""
    return _URL.match(uri) is not None


def shown(uri: str) -> str:
    """Return `uri` without a password or a signature, as an error may show it."""
    return _PASSWORD.sub(r"\1:***@", uri.partition("?")[0] if is_url(uri) else uri)


def wrong(argument: str, complaint: str) -> ParameterError:
    """Return the error that `argument` is wrong."""
    return ParameterError(f"{argument} {complaint}", {argument: [complaint]})


def locate(uri: str, argument: str) -> Location:
    """Resolve `uri`, and its connection, without looking at what lies there.

    :param argument: what the user calls it; an error names it.

    `ParameterError` for what no store can hold: empty, an unknown scheme, a scheme whose provider
    is not installed, a connection that does not exist.
    """
    if not uri.strip():
        raise wrong(argument, "is empty; if it is templated, see what the template rendered to.")
    if "\0" in uri:
        raise wrong(argument, "holds a NUL character.")
    matched = _URI.match(uri)
    if matched is None:
        return _local(re.sub("^file:(?=/)", "", uri))
    scheme, rest = matched[1].lower(), matched[2]
    if is_url(uri):
        raise wrong(argument, f"is a URL, {shown(uri)}; give a path or the URI of a store.")
    authority, _, key = rest.partition("/")
    conn_id, _, host = authority.rpartition("@")
    if scheme not in _LOCAL:
        return _in_store(uri, argument, scheme, conn_id or None, host, key)
    if host not in {"", "localhost"}:
        raise wrong(
            argument,
            f"{shown(uri)} names a host; an absolute path has three slashes: file:///{host}/{key}",
        )
    return _local(f"/{key}")


def _local(path: str) -> LocalLocation:
    # Before it is remembered: a relative path means another one once the directory changes.
    return _absolute(os.path.join(os.getcwd(), path))  # noqa: PTH109, PTH118 - text is what is remembered


@lru_cache(maxsize=1024)
def _absolute(path: str) -> LocalLocation:
    """Return a place; each file of a batch is asked for eight times."""
    # Not normalised: behind a symbolic link `..` leads elsewhere than the text says.
    absolute = Path(path)
    uri = f"{str(absolute).rstrip('/')}/" if path.endswith("/") else str(absolute)
    return LocalLocation(uri, absolute)


def _in_store(
    uri: str, argument: str, scheme: str, conn_id: str | None, host: str, key: str
) -> StoreLocation:
    kind = family(scheme)
    if kind in OBJECT_STORES and not host:
        raise wrong(
            argument, f"{shown(uri)} names no bucket or container: {scheme}://CONNECTION@BUCKET/KEY"
        )
    if kind == "sftp" and conn_id is None:
        raise wrong(argument, f"{shown(uri)} names no connection: {scheme}://CONNECTION@/PATH")
    if conn_id is not None:
        _check_connection(conn_id, uri, argument)
    root, fs = _resolve(uri, argument, scheme, f"{conn_id}@{host}" if conn_id else host)
    # The key never passes through a URL parser: `#`, `?` and `::` are letters in a key.
    return StoreLocation(uri, scheme, conn_id, f"{root.rstrip('/')}/{key}", fs)


def _resolve(uri: str, argument: str, scheme: str, authority: str) -> tuple[str, Any]:
    """Return the path of the store's root, and its file system."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: PLC0415 - 2 s, at run time only

    try:
        with _resolving:  # or every thread would build, and connect, one of its own
            root = ObjectStoragePath(f"{scheme}://{authority}/")
            return root.path, root.fs
    except (ImportError, ValueError) as error:
        package = _PACKAGES.get(family(scheme))
        remedy = f"pip install '{package}'" if package else f"is {scheme!r} spelled right?"
        raise wrong(
            argument, f"{shown(uri)} cannot be reached: {error}. Remedy: {remedy}"
        ) from error


def _check_connection(conn_id: str, uri: str, argument: str) -> None:
    """Make sure that the connection exists: Airflow's S3 would go on without, as nobody."""
    from airflow.providers.common.compat.sdk import AirflowNotFoundException  # noqa: PLC0415 - as above

    try:
        _find_connection(conn_id)
    except AirflowNotFoundException:
        name = conn_id.partition(":")[0]  # behind a colon stood a password
        complaint = f"{shown(uri)}: there is no connection {name!r}; create it, or mend the URI."
        raise wrong(argument, complaint) from None


@cache
def _find_connection(conn_id: str) -> None:
    # Once in a process: every call asks the secrets backend.  A failure is not remembered.
    from airflow.providers.common.compat.sdk import BaseHook  # noqa: PLC0415 - as above

    BaseHook.get_connection(conn_id)
