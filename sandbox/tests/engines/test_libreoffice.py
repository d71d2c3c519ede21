"""LibreOffice is used first if it is installed: which jobs it gets, and how it is called.

A program with the same name and options replaces it, so that these tests run everywhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from convertapi_sandbox import samples
from convertapi_sandbox.jobs import EngineError
from convertapi_sandbox.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engines.conftest import Loop, Prepare, Reader

OLD = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600)  # as doc, xls and ppt begin
STAND_IN = """#!{python}
import json, os, pathlib, sys, time
here = pathlib.Path(__file__).parent
options = dict(zip(sys.argv, sys.argv[1:]))
profile = next(a for a in sys.argv if a.startswith("-env:")).split("file://")[1]
settings = pathlib.Path(profile, "user", "registrymodifications.xcu")
with open(here / "calls.jsonl", "a") as calls:
    text = settings.read_text() if settings.exists() else ""
    about = dict(arguments=sys.argv[1:], settings=text, pid=os.getpid())
    calls.write(json.dumps(about) + "\\n")
mode = (here / "mode").read_text()
if mode == "hang":
    time.sleep(60)
if mode == "work":
    made = pathlib.Path(options["--outdir"])
    made.mkdir(exist_ok=True)
    source = pathlib.Path(sys.argv[-1])
    name = source.stem + "." + options["--convert-to"]
    (made / name).write_bytes((here / "result").read_bytes())
"""


class Installed:
    """A fake LibreOffice: what it does, and how it was called."""

    def __init__(self, folder: Path, result: bytes) -> None:
        self.folder = folder
        program = folder / "soffice"
        program.write_text(STAND_IN.format(python=sys.executable))
        program.chmod(0o755)
        (folder / "result").write_bytes(result)
        self.shall("work")

    def shall(self, mode: str) -> None:
        """Let it "work", make "nothing", or "hang"."""
        (self.folder / "mode").write_text(mode)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Return how it was called."""
        log = self.folder / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


class ConvertHere(Protocol):
    """The type of the fixture `convert_here`."""

    def __call__(self, source: str, target: str, *contents: bytes, **options: Any) -> bytes:
        """Return the only result of a conversion with LibreOffice."""
        ...


@pytest.fixture
def installed(tmp_path: Path, finish: Callable[..., list[bytes]], prepare: Prepare) -> Installed:
    """Install a LibreOffice that makes the same PDF of everything."""
    (result,) = finish(prepare("txt", "pdf", b"by LibreOffice"))
    folder = tmp_path / "program"
    folder.mkdir()
    return Installed(folder, result)


@pytest.fixture
def there(installed: Installed, loop: Loop) -> Iterator[Pool]:
    """Return a pool of one worker that finds it."""
    pool = Pool(1, path=str(installed.folder))
    yield pool
    loop.run(pool.close())


@pytest.fixture
def convert_here(loop: Loop, there: Pool, prepare: Prepare) -> ConvertHere:
    """Convert with LibreOffice."""

    def run(source: str, target: str, *contents: bytes, **options: Any) -> bytes:
        (output,) = loop.run(there.convert(prepare(source, target, *contents, **options)))
        return output.path.read_bytes()

    return run


@pytest.mark.parametrize("source", ["docx", "odt", "rtf", "pptx", "xlsx"])
def test_office_files_go_to_libreoffice(
    convert_here: ConvertHere, installed: Installed, read: Reader, source: str
) -> None:
    """It knows their layout better than we do."""
    pdf = convert_here(source, "pdf", samples.content(source))

    assert "by LibreOffice" in read.text(pdf)[0]
    assert 1 == len(installed.calls)


@pytest.mark.parametrize("source", ["md", "html", "txt", "csv", "epub"])
def test_other_files_do_not(convert_here: ConvertHere, installed: Installed, source: str) -> None:
    """Text stays with our own engines."""
    convert_here(source, "pdf", samples.content(source))

    assert [] == installed.calls


def test_what_it_does_not_honour_is_ours(
    convert_here: ConvertHere, installed: Installed, read: Reader
) -> None:
    """A page range is cut afterwards; PDF/A and a worksheet need our own engines."""
    convert_here("docx", "pdf", samples.content("docx"), PageRange="1")
    assert 1 == len(installed.calls)
    pdf = convert_here("xlsx", "pdf", samples.content("xlsx"), WorksheetIndex=2)
    assert samples.TEXT in read.text(pdf)[0]
    convert_here("docx", "pdf", samples.content("docx"), Pdfa=True)
    assert 1 == len(installed.calls)


def test_what_it_cannot_read_is_tried_by_ours(
    convert_here: ConvertHere, installed: Installed, read: Reader
) -> None:
    """Its exit status says nothing: only the file counts."""
    installed.shall("make nothing")

    assert samples.TEXT in read.text(convert_here("docx", "pdf", samples.content("docx")))[0]
    with pytest.raises(EngineError) as caught:
        convert_here("docx", "pdf", OLD, name="a.doc")
    assert 5002 == caught.value.code


def test_older_formats_work(convert_here: ConvertHere, read: Reader) -> None:
    """By the extension of the file's name, whatever the route's."""
    assert "by LibreOffice" in read.text(convert_here("docx", "pdf", OLD, name="a.doc"))[0]
    assert "by LibreOffice" in read.text(convert_here("office", "pdf", OLD, name="a.PPT"))[0]
    assert convert_here("doc", "docx", OLD, name="a.doc")


def test_one_profile_for_each_worker_without_macros_and_links(
    convert_here: ConvertHere, installed: Installed
) -> None:
    """The profile is kept for the next conversion, and removed with the worker."""
    convert_here("docx", "pdf", samples.content("docx"))
    convert_here("odt", "pdf", samples.content("odt"))

    first, second = installed.calls
    (profile,) = {one["arguments"][0] for one in (first, second)}
    assert "convertapi-worker-" in profile
    assert "--headless" in first["arguments"]
    assert "BlockUntrustedRefererLinks" in first["settings"]
    assert "DisableMacrosExecution" in first["settings"]


def test_bombs_do_not_reach_it(convert_here: ConvertHere, installed: Installed) -> None:
    """Documents are checked before LibreOffice reads them, as before pandoc does."""
    for source in ("docx", "rtf"):
        with pytest.raises(EngineError):
            convert_here(source, "pdf", b"junk")
    assert [] == installed.calls


def test_it_ends_with_its_worker(
    loop: Loop, there: Pool, prepare: Prepare, installed: Installed
) -> None:
    """A timeout also ends LibreOffice."""
    installed.shall("hang")
    for timeout in (3, 20):  # a busy machine may not come to it in the shorter one
        job = prepare("docx", "pdf", samples.content("docx"), timeout=timeout)
        with pytest.raises(EngineError) as caught:
            loop.run(there.convert(job))
        assert 5000 == caught.value.code
        if installed.calls:
            break

    (pid,) = {one["pid"] for one in installed.calls}
    deadline = time.monotonic() + 20
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_pairs_that_only_it_makes(installed: Installed) -> None:
    """Its pairs are offered only if it is installed."""
    program = textwrap.dedent("""
    from convertapi_sandbox.engines import PAIRS
    print(("doc", "docx") in PAIRS, ("ods", "pdf") in PAIRS, ("docx", "pdf") in PAIRS)
    """)
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for path in (str(installed.folder), "")
    ]

    assert [["True", "True", "True"], ["False", "False", "True"]] == found


def test_samples_of_its_own_formats(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--check` uses it to make samples that nothing else can make."""
    monkeypatch.setenv("PATH", str(installed.folder))

    assert (installed.folder / "result").read_bytes() == samples.content("doc")
    assert "doc" == installed.calls[0]["arguments"][3]
    samples.content.cache_clear()
