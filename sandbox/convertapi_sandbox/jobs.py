"""What the protocol side of the sandbox and its engines exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Parameters of a conversion by canonical name, typed; only those that the caller gave.
Parameters = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class InputFile:
    """One document to convert: its path, and the name (with extension) that its owner gave it."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One conversion.

    Attributes:
        source: Canonical source of the catalogue's route, such as "docx", "pdf" or "file".
        target: Canonical destination of the route, such as "pdf", "merge" or "zip".
        files: The `File`, or the `Files[i]` in order.
        extra_files: Other file parameters by canonical name, such as "OverlayFile".
        parameters: Canonical names, typed and checked, only those that the caller gave.
        folder: The job's own scratch folder. It exists; outputs go to its subfolder "out".
        timeout: Seconds after which the conversion is stopped (Code 5000).
    """

    source: str
    target: str
    files: tuple[InputFile, ...]
    extra_files: Mapping[str, InputFile]
    parameters: Parameters
    folder: Path
    timeout: float


@dataclass(frozen=True, slots=True)
class EngineOutput:
    """One result: its path, and the name that the engine proposes for it.

    Results that differ only in their number, such as pages, have equal names: the server numbers
    them. Results with names of their own, such as members of an archive, keep them.
    """

    path: Path
    name: str


class EngineError(Exception):
    """A conversion that failed: HTTP status, Code and Message of the service's error table."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """Return "status/code message"."""
        return f"{self.status}/{self.code} {self.message}"
