"""The destination of results, and the files that they must not replace.

This module may change from release to release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_convertapi.errors import InputChangedError, OutputExistsError
from airflow_provider_convertapi.storage.content import digest_of
from airflow_provider_convertapi.storage.location import OWN_DIRECTORY
from airflow_provider_convertapi.storage.names import distinct_names
from airflow_provider_convertapi.storage.schemes import locate
from airflow_provider_convertapi.storage.trouble import explaining
from airflow_provider_convertapi.storage.uris import is_url, shown, wrong

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from airflow_provider_convertapi.storage.location import Location, State


_HOME = re.compile(r"~[^/$]*/")
"""A home directory, as a shell spells it."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A file, or a directory for as many files as there are results.

    :param uri: absolute path of a local one, else as the user gave it; a directory ends in ``/``.
    :param field: the user's name of the argument, for errors.
    """

    uri: str
    field: str = "destination"

    @classmethod
    def parse(cls, uri: str, *, field: str = "destination") -> Destination:
        """Check `uri`, and that nothing is in the way there.

        `ParameterError` says what is wrong and what to write instead.
        """
        location = locate(uri, field)
        if OWN_DIRECTORY in location.uri.split("/"):
            complaint = f"lies in {OWN_DIRECTORY}/, which holds our own records; choose another."
            raise wrong(field, f"{shown(location.uri)} {complaint}")
        _check_name(uri, field)
        location.check_destination(field)
        return cls(location.uri, field)

    @property
    def is_directory(self) -> bool:
        """Tell whether results get their own names below the URI."""
        return self.uri.endswith("/")

    @property
    def root(self) -> str:
        """Return the URI of the directory in which every output lies; it ends in ``/``."""
        return self.uri if self.is_directory else self.uri[: self.uri.rfind("/") + 1]

    def check_within(self, uri: str) -> None:
        """Raise `ParameterError` if an output would lie outside, or among our own records."""
        # The names of results come from the service, and those of outputs that a batch removes from
        # the manifest, which others may write to.
        inner = uri.removeprefix(self.root).split("/")
        leads_away = any(map(_leads_away, inner))
        if not uri.startswith(self.root) or leads_away or not inner[-1]:
            complaint = f"is not a file below {shown(self.root)} that a result may be written to."
            raise wrong(self.field, f"{shown(uri)} {complaint}")

    def check_writable(self) -> None:
        """Raise `OutputNotWritableError` if a result could not be written now.

        `ConnectionConfigError` if the store refuses the connection.
        """
        with explaining(self.uri, paid=False):
            locate(self.uri, self.field).check_writable(self.root)

    def check_no_directory(self, uri: str) -> None:
        """Raise `OutputExistsError` if an output has the name of a directory or device.

        To be called before anything is paid.
        """
        location = locate(uri, self.field)
        state = location.state() if location.has_directories else None
        if state is not None and state.obstacle:
            raise OutputExistsError(f"{self.obstructed(uri, state)} Nothing was paid.")

    def obstructed(self, uri: str, state: State) -> str:
        """Say that a directory or device has the name of an output."""
        where = f"{self.field}: {shown(uri)} is {state.obstacle}"
        return f"{where}; move it away, or choose another destination."

    def is_ours(self, uri: str) -> bool:  # noqa: ARG002 - for a batch, which knows what it wrote
        """Tell whether the file at an output was written for it before."""
        return False

    def keeps_digests(self, uris: Sequence[str]) -> bool:  # noqa: ARG002 - for a batch, as above
        """Tell whether a publication should compute the digests of these outputs."""
        return False

    def remedy(self, *, paid: bool) -> str:  # noqa: ARG002 - only a batch remembers what it paid
        """Return the remedy for a file that is in the way.

        :param paid: whether that was only found when the results were there.
        """
        return "Move it away, or set overwrite=True."

    def outputs(self, names: Sequence[str]) -> list[str]:
        """Return the URI for each of the service's file names, in order.

        In a directory the names are made safe and distinct; a single file keeps the user's name.
        `ParameterError` for a single file unless there is exactly one result.
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

    def state(self, uri: str) -> State | None:
        """Return the state of the file at an output now; None if there is no file."""
        state = locate(uri, self.field).file()
        return state if state and state.kind == "file" else None

    def is_lost_link(self, uri: str) -> bool:
        """Tell whether an output's name is taken by a broken link."""
        location = locate(uri, self.field)
        return location.is_link() and location.file() is None

    def sizes(self, uris: Iterable[str]) -> list[int | None]:
        """Return the bytes of each file that exists now, None for each that does not."""
        return [state.size if state else None for state in map(self.state, uris)]

    def holds(self, uri: str, digest: str) -> bool | None:
        """Tell whether an output still has its published content; None if it is gone.

        :param digest: the publication's digest of its content.
        """
        location = locate(uri, self.field)
        state = location.file()
        if state is None:
            return None
        if state.kind != "file":
            return False
        try:
            with location.open(state) as file:
                return digest_of(file) == digest
        except InputChangedError:
            # It is being written now.  The error would say that nothing was paid.
            return False

    def remove(self, uri: str, digest: str) -> bool | None:
        """Remove an output if it still has that content; return the result of `holds`."""
        self.check_within(uri)
        found = self.holds(uri, digest)
        if found:
            locate(uri, self.field).delete()
        return found

    def check_not_input(self, uris: Iterable[str], inputs: Iterable[str]) -> None:
        """Raise `ParameterError` if an output is the same file as an input, in any spelling.

        :param uris: outputs.
        :param inputs: URIs of inputs; URLs are ignored, since they cannot be overwritten.
        """
        # Two inputs may share an identity: some stores have files whose names differ only by case.
        taken: dict[Hashable, set[Location]] = {}
        for location in (locate(uri, "source") for uri in inputs if not is_url(uri)):
            for key in location.identities():
                taken.setdefault(key, set()).add(location)
        for output in (locate(uri, self.field) for uri in uris):
            alike = [taken[key] for key in output.identities() & taken.keys()]
            for found in set().union(*alike):
                # Two connections may lead to one store, and only some stores distinguish case and
                # `..`.  Therefore the files' states are compared: size and version must be equal.
                if output.key == found.key or output.file() == found.file():
                    complaint = (
                        f"{shown(output.uri)} would be written over the input {shown(found.uri)}; "
                        "an input is never overwritten, so choose another name or directory."
                    )
                    raise wrong(self.field, complaint)


def _check_name(uri: str, field: str) -> None:
    """Raise `ParameterError` for a name that a user did not mean, or that Airflow cannot store."""
    if _HOME.match(uri):
        raise wrong(field, f"{uri} begins with '~', which is not expanded; write the whole path.")
    if not uri.isascii() and any("\ud800" <= letter <= "\udfff" for letter in uri):
        raise wrong(field, "holds bytes that are not UTF-8, which Airflow cannot store; rename it.")


def _leads_away(part: str) -> bool:
    """Tell whether a part of a path leads up or to our own records, also on Windows."""
    name = part.rstrip(". ").lower()
    return name == OWN_DIRECTORY or (not name and ".." in part)
