"""File names on the wire: read from Content-Disposition, written into it, and made safe.

The syntax is RFC 6266 with the extended values of RFC 5987, which ConvertAPI's clients send.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import quote, unquote

_PARAMETER = re.compile(r';\s*([A-Za-z0-9_-]+\*?)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"\s]*)')
# RFC 5987: characters that need no escape in an extended value. The service loses a name with any
# other raw character, such as parentheses (issue 28 of its Node.js client).
_EXTENDED = re.compile(
    r"(?i)(utf-8|iso-8859-1)'[^']*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)"
)
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
MAX_NAME_BYTES = 200


def disposition_names(header: str) -> dict[str, str]:
    """Return `name` and `filename` of a Content-Disposition header, `filename*` first."""
    found: dict[str, str] = {}
    for raw_key, raw_value in _PARAMETER.findall(header):
        quoted = raw_value.startswith('"')
        value = re.sub(r"\\(.)", r"\1", raw_value[1:-1]) if quoted else raw_value
        key = raw_key.lower()
        if key == "filename*":
            extended = _EXTENDED.fullmatch(value)
            if extended:
                found[key] = unquote(extended[2], extended[1], "replace")
        elif key in {"name", "filename"}:
            found[key] = _utf8(value)
    if "filename*" in found:
        found["filename"] = found.pop("filename*")
    return found


def _utf8(value: str) -> str:
    """Decode header text as the UTF-8 that clients send; HTTP delivers it as Latin-1."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def safe(name: str) -> str:
    """Return a name without directories or control characters, of at most 200 bytes of UTF-8."""
    stem, extension = split(_UNSAFE.sub("_", name).strip())
    room = MAX_NAME_BYTES - len(extension.encode()) - 1
    stem = stem.encode()[: max(room, 1)].decode("utf-8", "ignore").strip(". ") or "file"
    return f"{stem}.{extension}" if extension else stem


def split(name: str) -> tuple[str, str]:
    """Return the base name and the extension, without its dot ("" where there is none)."""
    path = PurePosixPath(name.replace("\\", "/"))
    return (path.stem, path.suffix[1:]) if len(path.suffix) > 1 else (path.name, "")


def extension(name: str) -> str:
    """Return the extension in lower case, as formats are named."""
    return split(name)[1].lower()


def disposition(
    name: str, *, extended: bool, size: int | None = None, kind: str = "attachment"
) -> str:
    """Return a Content-Disposition value for a file.

    Args:
        name: Any text; control characters and quotes are escaped.
        extended: `filename*=utf-8''...` as a client's test has it, else `filename="..."`.
        size: Bytes, for the `size` parameter of parts; None leaves it out.
        kind: "attachment" or "inline".
    """
    if extended:
        value = f"{kind}; filename*=utf-8''{quote(name, safe='')}"
    else:
        plain = re.sub(r"[\x00-\x1f\x7f]", "_", name).replace("\\", "\\\\").replace('"', '\\"')
        value = f'{kind}; filename="{plain}"'
    return value if size is None else f"{value}; size={size}"


def numbered(stem: str, position: int, style: str) -> str:
    """Return the base name of one of several results: `_0`, `_1` or nothing, `-2`."""
    if style == "underscore":
        return f"{stem}_{position}"
    return stem if position == 0 else f"{stem}-{position + 1}"
