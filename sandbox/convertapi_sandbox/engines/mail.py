"""Emails: text as a web page, attachments as files, headers as JSON."""

from __future__ import annotations

import base64
import email
import email.policy
import html
import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from convertapi_sandbox.engines import verdicts
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from convertapi_sandbox.jobs import EngineJob, EngineOutput

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_CID = re.compile(r"""(?i)(["'(])cid:([^"')\s]{1,200})(["')])""")
_MAX_PARTS = 1000
_MAX_NESTED = 100


def convert(job: EngineJob) -> list[EngineOutput]:
    """Write a mail's attachments, or its headers."""
    results = Results(job)
    message = parsed(job.files[0].path)
    ignore_inline = bool(job.parameters.get("IgnoreInlineAttachments"))
    parts = list(attachments(message, inline=not ignore_inline))
    if job.target == "metadata":
        results.add(
            "json", json.dumps(_described(message, parts), indent=2, ensure_ascii=False).encode()
        )
        return results.outputs
    for number, part in enumerate(parts):
        title = name(part, number, by_cid=bool(job.parameters.get("UseCIDAsFileName")))
        results.add(_extension(title), content(part), title)
    if not parts:
        raise verdicts.nothing_to_extract()
    return results.outputs


def parsed(path: Path) -> EmailMessage:
    """Return a mail.

    Raises:
        EngineError: 5002 if it has no email headers.
    """
    data = path.read_bytes()
    if data.startswith(bytes.fromhex("d0cf11e0")):
        raise verdicts.unsupported("msg files of Outlook")
    if data.lower().count(b"boundary=") > _MAX_NESTED:  # the parser is slow on nested parts
        raise verdicts.damaged(f"It has more than {_MAX_NESTED} parts within parts.")
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not any(
        message.get(key) for key in ("From", "To", "Date", "Subject", "Received", "Message-ID")
    ):
        raise verdicts.damaged("It has no email headers.")
    if sum(1 for _ in message.walk()) > _MAX_PARTS:
        raise verdicts.damaged(f"It has more than {_MAX_PARTS} parts.")
    return message


def attachments(message: EmailMessage, *, inline: bool) -> Iterator[EmailMessage]:
    """Yield the attached parts; with `inline`, also those shown in the text."""
    for part in message.walk():
        if part.is_multipart():
            continue
        shown = part.get_content_disposition() == "inline" or part.get("Content-ID")
        attached = part.get_content_disposition() == "attachment" or part.get_filename()
        if (shown and inline) or (attached and not shown):
            yield part


def content(part: EmailMessage) -> bytes:
    """Return an attachment's bytes."""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def page(message: EmailMessage) -> str:
    """Return an email as a web page: its headers, and its text with the embedded pictures."""
    rows = "".join(
        f"<p><strong>{header}:</strong> {html.escape(str(message[header]))}</p>"
        for header in _HEADERS
        if message[header]
    )
    body = message.get_body(("html", "plain"))
    text = _text(body)
    if body is not None and body.get_content_type() != "text/html":
        lines = html.escape(text).replace("\n", "<br>")
        text = f"<p>{lines}</p>"
    return f"{rows}<hr>{_with_pictures(text, message)}"


def archived_page(path: Path) -> str:
    """Return the page of an MHTML file with the pictures embedded in the file.

    Raises:
        EngineError: 5002 if it contains no page.
    """
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    pages = [part for part in message.walk() if part.get_content_type() == "text/html"]
    if not pages:
        raise verdicts.damaged("It contains no web page.")
    text = _with_pictures(_text(pages[0]), message)
    for part in message.walk():
        place = part.get("Content-Location")
        if place and part.get_content_maintype() == "image":
            text = text.replace(f'"{place}"', f'"{_data_uri(part)}"')
    return text


def _data_uri(part: Any) -> str:
    return f"data:{part.get_content_type()};base64,{base64.b64encode(content(part)).decode()}"


def _text(body: Any) -> str:
    if body is None:
        return ""
    try:
        return str(body.get_content())
    except (LookupError, UnicodeError):
        return content(body).decode("latin-1")


def _with_pictures(text: str, message: EmailMessage) -> str:
    """Return HTML in which the pictures replace cid: references."""
    pictures = {
        part["Content-ID"].strip("<> "): part
        for part in message.walk()
        if part.get("Content-ID") and part.get_content_maintype() == "image"
    }

    def inline(match: re.Match[str]) -> str:
        part = pictures.get(match[2])
        if part is None:
            return match[0]
        return f"{match[1]}{_data_uri(part)}{match[3]}"

    return _CID.sub(inline, text)


def name(part: EmailMessage, number: int, *, by_cid: bool = False) -> str:
    """Return an attachment's file name, or a generated one."""
    cid = str(part.get("Content-ID", "")).strip("<> ")
    given = part.get_filename() or ""
    if (by_cid and cid) or not given:
        extension = PurePosixPath(given).suffix or f".{part.get_content_subtype()}"
        given = f"{cid or f'attachment-{number}'}{extension}"
    return PurePosixPath(given.replace("\\", "/")).name or f"attachment-{number}"


def _extension(title: str) -> str:
    suffix = PurePosixPath(title).suffix[1:].lower()
    return suffix if suffix.isalnum() else "bin"


def _described(message: EmailMessage, parts: list[EmailMessage]) -> dict[str, Any]:
    headers = {
        key: str(message[key]) for key in (*_HEADERS, "Message-ID", "Reply-To") if message[key]
    }
    files = [
        {"FileName": name(part, n), "FileSize": len(content(part))} for n, part in enumerate(parts)
    ]
    return {**headers, "Attachments": files}
