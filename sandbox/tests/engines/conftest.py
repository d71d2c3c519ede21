"""The engines, used through a pool of workers, as in the server."""

from __future__ import annotations

import asyncio
import io
import itertools
import threading
import zipfile
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pikepdf
import pypdfium2
import pytest
from PIL import Image

from convertapi_sandbox import samples
from convertapi_sandbox.jobs import EngineError, EngineJob, InputFile
from convertapi_sandbox.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from convertapi_sandbox.jobs import EngineOutput

T = TypeVar("T")


class Made(list[bytes]):
    """The results of a conversion: their bytes, in order, and their names."""

    def __init__(self, outputs: list[EngineOutput]) -> None:
        super().__init__(output.path.read_bytes() for output in outputs)
        self.names = [output.name for output in outputs]
        self.paths = [output.path for output in outputs]

    @property
    def only(self) -> bytes:
        """Return the one result."""
        (content,) = self
        return content


class Loop:
    """An event loop in its own thread, as in the sandbox."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result."""
        return self.start(work).result()

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    """Return an event loop that runs in another thread."""
    running = Loop()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def pool(loop: Loop) -> Iterator[Pool]:
    """Return a pool of two workers for all tests, which cannot find LibreOffice."""
    workers = Pool(2, path="")
    yield workers
    loop.run(workers.close())


class Convert(Protocol):
    """The type of the fixture `convert`."""

    def __call__(
        self,
        source: str,
        target: str,
        *contents: bytes,
        **options: Any,
    ) -> Made:
        """Convert documents, by default the sample of the source's format.

        :param contents: the documents.
        :param name: name of the first; the others are numbered.
        :param extra: names and contents of other file parameters.
        :param timeout: seconds.
        :param options: those three, and the parameters of the conversion.
        """
        ...


class Prepare(Protocol):
    """The type of the fixture `prepare`, which makes the job and does not run it."""

    def __call__(
        self,
        source: str,
        target: str,
        *contents: bytes,
        **options: Any,
    ) -> EngineJob:
        """Return a job in its own folder."""
        ...


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Make jobs out of documents in memory."""
    numbers = itertools.count()

    def make(
        source: str,
        target: str,
        *contents: bytes,
        name: str | None = None,
        extra: Mapping[str, tuple[str, bytes]] | None = None,
        timeout: float = 60.0,
        **parameters: str | float,
    ) -> EngineJob:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        if not contents:
            sample = samples.job(source, target, folder)
            return EngineJob(
                source, target, sample.files, sample.extra_files, parameters, folder, timeout
            )
        files = []
        for number, content in enumerate(contents):
            title = name or f"document.{source}"
            path = folder / f"input-{number}"
            path.write_bytes(content)
            files.append(InputFile(path, title if not number else f"{number}-{title}"))
        extras = {}
        for key, (title, content) in (extra or {}).items():
            (folder / key).write_bytes(content)
            extras[key] = InputFile(folder / key, title)
        return EngineJob(source, target, tuple(files), extras, parameters, folder, timeout)

    return make


@pytest.fixture(scope="session")
def finish(loop: Loop, pool: Pool) -> Callable[[EngineJob], Made]:
    """Wait for the results of a job."""

    def run(job: EngineJob) -> Made:
        return Made(loop.run(pool.convert(job)))

    return run


@pytest.fixture
def convert(finish: Callable[[EngineJob], Made], prepare: Prepare) -> Convert:
    """Convert documents and wait for the results."""

    def run(source: str, target: str, *contents: bytes, **options: Any) -> Made:
        return finish(prepare(source, target, *contents, **options))

    return run


class Refused(Protocol):
    """The type of the fixture `refused`."""

    def __call__(
        self, source: str, target: str, *contents: bytes, **options: Any
    ) -> tuple[int, int]:
        """Return status and Code of a conversion that fails."""
        ...


@pytest.fixture
def refused(convert: Convert) -> Refused:
    """Convert, and return the error."""

    def run(source: str, target: str, *contents: bytes, **options: Any) -> tuple[int, int]:
        with pytest.raises(EngineError) as caught:
            convert(source, target, *contents, **options)
        return caught.value.status, caught.value.code

    return run


class Reader:
    """Opens results: each method takes the bytes of one."""

    @staticmethod
    def text(pdf: bytes, password: str | None = None) -> list[str]:
        """Return the text of each page of a PDF."""
        with pypdfium2.PdfDocument(pdf, password=password) as document:
            found = []
            for number in range(len(document)):
                page = document[number]
                found.append(page.get_textpage().get_text_bounded().replace("\r\n", "\n"))
            return found

    @staticmethod
    def sizes(pdf: bytes) -> list[tuple[int, int]]:
        """Return width and height of each page of a PDF, in whole points."""
        with pypdfium2.PdfDocument(pdf) as document:
            sizes = [document.get_page_size(number) for number in range(len(document))]
        return [(round(width), round(height)) for width, height in sizes]

    @staticmethod
    def drawn(pdf: bytes, page: int = 0, scale: float = 1) -> Image.Image:
        """Return a page of a PDF as a picture, one pixel to the point."""
        with pypdfium2.PdfDocument(pdf) as document:
            image: Image.Image = document[page].render(scale=scale).to_pil().convert("RGB")
            return image

    @staticmethod
    def pdf(pdf: bytes, password: str = "") -> pikepdf.Pdf:
        """Return an open PDF."""
        return pikepdf.Pdf.open(io.BytesIO(pdf), password=password)

    @staticmethod
    def image(content: bytes) -> Image.Image:
        """Return an open picture."""
        return Image.open(io.BytesIO(content))

    @staticmethod
    def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
        """Return the colour of a point."""
        color = image.getpixel((x, y))
        assert isinstance(color, tuple)
        return color

    @staticmethod
    def darkest(image: Image.Image, box: tuple[int, int, int, int] | None = None) -> int:
        """Return the darkest grey of a picture or a part of it: 0 for black, 255 for white."""
        levels = image.convert("L").crop(box).histogram()
        return next(level for level, count in enumerate(levels) if count)

    @staticmethod
    def parts(package: bytes) -> dict[str, bytes]:
        """Return the members of an archive by name."""
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def read() -> Reader:
    """Open results."""
    return Reader()


class Edited(Protocol):
    """The type of the fixture `edited`."""

    def __call__(self, form: str, changes: Mapping[str, bytes | tuple[bytes, bytes]]) -> bytes:
        """Return a sample that is an archive, with members added or parts of them replaced."""
        ...


@pytest.fixture(scope="session")
def edited() -> Edited:
    """Change samples of Office formats."""

    def change(form: str, changes: Mapping[str, bytes | tuple[bytes, bytes]]) -> bytes:
        target = io.BytesIO()
        left = dict(changes)
        with (
            zipfile.ZipFile(io.BytesIO(samples.content(form))) as old,
            zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for member in old.infolist():
                data, wanted = old.read(member), left.pop(member.filename, None)
                if isinstance(wanted, tuple):
                    assert wanted[0] in data, f"{wanted[0]!r} is not in {member.filename}"
                    data = data.replace(*wanted)
                new.writestr(member.filename, wanted if isinstance(wanted, bytes) else data)
            for name, content in left.items():
                assert isinstance(content, bytes)
                new.writestr(name, content)
        return target.getvalue()

    return change
