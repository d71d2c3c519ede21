"""The whole state of a sandbox; only the thread that serves it may touch it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from convertapi_sandbox.async_jobs import Jobs
from convertapi_sandbox.auth import Credentials
from convertapi_sandbox.billing import Account
from convertapi_sandbox.canned import CannedAnswers
from convertapi_sandbox.faults import Faults
from convertapi_sandbox.journal import MAX_ENTRIES, Journal
from convertapi_sandbox.spool import Scratch
from convertapi_sandbox.store import Ids, Store

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox.pool import Pool
    from convertapi_sandbox.settings import Settings


class State:
    """The account, its credentials, documents, jobs and journal, and the rules in force.

    Args:
        folder: The folder of documents and jobs; the caller deletes it.
        balance: Conversions at the start.
        settings: Switches; `reset` restores a copy of them.
        workers: Worker processes; None for as many as there are processors.
        seed: Makes ids and random faults repeatable; None for random ones.
        persistent: Keep documents, finished jobs and the balance for the next start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        balance: int,
        settings: Settings,
        workers: int | None,
        seed: int | None,
        persistent: bool,
    ) -> None:
        self.settings = settings
        self.origin = ""
        self._defaults = settings.as_dict()
        self._workers = workers
        self._pool: Pool | None = None
        self.scratch = Scratch(folder / "scratch")
        self.ids = Ids(seed)
        self.account = Account(balance, settings, folder / "account.json" if persistent else None)
        self.credentials = Credentials(settings)
        self.store = Store(folder / "files", self.ids, persistent=persistent)
        self.jobs = Jobs(folder / "jobs", self.scratch, settings, persistent=persistent)
        self.journal = Journal()
        self.faults = Faults(seed)
        self.answers = CannedAnswers()
        self.statistics: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)
        self.at_work = 0

    @property
    def pool(self) -> Pool:
        """Return the worker processes, started with the first conversion."""
        if self._pool is None:
            from convertapi_sandbox.pool import Pool  # noqa: PLC0415 - starts faster

            self._pool = Pool(self._workers)
        return self._pool

    def reset(self) -> None:
        """Clear all that was added since the start; restore balance, tokens and switches."""
        self.journal.clear()
        self.faults.clear()
        self.answers.clear()
        self.jobs.clear()
        self.store.clear()
        self.account.reset()
        self.credentials.reset()
        self.statistics.clear()
        for name, value in self._defaults.items():
            setattr(self.settings, name, value)

    async def close(self) -> None:
        """End the workers and their conversions."""
        await self.jobs.close()
        if self._pool is not None:
            await self._pool.close()
