"""A bucket of many keys, in a process of its own: it takes no part of the other one's time."""

from __future__ import annotations

import sys

from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

if __name__ == "__main__":
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    backend = s3_backends["123456789012"]["aws"]
    backend.create_bucket("many", "us-east-1")
    for number in range(int(sys.argv[1])):  # over HTTP they would take half a minute
        backend.put_object("many", f"in/{number:06d}.docx", b"x")
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)  # noqa: T201 - the other process reads it
    sys.stdin.read()  # until that closes it
    server.stop()
