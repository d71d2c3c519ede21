"""The results of a job, in its folder, named after its first document."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from convertapi_sandbox.jobs import EngineOutput

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox.jobs import EngineJob


class Results:
    """The results of one job.

    Attributes:
        scratch: A folder for the engine's own use.
        stem: Base name of the first document.
        outputs: The results added so far, in order.
    """

    def __init__(self, job: EngineJob) -> None:
        self.scratch = job.folder / "work"
        self.scratch.mkdir(exist_ok=True)
        self.stem = PurePosixPath(job.files[0].name).stem or "file"
        self.outputs: list[EngineOutput] = []
        self._folder = job.folder / "out"

    def place(self, extension: str, name: str | None = None) -> Path:
        """Add a result and return the path to write it to.

        Args:
            extension: The extension of the file on disk and of its name.
            name: Its complete name; None names it after the first document.
        """
        path = self._folder / f"{len(self.outputs)}.{extension}"
        self.outputs.append(EngineOutput(path, name or f"{self.stem}.{extension}"))
        return path

    def add(self, extension: str, content: bytes, name: str | None = None) -> None:
        """Write a result."""
        self.place(extension, name).write_bytes(content)
