"""Run this package's commands as a shell expects it.

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
"""What a shell expects of a command that was ended with Ctrl-C."""


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command and exit with what it returns; no traceback where a person stops it."""
    if isinstance(sys.stdout, TextIOWrapper):  # a name may hold what the terminal does not know
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
