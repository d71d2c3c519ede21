"""A mailbox to case files: each mail with its attachments as PDF, merged per case.

A batch turns every mail into a PDF, its attachments after its text. The subject tells the case, as
in `Re: [Case 17] Fog horn`; then a mapped task merges the mails of each case by their date. Run
again, it converts what has arrived since, and merges only the cases that it belongs to.
"""

from __future__ import annotations

import os
import re
from email.parser import BytesHeaderParser
from email.policy import default

# Airflow 2: from airflow.decorators import task
# Airflow 2: from airflow.io.path import ObjectStoragePath
# Airflow 2: from airflow.models import DAG, Param
from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_convertapi import manifest
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator

DOCUMENTS = os.environ.get("EXAMPLE_DOCUMENTS", "/data/documents")
RESULTS = os.environ.get("EXAMPLE_RESULTS", "/data/results")

with DAG(
    dag_id="mailbox_to_case_file",
    schedule=None,
    max_active_runs=1,
    params={
        "mailbox": Param(f"{DOCUMENTS}/mailbox", type="string"),
        "results": Param(f"{RESULTS}/cases", type="string"),
    },
    doc_md=__doc__,
    tags=["convertapi"],
):
    to_pdf = ConvertApiBatchOperator(
        task_id="to_pdf",
        source="{{ params.mailbox }}/*.eml",
        to_format="pdf",
        parameters={"ConvertAttachments": True},  # without it, only the mail's text is converted
        destination="{{ params.results }}/mails",
        retries=2,
    )

    @task
    def per_case(results: str, run_id: str | None = None) -> list[dict[str, object]]:
        """Return what to merge: the mails of each case that has a new one, and the destination."""
        cases: dict[str, list[tuple[object, str]]] = {}
        new: set[str] = set()
        for record in manifest.read(f"{results}/mails", outcome="converted"):
            with ObjectStoragePath(record.source).open("rb") as file:
                mail = BytesHeaderParser(policy=default).parse(file)
            if found := re.search(r"\[Case (\d+)\]", mail["Subject"] or ""):
                pdf = f"{results}/mails/{record.target}"
                cases.setdefault(found[1], []).append((mail["Date"].datetime, pdf))
                new.update({found[1]} if record.run_id == run_id else ())
        return [
            {
                "source": [pdf for _, pdf in sorted(cases[case])],
                "destination": f"{results}/case-{case}.pdf",
            }
            for case in sorted(new)
        ]

    cases = per_case("{{ params.results }}")
    to_pdf >> cases
    ConvertApiOperator.partial(
        task_id="merge",
        to_format="merge",
        retries=2,
        map_index_template="{{ task.destination }}",
    ).expand_kwargs(cases)
