"""The paths and URIs that users write, and the forms in which they may be shown.

This module may change from release to release.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.wording import on_one_line

_URL = re.compile(r"\s*https?://", re.IGNORECASE)
_URI = re.compile(r"\s*([a-z][a-z0-9+.-]*://)([^/]*)(.*)", re.IGNORECASE | re.DOTALL)
_URL_PARTS = re.compile(r"([^/?#\\]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::\d+)?")

_PORT, _PORTS = re.compile(r":[0-9]{1,9}$"), 65_536
_NO_URL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

_PRINTED = "".join(map(chr, range(33, 127)))

_SIGNATURES = (
    ("X-Amz-Signature", "Algorithm Credential Date Expires SignedHeaders Security-Token", "X-Amz-"),
    ("X-Goog-Signature", "Algorithm Credential Date Expires SignedHeaders", "X-Goog-"),
    (
        "Signature Expires",
        "AWSAccessKeyId x-amz-security-token GoogleAccessId Key-Pair-Id Hash-Algorithm",
        "",
    ),
    ("Signature Policy Key-Pair-Id", "Hash-Algorithm", ""),
    (
        "sig sv",
        "se si ss srt sr sp st spr sip sdd ses skoid sktid skt ske sks skv saoid suoid scid",
        "",
    ),
)
"""Parameters that show that a URL is signed, the others that belong to the signature, and the
prefix of the latter: for S3 and similar stores; Google; CloudFront and older schemes; CloudFront
with a custom policy; Azure."""

LEAST_MASKED = 5
"""Characters of the shortest text that Airflow's masker hides, unless the deployment has changed
`[logging] min_length_masked_secret`."""


def is_url(uri: str) -> bool:
    """Tell whether `uri` is an http(s) URL, which ConvertAPI fetches itself."""
    return _URL.match(uri) is not None


def shown(uri: str) -> str:
    """Return `uri` for a log or an error: without secrets, and on one line."""
    return on_one_line(without_secrets(uri))


def without_secrets(uri: str) -> str:
    """Return `uri` for a record or a summary, which programs compare and read.

    A URL loses user, password, query and fragment; the URI of a store only its password.
    """
    return _divided(uri)[0]


def dataset_in_text(uri: str) -> tuple[str, str]:
    """Return OpenLineage's namespace and name of a URI, as far as its text shows them."""
    matched = _URI.match(without_secrets(uri))
    if matched is None:
        return "file", uri
    scheme, authority, path = matched.groups()
    host = authority.rpartition("@")[2]
    return f"{scheme}{host}".strip(), path.strip("/") or "/"


def asset_uri(uri: str) -> str:
    """Return the asset URI of a path or URI: without connection and secrets, and in ASCII."""
    if "://" in uri:
        scheme, mark, rest = without_secrets(uri).partition("://")
        authority, slash, path = rest.partition("/")
        uri = f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
    else:
        uri = f"file://{uri}"
    return quote(uri, safe=_PRINTED)


def unsigned(url: str) -> str:
    """Return a URL without its signature, if it has a known one.

    The document stays the same when its URL is signed again.
    """
    before, hash_, fragment = url.partition("#")
    base, question, query = before.partition("?")
    pairs = query.split("&")
    names = {pair.partition("=")[0] for pair in pairs}
    for telling, others, prefix in _SIGNATURES:
        if names.issuperset(telling.split()):
            names -= {*telling.split(), *(prefix + other for other in others.split())}
    kept = "&".join(pair for pair in pairs if pair.partition("=")[0] in names)
    return f"{base}{question if kept else ''}{kept}{hash_}{fragment}"


def secrets_of(uri: str) -> list[str]:
    """Return what `without_secrets` leaves out, as written and with percent-encoding undone.

    What is too short for Airflow's masker makes a secret of the whole URI.
    """
    found = dict.fromkeys(text for part in _divided(uri)[1] for text in (part, unquote(part)))
    if any(len(text) < LEAST_MASKED for text in found):
        return [uri.strip(), *found]
    return list(found)


def _divided(uri: str) -> tuple[str, list[str]]:
    """Return what may be shown of a URI, and what may not."""
    matched = _URI.match(uri)
    if matched is None:
        return uri, []
    scheme, authority, path = matched.groups()
    if is_url(uri):
        return _divided_url(scheme, authority + path)
    # In a store's URI, `?` and `#` belong to the key, and a connection precedes the @.
    user, at, host = authority.rpartition("@")
    user, colon, password = user.partition(":")
    if not colon:
        return uri, []
    return f"{scheme}{user}:***{at}{host}{path}", [password] if password else []


def _divided_url(scheme: str, rest: str) -> tuple[str, list[str]]:
    matched = _URL_PARTS.fullmatch(rest)
    assert matched is not None  # noqa: S101 - it matches any text; for the type checker
    authority, path, query, fragment = matched.groups()
    user, at, host = authority.rpartition("@")
    if _HOST.fullmatch(host) is None:  # the start of a password that holds a slash or the like
        return f"{scheme}***", [f"{scheme}{rest}".strip()]
    secrets = [user, user.partition(":")[2], query, fragment]
    return f"{scheme}{'***' if at else ''}{at}{host}{path}".rstrip(), [
        secret.strip() for secret in secrets if secret and secret.strip()
    ]


def check_url(url: str, argument: str) -> None:
    """Raise `ParameterError` for a URL without a valid host: fetching it would fail, and be billed.

    The message does not show the URL, since the part that cannot be read may be a password.
    """
    matched = _URI.fullmatch(url.strip())
    assert matched is not None  # noqa: S101 - the caller knows that it is a URL
    parts = _URL_PARTS.fullmatch(matched[2] + matched[3])
    authority = parts[1] if parts else ""
    where = authority.rpartition("@")[2]
    host, _, port = where.rpartition(":") if _PORT.search(where) else (where, "", "1")
    if not host or _HOST.fullmatch(where) is None or not 0 < int(port) < _PORTS:
        complaint = (
            "is a URL whose host cannot be read. Write https://host/path, and %-encode what is "
            "not a letter or a digit in user and password."
        )
        raise wrong(argument, complaint)
    if any(letter.isspace() for letter in authority) or _NO_URL.search(url.strip()):
        raise wrong(argument, "is a URL with white space or control characters in it; encode them.")


def wrong(argument: str, complaint: str) -> ParameterError:
    """Return the error for a wrong argument.

    :param complaint: the rest of a sentence that begins with `argument`, with its full stop.
    """
    return ParameterError(f"{argument} {complaint}", {argument: [complaint]})
