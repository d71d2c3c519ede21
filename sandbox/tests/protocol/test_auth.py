"""Credentials: who may convert, who may read the account, and each claim of a JWT."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]

NOW = int(time.time())


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def test_jwt_converts_and_its_claims_are_noted(
    sandbox: Sandbox, zipped: Call, signed: Callable[..., str]
) -> None:
    """A JWT signed with the API token is accepted, and the journal keeps its claims."""
    token = signed(clientIp="localhost,197.0.0.1")

    assert 200 == zipped(headers=bearer(token)).status_code
    [entry] = sandbox.requests
    assert "jwt" == entry.authorization_kind
    assert jwt.decode(token, options={"verify_signature": False}) == entry.claims


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": NOW - 1}, id="expired"),
        pytest.param({"exp": None}, id="no exp"),
        pytest.param({"exp": "soon"}, id="exp is text"),
        pytest.param({"exp": NOW + 10.5}, id="exp is a fraction"),
        pytest.param({"nbf": NOW + 86_400}, id="not yet valid"),
        pytest.param({"iat": NOW + 86_400}, id="issued in the future"),
        pytest.param({"kid": None}, id="no kid"),
        pytest.param({"kid": "00000000-0000-4000-8000-000000000000"}, id="unknown kid"),
        pytest.param({"clientIp": "10.1.2.3"}, id="another caller"),
        pytest.param({"clientIp": "127.0.0.0/8"}, id="a network"),
        pytest.param({"key": "x" * 40}, id="another key"),
        pytest.param({"algorithm": "HS512", "key": "x" * 64}, id="another algorithm"),
        pytest.param({"algorithm": "none", "key": ""}, id="unsigned"),
    ],
)
def test_bad_jwt_is_refused(
    sandbox: Sandbox, zipped: Call, signed: Callable[..., str], claims: dict[str, Any]
) -> None:
    """Any invalid JWT: 401 with Code 4012, and nothing is billed."""
    answer = zipped(headers=bearer(signed(**claims)))

    assert (401, 4012) == (answer.status_code, answer.json()["Code"])
    assert 0 == sandbox.billed


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({"Authorization": None}, 4013, id="none"),
        pytest.param({"Authorization": "Bearer "}, 4013, id="empty"),
        pytest.param({"Authorization": "Bearer wrong"}, 4013, id="wrong"),
        pytest.param({"Authorization": "Digest abc"}, 4013, id="another scheme"),
        pytest.param({"Authorization": "Basic ***"}, 4017, id="basic that is not base64"),
        pytest.param({"Authorization": "Bearer a.b.c"}, 4012, id="not a JWT"),
    ],
)
def test_missing_or_wrong_credentials(
    zipped: Call, headers: dict[str, str | None], code: int
) -> None:
    """Without a valid credential: 401 and the Code that the switch gives."""
    answer = zipped(headers=headers)

    assert (401, code) == (answer.status_code, answer.json()["Code"])


def test_master_token_reads_the_account(
    sandbox: Sandbox, caller: requests.Session, zipped: Call
) -> None:
    """The master token is for /user; the API token and a JWT are not."""
    zipped()

    user = caller.get("/user", headers=bearer(sandbox.master_token))
    assert {
        "Active": True,
        "Email": "sandbox@example.com",
        "FullName": "Sandbox",
        "ConversionsTotal": 1000,
        "ConversionsConsumed": 1,
    } == user.json()
    assert 401 == caller.get("/user").status_code


def test_rotated_token_is_dead_with_its_jwts(
    sandbox: Sandbox, zipped: Call, signed: Callable[..., str]
) -> None:
    """After `rotate_token` the old token and its JWTs are refused; the new token works."""
    old, old_jwt = sandbox.token, signed()

    new = sandbox.rotate_token()

    statuses = [zipped(headers=bearer(t)).status_code for t in (old, old_jwt, new, signed())]
    assert [401, 401, 200, 200] == statuses


def test_token_endpoint_issues_a_jwt(
    sandbox: Sandbox, caller: requests.Session, zipped: Call
) -> None:
    """POST /token/jwt signs the documented claims; the JWT converts."""
    body = {"Kid": sandbox.kid, "ExpiresInSec": 60, "ClientIp": "localhost"}

    token = caller.post("/token/jwt", json=body).json()["token"]

    claims = jwt.decode(token, sandbox.token, algorithms=["HS256"])
    assert {"kid", "iat", "nbf", "exp", "clientIp"} == set(claims)
    assert (sandbox.kid, 60, "localhost") == (
        claims["kid"],
        claims["exp"] - claims["iat"],
        claims["clientIp"],
    )
    assert 200 == zipped(headers=bearer(token)).status_code


# --- the free test of a credential ---------------------------------------------------------------

TEST = "/convert/docx/to/pdf"


def issued(sandbox: Sandbox, caller: requests.Session) -> str:
    """Return a JWT that the service signed."""
    body = {"Kid": sandbox.kid, "ExpiresInSec": 60}
    return str(caller.post("/token/jwt", json=body).json()["token"])


@pytest.mark.parametrize("bill_refused", [False, True])
def test_get_without_a_file_shows_a_good_credential(
    sandbox: Sandbox, caller: requests.Session, signed: Callable[..., str], bill_refused: bool
) -> None:
    """Each kind that converts gets a complaint about the file, and nothing is ever billed."""
    sandbox.settings.bill_refused = bill_refused
    good = [sandbox.token, signed(), signed(clientIp="127.0.0.1"), issued(sandbox, caller)]

    answers = [caller.get(TEST, headers=bearer(token)) for token in good]

    assert [400] * 4 == [answer.status_code for answer in answers]
    assert all("File" in answer.json()["InvalidParameters"] for answer in answers)
    kinds = [entry.authorization_kind for entry in sandbox.requests.filter(path=TEST)]
    assert ["api_token", "jwt", "jwt", "jwt"] == kinds
    assert 0 == sandbox.billed


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        pytest.param({"exp": NOW - 1}, 4012, id="expired"),
        pytest.param({"clientIp": "10.1.2.3"}, 4012, id="bound to others"),
        pytest.param({"key": "x" * 40}, 4012, id="another key"),
        pytest.param(None, 4013, id="a wrong API token"),
    ],
)
def test_get_without_a_file_refuses_a_bad_credential(
    caller: requests.Session, signed: Callable[..., str], claims: dict[str, Any] | None, code: int
) -> None:
    """The credential is looked at before the parameters."""
    token = "wrong" if claims is None else signed(**claims)

    answer = caller.get(TEST, headers=bearer(token))

    assert (401, code) == (answer.status_code, answer.json()["Code"])


def test_get_with_parameters_is_a_conversion_like_others(
    sandbox: Sandbox, caller: requests.Session
) -> None:
    """Only the request with nothing in it is free where refusals are billed."""
    sandbox.settings.bill_refused = True

    answer = caller.get(TEST, params={"PageRange": "1"})

    assert (400, 1) == (answer.status_code, sandbox.billed)
