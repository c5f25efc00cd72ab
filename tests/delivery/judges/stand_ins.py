"""Stand-ins for Terraform's providers, so that Terraform itself reads what is rendered.

Providers come from a registry of their own, which tests do without. What Terraform needs of one to
validate and to plan with mocks is its schema, and that is in the bindings that `providers` reads as
well. A stand-in serves it over gRPC, in the plug-in protocol 6 of Terraform, and answers that
everything else is fine. Sequences are lists here, which a provider may call sets.

Source: github.com/hashicorp/terraform/blob/main/docs/plugin-protocol/tfplugin6.proto.
"""

import ast
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from tests.delivery.judges.programs import archive
from tests.delivery.judges.providers import ARCHIVES, META

Type = str | list[Any]
"""As Terraform writes it in JSON: `"string"`, `["map", "string"]`, `["object", {…}]`."""
Classes = Mapping[str, ast.ClassDef]

EPHEMERAL: dict[str, dict[str, dict[str, Type]]] = {
    "aws": {
        "aws_secretsmanager_random_password": {
            "password_length": "number",
            "exclude_punctuation": "bool",
            "random_password": "string",
        }
    },
    "google": {},
    "random": {"random_password": {"length": "number", "special": "bool", "result": "string"}},
}
"""What is ephemeral, which the bindings do not know. Source: the documents of the providers AWS 6
and random 3.7."""
_DEPTH_MAX = 6
_SINGLE, _LIST = 1, 2


@contextmanager
def stand_ins(text: str) -> Iterator[dict[str, str]]:
    """Serve a stand-in of each provider; yield the variable that tells Terraform where they are.

    Args:
        text: of all files: only the resources that it names have a schema.
    """
    kinds = sorted(set(re.findall(r'^(resource|data) "(\w+)"', text, re.MULTILINE)))
    servers, places = [], {}
    try:
        for name in EPHEMERAL:
            server = grpc.server(ThreadPoolExecutor(4))
            server.add_generic_rpc_handlers((_Provider(_schemas(name, kinds)),))
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.append(server)
            places[f"registry.terraform.io/hashicorp/{name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
            }
        yield {"TF_REATTACH_PROVIDERS": json.dumps(places), "CHECKPOINT_DISABLE": "1"}
    finally:
        for server in servers:
            server.stop(None)


class _Provider(grpc.GenericRpcHandler):
    """Answers with its schemas, and with an empty message to all else: nothing is wrong."""

    def __init__(self, schemas: bytes) -> None:
        self._schemas = schemas

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        service, _, asked = str(handler_call_details.method).rpartition("/")
        if service != "/tfplugin6.Provider":
            return None  # streams of the plug-in's output, on which a thread each would wait

        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            if asked in ("GetMetadata", "GetResourceIdentitySchemas"):
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "a stand-in has none")
            return self._schemas if asked == "GetProviderSchema" else b""

        return grpc.unary_unary_rpc_method_handler(answer)


def _schemas(name: str, kinds: list[tuple[str, str]]) -> bytes:
    """Return the answer to GetProviderSchema."""
    if name not in ARCHIVES:
        parts = [_message(1, _schema(b""))]
    else:
        parts = [_message(1, _schema(_provider(name)))]
        for block, kind in kinds:
            if kind.startswith(f"{name}_"):
                entry = _message(1, kind.encode()) + _message(2, _schema(_resource(block, kind)))
                parts.append(_message(3 if block == "data" else 2, entry))
    for kind, fields in EPHEMERAL[name].items():
        block_of = b"".join(_message(2, _attribute(f, t, optional=True)) for f, t in fields.items())
        parts.append(_message(8, _message(1, kind.encode()) + _message(2, _schema(block_of))))
    return b"".join(parts)


def _provider(name: str) -> bytes:
    classes = _classes(name, "provider")
    [config] = [c for n, c in classes.items() if n.lower() == f"{name}providerconfig"]
    return _block(config, classes, {})


def _resource(block: str, kind: str) -> bytes:
    name, _, rest = kind.partition("_")
    classes = _classes(name, f"data_{kind}" if block == "data" else rest)
    [root] = [
        n for n, c in classes.items() if re.search(r"Terraform(Resource|DataSource)", _bases(c))
    ]
    return _block(classes[f"{root}Config"], classes, _read(classes[root], classes))


def _classes(name: str, folder: str) -> Classes:
    with zipfile.ZipFile(archive(ARCHIVES[name])) as bindings:
        tree = ast.parse(bindings.read(f"cdktf_cdktf_provider_{name}/{folder}/__init__.py"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _bases(node: ast.ClassDef) -> str:
    return " ".join(ast.unparse(base) for base in node.bases)


def _block(config: ast.ClassDef, classes: Classes, gives: Mapping[str, Type]) -> bytes:
    """Return what a block takes, and what it gives beside that."""
    [begin] = [f for f in config.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
    found, taken = b"", set()
    whole = "TerraformMetaArguments" in _bases(config)
    for argument, default in zip(begin.args.kwonlyargs, begin.args.kw_defaults, strict=True):
        name = argument.arg.rstrip("_")
        if (whole and name in META) or argument.annotation is None:
            continue
        taken.add(name)
        said = ast.unparse(argument.annotation)
        inner = [classes[word] for word in re.findall(r"\w+", said) if word in classes]
        if inner:
            reference = classes.get(f"{inner[0].name}OutputReference")
            more = {} if reference is None else _read(reference, classes)
            nesting = _SINGLE if name == "timeouts" else _LIST
            nested = _message(1, name.encode()) + _message(2, _block(inner[0], classes, more))
            found += _message(3, nested + _number(3, nesting))
        else:
            required = default is None
            found += _message(2, _attribute(name, _type(said), required=required, optional=True))
    for name in gives.keys() - taken:
        found += _message(2, _attribute(name, gives[name]))
    return found


def _read(cls: ast.ClassDef, classes: Classes, depth: int = 0) -> dict[str, Type]:
    """Return the properties of what a resource or a block gives, by name."""
    found: dict[str, Type] = {}
    for part in cls.body:
        if not isinstance(part, ast.FunctionDef) or part.returns is None:
            continue
        marks = [ast.unparse(mark) for mark in part.decorator_list]
        if not any(mark.endswith("property") for mark in marks) or part.name.endswith("_input"):
            continue
        returns = part.returns
        said = str(returns.value) if isinstance(returns, ast.Constant) else ast.unparse(returns)
        inner = classes.get(re.sub(r"List$", "OutputReference", said))
        if inner is None:
            found[part.name] = _type(said)
        elif depth < _DEPTH_MAX:
            found[part.name] = ["list", ["object", _read(inner, classes, depth + 1)]]
    return {name: kind for name, kind in found.items() if name not in _OF_BINDINGS}


_OF_BINDINGS = META | {"fqn", "internal_value", "node", "cdktf_stack", "friendly_unique_id"}


def _type(said: str) -> Type:
    """Return the type that an annotation of Python stands for."""
    inner: Type = "string"
    if re.search(r"\bbool\b", said):
        inner = "bool"
    elif re.search(r"Number|float|\bint\b|jsii", said):
        inner = "number"
    if re.search(r"Map", said):
        return ["map", "bool" if inner == "bool" else "string"]
    return ["list", inner] if re.search(r"Sequence|List", said) else inner


def _attribute(name: str, kind: Type, *, required: bool = False, optional: bool = False) -> bytes:
    write_only = optional and name.endswith("_wo")
    flags = _number(4, required) + _number(5, optional and not required)
    flags += _number(6, not required and not write_only) + _number(11, write_only)
    return _message(1, name.encode()) + _message(2, json.dumps(kind).encode()) + flags


def _schema(block: bytes) -> bytes:
    return _message(2, block)


def _message(field: int, value: bytes) -> bytes:
    """Return a field of protobuf that has a length."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    """Return a field that is a number or a truth; nothing for what is the default."""
    return _varint(field << 3) + _varint(value) if value else b""


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])
