"""Shards: together the whole source, each file once, below Airflow's limit, with a budget each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import InputNotFoundError, ParameterError
from airflow_provider_convertapi.shards import find_shards

if TYPE_CHECKING:
    from pathlib import Path

    from tests.batch.nights import Night


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Provide a folder of 25 files."""
    for number in range(25):
        place = tmp_path / "in" / str(number % 3)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.txt").write_text("x")
    return tmp_path / "in"


def test_shards_are_as_many_as_the_files_need(folder: Path) -> None:
    """A shard says which it is, of how many; what is returned does not grow with the files."""
    shards = find_shards(str(folder), files_per_shard=10)

    assert [{"source": str(folder), "shard": [index, 3]} for index in range(3)] == shards
    assert 300 > len(json.dumps(shards[0]))


def test_airflows_limit_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more shards than Airflow maps over, or than the caller wants."""
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "4")

    assert 4 == len(find_shards(str(folder), files_per_shard=1))
    assert 2 == len(find_shards(str(folder), files_per_shard=1, most_shards=2))
    assert 4 == len(find_shards(str(folder), files_per_shard=1, most_shards=20))


def test_empty_source_is_one_shard(tmp_path: Path) -> None:
    """So that its batch, and `on_empty`, decide what that means."""
    (tmp_path / "in").mkdir()

    assert [{"source": f"{tmp_path}/in", "shard": [0, 1]}] == find_shards(f"{tmp_path}/in")
    with pytest.raises(InputNotFoundError):
        find_shards(f"{tmp_path}/nowhere")


@pytest.mark.parametrize("budget", [0, 1, 24, 25, 26, 1000])
def test_budget_is_divided_without_loss(folder: Path, budget: int) -> None:
    """Each shard may pay for its files where the whole may, and all of them for the budget."""
    shards = find_shards(str(folder), files_per_shard=4, max_conversions=budget)
    again = [find_files_of(shard) for shard in shards]

    assert budget == sum(shard["max_conversions"] for shard in shards)
    assert 25 == sum(again)
    if budget >= 25:
        assert all(
            shard["max_conversions"] >= count for shard, count in zip(shards, again, strict=True)
        )


def find_files_of(shard: dict[str, Any]) -> int:
    """Return how many files a batch finds in a shard."""
    from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
    from tests.tries import TaskInstance, execute

    given = {key: value for key, value in shard.items() if key != "max_conversions"}
    operator = ConvertApiBatchOperator(
        task_id="batch", source=given, to_format="pdf", destination="out", plan_only=True
    )
    found: int = execute(operator, TaskInstance())["to_convert"]
    return found


def test_list_is_divided_itself(folder: Path) -> None:
    """A list travels once, not once for each shard; names that may collide stay together."""
    source = [str(path) for path in sorted(folder.rglob("*.txt"))]

    shards = find_shards([*source, f"{folder}/0/0.md"], files_per_shard=5)

    listed = [uri for shard in shards for uri in shard["source"]]
    assert sorted([*source, f"{folder}/0/0.md"]) == sorted(listed)
    [together] = [shard["source"] for shard in shards if f"{folder}/0/0.md" in shard["source"]]
    assert f"{folder}/0/0.txt" in together


def test_file_of_several_entries_counts_once(folder: Path) -> None:
    """A budget that is enough for every file is enough for every shard."""
    shards = find_shards([f"{folder}/", f"{folder}/0/"], files_per_shard=10, max_conversions=25)

    assert [find_files_of(shard) for shard in shards] == [
        shard["max_conversions"] for shard in shards
    ]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        pytest.param({"source": "in", "shards": [0, 1]}, "source is a mapping of", id="key"),
        pytest.param({"shard": [0, 1]}, "source is a mapping of shard", id="no-source"),
        pytest.param({"source": "in", "shard": 3}, r"source\['shard'\] is 3", id="number"),
        pytest.param({"source": "in", "shard": [2, 2]}, "from 0 to 1", id="above"),
        pytest.param({"source": "in", "shard": [3, 1]}, "from 0 to 0", id="above-the-only-one"),
        pytest.param({"source": "in", "shard": [0, 0]}, "at least 1", id="none"),
        pytest.param({"source": "in", "shard": ["x", 2]}, "whole number", id="text"),
    ],
)
def test_wrong_shard_is_refused(night: Night, source: dict[str, Any], named: str) -> None:
    """The error says what a shard looks like."""
    with pytest.raises(ParameterError, match=named):
        night.run(source=source)


def test_shard_may_be_rendered_text(night: Night) -> None:
    """Numbers that a template made are text."""
    night.write("a.txt")

    assert 1 == night.run(source={"source": str(night.source), "shard": ["0", "1"]})["converted"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"files_per_shard": 0}, "files_per_shard is 0; it must be a whole number of at least 1"),
        ({"files_per_shard": "many"}, "files_per_shard is 'many'"),
        ({"files_per_shard": None}, "files_per_shard is None"),
        ({"most_shards": 0}, "most_shards is 0"),
        ({"most_shards": 2.5}, "most_shards is 2.5"),
        ({"max_conversions": -5}, "max_conversions is -5"),
        ({"max_conversions": True}, "max_conversions is True"),
    ],
    ids=str,
)
def test_wrong_numbers_are_named(folder: Path, given: dict[str, Any], complaint: str) -> None:
    """As a batch names them."""
    with pytest.raises(ParameterError, match=complaint):
        find_shards(str(folder), **given)


def test_numbers_may_be_rendered_text(folder: Path) -> None:
    """A DAG's parameters are often text."""
    given: dict[str, Any] = {"files_per_shard": "10", "most_shards": "2", "max_conversions": "25"}

    shards = find_shards(str(folder), **given)

    assert (2, 25) == (len(shards), sum(shard["max_conversions"] for shard in shards))
