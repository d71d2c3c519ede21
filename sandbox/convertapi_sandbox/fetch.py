"""Requests that the sandbox makes itself: remote inputs and web hooks, to allowed hosts only."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from convertapi_sandbox import names
from convertapi_sandbox.errors import FILE_UNREACHABLE, SERVER_ERROR, ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from convertapi_sandbox.settings import Settings

TIMEOUT = 30.0
_CHUNK = 1 << 20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as a failure, because its target was not allowed."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


# No proxy, because it would be another host that was not allowed.
_OPENER = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def is_url(text: str) -> bool:
    """Tell whether a value is meant as a URL."""
    return text[:8].lower().startswith(("http://", "https://"))


def allowed(url: str, settings: Settings) -> bool:
    """Tell whether a URL's host is on the list of allowed ones."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    hosts = {item.strip().lower() for item in settings.allow_hosts.split(",") if item.strip()}
    return is_url(url) and bool(host) and (host in hosts or f"{host}:{port}" in hosts)


def unreachable(url: str) -> ServiceError:
    """Return the 500/5008 of a remote file that cannot be read."""
    return ServiceError(
        SERVER_ERROR,
        FILE_UNREACHABLE,
        f"Unable to access the file. Remote file {url[:200]}. "
        "The sandbox reads its own URLs, and those of hosts in its setting allow_hosts.",
    )


def own_file_id(url: str, origins: tuple[str, ...]) -> str | None:
    """Return the file id in a URL of the sandbox itself; None for any other URL."""
    for origin in origins:
        match = re.match(re.escape(origin.rstrip("/")) + r"/d/([a-z0-9]{32})(?:[/?].*)?$", url)
        if match:
            return match[1]
    return None


async def download(
    url: str, path: Path, settings: Settings, headers: Mapping[str, str] | None = None
) -> str:
    """Fetch a document into a file and return its name.

    Raises:
        ServiceError: 500/5008 if the host is not allowed, or the document cannot be fetched.
    """
    if not allowed(url, settings):
        raise unreachable(url)
    try:
        return await asyncio.to_thread(_download, url, path, settings.max_file_size, headers or {})
    except (OSError, HTTPException, ValueError) as error:
        raise unreachable(url) from error


def _download(url: str, path: Path, limit: int | None, headers: Mapping[str, str]) -> str:
    request = urllib.request.Request(_quoted(url), headers=dict(headers))  # noqa: S310 - http, see is_url()
    with _OPENER.open(request, timeout=TIMEOUT) as response, path.open("wb") as sink:
        _copy(response, sink, limit)
        disposition = names.disposition_names(response.headers.get("content-disposition", ""))
        return disposition.get("filename") or unquote(urlsplit(url).path.rpartition("/")[2])


def _copy(source: IO[bytes], sink: IO[bytes], limit: int | None) -> None:
    left = limit
    while chunk := source.read(_CHUNK):
        if left is not None:
            left -= len(chunk)
            if left < 0:
                raise ValueError("the remote file is too large")
        sink.write(chunk)


async def call(url: str, body: Mapping[str, Any]) -> int | None:
    """POST JSON to a web hook; return its status, None if it could not be reached."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - http, see is_url()
        _quoted(url), data=data, headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        return await asyncio.to_thread(_post, request)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, HTTPException, ValueError):
        return None


def _post(request: urllib.request.Request) -> int:
    with _OPENER.open(request, timeout=TIMEOUT) as response:
        return int(response.status)


def _quoted(url: str) -> str:
    """Escape what a URL may not hold, such as the raw brackets of some result URLs."""
    return quote(url, safe=":/?#[]@!$&'()*+,;=%~")
