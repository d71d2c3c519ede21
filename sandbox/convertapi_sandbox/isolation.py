"""The limits of a worker: it cannot outlive the server, open connections, or use too much."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys

MEMORY = 2 << 30  # bytes of address space of a worker
CHILD_MEMORY = 1 << 30  # the same for a program that it runs
FILE_SIZE = 4 << 30  # bytes of the largest file that it may write
STEP_SECONDS = 8  # wall clock of a conversion, without its pages, frames and files

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 1, 38, 22, 2
_EACCES, _AF_UNIX = 13, 1
# Audit architecture, and number of socket(2); io_uring_setup(2), which opens sockets too, is 425.
_ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP = 425


_confined = False


def confine(parent: int) -> None:
    """Confine this process for good; its children inherit the limits.

    Args:
        parent: Process id of the server. If it has already ended, this process ends.
    """
    global _confined  # noqa: PLW0603 - a property of the process
    _confined = True
    die_with_parent()
    if os.getppid() != parent:
        sys.exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(MEMORY)
    _lower(resource.RLIMIT_FSIZE, FILE_SIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file too large is an OSError then
    forbid_network()


def step(seconds: int = STEP_SECONDS) -> None:
    """Start a step: the kernel ends the worker if it is still in it after so many seconds.

    A conversion is one step, but each page, frame and file starts a new one: so a long document has
    enough time, and a bomb does not.

    An alarm also ends C code, which a Python signal handler cannot; 0 cancels it. Outside of a
    confined worker this does nothing.
    """
    if _confined:
        signal.alarm(seconds)


def limit_memory(size: int) -> None:
    """Limit the address space of this process to `size` bytes."""
    _lower(resource.RLIMIT_AS, size)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (limit, limit))


def die_with_parent() -> None:
    """Make the kernel end this process when its parent ends, for whatever reason (Linux only)."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def forbid_network() -> bool:
    """Refuse all but local sockets from now on; return whether this system can.

    References from a document to a host are removed long before. This is the second line of
    defence against a mistake in our code or in a library. Linux on x86-64 and ARM64 only.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    program = b"".join(_filter(*known))
    buffer = ctypes.create_string_buffer(program)
    description = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    libc = _libc()
    done: bool = (
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        and libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, description, 0, 0) == 0
    )
    return done


def _filter(architecture: int, socket: int) -> list[bytes]:
    """Return the seccomp program: BPF over struct seccomp_data, see seccomp(2)."""
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | _EACCES

    def op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, value)

    return [
        op(load, 4),  # the architecture
        op(equal, architecture, 0, 6),  # a foreign one (32 bit): refuse
        op(load, 0),  # the system call
        op(at_least, 0x40000000, 4, 0),  # x32, a second set of numbers: refuse
        op(equal, _IO_URING_SETUP, 3, 0),
        op(equal, socket, 0, 3),  # anything but socket(2): allow
        op(load, 16),  # its first argument, the address family
        op(equal, _AF_UNIX, 1, 0),
        op(give, refuse),
        op(give, allow),
    ]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
