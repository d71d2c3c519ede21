"""Publish results whole or not at all.

Closing a store's file publishes what was written so far, even after an exception, and fsspec's
transactions are shared by all threads.  Therefore a result is staged first, checked against its
announced size, and published in one step after all results of its conversion are staged.

This module may change from release to release.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

from airflow_provider_convertapi.errors import InputChangedError, OutputExistsError
from airflow_provider_convertapi.storage.content import digest_of_path
from airflow_provider_convertapi.storage.location import BLOCK
from airflow_provider_convertapi.storage.schemes import locate
from airflow_provider_convertapi.storage.spool import Spool
from airflow_provider_convertapi.storage.trouble import explaining
from airflow_provider_convertapi.storage.uris import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_provider_convertapi.storage.destination import Destination
    from airflow_provider_convertapi.storage.location import Location, Part, State


def unstamped(uri: str) -> str:  # noqa: ARG001 - any output
    """Return no stamp."""
    return ""


class SizeMismatch(ValueError):  # noqa: N818 - it states a fact, as a standard exception does
    """A staged result does not have the size that the service announced; nothing was published.

    :param announced: bytes that the service announced.
    :param received: bytes that were written.
    """

    def __init__(self, announced: int, received: int) -> None:
        super().__init__(announced, received)
        self.announced = announced
        self.received = received

    def __str__(self) -> str:
        return f"{self.announced} bytes were announced, {self.received} arrived"


class Publication:
    """Stage the results of one conversion, then publish them all.

    Local results wait beside their target under a hidden name, others in a local spool.  Leaving
    the context removes everything that was not published.  Threads must not share it.

    :param destination: where the results are published.
    :param inputs: URIs that must never be overwritten, even if `overwrite` is True.
    :param overwrite: False replaces no file, except files that the destination knows as its own or
        that still have its stamp.
    :param marks: parts of the names of hidden files in stores without locks: the mark of this try,
        then those of earlier tries, which have ended, so that their files are removed.
    :param stamp: returns the stamp that an output at a URI gets; empty for none.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        inputs: Sequence[str],
        overwrite: bool,
        marks: Sequence[str] = (),
        stamp: Callable[[str], str] = unstamped,
    ) -> None:
        self._destination = destination
        self._marks = marks
        self._inputs = inputs
        self._overwrite = overwrite
        self._stamp = stamp
        self._own: set[str] = set()
        self._results: dict[str, _Staged] = {}
        self._published: set[str] = set()
        self.digests: tuple[str, ...] = ()
        """Digests of the published results' contents, if the destination keeps them."""
        self._spool = Spool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for result in self._results.values():
            result.part.discard()
        self._spool.remove()

    @contextmanager
    def stage(self, uri: str, size: int | None) -> Iterator[BinaryIO]:
        """Yield a sink for the bytes of the result at `uri`.

        :param uri: one of the destination's outputs; staging it again replaces what was staged.
        :param size: bytes that the service announced; None if it announced no size.

        `SizeMismatch` if the size differs, `ParameterError` if `uri` lies outside the destination.
        After any exception nothing of the result is left.
        """
        self._destination.check_within(uri)
        if uri in self._results:
            self._results.pop(uri).part.discard()
        target = locate(uri, self._destination.field)
        with explaining(uri, paid=None):
            part = target.part(self._spool.directory, self._marks, self._stamp(uri))
        try:
            with explaining(uri, paid=None), part.open() as sink:
                yield sink
                sink.flush()  # the size is that of the file, which lacks what is still buffered
                _check_size(sink, size)
        except BaseException:
            part.discard()
            raise
        self._results[uri] = _Staged(target, part)

    @property
    def staged(self) -> list[tuple[str, Path]]:
        """Return each staged output, and the local file that holds it, in the order of staging."""
        return [(uri, result.part.staged) for uri, result in self._results.items()]

    def publish(self) -> list[str]:
        """Publish everything that was staged; return the URIs in the order of staging.

        A file that already has the bytes of its result, and its stamp, is left alone.
        `ParameterError` if an output is an input; `OutputExistsError` if an output is a directory,
        or a file that must not be replaced.  Then nothing is published, unless the file appears
        while this runs; it is never replaced.  After any other exception `publish` may be called
        again, because the results are still staged.
        """
        # Checked before paying, too, but then the service's names for the results were not known.
        self._destination.check_not_input(self._results, self._inputs)
        waiting = {
            uri: result
            for uri, result in self._results.items()
            if not self._is_published(uri, result)
        }
        # The slow part first for all, so that the results appear as close together as possible.
        for uri, result in waiting.items():
            with explaining(uri, paid=None):
                result.part.prepare()
        # Now, because publishing moves a local result away from where it was staged.  A second call
        # keeps the digests: some of the results may have been moved already.
        if not self.digests and self._destination.keeps_digests(list(self._results)):
            staged = (result.part.staged for result in self._results.values())
            self.digests = tuple(map(digest_of_path, staged))
        for uri, result in waiting.items():
            with explaining(uri, paid=None):
                self._publish(uri, result)
        return list(self._results)

    def _publish(self, uri: str, result: _Staged) -> None:
        replace = self._may_replace(uri)
        try:
            result.part.publish(replace=replace)
        except FileExistsError as error:
            # It was written since the check, perhaps by another process with this conversion.
            if replace or not (self._is_published(uri, result) or uri in self._own):
                raise OutputExistsError(self._in_the_way(result.target)) from error
            if uri in self._own:
                result.part.publish(replace=True)
        # A second call after an error must not mistake it for another file.
        self._published.add(uri)

    def _may_replace(self, uri: str) -> bool:
        return self._overwrite or uri in self._own or self._destination.is_ours(uri)

    def _is_published(self, uri: str, result: _Staged) -> bool:
        """Tell whether the target has the result already; raise if it must not be replaced."""
        if uri in self._published:
            return True
        target = result.target
        if self._may_replace(uri) and not target.has_directories:
            return False  # any object may be replaced, so the request is not needed
        state = target.file()
        # In an object store, the object `a` and objects below `a/` do not exclude each other.
        if state is None or (state.kind == "directory" and not target.has_directories):
            return False
        if state.obstacle:
            raise OutputExistsError(self._destination.obstructed(target.uri, state))
        if self._may_replace(uri):
            return False
        stamp = self._stamp(uri)
        is_equal = state.size == result.part.staged.stat().st_size and result.is_in(state)
        is_stamped = state.bears(stamp)
        if is_equal and (is_stamped is not False or not stamp):
            return True
        if is_equal or is_stamped:
            # Equal bytes of another conversion are written again with this one's stamp: otherwise
            # its next try would not recognise its own output.
            self._own.add(uri)
            return False
        raise OutputExistsError(self._in_the_way(target))

    def _in_the_way(self, target: Location) -> str:
        what = f"{self._destination.field}: {shown(target.uri)} is another file"
        return f"{what}. {self._destination.remedy(paid=True)}"


@dataclass(frozen=True, slots=True)
class _Staged:
    """A staged result, and its target."""

    target: Location
    part: Part

    def is_in(self, state: State) -> bool:
        """Tell whether the file at the target has the same bytes."""
        try:
            with self.part.staged.open("rb") as ours, self.target.open(state) as theirs:
                while block := ours.read(BLOCK):
                    if theirs.read(BLOCK) != block:
                        return False
                return not theirs.read(1)
        except InputChangedError:  # it is being written right now
            return False


def _check_size(sink: BinaryIO, announced: int | None) -> None:
    received = os.fstat(sink.fileno()).st_size
    if announced is not None and received != announced:
        raise SizeMismatch(announced, received)
