"""PDF files cut, joined and locked by pikepdf."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pikepdf

from airflow_provider_convertapi.sandbox import isolation
from airflow_provider_convertapi.sandbox.engines import ranges, verdicts
from airflow_provider_convertapi.sandbox.engines.results import Results
from airflow_provider_convertapi.sandbox.jobs import EngineJob, EngineOutput


def convert(job: EngineJob) -> list[EngineOutput]:
    """Do one of _DEEDS to a PDF."""
    results = Results(job)
    try:
        _DEEDS[job.target](job, results)
    except pikepdf.PdfError as error:
        raise verdicts.damaged(str(error)) from None
    return results.outputs


def opened(path: Path, password: object = "") -> pikepdf.Pdf:
    """Return an open PDF.

    Raises:
        EngineError: 5003 without the password it needs, 5007 with a wrong one, 5002 if damaged.
    """
    isolation.step()
    try:
        document = pikepdf.Pdf.open(path, password=str(password))
    except pikepdf.PasswordError:
        raise (verdicts.wrong_password() if password else verdicts.protected()) from None
    except pikepdf.PdfError as error:
        raise verdicts.damaged(str(error)) from None
    if not len(document.pages):
        raise verdicts.damaged("It has no pages.")
    return document


def input_of(job: EngineJob) -> pikepdf.Pdf:
    """Return a job's document, open."""
    return opened(job.files[0].path, job.parameters.get("Password", ""))


def save(document: pikepdf.Pdf, path: Path, **options: object) -> None:
    """Write a PDF, with the same bytes for the same input."""
    isolation.step()
    encrypted = "encryption" in options
    document.save(path, deterministic_id=not encrypted, **options)


def _merge(job: EngineJob, results: Results) -> None:
    merged = pikepdf.Pdf.new()
    starts = []
    for file in job.files:
        part = opened(file.path, job.parameters.get("Password", ""))
        starts.append(len(merged.pages))
        merged.pages.extend(part.pages)
    save(merged, results.place("pdf"))


def _split(job: EngineJob, results: Results) -> None:
    document = input_of(job)
    for number in range(len(document.pages)):
        part = pikepdf.Pdf.new()
        part.pages.append(document.pages[number])
        save(part, results.place("pdf"))


def _protect(job: EngineJob, results: Results) -> None:
    user, owner = job.parameters.get("UserPassword", ""), job.parameters.get("OwnerPassword", "")
    document = input_of(job)
    encryption = pikepdf.Encryption(user=str(user), owner=str(owner or user))
    save(document, results.place("pdf"), encryption=encryption)


_DEEDS: dict[str, Callable[[EngineJob, Results], None]] = {
    "merge": _merge,
    "split": _split,
    "protect": _protect,
}
