"""The order of the questions, by the cost of a wrong guess and the possible cost of asking.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.live import (
    account,
    conversions,
    hosts,
    later,
    prices,
    quota,
    records,
    refusals,
    tokens,
)
from airflow_provider_convertapi.live.facts import NOT_ASKED

if TYPE_CHECKING:
    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.later import Left

_FREE = "it takes conversions: allow some with --spend"
_PAID = (
    (1, refusals.TWICE),
    (2, records.CONSUMED),
    (2, records.DIES),
    (2, records.TAKES),
    (4, conversions.FAILED),
    (4, conversions.VERDICT),
    (5, refusals.REFUSALS),
    (5, refusals.PLACE),
    (6, prices.PRICE),
    (6, prices.INPUTS),
    (6, conversions.PARTS),
    (7, quota.REFUSAL),
    (9, conversions.RUNNING),
    (10, hosts.JOBS),
    (10, conversions.SLOTS),
)
_TWICE, _REFUSAL = 2, 1
"""Conversions that are reserved for questions 1 and 5."""


def run(check: Check, limited: Check | None = None) -> Left | None:
    """Ask every question that is allowed; return the job that was left, if any.

    :param limited: the check of a connection whose token has a usage limit of 1.
    """
    account.ask(check)
    tokens.ask(check)
    hosts.ask(check)
    if limited is not None:
        limited.keys.way, limited.keys.lifetime = check.keys.way, check.keys.lifetime
        limited.wire.same_clock_as(check.wire)
    if check.allowed:
        _spend(check, limited)
    left = later.leave(check) if check.nonce and check.allowed else None
    finish(check)
    return left


def _spend(check: Check, limited: Check | None) -> None:
    money = check.money
    first = records.ask(check)
    _tell(check)
    if first is None:
        return
    _hold_back(check, twice=True)
    conversions.ask_for_failure(check)
    _tell(check)
    _hold_back(check, twice=True, refusal=True)
    conversions.ask_for_parts(check)
    money.reserved = 0
    refusals.ask_twice(check)
    _tell(check)
    if not check.has(conversions.FAILED):
        conversions.ask_for_failure(check)
    _hold_back(check, refusal=True)
    quota.ask(check, limited)
    money.measure()  # so that its cost is not added to the next question's
    if not check.has(conversions.PARTS):
        conversions.ask_for_parts(check)
    if check.is_flat:  # the last of these, because a deleted job may be billed late
        conversions.ask_for_running(check)
    _tell(check)
    money.reserved = 0
    refusals.ask(check)
    _tell(check)


def _hold_back(check: Check, *, twice: bool = False, refusal: bool = False) -> None:
    """Reserve the conversions for questions 1 and 5, if there are enough."""
    money = check.money
    left, money.reserved = money.allowed - money.spent, 0
    for wanted, conversions_ in ((twice, _TWICE), (refusal, _REFUSAL)):
        needed = money.reserved + conversions_ * money.unit
        if wanted and needed <= left:
            money.reserved = needed


def _tell(check: Check) -> None:
    check.say(f"Conversions so far: {check.money.spent} of {check.allowed}.")


def finish(check: Check) -> None:
    """Add the remaining facts, and why the others are not known."""
    conversions.conclude(check)
    records.conclude(check)
    why = _FREE if not check.allowed else check.money.stopped
    for question, name in _PAID:
        if not check.has(name):
            check.skip(question, name, why)
    if not any(fact.question == 3 for fact in check.facts):
        why = "it takes hours: --later, together with --spend, begins it"
        check.skip(3, later.LIFETIME, why)
    check.facts.sort(key=lambda fact: (fact.question, fact.state == NOT_ASKED))
