"""Read an Airflow connection into checked settings; no I/O, and secrets in no representation."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from airflow_provider_convertapi.errors import ConnectionConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_HOST = "v2.convertapi.com"
_AUTHS = ("jwt", "jwt_remote", "api_token")
_GUID = re.compile(r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")
_MASKED = "***"
_WORDS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


class ConnectionLike(Protocol):
    """What is read of an Airflow `Connection`."""

    conn_id: str
    host: str | None
    port: int | None
    schema: str | None
    login: str | None
    password: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """A ConvertAPI connection, every field checked.

    :param base_url: scheme and host, without a slash at the end.
    :param auth: ``jwt`` (self-signed), ``jwt_remote`` or ``api_token``.
    :param jwt_lifetime: seconds.
    :param client_ip: comma-separated hosts bound into the JWT; None: any may use it.
    :param http_timeout: seconds without a byte before a request is given up.
    :param namespace: part of every job id.
    """

    conn_id: str
    base_url: str
    kid: str | None
    auth: str
    jwt_lifetime: int
    client_ip: str | None
    http_timeout: float
    namespace: str
    api_token: str = field(repr=False)
    master_token: str | None = field(repr=False)
    job_key: str | None = field(repr=False)

    @property
    def id_key(self) -> str:
        """Return the secret that keys job ids: `job_key`, else the API token."""
        return self.job_key or self.api_token

    @property
    def is_geo_routed(self) -> bool:
        """Tell whether the host is the worldwide one, whose regions may not share ids."""
        return urlsplit(self.base_url).hostname == DEFAULT_HOST

    @property
    def secrets(self) -> list[str]:
        """Return what must never be shown."""
        return [secret for secret in (self.api_token, self.master_token, self.job_key) if secret]

    @classmethod
    def from_connection(cls, connection: ConnectionLike) -> ConnectionSettings:
        """Check every field; `ConnectionConfigError` names the wrong one and the remedy."""
        return _Reader(connection).settings()


class _Reader:
    """Read one connection; every complaint starts with its id."""

    def __init__(self, connection: ConnectionLike) -> None:
        self._connection = connection
        try:
            self._extra: Mapping[str, Any] = connection.extra_dejson or {}
        except ValueError:
            raise self._wrong("extra", "is no JSON object") from None

    def settings(self) -> ConnectionSettings:
        kid = self._kid()
        return ConnectionSettings(
            conn_id=self._connection.conn_id,
            base_url=self._base_url(),
            kid=kid,
            auth=self._auth(kid),
            jwt_lifetime=int(self._number("jwt_lifetime", 3600, least=1)),
            client_ip=self._text("client_ip"),
            http_timeout=self._number("http_timeout", 60.0, least=0.1),
            namespace=self._text("namespace") or "",
            api_token=self._token(),
            master_token=self._secret("extra master_token", self._extra.get("master_token")),
            job_key=self._secret("extra job_key", self._extra.get("job_key")),
        )

    def _wrong(self, name: str, complaint: str) -> ConnectionConfigError:
        return ConnectionConfigError(
            f"Connection {self._connection.conn_id!r}: {name} {complaint}."
        )

    def _secret(self, name: str, value: object) -> str | None:
        text = str(value).strip() if value is not None else ""
        if not text:
            return None
        if set(text) == {"*"}:
            raise self._wrong(
                name, f"is {_MASKED!r}: a masked value was saved back; enter the secret again"
            )
        if not text.isascii() or not text.isprintable() or " " in text:
            raise self._wrong(
                name, "holds a space, a line break or a character that no token has; paste it again"
            )
        return text

    def _token(self) -> str:
        token = self._secret("password (the API token)", self._connection.password)
        if token is None:
            raise self._wrong(
                "password",
                "is empty: put the API token there (ConvertAPI dashboard, Authentication)",
            )
        return token

    def _kid(self) -> str | None:
        kid = (self._connection.login or "").strip()
        if kid and not _GUID.match(kid):
            raise self._wrong(
                "login (the Kid)", "is no GUID; copy the Kid shown beside the API token"
            )
        return kid or None

    def _auth(self, kid: str | None) -> str:
        auth = self._text("auth") or ("jwt" if kid else "api_token")
        if auth not in _AUTHS:
            raise self._wrong("extra auth", f"is {auth!r}; it must be one of {', '.join(_AUTHS)}")
        if auth != "api_token" and not kid:
            raise self._wrong(
                "login",
                f"is empty, but auth {auth!r} needs the Kid; enter it, or set auth to 'api_token'",
            )
        return auth

    def _text(self, name: str) -> str | None:
        value = self._extra.get(name)
        return str(value).strip() or None if value is not None else None

    def _number(self, name: str, default: float, *, least: float) -> float:
        text = self._text(name)
        try:
            number = float(text) if text else default
        except ValueError:
            number = float("nan")
        if not least <= number < float("inf"):
            raise self._wrong(
                f"extra {name}", f"is {text!r}; it must be a number of seconds, at least {least:g}"
            )
        return number

    def _flag(self, name: str) -> bool:
        text = (self._text(name) or "false").lower()
        if text not in _WORDS:
            raise self._wrong(f"extra {name}", f"is {text!r}; it must be true or false")
        return _WORDS[text]

    def _base_url(self) -> str:
        host = (self._connection.host or "").strip().rstrip("/") or DEFAULT_HOST
        scheme = (self._connection.schema or "").strip().lower()
        url = host if "://" in host else f"{scheme or 'https'}://{host}"
        parts = urlsplit(url)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or parts.path
            or parts.query
            or parts.username
        ):
            raise self._wrong(
                "host", f"is {host!r}; it must be a host or https://host, without a path"
            )
        if parts.scheme == "http" and not (
            _is_loopback(parts.hostname) or self._flag("allow_http")
        ):
            message = "is plain http to a host that is not this machine, which would show the token; use https"
            raise self._wrong("host", f"{message} (or set extra allow_http)")
        return self._with_port(parts.scheme, parts.netloc)

    def _with_port(self, scheme: str, netloc: str) -> str:
        port = self._connection.port
        has_port = bool(re.search(r":\d+$", netloc))
        return f"{scheme}://{netloc}" + (f":{port}" if port and not has_port else "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
