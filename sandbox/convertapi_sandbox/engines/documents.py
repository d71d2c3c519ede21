"""Documents into PDF, into pictures of their pages, and into each other."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from convertapi_sandbox.engines import libreoffice, reading, verdicts
from convertapi_sandbox.engines.results import Results
from convertapi_sandbox.jobs import (
    EngineError,
    InputFile,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convertapi_sandbox.jobs import (
        EngineJob,
        EngineOutput,
        Parameters,
    )


# Sources that stand for several formats: the file's extension says which.
FAMILIES = frozenset({"file", "office", "template"})
_WRITTEN = frozenset({"docx", "html", "md", "odt", "pptx", "rtf", "txt", "xlsx"})
_HONOURED_BY_LIBREOFFICE = frozenset({"PageRange", "Password"})
_ABOUT_PAPER = frozenset({"Merge", "IgnoreAttachmentErrors", "ConvertHiddenSlides", "Password"})
_PICTURES = (
    *("bmp", "gif", "ico", "jfif", "jpeg", "jpg"),
    *("png", "psd", "svg", "tif", "tiff", "webp"),
)
_MAKERS = {
    **dict.fromkeys(reading.READERS, "layout"),
    **dict.fromkeys(("csv", "xlsx", "xltx", "xlsm", "xltm"), "sheetpages"),
    **dict.fromkeys(("txt", "log"), "text"),
    **dict.fromkeys(_PICTURES, "images"),
    "pdf": "surgery",
}


def convert(job: EngineJob) -> list[EngineOutput]:
    """Convert one document."""
    results = Results(job)
    if job.target == "pdf":
        _pdf(job, results)
    elif job.target in _WRITTEN:
        results.add(job.target, _engine("writing").write(job, kind(job), results.scratch))
    else:
        _pictures(job, results)
    return results.outputs


def kind(job: EngineJob) -> str:
    """Return the format of a job's document; older Office formats are named like the newer ones."""
    extension = PurePosixPath(job.files[0].name).suffix[1:].lower()
    own = job.source in FAMILIES or extension in libreoffice.ONLY
    return extension if own else job.source


def _engine(name: str) -> Any:
    """Import an engine: importing all of them would delay the first document by half a second."""
    return import_module(f"convertapi_sandbox.engines.{name}")


def _pdf(job: EngineJob, results: Results) -> None:
    for content in _pdfs(job, results.scratch, job.parameters):
        if "PageRange" in job.parameters:
            _engine("surgery").cut(content, job.parameters["PageRange"], results.place("pdf"))
        else:
            results.add("pdf", content)


def _pictures(job: EngineJob, results: Results) -> None:
    pages = _engine("pages")
    # Parameters of the pages, not of the pictures that are made of them.
    parameters = {key: value for key, value in job.parameters.items() if key in _ABOUT_PAPER}
    for content in _pdfs(job, results.scratch, parameters):
        with pages.Opened(content, {}) as document:
            pages.draw(document, job.target, job.parameters, results)


def _pdfs(job: EngineJob, folder: Path, parameters: Parameters) -> list[bytes]:
    """Return a document as PDF; a mail with unmerged attachments becomes several PDFs."""
    if kind(job) != "eml":
        return [pdf(job.files[0], kind(job), folder, parameters)]
    parts = list(_mail(job.files[0], folder, parameters))
    return [_engine("surgery").joined(parts)] if parameters.get("Merge", True) else parts


def pdf(file: InputFile, form: str, folder: Path, parameters: Parameters) -> bytes:
    """Return a document of any format as PDF.

    LibreOffice is tried first if it is installed. Our own engines convert what it cannot read, and
    requests with parameters that it does not support.
    """
    plain = not set(parameters) - _HONOURED_BY_LIBREOFFICE
    if libreoffice.program() and form in libreoffice.ONLY:
        return libreoffice.convert(file.path, form, "pdf", folder)
    if libreoffice.program() and form in libreoffice.ALSO and plain:
        with suppress(EngineError):
            return libreoffice.convert(file.path, form, "pdf", folder)
    if form not in _MAKERS:
        raise verdicts.unsupported(f"{form or 'files without an extension'} to pdf")
    document: bytes = _engine(_MAKERS[form]).pdf(file, form, folder, parameters)
    return document


def _mail(file: InputFile, folder: Path, parameters: Parameters) -> Iterator[bytes]:
    """Yield a mail's text as PDF, then each attachment.

    Raises:
        EngineError: An attachment's own, unless IgnoreAttachmentErrors says otherwise.
    """
    mail = _engine("mail")
    message = mail.parsed(file.path)
    page = folder / "mail.html"
    page.write_text(mail.page(message), "utf-8")
    yield pdf(InputFile(page, page.name), "html", folder, parameters)
    for number, part in enumerate(mail.attachments(message, inline=False)):
        name = mail.name(part, number)
        place = folder / f"attachment-{number}"
        place.mkdir()
        (place / "content").write_bytes(mail.content(part))
        form = PurePosixPath(name).suffix[1:].lower()
        try:  # a mail within a mail is not in _MAKERS
            yield pdf(InputFile(place / "content", name), form, place, {})
        except EngineError:
            if not parameters.get("IgnoreAttachmentErrors"):
                raise
