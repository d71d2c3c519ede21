"""The first part of question 10: whether ids hold on ConvertAPI's other hosts.

No credential is sent to them, because an id alone gives access.

This module may change from release to release.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from airflow_provider_convertapi.live.documents import texts
from airflow_provider_convertapi.live.wire import is_ok, told

if TYPE_CHECKING:
    from airflow_provider_convertapi.live.check import Check
    from airflow_provider_convertapi.live.jobs import Job

_Q = 10
DOCUMENTS, JOBS = "documents on other hosts", "jobs on other hosts"
_ELSEWHERE = "the connection's host is none of ConvertAPI's"


def _others(check: Check) -> list[str]:
    own, known = check.settings.base_url, check.hosts
    return [other for other in known if other != own] if own in known else []


def ask(check: Check) -> None:
    """Store a document, and look it up on every host; this is free."""
    others = _others(check)
    if not others:
        for name in (DOCUMENTS, JOBS):
            check.skip(_Q, name, _ELSEWHERE)
        return
    check.say("Asking ConvertAPI's other hosts for a document (free) …")
    file_id = secrets.token_hex(16)
    stored = check.jobs.store(file_id, texts()[0])
    if not is_ok(stored):
        check.unclear(_Q, DOCUMENTS, "the document was not stored", told(stored))
    else:
        _say(check, DOCUMENTS, "HEAD", f"/d/{file_id}")
    check.jobs.remove(file_id)


def ask_for_job(check: Check, job: Job) -> None:
    """Look up a finished job on every host; this is free."""
    if _others(check):
        _say(check, JOBS, "GET", f"/async/job/{job.id}")


def _say(check: Check, name: str, method: str, path: str) -> None:
    seen = {host: check.wire.elsewhere(method, f"{host}{path}") for host in _others(check)}
    evidence = ", ".join(f"{host}: {status or 'no answer'}" for host, status in seen.items())
    found = [host for host, status in seen.items() if status == 200]
    if set(seen.values()) - {200, 404}:
        check.unclear(_Q, name, "some hosts answered neither 200 nor 404", evidence)
    elif not found:
        meaning = "Set a regional host in the connection: another region does not know an id."
        check.know(_Q, name, "are unknown there", evidence, meaning)
    elif len(found) == len(seen):
        meaning = "The worldwide host is as good as a regional one."
        check.know(_Q, name, "are known on all of them", evidence, meaning)
    else:
        meaning = "Set a regional host in the connection: some regions do not know an id."
        check.know(_Q, name, "are known on some of them", evidence, meaning)
