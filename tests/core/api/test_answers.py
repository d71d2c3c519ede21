"""The `multipart/mixed` answer of a direct conversion, however it is cut and torn."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.api.answers import AnswerReader, PartHead
from airflow_provider_convertapi.errors import TransportError, UnexpectedAnswerError
from tests.core.api.server import JOB_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

TYPE = 'multipart/mixed; boundary="edge"'


class Sinks:
    """Take the parts of an answer."""

    def __init__(self) -> None:
        self.heads: list[PartHead] = []
        self.files: list[BytesIO] = []
        self.ended = 0

    def begin(self, head: PartHead) -> BytesIO:
        """Open the next part."""
        self.heads.append(head)
        self.files.append(BytesIO())
        return self.files[-1]

    def end(self) -> None:
        """Count the parts that ended."""
        self.ended += 1

    @property
    def contents(self) -> list[bytes]:
        """What was written, part by part."""
        return [file.getvalue() for file in self.files]


def read(blocks: Iterable[bytes], content_type: str = TYPE) -> Sinks:
    """Read an answer."""
    sinks = Sinks()
    AnswerReader(content_type, sinks.begin, sinks.end).read(blocks)
    return sinks


def part(content: bytes, *headers: str) -> bytes:
    """Return a part with its leading boundary."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return b"--edge\r\n" + lines.encode() + b"\r\n" + content + b"\r\n"


FIRST = b"%PDF \r\n--edg\r\n--edge\xff \r\n-- and \x00\r"
SECOND = b""
WHOLE = (
    part(
        FIRST,
        "ConversionCost: 3",
        "Content-Type: application/octet-stream",
        f'Content-Disposition: attachment; filename="a (1).pdf"; size={len(FIRST)}',
    )
    + part(SECOND, "Content-Disposition: attachment; filename*=utf-8''b%20%c3%a4.pdf; size=0")
    + part(b"third")
    + b"--edge--\r\n"
)
FIRST_AFTER_BOUNDARY = FIRST.replace(b"\r\n--edge\xff", b"\r\n--edgf\xff")
WHOLE = WHOLE.replace(FIRST, FIRST_AFTER_BOUNDARY)
HEADS = [
    PartHead("a (1).pdf", len(FIRST), 3),
    PartHead("b \u00e4.pdf", 0, 1),
    PartHead("", None, 1),
]
CONTENTS = [FIRST_AFTER_BOUNDARY, SECOND, b"third"]


def test_blocks_of_every_size() -> None:
    """Where the network cuts an answer changes nothing."""
    for size in range(1, len(WHOLE) + 1):
        sinks = read(WHOLE[start : start + size] for start in range(0, len(WHOLE), size))
        assert (size, HEADS, CONTENTS, 3) == (size, sinks.heads, sinks.contents, sinks.ended)


def test_torn_at_every_byte() -> None:
    """An answer without its last boundary is not whole, however much of it came."""
    for end in range(len(WHOLE) - 2):
        with pytest.raises(UnexpectedAnswerError, match="ended before its last boundary"):
            read([WHOLE[:end]])


@pytest.mark.parametrize("end", [len(WHOLE) - 2, len(WHOLE) - 1, len(WHOLE)])
def test_whole_with_its_last_boundary(end: int) -> None:
    """The line break after the last boundary may be missing."""
    assert CONTENTS == read([WHOLE[:end]]).contents


def test_every_cut_in_two() -> None:
    """Each boundary is found across any single cut."""
    for cut in range(len(WHOLE)):
        assert CONTENTS == read([WHOLE[:cut], WHOLE[cut:]]).contents


@pytest.mark.parametrize("empty", [b"--edge--", b"\r\n--edge--\r\n", b"--edge--\r\nan epilogue"])
def test_no_parts(empty: bytes) -> None:
    """An answer without a result is not a success."""
    with pytest.raises(UnexpectedAnswerError, match="holds no result"):
        read([empty])


@pytest.mark.parametrize("before", [b"\r\n\r\n", b"This is a message\r\nof several\n--edge?\r\n"])
def test_what_surrounds_the_parts(before: bytes) -> None:
    """A text before the first boundary, and anything after the last, is ignored (RFC 2046)."""
    assert CONTENTS == read([before, WHOLE, b"an epilogue\r\n--edge\r\n"]).contents


def test_endless_preamble() -> None:
    """An answer without a boundary does not fill the memory."""

    def blocks() -> Iterable[bytes]:
        for count in range(10_000):
            assert count < 100
            yield b"x" * 1000

    with pytest.raises(UnexpectedAnswerError, match="does not begin with a boundary"):
        read(blocks())


@pytest.mark.parametrize("blanks", [b" ", b"\t  \t", b" " * 999])
def test_blanks_after_boundaries(blanks: bytes) -> None:
    """Blanks between a boundary and its line break say nothing (RFC 2046), wherever it is cut."""
    padded = WHOLE.replace(b"--edge\r\n", b"--edge" + blanks + b"\r\n")
    for size in (1, 7, len(padded)):
        blocks = (padded[start : start + size] for start in range(0, len(padded), size))
        assert CONTENTS == read(blocks).contents


def test_line_feeds_alone() -> None:
    """If the first boundary ends with a line feed alone, all others do."""
    content = b"%PDF\r"
    answer = part(content, "ConversionCost: 2", "Content-Disposition: attachment; size=5") * 2
    lines = answer.replace(content, b"?").replace(b"\r\n", b"\n").replace(b"?", content)

    sinks = read([lines, b"--edge--\n"])

    assert [PartHead("", 5, 2)] * 2 == sinks.heads
    assert [content] * 2 == sinks.contents


def test_part_of_headers_alone() -> None:
    """The line break after a part's headers may be that of the next boundary."""
    sinks = read([b"--edge\r\nContent-Disposition: a; size=0\r\n\r\n--edge\r\n\r\n--edge--"])

    assert [b"", b""] == sinks.contents
    assert [PartHead("", 0, 1), PartHead("", None, 1)] == sinks.heads


@pytest.mark.parametrize("line", [b"--edges", b"--edge -", b"--edge\xff", b"--edge" + b" " * 2000])
def test_line_that_only_begins_with_the_boundary(line: bytes) -> None:
    """The boundary of a multipart document within a part may begin like that of the answer."""
    content = b"a\r\n" + line + b"\r\nb"

    assert [content] == read([part(content), b"--edge--"]).contents


def test_folded_header() -> None:
    """A long header may go on in the next line."""
    header = "Content-Disposition: attachment;\r\n filename=a.pdf;\r\n\tsize=1"

    assert [PartHead("a.pdf", 1, 1)] == read([part(b"x", header), b"--edge--"]).heads


def test_connection_that_breaks_after_the_last_boundary() -> None:
    """The results are whole, and paid: how the connection ends does not matter any more."""

    def blocks() -> Iterable[bytes]:
        yield WHOLE
        raise TransportError("the answer broke off")

    assert CONTENTS == read(blocks()).contents


def test_answer_that_does_not_end() -> None:
    """Only a little is read after the last boundary."""

    def blocks() -> Iterable[bytes]:
        yield WHOLE
        for count in range(10_000):
            assert count < 10
            yield b"x" * 1000

    assert CONTENTS == read(blocks()).contents


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>An error</html>",
        b'{"Code": 5001}',
        b"--other\r\n\r\nx\r\n--other--\r\n",
        b"--edgeX\r\n\r\n",
        b"--edge\r\nno colon at all\r\n\r\nx\r\n--edge--\r\n",
        b"--edge\r\n: no name\r\n\r\nx\r\n--edge--\r\n",
        b"--edge\r\n--edge\r\n\r\nx\r\n--edge--\r\n",
        b"--edge\r\nA: b\rC: d\r\n\r\nx\r\n--edge--\r\n",
        f"--{JOB_ID}".encode(),
    ],
)
def test_garbled(garbage: bytes) -> None:
    """An answer that is not multipart is reported as such."""
    with pytest.raises(UnexpectedAnswerError, match="the multipart answer is garbled") as caught:
        read([garbage])
    assert JOB_ID not in str(caught.value)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/html",
        "application/json",
        "application/octet-stream",
        "multipart/form-data; boundary=edge",
        "multipart/mixed",
        'multipart/mixed; boundary=""',
        "multipart/mixed; boundary=\u00e4",
        "multipart/mixed; boundary*=utf-8''%c3%a4",
        "multipart/mixed; boundary*=utf-8''%e6%97%a5",
        "multipart/mixed; boundary=" + "x" * 300,
        "multipart/mixed; boundary*=undefined''edge",
        "multipart/mixed; boundary*0=edge; boundary*=utf-8''edge",
        "multipart/mixed; boundary*" + "9" * 5000 + "=edge",
        f"text/html; x={JOB_ID}; y=" + "y" * 2000,
    ],
)
def test_other_content_types(content_type: str) -> None:
    """A type that is not the one asked for is named, in short and without ids."""
    with pytest.raises(UnexpectedAnswerError) as caught:
        read([WHOLE], content_type)

    assert len(str(caught.value)) < 600
    assert JOB_ID not in str(caught.value)


@pytest.mark.parametrize(
    "content_type",
    ["Multipart/Mixed; charset=utf-8; BOUNDARY=edge", "multipart/mixed;boundary=edge "],
)
def test_content_type_however_written(content_type: str) -> None:
    """Case, order and quotes do not matter."""
    assert CONTENTS == read([WHOLE], content_type).contents


@pytest.mark.parametrize(
    ("header", "head"),
    [
        ("conversioncost:  7 ", PartHead("", None, 7)),
        ("ConversionCost: 0", PartHead("", None, 0)),
        ("ConversionCost: two", PartHead("", None, 1)),
        ("ConversionCost: \u00b2", PartHead("", None, 1)),
        ("ConversionCost: -1", PartHead("", None, 1)),
        ('Content-Disposition: attachment; size="12"', PartHead("", 12, 1)),
        ("Content-Disposition: attachment; size=\u00b2", PartHead("", None, 1)),
        ("Content-Disposition: attachment; size*=utf-8''12", PartHead("", None, 1)),
        ("Content-Disposition: attachment; size=" + "9" * 5000, PartHead("", None, 1)),
        ("Content-Disposition: attachment; size*0=1; size*=2", PartHead("", None, 1)),
        ("Content-Disposition: attachment; size*" + "9" * 5000 + "=1", PartHead("", None, 1)),
        (
            'Content-Disposition: attachment; filename="../../\u00e4"',
            PartHead("../../\u00e4", None, 1),
        ),
        ("Content-Disposition: attachment; filename=a; filename*=utf-8''b", PartHead("b", None, 1)),
    ],
)
def test_what_a_part_says_of_itself(header: str, head: PartHead) -> None:
    """Names are data, numbers are numbers, and one conversion is what nobody names the cost of."""
    assert [head] == read([part(b"x", header), b"--edge--"]).heads


def test_many_headers() -> None:
    """A service may say more than we ask for."""
    headers = [f"X-Header-{n}: {'v' * 100}" for n in range(60)]

    assert [b"x"] == read([part(b"x", *headers), b"--edge--"]).contents
    assert [b"x"] == read([part(b"x", *["A: b"] * 100), b"--edge--"]).contents


def test_too_many_headers() -> None:
    """The headers of a part are counted."""
    with pytest.raises(UnexpectedAnswerError, match="has endless headers"):
        read([part(b"x", *["A: b"] * 101), b"--edge--"])


@pytest.mark.parametrize(
    "endless",
    [b"A: " + b"x" * 1000, b"x" * 1000, b"A: b\r\n" * 200, b"A: " + b"x" * 900 + b"\r\n"],
    ids=["value", "name", "many", "all"],
)
def test_endless_headers(endless: bytes) -> None:
    """Headers do not fill the memory."""

    def blocks() -> Iterable[bytes]:
        yield b"--edge\r\n"
        for count in range(10_000):
            assert count * len(endless) < 32 * 1024
            yield endless if count == 0 or b"\n" in endless else endless[-900:]

    with pytest.raises(UnexpectedAnswerError):
        read(blocks())


def test_trouble_of_the_sinks_is_theirs() -> None:
    """What a sink raises, when it is opened or written, leaves the reader as it is."""

    class Full(BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        AnswerReader(TYPE, lambda _: Full(), lambda: None).read([WHOLE])

    def refuse(head: PartHead) -> BytesIO:
        raise ZeroDivisionError(head.name)

    with pytest.raises(ZeroDivisionError, match=r"a \(1\).pdf"):
        AnswerReader(TYPE, refuse, lambda: None).read([WHOLE])


def test_parts_are_written_as_they_arrive() -> None:
    """A large part is not kept: what has arrived is written, but for what may be a boundary."""
    sinks = Sinks()
    block = bytes(range(256)) * 256
    written = [0]

    def blocks() -> Iterable[bytes]:
        yield part(b"")[:-2]
        for _ in range(20):
            yield block
            written.append(len(sinks.contents[0]))
        yield b"\r\n--edge--"

    AnswerReader(TYPE, sinks.begin, sinks.end).read(blocks())

    assert block * 20 == sinks.contents[0]
    assert all(after - before > len(block) - 64 for before, after in pairwise(written))
