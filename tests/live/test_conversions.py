"""A handful of conversions with the account of `make live`: each promise that money hangs on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ConversionError, ParameterError
from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

if TYPE_CHECKING:
    from pathlib import Path


# Reached over a network.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """Return a small text."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, this is a letter.\n", "utf-8")
    return path


@pytest.mark.parametrize("durable", [True, False], ids=["as a job", "directly"])
def test_a_document_is_converted(letter: Path, tmp_path: Path, durable: Any, account: str) -> None:
    """The result is a PDF."""
    result = ConvertApiHook().run(
        str(letter), "pdf", f"{tmp_path}/out/", durable=durable, conversion_key=account
    )

    assert (tmp_path / "out" / "letter.pdf").read_bytes().startswith(b"%PDF-")
    assert result.charged >= 1


def test_a_damaged_document_is_an_error_of_its_own(tmp_path: Path, account: str) -> None:
    """It is billed, and says so."""
    damaged = tmp_path / "damaged.docx"
    damaged.write_bytes(bytes(range(256)) * 10)

    with pytest.raises(ConversionError):
        ConvertApiHook().convert(str(damaged), "pdf", f"{tmp_path}/out/", conversion_key=account)


def test_what_cannot_be_is_found_before_it_is_sent(letter: Path, tmp_path: Path) -> None:
    """A wrong parameter costs nothing."""
    with pytest.raises(ParameterError):
        ConvertApiHook().convert(
            str(letter), "pdf", f"{tmp_path}/out/", parameters={"Timeout": "soon"}
        )


def test_the_next_try_does_not_pay_again(letter: Path, tmp_path: Path, account: str) -> None:
    """It finds what the first one paid for."""
    from airflow_provider_convertapi.conversions.task import TaskTry

    charged = []
    for number in (1, 2):
        hook = ConvertApiHook()
        hook.open_session(
            TaskTry(dag_id="d", run_id=account, task_id="t", number=number, started=time.time())
        )
        charged.append(hook.run(str(letter), "pdf", f"{tmp_path}/letter.pdf").charged)

    assert charged[0] >= 1
    assert 0 == charged[1]
