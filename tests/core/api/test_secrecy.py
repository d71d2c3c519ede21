"""Where tokens go, and where ids and tokens never go."""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConvertApiError,
    UnexpectedAnswerError,
)
from tests.core.api.server import FILE_ID, JOB_ID, RESET, Memory, reply, reply_json

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.api.wire import Credential
    from tests.core.api.conftest import MakeClient, Serve

TOKEN = "the-token-of-the-connection"
POLL = endpoints.get_job(JOB_ID)
EVERY_CALL: dict[str, Any] = {
    "submit": endpoints.start_conversion("docx", "pdf", JOB_ID, [("File", Memory(b"x"))]),
    "poll": POLL,
    "upload": endpoints.upload(Memory(b"x"), FILE_ID),
    "find": endpoints.find_file(FILE_ID),
    "delete file": endpoints.delete_file(FILE_ID),
    "delete job": endpoints.delete_job(JOB_ID),
    "token": endpoints.request_token("kid", 60, None),
    "user": endpoints.get_user(),
    "direct": endpoints.convert_directly("docx", "pdf", 10, [("File", Memory(b"x"))]),
    "download": endpoints.download(FILE_ID),
}
STREAMED = ("direct", "download")


def make_call(client: Any, name: str) -> None:
    """Make a call the way it is made."""
    if name in STREAMED:
        with client.stream(EVERY_CALL[name]) as (_, blocks):
            list(blocks)
    else:
        client.send(EVERY_CALL[name])


# --------------------------------------------------------------------------------------
# Tokens
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_CALL)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(
    serve: Serve, make_client: MakeClient, name: str, status: int
) -> None:
    """Neither a token nor a document reaches the host that a redirect names."""
    elsewhere = serve(reply(200))
    server = serve(reply(status, b"", f"Location: {elsewhere.url}/d/{FILE_ID}?Token=x"))

    with pytest.raises(UnexpectedAnswerError, match="redirect"):
        make_call(make_client(server.url), name)

    assert 1 == len(server.requests)
    assert [] == elsewhere.requests


@pytest.fixture
def netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Write a file of passwords that names every host on this machine."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login me password other\ndefault login me password other\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    return path


def test_netrc_replaces_no_token(serve: Serve, make_client: MakeClient, netrc: Path) -> None:
    """The file is one that `requests` reads; ours are sent all the same, and only ours."""
    server = serve(reply(202))
    requests.get(server.url, timeout=5)
    client = make_client(server.url)

    for name in EVERY_CALL:
        with suppress(ConvertApiError):
            make_call(client, name)
    client.session.get(f"{server.url}/anything")

    first, *ours = [got.headers["authorization"] for got in server.requests]
    assert first.startswith("Basic ")
    assert all(value.startswith(f"Bearer {TOKEN}-") for value in ours)


def test_session_authorizes_its_own_host_only(
    serve: Serve, make_client: MakeClient, netrc: Path
) -> None:
    """A session that users get has the token for ConvertAPI, and for no other host or port."""
    other = serve(reply(200))
    server = serve(reply(302, b"", f"Location: {other.url}/there"))
    session = make_client(server.url).session

    session.get(f"{server.url}/info")
    session.get(f"{other.url}/elsewhere")

    assert [f"Bearer {TOKEN}-token"] == [got.headers["authorization"] for got in server.requests]
    assert ["/there", "/elsewhere"] == [got.target for got in other.requests]
    assert not [got for got in other.requests if TOKEN in str(got.headers)]


@pytest.mark.parametrize("host", ["LOCALHOST", "LocalHost", "127.0.0.1"])
def test_host_however_written(serve: Serve, make_client: MakeClient, host: str) -> None:
    """The connection's host is the same in other letters."""
    server = serve(reply(202))

    make_client(f"HTTP://{host}:{server.port}").send(POLL)

    assert f"Bearer {TOKEN}-token" == server.requests[0].headers["authorization"]


def test_token_is_asked_for_when_it_is_needed(serve: Serve, make_client: MakeClient) -> None:
    """A session asks for the token of each request, so that it outlives a JWT."""
    server = serve(reply(200))
    asked: list[Credential] = []

    def token(kind: Credential) -> str:
        asked.append(kind)
        return f"token-{len(asked)}"

    client = make_client(server.url, token=token)
    assert [] == asked
    for _ in range(2):
        client.session.get(f"{server.url}/info")

    assert ["Bearer token-1", "Bearer token-2"] == [
        got.headers["authorization"] for got in server.requests
    ]


def test_token_is_in_no_representation(serve: Serve, make_client: MakeClient) -> None:
    """Who prints a client, its session or its authorization sees no token."""
    client = make_client(serve(reply(202)).url)
    client.send(POLL)

    for shown in (client, client.session, client.session.auth):
        assert TOKEN not in repr(shown)


# --------------------------------------------------------------------------------------
# Ids and URLs
# --------------------------------------------------------------------------------------

TELL_TALE = f'{{"Code": 5008, "Message": "See https://u:p@h/d/{FILE_ID}?Token={TOKEN} {JOB_ID}"}}'

ANSWERS: dict[str, Any] = {
    "closed": None,
    "reset": RESET,
    "nonsense": lambda _: iter([b"nonsense\r\n\r\n"]),
    "torn": reply(200, TELL_TALE.encode(), length=9999),
    "unexpected": reply(200, TELL_TALE.encode(), f"Content-Type: text/{FILE_ID}"),
    "verdict": reply(500, TELL_TALE.encode()),
    "wrong": reply(400, TELL_TALE.encode()),
    "refused": reply(401, TELL_TALE.encode()),
    "redirect": reply(302, b"", f"Location: https://h/d/{FILE_ID}?Token={TOKEN}"),
    "page": reply(404, f"<a href='/d/{FILE_ID}'>{JOB_ID}</a>".encode()),
    "gateway": reply(502, f"<a href='/async/job/{JOB_ID}'>".encode()),
}


@pytest.mark.parametrize("answer", [*ANSWERS, "nobody there"])
@pytest.mark.parametrize("name", EVERY_CALL)
def test_nothing_leaks(
    serve: Serve,
    make_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
    name: str,
    answer: str,
) -> None:
    """Neither texts of errors, with all that chains to them, nor logs show what opens anything."""
    caplog.set_level(logging.DEBUG)
    server = serve(ANSWERS.get(answer))
    if answer == "nobody there":
        server.close()

    error = None
    try:
        make_call(make_client(server.url), name)
    except ConvertApiError as caught:
        error = caught

    texts = caplog.text
    if error:
        texts += "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    for secret in (JOB_ID, FILE_ID, TOKEN, "u:p@", f"{server.url}/"):
        assert secret not in texts
    assert "urllib3" in caplog.text


def test_log_lines_are_still_of_use(
    serve: Serve, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """What urllib3 says is said, but for the ids."""
    caplog.set_level(logging.DEBUG)
    server = serve(reply_json(200, {"JobId": JOB_ID}))

    make_call(make_client(server.url), "submit")

    wanted = f'{server.url} "POST /async/convert/docx/to/pdf?JobId=<id> HTTP/1.1" 200 None'
    assert wanted.rpartition(" ")[0] in caplog.text


def test_refusal_holds_neither_token_nor_body(serve: Serve, make_client: MakeClient) -> None:
    """A service that repeats the token in its refusal makes us repeat no JWT."""
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJraWQiOiJrIn0.c2lnbmF0dXJl"
    server = serve(reply_json(401, {"Code": 4012, "Message": f"Bad token {jwt}"}))

    with pytest.raises(AuthenticationError) as caught:
        make_client(server.url, token=lambda _: jwt).send(POLL)

    assert jwt not in "".join(traceback.format_exception(caught.value))
