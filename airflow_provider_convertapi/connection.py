"""Read an Airflow connection into checked settings; no I/O, and no secrets in any `repr`.

This module may change from release to release.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from airflow_provider_convertapi.errors import ConnectionConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

CONN_TYPE = "convertapi"
DEFAULT_HOST = "v2.convertapi.com"
_AUTHS = ("jwt", "jwt_remote", "api_token")
_GUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[\w-]{1,63}(\.[\w-]{1,63})*\.?")
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
_A_DAY, _A_YEAR = 86_400, 31_622_400
"""Seconds; longer values of `http_timeout` and `jwt_lifetime` must be a mistake."""

_MOST_PORTS = 65_535

_EXTRAS = (
    *("auth", "jwt_lifetime", "client_ip", "master_token", "http_timeout"),
    *("job_secret", "allow_http", "namespace"),
)
_FORMER_EXTRAS = frozenset({"job_key"})
"""Names that have a complaint of their own."""


class ConnectionLike(Protocol):
    """The fields of an Airflow `Connection` that are read."""

    conn_id: str
    host: str | None
    port: int | None
    schema: str | None
    login: str | None
    password: str | None

    @property
    def extra(self) -> str | None:
        """JSON object, as text.

        `Connection.extra_dejson` is not used: it treats invalid JSON as empty, and must not be
        called on the event loop of a triggerer.
        """
        ...


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """A ConvertAPI connection, every field checked.

    :param base_url: scheme and host, without a slash at the end.
    :param auth: ``jwt`` (self-signed), ``jwt_remote`` or ``api_token``.
    :param jwt_lifetime: seconds.
    :param client_ip: comma-separated hosts that may use the JWT; None means any.
    :param http_timeout: seconds without a byte after which a request fails.
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
    job_secret: str | None = field(repr=False)

    @property
    def id_key(self) -> str:
        """Return the secret that keys job ids: `job_secret`, else the API token."""
        return self.job_secret or self.api_token

    @property
    def is_geo_routed(self) -> bool:
        """Tell whether the host is the worldwide one, whose regions perhaps do not share ids."""
        return urlsplit(self.base_url).hostname == DEFAULT_HOST

    @property
    def secrets(self) -> list[str]:
        """Return the secrets, which must never be shown."""
        return [secret for secret in (self.api_token, self.master_token, self.job_secret) if secret]

    @classmethod
    def from_connection(cls, connection: ConnectionLike) -> ConnectionSettings:
        """Check every field; `ConnectionConfigError` names the wrong one and the remedy."""
        return _Reader(connection).settings()


class _Reader:
    """Read one connection; every complaint starts with its id, and repeats no secret."""

    def __init__(self, connection: ConnectionLike) -> None:
        self._connection = connection
        self._check_type()
        self._extra = self._read_extra()

    def _read_extra(self) -> Mapping[str, Any]:
        try:
            extra = json.loads(self._connection.extra or "{}")
        except (ValueError, RecursionError):
            extra = None
        if not isinstance(extra, dict):
            raise self._wrong("extra", 'is not a JSON object; write it like {"auth": "jwt"}')
        return extra

    def _check_type(self) -> None:
        kind = getattr(self._connection, "conn_type", None)
        if kind not in (None, "", CONN_TYPE):
            raise self._wrong(
                "type",
                f"is {kind!r} and not {CONN_TYPE!r}: it is a connection to something else; correct "
                "convertapi_conn_id, or the connection's type",
            )

    def _check_names(self) -> None:
        """Refuse an extra that would be ignored, such as a misspelled one."""
        for name in self._extra:
            if name in _EXTRAS or name in _FORMER_EXTRAS:
                continue
            close = get_close_matches(name, _EXTRAS, n=1)
            known = f"did you mean {close[0]}?" if close else f"it may be {', '.join(_EXTRAS)}"
            raise self._wrong(f"extra {name}", f"is unknown, and would be ignored ({known})")

    def settings(self) -> ConnectionSettings:
        self._check_names()
        kid = self._kid()
        return ConnectionSettings(
            conn_id=self._connection.conn_id,
            base_url=self._base_url(),
            kid=kid,
            auth=self._auth(kid),
            jwt_lifetime=int(self._number("jwt_lifetime", 3600, least=1, most=_A_YEAR)),
            client_ip=self._client_ip(),
            http_timeout=self._number("http_timeout", 60.0, least=0.1, most=_A_DAY),
            namespace=self._text("namespace") or "",
            api_token=self._token(),
            master_token=self._secret("extra master_token", self._extra.get("master_token")),
            job_secret=self._job_secret(),
        )

    def _wrong(self, name: str, complaint: str) -> ConnectionConfigError:
        return ConnectionConfigError(
            f"Connection {self._connection.conn_id!r}: {name} {complaint}."
        )

    def _secret(self, name: str, value: object) -> str | None:
        text = self._plain(name, value)
        if not text:
            return None
        if set(text) == {"*"}:
            raise self._wrong(
                name, "is '***': a masked value was saved back; enter the secret again"
            )
        # Tokens go into a header, which such a character would break in the middle of a task.
        if not text.isascii() or not text.isprintable() or set(" \"'") & set(text):
            raise self._wrong(
                name,
                "holds a space, a quotation mark, a line break or a character that no token has; "
                "paste it again",
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

    def _job_secret(self) -> str | None:
        if self._extra.get("job_key"):
            # Airflow masks an extra by its name, and would show this one in its form and its API.
            raise self._wrong(
                "extra job_key",
                "is a secret under a name that Airflow shows in clear; call it job_secret",
            )
        return self._secret("extra job_secret", self._extra.get("job_secret"))

    def _kid(self) -> str | None:
        kid = (self._connection.login or "").strip()
        if kid and not _GUID.fullmatch(kid):
            raise self._wrong(
                "login (the Kid)", "is not a GUID; copy the Kid shown beside the API token"
            )
        return kid or None

    def _auth(self, kid: str | None) -> str:
        auth = (self._text("auth") or ("jwt" if kid else "api_token")).lower()
        if auth not in _AUTHS:
            raise self._wrong("extra auth", f"is unknown; it must be one of {', '.join(_AUTHS)}")
        if auth != "api_token" and not kid:
            raise self._wrong(
                "login (the Kid)",
                f"is empty, but auth {auth!r} needs it; enter it, or set auth to 'api_token'",
            )
        return auth

    def _client_ip(self) -> str | None:
        """Return the addresses without the spaces that users put between them."""
        value = self._extra.get("client_ip")
        listed = value if isinstance(value, list) else (self._text("client_ip") or "").split(",")
        if not all(isinstance(item, str) for item in listed):
            raise self._wrong("extra client_ip", "lists something else than text; write it as text")
        return ",".join(text for item in listed if (text := item.strip())) or None

    def _text(self, name: str) -> str | None:
        return self._plain(f"extra {name}", self._extra.get(name))

    def _plain(self, name: str, value: object) -> str | None:
        """Return the text of a value; None if it is empty, as Airflow's form saves it."""
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise self._wrong(name, "is neither text nor a number; write it as text")
        return None if value is None else str(value).strip() or None

    def _number(self, name: str, default: float, *, least: float, most: float) -> float:
        text = self._text(name)
        try:
            number = float(text) if text else default
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            raise self._wrong(
                f"extra {name}",
                f"is {text!r}; it must be a number of seconds, {least:g} to {most:,}",
            )
        return number

    def _allows_http(self) -> bool:
        value = self._extra.get("allow_http")
        if isinstance(value, bool):
            return value
        text = self._text("allow_http") or "false"
        if text.lower() not in _WORDS:
            raise self._wrong("extra allow_http", f"is {text!r}; it must be true or false")
        return _WORDS[text.lower()]

    def _base_url(self) -> str:
        url = self._url()
        allows_http = self._allows_http()
        host = url.hostname or ""
        if url.scheme == "http" and not allows_http and not _is_loopback(host):
            raise self._wrong(
                "host",
                "is plain http to another machine, which would show token and documents on the way;"
                " use https (or set extra allow_http)",
            )
        port = self._port(url)
        name = f"[{host}]" if ":" in host else host
        return f"{url.scheme}://{name}" + (f":{port}" if port else "")

    def _url(self) -> SplitResult:
        """Read the host field; no complaint repeats it, since users paste tokens there, too."""
        host = (self._connection.host or "").strip() or DEFAULT_HOST
        if _is_ipv6(host):
            host = f"[{host}]"
        url = _split(host if "://" in host else f"{self._scheme()}://{host}")
        name = url.hostname or "" if url else ""
        # `urlsplit` silently drops line breaks and tabs, which would make another host of it.
        is_host = host.isprintable() and (_is_host_name(name) or _is_ipv6(name))
        if not url or url.scheme not in {"http", "https"} or not is_host or _has_more(url):
            raise self._wrong(
                "host",
                "is neither a host nor https://host; no path, query, user or password belong there",
            )
        return url

    def _scheme(self) -> str:
        scheme = (self._connection.schema or "").strip().lower() or "https"
        if scheme not in {"http", "https"}:
            raise self._wrong(
                "schema", "is neither http nor https; leave it empty (in a URI it is the path)"
            )
        return scheme

    def _port(self, url: SplitResult) -> int | None:
        try:
            port = self._connection.port if url.port is None else url.port
        except ValueError:
            port = -1
        if port is not None and not 0 < port <= _MOST_PORTS:
            raise self._wrong("port", f"is not a port; it must be 1 to {_MOST_PORTS}, or empty")
        return port


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:  # brackets without an IPv6 address in them
        return None


def _has_more(url: SplitResult) -> bool:
    has_path = bool(url.path.strip("/"))
    return (
        has_path or bool(url.query or url.fragment) or "@" in url.netloc or url.netloc[-1:] == ":"
    )


def _is_host_name(host: str) -> bool:
    try:
        host.encode("idna")  # in that form, a name with other letters may be too long
    except UnicodeError:
        return False
    return _HOST_NAME.fullmatch(host) is not None


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # any other name may be resolved to another machine
