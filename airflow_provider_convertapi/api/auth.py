"""Tokens: short-lived JWTs that we sign ourselves, and the answer of `POST /token/jwt`.

Claims, algorithm and their spelling: https://docs.convertapi.com/docs/authentication

This module may change from release to release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.api.wire import Response
    from airflow_provider_convertapi.errors import ConvertApiError

CLOCK_SKEW = 60
"""Seconds by which the claims are widened on both sides, in case our clock is slightly off."""

_KEY_SIZE = 32
"""Bytes."""

_LAST_MOMENTS = 1.5
"""Seconds before its end after which a token is not used: its times are whole seconds, which may
shorten its life by one, and a request needs time to arrive."""

# The header is a JSON object, so its base64 starts with "ey", or "ew" before white space.
_COMPACT_JWT = re.compile(r"e[wy][A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TOKEN_NAMES = ("token", "Token", "jwt", "Jwt", "JwtToken", "access_token", "AccessToken")


def mint(secret: str, kid: str, *, now: float, lifetime: int, client_ip: str | None = None) -> str:
    """Return a JWT signed with HS256.

    :param secret: the API token; its text bytes are the key.
    :param kid: the key identifier (GUID); sent as the payload claim `kid`.
    :param now: seconds since the epoch.
    :param lifetime: seconds; `exp` is set a minute later, for clock skew.
    :param client_ip: comma-separated hosts that may use it; None means any.
    """
    import jwt  # noqa: PLC0415 - 26-77 ms that a DAG file must not pay when it is parsed

    moment = int(now)
    claims: dict[str, Any] = {
        "kid": kid,  # a claim in the payload, not the JOSE header of the same name
        "iat": moment - CLOCK_SKEW,
        "nbf": moment - CLOCK_SKEW,
        "exp": moment + lifetime + CLOCK_SKEW,
    }
    if client_ip:
        claims["clientIp"] = client_ip
    # HMAC itself pads a short key with zeros.  PyJWT would warn about a short key, although
    # ConvertAPI decides the length of its tokens, and silencing a warning is not thread-safe.
    return jwt.encode(claims, secret.encode().ljust(_KEY_SIZE, b"\0"), algorithm="HS256")


@dataclass(slots=True)
class CurrentToken:
    """The token that all requests share until it is about to expire or the service refuses it.

    It creates no token and has no lock: each client obtains new tokens in its own way.

    :param lifetime: seconds.
    :param clock: returns seconds since the epoch.
    :param remote: True requests the next token with `POST /token/jwt`; False signs it here, until
        such a token is refused.
    """

    lifetime: int
    clock: Callable[[], float]
    remote: bool = False
    _token: str | None = field(default=None, repr=False)
    _renew_at: float = 0.0
    _turned: bool = False
    _no_other: str = ""
    _ask_again_at: float = 0.0

    @property
    def turned(self) -> bool:
        """Whether the service issues the tokens, because one that was signed here was refused."""
        return self.remote and self._turned

    def get(self) -> str | None:
        """Return the token while a tenth of its lifetime is left, else None."""
        return None if self.clock() >= self._renew_at else self._token

    def set(self, token: str, since: float | None = None) -> str:
        """Make this the token of all requests from now on, and return it.

        :param since: when it was signed or requested, in seconds since the epoch; None means now.
        """
        begin = self.clock() if since is None else since
        self._token = token
        self._renew_at = begin + min(self.lifetime * 0.9, self.lifetime - _LAST_MOMENTS)
        return token

    def discard(self, refused: str) -> None:
        """Drop a refused token, unless another one has replaced it meanwhile."""
        if self._token == refused:
            self._token = None

    def turn(self, refused: str) -> bool:
        """Drop a refused token; tell whether the service issues the tokens from now on.

        If the service's key is not the API token's text, it refuses every token signed here.
        """
        self.discard(refused)
        if self.remote or self.clock() < self._ask_again_at:
            return False
        self.remote = self._turned = True
        return True

    def turn_back(self, error: ConvertApiError) -> AuthenticationError:
        """Sign tokens here again, since the service issues none; return the error to raise."""
        self.remote, self._no_other = False, error.message
        # Otherwise every refused request of a batch would be followed by a useless call.
        self._ask_again_at = self.clock() + self.lifetime
        return AuthenticationError(f"POST /token/jwt issued no JWT: {error}", error.code)

    def both_refused(
        self, first: AuthenticationError, last: AuthenticationError
    ) -> AuthenticationError:
        """Return the error of a request that was refused with one token and then with the next."""
        if self.turned:
            then = f"and so was one that POST /token/jwt issued ({last})"
        elif self._no_other:
            then = f"and POST /token/jwt issued no other ({self._no_other})"
        else:
            return last
        return AuthenticationError(
            f"A JWT that was signed here with the API token was refused ({first}), {then}.",
            first.code if last.code is None else last.code,
        )


def find_jwt(response: Response) -> str | None:
    """Return the JWT in an answer of `POST /token/jwt`; None if there is none.

    The form of that answer is not documented, so all known forms are accepted: an object with a
    known name, any value in it that is a JWT, a JSON string, or bare text.
    """
    value = response.json()
    if value is None:
        value = response.body.decode("utf-8", "replace")
    named = [value.get(name) for name in _TOKEN_NAMES] if isinstance(value, dict) else []
    return next((text for text in _texts([*named, value]) if _COMPACT_JWT.fullmatch(text)), None)


def _texts(value: object, depth: int = 4) -> Iterator[str]:
    """Yield the texts in a JSON value."""
    if isinstance(value, str):
        yield value.strip()
    elif depth and isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner, depth - 1)
