"""Further API tokens of the account: a limit of their own, and an end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from convertapi_sandbox import Sandbox
from convertapi_sandbox.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    Call = Callable[..., requests.Response]


def bearer(token: dict[str, Any], **claims: Any) -> dict[str, str]:
    """Return the header that carries an API token, or a JWT of it if there are claims."""
    secret = token["token"]
    if claims:
        payload = {"kid": token["kid"], "exp": int(time.time()) + 60} | claims
        secret = jwt.encode(payload, secret, algorithm="HS256")
    return {"Authorization": f"Bearer {secret}"}


def test_a_limited_token_ends_where_the_account_does_not(sandbox: Sandbox, zipped: Call) -> None:
    """Its conversions are billed to the account; only its own next one is refused."""
    token = sandbox.add_token(limit=2)

    statuses = [zipped(headers=bearer(token)).status_code for _ in range(3)]

    assert [200, 200, 403] == statuses
    assert 200 == zipped().status_code
    assert (3, 997) == (sandbox.billed, sandbox.balance)


@pytest.mark.parametrize(("status", "code"), [(403, 403), (403, 4014), (401, 4014)])
def test_the_refusal_is_that_of_an_exhausted_account(
    sandbox: Sandbox, zipped: Call, status: int, code: int
) -> None:
    """The same switches decide its status and Code."""
    sandbox.settings.quota_status = status  # type: ignore[assignment]  # one of the parameters
    sandbox.settings.quota_code = code

    answer = zipped(headers=bearer(sandbox.add_token(limit=0)))

    assert (status, code) == (answer.status_code, answer.json()["Code"])
    assert 0 == sandbox.billed


def test_its_jwts_count_towards_its_limit(sandbox: Sandbox, zipped: Call, caller: Any) -> None:
    """A JWT that it signs, and one that is issued for it, are the token's own; each has its Kid."""
    token = sandbox.add_token(limit=2)
    body = {"Kid": token["kid"], "ExpiresInSec": 60}
    issued = caller.post("/token/jwt", json=body, headers=bearer(token)).json()["token"]

    statuses = [
        zipped(headers=headers).status_code
        for headers in (
            bearer(token, iat=int(time.time())),
            {"Authorization": f"Bearer {issued}"},
            bearer(token, iat=int(time.time())),
        )
    ]

    assert [200, 200, 403] == statuses
    assert token["kid"] == sandbox.requests[-1].claims["kid"]  # type: ignore[index]  # a JWT's


def test_a_token_of_one_kid_does_not_sign_for_another(sandbox: Sandbox, zipped: Call) -> None:
    """Neither a JWT nor POST /token/jwt mixes two tokens up."""
    token = sandbox.add_token()

    answer = zipped(headers=bearer(token, kid=sandbox.kid))

    assert (401, 4012) == (answer.status_code, answer.json()["Code"])


def test_a_job_that_exceeds_it_is_refused_where_refusals_are(
    sandbox: Sandbox, zipped: Call, poll: Call
) -> None:
    """With job_refusals_at=job the job is accepted and says 403."""
    sandbox.settings.job_refusals_at = "job"
    token = sandbox.add_token(limit=0)

    started = zipped("/async/convert/file/to/zip", headers=bearer(token))

    assert 200 == started.status_code
    assert 403 == poll(started.json()["JobId"]).status_code


def test_many_at_once_end_exactly_at_the_limit(sandbox: Sandbox, zipped: Call) -> None:
    """A conversion is reserved before it starts."""
    headers = bearer(sandbox.add_token(limit=3))

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: zipped(headers=headers).status_code, range(8)))

    assert [200] * 3 + [403] * 5 == sorted(statuses)
    assert 3 == sandbox.billed


def test_overage_does_not_lift_a_tokens_limit(sandbox: Sandbox, zipped: Call) -> None:
    """A plan that bills beyond its size still has tokens that end."""
    sandbox.settings.overage = True

    assert 403 == zipped(headers=bearer(sandbox.add_token(limit=0))).status_code


def test_a_cost_above_one_uses_the_limit_up_faster(sandbox: Sandbox, zipped: Call) -> None:
    """The limit counts conversions, and what fails before any work takes none."""
    sandbox.settings.conversion_cost = 2
    headers = bearer(sandbox.add_token(limit=3))

    refused = zipped("/convert/docx/to/pdf", files={}, headers=headers)
    statuses = [zipped(headers=headers).status_code for _ in range(3)]

    assert 400 == refused.status_code
    assert [200, 200, 403] == statuses


def test_an_expired_token_is_refused(sandbox: Sandbox, zipped: Call) -> None:
    """It, and a JWT that it signed, get a 401."""
    token = sandbox.add_token(lifetime=0)

    assert [401, 401] == [
        zipped(headers=headers).status_code for headers in (bearer(token), bearer(token, iat=0))
    ]


def test_it_reads_no_account_and_goes_with_a_reset(
    sandbox: Sandbox, zipped: Call, caller: Any
) -> None:
    """It is an API token like the built-in one; `reset` forgets it."""
    token = sandbox.add_token(limit=5)

    assert 401 == caller.get("/user", headers=bearer(token)).status_code
    sandbox.reset()

    assert 401 == zipped(headers=bearer(token)).status_code


@pytest.mark.parametrize("values", [{"limit": -1}, {"limit": "1"}, {"lifetime": "x"}, {"end": 1}])
def test_a_wrong_limit_is_an_error(sandbox: Sandbox, values: dict[str, Any]) -> None:
    """It is found where it is set."""
    with pytest.raises((ValueError, TypeError)):
        sandbox.add_token(**values)


def test_another_process_adds_one(sandbox: Sandbox, zipped: Call) -> None:
    """The same over HTTP."""
    token = Sandbox.attach(sandbox.url).add_token(limit=1)

    assert 200 == zipped(headers=bearer(token)).status_code
    assert [(1, 1)] == [(item["limit"], item["used"]) for item in sandbox.tokens]


def test_the_command_adds_one_and_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong one is an error of the command line."""
    with pytest.raises(SystemExit):
        main(["--add-token", "limits=1"])

    assert "limits" in capsys.readouterr().err
