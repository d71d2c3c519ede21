"""HTML made regular and safe before pandoc reads it.

pandoc needs explicit end tags, which people leave out, and a browser's parser adds. Anything that
could run, load something or become code of another language is removed here already.
"""

from __future__ import annotations

import re

from lxml import etree, html

from convertapi_sandbox.engines import verdicts

_DROPPED = (
    *("script", "style", "iframe", "frame", "object", "embed", "applet", "audio", "video"),
    *("source", "track", "link", "base", "noscript", "template", "canvas", "portal", "meta"),
)
_KEPT = frozenset({
    "align", "alt", "checked", "class", "colspan", "dir", "display", "height", "href", "id", "lang",
    "mathvariant", "name", "reversed", "rowspan", "span", "src", "start", "title", "type", "value",
    "width",
})  # fmt: skip
_SPANS = {"colspan": 1000, "rowspan": 65534}  # the most that the HTML standard allows
_MOST_CELLS = 200_000  # the most that spans may add up to
_DOCTYPE = re.compile(r"(?is)<!DOCTYPE[^>\[]*(\[.*?\]\s*)?>")
_TOO_DEEP = "Excessive depth"


def safe(page: str) -> str:
    """Return a page with all its end tags and without anything unsafe.

    Raises:
        EngineError: 5002 if it is nested too deeply or its tables are absurdly large.
    """
    parser = html.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True
    )
    content = _DOCTYPE.sub("", page, count=1).strip()
    if not content:
        return "<html><body></body></html>"
    root = html.document_fromstring(content.encode(), parser=parser)
    if any(_TOO_DEEP in error.message for error in parser.error_log):
        raise verdicts.damaged("It is nested too deeply.")
    for element in list(root.iter(*_DROPPED)):
        if element.getparent() is not None:
            element.drop_tree()
    _clean(root, {part for drawing in root.iter("svg") for part in drawing.iter()})
    return str(etree.tostring(root, method="html", encoding="unicode"))


def _clean(root: html.HtmlElement, spared: set[html.HtmlElement]) -> None:
    """Remove attributes that pandoc does not use, except in drawings, which are cleaned later."""
    cells = 0
    for element in root.iter():
        for name, value in [] if element in spared else list(element.attrib.items()):
            if name.lower() not in _KEPT:
                del element.attrib[name]
            elif name in _SPANS:
                span = max(1, min(int(value), _SPANS[name])) if value.strip().isdecimal() else 1
                cells += span
                element.set(name, str(span))
    if cells > _MOST_CELLS:
        raise verdicts.damaged("Its tables have too many cells.")
