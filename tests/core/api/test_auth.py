"""Tokens: what a JWT says, when the next is made, and how one is found in an answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from airflow_provider_convertapi.api.auth import CurrentToken, find_jwt, mint
from airflow_provider_convertapi.api.endpoints import request_token
from airflow_provider_convertapi.api.wire import Credential
from airflow_provider_convertapi.errors import AuthenticationError, UnexpectedAnswerError
from tests.core.api.server import response

SECRET = "an-api-token-of-more-than-32-bytes-in-all"
KID = "11111111-2222-4333-8444-555555555555"
NOW = 1_764_000_000.9
LIFETIME = 3600


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims as they travel."""
    header, claims, _ = token.split(".")

    def read(text: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=="))
        return value

    return read(header), read(claims)


def test_claims_are_exactly_the_documented_ones() -> None:
    """The Kid is a claim in lower case, the times are whole seconds with a minute of skew."""
    token = mint(SECRET, KID, now=NOW, lifetime=LIFETIME, client_ip="localhost,197.0.0.1")

    moment = 1_764_000_000
    assert (
        {"alg": "HS256", "typ": "JWT"},
        {
            "kid": KID,
            "iat": moment - 60,
            "nbf": moment - 60,
            "exp": moment + LIFETIME + 60,
            "clientIp": "localhost,197.0.0.1",
        },
    ) == parts(token)


@pytest.mark.parametrize("client_ip", [None, ""])
def test_no_client_ip(client_ip: str | None) -> None:
    """Without a list of addresses there is no such claim: an empty one would let nobody in."""
    claims = parts(mint(SECRET, KID, now=NOW, lifetime=1, client_ip=client_ip))[1]

    assert {"kid", "iat", "nbf", "exp"} == set(claims)


@pytest.mark.parametrize("secret", [SECRET, "short", "bXl0b2tlbg=="])
def test_signed_with_the_text_of_the_token(secret: str) -> None:
    """The token's text bytes are the HS256 key, however few; nothing is decoded, nobody warned."""
    token = mint(secret, KID, now=NOW, lifetime=LIFETIME)

    signed, _, signature = token.rpartition(".")
    wanted = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64encode(wanted).decode().rstrip("=") == signature


class Clock:
    """A clock that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_replaced_before_it_expires() -> None:
    """A token serves for nine tenths of its life; then there is to be another."""
    clock = Clock()
    current = CurrentToken(100, clock)

    assert None is current.get()
    assert "first" == current.set("first")
    handed = []
    for clock.now in (1000.0, 1050.0, 1089.9, 1090.0):
        handed.append(current.get())
    current.set("second")
    clock.now = 1179.9

    assert ["first", "first", "first", None] == handed
    assert "second" == current.get()


def test_refused_token_is_used_no_more() -> None:
    """Who is refused says with which token: one that has replaced it meanwhile stays."""
    current = CurrentToken(100, Clock())
    current.set("first")

    current.discard("first")
    assert None is current.get()
    current.set("second")
    current.discard("first")

    assert "second" == current.get()


@pytest.mark.parametrize(("lifetime", "used"), [(100, 90), (10, 8.5), (2, 0.5), (1, 0)])
def test_short_life_ends_before_its_last_moments(lifetime: int, used: float) -> None:
    """The times of a JWT are whole seconds, which may take one from its life."""
    clock = Clock()
    current = CurrentToken(lifetime, clock)
    clock.now += 3

    current.set("asked for three seconds ago", since=1000.0)
    handed = []
    for clock.now in (1000.0 + used - 0.01, 1000.0 + used):
        handed.append(current.get() is None)

    assert [lifetime == 1, True] == handed


REFUSED = AuthenticationError("refused", 4012)
REFUSED_TOO = AuthenticationError("refused, too")


def test_refusal_of_what_was_signed_here_turns_to_the_service() -> None:
    """It does so once, however many requests were refused with the same token."""
    current = CurrentToken(100, Clock())
    current.set("signed")

    assert [True, False, False] == [current.turn("signed") for _ in range(3)]
    assert (True, True, None) == (current.remote, current.turned, current.get())
    error = current.both_refused(REFUSED, REFUSED_TOO)
    assert "signed here" in error.message
    assert "that POST /token/jwt issued (refused, too)" in error.message
    assert 4012 == error.code


def test_service_that_issues_none_is_asked_once_in_a_lifetime() -> None:
    """What is sent then is signed here again, and the error names both ways."""
    clock = Clock()
    current = CurrentToken(100, clock)
    current.turn("signed")

    failed = current.turn_back(UnexpectedAnswerError("no JWT in it"))
    asks = []
    for clock.now in (1000.0, 1099.0, 1100.0):
        asks.append(current.turn("signed"))
        if clock.now == 1000.0:
            error = current.both_refused(REFUSED, failed)

    assert [False, False, True] == asks
    assert "signed here" in error.message
    assert "POST /token/jwt issued no other (no JWT in it)" in error.message


def test_connection_that_asks_anyway_has_one_way() -> None:
    """With `auth` `jwt_remote` a refusal is what it was."""
    current = CurrentToken(100, Clock(), remote=True)

    assert current.turn("issued") is False
    assert current.turned is False
    assert current.both_refused(REFUSED, REFUSED_TOO) is REFUSED_TOO


def test_token_is_in_no_representation() -> None:
    """Whoever prints it sees no token."""
    current = CurrentToken(100, Clock())
    current.set("secret-token")

    assert "secret-token" not in repr(current)


JWT = mint(SECRET, KID, now=NOW, lifetime=LIFETIME)
OTHER = mint(SECRET, "other", now=NOW, lifetime=LIFETIME)


@pytest.mark.parametrize(
    "body",
    [
        {"token": JWT},
        {"Token": JWT},
        {"jwt": JWT},
        {"Jwt": JWT},
        {"JwtToken": JWT},
        {"access_token": JWT},
        {"AccessToken": JWT, "ExpiresInSec": 3600},
        {"Something": JWT},
        {"data": {"token": JWT}},
        {"Data": [{"Token": JWT}]},
        {"a": OTHER, "Token": JWT},
        {"a": OTHER, "jwt": f" {JWT}\n", "token": None},
        {"Version": "1.2.3", "Host": "v2.convertapi.com", "Result": JWT},
        {"token": "opaque", "Jwt": JWT},
        [JWT],
        JWT,
        f"{JWT}\r\n",
        JWT.encode(),
        f"  {JWT}\n".encode(),
    ],
    ids=repr,  # a text and its bytes would have one name
)
def test_jwt_in_an_answer(body: Any) -> None:
    """The answer's shape is documented nowhere: each that was seen is read."""
    assert JWT == find_jwt(response(200, body))
    assert JWT == request_token(KID, 60, None).parse(response(200, body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"5",
        b"<html>sign in</html>",
        {},
        [],
        {"token": "opaque"},
        {"token": 5, "a": None},
        {"Version": "1.2.3", "Host": "v2.convertapi.com"},
        {"token": f"{JWT}\r\nX-Injected: 1"},
        {"token": JWT.rpartition(".")[0]},
        {"token": f"{JWT}.more"},
        {"a": {"b": {"c": {"d": {"e": {"f": JWT}}}}}},
        b"\xff\xfe",
    ],
)
def test_no_jwt_in_an_answer(body: Any) -> None:
    """What is no JWT never goes into a header; the error shows none of it and names the remedy."""
    assert None is find_jwt(response(200, body))

    with pytest.raises(UnexpectedAnswerError, match="Set the connection's auth to 'jwt'") as caught:
        request_token(KID, 60, None).parse(response(200, body))
    assert "opaque" not in str(caught.value)


def test_request_for_a_token() -> None:
    """The API token itself travels here, and the body has ConvertAPI's names."""
    request = request_token(KID, 60, "10.0.0.1").request

    assert ("POST", "/token/jwt", Credential.API_TOKEN) == (
        request.method,
        request.path,
        request.credential,
    )
    assert request.body
    assert "application/json" == request.body.content_type
    content = b"".join(request.body.blocks())
    assert {"Kid": KID, "ExpiresInSec": 60, "ClientIp": "10.0.0.1"} == json.loads(content)
    assert len(content) == request.body.size


def test_request_for_a_token_without_addresses() -> None:
    """No list of addresses, no field."""
    body = request_token(KID, 60, None).request.body

    assert body
    assert {"Kid": KID, "ExpiresInSec": 60} == json.loads(b"".join(body.blocks()))


def test_refused_request_for_a_token() -> None:
    """A wrong API token is an error of authentication."""
    with pytest.raises(AuthenticationError):
        request_token(KID, 60, None).parse(response(401, {"Code": 4011, "Message": "no"}))
