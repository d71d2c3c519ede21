"""PDF pages as Markdown and HTML: text that flows, with headings, lists and tables."""

from __future__ import annotations

import html
from importlib import import_module
from typing import TYPE_CHECKING

import pdf_oxide

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import pages, surgery, verdicts
from convertapi_sandbox.engines.results import Results
from convertapi_sandbox.requirements import importable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convertapi_sandbox.jobs import EngineJob, EngineOutput

_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{title}</title></head>
<body>
{body}
</body></html>
"""


def convert(job: EngineJob) -> list[EngineOutput]:
    """Write the pages of PageRange as one text.

    Raises:
        EngineError: 415 if they have no text, as scans have none, and it cannot be recognised.
    """
    results = Results(job)
    content = surgery.plain(job)
    with pages.Opened(content, {}) as drawn:
        has_text = any(map(str.strip, pages.texts(drawn)))
        is_scan = any(map(pages.is_scan, pages.each(drawn, {})))
    if not has_text:
        content = _recognised(content, is_scan=is_scan)
    body = "\n\n".join(_parts(content, job.target, results))
    if job.target == "html":
        body = _PAGE.format(title=html.escape(results.stem), body=body)
    results.add(job.target, f"{body.rstrip()}\n".encode())
    return results.outputs


def _recognised(content: bytes, *, is_scan: bool) -> bytes:
    if not importable("rapidocr"):
        if not is_scan:
            raise verdicts.nothing_to_extract()
        raise verdicts.unsupported("scanned pages without convertapi-sandbox[ocr]")
    ocr = import_module("convertapi_sandbox.engines.ocr")  # it takes a second
    texts, searchable = ocr.searchable(content)
    if not any(texts):
        raise verdicts.nothing_to_extract()
    return bytes(searchable)


def _parts(content: bytes, target: str, results: Results) -> Iterator[str]:
    """Yield the text of each page that has some."""
    path = results.scratch / "plain.pdf"
    path.write_bytes(content)
    document = pdf_oxide.PdfDocument(str(path))
    read = document.to_markdown if target == "md" else document.to_html
    for number in range(document.page_count()):
        isolation.step()
        part = read(number).strip()
        if part:
            yield part
