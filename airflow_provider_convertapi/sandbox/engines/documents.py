"""Documents into PDF, pictures of their pages, and each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from airflow_provider_convertapi.sandbox.engines import layout, reading, text, verdicts
from airflow_provider_convertapi.sandbox.engines.results import Results
from airflow_provider_convertapi.sandbox.jobs import EngineJob, EngineOutput, InputFile

# Sources that stand for several formats: the file's own extension says which.
FAMILIES = frozenset({"file", "office"})

Maker = Callable[[Path, Path, Mapping[str, str | int | float | bool]], bytes]


def convert(job: EngineJob) -> list[EngineOutput]:
    """Convert one document."""
    results = Results(job)
    results.add("pdf", make_pdf(job.files[0], kind(job), results.scratch, job.parameters))
    return results.outputs


def kind(job: EngineJob) -> str:
    """Return the format of a job's document."""
    extension = PurePosixPath(job.files[0].name).suffix[1:].lower()
    return extension if job.source in FAMILIES else job.source


def make_pdf(
    file: InputFile, form: str, folder: Path, parameters: Mapping[str, str | int | float | bool]
) -> bytes:
    """Return a document of whatever format as PDF."""
    if form in ("txt", "log"):
        return text.pdf(file.path, folder, parameters)
    if form in reading.READERS:
        return layout.pdf(file.path, form, folder, parameters)
    raise verdicts.unsupported(f"{form or 'a file without an extension'} to pdf")
