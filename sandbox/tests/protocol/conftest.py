"""A sandbox for the tests, and clients that talk to it over a real socket."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import jwt
import pikepdf
import pytest
import requests

from convertapi_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# One page each, and as small as possible, so that the protocol takes most of the time.
MARKDOWN = b"# Title\n\nA sentence.\n"
JSON_HEADERS = {"Accept": "application/json"}


class Caller(requests.Session):
    """A session bound to a sandbox: it takes paths, and sends the API token by default."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.trust_env = False
        self.origin = sandbox.url
        self.headers["Accept"] = "application/json"
        self.headers["Authorization"] = f"Bearer {sandbox.token}"

    def request(
        self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send to a path of the sandbox, or to a whole URL."""
        url = str(url)
        kwargs.setdefault("timeout", 30)
        return super().request(method, url if "://" in url else self.origin + url, *args, **kwargs)


@pytest.fixture(scope="session")
def _server() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as server:
        yield server


@pytest.fixture
def sandbox(_server: Sandbox) -> Sandbox:
    """Return the session's sandbox, emptied."""
    _server.reset()
    return _server


@pytest.fixture
def caller(sandbox: Sandbox) -> Iterator[Caller]:
    """Return a session that holds the API token."""
    with Caller(sandbox) as session:
        yield session


@pytest.fixture
def zipped(caller: Caller) -> Callable[..., requests.Response]:
    """Return a function for the fastest conversion: one small file into an archive."""

    def convert(path: str = "/convert/file/to/zip", **kwargs: Any) -> requests.Response:
        kwargs.setdefault("files", {"Files[0]": ("notes.txt", b"some notes")})
        return caller.post(path, **kwargs)

    return convert


@pytest.fixture
def poll(caller: Caller) -> Callable[..., requests.Response]:
    """Return a function that polls a job until its answer is not 202."""

    def until_done(job_id: str, **kwargs: Any) -> requests.Response:
        deadline = time.monotonic() + 20
        while (answer := caller.get(f"/async/job/{job_id}", **kwargs)).status_code == 202:
            assert time.monotonic() < deadline, "the job did not end"
            time.sleep(0.01)
        return answer

    return until_done


@pytest.fixture
def signed(sandbox: Sandbox) -> Callable[..., str]:
    """Return a signer of JWTs whose claims a test may change or leave out (None)."""

    def sign(key: str | None = None, algorithm: str = "HS256", **claims: Any) -> str:
        now = int(time.time())
        base = {"kid": sandbox.kid, "iat": now - 60, "nbf": now - 60, "exp": now + 600} | claims
        wanted = {name: value for name, value in base.items() if value is not None}
        return jwt.encode(wanted, sandbox.token if key is None else key, algorithm=algorithm)

    return sign


@pytest.fixture(scope="session")
def two_pages() -> bytes:
    """Return a PDF of two empty pages."""
    document = pikepdf.new()
    for _ in range(2):
        document.add_blank_page(page_size=(100, 100))
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()
