"""Follow pages of the documentation in an empty environment, by their own commands.

``python -m dev.follow_pages`` follows all; names of pages, such as ``tutorial``, choose.  A page is
followed as a person would: its blocks for the shell run in order in one shell, in an empty folder,
and a block that begins with the name of a file, such as ``# dags/first.py``, is written there.

What cannot be had without a network of its own is replaced, and printed at the start: the clone is
made of this repository's last commit, Airflow's constraints are the copies in
constraints/official, and the port is a free one.  A block that only a cloud or a registry could
run has `<!-- not run: reason -->` above it, and is named in the output.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.docs.blocks import SHELL, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.docs.blocks import Block

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "pages"
OFFICIAL = ROOT / "constraints" / "official"
PORT = "8765"
LIMIT = 600.0
"""Seconds after which a journey has failed; each takes about a minute."""

JOURNEYS = (
    ("tutorial",),
    # The pages after the first begin where the provider is installed.
    ("install", "secrets-backends", "connection", "troubleshooting"),
)
"""Which pages are followed, each journey in an empty folder of its own."""

_URL = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Source"]
_CONSTRAINTS = re.compile(
    r"https://raw\.githubusercontent\.com/apache/airflow/constraints-([^/\s\"]+)/"
    r"constraints-([^/\s\"]+)\.txt"
)
_FILE = re.compile(r"# ([\w./-]+\.\w+)\n")

SERVE = """\
( {code}) > "{log}" 2>&1 &
until [ -s "{log}" ]; do kill -0 $!; sleep 0.1; done
cat "{log}"
"""


def adapted(text: str, port: int) -> str:
    """Return a block with what has to be replaced here."""
    text = _CONSTRAINTS.sub(rf"{OFFICIAL}/airflow-\1-py\2.txt", text)
    return text.replace(PORT, str(port))


def steps(block: Block, port: int) -> Iterator[str]:
    """Yield what a block adds to the script."""
    place = f"{block.page.relative_to(ROOT)}:{block.line}"
    code = adapted(block.code, port)
    file = _FILE.match(block.code)
    if block.excuse and block.language != "python":  # tests/docs runs those
        yield f"echo '== {place} is not run: {block.excuse.replace(chr(39), '')}'"
    elif block.language in SHELL:
        yield f'echo "== {place}, after $SECONDS s"'
        log = f"{block.page.stem}-{block.line}.log"
        yield SERVE.format(code=code, log=log) if block.serves else code
    elif file:
        yield f"echo '== {place} is written to {file[1]}'"
        yield f"mkdir -p \"$(dirname {file[1]})\"\ncat > {file[1]} <<'END OF THE BLOCK'"
        yield f"{code}END OF THE BLOCK"


def environment() -> dict[str, str]:
    """Return an environment without this project's own, and with its last commit as the origin."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PYTHON", "CONVERTAPI", "VIRTUAL_ENV", "MAKE"))
    }
    own = Path(sys.prefix) / "bin"
    path = [entry for entry in kept["PATH"].split(os.pathsep) if Path(entry) != own]
    return kept | {
        "PATH": os.pathsep.join(path),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": _URL,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COMPILE": "1",  # most modules are never imported here
        "PIP_QUIET": "1",
    }


def free_port() -> int:
    """Return a port of loopback that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def follow(pages: tuple[str, ...]) -> bool:
    """Follow pages in one empty folder; tell whether every command succeeded.

    What the commands print goes to a file beside the folder.
    """
    folder = BUILD / pages[0]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_port()
    script = ["set -euo pipefail"]
    for page in pages:
        for block in blocks(ROOT / "docs" / f"{page}.md"):
            script += steps(block, port)
    log = BUILD / f"{pages[0]}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["/bin/bash", "-c", "\n".join(script)],
            cwd=folder,
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return process.wait(LIMIT) == 0
    except subprocess.TimeoutExpired:
        print(f"not done after {LIMIT:g} s")
        return False
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the servers that the pages started
        process.wait()


def report(pages: tuple[str, ...]) -> bool:
    """Follow pages, and print what was done; after a failure, everything."""
    begin = time.monotonic()
    good = follow(pages)
    lines = (BUILD / f"{pages[0]}.log").read_text("utf-8", "replace").splitlines()
    shown = [line for line in lines if not good or line.startswith("== ")]
    words = "followed" if good else "failed"
    shown.append(f"{', '.join(pages)}: {words}, {time.monotonic() - begin:.0f} s")
    print("\n".join(shown), flush=True)
    if good:
        shutil.rmtree(BUILD / pages[0])
    return good


def main() -> int:
    """Follow the pages, and return the exit status."""
    names = set(sys.argv[1:])
    print(f"A clone is made of {ROOT}, constraints are those of {OFFICIAL},")
    print(f"and a free port stands for {PORT}.", flush=True)
    chosen = [pages for pages in JOURNEYS if not names or names & set(pages)]
    # They wait for the package index for much of their time, so all go at once.
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(report, chosen))
    passed = sum(results)
    # The line that .ci/run shows for every suite.
    print(f"= {passed} passed, {len(results) - passed} failed {'='}")
    return 0 if chosen and passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
