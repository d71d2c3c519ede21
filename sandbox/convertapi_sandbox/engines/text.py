"""Plain text: its encoding, its line ends, and its pages."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING

from convertapi_sandbox.engines import paper, typesetting, verdicts
from convertapi_sandbox.engines.paper import Page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from convertapi_sandbox.jobs import InputFile, Parameters

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHARSET = re.compile(rb"""(?i)<meta[^>]{0,200}charset\s*=\s*["']?([\w-]{2,40})""")
_LINE_ENDS = {"crlf": "\r\n", "cr": "\r", "lfcr": "\n\r", "lf": "\n"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
_LONGEST = 20_000_000  # characters: some 10,000 pages
_LETTER = 0.602  # width of the font's letters as a share of its size
_BLOCK = 50  # lines in a paragraph: setting one of 20,000 lines would take minutes
# The text is data, read from a file; none of it is code. A string keeps its spaces and lines.
_TEMPLATE = """
#set text(font: "DejaVu Sans Mono", hyphenate: false, ligatures: false)
#set smartquote(enabled: false)
#set par(leading: 0.55em, spacing: 0.55em)
#for (i, part) in json("content.json").enumerate() {
  if i > 0 { pagebreak() }
  for lines in part { par(lines) }
}
"""


def decode(data: bytes, *, html: bool = False) -> str:
    """Decode text by its byte order mark or `<meta charset>`, as UTF-8, else as Windows-1252.

    Raises:
        EngineError: 5002 if it is not text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _plain(data.decode(encoding, "replace"))
    if b"\x00" in data:
        raise verdicts.damaged("It is not text.")
    declared = _CHARSET.search(data[:4096]) if html else None
    for encoding in filter(None, (declared and declared[1].decode(), "utf-8", "cp1252")):
        try:
            return _plain(data.decode(encoding))
        except (UnicodeError, LookupError):
            continue
    return _plain(data.decode("latin-1"))


def _plain(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))


def encode(text: str, parameters: Mapping[str, object]) -> bytes:
    """Return text as UTF-8 with the line ends that EndLineChar asks for."""
    end = _LINE_ENDS[str(parameters.get("EndLineChar", "lf"))]
    return text.replace("\n", end).encode()


def pdf(file: InputFile, form: str, folder: Path, parameters: Parameters) -> bytes:
    """Return plain text as PDF, line by line in a fixed-width font; a form feed begins a page."""
    del form  # all plain texts are the same
    page = paper.asked_for(Page(), parameters)
    size = float(parameters.get("FontSize", 10))
    columns = max(int(page.box[0] / (size * _LETTER)), 8)
    (folder / "content.json").write_text(json.dumps(_pages(file, columns)), "utf-8")
    source = folder / "document.typ"
    source.write_text(f"{typesetting.setup(page, size=size)}{_TEMPLATE}", "utf-8")
    return typesetting.pdf(source, standards=typesetting.standard(parameters, "a-1b"))


def _pages(file: InputFile, columns: int) -> list[list[str]]:
    """Return the parts between form feeds, each in blocks of lines.

    A word longer than a line is broken at the end of the line, so that it stays on the page.
    """
    content = decode(file.path.read_bytes()).expandtabs(8)
    if len(content) > _LONGEST:
        raise verdicts.damaged(f"It has more than {_LONGEST:,} characters.")
    content = re.sub(rf"\S{{{columns}}}(?=\S)", r"\g<0>\n", content)
    return [_blocks(part.removesuffix("\n").split("\n")) for part in content.split("\f")]


def _blocks(lines: list[str]) -> list[str]:
    # An empty line at the end of a block would have no height.
    filled = [line or " " for line in lines]
    return ["\n".join(filled[start : start + _BLOCK]) for start in range(0, len(filled), _BLOCK)]
