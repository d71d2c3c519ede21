"""The facts that the check found, each with its reading, its evidence and its meaning.

This module may change from release to release.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

QUESTIONS = {
    0: "The connection and the account",
    1: "A second POST of a known JobId",
    2: "What becomes of a job's record",
    3: "How long a finished job is remembered",
    4: "A conversion that fails",
    5: "Requests that are refused (400, 415)",
    6: "What ConversionCost counts",
    7: "The exhausted quota",
    8: "JWTs and POST /token/jwt",
    9: "DELETE of a running job",
    10: "Other hosts, and the plan's slots",
}
"""The questions, ordered by the cost of a wrong guess; 0 is about connection and account."""

KNOWN, UNCLEAR, NOT_ASKED = "known", "cannot be told apart", "not asked"

_MULTIPLES = (86400, 43200, 21600, 7200, 3600, 1800, 900, 600, 300, 60, 30, 10, 5, 1, 0.5, 0.1)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact about the service.

    :param question: a key of `QUESTIONS`.
    :param name: its name in a few words; unique.
    :param state: `KNOWN`, `UNCLEAR` or `NOT_ASKED`.
    :param reading: what is true, or why that is not known.
    :param evidence: what was sent and what was answered.
    :param meaning: its meaning for the promises in ``docs/retries-and-money.md``.
    :param switches: settings that make the sandbox behave like this.
    """

    question: int
    name: str
    state: str
    reading: str
    evidence: str = ""
    meaning: str = ""
    switches: dict[str, Any] = field(default_factory=dict)


def set_line(switches: dict[str, Any]) -> str:
    """Return the command that starts a sandbox with these settings."""
    told = (f"--set {name}={_spelled(value)}" for name, value in switches.items())
    return " ".join(("convertapi-sandbox", *told))


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def roundest(above: float, most: float) -> float:
    """Return the roundest number in a half-open interval: above the first, up to the second.

    A measurement finds an interval, and a service's settings are usually round numbers.
    """
    for multiple in _MULTIPLES:
        found = round(round((above + most) / 2 / multiple) * multiple, 3)
        if above < found <= most:
            return int(found) if found == int(found) else found
    return round((above + most) / 2, 2)
