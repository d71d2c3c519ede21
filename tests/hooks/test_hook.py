"""The hook's other methods: tokens, transfers, account, the connection test."""

from __future__ import annotations

import copy
import json
import logging
import pickle
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


@pytest.mark.parametrize(
    "travel", [copy.copy, copy.deepcopy, lambda hook: pickle.loads(pickle.dumps(hook))]
)
def test_copy_of_a_hook_that_is_in_use(
    sandbox: Sandbox, make_hook: MakeHook, letter: Path, travel: Any
) -> None:
    """A copy, such as one in another process, opens a session of its own, and has no token."""
    hook = make_hook()
    hook.convert(letter, "pdf", letter.with_suffix(".pdf"))

    made = travel(hook).convert(letter, "pdf", letter.with_name("copy.pdf"))

    assert [str(letter.with_name("copy.pdf"))] == made
    assert sandbox.token.encode() not in pickle.dumps(hook)


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


OTHER_KID = "99999999-2222-4333-8444-555555555555"
TESTS: list[Any] = [
    pytest.param({}, True, "accepts the API token and the Kid", id="good"),
    pytest.param({"extra": {"auth": "jwt_remote"}}, True, "POST /token/jwt issued", id="remote"),
    pytest.param({"login": None}, True, "accepts the API token.", id="no Kid"),
    pytest.param({"password": "w" * 40}, False, "401", id="wrong token"),
    pytest.param(
        {"password": "w" * 40, "login": None}, False, "(auth 'api_token')", id="no Kid, wrong token"
    ),
    pytest.param({"login": OTHER_KID}, False, "issued no other", id="wrong Kid"),
    pytest.param({"login": OTHER_KID, "extra": {"auth": "api_token"}}, True, "token", id="no JWT"),
    pytest.param({"extra": {"client_ip": "127.0.0.1"}}, True, "the Kid", id="bound to us"),
    pytest.param({"extra": {"client_ip": "10.1.2.3"}}, False, "clientIp", id="bound to others"),
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
    sandbox.settings.bill_refused = True
    waits: list[float] = []
    monkeypatch.setattr(ConvertApiHook, "_pause", lambda _, seconds: waits.append(seconds))

    result, message = ConvertApiHook().test_connection()

    assert (good, True) == (result, text in message)
    assert sandbox.token not in message
    assert 0 == sandbox.billed
    assert sum(waits) < 5  # a person waits for it
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


@pytest.mark.parametrize(
    ("switches", "good", "text"),
    [
        ({"jwt_key": "base64"}, True, "refuses the JWTs that are signed here, and accepts those"),
        ({"clock_offset": 9000.0}, True, "refuses the JWTs that are signed here"),
        ({"jwt_max_lifetime": 60.0}, False, "its lifetime is too long"),
        ({"account_active": False}, False, "inactive"),
        ({"overage": True}, True, "accepts the API token and the Kid. Nothing was spent."),
        ({"throttle_above": 0}, False, "HTTP 503"),
    ],
)
def test_connection_test_shows_what_tasks_will_meet(
    sandbox: Sandbox, make_hook: MakeHook, switches: dict[str, Any], good: bool, text: str
) -> None:
    """It sends the very credential of tasks, in the way that they will find."""
    for name, value in switches.items():
        setattr(sandbox.settings, name, value)

    result, message = make_hook().test_connection()

    assert (good, True) == (result, text in message), message
    assert 0 == sandbox.billed


@pytest.mark.parametrize("quota", [{"quota_status": 401}, {"quota_code": 4014}, {}])
def test_connection_test_without_conversions(
    sandbox: Sandbox, make_hook: MakeHook, quota: dict[str, Any]
) -> None:
    """The credential is accepted where only the balance is refused, whatever that looks like."""
    status, code = quota.get("quota_status", 403), quota.get("quota_code", 4014)
    sandbox.fail("GET /convert/*", status=status, code=code)

    result, message = make_hook().test_connection()

    assert (True, True) == (result, "No conversions are left." in message)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 200, "html": True},
        {"status": 200, "body": b'{"Code": 7}'},
        {"status": 400, "html": True},
        {"status": 403, "html": True},
        {"status": 404},
        {"status": 405, "empty": True},
        {"status": 500, "code": 50050},
        {"status": 502, "html": True},
        {"redirect": "https://login.example.com/"},
        {"drop": "before"},
    ],
    ids=str,
)
def test_connection_test_that_shows_nothing(
    sandbox: Sandbox, make_hook: MakeHook, fault: dict[str, Any]
) -> None:
    """Only ConvertAPI's own complaint about the file proves a token; a proxy's page does not."""
    sandbox.fail("GET /convert/*", **fault)

    assert make_hook().test_connection()[0] is False


def test_connection_test_of_a_wrong_master_token(
    sandbox: Sandbox, make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which of the two tokens is refused, and sends neither in place of the other."""
    connect(monkeypatch, sandbox, extra={"master_token": "m" * 40})

    result, message = make_hook().test_connection()

    assert (False, True) == (result, "extra master_token is not accepted" in message)
    paths = {e.path: e.headers["authorization"].count(".") for e in sandbox.requests}
    assert {"/convert/docx/to/pdf": 2, "/user": 0} == paths


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
