"""/info: which converters there are, and what they take.

The catalogue is the service's: it includes pairs for which the sandbox has no engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from convertapi_sandbox import catalogue
from convertapi_sandbox.answers import Answer, json_answer
from convertapi_sandbox.errors import not_found
from convertapi_sandbox.parameters import COMMON

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from convertapi_sandbox.catalogue import Converter, Parameter
    from convertapi_sandbox.state import State

_TYPES = {
    "file": "File",
    "file[]": "File",
    "boolean": "Bool",
    "integer": "Integer",
    "number": "Double",
    "enum": "Collection",
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "file": {"type": "string", "format": "binary"},
    "file[]": {"type": "array", "items": {"type": "string", "format": "binary"}},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "format": "int32"},
    "number": {"type": "number", "format": "double"},
}


class InfoRoutes:
    """The endpoints that describe the converters; they need no credentials."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/info", self.listed, methods=["GET"]),
            Route("/info/openapi", self.openapi, methods=["GET"]),
            Route("/info/openapi/{source}/to/{target}", self.openapi, methods=["GET"]),
            Route("/info/canconvert/{source}/to/{target}", self.can_convert, methods=["GET"]),
            Route("/info/converter/{name}", self.named, methods=["GET"]),
            Route("/info/{source}/to/{target}", self.listed, methods=["GET"]),
        ]

    async def listed(self, request: Request) -> Answer:
        """List the converters between two formats; each may be `*`."""
        source, target = (request.path_params.get(name, "*") for name in ("source", "target"))
        return json_answer([_described(item) for item in _between(source, target)])

    async def named(self, request: Request) -> Answer:
        """Describe one converter."""
        for item in catalogue.converters().values():
            if _name(item).lower() == request.path_params["name"].lower():
                return json_answer(_described(item))
        raise not_found("converter", self._state.settings)

    async def can_convert(self, request: Request) -> Answer:
        """Answer 200 if there is a converter, 404 if there is none."""
        if catalogue.resolve(**request.path_params) is None:
            raise not_found("converter", self._state.settings)
        return Answer(200, [], {})

    async def openapi(self, request: Request) -> Answer:
        """Describe all converters, or one, as an OpenAPI document."""
        items: Iterable[Converter] = catalogue.converters().values()
        if request.path_params:
            item = catalogue.resolve(**request.path_params)
            if item is None:
                raise not_found("converter", self._state.settings)
            items = [item]
        return json_answer(
            {
                "openapi": "3.0.1",
                "info": {"title": "ConvertAPI (sandbox)", "version": "2"},
                "servers": [{"url": self._state.settings.public_url or self._state.origin}],
                "paths": {f"/convert/{item.route}": {"post": _operation(item)} for item in items},
                "components": {
                    "securitySchemes": {
                        name: {"type": "http", "scheme": "bearer"} for name in ("token", "jwt")
                    }
                },
            }
        )


def _between(source: str, target: str) -> list[Converter]:
    if "*" not in (source, target):
        item = catalogue.resolve(source, target)
        return [item] if item else []
    return [
        item
        for item in catalogue.converters().values()
        if (source == "*" or source.lower() in {item.source, *item.extensions})
        and target.lower() in ("*", item.target)
    ]


def _name(item: Converter) -> str:
    return f"{item.source}-to-{item.target}"


def _described(item: Converter) -> dict[str, Any]:
    groups: dict[str, list[dict[str, Any]]] = {"Input": [], "Output": []}
    for parameter in (*item.parameters.values(), *COMMON.values()):
        group = "Input" if parameter.is_file else "Output"
        groups[group].append(_parameter(parameter, group))
    return {
        "Name": _name(item),
        "Title": f"{item.source.upper()} to {item.target.upper()} API",
        "Alternative": False,
        "SourceFileFormats": [item.source],
        "SourceExtensions": sorted(item.extensions),
        "DestinationFileFormats": [item.target],
        "DestinationExtensions": list(item.results),
        "ConverterParameterGroups": [
            {"Name": name, "ConverterParameters": parameters} for name, parameters in groups.items()
        ],
    }


def _parameter(parameter: Parameter, group: str) -> dict[str, Any]:
    return {
        "Name": parameter.name,
        "Label": parameter.name,
        "Description": "",
        "Type": _TYPES.get(parameter.type, "String"),
        "Required": parameter.required,
        "Array": parameter.type == "file[]",
        "Default": parameter.default,
        "Values": {value: value for value in parameter.values},
        "GroupName": group,
    }


def _operation(item: Converter) -> dict[str, Any]:
    parameters = (*item.parameters.values(), *COMMON.values())
    schema = {
        "type": "object",
        "required": [parameter.name for parameter in parameters if parameter.required],
        "properties": {parameter.name: _schema(parameter) for parameter in parameters},
    }
    return {
        "operationId": _name(item),
        "x-ca-source-formats": ",".join(sorted(item.extensions) or [item.source]),
        "x-ca-destination-formats": ",".join(item.results),
        "requestBody": {"content": {"multipart/form-data": {"schema": schema}}},
        "responses": {"200": {"description": "The results of the conversion."}},
        "security": [{"token": []}, {"jwt": []}],
    }


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = dict(_SCHEMAS.get(parameter.type, {"type": "string"}))
    if parameter.values:
        schema["enum"] = list(parameter.values)
    if parameter.default is not None:
        schema["default"] = parameter.default
    if parameter.extensions:
        schema["x-ca-allowed-extensions"] = ",".join(parameter.extensions)
    low, high = ("minLength", "maxLength") if schema["type"] == "string" else ("minimum", "maximum")
    limits = {low: parameter.min, high: parameter.max}
    return schema | {key: value for key, value in limits.items() if value is not None}
