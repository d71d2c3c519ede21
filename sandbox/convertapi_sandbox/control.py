"""Controlling and inspecting a sandbox, from its own process or from another one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from convertapi_sandbox.answers import json_answer
from convertapi_sandbox.canned import CannedAnswer
from convertapi_sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from convertapi_sandbox.answers import Answer
    from convertapi_sandbox.state import State


_READING = frozenset({"answers", "faults", "journal", "settings", "status"})


class Control:
    """Operations on a state, by name; arguments and results are JSON values."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._operations: Mapping[str, Callable[..., Any]] = {
            "status": self._status,
            "journal": lambda: [entry.as_dict() for entry in state.journal.entries()],
            "reset": state.reset,
            "settings": self._settings,
            "balance": self._balance,
            "fail": self._fail,
            "faults": lambda: [fault.as_dict() for fault in state.faults.rules],
            "clear_faults": state.faults.clear,
            "answer": self._answer,
            "answers": lambda: [answer.as_dict() for answer in state.answers],
            "clear_answers": state.answers.clear,
            "expire_files": self._expire_files,
            "vanish_job": self._vanish_job,
            "rotate_token": state.credentials.rotate,
            "add_token": state.credentials.add,
        }

    def perform(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """Run one operation; LookupError if there is none of that name."""
        if operation not in self._operations:
            msg = f"no such operation: {operation!r}; known: {', '.join(self._operations)}"
            raise LookupError(msg)
        return self._operations[operation](**arguments)

    def _status(self) -> dict[str, Any]:
        state, credentials = self._state, self._state.credentials
        return {
            "url": state.origin,
            "token": credentials.token,
            "kid": credentials.kid,
            "master_token": credentials.master_token,
            "secret": credentials.secret,
            "tokens": [token.as_dict() for token in credentials.added],
            "billed": state.account.consumed,
            "balance": state.account.balance,
            "at_work": state.at_work + state.jobs.running,
            "files": {item.id: {"name": item.name, "size": item.size} for item in state.store},
            "jobs": {job.id: {"state": job.state, "polls": job.polls} for job in state.jobs},
        }

    def _settings(self, **values: Any) -> dict[str, Any]:
        for name, value in values.items():
            setattr(self._state.settings, name, value)
        return self._state.settings.as_dict()

    def _balance(self, value: int) -> None:
        self._state.account.balance = value

    def _fail(self, **rule: Any) -> None:
        self._state.faults.add(Fault.from_dict(rule))

    def _answer(self, **answer: Any) -> None:
        self._state.answers.append(CannedAnswer.from_dict(answer))

    def _expire_files(self, file_id: str | None = None) -> None:
        if file_id is None:
            self._state.store.clear()
        else:
            self._state.store.delete(file_id)

    def _vanish_job(self, job_id: str | None = None) -> None:
        if job_id is None:
            self._state.jobs.clear()
        else:
            self._state.jobs.forget(job_id)

    # --- from another process ----------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Return the route that offers the operations over HTTP."""
        return [Route("/_sandbox/{operation}", self._serve, methods=["GET", "POST"])]

    async def _serve(self, request: Request) -> Answer:
        operation = request.path_params["operation"]
        # A web page can make a browser send other content types without asking the user.
        kind = request.headers.get("content-type", "").partition(";")[0]
        if request.method == "GET" and operation not in _READING:
            return json_answer({"error": f"{operation} is a POST"}, 405)
        if request.method == "POST" and kind != "application/json":
            return json_answer({"error": "POST application/json"}, 415)
        body = await request.body() if request.method == "POST" else b""
        try:
            arguments = json.loads(body) if body else {}
            result = self.perform(operation, arguments)
        except LookupError as error:
            return json_answer({"error": str(error.args[0])}, 404)
        except (ValueError, TypeError, AttributeError) as error:
            return json_answer({"error": f"{type(error).__name__}: {error}"}, 400)
        return json_answer(result)
