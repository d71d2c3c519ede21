"""Compare the account's balance with a plan.

This module may change from release to release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.account import Account, refused_master_token
from airflow_provider_convertapi.api.endpoints import get_user
from airflow_provider_convertapi.conversions.origins import format_of, source_format
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConvertApiError,
    QuotaExhaustedError,
)

if TYPE_CHECKING:
    from airflow_provider_convertapi.batch.plan import Plan
    from airflow_provider_convertapi.batch.request import BatchRequest
    from airflow_provider_convertapi.conversions.session import Session

_PATIENCE = 60.0
"""Seconds for which a batch that needs the balance retries while the service is busy."""


def read_account(session: Session, *, is_needed: bool) -> Account | None:
    """Read the account with the master token; None, with a line in the log, if that is impossible.

    :param is_needed: True raises the error of a balance that cannot be read, because the batch
        depends on it; a connection without a master token is not an error.
    """
    if not session.settings.master_token:
        if is_needed:
            session.log.warning(
                "on_insufficient has no effect: extra master_token of connection %r is empty, and "
                "ConvertAPI tells the balance to no other token.",
                session.conn_id,
            )
        return None
    try:
        return _ask(session, is_needed=is_needed)
    except ConvertApiError as error:
        if error.job_goes_on:  # the task was told to stop
            raise
        if isinstance(error, AuthenticationError):
            error = refused_master_token(session.conn_id, error)
        if is_needed:
            said = f"{error} on_insufficient needs the balance, so nothing was sent or paid."
            raise error.saying(said) from None
        session.log.warning("The balance is not known, and the batch goes on. %s", error)
        return None


def _ask(session: Session, *, is_needed: bool) -> Account:
    client = session.client
    if not is_needed:
        user = client.send(get_user())  # only once: a mere log line is not worth a wait
        return Account.read(user)
    user = client.call(get_user(), until=client.monotonic() + _PATIENCE)
    return Account.read(user)


def needed(plan: Plan, request: BatchRequest) -> int:
    """Return the plan's cost if each file costs as much as the most expensive one of its format."""
    each, highest = plan.request_digest.least_cost, plan.highest
    if max(highest.values(), default=0) <= each:
        return plan.least_cost
    total = 0
    for item in plan.items:
        origin = source_format(request.from_format, [format_of(item.uri)], request.to_format)
        total += max(max(each, highest.get(origin, 0)) - item.prepaid, 0)
    return total


def covers(balance: int, cost: int) -> bool:
    """Tell whether a balance, which may be below 0, suffices; a cost of 0 is always covered."""
    return cost <= max(balance, 0)


def about(account: Account | None, cost: int) -> str:
    """Return the plan's sentence about the balance; empty if it is not known.

    :param cost: conversions that the plan takes.
    """
    if account is None or account.remaining is None:
        return ""
    said = f" Balance: {account.remaining} conversion(s)"
    if account.active is False:
        return f"{said}, but the account is not active, and an inactive account cannot convert."
    if covers(account.remaining, cost):
        return f"{said}."
    return f"{said}, too few: {beyond(account.remaining)}."


def beyond(remaining: int) -> str:
    """Say what happens beyond a balance: a plan stops there, or goes on and bills.

    Only a balance below 0 shows which it is; ConvertAPI does not report it.
    """
    if remaining < 0:
        return "below 0 means that the plan bills what goes beyond its size"
    return (
        "beyond the balance a trial plan or a limited token stops (HTTP 403, which costs nothing), "
        "and a paid plan goes on and bills"
    )


def insufficient(session: Session, remaining: int, files: int, cost: int) -> QuotaExhaustedError:
    """Return the error of a balance that does not cover a plan.

    :param remaining: the balance.
    :param files: number of files to convert, for `cost` conversions.
    """
    return QuotaExhaustedError(
        f"Connection {session.conn_id!r} has a balance of {remaining} conversion(s), and {files} "
        f"file(s) are to be converted, counted at {cost}. Nothing was sent or paid. Of such a "
        f"balance: {beyond(remaining)}. Buy conversions, then clear this task; or convert what "
        "the balance covers with on_insufficient='partial'; or leave on_insufficient out where "
        "the plan may bill more.",
        paid=False,
    )
