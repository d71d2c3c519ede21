"""Peers of a batch: a bare loop, the official SDK in threads, and mapped HttpOperators."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

MAPPED = 12


class Connections:
    """Count the TCP connections that this process opens to a server, for as long as it lives.

    Python's own audit events report them, because a polling thread would slow the measured ones.
    """

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self.opened = 0
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and arguments[1][1:2] == (self._port,):
            self.opened += 1


def bare(source: str, url: str, pair: str, concurrency: int, ramp: float) -> dict[str, Any]:
    """Post every file, over one connection per thread, and ignore the answers.

    No program can be faster here, because the service and its caller share the processors.

    :param ramp: seconds over which the threads start, as ours do.
    """
    token = json.loads(os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"])["password"]
    files: queue.SimpleQueue[Path] = queue.SimpleQueue()
    host, path = urlsplit(url).netloc, f"/{_path(pair)}"

    def post(connection: HTTPConnection, file: Path) -> None:
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "multipart/mixed",
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{file.name}"',
        }
        connection.request("POST", path, file.read_bytes(), headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(answer.status)

    def work(number: int) -> None:
        time.sleep(number * ramp / concurrency)
        connection = HTTPConnection(host)
        with suppress(queue.Empty):
            while True:
                post(connection, files.get_nowait())

    def all_of(paths: Iterable[Path]) -> float:
        for path in paths:
            files.put(path)
        started = time.monotonic()
        with ThreadPoolExecutor(concurrency) as pool:
            for _ in pool.map(work, range(concurrency)):
                pass
        return time.monotonic() - started

    listed = list(Path(source).iterdir())
    all_of(listed[:1])  # loads the engine
    connections = Connections(url)
    seconds = all_of(listed)
    return {"seconds": seconds, "connections": connections.opened}


def with_sdk(source: str, url: str, pair: str, concurrency: int) -> dict[str, Any]:
    """Convert with the official SDK in a thread pool, as its documentation says."""
    import convertapi

    connection = json.loads(os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"])
    convertapi.api_credentials = connection["password"]
    convertapi.base_uri = f"{url}/"
    files = [str(path) for path in Path(source).iterdir()]
    target = tempfile.mkdtemp()
    connections = Connections(url)
    started = time.monotonic()
    with ThreadPoolExecutor(concurrency) as pool:
        for _ in pool.map(
            lambda file: convertapi.convert(pair.partition("-")[2], {"File": file}).save_files(
                target
            ),
            files,
        ):
            pass
    return {"seconds": time.monotonic() - started, "connections": connections.opened}


def with_http_operator(source: str, url: str, pair: str) -> dict[str, Any]:
    """Convert with mapped HttpOperator tasks, as a DAG does, one after another in this process.

    On a real Airflow they overlap, but each still needs its time in addition to the conversion.
    """
    import base64
    import warnings

    home = tempfile.mkdtemp()
    os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__DAGS_FOLDER=home)
    token = json.loads(os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"])["password"]
    os.environ["AIRFLOW_CONN_BENCH_HTTP"] = json.dumps({"conn_type": "http", "host": url})
    warnings.simplefilter("ignore")  # warnings from Airflow's own code
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.providers.http.operators.http import HttpOperator
    from airflow.sdk import DAG
    from airflow.utils.db import initdb

    logging.disable(logging.INFO)
    initdb()
    bodies = []
    for path in sorted(Path(source).iterdir())[:MAPPED]:
        value = {"Name": path.name, "Data": base64.b64encode(path.read_bytes()).decode()}
        bodies.append(json.dumps({"Parameters": [{"Name": "File", "FileValue": value}]}))
    with DAG("mapped", schedule=None) as dag:
        HttpOperator.partial(
            task_id="convert",
            http_conn_id="bench_http",
            endpoint=_path(pair),
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            response_filter=_count_files,
        ).expand(data=bodies)
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.devnull)
    bag.dags[dag.dag_id] = dag
    sync_bag_to_db(bag, "dags-folder", None)
    started = time.monotonic()
    run = dag.test()
    if str(run.state) != "success":
        raise RuntimeError(run.state)
    return {"seconds": time.monotonic() - started, "tasks": len(bodies)}


def _path(pair: str) -> str:
    return "convert/{}/to/{}".format(*pair.split("-"))


def _count_files(response: Any) -> int:
    return len(response.json()["Files"])
