"""PDF files split, merged, rotated and protected by pikepdf."""

from __future__ import annotations

import io
import re
import secrets
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import pikepdf

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import pages, paper, ranges, verdicts
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from convertapi_sandbox.jobs import EngineJob, EngineOutput, InputFile

_REVISIONS: Mapping[str, Literal[2, 3, 4, 6]] = {
    "Standard40Bit": 2,
    "Standard128Bit": 3,
    "Aes128Bit": 4,
    "Aes256Bit": 6,
}
_UNICODE = 6  # since this revision, passwords may be any text
_PERMISSIONS = {
    "AssembleDocument": ("modify_assembly",),
    "CopyContents": ("extract",),
    "ExtractContents": ("accessibility",),
    "ModifyContents": ("modify_other",),
    "ModifyAnnotations": ("modify_annotation",),
    "FillFormFields": ("modify_form",),
    "PrintDocument": ("print_lowres",),
    "PrintFaithfulCopy": ("print_highres", "print_lowres"),
}
_ALL = ("accessibility", *(name for names in _PERMISSIONS.values() for name in names))
_ZOOMS: Mapping[str, list[Any]] = {
    "Default": ["/XYZ", None, None, None],
    "ActualSize": ["/XYZ", None, None, 1],
    "FitPage": ["/Fit"],
    "FitWidth": ["/FitH", None],
    "FitHeight": ["/FitV", None],
    "FitVisible": ["/FitB"],
}


def convert(job: EngineJob) -> list[EngineOutput]:
    """Apply one of _DEEDS to a PDF."""
    results = Results(job)
    try:
        _DEEDS[job.target](job, results)
    except pikepdf.PdfError as error:
        raise verdicts.damaged(str(error)) from None
    return results.outputs


def opened(path: Path, password: object = "") -> pikepdf.Pdf:
    """Return an open PDF.

    Raises:
        EngineError: 5003 without the password it needs, 5007 with a wrong one, 5002 if damaged.
    """
    try:
        document = pikepdf.Pdf.open(path, password=str(password))
    except pikepdf.PasswordError:
        raise (verdicts.wrong_password() if password else verdicts.protected()) from None
    except pikepdf.PdfError as error:
        raise verdicts.damaged(str(error)) from None
    if not len(document.pages):
        raise verdicts.damaged("It has no pages.")
    return document


def input_of(job: EngineJob) -> pikepdf.Pdf:
    """Open a job's document."""
    return opened(job.files[0].path, job.parameters.get("Password", ""))


def plain(job: EngineJob) -> bytes:
    """Return the pages of PageRange as a PDF without a password; `opened` says what it raises."""
    document = input_of(job)
    kept = set(selected(job, document))
    for number in reversed(range(len(document.pages))):
        if number not in kept:
            del document.pages[number]
    target = io.BytesIO()
    save(document, target, encryption=False)
    return target.getvalue()


def selected(job: EngineJob, document: pikepdf.Pdf) -> list[int]:
    """Return the pages of PageRange, from 0; all of them if it is not given."""
    return ranges.pages(str(job.parameters.get("PageRange", "1-last")), len(document.pages))


def save(document: pikepdf.Pdf, path: Path | BinaryIO, **options: Any) -> None:
    """Write a PDF, with the same bytes for the same input unless it is encrypted."""
    document.save(path, deterministic_id=not options.get("encryption"), **options)


def cut(content: bytes, page_range: object, path: Path) -> None:
    """Write those pages of a PDF that a range names."""
    with pikepdf.Pdf.open(io.BytesIO(content)) as document:
        kept = set(ranges.pages(str(page_range), len(document.pages)))
        for number in reversed(range(len(document.pages))):
            if number not in kept:
                del document.pages[number]
        save(document, path)


def joined(documents: Sequence[bytes]) -> bytes:
    """Merge PDFs that we made ourselves."""
    if len(documents) == 1:
        return documents[0]
    merged, parts = pikepdf.Pdf.new(), [pikepdf.Pdf.open(io.BytesIO(item)) for item in documents]
    for part in parts:
        merged.pages.extend(part.pages)
    target = io.BytesIO()
    save(merged, target)
    return target.getvalue()


def pdf(file: InputFile, form: str, folder: Path, parameters: Mapping[str, Any]) -> bytes:
    """Return a PDF without its password, read and rewritten so that a damaged one is detected."""
    del form, folder
    target = io.BytesIO()
    save(opened(file.path, parameters.get("Password", "")), target, encryption=False)
    return target.getvalue()


def _merge(job: EngineJob, results: Results) -> None:
    merged = pikepdf.Pdf.new()
    contents: list[pikepdf.OutlineItem] = []
    toc = str(job.parameters.get("BookmarksToc", "disabled"))
    parts = []  # they stay open until the result is written
    for file in job.files:
        isolation.step()
        part = opened(file.path, job.parameters.get("Password", ""))
        parts.append(part)
        title = str(part.docinfo.get("/Title", "")) if toc == "title" else ""
        title = title or PurePosixPath(file.name).stem
        contents.append(pikepdf.OutlineItem(title, len(merged.pages)))
        merged.add_pages_from(part, outlines="preserve" if toc == "disabled" else "ignore")
    if toc != "disabled":
        with merged.open_outline() as outline:
            outline.root.extend(contents)
    if {"PageSize", "PageOrientation"} & set(job.parameters):
        merged = _resized(merged, job.parameters)
    _open_at(merged, job.parameters)
    save(merged, results.place("pdf"))


def _resized(document: pikepdf.Pdf, parameters: Mapping[str, Any]) -> pikepdf.Pdf:
    """Return a document whose pages are scaled and centred on the requested paper."""
    name = str(parameters.get("PageSize", "default"))
    for number in range(len(document.pages)):
        page = document.pages[number]
        isolation.step()
        box = [float(value) for value in page.trimbox]
        width, height = box[2] - box[0], box[3] - box[1]
        if int(page.obj.get("/Rotate", 0)) % 180:
            width, height = height, width
        size = paper.size(name) if name != "default" else (width, height)
        size = paper.oriented(*size, parameters.get("PageOrientation"))
        if size == (width, height):
            continue
        document.add_blank_page(page_size=size)
        fresh = document.pages[-1]
        fresh.add_overlay(page, pikepdf.Rectangle(0, 0, *size))
        document.pages[number] = fresh
        del document.pages[-1]
    return document


def _open_at(document: pikepdf.Pdf, parameters: Mapping[str, Any]) -> None:
    """Set the page and zoom at which a viewer opens the document."""
    if not {"OpenPage", "OpenZoom"} & set(parameters):
        return
    number = min(int(parameters.get("OpenPage", 1)), len(document.pages)) - 1
    zoom = str(parameters.get("OpenZoom", "Default"))
    view = _ZOOMS.get(zoom) or ["/XYZ", None, None, int(zoom) / 100]
    names = [pikepdf.Name(v) if isinstance(v, str) else v for v in view]
    document.Root.OpenAction = pikepdf.Array([document.pages[number].obj, *names])


def _split(job: EngineJob, results: Results) -> None:
    document = input_of(job)
    parts = list(_parts(job, document))
    if job.parameters.get("MergeOutput"):
        parts = [[number for part in parts for number in part]]
    for part in parts:
        piece = pikepdf.Pdf.new()
        piece.add_pages_from(document, part)
        save(piece, results.place("pdf"))


def _parts(job: EngineJob, document: pikepdf.Pdf) -> Iterator[list[int]]:
    """Yield the pages of each part, by the first of the requested ways."""
    parameters, count = job.parameters, len(document.pages)
    if "ExtractPages" in parameters:
        for number in ranges.pages(str(parameters["ExtractPages"]), count, name="ExtractPages"):
            yield [number]
    elif "SplitByRange" in parameters:
        for part in filter(str.strip, str(parameters["SplitByRange"]).split(",")):
            yield ranges.pages(part, count, name="SplitByRange")
    elif "SplitByTextPattern" in parameters:
        yield from _from_starts(_matching(job), count)
    elif parameters.get("SplitByBookmark"):
        yield from _from_starts(_bookmarked(job), count)
    else:
        yield from _by_pattern(str(parameters.get("SplitByPattern", "1")), count)


def _by_pattern(pattern: str, count: int) -> Iterator[list[int]]:
    """Yield parts of given numbers of pages: "3,2" means three, two, three, two and so on."""
    if not re.fullmatch(r"\s*[1-9]\d{0,5}\s*(,\s*[1-9]\d{0,5}\s*)*", pattern):
        raise verdicts.bad_parameter(
            "SplitByPattern", f"{pattern[:80]!r} is not a list of page counts."
        )
    lengths = [int(length) for length in pattern.split(",")]
    start, turn = 0, 0
    while start < count:
        end = min(start + lengths[turn % len(lengths)], count)
        yield list(range(start, end))
        start, turn = end, turn + 1


def _from_starts(starts: list[int], count: int) -> Iterator[list[int]]:
    bounds = sorted({0, *starts})
    for start, end in zip(bounds, [*bounds[1:], count], strict=True):
        yield list(range(start, end))


def _matching(job: EngineJob) -> list[int]:
    """Return the pages whose text matches SplitByTextPattern; each begins a part."""
    try:
        pattern = re.compile(str(job.parameters["SplitByTextPattern"]))
    except re.error as error:
        raise verdicts.bad_parameter("SplitByTextPattern", f"{error}.") from None
    with pages.Opened(job.files[0].path, job.parameters) as document:
        return [number for number, text in enumerate(pages.texts(document)) if pattern.search(text)]


def _bookmarked(job: EngineJob) -> list[int]:
    """Return the pages that bookmarks of the first level lead to."""
    with pages.Opened(job.files[0].path, job.parameters) as document:
        goals = [mark.get_dest() for mark in document.get_toc(max_depth=1)]
        return [goal.get_index() for goal in goals if goal is not None]


def _delete(job: EngineJob, results: Results) -> None:
    document = input_of(job)
    doomed: set[int] = set()
    if "PageRange" in job.parameters:
        doomed.update(selected(job, document))
    if job.parameters.get("DeleteBlankPages"):
        with pages.Opened(job.files[0].path, job.parameters) as drawn:
            doomed.update(pages.blank(drawn))
    elif "PageRange" not in job.parameters:
        raise verdicts.bad_parameter("PageRange", "say which pages, or set DeleteBlankPages.")
    if len(doomed) == len(document.pages):
        raise verdicts.every_page_deleted()
    for number in sorted(doomed, reverse=True):
        del document.pages[number]
    save(document, results.place("pdf"))


def _rotate(job: EngineJob, results: Results) -> None:
    document = input_of(job)
    angle = int(job.parameters.get("Angle", 90))
    for number in selected(job, document):
        document.pages[number].rotate(angle, relative=True)
    save(document, results.place("pdf"))


def _protect(job: EngineJob, results: Results) -> None:
    parameters = job.parameters
    user, owner = str(parameters.get("UserPassword", "")), str(parameters.get("OwnerPassword", ""))
    if not user and not owner:
        raise verdicts.bad_parameter(
            "UserPassword", "give a UserPassword, an OwnerPassword or both."
        )
    algorithm = str(parameters.get("EncryptionAlgorithm", "Aes256Bit"))
    revision = _REVISIONS[algorithm]
    if revision < _UNICODE and not (user + owner).isascii():
        raise verdicts.unicode_password(algorithm)
    document = input_of(job)
    restricted = document.is_encrypted and not document.owner_password_matched
    if parameters.get("RespectOwnerPassword") and restricted:
        raise verdicts.wrong_password()
    # Without a separate owner password, the user password would give every right.
    encryption = pikepdf.Encryption(
        user=user,
        owner=owner or secrets.token_hex(16),
        R=revision,
        aes=revision >= _REVISIONS["Aes128Bit"],
        metadata=revision >= _REVISIONS["Aes128Bit"] and bool(parameters.get("EncryptMeta")),
        allow=_permissions(document, parameters),
    )
    save(document, results.place("pdf"), encryption=encryption)


def _permissions(document: pikepdf.Pdf, parameters: Mapping[str, Any]) -> pikepdf.Permissions:
    if parameters.get("PreservePermissions") and document.is_encrypted:
        return document.allow
    allowed = (
        _ALL
        if parameters.get("AllowEverything")
        else [name for key, names in _PERMISSIONS.items() if parameters.get(key) for name in names]
    )
    return pikepdf.Permissions(**{name: name in allowed for name in pikepdf.Permissions._fields})


def _repair(job: EngineJob, results: Results) -> None:
    """Write what can be read of a document, with a new table of its objects."""
    document = input_of(job)
    document.remove_unreferenced_resources()
    save(document, results.place("pdf"), encryption=False)


def _unprotect(job: EngineJob, results: Results) -> None:
    save(input_of(job), results.place("pdf"), encryption=False)


def _pdf(job: EngineJob, results: Results) -> None:
    """Rewrite a PDF with another version, other metadata or another initial view."""
    document = input_of(job)
    keys = ("Title", "Subject", "Author", "Creator", "Keywords")
    given = {key: str(job.parameters[f"Pdf{key}"]) for key in keys if f"Pdf{key}" in job.parameters}
    for key, value in given.items():
        document.docinfo[f"/{key}"] = value
    if given:
        with document.open_metadata(set_pikepdf_as_editor=False) as metadata:
            metadata.load_from_docinfo(document.docinfo)
    _open_at(document, job.parameters)
    version = str(job.parameters.get("PdfVersion", ""))
    save(document, results.place("pdf"), force_version=version)


_DEEDS: dict[str, Callable[[EngineJob, Results], None]] = {
    "delete-pages": _delete,
    "merge": _merge,
    "pdf": _pdf,
    "protect": _protect,
    "repair": _repair,
    "rotate": _rotate,
    "split": _split,
    "unprotect": _unprotect,
}
