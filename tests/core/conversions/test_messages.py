"""What is said of a mistake: which file, what it cost, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest
from PIL import Image

from airflow_provider_convertapi.errors import (
    InputNotFoundError,
    OutputNotWritableError,
    ParameterError,
    TransportError,
)
from tests.core.conversions.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.errors import ConvertApiError
    from convertapi_sandbox import Sandbox

MERGE: list[dict[str, Any]] = [{"to_format": "merge"}]
MODES = pytest.mark.parametrize("mode", ["durable", "direct"])
BEFORE_PAYING: list[tuple[dict[str, Any], Any, list[str]]] = [
    (
        {"destination": "{folder}/report.docx"},
        ParameterError,
        ["destination is", "report.docx, but the result is PDF", "name it *.pdf"],
    ),
    (
        {"destination": "{folder}/report.txt", "steps": [{"to_format": "protect"}]},
        ParameterError,
        ["report.txt, but the result is PDF"],
    ),
    (
        {"to_format": "zip", "destination": "{folder}/report.pdf"},
        ParameterError,
        ["report.pdf, but the result is ZIP"],
    ),
    (
        {"source": "{folder}/", "from_format": "txt"},
        ParameterError,
        ["is a directory", "ConvertApiBatchOperator"],
    ),
    (
        {"source": "{folder}", "from_format": "txt"},
        ParameterError,
        ["is a directory", "ConvertApiBatchOperator"],
    ),
    (
        {"source": "{folder}/*.txt"},
        InputNotFoundError,
        ["*.txt does not exist", "ConvertApiBatchOperator"],
    ),
    (
        {"source": ["{folder}/letter.txt", "{folder}/letter.txt"]},
        ParameterError,
        ["lists 2 files", "ConvertApiBatchOperator"],
    ),
    (
        {"destination": "/proc/nowhere/letter.pdf"},
        OutputNotWritableError,
        ["/proc/nowhere/letter.pdf cannot be written", "Nothing was paid"],
    ),
]


@pytest.mark.parametrize(("given", "kind", "words"), BEFORE_PAYING, ids=str)
def test_before_paying(
    sandbox: Sandbox,
    worker: Worker,
    letter: Path,
    given: dict[str, Any],
    kind: type[ConvertApiError],
    words: list[str],
) -> None:
    """The message names argument, file and remedy, and nothing is paid."""

    def in_folder(value: Any) -> Any:
        if isinstance(value, list):
            return [in_folder(one) for one in value]
        return value.format(folder=letter.parent) if isinstance(value, str) else value

    arguments = {"source": str(letter), "destination": f"{letter.parent}/letter.pdf"} | given
    arguments = {name: in_folder(value) for name, value in arguments.items()}

    with pytest.raises(kind) as caught:
        worker.convert("durable", **arguments)

    said = str(caught.value)
    assert [] == [word for word in words if word not in said], said
    assert 0 == sandbox.billed


@pytest.mark.parametrize(
    ("name", "to_format"),
    [("a.pdf", "pdf"), ("a.jpeg", "jpg"), ("a.tif", "tiff"), ("a", "pdf"), ("a.v2", "pdf")],
)
def test_names_that_are_right(
    sandbox: Sandbox, worker: Worker, tmp_path: Path, name: str, to_format: str
) -> None:
    """Another name of the format, and one that claims nothing, are not refused."""
    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(picture)

    worker.convert("direct", source=picture, to_format=to_format, destination=tmp_path / name)

    assert (tmp_path / name).exists()


@MODES
def test_several_results_for_one_name(
    sandbox: Sandbox, worker: Worker, tmp_path: Path, mode: str
) -> None:
    """They are paid, which is said; a directory takes them, and costs nothing where they stay."""
    document = pypdfium2.PdfDocument.new()
    for _ in range(2):
        document.new_page(200, 100)
    document.save(tmp_path / "pages.pdf")
    given: dict[str, Any] = {"source": tmp_path / "pages.pdf", "to_format": "jpg"}

    with pytest.raises(ParameterError, match=r"2;.*paid \(1 conversion") as caught:
        worker.convert(mode, destination=tmp_path / "page.jpg", **given)

    assert [] == [path for path in tmp_path.iterdir() if path.suffix == ".jpg"]
    if mode == "direct":
        assert "converts and pays again" in str(caught.value)
        return
    result = worker.convert(mode, number=2, destination=f"{tmp_path}/out/", **given)
    assert (2, 0, 1) == (len(result.outputs), result.charged, sandbox.billed)


@MODES
def test_unreachable_host(letter: Path, mode: str) -> None:
    """The message names file, host, connection, cost and remedy."""
    worker = Worker("http://127.0.0.1:9", "token")

    with pytest.raises(TransportError) as caught:
        worker.convert(mode, source=letter, destination=letter.parent / "o.pdf", timeout=1)

    said = str(caught.value)
    for word in ("letter.txt", "http://127.0.0.1:9", "'converter'", "nothing was paid", "proxies"):
        assert word in said, said


@pytest.mark.parametrize(
    ("mode", "given", "warned"),
    [
        ("durable", {"to_format": "merge"}, True),
        ("direct", {"to_format": "merge"}, True),
        ("durable", {"source": "letter.txt", "steps": [{"to_format": "merge"}]}, True),
        ("durable", {"source": ["letter.txt", "letter.txt"], "steps": MERGE}, False),
    ],
    ids=str,
)
def test_merge_of_one(
    worker: Worker,
    letter: Path,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    given: dict[str, Any],
    warned: bool,
) -> None:
    """A file that is merged alone costs a conversion for nothing, and the log says so."""
    document = pypdfium2.PdfDocument.new()
    document.new_page(200, 100)
    document.save(letter.with_suffix(".pdf"))
    names = given.get("source", "letter.pdf")
    names = [names] if isinstance(names, str) else names
    source = [str(letter.parent / name) for name in names]

    worker.convert(mode, **given | {"source": source, "destination": letter.parent / "all.pdf"})

    assert warned == ("merges one file alone, which costs 1 conversion" in caplog.text)
