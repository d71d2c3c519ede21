"""Tokens and the account: the shapes of answers, statistics, and credentials of earlier years."""

from __future__ import annotations

import base64
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]


@pytest.fixture
def master(sandbox: Sandbox) -> dict[str, str]:
    """Return the header of the master token."""
    return {"Authorization": f"Bearer {sandbox.master_token}"}


@pytest.mark.parametrize(
    "shape",
    [
        "token",
        "Token",
        "jwt",
        "Jwt",
        "JwtToken",
        "AccessToken",
        "access_token",
        "text",
        "json_string",
    ],
)
def test_token_answer_has_many_shapes(
    caller: requests.Session, sandbox: Sandbox, shape: str
) -> None:
    """The answer of POST /token/jwt is undocumented: the switch offers every likely shape."""
    sandbox.settings.token_answer = shape  # type: ignore[assignment]  # each is listed

    answer = caller.post("/token/jwt", json={"kid": sandbox.kid, "expiresInSec": "60"})

    token = answer.text if shape == "text" else answer.json()
    token = token[shape] if isinstance(token, dict) else token
    assert 200 == answer.status_code
    assert 2 == token.count(".")


@pytest.mark.parametrize(
    ("body", "status", "code", "invalid"),
    [
        ({}, 400, 4000, ["Kid", "ExpiresInSec"]),
        ({"Kid": "x"}, 400, 4000, ["ExpiresInSec"]),
        ({"Kid": "x", "ExpiresInSec": True}, 400, 4000, ["ExpiresInSec"]),
        ({"Kid": "x", "ExpiresInSec": 0}, 400, 4000, ["ExpiresInSec"]),
        ({"Kid": "00000000-0000-4000-8000-000000000000", "ExpiresInSec": 60}, 401, 4012, []),
        ([], 400, 4002, []),
    ],
)
def test_bad_token_request(
    caller: requests.Session, body: Any, status: int, code: int, invalid: list[str]
) -> None:
    """Missing fields are named; a Kid that does not belong to the token is refused."""
    answer = caller.post("/token/jwt", json=body)

    assert (status, code) == (answer.status_code, answer.json()["Code"])
    assert invalid == list(answer.json().get("InvalidParameters", []))


def test_only_the_api_token_mints(
    caller: requests.Session, sandbox: Sandbox, master: dict[str, str], signed: Callable[..., str]
) -> None:
    """Neither a JWT nor the master token gets a JWT."""
    body = {"Kid": sandbox.kid, "ExpiresInSec": 60}
    headers = ({"Authorization": f"Bearer {signed()}"}, master, {"Authorization": None})

    assert [401] * 3 == [
        caller.post("/token/jwt", json=body, headers=h).status_code for h in headers
    ]


def test_token_life_and_leeway_have_switches(
    sandbox: Sandbox, zipped: Call, signed: Callable[..., str]
) -> None:
    """Leeway, longest lifetime, networks in clientIp and the key's encoding are switches."""
    now = int(datetime.now(UTC).timestamp())
    expired = {"Authorization": f"Bearer {signed(exp=now - 5)}"}
    network = {"Authorization": f"Bearer {signed(clientIp='127.0.0.0/8')}"}
    assert [401, 401] == [zipped(headers=expired).status_code, zipped(headers=network).status_code]

    sandbox.settings.jwt_leeway = 30.0
    sandbox.settings.client_ip_networks = True
    assert [200, 200] == [zipped(headers=expired).status_code, zipped(headers=network).status_code]

    sandbox.settings.jwt_max_lifetime = 10.0
    assert 401 == zipped(headers=expired).status_code


@pytest.mark.parametrize(
    ("switch", "value", "code"),
    [("invalid_token_code", 4011, 4011), ("account_active", False, 4015)],
)
def test_codes_of_refusals(
    sandbox: Sandbox, zipped: Call, switch: str, value: Any, code: int
) -> None:
    """Codes that documents disagree about are switches."""
    setattr(sandbox.settings, switch, value)
    token = sandbox.token if switch == "account_active" else "wrong"

    answer = zipped(headers={"Authorization": f"Bearer {token}"})

    assert (401, code) == (answer.status_code, answer.json()["Code"])


def test_quota_refusal_of_older_pages(sandbox: Sandbox, zipped: Call) -> None:
    """The response code page still says 401 with Code 4014."""
    sandbox.balance = 0
    sandbox.settings.quota_status = 401

    assert (401, 4014) == (zipped().status_code, zipped().json()["Code"])


def test_overage_is_billed_instead_of_refused(sandbox: Sandbox, zipped: Call) -> None:
    """Paid plans continue below zero."""
    sandbox.balance = 0
    sandbox.settings.overage = True

    assert 200 == zipped().status_code
    assert (-1, 1) == (sandbox.balance, sandbox.billed)


def test_quota_may_refuse_in_the_job(sandbox: Sandbox, zipped: Call, poll: Call) -> None:
    """A refusal can be reported by the job instead of by its start; it costs nothing."""
    sandbox.balance = 0
    sandbox.settings.job_refusals_at = "job"

    started = zipped("/async/convert/file/to/zip")

    assert (200, 403) == (started.status_code, poll(started.json()["JobId"]).status_code)
    assert 0 == sandbox.billed


def test_price_and_billing_of_refusals(sandbox: Sandbox, zipped: Call) -> None:
    """The price of a success, and whether a 400 costs, are switches."""
    sandbox.settings.conversion_cost = 4
    sandbox.settings.bill_refused = True

    assert 4 == zipped().json()["ConversionCost"]
    assert 400 == zipped(data={"Timeout": "1"}).status_code
    sandbox.fail("POST /convert", verdict=4000, status=400)
    assert 400 == zipped().status_code
    assert [4, 1, 1] == [entry.cost for entry in sandbox.requests]
    assert 6 == sandbox.billed


def test_statistics(caller: requests.Session, zipped: Call, master: dict[str, str]) -> None:
    """Each conversion is listed, as JSON or CSV, between two dates."""
    zipped()
    caller.post("/convert/pdf/to/txt", files={"File": ("a.pdf", b"%PDF broken")})
    today = datetime.now(UTC).date()
    days = {"startDate": str(today - timedelta(days=1)), "endDate": str(today + timedelta(days=1))}

    rows = caller.get("/user/statistic", params=days, headers=master).json()
    text = caller.get("/user/statistic", params=days, headers=master | {"Accept": "text/csv"}).text

    assert [(True, "file", "zip", "notes.txt"), (False, "pdf", "txt", "a.pdf")] == [
        (row["Result"], row["SourceFormat"], row["DestinationFormat"], row["Source"])
        for row in rows
    ]
    assert [row["CreatedAt"] for row in rows] == [
        row["CreatedAt"] for row in csv.DictReader(io.StringIO(text))
    ]
    long_ago = {"startDate": "2020-01-01", "endDate": "2020-01-02"}
    assert [] == caller.get("/user/statistic", params=long_ago, headers=master).json()


def test_statistics_want_dates_and_the_master_token(
    caller: requests.Session, master: dict[str, str]
) -> None:
    """Both dates are required; the API token is refused."""
    answer = caller.get("/user/statistic", params={"startDate": "yesterday"}, headers=master)

    assert ["startDate", "endDate"] == list(answer.json()["InvalidParameters"])
    assert (401, 4010) == (
        caller.get("/user/statistic").status_code,
        caller.get("/user").json()["Code"],
    )


def test_legacy_credentials(caller: requests.Session, sandbox: Sandbox, zipped: Call) -> None:
    """Secret and Token work as bearer, in the query and as Basic, until they are switched off."""
    basic = base64.b64encode(f"1:{sandbox.secret}".encode()).decode()
    ways: list[dict[str, Any]] = [
        {"headers": {"Authorization": f"Bearer {sandbox.secret}"}},
        {"headers": {"Authorization": f"Basic {basic}"}},
        {"headers": {"Authorization": None}, "params": {"Secret": sandbox.secret}},
    ]
    created = caller.post(
        "/token/create", params={"Secret": sandbox.secret}, headers={"Authorization": None}
    )
    [token] = created.json()["Tokens"]
    ways.append({"headers": {"Authorization": None}, "params": {"token": token["Id"]}})

    assert [200] * 4 == [zipped(**way).status_code for way in ways]
    assert ["secret", "secret", "secret", "token"] == [
        entry.authorization_kind for entry in sandbox.requests.filter(path="/convert")
    ]
    assert "Secret" not in caller.get("/user", **ways[0]).json()
    sandbox.settings.legacy_user_fields = True
    assert sandbox.secret == caller.get("/user", **ways[0]).json()["Secret"]

    deletion = caller.delete(f"/token/{token['Id']}", **ways[0])
    assert (200, 401) == (deletion.status_code, zipped(**ways[3]).status_code)
    sandbox.settings.legacy_credentials = False
    assert [401] * 4 == [zipped(**way).status_code for way in ways]


@pytest.mark.parametrize(
    ("fields", "bad"), [({"Count": "0"}, "count"), ({"Lifetime": "x"}, "lifetime")]
)
def test_legacy_token_limits(
    caller: requests.Session, sandbox: Sandbox, fields: dict[str, str], bad: str
) -> None:
    """The limits of the old token endpoint are enforced."""
    headers = {"Authorization": f"Bearer {sandbox.secret}"}

    assert [bad] == list(
        caller.post("/token/create", data=fields, headers=headers).json()["InvalidParameters"]
    )
