"""Conversions that the sandbox cannot make itself: a test's author gives their results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import ConvertApiError

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook


@pytest.fixture
def invoice(tmp_path: Path) -> Path:
    """Provide a document for which there is no engine that extracts."""
    path = tmp_path / "in" / "invoice 17.pdf"
    path.parent.mkdir()
    path.write_bytes(b"%PDF-1.7 of no matter")
    return path


@pytest.mark.parametrize("durable", [True, False])
def test_results_are_published_and_billed(
    sandbox: Sandbox, make_hook: MakeHook, invoice: Path, tmp_path: Path, *, durable: bool
) -> None:
    """Both kinds of conversion get the rows, under the document's name, at the given cost."""
    sandbox.answer("pdf", "extract", files=[("*.json", b'{"Total": 17}')], cost=3)

    outputs = make_hook().convert(invoice, "extract", f"{tmp_path}/out/", durable=durable)

    assert [str(tmp_path / "out" / "invoice 17.json")] == outputs
    assert {"Total": 17} == json.loads(Path(outputs[0]).read_bytes())
    assert (3, {}) == (sandbox.billed, sandbox.files)


@pytest.mark.long  # the first try waits between its attempts
def test_later_try_pays_nothing(
    sandbox: Sandbox, make_hook: MakeHook, invoice: Path, tmp_path: Path
) -> None:
    """A lost answer is found by the job's id, although the answer was for one conversion."""
    sandbox.answer("pdf", "extract", files=[("*.json", b"{}")], cost=2, times=1)
    sandbox.fail("GET /d/*", status=500, times=None)
    with pytest.raises(ConvertApiError):
        make_hook().convert(invoice, "extract", f"{tmp_path}/out/")
    sandbox.clear_faults()

    outputs = make_hook(2).convert(invoice, "extract", f"{tmp_path}/out/")

    assert b"{}" == Path(outputs[0]).read_bytes()
    assert 2 == sandbox.billed
