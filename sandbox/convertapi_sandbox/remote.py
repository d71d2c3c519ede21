"""The controls of a sandbox that runs in another process, over its `/_sandbox/` endpoints."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from convertapi_sandbox.controls import Controls
from convertapi_sandbox.faults import Fault
from convertapi_sandbox.journal import Entry, Requests

_TIMEOUT = 10.0
# A proxy from the environment must not be used between two processes on one machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RemoteSandbox(Controls):
    """A running sandbox, reached by its URL: a `Sandbox` that cannot be started or stopped.

    Every method and attribute raises:
        ValueError: The sandbox refuses the request.
        OSError: No sandbox answers at the URL.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            msg = f"the URL of a sandbox must begin with http://, not {url!r}"
            raise ValueError(msg)
        self._url = url.rstrip("/")

    def _control(self, operation: str, **arguments: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310 - http, see above
            f"{self._url}/_sandbox/{operation}",
            data=json.dumps(arguments).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]) from error

    @property
    def settings(self) -> RemoteSettings:
        """Return the switches; assign to them at any time."""
        return RemoteSettings(self)

    @property
    def requests(self) -> Requests:
        """Return the journal so far, oldest first."""
        return Requests(Entry.from_dict(item) for item in self._control("journal"))

    @property
    def faults(self) -> list[Fault]:
        """Return the rules in force, with their `hits`."""
        return [Fault.from_dict(item) for item in self._control("faults")]


class RemoteSettings:
    """The switches of a sandbox in another process, as attributes."""

    def __init__(self, sandbox: RemoteSandbox) -> None:
        object.__setattr__(self, "_sandbox", sandbox)

    def __getattr__(self, name: str) -> Any:
        """Return the value of a switch."""
        try:
            return self._sandbox._control("settings")[name]  # noqa: SLF001 - the other half of it
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a switch; ValueError if the name or the value does not exist."""
        self._sandbox._control("settings", **{name: value})  # noqa: SLF001 - the other half of it
