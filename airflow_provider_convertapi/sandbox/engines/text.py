"""Plain text: its encoding, its line ends, and its pages."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from airflow_provider_convertapi.sandbox.engines import paper, typesetting, verdicts
from airflow_provider_convertapi.sandbox.engines.paper import Page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_provider_convertapi.sandbox.jobs import InputFile, Parameters

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHARSET = re.compile(rb"""(?i)<meta[^>]{0,200}charset\s*=\s*["']?([\w-]{2,40})""")
_LINE_ENDS = {"crlf": "\r\n", "cr": "\r", "lfcr": "\n\r", "lf": "\n"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
_LONGEST = 20_000_000  # characters: some 10,000 pages


def decode(data: bytes, *, html: bool = False) -> str:
    """Return text by its byte order mark, its `<meta charset>`, as UTF-8, else as Windows-1252.

    Raises:
        EngineError: 5002 where it is no text at all.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _plain(data.decode(encoding, "replace"))
    if b"\x00" in data:
        raise verdicts.damaged("It is no text.")
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
    del form  # every plain text is alike
    content = decode(file.path.read_bytes()).expandtabs(8)
    if len(content) > _LONGEST:
        raise verdicts.damaged(f"It has more than {_LONGEST:,} characters.")
    if not content.strip():
        content = " "
    (folder / "content.txt").write_text(content, "utf-8")
    page = paper.asked_for(Page(), parameters)
    source = folder / "document.typ"
    source.write_text(
        typesetting.setup(page, size=float(parameters.get("FontSize", 10)))
        + '#set text(font: "DejaVu Sans Mono")\n'
        "#show raw: set text(size: 1em / 0.8)\n"  # typst draws raw text at 0.8 of its surroundings
        '#for (i, part) in read("content.txt").split("\\u{c}").enumerate() {\n'
        "  if i > 0 { pagebreak() }\n"
        "  raw(part, block: true)\n}\n",
        "utf-8",
    )
    return typesetting.pdf(source, standards=typesetting.standard(parameters, "a-1b"))
