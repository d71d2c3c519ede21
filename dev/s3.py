"""An S3 server on loopback, and an Airflow connection to it."""

from __future__ import annotations

import json
import logging
import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

INCOMING, CONVERTED = "incoming", "converted"
_KEY = "testing"
_REGION = "us-east-1"


@contextmanager
def s3_server() -> Iterator[str]:
    """Run the server and yield its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    # `verbose` does not keep it from telling each request where Airflow has configured the log.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def connected_s3(conn_id: str, *buckets: str) -> Iterator[Any]:
    """Run the server behind an Airflow connection; yield a client of it, with buckets."""
    with s3_server() as url, closing(_new_client(url)) as client:
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        connection = {f"AIRFLOW_CONN_{conn_id.upper()}": airflow_connection(url)}
        with patch.dict(os.environ, connection):
            yield client


def filled(url: str, documents: Iterable[Path]) -> Any:
    """Create the buckets of the example, put the documents into one, and return a client."""
    client = _new_client(url)
    for bucket in (INCOMING, CONVERTED):
        client.create_bucket(Bucket=bucket)
    for document in documents:
        client.upload_file(str(document), INCOMING, document.name)
    return client


def _new_client(url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name=_REGION,
        aws_access_key_id=_KEY,
        aws_secret_access_key=_KEY,
    )


def airflow_connection(url: str) -> str:
    """Return an Airflow connection to the server, as JSON for an environment variable."""
    extra = {"endpoint_url": url, "region_name": _REGION}
    return json.dumps({"conn_type": "aws", "login": _KEY, "password": _KEY, "extra": extra})
