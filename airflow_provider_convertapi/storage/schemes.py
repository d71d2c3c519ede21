"""The table of schemes: the kind of store of each; a new scheme is a new row here.

This module may change from release to release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_convertapi.storage.azure import AzureLocation
from airflow_provider_convertapi.storage.filesystem import check_scheme, forget
from airflow_provider_convertapi.storage.google import GoogleLocation
from airflow_provider_convertapi.storage.local import LocalLocation
from airflow_provider_convertapi.storage.location import Address
from airflow_provider_convertapi.storage.s3 import S3Location
from airflow_provider_convertapi.storage.sftp import SftpLocation
from airflow_provider_convertapi.storage.store import StoreLocation
from airflow_provider_convertapi.storage.uris import is_url, shown, wrong

if TYPE_CHECKING:
    from airflow_provider_convertapi.storage.location import Location

_URI = re.compile(r"^([a-z][a-z0-9+.-]*)://(.*)$", re.IGNORECASE | re.DOTALL)


class Scheme(NamedTuple):
    """The store of a scheme.

    :param location: the class of its locations.
    :param family: one name for all schemes that reach the same files.
    :param package: the package that installs its file system; empty if that is part of Airflow, or
        not known.
    """

    location: type[Location]
    family: str
    package: str = ""


_LOCAL = Scheme(LocalLocation, "file")
_S3 = Scheme(S3Location, "s3", "apache-airflow-providers-amazon[s3fs]")
_GOOGLE = Scheme(GoogleLocation, "gs", "apache-airflow-providers-google")
_AZURE = Scheme(AzureLocation, "abfs", "apache-airflow-providers-microsoft-azure")
_SFTP = Scheme(SftpLocation, "sftp", "apache-airflow-providers-sftp[sshfs]")

SCHEMES = {
    "file": _LOCAL,
    "local": _LOCAL,
    "s3": _S3,
    "s3a": _S3,
    "s3n": _S3,
    "gs": _GOOGLE,
    "gcs": _GOOGLE,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "adl": _AZURE,  # listed so that the error can name the scheme to use instead
    "sftp": _SFTP,
    "ssh": _SFTP,
}
"""Any other scheme that Airflow knows counts as a store with directories."""

_INSTEAD = {
    **dict.fromkeys(("wasb", "wasbs", "az", "azure"), "Azure's scheme is abfs://. "),
    **dict.fromkeys(("ftp", "ftps", "scp"), "Of file servers, Airflow reaches SFTP. "),
}
"""Other programs' schemes for stores that Airflow reaches under another scheme."""


def _remedy(name: str) -> str:
    """Return how to get a file system for a scheme, or which schemes there are."""
    if name in SCHEMES:
        return f"Remedy: pip install '{SCHEMES[name].package}'."
    brought: dict[str, list[str]] = {}
    for known, scheme in SCHEMES.items():
        brought.setdefault(scheme.package or "part of Airflow", []).append(f"{known}://")
    there_are = "; ".join(f"{', '.join(names)} ({by})" for by, names in brought.items())
    return (
        f"{_INSTEAD.get(name, '')}Schemes, and the package that brings each: {there_are}. "
        f"None that we know brings this one: is {name!r} spelled right?"
    )


def locate(uri: str, argument: str) -> Location:
    """Resolve `uri`, and its connection, without a request to the store.

    `ParameterError` if it cannot be resolved: it is empty, its scheme is unknown or its provider is
    not installed, or its connection does not exist.

    :param argument: the user's name of it, for the error.
    """
    found = _read(uri, argument)
    if found is None:
        # `file:/path`, as RFC 8089 permits, is not a path below a directory called `file:`.
        return LocalLocation.at_path(re.sub("^file:(?=/)", "", uri))
    scheme, address = found
    return scheme.location.at(address, argument)


def check_uri(uri: str, argument: str, *, has_airflow: bool = True) -> None:
    """Raise the errors of `locate` that the text alone shows; no connection is resolved.

    :param has_airflow: False if Airflow cannot be asked for schemes that only it knows.
    """
    found = _read(uri, argument)
    if found is None:
        return
    scheme, address = found
    if not issubclass(scheme.location, StoreLocation):  # the local disk has no connection
        scheme.location.at(address, argument)
        return
    scheme.location.check_address(address, argument)
    if has_airflow and address.scheme not in SCHEMES:
        check_scheme(address, argument)


def resolve_anew(uri: str, argument: str) -> None:
    """Make the next call resolve the connection of `uri` again, for processes that run for long."""
    found = _read(uri, argument)
    if found is not None and found[0].location is not LocalLocation:
        forget(found[1])


_HALF_URL = re.compile(r"\s*https?:", re.IGNORECASE)


def _check_encoding(uri: str, argument: str, *, of_disk: bool) -> None:
    """Raise `ParameterError` for invalid Unicode; a local path may have bytes that are not text."""
    try:
        uri.encode(errors="surrogateescape" if of_disk else "strict")
    except UnicodeEncodeError as error:
        lone = ascii(uri[error.start])
        raise wrong(argument, f"holds {lone}, half a character, which no name has.") from None


def _read(uri: str, argument: str) -> tuple[Scheme, Address] | None:
    """Return a URI's scheme and parts; None for a local path."""
    if not uri.strip():
        raise wrong(argument, "is empty; if it is templated, see what the template rendered to.")
    if "\0" in uri:
        raise wrong(argument, "holds a NUL character.")
    matched = _URI.match(uri)
    if not uri.isascii():
        _check_encoding(uri, argument, of_disk=matched is None)
    if matched is None:
        if _HALF_URL.match(uri):  # the message does not show it, since its query may be secret
            raise wrong(argument, "is a URL without its two slashes; write https://host/path.")
        return None
    if is_url(uri):
        raise wrong(argument, f"is a URL, {shown(uri)}; give a path or the URI of a store.")
    name = matched[1].lower()
    scheme = SCHEMES.get(name) or Scheme(StoreLocation, name)
    authority, _, key = matched[2].partition("/")
    conn_id, _, host = authority.rpartition("@")
    address = Address(uri, name, conn_id or None, host, key, scheme.family, _remedy(name))
    return scheme, address
