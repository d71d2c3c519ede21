"""The account: what was bought, what is spent, and who may still spend.

A processed conversion is billed whether or not it succeeds (terms of service); a place is
reserved before the work and settled after it, so that a quota of N ends at exactly N, however many
come at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from convertapi_sandbox.errors import FORBIDDEN, ServiceError

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox.settings import Settings


class Account:
    """Conversions bought and consumed; `file` keeps them over a restart, None forgets them."""

    def __init__(self, balance: int, settings: Settings, file: Path | None) -> None:
        self._initial = balance
        self._settings = settings
        self._file = file
        self._reserved = 0
        self._period = 0
        self.total, self.consumed = balance, 0
        if file is not None and file.exists():
            kept = json.loads(file.read_text("utf-8"))
            self.total, self.consumed = kept["total"], kept["consumed"]

    @property
    def balance(self) -> int:
        """Return the conversions left; below 0 only where overage is billed."""
        return self.total - self.consumed

    @balance.setter
    def balance(self, value: int) -> None:
        self.total = self.consumed + value
        self._save()

    def reset(self) -> None:
        """Go back to the balance of the start, with nothing consumed."""
        self._period += 1
        self.total, self.consumed, self._reserved = self._initial, 0, 0
        self._save()

    def reserve(self) -> int:
        """Set one conversion aside and return its receipt, or raise the quota refusal."""
        if self.balance - self._reserved < 1 and not self._settings.overage:
            raise quota_refusal(self._settings)
        self._reserved += 1
        return self._period

    def holds(self, receipt: int) -> bool:
        """Tell whether a reservation is of this side of the last reset."""
        return receipt == self._period

    def settle(self, receipt: int, cost: int) -> None:
        """Bill what a reserved conversion came to; 0 gives the place back.

        Work that was begun before a reset changes nothing after it.
        """
        if not self.holds(receipt):
            return
        self._reserved -= 1
        if cost:
            self.bill(cost)

    def bill(self, cost: int) -> None:
        """Add to what is consumed."""
        self.consumed += cost
        self._save()

    def _save(self) -> None:
        if self._file is None:
            return
        part = self._file.with_suffix(".tmp")
        part.write_text(json.dumps({"total": self.total, "consumed": self.consumed}), "utf-8")
        part.replace(self._file)


def quota_refusal(settings: Settings) -> ServiceError:
    """Return the 403 of the authentication page, or the 401/4014 of the response code page."""
    code = settings.quota_code if settings.quota_status == FORBIDDEN else 4014
    return ServiceError(settings.quota_status, code, "No conversions remaining on this account.")
