"""With a canned answer, every converter converts by operator and by batch, billed exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from convertapi_sandbox.catalogue import converters
from tests.tries import TaskInstance, execute

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from convertapi_sandbox.catalogue import Converter, Parameter
    from tests.batch.nights import Night

    Convert = Callable[[Path, str | None, dict[str, Any]], None]

# Some three hundred batches.
pytestmark = [pytest.mark.timeout(600), pytest.mark.once]

COST = 2
BEGINNINGS = {
    **dict.fromkeys(("docx", "odt", "pptx", "xls", "xlsx", "zip"), b"PK\x03\x04"),
    "fdf": b"%FDF",
    "gif": b"GIF89a",
    "jpg": b"\xff\xd8\xff",
    "jxl": b"\xff\x0a",
    "pcl": b"\x1b",
    "pdf": b"%PDF",
    "png": b"\x89PNG\r\n\x1a\n",
    "pnm": b"P6",
    "rtf": b"{\\rtf",
    "tiff": b"II*\0",
    "webp": b"RIFF\0\0\0\0WEBP",
    **dict.fromkeys(("html", "svg", "xml"), b"<a>"),
    "json": b"{}",
}
"""How a result of a format begins; the others are any text."""


def value(parameter: Parameter, folder: Path) -> Any:
    """Return a value that a parameter takes."""
    if parameter.is_file:
        path = folder / f"extra.{min(parameter.extensions, default='dat')}"
        path.write_bytes(b"extra")
        return str(path)
    if parameter.values:
        return parameter.values[0]
    by_type = {"boolean": True, "json": "[]", "string": "text"}
    return by_type.get(parameter.type, parameter.min)


def required(converter: Converter, folder: Path) -> dict[str, Any]:
    """Return the parameters without which a converter refuses a request, but for its documents."""
    return {
        item.name: value(item, folder)
        for item in converter.parameters.values()
        if item.required and item.default is None and item.name not in {"File", "Files", "Url"}
    }


def source(converter: Converter, folder: Path) -> str | None:
    """Return a source for a converter: a document of its own, a page, or None if it takes none."""
    if converter.source == "web":
        return "https://nowhere.invalid/page"
    if converter.input is None:
        return None
    path = folder / f"a.{min(converter.extensions, default='dat')}"
    path.write_text(f"{converter.route}\n")
    return str(path)


def answer(sandbox: Sandbox, converter: Converter) -> bytes:
    """Say what a converter answers, and return it."""
    extension = "out" if converter.results[0] == "any" else converter.results[0]
    content = BEGINNINGS.get(extension, b"") + converter.route.encode()
    if extension == "json":
        content = b'{"of": "%s"}' % converter.route.encode()
    sandbox.answer(
        converter.source, converter.target, files=[(f"*.{extension}", content)], cost=COST
    )
    return content


def failures(
    sandbox: Sandbox, tmp_path: Path, chosen: list[Converter], convert: Convert
) -> dict[str, str]:
    """Convert by each converter, and return what went wrong, by route."""
    found = {}
    for converter in chosen:
        sandbox.reset()
        folder = tmp_path / converter.route.replace("/", "-")
        out = folder / "out"
        (folder / "in").mkdir(parents=True)
        expected = answer(sandbox, converter)
        pair = {"from_format": converter.source, "to_format": converter.target}
        parameters = required(converter, folder)
        try:
            convert(out, source(converter, folder / "in"), {**pair, "parameters": parameters})
            made = [path.read_bytes() for path in out.glob("*") if path.is_file()]
            assert ([expected], COST, {}) == (made, sandbox.billed, sandbox.files)
        except Exception as error:  # noqa: BLE001 - each converter's own is shown
            found[converter.route] = f"{type(error).__name__}: {error}"
    return found


def test_operator(sandbox: Sandbox, tmp_path: Path) -> None:
    """In one request each, without a job."""

    def convert(out: Path, document: str | None, asked: dict[str, Any]) -> None:
        operator = ConvertApiOperator(
            task_id="t", source=document, destination=f"{out}/", durable=False, **asked
        )
        execute(operator, TaskInstance())

    everything = [*converters().values()]

    assert 314 == len(everything)
    assert {} == failures(sandbox, tmp_path, everything, convert)


def test_batch(sandbox: Sandbox, tmp_path: Path, night: Night) -> None:
    """As jobs, with a manifest for each; what takes no document is not for a batch."""

    def convert(out: Path, document: str | None, asked: dict[str, Any]) -> None:
        night.out = out
        night.run(source=[document], **asked)

    with_a_source = [item for item in converters().values() if item.source != "data"]

    assert 312 == len(with_a_source)
    assert {} == failures(sandbox, tmp_path, with_a_source, convert)
