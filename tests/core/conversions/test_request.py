"""What a conversion is called in logs and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.conversions.request import (
    CheckedSettings,
    ConversionRequest,
    InputFile,
)
from airflow_provider_convertapi.storage import find_source

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.conversions.request import Input

SETTINGS = CheckedSettings(
    to_format="pdf",
    from_format=None,
    files={},
    plain={},
    service_timeout=None,
    steps=(),
    timeout=60,
    poll_interval=1,
    durable=True,
    overwrite=True,
    result_check=None,
    conversion_key=None,
)


def described(item: Input) -> str:
    """Return what a conversion of one input is called."""
    return ConversionRequest(
        inputs=(InputFile("File", "0", item),),
        source_format="txt",
        target_format="pdf",
        parameters={},
        service_timeout=None,
        settings=SETTINGS,
    ).describe()


def test_file_is_called_the_same_after_a_deferral(tmp_path: Path) -> None:
    """A file that is named by its path alone, since it may be gone, is called by its name."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader.\n")

    assert "letter.txt (txt to pdf)" == described(find_source(str(path))) == described(str(path))
    assert "letter.txt (txt to pdf)" == described("s3://conn@bucket/in/letter.txt")


@pytest.mark.parametrize(
    "url", ["https://h.org/a.txt?sig=s3cr3t", "HTTPS://h.org/a.txt?sig=s3cr3t"]
)
def test_url_is_called_without_its_signature(url: str) -> None:
    """A URL is shown whole, without what is secret in it."""
    assert f"{url.partition('?')[0]} (txt to pdf)" == described(url)
