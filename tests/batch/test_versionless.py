"""A store that tells neither an ETag nor a time: files are told by their content."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_convertapi.storage import find_source
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from tests.batch.nights import Night


class VersionlessFileSystem(MemoryFileSystem):  # type: ignore[misc] # fsspec has no types
    """Say of a file no more than its name and its size."""

    def info(self, path: str, **kwargs: Any) -> Any:
        """Return what is known of a path."""
        return _without_time(super().info(path, **kwargs))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        """Return what is known of the files in a directory."""
        found = super().ls(path, detail=detail, **kwargs)
        return [_without_time(info) for info in found] if detail else found


def _without_time(info: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name != "created"}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URI of a fresh directory of such a store."""
    try:
        module = import_module("airflow.sdk.io")
    except ImportError:
        module = import_module("airflow.io.store")
    conn_id = f"store_{uuid4().hex}"
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", "generic://host")
    module.attach("memory", conn_id=conn_id, fs=VersionlessFileSystem())
    return f"memory://{conn_id}@host/{uuid4().hex}/"


def write(uri: str, text: str) -> None:
    """Write a file."""
    path = uri.partition("@host")[2]
    VersionlessFileSystem().pipe_file(f"/host{path}", text.encode())


def test_file_of_the_same_size_is_another_one(place: str) -> None:
    """Its content is what tells it, also while it is used."""
    uri = f"{place}a.txt"
    write(uri, "one")
    first = find_source(uri)
    assert not first.changed()

    write(uri, "two")

    assert first.changed()
    assert first.fingerprint != find_source(uri).fingerprint


def test_batch_converts_what_changed(
    night: Night, place: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A document of the same size is converted anew, an equal one is reused; the log says how."""
    write(f"{place}a.txt", "Dear Ann.")
    write(f"{place}b.txt", "Dear Bob.")
    first = night.run(TaskInstance(run_id="one"), source=place)
    write(f"{place}b.txt", "Dear Ben.")

    second = night.run(TaskInstance(run_id="two"), source=place)

    assert [2, 0] == [first["converted"], first["failed"]]
    assert [1, 1] == [second["converted"], second["reused"]]
    assert "neither an ETag nor a time" in "".join(capfd.readouterr()) + caplog.text
