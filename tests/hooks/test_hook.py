"""The hook's other methods: tokens, transfers, account, the connection test."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConnectionConfigError,
    ConversionInterrupted,
    ResultExpiredError,
)

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, **change: Any) -> None:
    """Set the default connection to the sandbox's with some fields changed."""
    connection = {**sandbox.airflow_connection}
    extra = {**connection.get("extra", {}), **change.pop("extra", {})}
    monkeypatch.setenv(
        "AIRFLOW_CONN_CONVERTAPI_DEFAULT", json.dumps({**connection, **change, "extra": extra})
    )


def carried(sandbox: Sandbox) -> set[str]:
    """Return the bearer tokens that requests carried, those that nothing asks for included."""
    return {entry.headers["authorization"].removeprefix("Bearer ") for entry in sandbox.requests}


def claims_of(token: str) -> dict[str, Any]:
    """Return a JWT's claims, unchecked."""
    import jwt

    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_construction_does_no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook of a connection that does not exist can be made; only its use complains."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    monkeypatch.delenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", raising=False)

    ConvertApiHook(convertapi_conn_id="no_such_connection")


def test_session_is_authenticated(sandbox: Sandbox, make_hook: MakeHook) -> None:
    """`get_conn` is a requests session whose JWT holds exactly the documented claims."""
    session = make_hook().get_conn()

    session.get(f"{sandbox.url}/info/canconvert/docx/to/pdf", timeout=5)

    [token] = carried(sandbox)
    assert {"kid", "iat", "nbf", "exp"} == set(claims_of(token))
    assert sandbox.kid == claims_of(token)["kid"]


def test_conversion_never_carries_the_api_token(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """Every request of a conversion carries one and the same JWT."""
    hook = make_hook()

    hook.convert(letter, "pdf", letter.parent / "o.pdf")

    [token] = carried(sandbox)
    assert {"kid", "iat", "nbf", "exp"} == set(claims_of(token))
    assert "jwt" == sandbox.requests.filter(path="/async/convert/*")[0].authorization_kind


def test_api_token_where_auth_says_so(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a Kid the API token itself is sent."""
    connect(monkeypatch, sandbox, login=None)

    make_hook().convert(letter, "pdf", letter.parent / "o.pdf")

    assert {sandbox.token} == carried(sandbox)


def test_client_ip_is_bound(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection's `client_ip` becomes the claim `clientIp`."""
    connect(monkeypatch, sandbox, extra={"client_ip": "localhost,127.0.0.1"})

    make_hook().convert(letter, "pdf", letter.parent / "o.pdf")

    [token] = carried(sandbox)
    assert "localhost,127.0.0.1" == claims_of(token)["clientIp"]


def test_refused_token_says_so_and_costs_nothing(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong token is refused once, minted once more, and fails naming the connection."""
    connect(monkeypatch, sandbox, password="w" * 40)

    with pytest.raises(AuthenticationError, match=r"'convertapi_default'.*costs nothing"):
        make_hook().convert(letter, "pdf", letter.parent / "o.pdf", durable=False)

    assert [401, 401] == [entry.status for entry in sandbox.requests]
    assert 0 == sandbox.billed


def test_lifetime_is_capped_by_the_task(sandbox: Sandbox) -> None:
    """A task that may run 100 s gets a JWT of 100 s and a margin."""
    import jwt

    from airflow_provider_convertapi.conversions.task import TaskTry
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    hook = ConvertApiHook()
    hook.open_session(TaskTry(dag_id="d", started=0.0, execution_timeout=100))

    claims = jwt.decode(hook.issue_token(), sandbox.token, algorithms=["HS256"])

    assert 100 + 60 + 2 * 60 == claims["exp"] - claims["iat"]


def test_issued_token_is_accepted_and_masked(sandbox: Sandbox, make_hook: MakeHook) -> None:
    """A token for others is signed with the asked lifetime, and Airflow's masker knows it."""
    from tests.airflow_api import redact

    token = make_hook().issue_token(lifetime=30, client_ip="127.0.0.1")

    assert token not in str(redact(f"it is {token}"))


@pytest.mark.parametrize("shape", ["token", "Token", "text", "json_string", "JwtToken"])
def test_remote_token_of_each_shape(
    sandbox: Sandbox,
    make_hook: MakeHook,
    letter: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: Any,
) -> None:
    """`jwt_remote` asks for one JWT and uses it, whatever shape the answer has."""
    connect(monkeypatch, sandbox, extra={"auth": "jwt_remote"})
    sandbox.settings.token_answer = shape

    make_hook().convert(letter, "pdf", letter.parent / "o.pdf")

    asked = sandbox.requests.filter(path="/token/jwt")
    assert ["api_token"] == [entry.authorization_kind for entry in asked]
    [token] = carried(sandbox) - {sandbox.token}
    assert sandbox.kid == claims_of(token)["kid"]


def test_upload_download_delete(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """A file goes up, comes back whole under its name, and is deleted."""
    hook = make_hook()

    file_id = hook.upload(letter)
    back = hook.download(file_id, f"{letter.parent}/back/")

    assert str(letter.parent / "back" / "letter.txt") == back
    assert letter.read_bytes() == Path(back).read_bytes()
    assert (True, False) == (hook.delete(file_id), hook.delete(file_id))
    with pytest.raises(ResultExpiredError):
        hook.download(file_id, f"{letter.parent}/back/")


def test_account_needs_the_master_token(
    sandbox: Sandbox, make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Account calls use the master token and nothing else does."""
    with pytest.raises(ConnectionConfigError, match="master_token"):
        make_hook().get_user()
    connect(monkeypatch, sandbox, extra={"master_token": sandbox.master_token})
    hook = make_hook()

    assert hook.get_user()["Active"] is True
    assert [] == hook.get_statistics("2026-01-01", "2026-01-02")
    assert ["master", "master"] == [entry.authorization_kind for entry in sandbox.requests]


def test_stop_interrupts_a_waiting_conversion(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path
) -> None:
    """A stopped hook ends with `ConversionInterrupted`; the next try collects the job."""
    sandbox.jobs_take(polls=5)
    hook = make_hook()
    hook.open_session().stop()
    out = letter.parent / "o.pdf"
    with pytest.raises(ConversionInterrupted):
        hook.convert(letter, "pdf", out)

    make_hook(2).convert(letter, "pdf", out, poll_interval=0.1)

    assert 1 == sandbox.billed


TESTS: list[Any] = [
    pytest.param({}, True, "accepts the API token and the Kid", id="good"),
    pytest.param({"login": None}, True, "cannot be verified", id="no Kid"),
    pytest.param({"password": "w" * 40}, False, "401", id="wrong token"),
    pytest.param(
        {"login": "99999999-2222-4333-8444-555555555555"}, False, "ConvertAPI", id="wrong Kid"
    ),
    pytest.param({"login": "no-guid"}, False, "Kid", id="no GUID"),
    pytest.param({"password": "***"}, False, "masked value", id="masked"),
    pytest.param({"host": "http://127.0.0.1:9"}, False, "no connection", id="nobody there"),
    pytest.param({"host": "http://example.com"}, False, "plain http", id="plain http"),
    pytest.param({"extra": {"auth": "magic"}}, False, "jwt_remote", id="unknown auth"),
    pytest.param({"extra": {"master_token": "m" * 40}}, False, "401", id="wrong master token"),
]


@pytest.mark.parametrize(("change", "good", "text"), TESTS)
def test_connection_test(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    good: bool,
    text: str,
) -> None:
    """The Test button spends nothing, and says what is wrong and on which machine it ran."""
    import platform

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    connect(monkeypatch, sandbox, **change)
    started = time.monotonic()

    result, message = ConvertApiHook().test_connection()

    assert (good, True) == (result, text in message)
    assert sandbox.token not in message
    assert 0 == sandbox.billed
    assert time.monotonic() - started < 5
    if "tested on" in message:
        assert platform.node() in message


def test_connection_test_shows_the_balance(
    sandbox: Sandbox, make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a master token the test says how many conversions are left."""
    connect(monkeypatch, sandbox, extra={"master_token": sandbox.master_token})
    sandbox.balance = 42

    result, message = make_hook().test_connection()

    assert (True, True) == (result, "42 of" in message)


def test_ids_and_tokens_stay_out_of_logs(
    sandbox: Sandbox, make_hook: MakeHook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG, with every logger on, no job id, file id or JWT is written."""
    caplog.set_level(logging.DEBUG)
    source = tmp_path / "large.txt"
    source.write_text("line of text\n" * 90_000)
    hook = make_hook()

    hook.convert(source, "zip", tmp_path / "o.zip")

    ids = {entry.job_id for entry in sandbox.requests if entry.job_id}
    files = {part for e in sandbox.requests for part in e.path.split("/") if len(part) == 32}
    text = caplog.text
    assert "/async/job" in text or "/d/" in text
    assert [] == [secret for secret in ids | files if secret in text]
    assert sandbox.token not in text
    assert "eyJ" not in text
