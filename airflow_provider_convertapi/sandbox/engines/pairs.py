"""Which engine makes which conversion, by the catalogue's own names."""

from __future__ import annotations

from collections.abc import Mapping

PAIRS: Mapping[tuple[str, str], str] = {
    **{
        (s, "pdf"): "documents"
        for s in ("docx", "md", "txt", "html", "odt", "rtf", "epub", "pptx", "log")
    },
    **{("pdf", t): "pages" for t in ("jpg", "png", "webp", "tiff", "txt")},
    **{("pdf", t): "surgery" for t in ("merge", "split", "protect")},
    ("file", "zip"): "archives",
}


def unsupported_parameters(
    source: str, target: str, parameters: Mapping[str, str | int | float | bool]
) -> list[str]:
    """Return the parameters that the sandbox cannot honour."""
    return []
