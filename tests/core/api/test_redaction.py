"""What may be shown: no id, no token, no signature of a URL."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_convertapi.api.redaction import hide_ids, redact, shown
from tests.core.api.server import FILE_ID, JOB_ID, response

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJraWQiOiJrIn0.c2lnbmF0dXJl"
LONG_JWT = f"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJr{JOB_ID}.sHoRt-PiEcEs_Of_A-SiGnAtUrE"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (f"GET /async/job/{JOB_ID}", "GET /async/job/<id>"),
        (f"/d/{FILE_ID}/[dev] a.pdf", "/d/<id>/[dev] a.pdf"),
        (f'{{"JobId":"{JOB_ID}"}}', '{"JobId":"<id>"}'),
        (f"%2Fd%2F{FILE_ID}%2Fa", "%2Fd%<id>%2Fa"),
        (f"?JobId={JOB_ID}&x=1", "?JobId=<id>&x=1"),
        ("?jobid=short&fileId=other x", "?jobid=<id>&fileId=<id> x"),
        (f"_{JOB_ID}-{JOB_ID}", "_<id>-<id>"),
        (f"{JOB_ID.upper()} {JOB_ID}x", "<id> <id>"),
        (f"Bearer {JWT}.", "Bearer <token>"),
        (f'"{JWT}"', '"<token>"'),
        (JWT[:30], "<token>"),
        (f"{LONG_JWT} {JOB_ID}", "<token> <id>"),
        ("https://h/a?X-Amz-Signature=s&b=c d", "https://h/a?<hidden> d"),
        ("Remote file http://h/a b.txt?q=s. It", "Remote file http://h/a b.txt?<hidden> It"),
        ("http://?q=s", "http://?<hidden>"),
        ("'https://me:secret@h:1/a'", "'https://<hidden>@h:1/a'"),
        ("ftp://me@h/a?b 'http://i?j'", "ftp://<hidden>@h/a?<hidden> 'http://i?<hidden>'"),
    ],
)
def test_hidden(text: str, safe: str) -> None:
    """What opens a document, or an account, is replaced by what it is."""
    assert safe == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://eu-v2.convertapi.com/convert/docx/to/pdf",
        "The field Timeout must be between 10 and 1200.",
        "eyewitness-report.2026.docx",
        "0123456789abcdef0123456789abcde is one short",
        "11111111-2222-4333-8444-555555555555",
        "Really? Who@where: a//b?c",
        "[Errno 111] Connection refused",
    ],
)
def test_shown_as_it_is(text: str) -> None:
    """What opens nothing is left alone, since people have to understand it."""
    assert text == redact(text) == shown(text)


def test_shown_on_one_line() -> None:
    """A text from outside cannot forge a line of a log, nor colour it, nor fill it."""
    assert "a b c d" == shown("a\r\nb\x1b\x00\x85 c\u2028 d\n")
    assert 500 == len(shown("word " * 10_000))


def test_cut_through_an_id() -> None:
    """Where a long text is cut, not even a part of an id is left."""
    for before in range(3960, 4001):
        text = shown("\u2028" * before + JOB_ID + " and so on" * 100)
        assert JOB_ID[:6] not in text


@pytest.mark.parametrize("secret", [JOB_ID, JWT])
def test_first_bytes_hold_no_part_of_an_id(secret: str) -> None:
    """An answer is described by bytes that open nothing, wherever they are cut."""
    for before in [*range(80, 125), *range(3960, 4005), *range(19_960, 20_005)]:
        for filler in (b".", b"\n", "\U0001f600".encode(), "\u2028".encode()):
            body = filler * (before // len(filler)) + b" " * (before % len(filler))
            answer = response(200, body + f" {secret} {secret}".encode() + b"!" * 1000)
            assert secret[:6] not in answer.describe()


def test_description_of_an_answer() -> None:
    """Status, type and first bytes say what came; an empty body says so."""
    page = response(502, b"<html>\n  Bad \xff Gateway" + b"." * 200, content_type="text/html")

    assert "HTTP 200 (no content type), empty" == response(200).describe()
    assert "HTTP 200 (no content type), empty" == response(200, b" \n").describe()
    assert page.describe().startswith(
        "HTTP 502 (text/html), starting '<html> Bad \ufffd Gateway..."
    )
    assert len(page.describe()) < 170


def test_time_does_not_explode() -> None:
    """Hostile megabytes cost a moment, not an hour."""
    for piece in ("a://", "eyJ", "x?", "?JobId=", f"{JOB_ID}", "@", "%2F", "a:// "):
        shown(piece * 2_000_000)


def test_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A filtered logger shows what its library says, without the ids in it."""
    logger = logging.getLogger("tests.core.api.redaction")
    hide_ids(logger.name)
    caplog.set_level(logging.DEBUG, logger.name)

    logger.debug('%s "%s %s" %d', "http://h:80", "GET", f"/d/{FILE_ID}?fileId=abc", 200)
    logger.debug("nothing to hide: %d", 7)

    assert ['http://h:80 "GET /d/<id>?fileId=<id>" 200', "nothing to hide: 7"] == caplog.messages
    assert (7,) == caplog.records[1].args
