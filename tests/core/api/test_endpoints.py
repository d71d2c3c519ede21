"""Each call as a value: what is asked for, and what its answer means when it is good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.endpoints import Conversion, ConvertedFile
from airflow_provider_convertapi.api.wire import Credential, error_code
from airflow_provider_convertapi.errors import (
    ResultExpiredError,
    ResultLostError,
    UnexpectedAnswerError,
)
from tests.core.api.server import FILE_ID, JOB_ID, Memory, response

if TYPE_CHECKING:
    from airflow_provider_convertapi.api.wire import Request

STORED = {"FileName": "a.pdf", "FileExt": "pdf", "FileSize": 7, "FileId": FILE_ID}
OTHER_ID = FILE_ID[::-1]


def line(request: Request) -> tuple[str, str, dict[str, str], str, Credential]:
    """Return what a request asks for, without its body."""
    query = dict(request.query)
    return request.method, request.path, query, request.accept, request.credential


JSON = "application/json"


@pytest.mark.parametrize(
    ("endpoint", "wanted"),
    [
        (
            endpoints.start_conversion("docx", "pdf", JOB_ID, []),
            ("POST", "/async/convert/docx/to/pdf", {"JobId": JOB_ID}, JSON, Credential.TOKEN),
        ),
        (
            endpoints.convert_directly("docx", "pdf", 60, []),
            ("POST", "/convert/docx/to/pdf", {}, "multipart/mixed", Credential.TOKEN),
        ),
        (
            endpoints.get_job(JOB_ID),
            ("GET", f"/async/job/{JOB_ID}", {}, JSON, Credential.TOKEN),
        ),
        (
            endpoints.delete_job(JOB_ID),
            ("DELETE", f"/async/job/{JOB_ID}", {}, JSON, Credential.TOKEN),
        ),
        (
            endpoints.upload(Memory(b"x"), FILE_ID),
            ("POST", "/upload", {"fileId": FILE_ID}, JSON, Credential.TOKEN),
        ),
        (endpoints.upload(Memory(b"x")), ("POST", "/upload", {}, JSON, Credential.TOKEN)),
        (endpoints.find_file(FILE_ID), ("HEAD", f"/d/{FILE_ID}", {}, "*/*", Credential.TOKEN)),
        (
            endpoints.download(FILE_ID),
            ("GET", f"/d/{FILE_ID}", {}, "application/octet-stream, */*", Credential.TOKEN),
        ),
        (endpoints.delete_file(FILE_ID), ("DELETE", f"/d/{FILE_ID}", {}, JSON, Credential.TOKEN)),
        (
            endpoints.request_token("kid", 60, None),
            ("POST", "/token/jwt", {}, "*/*", Credential.API_TOKEN),
        ),
        (endpoints.get_user(), ("GET", "/user", {}, JSON, Credential.MASTER)),
        (
            endpoints.get_statistics("2026-01-01", "2026-01-31"),
            (
                "GET",
                "/user/statistic",
                {"startDate": "2026-01-01", "endDate": "2026-01-31"},
                JSON,
                Credential.MASTER,
            ),
        ),
    ],
)
def test_request(endpoint: Any, wanted: tuple[Any, ...]) -> None:
    """Each call has its method, path, query, form of answer and kind of credential."""
    assert wanted == line(endpoint.request)


def test_only_account_calls_use_the_master_token() -> None:
    """The master token opens the account, the API token itself buys a JWT, and that is all."""
    assert {"TOKEN", "API_TOKEN", "MASTER"} == {kind.name for kind in Credential}


def body_of(endpoint: Any) -> str:
    """Return the request's body."""
    return b"".join(endpoint.request.body.blocks()).decode()


def test_fields_of_a_conversion() -> None:
    """A job keeps its results, a direct conversion keeps nothing."""
    fields: list[tuple[str, Any]] = [("File", Memory(b"DATA")), ("Timeout", "60")]

    job = body_of(endpoints.start_conversion("docx", "pdf", JOB_ID, fields))
    direct = body_of(endpoints.convert_directly("docx", "pdf", 60, fields))

    for body, stored in ((job, "true"), (direct, "false")):
        assert f'name="StoreFile"\r\n\r\n{stored}\r\n' in body
        assert 'name="Timeout"\r\n\r\n60\r\n' in body
        assert "DATA" in body


def test_direct_conversion_waits_for_its_answer() -> None:
    """The answer comes when the conversion is done: the service's `Timeout`, and a margin."""
    assert 90.0 == endpoints.convert_directly("docx", "pdf", 60, []).request.timeout
    assert None is endpoints.get_job(JOB_ID).request.timeout


def test_formats_cannot_leave_their_place() -> None:
    """A format is one segment of the path, whatever is in it."""
    request = endpoints.start_conversion("../user", "a/b?c#d", JOB_ID, []).request

    assert "/async/convert/..%2Fuser/to/a%2Fb%3Fc%23d" == request.path


def test_upload_carries_its_name() -> None:
    """The file is the body, and its name a header."""
    request = endpoints.upload(Memory(b"DATA", "\u00e4 (1).docx")).request

    assert {"Content-Disposition": "attachment; filename*=UTF-8''%C3%A4%20%281%29.docx"} == dict(
        request.headers
    )
    assert request.body
    assert (b"DATA", 4) == (b"".join(request.body.blocks()), request.body.size)


@pytest.mark.parametrize("body", [{"JobId": JOB_ID}, {}, {"JobId": None}, {"JobId": ""}, {"a": 1}])
def test_accepted_job(body: dict[str, Any]) -> None:
    """A JSON object that names our id, or none, is an acceptance."""
    endpoint = endpoints.start_conversion("docx", "pdf", JOB_ID, [])

    assert None is endpoint.parse(response(200, body))


@pytest.mark.parametrize("other", [OTHER_ID, JOB_ID.upper(), 5])
def test_job_under_another_id(other: object) -> None:
    """To submit again would be paid again each time, so it is final; the id is not shown."""
    endpoint = endpoints.start_conversion("docx", "pdf", JOB_ID, [])

    with pytest.raises(ResultLostError, match="may have been billed") as caught:
        endpoint.parse(response(200, {"JobId": other}))
    assert OTHER_ID not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>sign in</html>", b"[]", b"null", b'"id"'])
def test_no_acceptance(body: bytes) -> None:
    """A 200 without a JSON object was said by somebody else."""
    with pytest.raises(UnexpectedAnswerError, match="holds no job id"):
        endpoints.start_conversion("docx", "pdf", JOB_ID, []).parse(response(200, body))


def finished(body: object) -> Conversion | None:
    """Return the conversion in a job's 200."""
    answer = endpoints.get_job(JOB_ID).parse(response(200, body))
    assert not answer.unknown
    assert None is answer.verdict
    return answer.conversion


def test_finished_job() -> None:
    """Cost and files are read; what else is there is left alone."""
    body = {
        "ConversionCost": 4,
        "ConversionTime": 9,
        "Files": [STORED, STORED | {"FileName": "[dev] b.pdf", "FileSize": 0, "FileId": OTHER_ID}],
    }

    files = (ConvertedFile("a.pdf", 7, FILE_ID), ConvertedFile("[dev] b.pdf", 0, OTHER_ID))
    assert Conversion(4, files) == finished(body)


@pytest.mark.parametrize(
    ("cost", "read"),
    [(2, 2), (0, 0), ("3", 3), (2.0, 2), (None, 1), (-1, 1), (True, 1), ("x", 1), ([], 1)],
)
def test_cost(cost: object, read: int) -> None:
    """One conversion is what nobody names the cost of."""
    conversion = finished({"ConversionCost": cost, "Files": [STORED]})

    assert conversion
    assert read == conversion.cost


URL = f"https://v2.convertapi.com/d/{FILE_ID}"


@pytest.mark.parametrize(
    "entry",
    [
        {"FileId": FILE_ID},
        {"FileId": FILE_ID, "Url": f"https://elsewhere.example/d/{OTHER_ID}/a.pdf"},
        {"Url": URL},
        {"Url": f"{URL}/[dev]%20a.pdf"},
        {"Url": f"{URL}?download=inline"},
        {"Url": f"{URL}#page=1"},
        {"FileUrl": f"{URL}/a.pdf"},
        {"FileId": None, "Url": URL},
        {"FileId": "short", "Url": URL},
        {"FileId": f"{FILE_ID}/../../user", "Url": URL},
        {"Url": f"http://[not a host/d/{FILE_ID}/a"},
    ],
)
def test_id_of_a_result(entry: dict[str, Any]) -> None:
    """The id is what counts, wherever it stands; hosts and names in URLs are not trusted."""
    conversion = finished({"Files": [{"FileName": "a.pdf", "FileSize": "7"} | entry]})

    assert conversion
    assert (ConvertedFile("a.pdf", 7, FILE_ID),) == conversion.files


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"FileId": FILE_ID.upper()},
        {"FileId": FILE_ID + "x"},
        {"FileId": FILE_ID[:-1]},
        {"FileId": FILE_ID + "\n"},
        {"FileId": f"{FILE_ID}/../../user"},
        {"FileId": f"../{FILE_ID}"},
        {"FileId": int("1" * 32)},
        {"FileId": [FILE_ID]},
        {"Url": f"https://h/d/{FILE_ID}x"},
        {"Url": f"https://h/e/{FILE_ID}"},
        {"FileId": FILE_ID, "FileSize": None},
        {"FileId": FILE_ID, "FileSize": -1},
        {"FileId": FILE_ID, "FileSize": True},
        {"FileId": FILE_ID, "FileSize": "big"},
        {"FileData": "RGF0YQ=="},
    ],
)
def test_result_without_id_or_size(entry: dict[str, Any]) -> None:
    """A result that cannot be fetched and checked is not understood; no id is shown."""
    with pytest.raises(UnexpectedAnswerError, match="id and size") as caught:
        finished({"Files": [{"FileName": "a.pdf", "FileSize": 7} | entry]})
    assert FILE_ID not in str(caught.value)


@pytest.mark.parametrize("files", [None, [], {}, "a", [None], ["a"], [[]], 5])
def test_conversion_without_results(files: object) -> None:
    """A conversion has results, and each is an object."""
    with pytest.raises(UnexpectedAnswerError):
        finished({"ConversionCost": 1, "Files": files})


@pytest.mark.parametrize(
    ("name", "read"), [("../../x", "../../x"), (None, ""), ("", ""), (5, "5"), ("\u00e4", "\u00e4")]
)
def test_name_of_a_result_is_data(name: object, read: str) -> None:
    """A name is handed on as it is: who writes files makes it safe."""
    conversion = finished({"Files": [STORED | {"FileName": name}]})

    assert conversion
    assert read == conversion.files[0].name


def test_uploaded_file() -> None:
    """The answer tells id and size of what arrived."""
    stored = endpoints.upload(Memory(b"x")).parse(response(200, STORED))

    assert ConvertedFile("a.pdf", 7, FILE_ID) == stored


@pytest.mark.parametrize(
    ("headers", "file"),
    [
        (
            {"file_size": "7", "content_disposition": "attachment; filename*=utf-8''%c3%a4.pdf"},
            ConvertedFile("\u00e4.pdf", 7, FILE_ID),
        ),
        ({"content_length": "8"}, ConvertedFile("", 8, FILE_ID)),
        ({"file_size": "7", "content_length": "0"}, ConvertedFile("", 7, FILE_ID)),
        ({"file_size": "7, 7", "content_length": "7"}, ConvertedFile("", 7, FILE_ID)),
        ({"file_size": "0"}, ConvertedFile("", 0, FILE_ID)),
    ],
)
def test_found_file(headers: dict[str, str], file: ConvertedFile) -> None:
    """A stored file is known by its size, which the service names in one of two headers."""
    assert file == endpoints.find_file(FILE_ID).parse(response(200, **headers))


@pytest.mark.parametrize("headers", [{}, {"file_size": "big"}, {"content_length": "-1"}])
def test_found_file_without_a_size(headers: dict[str, str]) -> None:
    """A file whose size nobody tells cannot be checked: some proxy is in between."""
    with pytest.raises(UnexpectedAnswerError, match="holds no file size"):
        endpoints.find_file(FILE_ID).parse(response(200, **headers))


def test_download_of_what_is_gone() -> None:
    """A result that expired says how long results are kept."""
    with pytest.raises(ResultExpiredError, match="three hours"):
        endpoints.download(FILE_ID).parse(response(404))


def test_account_shows_no_credential() -> None:
    """The fields that echo a credential are left out, since balances end up in XCom."""
    body = {"Active": True, "ConversionsTotal": 9, "Secret": "s3cret", "ApiKey": 1, "secret": "x"}

    account = endpoints.get_user().parse(response(200, body))

    assert {"Active": True, "ConversionsTotal": 9} == account


def test_statistics() -> None:
    """The list of conversions is handed on as it is."""
    items = [{"Result": True, "Converter": "Word"}]

    assert items == endpoints.get_statistics("a", "b").parse(response(200, items))


def test_deleted() -> None:
    """Any success means that it is gone."""
    for status in (200, 202, 204):
        assert True is endpoints.delete_file(FILE_ID).parse(response(status))
        assert True is endpoints.delete_job(JOB_ID).parse(response(status))


def test_values_without_a_code() -> None:
    """A Code is a field of an object; an answer that is a number is none."""
    assert None is error_code(response(500, 5002))
    assert 5002 == error_code(response(500, {"Code": 5002}))
