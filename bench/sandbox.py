"""The sandbox itself: start, first conversion, and 1 GB through it beside `cp` on the same disk.

Limits: starts in 0.5 s, converts its first document within 2 s, carries documents at no less than
half of `cp`'s speed in constant memory.

``python bench/sandbox.py [MEGABYTES]`` (1,024).
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_convertapi.sandbox.settings import API_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 3
CURL = shutil.which("curl") or "curl"
START, FIRST, SHARE_OF_CP, MOST_MEMORY = 0.5, 2.0, 0.5, 64
MEBIBYTE = 1 << 20


def seconds(action: Callable[[], object]) -> float:
    """Return how long it takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a sandbox in a process of its own, on the disk of `folder`; give its URL too."""
    command = [sys.executable, "-m", "airflow_provider_convertapi.sandbox", "--state", str(folder)]
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
    """Return the median MB/s of `cp` and of curl with the sandbox, each in turn."""
    source, target = folder / "large.bin", folder / "copy.bin"
    curl = [CURL, "-sSf"]
    block = os.urandom(MEBIBYTE)
    with source.open("wb") as stream:
        for _ in range(megabytes):
            stream.write(block)
    upload = [*curl, "-H", "Expect:", "-H", "Accept: text/plain"]
    raw = [*upload, "-X", "POST", "-T", str(source), f"{url}/upload?filename=large.bin"]
    form = [*upload, "-F", f"file=@{source}", f"{url}/upload"]
    taken: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, command in (("upload", raw), ("upload as a form", form)):
            began = time.monotonic()
            file_id = subprocess.check_output(command, text=True)
            taken.setdefault(name, []).append(time.monotonic() - began)
            fetch = [*curl, "-o", str(target), f"{url}/d/{file_id}"]
            copy = ["cp", str(source), str(target)]
            for other, action in (("download", fetch), ("cp", copy)):
                run = partial(subprocess.run, action, check=True)
                taken.setdefault(other, []).append(seconds(run))
                target.unlink()
            subprocess.run([*curl, "-X", "DELETE", f"{url}/d/{file_id}"], check=True)
    return {name: megabytes / statistics.median(all_) for name, all_ in taken.items()}


def peak(pid: int) -> int:
    """Return the most MB that a process has held."""
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
    print(f"memory           {memory} MB at most (limit {MOST_MEMORY})")
    good = min(starts) <= START and first <= FIRST and memory <= MOST_MEMORY
    return 0 if good and min(speeds.values()) >= SHARE_OF_CP * copied else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024))
