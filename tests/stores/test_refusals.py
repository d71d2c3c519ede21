"""Missing buckets and refused connections: permanent, and found before anything is paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.airflow_names import AirflowFailException
from airflow_provider_convertapi.errors import (
    ConnectionConfigError,
    InputNotFoundError,
    OutputNotWritableError,
    ParameterError,
)
from airflow_provider_convertapi.storage import check_uri, find_source
from tests.stores.conftest import STORES, in_turn
from tests.stores.test_batches import places, write
from tests.stores.test_single import MODES, convert
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from convertapi_sandbox import Sandbox
    from tests.batch.nights import Night
    from tests.stores.places import Place

CHECKED = [name for name in STORES if name != "localbucket"]
"""Stores whose server checks credentials."""


@pytest.fixture(params=in_turn(*CHECKED))
def checked(request: pytest.FixtureRequest, stores: Callable[[str], Place]) -> Place:
    """Provide a fresh place in each store that checks credentials."""
    return stores(request.param)


@MODES
def test_missing_bucket_as_destination(
    sandbox: Sandbox, objects: Place, mode: dict[str, Any]
) -> None:
    """Nothing is paid."""
    objects.write("in.txt", b"Hello\n")

    with pytest.raises(ParameterError, match="bucket that does not exist") as caught:
        convert(objects, f"{objects.missing}a.pdf", **mode)

    assert isinstance(caught.value, AirflowFailException)
    assert 0 == sandbox.billed


def test_missing_bucket_as_destination_of_a_batch(night: Night, objects: Place) -> None:
    """The same."""
    write(objects, 3)

    with pytest.raises(ParameterError, match="bucket that does not exist"):
        night.run(**places(objects, destination=objects.missing))

    assert 0 == night.paid


@pytest.mark.parametrize("tail", ["", "*.txt", "**/*.txt"])
def test_missing_bucket_as_source_of_a_batch(night: Night, objects: Place, tail: str) -> None:
    """An empty source would be a success."""
    with pytest.raises(InputNotFoundError):
        night.run(**places(objects, source=f"{objects.missing}{tail}"))


def test_missing_bucket_as_source(sandbox: Sandbox, objects: Place) -> None:
    """A single document is not there."""
    with pytest.raises(InputNotFoundError):
        convert(type(objects)(**{**vars(objects), "root": "missing/x"}), f"{objects.uri}a.pdf")


@MODES
def test_refused_destination(sandbox: Sandbox, checked: Place, mode: dict[str, Any]) -> None:
    """The error names the connection, ends the task, and nothing is paid."""
    checked.write("in.txt", b"Hello\n")

    for conn_id in checked.refused:
        with pytest.raises(ConnectionConfigError, match=conn_id) as caught:
            convert(checked, f"{checked.by(conn_id)}a.pdf", **mode)
        assert isinstance(caught.value, AirflowFailException)

    assert 0 == sandbox.billed


def test_refused_destination_of_a_batch(night: Night, checked: Place) -> None:
    """The same."""
    write(checked, 3)

    for conn_id in checked.refused:
        with pytest.raises(ConnectionConfigError, match=conn_id):
            night.run(**places(checked, destination=f"{checked.by(conn_id)}out/"))

    assert 0 == night.paid


def test_refused_source(sandbox: Sandbox, checked: Place) -> None:
    """A single document."""
    for conn_id in checked.refused:
        place = type(checked)(**{**vars(checked), "conn_id": conn_id})
        with pytest.raises(ConnectionConfigError, match=conn_id) as caught:
            convert(place, f"{checked.uri}a.pdf")
        assert isinstance(caught.value, AirflowFailException)


def test_refused_source_of_a_batch(night: Night, checked: Place) -> None:
    """Neither an empty success nor an error that Airflow would try again."""
    for conn_id in checked.refused:
        with pytest.raises(ConnectionConfigError, match=conn_id) as caught:
            night.run(**places(checked, source=f"{checked.by(conn_id)}in/"))
        assert isinstance(caught.value, AirflowFailException)


@MODES
def test_destination_that_may_only_be_read(
    sandbox: Sandbox, stores: Callable[[str], Place], mode: dict[str, Any]
) -> None:
    """Only an attempt to write tells, and it costs nothing."""
    place = stores("moto")
    place.write("in.txt", b"Hello\n")

    with pytest.raises(OutputNotWritableError, match="Nothing was paid"):
        convert(place, f"s3://moto_reader@bucket/{place.key('a.pdf')}", **mode)

    assert 0 == sandbox.billed


def test_batch_into_what_may_only_be_read(night: Night, stores: Callable[[str], Place]) -> None:
    """The same for a batch."""
    place = stores("moto")
    write(place, 3)

    with pytest.raises(OutputNotWritableError):
        night.run(**places(place, destination=f"s3://moto_reader@bucket/{place.key('out/')}"))

    assert 0 == night.paid


def test_trial_leaves_nothing(night: Night, store: Place) -> None:
    """What was tried before paying is not there afterwards."""
    write(store, 1)

    night.run(TaskInstance(), **places(store))

    assert ["0/000.pdf"] == store.outputs()


def test_adl_is_refused(stores: Callable[[str], Place], sandbox: Sandbox) -> None:
    """Airflow's path of it loses the container."""
    place = stores("azure")
    place.write("in.txt", b"Hello\n")

    with pytest.raises(ParameterError, match="abfs://"):
        convert(place, place.uri.replace("abfs://", "adl://") + "a.pdf")


def test_azure_connection_without_an_account(
    stores: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what is missing, and not that a package is."""
    stores("azure")
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_EMPTY", '{"conn_type": "wasb", "password": "a2V5"}')

    with pytest.raises(ConnectionConfigError, match=r"'azure_empty'.*account_name") as caught:
        find_source("abfs://azure_empty@container/a.txt")
    assert "pip install" not in str(caught.value)


@pytest.mark.parametrize("path", ["in/../a.txt", "./a.txt", "in/."])
def test_azure_path_with_dots_is_refused(path: str) -> None:
    """Azure's library resolves it after it has signed it, so that the server blames the key."""
    with pytest.raises(ParameterError, match=r"source .*'\.\.'"):
        check_uri(f"abfs://azure@container/{path}", "source")
