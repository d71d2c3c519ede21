"""What each status and Code means, call by call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api import endpoints
from airflow_provider_convertapi.api.endpoints import JobAnswer
from airflow_provider_convertapi.api.wire import error_of, whole_number
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionError,
    ConvertApiError,
    ParameterError,
    QuotaExhaustedError,
    ResultExpiredError,
    ThrottledError,
    TransientConversionError,
    TransportError,
    UnexpectedAnswerError,
    UnsupportedFormatError,
)
from tests.core.api.server import FILE_ID, JOB_ID, Memory, response

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.wire import Endpoint

Kind = type[ConvertApiError]

# Calls of one meaning: those that convert, those that cost nothing.
CONVERTING: dict[str, Endpoint[Any]] = {
    "submit": endpoints.start_conversion("docx", "pdf", JOB_ID, []),
    "direct": endpoints.convert_directly("docx", "pdf", 10, []),
}
FREE: dict[str, Endpoint[Any]] = {
    "upload": endpoints.upload(Memory(b"")),
    "find": endpoints.find_file(FILE_ID),
    "download": endpoints.download(FILE_ID),
    "delete file": endpoints.delete_file(FILE_ID),
    "delete job": endpoints.delete_job(JOB_ID),
    "token": endpoints.request_token("kid", 60, None),
    "user": endpoints.get_user(),
    "statistics": endpoints.get_statistics("2026-01-01", "2026-01-31"),
}
POLL = endpoints.get_job(JOB_ID)

# (status, Code) -> what a converting call raises, what a free one raises.
EVERYWHERE: list[tuple[int, int | None, Kind, Kind]] = [
    (400, 4000, ParameterError, ParameterError),
    (400, 4001, ParameterError, ParameterError),
    (400, None, ParameterError, ParameterError),
    *((401, code, AuthenticationError, AuthenticationError) for code in (4010, 4011, 4012)),
    *((401, code, AuthenticationError, AuthenticationError) for code in (4013, 4015, 4017)),
    (401, None, AuthenticationError, AuthenticationError),
    (401, 4014, QuotaExhaustedError, QuotaExhaustedError),
    (403, 403, QuotaExhaustedError, QuotaExhaustedError),
    (403, 4014, QuotaExhaustedError, QuotaExhaustedError),
    (403, None, QuotaExhaustedError, QuotaExhaustedError),
    (500, 4014, QuotaExhaustedError, QuotaExhaustedError),
    (408, None, TransportError, TransportError),
    (413, None, ParameterError, ParameterError),
    (415, 4150, UnsupportedFormatError, UnsupportedFormatError),
    (415, None, UnsupportedFormatError, UnsupportedFormatError),
    (418, None, UnexpectedAnswerError, UnexpectedAnswerError),
    (429, None, ThrottledError, ThrottledError),
    (503, 503, ThrottledError, ThrottledError),
    (503, None, ThrottledError, ThrottledError),
    *((500, code, TransientConversionError, TransportError) for code in (5000, 5008, 5009, 50050)),
    *((500, code, ConversionError, TransportError) for code in range(5001, 5008)),
    *((500, code, ConversionError, TransportError) for code in (50010, 50013, 50020)),
    *((500, code, ConversionError, TransportError) for code in (0, 5999, 123456)),
    (500, None, TransportError, TransportError),
    (501, None, TransportError, TransportError),
    (502, None, TransportError, TransportError),
    (502, 5001, TransportError, TransportError),
    (504, None, TransportError, TransportError),
    (504, 5000, TransportError, TransportError),
    (301, None, UnexpectedAnswerError, UnexpectedAnswerError),
    (307, None, UnexpectedAnswerError, UnexpectedAnswerError),
    (101, None, UnexpectedAnswerError, UnexpectedAnswerError),
]


def body(code: int | None) -> Any:
    """Return an error's body; without a Code it is some proxy's page."""
    return b"<html>An error</html>" if code is None else {"Code": code, "Message": "It is so."}


def raised(endpoint: Endpoint[Any], status: int, code: int | None) -> ConvertApiError:
    """Return the error that the call's answer stands for."""
    with pytest.raises(ConvertApiError) as caught:
        endpoint.parse(response(status, body(code)))
    return caught.value


@pytest.mark.parametrize(("status", "code", "converting", "free"), EVERYWHERE)
def test_status_and_code(status: int, code: int | None, converting: Kind, free: Kind) -> None:
    """Only calls that convert have verdicts; of any other a 5xx is retried, whatever its Code."""
    for kind, calls in ((converting, CONVERTING), (free, FREE)):
        for name, endpoint in calls.items():
            error = raised(endpoint, status, code)
            # No quota is needed to read a stored file: who may not is refused for another reason.
            reads = name in {"find", "download"} and kind is QuotaExhaustedError
            wanted = AuthenticationError if reads else kind
            assert (name, wanted) == (name, type(error))
            assert str(status) in str(error)


# (status, Code) -> what a poll raises, or the verdict that it returns.
POLLED: list[tuple[int, int | None, Kind | None, Kind | None]] = [
    (400, 4000, None, ParameterError),
    (400, None, TransportError, None),
    (401, 4010, AuthenticationError, None),
    (401, 4012, AuthenticationError, None),
    (401, None, AuthenticationError, None),
    (401, 4014, None, QuotaExhaustedError),
    (403, 403, None, QuotaExhaustedError),
    (403, 4014, None, QuotaExhaustedError),
    (403, None, None, QuotaExhaustedError),
    (408, None, TransportError, None),
    (410, None, TransportError, None),
    (410, 4100, None, UnexpectedAnswerError),
    (415, 4150, None, UnsupportedFormatError),
    (415, None, TransportError, None),
    (429, None, ThrottledError, None),
    (429, 429, ThrottledError, None),
    (503, 503, ThrottledError, None),
    (503, None, ThrottledError, None),
    *((500, code, None, TransientConversionError) for code in (5000, 5008, 5009, 50050)),
    *((500, code, None, ConversionError) for code in (*range(5001, 5008), 50010, 50013, 50020)),
    (500, 7, None, ConversionError),
    (500, None, TransportError, None),
    (502, None, TransportError, None),
    (502, 5001, TransportError, None),
    (504, None, TransportError, None),
    (302, None, UnexpectedAnswerError, None),
    (302, 5001, UnexpectedAnswerError, None),
    (204, None, UnexpectedAnswerError, None),
]


@pytest.mark.parametrize(("status", "code", "kind", "verdict"), POLLED)
def test_poll(status: int, code: int | None, kind: Kind | None, verdict: Kind | None) -> None:
    """With a Code, or a 403, it is an answer, save what concerns the poll; without, the wire's."""
    if kind is not None:
        assert kind is type(raised(POLL, status, code))
        return

    answer = POLL.parse(response(status, body(code)))

    assert verdict is type(answer.verdict)
    assert (False, None) == (answer.unknown, answer.conversion)
    assert (verdict is QuotaExhaustedError) == answer.unpaid


def test_poll_of_a_running_and_of_an_unknown_job() -> None:
    """202 says it runs, 404 that nobody knows it, whatever the body."""
    for content in (b"", b"<html/>", {"Code": 404, "Message": "no"}):
        assert JobAnswer() == POLL.parse(response(202, content))
        assert JobAnswer(unknown=True) == POLL.parse(response(404, content))


@pytest.mark.parametrize("call", CONVERTING)
@pytest.mark.parametrize("status", [404, 405])
def test_no_such_converter(call: str, status: int) -> None:
    """A path that the service has not is a pair of formats that it does not convert."""
    error = raised(CONVERTING[call], status, None)

    assert UnsupportedFormatError is type(error)
    assert "check both formats" in str(error)


def test_not_found_of_free_calls() -> None:
    """404 means no file or no job to those who ask for one, and a wrong host to the others."""
    for call, nothing in (("find", None), ("delete file", False), ("delete job", False)):
        assert nothing is FREE[call].parse(response(404))
    assert ResultExpiredError is type(raised(FREE["download"], 404, None))
    for call in ("upload", "token", "user", "statistics"):
        assert UnexpectedAnswerError is type(raised(FREE[call], 404, None))


@pytest.mark.parametrize("status", [400, 415])
@pytest.mark.parametrize("code", [None, 4000])
def test_only_conversions_are_refused_for_good(status: int, code: int | None) -> None:
    """What is said about an upload or a download is not held against the file."""
    assert all(raised(call, status, code).bars_file for call in CONVERTING.values())
    assert not any(raised(call, status, code).bars_file for call in FREE.values())


def test_code_of_errors() -> None:
    """The Code is kept where a caller branches on it."""
    assert 4012 == raised(POLL, 401, 4012).code
    assert 503 == raised(POLL, 503, 503).code
    assert raised(POLL, 503, None).code is None
    assert 5002 == raised(CONVERTING["submit"], 500, 5002).code
    assert "HTTP 500, Code 5002: It is so." in str(raised(CONVERTING["submit"], 500, 5002))


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("5002", 5002),
        (" 5002 ", 5002),
        (5002.0, 5002),
        (50050, 50050),
        (0, 0),
        (True, None),
        (5002.5, None),
        (-5002, None),
        (-5002.0, None),
        ("5002x", None),
        ("", None),
        ("²", None),
        ("9" * 5000, None),
        (10**18, None),
        (1e300, None),
        (999_999_999_999_999_999, 999_999_999_999_999_999),
        ([5002], None),
        (None, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_code_however_written(code: object, read: int | None) -> None:
    """A number may come as text or with a fraction of nothing; anything else is no Code."""
    error = error_of(response(500, {"Code": code, "Message": "m"}), verdicts=True)

    assert read == whole_number(code)
    assert read == getattr(error, "code", None)
    assert (read is None) == isinstance(error, TransportError)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Bad Gateway</html>",
        b"[1, 2]",
        b'"text"',
        b"null",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"Code": 5002, "Message": ' + b"9" * 5000 + b"}",
    ],
)
def test_bodies_that_are_no_error(content: bytes) -> None:
    """A 5xx whose body is not the service's is the wire's trouble, and never a crash."""
    for endpoint in (*CONVERTING.values(), *FREE.values(), POLL):
        with pytest.raises(TransportError):
            endpoint.parse(response(500, content))


def test_body_with_a_mark_of_byte_order() -> None:
    """UTF-8 with its mark, and UTF-16, are JSON as well."""
    for content in (b'\xef\xbb\xbf{"Code": 5002}', '{"Code": 5002}'.encode("utf-16")):
        error = error_of(response(500, content), verdicts=True)
        assert (ConversionError, 5002) == (type(error), getattr(error, "code", None))


def test_invalid_parameters_are_named() -> None:
    """The parameters that the service refused, and why, are fields and text."""
    invalid = {"Timeout": ["must be between 10 and 1200."], "File": "is required."}
    answer = response(400, {"Code": 4000, "Message": "Wrong.", "InvalidParameters": invalid})

    error = error_of(answer)

    assert isinstance(error, ParameterError)
    assert {"Timeout": ["must be between 10 and 1200."], "File": ["is required."]} == error.invalid
    assert str(error).endswith("Wrong. Timeout: must be between 10 and 1200.; File: is required.")


@pytest.mark.parametrize("invalid", [None, [], "File", 5, {}])
def test_no_invalid_parameters(invalid: object) -> None:
    """A 400 may name none."""
    answer = response(400, {"Code": 4000, "Message": "Wrong.", "InvalidParameters": invalid})

    error = error_of(answer)

    assert isinstance(error, ParameterError)
    assert {} == error.invalid
    assert str(error).endswith(": Wrong.")


def test_too_large() -> None:
    """A request that is too large says so; what a proxy answers is not said twice."""
    error = error_of(response(413, b"<html>No</html>", content_type="text/html"))

    assert (
        "ConvertAPI answered HTTP 413 (text/html), starting '<html>No</html>'. "
        "The service, or a proxy before it, does not take requests of this size. Raise the proxy's "
        "limit, or give a smaller file; a batch tries it again in its next run."
    ) == str(error)


def test_hostile_error_body() -> None:
    """However much a body holds, the error stays one short printable line without ids."""
    words = f"{JOB_ID} \x1b[31m\r\nFORGED LOG LINE\x00 " * 10_000
    invalid = {f"{n} {FILE_ID}\n" + "n" * 900: [words[:9000]] * 25 for n in range(25)}
    answer = response(400, {"Message": words, "InvalidParameters": invalid})

    error = error_of(answer)

    assert isinstance(error, ParameterError)
    assert len(str(error)) < 1200
    assert [10] * 10 == [len(texts) for texts in error.invalid.values()]
    for text in (str(error), *error.invalid, *(t for ts in error.invalid.values() for t in ts)):
        assert text.isprintable()
        assert JOB_ID not in text


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("Tue, 24 Nov 2026 10:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 09:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2026 10:00:30 -0000", None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("1000000000", 7200.0),
        ("1" + "0" * 16, 7200.0),
        ("9" * 400, None),
        ("Tue, 24 Nov 2099 10:00:30 GMT", 7200.0),
        ("Tue, 24 Nov 99999999999 10:00:30 GMT", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    """Seconds, or a date by the service's own clock; anything else says nothing."""
    answer = response(503, b"", retry_after=header, date="Tue, 24 Nov 2026 10:00:00 GMT")

    error = error_of(answer)

    assert isinstance(error, ThrottledError)
    assert seconds == error.retry_after


@pytest.mark.parametrize("status", [402, 407, 409, 410, 418, 422, 451, 499])
def test_refusals_without_a_class_of_their_own(status: int) -> None:
    """Any 4xx is an answer: what was sent was not accepted, so nothing was lost."""
    for endpoint in (*CONVERTING.values(), *FREE.values()):
        error = raised(endpoint, status, None)

        assert UnexpectedAnswerError is type(error)
        assert (True, False) == (error.is_refusal, error.is_answer_lost)


@pytest.mark.parametrize("status", [101, 204, 302, 307])
def test_answers_that_say_nothing(status: int) -> None:
    """What is neither a result nor a refusal leaves open whether the request was accepted."""
    error = raised(CONVERTING["submit"], status, None)

    assert (False, True) == (error.is_refusal, error.is_answer_lost)


def test_retry_after_a_date_without_a_clock() -> None:
    """A date says nothing where the service does not say what time it is."""
    error = error_of(response(503, b"", retry_after="Tue, 24 Nov 2026 10:00:30 GMT"))

    assert isinstance(error, ThrottledError)
    assert None is error.retry_after


@pytest.mark.parametrize(
    ("location", "where"),
    [
        (f"https://user:secret@elsewhere.example/d/{FILE_ID}?x=1", " to https://elsewhere.example"),
        ("/login", ""),
        ("", ""),
    ],
)
def test_redirect(location: str, where: str) -> None:
    """A redirect names the host where it leads, and the remedy; nothing that opens anything."""
    error = error_of(response(302, b"", location=location))

    assert UnexpectedAnswerError is type(error)
    assert f"(HTTP 302){where}. It is not followed" in str(error)
    assert "secret" not in str(error)


def test_redirect_to_nonsense() -> None:
    """A location that is not a URL does not crash the client."""
    assert "(HTTP 302). " in str(error_of(response(302, b"", location="https://[")))


def test_success_of_each_call_is_strict() -> None:
    """A 2xx that is not what was asked for is said to be so, and where to look."""
    parses: list[Callable[[], object]] = [
        lambda: CONVERTING["submit"].parse(response(200, b"<html>Please sign in</html>")),
        lambda: POLL.parse(response(200, b"<html>Please sign in</html>")),
        lambda: FREE["upload"].parse(response(200, [])),
        lambda: FREE["find"].parse(response(200)),
        lambda: FREE["user"].parse(response(200, [])),
        lambda: FREE["statistics"].parse(response(200, {})),
    ]
    for parse in parses:
        with pytest.raises(UnexpectedAnswerError, match="Check that the connection's host"):
            parse()
