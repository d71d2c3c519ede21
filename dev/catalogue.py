"""Make the provider's catalogue of converters from a transcription of ConvertAPI's own document.

``python dev/catalogue.py converters.json`` writes the package's `api/catalogue.jsonl`.
The source has, by route, source_formats, destination_formats, params and notes.  A catalogue of a
live service is read by ``python -m airflow_provider_convertapi.catalogue --refresh``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TARGET = Path(__file__).parents[1] / "airflow_provider_convertapi" / "api" / "catalogue.jsonl"
NAMES = {"enum": "choices", "min": "least", "max": "most", "range": "span"}
"""What the source calls some facts of a parameter, and what we call them."""


def main(source: str) -> None:
    """Write the catalogue."""
    from airflow_provider_convertapi.api.openapi import catalogue_text

    given = json.loads(Path(source).read_text("utf-8"))
    lines = [line_of(route, item) for route, item in sorted(given["converters"].items())]
    TARGET.write_bytes(catalogue_text(lines, "ConvertAPI's OpenAPI document of September 2026"))
    print(f"{TARGET}: {len(lines)} converters, {TARGET.stat().st_size:,} bytes")


def line_of(route: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the catalogue says about one converter."""
    notes = item.get("notes") or []
    units = [note for note in ([notes] if isinstance(notes, str) else notes) if "margins" in note]
    return {
        "route": route,
        "from": item["source_formats"],
        "to": item["destination_formats"],
        "note": "; ".join(units),
        "parameters": [parameter_of(parameter) for parameter in item["params"]],
    }


def parameter_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return one parameter under our names."""
    facts = {NAMES.get(key, key): value for key, value in given.items()}
    if "span" in facts:
        facts["span"] = [int(bound) for bound in facts["span"]]
    return facts


if __name__ == "__main__":
    main(*sys.argv[1:])
