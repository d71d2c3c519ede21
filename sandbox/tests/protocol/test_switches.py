"""The other settings of each switch, and the older endpoints."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import jwt
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]

JOB = "5" * 32
START = f"/async/convert/file/to/zip?JobId={JOB}"


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "beginning"),
    [
        ("application/json", b"{"),
        ("*/*", b"{"),
        ("text/html, application/xhtml+xml", b"{"),
        ("application/json, text/plain, */*", b"{"),
        ("application/octet-stream;q=0.5, application/json;q=0.9", b"{"),
        ("application/json;q=0.1, application/octet-stream", b"PK"),
        ("application/json;q=x, application/octet-stream;q=0.1", b"PK"),
        ("APPLICATION/OCTET-STREAM", b"PK"),
        ("multipart/mixed", b"--"),
        ("multipart/*", b"--"),
        ("application/xml", b"<Conversion>"),
        ("text/xml", b"<Conversion>"),
        (None, b"{"),
    ],
)
def test_accept_picks_the_format(zipped: Call, accept: str | None, beginning: bytes) -> None:
    """The preferred type in the Accept header, JSON for unknown types and a form without it."""
    assert zipped(headers={"Accept": accept}).content.startswith(beginning)


@pytest.mark.parametrize(
    ("request_", "beginning"),
    [
        ({"data": {"Files[0]": "{id}"}}, b"{"),
        ({"json": {"Parameters": [{"Name": "Files", "FileValues": [{"Id": "{id}"}]}]}}, b"{"),
        ({"params": {"Files[0]": "{id}"}}, b"PK"),
    ],
    ids=["form", "json", "query"],
)
@pytest.mark.parametrize("path", ["/convert/file/to/zip", "/async/convert/file/to/zip"])
def test_without_accept_the_request_decides(
    caller: requests.Session, poll: Call, path: str, request_: dict[str, Any], beginning: bytes
) -> None:
    """A form or JSON is answered in JSON, everything else in raw bytes."""
    caller.headers["Accept"] = None  # type: ignore[assignment]  # requests leaves it out
    named = {"Content-Disposition": "attachment; filename=notes.txt"}
    file_id = caller.post("/upload", data=b"notes", headers=named).text

    answer = caller.post(path, **json.loads(json.dumps(request_).replace("{id}", file_id)))

    if path.startswith("/async"):
        answer = poll(answer.json()["JobId"])
    assert answer.content.startswith(beginning)


def test_body_of_bytes_is_answered_in_bytes(caller: requests.Session) -> None:
    """The oldest form of request, with the document as its body."""
    named = {"Content-Disposition": "attachment; filename=a.md", "Accept": None}
    sent: dict[str, Any] = {**named, "Content-Type": "application/octet-stream"}

    assert caller.post("/convert/md/to/html", data=b"# A", headers=sent).content[:1] == b"<"


@pytest.mark.parametrize(("kind", "beginning"), [("raw", b"PK"), ("json", b"{")])
def test_no_accept_may_mean_one_format(
    zipped: Call, sandbox: Sandbox, kind: Any, beginning: bytes
) -> None:
    """Whatever the request is, if the switch says so; stored results are always JSON."""
    sandbox.settings.no_accept = kind

    assert zipped(headers={"Accept": None}).content.startswith(beginning)
    assert zipped(headers={"Accept": None}, data={"StoreFile": "true"}).json()["Files"]


def test_stored_and_raw(zipped: Call, sandbox: Sandbox) -> None:
    """With StoreFile=true the Accept header still decides, unless the switch says otherwise."""
    raw = {"headers": {"Accept": "application/octet-stream"}, "data": {"StoreFile": "true"}}
    assert zipped(**raw).content.startswith(b"PK")
    assert 1 == len(sandbox.files)

    sandbox.settings.stored_answer = "json"

    assert "Url" in zipped(**raw).json()["Files"][0]


@pytest.mark.parametrize("stored", ["true", "false"])
def test_xml_of_older_pages(zipped: Call, stored: str) -> None:
    """The XML contains the same as the JSON."""
    answer = zipped(headers={"Accept": "application/xml"}, data={"StoreFile": stored})

    [file] = ET.fromstring(answer.content).findall("Files/File")
    last = {"FileId", "Url"} if stored == "true" else {"FileData"}
    assert {"FileName", "FileExt", "FileSize"} | last == {item.tag for item in file}


def test_older_spellings_of_answers(
    zipped: Call, sandbox: Sandbox, caller: requests.Session
) -> None:
    """ConversionTime, and quoted names in Content-Disposition."""
    sandbox.settings.conversion_time = True
    sandbox.settings.disposition = "quoted"

    body = zipped(data={"StoreFile": "true", "FileName": 'é "q"'}).json()

    disposition = caller.get(body["Files"][0]["Url"]).headers["content-disposition"]
    assert (1, 1) == (body["ConversionTime"], body["ConversionCost"])
    assert 'attachment; filename="é _q_.zip"' == disposition.encode("latin-1").decode("latin-1")


# --- jobs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reading", "beginning"), [("start", b"{"), ("poll", b"PK")])
def test_whose_accept_counts(
    sandbox: Sandbox, zipped: Call, poll: Call, reading: Any, beginning: bytes
) -> None:
    """The result has the format that its start requested, or that the poll requests."""
    sandbox.settings.job_format_from = reading
    zipped(START)

    answer = poll(JOB, headers={"Accept": "application/octet-stream"})

    assert answer.content.startswith(beginning)


def test_older_way_to_a_job(zipped: Call, caller: requests.Session, poll: Call) -> None:
    """`?Async=true` starts a job, and `/job/{id}` returns it."""
    job_id = zipped("/convert/file/to/zip?async=True").json()["JobId"]
    poll(job_id)

    assert 200 == caller.get(f"/job/{job_id}").status_code
    assert 200 == caller.delete(f"/job/{job_id}").status_code


def test_one_poll_at_a_time(
    sandbox: Sandbox, zipped: Call, poll: Call, caller: requests.Session
) -> None:
    """A poll during another one of the same job is a 503, and later polls are held."""
    sandbox.settings.concurrent_polls = "refused"
    zipped(START)
    poll(JOB)
    for hold in (0.5, 4.0):  # on a busy machine the other poll may come too late for a short one
        sandbox.settings.poll_hold = hold
        before = len(sandbox.requests)
        held: list[int] = []
        first = threading.Thread(
            target=lambda held=held: held.append(caller.get(f"/async/job/{JOB}").status_code)
        )
        started = time.monotonic()
        first.start()
        while len(sandbox.requests) == before:
            assert time.monotonic() - started < 5
        beside = caller.get(f"/async/job/{JOB}").status_code
        first.join()
        assert [200] == held
        assert hold <= time.monotonic() - started
        if beside == 503:
            break

    assert 503 == beside


def test_deleting_a_job_may_take_its_documents(
    sandbox: Sandbox, zipped: Call, poll: Call, caller: requests.Session
) -> None:
    """The stored results outlive their job, or are deleted with it."""
    for takes, left in ((False, 1), (True, 1)):
        sandbox.settings.job_delete_takes_documents = takes
        zipped(START, data={"StoreFile": "true"})
        poll(JOB)
        caller.delete(f"/async/job/{JOB}")
        assert left == len(sandbox.files)


def test_job_deleted_while_it_runs(
    sandbox: Sandbox, zipped: Call, caller: requests.Session
) -> None:
    """A job that has started is finished and billed, although its result is lost."""
    sandbox.settings.latency = 60.0
    zipped(START)

    assert 200 == caller.delete(f"/async/job/{JOB}").status_code
    assert 404 == caller.get(f"/async/job/{JOB}").status_code
    assert 0 == sandbox.billed  # it still runs
    sandbox.settings.latency = 0.0
    _rest(sandbox)
    assert (1, {}) == (sandbox.billed, sandbox.jobs)
    assert [] == [path for path in sandbox.folder.rglob("*") if path.is_file()]


def test_work_of_before_a_reset_leaves_nothing_after_it(
    sandbox: Sandbox, caller: requests.Session, two_pages: bytes
) -> None:
    """A reset clears everything: money, jobs, documents, statistics."""
    files = {"File": ("a.pdf", two_pages)}
    params = {"StoreFile": "true", "ImageResolution": "400"}
    caller.post("/async/convert/pdf/to/png", files=files, params=params)
    sandbox.settings.latency = 60.0  # until the reset
    caller.post("/async/convert/pdf/to/png", files=files, params=params)

    sandbox.reset()

    _rest(sandbox)
    assert (0, 1000, {}, {}) == (sandbox.billed, sandbox.balance, sandbox.jobs, sandbox.files)
    master = {"Authorization": f"Bearer {sandbox.master_token}"}
    days = {"startDate": "2020-01-01", "endDate": "2999-01-01"}
    assert [] == caller.get("/user/statistic", params=days, headers=master).json()


def _rest(sandbox: Sandbox) -> None:
    deadline = time.monotonic() + 10
    while sandbox.at_work:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("stored", ["true", "false"])
def test_deleting_one_of_two(sandbox: Sandbox, zipped: Call, poll: Call, stored: str) -> None:
    """`vanish_job` and `expire_files` take one, or all."""
    other = "6" * 32
    for job_id in (JOB, other):
        zipped(f"/async/convert/file/to/zip?JobId={job_id}", data={"StoreFile": stored})
        poll(job_id)

    sandbox.vanish_job(JOB)
    assert [other] == list(sandbox.jobs)
    sandbox.vanish_job()
    assert {} == sandbox.jobs
    for file_id in list(sandbox.files)[:1]:
        sandbox.expire_files(file_id)
    assert int(stored == "true") == len(sandbox.files)


# --- credentials ----------------------------------------------------------------------------------


# The decoded token is a key of 30 bytes; PyJWT warns about that.
@pytest.mark.filterwarnings("ignore:The HMAC key is")  # of PyJWT from 2.11 on
def test_key_of_a_jwt_may_be_base64(sandbox: Sandbox, zipped: Call) -> None:
    """The key of a JWT may be the token's text, decoded as base64."""
    sandbox.settings.jwt_key = "base64"
    token = sandbox.token + "=" * (-len(sandbox.token) % 4)
    key = jwt.utils.base64url_decode(token)
    claims = {"kid": sandbox.kid, "exp": int(time.time()) + 60}

    answer = zipped(headers={"Authorization": f"Bearer {jwt.encode(claims, key, 'HS256')}"})

    assert 200 == answer.status_code


def test_master_token_may_be_for_the_account_only(sandbox: Sandbox, zipped: Call) -> None:
    """As the documentation says, although clients convert with it."""
    master = {"Authorization": f"Bearer {sandbox.master_token}"}
    assert 200 == zipped(headers=master).status_code

    sandbox.settings.master_token_may_convert = False

    assert 401 == zipped(headers=master).status_code


def test_token_in_the_query(sandbox: Sandbox, caller: requests.Session, zipped: Call) -> None:
    """A connector of today sends `auth`; older programs sent other names."""
    del caller.headers["Authorization"]
    sandbox.settings.legacy_credentials = False

    assert 200 == zipped(f"/convert/file/to/zip?auth={sandbox.token}").status_code
    assert 401 == zipped(f"/convert/file/to/zip?token={sandbox.token}").status_code


@pytest.mark.parametrize(("status", "code"), [(401, 4012), (400, 4000)])
def test_wrong_kid(caller: requests.Session, sandbox: Sandbox, status: Any, code: int) -> None:
    """A Kid that does not belong to the token is refused either way."""
    sandbox.settings.wrong_kid_status = status

    answer = caller.post("/token/jwt", json={"Kid": "x", "ExpiresInSec": 60})

    assert (status, code) == (answer.status_code, answer.json()["Code"])


# --- parameters -----------------------------------------------------------------------------------


def test_parameter_that_no_engine_honours(caller: requests.Session, sandbox: Sandbox) -> None:
    """A parameter of the service that the sandbox cannot honour is refused, not ignored."""
    answer = caller.post(
        "/convert/docx/to/pdf", files={"File": ("a.docx", b"x")}, data={"UpdateToc": "true"}
    )

    body = answer.json()
    assert (4000, ["UpdateToc"]) == (body["Code"], list(body["InvalidParameters"]))
    assert "the real service" in body["InvalidParameters"]["UpdateToc"][0]
    assert 0 == sandbox.billed


def test_further_file_parameters(caller: requests.Session, two_pages: bytes) -> None:
    """Other file parameters than File are also documents, in every form of request."""
    named = {"Content-Disposition": "attachment; filename=over.pdf"}
    overlay = caller.post("/upload", data=two_pages, headers=named).json()["FileId"]
    files = {"File": ("a.pdf", two_pages)}

    statuses = [
        caller.post("/convert/pdf/to/pdf-watermark", files=files, data=data).status_code
        for data in ({"OverlayFile": overlay}, {"OverlayFile": "0" * 32}, {"overlayfile": "x.pdf"})
    ]

    assert [200, 500, 500] == statuses


def test_file_for_a_value(caller: requests.Session) -> None:
    """A file is refused if a value is expected."""
    files = {"File": ("a.md", b"x"), "Timeout": ("t.txt", b"10")}

    answer = caller.post("/convert/md/to/pdf", files=files)

    assert ["Timeout"] == list(answer.json()["InvalidParameters"])


def test_equal_names_are_numbered(zipped: Call, caller: requests.Session) -> None:
    """Results of one conversion with equal names are numbered; case is kept."""
    files = [("Files[0]", ("A.TXT", b"1")), ("Files[1]", ("b.txt", b"2"))]
    archive = zipped(files=files, headers={"Accept": "application/octet-stream"}).content

    answer = caller.post("/convert/zip/to/extract", files={"File": ("all.zip", archive)})

    assert {"A.TXT", "b.txt"} == {file["FileName"] for file in answer.json()["Files"]}


@pytest.mark.parametrize(("billed", "cost"), [(True, 1), (False, 0)])
def test_whether_a_failure_is_billed(
    sandbox: Sandbox, caller: Any, billed: bool, cost: int
) -> None:
    """`bill_failed` says so for a conversion that ends with a 500."""
    sandbox.settings.bill_failed = billed

    answer = caller.post("/convert/png/to/jpg", files={"File": ("a.png", b"not a picture")})

    assert (500, cost) == (answer.status_code, sandbox.billed)


@pytest.mark.parametrize(("keeps", "second"), [(True, 500), (False, 404)])
def test_whether_a_verdict_can_be_read_again(
    sandbox: Sandbox, caller: Any, poll: Call, keeps: bool, second: int
) -> None:
    """`job_keeps_verdict` says so for a failed job; a finished one is not affected."""
    sandbox.settings.job_keeps_verdict = keeps
    files = {"File": ("a.png", b"not a picture")}
    done = caller.post(START, files={"Files[0]": ("a.txt", b"a")}).json()["JobId"]
    failed = caller.post("/async/convert/png/to/jpg", files=files).json()["JobId"]

    assert [500, second] == [poll(failed).status_code, poll(failed).status_code]
    assert [200, 200] == [poll(done).status_code, poll(done).status_code]


@pytest.mark.parametrize(("billed", "cost"), [(True, 1), (False, 0)])
def test_whether_a_deleted_job_is_billed(
    sandbox: Sandbox, caller: Any, billed: bool, cost: int
) -> None:
    """`bill_deleted` says so for a job that is deleted while it runs, and for no other."""
    sandbox.settings.bill_deleted = billed
    files = {"Files[0]": ("a.txt", b"a")}
    start = START.partition("?")[0]
    done = caller.post(start, files=files).json()["JobId"]
    while sandbox.at_work or not sandbox.billed:
        time.sleep(0.01)
    sandbox.settings.latency = 60.0
    running = caller.post(start, files=files, data={"StoreFile": "true"}).json()["JobId"]

    statuses = [caller.delete(f"/async/job/{job}").status_code for job in (done, running)]

    sandbox.settings.latency = 0.0
    while sandbox.at_work:
        time.sleep(0.01)
    assert [200, 200] == statuses
    assert 1 + cost == sandbox.billed
    assert cost == len(sandbox.files)


@pytest.mark.parametrize(
    ("per", "costs"), [("conversion", [2, 2]), ("result", [4, 2]), ("input", [2, 4])]
)
def test_what_the_price_counts(
    sandbox: Sandbox, caller: Any, two_pages: bytes, per: Any, costs: list[int]
) -> None:
    """`cost_per` multiplies `conversion_cost` by the results, or by the documents sent."""
    sandbox.settings.conversion_cost = 2
    sandbox.settings.cost_per = per
    sent = (
        ("/convert/pdf/to/png", {"File": ("a.pdf", two_pages)}),
        ("/convert/any/to/zip", {"Files[0]": ("a.txt", b"a"), "Files[1]": ("b.txt", b"b")}),
    )

    told = [caller.post(p, files=f).json()["ConversionCost"] for p, f in sent]

    assert costs == told
    assert sum(costs) == sandbox.billed


@pytest.mark.parametrize(("shares", "costs"), [("whole", [3, 3]), ("share", [2, 1])])
def test_cost_in_the_parts_of_an_answer(
    sandbox: Sandbox, caller: Any, two_pages: bytes, shares: Any, costs: list[int]
) -> None:
    """`part_cost` says whether each part of multipart/mixed tells the whole cost."""
    sandbox.settings.conversion_cost = 3
    sandbox.settings.part_cost = shares

    answer = caller.post(
        "/convert/pdf/to/png",
        files={"File": ("a.pdf", two_pages)},
        headers={"Accept": "multipart/mixed"},
    )

    told = re.findall(rb"^ConversionCost: (\d+)", answer.content, re.MULTILINE)
    assert costs == [int(cost) for cost in told]


@pytest.mark.parametrize("kept", [True, False])
def test_whether_an_id_of_the_callers_is_kept(
    sandbox: Sandbox, caller: Any, poll: Call, kept: bool
) -> None:
    """Without `caller_job_ids` a job gets an id of the service's, whatever the caller asks for."""
    sandbox.settings.caller_job_ids = kept
    wanted = "a" * 32

    told = caller.post(START.replace(JOB, wanted), files={"Files[0]": ("a.txt", b"a")})

    job_id = told.json()["JobId"]
    assert (kept, 200) == (job_id == wanted, poll(job_id).status_code)
    assert (200 if kept else 404) == caller.get(f"/async/job/{wanted}").status_code


def test_a_key_that_nobody_can_derive(sandbox: Sandbox, caller: Any) -> None:
    """With `jwt_key` "unknown" only the JWTs of POST /token/jwt are accepted."""
    sandbox.settings.jwt_key = "unknown"
    own = jwt.encode({"kid": sandbox.kid, "exp": 2**32}, sandbox.token, algorithm="HS256")
    asked = {"Kid": sandbox.kid, "ExpiresInSec": 60}
    issued = caller.post("/token/jwt", json=asked).json()["token"]

    statuses = [
        caller.get("/convert/docx/to/pdf", headers={"Authorization": f"Bearer {token}"}).status_code
        for token in (own, issued)
    ]

    assert [401, 400] == statuses
