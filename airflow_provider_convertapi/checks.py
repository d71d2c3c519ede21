"""Ready-made checks of results, for `result_check`: a refused result is not published.

::

    ConvertApiOperator(..., to_format="txt", result_check=min_characters(200))

Your own check is any callable that gets the list of local paths of one conversion.  It returns True
or None to accept them and False to refuse, or raises `ResultCheckError` with a reason.  The list's
attribute `sources` holds the URIs of the documents.  A batch calls it in several threads.

PDFs are read with pypdfium2: ``pip install 'airflow-provider-convertapi[checks]'``.
"""

from __future__ import annotations

import io
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.util import find_spec
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.conversions.signatures import (
    canonical_format,
    encoding_of,
    is_of_text,
)
from airflow_provider_convertapi.conversions.values import whole
from airflow_provider_convertapi.errors import ResultCheckError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["min_characters", "not_empty", "same_page_count"]

_BLOCK = 64 * 1024
_MARK = 4
_ONE_PAGE_EACH = frozenset({"jpg", "png", "webp", "svg", "jxl", "pnm"})
_UNSEEN = frozenset({"head", "script", "style", "template"})
"""Elements of an HTML page whose text is not shown."""

# PDFium is not thread-safe, and a batch has several threads.
_pdfium = threading.Lock()


# The checks are classes, not functions: `unfit_for` reports before anything is paid what a check
# cannot judge, and Airflow serializes equal checks equally each time it parses a DAG file.
@dataclass(frozen=True, slots=True)
class _NotEmpty:
    def __call__(self, paths: list[Path]) -> bool:
        if not paths:
            raise ResultCheckError("the conversion made no file")
        for path in paths:
            if not path.stat().st_size:
                raise ResultCheckError(f"{path.name} is empty")
            if _format(path) == "pdf":
                if _page_count(path, path.name, with_password=1) == 0:
                    raise ResultCheckError(f"{path.name} has no page")
            elif is_of_text(_format(path)) and not any(map(_says_something, _texts(path))):
                raise ResultCheckError(f"{path.name} holds no text")
        return True

    def unfit_for(self, sources: Sequence[str], from_format: str, to_format: str) -> str | None:  # noqa: ARG002 - what all of them get
        return _lacks_pdfium("not_empty", to_format)


@dataclass(frozen=True, slots=True)
class min_characters:  # noqa: N801 - a call of it reads like a function's
    """Refuse results with too little text.

    It reads PDF and text formats; of HTML only the text that a browser would show.

    :param number: the least number of characters in all results of a conversion; consecutive white
        space counts as one.
    """

    number: int

    def __post_init__(self) -> None:
        """Raise `ParameterError` for a wrong number."""
        whole("min_characters", self.number, least=0)

    def __call__(self, paths: list[Path]) -> bool:
        """Refuse results with fewer characters."""
        found = 0
        for text in (text for path in paths for text in _texts(path)):
            found += len(" ".join(text.split()))
            if found >= int(self.number):
                return True
        raise ResultCheckError(f"there are {found} characters of text, and not {self.number}")

    def unfit_for(self, sources: Sequence[str], from_format: str, to_format: str) -> str | None:  # noqa: ARG002 - what all of them get
        """Return why it could not judge the results, None if it can."""
        if not is_of_text(to_format) and to_format != "pdf":
            return f"is min_characters, which reads text formats and PDF, not {to_format}"
        return _lacks_pdfium("min_characters", to_format)


@dataclass(frozen=True, slots=True)
class _SamePageCount:
    def __call__(self, paths: list[Path]) -> bool:
        made = sum(_page_count(path, path.name) if _format(path) == "pdf" else 1 for path in paths)
        had = sum(map(_page_count_of_source, getattr(paths, "sources", ())))
        if made != had:
            raise ResultCheckError(f"the result has {made} page(s), and the source {had}")
        return True

    def unfit_for(self, sources: Sequence[str], from_format: str, to_format: str) -> str | None:
        from airflow_provider_convertapi.storage import is_url

        if from_format not in {"pdf", "pdfa"}:
            return f"is same_page_count, which reads a PDF as the source, not {from_format}"
        if to_format != "pdf" and canonical_format(to_format) not in _ONE_PAGE_EACH:
            return f"is same_page_count, which reads PDFs and images, not {to_format}"
        if any(map(is_url, sources)):
            return "is same_page_count, but source is a URL, which only ConvertAPI reads"
        return _lacks_pdfium("same_page_count", "pdf")


not_empty = _NotEmpty()
"""Refuse a result without content: text formats need a letter or digit, a PDF needs a page."""

same_page_count = _SamePageCount()
"""Refuse results whose total number of pages differs from that of the source PDFs.

An image counts as one page.
"""


def _format(path: Path) -> str:
    return canonical_format(path.suffix.lower().removeprefix("."))


def _says_something(text: str) -> bool:
    return any(map(str.isalnum, text))


# --- text --------------------------------------------------------------------------------------


def _texts(path: Path) -> Iterator[str]:
    """Yield a file's text in pieces."""
    if _format(path) == "pdf":
        yield from _texts_of_pages(path)
    elif _format(path) == "html":
        shown = _ShownText()
        for block in _blocks(path):
            shown.feed(block)
            yield from shown.take()
    else:
        yield from _blocks(path)


def _blocks(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        mark, encoding = encoding_of(file.read(_MARK))
        file.seek(len(mark))
        reader = io.TextIOWrapper(file, encoding or "utf-8", errors="replace")
        while block := reader.read(_BLOCK):
            yield block


class _ShownText(HTMLParser):
    """Collect the text that a browser would show."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: list[str] = []
        self._inside = 0

    def take(self) -> list[str]:
        """Return what was collected since the last call."""
        texts, self._texts = self._texts, []
        return texts

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the parser's signature
        """Note that what follows is not shown."""
        self._inside += tag in _UNSEEN

    def handle_endtag(self, tag: str) -> None:
        """Note that what follows is shown again."""
        self._inside = max(self._inside - (tag in _UNSEEN), 0)

    def handle_data(self, data: str) -> None:
        """Collect text."""
        if not self._inside:
            self._texts.append(data)


# --- PDF ---------------------------------------------------------------------------------------


def _lacks_pdfium(check: str, to_format: str) -> str | None:
    if to_format != "pdf" or find_spec("pypdfium2"):
        return None
    return (
        f"is {check}, which reads PDFs with pypdfium2, and that is not installed: pip install "
        "'airflow-provider-convertapi[checks]'"
    )


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Any]:
    """Open a PDF; `ResultCheckError` if it cannot be read."""
    import pypdfium2

    with _pdfium:
        try:
            document = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            # An older PDFium may repeat the password error of an earlier file.
            if "password" in str(error).lower() and _is_encrypted(path):
                raise _NeedsPasswordError(name) from None
            raise ResultCheckError(f"{name} cannot be opened as a PDF: {error}") from None
        try:
            yield document
        finally:
            document.close()


def _is_encrypted(path: Path) -> bool:
    """Tell whether a PDF is encrypted; the mark of that is never encrypted itself."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return content.find(b"/Encrypt") >= 0


class _NeedsPasswordError(Exception):
    """A PDF opens only with its password."""

    def __str__(self) -> str:
        return f"{self.args[0]} opens with its password only, so that it cannot be read"


def _page_count(path: Path, name: str, *, with_password: int | None = None) -> int:
    """Count the pages of a PDF.

    :param with_password: the number to return if it needs a password; None raises.
    """
    try:
        with _opened(path, name) as document:
            return len(document)
    except _NeedsPasswordError:
        if with_password is None:
            raise
        return with_password


def _page_count_of_source(uri: str) -> int:
    from airflow_provider_convertapi.storage import find_source, shown

    with tempfile.NamedTemporaryFile(suffix=".pdf") as copy:
        with find_source(uri).open() as source:
            while block := source.read(_BLOCK):
                copy.write(block)
        copy.flush()
        return _page_count(Path(copy.name), shown(uri))


def _texts_of_pages(path: Path) -> Iterator[str]:
    with _opened(path, path.name) as document:
        for page in document:
            text = page.get_textpage()
            yield text.get_text_bounded()
            # Not left to the garbage collector: a PDF of any length needs the memory of one page.
            text.close()
            page.close()
