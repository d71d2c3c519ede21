"""Where results go, and what must not happen there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_convertapi.storage.location import LocalLocation
from airflow_provider_convertapi.storage.names import distinct_names
from airflow_provider_convertapi.storage.uris import is_url, locate, shown, wrong

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from airflow_provider_convertapi.storage.location import Location, StoreLocation


@dataclass(frozen=True, slots=True)
class Destination:
    """A file, or a directory for as many files as there are results.

    :param uri: absolute path of a local one, else as the user gave it; a directory ends in ``/``.
    :param field: what the user calls it; errors name it.
    """

    uri: str
    field: str = "destination"

    @classmethod
    def parse(cls, uri: str, *, field: str = "destination") -> Destination:
        """Check `uri`, and that nothing that is there already stands against it.

        `ParameterError` says what is wrong and what to write instead.
        """
        location = locate(uri, field)
        if isinstance(location, LocalLocation):
            _check_local(location, field)
        else:
            _check_in_store(location, field)
        return cls(location.uri, field)

    @property
    def is_directory(self) -> bool:
        """Tell whether results get names of their own below the URI."""
        return self.uri.endswith("/")

    def is_ours(self, uri: str) -> bool:  # noqa: ARG002 - a batch knows what it wrote
        """Tell whether what stands at an output was written for it before."""
        return False

    @property
    def remedy(self) -> str:
        """Say what to do about a file that stands in the way."""
        return "Move it away, or set overwrite=True."

    def outputs(self, names: Sequence[str]) -> list[str]:
        """Return the URI for each of the service's file names, in order.

        In a directory the names are made safe and distinct; a single file keeps the user's name.
        `ParameterError` where a single file would have to hold anything but one result.
        """
        if self.is_directory:
            return [self.uri + name for name in distinct_names(names)]
        if len(names) != 1:
            found = f"several results for one file name: {len(names)}" if names else "no result"
            complaint = (
                f"{shown(self.uri)} names one file, but there are {found}; end it with '/' "
                "for a directory that holds as many as there are."
            )
            raise wrong(self.field, complaint.replace("there are no", "there is no"))
        return [self.uri]

    def sizes(self, uris: Iterable[str]) -> list[int | None]:
        """Return the bytes of each file that is there now, None for each that is not."""
        states = [locate(uri, self.field).state() for uri in uris]
        return [state.size if state and state.kind == "file" else None for state in states]

    def check_not_input(self, uris: Iterable[str], inputs: Iterable[str]) -> None:
        """Raise `ParameterError` when an output is the same file as an input, however spelled.

        :param uris: outputs.
        :param inputs: URIs of inputs; URLs among them are not ours to overwrite.
        """
        taken: dict[Hashable, Location] = {}
        for location in (locate(uri, "source") for uri in inputs if not is_url(uri)):
            taken.update(dict.fromkeys(location.identities(), location))
        for output in (locate(uri, self.field) for uri in uris):
            for found in {taken[key] for key in output.identities() & taken.keys()}:
                if output.is_same_as(found):
                    complaint = (
                        f"{shown(output.uri)} would be written over the input {shown(found.uri)}; "
                        "an input is never overwritten, so choose another name or directory."
                    )
                    raise wrong(self.field, complaint)


def _check_local(location: LocalLocation, argument: str) -> None:
    wants_directory = location.uri.endswith("/")
    try:
        state = location.state()
    except OSError as error:
        raise wrong(argument, f"{location.uri} cannot be used: {error.strerror}.") from error
    is_directory = state is not None and state.kind == "directory"
    if is_directory and not wants_directory:
        raise wrong(
            argument,
            f"{location.uri} is a directory; write {location.uri}/ to put results into it.",
        )
    if state is not None and not is_directory and wants_directory:
        raise wrong(
            argument,
            f"{location.uri} is no directory; remove the '/' at its end, or choose another.",
        )
    standing = _nearest(Path(location.uri) if wants_directory else Path(location.uri).parent)
    if not standing.is_dir():
        raise wrong(argument, f"{location.uri} cannot be made: {standing} is no directory.")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise wrong(
            argument, f"{location.uri} cannot be made: the task may not write into {standing}."
        )


def _nearest(path: Path) -> Path:
    """Return the path, or the first above it, that exists."""
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())


def _check_in_store(location: StoreLocation, argument: str) -> None:
    uri = shown(location.uri)
    if location.lacks_bucket():
        raise wrong(argument, f"{uri} lies in a bucket that does not exist; create it.")
    if location.uri.endswith("/"):
        return
    if not location.name:
        raise wrong(argument, f"{uri} names no file; write {uri}/ for a directory.")
    if location.has_directories:
        state = location.state()
        if state is not None and state.kind == "directory":
            raise wrong(argument, f"{uri} is a directory; write {uri}/ to put results into it.")
