"""The second part of question 6: what the cost of a conversion depends on.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.jobs import Job

_RESULTS = 2
PRICE, INPUTS = "what pages and results cost", "what inputs cost"
INPUT_COUNT = 3


def compare(check: Check, job: Job, what: str) -> None:
    """Compare the cost of a smaller conversion with that of the first one."""
    cost = job.cost
    if cost is None or check.first_price is None or check.is_settled(PRICE):
        return
    first, was = check.first_price
    check.settle(PRICE)
    evidence = f"{was}: {first}; {what}: {cost}"
    if cost == first:
        meaning = "`max_conversions` counts conversions, whatever a document holds."
        reading = f"{cost} for a conversion, whatever pages and results it has"
        check.know(6, PRICE, reading, evidence, meaning, conversion_cost=cost)
    else:
        check.grows = True
        meaning = "`max_conversions` must allow for long documents: see the costs of a small batch."
        each = {"conversion_cost": cost, "cost_per": "result"} if first == _RESULTS * cost else {}
        reading = "each page or result counts" if each else "more for more pages or results"
        check.know(6, PRICE, reading, evidence, meaning, **each)


def compare_inputs(check: Check, job: Job) -> None:
    """Compare the cost of three inputs with that of one."""
    if job.cost is None or check.first_price is None:
        check.unclear(6, INPUTS, "an answer tells no cost")
        return
    first, was = check.first_price
    evidence = f"{was}: {first}; 3 files, 1 result: {job.cost}"
    check.money.learn(job.cost)
    if not first:
        check.unclear(6, INPUTS, "a conversion costs nothing here", evidence)
    elif job.cost == first:
        meaning = "A merge costs as much as any other conversion."
        check.know(6, INPUTS, "nothing more", evidence, meaning, cost_per="conversion")
    elif job.cost == INPUT_COUNT * first:
        meaning = "A merge costs as many conversions as it has inputs: allow for it."
        check.know(6, INPUTS, "each counts", evidence, meaning, cost_per="input")
    else:
        check.unclear(6, INPUTS, "the converters may differ in price", evidence)
