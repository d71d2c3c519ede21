"""Distinguish errors of a whole store or its connection from errors of one file.

This module may change from release to release.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api import redaction
from airflow_provider_convertapi.errors import (
    ConnectionConfigError,
    ConvertApiError,
    InputChangedError,
    OutputNotWritableError,
)
from airflow_provider_convertapi.storage.uris import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_OF_THE_PLACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ELOOP})
"""Errors of a destination that every further result would meet, too."""

_UNAUTHORIZED, _FORBIDDEN, _NO_ROOM = 401, 403, 507

_BAD_CREDENTIALS = frozenset(
    {
        # S3, and what signs for it
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
        *("TokenRefreshRequired", "InvalidClientTokenId", "UnrecognizedClientException"),
        *("ExpiredTokenException", "IncompleteSignature", "NotSignedUp", "InvalidSecurity"),
        *("AuthorizationHeaderMalformed", "PermanentRedirect", "RequestTimeTooSkewed"),
        *("IllegalLocationConstraintException",),
        # Azure
        *("AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"),
    }
)
"""Stores' codes for credentials, or other fields of a connection, that they refuse."""

_WRONG_REGION = "Set region_name, among its extras, to the bucket's region."

_ADVICE = {
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "PermanentRedirect": _WRONG_REGION,
    "IllegalLocationConstraintException": _WRONG_REGION,
    "RequestTimeTooSkewed": "Set the worker's clock, which differs from the store's.",
    "ExpiredToken": "Renew its session token, which has expired.",
}
"""The remedies for some of these codes."""

_FULL = frozenset(
    {
        # Ceph, MinIO, and what else has S3's protocol
        *("QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull"),
        *("XMinioAdminBucketQuotaExceeded", "InsufficientStorage"),
    }
)
"""Stores' codes for a lack of room."""

_BAD_CREDENTIALS_ERRORS = frozenset(
    {
        # botocore
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
        *("TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError"),
        # azure.core, azure.identity and azure.storage
        *("ClientAuthenticationError", "CredentialUnavailableError", "AzureSigningError"),
        # google.auth
        *("RefreshError", "DefaultCredentialsError", "MalformedError"),
        # asyncssh
        *("PermissionDenied", "HostKeyNotVerifiable", "KeyImportError", "KeyEncryptionError"),
    }
)
"""Classes of errors, by name, so that the libraries of other stores are not loaded."""


_OF_THE_NETWORK = frozenset(
    {
        *("ConnectionError", "TimeoutError", "gaierror"),
        *("TransportError", "ServiceRequestError", "ServiceResponseError"),  # google.auth, azure
        *("HTTPClientError", "DisconnectError", "ConnectionLost"),  # botocore, asyncssh
    }
)
"""Classes of network errors, by name; their subclasses count, too."""


_FIELDS = {
    "s3": "login and password (the access key's id and secret), and the extra endpoint_url",
    "gs": "extra keyfile_dict or key_path",
    "abfs": "extras account_name and account_key (or connection_string)",
    "sftp": "host, port, login, and password or key",
}
"""The fields of a connection that hold its credentials, by the store's family."""


def refuses_credentials(error: BaseException) -> bool:
    """Tell whether a store, or its library, refuses the credentials."""
    return any(map(_is_of_credentials, _chain(error)))


def forbids(error: BaseException) -> bool:
    """Tell whether a store accepts the credentials but does not permit the request."""
    return any(
        isinstance(one, PermissionError)
        or _status(one) == _FORBIDDEN
        or type(one).__name__ == "SFTPPermissionDenied"
        for one in _chain(error)
    )


def is_full(error: BaseException) -> bool:
    """Tell whether a store is full, or a quota of it is used up."""
    return any(_code(one) in _FULL or _status(one) == _NO_ROOM for one in _chain(error))


def is_of_network(error: BaseException) -> bool:
    """Tell whether a store could not be reached, which may be different in another try."""
    if refuses_credentials(error):
        return False
    return any(
        kind.__name__ in _OF_THE_NETWORK for one in _chain(error) for kind in type(one).__mro__
    )


@contextmanager
def naming_connection(uri: str, family: str, conn_id: str | None) -> Iterator[None]:
    """Raise `ConnectionConfigError` if the store refuses the connection's credentials.

    A request that the store does not permit is a `PermissionError`, whatever its library raises; a
    full store is an `OSError` with `ENOSPC`.

    :param uri: the location in the store, which messages show.
    :param family: the kind of store, as in the table of schemes.
    :param conn_id: None for the store's own default.
    """
    try:
        yield
    except ConvertApiError:
        raise
    except Exception as error:
        if refuses_credentials(error):
            raise refused(uri, family, conn_id, error) from error
        if is_full(error):
            raise OSError(errno.ENOSPC, _reason(error)) from error
        if forbids(error) and not isinstance(error, PermissionError):
            raise PermissionError(errno.EACCES, _reason(error)) from error
        raise


def changed_while_read(uri: str) -> InputChangedError:
    """Return the error for an input that is no longer the file that was found."""
    return InputChangedError(
        f"{shown(uri)} changed while it was being read; nothing was paid. "
        "Another try reads it again."
    )


def refused(
    uri: str, family: str, conn_id: str | None, error: BaseException
) -> ConnectionConfigError:
    """Return the error for a connection that does not open its store."""
    who = f"connection {plain_id(conn_id)!r}" if conn_id else "the worker's own credentials"
    fields = _FIELDS.get(family, "host, login, password and extras")
    advice = f"Check its {fields}." if conn_id else "Name a connection: before an @ in the URI."
    known = filter(None, (_ADVICE.get(_code(one)) for one in _chain(error)))
    return ConnectionConfigError(
        f"{shown(uri)} cannot be reached with {who}: {_reason(error)}. {next(known, advice)}"
    )


@contextmanager
def explaining(uri: str, *, paid: bool | None) -> Iterator[None]:
    """Raise `OutputNotWritableError` if a store is full, read-only, or must not be written to.

    :param uri: an output.
    :param paid: False if nothing was paid for it yet; None if that is not known.
    """
    unpaid = " Nothing was paid for it." if paid is False else ""
    try:
        yield
    except ConnectionConfigError as error:
        if paid is False:
            raise ConnectionConfigError(f"{error}{unpaid}") from error.__cause__
        # `ConnectionConfigError` means that nothing was paid, which is not known here.
        raise OutputNotWritableError(str(error), paid) from error.__cause__
    except OSError as error:
        is_of_the_place = isinstance(error, PermissionError | NotADirectoryError)
        if not is_of_the_place and error.errno not in _OF_THE_PLACE:
            raise
        why = error.strerror or redaction.shown(str(error)) or "not permitted"
        what = f"{shown(uri)} cannot be written: {why}. Make room, or let the task write there."
        raise OutputNotWritableError(f"{what}{unpaid}", paid) from error


def _is_of_credentials(error: BaseException) -> bool:
    if getattr(error, "retryable", False) is True:  # google.auth: its server was busy
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    if _status(error) == _UNAUTHORIZED or names & _BAD_CREDENTIALS_ERRORS:
        return True
    if _code(error) in _BAD_CREDENTIALS:
        return True
    # Azure's emulator gives a wrong key the code of a missing permission.
    return _status(error) == _FORBIDDEN and "failed to authenticate" in str(error)


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status of a store's answer; None if its library does not report it."""
    return next(filter(None, map(_status, _chain(error))), None)


def _status(error: BaseException) -> int | None:
    if isinstance(error, OSError) and str(error).startswith("Forbidden: "):  # gcsfs/retry.py
        return _FORBIDDEN
    metadata = _response(error).get("ResponseMetadata", {})
    for found in (
        metadata.get("HTTPStatusCode"),  # botocore
        getattr(error, "status_code", None),  # azure.core
        getattr(error, "code", None),  # gcsfs
    ):
        if isinstance(found, int | str) and str(found).isdigit():
            return int(found)
    return None


def _code(error: BaseException) -> str:
    """Return the store's code of an error; empty if it has none."""
    return str(_response(error).get("Error", {}).get("Code") or getattr(error, "error_code", ""))


def _response(error: BaseException) -> dict[str, Any]:
    found = getattr(error, "response", None)
    return found if isinstance(found, dict) else {}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _reason(error: BaseException) -> str:
    """Return the first line of an error of a store's library, without ids and tokens."""
    text = str(error).strip() or str(error.__cause__ or "")
    return redaction.shown(text.partition("\n")[0]).rstrip(".") or type(error).__name__


def plain_id(conn_id: str) -> str:
    """Return a connection's id without a password that may follow a colon."""
    return conn_id.partition(":")[0]
