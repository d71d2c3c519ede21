"""The sandbox itself: start, first conversion, and 1 GB compared with `cp` on the same disk.

Limits: starts in 0.5 s, converts its first document within 2 s, transfers documents at half of
`cp`'s speed or more, in constant memory.  The caller is a bare socket.  Two more figures are
printed without a limit: curl, which writes downloads more slowly than that from any server; and a
form, whose end has to be searched for.

``python bench/sandbox.py [MEGABYTES]`` (1,024).
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from convertapi_sandbox.settings import API_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
CURL = shutil.which("curl") or "curl"
START, FIRST, SHARE_OF_CP, MOST_MEMORY = 0.5, 2.0, 0.5, 64
MEBIBYTE = BLOCK = 1 << 20
STORED, SENT = "d" * 32, "u" * 32  # ids of documents
BOUNDARY = "-" * 24 + "d74496d66958873e"  # as curl makes them; the search for a short one is slower
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"; filename="large.bin"\r\n\r\n',
    f"\r\n--{BOUNDARY}--\r\n",
)


def seconds(action: Callable[[], object]) -> float:
    """Return how long it takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a sandbox in its own process, on the disk of `folder`; also return its URL."""
    command = [sys.executable, "-m", "convertapi_sandbox", "--state", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if process.stdout is None:
        raise RuntimeError("no output")
    return process, process.stdout.readline().rpartition(" ")[2].strip()


def first_conversion(url: str) -> None:
    """Convert one small document."""
    import requests

    answer = requests.post(
        f"{url}/convert/md/to/pdf",
        files={"File": ("note.md", b"# A note\n")},
        headers={"Authorization": f"Bearer {API_TOKEN}"},
        timeout=60,
    )
    answer.raise_for_status()


def carry(url: str, folder: Path, megabytes: int) -> dict[str, float]:
    """Return the best MB/s of `cp`, and of every way through the sandbox, each in turn."""
    source, target = folder / "large.bin", folder / "copy.bin"
    block = os.urandom(MEBIBYTE)
    with source.open("wb") as stream:
        for _ in range(megabytes):
            stream.write(block)
    upload(url, source, STORED)
    os.sync()  # otherwise the disk would be busy writing them while we measure
    commands = {
        "cp": ["cp", str(source), str(target)],
        "curl, upload": [
            *(CURL, "-sSf", "-H", "Expect:", "-X", "POST", "-o", str(target)),
            *("-T", str(source), f"{url}/upload?filename=large.bin&fileId={SENT}"),
        ],
        "curl, download": [CURL, "-sSf", "-o", str(target), f"{url}/d/{STORED}"],
    }
    actions: dict[str, Callable[[], object]] = {
        "upload": partial(upload, url, source, SENT),
        "download": partial(download, url, target, STORED),
        "upload as a form": partial(upload, url, source, SENT, FORM),
        **{
            name: partial(subprocess.run, command, check=True) for name, command in commands.items()
        },
    }
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(ROUNDS):
        for name, action in actions.items():
            taken[name].append(seconds(action))
            target.unlink(missing_ok=True)
            ask(url, "DELETE", f"/d/{SENT}", "Connection: close\r\n").recv(BLOCK)
    return {name: megabytes / min(all_) for name, all_ in taken.items()}


def ask(url: str, method: str, path: str, headers: str = "") -> socket.socket:
    """Send the head of a request."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode())
    return connection


def upload(url: str, source: Path, file_id: str, form: tuple[str, str] = ("", "")) -> None:
    """Send a file as it is, or as the only part of a form."""
    size = source.stat().st_size + len("".join(form))
    kind = f"multipart/form-data; boundary={BOUNDARY}" if any(form) else "application/octet-stream"
    headers = f"Content-Type: {kind}\r\nContent-Length: {size}\r\n"
    path = f"/upload?filename=large.bin&fileId={file_id}"
    with ask(url, "POST", path, headers) as connection, source.open("rb") as file:
        connection.sendall(form[0].encode())
        connection.sendfile(file)
        connection.sendall(form[1].encode())
        if connection.recv(BLOCK).split()[1] != b"200":
            raise RuntimeError(path)


def download(url: str, target: Path, file_id: str) -> None:
    """Write a stored document to a file."""
    block = memoryview(bytearray(BLOCK))
    with ask(url, "GET", f"/d/{file_id}") as connection, target.open("wb", buffering=0) as file:
        head, _, body = connection.recv(BLOCK).partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        left = int(length[1] if length else 0) - file.write(body)
        while left > 0:
            size = connection.recv_into(block)
            left -= file.write(block[:size]) if size else left
    if target.stat().st_size != int(length[1] if length else -1):
        raise RuntimeError(head)


def peak(pid: int) -> int:
    """Return the peak memory of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) // 1024 if found else 0


def main(megabytes: int) -> int:
    """Print every figure; the exit status says whether the limits hold."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            process, url = start(folder / "state")
            starts.append(time.monotonic() - began)
            if len(starts) < ROUNDS:
                process.terminate()
                process.wait()
        try:
            first = seconds(lambda: first_conversion(url))
            speeds = carry(url, folder, megabytes)
            memory = peak(process.pid)
        finally:
            process.terminate()
            process.wait()
    print(f"start            {min(starts):.2f} s (limit {START})")
    print(f"first conversion {first:.2f} s (limit {FIRST})")
    copied = speeds.pop("cp")
    for what, speed in speeds.items():
        print(f"{what:16} {speed:5.0f} MB/s, cp {copied:5.0f} MB/s, share {speed / copied:.2f}")
    carried = min(speeds["upload"], speeds["download"])
    print(f"memory           {memory} MB at most (limit {MOST_MEMORY})")
    good = min(starts) <= START and first <= FIRST and memory <= MOST_MEMORY
    return 0 if good and carried >= SHARE_OF_CP * copied else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024))
