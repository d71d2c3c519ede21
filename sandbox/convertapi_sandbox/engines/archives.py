"""Zip archives, packed and unpacked, and presentations that differ only in their content type."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import limits, verdicts
from convertapi_sandbox.engines.results import Results

if TYPE_CHECKING:
    from convertapi_sandbox.jobs import EngineJob, EngineOutput, InputFile

MAX_UNPACKED = 2 << 30  # bytes of all members together
_MAX_RATIO = 200  # deflate reaches 1032; text seldom more than 20
_FREE = 64 << 20  # bytes that may unpack at any ratio
_CHUNK = 1 << 20
_LEVELS = {
    "NoCompression": (zipfile.ZIP_STORED, None),
    "Fastest": (zipfile.ZIP_DEFLATED, 1),
    "Medium": (zipfile.ZIP_DEFLATED, 6),
    "Optimal": (zipfile.ZIP_DEFLATED, 9),
}
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError)
_PRESENTATION = b"application/vnd.openxmlformats-officedocument.presentationml"


def convert(job: EngineJob) -> list[EngineOutput]:
    """Pack, unpack, or change the content type."""
    results = Results(job)
    match job.target:
        case "zip":
            _pack(job, results)
        case "extract":
            _unpack(job, results)
        case _:
            _relabel(job, results)
    return results.outputs


def _pack(job: EngineJob, results: Results) -> None:
    method, level = _LEVELS[str(job.parameters.get("CompressionLevel", "NoCompression"))]
    names: set[str] = set()
    with zipfile.ZipFile(results.place("zip"), "w", method, compresslevel=level) as archive:
        for file in job.files:
            member = zipfile.ZipInfo(
                _distinct(_base(file), names)
            )  # of 1980: the same bytes each time
            member.compress_type = method
            with (
                file.path.open("rb") as source,
                archive.open(member, "w", force_zip64=True) as target,
            ):
                while chunk := source.read(_CHUNK):
                    isolation.step()
                    target.write(chunk)


def _base(file: InputFile) -> str:
    return PurePosixPath(file.name.replace("\\", "/")).name or "file"


def _distinct(name: str, taken: set[str]) -> str:
    """Return the name, numbered where another file of the archive has it."""
    path, number, candidate = PurePosixPath(name), 1, name
    while candidate.lower() in taken:
        number += 1
        candidate = f"{path.stem}-{number}{path.suffix}"
    taken.add(candidate.lower())
    return candidate


def _unpack(job: EngineJob, results: Results) -> None:
    password = str(job.parameters.get("Password", ""))
    source = job.files[0].path
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > limits.MAX_MEMBERS:
                raise verdicts.damaged(f"It has more than {limits.MAX_MEMBERS} members.")
            if any(member.flag_bits & 1 for member in members) and not password:
                raise verdicts.protected()
            room = min(MAX_UNPACKED, max(_FREE, source.stat().st_size * _MAX_RATIO))
            for member in members:
                room = _member(archive, member, password, room, results)
    except _BROKEN as error:
        raise verdicts.damaged(str(error)) from None
    if not results.outputs:
        raise verdicts.nothing_to_extract()


def _member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, password: str, room: int, results: Results
) -> int:
    """Write one member and return how many more bytes may be unpacked."""
    name = PurePosixPath(member.filename.replace("\\", "/")).name or "file"
    suffix = PurePosixPath(name).suffix[1:].lower()
    try:
        opened = archive.open(member, pwd=password.encode() or None)
    except RuntimeError:  # zipfile raises it for a wrong password
        raise verdicts.wrong_password() from None
    with opened, results.place(suffix if suffix.isalnum() else "bin", name).open("wb") as target:
        while chunk := opened.read(_CHUNK):
            isolation.step()
            room -= len(chunk)
            if room < 0:
                raise verdicts.damaged("It unpacks to more than the sandbox allows.")
            target.write(chunk)
    return room


def _relabel(job: EngineJob, results: Results) -> None:
    """Write a template or a show as a presentation: only one content type differs."""
    source = job.files[0].path
    limits.check_package(source, password=job.parameters.get("Password"))
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(results.place("pptx"), "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            data = old.read(member)
            if member.filename == "[Content_Types].xml":
                for kind in (b".template.", b".slideshow."):
                    data = data.replace(_PRESENTATION + kind, _PRESENTATION + b".presentation.")
            new.writestr(member, data)
