"""Canned answers: results that a test's author wrote, for any pair of the catalogue."""

from __future__ import annotations

import base64
import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest

from convertapi_sandbox import Sandbox
from convertapi_sandbox.catalogue import converters, resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import requests

    from convertapi_sandbox.catalogue import Converter, Parameter

    Call = Callable[..., requests.Response]

INVOICE = {"File": ("invoice 17.pdf", b"%PDF-1.7 whatever")}
ROWS = b'{"Total": 17}'
EXTRACT = "/convert/pdf/to/extract"


def contents(answer: requests.Response) -> dict[str, bytes]:
    """Return the results in an answer by name."""
    return {item["FileName"]: base64.b64decode(item["FileData"]) for item in answer.json()["Files"]}


def test_pair_without_an_engine_answers(sandbox: Sandbox, caller: requests.Session) -> None:
    """The results are those given, the cost too, and the journal says so."""
    assert 415 == caller.post(EXTRACT, files=INVOICE).status_code

    sandbox.answer("pdf", "extract", files=[("rows.json", ROWS)], cost=3)

    answer = caller.post(EXTRACT, files=INVOICE)
    assert (200, 3) == (answer.status_code, answer.json()["ConversionCost"])
    assert {"rows.json": ROWS} == contents(answer)
    assert (3, 997) == (sandbox.billed, sandbox.balance)
    refused, granted = sandbox.requests
    assert (False, False, 0) == (refused.canned, refused.paid, refused.cost)
    assert (True, True, 3) == (granted.canned, granted.paid, granted.cost)
    assert [1] == [answer.hits for answer in sandbox.answers]


@pytest.mark.parametrize("accept", ["application/octet-stream", "multipart/mixed"])
def test_every_format_of_answer(sandbox: Sandbox, caller: requests.Session, accept: str) -> None:
    """As for any other result."""
    sandbox.answer("pdf", "extract", files=[("rows.json", ROWS)])

    answer = caller.post(EXTRACT, files=INVOICE, headers={"Accept": accept})

    assert ROWS in answer.content
    assert 1 == sandbox.billed


def test_job(sandbox: Sandbox, caller: requests.Session, poll: Call) -> None:
    """A job ends with the results, which are stored and downloaded like others."""
    sandbox.answer("pdf", "split", files=[("page.pdf", b"one"), ("page.pdf", b"two")], cost=2)

    started = caller.post("/async/convert/pdf/to/split?StoreFile=true", files=INVOICE).json()

    body = poll(started["JobId"]).json()
    assert ["page.pdf", "page-2.pdf"] == [item["FileName"] for item in body["Files"]]
    assert [b"one", b"two"] == [caller.get(item["Url"]).content for item in body["Files"]]
    assert (2, 2) == (body["ConversionCost"], sandbox.billed)


def test_names_follow_the_document_or_file_name(sandbox: Sandbox, caller: Any) -> None:
    """A name that begins with an asterisk continues that of the document; FileName renames all."""
    sandbox.answer("pdf", "jpg", files=[("*.jpg", b"one"), ("*.jpg", b"two")])

    own = caller.post("/convert/pdf/to/jpg", files=INVOICE)
    asked = caller.post("/convert/pdf/to/jpg", files=INVOICE, data={"FileName": "scan"})

    assert ["invoice 17.jpg", "invoice 17-2.jpg"] == list(contents(own))
    assert ["scan.jpg", "scan-2.jpg"] == list(contents(asked))


def test_newest_of_those_that_match_by_name_and_parameters(
    sandbox: Sandbox, caller: requests.Session
) -> None:
    """Names are patterns in any case; a parameter that was left out has its default."""
    sandbox.answer("pdf", "extract", files=[("any.json", b"any")])
    sandbox.answer("pdf", "extract", files=[("named.json", b"named")], name="INVOICE*.pdf")
    typed = {"documenttype": "Invoice"}
    sandbox.answer("pdf", "extract", files=[("typed.json", b"typed")], parameters=typed)
    default = {"DocumentType": "auto", "MinimumConfidence": "0.9"}
    sandbox.answer("pdf", "extract", files=[("sure.json", b"sure")], parameters=default)

    def told(name: str, **data: str) -> bytes:
        [content] = contents(caller.post(EXTRACT, files={"File": (name, b"x")}, data=data)).values()
        return content

    assert b"any" == told("letter.pdf")
    assert b"named" == told("Invoice.PDF")
    assert b"typed" == told("invoice.pdf", DocumentType="INVOICE")
    assert b"sure" == told("invoice.pdf", MinimumConfidence="0.90")
    assert 4 == sandbox.billed


def test_number_of_times(sandbox: Sandbox, caller: requests.Session) -> None:
    """After `times` conversions, an older answer acts again, or there is none."""
    sandbox.answer("pdf", "extract", files=[("a.json", b"first")], times=1)

    statuses = [caller.post(EXTRACT, files=INVOICE).status_code for _ in range(2)]

    assert [200, 415] == statuses


def test_engine_is_not_asked(sandbox: Sandbox, caller: requests.Session) -> None:
    """An answer replaces the engine, for what no engine could honour, too."""
    sandbox.answer("doc", "pdf", files=[("a.pdf", b"%PDF canned")])

    data = {"UpdateToc": "true"}
    answer = caller.post("/convert/docx/to/pdf", files={"File": ("a.docx", b"no docx")}, data=data)

    assert {"a.pdf": b"%PDF canned"} == contents(answer)


@pytest.mark.parametrize(
    ("files", "data", "status"),
    [
        ({"File": ("a.png", b"x")}, {}, 415),
        ({"File": ("a.pdf", b"")}, {}, 400),
        ({"File": ("a.pdf", b"x")}, {"DocumentType": "letter"}, 400),
        ({}, {"File": "0" * 32}, 500),
    ],
)
def test_requests_are_checked(
    sandbox: Sandbox, caller: Any, files: Any, data: dict[str, str], status: int
) -> None:
    """What the service would refuse is refused, and a missing document is a billed failure."""
    sandbox.answer("pdf", "extract", files=[("a.json", ROWS)])

    assert status == caller.post(EXTRACT, files=files, data=data).status_code
    assert int(status == 500) == sandbox.billed


def test_answer_that_was_not_given_is_still_there(
    sandbox: Sandbox, caller: requests.Session
) -> None:
    """A refused conversion, and one with another verdict, use up none of `times`."""
    sandbox.answer("pdf", "extract", files=[("a.json", ROWS)], times=1)
    sandbox.balance = 0
    refused = caller.post(EXTRACT, files=INVOICE).status_code
    sandbox.balance = 9
    sandbox.fail("POST /convert", verdict=5001)

    failed, given, none = (caller.post(EXTRACT, files=INVOICE).status_code for _ in range(3))

    assert (403, 500, 200, 415) == (refused, failed, given, none)
    assert [1] == [answer.hits for answer in sandbox.answers]


def test_exhausted_quota(sandbox: Sandbox, caller: requests.Session) -> None:
    """An answer is not given away."""
    sandbox.answer("pdf", "extract", files=[("a.json", ROWS)])
    sandbox.balance = 0

    assert 403 == caller.post(EXTRACT, files=INVOICE).status_code


def test_faults_act_on_it(sandbox: Sandbox, caller: requests.Session) -> None:
    """A verdict comes before the answer."""
    sandbox.answer("pdf", "extract", files=[("a.json", ROWS)], cost=7)
    sandbox.fail("POST /convert", verdict=5001)

    assert 5001 == caller.post(EXTRACT, files=INVOICE).json()["Code"]
    assert 1 == sandbox.billed


def test_web_page_is_not_fetched(sandbox: Sandbox, caller: requests.Session) -> None:
    """The last part of a URL is the name, and its host need not exist."""
    sandbox.answer("web", "pdf", files=[("*.pdf", b"%PDF")], name="prices.html")

    answer = caller.post(
        "/convert/web/to/pdf", data={"Url": "https://nowhere.invalid/a/prices.html?day=1"}
    )

    assert {"prices.pdf": b"%PDF"} == contents(answer)


def test_reset_forgets(sandbox: Sandbox) -> None:
    """Like everything else; `clear_answers` forgets nothing else."""
    sandbox.answer("pdf", "extract", files=[("a.json", ROWS)])
    sandbox.clear_answers()
    assert [] == sandbox.answers
    sandbox.answer("pdf", "extract", files=[("a.json", ROWS)])
    sandbox.reset()
    assert [] == sandbox.answers


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"source": "docx", "target": "mp4"}, "no converter for docx to mp4"),
        ({"files": []}, "pdf to extract needs a file"),
        ({"files": [b"x"]}, "a pair of its name and its bytes"),
        ({"files": "a.json"}, "must be a list"),
        ({"cost": -1}, "cost must be"),
        ({"cost": True}, "cost must be"),
        ({"times": 0}, "times must be"),
        ({"parameters": {"DocumentTyp": "auto"}}, "has no parameter DocumentTyp"),
        ({"parameters": {"DocumentType": "letter"}}, "'letter' is not valid for DocumentType"),
        ({"parameters": {"File": "x"}}, "has no parameter File"),
    ],
)
def test_answer_that_could_never_be_given(
    sandbox: Sandbox, options: dict[str, Any], complaint: str
) -> None:
    """It is refused where it is written, and says why."""
    values: dict[str, Any] = {"source": "pdf", "target": "extract", "files": [("a.json", ROWS)]}

    with pytest.raises(ValueError, match=complaint):
        sandbox.answer(**values | options)
    assert [] == sandbox.answers


def test_missing_path(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file that does not exist is an error at once."""
    with pytest.raises(FileNotFoundError):
        sandbox.answer("pdf", "extract", files=[tmp_path / "none.json"])


def test_paths_files_and_other_processes(
    sandbox: Sandbox, caller: requests.Session, tmp_path: Path
) -> None:
    """A file of answers has paths beside it, texts, bytes and JSON, also for another process."""
    (tmp_path / "rows.json").write_bytes(ROWS)
    answers = [
        {"source": "pdf", "target": "extract", "files": ["rows.json"], "cost": 2},
        {"source": "pdf", "target": "md", "files": [["*.md", "# Title"]]},
        {"source": "pdf", "target": "docx", "files": [{"name": "a.docx", "base64": "AAE="}]},
        {"source": "pdf", "target": "redact", "files": [{"name": "a.json", "json": {"A": 1}}]},
    ]
    (tmp_path / "answers.json").write_text(json.dumps(answers), "utf-8")
    other = Sandbox.attach(sandbox.url)

    other.load_answers(tmp_path / "answers.json")

    found = [
        contents(caller.post(f"/convert/pdf/to/{target}", files=INVOICE))
        for target in ("extract", "md", "docx", "redact")
    ]
    assert [
        {"rows.json": ROWS},
        {"invoice 17.md": b"# Title"},
        {"a.docx": b"\0\1"},
        {"a.json": b'{"A": 1}'},
    ] == found
    assert [1, 1, 1, 1] == [answer.hits for answer in other.answers]
    assert 5 == sandbox.billed


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (["rows.json"], "a file is"),  # whose path would it be?
        ([{"name": "a", "base64": "!"}], "base64"),
        ([{"name": "a"}], "a file is"),
        ("x", "must be a list"),
    ],
)
def test_answer_over_http_names_no_path(
    sandbox: Sandbox, caller: requests.Session, files: Any, complaint: str
) -> None:
    """A caller in another process cannot make the sandbox read files."""
    body = {"source": "pdf", "target": "extract", "files": files}

    answer = caller.post("/_sandbox/answer", json=body)

    assert 400 == answer.status_code
    assert complaint in answer.json()["error"].lower()


# --- the whole catalogue --------------------------------------------------------------------------


def sent(parameter: Parameter) -> Any:
    """Return a value that a parameter takes."""
    if parameter.values:
        return parameter.values[0]
    by_type = {"boolean": True, "json": "[]", "string": "https://nowhere.invalid/page"}
    return by_type.get(parameter.type, parameter.min)


def parameters_of(converter: Converter) -> list[dict[str, Any]]:
    """Return the parameters of the smallest request for a converter, in the JSON form."""
    document = {"Name": f"a.{min(converter.extensions, default='')}", "Data": "eA=="}
    items: list[dict[str, Any]] = []
    for item in converter.parameters.values():
        if item.type == "file[]":
            items.append({"Name": item.name, "FileValues": [document]})
        elif item.name == "File":
            items.append({"Name": item.name, "FileValue": document})
        elif item.required and item.default is None and not item.is_file:
            items.append({"Name": item.name, "Value": sent(item)})
    return items


def test_all_pairs_are_convertible(sandbox: Sandbox) -> None:
    """With a canned answer each of the 314 converters answers, and is billed exactly."""
    sandbox.answer(files=[("*.out", b"canned")], cost=2)
    connection = http.client.HTTPConnection(sandbox.url.rpartition("/")[2], timeout=30)
    headers = {"Authorization": f"Bearer {sandbox.token}", "Content-Type": "application/json"}

    refused = {}
    for route, converter in converters().items():
        body = json.dumps({"Parameters": parameters_of(converter)})
        connection.request("POST", f"/convert/{route}", body, headers)
        answer = json.load(connection.getresponse())
        if base64.b64encode(b"canned").decode() not in str(answer):
            refused[route] = answer
    connection.close()

    assert {} == refused
    assert (314, 628) == (len(converters()), sandbox.billed)


def test_every_extension_leads_to_its_converter() -> None:
    """A client puts the extension of its file into the path: some converter takes it."""
    lost = [
        (extension, converter.route)
        for converter in converters().values()
        for extension in converter.extensions
        for found in [resolve(extension, converter.target)]
        if found is None or (extension not in found.extensions)
    ]

    assert [] == lost


@pytest.mark.parametrize(
    ("source", "target", "route"),
    [
        ("pdf", "validate", "pdfa/to/validate"),
        ("doc", "pdf", "docx/to/pdf"),
        ("DOCX", "zip", "file/to/zip"),
        ("any", "zip", "file/to/zip"),
        ("url", "pdf", "web/to/pdf"),
        ("jpeg", "tif", "jpg/to/tiff"),
        ("msg", "extract", "email/to/extract"),
        ("docx", "moderate", "document/to/moderate"),
        ("png", "moderate", "image/to/moderate"),
        ("xml", "pdf", "peppol/to/pdf"),
        ("pdf", "decrypt", "pdf/to/unprotect"),
    ],
)
def test_aliases(source: str, target: str, route: str) -> None:
    """Extensions, families and old names resolve to one converter."""
    converter = resolve(source, target)

    assert converter is not None
    assert route == converter.route
