"""What a user does with a sandbox, in the same process or from another one."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from convertapi_sandbox import canned
from convertapi_sandbox.canned import CannedAnswer
from convertapi_sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

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

    @property
    def answers(self) -> list[CannedAnswer]:
        """Return the canned answers in force, with their `hits`."""
        return [CannedAnswer.from_dict(item) for item in self._control("answers")]

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

    # --- canned answers ----------------------------------------------------------------------

    def answer(
        self,
        source: str = canned.ANY,
        target: str = canned.ANY,
        *,
        files: Iterable[canned.File],
        cost: int | None = None,
        name: str = canned.ANY,
        parameters: Mapping[str, Any] | None = None,
        times: int | None = None,
    ) -> None:
        """Answer conversions with these results, whether or not there is an engine for them.

        They are checked, billed and journaled like others; what a Url of theirs leads to is not
        read. Of several answers that match, the newest acts.

        Args:
            source, target: A pair of the catalogue, by any of its names; "*" for any format.
            files: The results: paths, or pairs of name and bytes. A name that begins with "*"
                continues the base name of the first document, as in "*.json"; equal names are
                numbered.
            cost: Conversions that it costs; None for the setting `conversion_cost`.
            name: Pattern, such as "inv*.pdf", for the name of the first document, or for the last
                part of its URL; case does not matter.
            parameters: Values that the request must have; what it leaves out has its default.
            times: Number of conversions that it acts on; None for all.

        Raises:
            ValueError: No converter has this pair or these parameters, or there is no file.
            OSError: A path cannot be read.
        """
        self.add_answer(
            CannedAnswer(
                source=source,
                target=target,
                files=canned.read_all(files),
                cost=cost,
                name=name,
                parameters=parameters or {},
                times=times,
            )
        )

    def add_answer(self, answer: CannedAnswer) -> None:
        """Add an answer that already exists."""
        self._control("answer", **answer.as_dict())

    def load_answers(self, path: str | Path) -> None:
        """Add the answers of a JSON file: a list of objects with the arguments of `answer`."""
        for answer in canned.load(path):
            self.add_answer(answer)

    def clear_answers(self) -> None:
        """Forget every canned answer."""
        self._control("clear_answers")

    # --- jobs, documents, tokens -------------------------------------------------------------

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

    def add_token(self, limit: int | None = None, lifetime: float | None = None) -> dict[str, Any]:
        """Add an API token to the account.

        Args:
            limit: Conversions that it may take, by itself or by its JWTs; None for all.
            lifetime: Seconds until it is refused; None for never.

        Returns:
            Its `token`, `kid`, `limit`, `ends` (Unix seconds) and `used` (conversions).

        Raises:
            ValueError: The limit or the lifetime is not a number.
        """
        token: dict[str, Any] = self._control("add_token", limit=limit, lifetime=lifetime)
        return token

    @property
    def tokens(self) -> list[dict[str, Any]]:
        """Return the API tokens that were added."""
        tokens: list[dict[str, Any]] = self._status("tokens")
        return tokens

    def reset(self) -> None:
        """Clear all that was added since the start; restore balance, tokens and switches."""
        self._control("reset")
