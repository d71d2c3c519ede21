"""The canary itself: it must find what is planted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from convertapi_sandbox.journal import Entry
from tests.canary import crossed, leaks, secrets_of

if TYPE_CHECKING:
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


JWT = "eyJh.eyJi.c2ln"
ASTRAY = [
    ("GET", "/user", "api-token"),
    ("GET", "/user/statistic", JWT),
    ("POST", "/convert/docx/to/pdf", "master"),
    ("POST", "/token/jwt", "master"),
    ("GET", "/users", "master"),
    ("DELETE", "/d/abc", "master"),
]
IN_PLACE = [
    ("GET", "/user", "master"),
    ("GET", "/user/statistic", "master"),
    ("GET", "/user", "an-outdated-master"),
    ("POST", "/token/jwt", "api-token"),
    ("POST", "/async/convert/docx/to/pdf", JWT),
    ("GET", "/d/abc", JWT),
]


@pytest.mark.parametrize(
    ("method", "path", "token", "count"),
    [*((*case, 1) for case in ASTRAY), *((*case, 0) for case in IN_PLACE)],
)
@pytest.mark.parametrize("in_query", [False, True])
def test_tokens_astray_are_found(
    method: str, path: str, token: str, count: int, in_query: bool
) -> None:
    """The master token anywhere but below `/user`, and any other one there, however it is sent."""
    query, headers = {"auth": token}, {"authorization": f"Bearer {token}"}
    entry = Entry(method, path, query if in_query else {}, {} if in_query else headers)

    found = crossed([entry], "master", "api-token")

    assert count == len(found)
    assert not any(token in line for line in found)


WRONG_TEST = """
import requests

def test_sends_a_token_astray(convertapi_sandbox):
    token = {"Authorization": f"Bearer {convertapi_sandbox.KIND}"}
    requests.get(f"{convertapi_sandbox.url}PATH", headers=token, timeout=10)
    if RESETS:
        convertapi_sandbox.reset()
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "path", "resets", "failed"),
    [
        ("token", "/user", False, 1),
        ("token", "/user", True, 1),
        ("add_token()['token']", "/user", True, 1),
        ("master_token", "/user", True, 0),
    ],
)
def test_run_in_which_a_token_goes_astray_fails(
    tmp_path: Path, kind: str, path: str, resets: bool, failed: int
) -> None:
    """A test that passes by itself fails for what its sandbox has seen, also before a reset."""
    file = tmp_path / "test_astray.py"
    code = WRONG_TEST.replace("KIND", kind).replace("PATH", path)
    file.write_text(code.replace("RESETS", str(resets)), "utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.canary", str(file)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert failed == done.returncode, done.stdout + done.stderr
    assert bool(failed) == ("The canary found tokens astray:" in done.stdout)
