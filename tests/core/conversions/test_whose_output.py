"""Whose a file at an output is: what this conversion wrote, not what has its size."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import ConvertApiError, OutputExistsError
from tests.twins import write_twins

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.core.conversions.worker import Worker

MODES = ["durable", "direct", "deferred"]


@pytest.fixture
def twins(tmp_path: Path) -> list[Path]:
    """Give two documents of one name, whose results have one name and one size."""
    return write_twins(tmp_path)


def damage(file: Path) -> None:
    """Write into a file, whose size stays the same, and whose time of modification is kept."""
    before = file.stat()
    file.write_bytes(b"x" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def asked(source: Path, place: Path | str, **more: Any) -> dict[str, Any]:
    """Return what a conversion of one of the twins is asked with."""
    return {"source": source, "to_format": "html", "destination": place, **more}


# --- two results of one name -----------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_second_of_two_mapped_tasks_loses_nothing(
    sandbox: Sandbox, worker: Worker, twins: list[Path], tmp_path: Path, mode: str
) -> None:
    """The service chose the name, so that the first result stays; the second says so."""
    one, two = (asked(twin, f"{tmp_path}/out/") for twin in twins)
    worker.convert(mode, map_index=0, **one)
    before = (tmp_path / "out" / "a.html").read_bytes()

    with pytest.raises(OutputExistsError, match="overwrite=True"):
        worker.convert(mode, map_index=1, **two)

    assert b"one" in before
    assert before == (tmp_path / "out" / "a.html").read_bytes()
    assert 2 == sandbox.billed


@pytest.mark.parametrize("mode", MODES)
def test_two_mapped_tasks_at_one_moment_lose_nothing(
    worker: Worker, twins: list[Path], tmp_path: Path, mode: str
) -> None:
    """One of them publishes, the other fails: never both of them say that they converted."""

    def convert(index: int) -> list[str] | None:
        try:
            return worker.convert(
                mode, map_index=index, **asked(twins[index], f"{tmp_path}/out/")
            ).outputs
        except OutputExistsError:
            return None

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(convert, range(2)))

    assert 1 == outcomes.count(None)
    winner = b"two" if outcomes[0] is None else b"one"
    assert winner in (tmp_path / "out" / "a.html").read_bytes()
    assert ["a.html"] == [path.name for path in (tmp_path / "out").iterdir()]


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_loser_is_collected_elsewhere_without_paying(
    sandbox: Sandbox, worker: Worker, twins: list[Path], tmp_path: Path, mode: str
) -> None:
    """Its result stays: with another destination, or overwrite=True, it is collected."""
    one, two = (asked(twin, f"{tmp_path}/out/") for twin in twins)
    worker.convert(mode, map_index=0, **one)
    for number in (1, 2):  # once cleared, it compares the bytes, and says the same again
        with pytest.raises(OutputExistsError, match="clearing the task collects it without"):
            worker.convert(mode, map_index=1, number=number, **two)

    elsewhere = worker.convert(
        mode, map_index=1, number=3, **{**two, "destination": f"{tmp_path}/other/"}
    )

    assert b"two" in (tmp_path / "other" / "a.html").read_bytes()
    assert (0, 2, {}) == (elsewhere.charged, sandbox.billed, sandbox.files)


@pytest.mark.parametrize("mode", MODES)
def test_equal_results_of_two_tasks_are_the_second_ones_own(
    sandbox: Sandbox, worker: Worker, twins: list[Path], tmp_path: Path, mode: str
) -> None:
    """Whoever finds its own bytes at its output published them, and a cleared task reuses them."""
    for twin in twins:
        twin.write_text("The same.\n")
    for index, twin in enumerate(twins):
        worker.convert(mode, map_index=index, **asked(twin, f"{tmp_path}/out/"))

    again = worker.convert(mode, map_index=1, number=2, **asked(twins[1], f"{tmp_path}/out/"))

    assert [f"{tmp_path}/out/a.html"] == again.outputs
    if mode != "direct":  # which looks for nothing
        assert (0, 2) == (again.charged, sandbox.billed)


def test_loser_is_not_told_that_the_winners_file_is_its_own(
    sandbox: Sandbox, worker: Worker, twins: list[Path], tmp_path: Path
) -> None:
    """Not even where its own result is gone from the service: nothing is paid, either."""
    one, two = (asked(twin, f"{tmp_path}/out/") for twin in twins)
    worker.convert("durable", map_index=0, **one)
    with pytest.raises(OutputExistsError):
        worker.convert("durable", map_index=1, **two)
    sandbox.expire_files()

    with pytest.raises(OutputExistsError, match="Nothing was paid"):
        worker.convert("durable", map_index=1, number=2, **two)

    assert 2 == sandbox.billed


@pytest.mark.parametrize("mode", ["durable", "deferred"])
@pytest.mark.parametrize("overwrite", [True, None])
def test_clear_of_what_was_overwritten(
    sandbox: Sandbox,
    worker: Worker,
    twins: list[Path],
    tmp_path: Path,
    mode: str,
    overwrite: bool | None,
) -> None:
    """A clear of the first does not call the second's bytes its own, though their size is equal."""
    place: Path | str = tmp_path / "a.html" if overwrite is None else f"{tmp_path}/"
    one, two = (asked(twin, place, overwrite=overwrite) for twin in twins)
    worker.convert(mode, map_index=0, **one)
    worker.convert(mode, map_index=1, **two)
    assert b"two" in (tmp_path / "a.html").read_bytes()

    again = worker.convert(mode, map_index=1, number=2, **two)
    first = worker.convert(mode, map_index=0, number=2, **one)

    assert (0, 1) == (again.charged, first.charged)
    assert b"one" in (tmp_path / "a.html").read_bytes()
    assert 3 == sandbox.billed


# --- its own ---------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [None, True, False])
@pytest.mark.parametrize("mode", ["durable", "deferred"])
@pytest.mark.parametrize("name", ["a.md", "Grüße [1].md"])
def test_own_output_is_reused(
    sandbox: Sandbox,
    worker: Worker,
    tmp_path: Path,
    mode: str,
    overwrite: bool | None,
    name: str,
) -> None:
    """A finished task that is cleared finds what it wrote, in a directory and in a file."""
    source = tmp_path / "in" / name
    source.parent.mkdir()
    source.write_text("A text.\n")
    for place in (f"{tmp_path}/out/", tmp_path / f"{name}.html"):
        sandbox.reset()
        for number in (1, 2, 3):
            result = worker.convert(
                mode, number=number, **asked(source, place, overwrite=overwrite)
            )
            assert int(number == 1) == result.charged
        assert (1, {}) == (sandbox.billed, sandbox.files)


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_damaged_output_that_the_user_named(
    sandbox: Sandbox, worker: Worker, twins: list[Path], tmp_path: Path, mode: str
) -> None:
    """It has the right size and is not what was written: it is converted and paid once more."""
    given = asked(twins[0], tmp_path / "a.html")
    worker.convert(mode, **given)
    damage(tmp_path / "a.html")

    result = worker.convert(mode, number=2, **given)

    assert (1, 2) == (result.charged, sandbox.billed)
    assert b"one" in (tmp_path / "a.html").read_bytes()


@pytest.mark.parametrize("overwrite", [None, False])
def test_damaged_output_that_must_not_be_overwritten(
    sandbox: Sandbox, worker: Worker, twins: list[Path], tmp_path: Path, overwrite: bool | None
) -> None:
    """It is another file by now: an earlier attempt tells the name, so nothing is paid."""
    for place in (f"{tmp_path}/out/", f"{tmp_path}/out/named.html"):
        if overwrite is None and not place.endswith("/"):
            continue
        given = asked(twins[0], place, overwrite=overwrite)
        [output] = worker.convert("durable", map_index=0, **given).outputs
        damage(tmp_path / "out" / output.rpartition("/")[2])
        before = sandbox.billed

        with pytest.raises(OutputExistsError, match="Nothing was paid"):
            worker.convert("durable", map_index=0, number=2, **given)
        assert before == sandbox.billed
        sandbox.reset()


def test_missing_one_of_several_results(
    sandbox: Sandbox, worker: Worker, texts: list[Path], tmp_path: Path
) -> None:
    """The others are this conversion's own, so they may be written over without being asked."""
    given: dict[str, Any] = {
        "source": texts,
        "steps": [{"to_format": "txt"}],
        "destination": f"{tmp_path}/out/",
    }
    outputs = worker.convert("durable", **given).outputs
    (tmp_path / "out" / "b.txt").unlink()

    again = worker.convert("durable", number=2, **given)

    assert outputs == again.outputs
    assert ["a.txt", "b.txt", "c.txt"] == sorted(path.name for path in (tmp_path / "out").iterdir())


def test_users_own_file_is_written_over_by_default_and_spared_if_asked(
    sandbox: Sandbox, worker: Worker, twins: list[Path], tmp_path: Path
) -> None:
    """Who named the file decides: the user may overwrite what is there, and may forbid it."""
    named = tmp_path / "a.html"
    named.write_text("mine")
    with pytest.raises(OutputExistsError, match="Nothing was paid"):
        worker.convert("durable", **asked(twins[0], named, overwrite=False))
    assert ("mine", 0) == (named.read_text(), sandbox.billed)

    worker.convert("durable", **asked(twins[0], named))

    assert b"one" in named.read_bytes()


@pytest.mark.parametrize("mode", MODES)
def test_file_of_the_user_in_a_directory_is_spared(
    worker: Worker, twins: list[Path], tmp_path: Path, mode: str
) -> None:
    """The service chose its name, so it is not written over; True says otherwise."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.html").write_text("mine")
    given = asked(twins[0], f"{tmp_path}/out/")

    with pytest.raises(OutputExistsError, match="paid"):
        worker.convert(mode, **given)
    assert "mine" == (tmp_path / "out" / "a.html").read_text()

    worker.convert(mode, number=2, **given, overwrite=True)
    assert b"one" in (tmp_path / "out" / "a.html").read_bytes()


def test_cleared_direct_task_replaces_its_own_file(
    sandbox: Sandbox, worker: Worker, letter: Path, tmp_path: Path
) -> None:
    """It pays again, as direct tasks do, and knows its own file by its mark."""
    worker.convert("direct", source=letter, destination=tmp_path / "letter.pdf")
    given: dict[str, Any] = {
        "source": tmp_path / "letter.pdf",
        "to_format": "protect",  # with keys that are random each time
        "parameters": {"UserPassword": "open sesame"},
        "destination": f"{tmp_path}/out/",
    }
    [output] = worker.convert("direct", **given).outputs
    first = Path(output).read_bytes()

    assert [output] == worker.convert("direct", number=2, **given).outputs
    assert first != Path(output).read_bytes()
    assert 3 == sandbox.billed


@pytest.mark.parametrize("mode", MODES)
def test_time_of_an_output_is_never_in_the_future(
    worker: Worker, letter: Path, tmp_path: Path, mode: str
) -> None:
    """The mark is in digits of the time that nobody reads: it is off by milliseconds at most."""
    written = []
    for index in range(3):
        out = tmp_path / f"{index}.pdf"
        worker.convert(mode, map_index=index, source=letter, destination=out)
        later = tmp_path / "later"
        later.write_bytes(b"")
        written.append(later.stat().st_mtime_ns - out.stat().st_mtime_ns)

    assert all(0 <= late < 5 * 10**9 for late in written)


def test_errors_are_permanent(worker: Worker, twins: list[Path], tmp_path: Path) -> None:
    """A retry would meet the same file."""
    one, two = (asked(twin, f"{tmp_path}/out/") for twin in twins)
    worker.convert("durable", map_index=0, **one)

    with pytest.raises(ConvertApiError) as caught:
        worker.convert("durable", map_index=1, **two)
    assert not caught.value.transient
