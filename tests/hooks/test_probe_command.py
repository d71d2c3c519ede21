"""The command of the live check: its report, and terminals and files that it cannot use."""

from __future__ import annotations

import io
import runpy
import sys
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi import probe
from tests.account.conftest import connect

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox

MODULE = "airflow_provider_convertapi.probe"


def test_a_report_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said to name no job, and is left as it is."""
    report = tmp_path / "report.md"
    report.write_bytes(b"\xff\xfe\x00")

    assert 1 == probe.main(["--later", "--report", str(report)])

    assert "report.md names no job that was left" in capsys.readouterr().err
    assert b"\xff\xfe\x00" == report.read_bytes()


def test_a_file_that_is_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not written over, and nothing is asked."""
    notes = tmp_path / "notes.md"
    notes.write_text("# What I must not forget\n")

    assert 1 == probe.main(["--conn-id", "unknown", "--report", str(notes)])

    assert "notes.md is not a report of this command" in capsys.readouterr().err
    assert "# What I must not forget\n" == notes.read_text()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the module is imported above, too
def test_a_terminal_without_unicode(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The report is shown with escapes, and the check ends well."""
    connect(sandbox, monkeypatch)
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "ascii"))
    monkeypatch.setattr(sys, "argv", [MODULE, "--report", str(tmp_path / "report.md")])

    with pytest.raises(SystemExit) as ended:
        runpy.run_module(MODULE, run_name="__main__")

    assert not ended.value.code
    # Airflow 2 logs to the same stream.
    assert b"# ConvertAPI: the live check" in shown.getvalue()
