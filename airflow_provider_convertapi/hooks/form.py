"""The connection form of Airflow before 3.2, derived from `provider_info` to keep both equal.

Airflow 3.2 and later do not call this: they read `provider_info`.

This module may change from release to release.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_convertapi.provider_info import get_provider_info


def connection_form_widgets() -> dict[str, Any]:
    """Build the WTForms field of every extra field, for ``get_connection_form_widgets``.

    :returns: field name, without prefix -> unbound WTForms field.
    :raises ImportError: without Flask-AppBuilder, which Airflow 3 has only with the FAB provider;
        Airflow then shows no extra fields.
    """
    return {name: _widget(field) for name, field in _form()["conn-fields"].items()}


def ui_field_behaviour() -> dict[str, Any]:
    """Return how the standard fields are shown, for ``get_ui_field_behaviour``.

    :returns: the keys `hidden_fields`, `relabeling` and `placeholders`.
    """
    behaviour = _form()["ui-field-behaviour"]
    return {key.replace("-", "_"): value for key, value in behaviour.items()}


def _form() -> dict[str, Any]:
    [form] = get_provider_info()["connection-types"]
    return dict(form)


def _widget(field: dict[str, Any]) -> Any:
    # These exact paths: Airflow 3.1 puts stand-ins there where WTForms is not installed
    # (`HookMetaService` in `airflow/api_fastapi/core_api/services/ui/connections.py`).
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import NumberRange, Optional, any_of

    schema = field["schema"]
    label, description = field["label"], field["description"]
    if "boolean" in schema["type"]:
        return BooleanField(label, description=description)
    checks = [Optional()]
    if "enum" in schema:
        checks.append(any_of(schema["enum"]))
    if "minimum" in schema:
        checks.append(NumberRange(min=schema["minimum"]))
    field_class, widget = StringField, BS3TextFieldWidget()
    if "integer" in schema["type"]:
        field_class = IntegerField
    elif schema.get("format") == "password":
        field_class, widget = PasswordField, BS3PasswordFieldWidget()
    return field_class(label, checks, description=description, widget=widget)
