"""Documents of any size pass through in constant memory."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 128 << 20
NAMED = {"Content-Disposition": "attachment; filename=large.txt", "Accept": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, str]]:
    """Serve in a separate process, so that its memory can be measured."""
    command = [sys.executable, "-m", "convertapi_sandbox", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().rpartition(" ")[2].strip()
        process.terminate()


def peak(pid: int) -> int:
    """Return the peak memory of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) << 10


def blocks(before: bytes = b"", after: bytes = b"") -> Iterator[bytes]:
    """Yield a body that holds a document of SIZE bytes."""
    yield before
    block = b"x" * (1 << 20)
    for _ in range(SIZE >> 20):
        yield block
    yield after


@pytest.mark.parametrize("form", ["raw", "multipart"])
def test_upload_and_download(server: tuple[int, str], form: str) -> None:
    """128 MiB in and out raise the peak by a fraction of that."""
    pid, url = server
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="large.txt"\r\n\r\n'
    requests.post(url + "/upload", b"warm", headers=NAMED, timeout=30)
    before = peak(pid)

    if form == "raw":
        answer = requests.post(url + "/upload", blocks(), headers=NAMED, timeout=60)
    else:
        headers = {"Content-Type": "multipart/form-data; boundary=b", "Accept": "application/json"}
        body = blocks(head, b"\r\n--b--\r\n")
        answer = requests.post(url + "/upload", body, headers=headers, timeout=60)
    told = answer.json()
    with requests.get(told["Url"], stream=True, timeout=60) as download:
        received = sum(len(chunk) for chunk in download.iter_content(1 << 20))
    requests.delete(told["Url"], timeout=30)

    assert (SIZE, SIZE) == (told["FileSize"], received)
    assert peak(pid) - before < 24 << 20


def test_result_in_json(server: tuple[int, str]) -> None:
    """A result of that size in base64 is streamed too."""
    pid, url = server
    headers = {"Authorization": "Bearer sandbox-token-0123456789abcdef0123456789"}
    told = requests.post(url + "/upload", blocks(), headers=NAMED, timeout=60).json()
    before = peak(pid)

    with requests.post(
        url + "/convert/file/to/zip",
        data={"Files[0]": told["FileId"], "CompressionLevel": "NoCompression"},
        headers=headers | {"Accept": "application/json"},
        stream=True,
        timeout=60,
    ) as answer:
        received = sum(len(chunk) for chunk in answer.iter_content(1 << 20))

    assert 200 == answer.status_code
    assert SIZE * 4 // 3 < received
    assert peak(pid) - before < 24 << 20
