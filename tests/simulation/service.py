"""ConvertAPI in memory, written from its documentation and from nothing of this provider."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.forms import file_name, read_form
from tests.simulation.results import DAMAGED, converted, extension, fingerprint, identity
from tests.simulation.tasks import WEB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulation.forms import Form

FILE_LIFE = 3 * 3600.0
BILLED_VERDICTS = {5000: 500, 5001: 500, 50050: 500, 5009: 500}
"""Status of each verdict on a document; each is billed."""


@dataclass(frozen=True)
class Answer:
    """An answer of the service."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, value: object) -> Answer:
        """Return an answer in JSON."""
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    @classmethod
    def error(cls, status: int, code: int, message: str = "said the model") -> Answer:
        """Return an error with its Code."""
        return cls.of(status, {"Code": code, "Message": message})


@dataclass(frozen=True)
class Question:
    """A request as it arrives."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Stored:
    """A file at the service."""

    name: str
    content: bytes
    until: float


@dataclass
class Bill:
    """One debit.

    :param who: the try that asked for it.
    :param job_id: empty for a direct conversion.
    :param asked: target, parameters and inputs, as `identity` tells them.
    :param code: the verdict, 0 for a success.
    """

    at: float
    who: str
    job_id: str
    asked: str
    inputs: tuple[str, ...]
    cost: int
    code: int
    at_submit: bool = False


@dataclass
class Job:
    """One asynchronous conversion."""

    bill: Bill | None
    answer: Answer
    visible: float
    done: float
    until: float
    files: tuple[str, ...] = ()


@dataclass
class Switches:
    """What ConvertAPI does not document, or may do at any time.

    :param visible_after: seconds until a job can be seen.
    :param second_post: what becomes of a known job id: ``join``, ``refuse`` or ``bill``.
    :param verdicts_at_submit: whether verdicts answer the submit, and leave no job.
    :param refusals_in_job: whether an exhausted quota is stored as a job's answer.
    :param consumed_by_read: whether an answer of a finished job can be read once only.
    :param costs_results: whether each result costs one, and not each conversion.
    """

    visible_after: float = 0.0
    second_post: str = "join"
    verdicts_at_submit: bool = False
    refusals_in_job: bool = False
    consumed_by_read: bool = False
    costs_results: bool = False
    retention: float = 7200.0


@dataclass
class Service:
    """The model.

    :param now: returns seconds since the epoch.
    :param quota: conversions left; None for any number.
    :param verdicts: Codes with which the next conversions end.
    :param seconds: how long the next conversions take, the last one repeatedly.
    """

    now: Callable[[], float]
    token: str
    joined: int = field(default=0, init=False)
    """How many submits met a job that was known, which cost nothing, and were not told so."""
    switches: Switches = field(default_factory=Switches)
    quota: int | None = None
    verdicts: list[int] = field(default_factory=list)
    seconds: float = 2.0
    who: str = ""
    files: dict[str, Stored] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    bills: list[Bill] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    """All job ids and file ids that were ever used: none may be shown."""
    before_bill: Callable[[Bill], None] = lambda _: None
    fetch: Callable[[str], bytes | None] = lambda _: None
    """Returns what is on the web under a name."""

    def answer(self, asked: Question) -> Answer:  # noqa: PLR0911 - one for each call
        """Answer a request."""
        match asked.method, asked.path.strip("/").split("/"):
            case "POST", ["async", "convert", _, "to", target]:
                return self._authorized(asked) or self._start(asked, target)
            case "POST", ["convert", _, "to", target]:
                return self._authorized(asked) or self._convert(asked, target)
            case "GET", ["async", "job", job_id]:
                return self._look(job_id)
            case "DELETE", ["async", "job", job_id]:
                return Answer(404) if self.jobs.pop(job_id, None) is None else Answer(200)
            case "POST", ["upload"]:
                return self._upload(asked)
            case ("HEAD" | "GET" | "DELETE") as method, ["d", file_id]:
                return self._file(method, file_id)
        return Answer.error(404, 4040)

    def _authorized(self, asked: Question) -> Answer | None:
        if asked.headers.get("Authorization") == f"Bearer {self.token}":
            return None
        return Answer.error(401, 4013)

    # --- files -------------------------------------------------------------------------------

    def stored(self, file_id: str) -> Stored | None:
        """Return a file that is still there."""
        found = self.files.get(file_id)
        return found if found and found.until > self.now() else None

    def _upload(self, asked: Question) -> Answer:
        file_id = asked.query.get("fileId") or fingerprint(asked.body) * 2
        self.ids.add(file_id)
        if self.stored(file_id):
            return Answer.error(400, 4000, "The file id is taken.")
        name = file_name(asked.headers["Content-Disposition"])
        self._keep(file_id, name, asked.body)
        entry = {"FileName": name, "FileSize": len(asked.body), "FileId": file_id}
        return Answer.of(200, entry)

    def _keep(self, file_id: str, name: str, content: bytes) -> None:
        self.ids.add(file_id)
        self.files[file_id] = Stored(name, content, self.now() + FILE_LIFE)

    def _file(self, method: str, file_id: str) -> Answer:
        found = self.stored(file_id)
        if found is None:
            return Answer(404)
        headers = {
            "Content-Disposition": f'attachment; filename="{found.name}"',
            "File-Size": str(len(found.content)),
        }
        if method == "DELETE":
            del self.files[file_id]
            return Answer(200)
        return Answer(200, found.content if method == "GET" else b"", headers)

    # --- conversions -------------------------------------------------------------------------

    def _start(self, asked: Question, target: str) -> Answer:  # noqa: PLR0911 - one for each kind of answer
        job_id = asked.query["JobId"]
        self.ids.add(job_id)
        known = self.known(job_id)
        if known and self.switches.second_post == "join":
            self.joined += 1
            return Answer.of(200, {"JobId": job_id})
        if known and self.switches.second_post == "refuse":
            return Answer.error(400, 4000, "The job id is taken.")
        form = read_form(asked.headers["Content-Type"], asked.body)
        if "Wrong" in form.texts:
            return Answer.error(400, 4000, "Parameter validation error.")
        now = self.now()
        visible, done = now + self.switches.visible_after, now + self.seconds
        until = done + self.switches.retention
        if self.quota == 0:
            refusal = Answer.error(403, 4014, "No conversions remaining.")
            if not self.switches.refusals_in_job:
                return refusal
            self.jobs[job_id] = Job(None, refusal, visible, done, until)
            return Answer.of(200, {"JobId": job_id})
        bill, results = self._work(form, target, job_id)
        if bill.code:
            answer = Answer.error(BILLED_VERDICTS[bill.code], bill.code)
            if self.switches.verdicts_at_submit:
                bill.at_submit = True
                return answer
            self.jobs[job_id] = Job(bill, answer, visible, done, until)
            return Answer.of(200, {"JobId": job_id})
        files = []
        for name, content in results:
            file_id = fingerprint(f"{job_id}{name}{now}".encode()) * 2
            self._keep(file_id, name, content)
            files.append({"FileName": name, "FileSize": len(content), "FileId": file_id})
        answer = Answer.of(200, {"ConversionCost": bill.cost, "Files": files})
        ids = tuple(str(file["FileId"]) for file in files)
        self.jobs[job_id] = Job(bill, answer, visible, done, until, ids)
        return Answer.of(200, {"JobId": job_id})

    def _work(self, form: Form, target: str, job_id: str) -> tuple[Bill, list[tuple[str, bytes]]]:
        """Convert, and bill it."""
        inputs, code = [], 0
        named = [(name, file) for name, file in sorted(form.files.items())]
        named += [
            (name, self._named(value))
            for name, value in sorted(form.texts.items())
            if _is_file(name)
        ]
        for _, (name, content) in sorted(named):
            inputs.append(content)
            code = code or (0 if name else 5009)
        if not code and any(DAMAGED in content for content in inputs):
            code = 5001
        code = code or (self.verdicts.pop(0) if self.verdicts else 0)
        texts = {
            name: value
            for name, value in form.texts.items()
            if not _is_file(name) and name != "FileName"
        }
        made = [] if code else converted(target, texts, inputs)
        cost = len(made) if self.switches.costs_results and made else 1
        bill = Bill(
            self.now(),
            self.who,
            job_id,
            identity(target, texts, inputs),
            tuple(fingerprint(content) for content in inputs),
            cost,
            code,
        )
        self.before_bill(bill)
        self.bills.append(bill)
        if self.quota is not None:
            self.quota = max(self.quota - cost, 0)
        first = min(named)[1][0]
        stem = first.rpartition(".")[0] or first
        stem = form.texts.get("FileName", stem)
        return bill, [(f"{stem}{suffix}.{extension(target)}", data) for suffix, data in made]

    def _named(self, value: str) -> tuple[str, bytes]:
        """Return name and content of a file that a request names by its id, or by its URL."""
        if value.startswith(WEB):
            name, content = value.removeprefix(WEB), self.fetch(value.removeprefix(WEB))
            return ("", b"") if content is None else (name, content)
        found = self.stored(value)
        return (found.name, found.content) if found else ("", b"")

    def known(self, job_id: str) -> Job | None:
        """Return a job that is not forgotten."""
        job = self.jobs.get(job_id)
        return job if job and job.until > self.now() else None

    def _look(self, job_id: str) -> Answer:
        job = self.known(job_id)
        if job is None or self.now() < job.visible:
            return Answer(404)
        if self.now() < job.done:
            return Answer(202)
        if self.switches.consumed_by_read:
            del self.jobs[job_id]
        return job.answer

    def _convert(self, asked: Question, target: str) -> Answer:
        form = read_form(asked.headers["Content-Type"], asked.body)
        if "Wrong" in form.texts:
            return Answer.error(400, 4000, "Parameter validation error.")
        if self.quota == 0:
            return Answer.error(403, 4014, "No conversions remaining.")
        bill, results = self._work(form, target, "")
        if bill.code:
            return Answer.error(BILLED_VERDICTS[bill.code], bill.code)
        parts = [
            f"--cut\r\nConversionCost: {bill.cost}\r\nContent-Disposition: attachment; "
            f'filename="{name}"; size={len(data)}\r\n\r\n'.encode()
            + data
            + b"\r\n"
            for name, data in results
        ]
        headers = {"Content-Type": "multipart/mixed; boundary=cut"}
        return Answer(200, b"".join(parts) + b"--cut--\r\n", headers)


def _is_file(name: str) -> bool:
    """Tell whether a parameter takes a file."""
    return name == "OverlayFile" or (name.startswith("File") and name != "FileName")
