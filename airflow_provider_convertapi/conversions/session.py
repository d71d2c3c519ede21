"""What a task converts with: clients, the key of the job ids, the task's try and its log.

This module may change from release to release.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_convertapi.api.ids import key_check
from airflow_provider_convertapi.errors import AuthenticationError, QuotaExhaustedError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from airflow_provider_convertapi.api.client import Client
    from airflow_provider_convertapi.clock import Clock
    from airflow_provider_convertapi.conversions.task import TaskTry


@dataclass(slots=True)
class Session:
    """One task's way to ConvertAPI.

    :param conn_id: id of the Airflow connection; errors name it.
    :param key: what keys the job ids.
    :param namespace: part of every job id.
    :param is_geo_routed: whether the host is the worldwide one, whose regions may not share ids.
    :param task: the task instance and its try.
    :param settle: seconds that an accepted job may stay invisible at the service.
    :param new_client: returns a client with a TCP connection of its own; its user closes it.
    :param stop: makes everything that waits end with `ConversionInterrupted`.
    """

    conn_id: str
    key: str = field(repr=False)
    namespace: str
    is_geo_routed: bool
    task: TaskTry
    settle: float
    clock: Clock
    log: logging.Logger
    new_client: Callable[[], Client] = field(repr=False)
    stop: Callable[[], None] = field(repr=False)
    _client: Client | None = field(default=None, init=False, repr=False)
    _threads: threading.local = field(default_factory=threading.local, init=False, repr=False)

    @property
    def client(self) -> Client:
        """The client of this thread where it has one, else the task's own."""
        own: Client | None = getattr(self._threads, "client", None)
        if own is not None:
            return own
        if self._client is None:
            self._client = self.new_client()
        return self._client

    @contextmanager
    def using(self, client: Client) -> Iterator[None]:
        """Let everything that this thread does meanwhile use a client of its own."""
        self._threads.client = client
        try:
            yield
        finally:
            self._threads.client = None

    @property
    def key_check(self) -> str:
        """What tells, in another process, whether the key of the job ids is still the same."""
        return key_check(self.key)

    def check_key(self, expected: str, what: str) -> None:
        """Raise `AuthenticationError` when the key was changed since jobs were begun.

        :param what: what was being converted, with its verb.
        """
        if self.key_check == expected:
            return
        raise AuthenticationError(
            f"The token of connection {self.conn_id!r} was changed while {what} being converted, "
            "so what was submitted cannot be found any more. It may have been billed, and nothing "
            "is sent anew by itself. Put the token back and clear the task to collect it without "
            "paying; cleared with the new one, it converts and pays anew. With extra job_secret "
            "set, a new token loses no running conversion."
        )

    def warn_of_limits(self) -> None:
        """Say in the task's log what durable conversions cannot promise here."""
        if not self.task.is_durable:
            self.log.warning(
                "Outside of a task a conversion is not durable: if this process dies, nobody "
                "finds it."
            )
        if self.is_geo_routed:
            self.log.warning(
                "Connection %r uses the worldwide host, which may answer from another region next "
                "time, where ids are unknown. Set a regional host such as "
                "https://eu-v2.convertapi.com.",
                self.conn_id,
            )

    @contextmanager
    def naming_connection(self, what: str) -> Iterator[None]:
        """Let the errors that concern the account name the connection and what is left undone.

        :param what: what is being converted, as it may be logged.
        """
        try:
            yield
        except QuotaExhaustedError as error:
            raise QuotaExhaustedError(
                f"Connection {self.conn_id!r} has no conversions left. {what} was not converted; "
                "nothing was paid for it and nothing more is sent. Buy conversions or raise the "
                f"token's limit at ConvertAPI, then clear this task. ({error})"
            ) from None
        except AuthenticationError as error:
            raise AuthenticationError(
                f"Connection {self.conn_id!r} is not accepted, so {what} was not finished. A "
                "refused request costs nothing; a job that was submitted before stays to be "
                "collected. Check the connection's API token (password) and Kid (login), then "
                f"clear this task. ({error})",
                error.code,
            ) from None
