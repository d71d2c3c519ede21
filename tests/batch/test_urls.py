"""Documents that are named by URLs: which of them is which, and whose an output is."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.errors import BatchFailedError
from tests.batch.nights import Night
from tests.batch.test_waves import run_deferred
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Pages(http.server.BaseHTTPRequestHandler):
    """Answer every question with a page that tells it."""

    def do_GET(self) -> None:
        content = f"This is {self.path.partition('&')[0]}.".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def pages(night: Night) -> Iterator[list[str]]:
    """Provide two documents whose URLs differ in their queries alone."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        night.sandbox.settings.allow_hosts = f"127.0.0.1:{server.server_port}"
        yield [f"http://127.0.0.1:{server.server_port}/page.txt?doc={number}" for number in (1, 2)]
        server.shutdown()
        thread.join()


def test_query_tells_documents_apart(night: Night, pages: list[str]) -> None:
    """With on_collision="suffix" each has its own output, whichever came first."""
    given = {"on_collision": "suffix"}
    night.run(TaskInstance(run_id="one"), source=pages[:1], **given)
    night.run(TaskInstance(run_id="two"), source=pages[1:], **given)

    both = night.run(TaskInstance(run_id="three"), source=pages, **given)

    assert {"reused": 2, "cost": 0}.items() <= both.items()
    assert 2 == len(night.outputs())
    assert 2 == night.sandbox.billed


def test_another_documents_output_is_spared(night: Night, pages: list[str]) -> None:
    """Without a suffix one URL's result is not written over another's, and not paid either."""
    night.run(TaskInstance(run_id="one"), source=pages[:1])
    before = (night.out / "page.pdf").read_bytes()

    with pytest.raises(BatchFailedError, match="OutputExistsError"):
        night.run(TaskInstance(run_id="two"), source=pages[1:])

    assert before == (night.out / "page.pdf").read_bytes()
    assert 1 == night.sandbox.billed


@pytest.mark.parametrize(
    "signature",
    [
        "X-Amz-Algorithm=A&X-Amz-Date={0}&X-Amz-Expires=60&X-Amz-Signature=s{0}",
        "X-Goog-Credential=c&X-Goog-Date={0}&X-Goog-Signature=s{0}",
        "Expires={0}&Signature=s{0}&Key-Pair-Id=k",
        "sv=2024&sr=b&se={0}&sp=r&sig=s{0}",
    ],
    ids=["s3", "google", "cloudfront", "azure"],
)
@pytest.mark.parametrize("on_collision", ["fail", "suffix"])
def test_document_signed_anew_is_the_same_document(
    night: Night, pages: list[str], on_collision: str, signature: str
) -> None:
    """Its new result overwrites the old one, and a list may contain it only once."""
    given = {"on_collision": on_collision}
    night.run(TaskInstance(run_id="one"), source=[f"{pages[0]}&{signature.format(1)}"], **given)
    again = [f"{pages[0]}&{signature.format(number)}" for number in (2, 3)]

    summary = night.run(TaskInstance(run_id="two"), source=again, **given)

    assert 1 == summary["converted"]
    assert ["page.pdf"] == night.outputs()


def test_record_holds_nothing_secret_of_the_arguments(night: Night, pages: list[str]) -> None:
    """User, password and fragment of a URL stay out of the manifest; so does what is echoed."""
    url = pages[0].replace("//", "//us3r:passw0rd@").replace("page", "no-page") + "#fr4gment"
    headers = [{"name": "X", "value": "h3ader-value"}]
    night.sandbox.fail("POST /convert/*", status=400, code=4000, message="h3ader-value is wrong")

    with pytest.raises(BatchFailedError):
        night.run(source=[url], from_format="html", durable=False,
                  parameters={"Headers": headers})  # fmt: skip

    parts = (night.out / "_convertapi/manifest").glob("*.jsonl")
    text = "".join(part.read_text() for part in parts)
    assert '"failed"' in text
    for secret in ("us3r", "passw0rd", "fr4gment", "h3ader-value"):
        assert secret not in text


@pytest.mark.parametrize("more", [{}, {"durable": False}, {"deferrable": True}])
def test_what_holds_no_document_is_not_sent(night: Night, more: dict[str, bool]) -> None:
    """A URL that leads nowhere, and an empty file, fail alone and unpaid, as they do in a task."""
    night.write("good.txt")
    (night.source / "empty.txt").touch()
    bad = ["http://host:/a.txt?sig=secret", "https://u:p/w@host/b.txt"]
    source = [str(night.source / "good.txt"), str(night.source / "empty.txt"), *bad]

    run: Callable[..., object] = run_deferred if "deferrable" in more else Night.run
    with pytest.raises(BatchFailedError, match="3 of 4 files failed") as caught:
        run(night, source=source, **more)

    assert "is empty" in str(caught.value)
    assert "host cannot be read" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert ["good.pdf"] == night.outputs()
    assert (1, 1) == (night.sandbox.billed, night.paid)
