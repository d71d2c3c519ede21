"""Engines that are broken on purpose: each is the provider with one thing done wrong.

This is the one place where this code is patched: it shows that the simulation can fail.
"""

# ruff: noqa: SLF001 - a broken engine is one on the inside

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.endpoints import JobAnswer
from airflow_provider_convertapi.batch.checkpoint import Checkpoint
from airflow_provider_convertapi.conversions.chain import Chain
from airflow_provider_convertapi.conversions.deferral import JobEvent
from airflow_provider_convertapi.conversions.durable import StepJob
from airflow_provider_convertapi.conversions.job import Job
from airflow_provider_convertapi.storage.local import LocalPart

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mock import MockerFixture


def no_look_before_paying(mocker: MockerFixture) -> None:
    """Take every job for one that the service does not know."""
    mocker.patch.object(Job, "look", return_value=JobAnswer(unknown=True))


def chain_that_forgets_its_verdict(mocker: MockerFixture) -> None:
    """Look at the first step only before it submits."""

    def find(chain: Any) -> None:
        if chain._may_be_known():
            for step in chain._step(1, deque()):
                step.find()
            chain._keep_what_stands()

    mocker.patch.object(Chain, "_find", find)


def look_then_write(mocker: MockerFixture) -> None:
    """Look whether a name is free, and rename over it."""

    def link(part: Any) -> None:
        if os.path.lexists(part._target):
            raise FileExistsError(part._target)
        part.staged.replace(part._target)

    mocker.patch.object(LocalPart, "_link", link)


def resume_without_comparison(mocker: MockerFixture) -> None:
    """Resume whatever the task is asked for by now."""
    mocker.patch.object(JobEvent, "check_asked", return_value=None)
    mocker.patch.object(Checkpoint, "check_asked", return_value=None)


def refusal_that_counts(mocker: MockerFixture) -> None:
    """Take a refusal that the service has stored for an attempt."""
    mocker.patch.object(Job, "forget_refusal", return_value=None)
    real = StepJob._go_on_from

    def go_on(step: Any, answer: Any) -> None:
        if answer.unpaid:
            step._submit(step.attempt + 1)
        else:
            real(step, answer)

    mocker.patch.object(StepJob, "_go_on_from", go_on)
    mocker.patch.object(StepJob, "_forget_refusal", return_value=None)


ENGINES: dict[Callable[[MockerFixture], None], int] = {
    no_look_before_paying: 20,
    chain_that_forgets_its_verdict: 60,
    look_then_write: 20,
    resume_without_comparison: 30,
    refusal_that_counts: 100,
}
"""Within how many stories, from seed 0 on, each must be found."""
