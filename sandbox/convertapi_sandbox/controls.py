"""What a user does with a sandbox, in the same process or from another one."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from convertapi_sandbox.faults import Fault

if TYPE_CHECKING:
    from convertapi_sandbox.journal import Requests


class Controls(ABC):
    """The controls of a sandbox: its address, what it has seen, and how it misbehaves."""

    @abstractmethod
    def _control(self, operation: str, **arguments: Any) -> Any:
        """Run one operation and return its result."""

    @property
    @abstractmethod
    def settings(self) -> Any:
        """Return the switches; assign to them at any time."""

    @property
    @abstractmethod
    def requests(self) -> Requests:
        """Return the journal so far, oldest first."""

    @property
    @abstractmethod
    def faults(self) -> list[Fault]:
        """Return the rules in force, with their `hits`."""

    # --- reaching it -------------------------------------------------------------------------

    def _status(self, name: str) -> Any:
        return self._control("status")[name]

    @property
    def url(self) -> str:
        """Return its origin, such as "http://127.0.0.1:40123"."""
        return str(self._status("url"))

    @property
    def token(self) -> str:
        """Return the API token, which is also the key of self-signed JWTs."""
        return str(self._status("token"))

    @property
    def kid(self) -> str:
        """Return the GUID that a JWT names in its `kid` claim."""
        return str(self._status("kid"))

    @property
    def master_token(self) -> str:
        """Return the token for /user and /user/statistic."""
        return str(self._status("master_token"))

    @property
    def secret(self) -> str:
        """Return the legacy secret."""
        return str(self._status("secret"))

    @property
    def airflow_connection(self) -> dict[str, Any]:
        """Return the fields of an Airflow connection that reaches it."""
        status = self._control("status")
        return {
            "conn_type": "convertapi",
            "login": status["kid"],
            "password": status["token"],
            "host": status["url"],
            "extra": {},
        }

    @property
    def airflow_connection_json(self) -> str:
        """Return the same as JSON, the value of AIRFLOW_CONN_CONVERTAPI_DEFAULT."""
        return json.dumps(self.airflow_connection)

    # --- what it has seen --------------------------------------------------------------------

    @property
    def billed(self) -> int:
        """Return the conversions billed so far; exact even with faults."""
        return int(self._status("billed"))

    @property
    def balance(self) -> int:
        """Return, or set, the conversions left."""
        return int(self._status("balance"))

    @balance.setter
    def balance(self, value: int) -> None:
        self._control("balance", value=value)

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """Return the documents stored now: id to name and size."""
        files: dict[str, dict[str, Any]] = self._status("files")
        return files

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return the jobs known now: id to state ("running", "done", "failed") and polls."""
        jobs: dict[str, dict[str, Any]] = self._status("jobs")
        return jobs

    @property
    def at_work(self) -> int:
        """Return the conversions that are open now, jobs included."""
        return int(self._status("at_work"))

    # --- how it misbehaves -------------------------------------------------------------------

    def fail(self, match: str, **rule: Any) -> None:
        """Add a fault.

        Args:
            match: "METHOD /path", as `Fault.match`.
            rule: The other attributes of `Fault`: status, code, drop, truncate, times, skip, ...

        Raises:
            ValueError: The rule could never have an effect.
        """
        self.add_fault(Fault(match=match, **rule))

    def add_fault(self, fault: Fault) -> None:
        """Add a fault that already exists."""
        self._control("fail", **fault.as_dict())

    def clear_faults(self) -> None:
        """Forget every fault."""
        self._control("clear_faults")

    def jobs_take(self, polls: int) -> None:
        """Let each new job answer 202 to its first polls, even if it is done."""
        self._control("settings", job_polls=polls)

    def job_visible_after(self, seconds: float) -> None:
        """Let each new job be unknown (404) for so many seconds after its start."""
        self._control("settings", job_visible_after=float(seconds))

    def throttle_above(self, conversions: int | None) -> None:
        """Answer 503 while that many conversions are open, including jobs; None for no limit."""
        self._control("settings", throttle_above=conversions)

    def vanish_job(self, job_id: str | None = None) -> None:
        """Forget a job as if it had expired; None for all."""
        self._control("vanish_job", job_id=job_id)

    def expire_files(self, file_id: str | None = None) -> None:
        """Delete a stored document as if it had expired; None for all."""
        self._control("expire_files", file_id=file_id)

    def rotate_token(self) -> str:
        """Revoke the API token, and every JWT signed with it; return the new one."""
        return str(self._control("rotate_token"))

    def reset(self) -> None:
        """Clear journal, faults, documents and jobs; restore balance, tokens and switches."""
        self._control("reset")
