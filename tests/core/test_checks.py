"""The ready checks: what each accepts, and what it refuses before and after anything is paid."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pikepdf
import pypdfium2
import pytest

from airflow_provider_convertapi.checks import min_characters, not_empty, same_page_count
from airflow_provider_convertapi.conversions.acceptance import StagedResults
from airflow_provider_convertapi.errors import ResultCheckError

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "<html><head><title>A title</title><style>p {{}}</style></head><body>{}</body></html>"


def write_pdf(path: Path, pages: int) -> Path:
    """Write a PDF of empty pages."""
    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(200, 100)
    document.save(path)
    return path


def accepts(check: Any, *paths: Path, sources: tuple[Path, ...] = ()) -> bool:
    """Tell whether a check accepts results."""
    try:
        return check(StagedResults(list(paths), [str(source) for source in sources])) is True
    except ResultCheckError:
        return False


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "A word", True),
        ("a.txt", "", False),
        ("a.txt", " \n\f\n\ufeff", False),
        ("a.md", "# 1", True),
        ("a.csv", ";;\n;;\n", False),
        ("a.csv", "1;;\n", True),
        ("a.json", "[]", False),
        ("a.json", '{"a": 1}', True),
        ("a.html", PAGE.format("<p> </p><script>x = 1</script>"), False),
        ("a.html", PAGE.format("<p>words</p>"), True),
        ("a.docx", "", False),
        ("a.docx", "PK", True),
        ("a.pdf", "%PDF-1.7 and no more", False),
    ],
)
def test_not_empty(tmp_path: Path, name: str, content: str, expected: bool) -> None:
    """Text formats must hold a letter or a digit, and anything else a byte."""
    path = tmp_path / name
    path.write_text(content)

    assert expected == accepts(not_empty, path)


@pytest.mark.parametrize("pages", [0, 1, 3])
def test_not_empty_counts_pages(tmp_path: Path, pages: int) -> None:
    """A PDF must have a page."""
    assert bool(pages) == accepts(not_empty, write_pdf(tmp_path / "a.pdf", pages))


def test_password_of_an_earlier_file_is_not_asked_for(tmp_path: Path) -> None:
    """What was wrong with one PDF is not said of the next, whatever an older PDFium remembers."""
    locked = tmp_path / "locked.pdf"
    with pikepdf.new() as document:
        document.add_blank_page()
        document.save(locked, encryption=pikepdf.Encryption(user="u", owner="o"))

    assert accepts(not_empty, locked)
    assert not accepts(not_empty, write_pdf(tmp_path / "a.pdf", 0))


def test_not_empty_looks_at_each_result(tmp_path: Path) -> None:
    """One empty file among several is refused, and named; so are no files at all."""
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "b.txt").write_text("")

    with pytest.raises(ResultCheckError, match=r"^b\.txt is empty"):
        not_empty([tmp_path / "a.txt", tmp_path / "b.txt"])
    with pytest.raises(ResultCheckError, match="no file"):
        not_empty([])


@pytest.mark.parametrize(
    ("name", "content", "least", "expected"),
    [
        ("a.txt", "hello", 5, True),
        ("a.txt", "hello", 6, False),
        ("a.txt", "   \n" * 100, 1, False),
        ("a.txt", "a   b", 3, True),
        ("a.txt", "a   b", 4, False),
        ("a.html", PAGE.format("hello"), 6, False),
        ("a.html", PAGE.format("hello"), 5, True),
        ("a.txt", "x" * 200_000, 200_000, True),
        ("a.txt", "x" * 200_000, 200_001, False),
    ],
)
def test_min_characters(
    tmp_path: Path, name: str, content: str, least: int, expected: bool
) -> None:
    """Text is counted without markup; white space counts as one character."""
    path = tmp_path / name
    path.write_text(content)

    assert expected == accepts(min_characters(least), path)


def test_min_characters_of_all_results(tmp_path: Path) -> None:
    """Several results are counted together, in whatever encoding their mark says."""
    (tmp_path / "a.txt").write_text("hello", encoding="utf-16")
    (tmp_path / "b.txt").write_text("world", encoding="utf-8-sig")

    assert accepts(min_characters(10), tmp_path / "a.txt", tmp_path / "b.txt")
    assert not accepts(min_characters(11), tmp_path / "a.txt", tmp_path / "b.txt")


def test_min_characters_of_a_pdf(tmp_path: Path) -> None:
    """A PDF without a text layer, as of a scan that was not read, is refused."""
    assert not accepts(min_characters(1), write_pdf(tmp_path / "a.pdf", 2))


def test_same_page_count(tmp_path: Path) -> None:
    """Results have the pages of their sources, all together; a picture counts as a page."""
    two, three = write_pdf(tmp_path / "2.pdf", 2), write_pdf(tmp_path / "3.pdf", 3)
    five = write_pdf(tmp_path / "5.pdf", 5)
    (tmp_path / "a.jpg").write_bytes(b"")

    assert accepts(same_page_count, three, sources=(three,))
    assert accepts(same_page_count, five, sources=(two, three))
    assert accepts(same_page_count, two, three, sources=(five,))
    assert not accepts(same_page_count, two, sources=(three,))
    assert accepts(same_page_count, tmp_path / "a.jpg", tmp_path / "a.jpg", sources=(two,))


@pytest.mark.parametrize(
    ("check", "sources", "pair", "complaint"),
    [
        (same_page_count, ["a.docx"], ("docx", "pdf"), "reads a PDF as the source, not docx"),
        (same_page_count, ["a.pdf"], ("pdf", "txt"), "reads PDFs and images, not txt"),
        (same_page_count, ["https://x/a.pdf"], ("pdf", "pdf"), "source is a URL"),
        (same_page_count, ["a.pdf"], ("pdf", "pdf"), None),
        (same_page_count, ["a.pdf"], ("pdf", "jpg"), None),
        (min_characters(5), ["a.pdf"], ("pdf", "docx"), "not docx"),
        (min_characters(5), ["a.pdf"], ("pdf", "md"), None),
        (not_empty, ["a.pdf"], ("pdf", "docx"), None),
    ],
)
def test_what_cannot_be_judged(
    check: Any, sources: list[str], pair: tuple[str, str], complaint: str | None
) -> None:
    """A check that could not judge any result says so beforehand."""
    said = check.unfit_for(sources, *pair)

    assert said is None if complaint is None else re.search(complaint, said)


def test_checks_are_the_same_on_every_parse() -> None:
    """Airflow makes a new version of a DAG for what is written in other words."""
    assert (min_characters(5), repr(min_characters(5))) == (
        min_characters(5),
        repr(min_characters(5)),
    )
    assert "0x" not in f"{min_characters(5)}{not_empty}{same_page_count}"
