"""A process that is killed leaves nothing visible."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.storage.conftest import DiskStore, S3Store

_PUBLISH_ALL_AT_ONCE = """
import sys, threading
from airflow_provider_convertapi.storage import Destination, Publication

local, s3, sftp = map(Destination.parse, sys.argv[1:])
sys.stdin.readline()

def publish(destination, sizes):
    with Publication(destination, inputs=[], overwrite=True) as publication:
        for number, size in enumerate(sizes):
            with publication.stage(f"{destination.uri}{number}.bin", size) as sink:
                for _ in range(size >> 20):
                    sink.write(bytes(1 << 20))
                if destination is local and number:
                    sink.flush()
                    threading.Event().wait()
        publication.publish()

for job in ((local, [1 << 20, 2 << 20]), (s3, [128 << 20]), (sftp, [48 << 20, 48 << 20])):
    threading.Thread(target=publish, args=job).start()
"""


@pytest.mark.long
def test_killed_process_leaves_nothing_visible(
    local_store: DiskStore, s3_store: S3Store, sftp_store: DiskStore
) -> None:
    """Killed while it stages, uploads in parts, and uploads under a temporary name."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PUBLISH_ALL_AT_ONCE, local_store.uri, s3_store.uri, sftp_store.uri],
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    try:
        deadline = time.monotonic() + 100
        while not (
            s3_store.unfinished_uploads() and sftp_store.names() and len(local_store.names()) == 2
        ):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()

    assert s3_store.names() == []
    for store in (local_store, sftp_store):
        assert [name for name in store.names() if not name.startswith(".")] == []
