"""The canary: no secret that the sandbox saw or issued appears where people can read it.

And no token is sent where another kind belongs: after every test of the provider the journal of
each sandbox that it used is read for that, from its start and over resets.

After every test that converts through Airflow's side of the package (hooks, operators, triggers,
sensors, batches, example DAGs), its captured output and logs and the metadata database are
searched for the API token, the master token, every JWT, every job id and every file id.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convertapi_sandbox import Sandbox
    from convertapi_sandbox.journal import Entry

OF_THE_SANDBOX = Path(__file__).parent.parent / "sandbox"
"""Tests that send any token anywhere."""

WATCHED = ("hooks", "operators", "deferral", "parity", "batch", "e2e")
"""Folders of tests that must not leak secrets; the others test the code that creates them."""

JWT_DOTS = 2
ADDED = "sandbox-token-"
"""How API tokens begin that a sandbox makes."""
_ID = re.compile(r"/(?:d|job)/([a-z0-9]{32})")


def secrets_of(sandbox: Sandbox) -> set[str]:
    """Return the secrets: tokens and ids in requests."""
    found = {sandbox.token, sandbox.master_token, *sandbox.files, *sandbox.jobs}
    for entry in sandbox.requests:
        found.add(entry.headers.get("authorization", "").removeprefix("Bearer "))
        found.update(_ID.findall(entry.path))
        found.update(v for k, v in entry.query.items() if k.lower() in {"jobid", "fileid"})
    return {secret for secret in found if len(secret) >= 16}


def leaks(secrets: Iterable[str], texts: dict[str, str]) -> list[str]:
    """Say where a secret was found, without showing it."""
    return [
        f"{secret[:4]}… ({len(secret)} characters) is in {name}"
        for name, text in texts.items()
        for secret in secrets
        if secret in text
    ]


def crossed(requests: Iterable[Entry], master_token: str, api_token: str) -> list[str]:
    """Say which requests carried a token that does not belong there, without showing it.

    The master token opens ``/user`` and what is below it, and nothing else; no API token and no JWT
    is sent there.
    """
    found = []
    for entry in requests:
        sent = [entry.headers.get("authorization", "").partition(" ")[2], *entry.query.values()]
        if entry.path == "/user" or entry.path.startswith("/user/"):
            wrong = any(
                value == api_token or value.startswith(ADDED) or value.count(".") == JWT_DOTS
                for value in sent
            )
        else:
            wrong = master_token in sent
        if wrong:
            found.append(f"{entry.method} {entry.path} carried a token of another kind")
    return found


def _crossed_in(item: pytest.Item) -> list[str]:
    """Return what went wrong at the sandboxes that a test of the provider used."""
    if "convertapi_sandbox" not in sys.modules or item.path.is_relative_to(OF_THE_SANDBOX):
        return []
    from convertapi_sandbox import Sandbox

    used = [v for v in getattr(item, "funcargs", {}).values() if isinstance(v, Sandbox)]
    return [line for each in used for line in crossed(each.history, each.master_token, each.token)]


def _database_text() -> str:
    """Return the metadata database, with its write-ahead log, as one text."""
    home = Path(os.environ["AIRFLOW_HOME"])
    files = [*home.glob("airflow.db*"), *home.glob("logs/**/*.log")]
    return "\n".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Fail a test whose output, logs or database hold a secret, or that sent one astray."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    folder = Path(item.path).parts
    if call.when != "call" or not report.passed:
        return report  # type: ignore[return-value]
    if wrong := _crossed_in(item):
        report.outcome = "failed"
        report.longrepr = "The canary found tokens astray:\n" + "\n".join(wrong)
        return report  # type: ignore[return-value]
    if not set(WATCHED) & set(folder):
        return report  # type: ignore[return-value]
    sandbox = getattr(item, "funcargs", {}).get("convertapi_sandbox")
    if sandbox is None:
        return report  # type: ignore[return-value]
    texts = dict(report.sections)
    if "airflow_db" in item.fixturenames:  # type: ignore[attr-defined]
        texts["the metadata database or a log file"] = _database_text()
    if found := leaks(secrets_of(sandbox), texts):
        report.outcome = "failed"
        report.longrepr = "The canary found secrets:\n" + "\n".join(found)
    return report  # type: ignore[return-value]
