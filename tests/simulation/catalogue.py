"""The catalogue of the simulated ConvertAPI: few converters, which all take the same parameters."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.converters import use_catalogue
from airflow_provider_convertapi.api.openapi import catalogue_text

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTION = "AIRFLOW__CONVERTAPI__CATALOGUE"

_PARAMETERS = [
    {"name": "PageSize", "type": "enum", "choices": ["a3", "a4", "a5", "a6"]},
    {"name": "Password", "type": "string"},
    {"name": "OverlayFile", "type": "file", "extensions": []},
]
_SEVERAL = {"merge"}


@contextmanager
def own_catalogue() -> Iterator[None]:
    """Let the provider know the simulated service's converters instead of ConvertAPI's."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(catalogue_text(map(_converter, _PAIRS), "the simulation"))
        file.flush()
        before = os.environ.get(OPTION)
        os.environ[OPTION] = file.name
        try:
            yield
        finally:
            os.environ.pop(OPTION)
            if before is not None:
                os.environ[OPTION] = before
            use_catalogue("")


_PAIRS = [
    *((source, "pdf") for source in ("txt", "pdf", "web")),
    *(("pdf", target) for target in ("jpg", "merge", "protect", "compress", "zip")),
]


def _converter(pair: tuple[str, str]) -> dict[str, Any]:
    source, target = pair
    name = {"web": "Url"}.get(source, "Files" if target in _SEVERAL else "File")
    kind = {"Url": "string", "Files": "files"}.get(name, "file")
    return {
        "route": f"{source}/to/{target}",
        "from": [source],
        "to": ["jpg" if target == "jpg" else "pdf"],
        "parameters": [{"name": name, "type": kind, "required": True}, *_PARAMETERS],
    }
