"""Run one try of a batch that kills itself: EVENT PATTERN, then what `one_try` takes.

EVENT is an audit event of the interpreter, PATTERN is found in its arguments.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def kill_at(event: str, pattern: str) -> None:
    """Kill this process, as `kill -9` does, when it is about to do something."""

    def hook(happens: str, arguments: tuple[object, ...]) -> None:
        if happens == event and re.search(pattern, " ".join(map(str, arguments))):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if __name__ == "__main__":
    from tests.batch.one_try import main

    kill_at(*sys.argv[1:3])
    main(*sys.argv[3:])
