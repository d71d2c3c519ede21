"""What Airflow's pages show of our tasks: links, colours, and the provider's own card."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_convertapi.decorators.convertapi import _ConvertApiDecoratedOperator
from airflow_provider_convertapi.operators.account import (
    ConvertApiAccountOperator,
    ConvertApiStatisticsOperator,
)
from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from airflow_provider_convertapi.provider_info import get_provider_info
from airflow_provider_convertapi.screens import ConvertApiOutputLink, console_address
from airflow_provider_convertapi.sensors.job import ConvertApiJobSensor
from airflow_provider_convertapi.sensors.quota import ConvertApiQuotaSensor

ROOT = Path(__file__).parents[2]
S3 = "https://s3.console.aws.amazon.com/s3"
GOOGLE = "https://console.cloud.google.com/storage/browser"

WITH_OUTPUT = [
    ConvertApiOperator,
    ConvertApiBatchOperator,
    ConvertApiStatisticsOperator,
    _ConvertApiDecoratedOperator,
]
WITHOUT = [ConvertApiAccountOperator, ConvertApiJobSensor, ConvertApiQuotaSensor]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://aws_default@bucket/a b/c.pdf", f"{S3}/object/bucket?prefix=a%20b/c.pdf"),
        ("S3A://bucket/out/", f"{S3}/buckets/bucket?prefix=out/"),
        ("s3://bucket", f"{S3}/buckets/bucket?prefix="),
        ("s3://bucket/a&b=#c.pdf", f"{S3}/object/bucket?prefix=a%26b%3D%23c.pdf"),
        ("s3://user:s3cr3t@bucket/a.pdf", f"{S3}/object/bucket?prefix=a.pdf"),
        ("gs://g@bucket/out/", f"{GOOGLE}/bucket/out/"),
        ("gcs://bucket/out/a.pdf", f"{GOOGLE}/_details/bucket/out/a.pdf"),
        ("abfs://a@container/out/", ""),
        ("sftp://host/out/", ""),
        ("/data/out/", ""),
        ("file:///data/out/", ""),
        ("s3:///a.pdf", ""),
        ("s3://bucket/{{ ds }}/", ""),
        ("", ""),
    ],
)
def test_console_address(uri: str, expected: str) -> None:
    """Only a store with a console that a URI can name has one; no password is in it."""
    assert expected == console_address(uri)


@pytest.mark.parametrize(
    ("task_type", "expected"),
    [
        ("ConvertApiBatchOperator", f"{S3}/buckets/b?prefix=out/"),
        ("ConvertApiOperator", f"{S3}/object/b?prefix=out"),
    ],
)
def test_destination_of_a_batch_is_a_directory(task_type: str, expected: str) -> None:
    """It may be written without a slash."""
    operator = SimpleNamespace(destination="s3://b/out", task_type=task_type)

    assert expected == ConvertApiOutputLink().get_link(operator, ti_key=None)  # type: ignore[arg-type] # not used


@pytest.mark.parametrize("operator", WITH_OUTPUT + WITHOUT)
def test_every_operator_has_its_links_and_colours(operator: Any) -> None:
    """What writes something leads there; each leads to the account; Airflow 2 needs them listed."""
    names = [link.name for link in operator.operator_extra_links]
    paths = [
        f"{type(link).__module__}.{type(link).__name__}" for link in operator.operator_extra_links
    ]

    assert (["Output location"] if operator in WITH_OUTPUT else []) + ["ConvertAPI usage"] == names
    assert set(paths) <= set(get_provider_info()["extra-links"])
    assert operator.ui_color != operator.ui_fgcolor


def test_card_is_what_airflow_describes() -> None:
    """Integrations pass the strict schema, too, and name files that exist."""
    schema = Path(airflow.__file__).with_name("provider.yaml.schema.json")
    [card] = get_provider_info()["integrations"]

    jsonschema.validate([card], json.loads(schema.read_text())["properties"]["integrations"])
    pages = (ROOT / "docs/how-to").glob("*.md")
    assert {f"/{page.relative_to(ROOT)}" for page in pages} == set(card["how-to-guide"])
    logo = ROOT / "docs" / "logo.svg"
    assert card["logo"].endswith(f"/main/{logo.relative_to(ROOT)}")
    assert ET.parse(logo).getroot().tag.endswith("svg")
