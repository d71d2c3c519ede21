"""What OpenLineage calls the places of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_convertapi.storage.datasets import dataset_of, datasets_of

HERE = str(Path.cwd())

PLACES = [
    pytest.param("/data/a.pdf", ("file", "/data/a.pdf"), id="path"),
    pytest.param("file:///data/a.pdf", ("file", "/data/a.pdf"), id="file-uri"),
    pytest.param("in/a.pdf", ("file", f"{HERE}/in/a.pdf"), id="relative"),
    pytest.param("/data/out/", ("file", "/data/out"), id="directory"),
    pytest.param("/", ("file", "/"), id="root"),
    pytest.param("https://h.org:8443/d/a.pdf", ("https://h.org:8443", "d/a.pdf"), id="url"),
    pytest.param("https://bob:pw@h.org/a?sig=x#y", ("https://h.org", "a"), id="url-with-secrets"),
    pytest.param("https://h.org", ("https://h.org", "/"), id="url-without-path"),
    pytest.param("https://bob:p/w@h.org/a", ("https://***", "/"), id="url-that-is-unclear"),
]


@pytest.mark.parametrize(("uri", "expected"), PLACES)
def test_place(uri: str, expected: tuple[str, str]) -> None:
    """Namespace and name are those of the naming conventions, without secrets."""
    assert expected == dataset_of(uri)


def test_few_files_are_named_and_many_are_not() -> None:
    """Files of more datasets than wanted are their directories, and those of these."""
    files = [f"/data/{month:02}/{number}.pdf" for month in range(12) for number in range(100)]

    assert [("file", "/data/00/0.pdf"), ("file", "/data/00/1.pdf")] == datasets_of(files[:2], 2)
    assert [("file", "/data/00")] == datasets_of(files[:100], 20)
    assert [("file", f"/data/{month:02}") for month in range(12)] == datasets_of(files, 20)
    assert [("file", "/data")] == datasets_of(files, 3)
    assert [("file", "/data/a")] == datasets_of(["/data/a", "/data/a"], 3)


def test_urls_that_differ_in_secrets_are_one() -> None:
    """A signature is not part of a name, and neither are the slashes in it."""
    urls = [f"https://h.org/a.pdf?sig=a/{number}" for number in range(30)]

    assert [("https://h.org", "a.pdf")] == datasets_of(urls, 20)
    assert [] == datasets_of([], 20)
    assert 20 == len(datasets_of([f"https://h{number}.org/a" for number in range(30)], 20))
