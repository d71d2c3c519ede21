"""Text removed from a PDF, by the texts and patterns of RedactionData.

A page with something to remove becomes a picture in which it is painted over, and the rest of its
text is written above, invisibly: nothing of the old page is left. Of the other pages only what they
show is kept.
"""

from __future__ import annotations

import ctypes
import io
import json
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pikepdf
from PIL import ImageDraw
from pypdfium2 import raw

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import limits, pages, ranges, raster, surgery, verdicts
from convertapi_sandbox.engines.results import Results
from convertapi_sandbox.engines.textlayer import Word, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pypdfium2 as pdfium
    from PIL import Image

    from convertapi_sandbox.engines.textlayer import Box
    from convertapi_sandbox.jobs import EngineJob, EngineOutput

_RESOLUTION = 200  # pixels per inch
_INCH = 72  # points
_MARGIN = 1.0  # points around a character that are painted, too
_MOST_RULES = 1000
# What a page shows. The rest, such as links, may lead to pages whose text is removed.
_SHOWN = frozenset(
    {"/Contents", "/CropBox", "/Group", "/MediaBox", "/Parent", "/Resources", "/Rotate", "/Type"}
)
_HYPHENS = (0x02, 0xAD, 0xFFFE)  # as pdfium tells those at the end of a line
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
Rule = re.Pattern[str]


def convert(job: EngineJob) -> list[EngineOutput]:
    """Remove what RedactionData names from the pages of PageRange."""
    results = Results(job)
    rules = _rules(job)
    color = raster.color(job.parameters, "RedactionColor", "black") or (0, 0, 0)
    plain = _plain(job)
    writer = Writer()
    source = pikepdf.Pdf.open(io.BytesIO(plain))
    chosen = set(ranges.pages(str(job.parameters.get("PageRange", "1-last")), len(source.pages)))
    with pages.Opened(plain, {}) as drawn:
        for number, page in enumerate(pages.each(drawn, {})):
            found = _Found(page, rules if number in chosen else ())
            if number in chosen and found.is_blank and pages.is_scan(page):
                raise verdicts.unsupported("scanned pages to redacted ones")
            if found.boxes:
                _repainted(page, found, color, writer)
            else:
                _kept(source.pages[number], writer.document)
    data = io.BytesIO()
    surgery.save(writer.document, data)
    _check(data.getvalue(), rules, chosen)
    results.add("pdf", data.getvalue())
    return results.outputs


def _rules(job: EngineJob) -> list[Rule]:
    """Return the patterns of RedactionData."""
    text = str(job.parameters.get("RedactionData", "")).strip()
    if not text:
        raise verdicts.bad_parameter(
            "RedactionData",
            "the sandbox cannot find sensitive data by itself; the real service can. "
            'Name it: [{"Text": "..."}, {"Regex": "..."}].',
        )
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise verdicts.bad_parameter("RedactionData", "it is not JSON.") from None
    if not isinstance(items, list) or not 0 < len(items) <= _MOST_RULES:
        raise verdicts.bad_parameter("RedactionData", "it is not an array of objects.")
    return [_rule(item) for item in items]


def _rule(item: Any) -> Rule:
    found = {key.lower(): value for key, value in item.items()} if isinstance(item, Mapping) else {}
    if "detect" in found:
        raise verdicts.bad_parameter(
            "RedactionData", "the sandbox cannot detect what a text means; the real service can."
        )
    if str(found.get("text", "")).strip():
        return re.compile(r"\s+".join(map(re.escape, str(found["text"]).split())), re.IGNORECASE)
    if not isinstance(found.get("regex"), str):
        raise verdicts.bad_parameter(
            "RedactionData", f'{json.dumps(item)[:80]} is none of {{"Text"}}, {{"Regex"}}.'
        )
    try:
        rule = re.compile(found["regex"])
    except (re.error, OverflowError, RecursionError) as error:
        raise verdicts.bad_parameter("RedactionData", f"Regex: {error}.") from None
    if rule.fullmatch(""):
        raise verdicts.bad_parameter("RedactionData", "a Regex matches the empty text.")
    return rule


def _plain(job: EngineJob) -> bytes:
    """Return the document without its password, with form fields and notes drawn into its pages."""
    document = surgery.input_of(job)
    document.generate_appearance_streams()
    document.flatten_annotations("screen")
    data = io.BytesIO()
    surgery.save(document, data, encryption=False)
    return data.getvalue()


class _Found:
    """What the rules find on a page.

    Attributes:
        is_blank: Whether the page has no text at all.
        boxes: Where it is, one box for each character.
        words: The other words.
    """

    def __init__(self, page: pdfium.PdfPage, rules: Sequence[Rule]) -> None:
        self._text = page.get_textpage()
        count = raw.FPDFText_CountChars(self._text)
        codes = (raw.FPDFText_GetUnicode(self._text, index) for index in range(count))
        self._characters = "".join(map(_readable, codes))
        self.is_blank = not self._characters.strip()
        doomed = set(self._doomed(rules)) if rules else set()
        self.boxes = [self._box(index) for index in sorted(doomed)]
        self.words = list(self._words(doomed)) if doomed else []

    def _doomed(self, rules: Sequence[Rule]) -> Iterator[int]:
        """Yield each character that a rule finds, in the text as it is or with single spaces."""
        kept = [
            index
            for index, character in enumerate(self._characters)
            if not character.isspace() or not self._characters[index - 1 : index].isspace()
        ]
        joined = "".join(
            " " if self._characters[i].isspace() else self._characters[i] for i in kept
        )
        for rule in rules:
            for match in rule.finditer(self._characters):
                yield from range(*match.span())
            for match in rule.finditer(joined):
                yield from kept[slice(*match.span())]

    def _words(self, doomed: set[int]) -> Iterator[Word]:
        """Yield the words without the doomed characters."""
        word: list[int] = []
        for index, character in enumerate(f"{self._characters} "):
            if not character.isspace() and index not in doomed:
                word.append(index)
            elif word:
                boxes = [self._box(item) for item in word]
                text = "".join(self._characters[item] for item in word)
                yield Word(text, _around(boxes))
                word = []

    def _box(self, index: int) -> Box:
        edges = [ctypes.c_double() for _ in range(4)]
        raw.FPDFText_GetCharBox(self._text, index, *edges)
        left, right, bottom, top = (edge.value for edge in edges)
        return left, bottom, right, top


def _readable(code: int) -> str:
    """Return one character for a character of a page, also for one that is not text."""
    if code in _HYPHENS:
        return "-"
    if code < ord(" "):
        return "\n" if code == ord("\n") else " "
    character = chr(code) if code <= sys.maxunicode else _UNKNOWN
    return character if character.isprintable() or character.isspace() else _UNKNOWN


def _around(boxes: Sequence[Box]) -> Box:
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)


def _repainted(page: pdfium.PdfPage, found: _Found, color: tuple[int, ...], writer: Writer) -> None:
    """Add a page as a picture, with what was found painted over."""
    rotation = page.get_rotation()
    page.set_rotation(0)
    width, height = page.get_size()
    scale = _RESOLUTION / _INCH
    limits.check_pixels(int(width * scale), int(height * scale))
    picture: Image.Image = page.render(scale=scale).to_pil().convert("RGB")
    left, bottom, _, top = page.get_bbox()
    pen = ImageDraw.Draw(picture)
    for edges in found.boxes:
        pen.rectangle(
            (
                (edges[0] - left - _MARGIN) * scale,
                (top - edges[3] - _MARGIN) * scale,
                (edges[2] - left + _MARGIN) * scale,
                (top - edges[1] + _MARGIN) * scale,
            ),
            fill=color[:3],
        )
    writer.add(picture, (left, bottom, left + width, bottom + height), found.words, rotation)


def _kept(page: pikepdf.Page, document: pikepdf.Pdf) -> None:
    """Add a page of the original as it looks."""
    for key in set(page.obj.keys()) - _SHOWN:
        del page.obj[key]
    document.pages.append(page)


def _check(content: bytes, rules: Sequence[Rule], chosen: set[int]) -> None:
    """Look once more, in the result.

    Raises:
        EngineError: 5001 if something is still there.
    """
    with pages.Opened(content, {}) as document:
        for number, page in enumerate(pages.each(document, {})):
            isolation.step()
            if number in chosen and _Found(page, rules).boxes:
                raise verdicts.failed("The text could not be removed completely.")
