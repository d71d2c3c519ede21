"""Log what happened, to which file, what it cost, and what to do.

Airflow's page shortens an exception's text and shows it above a traceback, so people read the lines
before it.

This module may change from release to release.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.conversions.values import flatten
from airflow_provider_convertapi.storage import shown
from airflow_provider_convertapi.wording import labelled, sentences, unlisted

if TYPE_CHECKING:
    import logging

    from airflow_provider_convertapi.errors import ConvertApiError

_NAMED = 3
_BILL = re.compile(r"(?:Cost: )?\d+ conversion\(s\)")
"""The beginning of a sentence that states the bill, anywhere in a message."""
_FACT = re.compile(r"\(|\w+: ")
"""The beginning of a sentence that only adds to what happened, anywhere in a message."""
_COST = re.compile(r"\b(paid|billed|charged|costs)\b(?!,? again)")
_IN_PARENTHESES = re.compile(r"\(.*\)")

Bill = Callable[[], tuple[int, int]]
"""Returns the cost so far, in conversions, and the part that this try paid."""


@dataclass(frozen=True, slots=True)
class FailureLog:
    """Log failures of one task.

    :param source: returns the source as the user gave it.
    :param bill: returns the function that reads the bill; None until something was begun.
    :param is_resumed: whether the task submitted something before it deferred.
    """

    log: logging.Logger
    source: Callable[[], object]
    bill: Callable[[], Bill | None]
    is_resumed: bool = False

    def tell(self, error: ConvertApiError) -> None:
        """Log an error's event, file, cost and remedy, each on separate lines."""
        text, items = unlisted(error.message)
        happened, cost, remedy = _parts(text)
        lines = labelled("What happened", happened, items)
        for label, said in {
            "File": describe_source(self.source()),
            "Cost": cost or self._cost(error),
            "What to do": remedy or error.advice,
        }.items():
            lines += labelled(label, said) if said else ()
        for line in lines:
            self.log.error("%s", line)

    def _cost(self, error: ConvertApiError) -> str:
        bill = self.bill()
        cost, charged = bill() if bill else (0, 0)
        if charged:
            sure = "paid by this try" if error.paid else "submitted by this try, billed or may be"
            return f"{charged} conversion(s), {sure}."
        if cost:
            return f"nothing now; {cost} conversion(s) were paid before."
        if self.is_resumed or (bill and error.is_answer_lost):
            return "nothing more; what was submitted before may be billed."
        return "nothing was paid."


def _parts(message: str) -> tuple[str, str, str]:
    """Divide a message into what happened, what it cost and what to do; the last may be empty.

    Messages say them in this order; a cost in the first sentence stays there.
    """
    first, *others = sentences(message) or [message]
    bill = [one.removeprefix("Cost: ") for one in others if _BILL.match(one)]
    others = [one for one in others if not _BILL.match(one)]
    said = [one for one in others if _FACT.match(one)]
    others = [one for one in others if one not in said]
    costs = [n for n, one in enumerate(others) if _COST.search(_IN_PARENTHESES.sub("", one))]
    start = costs[0] if costs else 0
    happened = [first, *others[:start], *said]
    cost = [*(others[n] for n in costs), *bill]
    remedy = [one for n, one in enumerate(others) if n >= start and n not in costs]
    return " ".join(happened), " ".join(cost), " ".join(remedy)


def describe_source(source: object) -> str:
    """Return a source, or the first few of several, in a loggable form; empty for none."""
    names = [name for item in flatten(source) if (name := _name(item))]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _name(item: object) -> str:
    if isinstance(item, Mapping):
        return describe_source(item.get("source", item.get("manifest")))
    return shown(str(item)) if item is not None else ""
