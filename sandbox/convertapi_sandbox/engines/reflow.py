"""PDF pages as Markdown and HTML: text that flows, with headings, lists and tables."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pdf_oxide

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import surgery, verdicts
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
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
        EngineError: 415 if they have no text, as scans have none.
    """
    results = Results(job)
    path = results.scratch / "plain.pdf"
    path.write_bytes(surgery.plain(job))
    document = pdf_oxide.PdfDocument(str(path))
    read = document.to_markdown if job.target == "md" else document.to_html
    parts = []
    texts = []
    for number in range(document.page_count()):
        isolation.step()
        texts.append(document.extract_text(number))
        parts.append(read(number).strip())
    if not any(map(str.strip, texts)):
        raise verdicts.unsupported("pages without text (OCR)")
    body = "\n\n".join(filter(None, parts))
    if job.target == "html":
        body = _PAGE.format(title=html.escape(results.stem), body=body)
    results.add(job.target, f"{body.rstrip()}\n".encode())
    return results.outputs
