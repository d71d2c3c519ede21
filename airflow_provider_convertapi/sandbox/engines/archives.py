"""Zip archives packed and unpacked."""

from __future__ import annotations

import zipfile

from airflow_provider_convertapi.sandbox import isolation
from airflow_provider_convertapi.sandbox.engines.results import Results
from airflow_provider_convertapi.sandbox.jobs import EngineJob, EngineOutput

_LEVELS = {
    "NoCompression": (zipfile.ZIP_STORED, None),
    "Fastest": (zipfile.ZIP_DEFLATED, 1),
    "Medium": (zipfile.ZIP_DEFLATED, 6),
    "Optimal": (zipfile.ZIP_DEFLATED, 9),
}


def convert(job: EngineJob) -> list[EngineOutput]:
    """Pack files."""
    results = Results(job)
    method, level = _LEVELS[str(job.parameters.get("CompressionLevel", "NoCompression"))]
    names: set[str] = set()
    with zipfile.ZipFile(results.place("zip"), "w", method, compresslevel=level) as archive:
        for file in job.files:
            member = zipfile.ZipInfo(_distinct(file.name, names))  # 1980: the same bytes each time
            member.compress_type = method
            with (
                file.path.open("rb") as source,
                archive.open(member, "w", force_zip64=True) as target,
            ):
                while chunk := source.read(1 << 20):
                    isolation.step()
                    target.write(chunk)
    return results.outputs


def _distinct(name: str, taken: set[str]) -> str:
    """Return the name, numbered where another file of the archive has it."""
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    candidate, number = name, 1
    while candidate.lower() in taken:
        number += 1
        candidate = f"{stem}-{number}{dot}{extension}"
    taken.add(candidate.lower())
    return candidate
