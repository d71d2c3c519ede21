"""A store in memory, reached as any other through Airflow and fsspec."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractFileSystem

if TYPE_CHECKING:
    from tests.simulation.trouble import Present
    from tests.simulation.virtual import Moment

CONNECTION = "simulated_store"
SCHEMES = ("abfs", "memory")
"""One with objects that appear whole, one with directories in which files are renamed."""


@dataclass
class Contents:
    """What the store of the current story holds."""

    moment: Moment
    present: Present
    objects: dict[str, tuple[bytes, str, float]] = field(default_factory=dict)
    """Content, ETag and time by path."""
    versions: int = 0

    def write(self, path: str, data: bytes) -> None:
        """Keep an object."""
        self.versions += 1
        self.objects[_clean(path)] = (data, f"version-{self.versions}", self.moment.now)


def _clean(path: str) -> str:
    return path.strip("/")


class SimulatedStore(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """The file system; a story gives it other contents."""

    protocol = SCHEMES
    cachable = False
    contents: Contents

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe a path."""
        self.contents.present.trouble.before_read(path)
        key, objects = _clean(path), self.contents.objects
        if key in objects:
            return self._described(key)
        if "/" not in key or any(name.startswith(f"{key}/") for name in objects):
            return {"name": key, "type": "directory", "size": 0}
        raise FileNotFoundError(path)

    def _described(self, key: str) -> dict[str, Any]:
        data, etag, at = self.contents.objects[key]
        return {"name": key, "type": "file", "size": len(data), "etag": etag, "mtime": at}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """List a directory."""
        self.contents.present.trouble.before_read(path)
        root = f"{_clean(path)}/"
        found: dict[str, dict[str, Any]] = {}
        for key in self.contents.objects:
            if key.startswith(root):
                name, slash, _rest = key.removeprefix(root).partition("/")
                entry: dict[str, Any] = {"name": root + name, "type": "directory", "size": 0}
                found[root + name] = entry if slash else self._described(key)
        if not found:
            raise FileNotFoundError(path)
        return list(found.values()) if detail else list(found)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        """Read."""
        self.contents.present.trouble.before_read(path)
        try:
            return self.contents.objects[_clean(path)][0][start:end]
        except KeyError:
            raise FileNotFoundError(path) from None

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        assert mode == "rb"
        return io.BytesIO(self.cat_file(path))

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **_: Any) -> None:
        """Keep a local file; `mode` is ``create`` where none may be replaced."""
        self.contents.present.trouble.before_write(rpath)
        if mode == "create" and _clean(rpath) in self.contents.objects:
            raise FileExistsError(rpath)
        self.contents.write(rpath, Path(lpath).read_bytes())

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Keep bytes."""
        self.contents.present.trouble.before_write(path)
        if mode == "create" and _clean(path) in self.contents.objects:
            raise FileExistsError(path)
        self.contents.write(path, value)

    def rm_file(self, path: str) -> None:
        """Delete."""
        self.contents.present.trouble.check_alive()
        if self.contents.objects.pop(_clean(path), None) is None:
            raise FileNotFoundError(path)

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """Rename, over a file too."""
        self.contents.present.trouble.before_write(path2)
        try:
            self.contents.objects[_clean(path2)] = self.contents.objects.pop(_clean(path1))
        except KeyError:
            raise FileNotFoundError(path1) from None

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Do nothing: directories are what objects make them."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing, likewise."""


_store: list[SimulatedStore] = []


def use(contents: Contents) -> None:
    """Make the store hold these contents."""
    if not _store:
        try:
            attach = import_module("airflow.sdk.io").attach
        except ImportError:
            attach = import_module("airflow.io.store").attach
        store = SimulatedStore(skip_instance_cache=True)
        os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = "generic://host"
        for scheme in SCHEMES:
            attach(scheme, conn_id=CONNECTION, fs=store)
        _store.append(store)
    _store[0].contents = contents
