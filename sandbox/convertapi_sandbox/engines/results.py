"""Where a job's results go: into its folder, named after its first document."""

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
        scratch: A folder for the engine's own use, seen by nobody else.
        stem: Base name of the first document.
        outputs: What was added, in order.
    """

    def __init__(self, job: EngineJob) -> None:
        self.scratch = job.folder / "work"
        self.scratch.mkdir(exist_ok=True)
        self.stem = PurePosixPath(job.files[0].name).stem or "file"
        self.outputs: list[EngineOutput] = []
        self._folder = job.folder / "out"

    def place(self, extension: str, name: str | None = None) -> Path:
        """Return where to write the next result, which counts from now on.

        Args:
            extension: Of the file on the disk, and of its name.
            name: Its whole name; None names it after the first document.
        """
        path = self._folder / f"{len(self.outputs)}.{extension}"
        self.outputs.append(EngineOutput(path, name or f"{self.stem}.{extension}"))
        return path

    def add(self, extension: str, content: bytes, name: str | None = None) -> None:
        """Write a result."""
        self.place(extension, name).write_bytes(content)
