"""A connection that does not exist fails the task at once, and is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import ConnectionConfigError
from airflow_provider_convertapi.failures import ConnectionConfigFailure
from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("airflow_db")
def test_unknown_connection(letter: Path) -> None:
    """The message names it and the argument; nothing is retried or paid."""
    hook = ConvertApiHook("convertapi_typo")

    with pytest.raises(ConnectionConfigFailure, match=r"'convertapi_typo' does not exist; nothing"):
        hook.convert(letter, "pdf", letter.with_suffix(".pdf"))
    with pytest.raises(ConnectionConfigError, match="correct convertapi_conn_id"):
        hook.convert_batch(letter, "pdf", letter.parent / "out")
    assert not hook.test_connection()[0]


@pytest.mark.parametrize("stored", ["{", "[1]", "convertapi://u:secret@h:port/"])
def test_connection_test_of_what_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, stored: str
) -> None:
    """The Test button never raises, and shows nothing of what is stored."""
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", stored)

    result, message = ConvertApiHook("broken").test_connection()

    assert not result
    assert message
    assert "secret" not in message


@pytest.mark.usefixtures("airflow_db")
@pytest.mark.parametrize(
    "stored",
    [
        '{"conn_type": "convertapi", "password": "secret"',
        '{"conn_type": "convertapi", "password": 1234567}',
        "convertapi://:secret/token@eu-v2.convertapi.com",
    ],
)
def test_variable_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, stored: str) -> None:
    """It is named and not called missing, since people would create it once more."""
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", stored)

    with pytest.raises(ConnectionConfigFailure) as failed:
        ConvertApiHook("broken").get_conn()

    assert "variable AIRFLOW_CONN_BROKEN; nothing was paid" in failed.value.message
    assert "percent-encoded" in failed.value.message
    assert "secret" not in failed.value.message
