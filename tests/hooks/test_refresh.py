"""The catalogue of a live service takes the place of the provider's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.api.converters import Catalogue, use_catalogue
from airflow_provider_convertapi.catalogue import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convertapi_sandbox import Sandbox


@pytest.fixture(autouse=True)
def own_catalogue() -> Iterator[None]:
    """Go back to the provider's own after each test."""
    yield
    use_catalogue("")


def test_refresh(
    convertapi_sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is read from `/info/openapi`, compared, written, and used from then on."""
    file = tmp_path / "new" / "catalogue.jsonl"
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__CATALOGUE", str(file))

    assert 0 == main(["--refresh", "convertapi_default"])

    assert f"Written to {file}." in capsys.readouterr().out
    written = Catalogue(file.read_bytes())
    assert written.find("docx", "pdf")
    assert len(written.pairs()) > 250
    assert 0 == main(["--refresh", "convertapi_default"])
    assert "Nothing is different." in capsys.readouterr().out
    assert 0 == convertapi_sandbox.billed


def test_refresh_without_a_place(
    convertapi_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where no file is configured it says what is different, and what to set."""
    monkeypatch.delenv("AIRFLOW__CONVERTAPI__CATALOGUE", raising=False)

    assert 0 == main(["--refresh", "convertapi_default"])

    assert "Not written: set [convertapi] catalogue" in capsys.readouterr().out


@pytest.mark.parametrize(
    "paths", ["{}", '{"/convert/docx/to/pdf": null}', '{"/convert/a/to/b": {"post": 1}}']
)
def test_refresh_that_fails(
    convertapi_sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    paths: str,
) -> None:
    """An answer that describes no converter leaves the catalogue alone."""
    file = tmp_path / "catalogue.jsonl"
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__CATALOGUE", str(file))
    convertapi_sandbox.fail("GET /info/openapi", status=200, body=f'{{"paths": {paths}}}'.encode())

    assert 1 == main(["--refresh", "convertapi_default"])

    assert "OpenAPI document" in capsys.readouterr().err
    assert not file.exists()


def test_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DAG then has an import error that says how to fix it."""
    from airflow_provider_convertapi.errors import ParameterError
    from airflow_provider_convertapi.operators.convert import ConvertApiOperator

    file = tmp_path / "catalogue.jsonl"
    file.write_text("{}\n")
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__CATALOGUE", str(file))

    with pytest.raises(ParameterError, match=r"catalogue is .*cannot be read.*--refresh"):
        ConvertApiOperator(task_id="t", source="a.docx", to_format="pdf", destination="o/")
