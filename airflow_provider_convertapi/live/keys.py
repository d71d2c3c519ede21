"""The credentials that the check sends: those of tasks, and JWTs to be tested.

This module may change from release to release.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.auth import find_jwt
from airflow_provider_convertapi.api.forms import JsonBody
from airflow_provider_convertapi.api.wire import Request
from airflow_provider_convertapi.live.wire import is_ok

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.wire import Response
    from airflow_provider_convertapi.connection import ConnectionSettings
    from airflow_provider_convertapi.live.wire import Wire

WAYS = ("text", "base64", "issued")
"""Ways to obtain a JWT: signed here with the token's text or bytes, or issued by the service."""


@dataclass(slots=True)
class Keys:
    """Makes credentials, and remembers each one that was sent.

    :param way: how the credential of conversions is made: one of `WAYS`, or ``api_token``.
    :param lifetime: seconds that a JWT for conversions is valid.
    """

    settings: ConnectionSettings
    wire: Wire
    way: str = field(init=False)
    lifetime: int = 300
    sent: set[str] = field(default_factory=set, repr=False)
    _current: str = field(default="", init=False, repr=False)
    _kind: tuple[str, int] | None = field(default=None, init=False)
    _until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.way = {"jwt": "text", "jwt_remote": "issued"}.get(self.settings.auth, "api_token")
        self.sent.update(self.settings.secrets)
        if self.settings.kid:
            self.sent.add(self.settings.kid)

    def secret(self) -> str:
        """Return a credential for a conversion: the token, or a JWT reused for half its life."""
        if self.way == "api_token":
            return self.settings.api_token
        kind = (self.way, self.lifetime)
        if self._kind != kind or self.now() > self._until:
            self._until = self.now() + self.lifetime / 2
            self._current, self._kind = self.make(self.lifetime, self.way) or "", kind
        return self._current

    def make(self, lifetime: int, way: str) -> str | None:
        """Return a JWT that is made in a way; None if none can be made."""
        if way == "issued":
            answer = self.ask_for_one(lifetime)
            return find_jwt(answer) if is_ok(answer) else None
        return self.sign(lifetime, way) if self._key(way) else None

    def now(self) -> float:
        """Return the Unix time by the service's clock."""
        return self.wire.clock.time() + (self.wire.ahead or 0.0)

    def sign(self, lifetime: float, way: str = "text", **claims: Any) -> str:
        """Return a JWT that expires in the given seconds of the service's clock."""
        import jwt

        payload = {"kid": self.settings.kid, "exp": round(self.now() + lifetime)} | claims
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The HMAC key is")
            token = jwt.encode(payload, self._key(way), algorithm="HS256")
        self.sent.add(token)
        return token

    def _key(self, way: str) -> bytes:
        text = self.settings.api_token
        if way == "wrong":
            return f"{text}-wrong".encode()
        if way == "base64":
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            except (binascii.Error, ValueError):  # not base64 at all
                return b""
        return text.encode()

    def ask_for_one(
        self, lifetime: int, *, kid: str | None = None, secret: str | None = None
    ) -> Response | None:
        """Send POST /token/jwt, with the API token if no other secret is given."""
        body = JsonBody({"Kid": kid or self.settings.kid, "ExpiresInSec": lifetime})
        request = Request("POST", "/token/jwt", body=body, accept="*/*")
        answer = self.wire.free(request, secret or self.settings.api_token)
        if is_ok(answer) and (token := find_jwt(answer)):
            self.sent.add(token)
        return answer
