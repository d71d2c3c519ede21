"""Credentials: API token, JWT, master token, and those of earlier years.

https://docs.convertapi.com/docs/authentication. Uploads, downloads, job polls and converter
information need no credentials: the id is the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convertapi_sandbox.errors import (
    BAD_BASIC,
    BAD_JWT,
    INACTIVE,
    NO_CREDENTIALS,
    UNAUTHORIZED,
    ServiceError,
)
from convertapi_sandbox.request import lower_query
from convertapi_sandbox.settings import (
    API_TOKEN,
    KID,
    LEGACY_SECRET,
    MASTER_TOKEN,
)
from convertapi_sandbox.tokens import ApiToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from convertapi_sandbox.settings import Settings

_JWT_DOTS = 2
_KEY_SIZE = 32


@dataclass(frozen=True, slots=True)
class Caller:
    """An accepted credential: its kind, its claims if it is a JWT, and the API token behind it."""

    kind: str
    claims: Mapping[str, Any] | None = None
    api_token: ApiToken | None = None


class Credentials:
    """The account's credentials, and the checks of a request's credentials."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._legacy_tokens: dict[str, float] = {}
        self.reset()

    def reset(self) -> None:
        """Restore the built-in credentials."""
        self._built_in = ApiToken(API_TOKEN, KID)
        self.added: list[ApiToken] = []
        self.master_token, self.secret = MASTER_TOKEN, LEGACY_SECRET
        self._legacy_tokens.clear()

    @property
    def token(self) -> str:
        """Return the built-in API token."""
        return self._built_in.token

    @property
    def kid(self) -> str:
        """Return the Kid of the built-in API token."""
        return self._built_in.kid

    def add(self, limit: int | None = None, lifetime: float | None = None) -> dict[str, Any]:
        """Add an API token to the account and return it; `lifetime` in seconds."""
        self.added.append(ApiToken.new(limit, lifetime))
        return self.added[-1].as_dict()

    def rotate(self) -> str:
        """Revoke the API token immediately and return the new one."""
        self._built_in.token = f"sandbox-token-{secrets.token_hex(20)}"
        return self.token

    def now(self) -> float:
        """Return the Unix time by the service's clock."""
        return time.time() + self._settings.clock_offset

    # --- what an endpoint needs --------------------------------------------------------------

    def converting(self, request: Request) -> Caller:
        """Return the credential for a conversion, or raise the 401 that says why it is refused."""
        caller = self._caller(request)
        if caller.kind == "master" and not self._settings.master_token_may_convert:
            raise self._refused()
        if not self._settings.account_active:
            raise ServiceError(UNAUTHORIZED, INACTIVE, "The user is inactive.")
        return caller

    def administering(self, request: Request) -> Caller:
        """Return the credential that may read the account: master token, once also the secret."""
        caller = self._caller(request)
        if caller.kind not in ("master", "secret"):
            raise ServiceError(
                UNAUTHORIZED,
                self._settings.admin_refusal_code,
                "This endpoint needs the master token; this token is not accepted.",
            )
        return caller

    def minting(self, request: Request) -> Caller:
        """Return the credential that may request a JWT: only the API token."""
        caller = self._caller(request)
        if caller.kind != "api_token":
            raise self._refused()
        return caller

    # --- what a request carries --------------------------------------------------------------

    def _caller(self, request: Request) -> Caller:
        header = request.headers.get("authorization", "")
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer" and value.strip():
            return self._bearer(value.strip(), request)
        if self._settings.legacy_credentials and scheme.lower() == "basic":
            return self._basic(value.strip())
        query = lower_query(request)
        legacy = ("secret", "token") if self._settings.legacy_credentials else ()
        for name in (*legacy, "auth"):  # a connector of today sends `auth`
            if query.get(name):
                return self._bearer(query[name], request)
        raise ServiceError(
            UNAUTHORIZED, NO_CREDENTIALS, "Missing credentials. Please provide a valid API token."
        )

    def _valid(self) -> list[ApiToken]:
        now = self.now()
        return [token for token in (self._built_in, *self.added) if token.is_valid(now)]

    def _bearer(self, value: str, request: Request) -> Caller:
        for token in self._valid():
            if _same(value, token.token):
                return Caller("api_token", api_token=token)
        if _same(value, self.master_token):
            return Caller("master")
        if self._settings.legacy_credentials:
            if _same(value, self.secret):
                return Caller("secret")
            if self._legacy_tokens.get(value, 0) > time.time():
                return Caller("token")
        if value.count(".") == _JWT_DOTS:
            claims, token = self._claims(value, request)
            return Caller("jwt", claims, token)
        raise self._refused()

    def _basic(self, value: str) -> Caller:
        try:
            pair = base64.b64decode(value, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeError) as error:
            raise ServiceError(
                UNAUTHORIZED, BAD_BASIC, "The Basic credentials are not base64."
            ) from error
        if not _same(pair.rpartition(":")[2], self.secret):
            raise self._refused()
        return Caller("secret")

    def _refused(self) -> ServiceError:
        return ServiceError(
            UNAUTHORIZED,
            self._settings.invalid_token_code,
            "Missing credentials. Please provide a valid API token.",
        )

    # --- JWT ---------------------------------------------------------------------------------

    def issue(self, token: ApiToken, lifetime: int, client_ip: str | None) -> str:
        """Sign a JWT as POST /token/jwt does; `lifetime` in seconds."""
        import jwt  # noqa: PLC0415 - brings cryptography: 0.1 s that a start does not need

        now = int(self.now())
        claims: dict[str, Any] = {"kid": token.kid, "iat": now, "nbf": now, "exp": now + lifetime}
        if client_ip:
            claims["clientIp"] = client_ip
        return jwt.encode(claims, self._key(token), algorithm="HS256")

    def _key(self, token: ApiToken) -> bytes:
        key = token.token.encode()
        if self._settings.jwt_key == "unknown":
            key = hashlib.sha256(b"known to the service only" + key).digest()
        elif self._settings.jwt_key == "base64":
            key = base64.urlsafe_b64decode(key + b"=" * (-len(key) % 4))
        # HMAC fills a key up with zeros; one that is full already gets no warning from PyJWT.
        return key.ljust(_KEY_SIZE, b"\0")

    def _signer(self, value: str) -> ApiToken:
        """Return the API token that a JWT names; the built-in one if it names none of them."""
        import jwt  # noqa: PLC0415 - brings cryptography: 0.1 s that a start does not need

        try:
            kid = jwt.decode(value, options={"verify_signature": False}).get("kid")
        except (jwt.InvalidTokenError, ValueError):
            kid = None
        token = next((token for token in self.added if token.kid == kid), self._built_in)
        if token not in self._valid():
            raise _bad_jwt("its API token has expired")
        return token

    def _claims(self, value: str, request: Request) -> tuple[dict[str, Any], ApiToken]:
        """Return the claims of a valid JWT and what signed it, or raise 401/4012."""
        import jwt  # noqa: PLC0415 - brings cryptography: 0.1 s that a start does not need

        signer = self._signer(value)
        try:
            claims: dict[str, Any] = jwt.decode(
                value,
                self._key(signer),
                algorithms=["HS256"],
                # The times are checked below, against the service's own clock.
                options={
                    "require": ["exp", "kid"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                },
            )
        except (jwt.InvalidTokenError, ValueError) as error:
            raise _bad_jwt(str(error)) from error
        self._check_times(claims)
        if claims["kid"] != signer.kid:
            raise _bad_jwt("unknown kid")
        listed, caller = claims.get("clientIp"), request.client
        if listed and (caller is None or not self._allowed(str(listed), caller.host)):
            raise _bad_jwt("the caller is not in clientIp")
        return claims, signer

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now, leeway = self.now(), self._settings.jwt_leeway
        times = {
            name: claims[name] for name in ("exp", "nbf", "iat") if claims.get(name) is not None
        }
        for name, value in times.items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise _bad_jwt(f"{name} is not an integer")
        if times["exp"] <= now - leeway:
            raise _bad_jwt("expired")
        for name in ("nbf", "iat"):
            if times.get(name, 0) > now + leeway:
                raise _bad_jwt(f"{name} is in the future")
        longest = self._settings.jwt_max_lifetime
        if longest is not None and times["exp"] - times.get("iat", now) > longest:
            raise _bad_jwt("its lifetime is too long")

    def _allowed(self, listed: str, client: str) -> bool:
        for item in (entry.strip() for entry in listed.split(",")):
            if item == client or (
                item.lower() == "localhost" and ipaddress.ip_address(client).is_loopback
            ):
                return True
            if self._settings.client_ip_networks and _in_network(client, item):
                return True
        return False

    # --- tokens of earlier years -------------------------------------------------------------

    def create_legacy(self, lifetime: float) -> tuple[str, float]:
        """Return the id of a new legacy token and its expiry in Unix seconds."""
        token_id, end = secrets.token_hex(4), time.time() + lifetime
        self._legacy_tokens[token_id] = end
        return token_id, end

    def delete_legacy(self, token_id: str) -> bool:
        """Delete a legacy token; return whether it was there."""
        return self._legacy_tokens.pop(token_id, None) is not None


def _bad_jwt(reason: str) -> ServiceError:
    return ServiceError(UNAUTHORIZED, BAD_JWT, f"Invalid JWT token: {reason}.")


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())


def _in_network(client: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(client) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
