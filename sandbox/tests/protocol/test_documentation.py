"""The page about the sandbox has complete tables."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from convertapi_sandbox import Fault, Settings

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text("utf-8")


def test_every_switch_is_in_the_table() -> None:
    """The page lists exactly the switches, with their defaults."""
    table = PAGE[PAGE.index("| switch |") : PAGE.index("## What it cannot do")]

    told = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", table, re.MULTILINE))

    assert {name: str(value) for name, value in Settings().as_dict().items()} == {
        name: value.strip('"') for name, value in told.items()
    }


def test_every_effect_is_told() -> None:
    """Each attribute of a fault is on the page."""
    told = set(re.findall(r"`(\w+)(?:=[^`]*)?`", PAGE))

    assert {field.name for field in fields(Fault)} - {"match", "hits"} <= told
