"""OpenLineage for real: Airflow's listener, a server that receives, and the official schema."""

from __future__ import annotations

import gzip
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
OWN_SCHEMA = ROOT / "docs/openlineage/1-0-0/ConvertApiConversionRunFacet.json"


class Received(list[dict[str, Any]]):
    """The events that arrived, in their order; `text` is all of it."""

    def __init__(self) -> None:
        self.text = ""

    def add(self, body: bytes) -> None:
        """Take an event."""
        self.text += body.decode()
        self.append(json.loads(body))

    def of(self, dag_id: str, prefix: str, kind: str = "COMPLETE") -> list[dict[str, Any]]:
        """Return the events of the tasks of a DAG whose ids begin so."""
        return [
            event
            for event in self
            if event["eventType"] == kind and event["job"]["name"].startswith(f"{dag_id}.{prefix}")
        ]


@pytest.fixture
def lineage(monkeypatch: pytest.MonkeyPatch, airflow_db: Path) -> Iterator[Received]:
    """Let Airflow send the lineage of each task to a server on loopback."""
    received = Received()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(received)) as server:
        transport = {"type": "http", "url": f"http://127.0.0.1:{server.server_port}"}
        monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
        Thread(target=server.serve_forever, daemon=True).start()
        manager, listener = _listener()
        manager.add_listener(listener)
        try:
            yield received
        finally:
            manager.pm.unregister(listener)
            _forget_settings()
            server.shutdown()


def _handler(received: Received) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_packed = self.headers.get("Content-Encoding") == "gzip"
            received.add(gzip.decompress(body) if is_packed else body)
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            """Say nothing."""

    return Handler


def _listener() -> tuple[Any, Any]:
    """Return Airflow's manager of listeners, and OpenLineage's listener for tasks."""
    from airflow.providers.openlineage.plugins.listener import OpenLineageListener

    class TaskListener(OpenLineageListener):
        def submit_callable(self, *_: Any, **__: Any) -> None:
            """Send no event of a DAG run: the scheduler does, from a pool of processes."""

    _forget_settings()
    managers = [module.get_listener_manager() for module in _listeners()]
    for manager in managers:
        for known in manager.pm.get_plugins():  # the plugin's own, where this process loads it now
            if isinstance(known, OpenLineageListener):
                manager.pm.unregister(known)
    return managers[0], TaskListener()  # type: ignore[no-untyped-call] # OpenLineage's has no types


def _listeners() -> list[Any]:
    """Return what keeps the listeners: those of tasks first, those of the scheduler last."""
    scheduler = import_module("airflow.listeners.listener")
    try:
        return [import_module("airflow.sdk.listener"), scheduler]
    except ImportError:  # Airflow before 3.2
        return [scheduler]


def _forget_settings() -> None:
    """Let the provider read its settings again, which it does once for each process."""
    from airflow.providers.openlineage import conf

    for setting in vars(conf).values():
        if callable(forget := getattr(setting, "cache_clear", None)):
            forget()


def schema_errors(event: dict[str, Any]) -> list[str]:
    """Say where an event, and each facet whose schema is here, differs from its schema."""
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    files = [*(ROOT / "tests/data/openlineage").glob("*.json"), OWN_SCHEMA]
    schemas = [json.loads(file.read_text("utf-8")) for file in files]
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas
    )
    known = tuple(schema["$id"] for schema in schemas)
    checks = [(event["schemaURL"], event)]
    datasets = [*event["inputs"], *event["outputs"]]
    for holder in (event["run"], event["job"], *datasets):
        for kind in ("facets", "inputFacets", "outputFacets"):
            checks += [(facet["_schemaURL"], facet) for facet in holder.get(kind, {}).values()]
    return [
        f"{error.json_path}: {error.message}"
        for url, instance in checks
        if url.startswith(known)
        for error in Draft202012Validator({"$ref": url}, registry=registry).iter_errors(instance)
    ]
