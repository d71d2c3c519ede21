"""The canary itself: it must find what is planted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.canary import leaks, secrets_of

if TYPE_CHECKING:
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.hooks.conftest import MakeHook


def test_planted_secrets_are_found(sandbox: Sandbox, make_hook: MakeHook, letter: Path) -> None:
    """Each kind of secret of a real conversion is found where it is planted, and only there."""
    make_hook().convert(letter, "pdf", letter.parent / "o.pdf")
    secrets = secrets_of(sandbox)
    [submit] = sandbox.requests.filter(path="/async/convert/*")
    planted = {
        "a JWT": submit.headers["authorization"],
        "a job id": f"GET /async/job/{submit.query['JobId']}",
        "a file id": sandbox.requests.filter(method="DELETE", path="/d/*")[0].path,
        "the API token": f"token={sandbox.token}",
        "nothing": "Converted letter.txt",
    }

    found = leaks(secrets, planted)

    assert 4 == len(found)
    assert not any("nothing" in line for line in found)
    assert not any(secret in line for line in found for secret in secrets)
