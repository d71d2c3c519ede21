"""/upload and /d: documents are stored, downloaded and deleted.

These endpoints need no credentials: the id is the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.routing import Route

from convertapi_sandbox import answers, fetch, multipart, names
from convertapi_sandbox.answers import (
    Answer,
    FilePiece,
    Style,
    json_answer,
    text_answer,
)
from convertapi_sandbox.errors import (
    BAD_REQUEST,
    NO_DISPOSITION,
    PARAMETER,
    UNSUPPORTED,
    ServiceError,
    bad_request,
    not_found,
    parameter_error,
)
from convertapi_sandbox.front import Exchange
from convertapi_sandbox.request import lower_query
from convertapi_sandbox.spool import Spool
from convertapi_sandbox.store import ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.requests import Request

    from convertapi_sandbox.state import State
    from convertapi_sandbox.store import Document

_PLAIN, _JSON = "text/plain", "application/json"


class FileRoutes:
    """The endpoints of stored documents."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes; a name after the id is ignored."""
        return [
            Route("/upload", self.upload, methods=["POST"]),
            Route("/upload-from-url", self.upload, methods=["POST"]),
            *(
                Route(path, endpoint, methods=[method])
                for path in ("/d/{file_id}", "/d/{file_id}/{name:path}")
                for method, endpoint in (("GET", self.download), ("DELETE", self.delete))
            ),
        ]

    async def upload(self, request: Request) -> Answer:
        """Store a document that comes as the body, as a form, or from a URL."""
        query = lower_query(request)
        file_id = query.get("fileid")
        self._check_id(file_id)
        settings = self._state.settings
        spool = Spool(self._state.scratch.take(), settings.max_file_size, settings.too_large_status)
        try:
            path, name = await self._receive(request, query, spool)
            document = self._state.store.adopt(
                path, self._checked(query.get("filename") or name), file_id
            )
        finally:
            self._state.scratch.give_back(spool.folder)
        return self._told(document, request.headers.get("accept"))

    def _check_id(self, file_id: str | None) -> None:
        if file_id is None:
            return
        if not ID.fullmatch(file_id):
            raise parameter_error(
                {"fileId": ["The fileId must be 32 lower-case letters and digits."]}
            )
        known = self._state.store.find(file_id, self._state.settings.file_lifetime)
        if known is not None and self._state.settings.known_file_id == "refuse":
            raise ServiceError(BAD_REQUEST, PARAMETER, "A file with this fileId already exists.")

    async def _receive(
        self, request: Request, query: Mapping[str, str], spool: Spool
    ) -> tuple[Path, str]:
        """Write the document of an upload to disk; return its path and its name."""
        if query.get("url"):
            return await self._fetch(query, spool)
        kind = request.headers.get("content-type", "")
        stream = request.stream()
        if kind.lower().startswith("multipart/form-data"):
            parts = await multipart.read(stream, kind, spool)
            for part in parts:
                if part.path is not None:
                    return part.path, part.filename or ""
            raise bad_request(PARAMETER, "The form contains no file.")
        header = request.headers.get("content-disposition")
        if header is None and not query.get("filename"):
            raise bad_request(NO_DISPOSITION, "No content disposition provided.")
        name = names.disposition_names(header or "").get("filename", "")
        path, sink = spool.open(name)
        with sink:
            async for chunk in stream:
                sink.write(chunk)
        return path, name

    async def _fetch(self, query: Mapping[str, str], spool: Spool) -> tuple[Path, str]:
        path = spool.place("")
        headers = {}
        if query.get("headername"):
            headers[query["headername"]] = query.get("headervalue", "")
        return path, await fetch.download(query["url"], path, self._state.settings, headers)

    def _checked(self, name: str) -> str:
        """Return the name of an upload; one without an extension is refused."""
        name = names.safe(name)
        if not names.extension(name):
            code = self._state.settings.unsupported_code
            raise ServiceError(
                UNSUPPORTED, code, "The file type is not supported by the file server."
            )
        return name

    def _told(self, document: Document, accept: str | None) -> Answer:
        """Answer an upload: JSON, or the bare id for text/plain and without an Accept header.

        Two official clients send no Accept header and use the whole body as the id.
        """
        if (answers.preferred(accept, (_JSON, _PLAIN)) or _PLAIN) == _PLAIN:
            return text_answer(document.id)
        origin = self._state.settings.public_url or self._state.origin
        return json_answer(
            {
                "FileName": document.name,
                "FileExt": document.extension,
                "FileSize": document.size,
                "FileId": document.id,
                "Url": f"{origin.rstrip('/')}/d/{document.id}",
            }
        )

    def _document(self, request: Request) -> Document:
        lifetime = self._state.settings.file_lifetime
        document = self._state.store.find(request.path_params["file_id"], lifetime)
        if document is None:
            raise not_found("file", self._state.settings)
        return document

    async def download(self, request: Request) -> Answer:
        """Answer with a document, or with its headers alone (HEAD)."""
        document, fault = self._document(request), Exchange.of(request).fault
        size = document.size + (fault.wrong_size if fault else 0)
        name = fault.names[0] if fault and fault.names else document.name
        headers = {
            "file-name": quote(name, safe=" !#$&'()+,;=@[]{}~^`"),
            "file-ext": document.extension,
            "file-size": str(size),
        }
        style = Style(extended_names=self._state.settings.disposition == "extended")
        answer = answers.raw_answer(self._state.store.path(document), name, style, headers)
        if lower_query(request).get("download", "").lower() == "inline":
            answer.headers["content-disposition"] = names.disposition(
                name, extended=style.extended_names, kind="inline"
            )
        if request.method == "HEAD":
            answer.headers["content-length"] = str(size)
        elif self._state.settings.byte_ranges:
            _cut_range(answer, request.headers.get("range", ""), document.size)
        return answer

    async def delete(self, request: Request) -> Answer:
        """Delete a document; the job that made it stays known."""
        document = self._document(request)
        self._state.store.delete(document.id)
        if self._state.settings.job_dies_with_documents:
            self._state.jobs.forget_of_document(document.id)
        return Answer(200, [], {})


def _cut_range(answer: Answer, header: str, size: int) -> None:
    """Answer `Range: bytes=N-` or `bytes=N-M` with that part (206)."""
    answer.headers["accept-ranges"] = "bytes"
    first, dash, last = header.strip().lower().removeprefix("bytes=").partition("-")
    piece = answer.pieces[0]
    if not dash or not first.isdecimal() or isinstance(piece, bytes) or int(first) >= size:
        return
    end = min(int(last), size - 1) if last.isdecimal() else size - 1
    answer.status = 206
    answer.pieces = [FilePiece(piece.path, end - int(first) + 1, start=int(first))]
    answer.headers["content-range"] = f"bytes {first}-{end}/{size}"
