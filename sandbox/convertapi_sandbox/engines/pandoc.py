"""pandoc, the program: reads a document into a syntax tree, and writes one as a document.

Always with `--sandbox` (no network, no file but the named one), an explicit format, a separate
limit on memory, and without the user's data directory.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pypandoc

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Tree = dict[str, Any]

_HEAP_EXHAUSTED = 251  # exit status of the Haskell run time
_LONGEST_MESSAGE = 300
_PATH = re.compile(r"\"?/[^\s\"]*\"?")


def read(document: Path, reader: str, folder: Path) -> Tree:
    """Return a document's syntax tree; its pictures are written to `folder`/media.

    Raises:
        EngineError: 5002 if pandoc cannot read it.
    """
    command = ["-f", reader, "-t", "json", "--extract-media=media", str(document.resolve())]
    output = _run(command, folder, b"")
    tree: Tree = json.loads(output)
    return tree


def write(tree: Tree, writer: str, folder: Path, options: Sequence[str] = ()) -> bytes:
    """Return a syntax tree as a document; pictures must be data URIs in it."""
    command = ["-f", "json", "-t", writer, "--wrap=none", *options, "-o", "-"]
    return _run(command, folder, json.dumps(tree).encode())


def _run(arguments: Sequence[str], folder: Path, text: bytes) -> bytes:
    command = [pypandoc.get_pandoc_path(), "--sandbox", f"--data-dir={folder}", *arguments]
    done = subprocess.run(  # noqa: S603 - no shell; the arguments are ours, the document is a file
        command,
        input=text,
        capture_output=True,
        cwd=folder,
        check=False,
        preexec_fn=_confine,  # a worker has one thread
    )
    if done.returncode == 0:
        return done.stdout
    if done.returncode == _HEAP_EXHAUSTED:
        raise verdicts.too_much_memory()
    if done.returncode < 0:
        raise verdicts.crashed()
    message = done.stderr.decode("utf-8", "replace").strip()
    # Messages must not reveal the folders of this machine.
    raise verdicts.damaged(_PATH.sub("the document", message)[-_LONGEST_MESSAGE:])


def _confine() -> None:
    isolation.die_with_parent()
    isolation.limit_memory(isolation.CHILD_MEMORY)
