"""Measure what publishing and reading one large file costs in memory, on each kind of store.

    python bench/storage_memory.py [MIB_LOCAL] [MIB_S3] [MIB_SFTP]

Servers and measured code run in separate processes.  "Above idle" is the highest resident
size of the working process minus the one it had once imports and connections were done (Linux).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_MIB = 1 << 20

_SERVE_S3 = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""

_SERVE_SFTP = """
import asyncio, sys
import asyncssh

class Login(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False

async def serve():
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Login,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=sys.argv[1].encode()),
    )
    print(server.get_port(), flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(serve())
"""


def measure(uri: str, mebibytes: int) -> dict[str, float]:
    """Publish a file of zeros to `uri` and read it; return MiB above idle and seconds."""
    from airflow_provider_convertapi.storage import (
        BLOCK,
        Destination,
        Publication,
        find_source,
    )

    block = os.urandom(_MIB)
    destination = Destination.parse(uri)
    destination.sizes([uri])  # connects

    def publish() -> None:
        with Publication(destination, inputs=[], overwrite=True) as publication:
            with publication.stage(uri, mebibytes * _MIB) as sink:
                for _ in range(mebibytes):
                    sink.write(block)
            publication.publish()

    def read() -> None:
        with find_source(uri).open() as file:
            left = mebibytes * _MIB
            while piece := file.read(BLOCK):
                left -= len(piece)
        if left:
            raise ValueError(f"{left} bytes are missing")

    hashlib.sha256(block).digest()
    return {
        f"{name}_{unit}": round(value, 1)
        for name, work in (("publish", publish), ("read", read))
        for unit, value in zip(("mib", "seconds"), _peak(work), strict=True)
    }


def _peak(work: Callable[[], None]) -> tuple[float, float]:
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest resident size so far
    idle, start = _resident("VmRSS"), time.perf_counter()
    work()
    return (_resident("VmHWM") - idle) / 1024, time.perf_counter() - start


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


@contextmanager
def _server(code: str, *arguments: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("no pipes")
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()


def _measure_apart(uri: str, mebibytes: int, **connections: Mapping[str, object]) -> None:
    env = {name: json.dumps(value) for name, value in connections.items()}
    done = subprocess.run(
        [sys.executable, __file__, "measure", uri, str(mebibytes)],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    sys.stdout.write(
        f"{uri.partition('://')[0] if '://' in uri else 'local':<6} {mebibytes:>5} MiB   "
        f"publish {found['publish_mib']:>5} MiB above idle, {found['publish_seconds']:>5} s   "
        f"read {found['read_mib']:>5} MiB above idle, {found['read_seconds']:>5} s\n"
    )
    sys.stdout.flush()


def main(local: int = 1024, s3: int = 300, sftp: int = 300) -> None:
    """Measure every store and print one line for each."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AIRFLOW_HOME"] = f"{folder}/airflow"
        _measure_apart(f"{folder}/large.bin", local)
        with _server(_SERVE_S3) as port:
            import boto3

            url = f"http://127.0.0.1:{port}"
            boto3.client(
                "s3",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="login-of-bench",
                aws_secret_access_key="password-of-bench",  # noqa: S106 - moto takes any
            ).create_bucket(Bucket="bucket")
            connection = {
                "conn_type": "aws",
                "login": "login-of-bench",
                "password": "password-of-bench",
                "extra": {"endpoint_url": url, "region_name": "us-east-1"},
            }
            _measure_apart("s3://bench@bucket/large.bin", s3, AIRFLOW_CONN_BENCH=connection)
        with _server(_SERVE_SFTP, folder) as port:
            login = {"conn_type": "sftp", "host": "127.0.0.1", "port": port, "login": "bench"}
            _measure_apart("sftp://bench@/large.bin", sftp, AIRFLOW_CONN_BENCH=login)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        sys.stdout.write(json.dumps(measure(sys.argv[2], int(sys.argv[3]))) + "\n")
    else:
        main(*map(int, sys.argv[1:]))
