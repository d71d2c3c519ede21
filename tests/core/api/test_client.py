"""The client over a real socket: what is sent, how often, and what comes back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import BaseAdapter

from airflow_provider_convertapi import __version__
from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.endpoints import ConvertedFile, JobAnswer
from airflow_provider_convertapi.api.retry import Backoff
from airflow_provider_convertapi.api.wire import BLOCK, Credential
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionInterrupted,
    ParameterError,
    QuotaExhaustedError,
    ThrottledError,
    TransportError,
    UnexpectedAnswerError,
)
from tests.core.api.server import FILE_ID, JOB_ID, RESET, Memory, one_by_one, reply, reply_json

if TYPE_CHECKING:
    from tests.core.api.conftest import MakeClient, Serve
    from tests.core.api.server import Received

STORED = {"FileName": "a.pdf", "FileSize": 4, "FileId": FILE_ID}
RUNNING = reply(202)
UNKNOWN = reply(404)
BUSY = reply_json(503, {"Code": 503, "Message": "The service is overloaded."})
REFUSED = reply_json(401, {"Code": 4012, "Message": "Bad JWT."})
POLL = endpoints.get_job(JOB_ID)


def submit(*fields: Any) -> Any:
    """Return the paid call of a durable conversion."""
    return endpoints.start_conversion("docx", "pdf", JOB_ID, fields)


# --------------------------------------------------------------------------------------
# What is sent
# --------------------------------------------------------------------------------------


def test_request_on_the_wire(serve: Serve, make_client: MakeClient) -> None:
    """Path, query, body and headers arrive as they were described."""
    server = serve(reply_json(200, {"JobId": JOB_ID}))

    make_client(server.url).send(submit(("File", Memory(b"DATA")), ("Timeout", "60")))

    [got] = server.requests
    assert ("POST", f"/async/convert/docx/to/pdf?JobId={JOB_ID}") == (got.method, got.target)
    assert b"DATA" in got.body
    assert {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": f"airflow-provider-convertapi/{__version__}",
        "accept-encoding": "identity",
        "accept": "application/json",
        "connection": "keep-alive",
        "content-type": got.headers["content-type"],
        "content-length": str(len(got.body)),
        "authorization": got.headers["authorization"],
    } == got.headers
    assert got.headers["content-type"].startswith("multipart/form-data; boundary=")


def test_query_is_encoded(serve: Serve, make_client: MakeClient) -> None:
    """A value of the query cannot add another."""
    server = serve(reply_json(200, []))

    make_client(server.url).send(endpoints.get_statistics("2026-01-01&x=1", "a b#c\u00e4"))

    wanted = "/user/statistic?startDate=2026-01-01%26x%3D1&endDate=a+b%23c%C3%A4"
    assert wanted == server.requests[0].target


@pytest.mark.parametrize("size", [0, 1, 70_000, BLOCK, 2 * BLOCK + 3])
def test_body_has_a_length(serve: Serve, make_client: MakeClient, size: int) -> None:
    """Every upload says how long it is: chunked ones arrive damaged, an empty file is a file."""
    server = serve(reply_json(200, STORED))
    data = (bytes(range(251)) * (size // 251 + 1))[:size]

    make_client(server.url).send(endpoints.upload(Memory(data, "\u00e4 b.docx"), FILE_ID))

    [got] = server.requests
    assert data == got.body
    assert str(size) == got.headers["content-length"]
    assert "transfer-encoding" not in got.headers
    assert "attachment; filename*=UTF-8''%C3%A4%20b.docx" == got.headers["content-disposition"]
    assert "application/octet-stream" == got.headers["content-type"]
    assert f"/upload?fileId={FILE_ID}" == got.target


@pytest.mark.parametrize("endpoint", [POLL, endpoints.find_file(FILE_ID)])
def test_no_body(serve: Serve, make_client: MakeClient, endpoint: Any) -> None:
    """A request without a body announces none."""
    server = serve(UNKNOWN)

    make_client(server.url).send(endpoint)

    assert not {"content-length", "transfer-encoding", "content-type"} & set(
        server.requests[0].headers
    )


def test_deletion_has_no_body(serve: Serve, make_client: MakeClient) -> None:
    """A DELETE says that nothing follows."""
    server = serve(reply(200))

    assert make_client(server.url).send(endpoints.delete_file(FILE_ID))

    assert ("0", b"") == (server.requests[0].headers["content-length"], server.requests[0].body)


def test_answer_is_read(serve: Serve, make_client: MakeClient) -> None:
    """An answer's headers and body reach the parse function, names in UTF-8 or Latin-1."""
    server = serve(
        one_by_one(
            reply(200, b"", "File-Size: 7", 'Content-Disposition: a; filename="\u00c3\u00a4"'),
            reply(200, b"", "File-Size: 7", 'Content-Disposition: a; filename="\u00e4"'),
        )
    )
    client = make_client(server.url)

    assert [ConvertedFile("\u00e4", 7, FILE_ID)] * 2 == [
        client.send(endpoints.find_file(FILE_ID)) for _ in range(2)
    ]


def test_chunked_answer(serve: Serve, make_client: MakeClient) -> None:
    """An answer whose length nobody knows beforehand is read to its end."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = serve(head + b"4\r\n" + b'{"Jo' + b"\r\n5\r\n" + b'b":1}' + b"\r\n0\r\n\r\n")

    assert None is make_client(server.url).send(submit())


def test_compressed_all_the_same(serve: Serve, make_client: MakeClient) -> None:
    """A proxy that compresses what nobody asked for does not make an answer torn."""
    import gzip

    packed = gzip.compress(b'{"Active": true}' + b" " * 1000)
    server = serve(reply(200, packed, "Content-Encoding: gzip"))

    assert {"Active": True} == make_client(server.url).send(endpoints.get_user())


# --------------------------------------------------------------------------------------
# Waiting, renewing, giving up
# --------------------------------------------------------------------------------------


def test_free_call_waits_out_trouble(serve: Serve, make_client: MakeClient) -> None:
    """What costs nothing is asked again after a reset, a gateway's page and a busy service."""
    pauses: list[float] = []
    server = serve(one_by_one(RESET, reply(502, b"<html/>"), BUSY, RUNNING))

    answer = make_client(server.url, pause=pauses.append).call(POLL)

    assert JobAnswer() == answer
    assert [0.25, 0.5, 15.0] == pauses
    assert 4 == len(server.requests)


def test_free_call_gives_up(serve: Serve, make_client: MakeClient) -> None:
    """Five attempts, then the last error."""
    server = serve(None)

    with pytest.raises(TransportError):
        make_client(server.url).call(POLL)

    assert 5 == len(server.requests)


def test_free_call_has_a_deadline(serve: Serve, make_client: MakeClient) -> None:
    """Throttling is waited out until the caller's time is up."""
    now = [100.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    server = serve(BUSY)
    client = make_client(server.url, pause=pause, monotonic=lambda: now[0])

    with pytest.raises(ThrottledError):
        client.call(POLL, until=200.0)

    assert 5 + 10 + 15 * 5 == now[0] - 100
    assert 8 == len(server.requests)


def test_free_call_is_not_repeated_in_vain(serve: Serve, make_client: MakeClient) -> None:
    """An answer that another question does not change is the answer."""
    server = serve(reply_json(403, {"Code": 403, "Message": "No conversions remaining"}))

    with pytest.raises(QuotaExhaustedError):
        make_client(server.url).call(endpoints.get_user())

    assert 1 == len(server.requests)


def test_waiting_can_be_interrupted(serve: Serve, make_client: MakeClient) -> None:
    """Who is told to stop does not ask again."""

    def stop(_: float) -> None:
        raise ConversionInterrupted("told to stop")

    server = serve(BUSY)

    with pytest.raises(ConversionInterrupted):
        make_client(server.url, pause=stop).call(POLL)
    assert 1 == len(server.requests)


@pytest.mark.parametrize("answer", [None, RESET, BUSY, reply(502), reply(500, b"<html/>")])
def test_paid_call_is_sent_once(serve: Serve, make_client: MakeClient, answer: Any) -> None:
    """Whether to send a paid request again is decided by those who know what it costs."""
    server = serve(answer)

    with pytest.raises((TransportError, ThrottledError)):
        make_client(server.url).send(submit())
    with (
        pytest.raises((TransportError, ThrottledError)),
        make_client(server.url).stream(endpoints.convert_directly("docx", "pdf", 10, [])),
    ):
        pass

    assert 2 == len(server.requests)


def tokens() -> Any:
    """Return a function that makes another token each time it is told to renew."""
    number = count(1)
    current = [next(number)]

    def renew(refused: str) -> bool:
        assert refused == f"TOKEN-{current[0]}"
        current[0] = next(number)
        return True

    return {"token": lambda kind: f"{kind.name}-{current[0]}", "renew": renew}


def test_refused_jwt_is_renewed_once(serve: Serve, make_client: MakeClient) -> None:
    """A 401 costs nothing: a fresh JWT is sent, and then the answer stands."""
    server = serve(one_by_one(REFUSED, RUNNING, REFUSED, REFUSED))
    client = make_client(server.url, **tokens())

    assert JobAnswer() == client.send(POLL)
    with pytest.raises(AuthenticationError):
        client.send(POLL)

    assert [f"Bearer TOKEN-{n}" for n in (1, 2, 2, 3)] == [
        got.headers["authorization"] for got in server.requests
    ]


def test_refused_jwt_of_a_direct_conversion(serve: Serve, make_client: MakeClient) -> None:
    """The streamed call renews as well, and sends its whole body again."""
    server = serve(one_by_one(REFUSED, reply(200, b"DATA"), REFUSED, REFUSED))
    client = make_client(server.url, **tokens())
    endpoint = endpoints.convert_directly("docx", "pdf", 10, [("File", Memory(b"DOC"))])

    with client.stream(endpoint) as (_, blocks):
        assert b"DATA" == b"".join(blocks)
    with pytest.raises(AuthenticationError), client.stream(endpoint):
        pass

    assert 1 == len({got.body for got in server.requests})
    assert [1, 2, 2, 3] == [int(got.headers["authorization"][-1]) for got in server.requests]


@pytest.mark.parametrize("body", [{"Code": 4014, "Message": "m"}, {"Code": 403, "Message": "m"}])
def test_no_second_request_once_the_quota_is_exhausted(
    serve: Serve, make_client: MakeClient, body: Any
) -> None:
    """A 401 with Code 4014 is a quota's: nothing is renewed, nothing more is sent."""
    server = serve(reply_json(401 if body["Code"] == 4014 else 403, body))
    client = make_client(server.url, **tokens())

    with pytest.raises(QuotaExhaustedError):
        client.send(submit())
    with (
        pytest.raises(QuotaExhaustedError),
        client.stream(endpoints.convert_directly("docx", "pdf", 10, [])),
    ):
        pass

    assert 2 == len(server.requests)


def test_refused_token_that_cannot_be_renewed(serve: Serve, make_client: MakeClient) -> None:
    """An API token has no successor: one request, one error."""
    server = serve(REFUSED)

    with pytest.raises(AuthenticationError):
        make_client(server.url).send(POLL)

    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    "endpoint", [endpoints.get_user(), endpoints.request_token("kid", 60, None)]
)
def test_other_credentials_are_not_renewed(
    serve: Serve, make_client: MakeClient, endpoint: Any
) -> None:
    """A master token or an API token that is refused has nothing to do with the JWT."""
    server = serve(REFUSED)

    with pytest.raises(AuthenticationError):
        make_client(server.url, **tokens()).send(endpoint)

    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (0, ""),
        (59, ""),
        (-59, ""),
        (125, " This machine's clock is 125 s ahead of the service's."),
        (-3600, " This machine's clock is 3600 s behind the service's."),
    ],
)
def test_clock_that_is_off(serve: Serve, make_client: MakeClient, ours: int, said: str) -> None:
    """A refusal says so where the clocks disagree: the commonest cause of a refused JWT."""
    date = "Date: Tue, 24 Nov 2026 10:00:00 GMT"
    server = serve(reply_json(401, {"Code": 4012, "Message": "Bad JWT."}, date))
    clock = 1795514400 + ours

    with pytest.raises(AuthenticationError) as caught:
        make_client(server.url, clock=lambda: clock).send(POLL)

    assert f"ConvertAPI answered HTTP 401, Code 4012: Bad JWT.{said}" == str(caught.value)
    assert 4012 == caught.value.code


@pytest.mark.parametrize("date", ["", "yesterday", "Tue, 24 Nov 99999999999 10:00:00 GMT"])
def test_clock_of_a_service_that_tells_no_time(
    serve: Serve, make_client: MakeClient, date: str
) -> None:
    """Without a time to compare with, nothing is said of clocks."""
    server = serve(reply_json(401, {"Code": 4012, "Message": "Bad JWT."}, f"Date: {date}"))

    with pytest.raises(AuthenticationError, match=r"Bad JWT\.$"):
        make_client(server.url).send(POLL)


# --------------------------------------------------------------------------------------
# Connections
# --------------------------------------------------------------------------------------


def test_one_connection_for_many_calls(serve: Serve, make_client: MakeClient) -> None:
    """Calls, errors, streams and deletions share a connection."""

    def answer(got: Received) -> bytes:
        if got.method == "DELETE":
            return UNKNOWN
        if got.target.startswith("/d/"):
            return reply(200, b"x" * (2 * BLOCK))
        return BUSY if len(server.requests) % 5 == 0 else RUNNING

    server = serve(answer)
    client = make_client(server.url)
    for _ in range(10):
        client.call(POLL)
        client.call(endpoints.delete_job(JOB_ID))
        with client.stream(endpoints.download(FILE_ID)) as (_, blocks):
            assert 2 * BLOCK == sum(map(len, blocks))

    assert 1 == server.connections
    assert len(server.requests) > 30


_FORK = """
import os, sys, time
from airflow_provider_convertapi.api.client import Client
from airflow_provider_convertapi.api.endpoints import get_user

clock = {"pause": time.sleep, "clock": time.time, "monotonic": time.monotonic}
client = Client(sys.argv[1], lambda kind: "secret", **clock)
client.send(get_user())
child = os.fork()
for _ in range(3):
    client.send(get_user())
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""


def test_forked_process_has_a_connection_of_its_own(serve: Serve) -> None:
    """Two processes that share one would read the answers to each other's requests."""
    server = serve(lambda received: reply_json(200, {"connection": received.connection}))

    subprocess.run([sys.executable, "-c", _FORK, server.url], check=True, timeout=60)

    assert 2 == server.connections
    assert [4, 3] == [sum(r.connection == n for r in server.requests) for n in (1, 2)]


def test_renewing_keeps_the_connection(serve: Serve, make_client: MakeClient) -> None:
    """A refusal is read to its end, so that its connection serves again."""
    server = serve(one_by_one(REFUSED, reply(200, b"DATA")))

    with make_client(server.url, **tokens()).stream(endpoints.download(FILE_ID)) as (_, blocks):
        assert b"DATA" == b"".join(blocks)

    assert 1 == server.connections


@pytest.mark.parametrize(("idle", "connections"), [(2.9, 1), (3.1, 2)])
def test_fresh_connection_after_idling(
    serve: Serve, make_client: MakeClient, idle: float, connections: int
) -> None:
    """A direct conversion is not trusted to a connection that a gateway may have dropped."""
    now = [50.0]
    server = serve(reply(200, b"DATA"))
    client = make_client(server.url, monotonic=lambda: now[0])

    for _ in range(2):
        with client.stream(endpoints.convert_directly("docx", "pdf", 10, []), fresh=True) as it:
            assert b"DATA" == b"".join(it[1])
        now[0] += idle

    assert connections == server.connections


def test_fresh_connection_after_waiting_for_the_permit(
    serve: Serve, make_client: MakeClient
) -> None:
    """The time that a direct conversion waits before it is sent counts as idle, too."""
    now = [50.0]
    server = serve(one_by_one(RUNNING, reply(200, b"DATA")))
    client = make_client(server.url, monotonic=lambda: now[0])
    client.send(POLL)

    with client.stream(
        endpoints.convert_directly("docx", "pdf", 10, []),
        fresh=True,
        before=lambda: now.append(now.pop() + 1000),
    ) as (_, blocks):
        assert b"DATA" == b"".join(blocks)

    assert 2 == server.connections


def test_idle_connection_serves_what_costs_nothing(serve: Serve, make_client: MakeClient) -> None:
    """Only direct conversions mind: everything else can be asked again."""
    now = [50.0]
    server = serve(reply(200, b"DATA"))
    client = make_client(server.url, monotonic=lambda: now[0])

    for _ in range(2):
        with client.stream(endpoints.download(FILE_ID)) as (_, blocks):
            assert b"DATA" == b"".join(blocks)
        now[0] += 1000

    assert 1 == server.connections


def test_connection_that_was_closed_meanwhile(serve: Serve, make_client: MakeClient) -> None:
    """A connection that the server has closed is noticed, and another is opened."""
    server = serve(RUNNING)
    client = make_client(server.url)

    client.send(POLL)
    server.hang_up()
    client.send(POLL)

    assert 2 == server.connections


def test_unread_stream_gives_its_connection_up(serve: Serve, make_client: MakeClient) -> None:
    """A body that nobody reads to its end is not in the way of the next answer, nor kept open."""
    server = serve(one_by_one(reply(200, b"x" * 50 * BLOCK), RUNNING))
    client = make_client(server.url)

    with client.stream(endpoints.download(FILE_ID)) as (_, blocks):
        next(blocks)

    assert server.ended.acquire(timeout=5)
    assert JobAnswer() == client.send(POLL)
    assert 2 == server.connections


# --------------------------------------------------------------------------------------
# Answers that are too long, too slow, or torn
# --------------------------------------------------------------------------------------


def test_endless_answer(serve: Serve, make_client: MakeClient) -> None:
    """A call that expects a short answer does not read an endless one."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    server = serve(lambda _: (head if n == 0 else b"[" * BLOCK for n in count()))

    with pytest.raises(UnexpectedAnswerError, match="no end within 8 MiB"):
        make_client(server.url).send(endpoints.get_statistics("a", "b"))


def test_endless_error(serve: Serve, make_client: MakeClient) -> None:
    """The status of an error counts, however long its body is."""
    head = b"HTTP/1.1 403 No\r\n\r\n"
    server = serve(lambda _: (head if n == 0 else b"x" * BLOCK for n in count()))

    with pytest.raises(QuotaExhaustedError):
        make_client(server.url).send(submit())


def test_torn_error(serve: Serve, make_client: MakeClient) -> None:
    """The status of an error counts, also where its body was torn."""
    body = b'{"Code": 4000, "Mess'
    server = serve(one_by_one(reply(400, body, length=99), reply(500, body, length=99)))
    client = make_client(server.url)

    with pytest.raises(ParameterError):
        client.send(submit())
    with pytest.raises(TransportError):  # without its Code a 500 is not a verdict
        client.send(submit())


def test_torn_answer(serve: Serve, make_client: MakeClient) -> None:
    """Half a JSON answer counts as none."""
    server = serve(reply(200, b'{"JobId": ', length=60))

    with pytest.raises(TransportError, match="broke off after 10 of 60 bytes") as caught:
        make_client(server.url).send(submit())
    assert caught.value.sent


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Le", b"HTTP/1.1 200 OK"],
)
def test_torn_head(serve: Serve, make_client: MakeClient, head: bytes) -> None:
    """Half a head is not the head of an empty answer; the status of an error counts, though."""
    heads = one_by_one(iter([head]), iter([head.replace(b"200 OK", b"401 No")]))
    client = make_client(serve(heads).url)

    with pytest.raises(TransportError, match="within the head") as caught:
        client.send(submit())
    assert caught.value.sent
    with pytest.raises(AuthenticationError):
        client.send(submit())


def test_torn_chunks(serve: Serve, make_client: MakeClient) -> None:
    """A chunked answer without its last chunk is torn."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = serve(lambda _: iter([head + b"5\r\n" + b'{"a":' + b"\r\n"]))

    with pytest.raises(TransportError, match="broke off after 5 bytes"):
        make_client(server.url).send(submit())


def test_chunk_of_negative_size(serve: Serve, make_client: MakeClient) -> None:
    """Garbled chunks break an answer off; `http.client` lets an error of Python's through."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = serve(lambda _: iter([head + b"-5\r\n"]))

    with pytest.raises(TransportError, match="broke off after 0 bytes"):
        make_client(server.url).send(submit())


def test_torn_download(serve: Serve, make_client: MakeClient) -> None:
    """A stream hands over what came in whole pieces, and then says that it was not all."""
    server = serve(reply(200, b"x" * (BLOCK + 1000), length=2 * BLOCK))
    received: list[int] = []

    with (
        pytest.raises(TransportError, match=f"off after {BLOCK + 1000} of {2 * BLOCK} bytes"),
        make_client(server.url).stream(endpoints.download(FILE_ID)) as (_, blocks),
    ):
        received.extend(map(len, blocks))

    assert sum(received) == BLOCK


def test_lengths_that_contradict_each_other(serve: Serve, make_client: MakeClient) -> None:
    """An answer with two lengths is none; the request was sent, whatever the answer looks like."""
    server = serve(reply(200, b"{}", "Content-Length: 7"))

    with pytest.raises(TransportError) as caught:
        make_client(server.url).send(submit())
    assert caught.value.sent


def test_equal_lengths_said_twice(serve: Serve, make_client: MakeClient) -> None:
    """An answer that says its length twice is whole."""
    server = serve(reply(200, b"{}", "Content-Length: 2"))

    assert None is make_client(server.url).send(submit())


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_interim_answers(serve: Serve, make_client: MakeClient, status: int) -> None:
    """They are not the answer, which would be read as the answer to the next request."""

    def script(_: Received) -> Any:
        yield f"HTTP/1.1 {status} Soon\r\nLink: </style.css>; rel=preload\r\n\r\n".encode() * 2
        time.sleep(0.1)  # so that the connection looks unused
        yield reply_json(200, {"JobId": JOB_ID})

    assert None is make_client(serve(script).url).send(submit())


@pytest.mark.parametrize("location", ["http://[", "http://\xff\xfe/", "/login", ""])
def test_redirect_of_any_kind(serve: Serve, make_client: MakeClient, location: str) -> None:
    """A redirect is an answer that is not followed, whether or not it leads anywhere."""
    server = serve(reply(302, b"", f"Location: {location}"))

    with pytest.raises(UnexpectedAnswerError, match="HTTP 302"):
        make_client(server.url).send(submit())
    assert 1 == len(server.requests)


def test_silence(serve: Serve, make_client: MakeClient) -> None:
    """A server that says nothing is given up after the time-out; the request was sent."""

    def silent(_: Received) -> Any:
        ended.wait(60)

    server, ended = serve(silent), threading.Event()
    started = time.monotonic()

    with pytest.raises(TransportError, match="Read timed out") as caught:
        make_client(server.url, http_timeout=0.1).send(submit())
    ended.set()

    assert caught.value.sent
    assert time.monotonic() - started < 30  # the default is 60


def test_silence_within_a_body(serve: Serve, make_client: MakeClient) -> None:
    """So is one that falls silent in the middle."""

    def falls_silent(_: Received) -> Any:
        yield reply(200, b"half", length=8)
        time.sleep(0.6)

    server = serve(falls_silent)

    with (
        pytest.raises(TransportError, match="broke off after"),
        make_client(server.url, http_timeout=0.1).stream(endpoints.download(FILE_ID)) as it,
    ):
        list(it[1])


def test_time_outs_are_finite(serve: Serve, make_client: MakeClient) -> None:
    """No call waits for ever: the connection's time-out, or what the call itself needs."""
    client = make_client(serve(RUNNING).url, http_timeout=7.0)
    seen: list[Any] = []
    send = client.session.send

    def noted(request: Any, **options: Any) -> Any:
        seen.append(options["timeout"])
        return send(request, **options)

    client.session.send = noted  # type: ignore[method-assign]  # a spy on requests' border
    client.send(POLL)
    with client.stream(endpoints.convert_directly("docx", "pdf", 600, [])):
        pass

    assert [(30.0, 7.0), (30.0, 630.0)] == seen
    assert 60.0 == type(client).__dataclass_fields__["http_timeout"].default


def test_head_of_a_stream(serve: Serve, make_client: MakeClient) -> None:
    """A stream hands over status and headers before the body is read."""
    server = serve(reply(200, b"DATA", "Content-Type: multipart/mixed; boundary=x"))

    with make_client(server.url).stream(endpoints.download(FILE_ID)) as (head, blocks):
        assert (200, b"") == (head.status, head.body)
        assert "multipart/mixed; boundary=x" == head.headers["content-type"]
        assert [b"DATA"] == list(blocks)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(["CONTENT-TYPE: text/plain"], "text/plain", id="capitals"),
        pytest.param(
            ["Content-Type: multipart/mixed;", "\tboundary=x", "X-More: y"],
            "multipart/mixed; boundary=x",
            id="folded",
        ),
        pytest.param(["Content-Type: a/b", "content-type: c/d"], "a/b, c/d", id="twice"),
        pytest.param(["X-Content-Type: a/b"], None, id="none"),
    ],
)
def test_content_type_of_an_answer(
    serve: Serve, make_client: MakeClient, headers: list[str], expected: str | None
) -> None:
    """It is read as it was sent, though heads are parsed without it."""
    server = serve(reply(200, b"DATA", *headers))

    with make_client(server.url).stream(endpoints.download(FILE_ID)) as (head, blocks):
        assert expected == head.headers.get("content-type")
        assert [b"DATA"] == list(blocks)


class Folding(BaseAdapter):
    """Answer with a folded header as urllib3 up to 2.7.0 hands it on."""

    def send(self, request: Any, **_: Any) -> requests.Response:  # type: ignore[override]
        """Answer."""
        answer = requests.Response()
        answer.status_code, answer.raw = 200, BytesIO(b"DATA")
        answer.headers["Content-Type"] = "multipart/mixed;\r\n\tboundary=x"
        return answer

    def close(self) -> None:
        """Close nothing."""


def test_folded_header_of_an_old_library(make_client: MakeClient) -> None:
    """Whichever urllib3 is installed, a header is one line."""
    client = make_client("http://service.invalid")
    client.session.mount("http://", Folding())

    with client.stream(endpoints.download(FILE_ID)) as (head, blocks):
        assert "multipart/mixed; boundary=x" == head.headers["content-type"]
        assert [b"DATA"] == list(blocks)


def test_head_of_a_multipart_answer_costs_no_pattern(
    serve: Serve, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pattern is compiled for its boundary: that took a sixth of a small file's time."""
    import re

    compiled: list[Any] = []
    compile_pattern = re.compile

    def note(pattern: Any, *flags: Any) -> Any:
        compiled.append(pattern)
        return compile_pattern(pattern, *flags)

    server = serve(reply(200, b"DATA", "Content-Type: multipart/mixed; boundary=edge"))
    monkeypatch.setattr(re, "compile", note)

    with make_client(server.url).stream(endpoints.download(FILE_ID)) as (_, blocks):
        assert [b"DATA"] == list(blocks)

    assert [] == [pattern for pattern in compiled if "edge" in str(pattern)]


def test_last_look_comes_when_the_request_is_ready(serve: Serve, make_client: MakeClient) -> None:
    """What `before` raises leaves as it is, with no byte sent and no token asked for."""
    server = serve(RUNNING)
    asked: list[Any] = []

    def token(kind: Any) -> str:
        asked.append(kind)
        return "token"

    def refuse() -> None:
        raise OSError("the disk is gone")

    client = make_client(server.url, token=token)
    with (
        pytest.raises(OSError, match="the disk is gone"),
        client.stream(endpoints.download(FILE_ID), before=refuse),
    ):
        pass

    assert ([], []) == (asked, server.requests)


def test_token_of_a_request_that_waited_is_a_fresh_one(
    serve: Serve, make_client: MakeClient
) -> None:
    """It is asked for after the wait: one of before may have expired meanwhile."""
    server = serve(reply(200, b"DATA"))
    tokens = ["old"]
    client = make_client(server.url, token=lambda _: tokens[-1])

    with client.stream(endpoints.download(FILE_ID), before=lambda: tokens.append("new")) as (
        _,
        blocks,
    ):
        assert [b"DATA"] == list(blocks)

    assert ["Bearer new"] == [got.headers["authorization"] for got in server.requests]


def test_errors_of_a_stream_are_the_calls_own(serve: Serve, make_client: MakeClient) -> None:
    """What a status means is the endpoint's to say, streamed or not."""
    server = serve(reply_json(400, {"Code": 4000, "Message": "m"}))

    with (
        pytest.raises(ParameterError),
        make_client(server.url).stream(endpoints.convert_directly("docx", "pdf", 10, [])),
    ):
        pass


def test_what_happens_while_streaming_is_the_callers(serve: Serve, make_client: MakeClient) -> None:
    """An error of the block leaves as it is, and the connection is given up."""
    server = serve(one_by_one(reply(200, b"x" * 5 * BLOCK), RUNNING))
    client = make_client(server.url)

    def write_to_a_full_disk() -> None:
        with client.stream(endpoints.download(FILE_ID)) as (_, blocks):
            next(blocks)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_to_a_full_disk()
    assert JobAnswer() == client.send(POLL)


def test_kinds_of_credential(serve: Serve, make_client: MakeClient) -> None:
    """Each call carries the kind of credential it asks for."""
    server = serve(lambda got: reply_json(200, [] if "statistic" in got.target else {"Files": 1}))
    client = make_client(server.url)

    client.send(endpoints.get_user())
    client.send(endpoints.get_statistics("a", "b"))
    client.send(submit())
    with pytest.raises(UnexpectedAnswerError):
        client.send(endpoints.request_token("kid", 60, None))

    kinds = [got.headers["authorization"].rpartition("-")[2] for got in server.requests]
    assert [Credential.MASTER.value] * 2 + [Credential.TOKEN.value, "api_token"] == kinds


def test_defaults_of_the_client() -> None:
    """Without further words a client's backoff has jitter, and nothing can be renewed."""
    from airflow_provider_convertapi.api.client import Client

    client = Client(
        "http://127.0.0.1:9",
        lambda _: "t",
        pause=time.sleep,
        clock=time.time,
        monotonic=time.monotonic,
    )

    assert Backoff() == client.backoff
    assert False is client.renew("t")
    client.close()
