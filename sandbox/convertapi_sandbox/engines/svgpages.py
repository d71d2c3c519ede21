"""PDF pages as SVG drawings, by typst."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from lxml import etree

from convertapi_sandbox.engines import surgery, typesetting, vector, verdicts
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from convertapi_sandbox.jobs import EngineJob, EngineOutput, Parameters

_EMBEDDED = re.compile(rb'<image xlink:href="data:image/svg\+xml;base64,([^"]+)"')


def convert(job: EngineJob) -> list[EngineOutput]:
    """Write PDF pages as SVG, one file per page."""
    results = Results(job)
    document = surgery.input_of(job)
    surgery.save(document, results.scratch / "pages.pdf", encryption=False)
    source = results.scratch / "page.typ"
    for number in surgery.selected(job, document):
        source.write_text(
            "#set page(width: auto, height: auto, margin: 0pt, fill: none)\n"
            f'#image("pages.pdf", page: {number + 1})\n',
            "utf-8",
        )
        try:
            page = typesetting.render(source, output="svg")
        except typesetting.TypstError as error:
            raise verdicts.damaged(error.message) from None
        results.add("svg", _sized(_inner(page), job.parameters))
    return results.outputs


def _inner(page: bytes) -> bytes:
    """Return the drawing of the PDF page, which typst wraps into another one."""
    found = _EMBEDDED.search(page)
    return base64.b64decode(found[1]) if found else page


def _sized(svg: bytes, parameters: Parameters) -> bytes:
    """Return an SVG with the requested width and height in pixels."""
    wanted = {name: parameters.get(f"Image{name.title()}") for name in ("width", "height")}
    if not any(wanted.values()):
        return svg
    root = etree.fromstring(svg, etree.XMLParser(**vector.PARSER_OPTIONS))
    for name, value in wanted.items():
        if value is None:
            root.attrib.pop(name, None)
        else:
            root.set(name, str(value))
    stretched = not parameters.get("ScaleProportions", True)
    root.set("preserveAspectRatio", "none" if stretched else "xMidYMid")
    return bytes(etree.tostring(root, encoding="utf-8"))
