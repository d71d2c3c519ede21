"""The steps of a chain, as a user writes them, and the chain of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.conversions.arguments import (
    format_name,
    listed,
    split_parameters,
    wrong,
)
from airflow_provider_convertapi.conversions.chain import Chain
from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage import Source, find_source, is_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_convertapi.api.ids import JobIds
    from airflow_provider_convertapi.conversions.job import Work
    from airflow_provider_convertapi.conversions.request import Order
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

_KEYS = ("to_format", "from_format", "parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One conversion of what the step before made.

    :param number: counted from 1, which is the conversion that the operator itself names.
    :param from_format: None for the format that the step before makes.
    :param plain: the converter's parameters as text, without files and `Timeout`.
    :param files: its file parameters, found; a URL is the service's to fetch.
    """

    number: int
    from_format: str | None
    to_format: str
    plain: Mapping[str, str] = field(repr=False)
    files: Mapping[str, Source | str] = field(repr=False)
    service_timeout: int | None

    def identity(self) -> dict[str, Any]:
        """Return what makes it this step, as JSON can hold it."""
        return {
            "from": self.from_format,
            "to": self.to_format,
            "plain": dict(self.plain),
            "files": {
                name: [file.uri, file.fingerprint] if isinstance(file, Source) else [file]
                for name, file in self.files.items()
            },
        }


def check_steps(steps: object, *, find_files: bool = True) -> tuple[Step, ...]:
    """Check the steps after the first; `ParameterError` names the one that is wrong.

    :param find_files: False leaves file parameters as the URIs they were given as.
    """
    if steps is None:
        return ()
    if not isinstance(steps, Sequence) or isinstance(steps, str | bytes):
        raise wrong("steps", f"is a {type(steps).__name__}; it must be a list of mappings")
    checked = [_step(number, step) for number, step in enumerate(steps, 2)]
    return tuple(with_found_files(step) if find_files else step for step in checked)


def _step(number: int, step: object) -> Step:
    name = f"steps[{number - 2}]"
    if not isinstance(step, Mapping) or not set(step) <= set(_KEYS) or "to_format" not in step:
        raise wrong(
            name, "must be a mapping with to_format and, if need be, from_format and parameters"
        )
    files, plain, service_timeout = split_parameters(step.get("parameters"))
    origin = step.get("from_format")
    return Step(
        number=number,
        from_format=None if origin is None else format_name(f"{name}['from_format']", origin),
        to_format=format_name(f"{name}['to_format']", step["to_format"]),
        plain=plain,
        files=files,
        service_timeout=service_timeout,
    )


def with_found_files(step: Step) -> Step:
    """Return the step with its file parameters found; `InputNotFoundError` names one that is gone.

    :param step: its files are URIs.
    """
    field = f"steps[{step.number - 2}]['parameters']"
    found = {
        key: uri if is_url(str(uri)) else find_source(str(uri), field=f"{field}[{key!r}]")
        for key, uri in step.files.items()
    }
    return replace(step, files=found)


def first_orders(place: Callable[..., Order], source: object) -> list[Order]:
    """Return what is asked of the first step: one order, or one for each source.

    A converter of several files takes them together; any other converts each, so that a later
    step can merge what they become.

    :param place: places an order for a source.
    """
    try:
        return [place(source=source)]
    except ParameterError as error:
        if "source" not in error.invalid or len(listed(source)) == 1:
            raise
        return [place(source=one) for one in listed(source)]


def chain_of(
    hook: ConvertApiHook,
    orders: Sequence[Order],
    steps: Sequence[Step],
    conversion_key: str | None,
    *,
    seconds: float | None = None,
) -> Chain:
    """Return the chain of a task: the next try finds each of its jobs again.

    :param seconds: how long each job is waited for; None means the order's timeout.
    """
    scope = {**hook.scope.names, "call": hook.scope.call_number(identity(orders, steps))}

    def make_work(order: Order, ids: JobIds) -> Work:
        return hook.resumed(order, ids.derivation, seconds=seconds).work

    hook.warn_of_limits()
    return Chain(
        orders=orders,
        steps=steps,
        seed={"namespace": hook.settings.namespace, "key": conversion_key},
        scope=scope,
        make_work=make_work,
        key=hook.settings.id_key,
    )


def identity(orders: Sequence[Order], steps: Sequence[Step]) -> dict[str, Any]:
    """Return what makes a chain the same chain."""
    return {
        "first": [order.seed() for order in orders],
        "steps": [step.identity() for step in steps],
    }
