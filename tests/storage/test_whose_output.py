"""Whose an output is, in each kind of store: what this conversion wrote bears its mark."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import OutputExistsError
from airflow_provider_convertapi.storage import Destination, Publication
from tests.twins import write_twins

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from convertapi_sandbox import Sandbox
    from tests.storage.conftest import DiskStore, S3Store, Store

pytestmark = pytest.mark.long

KEEPS_MARKS = ["local", "s3"]
ALL = [*KEEPS_MARKS, "sftp"]


@pytest.fixture
def sandbox(convertapi_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Provide a fresh sandbox and a short settle time."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.2")
    return convertapi_sandbox


@pytest.fixture
def twins(tmp_path: Path) -> list[Path]:
    """Give two documents of one name, whose results have one name and one size."""
    return write_twins(tmp_path)


def hook_of(map_index: int, number: int = 1) -> ConvertApiHook:
    """Return the hook of a try of one of two mapped tasks."""
    from airflow_provider_convertapi.conversions.task import TaskTry
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    hook = ConvertApiHook()
    names: dict[str, Any] = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": map_index}
    hook.open_session(TaskTry(**names, number=number, started=time.time()))
    return hook


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("kind", ALL)
def test_two_mapped_tasks_at_one_moment(
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
    twins: list[Path],
    kind: str,
    durable: bool,
) -> None:
    """One publishes, the other fails; what was published is whole and stays."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    hooks = [hook_of(index) for index in range(2)]

    def convert(index: int) -> bool:
        try:
            hooks[index].convert(twins[index], "html", store.uri, durable=durable)
        except OutputExistsError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        published = list(pool.map(convert, range(2)))

    assert [False, True] == sorted(published)
    assert (b"one", b"two")[published.index(True)] in store.read("a.html")
    assert ["a.html"] == store.names()


@pytest.mark.parametrize("kind", ALL)
def test_own_output_is_reused(
    request: pytest.FixtureRequest, sandbox: Sandbox, twins: list[Path], kind: str
) -> None:
    """Whatever `overwrite` says, clearing the task finds what the conversion wrote."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    for index, overwrite in enumerate((None, True, False)):
        for number in (1, 2):
            place = f"{store.uri}{index}/"
            hook_of(0, number).convert(
                twins[0], "html", place, overwrite=overwrite, conversion_key=str(index)
            )

    assert (3, {}) == (sandbox.billed, sandbox.files)


@pytest.mark.parametrize("kind", KEEPS_MARKS)
def test_clear_of_what_was_overwritten(
    request: pytest.FixtureRequest, sandbox: Sandbox, twins: list[Path], kind: str
) -> None:
    """The other one's bytes have the same size, and are not called its own."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    for index, twin in enumerate(twins):
        hook_of(index).convert(twin, "html", store.uri, overwrite=True)
    assert b"two" in store.read("a.html")

    for index in (1, 0):
        hook_of(index, 2).convert(twins[index], "html", store.uri, overwrite=True)

    assert b"one" in store.read("a.html")
    assert 3 == sandbox.billed


@pytest.mark.parametrize("kind", KEEPS_MARKS)
def test_damaged_output_is_nobodys(
    request: pytest.FixtureRequest, sandbox: Sandbox, twins: list[Path], kind: str
) -> None:
    """Another program wrote to it: it is converted anew where the user named it, else spared."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    places = {"a.html": store.uri, "named.html": f"{store.uri}named.html"}
    for index, (name, place) in enumerate(places.items()):
        hook_of(index).convert(twins[0], "html", place)
        store.write(name, b"x" * len(store.read(name)))

    with pytest.raises(OutputExistsError, match="Nothing was paid"):
        hook_of(0, 2).convert(twins[0], "html", store.uri)
    hook_of(1, 2).convert(twins[0], "html", places["named.html"])

    assert b"x" == store.read("a.html")[:1]
    assert b"one" in store.read("named.html")
    assert 3 == sandbox.billed


@pytest.mark.parametrize("kind", ALL)
def test_one_conversion_in_two_stores(
    request: pytest.FixtureRequest, sandbox: Sandbox, twins: list[Path], tmp_path: Path, kind: str
) -> None:
    """A second place costs nothing, though the service has deleted the result."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    hook = hook_of(0)
    for place in (store.uri, f"{tmp_path}/copy/", f"{store.uri}more/"):
        hook.convert(twins[0], "html", place)

    assert (1, {}) == (sandbox.billed, sandbox.files)
    copies = [store.read("a.html"), store.read("more/a.html")]
    assert [(tmp_path / "copy" / "a.html").read_bytes()] * 2 == copies


def _publish(uri: str, data: bytes, stamp: str, *, overwrite: bool) -> None:
    place = Destination.parse(uri)
    with Publication(place, inputs=[], overwrite=overwrite, stamp=lambda _: stamp) as publication:
        with publication.stage(uri, len(data)) as sink:
            sink.write(data)
        publication.publish()


@pytest.mark.parametrize("kind", ALL)
def test_mark_stays_until_somebody_writes(request: pytest.FixtureRequest, kind: str) -> None:
    """However it was published; a store without marks says that it cannot tell."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    for name, overwrite in (("created", False), ("replaced", True)):
        uri = store.uri + name
        _publish(uri, b"one", "abcdef", overwrite=overwrite)
        found = Destination(uri).state(uri)
        assert found is not None
        if kind not in KEEPS_MARKS:
            assert found.bears("abcdef") is None
            continue
        assert (True, False) == (found.bears("abcdef"), found.bears("0bcdef"))
        store.write(name, b"two")
        written = Destination(uri).state(uri)
        assert written is not None
        assert written.bears("abcdef") is False


@pytest.mark.parametrize("step", [1_000, 10_000_000, 2_000_000_000])
def test_disk_with_coarse_times_cannot_tell(
    local_store: DiskStore, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """It says so, rather than that its files were written by somebody else."""
    real = os.utime

    def keep(path: Path, *, ns: tuple[int, int]) -> None:  # as the kernel does on such a disk
        real(path, ns=(ns[0], ns[1] // step * step))

    monkeypatch.setattr(os, "utime", keep)
    uri = local_store.uri + "a.html"

    _publish(uri, b"one", "abcdef", overwrite=False)

    found = Destination(uri).state(uri)
    assert found is not None
    assert found.bears("abcdef") is None


def test_disk_that_keeps_its_own_times_takes_a_result(
    local_store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that cannot be marked is published all the same."""

    def refuse(*_: object, **__: object) -> None:  # as some network file systems do
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)

    _publish(local_store.uri + "a.html", b"one", "abcdef", overwrite=False)

    assert b"one" == local_store.read("a.html")


def test_mark_of_a_large_object(s3_store: S3Store) -> None:
    """An upload in parts bears it, too."""
    uri = s3_store.uri + "large.bin"

    _publish(uri, bytes(32 << 20), "abcdef", overwrite=False)

    found = Destination(uri).state(uri)
    assert found is not None
    assert found.bears("abcdef")


@pytest.mark.parametrize("kind", KEEPS_MARKS)
def test_own_file_is_replaced_without_being_asked(
    request: pytest.FixtureRequest, kind: str
) -> None:
    """What still bears the mark was written by this conversion, and may be written anew by it."""
    store: Store = request.getfixturevalue(f"{kind}_store")
    uri = store.uri + "a.html"
    _publish(uri, b"one", "abcdef", overwrite=False)
    _publish(uri, b"two", "abcdef", overwrite=False)
    assert b"two" == store.read("a.html")

    with pytest.raises(OutputExistsError):
        _publish(uri, b"six", "fedcba", overwrite=False)
    assert b"two" == store.read("a.html")
