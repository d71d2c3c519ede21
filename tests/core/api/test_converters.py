"""The client's table of converters agrees with ConvertAPI's own facts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_convertapi.api.converters import (
    has_open_extension,
    is_file_parameter,
    result_extension,
)

FACTS = json.loads((Path(__file__).parents[2] / "data/converters.json").read_text())
TOOLS = [pytest.param(*item, id=item[0]) for item in FACTS["tools"].items()]


@pytest.mark.parametrize(("converter", "formats"), TOOLS)
def test_extension_that_a_tool_gives(converter: str, formats: dict[str, list[str]]) -> None:
    """A tool gives an extension of its results, or the service does."""
    tool = converter.partition("/to/")[2]
    kept = [name for name in formats["from"] if name in formats["to"]]
    made = {result_extension(f"a.{name}", tool) for name in kept or formats["from"]}

    assert has_open_extension(tool) or made <= set(formats["to"])


@pytest.mark.parametrize(
    "tool", ["watermark", "watermark-overlay", "watermark-textbox", "encrypt", "decrypt", "repair"]
)
def test_former_name_of_a_tool_keeps_the_format(tool: str) -> None:
    """The tools' names of earlier years stand for their successors."""
    assert "pdf" == result_extension("a.pdf", tool)
    assert "pdf" == result_extension(f"x.{result_extension('a.pdf', tool)}", "compress")


def test_file_parameters_are_those_of_the_catalogue() -> None:
    """A parameter is a file by its type: `ColorProfile` is a choice, whatever its name ends in."""
    ours = {"File", "Files"}  # what `source` is

    assert set(FACTS["file_parameters"]) - ours == {
        name for name in FACTS["file_parameters"] if is_file_parameter(name)
    }
    assert [] == [name for name in FACTS["not_file_parameters"] if is_file_parameter(name)]


@pytest.mark.parametrize("spelled", ["OVERLAYFILE", "overlayfile", "overlayFile"])
def test_file_parameter_is_known_in_any_case(spelled: str) -> None:
    """ConvertAPI compares the names of parameters without case."""
    assert is_file_parameter(spelled)
