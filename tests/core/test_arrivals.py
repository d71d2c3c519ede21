"""What a watcher counts as new: files that were added or changed, and nothing else."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.batch.arrivals import Seen, check_watched, compare, list_place
from airflow_provider_convertapi.errors import InputNotFoundError, ParameterError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Provide a folder with two documents."""
    (tmp_path / "a.docx").write_text("a")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.docx").write_text("b")
    return tmp_path


def look(source: Any, before: Seen | None = None, min_age: float = 0) -> tuple[Seen, int]:
    """List a place and compare it with what is known."""
    given = [str(one) for one in source] if isinstance(source, list) else str(source)
    return compare(list_place(given), min_age, before)


def restored(seen: Seen) -> Seen:
    """Return what a triggerer that restarts reads."""
    found = Seen.from_json(json.loads(json.dumps(seen.as_json())))
    assert found is not None
    return found


def age(file: Path, seconds: float) -> None:
    """Let a file be written so many seconds ago."""
    then = time.time() - seconds
    os.utime(file, (then, then))


def test_first_look_counts_what_is_there(place: Path) -> None:
    """A watcher that knows nothing takes all files for new: none may be lost."""
    seen, new = look(place)

    assert (2, 2) == (seen.files, new)
    assert (0, 0) == (look(place / "*.pdf")[0].files, look(place / "*.pdf")[1])


def remove(place: Path) -> None:
    """Remove a file."""
    (place / "a.docx").unlink()


def add_two(place: Path) -> None:
    """Add two files."""
    (place / "c.docx").write_text("c")
    (place / "d.docx").write_text("d")


def change(place: Path) -> None:
    """Write a file anew."""
    (place / "a.docx").write_text("longer")


def rename(place: Path) -> None:
    """Give a file another name."""
    (place / "a.docx").rename(place / "z.docx")


def replace(place: Path) -> None:
    """Remove a file and add two."""
    remove(place)
    add_two(place)


def nothing(place: Path) -> None:
    """Leave everything as it is."""


def add_what_is_no_input(place: Path) -> None:
    """Add a hidden file, an office program's lock, an unfinished result and our own records."""
    for name in (".hidden", "~$a.docx", ".a.pdf.1234.part", "_convertapi/manifest/1.jsonl"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("x")


@pytest.mark.parametrize("is_restarted", [False, True], ids=["going on", "restarted"])
@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (nothing, 0),
        (add_two, 2),
        (change, 1),
        (rename, 1),
        (remove, 0),
        (replace, 2),
        (add_what_is_no_input, 0),
    ],
    ids=["nothing", "added", "changed", "renamed", "removed", "replaced", "no input"],
)
def test_what_is_new(place: Path, happens: Any, expected: int, *, is_restarted: bool) -> None:
    """Added and changed files are; a removal alone is nothing, also after a restart."""
    before, _ = look(place)
    happens(place)

    seen, new = look(place, restored(before) if is_restarted else before)

    assert expected == new
    assert 0 == look(place, restored(seen))[1]


def test_file_that_returns_is_new(place: Path) -> None:
    """What was removed is forgotten."""
    first, _ = look(place)
    content = (place / "a.docx").stat()
    (place / "a.docx").unlink()
    second, _ = look(place, first)
    (place / "a.docx").write_text("a")
    os.utime(place / "a.docx", ns=(content.st_atime_ns, content.st_mtime_ns))

    assert 1 == look(place, second)[1]


def test_young_file_waits(place: Path) -> None:
    """A file younger than `min_age` does not count until it is old enough."""
    age(place / "a.docx", 100)

    first, new = look(place, min_age=60)
    assert (1, 1) == (first.files, new)
    age(place / "sub" / "b.docx", 100)
    assert 1 == look(place, first, min_age=60)[1]


def test_several_places_are_one_state(place: Path) -> None:
    """A list of globs and directories is watched as a whole; a file in two of them counts once."""
    first, new = look([place / "*.docx", place / "sub", place])
    (place / "sub" / "c.docx").write_text("c")

    assert (2, 2) == (first.files, new)
    assert 1 == look([place / "*.docx", place / "sub", place], first)[1]


def test_missing_directory_is_no_empty_one(tmp_path: Path) -> None:
    """What cannot be listed is an error, not a place whose files were removed."""
    with pytest.raises(InputNotFoundError):
        look(tmp_path / "nowhere")


def test_stored_state_has_a_bound() -> None:
    """Airflow recommends 64 KiB for a value; above 5,000 files only their digest is stored."""
    many = Seen(5_000, "d" * 16, frozenset(range(2**63, 2**63 + 5_000)))
    more = Seen(5_001, "d" * 16, frozenset(range(5_001)))

    assert len(json.dumps(many.as_json())) < 65_535
    assert many == restored(many)
    assert len(json.dumps(more.as_json())) < 100


def test_digest_alone_tells_an_unchanged_state(place: Path) -> None:
    """Where the files were too many to be stored, a change counts all of them, at no charge."""
    seen, _ = look(place)
    bare = Seen(seen.files, seen.digest, None)

    assert 0 == look(place, bare)[1]
    change(place)
    assert 2 == look(place, bare)[1]


@pytest.mark.parametrize(
    "value",
    [
        *(None, "x", 1, [], {}, {"version": 2, "files": 1, "digest": "x"}),
        *({"version": 1}, {"version": 1, "files": "x", "digest": ""}),
        {"version": 1, "files": 1, "digest": "x", "hashes": 5},
        {"version": 1, "files": 1, "digest": "x", "hashes": "é"},
    ],
)
def test_what_somebody_else_stored_is_ignored(value: Any) -> None:
    """A watcher begins anew, and does not stumble over it at each look."""
    assert Seen.from_json(value) is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", "source is empty"),
        (None, "source is None; it must be text"),
        (5, "source is an int; it must be text"),
        ([], "source is an empty list"),
        (["/in/", " "], "source is empty"),
        ("https://example.com/in/", "source is a URL, https://example.com/in/"),
        ("/in/{{ ds }}/", "the arguments of a watcher are not templated"),
        ("/in/\0", "source holds a NUL character"),
        ("file://host/in", "source file://host/in names a host"),
        ("s3://", "names no bucket or container: s3://CONNECTION@BUCKET/KEY"),
        ("sftp:///in", "names no connection: sftp://CONNECTION@/PATH"),
    ],
)
def test_wrong_source_is_found_at_once(source: Any, expected: str) -> None:
    """A wrong place has an error when the DAG is parsed; nothing is looked at."""
    with pytest.raises(ParameterError, match=re.escape(expected)):
        check_watched(source)


def test_paths_become_text(tmp_path: Path) -> None:
    """A source is stored as JSON; a list remains one."""
    assert str(tmp_path) == check_watched(tmp_path)
    assert [str(tmp_path), "s3://c@bucket/in/"] == check_watched([tmp_path, "s3://c@bucket/in/"])


def test_name_of_any_bytes_is_hashed(place: Path) -> None:
    """A disk may hold names that are not text."""
    (place / os.fsdecode(b"\xe9.docx")).write_text("x")

    assert 3 == look(place)[1]
