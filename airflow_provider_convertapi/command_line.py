"""Run this package's commands with the exit codes that a shell expects.

This module may change from release to release.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERRUPTED = 130
"""The exit code that a shell expects of a command that was ended with Ctrl-C."""


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its result; Ctrl-C shows no traceback."""
    if isinstance(sys.stdout, TextIOWrapper):  # the terminal may not know a name's characters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has enough.  Python flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.exit(code)
