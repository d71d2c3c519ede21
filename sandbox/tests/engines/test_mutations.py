"""Three hundred damaged documents: each gets an answer from the error table quickly."""

from __future__ import annotations

import asyncio
import io
import random
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from convertapi_sandbox import samples
from convertapi_sandbox.jobs import EngineError
from convertapi_sandbox.pool import Pool

if TYPE_CHECKING:
    from convertapi_sandbox.jobs import EngineJob
    from tests.engines.conftest import Loop, Prepare

SEED = 20261124
TABLE = {415, 4000, 5000, 5001, 5002, 5003, 5007, 50013, 50020}
PAIRS = dict(
    pair.split("-")
    for pair in [
        "bmp-png",
        "csv-xlsx",
        "docx-txt",
        "eml-pdf",
        "epub-pdf",
        "gif-png",
        "html-txt",
        "ico-png",
        "jpg-png",
        "odt-txt",
        "pdf-txt",
        "png-jpg",
        "pptx-pdf",
        "psd-jpg",
        "rtf-txt",
        "svg-png",
        "tiff-jpg",
        "webp-png",
        "xlsx-csv",
        "zip-extract",
    ]
)
PACKAGES = {"docx", "epub", "odt", "pptx", "xlsx"}
EACH = 15


def mutated(content: bytes, chance: random.Random, kind: int) -> bytes:
    """Return a document cut off, with bytes changed, with a part missing or doubled, or empty."""
    place = chance.randrange(len(content))
    match kind % 5:
        case 0:
            return content[:place]
        case 1:
            return flipped(content, chance, 1)
        case 2:
            return flipped(content, chance, 20)
        case 3:
            return content[:place] + content[place + chance.randrange(1, 200) :]
        case _:
            return content[:place] + content[max(0, place - 300) :]


def flipped(content: bytes, chance: random.Random, count: int) -> bytes:
    """Return a document with some bytes changed."""
    data = bytearray(content)
    for _ in range(count):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def inside(content: bytes, chance: random.Random, kind: int) -> bytes:
    """Return a sound archive with one damaged member."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        doomed = chance.choice([m.filename for m in old.infolist() if m.file_size > 100])
        for member in old.infolist():
            data = old.read(member)
            new.writestr(member, mutated(data, chance, kind) if member.filename == doomed else data)
    return target.getvalue()


def documents(chance: random.Random) -> list[tuple[str, str, bytes]]:
    """Return source, target and content of each."""
    found = []
    for source, target in PAIRS.items():
        content = samples.content(source)
        found.append((source, target, b""))
        found.append((source, target, samples.content(chance.choice(list(PAIRS)))))
        for kind in range(EACH - 2):
            deep = source in PACKAGES and kind % 2
            found.append((source, target, (inside if deep else mutated)(content, chance, kind)))
    return found


@pytest.mark.slow
def test_every_damaged_document_gets_an_answer(loop: Loop, prepare: Prepare) -> None:
    """A result or a Code within ten seconds, and the next conversion works as usual."""
    jobs = [prepare(*one) for one in documents(random.Random(SEED))]
    assert 300 == len(jobs)

    async def answer(pool: Pool, job: EngineJob) -> tuple[int, float]:
        started = time.monotonic()
        try:
            await pool.convert(job)
        except EngineError as error:
            return error.code, time.monotonic() - started
        return 0, time.monotonic() - started

    async def all_answers() -> list[tuple[int, float]]:
        pool, turns = Pool(4), asyncio.Semaphore(4)  # so that waiting does not count

        async def one(job: EngineJob) -> tuple[int, float]:
            async with turns:
                return await answer(pool, job)

        found = await asyncio.gather(*map(one, jobs))
        await pool.convert(prepare("docx", "pdf"))
        await pool.close()
        return found

    found = loop.run(all_answers())

    codes = [code for code, _ in found]
    assert set(codes) <= TABLE | {0}
    assert codes.count(5002) > 100
    assert max(seconds for _, seconds in found) < 10
