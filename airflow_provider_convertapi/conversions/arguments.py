"""The arguments as the user gave them, in one object that is passed on as a whole.

This module may change from release to release.  DAG files load it, so it imports nothing else of
this package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence  # noqa: TC003 - the aliases below need them
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NotRequired, Protocol, Required, TypedDict

OnQuota = Literal["fail", "raise"]
"""What happens when no conversions are left."""

ReportFormat = Literal["csv", "jsonl"]
"""The format of a report of the account's conversions."""

Seconds = float | timedelta


ResultCheck = Callable[[list[Path]], bool | None]
"""Gets the staged local files of one conversion; returns False to refuse them."""


class StoragePath(Protocol):
    """A path of Airflow's object storage, which is not a `PathLike` in every version."""

    @property
    def protocol(self) -> str:
        """The scheme of its store."""
        ...


PathArgument = str | PathLike[str] | StoragePath
"""A local path, or a path or URI of a store."""

SourceArgument = PathArgument | Sequence[PathArgument]
"""One file, directory, glob or URL, or several."""


class StepArguments(TypedDict, total=False):
    """A further conversion of the result, at the service."""

    to_format: Required[str]
    from_format: NotRequired[str | None]
    parameters: NotRequired[Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionOptions:
    """The arguments that keep their form when they are checked, for one file and for many.

    No field has a default, so that the type checker reports one that is not passed on.
    `ConvertApiOperator` documents each of them.
    """

    to_format: str
    from_format: str | None
    timeout: Seconds
    poll_interval: Seconds
    durable: bool
    overwrite: bool | None
    conversion_key: str | None
    result_check: ResultCheck | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionArguments(ConversionOptions):
    """The arguments of a conversion, which operators, hook and decorator share."""

    source: Any = field(repr=False)
    destination: Any = field(repr=False)
    parameters: Mapping[str, Any] | None = field(repr=False)
    steps: Sequence[StepArguments] | None = field(repr=False)
    on_quota_exhausted: str


class SharedKeywords(TypedDict, total=False):
    """The arguments of both operators that have a default, and the same type."""

    from_format: str | None
    parameters: Mapping[str, Any] | None
    steps: Sequence[StepArguments] | None
    timeout: Seconds
    poll_interval: Seconds
    durable: bool
    conversion_key: str | None
    result_check: ResultCheck | None


class ConversionKeywords(SharedKeywords, total=False):
    """The arguments of `ConvertApiOperator` that have a default."""

    overwrite: bool | None
    on_quota_exhausted: OnQuota


DEFAULTS: dict[str, Any] = {
    "from_format": None,
    "parameters": None,
    "steps": None,
    "timeout": 1800,
    "poll_interval": 10,
    "durable": True,
    "overwrite": None,
    "conversion_key": None,
    "result_check": None,
    "on_quota_exhausted": "fail",
}
"""The defaults of the operator, which the hook has, too."""


def conversion_arguments(**given: Any) -> ConversionArguments:
    """Return the arguments of one conversion; `TypeError` for an unknown name."""
    return ConversionArguments(**DEFAULTS | given)


def values_of(holder: Any, kind: Any) -> dict[str, Any]:
    """Return an object's attributes by name, for the fields of a dataclass.

    :param kind: the dataclass; `holder` may be of any other class.
    """
    names, values = _fields(kind)
    return dict(zip(names, values(holder), strict=True))


@cache
def _fields(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    names = tuple(kind.__dataclass_fields__)
    return names, attrgetter(*names)
