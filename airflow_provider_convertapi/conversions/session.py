"""The session of a task: its clients, the key of its job ids, its try and its log.

This module may change from release to release.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.api.ids import key_check, request_digest
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    QuotaExhaustedError,
    TransportError,
)
from airflow_provider_convertapi.metrics import nowhere

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.clock import Clock
    from airflow_provider_convertapi.connection import ConnectionSettings
    from airflow_provider_convertapi.conversions.task import TaskTry
    from airflow_provider_convertapi.metrics import Count, Decision


@dataclass(slots=True)
class Session:
    """One task's access to ConvertAPI.

    :param conn_id: id of the Airflow connection; errors name it.
    :param read_settings: reads the connection; called once, when it is first needed, because a
        plan needs no connection.
    :param task: the task instance and its try.
    :param settle: seconds that an accepted job may stay invisible at the service.
    :param new_client: returns a client with its own TCP connection; the caller closes it.
    :param stop: makes every wait raise `ConversionInterrupted`.
    :param time_is_up: the exceptions that end a task at any moment, such as at `execution_timeout`.
    :param new_board: makes the board on which a batch shows its progress; None shows nothing.
    :param count_decision: counts how a job was begun, in Airflow's metrics.
    :param count: adds to a metric; any thread may call it.
    :param new_pool: makes the pool of a batch, with a `WorkerPool`'s arguments; None means a pool
        of threads.
    """

    conn_id: str
    read_settings: Callable[[], ConnectionSettings] = field(repr=False)
    task: TaskTry
    settle: float
    clock: Clock
    log: logging.Logger
    new_client: Callable[[], Client] = field(repr=False)
    stop: Callable[[], None] = field(repr=False)
    count: Count = field(default=nowhere, repr=False)
    new_pool: Callable[..., Any] | None = field(default=None, repr=False)
    time_is_up: tuple[type[BaseException], ...] = ()
    new_board: Callable[[], Any] | None = field(default=None, repr=False)
    count_decision: Callable[[Decision], None] = field(default=lambda _: None, repr=False)
    cancels: bool = field(default=False, init=False)
    """Whether its jobs are deleted if the task is stopped or out of time: no try is left that could
    collect them, and `cancel_on_kill` is set."""
    bill: Callable[[], tuple[int, int]] | None = field(default=None, init=False, repr=False)
    """Returns the cost of the conversion or batch so far, and the part that this try paid; None
    until it has begun."""
    _settings: ConnectionSettings | None = field(default=None, init=False, repr=False)
    _client: Client | None = field(default=None, init=False, repr=False)
    _threads: threading.local = field(default_factory=threading.local, init=False, repr=False)

    @property
    def settings(self) -> ConnectionSettings:
        """The connection's settings, read when they are first needed."""
        if self._settings is None:
            self._settings = self.read_settings()
        return self._settings

    @property
    def key(self) -> str:
        """The secret that keys the job ids."""
        return self.settings.id_key

    @property
    def client(self) -> Client:
        """The client of this thread if it has one, else the task's own."""
        # `requests` does not say that threads may share a session.
        own: Client | None = getattr(self._threads, "client", None)
        if own is not None:
            return own
        if self._client is None:
            self._client = self.new_client()
        return self._client

    @contextmanager
    def using(self, client: Client) -> Iterator[None]:
        """Make this thread use the given client inside the block."""
        self._threads.client = client
        try:
            yield
        finally:
            self._threads.client = None

    @property
    def key_check(self) -> str:
        """A digest by which another process can tell whether the key of the job ids is the same."""
        return key_check(self.key)

    def digest_of(self, asked: Mapping[str, Any]) -> str:
        """Return a digest by which another process can tell whether the request is the same."""
        return request_digest(self.key, asked)

    def check_key(self, expected: str, what: str) -> None:
        """Raise `AuthenticationError` if the key was changed since jobs were begun.

        :param what: what was being converted, with its verb.
        """
        if self.key_check == expected:
            return
        raise AuthenticationError(
            f"The token of connection {self.conn_id!r} was changed while {what} being converted, "
            "so what was submitted cannot be found any more. It may have been billed, and nothing "
            "is sent again automatically. Put the token back and clear the task to collect it "
            "without paying; cleared with the new token, it converts and pays again. With extra "
            "job_secret set, a new token loses no running conversion."
        )

    @property
    def what_becomes_of_jobs(self) -> str:
        """Say what becomes of jobs that the task no longer waits for, and what to do."""
        if self.cancels:
            return (
                "A job that was submitted is deleted at ConvertAPI, with its documents "
                "(cancel_on_kill=True), and may be billed. Clear the task to convert and pay again."
            )
        return (
            "A job that was submitted goes on at ConvertAPI; the next try collects it without "
            "paying. The service deletes a result that is not collected within three hours."
        )

    def warn_of_limits(self, *, is_of_batch: bool = False) -> None:
        """Log the limits of durable conversions outside of tasks and on the worldwide host.

        :param is_of_batch: whether the ids name no task, so that any process finds the jobs.
        """
        if not (self.task.is_durable or is_of_batch):
            self.log.warning(
                "Outside of a task a conversion is not durable: if this process dies, its "
                "result is lost."
            )
        if self.settings.is_geo_routed:
            self.log.warning(
                "Connection %r uses the worldwide host, which may answer from another region next "
                "time, where ids are unknown. Set a regional host such as "
                "https://eu-v2.convertapi.com.",
                self.conn_id,
            )

    @contextmanager
    def naming_connection(self, what: str, bill: Callable[[], tuple[int, int]]) -> Iterator[None]:
        """Add the connection and the unfinished work to errors that concern the account.

        :param what: what is being converted, as it may be logged.
        :param bill: returns the cost so far, and the part that this try submitted.
        """
        try:
            yield
        except QuotaExhaustedError as error:
            raise QuotaExhaustedError(
                f"Connection {self.conn_id!r} has no conversions left. "
                f"{_left_undone(what, bill()[0], error)} Buy conversions or "
                f"raise the token's limit at ConvertAPI, then clear this task. ({error})",
                error.paid,
            ) from None
        except AuthenticationError as error:
            raise AuthenticationError(
                f"Connection {self.conn_id!r} is not accepted, so {what} was not finished. A "
                "refused request costs nothing; a job that was submitted before can still be "
                "collected. Check the connection's API token (password) and Kid (login), then "
                f"clear this task. ({error})",
                error.code,
            ) from None
        except TransportError as error:
            raise self.unreachable(error, what, bill()[1]) from None

    def unreachable(self, error: TransportError, what: str, charged: int) -> TransportError:
        """Return the error of a service that does not answer, with its cost and remedy.

        :param charged: conversions that this try has submitted.
        """
        if charged:
            cost = f"{charged} conversion(s) were submitted, and may be billed."
        elif error.sent:
            cost = "It may have been billed (1 conversion)."
        else:
            cost = "Nothing was sent, and nothing was paid now."
        return TransportError(
            f"{what} was not finished: {self.client.base_url}, of connection {self.conn_id!r}, "
            f"gave no answer. {cost} Check the connection's host, and this worker's network and "
            f"proxies. Another try looks for what was submitted before it pays. ({error})",
            error.sent,
        )


def _left_undone(what: str, cost: int, error: QuotaExhaustedError) -> str:
    if error.paid is not False:
        return (
            f"{what} was not finished, and nothing more is sent. A job that was submitted before "
            "may be paid and can still be collected."
        )
    if cost:
        return (
            f"{what} was not finished: the refused step cost nothing, and nothing more is sent. "
            "The steps before it are not paid again while ConvertAPI has their results."
        )
    return f"{what} was not converted; nothing was paid for it and nothing more is sent."
