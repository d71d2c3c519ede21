"""What a confined process cannot do."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap


def confined(code: str) -> subprocess.CompletedProcess[str]:
    """Run some code in a process that has confined itself."""
    head = """
    import os, resource, signal, socket, subprocess, sys
    from convertapi_sandbox import isolation
    isolation.confine(os.getppid())
    """
    program = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_no_connection_is_opened() -> None:
    """IPv4 and IPv6 are refused, here and in programs started from here; pipes work."""
    done = confined("""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.socket(family)
        except PermissionError:
            print("refused")
    socket.socketpair()
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    print("PermissionError" in child.stderr)
    """)

    assert "refused\nrefused\nTrue\n" == done.stdout


def test_memory_is_limited() -> None:
    """An allocation beyond the limit raises MemoryError."""
    done = confined("""
    try:
        bytearray(isolation.MEMORY)
    except MemoryError:
        print("refused")
    """)

    assert "refused\n" == done.stdout


def test_step_ends_what_hangs() -> None:
    """A step ends also in C code, which a Python signal handler cannot interrupt."""
    done = confined("""
    isolation.step(1)
    import re
    re.match("(a|aa)+$", "a" * 60 + "!")
    """)

    assert -signal.SIGALRM == done.returncode


def test_step_is_nothing_elsewhere() -> None:
    """A process that is not a worker sets no alarm."""
    program = textwrap.dedent("""
    import signal
    from convertapi_sandbox import isolation
    isolation.step(1)
    print(signal.alarm(0))
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "0\n" == done.stdout


def test_orphan_ends_at_once() -> None:
    """A worker whose server has already ended does not start."""
    program = textwrap.dedent("""
    from convertapi_sandbox import isolation
    isolation.confine(parent=2**22 + 1)
    print("began")
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "" == done.stdout


def test_too_large_a_file_is_an_error() -> None:
    """The process goes on and can report it."""
    done = confined("""
    import tempfile
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(2000))
    except OSError:
        print("refused")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    """)

    assert "refused\n" == done.stdout
