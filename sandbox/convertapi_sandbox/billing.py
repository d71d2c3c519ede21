"""The account: conversions bought, conversions spent, and whether more are allowed.

A processed conversion is billed whether or not it succeeds (terms of service). It is reserved
before it starts and settled when it ends, so that a quota of N ends at exactly N, however many
start at the same time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convertapi_sandbox.errors import FORBIDDEN, ServiceError

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox.settings import Settings
    from convertapi_sandbox.tokens import ApiToken


@dataclass(frozen=True, slots=True)
class Receipt:
    """A reserved conversion: when, counted in resets, and by which API token; None for others."""

    period: int
    token: ApiToken | None = None


class Account:
    """Conversions bought and consumed; `file` keeps them across restarts, unless it is None."""

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
        """Return the conversions left; below 0 only if overage is billed."""
        return self.total - self.consumed

    @balance.setter
    def balance(self, value: int) -> None:
        self.total = self.consumed + value
        self._save()

    def reset(self) -> None:
        """Restore the initial balance, with nothing consumed."""
        self._period += 1
        self.total, self.consumed, self._reserved = self._initial, 0, 0
        self._save()

    def reserve(self, token: ApiToken | None = None) -> Receipt:
        """Reserve one conversion and return its receipt, or raise the quota refusal."""
        if self.balance - self._reserved < 1 and not self._settings.overage:
            raise quota_refusal(self._settings)
        if token is not None:
            if token.is_exhausted:
                raise quota_refusal(self._settings)
            token.reserved += 1
        self._reserved += 1
        return Receipt(self._period, token)

    def holds(self, receipt: Receipt) -> bool:
        """Tell whether a reservation was made after the last reset."""
        return receipt.period == self._period

    def settle(self, receipt: Receipt, cost: int) -> None:
        """Bill the cost of a reserved conversion; 0 cancels the reservation.

        A conversion that started before a reset changes nothing after it.
        """
        if not self.holds(receipt):
            return
        self._reserved -= 1
        if receipt.token is not None:
            receipt.token.reserved -= 1
            receipt.token.used += cost
        if cost:
            self.bill(cost)

    def bill(self, cost: int) -> None:
        """Add to the consumed conversions."""
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
