"""The paths and URIs that users write, and how they may be shown.

This module may change from release to release.
"""

from __future__ import annotations

import re

from airflow_provider_convertapi.errors import ParameterError

_URL = re.compile(r"^https?://", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^/@]*@")


def is_url(uri: str) -> bool:
    """Tell whether `uri` is an http(s) URL, which ConvertAPI fetches itself."""
    return _URL.match(uri) is not None


def shown(uri: str) -> str:
    """Return `uri` without a password or a signature, as an error may show it."""
    return _PASSWORD.sub(r"\1:***@", uri.partition("?")[0] if is_url(uri) else uri)


def wrong(argument: str, complaint: str) -> ParameterError:
    """Return the error that `argument` is wrong."""
    return ParameterError(f"{argument} {complaint}", {argument: [complaint]})
