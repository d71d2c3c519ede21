"""Values of odd types and sizes: each is refused by name before anything is paid, or works."""

from __future__ import annotations

import functools
from collections import UserList
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_convertapi.checks import min_characters, not_empty
from airflow_provider_convertapi.conversions.catalogued import check_catalogue
from airflow_provider_convertapi.conversions.fields import check_step_keys, split_parameters
from airflow_provider_convertapi.conversions.secrets import (
    concealed_steps,
    concealed_uris,
    revealed,
    secrets_in,
)
from airflow_provider_convertapi.conversions.values import (
    OPTIONS,
)
from airflow_provider_convertapi.errors import ParameterError

LONG = "9" * 5000
"""Python reads no number of so many digits."""


async def checks_later(paths: list[Path]) -> bool:
    """Return a coroutine, which is not a verdict."""
    return bool(paths)


def check_without_paths() -> bool:
    """Take no results."""
    return True


def check_of_two(paths: list[Path], least: int) -> bool:
    """Take more than the results."""
    return len(paths) > least


def yields(paths: list[Path]) -> Any:
    """Return a generator, which is not a verdict."""
    yield from paths


class Check:
    """A check that is an object."""

    def __init__(self, least: int) -> None:
        self.least = least

    def __call__(self, paths: list[Path]) -> bool:
        """Take the results."""
        return len(paths) > self.least

    async def later(self, paths: list[Path]) -> bool:
        """Return a coroutine."""
        return bool(paths)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("not_empty", "is a str; it must be a callable"),
        (check_without_paths, "called with one argument, the list of paths"),
        (lambda: True, "called with one argument"),
        (check_of_two, "called with one argument"),
        (functools.partial(check_of_two, [], 1), "called with one argument"),
        (checks_later, "async"),
        (functools.partial(checks_later), "async"),
        (Check(1).later, "async"),
        (yields, "generator"),
        (Check, "is the class Check; it must be an object or a function"),
        (min_characters, r"is the class min_characters"),
    ],
)
def test_check_that_cannot_judge(check: Any, text: str) -> None:
    """What could give no verdict is refused when the DAG is parsed, not after the conversion."""
    with pytest.raises(ParameterError, match=f"^result_check .*{text}"):
        OPTIONS.check("result_check", check)


@pytest.mark.parametrize(
    "check",
    [
        None,
        not_empty,
        min_characters(5),
        Check(1),
        Check(1).__call__,
        functools.partial(check_of_two, least=1),
        lambda *paths: True,
        all,
        bool,
    ],
)
def test_check_that_can_judge(check: Any) -> None:
    """Functions, methods, objects and built-ins that take one argument are checks."""
    assert check is OPTIONS.check("result_check", check)


@pytest.mark.parametrize("number", ["many", None, -1, 1.5, [Path("a.txt")]])
def test_least_number_of_characters(number: Any) -> None:
    """A wrong number is refused when the DAG is parsed, not when a result is compared with it."""
    with pytest.raises(ParameterError, match=r"^min_characters is"):
        min_characters(number)


@pytest.mark.parametrize("timeout", ["²", "١٢", LONG, "", " 30", "-30", 30.5])
def test_service_timeout(timeout: Any) -> None:
    """Digits that are none for Python, and too many, are refused as the others are."""
    with pytest.raises(ParameterError, match=r"'Timeout'. is .*10 to 1200") as caught:
        split_parameters({"Timeout": timeout})

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"PageRange": LONG}, "'PageRange'.*numbers must be from 1 to 6000"),
        *(({"PageRange": value}, "it must be a range") for value in (1.5, "1.0", "1,2.5")),
        ({1: "x"}, r"parameters\['1'\]: docx to pdf has no such parameter"),
        ({None: "x"}, r"parameters\['None'\]: docx to pdf has no such parameter"),
    ],
)
def test_parameter_of_odd_kind(given: Any, text: str) -> None:
    """Names that are not text, and numbers without limit, are reported like other mistakes."""
    with pytest.raises(ParameterError, match=text):
        check_catalogue(["docx"], "pdf", given, [])


@pytest.mark.parametrize("name", ["a b", "x\ny", "", 'a"', "Größe"])
def test_name_that_no_form_can_hold(name: str) -> None:
    """It is refused before the steps ahead of it are paid, even if unknown names are allowed."""
    with pytest.raises(ParameterError, match=r"steps\[1\].*not a parameter's name"):
        split_parameters({name: 1}, "steps[1]['parameters']")


@pytest.mark.parametrize(
    "name", ["timeout", "durable", "on_quota_exhausted", "conversion_key", "overwrite"]
)
def test_number_that_python_does_not_write(name: str) -> None:
    """A message has no room for a number of thousands of digits, nor for a long text."""
    for value in (10**5000, [10**5000], "x" * 5000):
        if name == "conversion_key" and isinstance(value, str):
            continue  # a key may have any length
        with pytest.raises(ParameterError, match=f"^{name} is") as caught:
            OPTIONS.check(name, value)

        assert len(str(caught.value)) < 200


class Array:
    """Like NumPy's arrays, it cannot be compared as a whole."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        """Return the comparison of each element."""
        return self

    def __bool__(self) -> bool:
        """Raise as NumPy does."""
        raise ValueError("the truth value of an array is ambiguous")


def test_choice_that_cannot_be_compared() -> None:
    """An array for a choice is refused like any other value."""
    with pytest.raises(ParameterError, match=r"on_quota_exhausted is .*'fail' or 'raise'"):
        OPTIONS.check("on_quota_exhausted", Array())


def test_step_of_odd_keys() -> None:
    """A key of a step that is not text is named in the error."""
    with pytest.raises(ParameterError, match=r"steps\[0\] must be a mapping.* has '1'"):
        check_step_keys("steps[0]", {1: 2, "to_format": "pdf"})


def test_secrets_in_sequences_that_are_no_lists() -> None:
    """What mapped tasks return is a lazy sequence; its secrets are hidden as a list's are."""
    url = "https://h.org/a.pdf?sig=s3cr3t"
    steps = UserList([{"to_format": "protect", "parameters": {"UserPassword": "passw0rd"}}])
    urls = UserList([url])

    assert {"s3cr3t", "passw0rd"} <= {
        secret.removeprefix("sig=") for secret in secrets_in(urls, None, steps, None)
    }
    assert "passw0rd" not in repr(concealed_steps(steps))
    assert "s3cr3t" not in repr(concealed_uris(urls))
    assert [url] == revealed(concealed_uris(urls))
    assert type(revealed(urls)) is list
