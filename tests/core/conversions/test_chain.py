"""Steps at the service: each paid once, whoever makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest

from airflow_provider_convertapi.errors import ConversionError, ParameterError
from convertapi_sandbox.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.core.conversions.worker import Worker

MERGE: list[dict[str, Any]] = [{"to_format": "merge"}]
PROTECT: list[dict[str, Any]] = [
    {"to_format": "protect", "parameters": {"UserPassword": "open sesame"}}
]


def said(path: Path, password: str | None = None) -> list[str]:
    """Return the text of each page of a PDF."""
    document = pypdfium2.PdfDocument(path, password)
    return [page.get_textpage().get_text_bounded().strip() for page in document]


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_three_sources_become_one(
    sandbox: Sandbox, worker: Worker, texts: list[Path], mode: str
) -> None:
    """Each source is converted, all are merged in their order, and one file comes back."""
    out = texts[0].parent / "all.pdf"

    result = worker.convert(mode, source=texts, destination=out, steps=MERGE)

    assert ["This is a.txt.", "This is b.md.", "This is c.txt."] == said(out)
    assert ([str(out)], 4, 4) == (result.outputs, result.cost, result.charged)
    assert 1 == len(sandbox.requests.filter(method="GET", path="/d/*"))
    assert (4, {}) == (sandbox.billed, sandbox.files)


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_three_steps(sandbox: Sandbox, worker: Worker, texts: list[Path], mode: str) -> None:
    """A third step works on what the second made: the file opens with the password only."""
    out = texts[0].parent / "all.pdf"

    result = worker.convert(mode, source=texts, destination=out, steps=MERGE + PROTECT)

    assert (3, 5) == (len(said(out, "open sesame")), result.cost)
    with pytest.raises(pypdfium2.PdfiumError):
        said(out)
    assert (5, {}) == (sandbox.billed, sandbox.files)


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_failure_of_a_step(sandbox: Sandbox, worker: Worker, texts: list[Path], mode: str) -> None:
    """A verdict says which step it was and what those before it took; nothing is left."""
    sandbox.fail("POST /async/convert/pdf/to/merge", verdict=5001)

    with pytest.raises(ConversionError, match=r"Step 2 of 2 failed: .*took 3 conversion") as caught:
        worker.convert(mode, source=texts, destination=texts[0].parent / "all.pdf", steps=MERGE)

    assert 5001 == caught.value.code
    assert (4, {}) == (sandbox.billed, sandbox.files)


@pytest.mark.parametrize(
    ("failing", "paid"),
    [
        pytest.param({"match": "POST /async/convert/pdf/to/merge"}, 4, id="a step in the middle"),
        pytest.param({"match": "POST /async/convert", "skip": 1}, 3, id="a sibling"),
    ],
)
@pytest.mark.parametrize("number", [1, 2], ids=["run made anew", "cleared"])
def test_verdict_before_the_last_step_is_told_first(
    sandbox: Sandbox,
    worker: Worker,
    texts: list[Path],
    failing: dict[str, Any],
    paid: int,
    number: int,
) -> None:
    """Whoever asks again hears it before any step, or any sibling, is paid again."""
    out = texts[0].parent / "all.pdf"
    sandbox.add_fault(Fault(verdict=5001, **failing))
    for again in (1, number, number):
        with pytest.raises(ConversionError):
            worker.convert(
                "durable", number=again, source=texts, destination=out, steps=MERGE + PROTECT
            )

    assert paid == sandbox.billed


def test_direct_mode_has_no_steps(sandbox: Sandbox, worker: Worker, texts: list[Path]) -> None:
    """What a step makes waits at the service, where direct mode leaves nothing."""
    with pytest.raises(ParameterError, match="durable=True"):
        worker.convert("direct", source=texts[:1], destination="o.pdf", steps=MERGE)

    assert [] == list(sandbox.requests)
