"""Decide whether the results of a conversion may be published; keep refused ones.

This module may change from release to release.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_convertapi.api import redaction
from airflow_provider_convertapi.api.converters import extension_of
from airflow_provider_convertapi.conversions.signatures import HEAD, complaint_about
from airflow_provider_convertapi.errors import ParameterError, ResultCheckError, ResultLostError
from airflow_provider_convertapi.storage import (
    BLOCK,
    OWN_DIRECTORY,
    Destination,
    Publication,
    digest_of_path,
    safe_name,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_convertapi.conversions.arguments import ResultCheck

REFUSED = f"{OWN_DIRECTORY}/refused/"
"""Where refused results are kept, beside the outputs."""

_SHOWN = 3


class StagedResults(list[Path]):
    """The staged local files of one conversion, which a user's check gets.

    :param sources: URIs of the documents that were converted.
    """

    def __init__(self, paths: Sequence[Path], sources: Sequence[str]) -> None:
        super().__init__(paths)
        self.sources = list(sources)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The checks that results must pass before they are published.

    :param check: the user's own, or None. The first bytes are checked in any case.
    :param sources: URIs of the documents that are converted.
    """

    check: ResultCheck | None = None
    sources: tuple[str, ...] = ()

    def apply(
        self,
        publication: Publication,
        destination: Destination,
        names: Sequence[str],
        paid: Paid,
    ) -> None:
        """Raise if the staged results must not be published.

        `ResultCheckError` if they are refused, and kept.  If the check itself fails, they are not
        judged: `ParameterError`, or `ResultLostError` in direct mode.

        :param destination: where they are to be published.
        :param names: the service's names of the results.
        """
        staged = publication.staged
        try:
            reason = _of_first_bytes(staged, names)
            if not reason and self.check:
                with _unchanged([path for _, path in staged]):
                    reason = _of_check(self.check, staged, self.sources)
        except _BrokenCheckError as error:
            unchecked = _unchecked(str(error), destination, staged, paid)
            unchecked.is_judged = False
            raise unchecked from error.__cause__
        if reason:
            _refuse(reason, destination, staged, paid)


@dataclass(frozen=True, slots=True)
class Paid:
    """The paid conversion of some results.

    :param what: the conversion, as it may be logged.
    :param cost: conversions that it took.
    :param is_stored: whether the service keeps the results for a while.
    """

    what: str
    cost: int
    is_stored: bool


class _BrokenCheckError(Exception):
    """A user's check ended without a verdict."""


def _of_first_bytes(staged: Sequence[tuple[str, Path]], names: Sequence[str]) -> str | None:
    """Return which result does not have the format of its name, and what it is; None if all do."""
    for (uri, path), name in zip(staged, names, strict=True):
        with path.open("rb") as file:
            head = file.read(HEAD)
        for claim in dict.fromkeys((extension_of(uri), extension_of(safe_name(name)))):
            if complaint := complaint_about(head, claim):
                return f"{shown(uri).rpartition('/')[2]} {complaint}"
    return None


def _of_check(
    check: ResultCheck, staged: Sequence[tuple[str, Path]], sources: Sequence[str]
) -> str | None:
    """Return why the user's check refuses the results; None if it accepts them."""
    # Under their final names, because many libraries tell a format by the extension.
    with tempfile.TemporaryDirectory(prefix="airflow-provider-convertapi-check-") as place:
        names = [safe_name(uri.rpartition("/")[2]) for uri, _ in staged]
        # A directory for each, because two may have the same name.
        paths = [Path(place, str(number), name) for number, name in enumerate(names)]
        for path, (_, original) in zip(paths, staged, strict=True):
            path.parent.mkdir(exist_ok=True)
            # Links, because a copy of a large result would need its space once more.
            path.symlink_to(original.absolute())
        try:
            verdict = check(StagedResults(paths, sources))
            is_accepted = verdict is None or bool(verdict == True)  # noqa: E712 - NumPy's, too
            is_refused = bool(verdict == False)  # noqa: E712 - as above
        except ResultCheckError as error:
            return str(error) or "result_check gave no reason"
        # A check that calls `sys.exit` must not end the task: in direct mode a retry pays again.
        except (Exception, SystemExit) as error:
            said = redaction.shown(f"{type(error).__name__}: {error}")
            raise _BrokenCheckError(f"result_check raised {said}") from error
    if not is_accepted and not is_refused:
        kind = type(verdict).__name__
        raise _BrokenCheckError(f"result_check returned a {kind}, not True, False or None")
    return "result_check returned False" if is_refused else None


@contextmanager
def _unchanged(paths: Sequence[Path]) -> Iterator[None]:
    """Raise if results were changed meanwhile.

    What is published must be what the service sent: a later try compares the two, and would take
    another content for a foreign file and pay again.
    """
    before = [digest_of_path(path) for path in paths]
    yield
    for path, digest in zip(paths, before, strict=True):
        if not path.is_file() or digest_of_path(path) != digest:
            raise _BrokenCheckError("result_check changed a result, which it may only read")


def _refuse(
    reason: str, destination: Destination, staged: Sequence[tuple[str, Path]], paid: Paid
) -> NoReturn:
    kept, where = _keep(destination, staged)
    raise ResultCheckError(
        f"{paid.what}: the result is refused: {reason}. It was paid ({paid.cost} conversion(s)) "
        f"and is not published; {where}. It is not converted and paid again until the file, the "
        "parameters or conversion_key change (in a batch also with retry_failed=True).",
        tuple(kept),
    )


def _unchecked(
    reason: str, destination: Destination, staged: Sequence[tuple[str, Path]], paid: Paid
) -> ParameterError | ResultLostError:
    """Return the error of a check that failed itself, so that the results are not judged."""
    said = f"{paid.what} was converted and paid ({paid.cost} conversion(s)), but {reason}"
    if paid.is_stored:
        remedy = (
            "Nothing is published, and the result stays at ConvertAPI for two hours: fix "
            "result_check and clear the task, which collects it without paying again."
        )
        return ParameterError(f"{said}. {remedy}", {"result_check": [reason]}, bars_file=False)
    _, where = _keep(destination, staged)
    return ResultLostError(
        f"{said}. Nothing is published; {where}. Fix result_check; clearing the task converts "
        "and pays again."
    )


def _keep(destination: Destination, staged: Sequence[tuple[str, Path]]) -> tuple[list[str], str]:
    """Keep refused results; return their URIs, and a clause for the message that names them."""
    root = destination.root + REFUSED
    try:
        with Publication(Destination(root), inputs=[], overwrite=True) as publication:
            for uri, path in staged:
                kept = root + uri.removeprefix(destination.root)
                with publication.stage(kept, path.stat().st_size) as sink, path.open("rb") as file:
                    shutil.copyfileobj(file, sink, BLOCK)
            uris = publication.publish()
    except Exception as error:  # noqa: BLE001 - each store has its own; the refusal is what matters
        return [], f"it could not be kept for a look ({redaction.shown(str(error))})"
    return uris, f"for a look it is kept at {', '.join(map(shown, uris[:_SHOWN]))}" + (
        f" and {len(uris) - _SHOWN} more" if len(uris) > _SHOWN else ""
    )
