"""Word templates, whose placeholders are filled with the values of JsonPayload."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lxml import etree

from convertapi_sandbox.engines import documents, limits, vector, verdicts
from convertapi_sandbox.engines.results import Results
from convertapi_sandbox.jobs import InputFile

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox.jobs import EngineJob, EngineOutput

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_PARTS = re.compile(r"word/(document|header\d*|footer\d*|footnotes|endnotes)\.xml")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXTS = frozenset({"string", "text", "integer", "number", "double", "datetime", "boolean"})
_TEMPLATE, _DOCUMENT = b".template.main+xml", b".document.main+xml"


def convert(job: EngineJob) -> list[EngineOutput]:
    """Fill a template, as docx or as PDF."""
    results = Results(job)
    if job.parameters.get("BindingMethod", "properties") != "placeholders":
        raise verdicts.bad_parameter(
            "BindingMethod",
            "the sandbox fills placeholders, not properties; the real service can do both.",
        )
    values = _values(str(job.parameters.get("JsonPayload", "")))
    source = job.files[0].path
    limits.check_package(source)
    filled = results.place("docx") if job.target == "docx" else results.scratch / "filled.docx"
    _fill(source, filled, values)
    if job.target == "pdf":
        file = InputFile(filled, f"{results.stem}.docx")
        results.add("pdf", documents.pdf(file, "docx", results.scratch, {}))
    return results.outputs


def _values(payload: str) -> dict[str, str]:
    """Return the values of a JSON array of {"Name", "Value", "Type"}, by name."""
    try:
        items = json.loads(payload)
    except (ValueError, RecursionError):
        raise verdicts.bad_parameter("JsonPayload", "it is not JSON.") from None
    if not isinstance(items, list):
        raise verdicts.bad_parameter("JsonPayload", 'it is not an array of {"Name", "Value"}.')
    return dict(_value(item) for item in items)


def _value(item: Any) -> tuple[str, str]:
    found = {key.lower(): value for key, value in item.items()} if isinstance(item, Mapping) else {}
    name, value, kind = found.get("name"), found.get("value"), found.get("type", "string")
    if not isinstance(name, str) or not name.strip():
        raise verdicts.bad_parameter("JsonPayload", f"{json.dumps(item)[:80]} has no Name.")
    if str(kind).lower() not in _TEXTS:
        raise verdicts.bad_parameter(
            "JsonPayload",
            f"{name[:40]}: the sandbox fills in text, no {str(kind)[:40]}; the real service can.",
        )
    if isinstance(value, list | dict):
        raise verdicts.bad_parameter("JsonPayload", f"{name[:40]}: its Value is not a text.")
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return name.strip(), _CONTROL.sub("", text)


def _fill(source: Path, target: Path, values: Mapping[str, str]) -> None:
    """Write a template with its placeholders filled, as a document."""
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            data = old.read(member)
            if _PARTS.fullmatch(member.filename):
                data = _filled(data, values)
            elif member.filename == "[Content_Types].xml":
                data = data.replace(_TEMPLATE, _DOCUMENT)
            new.writestr(member, data)


def _filled(part: bytes, values: Mapping[str, str]) -> bytes:
    try:
        root = etree.fromstring(part, etree.XMLParser(**vector.PARSER_OPTIONS))
    except etree.XMLSyntaxError as error:
        raise verdicts.damaged(str(error)) from None
    names = "|".join(sorted(map(re.escape, values), key=len, reverse=True))
    if names:
        placeholder = re.compile(rf"\{{\{{\s*({names})\s*\}}\}}|\{{({names})\}}")
        for paragraph in root.iter(f"{_W}p"):
            _fill_paragraph(paragraph, placeholder, values)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True))


def _fill_paragraph(
    paragraph: etree._Element, placeholder: re.Pattern[str], values: Mapping[str, str]
) -> None:
    """Fill a paragraph, in which Word may have cut a placeholder into several runs."""
    pieces = [piece for piece in paragraph.iter(f"{_W}t") if _paragraph_of(piece) is paragraph]
    text = "".join(piece.text or "" for piece in pieces)
    for match in reversed(list(placeholder.finditer(text))):
        value = values[match[1] or match[2]]
        start = 0
        for piece in pieces:
            own = piece.text or ""
            first, last = match.start() - start, match.end() - start
            start += len(own)
            if last <= 0 or first >= len(own):
                continue
            # The first run gets the value, in its own look; the others lose their share.
            piece.text = own[: max(first, 0)] + (value if first >= 0 else "") + own[last:]
            piece.set(_SPACE, "preserve")


def _paragraph_of(piece: etree._Element) -> etree._Element | None:
    """Return the paragraph around a text; a text box has paragraphs within a paragraph."""
    return next(piece.iterancestors(f"{_W}p"), None)
