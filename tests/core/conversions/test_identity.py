"""Which conversions are one and the same: that is paid once, however often it is asked for."""

from __future__ import annotations

import http.server
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api.ids import JobIds
from airflow_provider_convertapi.errors import ConversionTimeoutError
from airflow_provider_convertapi.storage import unsigned
from tests.tries import checked_conversion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from convertapi_sandbox import Sandbox
    from tests.core.conversions.worker import Worker

LARGE = 1024 * 1024 + 1
"""Bytes; one more than what a submit carries itself."""


def touch(path: Path) -> None:
    """Give a file another time, as a fresh checkout or a copy on another worker has."""
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before, before + 10**9))


# --- a small file is what is in it -----------------------------------------------------------


@pytest.mark.parametrize("mode", ["durable", "deferred"])
@pytest.mark.parametrize("name", ["letter.txt", "Grüße \u4f60\u597d [1].txt"])
def test_touched_file_is_the_same(
    sandbox: Sandbox, worker: Worker, tmp_path: Path, mode: str, name: str
) -> None:
    """A touch, or a fresh copy, costs nothing: neither on a retry nor after success."""
    letter, out = tmp_path / name, tmp_path / "letter.pdf"
    letter.write_text("Dear reader.\n")
    worker.convert(mode, source=letter, destination=out)
    touch(letter)

    again = worker.convert(mode, number=2, source=letter, destination=out)

    assert (0, 1) == (again.charged, sandbox.billed)


def test_file_parameter_is_told_by_its_content(
    sandbox: Sandbox, worker: Worker, tmp_path: Path
) -> None:
    """A small one beside a large document, too, and that of a later step."""
    page, stamp = tmp_path / "page.txt", tmp_path / "stamp.txt"
    page.write_text("A page.\n")
    stamp.write_text("A stamp.\n")
    for source, name in ((page, "page.pdf"), (stamp, "stamp.pdf")):
        worker.convert("durable", source=source, destination=tmp_path / name)
    overlay = tmp_path / "stamp.pdf"
    given: dict[str, Any] = {
        "source": tmp_path / "page.pdf",
        "to_format": "watermark-overlay",
        "destination": tmp_path / "stamped.pdf",
        "parameters": {"OverlayFile": overlay},
    }
    steps = [{"to_format": "watermark-overlay", "parameters": {"OverlayFile": overlay}}]
    chain = {**given, "steps": steps, "destination": tmp_path / "twice.pdf"}
    worker.convert("durable", **given)
    worker.convert("durable", **chain)
    before = sandbox.billed
    touch(overlay)

    results = [worker.convert("durable", number=2, **each) for each in (given, chain)]

    assert [0, 0] == [result.charged for result in results]
    assert before == sandbox.billed


def test_list_of_small_files_is_told_by_their_content(
    sandbox: Sandbox, worker: Worker, texts: list[Path]
) -> None:
    """Each of them, whichever was touched."""
    out = texts[0].parent / "all.zip"
    given: dict[str, Any] = {"source": texts, "to_format": "zip", "destination": out}
    worker.convert("durable", **given)
    touch(texts[1])

    assert 0 == worker.convert("durable", number=2, **given).charged
    texts[2].write_text("This is C.txt.\n")  # of the same size
    assert 1 == worker.convert("durable", number=3, **given).charged
    assert 2 == sandbox.billed


def test_other_content_of_one_size_and_time_is_another_document(
    sandbox: Sandbox, worker: Worker, letter: Path
) -> None:
    """A copy that keeps the time of its original does not prove its content."""
    out, before = letter.parent / "letter.pdf", letter.stat()
    worker.convert("durable", source=letter, destination=out)
    letter.write_bytes(letter.read_bytes().replace(b"Dear", b"Good"))
    os.utime(letter, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert 1 == worker.convert("durable", number=2, source=letter, destination=out).charged
    assert 2 == sandbox.billed


def test_file_touched_while_it_waits_is_still_sent(
    sandbox: Sandbox, worker: Worker, letter: Path
) -> None:
    """Its content is what was looked at, so nothing needs another try."""
    out = letter.parent / "letter.pdf"
    result = worker.convert(
        "durable", source=letter, destination=out, checked=lambda: touch(letter)
    )

    assert (1, 1) == (result.charged, sandbox.billed)


def test_large_file_is_told_by_size_and_time(worker: Worker, tmp_path: Path) -> None:
    """It is not read twice for that."""
    large = tmp_path / "large.txt"
    large.write_bytes(b"x" * LARGE)

    def seed() -> dict[str, Any]:
        conversion = checked_conversion(source=large, to_format="zip", destination=f"{large}.zip")
        return conversion.requests[0].seed()

    first = seed()
    assert first == seed()
    touch(large)
    assert first != seed()


# --- a signed URL is the document that it leads to -------------------------------------------

SIGNED = {
    "s3": "X-Amz-Algorithm=A&X-Amz-Credential=c{0}&X-Amz-Date={0}&X-Amz-Expires=60"
    "&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t{0}&X-Amz-Signature=s{0}",
    "old s3": "AWSAccessKeyId=a{0}&Signature=s{0}&Expires={0}&x-amz-security-token=t{0}",
    "google": "X-Goog-Algorithm=G&X-Goog-Credential=c{0}&X-Goog-Date={0}&X-Goog-Expires=60"
    "&X-Goog-SignedHeaders=host&X-Goog-Signature=s{0}",
    "cloudfront": "Expires={0}&Signature=s{0}&Key-Pair-Id=k{0}",
    "cloudfront policy": "Policy=p{0}&Signature=s{0}&Key-Pair-Id=k{0}",
    "azure": "sv=2024&st={0}&se={0}&sr=b&sp=r&sig=s{0}",
    "azure with a stored policy": "sv=2024&si=reader&sr=b&sig=s{0}",
    "azure for a user": "sv=2024&skoid=o{0}&sktid=t&skt={0}&ske={0}&sks=b&skv=2024&se={0}"
    "&sr=b&sp=r&sig=s{0}",
}


class _Page(http.server.BaseHTTPRequestHandler):
    """Answer with a text, whatever is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"Hello.")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(sandbox: Sandbox) -> Iterator[str]:
    """Serve a document that the service may fetch; return its URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        sandbox.settings.allow_hosts = f"127.0.0.1:{server.server_port}"
        yield f"http://127.0.0.1:{server.server_port}/letter.txt"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("signature", SIGNED.values(), ids=SIGNED)
def test_url_that_was_signed_anew(
    sandbox: Sandbox, worker: Worker, web: str, tmp_path: Path, signature: str
) -> None:
    """Another signature of one document is not another document; another query is."""
    out = tmp_path / "letter.pdf"
    urls = [f"{web}?doc={doc}&{signature.format(n)}" for doc, n in ((1, 1), (1, 2), (2, 2))]
    made = [
        worker.convert("durable", number=number, source=url, destination=out).charged
        for number, url in enumerate(urls, 1)
    ]

    assert [1, 0, 1] == made
    assert 2 == sandbox.billed


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/a?sig=1&sv=2", "https://h/a"),
        ("https://h/a?x=1&sig=1&sv=2#f?g=1", "https://h/a?x=1#f?g=1"),
        ("https://h/a?Signature=1", "https://h/a?Signature=1"),
        ("https://h/a?Expires=1&Policy=2", "https://h/a?Expires=1&Policy=2"),
        ("https://h/a?b=1&&c", "https://h/a?b=1&&c"),
        ("https://h/a?", "https://h/a"),
        ("https://h/a#?sig=1&sv=2", "https://h/a#?sig=1&sv=2"),
    ],
)
def test_only_a_whole_signature_is_left_out(url: str, expected: str) -> None:
    """What merely looks like a part of one may say which document is meant."""
    assert expected == unsigned(url)


# --- asked for twice -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["durable", "deferred"])
def test_same_conversion_three_times_in_one_task(
    sandbox: Sandbox, worker: Worker, letter: Path, mode: str
) -> None:
    """The first call pays; the others find its output."""
    given: dict[str, Any] = {"source": letter, "destination": letter.parent / "letter.pdf"}

    results = [worker.convert(mode, **given) for _ in range(3)]

    assert [1, 0, 0] == [result.charged for result in results]
    assert 1 == len({tuple(result.outputs) for result in results})
    assert (1, {}) == (sandbox.billed, sandbox.files)


def test_same_conversion_into_three_places(
    sandbox: Sandbox, worker: Worker, letter: Path, tmp_path: Path
) -> None:
    """Each gets the bytes that were paid once, on the next try, too."""
    places = [tmp_path / "a.pdf", f"{tmp_path}/b/", tmp_path / "Grüße.pdf"]
    for number in (1, 2):
        results = [
            worker.convert("durable", number=number, source=letter, destination=place)
            for place in places
        ]
        paths = [tmp_path / "a.pdf", tmp_path / "b" / "letter.pdf", tmp_path / "Grüße.pdf"]

        assert [[str(path)] for path in paths] == [result.outputs for result in results]
        assert 1 == len({path.read_bytes() for path in paths})
        assert (1, {}) == (sandbox.billed, sandbox.files)


def test_several_results_into_two_places(
    sandbox: Sandbox, worker: Worker, texts: list[Path], tmp_path: Path
) -> None:
    """A chain with several results is copied as a whole, in its order."""
    given: dict[str, Any] = {"source": texts, "to_format": "pdf", "steps": [{"to_format": "txt"}]}
    first = worker.convert("durable", destination=f"{tmp_path}/one/", **given)

    second = worker.convert("durable", destination=f"{tmp_path}/two/", **given)

    assert [uri.replace("/one/", "/two/") for uri in first.outputs] == second.outputs
    assert (6, 0, 6) == (second.cost, second.charged, sandbox.billed)


def test_copy_that_was_changed_is_not_copied(
    sandbox: Sandbox, worker: Worker, letter: Path, tmp_path: Path
) -> None:
    """What another program made of an output is not the result; that is paid once more."""
    worker.convert("durable", source=letter, destination=tmp_path / "a.pdf")
    (tmp_path / "a.pdf").write_bytes(b"x" * (tmp_path / "a.pdf").stat().st_size)

    result = worker.convert("durable", source=letter, destination=tmp_path / "b.pdf")

    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")
    assert (1, 2) == (result.charged, sandbox.billed)


def test_second_call_collects_what_the_first_gave_up(
    sandbox: Sandbox, worker: Worker, letter: Path
) -> None:
    """A call that ran out of time leaves its job to whoever asks for the same."""
    given: dict[str, Any] = {"source": letter, "destination": letter.parent / "letter.pdf"}
    sandbox.jobs_take(polls=6)
    with pytest.raises(ConversionTimeoutError):
        worker.convert("durable", timeout=0.6, **given)

    worker.convert("durable", **given)

    assert 1 == sandbox.billed


# --- frozen ----------------------------------------------------------------------------------


def test_frozen_seed_of_a_single_conversion(
    sandbox: Sandbox, tmp_path: Path, worker: Worker
) -> None:
    """What identifies a conversion never moves: else what is in flight would be paid again."""
    letter = tmp_path / "letter.txt"
    letter.write_bytes(b"Hello.")
    seed = (
        '{"from":"txt","inputs":[["File","PATH","6-sha256:'
        '2d8bd7d9bb5f85ba643f0110d50cb506a1fe439e769a22503193ea6046bb87f7"]],"key":null,'
        '"namespace":"","parameters":{},"scope":{"dag":"d","map":-1,"run":"r","task":"t"},'
        '"to":"pdf","v":1}'
    ).replace("PATH", str(letter))

    worker.convert("durable", source=letter, destination=tmp_path / "out.pdf")

    assert [JobIds.from_seed(sandbox.token, seed).job_id(0)] == list(sandbox.jobs)


def test_mark_is_a_keyed_hash() -> None:
    """It differs with conversion and output, and does not tell what it was made of."""
    one, other = (JobIds("key", text * 64) for text in "ab")

    marks = [one.stamp("a.pdf"), one.stamp("b.pdf"), other.stamp("a.pdf")]

    assert "ee2571c24120580946c3ecd6fae3289f" == marks[0]
    assert 3 == len(set(marks))
