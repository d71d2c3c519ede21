"""Faults on demand: what each does to an answer, and that billing stays exact."""

from __future__ import annotations

import http.client
import math
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from convertapi_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., requests.Response]

CONVERT = "POST /convert"
JOB = "f" * 32
START = f"/async/convert/file/to/zip?JobId={JOB}"


def test_status_is_answered_as_often_as_told(sandbox: Sandbox, zipped: Call) -> None:
    """A counted rule lets `skip` requests pass, acts on `times`, and then stops."""
    sandbox.fail(CONVERT, status=503, code=503, skip=1, times=2, headers={"Retry-After": "7"})

    answers = [zipped() for _ in range(4)]

    assert [200, 503, 503, 200] == [answer.status_code for answer in answers]
    assert ("7", 503) == (answers[1].headers["retry-after"], answers[1].json()["Code"])
    assert 2 == sandbox.billed
    assert [True, False, False, True] == [entry.paid for entry in sandbox.requests]
    assert [2] == [fault.hits for fault in sandbox.faults]


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ("POST /convert", True),
        ("* /convert/file/to/zip", True),
        ("POST /convert/*/to/zip", True),
        ("POST /conv", False),
        ("GET /convert", False),
        ("POST /async/convert", False),
    ],
)
def test_match(sandbox: Sandbox, zipped: Call, match: str, hit: bool) -> None:
    """A rule matches a method and a path, the beginning of one up to a slash, or a pattern."""
    sandbox.fail(match, status=500)

    assert (500 if hit else 200) == zipped().status_code


@pytest.mark.parametrize(
    ("rule", "status", "kind", "body"),
    [
        pytest.param({"html": True}, 502, "text/html", b"502 Bad Gateway", id="html"),
        pytest.param({"html": True, "status": 200}, 200, "text/html", b"200 OK", id="html 200"),
        pytest.param({"empty": True}, 500, None, b"", id="empty"),
        pytest.param({"empty": True, "status": 200}, 200, None, b"", id="empty 200"),
        pytest.param(
            {"body": b"nonsense"}, 200, "application/json; charset=utf-8", b"nonsense", id="body"
        ),
        pytest.param(
            {"body": "text", "content_type": "text/x", "status": 418},
            418,
            "text/x",
            b"text",
            id="teapot",
        ),
        pytest.param({"redirect": "http://127.0.0.1:9/"}, 302, None, b"", id="redirect"),
    ],
)
@pytest.mark.parametrize("after_work", [False, True])
def test_answers_of_another_kind(
    sandbox: Sandbox,
    zipped: Call,
    rule: dict[str, Any],
    status: int,
    kind: str | None,
    body: bytes,
    after_work: bool,
) -> None:
    """HTML, nothing, nonsense or a redirect is sent instead, before or after the conversion."""
    sandbox.fail(CONVERT, after_work=after_work, **rule)

    answer = zipped(allow_redirects=False)

    assert (status, kind) == (answer.status_code, answer.headers.get("content-type"))
    assert body in answer.content
    assert int(after_work) == sandbox.billed
    assert (status, after_work) == (sandbox.requests[-1].status, sandbox.requests[-1].paid)


@pytest.mark.parametrize(("drop", "billed"), [("before", 0), ("after_work", 1)])
def test_dropped_connection(sandbox: Sandbox, zipped: Call, drop: str, billed: int) -> None:
    """The connection closes without an answer: before anything is done, or after it was billed."""
    sandbox.fail(CONVERT, drop=drop)

    with pytest.raises(requests.ConnectionError):
        zipped()

    [entry] = sandbox.requests
    assert (billed, None, bool(billed), billed) == (
        sandbox.billed,
        entry.status,
        entry.paid,
        entry.cost,
    )
    assert 200 == zipped().status_code


def test_job_whose_start_was_not_answered(
    sandbox: Sandbox, zipped: Call, caller: requests.Session
) -> None:
    """After `after_work` the job exists, done and billed, although its start got no answer."""
    sandbox.fail("POST /async/convert", drop="after_work")

    with pytest.raises(requests.ConnectionError):
        zipped(START)

    assert (1, "done") == (sandbox.billed, sandbox.jobs[JOB]["state"])
    assert 200 == caller.get(f"/async/job/{JOB}").status_code
    assert {"JobId": JOB} == zipped(START).json()
    assert 1 == sandbox.billed


@pytest.mark.parametrize(
    "accept", ["application/json", "multipart/mixed", "application/octet-stream"]
)
def test_truncated_answer(sandbox: Sandbox, zipped: Call, accept: str) -> None:
    """The body ends after N bytes although more was announced; the conversion is billed."""
    sandbox.fail(CONVERT, truncate=60)

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="60 bytes read"):
        zipped(headers={"Accept": accept})

    assert (1, 200) == (sandbox.billed, sandbox.requests[-1].status)


def test_truncated_download(sandbox: Sandbox, zipped: Call, caller: requests.Session) -> None:
    """A download can end early once; the next one is complete, and is not cut beyond its end."""
    [file] = zipped(data={"StoreFile": "true"}).json()["Files"]
    sandbox.fail("GET /d", truncate=10)
    sandbox.fail("GET /d", truncate=10_000)

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        caller.get(file["Url"])

    for _ in range(2):
        assert file["FileSize"] == len(caller.get(file["Url"]).content)


def test_stalled_answer(sandbox: Sandbox, zipped: Call, caller: requests.Session) -> None:
    """A body can fall silent in the middle, for longer than a reader waits."""
    [file] = zipped(data={"StoreFile": "true"}).json()["Files"]
    sandbox.fail("GET /d", truncate=10, stall=30)
    sandbox.fail("GET /d", stall=0.2)

    connection = http.client.HTTPConnection(sandbox.url.rpartition("/")[2], timeout=20)
    connection.request("GET", f"/d/{file['FileId']}")
    body = connection.getresponse()
    assert connection.sock is not None
    connection.sock.settimeout(0.2)  # only now: a busy machine may take longer for the head
    assert 10 == len(body.read1())
    with pytest.raises(TimeoutError):
        body.read1()
    body.close()
    connection.close()

    started = time.monotonic()
    assert 200 == caller.get(file["Url"]).status_code
    assert 0.2 <= time.monotonic() - started


def test_delay(sandbox: Sandbox, zipped: Call) -> None:
    """A request can be held for a while before anything is done."""
    sandbox.fail(CONVERT, delay=0.2)
    started = time.monotonic()

    assert 200 == zipped().status_code
    assert 0.2 <= time.monotonic() - started


def test_wrong_size_is_announced(sandbox: Sandbox, zipped: Call, caller: requests.Session) -> None:
    """The announced size can differ from the true one, in answers, parts, downloads and heads."""
    for match in (CONVERT, CONVERT, "GET /d", "HEAD /d"):
        sandbox.fail(match, wrong_size=+1)
    [file] = zipped(data={"StoreFile": "true"}).json()["Files"]
    size = len(caller.get(f"/d/{file['FileId']}").content)  # takes the rule for GET

    parts = zipped(headers={"Accept": "multipart/mixed"})
    head = caller.head(file["Url"])
    assert size + 1 == file["FileSize"]
    assert b"; size=%d\r\n" % (size + 1) in parts.content
    assert (str(size + 1), str(size + 1)) == (
        head.headers["file-size"],
        head.headers["content-length"],
    )


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a\x00b", "", "n" * 300, "a/b", "a\\b", "CON"]
)
def test_hostile_names(
    sandbox: Sandbox, zipped: Call, poll: Call, caller: requests.Session, name: str
) -> None:
    """Results can have any name, in direct answers, in jobs and in downloads."""
    sandbox.fail(CONVERT, names=[name])
    sandbox.fail("POST /async/convert", names=[name])
    sandbox.fail("GET /d", names=[name])
    zipped(START, data={"StoreFile": "true"})

    [told] = poll(JOB).json()["Files"]
    assert name == zipped().json()["Files"][0]["FileName"]
    assert name == told["FileName"]
    assert 200 == caller.get(f"/d/{told['FileId']}").status_code


@pytest.mark.parametrize(
    ("host", "beginning"),
    [("evil.example", "https://evil.example/d/"), ("http://127.0.0.1:9", "http://127.0.0.1:9/d/")],
)
def test_result_url_on_another_host(
    sandbox: Sandbox, zipped: Call, host: str, beginning: str
) -> None:
    """The Url of a result can point elsewhere."""
    sandbox.fail(CONVERT, url_host=host)

    [file] = zipped(data={"StoreFile": "true"}).json()["Files"]

    assert f"{beginning}{file['FileId']}/notes.zip" == file["Url"]


@pytest.mark.parametrize(
    ("brackets", "url_end"), [("raw", "/[a]%20b.zip"), ("quoted", "/%5Ba%5D%20b.zip")]
)
def test_brackets_in_urls(sandbox: Sandbox, zipped: Call, brackets: str, url_end: str) -> None:
    """The service leaves square brackets raw, which strict readers of URLs refuse."""
    sandbox.settings.url_brackets = brackets  # type: ignore[assignment]  # each is listed

    [file] = zipped(data={"StoreFile": "true", "FileName": "[a] b"}).json()["Files"]

    assert file["Url"].endswith(url_end)


@pytest.mark.parametrize(
    ("rule", "status", "cost"),
    [
        ({"verdict": 5000}, 500, 1),
        ({"verdict": 50050}, 500, 1),
        ({"verdict": 4014, "status": 401}, 401, 0),
        ({"verdict": 503, "status": 503}, 503, 0),
    ],
)
def test_verdict(
    sandbox: Sandbox, zipped: Call, poll: Call, rule: dict[str, int], status: int, cost: int
) -> None:
    """A conversion can end with any Code: billed if processed, and kept as the job's answer."""
    sandbox.fail("POST /async/convert", **rule)
    zipped(START)

    answers = [poll(JOB), poll(JOB)]

    assert [(status, rule["verdict"])] * 2 == [(a.status_code, a.json()["Code"]) for a in answers]
    assert cost == sandbox.billed
    assert cost == sandbox.requests[0].cost


def test_poll_faults(sandbox: Sandbox, zipped: Call, poll: Call) -> None:
    """Polls fail without affecting the job."""
    zipped(START)
    poll(JOB)
    sandbox.fail("GET /async/job", status=503, times=2)

    assert [503, 503, 200] == [poll(JOB).status_code for _ in range(3)]
    assert 1 == sandbox.billed


def test_seeded_dice() -> None:
    """The same seed gives the same random faults and the same ids."""
    seen = []
    for _ in range(2):
        with Sandbox(workers=1, seed=7) as server:
            server.fail("GET /info", status=500, probability=0.5, times=None)
            statuses = [
                requests.get(server.url + "/info/a/to/b", timeout=9).status_code for _ in range(30)
            ]
            named = {"Content-Disposition": "attachment; filename=a.txt"}
            file_id = requests.post(server.url + "/upload", b"x", headers=named, timeout=9).json()[
                "FileId"
            ]
            seen.append((statuses, file_id))
    assert seen[0] == seen[1]
    assert {200, 500} == set(seen[0][0])


@pytest.mark.parametrize(
    ("match", "rule", "complaint"),
    [
        ("convert", {"status": 500}, "METHOD /path"),
        ("FETCH /convert", {"status": 500}, "METHOD /path"),
        ("POST /convert", {}, "no effect"),
        ("POST /convert", {"drop": "sometimes"}, "before"),
        ("POST /convert", {"status": 99}, "status of a fault must be"),
        ("POST /convert", {"status": "503"}, "status of a fault must be"),
        ("POST /convert", {"status": True}, "status of a fault must be"),
        ("POST /convert", {"status": 500, "times": -1}, "times of a fault must be"),
        ("POST /convert", {"status": 500, "times": 1.5}, "times of a fault must be"),
        ("POST /convert", {"status": 500, "skip": -1}, "skip of a fault must be"),
        ("POST /convert", {"status": 500, "skip": None}, "skip of a fault must be"),
        ("POST /convert", {"status": 500, "probability": 2}, "probability of a fault must be"),
        ("POST /convert", {"status": 500, "code": "5002"}, "code of a fault must be"),
        ("POST /convert", {"delay": -1}, "delay of a fault must be"),
        ("POST /convert", {"delay": math.nan}, "delay of a fault must be"),
        ("POST /convert", {"stall": "1"}, "stall of a fault must be"),
        ("POST /convert", {"truncate": -1}, "truncate of a fault must be"),
        ("POST /convert", {"verdict": "x"}, "verdict of a fault must be"),
        ("POST /convert", {"wrong_size": 0.5}, "wrong_size of a fault must be"),
        ("POST /convert", {"names": "a.pdf"}, "names of a fault"),
        ("POST /convert", {"headers": "a: b"}, "headers of a fault"),
    ],
)
def test_rule_that_cannot_act(
    sandbox: Sandbox, match: str, rule: dict[str, Any], complaint: str
) -> None:
    """A rule that could never act is refused when it is created."""
    with pytest.raises(ValueError, match=complaint):
        sandbox.fail(match, **rule)


def test_page_of_a_status_that_http_does_not_define(sandbox: Sandbox) -> None:
    """Gateways answer such as 520, which has no phrase."""
    sandbox.fail("GET /info", status=520, html=True)
    answer = requests.get(sandbox.url + "/info", timeout=9)
    assert (520, True) == (answer.status_code, "520" in answer.text)


def test_unknown_effect(sandbox: Sandbox) -> None:
    """A misspelled effect is an error, not a rule without effect."""
    with pytest.raises(TypeError, match="statsu"):
        sandbox.fail("POST /convert", statsu=500)
