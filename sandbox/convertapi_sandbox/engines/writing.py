"""Documents into other text formats, written by pandoc from the cleaned syntax tree."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

from convertapi_sandbox.engines import (
    libreoffice,
    mail,
    pandoc,
    reading,
    text,
    tree,
    verdicts,
)
from convertapi_sandbox.engines.pictures import Pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from convertapi_sandbox.engines.pandoc import Tree
    from convertapi_sandbox.jobs import EngineJob, Parameters

_PLAIN = frozenset({"txt", "log"})
_OFFICE = frozenset({"docx", "odt", "rtf"})
_TWIPS_PER_MM = 1440 / 25.4


def write(job: EngineJob, form: str, folder: Path) -> bytes:
    """Return a document in the job's target format."""
    document, target = job.files[0].path, job.target
    if form in _PLAIN and target == "txt":
        return text.encode(text.decode(document.read_bytes()), job.parameters)
    better = {form, target} <= _OFFICE and not job.parameters
    if (better or form in libreoffice.ONLY) and libreoffice.program():
        return libreoffice.convert(document, form, target, folder)
    return WRITERS[target](
        _tree(document, form, folder, job.parameters.get("Password")), folder, job.parameters
    )


def _tree(document: Path, form: str, folder: Path, password: object) -> Tree:
    """Return a document's syntax tree, cleaned, with its pictures embedded."""
    if form in _PLAIN:
        return _lines(text.decode(document.read_bytes()))
    if form == "mhtml":
        page = folder / "page.html"
        page.write_text(mail.archived_page(document), "utf-8")
        document, form = page, "html"
    if form not in reading.READERS:
        raise verdicts.unsupported(form)
    reader = reading.READERS[form]
    found = reading.read(document, reader, folder, password)
    if reader == "html":  # a browser shows a page's title outside the text
        found = {**found, "meta": {}}
    return tree.clean(found, Pictures(folder, None))


def _lines(content: str) -> Tree:
    """Return plain text as a tree that keeps its lines."""
    version = [1, 23, 1]
    attr: list[Any] = ["", [], []]
    return {
        "pandoc-api-version": version,
        "meta": {},
        "blocks": [{"t": "CodeBlock", "c": [attr, content]}],
    }


def _with_title(found: Tree) -> Tree:
    """Return a tree with its title in the text, for formats that have no title."""
    return {**found, "meta": {}, "blocks": [*tree.heading(found), *found["blocks"]]}


def _txt(found: Tree, folder: Path, parameters: Parameters) -> bytes:
    content = pandoc.write(_with_title(found), "plain", folder).decode()
    return text.encode(content, parameters)


def _md(found: Tree, folder: Path, parameters: Parameters) -> bytes:
    writer = "gfm" if parameters.get("GithubFlavored", True) else "commonmark"
    return pandoc.write(_with_title(found), writer, folder)


def _html(found: Tree, folder: Path, parameters: Parameters) -> bytes:
    del parameters
    title = tree.text(found["meta"].get("title")) or "Document"
    return pandoc.write(
        found, "html", folder, ["--standalone", f"--metadata=pagetitle:{title[:200]}"]
    )


def _odt(found: Tree, folder: Path, parameters: Parameters) -> bytes:
    del parameters
    return pandoc.write(found, "odt", folder, ["--standalone"])


def _rtf(found: Tree, folder: Path, parameters: Parameters) -> bytes:
    del parameters
    return pandoc.write(found, "rtf", folder, ["--standalone"])


def _docx(found: Tree, folder: Path, parameters: Parameters) -> bytes:
    content = pandoc.write(found, "docx", folder, ["--standalone"])
    margins = {
        side: round(float(parameters[name]) * _TWIPS_PER_MM)
        for name, sides in _MARGINS.items()
        if name in parameters
        for side in sides
    }
    return _with_margins(content, margins) if margins else content


_MARGINS = {"MarginHorizontal": ("left", "right"), "MarginVertical": ("top", "bottom")}


def _with_margins(docx: bytes, margins: Mapping[str, int]) -> bytes:
    """Return a docx with other page margins, in twentieths of a point."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(docx)) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            data = old.read(member)
            if member.filename == "word/document.xml":
                data = _section(data, margins)
            new.writestr(member, data)
    return target.getvalue()


def _section(document: bytes, margins: Mapping[str, int]) -> bytes:
    sides = {"top": 1440, "right": 1440, "bottom": 1440, "left": 1440, **margins}
    values = " ".join(f'w:{side}="{value}"' for side, value in sides.items())
    element = f'<w:pgMar {values} w:header="720" w:footer="720" w:gutter="0" />'.encode()
    document = re.sub(rb"<w:pgMar\b[^>]*/>", b"", document)
    head, end, tail = document.rpartition(b"</w:sectPr>")
    return head + element + end + tail


WRITERS: Mapping[str, Callable[[Tree, Path, Parameters], bytes]] = {
    "docx": _docx,
    "html": _html,
    "md": _md,
    "odt": _odt,
    "rtf": _rtf,
    "txt": _txt,
}
