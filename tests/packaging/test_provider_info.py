"""The provider info for Airflow is well-formed and true."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import airflow_provider_convertapi
from airflow_provider_convertapi.hooks.form import connection_form_widgets, ui_field_behaviour
from airflow_provider_convertapi.provider_info import get_provider_info

INFO = get_provider_info()
[CONNECTION_TYPE] = INFO["connection-types"]
PACKAGE = airflow_provider_convertapi.__name__

STANDARD_FIELDS = ["description", "extra", "host", "login", "password", "port", "schema"]
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
# Airflow reads these two at run time, but its runtime schema says nothing of them.
FORM_SCHEMA = {
    "required": ["hook-name", "ui-field-behaviour", "conn-fields"],
    "properties": {
        "ui-field-behaviour": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "hidden-fields": {"type": "array", "items": {"enum": STANDARD_FIELDS}},
                "relabeling": {**TEXTS, "propertyNames": {"enum": STANDARD_FIELDS}},
                "placeholders": {**TEXTS, "propertyNames": {"enum": STANDARD_FIELDS}},
            },
        },
        "conn-fields": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["label", "description", "schema"],
                "additionalProperties": False,
                "properties": {
                    "label": {"type": "string"},
                    "description": {"type": "string"},
                    "schema": {
                        "type": "object",
                        "required": ["type"],
                        # No "default": the form would prefill it, and save what was only shown.
                        "additionalProperties": False,
                        "properties": {
                            "type": {
                                "type": "array",
                                "prefixItems": [{"enum": ["boolean", "integer", "string"]}],
                                "contains": {"const": "null"},
                                "minItems": 2,
                                "maxItems": 2,
                            },
                            "enum": {"type": "array", "items": {"type": "string"}},
                            "format": {"const": "password"},
                            "minimum": {"type": "number"},
                        },
                    },
                },
            },
        },
    },
}


def test_airflow_accepts_it() -> None:
    """Provider info passes the schema that Airflow checks it with; if not, nothing imports."""
    airflow = find_spec("airflow")
    assert airflow is not None
    assert airflow.origin is not None
    schema = Path(airflow.origin).with_name("provider_info.schema.json").read_text()

    jsonschema.validate(INFO, json.loads(schema))


def test_connection_form_has_the_shape_that_airflow_reads() -> None:
    """The form's part has the shape of Airflow's development schema, and no defaults."""
    jsonschema.validate(CONNECTION_TYPE, FORM_SCHEMA)


def test_form_has_every_field() -> None:
    """The form offers each documented extra, and relabels the standard fields that it uses."""
    assert [
        "auth",
        "jwt_lifetime",
        "client_ip",
        "master_token",
        "http_timeout",
        "job_secret",
        "allow_http",
        "namespace",
    ] == list(CONNECTION_TYPE["conn-fields"])
    assert {"host": "Base URL", "login": "Kid", "password": "API token"} == CONNECTION_TYPE[
        "ui-field-behaviour"
    ]["relabeling"]


def test_secret_fields_are_masked_in_the_form() -> None:
    """Exactly the two secret extras are shown as passwords."""
    assert ["job_secret", "master_token"] == sorted(
        name
        for name, field in CONNECTION_TYPE["conn-fields"].items()
        if field["schema"].get("format") == "password"
    )


def test_secret_fields_are_masked_by_their_names() -> None:
    """Airflow hides an extra by its name alone, in the edit form and in its API."""
    from tests.airflow_api import redact

    extra = {name: f"value-of-{name}" for name in CONNECTION_TYPE["conn-fields"]}
    shown: Any = redact(extra)
    hidden = [name for name, value in shown.items() if value == "***"]

    assert ["job_secret", "master_token"] == sorted(hidden)


def test_name_is_the_distribution_s() -> None:
    """The name equals the canonical distribution name; if not, `import airflow` itself fails."""
    name = distribution("airflow-provider-convertapi").metadata["Name"]

    assert re.sub(r"[-_.]+", "-", name).lower() == INFO["package-name"]


def test_entry_point_leads_to_it() -> None:
    """Airflow finds exactly this function."""
    [entry_point] = distribution(INFO["package-name"]).entry_points.select(
        group="apache_airflow_provider"
    )

    assert get_provider_info is entry_point.load()


def test_documentation_link_is_in_the_metadata() -> None:
    """Airflow links to the project URL that is called Documentation."""
    urls = distribution(INFO["package-name"]).metadata.get_all("Project-URL") or []

    assert ["Documentation"] == [
        label for label in (url.split(",")[0] for url in urls) if label == "Documentation"
    ]


def test_connection_type_is_the_hook_s() -> None:
    """The hook that is named exists, and calls its connection type and itself the same."""
    module, _, name = CONNECTION_TYPE["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)

    assert (CONNECTION_TYPE["connection-type"], CONNECTION_TYPE["hook-name"]) == (
        hook.conn_type,
        hook.hook_name,
    )
    assert ("convertapi_conn_id", "convertapi_default") == (
        hook.conn_name_attr,
        hook.default_conn_name,
    )


def test_hook_hands_out_the_older_form() -> None:
    """Airflow before 3.2 asks the hook, which answers with what is derived from here."""
    module, _, name = CONNECTION_TYPE["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)

    assert ui_field_behaviour() == hook.get_ui_field_behaviour()
    assert hasattr(hook, "get_connection_form_widgets")


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_lists_are_true(kind: str) -> None:
    """Each list names exactly the modules that define such classes, all of which import."""
    listed = [module for entry in INFO.get(kind, []) for module in entry.get("python-modules", [])]

    assert sorted(listed) == _modules_that_define(kind)


def _modules_that_define(kind: str) -> list[str]:
    if find_spec(f"{PACKAGE}.{kind}") is None:
        return []
    package = importlib.import_module(f"{PACKAGE}.{kind}")
    names = [
        f"{package.__name__}.{module.name}"
        for module in pkgutil.iter_modules(package.__path__)
        if module.name != "base"  # what the operators share is not for DAGs
    ]
    return sorted(name for name in names if _defines(name, _base_class(kind)))


def _base_class(kind: str) -> type[Any]:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_convertapi.airflow_names import BaseHook, BaseOperator, BaseSensorOperator

    bases: dict[str, type[Any]] = {
        "hooks": BaseHook,
        "operators": BaseOperator,
        "sensors": BaseSensorOperator,
        "triggers": BaseTrigger,
    }
    return bases[kind]


def _defines(module: str, base: type[Any]) -> bool:
    return any(
        isinstance(thing, type) and issubclass(thing, base) and thing.__module__ == module
        for thing in vars(importlib.import_module(module)).values()
    )


FIELD_CLASSES = {"boolean": "BooleanField", "integer": "IntegerField", "string": "StringField"}
WITHOUT_FAB = find_spec("flask_appbuilder") is None


@pytest.mark.skipif(WITHOUT_FAB, reason="this Airflow has no Flask-AppBuilder, whose form this is")
def test_older_form_equals_the_newer() -> None:
    """The WTForms fields have the labels, texts, types, masks and choices of `conn-fields`."""
    from wtforms import Form
    from wtforms.validators import AnyOf

    form = type("ConnectionForm", (Form,), connection_form_widgets())()
    fields = {
        field.name: {
            "label": field.label.text,
            "description": field.description,
            "class": type(field).__name__,
            "choices": [v.values for v in field.validators if isinstance(v, AnyOf)],
            "default": field.default,
        }
        for field in form
    }

    assert {
        name: {
            "label": field["label"],
            "description": field["description"],
            "class": "PasswordField"
            if "format" in field["schema"]
            else FIELD_CLASSES[field["schema"]["type"][0]],
            "choices": [field["schema"]["enum"]] if "enum" in field["schema"] else [],
            "default": None,
        }
        for name, field in CONNECTION_TYPE["conn-fields"].items()
    } == fields


@pytest.mark.skipif(not WITHOUT_FAB, reason="this Airflow has Flask-AppBuilder")
def test_older_form_says_what_it_lacks() -> None:
    """Without Flask-AppBuilder the error names it, which Airflow knows to overlook."""
    with pytest.raises(ImportError) as caught:
        connection_form_widgets()

    assert "flask_appbuilder" == caught.value.name
