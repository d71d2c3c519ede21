"""The conversions that the check may spend, and those that it has spent.

This module may change from release to release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.account import Account
from airflow_provider_convertapi.api.wire import Request, whole_number
from airflow_provider_convertapi.live.wire import fields_of

if TYPE_CHECKING:
    from airflow_provider_convertapi.live.wire import Wire

_STILL, _LONGEST = 2.0, 30.0
"""The least and the most seconds between two readings that must be equal."""
_MOST_READINGS = 15


@dataclass(slots=True)
class Money:
    """Conversions that the check may take, and those that it took.

    With a master token, `ConversionsConsumed` of `GET /user` counts.  Without one, the costs in the
    answers count, and the greatest possible cost of a request without such an answer.

    :param allowed: the number that the user allows.
    :param master_token: None if nothing is measured.
    """

    wire: Wire
    allowed: int
    master_token: str | None = field(repr=False)
    reserved: int = 0
    """Conversions that are reserved for more important questions."""
    unit: int = 1
    """The highest cost of one conversion that was seen."""
    stopped: str = ""
    """Why nothing more may be spent; empty if it may."""
    account: dict[str, Any] = field(default_factory=dict)
    lag: float = 0.0
    """Seconds after which the count had followed a conversion that had ended."""
    left_at_first: int | None = None
    """The account's balance before the check; None if it is not known."""
    is_certain: bool = True
    """Whether the last measurement succeeded."""
    _told: int = 0
    _first: int | None = None
    _latest: int | None = None

    @property
    def is_metered(self) -> bool:
        """Tell whether the account's own count can be read."""
        return self._first is not None

    @property
    def spent(self) -> int:
        """Return the conversions taken so far: the measured or the reported number, if larger."""
        measured = (self._latest or 0) - (self._first or 0)
        return max(measured, self._told)

    def begin(self) -> str:
        """Read the count for the first time; return a complaint, empty if there is none."""
        if self.master_token is None:
            return "the connection has no master token"
        self._first = self._latest = self._read()
        self.left_at_first = Account.read(self.account).remaining
        if not self.is_metered:
            return "GET /user with the master token does not tell the count"
        if self.allowed and self.measure():
            self._first = self._latest = None
            return "somebody else uses the account now"
        return ""

    def _read(self) -> int | None:
        answer = self.wire.free(Request("GET", "/user"), self.master_token or "")
        self.account = fields_of(answer)
        return whole_number(self.account.get("ConversionsConsumed"))

    def may(self, worst: int) -> bool:
        """Tell whether a step may begin that takes at most the given number of conversions."""
        return not self.stopped and self.allowed - self.spent - self.reserved >= worst

    def took(self, conversions: int) -> None:
        """Add the cost in an answer, or the greatest possible cost if it has none."""
        self._told += conversions

    def learn(self, cost: int | None) -> None:
        """Use the observed cost of one conversion from now on."""
        self.unit = max(self.unit, cost or 0)

    def measure(self, expected: int = 0) -> int | None:
        """Return the conversions counted since the last call, when the count no longer changes.

        :param expected: wait a little longer while fewer are counted.
        :returns: None if nothing is measured.
        """
        if self._latest is None:
            return None
        clock = self.wire.clock
        before, last, began = self._latest, self._read(), clock.monotonic()
        for _ in range(_MOST_READINGS):
            if expected and last is not None and last - before >= expected:
                self.lag, expected = max(self.lag, clock.monotonic() - began), 0
            # Wait as long as the count has needed before: it may not have changed yet.
            clock.sleep(min(max(_STILL, 2 * self.lag), _LONGEST))
            now = self._read()
            if now is not None and now == last and now - before >= expected:
                break
            last = now if now is not None else last
        was_certain, self.is_certain = self.is_certain, last is not None
        if last is None:
            return None
        self._latest = last
        # After a failed reading, the difference includes more than one step.
        return last - before if was_certain else None


def told_debit(debited: int | None) -> str:
    """Describe what `measure` returned."""
    return "ConversionsConsumed " + ("not measured" if debited is None else f"+{debited}")
