"""Stored documents: uploads and stored results, under ids of 32 characters, for three hours.

A path never comes from a request: each document is stored under its id in the sandbox's folder.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import string
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from convertapi_sandbox import names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID = re.compile(r"[a-z0-9]{32}")
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class Document:
    """One stored document; `created` is in Unix seconds."""

    id: str
    name: str
    size: int
    created: float

    @property
    def extension(self) -> str:
        """Return the extension without its dot."""
        return names.extension(self.name)


class Ids:
    """Draws ids; the same seed gives the same ids."""

    def __init__(self, seed: int | None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - repeatable on purpose

    def new(self) -> str:
        """Return an id of 32 lower-case letters and digits."""
        return "".join(self._random.choices(_ALPHABET, k=32))


class Store:
    """Documents on disk in one folder; `persistent` also stores their names."""

    def __init__(self, folder: Path, ids: Ids, *, persistent: bool) -> None:
        self._folder = folder
        self._ids = ids
        self._persistent = persistent
        self._documents: dict[str, Document] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.json"):
            document = Document(**json.loads(path.read_text("utf-8")))
            if self.path(document).exists():
                self._documents[document.id] = document

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._documents.values()))

    def path(self, document: Document) -> Path:
        """Return the path of a document's bytes."""
        return self._folder / document.id

    def find(self, file_id: str, lifetime: float) -> Document | None:
        """Return a document that exists and is not older than `lifetime` seconds."""
        document = self._documents.get(file_id)
        if document is not None and time.time() - document.created > lifetime:
            self.delete(file_id)
            return None
        return document

    def adopt(self, path: Path, name: str, file_id: str | None = None) -> Document:
        """Store a finished file under a given or new id, replacing a document with that id."""
        document = Document(file_id or self._ids.new(), name, path.stat().st_size, time.time())
        path.replace(self.path(document))
        if self._persistent:
            _write(self._folder / f"{document.id}.json", json.dumps(asdict(document)))
        self._documents[document.id] = document
        return document

    def link(self, document: Document, target: Path) -> None:
        """Link the bytes into a job's folder, so that the job outlives the document."""
        try:
            os.link(self.path(document), target)
        except OSError:  # pragma: no cover - a file system without hard links
            shutil.copyfile(self.path(document), target)

    def delete(self, file_id: str) -> bool:
        """Delete a document; return whether it existed."""
        document = self._documents.pop(file_id, None)
        if document is None:
            return False
        self.path(document).unlink(missing_ok=True)
        (self._folder / f"{file_id}.json").unlink(missing_ok=True)
        return True

    def clear(self) -> None:
        """Delete every document."""
        for file_id in list(self._documents):
            self.delete(file_id)


def _write(path: Path, text: str) -> None:
    """Write a small file completely or not at all."""
    part = path.with_suffix(".tmp")
    part.write_text(text, "utf-8")
    part.replace(path)
