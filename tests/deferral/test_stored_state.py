"""What earlier versions stored in the metadata database is read by this one.

Each file holds the arguments of a trigger, and the event that it fired, as a task that was deferred
before an upgrade finds them after it.  A file is never changed; a new form gets one of its own.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_convertapi.api.ids import key_check, unseal
from airflow_provider_convertapi.conversions.deferral import JobEvent, JobRef

STORED = Path(__file__).parents[1] / "data" / "stored"
KEY = "the-token-of-the-connection"
CHECK = "9c6ff99d"

EVENTS = {
    "single-job": JobEvent("answered", CHECK, (JobRef("01" * 32, 0, 1795822800.5),), (True,)),
    "upload": JobEvent(
        "timeout", CHECK, (JobRef("02" * 32, 1, None, ("0", "OverlayFile")),), (False,)
    ),
    "wave-of-three": JobEvent(
        "answered",
        CHECK,
        (
            JobRef("03" * 32, 0, 1795822800.5),
            JobRef("04" * 32, 2, 1795822801.0, ("0",)),
            JobRef("05" * 32, 0, None),
        ),
        (True, False, True),
    ),
    "second-step": JobEvent("error", CHECK, (JobRef("06" * 32, 0, 1795822800.5, (), 2),), (False,)),
    "sealed-job": JobEvent("answered", CHECK, (), ()),
}


def stored(name: str) -> dict[str, Any]:
    """Read what was stored."""
    content: dict[str, Any] = json.loads((STORED / f"{name}.json").read_text())
    return content


def test_every_file_is_read_here() -> None:
    """None is forgotten."""
    assert EVENTS.keys() == {path.stem for path in STORED.iterdir()}


@pytest.mark.parametrize("name", EVENTS)
def test_event(name: str) -> None:
    """A worker reads each field of the event."""
    wanted = EVENTS[name]

    assert wanted == JobEvent.parse(stored(name)["event"], expected=len(wanted.jobs))


@pytest.mark.parametrize("name", EVENTS)
def test_trigger(name: str) -> None:
    """A triggerer makes the trigger from its stored arguments, and loses none of them."""
    content = stored(name)
    module, _, class_name = content["trigger"].rpartition(".")

    trigger = getattr(import_module(module), class_name)(**content["arguments"])

    path, arguments = trigger.serialize()
    assert content["trigger"] == path
    assert content["arguments"] == {key: arguments[key] for key in content["arguments"]}
    watched = tuple(JobRef.from_list(job) for job in trigger.jobs)
    assert EVENTS[name].jobs == watched


def test_keys_are_checked_and_unsealed_alike() -> None:
    """The key of then still fits: to its check, and to a sealed id."""
    arguments = stored("sealed-job")["arguments"]

    assert CHECK == key_check(KEY) == arguments["key_check"]
    assert "z" * 32 == unseal(KEY, arguments["sealed_job_id"])
