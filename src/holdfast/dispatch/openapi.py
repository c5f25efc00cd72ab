"""One OpenAPI 3.1 document of all routes."""

import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from holdfast.contract.carrier import adapter_of
from holdfast.contract.failure import Failure
from holdfast.dispatch.inputs import Inputs
from holdfast.dispatch.requests import KEY_CHARS_MAX
from holdfast.system import System
from holdfast.system.checks import PATH_NAME
from holdfast.system.service import Route
from holdfast.system.signature import Signature, read_signature
from holdfast.system.tables import provided_types
from holdfast.system.uses import uses

Schema = dict[str, Any]
_PROBLEM: Schema = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "correlation_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code"],
}
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "One effect, and one answer, for each key.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX},
}
_EVERY = {"429": "Too many requests", "500": "Internal error", "503": "Overloaded"}


@dataclass(frozen=True, slots=True)
class _Declared:
    """One route as its service declares it, wherever that runs."""

    service: str
    route: Route
    signature: Signature
    inputs: Inputs


@dataclass(frozen=True, slots=True)
class _Described:
    """One route, with the schemas of its body and of its answer; None without one."""

    service: str
    route: _Declared
    body: Schema | None
    answer: Schema | None


def openapi(system: System) -> Schema:
    """Return the document of a system: the same in every process, whatever that hosts."""
    described, definitions = _described(list(_declared(system)))
    paths: dict[str, Schema] = {}
    for one in described:
        declared = one.route.route
        paths.setdefault(declared.path, {})[declared.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": system.name, "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**definitions, "Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _declared(system: System) -> Iterable[_Declared]:
    for service in system.services:
        provided = provided_types(service)
        for route in service.routes:
            names = PATH_NAME.findall(route.path)
            signature = read_signature(route.function, path_names=names, provided=provided)
            yield _Declared(service.name, route, signature, Inputs(signature))


def _described(routes: list[_Declared]) -> tuple[list[_Described], dict[str, Schema]]:
    """Return the routes with their schemas, and what those refer to: {name: schema}.

    All schemas are made at once, so that types of one name are told apart, and a Model that looks
    different as body and as answer has a schema for each.
    """
    wanted: list[tuple[int, JsonSchemaMode, TypeAdapter[Any]]] = []
    for number, route in enumerate(routes):
        if route.inputs.body is not None:
            parameter = route.inputs.body.parameter
            kind = parameter.kind if isinstance(parameter.kind, type) else parameter.annotation
            wanted.append((number, "validation", adapter_of(kind)))
        if route.signature.returns not in (None, types.NoneType):
            wanted.append((number, "serialization", adapter_of(route.signature.returns)))
    schemas, rest = TypeAdapter.json_schemas(wanted, ref_template="#/components/schemas/{model}")
    described = [
        _Described(
            route.service,
            route,
            schemas.get((number, "validation")),
            schemas.get((number, "serialization")),
        )
        for number, route in enumerate(routes)
    ]
    return described, rest.get("$defs", {})


def _operation(described: _Described) -> Schema:
    route, service = described.route, described.service
    declared = route.route
    function = declared.function
    summary = (function.__doc__ or function.__name__.replace("_", " ")).strip().splitlines()[0]
    operation: Schema = {
        "operationId": f"{service}_{function.__name__}",
        "summary": summary,
        "tags": [service],
        "responses": _responses(described),
    }
    parameters = [*_parameters(route)]
    if declared.method != "GET" and declared.record:
        parameters.append(_KEY)
    if parameters:
        operation["parameters"] = parameters
    if described.body is not None:
        operation["requestBody"] = {
            "required": not (route.inputs.body and route.inputs.body.optional),
            "content": {"application/json": {"schema": _closed(described.body)}},
        }
    if not declared.public:
        operation["security"] = [{"bearer": [declared.scope] if declared.scope else []}]
    return operation


def _closed(schema: Schema) -> Schema:
    """A body's unknown fields are refused."""
    return {**schema, "unevaluatedProperties": False}


def _parameters(route: _Declared) -> Iterable[Schema]:
    for where, shape in (
        ("path", route.inputs.path),
        ("query", route.inputs.query),
        ("header", route.inputs.header),
    ):
        if shape is None:
            continue
        schema = shape.model_json_schema()
        definitions = schema.get("$defs", {})
        for name, one in schema["properties"].items():
            yield {
                "name": name,
                "in": where,
                "required": where == "path" or name in schema.get("required", ()),
                "schema": _inlined(one, definitions),
            }


def _inlined(schema: Json, definitions: dict[str, Json]) -> Json:
    """Return a schema without references, for parameters."""
    match schema:
        case dict() if "$ref" in schema:
            target = definitions[str(schema["$ref"]).rpartition("/")[2]]
            assert isinstance(target, dict)
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return _inlined({**target, **beside}, definitions)
        case dict():
            return {key: _inlined(value, definitions) for key, value in schema.items()}
        case list():
            return [_inlined(one, definitions) for one in schema]
        case _:
            return schema


def _responses(described: _Described) -> Schema:
    good: Schema = {"description": "Done."}
    if described.answer is not None:
        good["content"] = {"application/json": {"schema": described.answer}}
    responses: Schema = {str(described.route.route.status_code): good}
    for status, words in sorted(_errors(described.route).items()):
        content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        responses.setdefault(status, {"description": words, "content": content})
    return responses


def _errors(route: _Declared) -> dict[str, str]:
    """Return {status: words} of what a route may answer but its good answer."""
    declared, inputs = route.route, route.inputs
    errors = dict(_EVERY)
    if inputs.body is not None:
        errors |= {"400": "Malformed", "413": "Too large", "415": "Not JSON"}
    if inputs.body is not None or inputs.path or inputs.query or inputs.header:
        errors |= {"400": "Malformed", "422": "Invalid input"}
    if declared.method != "GET" and declared.record:
        errors |= {"400": "Malformed", "409": "The key is in use", "422": "Invalid input"}
    if not declared.public:
        errors |= {"401": "Unauthenticated"}
        if declared.scope:
            errors |= {"403": "Forbidden"}
    errors |= {"502": "A service did not answer", "504": "Too late"}
    for use in uses(declared.function):
        if use.verb == "raise" and isinstance(use.what, type):
            status = getattr(use.what, "status", None)
            if isinstance(status, int):
                errors.setdefault(str(status), _first_line(use.what))
        elif use.verb == "ask" and isinstance(use.what, type):
            for failure in getattr(use.what, "fails", ()):
                errors.setdefault(str(failure.status), _first_line(failure))
    return errors


def _first_line(kind: type) -> str:
    own = kind.__doc__ if kind.__doc__ and issubclass(kind, (Failure, Exception)) else ""
    return (own or kind.__name__).strip().splitlines()[0]


DOCS_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>API</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
summary{cursor:pointer;padding:.3rem 0}code{background:#f2f2f2;padding:0 .3rem}
b{display:inline-block;width:4.5rem;font-family:monospace}pre{overflow:auto;background:#f7f7f7;
padding:1rem}small{color:#666}</style></head><body><h1 id="title">API</h1>
<p>The machine-readable form is <a href="/openapi.json">/openapi.json</a>.</p>
<main id="routes"></main><script>
const text = (tag, value, parent) => {
  const made = document.createElement(tag); made.textContent = value; parent.append(made);
  return made };
fetch("/openapi.json").then(r => r.json()).then(api => {
  document.getElementById("title").textContent = api.info.title;
  const main = document.getElementById("routes");
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, operation] of Object.entries(methods)) {
      const box = text("details", "", main), head = text("summary", "", box);
      text("b", method.toUpperCase(), head); text("code", path, head);
      text("span", " " + operation.summary + " ", head);
      if (operation.security) text("small", "needs a token " +
        operation.security[0].bearer.join(" "), head);
      text("pre", JSON.stringify({parameters: operation.parameters,
        body: operation.requestBody, responses: operation.responses}, null, 2), box) }
  text("h2", "Schemas", main);
  text("pre", JSON.stringify(api.components.schemas, null, 2), main) });
</script></body></html>
"""
