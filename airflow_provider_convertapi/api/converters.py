"""What ConvertAPI's converters take and give: the one catalogue of the client.

Source of the facts: ConvertAPI's OpenAPI document.

This module may change from release to release.
"""

from __future__ import annotations

_LONGEST_EXTENSION = 8

_SAME_FORMAT = frozenset(
    {"compress", "protect", "unprotect", "crop", "delete-pages", "flatten", "redact", "resize"}
    | {"rotate", "ocr", "image-watermark", "text-watermark", "pdf-watermark", "rasterize", "print"}
    | {"merge", "split", "join", "compare", "translate", "fdf-import", "repair"}
    | {"watermark", "watermark-overlay", "watermark-textbox", "encrypt", "decrypt"}  # former names
)
"""Tools that answer in the format that they were given (ConvertAPI's OpenAPI document)."""

_OPEN = frozenset(
    {"extract", "extract-attachments", "extract-images", "meta", "metadata", "moderate"}
    | {"validate", "barcode", "qrcode", "data"}
)
"""Tools whose results have the extension that the service gives them."""

_EXTENSIONS = {"pdfa": "pdf", "pdfua": "pdf", "tiff-fax": "tiff", "fdf-extract": "fdf"}


ANY_TO = frozenset({"zip"})
_ARRAY_CONVERTERS = frozenset(
    {("pdf", "merge"), ("images", "pdf"), ("images", "join")}
    | {(f, "gif") for f in ("gif", "jpg", "png", "webp")}
)
"""The converters that take `Files[i]`, beside anything to zip (ConvertAPI's OpenAPI document)."""

_FILE_PARAMETERS = frozenset(
    {"comparefile", "fdffile", "imagefile", "invoicefile", "outputintenticcfile", "overlayfile"}
    | {"peppoltemplatefile"}
)
"""The parameters that take a file, beside the source, in lower case (ConvertAPI's OpenAPI
document); `ColorProfile` is a choice."""

IMAGES = frozenset(
    {"jpg", "jpeg", "png", "gif", "tiff", "tif", "webp", "heic", "heif", "svg", "psd", "jfif"}
)


def extension_of(path: str) -> str:
    """Return the lower-case extension of a path, empty where it has none."""
    name = path.rpartition("/")[2].lstrip(".")
    stem, dot, extension = name.rpartition(".")
    known = stem and dot and extension.isalnum() and len(extension) <= _LONGEST_EXTENSION
    return extension.lower() if known else ""


def without_extension(path: str) -> str:
    """Return a path without the extension that `extension_of` finds."""
    extension = extension_of(path)
    return path[: -len(extension) - 1] if extension else path


def result_extension(path: str, to_format: str) -> str:
    """Return the extension that the conversion of `path` ends in."""
    if to_format in _SAME_FORMAT:
        return extension_of(path) or to_format
    return _EXTENSIONS.get(to_format, to_format)


def has_open_extension(to_format: str) -> bool:
    """Tell whether the extension of a result is known only once the result is there."""
    return to_format in _OPEN


def is_array(source_format: str, target_format: str) -> bool:
    """Tell whether a converter takes several files at once."""
    return (source_format, target_format) in _ARRAY_CONVERTERS or target_format in ANY_TO


def is_file_parameter(name: str) -> bool:
    """Tell whether a parameter takes a file; case is ignored."""
    return name.lower() in _FILE_PARAMETERS


def converter_format(source_format: str, target_format: str) -> str:
    """Return what a converter calls its source: anything may be zipped."""
    return "any" if target_format in ANY_TO else source_format
