"""The plain data that Airflow's provider discovery reads.

Airflow 3.2 and later read it while ``import airflow`` itself is still running, so importing
anything of Airflow here, or an error, would stop every command and every task of a deployment.
The connection form of Airflow 3.2 and later is made from `conn-fields` and `ui-field-behaviour`;
:mod:`airflow_provider_convertapi.hooks.form` derives the form of older versions from the same.

No field has a default: Airflow's form would prefill and save it although the user only looked.

This module may change from release to release.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Describe this package to Airflow (entry point ``apache_airflow_provider``)."""
    return {
        "package-name": "airflow-provider-convertapi",
        "name": "ConvertAPI",
        "description": "Convert documents with `ConvertAPI <https://www.convertapi.com/>`__.",
        "integrations": [
            {
                "integration-name": "ConvertAPI",
                "external-doc-url": "https://www.convertapi.com/",
                "how-to-guide": [f"/docs/how-to/{name}.md" for name in _HOW_TO],
                "logo": f"{_REPOSITORY}/docs/logo.svg",
                "tags": ["service"],
            }
        ],
        "operators": [
            _modules(
                "airflow_provider_convertapi.operators.account",
                "airflow_provider_convertapi.operators.batch",
                "airflow_provider_convertapi.operators.convert",
            )
        ],
        "task-decorators": [
            {
                # Airflow's schema calls it `path`; `airflow/providers_manager.py` reads this name.
                "class-name": "airflow_provider_convertapi.decorators.convertapi.convertapi_task",
                "name": "convertapi",
            }
        ],
        "sensors": [
            _modules(
                "airflow_provider_convertapi.sensors.job",
                "airflow_provider_convertapi.sensors.quota",
            )
        ],
        "triggers": [
            _modules(
                "airflow_provider_convertapi.triggers.documents",
                "airflow_provider_convertapi.triggers.job",
                "airflow_provider_convertapi.triggers.quota",
            )
        ],
        "hooks": [_modules("airflow_provider_convertapi.hooks.convertapi")],
        "extra-links": [
            "airflow_provider_convertapi.screens.ConvertApiOutputLink",
            "airflow_provider_convertapi.screens.ConvertApiUsageLink",
        ],
        "connection-types": [
            {
                "connection-type": "convertapi",
                "hook-class-name": "airflow_provider_convertapi.hooks.convertapi.ConvertApiHook",
                "hook-name": "ConvertAPI",
                "external-services": ["ConvertAPI"],
                "ui-field-behaviour": _FIELD_BEHAVIOUR,
                "conn-fields": _CONN_FIELDS,
            }
        ],
        "config": {"convertapi": {"description": "ConvertAPI provider.", "options": _OPTIONS}},
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": "ConvertAPI", "python-modules": list(names)}


_REPOSITORY = "https://raw.githubusercontent.com/convertapi/airflow-provider-convertapi/main"

_HOW_TO = (
    *("account", "arrivals", "batch", "chains", "check-results", "deferral"),
    *("lineage", "taskflow"),
)

_FIELD_BEHAVIOUR = {
    "hidden-fields": ["port", "schema"],
    "relabeling": {"host": "Base URL", "login": "Kid", "password": "API token"},
    "placeholders": {
        "host": "https://v2.convertapi.com (a regional host is recommended)",
        "login": "GUID beside the API token; empty: tasks send the token itself",
        "password": "from ConvertAPI's dashboard, under Authentication",
    },
}

_CONN_FIELDS: dict[str, dict[str, Any]] = {
    "auth": {
        "label": "Authentication",
        "description": "jwt: sign a short-lived JWT here (the default with a Kid). "
        "jwt_remote: ask ConvertAPI for one. "
        "api_token: send the API token itself (the default without a Kid).",
        "schema": {"type": ["string", "null"], "enum": ["jwt", "jwt_remote", "api_token"]},
    },
    "jwt_lifetime": {
        "label": "JWT lifetime",
        "description": "In seconds; empty means 3600. A task's execution_timeout shortens it.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "client_ip": {
        "label": "JWT client IPs",
        "description": "Comma-separated addresses that may use the JWT; empty means any.",
        "schema": {"type": ["string", "null"]},
    },
    "master_token": {
        "label": "Master token",
        "description": "Only for the account's balance and statistics; conversions do not need it.",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "http_timeout": {
        "label": "HTTP timeout",
        "description": "In seconds: how long a request may receive nothing; empty means 60.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "job_secret": {
        "label": "Job secret",
        "description": "A retry finds a running conversion by an id that is made from the API "
        "token. With a secret it is made from that, so that you can rotate the token meanwhile.",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "allow_http": {
        "label": "Allow plain http",
        "description": "For an http:// Base URL on another machine; tokens and documents travel "
        "unencrypted.",
        "schema": {"type": ["boolean", "null"]},
    },
    "namespace": {
        "label": "Namespace",
        "description": "Where two Airflow deployments share one API token, give each its own.",
        "schema": {"type": ["string", "null"]},
    },
}

_OPTIONS = {
    "settle": {
        "description": "Seconds for which a job that ConvertAPI accepted may stay invisible there. "
        "A lost answer is looked for this long before the same job is submitted again.",
        "version_added": "0.1.0",
        "type": "float",
        "example": "60",
        "default": "30",
    },
    "unknown_parameters": {
        "description": "What happens to a parameter, or a pair of formats, that the catalogue of "
        "converters does not have: error, because ConvertAPI ignores unknown parameters and "
        "bills the conversion; or warn, which helps while ConvertAPI is ahead of the catalogue.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "warn",
        "default": "error",
    },
    "catalogue": {
        "description": "File of a newer catalogue of converters, which `python -m "
        "airflow_provider_convertapi.catalogue --refresh CONN_ID` writes. If it is empty, or "
        "there is no such file, the catalogue of the release is used.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "/opt/airflow/convertapi.jsonl",
        "default": None,
    },
}
