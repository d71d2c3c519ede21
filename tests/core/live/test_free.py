"""What the live check asks without spending anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import UnexpectedAnswerError
from airflow_provider_convertapi.live.facts import roundest, set_line
from airflow_provider_convertapi.live.report import render
from airflow_provider_convertapi.live.run import run
from tests.canary import leaks, secrets_of
from tests.core.live.conftest import known

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.live.check import Check
    from convertapi_sandbox import Sandbox


def test_what_is_free_is_free_even_where_refusals_are_billed(
    convertapi_sandbox: Sandbox, new_check: Callable[..., Check]
) -> None:
    """Nothing is billed, nothing stays, no token goes where it must not, and no secret is told."""
    convertapi_sandbox.settings.bill_refused = True
    convertapi_sandbox.settings.token_answer = "json_string"
    convertapi_sandbox.settings.jwt_leeway = 30.0
    check = new_check()

    run(check)
    report = render(check, None, check.close())

    found = known(check)
    assert 0 == convertapi_sandbox.billed
    assert ({}, {}) == (convertapi_sandbox.files, convertapi_sandbox.jobs)
    assert ("text", 30, "json_string") == tuple(
        found[name] for name in ("jwt_key", "jwt_leeway", "token_answer")
    )
    assert [] == leaks(secrets_of(convertapi_sandbox), {"the report": report})
    admin = convertapi_sandbox.requests.filter(path="/user")
    assert {"master"} == {entry.authorization_kind for entry in admin}
    assert "--set jwt_leeway=30" in report


@pytest.mark.parametrize(
    "page",
    [
        {"status": 200, "body": "<html>Sign in</html>", "content_type": "text/html"},
        {"status": 200, "body": "{}", "content_type": "application/json"},
        {"status": 302, "headers": {"Location": "http://login.example/"}},
        {"status": 407, "body": "<html>", "content_type": "text/html"},
        {"status": 404, "body": "not here", "content_type": "text/plain"},
    ],
    ids=lambda page: f"{page['status']} {page.get('body', '')[:3]}",
)
def test_a_host_that_is_not_convertapi_is_no_evidence(
    convertapi_sandbox: Sandbox, new_check: Callable[..., Check], page: dict[str, Any]
) -> None:
    """A sign-in page or a proxy answers everything alike: nothing is said to be known."""
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
        convertapi_sandbox.fail(f"{method} /*", **page, times=None)
    check = new_check(9)

    with pytest.raises(UnexpectedAnswerError, match="is not ConvertAPI"):
        run(check)

    assert {} == known(check)
    assert [] == convertapi_sandbox.requests.filter(method="POST")


@pytest.mark.parametrize(
    ("above", "most", "number"),
    [
        (-0.6, 0.5, 0),
        (58.8, 60.4, 60),
        (16.4, 17.6, 17),
        (3900, 7500, 7200),
        (0.25, 0.42, 0.3),
        (28.0, 33.0, 30),
    ],
)
def test_a_measured_interval_stands_for_its_roundest_number(
    above: float, most: float, number: float
) -> None:
    """A service's settings are round."""
    assert number == roundest(above, most)


def test_a_line_starts_a_sandbox_with_the_same_settings() -> None:
    """Values are spelled as the command reads them."""
    line = set_line({"throttle_above": None, "bill_refused": True, "jwt_key": "text"})

    assert line.endswith("--set throttle_above=null --set bill_refused=true --set jwt_key=text")
