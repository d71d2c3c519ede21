"""A worker: a process that converts one document after another for its server.

`python -m convertapi_sandbox.worker PARENT` reads one JSON line per job from
standard input and answers with two: that it took the job, and what came of it. The engines'
libraries are made of C, C++ and Rust: a crash, a hang or a bomb in one of them ends this process,
never the server.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from convertapi_sandbox import isolation
from convertapi_sandbox.engines import PAIRS, verdicts
from convertapi_sandbox.jobs import EngineError, EngineJob, InputFile

if TYPE_CHECKING:
    from convertapi_sandbox.jobs import EngineOutput

TAKEN = b"taken\n"  # a worker that dies before this line did not die of the job
RECURSION_LIMIT = 3000  # a deeper syntax tree counts as a damaged file


def encode(job: EngineJob) -> bytes:
    """Encode a job as the line that a worker reads."""
    text = json.dumps(
        {
            "source": job.source,
            "target": job.target,
            "files": [[str(file.path), file.name] for file in job.files],
            "extra_files": {key: [str(f.path), f.name] for key, f in job.extra_files.items()},
            "parameters": dict(job.parameters),
            "folder": str(job.folder),
            "timeout": job.timeout,
        }
    )
    return text.encode() + b"\n"


def decode(line: str) -> EngineJob:
    """Return the job in a line that `encode` made."""
    data = json.loads(line)
    return EngineJob(
        source=data["source"],
        target=data["target"],
        files=tuple(InputFile(Path(path), name) for path, name in data["files"]),
        extra_files={
            key: InputFile(Path(p), name) for key, (p, name) in data["extra_files"].items()
        },
        parameters=data["parameters"],
        folder=Path(data["folder"]),
        timeout=data["timeout"],
    )


def answer(job: EngineJob) -> dict[str, Any]:
    """Convert and return what `reply` understands; only a process that dies gives no answer."""
    isolation.step()
    try:
        outputs = _convert(job)
        return {"outputs": [[str(output.path), output.name] for output in outputs]}
    except EngineError as error:
        return _refusal(error)
    except MemoryError:
        # The heap is fragmented now, so the next job gets a new worker.
        return {**_refusal(verdicts.too_much_memory()), "retire": True}
    except RecursionError:
        return _refusal(verdicts.damaged("It is nested too deeply."))
    except Exception as error:  # noqa: BLE001 - any error of a library is the verdict on the document
        return {**_refusal(verdicts.failed(error)), "trace": traceback.format_exc()}
    finally:
        isolation.step(0)


def _convert(job: EngineJob) -> list[EngineOutput]:
    engine = PAIRS.get((job.source, job.target))
    if engine is None:
        raise verdicts.unsupported(f"{job.source} to {job.target}")
    (job.folder / "out").mkdir(exist_ok=True)
    module = importlib.import_module(f"convertapi_sandbox.engines.{engine}")
    outputs: list[EngineOutput] = module.convert(job)
    if not outputs:
        raise verdicts.failed("The conversion made no result.")
    return outputs


def _refusal(error: EngineError) -> dict[str, Any]:
    return {"error": [error.status, error.code, error.message]}


def serve(jobs: TextIO, answers: TextIO) -> None:
    """Convert jobs until there are no more."""
    for line in jobs:
        answers.write(TAKEN.decode())
        answers.flush()
        reply = answer(decode(line))
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
        if reply.get("retire"):
            return


def main() -> None:
    """Serve standard input, with standard output kept free of what libraries print."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.setrecursionlimit(RECURSION_LIMIT)
    isolation.confine(parent=int(sys.argv[1]))
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
