"""One conversion, durable, direct and deferred: the same end, the same price."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest

from airflow_provider_convertapi.errors import (
    ConversionError,
    ConversionInterrupted,
    InputChangedError,
    InputNotFoundError,
    OutputExistsError,
    ParameterError,
    QuotaExhaustedError,
    ResultLostError,
)
from tests.core.conversions.worker import Worker, wait_until
from tests.proxies import ENDINGS, PROXIES, put_before

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.proxies import Ending


@pytest.fixture(params=["durable", "direct", "deferred"])
def mode(request: pytest.FixtureRequest) -> str:
    """Give each mode in turn."""
    return str(request.param)


@contextmanager
def stopped_when(worker: Worker, ready: Callable[[], bool]) -> Iterator[None]:
    """Tell the task to stop as soon as a condition holds; afterwards it may go on."""

    def stop() -> None:
        wait_until(ready)
        worker.stopped.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    yield
    stopper.join()
    worker.stopped.clear()


def submits(sandbox: Sandbox) -> int:
    """Return how many paid requests there were."""
    return len([entry for entry in sandbox.requests if "/convert/" in entry.path])


def test_converts(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """The result is published, one conversion is billed, and no document is left behind."""
    out = letter.parent / "letter.pdf"

    result = worker.convert(mode, source=letter, destination=out)

    assert [str(out)] == result.outputs
    assert "this is a letter" in pypdfium2.PdfDocument(out)[0].get_textpage().get_text_bounded()
    assert (1, 1, (out.stat().st_size,)) == (result.cost, result.charged, result.sizes)
    assert (1, {}) == (sandbox.billed, sandbox.files)


def test_several_results(sandbox: Sandbox, worker: Worker, tmp_path: Path, mode: str) -> None:
    """Each page becomes a file of its own in the directory, for one conversion."""
    document = pypdfium2.PdfDocument.new()
    for _ in range(3):
        document.new_page(200, 100)
    document.save(tmp_path / "pages.pdf")

    result = worker.convert(
        mode, source=tmp_path / "pages.pdf", to_format="png", destination=f"{tmp_path}/out/"
    )

    assert 3 == len(result.outputs)
    assert sorted(result.outputs) == sorted(str(path) for path in (tmp_path / "out").iterdir())
    assert (1, {}) == (sandbox.billed, sandbox.files)


def test_large_input(sandbox: Sandbox, worker: Worker, tmp_path: Path, mode: str) -> None:
    """What does not fit into a submit is uploaded first, and deleted in the end."""
    large = tmp_path / "large.txt"
    large.write_text("a line of text\n" * 80_000)

    result = worker.convert(mode, source=large, to_format="zip", destination=tmp_path / "out.zip")

    assert 1 == len(result.outputs)
    assert int(mode != "direct") == len(sandbox.requests.filter(method="POST", path="/upload"))
    assert (1, {}) == (sandbox.billed, sandbox.files)


def test_damaged_file(sandbox: Sandbox, worker: Worker, tmp_path: Path, mode: str) -> None:
    """A verdict on the document names it and says that it was billed; nothing is published."""
    damaged = tmp_path / "damaged.pdf"
    damaged.write_bytes(b"%PDF-1.7 and no more")

    with pytest.raises(ConversionError, match=r"damaged\.pdf.*billed") as caught:
        worker.convert(mode, source=damaged, to_format="png", destination=f"{tmp_path}/out/")

    assert not caught.value.transient
    assert [damaged] == [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (1, {}) == (sandbox.billed, sandbox.files)


def test_no_conversions_left(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """An exhausted quota names the connection and costs nothing."""
    sandbox.balance = 0

    with pytest.raises(QuotaExhaustedError, match=r"'converter' has no conversions left"):
        worker.convert(mode, source=letter, destination=letter.parent / "o.pdf")

    assert 0 == sandbox.billed


def test_busy_service(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """Throttling is waited out, and costs nothing."""
    sandbox.fail("POST *convert/*", status=503, headers={"Retry-After": "0"}, times=2)

    result = worker.convert(mode, source=letter, destination=letter.parent / "o.pdf")

    assert (1, 1, 3) == (len(result.outputs), sandbox.billed, submits(sandbox))


@pytest.mark.parametrize(("way", "ending"), [("no proxy", None), *product(PROXIES, ENDINGS)])
def test_lost_answer(
    sandbox: Sandbox,
    letter: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    way: str,
    ending: Ending | None,
) -> None:
    """A job whose submit had no answer is found; a direct conversion is not sent again."""
    sandbox.fail("POST *convert/*", drop="after_work")
    out = letter.parent / "o.pdf"

    with put_before(sandbox.url, way, letter.parent, ending=ending) as (url, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with closing(Worker(url, sandbox.token)) as worker:
            if mode == "direct":
                with pytest.raises(ResultLostError, match="may have been billed"):
                    worker.convert(mode, source=letter, destination=out)
            else:
                worker.convert(mode, source=letter, destination=out)

    assert (mode != "direct") == out.exists()
    assert (1, 1) == (sandbox.billed, submits(sandbox))


def test_file_in_the_way(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """An output that exists and may not be written over is found before anything is paid."""
    out = letter.parent / "letter.pdf"
    out.write_bytes(b"somebody else's")

    with pytest.raises(OutputExistsError, match="Nothing was paid"):
        worker.convert(mode, source=letter, destination=out, overwrite=False)

    assert b"somebody else's" == out.read_bytes()
    assert (0, 0) == (sandbox.billed, submits(sandbox))


def test_input_is_not_written_over(
    sandbox: Sandbox, worker: Worker, letter: Path, mode: str
) -> None:
    """An output under the name of the input is refused before anything is sent."""
    with pytest.raises(ParameterError, match="input"):
        worker.convert(mode, source=letter, destination=letter)

    assert [] == list(sandbox.requests)


def test_changed_input(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """A source that was written since it was looked at is not paid for."""
    with pytest.raises(InputChangedError, match="nothing was paid"):
        worker.convert(
            mode,
            source=letter,
            destination=letter.parent / "o.pdf",
            checked=lambda: letter.write_text("Another letter.\n"),
        )

    assert (0, 0) == (sandbox.billed, submits(sandbox))


def test_missing_input(sandbox: Sandbox, worker: Worker, tmp_path: Path, mode: str) -> None:
    """A source that is not there is named before anything is sent."""
    with pytest.raises(InputNotFoundError, match=r"absent\.txt"):
        worker.convert(mode, source=tmp_path / "absent.txt", destination=tmp_path / "o.pdf")

    assert [] == list(sandbox.requests)


def test_told_to_stop(sandbox: Sandbox, worker: Worker, letter: Path, mode: str) -> None:
    """A task that is told to stop before it paid pays nothing."""
    with pytest.raises(ConversionInterrupted):
        worker.convert(
            mode,
            source=letter,
            destination=letter.parent / "o.pdf",
            checked=worker.session().stop,
            timeout=5,
        )

    assert not (letter.parent / "o.pdf").exists()
    assert (0, 0) == (sandbox.billed, submits(sandbox))


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_told_to_stop_while_it_uploads(
    sandbox: Sandbox, worker: Worker, tmp_path: Path, mode: str
) -> None:
    """The upload ends and nothing is paid; the next try does not upload it again."""
    large = tmp_path / "large.txt"
    large.write_text("a line of text\n" * 80_000)
    given: dict[str, Any] = {"source": large, "to_format": "zip", "destination": tmp_path / "o.zip"}
    sandbox.fail("POST /upload", delay=0.5)

    def is_uploading() -> bool:
        return bool(sandbox.requests.filter(method="POST", path="/upload"))

    with stopped_when(worker, is_uploading), pytest.raises(ConversionInterrupted):
        worker.convert(mode, **given)
    assert (0, 0) == (sandbox.billed, submits(sandbox))
    result = worker.convert(mode, number=2, **given)

    assert (1, 1) == (result.charged, sandbox.billed)
    assert 1 == len(sandbox.requests.filter(method="POST", path="/upload"))


def test_told_to_stop_between_steps(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """A step that was not submitted yet is not paid; the next try goes on from the one before."""
    given: dict[str, Any] = {
        "source": letter,
        "destination": letter.parent / "o.txt",
        "steps": [{"to_format": "txt"}],
    }
    sandbox.fail("GET /async/job/*", delay=0.3, times=None)

    def reads_the_first_result() -> bool:
        return sandbox.billed == 1 and sandbox.requests[-1].status is None

    with stopped_when(worker, reads_the_first_result), pytest.raises(ConversionInterrupted):
        worker.convert("durable", **given)
    assert 1 == sandbox.billed
    sandbox.faults.clear()
    result = worker.convert("durable", number=2, **given)

    assert (2, 1, 2) == (result.cost, result.charged, sandbox.billed)
